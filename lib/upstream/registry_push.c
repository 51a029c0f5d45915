/* Pushing, for destinations of the command line. Blocking. */
#include "registry_op.h"

#include "base/mem.h"
#include "formats/reference.h"
#include "client_call.h"

#include <stdio.h>
#include <stdlib.h>

struct push_wait {
    struct qn_waiter w;
    int status;
    struct qn_registry *r;
    const char *what;
    char *location; /* absolute; NULL when there was none */
    struct qn_err status_err;
};

static void url_cleanup(CURLU **u)
{
    curl_url_cleanup(*u);
}

static char *absolute(const char *base, struct qn_str location)
{
    QN_CLEANUP(url_cleanup) CURLU *u = curl_url();
    qn_auto_free char *rel = qn_xstrndup(location);
    char *full = NULL, *out = NULL;

    if (location.n && u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, rel, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_URL, &full, 0) == CURLUE_OK)
        out = qn_xstrdup(full);
    curl_free(full);
    return out;
}

static void on_done(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct push_wait *p = ctx;

    if (!failed) {
        p->status = resp->status;
        p->location = absolute(resp->url, qn_client_header_get(resp, "location"));
        qn_status_fail(p->r, resp, p->what, QN_E_NAME_UNKNOWN, &p->status_err);
    }
    qn_waiter_finish(&p->w, failed);
}

/* Sends and waits. The answer's status is in p->status, the error it would be in p->status_err. */
static int run(struct qn_op *op, const char *what, struct push_wait *p, struct qn_err *e)
{
    *p = (struct push_wait){.r = op->r, .what = what};
    qn_assert(!qn_client_on_thread(op->r->http));
    qn_waiter_init(&p->w);
    op->done = on_done;
    op->ctx = p;
    return qn_waiter_wait(&p->w, qn_op_start(op, e), e);
}

int qn_registry_has_blob(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, bool *has,
                         struct qn_err *e)
{
    char name[256], text[QN_DIGEST_TEXT];
    struct push_wait p;

    if (qn_registry_repo(r, repo, name, e) < 0)
        return -1;
    struct qn_op *op =
        qn_op_new(r, QN_CLIENT_HEAD, qn_str_c(name), "pull,push", "/v2/%s/blobs/%s", name, qn_digest_text(d, text));
    op->repeat = true;
    if (run(op, "blob", &p, e) < 0)
        return -1;
    free(p.location);
    if (p.status != 200 && p.status != 404) {
        *e = p.status_err;
        return -1;
    }
    *has = p.status == 200;
    return 0;
}

/* The upload's address with the digest added. It may be on another host (then nothing of ours goes along), but never
 * on plain http when the registry is not. */
static int upload_url(struct qn_registry *r, const char *location, const struct qn_digest *d, char **out,
                      struct qn_err *e)
{
    QN_CLEANUP(qn_origin_fini) struct qn_origin at = {0}, home = {0};
    char text[QN_DIGEST_TEXT];

    if (!location)
        return qn_fail(e, QN_E_NETWORK, "upstream %s: an upload without a Location", r->name);
    if (qn_origin_of(location, r->plain_http, &at, e) < 0 || qn_origin_of(r->url, true, &home, e) < 0)
        return qn_err_wrap(e, "upstream %s: upload", r->name);
    if (!qn_origin_eq(&at, &home))
        return qn_fail(e, QN_E_UNSUPPORTED, "upstream %s: uploads go to another host (%s)", r->name,
                       QN_Q(qn_str_c(at.host)));
    *out = qn_xasprintf("%s%cdigest=%s", location, strchr(location, '?') ? '&' : '?', qn_digest_text(d, text));
    return 0;
}

int qn_registry_put_blob(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, int fd, uint64_t offset,
                         uint64_t size, struct qn_err *e)
{
    char name[256];
    struct push_wait p;
    qn_auto_free char *url = NULL;

    if (qn_registry_repo(r, repo, name, e) < 0)
        return -1;
    struct qn_op *op = qn_op_new(r, QN_CLIENT_POST, qn_str_c(name), "pull,push", "/v2/%s/blobs/uploads/", name);
    if (run(op, "start of an upload", &p, e) < 0)
        return -1;
    qn_auto_free char *location = p.location;
    if (p.status != 202) {
        *e = p.status_err;
        return -1;
    }
    if (upload_url(r, location, d, &url, e) < 0)
        return -1;
    op = qn_op_new(r, QN_CLIENT_PUT, qn_str_c(name), "pull,push", "%s", "/");
    free(op->url);
    op->url = qn_steal(url);
    qn_op_header(op, "Content-Type: application/octet-stream");
    op->body_fd = fd;
    op->body_offset = offset;
    op->body_size = size;
    op->timeout = 0;
    if (run(op, "upload", &p, e) < 0)
        return -1;
    free(p.location);
    if (p.status != 201 && p.status != 204) {
        *e = p.status_err;
        return -1;
    }
    return 0;
}

int qn_registry_put_manifest(struct qn_registry *r, struct qn_str repo, struct qn_str ref, const char *media_type,
                             struct qn_str bytes, struct qn_err *e)
{
    char name[256], text[QN_DIGEST_TEXT];
    struct push_wait p;
    struct qn_digest d = qn_digest_of(bytes);

    if (qn_registry_repo(r, repo, name, e) < 0)
        return -1;
    if (ref.n == 0)
        ref = qn_str_c(qn_digest_text(&d, text));
    else if (!qn_reference_tag_valid(ref))
        return qn_fail(e, QN_E_NAME_INVALID, "\"%s\" is not a tag", QN_Q(ref));
    struct qn_op *op =
        qn_op_new(r, QN_CLIENT_PUT, qn_str_c(name), "pull,push", "/v2/%s/manifests/%.*s", name, QN_FMT(ref));
    qn_auto_free char *type = qn_xasprintf("Content-Type: %s", media_type);
    qn_op_header(op, type);
    op->body = bytes;
    if (run(op, "manifest", &p, e) < 0)
        return -1;
    free(p.location);
    if (p.status != 201 && p.status != 200) {
        *e = p.status_err;
        return -1;
    }
    return 0;
}
