#include "index.h"
#include "rows_content.h"
#include "rows_derive.h"
#include "rows_job.h"
#include "sql.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MAX        256 /* writes in one transaction */
#define QUEUE_MAX        65536u
#define TOUCH_PENDING    4096u
#define TOUCH_SEEN       8192u /* a power of two */
#define TOUCH_SECONDS    10
#define WAL_PASSIVE      2000 /* pages of the log after which it is folded back */
#define WAL_TRUNCATE     64000
#define READERS_IDLE_MAX 16u

struct request {
    struct request *next;
    int (*fn)(struct qn_tx *tx, void *arg, struct qn_err *e);
    void (*done)(void *arg, const struct qn_err *failed);
    void *arg;
    bool waits; /* somebody waits on `cond`; the request is on his stack */
    bool finished, failed;
    struct qn_err err;
    pthread_cond_t cond;
};

struct seen {
    struct qn_digest digest;
    int64_t day;
};

struct qn_index {
    char *path;
    struct qn_leases *leases;
    struct qn_tx writer;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct request *head, **tail;
    size_t queued;
    bool stopping;
    struct qn_tx *idle;
    size_t idle_count;
    struct qn_digest pending[TOUCH_PENDING];
    size_t pending_count;
    struct seen *seen;
    int64_t last_job_ms;
    unsigned job_count;
    _Atomic uint64_t writes, commits, checkpoints;
    int wal_pages; /* writer thread alone */
};

struct qn_leases *qn_index_leases(struct qn_index *ix)
{
    return ix->leases;
}

const char *qn_index_path(const struct qn_index *ix)
{
    return ix->path;
}

/* --- the writer --------------------------------------------------------------------------------------------------- */

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct qn_index *ix = arg;
    (void)db, (void)name;
    ix->wal_pages = pages;
    return SQLITE_OK;
}

/* Here and not in a reader's commit: folding the log back can take most of a second. */
static void checkpoint(struct qn_index *ix)
{
    int log = 0, done = 0;

    if (ix->wal_pages < WAL_PASSIVE)
        return;
    int mode = ix->wal_pages >= WAL_TRUNCATE ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    sqlite3_busy_timeout(ix->writer.db, 200);
    sqlite3_wal_checkpoint_v2(ix->writer.db, NULL, mode, &log, &done);
    sqlite3_busy_timeout(ix->writer.db, 10000);
    /* When a reader holds the log back, do not try again after every commit. */
    ix->wal_pages = 0;
    ix->checkpoints++;
}

static void run_one(struct qn_index *ix, struct request *r)
{
    struct qn_tx *tx = &ix->writer;

    r->failed = qn_sql_exec(tx, "SAVEPOINT one", &r->err) < 0;
    if (r->failed)
        return;
    r->failed = r->fn(tx, r->arg, &r->err) < 0;
    sqlite3_exec(tx->db, r->failed ? "ROLLBACK TO one; RELEASE one" : "RELEASE one", NULL, NULL, NULL);
}

static void run_batch(struct qn_index *ix, struct request *batch)
{
    struct qn_tx *tx = &ix->writer;
    struct qn_err e;
    bool bad = qn_sql_exec(tx, "BEGIN IMMEDIATE", &e) < 0;

    for (struct request *r = batch; r && !bad; r = r->next) {
        run_one(ix, r);
        ix->writes++;
        /* Some failures (disk full, I/O) end the whole transaction behind our back. */
        if (sqlite3_get_autocommit(tx->db)) {
            bad = true;
            e = r->err;
        }
    }
    if (!bad && qn_sql_exec(tx, "COMMIT", &e) < 0)
        bad = true;
    if (bad && !sqlite3_get_autocommit(tx->db))
        sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL);
    for (struct request *r = batch; r && bad; r = r->next) {
        if (!r->failed)
            r->err = e;
        r->failed = true;
    }
    ix->commits++;
}

static void answer(struct qn_index *ix, struct request *batch)
{
    for (struct request *r = batch, *next; r; r = next) {
        next = r->next;
        if (r->waits) {
            pthread_mutex_lock(&ix->lock);
            r->finished = true;
            pthread_cond_signal(&r->cond);
            pthread_mutex_unlock(&ix->lock);
            continue;
        }
        if (r->done)
            r->done(r->arg, r->failed ? &r->err : NULL);
        free(r);
    }
}

struct touches {
    struct qn_digest digest[TOUCH_PENDING];
    size_t n;
};

static int write_touches(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    const struct touches *t = arg;
    int64_t now = qn_time_now();

    for (size_t i = 0; i < t->n; i++) {
        if (qn_sql_run(tx, NULL, e, "UPDATE blob SET last_day = ?2 WHERE digest = ?1 AND last_day < ?2", "di",
                       &t->digest[i], now / 86400) < 0 ||
            qn_sql_run(tx, NULL, e,
                       "UPDATE derivation SET last_served = ?2 WHERE hardened = ?1 AND length(hardened) > 0", "di",
                       &t->digest[i], now) < 0)
            return -1;
    }
    return 0;
}

/* With the lock held; gives what is pending, or NULL. */
static struct touches *take_touches(struct qn_index *ix)
{
    if (!ix->pending_count)
        return NULL;
    struct touches *t = qn_new(struct touches);
    t->n = ix->pending_count;
    memcpy(t->digest, ix->pending, t->n * sizeof *t->digest);
    ix->pending_count = 0;
    return t;
}

static void flush_touches(struct qn_index *ix, struct touches *t)
{
    struct request r = {.fn = write_touches, .arg = t};

    if (!t)
        return;
    run_batch(ix, &r);
    free(t);
}

static struct request *take_batch(struct qn_index *ix)
{
    struct request *batch = ix->head, **end = &batch;

    for (int n = 0; *end && n < BATCH_MAX; n++) {
        end = &(*end)->next;
        ix->queued--;
    }
    ix->head = *end;
    *end = NULL;
    if (!ix->head)
        ix->tail = &ix->head;
    return batch;
}

static void *writer_main(void *arg)
{
    struct qn_index *ix = arg;
    int64_t flushed = qn_time_mono_ms();

    pthread_mutex_lock(&ix->lock);
    while (!ix->stopping || ix->head || ix->pending_count) {
        struct touches *t = NULL;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TOUCH_SECONDS;
        if (!ix->head && !ix->stopping && ix->pending_count < TOUCH_PENDING / 2)
            pthread_cond_timedwait(&ix->wake, &ix->lock, &until);
        struct request *batch = take_batch(ix);
        if (ix->stopping || ix->pending_count >= TOUCH_PENDING / 2 ||
            qn_time_mono_ms() - flushed >= TOUCH_SECONDS * 1000) {
            t = take_touches(ix);
            flushed = qn_time_mono_ms();
        }
        pthread_mutex_unlock(&ix->lock);
        if (batch) {
            run_batch(ix, batch);
            answer(ix, batch);
        }
        flush_touches(ix, t);
        checkpoint(ix);
        pthread_mutex_lock(&ix->lock);
    }
    pthread_mutex_unlock(&ix->lock);
    return NULL;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* What was in flight when the daemon died: counted, so that an image that kills it is not tried for ever. */
static int recover(struct qn_tx *tx, struct qn_err *e)
{
    int64_t now = qn_time_now();

    if (qn_sql_exec(tx, "BEGIN IMMEDIATE", e) < 0)
        return -1;
    if (qn_sql_run(tx, NULL, e,
                   "UPDATE derivation SET deaths = deaths + 1, reason = 'hardening-failed',"
                   " state = CASE WHEN deaths + 1 >= 3 THEN 5 ELSE 4 END, retry_at = ?1,"
                   " message = 'the daemon died while this was being hardened (' || (deaths + 1) || ' in a row)'"
                   " WHERE state = 2",
                   "i", now) < 0 ||
        qn_sql_run(tx, NULL, e,
                   "UPDATE job SET state = 4, finished = ?1, error = 'hardening-failed',"
                   " message = CASE state WHEN 1 THEN 'the daemon died before this job began'"
                   " ELSE 'the daemon died while this job was running' END WHERE state IN (1, 2)",
                   "i", now * 1000) < 0 ||
        qn_sql_run(tx, NULL, e, "DELETE FROM denial WHERE expires < ?1", "i", now) < 0) {
        sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL);
        return -1;
    }
    return qn_sql_exec(tx, "COMMIT", e);
}

/* Ids go on after the largest that was ever given, whatever the clock says. */
static int last_job(struct qn_index *ix, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(&ix->writer, &st, e, "SELECT max(id) FROM job", "") < 0 ||
        qn_sql_step(&ix->writer, st, &row, e) < 0)
        return -1;
    char id[QN_JOB_ID];
    qn_col_text(st, 0, id, sizeof id);
    for (const char *p = id; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
        ix->last_job_ms = ix->last_job_ms * 16 + (*p <= '9' ? *p - '0' : *p - 'a' + 10);
    if (ix->last_job_ms)
        ix->last_job_ms++;
    return 0;
}

static int start_writer(struct qn_index *ix, struct qn_err *e)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&ix->thread, NULL, writer_main, ix);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return qn_err_set(e, QN_E_NOMEM, r, __FILE__, __LINE__, "index: starting the writer thread");
    pthread_setname_np(ix->thread, "qn-index");
    ix->started = true;
    return 0;
}

int qn_index_open(const char *path, struct qn_index **out, struct qn_err *e)
{
    struct qn_index *ix = qn_new(struct qn_index);
    pthread_condattr_t mono;

    ix->path = qn_xstrdup(path);
    ix->tail = &ix->head;
    ix->writer.ix = ix;
    ix->seen = qn_xcalloc(TOUCH_SEEN, sizeof *ix->seen);
    ix->leases = qn_leases_new();
    pthread_mutex_init(&ix->lock, NULL);
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&ix->wake, &mono);
    pthread_condattr_destroy(&mono);
    if (qn_sql_open(path, true, &ix->writer, e) < 0)
        goto fail;
    sqlite3_wal_hook(ix->writer.db, on_wal, ix);
    if (qn_sql_migrate(&ix->writer, e) < 0 || recover(&ix->writer, e) < 0 || last_job(ix, e) < 0 ||
        start_writer(ix, e) < 0) {
        qn_err_wrap(e, "%s", path);
        goto fail;
    }
    *out = ix;
    return 0;
fail:
    qn_index_close(ix);
    return -1;
}

void qn_index_close(struct qn_index *ix)
{
    if (!ix)
        return;
    if (ix->started) {
        pthread_mutex_lock(&ix->lock);
        ix->stopping = true;
        pthread_cond_signal(&ix->wake);
        pthread_mutex_unlock(&ix->lock);
        pthread_join(ix->thread, NULL);
    }
    for (struct qn_tx *tx; (tx = ix->idle);) {
        ix->idle = tx->next;
        qn_sql_close(tx);
        free(tx);
    }
    if (ix->writer.db)
        sqlite3_wal_checkpoint_v2(ix->writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    qn_sql_close(&ix->writer);
    qn_leases_free(ix->leases);
    pthread_cond_destroy(&ix->wake);
    pthread_mutex_destroy(&ix->lock);
    free(ix->seen);
    free(ix->path);
    free(ix);
}

/* --- writes and reads --------------------------------------------------------------------------------------------- */

static void enqueue(struct qn_index *ix, struct request *r)
{
    *ix->tail = r;
    ix->tail = &r->next;
    ix->queued++;
    pthread_cond_signal(&ix->wake);
}

int qn_index_write(struct qn_index *ix, int (*fn)(struct qn_tx *tx, void *arg, struct qn_err *e), void *arg,
                   struct qn_err *e)
{
    struct request r = {.fn = fn, .arg = arg, .waits = true};

    qn_assert(!pthread_equal(pthread_self(), ix->thread));
    pthread_cond_init(&r.cond, NULL);
    pthread_mutex_lock(&ix->lock);
    qn_assert(!ix->stopping);
    enqueue(ix, &r);
    while (!r.finished)
        pthread_cond_wait(&r.cond, &ix->lock);
    pthread_mutex_unlock(&ix->lock);
    pthread_cond_destroy(&r.cond);
    if (r.failed)
        *e = r.err;
    return r.failed ? -1 : 0;
}

int qn_index_post(struct qn_index *ix, int (*fn)(struct qn_tx *tx, void *arg, struct qn_err *e), void *arg,
                  void (*done)(void *arg, const struct qn_err *failed), struct qn_err *e)
{
    struct request *r = qn_new(struct request);
    int result = 0;

    *r = (struct request){.fn = fn, .arg = arg, .done = done};
    pthread_mutex_lock(&ix->lock);
    if (ix->queued >= QUEUE_MAX || ix->stopping) {
        free(r);
        result = qn_fail(e, QN_E_BUSY, "index: more than %u writes are queued", QUEUE_MAX);
    } else {
        enqueue(ix, r);
    }
    pthread_mutex_unlock(&ix->lock);
    return result;
}

int qn_index_read(struct qn_index *ix, struct qn_tx **out, struct qn_err *e)
{
    pthread_mutex_lock(&ix->lock);
    struct qn_tx *tx = ix->idle;
    if (tx) {
        ix->idle = tx->next;
        ix->idle_count--;
    }
    pthread_mutex_unlock(&ix->lock);
    if (!tx) {
        tx = qn_new(struct qn_tx);
        tx->ix = ix;
        if (qn_sql_open(ix->path, false, tx, e) < 0) {
            free(tx);
            return -1;
        }
    }
    if (qn_sql_exec(tx, "BEGIN", e) < 0) {
        qn_sql_close(tx);
        free(tx);
        return -1;
    }
    *out = tx;
    return 0;
}

void qn_index_read_end(struct qn_tx **at)
{
    struct qn_tx *tx = *at;
    bool keep = false;

    *at = NULL;
    if (!tx)
        return;
    qn_assert(!tx->writer);
    if (sqlite3_exec(tx->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
        struct qn_index *ix = tx->ix;
        pthread_mutex_lock(&ix->lock);
        keep = ix->idle_count < READERS_IDLE_MAX;
        if (keep) {
            tx->next = ix->idle;
            ix->idle = tx;
            ix->idle_count++;
        }
        pthread_mutex_unlock(&ix->lock);
    }
    if (!keep) {
        qn_sql_close(tx);
        free(tx);
    }
}

/* --- touches, figures, job ids ------------------------------------------------------------------------------------ */

void qn_index_touch(struct qn_index *ix, const struct qn_digest *d)
{
    uint64_t h;
    int64_t day = qn_time_now() / 86400;

    memcpy(&h, d->bytes, sizeof h);
    pthread_mutex_lock(&ix->lock);
    struct seen *s = &ix->seen[h & (TOUCH_SEEN - 1)];
    if ((s->day != day || !qn_digest_eq(&s->digest, d)) && ix->pending_count < TOUCH_PENDING) {
        *s = (struct seen){*d, day};
        ix->pending[ix->pending_count++] = *d;
        if (ix->pending_count == TOUCH_PENDING / 2)
            pthread_cond_signal(&ix->wake);
    }
    pthread_mutex_unlock(&ix->lock);
}

int qn_index_flush(struct qn_index *ix, struct qn_err *e)
{
    pthread_mutex_lock(&ix->lock);
    struct touches *t = take_touches(ix);
    pthread_mutex_unlock(&ix->lock);
    if (!t)
        t = qn_new(struct touches); /* also then: what the writer took before must be durable */
    int r = qn_index_write(ix, write_touches, t, e);
    free(t);
    return r;
}

int qn_index_stats(struct qn_index *ix, struct qn_index_stats *out, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_index_stats st = {.writes = ix->writes, .commits = ix->commits, .checkpoints = ix->checkpoints};

    if (qn_index_read(ix, &tx, e) < 0 || qn_index_used(tx, &st.bytes, &st.blobs, e) < 0)
        return -1;
    pthread_mutex_lock(&ix->lock);
    st.queued = ix->queued;
    pthread_mutex_unlock(&ix->lock);
    *out = st;
    return 0;
}

void qn_job_id(struct qn_index *ix, char out[QN_JOB_ID])
{
    int64_t ms = qn_time_now_ms();

    pthread_mutex_lock(&ix->lock);
    /* A clock that steps back must not make ids go back. */
    if (ms <= ix->last_job_ms) {
        ms = ix->last_job_ms;
        if (++ix->job_count > 0xffff) {
            ms++;
            ix->job_count = 0;
        }
    } else {
        ix->job_count = 0;
    }
    ix->last_job_ms = ms;
    snprintf(out, QN_JOB_ID, "%012llx-%04x", (unsigned long long)ms, ix->job_count);
    pthread_mutex_unlock(&ix->lock);
}
