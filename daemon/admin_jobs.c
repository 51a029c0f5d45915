/* The admin API about work and settings: jobs, policies, upstreams, storage. */
#include "server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include <stdlib.h>

static void set_ms(json_t *o, const char *key, int64_t ms)
{
    char text[QN_TIME_TEXT];

    if (ms <= 0)
        return;
    qn_time_format_ms(ms, text);
    qn_json_set_c(o, key, text);
}

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
    qn_json_set(o, "progress", progress);
    qn_json_set_int(o, "attempts", row->attempts);
    if (row->error[0])
        qn_json_set_c(o, "reason", row->error);
    if (row->message[0])
        qn_json_set_c(o, "message", row->message);
    set_ms(o, "created", row->created);
    set_ms(o, "started", row->started);
    set_ms(o, "finished", row->finished);
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
    struct listing l = {x->server->site, NULL};
    struct qn_str v;
    char before[QN_JOB_ID] = "";
    enum qn_state state = 0;
    uint64_t limit = 100;
    struct qn_err e;

    if ((qn_http_query(r, "limit", &v) && qn_num_u64(v, 1, 1000, &limit, &e) < 0) ||
        (qn_http_query(r, "after", &v) && !qn_str_copy(v, before, sizeof before)) ||
        (qn_http_query(r, "state", &v) && (state = qn_state_parse(v)) == 0)) {
        qn_respond_error(r, QN_E_USAGE, "limit, after or state is wrong");
        return;
    }
    l.list = json_array();
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_jobs(tx, state, before, limit, add_job, &l, &e) < 0) {
        json_decref(l.list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_t *body = json_object();
    size_t n = json_array_size(l.list);
    qn_json_set(body, "jobs", l.list);
    if (n == limit)
        qn_json_set(body, "after", json_incref(json_object_get(json_array_get(l.list, n - 1), "id")));
    qn_http_respond_json(r, 200, NULL, body);
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

void qn_endpoint_job(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_row_job row;

    if (!find_job(x, r, &row))
        return;
    qn_job_live(x->server->site, &row);
    qn_http_respond_json(r, 200, NULL, job_json(&row));
}

void qn_endpoint_job_cancel(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_row_job row;

    if (!find_job(x, r, &row))
        return;
    if (!qn_job_cancel(x->server->site, row.id)) {
        qn_respond_error(r, QN_E_CONFLICT, "the job has ended already");
        return;
    }
    qn_log(QN_LOG_INFO, "job cancelled", "job", row.id, "by", x->actor, NULL);
    qn_http_respond_json(r, 202, NULL, job_json(&row));
}

static int forget_failure(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_derivation_del(tx, *(const int64_t *)arg, e);
}

struct failed {
    const char *reference;
    int64_t id;
};

/* The newest failed or denied derivation of the job's reference. */
static bool pick_failed(void *arg, const struct qn_row_derivation *row)
{
    struct failed *f = arg;
    bool failed = row->state == QN_STATE_FAILED || row->state == QN_STATE_DENIED || row->state == QN_STATE_CANCELLED;

    if (failed && strcmp(row->reference, f->reference) == 0)
        f->id = row->id;
    return f->id == 0;
}

static void posted(void *arg, const struct qn_err *failed)
{
    if (failed)
        qn_log_err(QN_LOG_WARN, "retry not recorded", failed, NULL);
    free(arg);
}

void qn_endpoint_job_retry(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_row_job row;
    struct qn_err e;

    if (!find_job(x, r, &row))
        return;
    struct failed f = {row.reference, 0};
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
            qn_index_derivation_list(tx, 0, 0, 10000, pick_failed, &f, &e) < 0) {
            qn_respond_error(r, e.code, e.msg);
            return;
        }
    }
    if (f.id == 0) {
        qn_respond_error(r, QN_E_CONFLICT, "nothing of this job failed");
        return;
    }
    int64_t *id = qn_xcalloc(1, sizeof *id);
    *id = f.id;
    if (qn_index_post(x->server->site->index, forget_failure, id, posted, &e) < 0) {
        free(id);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    qn_log(QN_LOG_INFO, "failure forgotten", "ref", row.reference, "by", x->actor, NULL);
    json_t *body = json_object();
    qn_json_set_c(body, "ref", row.reference);
    qn_json_set_c(body, "state", "retry");
    qn_http_respond_json(r, 202, NULL, body);
}

void qn_endpoint_policies(struct qn_exchange *x, struct qn_http_request *r)
{
    static const char *const modes[] = {
        [QN_MODE_ENFORCE] = "enforce", [QN_MODE_AUDIT] = "audit", [QN_MODE_OFF] = "off"};
    const struct qn_settings *s = x->server->settings;
    json_t *body = json_object(), *list = json_array();

    for (size_t i = 0; i < s->policies; i++) {
        json_t *o = json_deep_copy(s->policy[i].document), *match = json_array();
        for (size_t k = 0; k < s->policy[i].match.n; k++)
            qn_json_push(match, qn_json_string(s->policy[i].match.v[k]));
        qn_json_set_str(o, "name", s->policy[i].name);
        qn_json_set(o, "match", match);
        qn_json_set_c(o, "mode", modes[s->policy[i].mode]);
        qn_json_set_c(o, "digest", s->policy[i].digest);
        qn_json_push(list, o);
    }
    qn_json_set(body, "policies", list);
    qn_http_respond_json(r, 200, NULL, body);
}

void qn_endpoint_upstreams(struct qn_exchange *x, struct qn_http_request *r)
{
    const struct qn_settings *s = x->server->settings;
    json_t *body = json_object(), *list = json_array();

    for (size_t i = 0; i < s->upstreams; i++) {
        struct qn_registry_status st;
        json_t *o = json_object();
        qn_registry_status(x->server->site->registry[i], &st);
        qn_json_set_str(o, "name", s->upstream[i].name);
        qn_json_set_str(o, "url", s->upstream[i].url);
        qn_json_set_bool(o, "reachable", st.failures == 0);
        qn_json_set_int(o, "failures", st.failures);
        if (st.limit >= 0)
            qn_json_set_int(o, "rate_limit", st.limit);
        if (st.remaining >= 0)
            qn_json_set_int(o, "rate_remaining", st.remaining);
        if (st.last_error[0])
            qn_json_set_c(o, "last_error", st.last_error);
        set_ms(o, "last_ok", st.last_ok * 1000);
        set_ms(o, "last_fail", st.last_fail * 1000);
        qn_json_push(list, o);
    }
    qn_json_set(body, "upstreams", list);
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- storage ------------------------------------------------------------------------------------------------------ */
struct collection {
    struct qn_server *server;
};

static void collect(void *arg)
{
    struct collection *c = arg;
    const struct qn_settings *s = c->server->settings;
    struct qn_gc_options o = {.keep_sources = s->keep_sources,
                              .keep_derivations = s->keep_derivations,
                              .upload_ttl = s->upload_ttl,
                              .max_size = s->max_size,
                              .uploads = c->server->site->uploads,
                              .stop = &c->server->site->stopping};
    struct qn_gc_result result;
    struct qn_err e;
    char removed[24], freed[24];

    if (qn_gc(c->server->site->store, c->server->site->index, &o, &result, &e) < 0) {
        qn_log_err(QN_LOG_WARN, "collection failed", &e, NULL);
    } else {
        snprintf(removed, sizeof removed, "%llu", (unsigned long long)result.removed);
        snprintf(freed, sizeof freed, "%llu", (unsigned long long)result.freed);
        qn_log(QN_LOG_INFO, "collected", "blobs", removed, "bytes", freed, NULL);
        qn_cache_clear(c->server->cache);
    }
    free(c);
}

void qn_endpoint_gc(struct qn_exchange *x, struct qn_http_request *r)
{
    struct collection *c = qn_new(struct collection);
    json_t *body;
    struct qn_err e;

    c->server = x->server;
    if (qn_pool_add(x->server->site->pulls, collect, c, &e) < 0) {
        free(c);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    body = json_object();
    qn_json_set_c(body, "state", "running");
    qn_http_respond_json(r, 202, NULL, body);
}
