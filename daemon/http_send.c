#include "http_send.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define AT_ONCE (256u << 10) /* what the library's thread sends itself before it hands a body over */
#define TURN    (2u << 20)   /* what one body may send before the others have their turn */
#define ENOUGH  (256u << 10) /* what must have arrived to wake a body that waits for upstream */

/* One thread with the bodies that it sends. */
struct lane {
    struct qn_sender *sender;
    pthread_t thread;
    bool runs;
    int epoll, event;
    pthread_mutex_t lock;  /* what follows */
    struct qn_send **slot; /* by socket: what this lane watches */
    size_t slots;
    struct qn_send *ready; /* to be looked at without an event; each with a reference */
    struct qn_send **ready_end;
    bool stopped;
};

struct qn_sender {
    _Atomic unsigned refs; /* the owner's and one a body */
    _Atomic unsigned next;
    unsigned lanes;
    struct lane lane[];
};

enum state { IDLE, SENDING, DONE, FAILED };

struct qn_send {
    _Atomic unsigned refs;
    struct lane *lane;
    struct qn_send *next; /* in lane.ready, under the lane's lock */
    bool queued;
    pthread_mutex_t lock; /* what follows; taken before the lane's and the growing file's */
    enum state state;
    struct qn_http_request *r; /* library's thread only */
    struct qn_conn *conn;      /* not touched but in SENDING */
    struct qn_http_waker *waker;
    struct qn_http_growing *growing;
    int socket, file;
    uint32_t generation;
    uint64_t base, off, end; /* in the file: first byte, next one, and behind the last */
    bool waits;              /* for the file to grow */
    _Atomic bool registered; /* with the growing file */
    bool metered;
};

/* --- references --------------------------------------------------------------------------------------------------- */

static void sender_unref(struct qn_sender *s)
{
    if (atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (unsigned i = 0; i < s->lanes; i++) {
        struct lane *l = &s->lane[i];
        if (l->epoll >= 0)
            close(l->epoll);
        if (l->event >= 0)
            close(l->event);
        free(l->slot);
        pthread_mutex_destroy(&l->lock);
    }
    free(s);
}

struct qn_send *qn_send_ref(struct qn_send *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

static void send_unref(struct qn_send *s)
{
    if (atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    qn_http_growing_unref(s->growing);
    if (s->file >= 0)
        close(s->file);
    pthread_mutex_destroy(&s->lock);
    sender_unref(s->lane->sender);
    free(s);
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

/* Puts a body, with the caller's reference, where its lane looks next; `wake` it unless this is its thread. */
static void make_ready(struct qn_send *s, bool wake)
{
    struct lane *l = s->lane;
    uint64_t one = 1;

    pthread_mutex_lock(&l->lock);
    bool first = !l->ready, add = !s->queued && !l->stopped;
    if (add) {
        s->queued = true;
        s->next = NULL;
        *l->ready_end = s;
        l->ready_end = &s->next;
    }
    pthread_mutex_unlock(&l->lock);
    if (!add) {
        send_unref(s);
    } else if (first && wake) {
        ssize_t n = write(l->event, &one, sizeof one);
        (void)n;
    }
}

void qn_send_kick(struct qn_send *s)
{
    atomic_store(&s->registered, false);
    make_ready(s, true);
}

static void slot_set(struct lane *l, int fd, struct qn_send *s)
{
    if ((size_t)fd >= l->slots) {
        size_t n = QN_MAX((size_t)fd + 1, l->slots * 2);
        struct qn_send **grown = qn_xcalloc(n, sizeof(struct qn_send *));
        if (l->slots)
            memcpy(grown, l->slot, l->slots * sizeof(struct qn_send *));
        free(l->slot);
        l->slot = grown;
        l->slots = n;
    }
    l->slot[fd] = s;
}

/* Starts to watch the socket; under the body's lock. Writable sockets are reported at once. */
static bool attach(struct qn_send *s)
{
    struct lane *l = s->lane;
    struct epoll_event ev = {.events = EPOLLOUT | EPOLLET,
                             .data.u64 = (uint64_t)s->generation << 32 | (uint32_t)s->socket};

    pthread_mutex_lock(&l->lock);
    slot_set(l, s->socket, qn_send_ref(s));
    pthread_mutex_unlock(&l->lock);
    s->state = SENDING;
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->socket, &ev) == 0;
}

/* The socket is the library's again; under the body's lock, which holds a reference. */
static void detach(struct qn_send *s, enum state state)
{
    struct lane *l = s->lane;

    (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->socket, NULL);
    s->state = state;
    pthread_mutex_lock(&l->lock);
    bool held = l->slot[s->socket] == s;
    if (held)
        l->slot[s->socket] = NULL;
    pthread_mutex_unlock(&l->lock);
    if (held)
        send_unref(s);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* Sends up to `most` bytes: SENDING when the socket or the file has to be waited for (or `*again`: there is more to
 * send right now). Under the body's lock. */
static enum state push(struct qn_send *s, uint64_t most, bool *again)
{
    uint64_t stop = s->off + most;

    *again = false;
    while (s->off < s->end) {
        uint64_t ready = s->end;
        bool failed = false;
        if (s->growing) {
            bool listed = atomic_exchange(&s->registered, true);
            ready =
                qn_growing_want(s->growing, s->off + 1, QN_MIN(s->off + ENOUGH, s->end), listed ? NULL : s, &failed);
            s->waits = ready <= s->off;
            if (!s->waits && !listed)
                atomic_store(&s->registered, false);
        }
        if (failed)
            return FAILED;
        if (ready <= s->off)
            return SENDING;
        if (s->off >= stop) {
            *again = true;
            return SENDING;
        }
        uint64_t n = QN_MIN(QN_MIN(ready, s->end), stop) - s->off;
        off_t at = (off_t)s->off;
        ssize_t sent = sendfile(s->socket, s->file, &at, (size_t)n);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return SENDING;
        if (sent <= 0)
            return FAILED;
        s->off += (uint64_t)sent;
        if (!s->metered)
            qn_conn_progress(s->conn, (uint64_t)sent);
        /* The socket is full: an event tells when it is not. */
        if ((uint64_t)sent < n)
            return SENDING;
    }
    return DONE;
}

/* The check against slow peers runs while it is the peer that is waited for. */
static void meter(struct qn_send *s, bool was_waiting)
{
    if (s->waits && !was_waiting) {
        qn_conn_rate_stop(s->conn);
    } else if (!s->waits && was_waiting) {
        qn_conn_rate_start(s->conn);
        s->metered = qn_conn_meter(s->conn);
    }
}

/* A turn of a body, on its lane's thread. */
static void turn(struct qn_send *s)
{
    struct qn_http_waker *waker = NULL;
    bool again = false;

    pthread_mutex_lock(&s->lock);
    if (s->state == SENDING) {
        bool waited = s->waits;
        enum state now = push(s, TURN, &again);
        meter(s, waited);
        if (now != SENDING) {
            detach(s, now);
            waker = s->waker;
            s->waker = NULL;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (waker)
        qn_http_wake(waker);
    if (again)
        make_ready(qn_send_ref(s), false);
}

static struct qn_send *take_ready(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    struct qn_send *list = l->ready;
    l->ready = NULL;
    l->ready_end = &l->ready;
    for (struct qn_send *s = list; s; s = s->next)
        s->queued = false;
    pthread_mutex_unlock(&l->lock);
    return list;
}

/* What an event is about, with a reference. */
static struct qn_send *of_event(struct lane *l, const struct epoll_event *ev)
{
    uint32_t fd = (uint32_t)(ev->data.u64 & 0xffffffffu);

    pthread_mutex_lock(&l->lock);
    struct qn_send *s = fd < l->slots ? l->slot[fd] : NULL;
    s = s && s->generation == (uint32_t)(ev->data.u64 >> 32) ? qn_send_ref(s) : NULL;
    pthread_mutex_unlock(&l->lock);
    return s;
}

static bool take_events(struct lane *l, bool wait)
{
    struct epoll_event ev[64];
    uint64_t count;

    int n = epoll_wait(l->epoll, ev, QN_ARRAY_LEN(ev), wait ? -1 : 0);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == UINT64_MAX) {
            ssize_t got = read(l->event, &count, sizeof count);
            (void)got;
            continue;
        }
        struct qn_send *s = of_event(l, &ev[i]);
        if (s) {
            turn(s);
            send_unref(s);
        }
    }
    pthread_mutex_lock(&l->lock);
    bool stopped = l->stopped;
    pthread_mutex_unlock(&l->lock);
    return !stopped;
}

static void *run(void *arg)
{
    struct lane *l = arg;
    bool wait = true;

    while (take_events(l, wait)) {
        struct qn_send *list = take_ready(l);
        wait = !list;
        while (list) {
            struct qn_send *s = list;
            list = s->next;
            turn(s);
            send_unref(s);
        }
    }
    return NULL;
}

static int start_lane(struct lane *l, struct qn_err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    sigset_t all, old;

    if (l->epoll < 0 || l->event < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->event, &ev) < 0)
        return qn_fail_errno(e, QN_E_IO, "HTTP server: senders");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->runs = pthread_create(&l->thread, NULL, run, l) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!l->runs)
        return qn_fail(e, QN_E_NOMEM, "HTTP server: cannot start its senders");
    pthread_setname_np(l->thread, "http-send");
    return 0;
}

int qn_sender_new(unsigned threads, struct qn_sender **out, struct qn_err *e)
{
    struct qn_sender *s = qn_xcalloc(1, sizeof *s + threads * sizeof s->lane[0]);

    atomic_init(&s->refs, 1);
    s->lanes = threads;
    for (unsigned i = 0; i < threads; i++) {
        struct lane *l = &s->lane[i];
        l->sender = s;
        l->ready_end = &l->ready;
        pthread_mutex_init(&l->lock, NULL);
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    for (unsigned i = 0; i < threads; i++)
        if (start_lane(&s->lane[i], e) < 0) {
            qn_sender_free(s);
            return -1;
        }
    *out = s;
    return 0;
}

void qn_sender_free(struct qn_sender *s)
{
    uint64_t one = 1;

    if (!s)
        return;
    for (unsigned i = 0; i < s->lanes; i++) {
        struct lane *l = &s->lane[i];
        pthread_mutex_lock(&l->lock);
        l->stopped = true;
        pthread_mutex_unlock(&l->lock);
        ssize_t n = write(l->event, &one, sizeof one);
        (void)n;
        if (l->runs)
            pthread_join(l->thread, NULL);
        for (struct qn_send *list = take_ready(l); list;) {
            struct qn_send *next = list->next;
            send_unref(list);
            list = next;
        }
    }
    sender_unref(s);
}

/* --- the library's side ------------------------------------------------------------------------------------------- */

/* Takes a body away from its lane, which never touches the socket again. */
static void cancel(struct qn_send *s)
{
    struct qn_http_waker *waker;

    pthread_mutex_lock(&s->lock);
    if (s->state == SENDING)
        detach(s, FAILED);
    waker = s->waker;
    s->waker = NULL;
    pthread_mutex_unlock(&s->lock);
    if (waker)
        qn_http_waker_drop(waker);
}

/* Sends what the socket takes at once, and hands the rest to a lane. */
static enum state begin(struct qn_send *s, struct qn_http_request *r)
{
    bool again;

    pthread_mutex_lock(&s->lock);
    enum state now = push(s, AT_ONCE, &again);
    if (now == SENDING) {
        s->waker = qn_http_park_sending(r);
        if (!s->waker || !attach(s)) {
            pthread_mutex_unlock(&s->lock);
            cancel(s);
            qn_http_unpark(r, true);
            return FAILED;
        }
        meter(s, !s->waits);
    } else {
        s->state = now;
    }
    pthread_mutex_unlock(&s->lock);
    return now;
}

/* The library wants the body. */
static ssize_t body(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct qn_send *s = cls;
    struct qn_http_request *r = s->r;

    (void)pos;
    (void)buf;
    (void)max;
    r->parked = false;
    pthread_mutex_lock(&s->lock);
    enum state now = s->state;
    r->bytes_out = s->off - s->base;
    pthread_mutex_unlock(&s->lock);
    if (r->gone || atomic_load(&r->h->stopping))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (now == IDLE) {
        now = begin(s, r);
        if (now == SENDING)
            return 0;
        r->bytes_out = s->off - s->base;
    }
    return now == DONE ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void body_free(void *cls)
{
    struct qn_send *s = cls;

    cancel(s);
    send_unref(s);
}

bool qn_send_possible(const struct qn_http_request *r)
{
    return r->method == QN_HTTP_GET && !r->h->listen[r->conn->listener].tls;
}

static struct MHD_Response *respond(struct qn_http_request *r, struct qn_send *s, uint64_t base, uint64_t size)
{
    struct qn_sender *sender = r->h->sender;

    atomic_init(&s->refs, 1);
    atomic_fetch_add(&sender->refs, 1);
    s->generation = atomic_fetch_add(&sender->next, 1);
    s->lane = &sender->lane[s->generation % sender->lanes];
    pthread_mutex_init(&s->lock, NULL);
    s->r = r;
    s->conn = r->conn;
    s->socket = r->conn->fd;
    s->base = s->off = base;
    s->end = base + size;
    struct MHD_Response *response = MHD_create_response_from_callback(size, 16, body, s, body_free);
    qn_assert(response);
    MHD_add_response_header(response, "Connection", "close");
    return response;
}

struct MHD_Response *qn_send_file(struct qn_http_request *r, int fd, uint64_t base, uint64_t size)
{
    struct qn_send *s = qn_new(struct qn_send);

    s->file = fd;
    return respond(r, s, base, size);
}

struct MHD_Response *qn_send_growing(struct qn_http_request *r, struct qn_http_growing *g, uint64_t base, uint64_t size)
{
    struct qn_send *s = qn_new(struct qn_send);

    s->file = fcntl(qn_growing_fd(g), F_DUPFD_CLOEXEC, 0);
    s->growing = qn_http_growing_ref(g);
    return respond(r, s, base, size);
}
