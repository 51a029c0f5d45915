/* Bounded reader over foreign bytes. A read past the end yields zeros and sets `bad`, which stays set;
 * callers check it once at the end. Offsets are compared as integers, never as pointers. */
#ifndef QN_BASE_CUR_H
#define QN_BASE_CUR_H

#include "str.h"

#include <stdint.h>

struct qn_cur {
    const uint8_t *p;
    size_t n; /* bytes left */
    bool bad; /* some read went past the end */
};

static inline struct qn_cur qn_cur_init(const void *p, size_t n)
{
    return (struct qn_cur){p, n, false};
}

/* Takes `n` bytes; NULL and `bad` when fewer are left. */
static inline const uint8_t *qn_cur_take(struct qn_cur *c, size_t n)
{
    if (c->bad || n > c->n) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *at = c->p;
    c->p += n;
    c->n -= n;
    return at;
}

/* A sub-reader over [off, off+len) of what is left, without moving; `bad` in the result when outside. */
static inline struct qn_cur qn_cur_at(const struct qn_cur *c, uint64_t off, uint64_t len)
{
    if (c->bad || off > c->n || len > c->n - off)
        return (struct qn_cur){NULL, 0, true};
    return (struct qn_cur){c->p + off, (size_t)len, false};
}

static inline uint64_t qn_cur_le(struct qn_cur *c, unsigned bytes)
{
    const uint8_t *at = qn_cur_take(c, bytes);
    uint64_t v = 0;
    for (unsigned i = 0; at && i < bytes; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

static inline uint64_t qn_cur_be(struct qn_cur *c, unsigned bytes)
{
    const uint8_t *at = qn_cur_take(c, bytes);
    uint64_t v = 0;
    for (unsigned i = 0; at && i < bytes; i++)
        v = v << 8 | at[i];
    return v;
}

static inline uint8_t qn_cur_u8(struct qn_cur *c)
{
    return (uint8_t)qn_cur_le(c, 1);
}

static inline uint32_t qn_cur_u32(struct qn_cur *c)
{
    return (uint32_t)qn_cur_le(c, 4);
}

static inline uint64_t qn_cur_u64(struct qn_cur *c)
{
    return qn_cur_le(c, 8);
}

/* Reads what qn_buf_lstr() wrote; the view borrows the input. */
static inline struct qn_str qn_cur_lstr(struct qn_cur *c)
{
    uint32_t n = qn_cur_u32(c);
    const uint8_t *at = qn_cur_take(c, n);
    return at ? (struct qn_str){(const char *)at, n} : (struct qn_str){"", 0};
}

#endif
