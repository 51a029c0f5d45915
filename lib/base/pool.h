/* A fixed number of threads that take tasks from one queue, in order. */
#ifndef QN_BASE_POOL_H
#define QN_BASE_POOL_H

#include "err.h"

struct qn_pool;

/* Starts `threads` threads named "`name`"; at most `max_queued` tasks wait. */
int qn_pool_new(const char *name, unsigned threads, size_t max_queued, struct qn_pool **out,
                struct qn_err *e) QN_MUST_CHECK;
/* Queues a task; BUSY when the queue is full or the pool is stopping. Any thread. */
int qn_pool_add(struct qn_pool *pool, void (*run)(void *arg), void *arg, struct qn_err *e) QN_MUST_CHECK;
/* Finishes what is queued, then stops the threads and frees the pool. NULL is fine. */
void qn_pool_free(struct qn_pool *pool);

#endif
