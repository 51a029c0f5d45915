/* What the registry's handlers share: routing, waiting, denials. */
#include "access.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define DENIAL_DAYS 30

void qn_retry_after(int64_t retry_at, char out[24])
{
    int64_t wait = retry_at - qn_time_now();
    snprintf(out, 24, "%lld", (long long)(wait < 5 ? 5 : wait > 600 ? 600 : wait));
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */
static void wake(void *arg)
{
    qn_http_wake(arg);
}

void qn_exchange_wait(struct qn_exchange *x, struct qn_http_request *r, bool resolved, int64_t deadline)
{
    struct qn_http_waker *w = qn_http_park(r, deadline);

    if (w && !qn_pull_wait(x->pull, resolved, wake, w))
        qn_http_wake(w);
}

/* --- denial manifests --------------------------------------------------------------------------------------------- */
/* A denial on its way into the index; outlives the request that caused it if that goes away. */
struct qn_denied {
    pthread_mutex_t lock;
    unsigned refs;
    bool done, failed;
    struct qn_row_denial row[2];
    size_t n;
    struct qn_http_waker *waker;
};

void qn_denied_release(struct qn_denied *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    bool last = --d->refs == 0;
    pthread_mutex_unlock(&d->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static int put_denial(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct qn_denied *d = arg;
    for (size_t i = 0; i < d->n; i++)
        if (qn_index_denial_put(tx, &d->row[i], e) < 0)
            return -1;
    return 0;
}

static void denial_written(void *arg, const struct qn_err *failed)
{
    struct qn_denied *d = arg;

    pthread_mutex_lock(&d->lock);
    d->done = true;
    d->failed = failed != NULL;
    struct qn_http_waker *w = qn_steal(d->waker);
    pthread_mutex_unlock(&d->lock);
    if (w)
        qn_http_wake(w);
    qn_denied_release(d);
}

/* Of the family and kind that upstream's manifest has, as far as that is known. */
static struct qn_denied *start_denial(struct qn_exchange *x, enum qn_denial reason, const char *message)
{
    struct qn_denied *d = qn_new(struct qn_denied);
    enum qn_media_kind kind = QN_MEDIA_MANIFEST;
    enum qn_media_family family = QN_FAMILY_OCI;
    struct qn_err e;

    pthread_mutex_init(&d->lock, NULL);
    d->refs = 2;
    if (x->pull)
        (void)qn_pull_source(x->pull, &kind, &family);
    if (qn_denial_make(reason, message, kind, family, x->server->site->settings,
                       x->route.repo[0] ? x->route.repo : QN_NO_REPO, qn_time_now() + DENIAL_DAYS * 86400, d->row,
                       &d->n, &e) < 0 ||
        qn_index_post(x->server->site->index, put_denial, d, denial_written, &e) < 0) {
        qn_log_err(QN_LOG_WARN, "denial not recorded", &e, NULL);
        d->done = d->failed = true;
        d->refs = 1;
    }
    return d;
}

bool qn_denial_record(struct qn_exchange *x, struct qn_http_request *r, enum qn_denial reason, const char *message,
                      struct qn_row_denial *out)
{
    if (!x->denied)
        x->denied = start_denial(x, reason, message);
    struct qn_denied *d = x->denied;
    pthread_mutex_lock(&d->lock);
    bool done = d->done;
    if (!done)
        d->waker = qn_http_park(r, INT64_MAX);
    pthread_mutex_unlock(&d->lock);
    if (done)
        *out = d->row[0];
    return done;
}

static void count_denial(struct qn_exchange *x, enum qn_denial d)
{
    atomic_fetch_add(&x->server->site->counters.denied[d], 1);
}

static void respond_sealed(struct qn_exchange *x, struct qn_http_request *r, enum qn_denial reason, const char *message)
{
    struct qn_row_denial row;
    char digest[QN_DIGEST_TEXT];

    if (!qn_denial_record(x, r, reason, message, &row))
        return;
    count_denial(x, reason);
    struct qn_http_field fields[] = {{"Content-Type", row.media_type},
                                     {"Docker-Content-Digest", qn_digest_text(&row.digest, digest)},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {"Cache-Control", "no-store"},
                                     {"Quench-Denied", row.reason},
                                     {NULL, NULL}};
    qn_http_respond(r, 200, fields, qn_str_n(row.body, row.body_size));
}

void qn_respond_denial(struct qn_exchange *x, struct qn_http_request *r, enum qn_denial d, const char *message,
                       int64_t retry_at)
{
    bool sealed = qn_is_mirror(r) && x->endpoint->handle == qn_endpoint_manifest &&
                  !(x->policy && x->policy->mode == QN_MODE_OFF);
    char retry[24] = "5";
    struct qn_err e;

    if (sealed) {
        respond_sealed(x, r, d, message);
        return;
    }
    count_denial(x, d);
    unsigned status = qn_denial_status(d);
    if (retry_at)
        qn_retry_after(retry_at, retry);
    bool later = status == 503 || status == 429;
    struct qn_http_field fields[] = {{"Quench-Denied", qn_denial_name(d)},
                                     {"Cache-Control", "no-store"},
                                     {"Retry-After", later ? retry : NULL},
                                     {NULL, NULL}};
    qn_fail(&e, qn_denial_code(d), "%s: %s", qn_denial_name(d), message);
    qn_http_respond_oci_error(r, status, fields, &e);
}

/* --- routing ------------------------------------------------------------------------------------------------------ */
bool qn_exchange_route(struct qn_exchange *x, struct qn_http_request *r, struct qn_str tag)
{
    struct qn_str ns = QN_STR("");
    struct qn_err e;

    if (qn_is_mirror(r))
        (void)qn_http_query(r, "ns", &ns);
    if (x->route.repo[0])
        return true;
    if (qn_route(x->server->site->settings, qn_is_mirror(r), x->arg[0], ns, &x->route, &e) == 0) {
        x->policy = qn_site_policy(x->server->site, qn_str_c(x->route.name), tag);
        if (!qn_is_mirror(r) || !x->route.upstream || !x->route.upstream->guarded)
            return true;
        qn_respond_denial(x, r, QN_DENY_NOT_ALLOWED,
                          "this upstream is read with credentials, and the mirror asks nobody who he is: pull it by "
                          "name from the registry listener",
                          0);
        x->route.repo[0] = '\0';
        return false;
    }
    if (!qn_exchange_enter(x, r))
        return false; /* a stranger is not told which names lead somewhere */
    if (e.code == QN_E_NAME_INVALID)
        qn_respond_error(r, e.code, e.msg);
    else if (x->endpoint->handle == qn_endpoint_blob && qn_is_mirror(r))
        qn_respond_unlinked(x, r); /* of a denial that was handed out for a name without a route */
    else
        qn_respond_denial(x, r, e.code == QN_E_DENIED ? QN_DENY_NOT_ALLOWED : QN_DENY_UNKNOWN_UPSTREAM, e.msg, 0);
    x->route.repo[0] = '\0';
    return false;
}
