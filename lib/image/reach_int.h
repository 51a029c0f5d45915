/* The inside of the search for what is reached: reach.c (roots, work list, executables) and reach_script.c (scripts,
 * settings that hold command lines). */
#ifndef QN_IMAGE_REACH_INT_H
#define QN_IMAGE_REACH_INT_H

#include "image.h"
#include "names.h"

struct qn_reaching {
    struct qn_image *img;
    uint32_t *queue;
    size_t head, count;
    bool tools; /* what is reached from here on is only for people at the shell of a utility image */
    struct qn_names programs;
    struct qn_names libraries;
    struct qn_names sources; /* captured texts, which a shell could source */
    uint32_t *source;        /* nodes that a script sources: texts, to be read as shell scripts */
    size_t source_head, source_count;
    struct qn_names *own; /* one per package: its files, once a script of it was reached */
    bool logins;          /* the shells of those who may log in were looked at */
    bool settings[64];    /* rows of reads.def whose files were */
    bool failed;          /* no memory was left; `err` says so */
    struct qn_err err;
};

/* Marks a name and, when it is a link, every name on the way to where it leads. */
void qn_reach_chain(struct qn_reaching *w, uint32_t node, enum qn_why why, uint32_t from);
/* A word that something runs: a path that exists, or a command of the PATH. */
void qn_reach_word(struct qn_reaching *w, struct qn_str word, enum qn_why why, uint32_t from);
/* Every word of a command line that names something. */
void qn_reach_line(struct qn_reaching *w, struct qn_str line, enum qn_why why, uint32_t from);
/* The same for a variable of the configuration, whose value is known. */
void qn_reach_variable(struct qn_reaching *w, struct qn_str name, enum qn_why why, uint32_t from);
/* The tools that a file mentions. */
void qn_reach_mentions(struct qn_reaching *w, uint32_t node, const struct qn_mentions *m, bool elf);

/* What a reached script, text or program leads to. */
void qn_reach_script(struct qn_reaching *w, uint32_t node, const struct qn_entry *data);
void qn_reach_named(struct qn_reaching *w, uint32_t node, const struct qn_text_facts *named);
void qn_reach_text(struct qn_reaching *w, uint32_t node, const struct qn_entry *data);
void qn_reach_program(struct qn_reaching *w, uint32_t node);
void qn_reach_sourced(struct qn_reaching *w, uint32_t node);

#endif
