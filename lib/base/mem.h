/* Memory: small fixed allocations abort when there is no memory; sizes that come from input go through an
 * arena or qn_grow(), which have a ceiling and fail with LIMIT. */
#ifndef QN_BASE_MEM_H
#define QN_BASE_MEM_H

#include "err.h"
#include "str.h"

#include <stdint.h>

/* Zeroed memory for `n` objects of `size` bytes; aborts on overflow or when there is none. Free with free(). */
void *qn_xcalloc(size_t n, size_t size);
/* A copy of a C string; aborts when there is no memory. */
char *qn_xstrdup(const char *s);
/* A NUL-terminated heap copy of a view; aborts when there is no memory. */
char *qn_xstrndup(struct qn_str s);
/* printf into a fresh heap string; aborts when there is no memory. */
char *qn_xasprintf(const char *fmt, ...) QN_PRINTF(1, 2);

#define qn_new(type) ((type *)qn_xcalloc(1, sizeof(type)))

/* Cleanup helper: `qn_auto_free char *s = ...;` */
void qn_free_cleanup(void *pp);
#define qn_auto_free QN_CLEANUP(qn_free_cleanup)

/* Makes room for at least `need` elements of `size` bytes in the heap array `*arr` with capacity `*cap`
 * (elements), never more than `max` elements. New memory is zeroed. LIMIT beyond `max`, NOMEM when there is none. */
int qn_grow(void **arr, size_t *cap, size_t need, size_t size, size_t max, struct qn_err *e) QN_MUST_CHECK;

/* Bump allocator with a ceiling: everything is freed at once. */
struct qn_arena {
    struct qn_arena_chunk *chunk;
    size_t used;  /* bytes handed out in all chunks */
    size_t limit; /* ceiling of `used` */
};

/* Starts an empty arena that hands out at most `limit` bytes. Allocates nothing yet. */
void qn_arena_init(struct qn_arena *a, size_t limit);
/* Frees all that was handed out. Safe on a zeroed arena. */
void qn_arena_fini(struct qn_arena *a);
/* Zeroed, 16-byte aligned memory that lives as long as the arena; NULL and LIMIT or NOMEM in `e` on failure. */
void *qn_arena_alloc(struct qn_arena *a, size_t n, size_t size, struct qn_err *e) QN_MUST_CHECK;
/* Copies a view into the arena (a NUL follows the copy). */
int qn_arena_str(struct qn_arena *a, struct qn_str s, struct qn_str *out, struct qn_err *e) QN_MUST_CHECK;
/* printf into the arena. */
int qn_arena_printf(struct qn_arena *a, struct qn_str *out, struct qn_err *e, const char *fmt, ...)
    QN_PRINTF(4, 5) QN_MUST_CHECK;

#define qn_auto_arena QN_CLEANUP(qn_arena_fini)

#endif
