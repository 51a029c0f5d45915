#include "fetch.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STEP        (256u << 10) /* bytes between two wake-ups */
#define STEP_MS     100          /* or this long: slow upstreams must not look like dead ones */
#define SOURCES_MAX 8u
#define COMMITS_MAX 65536u

struct qn_fetcher {
    struct qn_fetch_ops ops;
    struct qn_pool *pool;
    pthread_mutex_t lock; /* of the table; taken before a fetch's own */
    struct qn_fetch *active;
};

struct source {
    struct qn_registry *registry;
    char repo[256];
};

struct qn_fetch {
    struct qn_fetch *next; /* in the table */
    struct qn_fetcher *fetcher;
    struct qn_digest digest;
    uint64_t size;
    char *scope;
    struct qn_sink sink;
    struct source source[SOURCES_MAX];
    size_t sources, at_source;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    unsigned refs; /* readers, and one while it is in the table */
    int fd;
    uint64_t have;     /* bytes of the present source in the file */
    uint64_t notified; /* what readers were told last */
    int64_t notified_ms;
    struct qn_fetch_state st;
    struct qn_fetch_waiter *waiters;
};

/* --- life --------------------------------------------------------------------------------------------------------- */

int qn_fetcher_new(const struct qn_fetch_ops *ops, unsigned threads, struct qn_fetcher **out, struct qn_err *e)
{
    struct qn_fetcher *f = qn_new(struct qn_fetcher);

    f->ops = *ops;
    pthread_mutex_init(&f->lock, NULL);
    if (qn_pool_new("qn-commit", threads ? threads : 2, COMMITS_MAX, &f->pool, e) < 0) {
        qn_fetcher_free(f);
        return -1;
    }
    *out = f;
    return 0;
}

void qn_fetcher_free(struct qn_fetcher *f)
{
    if (!f)
        return;
    qn_pool_free(f->pool);
    qn_assert(!f->active);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static void fetch_free(struct qn_fetch *f)
{
    if (f->fd >= 0)
        close(f->fd);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f->scope);
    free(f);
}

void qn_fetch_release(struct qn_fetch *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    bool last = --f->refs == 0;
    pthread_mutex_unlock(&f->lock);
    if (last)
        fetch_free(f);
}

/* --- waking ------------------------------------------------------------------------------------------------------- */

static bool is_due(const struct qn_fetch *f, uint64_t beyond, bool committed)
{
    if (f->st.failed || f->st.committed)
        return true;
    return !committed && (f->st.complete || f->st.avail > beyond);
}

/* With the lock held: takes those who are due off the list, for call_all() after unlocking. */
static struct qn_fetch_waiter *take_due(struct qn_fetch *f)
{
    struct qn_fetch_waiter *due = NULL;

    for (struct qn_fetch_waiter **at = &f->waiters; *at;) {
        struct qn_fetch_waiter *w = *at;
        if (!is_due(f, w->beyond, w->committed)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (w->next)
            w->next->at = at;
        w->at = NULL;
        w->next = due;
        due = w;
    }
    f->notified = f->st.avail;
    f->notified_ms = qn_time_mono_ms();
    pthread_cond_broadcast(&f->changed);
    return due;
}

static void call_all(struct qn_fetch_waiter *due)
{
    for (struct qn_fetch_waiter *next; due; due = next) {
        next = due->next; /* the waiter's memory may go with the call */
        due->next = NULL;
        due->wake(due->arg);
    }
}

/* --- the download ------------------------------------------------------------------------------------------------- */

static int on_bytes(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct qn_fetch *f = ctx;
    struct qn_fetch_waiter *due = NULL;

    if (qn_fd_pwrite(f->fd, p, n, f->have, e) < 0)
        return -1;
    pthread_mutex_lock(&f->lock);
    f->have += n;
    /* The last byte waits for the verdict on the digest. */
    uint64_t avail = f->have < f->size ? f->have : f->size - 1;
    f->st.avail = QN_MAX(f->st.avail, avail);
    if (f->st.avail - f->notified >= STEP ||
        (f->st.avail > f->notified && (f->notified == 0 || qn_time_mono_ms() - f->notified_ms >= STEP_MS)))
        due = take_due(f);
    pthread_mutex_unlock(&f->lock);
    call_all(due);
    return 0;
}

static void leave_table(struct qn_fetch *f)
{
    pthread_mutex_lock(&f->fetcher->lock);
    struct qn_fetch **at = &f->fetcher->active;
    while (*at && *at != f)
        at = &(*at)->next;
    if (*at)
        *at = f->next;
    pthread_mutex_unlock(&f->fetcher->lock);
}

/* The end: `failed` NULL when it is committed. */
static void conclude(struct qn_fetch *f, const struct qn_err *failed)
{
    struct qn_fetcher *fetcher = f->fetcher;

    leave_table(f);
    pthread_mutex_lock(&f->lock);
    if (failed) {
        f->st.failed = true;
        f->st.err = *failed;
    } else {
        f->st.committed = true;
    }
    struct qn_fetch_waiter *due = take_due(f);
    pthread_mutex_unlock(&f->lock);
    if (fetcher->ops.close)
        fetcher->ops.close(fetcher->ops.ctx, &f->digest, f->size);
    call_all(due);
    qn_fetch_release(f);
}

static void commit(void *arg)
{
    struct qn_fetch *f = arg;
    struct qn_err e;
    int r = f->fetcher->ops.commit(f->fetcher->ops.ctx, &f->digest, f->fd, f->size, &e);

    conclude(f, r < 0 ? &e : NULL);
}

static void on_done(void *ctx, const struct qn_err *failed);

/* With the fetcher's lock held: starts the download from the present source, from the beginning. */
static int begin(struct qn_fetch *f, struct qn_err *e)
{
    const struct source *s = &f->source[f->at_source];

    f->have = 0;
    return qn_registry_blob_async(s->registry, qn_str_c(s->repo), &f->digest, f->size, &f->sink, on_done, f, NULL, e);
}

/* Another joiner may know a better place: this one said no, or gave wrong bytes. */
static bool next_source(struct qn_fetch *f, const struct qn_err *why)
{
    struct qn_err ignored;
    bool again = false;

    if (why->code == QN_E_CANCELLED || why->code == QN_E_NO_SPACE || why->code == QN_E_IO || why->code == QN_E_NOMEM)
        return false;
    pthread_mutex_lock(&f->fetcher->lock);
    while (!again && f->at_source + 1 < f->sources) {
        f->at_source++;
        again = begin(f, &ignored) == 0;
    }
    if (!again)
        f->sources = SOURCES_MAX + 1; /* too late to join with another source */
    pthread_mutex_unlock(&f->fetcher->lock);
    return again;
}

static void on_done(void *ctx, const struct qn_err *failed)
{
    struct qn_fetch *f = ctx;
    struct qn_err e;

    if (failed) {
        if (!next_source(f, failed))
            conclude(f, failed);
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->st.avail = f->size;
    f->st.complete = true;
    struct qn_fetch_waiter *due = take_due(f);
    pthread_mutex_unlock(&f->lock);
    call_all(due);
    if (qn_pool_add(f->fetcher->pool, commit, f, &e) < 0)
        commit(f);
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

static struct qn_fetch *find(struct qn_fetcher *fetcher, const struct qn_digest *d, const char *scope)
{
    struct qn_fetch *f = fetcher->active;

    while (f && !(qn_digest_eq(&f->digest, d) && strcmp(f->scope, scope) == 0))
        f = f->next;
    if (f) {
        pthread_mutex_lock(&f->lock);
        f->refs++;
        pthread_mutex_unlock(&f->lock);
    }
    return f;
}

static void add_source(struct qn_fetch *f, struct qn_registry *r, struct qn_str repo)
{
    for (size_t i = 0; i < f->sources && i < SOURCES_MAX; i++) {
        if (f->source[i].registry == r && qn_str_eq_c(repo, f->source[i].repo))
            return;
    }
    if (f->sources < SOURCES_MAX && qn_str_copy(repo, f->source[f->sources].repo, sizeof f->source->repo))
        f->source[f->sources++].registry = r;
}

static int make(struct qn_fetcher *fetcher, struct qn_registry *r, struct qn_str repo, const struct qn_digest *d,
                uint64_t size, const char *scope, struct qn_fetch **out, struct qn_err *e)
{
    struct qn_fetch *f = qn_new(struct qn_fetch);
    pthread_condattr_t mono;

    f->fetcher = fetcher;
    f->digest = *d;
    f->size = size;
    f->st.size = size;
    f->scope = qn_xstrdup(scope);
    f->fd = -1;
    f->refs = 2; /* the table and the caller */
    f->sink = (struct qn_sink){on_bytes, f};
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &mono);
    pthread_condattr_destroy(&mono);
    add_source(f, r, repo);
    int rc = f->sources == 1 ? 0 : qn_fail(e, QN_E_NAME_INVALID, "\"%s\" is not a repository name", QN_Q(repo));
    if (rc == 0)
        rc = fetcher->ops.open(fetcher->ops.ctx, d, size, &f->fd, e);
    if (rc == 0) {
        rc = begin(f, e);
        if (rc < 0 && fetcher->ops.close)
            fetcher->ops.close(fetcher->ops.ctx, d, size);
    }
    if (rc < 0) {
        fetch_free(f);
        return -1;
    }
    f->next = fetcher->active;
    fetcher->active = f;
    *out = f;
    return 0;
}

int qn_fetch_start(struct qn_fetcher *fetcher, struct qn_registry *r, struct qn_str repo, const struct qn_digest *d,
                   uint64_t size, const char *scope, struct qn_fetch **out, struct qn_err *e)
{
    int rc = 0;

    scope = scope ? scope : "";
    pthread_mutex_lock(&fetcher->lock);
    struct qn_fetch *f = find(fetcher, d, scope);
    if (f && f->size != size)
        rc = qn_fail(e, QN_E_SIZE_MISMATCH, "blob is being fetched as %llu bytes, not %llu",
                     (unsigned long long)f->size, (unsigned long long)size);
    else if (f)
        add_source(f, r, repo);
    else
        rc = make(fetcher, r, repo, d, size, scope, &f, e);
    pthread_mutex_unlock(&fetcher->lock);
    if (rc == 0)
        *out = f;
    else
        qn_fetch_release(f);
    return rc;
}

struct qn_fetch *qn_fetch_join(struct qn_fetcher *fetcher, const struct qn_digest *d, const char *scope)
{
    pthread_mutex_lock(&fetcher->lock);
    struct qn_fetch *f = find(fetcher, d, scope ? scope : "");
    pthread_mutex_unlock(&fetcher->lock);
    return f;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

void qn_fetch_state(struct qn_fetch *f, struct qn_fetch_state *out)
{
    pthread_mutex_lock(&f->lock);
    *out = f->st;
    pthread_mutex_unlock(&f->lock);
}

int qn_fetch_fd(struct qn_fetch *f)
{
    pthread_mutex_lock(&f->lock);
    int fd = f->st.avail > 0 && (f->st.complete || !f->st.failed) ? f->fd : -1;
    pthread_mutex_unlock(&f->lock);
    return fd;
}

bool qn_fetch_wait_async(struct qn_fetch *f, struct qn_fetch_waiter *w)
{
    pthread_mutex_lock(&f->lock);
    bool due = is_due(f, w->beyond, w->committed);
    if (!due) {
        w->next = f->waiters;
        if (w->next)
            w->next->at = &w->next;
        w->at = &f->waiters;
        f->waiters = w;
    }
    pthread_mutex_unlock(&f->lock);
    return !due;
}

bool qn_fetch_unwait(struct qn_fetch *f, struct qn_fetch_waiter *w)
{
    pthread_mutex_lock(&f->lock);
    bool listed = w->at != NULL;
    if (listed) {
        *w->at = w->next;
        if (w->next)
            w->next->at = w->at;
        w->next = NULL;
        w->at = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return listed;
}

static int wait_for(struct qn_fetch *f, uint64_t beyond, bool committed, unsigned timeout_ms, struct qn_err *e)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&f->lock);
    while (!is_due(f, beyond, committed) && rc == 0) {
        if (timeout_ms == 0)
            pthread_cond_wait(&f->changed, &f->lock);
        else if (pthread_cond_timedwait(&f->changed, &f->lock, &until) == ETIMEDOUT)
            rc = qn_fail(e, QN_E_TIMEOUT, "no more bytes within %u ms", timeout_ms);
    }
    if (rc == 0 && f->st.failed && !(f->st.complete && !committed)) {
        *e = f->st.err;
        rc = -1;
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

int qn_fetch_wait(struct qn_fetch *f, uint64_t beyond, unsigned timeout_ms, struct qn_err *e)
{
    return wait_for(f, beyond, false, timeout_ms, e);
}

int qn_fetch_wait_committed(struct qn_fetch *f, unsigned timeout_ms, struct qn_err *e)
{
    return wait_for(f, 0, true, timeout_ms, e);
}
