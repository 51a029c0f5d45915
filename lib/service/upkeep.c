#include "upkeep.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/rows_admin.h"

#include <stdio.h>
#include <stdlib.h>

struct upkeep {
    struct qn_site *site;
    enum qn_upkeep what;
    struct qn_row_job row;
};

static int put_job(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_job_put(tx, arg, e);
}

static int prune(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    int64_t before = *(int64_t *)arg;
    return qn_index_audit_prune(tx, before, e) < 0 ? -1 : qn_index_pulled_prune(tx, before, e);
}

static int collect(struct upkeep *u, struct qn_err *e)
{
    const struct qn_settings *c = u->site->settings;
    struct qn_gc_options o = {.keep_sources = c->keep_sources,
                              .keep_derivations = c->keep_derivations,
                              .upload_ttl = c->upload_ttl,
                              .max_size = c->max_size,
                              .uploads = u->site->uploads,
                              .stop = &u->site->stopping};
    struct qn_gc_result r;
    int64_t before = qn_time_now() - (int64_t)c->audit_keep;

    if (qn_gc(u->site->store, u->site->index, &o, &r, e) < 0 ||
        (c->audit_keep && qn_index_write(u->site->index, prune, &before, e) < 0))
        return -1;
    snprintf(u->row.message, sizeof u->row.message, "removed %llu blobs, %llu bytes; kept %llu blobs, %llu bytes%s",
             (unsigned long long)r.removed, (unsigned long long)r.freed, (unsigned long long)r.kept,
             (unsigned long long)r.kept_bytes, r.still_full ? "; still above storage.max_size" : "");
    u->row.bytes_done = r.freed;
    atomic_fetch_add(&u->site->counters.evicted_blobs, r.removed);
    atomic_fetch_add(&u->site->counters.evicted_bytes, r.freed);
    if (r.removed)
        qn_site_changed(u->site);
    return 0;
}

static void damaged(void *arg, const struct qn_digest *d)
{
    char digest[QN_DIGEST_TEXT];
    (void)arg;
    qn_log(QN_LOG_ERROR, "blob is damaged; it was set aside", "digest", qn_digest_text(d, digest), NULL);
}

static int scrub(struct upkeep *u, struct qn_err *e)
{
    struct qn_scrub_result r;

    if (qn_store_scrub(u->site->store, u->site->index, &u->site->stopping, damaged, NULL, &r, e) < 0)
        return -1;
    snprintf(u->row.message, sizeof u->row.message, "read %llu blobs, %llu bytes; %llu damaged",
             (unsigned long long)r.checked, (unsigned long long)r.bytes, (unsigned long long)r.damaged);
    u->row.bytes_done = u->row.bytes_total = r.bytes;
    if (r.damaged)
        qn_site_changed(u->site);
    return 0;
}

static struct upkeep *make(struct qn_site *site, enum qn_upkeep what)
{
    struct upkeep *u = qn_new(struct upkeep);
    const char *name = what == QN_UPKEEP_GC ? "gc" : "scrub";

    u->site = site;
    u->what = what;
    qn_job_id(site->index, u->row.id);
    snprintf(u->row.kind, sizeof u->row.kind, "%s", name);
    snprintf(u->row.reference, sizeof u->row.reference, "storage");
    snprintf(u->row.stage, sizeof u->row.stage, "queued");
    u->row.state = QN_STATE_QUEUED;
    u->row.created = qn_time_now_ms();
    return u;
}

static void run(void *arg)
{
    struct upkeep *u = arg;
    struct qn_err e, why;

    u->row.state = QN_STATE_RUNNING;
    u->row.started = qn_time_now_ms();
    u->row.attempts = 1;
    snprintf(u->row.stage, sizeof u->row.stage, "%s", u->row.kind);
    if (qn_index_write(u->site->index, put_job, &u->row, &e) < 0)
        qn_log_err(QN_LOG_WARN, "job not recorded", &e, "job", u->row.id, NULL);
    int r = u->what == QN_UPKEEP_GC ? collect(u, &why) : scrub(u, &why);
    u->row.state = r == 0 ? QN_STATE_DONE : why.code == QN_E_CANCELLED ? QN_STATE_CANCELLED : QN_STATE_FAILED;
    u->row.finished = qn_time_now_ms();
    if (r < 0) {
        snprintf(u->row.error, sizeof u->row.error, "%s", qn_code_info(why.code)->name);
        snprintf(u->row.message, sizeof u->row.message, "%s", why.msg);
        qn_log_err(QN_LOG_WARN, "storage maintenance failed", &why, "job", u->row.id, NULL);
    } else {
        qn_log(QN_LOG_INFO, u->row.kind, "job", u->row.id, "result", u->row.message, NULL);
    }
    if (qn_index_write(u->site->index, put_job, &u->row, &e) < 0)
        qn_log_err(QN_LOG_WARN, "job not recorded", &e, "job", u->row.id, NULL);
    free(u);
}

int qn_upkeep_start(struct qn_site *site, enum qn_upkeep what, char id[QN_JOB_ID], struct qn_err *e)
{
    struct upkeep *u = make(site, what);

    snprintf(id, QN_JOB_ID, "%s", u->row.id);
    if (qn_index_write(site->index, put_job, &u->row, e) < 0 || qn_pool_add(site->pulls, run, u, e) < 0) {
        free(u);
        return -1;
    }
    return 0;
}
