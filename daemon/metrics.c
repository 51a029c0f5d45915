/* /metrics: Prometheus text (version 0.0.4), from metrics.def and what has labels. */
#include "server.h"

#include "base/clock.h"
#include "store/rows_admin.h"

#include <stdlib.h>

struct metrics {
    struct qn_server *server;
    struct qn_site_counters *c;
    struct qn_http_counters http;
    struct qn_index_stats index;
    struct qn_store_space space;
    uint64_t running, queued, oldest, waiting, upload_bytes;
    size_t uploads;
    struct qn_buf *b;
    struct qn_err *e;
    int bad;
};

static void put(struct metrics *m, const char *text)
{
    if (!m->bad)
        m->bad = qn_buf_c(m->b, text, m->e) < 0;
}

static void head(struct metrics *m, const char *name, const char *type, const char *help)
{
    if (!m->bad)
        m->bad = qn_buf_printf(m->b, m->e, "# HELP quench_%s %s\n# TYPE quench_%s %s\n", name, help, name, type) < 0;
}

static void sample(struct metrics *m, const char *name, const char *label, const char *value, uint64_t n)
{
    if (!m->bad)
        m->bad =
            qn_buf_printf(m->b, m->e, "quench_%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)n) < 0;
}

/* --- with labels -------------------------------------------------------------------------------------------------- */
static void requests(struct metrics *m)
{
    static const char *const kinds[] = {"registry", "mirror", "admin", "metrics"};

    head(m, "http_requests_total", "counter", "requests by listener and status class");
    for (size_t k = 0; k < QN_ARRAY_LEN(kinds); k++)
        for (int class = 1; class < 6 && !m->bad; class ++)
            m->bad = qn_buf_printf(m->b, m->e, "quench_http_requests_total{listener=\"%s\",class=\"%dxx\"} %llu\n",
                                   kinds[k], class, (unsigned long long)m->http.requests[k][class]) < 0;
}

static void decisions(struct metrics *m)
{
    head(m, "denials_total", "counter", "answers that denied something, by reason");
    for (int d = 1; d < QN_DENIALS; d++)
        sample(m, "denials_total", "reason", qn_denial_name((enum qn_denial)d), atomic_load(&m->c->denied[d]));
    head(m, "backed_off_total", "counter", "results in which a rule backed off, by rule");
    for (int r = 0; r < QN_RULE_COUNT; r++)
        sample(m, "backed_off_total", "rule", qn_rule_name((enum qn_rule)r), atomic_load(&m->c->backed_off[r]));
}

static void stages(struct metrics *m)
{
    head(m, "job_stage_seconds", "histogram", "how long the stages of jobs took");
    for (size_t s = 0; s < QN_STAGES; s++) {
        struct qn_stage_times *t = &m->c->stage[s];
        uint64_t sum = 0;
        for (size_t i = 0; i <= QN_STAGE_BOUNDS && !m->bad; i++) {
            sum += atomic_load(&t->bucket[i]);
            char bound[32] = "+Inf";
            if (i < QN_STAGE_BOUNDS)
                snprintf(bound, sizeof bound, "%g", qn_stage_bounds[i] / 1000.0);
            m->bad = qn_buf_printf(m->b, m->e, "quench_job_stage_seconds_bucket{stage=\"%s\",le=\"%s\"} %llu\n",
                                   qn_stage_names[s], bound, (unsigned long long)sum) < 0;
        }
        if (!m->bad)
            m->bad = qn_buf_printf(m->b, m->e,
                                   "quench_job_stage_seconds_sum{stage=\"%s\"} %.3f\n"
                                   "quench_job_stage_seconds_count{stage=\"%s\"} %llu\n",
                                   qn_stage_names[s], (double)atomic_load(&t->sum_ms) / 1000.0, qn_stage_names[s],
                                   (unsigned long long)sum) < 0;
    }
}

static void upstreams(struct metrics *m)
{
    const struct qn_settings *s = m->server->site->settings;
    struct qn_registry_status *st = qn_xcalloc(s->upstreams + 1, sizeof *st);

    for (size_t i = 0; i < s->upstreams; i++)
        qn_registry_status(qn_site_registry(m->server->site, &s->upstream[i]), &st[i]);
    head(m, "upstream_up", "gauge", "whether the last request to an upstream succeeded");
    for (size_t i = 0; i < s->upstreams; i++)
        sample(m, "upstream_up", "upstream", s->upstream[i].name.p, st[i].failures == 0);
    head(m, "upstream_failures", "gauge", "requests to an upstream that failed in a row");
    for (size_t i = 0; i < s->upstreams; i++)
        sample(m, "upstream_failures", "upstream", s->upstream[i].name.p, (uint64_t)st[i].failures);
    head(m, "upstream_rate_remaining", "gauge", "requests that an upstream still allows, where it says so");
    for (size_t i = 0; i < s->upstreams; i++)
        if (st[i].remaining >= 0)
            sample(m, "upstream_rate_remaining", "upstream", s->upstream[i].name.p, (uint64_t)st[i].remaining);
    head(m, "upstream_rate_limit", "gauge", "requests that an upstream allows in its window, where it says so");
    for (size_t i = 0; i < s->upstreams; i++)
        if (st[i].limit >= 0)
            sample(m, "upstream_rate_limit", "upstream", s->upstream[i].name.p, (uint64_t)st[i].limit);
    free(st);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */
static bool count_one(void *arg, const struct qn_row_approval *row)
{
    (void)row;
    ++*(uint64_t *)arg;
    return true;
}

static void gather(struct metrics *m)
{
    struct qn_site *site = m->server->site;
    struct qn_err ignored;

    m->c = &site->counters;
    qn_http_counters(m->server->http, &m->http);
    (void)!qn_index_stats(site->index, &m->index, &ignored);
    (void)!qn_store_space(site->store, &m->space, &ignored);
    qn_uploads_count(site->uploads, &m->uploads, &m->upload_bytes);
    qn_jobs_count(site, &m->running, &m->queued, &m->oldest);
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(site->index, &tx, &ignored) == 0)
        (void)!qn_index_approvals(tx, QN_APPROVAL_WAITING, 0, 1000, count_one, &m->waiting, &ignored);
}

void qn_endpoint_metrics(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    struct metrics all = {.server = x->server, .b = &b, .e = &e}, *m = &all;
    char line[64];

    qn_buf_init(&b, 1u << 20);
    gather(m);
    requests(m);
#define X(name, type, value, help)                                                                                     \
    head(m, #name, #type, help);                                                                                       \
    snprintf(line, sizeof line, "quench_" #name " %llu\n", (unsigned long long)(value));                               \
    put(m, line);
#include "metrics.def"
#undef X
    decisions(m);
    stages(m);
    upstreams(m);
    if (m->bad) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    struct qn_http_field fields[] = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}, {NULL, NULL}};
    qn_http_respond(r, 200, fields, qn_buf_view(&b));
}
