/* Files that are still being written: readers take what is there and wait for the rest. */
#include "base/mem.h"
#include "http_int.h"
#include "http_send.h"

#include <stdlib.h>
#include <unistd.h>

/* A parked request, or a body that is sent. */
struct growing_waiter {
    struct qn_http_waker *waker;
    struct qn_send *send;
    uint64_t enough; /* what must be there to go on */
};

struct qn_http_growing {
    _Atomic unsigned refs;
    int fd;
    pthread_mutex_t lock; /* what follows */
    uint64_t size;        /* QN_HTTP_UNKNOWN: not known yet */
    uint64_t avail;
    bool done, failed;
    struct growing_waiter *waiter;
    size_t waiters, waiter_cap;
};

struct qn_http_growing *qn_http_growing_new(int fd, uint64_t size)
{
    struct qn_http_growing *g = qn_new(struct qn_http_growing);

    atomic_init(&g->refs, 1);
    pthread_mutex_init(&g->lock, NULL);
    g->fd = fd;
    g->size = size;
    return g;
}

struct qn_http_growing *qn_http_growing_ref(struct qn_http_growing *g)
{
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void qn_http_growing_unref(struct qn_http_growing *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    qn_assert(g->waiters == 0 || !g->waiter[0].send); /* such a body holds a reference */
    for (size_t i = 0; i < g->waiters; i++)
        qn_http_waker_drop(g->waiter[i].waker);
    free(g->waiter);
    close(g->fd);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* Wakes who has enough to go on with; under the lock. */
static void growing_wake(struct qn_http_growing *g)
{
    size_t kept = 0;
    bool all = g->done || g->failed || g->avail == g->size;

    for (size_t i = 0; i < g->waiters; i++) {
        struct growing_waiter *w = &g->waiter[i];
        if (!all && g->avail < w->enough)
            g->waiter[kept++] = *w;
        else if (w->send)
            qn_send_kick(w->send);
        else
            qn_http_wake(w->waker);
    }
    g->waiters = kept;
}

void qn_http_growing_advance(struct qn_http_growing *g, uint64_t avail)
{
    pthread_mutex_lock(&g->lock);
    if (avail > g->avail)
        g->avail = avail;
    growing_wake(g);
    pthread_mutex_unlock(&g->lock);
}

void qn_http_growing_finish(struct qn_http_growing *g, uint64_t size)
{
    pthread_mutex_lock(&g->lock);
    g->avail = g->size = size;
    g->done = true;
    growing_wake(g);
    pthread_mutex_unlock(&g->lock);
}

void qn_http_growing_fail(struct qn_http_growing *g)
{
    pthread_mutex_lock(&g->lock);
    g->failed = true;
    growing_wake(g);
    pthread_mutex_unlock(&g->lock);
}

static bool add_waiter(struct qn_http_growing *g, const struct growing_waiter *w)
{
    struct qn_err e;

    if (qn_grow((void **)&g->waiter, &g->waiter_cap, g->waiters + 1, sizeof *g->waiter, 1u << 24, &e) < 0)
        return false;
    g->waiter[g->waiters++] = *w;
    return true;
}

/* Queues the request until `enough` bytes are there; under the lock. */
static void growing_wait(struct qn_http_growing *g, struct qn_http_request *r, uint64_t enough)
{
    struct qn_http_waker *w = qn_http_park(r, INT64_MAX);

    if (w && !add_waiter(g, &(struct growing_waiter){.waker = w, .enough = enough}))
        qn_http_wake(w);
}

int qn_growing_fd(const struct qn_http_growing *g)
{
    return g->fd;
}

uint64_t qn_growing_want(struct qn_http_growing *g, uint64_t want, uint64_t enough, struct qn_send *s, bool *failed)
{
    pthread_mutex_lock(&g->lock);
    uint64_t avail = g->avail;
    if (avail < want && (g->failed || g->done))
        *failed = true;
    else if (avail < want && s && !add_waiter(g, &(struct growing_waiter){.send = qn_send_ref(s), .enough = enough}))
        qn_send_kick(s);
    pthread_mutex_unlock(&g->lock);
    return avail;
}

ssize_t qn_growing_read(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n)
{
    struct qn_http_growing *g = ctx;
    uint64_t ready;
    ssize_t result = QN_HTTP_AGAIN;

    pthread_mutex_lock(&g->lock);
    ready = g->avail > off ? g->avail - off : 0;
    if (ready == 0 && g->failed)
        result = QN_HTTP_ABORT;
    else if (ready == 0 && g->done)
        result = QN_HTTP_END;
    else if (ready == 0)
        growing_wait(g, r, off + n); /* what the library asks for, and never more than the response has left */
    pthread_mutex_unlock(&g->lock);
    if (ready == 0)
        return result;
    ssize_t got = pread(g->fd, buf, (size_t)QN_MIN(ready, (uint64_t)n), (off_t)off);
    return got > 0 ? got : QN_HTTP_ABORT;
}

static void growing_free(void *ctx)
{
    qn_http_growing_unref(ctx);
}

void qn_http_respond_growing(struct qn_http_request *r, const struct qn_http_field *fields, struct qn_http_growing *g)
{
    pthread_mutex_lock(&g->lock);
    uint64_t size = g->size;
    pthread_mutex_unlock(&g->lock);
    qn_http_respond_source(r, MHD_HTTP_OK, fields, size,
                           &(struct qn_http_source){qn_growing_read, growing_free, qn_http_growing_ref(g)});
}
