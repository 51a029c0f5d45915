/* Pushing blobs: uploads in one request, in several, resumed; mounts; what is deleted. Bodies go to the upload's file
 * as they come; what waits for disks is left to the service. Source: OCI distribution-spec "Push". */
#include "reg_push.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define RETRY_S 30

/* --- what pushes share -------------------------------------------------------------------------------------------- */
bool qn_push_enter(struct qn_exchange *x, struct qn_http_request *r, enum qn_action action)
{
    if (qn_is_mirror(r)) {
        qn_respond_error(r, QN_E_METHOD, "a mirror is read-only");
        return false;
    }
    if (!qn_exchange_route(x, r, QN_STR("")) || !qn_exchange_may(x, r, action))
        return false;
    if (!x->route.local)
        qn_respond_error(r, QN_E_METHOD, "repositories of an upstream are read-only");
    return x->route.local != NULL;
}

void qn_push_respond_failed(struct qn_exchange *x, struct qn_http_request *r, const struct qn_err *e, json_t *details)
{
    struct qn_http_field fields[] = {{"Retry-After", e->code == QN_E_BUSY ? "5" : NULL}, {NULL, NULL}};

    if (e->code == QN_E_NO_SPACE)
        qn_respond_denial(x, r, QN_DENY_STORAGE_FULL, e->msg, qn_time_now() + RETRY_S);
    else if (details)
        qn_http_respond_oci_details(r, fields, e, details);
    else
        qn_http_respond_oci_error(r, 0, fields, e);
}

static void wake(void *arg)
{
    qn_http_wake(arg);
}

const struct qn_push_result *qn_push_await(struct qn_exchange *x, struct qn_http_request *r,
                                           const struct qn_push_request *rq)
{
    struct qn_err e;

    if (!x->push && qn_push_start(x->server->site, rq, &x->push, &e) < 0) {
        qn_push_respond_failed(x, r, &e, NULL);
        return NULL;
    }
    const struct qn_push_result *result = qn_push_result(x->push);
    if (result && result->failed) {
        qn_push_respond_failed(x, r, &result->err, result->missing);
        return NULL;
    }
    if (!result) {
        struct qn_http_waker *w = qn_http_park(r, INT64_MAX);
        if (w && !qn_push_wait(x->push, wake, w))
            qn_http_wake(w);
    }
    return result;
}

struct qn_push_request *qn_push_request_new(const struct qn_exchange *x, enum qn_push_kind kind)
{
    struct qn_push_request *rq = qn_new(struct qn_push_request);

    rq->kind = kind;
    rq->route = x->route;
    rq->bytes = QN_STR("");
    return rq;
}

/* --- answers about uploads ---------------------------------------------------------------------------------------- */
static void respond_upload(struct qn_exchange *x, struct qn_http_request *r, unsigned status, const char *id,
                           uint64_t size, const struct qn_err *e)
{
    qn_auto_free char *location = qn_xasprintf("/v2/%s/blobs/uploads/%s", x->route.repo, id);
    char range[32];

    /* Nothing at all cannot be said in this form; clients know "0-0" for it. */
    snprintf(range, sizeof range, "0-%llu", (unsigned long long)(size ? size - 1 : 0));
    struct qn_http_field fields[] = {{"Location", location},
                                     {"Range", range},
                                     {"Docker-Upload-UUID", id},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {NULL, NULL}};
    if (e)
        qn_http_respond_oci_error(r, status, fields, e);
    else
        qn_http_respond(r, status, fields, QN_STR(""));
}

static void respond_created(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d)
{
    char digest[QN_DIGEST_TEXT];
    qn_auto_free char *location = qn_xasprintf("/v2/%s/blobs/%s", x->route.repo, qn_digest_text(d, digest));
    struct qn_http_field fields[] = {{"Location", location},
                                     {"Docker-Content-Digest", digest},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {NULL, NULL}};

    qn_http_respond(r, 201, fields, QN_STR(""));
}

/* The upload of the path, or the one that a POST started. */
static const char *upload_id(struct qn_exchange *x)
{
    if (!x->upload_id[0] && !qn_str_copy(x->arg[1], x->upload_id, sizeof x->upload_id))
        snprintf(x->upload_id, sizeof x->upload_id, "?");
    return x->upload_id;
}

static void respond_not_written(struct qn_exchange *x, struct qn_http_request *r, const struct qn_err *why)
{
    uint64_t size;
    struct qn_err e;

    if (why->code == QN_E_RANGE &&
        qn_upload_size(x->server->site->uploads, x->route.repo, upload_id(x), &size, &e) == 0)
        respond_upload(x, r, 416, upload_id(x), size, why);
    else
        qn_push_respond_failed(x, r, why, NULL);
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */
static int take(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct qn_exchange *x = ctx;
    return qn_upload_write(&x->upload, p, n, e);
}

/* Where the body belongs and how long it may be, by Content-Range. */
static int place_of(struct qn_http_request *r, uint64_t *offset, uint64_t *max, struct qn_err *e)
{
    struct qn_str text;
    uint64_t first, last, length;

    *offset = QN_UPLOAD_END;
    if (!qn_http_header(r, "Content-Range", &text))
        return 0;
    if (!qn_range_content(text, &first, &last))
        return qn_fail(e, QN_E_UPLOAD_INVALID, "Content-Range \"%s\" is not FIRST-LAST", QN_Q(text));
    if (last - first >= *max)
        return qn_fail(e, QN_E_LIMIT, "a chunk of more than limits.image_size");
    if (qn_http_has_body(r, &length) && length != UINT64_MAX && length != last - first + 1)
        return qn_fail(e, QN_E_UPLOAD_INVALID, "Content-Range speaks of %llu bytes, the body has %llu",
                       (unsigned long long)(last - first + 1), (unsigned long long)length);
    *offset = first;
    *max = last - first + 1;
    return 0;
}

static void begin_body(struct qn_exchange *x, struct qn_http_request *r, const char *id, enum qn_digest_algorithm a)
{
    struct qn_site *site = x->server->site;
    struct qn_sink sink = {take, x};
    uint64_t offset, max = site->settings->limits.image_size, length, most = max;
    struct qn_err e;

    bool known = qn_http_has_body(r, &length) && length != UINT64_MAX;
    if (place_of(r, &offset, &max, &e) < 0 ||
        (known && length > most && qn_fail(&e, QN_E_LIMIT, "a blob of more than limits.image_size") < 0) ||
        qn_upload_write_begin(site->uploads, x->route.repo, id, offset, known ? length : 0, a, &x->upload, &e) < 0) {
        respond_not_written(x, r, &e);
        return;
    }
    if (x->upload.start > most)
        max = 0;
    else
        max = QN_MIN(max, most - x->upload.start);
    qn_http_body_stream(r, &sink, max);
}

/* The digest of the query; false when the request was answered. */
static bool query_digest(struct qn_http_request *r, struct qn_digest *out)
{
    struct qn_str text;
    struct qn_err e;

    if (!qn_http_query(r, "digest", &text))
        qn_fail(&e, QN_E_DIGEST_INVALID, "the query needs digest=");
    else if (qn_digest_parse(text, out, &e) == 0)
        return true;
    qn_respond_error(r, QN_E_DIGEST_INVALID, e.msg);
    return false;
}

void qn_push_begin(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_digest d = {QN_DIGEST_NONE, {0}};
    struct qn_str ignored;
    struct qn_err e;

    bool deletes = x->endpoint->handle == qn_endpoint_manifest_delete || x->endpoint->handle == qn_endpoint_blob_delete;
    if (!qn_push_enter(x, r, deletes ? QN_DELETE : QN_PUSH))
        return;
    if (deletes || x->endpoint->handle == qn_endpoint_upload_cancel)
        return; /* a body has no meaning there: refused */
    if (x->endpoint->handle == qn_endpoint_manifest_put) {
        qn_http_body_buffer(r, (size_t)x->server->site->settings->limits.manifest_size);
        return;
    }
    bool post = x->endpoint->handle == qn_endpoint_upload_start;
    if (post && !qn_http_query(r, "digest", &ignored)) {
        qn_respond_error(r, QN_E_UPLOAD_INVALID, "a POST with a body needs digest=");
        return;
    }
    if (x->endpoint->handle != qn_endpoint_upload_patch && !query_digest(r, &d))
        return;
    if (post) {
        if (qn_upload_start(x->server->site->uploads, x->route.repo, d.algorithm, x->upload_id, &e) < 0) {
            qn_push_respond_failed(x, r, &e, NULL);
            return;
        }
        x->orphan = true;
    }
    begin_body(x, r, upload_id(x), d.algorithm);
}

/* What is left of a body that came; false when the request was answered. */
static bool end_body(struct qn_exchange *x, struct qn_http_request *r)
{
    const struct qn_err *bad = qn_http_body_error(r);
    struct qn_str text;
    uint64_t first, last;

    qn_upload_write_end(&x->upload);
    if (bad) {
        qn_push_respond_failed(x, r, bad, NULL);
        return false;
    }
    if (x->step == 0 && qn_http_header(r, "Content-Range", &text) && qn_range_content(text, &first, &last) &&
        qn_http_body_size(r) > 0 && qn_http_body_size(r) != last - first + 1) {
        qn_respond_error(r, QN_E_UPLOAD_INVALID, "the body is shorter than Content-Range says");
        return false;
    }
    return true;
}

static void finish(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d)
{
    struct qn_push_request *rq = qn_push_request_new(x, QN_PUSH_BLOB);

    rq->digest = *d;
    snprintf(rq->upload, sizeof rq->upload, "%s", upload_id(x));
    const struct qn_push_result *result = qn_push_await(x, r, rq);
    free(rq);
    x->orphan = x->orphan && !x->push;
    if (result)
        respond_created(x, r, d);
}

/* --- endpoints ---------------------------------------------------------------------------------------------------- */
struct source {
    struct qn_exchange *x;
    struct qn_http_request *r;
    enum qn_also may;
    char repo[QN_ROW_REPO];
};

/* A repository that shows the blob and that the caller may read; else one that he could with another token. */
static bool readable(void *arg, const struct qn_row_link *row)
{
    struct source *s = arg;
    struct qn_str name = qn_str_c(row->repo);

    if (qn_str_starts(name, QN_STR("build/")))
        name = qn_str_from(name, 6);
    if (row->kind != QN_LINK_BLOB)
        return true;
    enum qn_also may = qn_exchange_also(s->x, s->r, name, qn_str_c(row->repo));
    if (may == QN_ALSO || (may == QN_ALSO_ASK && s->may == QN_ALSO_NOT)) {
        s->may = may;
        snprintf(s->repo, sizeof s->repo, "%s", row->repo);
    }
    return s->may != QN_ALSO;
}

/* Where a mount takes the blob from. QN_ALSO_NOT: an upload is started instead; QN_ALSO_ASK: answered. */
static enum qn_also find_source(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d,
                                char out[QN_ROW_REPO])
{
    struct source s = {.x = x, .r = r, .may = QN_ALSO_NOT};
    struct qn_str from = QN_STR("");
    struct qn_route route;
    struct qn_err e;

    if (qn_http_query(r, "from", &from) && from.n) {
        if (qn_route(x->server->site->settings, false, from, QN_STR(""), &route, &e) == 0) {
            s.may = qn_exchange_also(x, r, qn_str_c(route.name), from);
            snprintf(s.repo, sizeof s.repo, "%s", route.repo);
        }
    } else {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
            qn_index_links_of(tx, d, "", 1000, readable, &s, &e) < 0)
            qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
        from = qn_str_c(s.repo);
    }
    if (s.may == QN_ALSO_ASK)
        qn_exchange_ask_also(x, r, from);
    snprintf(out, QN_ROW_REPO, "%s", s.repo);
    return s.may;
}

/* Mounts; false when that cannot be done and an upload is to be started. */
static bool mount_blob(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str text;
    struct qn_digest d;
    struct qn_err e;

    if (!qn_http_query(r, "mount", &text) || qn_digest_parse(text, &d, &e) < 0)
        return false;
    struct qn_push_request *rq = qn_push_request_new(x, QN_PUSH_MOUNT);
    rq->digest = d;
    enum qn_also may = x->push ? QN_ALSO : find_source(x, r, &d, rq->from);
    const struct qn_push_result *result = may == QN_ALSO ? qn_push_await(x, r, rq) : NULL;
    free(rq);
    if (may == QN_ALSO_NOT || (result && !result->mounted))
        return false;
    if (result)
        respond_created(x, r, &d);
    return true;
}

static void start_upload(struct qn_exchange *x, struct qn_http_request *r)
{
    enum qn_digest_algorithm algorithm = QN_DIGEST_NONE;
    struct qn_str name;
    struct qn_err e;

    if (qn_http_query(r, "digest-algorithm", &name)) {
        algorithm = qn_digest_algorithm_find(name);
        if (algorithm == QN_DIGEST_NONE) {
            qn_respond_error(r, QN_E_DIGEST_INVALID, "digest-algorithm: sha256 and sha512 are supported");
            return;
        }
    }
    if (qn_upload_start(x->server->site->uploads, x->route.repo, algorithm, x->upload_id, &e) < 0)
        qn_push_respond_failed(x, r, &e, NULL);
    else
        respond_upload(x, r, 202, x->upload_id, 0, NULL);
}

void qn_endpoint_upload_start(struct qn_exchange *x, struct qn_http_request *r)
{
    static const struct qn_str nothing = {"", 0};
    struct qn_digest d, empty;
    struct qn_str text;
    uint64_t length;
    struct qn_err e;

    if (!qn_push_enter(x, r, QN_PUSH))
        return;
    if (qn_http_has_body(r, &length)) {
        if ((x->push || end_body(x, r)) && query_digest(r, &d))
            finish(x, r, &d);
        return;
    }
    /* A POST with the digest of nothing at all is complete; with another one it is taken for a start. */
    if (qn_http_query(r, "digest", &text)) {
        if (!query_digest(r, &d))
            return;
        empty = qn_digest_with(d.algorithm, nothing);
        if (qn_digest_eq(&d, &empty)) {
            if (x->push || qn_upload_start(x->server->site->uploads, x->route.repo, d.algorithm, x->upload_id, &e) == 0)
                finish(x, r, &d);
            else
                qn_push_respond_failed(x, r, &e, NULL);
            return;
        }
    }
    if (!mount_blob(x, r))
        start_upload(x, r);
}

void qn_endpoint_upload_status(struct qn_exchange *x, struct qn_http_request *r)
{
    uint64_t size;
    struct qn_err e;

    if (!qn_push_enter(x, r, QN_PUSH))
        return;
    if (qn_upload_size(x->server->site->uploads, x->route.repo, upload_id(x), &size, &e) < 0)
        qn_push_respond_failed(x, r, &e, NULL);
    else
        respond_upload(x, r, 204, upload_id(x), size, NULL);
}

void qn_endpoint_upload_patch(struct qn_exchange *x, struct qn_http_request *r)
{
    uint64_t length, size;
    struct qn_err e;

    if (!qn_push_enter(x, r, QN_PUSH) || (qn_http_has_body(r, &length) && !end_body(x, r)))
        return;
    if (qn_upload_size(x->server->site->uploads, x->route.repo, upload_id(x), &size, &e) < 0)
        qn_push_respond_failed(x, r, &e, NULL);
    else
        respond_upload(x, r, 202, upload_id(x), size, NULL);
}

void qn_endpoint_upload_put(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_digest d;
    uint64_t length;

    if (!qn_push_enter(x, r, QN_PUSH))
        return;
    if (!x->push && qn_http_has_body(r, &length) && !end_body(x, r))
        return;
    if (query_digest(r, &d))
        finish(x, r, &d);
}

void qn_endpoint_upload_cancel(struct qn_exchange *x, struct qn_http_request *r)
{
    if (!qn_push_enter(x, r, QN_PUSH))
        return;
    struct qn_push_request *rq = qn_push_request_new(x, QN_PUSH_CANCEL);
    snprintf(rq->upload, sizeof rq->upload, "%s", upload_id(x));
    if (qn_push_await(x, r, rq))
        qn_http_respond(r, 204, NULL, QN_STR(""));
    free(rq);
}

void qn_push_abandon(struct qn_exchange *x)
{
    struct qn_push *p;
    struct qn_err e;

    qn_upload_write_end(&x->upload);
    if (x->orphan) {
        struct qn_push_request *rq = qn_push_request_new(x, QN_PUSH_CANCEL);
        snprintf(rq->upload, sizeof rq->upload, "%s", x->upload_id);
        if (qn_push_start(x->server->site, rq, &p, &e) == 0)
            qn_push_release(p);
        free(rq);
    }
    qn_push_release(x->push);
}

void qn_endpoint_blob_delete(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_digest d;
    struct qn_err e;

    if (!qn_push_enter(x, r, QN_DELETE))
        return;
    if (qn_digest_parse(x->arg[1], &d, &e) < 0) {
        qn_respond_error(r, QN_E_DIGEST_INVALID, e.msg);
        return;
    }
    struct qn_push_request *rq = qn_push_request_new(x, QN_PUSH_DELETE_BLOB);
    rq->digest = d;
    if (qn_push_await(x, r, rq))
        qn_http_respond(r, 202, NULL, QN_STR(""));
    free(rq);
}
