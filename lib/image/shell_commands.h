/* Simple commands of shell text, one after the other: what stands between operators, with the commands inside of
 * substitutions. POSIX shell grammar and bash's additions as far as they decide where a command starts: quotes,
 * comments, here-documents, case patterns, [[ ]], (( )), arrays. */
#ifndef QN_IMAGE_SHELL_COMMANDS_H
#define QN_IMAGE_SHELL_COMMANDS_H

#include "base/str.h"

#define QN_COMMAND_WORDS 64u
#define QN_SHELL_TEXTS   64u

/* Views of the text; words as they stand there, quotes and all. Redirections are left out. */
struct qn_shell_command {
    struct qn_str word[QN_COMMAND_WORDS]; /* the first ones */
    size_t words;
    bool piped;          /* reads what the command before it writes */
    struct qn_str text;  /* from the first word to the last */
    struct qn_str reads; /* body of its here-document, or "" */
};

/* Start with qn_shell_reader_init(). */
struct qn_shell_reader {
    struct qn_str todo[QN_SHELL_TEXTS]; /* insides of substitutions that are still to be read */
    size_t todos;
    struct qn_str text;
    size_t at;
    unsigned cases;       /* "case" that are open */
    bool pattern;         /* patterns of one are next */
    bool piped;           /* an operator "|" came last */
    bool lost;            /* something was too deep or too much: commands are missing */
    struct qn_str end[4]; /* delimiters of here-documents whose bodies come behind the line */
    size_t ends;
};

void qn_shell_reader_init(struct qn_shell_reader *self, struct qn_str text);
/* The next command with a word; false at the end. */
bool qn_shell_command(struct qn_shell_reader *self, struct qn_shell_command *out);
/* Takes the quotes and backslashes off a word, one level: into `buf`. False when it does not fit. */
bool qn_shell_unquote(struct qn_str word, char *buf, size_t size, struct qn_str *out);

#endif
