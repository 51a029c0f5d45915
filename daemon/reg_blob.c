/* GET and HEAD of a blob: from memory when small, from its file, or from a download that is still under way. */
#include "access.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALL     (64u << 10)
#define SMALL_TTL 60
#define COLD_MS   60000

static void blob_fields(const char *digest, const char *etag, struct qn_http_field fields[6])
{
    const struct qn_http_field f[6] = {{"Content-Type", "application/octet-stream"},
                                       {"Docker-Content-Digest", digest},
                                       {"ETag", etag},
                                       {"Cache-Control", "max-age=31536000, immutable"},
                                       {"Docker-Distribution-Api-Version", "registry/2.0"},
                                       {NULL, NULL}};
    memcpy(fields, f, sizeof f);
}

/* --- a download that others may share ----------------------------------------------------------------------------- */
/* Carries the progress of a fetch to the response that streams it. */
struct bridge {
    struct qn_fetch *fetch;
    struct qn_http_growing *growing;
    struct qn_fetch_waiter waiter;
};

static void bridge_advance(void *arg)
{
    struct bridge *b = arg;
    struct qn_fetch_state st;

    for (;;) {
        qn_fetch_state(b->fetch, &st);
        if (st.failed || st.complete)
            break;
        qn_http_growing_advance(b->growing, st.avail);
        b->waiter = (struct qn_fetch_waiter){.beyond = st.avail, .wake = bridge_advance, .arg = b};
        if (qn_fetch_wait_async(b->fetch, &b->waiter))
            return;
    }
    if (st.complete)
        qn_http_growing_finish(b->growing, st.size);
    else
        qn_http_growing_fail(b->growing);
    qn_http_growing_unref(b->growing);
    qn_fetch_release(b->fetch);
    free(b);
}

static void respond_fetch(struct qn_http_request *r, const struct qn_http_field *fields, struct qn_fetch *f,
                          uint64_t size)
{
    int fd = qn_fetch_fd(f);
    int copy = fd < 0 ? -1 : dup(fd);

    if (copy < 0) {
        qn_fetch_release(f);
        qn_respond_error(r, QN_E_NETWORK, "the download from upstream failed");
        return;
    }
    struct bridge *b = qn_new(struct bridge);
    b->fetch = f;
    b->growing = qn_http_growing_new(copy, size);
    qn_http_respond_growing(r, fields, b->growing);
    bridge_advance(b);
}

/* --- files -------------------------------------------------------------------------------------------------------- */
/* Small blobs (configs) are sent from memory. */
static bool respond_small(struct qn_exchange *x, struct qn_http_request *r, const struct qn_http_field *fields, int fd,
                          uint64_t size)
{
    struct qn_str ignored;
    char *bytes, key[1024];
    size_t got;
    struct qn_err e;

    if (size > SMALL || qn_http_header(r, "Range", &ignored))
        return false;
    bytes = qn_xcalloc(1, size + 1);
    bool ok = qn_fd_pread(fd, bytes, size, 0, &got, &e) == 0 && got == size;
    if (ok) {
        struct qn_http_shared *s = qn_http_shared_new(200, fields, qn_str_n(bytes, size));
        snprintf(key, sizeof key, "b|%s|%.*s", x->route.repo, QN_FMT(x->arg[1]));
        if (!x->route.local) /* what is deleted there is gone at once */
            qn_cache_put(x->server->cache, x->generation, key, s, size + 1024, qn_time_now() + SMALL_TTL);
        qn_http_respond_shared(r, s);
        qn_http_shared_unref(s);
        close(fd);
    }
    free(bytes);
    return ok;
}

static bool from_memory(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str ignored;
    char key[1024];

    if (qn_http_header(r, "Range", &ignored))
        return false;
    snprintf(key, sizeof key, "b|%s|%.*s", x->route.repo, QN_FMT(x->arg[1]));
    struct qn_http_shared *s = qn_cache_get(x->server->cache, x->generation, key);
    if (s)
        qn_http_respond_shared(r, s);
    qn_http_shared_unref(s);
    return s != NULL;
}

/* A blob without a link may be the config of a denial: then the sentence is the answer. */
void qn_respond_unlinked(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_row_denial *denial = qn_new(struct qn_row_denial);
    const char *repo = x->route.repo[0] ? x->route.repo : QN_NO_REPO;
    struct qn_digest d;
    struct qn_err e;
    bool found = false;

    if (qn_digest_parse(x->arg[1], &d, &e) < 0) {
        free(denial);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
            qn_index_denial_get(tx, repo, &d, denial, &found, &e) < 0)
            qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
    }
    if (found) {
        struct qn_http_field fields[] = {
            {"Cache-Control", "no-store"}, {"Quench-Denied", denial->reason}, {NULL, NULL}};
        qn_fail(&e, QN_E_DENIED, "%s: %s", denial->reason, denial->message);
        qn_http_respond_oci_error(r, 403, fields, &e);
    } else {
        qn_respond_error(r, QN_E_BLOB_UNKNOWN, "blob unknown to this repository");
    }
    free(denial);
}

static bool linked(struct qn_exchange *x, const struct qn_digest *d)
{
    struct qn_row_link link;
    struct qn_err e;
    bool found = false;
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_link_get(tx, x->route.repo, QN_LINK_BLOB, d, &link, &found, &e) < 0)
        qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
    /* Manifests may be asked for as blobs too (distribution-spec "Pulling blobs"). */
    if (!found && tx && qn_index_link_get(tx, x->route.repo, QN_LINK_MANIFEST, d, &link, &found, &e) < 0)
        found = false;
    return found;
}

static void respond(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d)
{
    struct qn_http_field fields[6];
    char digest[QN_DIGEST_TEXT], etag[QN_DIGEST_TEXT + 2];
    struct qn_pull_request rq = {.kind = QN_PULL_BLOB, .route = x->route, .policy = x->policy, .digest = *d};
    struct qn_err e;
    uint64_t size;
    int fd;

    snprintf(etag, sizeof etag, "\"%s\"", qn_digest_text(d, digest));
    blob_fields(digest, etag, fields);
    if (qn_blob_open(x->server->site->store, d, &fd, &size, &e) == 0) {
        qn_index_touch(x->server->site->index, d);
        if (!respond_small(x, r, fields, fd, size))
            qn_http_respond_file(r, fields, fd, size);
        return;
    }
    if (x->route.local) {
        qn_respond_error(r, QN_E_BLOB_UNKNOWN, "blob unknown to this repository");
        return;
    }
    const struct qn_answer *a = x->pull ? qn_pull_answer(x->pull) : NULL;
    if (!x->pull && qn_pull_join(x->server->site, &rq, &x->pull, &e) < 0) {
        qn_respond_denial(x, r, QN_DENY_QUEUE_FULL, e.msg, 0);
    } else if (!a && qn_time_mono_ms() > x->started + COLD_MS) {
        qn_respond_denial(x, r, QN_DENY_UPSTREAM_DOWN, "the upstream registry does not answer in time", 0);
    } else if (!a) {
        qn_exchange_wait(x, r, false, x->started + COLD_MS);
    } else if (a->kind == QN_ANSWER_DENIED) {
        qn_respond_denial(x, r, a->denial, a->message, a->retry_at);
    } else {
        struct qn_fetch *f = qn_fetch_join(x->server->site->fetcher, d, x->route.upstream->name.p);
        if (f)
            respond_fetch(r, fields, f, a->size);
        else if (qn_blob_open(x->server->site->store, d, &fd, &size, &e) == 0) /* it ended just now */
            qn_http_respond_file(r, fields, fd, size);
        else
            qn_respond_error(r, QN_E_NETWORK, "the download from upstream failed");
    }
}

void qn_endpoint_blob(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_digest d;
    struct qn_err e;

    if (qn_digest_parse(x->arg[1], &d, &e) < 0) {
        qn_respond_error(r, QN_E_DIGEST_INVALID, e.msg);
        return;
    }
    if (!qn_exchange_route(x, r, QN_STR("")) || !qn_exchange_may(x, r, QN_PULL) || from_memory(x, r))
        return;
    if (!x->pull && !linked(x, &d)) {
        qn_respond_unlinked(x, r);
        return;
    }
    respond(x, r, &d);
}
