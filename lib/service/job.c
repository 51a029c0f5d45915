#include "decide.h"
#include "job.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

struct waiter {
    struct waiter *next;
    void (*wake)(void *arg);
    void *arg;
};

struct qn_job {
    struct qn_job *next, **at; /* list of live jobs */
    struct qn_site *site;
    struct qn_subject subject;
    char key[2 * QN_DIGEST_TEXT + QN_ROW_PLATFORM + 4];
    char id[QN_JOB_ID];
    unsigned refs; /* under site->lock, like everything below */
    bool ended;
    atomic_bool cancel;
    const char *stage;
    int64_t stage_since; /* monotonic ms */
    bool running;
    uint64_t done, total;
    struct waiter *waiters;
    struct qn_outcome outcome;
    struct qn_row_job row;
};

/* --- what is known ------------------------------------------------------------------------------------------------ */
void qn_subject_key(const struct qn_site *site, const struct qn_subject *s, struct qn_derivation_key *key)
{
    const struct qn_media_type *t = qn_media_type_find(qn_str_c(s->media_type));
    struct qn_err e;

    *key = (struct qn_derivation_key){.source = s->source};
    if (t && t->kind == QN_MEDIA_INDEX)
        snprintf(key->platform, sizeof key->platform, "index:%s", site->settings->platform_list);
    else
        snprintf(key->platform, sizeof key->platform, "image");
    const char *digest = s->route.build ? s->policy->build_digest : s->policy->digest;
    int r = qn_digest_parse(qn_str_c(digest), &key->policy, &e);
    qn_assert(r == 0);
    snprintf(key->engine, sizeof key->engine, "%s", site->engine);
}

static void outcome_of(const struct qn_row_derivation *row, struct qn_outcome *out)
{
    *out = (struct qn_outcome){.state = row->state,
                               .digest = row->hardened,
                               .size = row->size,
                               .unchanged = qn_digest_eq(&row->hardened, &row->key.source),
                               .retry_at = row->retry_at};
    snprintf(out->media_type, sizeof out->media_type, "%s", row->media_type);
    snprintf(out->message, sizeof out->message, "%s", row->message);
    out->backed_off = row->state == QN_STATE_DONE && strcmp(row->reason, "backed-off") == 0;
    if (row->state != QN_STATE_DONE) {
        out->denial = qn_denial_parse(row->reason);
        if (out->denial == QN_DENY_NONE)
            out->denial = QN_DENY_HARDENING_FAILED;
    }
}

int qn_outcome_get(struct qn_site *site, const struct qn_subject *s, struct qn_outcome *out, bool *found,
                   struct qn_err *e)
{
    struct qn_derivation_key key;
    struct qn_row_derivation row;
    uint64_t size;

    qn_subject_key(site, s, &key);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_derivation_get(tx, &key, &row, found, e) < 0)
            return -1;
    }
    if (!*found)
        return 0;
    outcome_of(&row, out);
    if (row.state == QN_STATE_DONE)
        *found = qn_blob_stat(site->store, &row.hardened, &size, e) == 0;
    else if (row.state == QN_STATE_FAILED)
        *found = row.retry_at == 0 || row.retry_at > qn_time_now();
    else
        *found = row.state == QN_STATE_DENIED;
    return 0;
}

static int forget(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    const struct qn_derivation_key *key = arg;
    struct qn_row_derivation row;
    bool found;

    if (qn_index_derivation_get(tx, key, &row, &found, e) < 0)
        return -1;
    return found && row.state != QN_STATE_DONE ? qn_index_derivation_del(tx, row.id, e) : 0;
}

int qn_outcome_retry(struct qn_site *site, const struct qn_subject *s, struct qn_err *e)
{
    struct qn_derivation_key key;
    qn_subject_key(site, s, &key);
    return qn_index_write(site->index, forget, &key, e);
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */
static int put_row(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_job_put(tx, arg, e);
}

static void save_row(struct qn_job *job, const struct qn_row_job *row)
{
    struct qn_err e;
    struct qn_row_job copy = *row;
    if (qn_index_write(job->site->index, put_row, &copy, &e) < 0)
        qn_log_err(QN_LOG_WARN, "job not recorded", &e, "job", job->id, NULL);
}

/* With the lock held. What took place before is timed. */
static void enter_stage(struct qn_job *job, const char *stage)
{
    int64_t now = qn_time_mono_ms();

    if (strcmp(job->stage, stage) != 0) {
        qn_stage_took(&job->site->counters, job->stage, now - job->stage_since);
        job->stage_since = now;
    }
    job->stage = stage;
}

static void on_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    struct qn_job *job = ctx;

    pthread_mutex_lock(&job->site->lock);
    enter_stage(job, stage);
    job->done = done;
    job->total = total;
    pthread_mutex_unlock(&job->site->lock);
}

static void finish(struct qn_job *job, const struct qn_outcome *o)
{
    struct qn_site *site = job->site;

    job->row.state = o->state;
    job->row.finished = qn_time_now_ms();
    snprintf(job->row.stage, sizeof job->row.stage, "%s", o->state == QN_STATE_DONE ? "commit" : job->stage);
    snprintf(job->row.error, sizeof job->row.error, "%s", qn_denial_name(o->denial));
    snprintf(job->row.message, sizeof job->row.message, "%s", o->message);
    job->row.bytes_done = job->done;
    job->row.bytes_total = job->total;
    save_row(job, &job->row);
    pthread_mutex_lock(&site->lock);
    job->outcome = *o;
    job->ended = true;
    struct waiter *w = job->waiters;
    job->waiters = NULL;
    (void)qn_map_del(&site->job_map, qn_str_c(job->key));
    *job->at = job->next;
    if (job->next)
        job->next->at = job->at;
    pthread_cond_broadcast(&site->changed);
    pthread_mutex_unlock(&site->lock);
    while (w) {
        struct waiter *next = w->next;
        w->wake(w->arg);
        free(w);
        w = next;
    }
    qn_job_release(job);
}

static void log_end(const struct qn_job *job, const struct qn_outcome *o, int64_t started)
{
    char ms[24], digest[QN_DIGEST_TEXT];

    snprintf(ms, sizeof ms, "%lld", (long long)(qn_time_mono_ms() - started));
    if (o->state == QN_STATE_DONE)
        qn_log(QN_LOG_INFO, "hardened", "job", job->id, "ref", job->subject.reference, "digest",
               qn_digest_text(&o->digest, digest), "unchanged", o->unchanged ? "yes" : NULL, "ms", ms, NULL);
    else
        qn_log(QN_LOG_WARN, "not hardened", "job", job->id, "ref", job->subject.reference, "state",
               qn_state_name(o->state), "reason", qn_denial_name(o->denial), "error", o->message, "ms", ms, NULL);
}

/* Somebody has to look at it: the list of what waits has it from now on. */
static void await_approval(struct qn_job *job, const struct qn_outcome *o)
{
    struct qn_err e;

    if (o->state == QN_STATE_DONE && job->subject.policy->manual && job->subject.tag[0] &&
        job->subject.policy->mode == QN_MODE_ENFORCE && qn_approval_open(job->site, &job->subject, o, NULL, &e) < 0)
        qn_log_err(QN_LOG_WARN, "not recorded that an image awaits approval", &e, "job", job->id, NULL);
}

static void run(void *arg)
{
    struct qn_job *job = arg;
    struct qn_site *site = job->site;
    struct qn_outcome o = {.state = QN_STATE_CANCELLED, .denial = QN_DENY_HARDENING_FAILED};
    int64_t started = qn_time_mono_ms();

    pthread_mutex_lock(&site->lock);
    site->queued_jobs--;
    job->running = true;
    enter_stage(job, "start");
    pthread_mutex_unlock(&site->lock);
    if (!atomic_load(&job->cancel) && !atomic_load(&site->stopping)) {
        struct qn_job_run r = {.site = site,
                               .subject = &job->subject,
                               .cancel = &job->cancel,
                               .deadline_ms = started + (int64_t)site->settings->job_time * 1000,
                               .progress = on_progress,
                               .ctx = job};
        job->row.state = QN_STATE_RUNNING;
        job->row.started = qn_time_now_ms();
        job->row.attempts++;
        save_row(job, &job->row);
        qn_harden(&r, &o);
        await_approval(job, &o);
        pthread_mutex_lock(&site->lock);
        qn_stage_took(&site->counters, job->stage, qn_time_mono_ms() - job->stage_since);
        pthread_mutex_unlock(&site->lock);
    }
    atomic_fetch_add(o.state == QN_STATE_DONE     ? &site->counters.jobs_done
                     : o.state == QN_STATE_DENIED ? &site->counters.jobs_denied
                                                  : &site->counters.jobs_failed,
                     1);
    log_end(job, &o, started);
    finish(job, &o);
}

static struct qn_job *make(struct qn_site *site, const struct qn_subject *s, const char *key)
{
    struct qn_job *job = qn_new(struct qn_job);

    job->site = site;
    job->subject = *s;
    job->refs = 2; /* the caller's and the thread's */
    job->stage = "queued";
    job->stage_since = qn_time_mono_ms();
    snprintf(job->key, sizeof job->key, "%s", key);
    qn_job_id(site->index, job->id);
    snprintf(job->row.id, sizeof job->row.id, "%s", job->id);
    snprintf(job->row.kind, sizeof job->row.kind, "harden");
    snprintf(job->row.reference, sizeof job->row.reference, "%s", s->reference);
    snprintf(job->row.stage, sizeof job->row.stage, "queued");
    job->row.state = QN_STATE_QUEUED;
    job->row.created = qn_time_now_ms();
    return job;
}

static void enlist(struct qn_site *site, struct qn_job *job)
{
    job->next = site->live;
    job->at = &site->live;
    if (job->next)
        job->next->at = &job->next;
    site->live = job;
}

int qn_job_join(struct qn_site *site, const struct qn_subject *s, struct qn_job **out, struct qn_err *e)
{
    struct qn_derivation_key k;
    char source[QN_DIGEST_TEXT], policy[QN_DIGEST_TEXT];
    char key[sizeof((struct qn_job *)0)->key];
    int r = 0;

    qn_subject_key(site, s, &k);
    snprintf(key, sizeof key, "%s|%s|%s", qn_digest_text(&k.source, source), k.platform,
             qn_digest_text(&k.policy, policy));
    pthread_mutex_lock(&site->lock);
    struct qn_job *job = qn_map_get(&site->job_map, qn_str_c(key));
    bool fresh = !job;
    if (job) {
        job->refs++;
    } else if (site->queued_jobs >= site->settings->queue || atomic_load(&site->stopping)) {
        r = qn_fail(e, QN_E_BUSY, "%zu images wait to be hardened already", site->queued_jobs);
    } else {
        job = make(site, s, key);
        r = qn_map_put(&site->job_map, qn_str_c(job->key), job, e);
        if (r == 0) {
            site->queued_jobs++;
            enlist(site, job);
        }
    }
    pthread_mutex_unlock(&site->lock);
    if (r < 0) {
        free(job);
        return -1;
    }
    if (fresh) {
        save_row(job, &job->row);
        if (qn_pool_add(site->jobs, run, job, e) < 0) {
            struct qn_outcome o = {.state = QN_STATE_FAILED, .denial = QN_DENY_QUEUE_FULL};
            snprintf(o.message, sizeof o.message, "%s", e->msg);
            pthread_mutex_lock(&site->lock);
            site->queued_jobs--;
            pthread_mutex_unlock(&site->lock);
            finish(job, &o);
        }
    }
    *out = job;
    return 0;
}

void qn_job_release(struct qn_job *job)
{
    if (!job)
        return;
    struct qn_site *site = job->site;
    pthread_mutex_lock(&site->lock);
    bool last = --job->refs == 0;
    pthread_mutex_unlock(&site->lock);
    if (last)
        free(job);
}

bool qn_job_wait(struct qn_job *job, void (*wake)(void *arg), void *arg)
{
    struct waiter *w = qn_new(struct waiter);

    *w = (struct waiter){NULL, wake, arg};
    pthread_mutex_lock(&job->site->lock);
    bool waits = !job->ended;
    if (waits) {
        w->next = job->waiters;
        job->waiters = w;
    }
    pthread_mutex_unlock(&job->site->lock);
    if (!waits)
        free(w);
    return waits;
}

void qn_job_outcome(struct qn_job *job, struct qn_outcome *out)
{
    pthread_mutex_lock(&job->site->lock);
    *out = job->outcome;
    pthread_mutex_unlock(&job->site->lock);
}

const char *qn_job_id_of(const struct qn_job *job)
{
    return job->id;
}

static struct qn_job *find_live(struct qn_site *site, const char *id)
{
    struct qn_job *job = site->live;

    while (job && strcmp(job->id, id) != 0)
        job = job->next;
    return job;
}

void qn_job_live(struct qn_site *site, struct qn_row_job *row)
{
    if (row->state != QN_STATE_RUNNING)
        return;
    pthread_mutex_lock(&site->lock);
    struct qn_job *job = find_live(site, row->id);
    if (job) {
        snprintf(row->stage, sizeof row->stage, "%s", job->stage);
        row->bytes_done = job->done;
        row->bytes_total = job->total;
    }
    pthread_mutex_unlock(&site->lock);
}

bool qn_job_cancel(struct qn_site *site, const char *id)
{
    pthread_mutex_lock(&site->lock);
    struct qn_job *job = find_live(site, id);
    if (job)
        atomic_store(&job->cancel, true);
    pthread_mutex_unlock(&site->lock);
    return job != NULL;
}

void qn_job_cancel_all(struct qn_site *site)
{
    pthread_mutex_lock(&site->lock);
    for (struct qn_job *job = site->live; job; job = job->next)
        atomic_store(&job->cancel, true);
    pthread_cond_broadcast(&site->changed);
    pthread_mutex_unlock(&site->lock);
}

void qn_jobs_count(struct qn_site *site, uint64_t *running, uint64_t *queued, uint64_t *oldest)
{
    int64_t first = INT64_MAX;

    *running = *queued = 0;
    pthread_mutex_lock(&site->lock);
    for (const struct qn_job *j = site->live; j; j = j->next) {
        *running += j->running;
        *queued += !j->running;
        if (!j->running)
            first = QN_MIN(first, j->row.created);
    }
    pthread_mutex_unlock(&site->lock);
    int64_t now = qn_time_now_ms();
    *oldest = first < now ? (uint64_t)((now - first) / 1000) : 0;
}
