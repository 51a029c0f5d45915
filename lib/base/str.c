#include "str.h"

#include <stdio.h>

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool qn_str_ieq(struct qn_str a, struct qn_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

int qn_str_cmp(struct qn_str a, struct qn_str b)
{
    size_t n = QN_MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return (a.n > b.n) - (a.n < b.n);
}

ptrdiff_t qn_str_rchr(struct qn_str s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

ptrdiff_t qn_str_find(struct qn_str s, struct qn_str needle)
{
    if (needle.n == 0)
        return 0;
    const char *at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return at ? at - s.p : -1;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct qn_str qn_str_trim(struct qn_str s)
{
    while (s.n && blank(s.p[0]))
        s = qn_str_from(s, 1);
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool qn_str_next(struct qn_str *rest, char sep, struct qn_str *part)
{
    if (rest->n == 0)
        return false;
    ptrdiff_t at = qn_str_chr(*rest, sep);
    if (at < 0) {
        *part = *rest;
        *rest = qn_str_from(*rest, rest->n);
    } else {
        *part = qn_str_head(*rest, (size_t)at);
        *rest = qn_str_from(*rest, (size_t)at + 1);
    }
    return true;
}

bool qn_str_word(struct qn_str *rest, struct qn_str *word)
{
    size_t i = 0;

    while (i < rest->n && blank(rest->p[i]))
        i++;
    size_t start = i;
    while (i < rest->n && !blank(rest->p[i]))
        i++;
    *word = (struct qn_str){rest->p + start, i - start};
    *rest = qn_str_from(*rest, i);
    return word->n > 0;
}

bool qn_str_copy(struct qn_str s, char *out, size_t size)
{
    if (s.n >= size || qn_str_chr(s, '\0') >= 0)
        return false;
    if (s.n)
        memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

/* Length of the well-formed UTF-8 sequence at the front of `s` (RFC 3629 section 4), or 0. */
static size_t utf8_len(struct qn_str s)
{
    const unsigned char *u = (const unsigned char *)s.p;
    if (s.n == 0)
        return 0;
    if (u[0] < 0x80)
        return 1;
    size_t len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || s.n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
        (u[0] == 0xf4 && u[1] > 0x8f))
        return 0;
    return len;
}

bool qn_str_utf8(struct qn_str s)
{
    while (s.n) {
        size_t len = utf8_len(s);
        if (len == 0)
            return false;
        s = qn_str_from(s, len);
    }
    return true;
}

struct qn_quoted qn_quote(struct qn_str s)
{
    struct qn_quoted q;
    size_t out = 0;

    while (s.n) {
        size_t len = utf8_len(s);
        unsigned char c = (unsigned char)s.p[0];
        bool plain = len > 1 || (len == 1 && c >= 0x20 && c != 0x7f && c != '"' && c != '\\');
        if (out + 4 + 4 > sizeof q.s) {
            memcpy(q.s + out, "...", 3);
            out += 3;
            break;
        }
        if (plain) {
            memcpy(q.s + out, s.p, len);
            out += len;
        } else {
            len = 1;
            out += (size_t)snprintf(q.s + out, sizeof q.s - out, "\\x%02x", c);
        }
        s = qn_str_from(s, len);
    }
    q.s[out] = '\0';
    return q;
}
