/* Parked requests: wakers, their deadlines, and the thread that watches both and the clients behind them. */
#include "base/clock.h"
#include "base/mem.h"
#include "http_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SCAN_MS 500

/* --- heap of deadlines, under the lock ---------------------------------------------------------------------------- */

static void place(struct qn_http *h, size_t at, struct qn_http_waker *w)
{
    h->heap[at] = w;
    w->heap_at = at;
}

static void sift_up(struct qn_http *h, size_t at, struct qn_http_waker *w)
{
    while (at > 0 && h->heap[(at - 1) / 2]->deadline > w->deadline) {
        place(h, at, h->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(h, at, w);
}

static void sift_down(struct qn_http *h, size_t at, struct qn_http_waker *w)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->heap_n)
            break;
        if (child + 1 < h->heap_n && h->heap[child + 1]->deadline < h->heap[child]->deadline)
            child++;
        if (h->heap[child]->deadline >= w->deadline)
            break;
        place(h, at, h->heap[child]);
        at = child;
    }
    place(h, at, w);
}

/* Whether the new deadline is the first. */
static bool heap_add(struct qn_http *h, struct qn_http_waker *w)
{
    struct qn_err e;

    int r = qn_grow((void **)&h->heap, &h->heap_cap, h->heap_n + 1, sizeof *h->heap, SIZE_MAX / sizeof *h->heap, &e);
    qn_assert(r == 0);
    sift_up(h, h->heap_n++, w);
    return w->heap_at == 0;
}

static void heap_del(struct qn_http *h, struct qn_http_waker *w)
{
    size_t at = w->heap_at;

    if (at == SIZE_MAX)
        return;
    w->heap_at = SIZE_MAX;
    struct qn_http_waker *last = h->heap[--h->heap_n];
    if (last == w)
        return;
    if (at > 0 && h->heap[(at - 1) / 2]->deadline > last->deadline)
        sift_up(h, at, last);
    else
        sift_down(h, at, last);
}

/* --- wakers ------------------------------------------------------------------------------------------------------- */

void qn_http_unref(struct qn_http *h)
{
    if (atomic_fetch_sub(&h->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h->heap);
    free(h->table);
    free(h);
}

static void waker_unref(struct qn_http_waker *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    struct qn_http *h = w->h;
    free(w);
    qn_http_unref(h);
}

/* Cuts waker and request apart; under the lock. The request's reference is the caller's to give back. */
static void detach(struct qn_http_waker *w)
{
    struct qn_http *h = w->h;

    heap_del(h, w);
    w->r->conn->waker = NULL;
    w->r = NULL;
    atomic_fetch_sub(&h->stats.parked, 1);
}

/* Ends a park and lets the library go on; under the lock. */
static void resume(struct qn_http_waker *w)
{
    struct MHD_Connection *mhd = w->r->mhd;

    if (w->r->phase == QN_PHASE_ANSWERED)
        qn_conn_rate_start(w->r->conn);
    detach(w);
    MHD_resume_connection(mhd);
    /* Never the last reference: the one who parks holds another, or gave it back, then this frees it. */
    waker_unref(w);
}

/* Arranges to hear of a client that leaves. */
static void watch(struct qn_http *h, struct qn_conn *c)
{
    struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLONESHOT,
                             .data.u64 = (uint64_t)c->generation << 32 | (uint32_t)c->fd};

    if (epoll_ctl(h->control_epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0 && errno == ENOENT)
        (void)epoll_ctl(h->control_epoll, EPOLL_CTL_ADD, c->fd, &ev);
}

static struct qn_http_waker *park(struct qn_http_request *r, int64_t deadline, bool sending)
{
    struct qn_http *h = r->h;

    qn_http_unpark(r, true);
    if (atomic_load(&h->stopping))
        return NULL;
    struct qn_http_waker *w = qn_new(struct qn_http_waker);
    atomic_init(&w->refs, 2);
    atomic_fetch_add(&h->refs, 1);
    w->h = h;
    w->deadline = deadline;
    w->heap_at = SIZE_MAX;
    w->sending = sending;
    bool first = false;
    pthread_mutex_lock(&h->lock);
    w->r = r;
    r->parked = true;
    r->timed_out = false;
    r->conn->waker = w;
    if (!sending)
        qn_conn_rate_stop(r->conn);
    atomic_fetch_add(&h->stats.parked, 1);
    MHD_suspend_connection(r->mhd);
    if (deadline != NO_DEADLINE)
        first = heap_add(h, w);
    if (!sending)
        watch(h, r->conn);
    pthread_mutex_unlock(&h->lock);
    if (first)
        qn_http_control_kick(h);
    return w;
}

struct qn_http_waker *qn_http_park(struct qn_http_request *r, int64_t deadline)
{
    return park(r, deadline, false);
}

struct qn_http_waker *qn_http_park_sending(struct qn_http_request *r)
{
    return park(r, NO_DEADLINE, true);
}

void qn_http_wake(struct qn_http_waker *w)
{
    struct qn_http *h = w->h;

    atomic_fetch_add(&h->refs, 1);
    pthread_mutex_lock(&h->lock);
    if (w->r)
        resume(w);
    pthread_mutex_unlock(&h->lock);
    waker_unref(w);
    qn_http_unref(h);
}

void qn_http_waker_drop(struct qn_http_waker *w)
{
    waker_unref(w);
}

void qn_http_unpark(struct qn_http_request *r, bool go_on)
{
    struct qn_http *h = r->h;

    pthread_mutex_lock(&h->lock);
    struct qn_http_waker *w = r->conn->waker;
    if (w && go_on) {
        resume(w);
    } else if (w) {
        detach(w);
        waker_unref(w);
    }
    pthread_mutex_unlock(&h->lock);
}

void qn_http_wake_all(struct qn_http *h)
{
    pthread_mutex_lock(&h->lock);
    for (struct qn_conn *c = h->conns; c; c = c->next)
        if (c->waker) {
            c->waker->r->gone = true;
            resume(c->waker);
        }
    pthread_mutex_unlock(&h->lock);
}

/* --- control thread ----------------------------------------------------------------------------------------------- */

void qn_http_control_kick(struct qn_http *h)
{
    uint64_t one = 1;
    ssize_t n = write(h->control_fd, &one, sizeof one);
    (void)n;
}

/* Wakes what is due; how long to sleep until the next deadline. */
static int expire(struct qn_http *h)
{
    int64_t now = qn_time_mono_ms(), wait = SCAN_MS;

    pthread_mutex_lock(&h->lock);
    while (h->heap_n > 0 && h->heap[0]->deadline <= now) {
        h->heap[0]->r->timed_out = true;
        resume(h->heap[0]);
    }
    if (h->heap_n > 0)
        wait = QN_MIN(wait, h->heap[0]->deadline - now);
    pthread_mutex_unlock(&h->lock);
    return (int)wait;
}

/* A client has left, or the kick. */
static void event(struct qn_http *h, const struct epoll_event *ev)
{
    uint64_t count;
    int fd = (int)(ev->data.u64 & 0xffffffffu);

    if (fd == h->control_fd) {
        ssize_t n = read(fd, &count, sizeof count);
        (void)n;
        return;
    }
    pthread_mutex_lock(&h->lock);
    struct qn_conn *c = (size_t)fd < h->table_size ? h->table[fd] : NULL;
    if (c && c->generation == (uint32_t)(ev->data.u64 >> 32) && c->waker && !c->waker->sending) {
        c->waker->r->gone = true;
        resume(c->waker);
    }
    pthread_mutex_unlock(&h->lock);
}

void *qn_http_control(void *arg)
{
    struct qn_http *h = arg;
    struct epoll_event ev[64];
    int64_t scanned = 0;

    while (!atomic_load(&h->stopping)) {
        int n = epoll_wait(h->control_epoll, ev, QN_ARRAY_LEN(ev), expire(h));
        for (int i = 0; i < n; i++)
            event(h, &ev[i]);
        int64_t now = qn_time_mono_ms();
        if (now - scanned >= SCAN_MS) {
            scanned = now;
            qn_conn_reap(h, now);
        }
    }
    return NULL;
}
