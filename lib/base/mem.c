#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK 65536u

struct qn_arena_chunk {
    struct qn_arena_chunk *next;
    size_t size;
    size_t used;
    _Alignas(16) unsigned char data[];
};

static void out_of_memory(void)
{
    fputs("quench: out of memory\n", stderr);
    abort();
}

void *qn_xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *qn_xstrdup(const char *s)
{
    char *p = strdup(s);
    if (!p)
        out_of_memory();
    return p;
}

char *qn_xstrndup(struct qn_str s)
{
    char *p = qn_xcalloc(s.n + 1, 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

char *qn_xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *p = NULL;

    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory();
    return p;
}

void qn_free_cleanup(void *pp)
{
    void **p = pp;
    free(*p);
    *p = NULL;
}

int qn_grow(void **arr, size_t *cap, size_t need, size_t size, size_t max, struct qn_err *e)
{
    if (need <= *cap)
        return 0;
    if (need > max)
        return qn_fail(e, QN_E_LIMIT, "more than %zu elements", max);
    size_t want = *cap > max / 2 ? max : *cap * 2;
    if (want < need)
        want = need;
    if (want < 8 && max >= 8)
        want = 8;
    void *grown = reallocarray(*arr, want, size);
    if (!grown)
        return qn_fail(e, QN_E_NOMEM, "no memory for %zu elements of %zu bytes", want, size);
    memset((char *)grown + *cap * size, 0, (want - *cap) * size);
    *arr = grown;
    *cap = want;
    return 0;
}

void qn_arena_init(struct qn_arena *a, size_t limit)
{
    *a = (struct qn_arena){.limit = limit};
}

void qn_arena_fini(struct qn_arena *a)
{
    while (a->chunk) {
        struct qn_arena_chunk *next = a->chunk->next;
        free(a->chunk);
        a->chunk = next;
    }
    a->used = 0;
}

static int arena_chunk(struct qn_arena *a, size_t need, struct qn_err *e)
{
    size_t size = need > ARENA_CHUNK ? need : ARENA_CHUNK;
    struct qn_arena_chunk *c = calloc(1, sizeof *c + size);
    if (!c)
        return qn_fail(e, QN_E_NOMEM, "no memory for an arena chunk of %zu bytes", size);
    c->size = size;
    /* A big object gets a chunk of its own behind the current one, so that the current one's rest stays usable. */
    if (need > ARENA_CHUNK && a->chunk) {
        c->next = a->chunk->next;
        a->chunk->next = c;
    } else {
        c->next = a->chunk;
        a->chunk = c;
    }
    return 0;
}

void *qn_arena_alloc(struct qn_arena *a, size_t n, size_t size, struct qn_err *e)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total) || total > SIZE_MAX / 2) {
        qn_fail(e, QN_E_LIMIT, "allocation too large");
        return NULL;
    }
    total = (total + 15) & ~(size_t)15;
    if (total == 0)
        total = 16;
    if (total > a->limit || a->used > a->limit - total) {
        qn_fail(e, QN_E_LIMIT, "more than %zu bytes of working memory", a->limit);
        return NULL;
    }
    struct qn_arena_chunk *c = a->chunk;
    if (!c || c->size - c->used < total) {
        if (arena_chunk(a, total, e) < 0)
            return NULL;
        c = total > ARENA_CHUNK && a->chunk->next && a->chunk->size - a->chunk->used < total ? a->chunk->next
                                                                                             : a->chunk;
    }
    void *p = c->data + c->used;
    c->used += total;
    a->used += total;
    return p;
}

int qn_arena_str(struct qn_arena *a, struct qn_str s, struct qn_str *out, struct qn_err *e)
{
    char *p = qn_arena_alloc(a, s.n + 1, 1, e);
    if (!p)
        return -1;
    if (s.n)
        memcpy(p, s.p, s.n);
    *out = (struct qn_str){p, s.n};
    return 0;
}

int qn_arena_printf(struct qn_arena *a, struct qn_str *out, struct qn_err *e, const char *fmt, ...)
{
    va_list ap;
    qn_auto_free char *text = NULL;

    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return qn_fail(e, QN_E_NOMEM, "no memory for a message");
    }
    return qn_arena_str(a, (struct qn_str){text, (size_t)n}, out, e);
}
