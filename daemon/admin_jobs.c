/* The admin API about work: jobs, followed as they go, and storage maintenance. */
#include "admin.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/upkeep.h"

#include <stdlib.h>

static json_t *job_json(const struct qn_row_job *row)
{
    json_t *o = json_object(), *progress = json_object();

    qn_json_set_c(o, "id", row->id);
    qn_json_set_c(o, "kind", row->kind);
    qn_json_set_c(o, "ref", row->reference);
    qn_json_set_c(o, "state", qn_state_name(row->state));
    qn_json_set_c(o, "stage", row->stage);
    qn_json_set_int(progress, "done", (int64_t)row->bytes_done);
    qn_json_set_int(progress, "total", (int64_t)row->bytes_total);
    if (row->bytes_total)
        qn_json_set_int(progress, "percent",
                        (int64_t)(100 * QN_MIN(row->bytes_done, row->bytes_total) / row->bytes_total));
    qn_json_set(o, "progress", progress);
    qn_json_set_int(o, "attempts", row->attempts);
    if (row->error[0])
        qn_json_set_c(o, "reason", row->error);
    if (row->message[0])
        qn_json_set_c(o, "message", row->message);
    qn_set_ms(o, "created", row->created);
    qn_set_ms(o, "started", row->started);
    qn_set_ms(o, "finished", row->finished);
    return o;
}

struct listing {
    struct qn_site *site;
    json_t *list;
};

static bool add_job(void *arg, const struct qn_row_job *row)
{
    struct listing *l = arg;
    struct qn_row_job copy = *row;

    qn_job_live(l->site, &copy);
    qn_json_push(l->list, job_json(&copy));
    return true;
}

void qn_endpoint_jobs(struct qn_exchange *x, struct qn_http_request *r)
{
    struct listing l = {x->server->site, json_array()};
    struct qn_str v;
    char before[QN_JOB_ID] = "", ref[QN_ROW_REF];
    enum qn_state state = qn_http_query(r, "state", &v) ? qn_state_parse(v) : (enum qn_state)0;
    struct qn_page page;
    struct qn_err e;
    int bad;

    qn_page_read(r, &page);
    (void)qn_query_text(r, "after", before, sizeof before);
    bool by_ref = qn_query_text(r, "ref", ref, sizeof ref);
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(x->server->site->index, &tx, &e) < 0)
        bad = -1;
    else
        bad = by_ref ? qn_index_jobs_for(tx, ref, state, before, page.limit, add_job, &l, &e)
                     : qn_index_jobs(tx, state, before, page.limit, add_job, &l, &e);
    if (bad < 0) {
        json_decref(l.list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    qn_http_respond_json(r, 200, NULL, qn_page_json("jobs", l.list, page.limit));
}

/* The row of the job in the path; false when the request was answered. */
static bool find_job(struct qn_exchange *x, struct qn_http_request *r, struct qn_row_job *row)
{
    char id[QN_JOB_ID];
    struct qn_err e;
    bool found = false;

    if (!qn_str_copy(x->arg[0], id, sizeof id)) {
        qn_respond_error(r, QN_E_NOT_FOUND, "no such job");
        return false;
    }
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(x->server->site->index, &tx, &e) < 0 || qn_index_job_get(tx, id, row, &found, &e) < 0) {
        qn_respond_error(r, e.code, e.msg);
        return false;
    }
    if (!found)
        qn_respond_error(r, QN_E_NOT_FOUND, "no such job");
    return found;
}

/* --- following a job ---------------------------------------------------------------------------------------------- */
#define LOOK_AGAIN_MS 250
#define KEEP_ALIVE_MS 15000

/* Server-sent events (WHATWG HTML section 9.2): a "job" event whenever something changed, until the job has ended. */
struct follower {
    struct qn_server *server;
    char id[QN_JOB_ID];
    char *last;    /* the document sent last; heap */
    char *pending; /* what is being sent; heap */
    size_t at;     /* how much of it is */
    bool ended;
    int64_t sent; /* monotonic ms */
};

static void follower_free(void *ctx)
{
    struct follower *f = ctx;

    free(f->last);
    free(f->pending);
    free(f);
}

static int read_job(struct qn_site *site, const char *id, struct qn_row_job *row, bool *found, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(site->index, &tx, e) < 0 || qn_index_job_get(tx, id, row, found, e) < 0)
        return -1;
    if (*found)
        qn_job_live(site, row);
    return 0;
}

/* Makes the next event; false when there is nothing to say. */
static bool next_event(struct follower *f)
{
    struct qn_row_job row;
    struct qn_err e;
    bool found = false;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 65536);
    if (read_job(f->server->site, f->id, &row, &found, &e) < 0 || !found) {
        f->ended = true;
        return false;
    }
    qn_auto_json json_t *o = job_json(&row);
    f->ended = row.state > QN_STATE_RUNNING;
    if (qn_json_print(o, &b, &e) < 0 || qn_buf_put(&b, "", 1, &e) < 0)
        return false;
    if (f->last && strcmp(f->last, b.p) == 0)
        return false;
    free(f->last);
    f->last = qn_xstrdup(b.p);
    f->pending = qn_xasprintf("event: job\ndata: %s\n\n", b.p);
    return true;
}

static ssize_t follow(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n)
{
    struct follower *f = ctx;

    (void)off;
    if (!f->pending && !f->ended && !next_event(f) && !f->ended && qn_time_mono_ms() > f->sent + KEEP_ALIVE_MS)
        f->pending = qn_xasprintf(": still there\n\n");
    if (!f->pending && f->ended)
        return QN_HTTP_END;
    if (!f->pending) {
        struct qn_http_waker *w = qn_http_park(r, qn_time_mono_ms() + LOOK_AGAIN_MS);
        if (w) /* NULL: the server stops */
            qn_http_waker_drop(w);
        return QN_HTTP_AGAIN;
    }
    size_t k = QN_MIN(n, strlen(f->pending) - f->at);
    memcpy(buf, f->pending + f->at, k);
    f->at += k;
    if (!f->pending[f->at]) {
        free(f->pending);
        f->pending = NULL;
        f->at = 0;
        f->sent = qn_time_mono_ms();
    }
    return (ssize_t)k;
}

static void respond_events(struct qn_exchange *x, struct qn_http_request *r, const char *id)
{
    struct follower *f = qn_new(struct follower);
    struct qn_http_source source = {follow, follower_free, f};
    struct qn_http_field fields[] = {
        {"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}, {NULL, NULL}};

    f->server = x->server;
    f->sent = qn_time_mono_ms();
    snprintf(f->id, sizeof f->id, "%s", id);
    qn_http_respond_source(r, 200, fields, QN_HTTP_UNKNOWN, &source);
}

void qn_endpoint_job(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_row_job row;
    struct qn_str accept;

    if (!find_job(x, r, &row))
        return;
    if (qn_http_header(r, "Accept", &accept) && qn_str_find(accept, QN_STR("text/event-stream")) >= 0) {
        respond_events(x, r, row.id);
        return;
    }
    qn_job_live(x->server->site, &row);
    qn_http_respond_json(r, 200, NULL, job_json(&row));
}

/* --- changing it -------------------------------------------------------------------------------------------------- */
static int cancel(struct qn_work *w, struct qn_err *e)
{
    struct qn_site *site = w->server->site;
    struct qn_row_job row;
    bool found = false;

    if (strlen(w->arg) < QN_JOB_ID && read_job(site, w->arg, &row, &found, e) < 0)
        return -1;
    if (!found)
        return qn_fail(e, QN_E_NOT_FOUND, "no such job");
    if (!qn_job_cancel(site, row.id))
        return qn_fail(e, QN_E_CONFLICT, "the job has ended already");
    if (qn_audit(site, &w->actor, "cancel", row.reference, NULL, e) < 0)
        return -1;
    w->out = job_json(&row);
    return 0;
}

void qn_endpoint_job_cancel(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, cancel);
}

struct failed {
    int64_t id[64];
    size_t n;
};

static bool pick_failed(void *arg, const struct qn_row_derivation *row)
{
    struct failed *f = arg;

    if (row->state == QN_STATE_FAILED || row->state == QN_STATE_DENIED || row->state == QN_STATE_CANCELLED)
        f->id[f->n++] = row->id;
    return f->n < QN_ARRAY_LEN(f->id);
}

static int forget(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    const struct failed *f = arg;

    for (size_t i = 0; i < f->n; i++)
        if (qn_index_derivation_del(tx, f->id[i], e) < 0)
            return -1;
    return 0;
}

/* Forgets the failures of the job's reference, so that the next pull tries again. */
static int retry(struct qn_work *w, struct qn_err *e)
{
    struct qn_site *site = w->server->site;
    struct failed f = {.n = 0};
    struct qn_row_job row;
    bool found = false;

    if (strlen(w->arg) < QN_JOB_ID && read_job(site, w->arg, &row, &found, e) < 0)
        return -1;
    if (!found)
        return qn_fail(e, QN_E_NOT_FOUND, "no such job");
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 ||
            qn_index_derivations_for(tx, row.reference, 0, 0, 1000, pick_failed, &f, e) < 0)
            return -1;
    }
    if (f.n == 0)
        return qn_fail(e, QN_E_CONFLICT, "nothing of this job failed");
    if (qn_index_write(site->index, forget, &f, e) < 0 ||
        qn_audit(site, &w->actor, "retry", row.reference, NULL, e) < 0)
        return -1;
    w->out = json_object();
    qn_json_set_c(w->out, "ref", row.reference);
    qn_json_set_c(w->out, "state", "retry");
    return 0;
}

void qn_endpoint_job_retry(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, retry);
}

/* --- storage ------------------------------------------------------------------------------------------------------ */
static int upkeep(struct qn_work *w, enum qn_upkeep what, struct qn_err *e)
{
    char id[QN_JOB_ID];

    if (qn_upkeep_start(w->server->site, what, id, e) < 0 ||
        qn_audit(w->server->site, &w->actor, what == QN_UPKEEP_GC ? "gc" : "scrub", "storage", NULL, e) < 0)
        return -1;
    qn_auto_free char *href = qn_xasprintf("/api/v1/jobs/%s", id);
    w->out = json_object();
    qn_json_set_c(w->out, "state", "queued");
    qn_json_set_c(w->out, "job", id);
    qn_json_set_c(w->out, "href", href);
    return 0;
}

static int gc(struct qn_work *w, struct qn_err *e)
{
    return upkeep(w, QN_UPKEEP_GC, e);
}

static int scrub(struct qn_work *w, struct qn_err *e)
{
    return upkeep(w, QN_UPKEEP_SCRUB, e);
}

void qn_endpoint_gc(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, gc);
}

void qn_endpoint_scrub(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, scrub);
}
