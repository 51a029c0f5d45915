/* What the library calls for each connection and request. */
#include "http.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>

#define SWALLOW (64u << 10) /* an early answer still reads bodies up to this size, to keep the connection */

/* --- one request -------------------------------------------------------------------------------------------------- */

void *qn_http_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct qn_http *h = cls;
    struct qn_http_request *r = qn_http_request_new(h, mhd, uri);

    if (r) {
        int64_t limit = r->start + h->options.header_ms;
        if (limit < atomic_load_explicit(&r->conn->deadline, memory_order_relaxed))
            atomic_store_explicit(&r->conn->deadline, limit, memory_order_relaxed);
    }
    return r;
}

/* The texts stay as they were sent: target.h decodes. */
size_t qn_http_keep_escapes(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    (void)mhd;
    return strlen(s);
}

static enum MHD_Result queue(struct qn_http_request *r)
{
    struct MHD_Response *response = qn_steal(r->response);

    r->phase = QN_PHASE_ANSWERED;
    qn_conn_rate_start(r->conn);
    enum MHD_Result result = MHD_queue_response(r->mhd, r->status, response);
    if (r->shared) {
        qn_http_shared_unref(r->shared);
        r->shared = NULL;
    } else {
        MHD_destroy_response(response);
    }
    return result;
}

/* An error of the server's own, in the shape of the listener's. */
static void respond_error(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                          const struct qn_err *e)
{
    if (r->h->listen[r->conn->listener].problems)
        qn_http_respond_problem(r, status, fields, e);
    else
        qn_http_respond_oci_error(r, status, fields, e);
}

static void refuse(struct qn_http_request *r, const struct qn_err *e)
{
    const struct qn_http_field close_it[] = {{"Connection", "close"}, {NULL, NULL}};

    atomic_fetch_add(&r->h->stats.rejected, 1);
    respond_error(r, e->code == QN_E_METHOD ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_BAD_REQUEST, close_it, e);
}

static void begin(struct qn_http_request *r)
{
    r->begun = true;
    r->h->app.begin(r->h->app.ctx, r);
}

/* Runs the application until it answers or parks. */
static enum MHD_Result handle(struct qn_http_request *r)
{
    struct qn_err e;

    if (r->gone || atomic_load(&r->h->stopping))
        return MHD_NO;
    r->parked = false;
    if (!r->begun)
        begin(r);
    if (!r->response)
        r->h->app.handle(r->h->app.ctx, r);
    if (r->response)
        return queue(r);
    if (r->parked)
        return MHD_YES;
    if (atomic_load(&r->h->stopping))
        return MHD_NO;
    qn_fail(&e, QN_E_BUG, "the request was neither answered nor parked");
    respond_error(r, 0, NULL, &e);
    return queue(r);
}

/* The headers are there. What is answered in this call closes the connection, which is meant for refusals only. */
static enum MHD_Result first_call(struct qn_http_request *r, const char *method, const char *version)
{
    struct qn_err e;
    struct qn_str expect;

    atomic_store_explicit(&r->conn->deadline, NO_DEADLINE, memory_order_relaxed);
    if (qn_http_request_check(r, method, version, &e) < 0) {
        refuse(r, &e);
        return queue(r);
    }
    if (!r->has_body) {
        r->phase = QN_PHASE_READY;
        return MHD_YES;
    }
    qn_log_request(r->id);
    begin(r);
    if (!r->response && !r->want_buffer && !r->want_sink) {
        qn_fail(&e, QN_E_LIMIT, "no body is expected here");
        respond_error(r, 0, NULL, &e);
    }
    if (!r->response && r->body_length != UINT64_MAX && r->body_length > r->body_max) {
        qn_fail(&e, QN_E_LIMIT, "a body of %llu bytes, at most %llu", (unsigned long long)r->body_length,
                (unsigned long long)r->body_max);
        respond_error(r, 0, NULL, &e);
    }
    if (r->response && (r->body_length > SWALLOW || qn_http_header(r, "Expect", &expect))) {
        qn_conn_linger(r->conn);
        return queue(r);
    }
    r->phase = QN_PHASE_BODY;
    qn_conn_rate_start(r->conn);
    return MHD_YES;
}

static void body_fails(struct qn_http_request *r, const struct qn_err *e)
{
    r->body_error = qn_new(struct qn_err);
    *r->body_error = *e;
}

/* Takes a piece of the body; what comes after a failure is dropped, for a while. */
static enum MHD_Result body_piece(struct qn_http_request *r, const char *data, size_t n)
{
    struct qn_err e;

    r->body_size += n;
    qn_conn_progress(r->conn, n);
    atomic_fetch_add_explicit(&r->h->stats.bytes_in, n, memory_order_relaxed);
    if (r->response || r->body_error)
        return r->body_size > r->body_max && r->body_size - r->body_max > 16 * SWALLOW ? MHD_NO : MHD_YES;
    if (r->body_size > r->body_max) {
        qn_fail(&e, QN_E_LIMIT, "a body of more than %llu bytes", (unsigned long long)r->body_max);
        body_fails(r, &e);
    } else if (r->want_sink ? qn_sink_write(&r->sink, data, n, &e) < 0 : qn_buf_put(&r->body, data, n, &e) < 0) {
        body_fails(r, &e);
    }
    return MHD_YES;
}

enum MHD_Result qn_http_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                   const char *version, const char *upload, size_t *upload_n, void **con_cls)
{
    struct qn_http_request *r = *con_cls;
    enum MHD_Result result;

    (void)cls;
    (void)mhd;
    (void)url;
    if (!r)
        return MHD_NO;
    if (r->phase == QN_PHASE_LINE) {
        result = first_call(r, method, version);
        qn_log_request(NULL);
        return result;
    }
    qn_log_request(r->id);
    if (r->phase == QN_PHASE_BODY && *upload_n > 0) {
        result = body_piece(r, upload, *upload_n);
        *upload_n = 0;
    } else if (r->phase == QN_PHASE_BODY) {
        r->phase = QN_PHASE_READY;
        qn_conn_rate_stop(r->conn);
        result = r->response ? queue(r) : handle(r);
    } else if (r->phase == QN_PHASE_READY) {
        result = handle(r);
    } else {
        result = MHD_NO;
    }
    qn_log_request(NULL);
    return result;
}

static void log_request(const struct qn_http_request *r, unsigned status)
{
    char code[16], bytes[24], ms[24];

    if (!r->h->options.access_log || !qn_log_enabled(QN_LOG_INFO))
        return;
    snprintf(code, sizeof code, "%u", status);
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)r->bytes_out);
    snprintf(ms, sizeof ms, "%lld", (long long)(qn_time_mono_ms() - r->start));
    qn_log(QN_LOG_INFO, "http", "listener", r->h->listen[r->conn->listener].name, "peer", qn_http_peer(r), "method",
           r->method_text, "target", QN_Q(r->raw), "status", code, "bytes", bytes, "ms", ms, NULL);
}

void qn_http_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode code)
{
    struct qn_http *h = cls;
    struct qn_http_request *r = *con_cls;

    (void)mhd;
    *con_cls = NULL;
    if (!r)
        return;
    qn_http_unpark(r, false);
    bool whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (whole && r->method != QN_HTTP_HEAD)
        r->bytes_out += r->answer_size;
    unsigned status = r->phase == QN_PHASE_ANSWERED ? r->status : 0;
    unsigned class = status / 100 <= 5 ? status / 100 : 0;
    qn_log_request(r->id);
    if (r->phase != QN_PHASE_LINE || status)
        log_request(r, status);
    atomic_fetch_add_explicit(&h->stats.requests[qn_http_kind(r)][class], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->stats.bytes_out, r->bytes_out, memory_order_relaxed);
    if (r->begun)
        h->app.end(h->app.ctx, r);
    qn_log_request(NULL);
    /* Prepared, but never queued. */
    if (r->response && !r->shared)
        MHD_destroy_response(r->response);
    qn_http_shared_unref(r->shared);
    struct qn_conn *c = r->conn;
    qn_conn_rate_stop(c);
    atomic_store_explicit(&c->deadline, qn_time_mono_ms() + h->options.idle_s * 1000ll + h->options.header_ms,
                          memory_order_relaxed);
    atomic_store(&c->busy, false);
    qn_http_request_free(r);
}

void qn_http_on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_ConnectionNotificationCode code)
{
    struct qn_http *h = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? qn_conn_of_fd(h, info->connect_fd) : NULL;
    } else if (*context) {
        qn_conn_free(*context);
        *context = NULL;
    }
}
