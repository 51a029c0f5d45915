/* Lists: tags of an upstream repository, what refers to a manifest; and the version check. */
#include "access.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include <stdlib.h>

#define WAIT_MS    25000
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

void qn_endpoint_base(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_http_field fields[] = {
        {"Content-Type", "application/json"}, {"Docker-Distribution-Api-Version", "registry/2.0"}, {NULL, NULL}};
    if (qn_exchange_enter(x, r))
        qn_http_respond(r, 200, fields, QN_STR("{}"));
}

/* Joins the pull of a list; the answer when it is there, NULL when the request was parked or answered. */
static const struct qn_answer *await_list(struct qn_exchange *x, struct qn_http_request *r,
                                          const struct qn_pull_request *rq)
{
    struct qn_err e;

    if (!x->pull && qn_pull_join(x->server->site, rq, &x->pull, &e) < 0) {
        qn_respond_denial(x, r, QN_DENY_QUEUE_FULL, e.msg, 0);
        return NULL;
    }
    const struct qn_answer *a = qn_pull_answer(x->pull);
    if (a && a->kind == QN_ANSWER_DENIED) {
        qn_respond_denial(x, r, a->denial == QN_DENY_NOT_FOUND ? QN_DENY_UNKNOWN_UPSTREAM : a->denial, a->message, 0);
        return NULL;
    }
    if (a)
        return a;
    if (qn_time_mono_ms() > x->started + WAIT_MS)
        qn_respond_denial(x, r, QN_DENY_UPSTREAM_DOWN, "the upstream registry does not answer in time", 0);
    else
        qn_exchange_wait(x, r, false, x->started + WAIT_MS);
    return NULL;
}

/* --- tags --------------------------------------------------------------------------------------------------------- */
/* One page of the sorted list: names after `last`, at most `n`. */
static void respond_tags(struct qn_exchange *x, struct qn_http_request *r, const json_t *all, struct qn_str last,
                         uint64_t n)
{
    json_t *page = json_array(), *body = json_object(), *item;
    qn_auto_free char *link = NULL;
    size_t i;
    bool more = false;

    json_array_foreach (all, i, item) {
        if (last.n && qn_str_cmp(qn_str_c(json_string_value(item)), last) <= 0)
            continue;
        more = json_array_size(page) >= n;
        if (more)
            break;
        qn_json_push(page, json_incref(item));
    }
    if (more && json_array_size(page))
        link = qn_xasprintf("</v2/%.*s/tags/list?n=%llu&last=%s>; rel=\"next\"", QN_FMT(x->arg[0]),
                            (unsigned long long)n, json_string_value(json_array_get(page, json_array_size(page) - 1)));
    qn_json_set_str(body, "name", x->arg[0]);
    qn_json_set(body, "tags", page);
    struct qn_http_field fields[] = {{"Link", link}, {"OCI-Namespace", x->route.upstream->name.p}, {NULL, NULL}};
    qn_http_respond_json(r, 200, fields, body);
}

void qn_endpoint_tags(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_pull_request rq = {.kind = QN_PULL_TAGS};
    struct qn_str last = QN_STR(""), count;
    uint64_t n = 10000;
    struct qn_err e;
    qn_auto_json json_t *all = NULL;

    (void)qn_http_query(r, "last", &last);
    if (qn_http_query(r, "n", &count) && qn_num_u64(count, 0, 1000000, &n, &e) < 0) {
        qn_respond_error(r, QN_E_BAD_NUMBER, e.msg);
        return;
    }
    if (!qn_exchange_route(x, r, QN_STR("")) || !qn_exchange_may(x, r, QN_PULL))
        return;
    if (x->route.local) {
        qn_local_tags(x, r, last, n);
        return;
    }
    rq.route = x->route;
    rq.policy = x->policy;
    const struct qn_answer *a = await_list(x, r, &rq);
    if (!a)
        return;
    if (qn_json_parse(qn_str_n(a->text, a->text_size), 64u << 20, &all, &e) < 0) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    respond_tags(x, r, all, last, n);
}

/* --- referrers ---------------------------------------------------------------------------------------------------- */
json_t *qn_referrer_json(const struct qn_row_referrer *row)
{
    json_t *o = json_object(), *annotations = NULL;
    char digest[QN_DIGEST_TEXT];
    struct qn_err e;

    qn_json_set_c(o, "mediaType", row->media_type);
    qn_json_set_c(o, "digest", qn_digest_text(&row->digest, digest));
    qn_json_set_int(o, "size", (int64_t)row->size);
    if (row->artifact_type[0])
        qn_json_set_c(o, "artifactType", row->artifact_type);
    if (row->annotations && qn_json_parse(qn_str_c(row->annotations), 64u << 20, &annotations, &e) == 0)
        qn_json_set(o, "annotations", annotations);
    return o;
}

static bool add_referrer(void *arg, const struct qn_row_referrer *row)
{
    json_t *list = arg;

    qn_json_push(list, qn_referrer_json(row));
    return json_array_size(list) < 10000;
}

void qn_respond_referrers(struct qn_http_request *r, json_t *manifests, bool filtered, const char *link)
{
    json_t *body = json_object();
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, 128u << 20);
    qn_json_set_int(body, "schemaVersion", 2);
    qn_json_set_c(body, "mediaType", INDEX_TYPE);
    qn_json_set(body, "manifests", manifests);
    int printed = qn_json_print(body, &b, &e);
    json_decref(body);
    if (printed < 0) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    struct qn_http_field fields[] = {{"Content-Type", INDEX_TYPE},
                                     {"OCI-Filters-Applied", filtered ? "artifactType" : NULL},
                                     {"Link", link},
                                     {NULL, NULL}};
    qn_http_respond(r, 200, fields, qn_buf_view(&b));
}

/* Ours are those of images that this repository shows after hardening; others are upstream's business. */
static bool is_ours(struct qn_exchange *x, const struct qn_digest *d, const char *type, json_t *list)
{
    struct qn_row_link link;
    struct qn_err e;
    bool found = false;
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_link_get(tx, x->route.repo, QN_LINK_MANIFEST, d, &link, &found, &e) < 0 ||
        qn_index_referrers(tx, x->route.repo, d, type, NULL, 10000, add_referrer, list, &e) < 0) {
        qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
        return true;
    }
    return json_array_size(list) > 0 || (found && link.how >= QN_HOW_REPORT);
}

/* Upstream's list, kept to one artifact type if asked for. */
static void pass_on(struct qn_http_request *r, const struct qn_answer *a, const char *type)
{
    qn_auto_json json_t *index = NULL;
    json_t *list = json_array(), *item;
    struct qn_err e;
    size_t i;

    if (qn_json_parse(qn_str_n(a->text, a->text_size), 64u << 20, &index, &e) < 0) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_array_foreach (json_object_get(index, "manifests"), i, item) {
        const char *have = json_string_value(json_object_get(item, "artifactType"));
        if (!type || (have && strcmp(have, type) == 0))
            qn_json_push(list, json_incref(item));
    }
    qn_respond_referrers(r, list, type != NULL, NULL);
}

void qn_endpoint_referrers(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_pull_request rq = {.kind = QN_PULL_REFERRERS};
    struct qn_str filter;
    qn_auto_free char *type = NULL;
    struct qn_err e;

    if (qn_digest_parse(x->arg[1], &rq.digest, &e) < 0) {
        qn_respond_error(r, QN_E_DIGEST_INVALID, e.msg);
        return;
    }
    if (!qn_exchange_route(x, r, QN_STR("")) || !qn_exchange_may(x, r, QN_PULL))
        return;
    if (qn_http_query(r, "artifactType", &filter) && filter.n)
        type = qn_xstrndup(filter);
    if (x->route.local) {
        qn_local_referrers(x, r, &rq.digest, type);
        return;
    }
    json_t *list = json_array();
    if (!x->pull && is_ours(x, &rq.digest, type, list)) {
        qn_respond_referrers(r, list, type != NULL, NULL);
        return;
    }
    json_decref(list);
    rq.route = x->route;
    rq.policy = x->policy;
    const struct qn_answer *a = await_list(x, r, &rq);
    if (a)
        pass_on(r, a, type);
}
