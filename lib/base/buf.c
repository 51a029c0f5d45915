#include "buf.h"
#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void qn_buf_init(struct qn_buf *b, size_t max)
{
    *b = (struct qn_buf){.max = max};
}

void qn_buf_fini(struct qn_buf *b)
{
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

int qn_buf_reserve(struct qn_buf *b, size_t n, char **at, struct qn_err *e)
{
    if (n > b->max || b->n > b->max - n)
        return qn_fail(e, QN_E_LIMIT, "more than %zu bytes", b->max);
    size_t need = b->n + n + 1;
    if (need > b->cap) {
        size_t want = b->cap * 2;
        if (want < 256)
            want = 256;
        if (want > b->max)
            want = b->max + 1;
        if (want < need)
            want = need;
        char *grown = realloc(b->p, want);
        if (!grown)
            return qn_fail(e, QN_E_NOMEM, "no memory for a buffer of %zu bytes", want);
        b->p = grown;
        b->cap = want;
    }
    b->p[b->n] = '\0';
    *at = b->p + b->n;
    return 0;
}

int qn_buf_put(struct qn_buf *b, const void *p, size_t n, struct qn_err *e)
{
    char *at;

    if (qn_buf_reserve(b, n, &at, e) < 0)
        return -1;
    if (n)
        memcpy(at, p, n);
    b->n += n;
    b->p[b->n] = '\0';
    return 0;
}

int qn_buf_str(struct qn_buf *b, struct qn_str s, struct qn_err *e)
{
    return qn_buf_put(b, s.p, s.n, e);
}

int qn_buf_c(struct qn_buf *b, const char *s, struct qn_err *e)
{
    return qn_buf_put(b, s, strlen(s), e);
}

int qn_buf_zero(struct qn_buf *b, size_t n, struct qn_err *e)
{
    char *at;

    if (qn_buf_reserve(b, n, &at, e) < 0)
        return -1;
    memset(at, 0, n);
    b->n += n;
    b->p[b->n] = '\0';
    return 0;
}

int qn_buf_printf(struct qn_buf *b, struct qn_err *e, const char *fmt, ...)
{
    va_list ap;
    qn_auto_free char *text = NULL;

    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return qn_fail(e, QN_E_NOMEM, "no memory for text");
    }
    return qn_buf_put(b, text, (size_t)n, e);
}

int qn_buf_u8(struct qn_buf *b, uint8_t v, struct qn_err *e)
{
    return qn_buf_put(b, &v, 1, e);
}

int qn_buf_u32(struct qn_buf *b, uint32_t v, struct qn_err *e)
{
    uint8_t raw[4];
    for (unsigned i = 0; i < 4; i++)
        raw[i] = (uint8_t)(v >> (8 * i));
    return qn_buf_put(b, raw, sizeof raw, e);
}

int qn_buf_u64(struct qn_buf *b, uint64_t v, struct qn_err *e)
{
    uint8_t raw[8];
    for (unsigned i = 0; i < 8; i++)
        raw[i] = (uint8_t)(v >> (8 * i));
    return qn_buf_put(b, raw, sizeof raw, e);
}

int qn_buf_lstr(struct qn_buf *b, struct qn_str s, struct qn_err *e)
{
    if (s.n > UINT32_MAX)
        return qn_fail(e, QN_E_LIMIT, "string of %zu bytes", s.n);
    if (qn_buf_u32(b, (uint32_t)s.n, e) < 0)
        return -1;
    return qn_buf_put(b, s.p, s.n, e);
}

void qn_buf_clear(struct qn_buf *b)
{
    b->n = 0;
    if (b->p)
        b->p[0] = '\0';
}

struct qn_str qn_buf_view(const struct qn_buf *b)
{
    return (struct qn_str){b->p ? b->p : "", b->n};
}

char *qn_buf_steal(struct qn_buf *b)
{
    char *p = b->p ? b->p : qn_xstrdup("");
    b->p = NULL;
    b->n = b->cap = 0;
    return p;
}
