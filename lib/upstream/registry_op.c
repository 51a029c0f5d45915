#include "registry_op.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIES_MAX  3u
#define LOGINS_MAX 2u

struct qn_op *qn_op_new(struct qn_registry *r, enum qn_client_method method, struct qn_str repo, const char *action,
                        const char *fmt, ...)
{
    struct qn_op *op = qn_new(struct qn_op);
    char path[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    op->r = r;
    op->method = method;
    op->url = path[0] == '/' ? qn_xasprintf("%s%s", r->url, path) : qn_xstrdup(path);
    snprintf(op->scope, sizeof op->scope, "repository:%.*s:%s", QN_FMT(repo), action);
    op->body_fd = -1;
    op->timeout = 60;
    op->missing = QN_E_NOT_FOUND;
    return op;
}

void qn_op_header(struct qn_op *op, const char *line)
{
    qn_assert(op->headers < QN_OP_HEADERS);
    op->header[op->headers++] = qn_xstrdup(line);
}

void qn_op_free(struct qn_op *op)
{
    if (!op)
        return;
    for (size_t i = 0; i < op->headers; i++)
        free(op->header[i]);
    free(op->url);
    free(op->realm);
    free(op->service);
    free(op->wanted);
    qn_login_fini(&op->login);
    free(op);
}

void qn_op_finish(struct qn_op *op, const struct qn_client_response *resp, const struct qn_err *failed)
{
    static const struct qn_client_response none = {.url = ""};

    op->done(op->ctx, resp ? resp : &none, failed);
    qn_op_free(op);
}

/* --- what answers tell about the upstream ------------------------------------------------------------------------- */

/* "100;w=21600" */
static void read_limit(struct qn_str s, int64_t *value, int64_t *window)
{
    struct qn_err ignored;
    struct qn_str part;
    int64_t v;

    if (!qn_str_next(&s, ';', &part) || qn_num_i64(qn_str_trim(part), 0, INT32_MAX, &v, &ignored) < 0)
        return;
    *value = v;
    while (qn_str_next(&s, ';', &part)) {
        part = qn_str_trim(part);
        if (qn_str_starts(part, QN_STR("w=")) && qn_num_i64(qn_str_from(part, 2), 0, INT32_MAX, &v, &ignored) == 0)
            *window = v;
    }
}

static void record(struct qn_registry *r, const struct qn_client_response *resp, const struct qn_err *failed)
{
    int64_t now = qn_time_now(), after = 0, window;
    struct qn_err ignored;

    pthread_mutex_lock(&r->lock);
    struct qn_registry_status *st = &r->status;
    window = st->window;
    read_limit(qn_client_header_get(resp, "ratelimit-limit"), &st->limit, &window);
    read_limit(qn_client_header_get(resp, "ratelimit-remaining"), &st->remaining, &window);
    st->window = window;
    bool bad = failed ? failed->code == QN_E_NETWORK || failed->code == QN_E_TIMEOUT : resp->status >= 500;
    if (bad) {
        st->failures++;
        st->last_fail = now;
        if (failed)
            snprintf(st->last_error, sizeof st->last_error, "%s", failed->msg);
        else
            snprintf(st->last_error, sizeof st->last_error, "status %d", resp->status);
    } else if (!failed) {
        st->failures = 0;
        st->last_ok = now;
    }
    if (!failed && (resp->status == 429 || resp->status == 503)) {
        if (qn_num_i64(qn_client_header_get(resp, "retry-after"), 0, 86400, &after, &ignored) < 0)
            after = 0;
        st->retry_at = now + (after ? after : resp->status == 429 ? 30 : 0);
    } else if (!failed && resp->status < 400) {
        st->retry_at = 0;
    }
    pthread_mutex_unlock(&r->lock);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static void send_later(void *ctx, bool stopping)
{
    struct qn_op *op = ctx;
    struct qn_err e;

    if (!stopping) {
        qn_op_send(op);
        return;
    }
    qn_fail(&e, QN_E_CANCELLED, "upstream %s: the HTTP client is stopping", op->r->name);
    qn_op_finish(op, NULL, &e);
}

static bool worth_repeating(const struct qn_op *op, const struct qn_client_response *resp, const struct qn_err *failed)
{
    if (!op->repeat || op->tries >= TRIES_MAX)
        return false;
    if (failed)
        return failed->code == QN_E_NETWORK;
    return resp->status == 500 || resp->status == 502 || resp->status == 503 || resp->status == 504;
}

static void on_done(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct qn_op *op = ctx;
    struct qn_err ignored;

    record(op->r, resp, failed);
    if (worth_repeating(op, resp, failed) &&
        qn_client_later(op->r->http, op->r->backoff_ms << (op->tries - 1), send_later, op, &ignored) == 0)
        return;
    if (!failed && resp->status == 401) {
        qn_token_forget(op->r, op->used_serial);
        if (op->used_basic)
            qn_login_forget(op->r);
        /* A password that was asked for just now is wrong; an older one may have changed. */
        if (op->logins < LOGINS_MAX && !(op->used_basic && op->logins > 0)) {
            op->logins++;
            qn_op_login(op, resp);
            return;
        }
    }
    qn_op_finish(op, resp, failed);
}

static int send_now(struct qn_op *op, struct qn_err *e)
{
    qn_auto_free char *authorization = qn_login_header(op->r, op->scope, &op->used_serial, &op->used_basic);
    struct qn_client_request req = {
        .method = op->method,
        .url = op->url,
        .header = (const char *const *)op->header,
        .headers = op->headers,
        .authorization = authorization,
        .body = op->body,
        .body_fd = op->body_fd,
        .body_offset = op->body_offset,
        .body_size = op->body_size,
        .range_from = op->range_from,
        .max_body = op->max_body,
        .timeout = op->timeout,
        .max_redirects = op->method == QN_CLIENT_GET || op->method == QN_CLIENT_HEAD ? 5 : 0,
        .plain_http = op->r->plain_http,
        .allow = op->r->allow,
        .allows = op->r->allows,
        .sink = op->sink,
        .head = op->head,
        .done = on_done,
        .ctx = op,
    };
    _Atomic uint64_t *at = op->http_id; /* such operations are sent from the client's thread alone: `op` lives on */
    uint64_t id;

    op->tries++;
    int r = qn_client_start(op->r->http, &req, &id, e);
    if (r == 0 && at)
        *at = id;
    if (authorization)
        explicit_bzero(authorization, strlen(authorization));
    return r;
}

void qn_op_send(struct qn_op *op)
{
    struct qn_err e;

    if (send_now(op, &e) < 0)
        qn_op_finish(op, NULL, &e);
}

int qn_op_start(struct qn_op *op, struct qn_err *e)
{
    if (send_now(op, e) == 0)
        return 0;
    qn_op_free(op);
    return -1;
}
