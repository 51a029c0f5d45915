/* Words of shell text: not a parser, but every word that could name a program or a file comes out. */
#ifndef QN_IMAGE_WORDS_H
#define QN_IMAGE_WORDS_H

#include "base/str.h"

/* Start with {.rest = text}. */
struct qn_shell_words {
    struct qn_str rest;
    bool inside; /* something of the text was taken already: the byte before `rest` is text */
    char quote;  /* the quote that is open, or NUL */
};

/* Takes the next word; false at the end. Blanks, newlines, quotes and the shell's operators
 * ( ; & | < > ( ) { } ` $ = " ' \ , ! ) separate words. Comments, from a "#" that starts a word outside of quotes to
 * the end of the line, are skipped; "$#" and "${#x}" are none. A default in "${X:-/usr/bin/y}" comes out as the word
 * it is. */
bool qn_shell_word(struct qn_shell_words *self, struct qn_str *word);

/* Whether a word of the text is an everyday word that is a program's name, too ("more", "script"), and stands behind
 * another word of a sentence: then it is no command. */
bool qn_shell_spoken(struct qn_str text, struct qn_str word);

#endif
