/* Words of shell text: not a parser, but every word that could name a program or a file comes out. */
#ifndef QN_IMAGE_WORDS_H
#define QN_IMAGE_WORDS_H

#include "base/str.h"

/* Takes the next word off the front of `*rest`; false at the end. Blanks, newlines, quotes and the shell's operators
 * ( ; & | < > ( ) { } ` $ = " ' \ , ) separate words, comments from "#" at the start of a word to the end of the line
 * are skipped. A default in "${X:-/usr/bin/y}" comes out as the word it is. */
bool qn_shell_word(struct qn_str *rest, struct qn_str *word);

#endif
