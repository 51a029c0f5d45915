#include "registry_op.h"

#include "base/mem.h"
#include "base/num.h"
#include "formats/mediatype.h"
#include "formats/reference.h"

#include <stdio.h>
#include <stdlib.h>

#define ACCEPT                                                                                                         \
    "Accept: " QN_MT_OCI_INDEX ", " QN_MT_OCI_MANIFEST ", " QN_MT_DOCKER_INDEX ", " QN_MT_DOCKER_MANIFEST ", "         \
    "*/*;q=0.1"

struct manifest_op {
    struct qn_registry *r;
    char repo[256];
    char ref[QN_DIGEST_TEXT];
    struct qn_digest want; /* none when asked by tag */
    void (*done)(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed);
    void *ctx;
};

static void finish(struct manifest_op *m, const struct qn_remote_manifest *out, const struct qn_err *failed)
{
    m->done(m->ctx, failed ? NULL : out, failed);
    free(m);
}

/* Content-Type and ETag as far as they fit; the header's digest when it is one. */
static void read_headers(const struct qn_client_response *resp, struct qn_remote_manifest *out,
                         struct qn_digest *claimed)
{
    struct qn_err ignored;

    qn_str_copy(qn_media_type_essence(qn_client_header_get(resp, "content-type")), out->media_type,
                sizeof out->media_type);
    qn_str_copy(qn_client_header_get(resp, "etag"), out->etag, sizeof out->etag);
    if (qn_digest_parse(qn_client_header_get(resp, "docker-content-digest"), claimed, &ignored) < 0)
        *claimed = (struct qn_digest){0};
}

static struct qn_digest digest_as(enum qn_digest_algorithm algorithm, struct qn_str bytes)
{
    struct qn_hash h;

    qn_hash_init(&h, algorithm ? algorithm : QN_SHA256);
    qn_hash_update(&h, bytes.p, bytes.n);
    return qn_hash_final(&h);
}

static int take_bytes(struct manifest_op *m, const struct qn_client_response *resp, struct qn_remote_manifest *out,
                      struct qn_err *e)
{
    struct qn_digest claimed;
    char a[QN_DIGEST_TEXT], b[QN_DIGEST_TEXT];

    if (resp->status != 200) {
        qn_auto_free char *what = qn_xasprintf("manifest %s:%s", m->repo, m->ref);
        return qn_status_fail(m->r, resp, what, QN_E_MANIFEST_UNKNOWN, e);
    }
    read_headers(resp, out, &claimed);
    /* The header is a claim; what counts is what the bytes are. */
    const struct qn_digest *must = m->want.algorithm ? &m->want : claimed.algorithm ? &claimed : NULL;
    out->digest = digest_as(must ? must->algorithm : QN_SHA256, resp->body);
    if (must && !qn_digest_eq(must, &out->digest))
        return qn_fail(e, QN_E_DIGEST_MISMATCH, "upstream %s: manifest %s:%s: content has %s, not %s", m->r->name,
                       m->repo, m->ref, qn_digest_text(&out->digest, a), qn_digest_text(must, b));
    out->bytes = resp->body;
    out->size = resp->body.n;
    return 0;
}

static void on_manifest(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct manifest_op *m = ctx;
    struct qn_remote_manifest out = {0};
    struct qn_err e;

    if (failed) {
        e = *failed;
        qn_err_wrap(&e, "upstream %s: manifest %s:%s", m->r->name, m->repo, m->ref);
    }
    if (failed || take_bytes(m, resp, &out, &e) < 0)
        finish(m, NULL, &e);
    else
        finish(m, &out, NULL);
}

/* Starts a request for the manifest; `m` stays the caller's on failure. */
static int ask(struct manifest_op *m, enum qn_client_method method,
               void (*done)(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed),
               struct qn_err *e)
{
    struct qn_op *op = qn_op_new(m->r, method, qn_str_c(m->repo), "pull", "/v2/%s/manifests/%s", m->repo, m->ref);

    qn_op_header(op, ACCEPT);
    op->max_body = m->r->manifest_max;
    op->repeat = true;
    op->done = done;
    op->ctx = m;
    return qn_op_start(op, e);
}

static void on_head(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct manifest_op *m = ctx;
    struct qn_remote_manifest out = {0};
    struct qn_digest claimed;
    struct qn_err e;

    if (failed) {
        finish(m, NULL, failed);
        return;
    }
    if (resp->status == 429) {
        qn_status_fail(m->r, resp, m->repo, QN_E_MANIFEST_UNKNOWN, &e);
        finish(m, NULL, &e);
        return;
    }
    if (resp->status == 200) {
        read_headers(resp, &out, &claimed);
        struct qn_str length = qn_client_header_get(resp, "content-length");
        if (claimed.algorithm && qn_num_u64(length, 1, INT64_MAX, &out.size, &e) == 0 &&
            (!m->want.algorithm || qn_digest_eq(&claimed, &m->want))) {
            out.digest = claimed;
            finish(m, &out, NULL);
            return;
        }
    }
    /* Proxies answer HEAD with 401, 404 or 405, or without a digest: only GET tells. */
    if (ask(m, QN_CLIENT_GET, on_manifest, &e) < 0)
        finish(m, NULL, &e);
}

static int make(struct qn_registry *r, struct qn_str repo, struct qn_str ref,
                void (*done)(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed), void *ctx,
                struct manifest_op **out, struct qn_err *e)
{
    qn_auto_free struct manifest_op *m = qn_new(struct manifest_op);

    if (qn_registry_repo(r, repo, m->repo, e) < 0)
        return -1;
    if (qn_str_chr(ref, ':') >= 0) {
        if (qn_digest_parse(ref, &m->want, e) < 0)
            return -1;
    } else if (!qn_reference_tag_valid(ref)) {
        return qn_fail(e, QN_E_NAME_INVALID, "upstream %s: \"%s\" is not a tag", r->name, QN_Q(ref));
    }
    qn_str_copy(ref, m->ref, sizeof m->ref);
    m->r = r;
    m->done = done;
    m->ctx = ctx;
    *out = qn_steal(m);
    return 0;
}

int qn_registry_resolve_async(struct qn_registry *r, struct qn_str repo, struct qn_str ref,
                              void (*done)(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed),
                              void *ctx, struct qn_err *e)
{
    struct manifest_op *m;

    if (make(r, repo, ref, done, ctx, &m, e) < 0)
        return -1;
    if (ask(m, QN_CLIENT_HEAD, on_head, e) == 0)
        return 0;
    free(m);
    return -1;
}

int qn_registry_manifest_async(struct qn_registry *r, struct qn_str repo, struct qn_str ref,
                               void (*done)(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed),
                               void *ctx, struct qn_err *e)
{
    struct manifest_op *m;

    if (make(r, repo, ref, done, ctx, &m, e) < 0)
        return -1;
    if (ask(m, QN_CLIENT_GET, on_manifest, e) == 0)
        return 0;
    free(m);
    return -1;
}
