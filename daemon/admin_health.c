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

void qn_endpoint_openapi(struct qn_exchange *x, struct qn_http_request *r)
{
    (void)x;
    qn_http_respond_json(r, 200, NULL, qn_api_document());
}
