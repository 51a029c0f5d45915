/* Liveness, readiness, metrics, and the description of the API. */
#include "api.h"
#include "server.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

void qn_endpoint_healthz(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_http_field fields[] = {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}, {NULL, NULL}};
    (void)x;
    qn_http_respond(r, 200, fields, QN_STR("ok\n"));
}

void qn_endpoint_readyz(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_index_stats stats;
    struct qn_store_space space;
    struct qn_err e;
    json_t *o = json_object();

    bool index = qn_index_stats(x->server->site->index, &stats, &e) == 0;
    qn_json_set_c(o, "index", index ? "ok" : e.msg);
    bool storage = qn_store_space(x->server->site->store, &space, &e) == 0;
    bool room = storage && (space.max_size == 0 || space.used < space.max_size) && space.fs_free > space.fs_total / 200;
    qn_json_set_c(o, "storage", !storage ? e.msg : room ? "ok" : "full");
    bool workers = !atomic_load(&x->server->site->stopping);
    qn_json_set_c(o, "workers", workers ? "ok" : "stopping");
    bool ready = index && room && workers;
    qn_json_set_c(o, "status", ready ? "ready" : "degraded");
    qn_http_respond_json(r, ready ? 200 : 503, NULL, o);
}

static int metric(struct qn_buf *b, const char *name, const char *type, const char *help, uint64_t value,
                  struct qn_err *e)
{
    return qn_buf_printf(b, e, "# HELP quench_%s %s\n# TYPE quench_%s %s\nquench_%s %llu\n", name, help, name, type,
                         name, (unsigned long long)value);
}

static int http_metrics(struct qn_server *s, struct qn_buf *b, struct qn_err *e)
{
    static const char *const kinds[] = {"registry", "mirror", "admin", "metrics"};
    struct qn_http_counters c;

    qn_http_counters(s->http, &c);
    if (qn_buf_c(b,
                 "# HELP quench_http_requests_total requests by listener and status class\n"
                 "# TYPE quench_http_requests_total counter\n",
                 e) < 0)
        return -1;
    for (size_t k = 0; k < QN_ARRAY_LEN(kinds); k++)
        for (int class = 1; class < 6; class ++)
            if (qn_buf_printf(b, e, "quench_http_requests_total{listener=\"%s\",class=\"%dxx\"} %llu\n", kinds[k],
                              class, (unsigned long long)c.requests[k][class]) < 0)
                return -1;
    if (metric(b, "http_connections", "gauge", "open connections", c.connections, e) < 0 ||
        metric(b, "http_parked_requests", "gauge", "requests that wait for a pull", c.parked, e) < 0 ||
        metric(b, "http_refused_total", "counter", "connections over the cap of one client", c.refused, e) < 0 ||
        metric(b, "http_rejected_total", "counter", "requests with ambiguous framing or target", c.rejected, e) < 0 ||
        metric(b, "http_timed_out_total", "counter", "connections closed by a deadline", c.timed_out, e) < 0)
        return -1;
    return metric(b, "http_sent_bytes_total", "counter", "bytes of bodies sent", c.bytes_out, e);
}

#define COUNTERS                                                                                                       \
    X(pulls, "pulls that could not be answered from memory")                                                           \
    X(denials, "pulls that were denied")                                                                               \
    X(jobs_done, "jobs that ended with an image")                                                                      \
    X(jobs_failed, "jobs that failed and may be tried again")                                                          \
    X(jobs_denied, "jobs that were refused for good")                                                                  \
    X(upstream_resolves, "tags asked for at upstreams")                                                                \
    X(upstream_manifests, "manifests fetched from upstreams")                                                          \
    X(stale_served, "tags answered from memory while upstream was down")                                               \
    X(previous_served, "tags answered with the previous image while a new one was made")                               \
    X(layers_scanned, "layers scanned")                                                                                \
    X(layers_rewritten, "layers rewritten")                                                                            \
    X(layers_reused, "layer facts reused")

void qn_endpoint_metrics(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_site *site = x->server->site;
    struct qn_index_stats stats = {0};
    struct qn_store_space space = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, 1u << 20);
    (void)!qn_index_stats(site->index, &stats, &e);
    (void)!qn_store_space(site->store, &space, &e);
    int bad = http_metrics(x->server, &b, &e);
#define X(name, help) bad |= metric(&b, #name "_total", "counter", help, atomic_load(&site->counters.name), &e);
    COUNTERS
#undef X
    bad |= metric(&b, "storage_used_bytes", "gauge", "bytes of all blobs", space.used, &e);
    bad |= metric(&b, "storage_reserved_bytes", "gauge", "bytes promised to downloads", space.reserved, &e);
    bad |= metric(&b, "storage_free_bytes", "gauge", "free bytes of the file system", space.fs_free, &e);
    bad |= metric(&b, "index_blobs", "gauge", "blobs known to the index", stats.blobs, &e);
    bad |= metric(&b, "index_commits_total", "counter", "transactions of the index", stats.commits, &e);
    bad |= metric(&b, "start_time_seconds", "gauge", "when the daemon started", (uint64_t)x->server->started, &e);
    if (bad) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    struct qn_http_field fields[] = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}, {NULL, NULL}};
    qn_http_respond(r, 200, fields, qn_buf_view(&b));
}

void qn_endpoint_openapi(struct qn_exchange *x, struct qn_http_request *r)
{
    (void)x;
    qn_http_respond_json(r, 200, NULL, qn_api_document());
}
