/* String views: pointer and length, not NUL-terminated, never owned. */
#ifndef QN_BASE_STR_H
#define QN_BASE_STR_H

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct qn_str {
    const char *p;
    size_t n;
};

/* A view of a literal. */
#define QN_STR(lit) ((struct qn_str){(lit), sizeof(lit) - 1})
/* For printf: printf("%.*s", QN_FMT(s)). Untrusted text goes through qn_quote() first. */
#define QN_FMT(s) (int)(s).n, (s).p

/* A view of a C string; NULL gives the empty view. */
static inline struct qn_str qn_str_c(const char *s)
{
    return s ? (struct qn_str){s, strlen(s)} : (struct qn_str){"", 0};
}

/* A view of bytes. */
static inline struct qn_str qn_str_n(const void *p, size_t n)
{
    return (struct qn_str){p, n};
}

static inline bool qn_str_eq(struct qn_str a, struct qn_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
/* `b` is not NULL. */
static inline bool qn_str_eq_c(struct qn_str a, const char *b)
{
    return (a.n == 0 || a.p[0] == b[0]) && qn_str_eq(a, qn_str_c(b));
}
/* Equal without regard to the case of ASCII letters. */
bool qn_str_ieq(struct qn_str a, struct qn_str b);
/* Bytewise order like memcmp, a prefix before its extension. */
int qn_str_cmp(struct qn_str a, struct qn_str b);
static inline bool qn_str_starts(struct qn_str s, struct qn_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline bool qn_str_ends(struct qn_str s, struct qn_str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}
/* Offset of the first byte `c`, or -1. */
static inline ptrdiff_t qn_str_chr(struct qn_str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}
/* Offset of the last byte `c`, or -1. */
ptrdiff_t qn_str_rchr(struct qn_str s, char c);
/* Offset of the first occurrence of `needle`, or -1. */
ptrdiff_t qn_str_find(struct qn_str s, struct qn_str needle);
/* The part from `from` (clamped) to the end. */
static inline struct qn_str qn_str_from(struct qn_str s, size_t from)
{
    return from < s.n ? (struct qn_str){s.p + from, s.n - from} : (struct qn_str){s.p + s.n, 0};
}
/* The first `n` bytes (clamped). */
static inline struct qn_str qn_str_head(struct qn_str s, size_t n)
{
    return (struct qn_str){s.p, n < s.n ? n : s.n};
}
/* Without leading and trailing blanks, tabs, carriage returns and newlines. */
struct qn_str qn_str_trim(struct qn_str s);
/* Takes the part up to the next `sep` (or the end) off the front of `*rest`; false when nothing is left.
 * A trailing separator does not yield an empty last part. */
bool qn_str_next(struct qn_str *rest, char sep, struct qn_str *part);
/* Takes the next run of non-blank bytes off the front of `*rest`; false when there is none. */
bool qn_str_word(struct qn_str *rest, struct qn_str *word);
/* Copies into `out` (NUL-terminated); false when it does not fit or holds a NUL byte. */
bool qn_str_copy(struct qn_str s, char *out, size_t size);
/* Whether the bytes are well-formed UTF-8 (RFC 3629). */
bool qn_str_utf8(struct qn_str s);

/* Room for a quoted view of untrusted text; longer text is cut with "...". */
struct qn_quoted {
    char s[160];
};
/* Makes untrusted text safe to print: control bytes, quotes and bytes that are not UTF-8 become \xNN. */
struct qn_quoted qn_quote(struct qn_str s);
/* For printf("%s", QN_Q(view)): quoted text that lives until the end of the full expression. */
#define QN_Q(view) (qn_quote(view).s)

#endif
