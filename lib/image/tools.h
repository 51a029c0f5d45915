/* The table tools.def: programs whose mention in what runs decides whether a rule may remove them. */
#ifndef QN_IMAGE_TOOLS_H
#define QN_IMAGE_TOOLS_H

#include "base/str.h"

#include <stdint.h>

/* CALLER: not a tool that a rule removes, but one that calls such tools. */
enum qn_tool_class { QN_TOOL_NETWORK = 1, QN_TOOL_MANAGER, QN_TOOL_PRIVILEGE, QN_TOOL_SERVICE, QN_TOOL_CALLER };

/* One bit a row of the table. */
struct qn_mentions {
    uint64_t bit[2];
};

/* Whether a base name is that of a shell. */
bool qn_is_shell_name(struct qn_str base);
/* Whether a base name is that of an interpreter of programs, or a shell. Names of such stand in many a text that only
 * tells files apart. */
bool qn_is_interpreter_name(struct qn_str base);
/* Row number of a base name, or -1. */
int qn_tool_find(struct qn_str base);
/* Base name and class of a row; the row must be in [0, qn_tool_count()). */
struct qn_str qn_tool_name(int row);
enum qn_tool_class qn_tool_class(int row);
int qn_tool_count(void);

static inline void qn_mentions_set(struct qn_mentions *m, int row)
{
    m->bit[row / 64] |= 1ull << (row % 64);
}

static inline bool qn_mentions_has(const struct qn_mentions *m, int row)
{
    return row >= 0 && (m->bit[row / 64] >> (row % 64) & 1) != 0;
}

/* How lines that say nothing start, besides "# ": bits. */
enum {
    QN_COMMENT_SEMICOLON = 1, /* ini files */
    QN_COMMENT_SLASHES = 2,   /* languages like C */
    QN_COMMENT_DASHES = 4     /* Lua, SQL */
};
/* By what the file at a path is. */
unsigned qn_comments_of(struct qn_str path);

/* Sets the bit of every tool that `text` names as a whole word, but for comments (QN_COMMENT bits); a word also ends a
 * path ("/usr/bin/curl"). Names that are also everyday words count only in a directory of programs, behind a quote or
 * behind "=": "/sbin/ip", exec("ip addr"), command=ip. */
void qn_mentions_text(struct qn_str text, unsigned comments, struct qn_mentions *m);
/* The same for one string of an executable: it must be the name, a path that ends in it, or a command line that starts
 * with either. Names that are also everyday words count only as paths and command lines. */
void qn_mentions_string(struct qn_str text, struct qn_mentions *m);
/* The same for the bytes of a static executable, whose strings have no ends: names count wherever they stand, those of
 * package managers only as whole words when they are shorter than four letters. */
void qn_mentions_blob(struct qn_str bytes, struct qn_mentions *m);

#endif
