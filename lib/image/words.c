#include "words.h"

static bool separates(char c)
{
    return (unsigned char)c <= ' ' || memchr(";&|<>(){}`$=\"'\\,!", c, 18) != NULL;
}

bool qn_shell_word(struct qn_str *rest, struct qn_str *word)
{
    struct qn_str s = *rest;

    for (;;) {
        size_t i = 0;
        while (i < s.n && separates(s.p[i]))
            i++;
        s = qn_str_from(s, i);
        if (s.n == 0 || s.p[0] != '#')
            break;
        ptrdiff_t eol = qn_str_chr(s, '\n');
        s = qn_str_from(s, eol < 0 ? s.n : (size_t)eol);
    }
    size_t n = 0;
    while (n < s.n && !separates(s.p[n]))
        n++;
    *word = qn_str_head(s, n);
    *rest = qn_str_from(s, n);
    /* "X:-/bin/y" of a parameter expansion. */
    ptrdiff_t alt = qn_str_find(*word, QN_STR(":-"));
    if (alt >= 0 && (size_t)alt + 2 < word->n)
        *word = qn_str_from(*word, (size_t)alt + 2);
    return word->n > 0;
}
