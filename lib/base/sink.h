/* A place where a stream of bytes goes: the only kind of callback that crosses floors upwards. */
#ifndef QN_BASE_SINK_H
#define QN_BASE_SINK_H

#include "err.h"

/* `write` takes all `n` bytes or fails (-1, `e` filled), which ends the stream. */
struct qn_sink {
    int (*write)(void *ctx, const void *p, size_t n, struct qn_err *e);
    void *ctx;
};

static inline int qn_sink_write(const struct qn_sink *s, const void *p, size_t n, struct qn_err *e)
{
    return s->write(s->ctx, p, n, e);
}

#endif
