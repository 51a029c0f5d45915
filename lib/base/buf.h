/* Growable byte buffer that must be told its ceiling. */
#ifndef QN_BASE_BUF_H
#define QN_BASE_BUF_H

#include "err.h"
#include "str.h"

#include <stdint.h>

struct qn_buf {
    char *p; /* NUL-terminated when not NULL */
    size_t n;
    size_t cap;
    size_t max; /* ceiling of n */
};

/* Starts an empty buffer of at most `max` bytes; allocates nothing yet. */
void qn_buf_init(struct qn_buf *b, size_t max);
/* Frees; safe on a zeroed buffer. */
void qn_buf_fini(struct qn_buf *b);
#define qn_auto_buf QN_CLEANUP(qn_buf_fini)

/* Appends bytes; LIMIT beyond the ceiling, NOMEM when there is no memory. The buffer is unchanged on failure. */
int qn_buf_put(struct qn_buf *b, const void *p, size_t n, struct qn_err *e) QN_MUST_CHECK;
int qn_buf_str(struct qn_buf *b, struct qn_str s, struct qn_err *e) QN_MUST_CHECK;
int qn_buf_c(struct qn_buf *b, const char *s, struct qn_err *e) QN_MUST_CHECK;
/* Appends `n` zero bytes. */
int qn_buf_zero(struct qn_buf *b, size_t n, struct qn_err *e) QN_MUST_CHECK;
/* Appends printf text. */
int qn_buf_printf(struct qn_buf *b, struct qn_err *e, const char *fmt, ...) QN_PRINTF(3, 4) QN_MUST_CHECK;
/* Appends little-endian integers: the encoding of worker messages and layer facts. */
int qn_buf_u8(struct qn_buf *b, uint8_t v, struct qn_err *e) QN_MUST_CHECK;
int qn_buf_u32(struct qn_buf *b, uint32_t v, struct qn_err *e) QN_MUST_CHECK;
int qn_buf_u64(struct qn_buf *b, uint64_t v, struct qn_err *e) QN_MUST_CHECK;
/* Appends a 32-bit length and the bytes. */
int qn_buf_lstr(struct qn_buf *b, struct qn_str s, struct qn_err *e) QN_MUST_CHECK;
/* Makes room for `n` more bytes and gives where they go; the caller then adds to b->n. */
int qn_buf_reserve(struct qn_buf *b, size_t n, char **at, struct qn_err *e) QN_MUST_CHECK;
/* Drops the content, keeps the memory. */
void qn_buf_clear(struct qn_buf *b);
/* The content as a view, valid until the next change. */
struct qn_str qn_buf_view(const struct qn_buf *b);
/* Moves the content out as a heap string (NUL-terminated); the buffer is empty afterwards. Never NULL. */
char *qn_buf_steal(struct qn_buf *b);

#endif
