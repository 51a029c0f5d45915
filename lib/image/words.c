#include "words.h"

#include "base/compiler.h"

static bool separates(char c)
{
    return (unsigned char)c <= ' ' || memchr(";&|<>(){}`$=\"'\\,!", c, 17) != NULL;
}

/* Whether a "#" behind this byte starts a comment. */
static bool before_comment(char c)
{
    return (unsigned char)c <= ' ' || memchr(";&|()", c, 5) != NULL;
}

/* Skips what stands between words. */
static void skip(struct qn_shell_words *self)
{
    struct qn_str *s = &self->rest;

    while (s->n) {
        char c = s->p[0];
        bool comment = c == '#' && !self->quote && (!self->inside || before_comment(s->p[-1]));
        if (comment) {
            ptrdiff_t eol = qn_str_chr(*s, '\n');
            *s = qn_str_from(*s, eol < 0 ? s->n : (size_t)eol);
            self->inside = true;
            continue;
        }
        if (!separates(c))
            return;
        self->inside = true;
        if (c == '\\' && self->quote != '\'') {
            *s = qn_str_from(*s, s->n > 1 && separates(s->p[1]) ? 2 : 1);
            continue;
        }
        if (c == self->quote)
            self->quote = '\0';
        else if (!self->quote && (c == '"' || c == '\''))
            self->quote = c;
        *s = qn_str_from(*s, 1);
    }
}

bool qn_shell_word(struct qn_shell_words *self, struct qn_str *word)
{
    size_t n = 0;

    skip(self);
    struct qn_str s = self->rest;
    while (n < s.n && !separates(s.p[n]))
        n++;
    *word = qn_str_head(s, n);
    self->rest = qn_str_from(s, n);
    self->inside = self->inside || n > 0;
    /* "X:-/bin/y" of a parameter expansion. */
    ptrdiff_t alt = qn_str_find(*word, QN_STR(":-"));
    if (alt >= 0 && (size_t)alt + 2 < word->n)
        *word = qn_str_from(*word, (size_t)alt + 2);
    return word->n > 0;
}

bool qn_shell_spoken(struct qn_str text, struct qn_str word)
{
    static const char *const words[] = {"script", "more", "w",    "last", "look",  "users", "write", "wall", "column",
                                        "from",   "size", "link", "join", "split", "reset", "file",  "time", "who"};
    static const char *const starters[] = {"then", "do", "else", "exec",  "command", "env",   "xargs",
                                           "sudo", "if", "nice", "nohup", "while",   "until", "elif"};
    const char *p = word.p, *end;
    bool everyday = false;

    for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
        everyday = everyday || qn_str_eq_c(word, words[i]);
    while (everyday && p > text.p && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    if (!everyday || p == word.p || p == text.p)
        return false;
    for (end = p; p > text.p && (unsigned char)p[-1] > ' ' && !memchr(";&|(){}`\"'", p[-1], 10);)
        p--;
    struct qn_str before = qn_str_n(p, (size_t)(end - p));
    for (size_t i = 0; i < QN_ARRAY_LEN(starters); i++)
        if (qn_str_eq_c(before, starters[i]))
            return false;
    return before.n && before.p[0] != '-' && before.p[before.n - 1] != '=' && before.p[0] != '!';
}
