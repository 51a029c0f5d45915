/* Downloads of blobs: hashed on the way, resumed where they were cut. */
#include "registry_op.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdatomic.h>
#include <stdlib.h>

#define BACKOFF_MAX_MS  30000u
#define RETRY_AFTER_MAX 30 /* seconds that a download waits when upstream asks it to */

struct qn_blob_op {
    struct qn_blob_op *next;
    uint64_t id;
    struct qn_registry *r;
    char repo[256];
    struct qn_digest want;
    uint64_t size; /* UINT64_MAX: unknown */
    const struct qn_sink *sink;
    void (*done)(void *ctx, const struct qn_err *failed);
    void *ctx;
    struct qn_hash hash;
    uint64_t have;    /* bytes given to the sink */
    uint64_t skip;    /* bytes of this answer that we have already */
    uint64_t started; /* `have` when this attempt began */
    unsigned fruitless;
    bool no_range; /* the upstream does not resume properly */
    bool sink_failed;
    atomic_bool cancelled;
    _Atomic uint64_t http_id;
    struct qn_sink own;
};

static void finish(struct qn_blob_op *b, const struct qn_err *failed)
{
    struct qn_registry *r = b->r;
    struct qn_err e;

    pthread_mutex_lock(&r->lock);
    for (struct qn_blob_op **at = &r->blobs; *at; at = &(*at)->next) {
        if (*at == b) {
            *at = b->next;
            break;
        }
    }
    pthread_mutex_unlock(&r->lock);
    if (failed) {
        char text[QN_DIGEST_TEXT];
        e = *failed;
        qn_err_wrap(&e, "upstream %s: blob %s@%s", r->name, b->repo, qn_digest_text(&b->want, text));
    }
    b->done(b->ctx, failed ? &e : NULL);
    qn_hash_fini(&b->hash);
    free(b);
}

/* --- one attempt -------------------------------------------------------------------------------------------------- */

static int on_bytes(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct qn_blob_op *b = ctx;

    if (b->skip) {
        size_t known = (size_t)QN_MIN(b->skip, (uint64_t)n);
        b->skip -= known;
        p = (const char *)p + known;
        n -= known;
    }
    if (n == 0)
        return 0;
    if (b->size != UINT64_MAX && n > b->size - b->have)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "more than the %llu bytes of its descriptor",
                       (unsigned long long)b->size);
    qn_hash_update(&b->hash, p, n);
    b->have += n;
    if (qn_sink_write(b->sink, p, n, e) < 0) {
        b->sink_failed = true;
        return -1;
    }
    return 0;
}

/* "bytes 100-199/200": whether it starts where we asked. */
static bool range_starts_at(struct qn_str s, uint64_t from)
{
    struct qn_err ignored;
    uint64_t start;
    ptrdiff_t dash;

    if (!qn_str_starts(s, QN_STR("bytes ")))
        return false;
    s = qn_str_from(s, 6);
    dash = qn_str_chr(s, '-');
    return dash > 0 && qn_num_u64(qn_str_trim(qn_str_head(s, (size_t)dash)), 0, UINT64_MAX, &start, &ignored) == 0 &&
           start == from;
}

static int on_head(void *ctx, const struct qn_client_response *resp, struct qn_err *e)
{
    /* The operation's context is the blob's: see send_blob. */
    struct qn_blob_op *b = ((struct qn_op *)ctx)->ctx;
    uint64_t length;
    struct qn_err ignored;

    if (b->cancelled)
        return qn_fail(e, QN_E_CANCELLED, "cancelled");
    if (resp->status == 206) {
        if (!range_starts_at(qn_client_header_get(resp, "content-range"), b->have) || b->have == 0) {
            b->no_range = true;
            return qn_fail(e, QN_E_NETWORK, "an answer with another range than was asked for");
        }
        b->skip = 0;
    } else if (resp->status == 200) {
        b->skip = b->have;
        if (b->size != UINT64_MAX &&
            qn_num_u64(qn_client_header_get(resp, "content-length"), 0, UINT64_MAX, &length, &ignored) == 0 &&
            length != b->size)
            return qn_fail(e, QN_E_SIZE_MISMATCH, "%llu bytes instead of the %llu of its descriptor",
                           (unsigned long long)length, (unsigned long long)b->size);
    }
    return 0;
}

static void verify(struct qn_blob_op *b)
{
    struct qn_err e;
    char text[QN_DIGEST_TEXT];
    struct qn_digest have = qn_hash_final(&b->hash);

    if (qn_digest_eq(&have, &b->want)) {
        finish(b, NULL);
        return;
    }
    qn_fail(&e, QN_E_DIGEST_MISMATCH, "content has %s", qn_digest_text(&have, text));
    finish(b, &e);
}

static void send_blob(struct qn_blob_op *b);

static void again(void *ctx, bool stopping)
{
    struct qn_blob_op *b = ctx;
    struct qn_err e;

    if (!stopping && !b->cancelled) {
        send_blob(b);
        return;
    }
    qn_fail(&e, QN_E_CANCELLED, "cancelled");
    finish(b, &e);
}

/* Another attempt after a pause, or the end. */
static void retry(struct qn_blob_op *b, const struct qn_err *why, unsigned pause_ms)
{
    struct qn_err e;

    if (b->have > b->started)
        b->fruitless = 0;
    if (++b->fruitless >= b->r->attempts) {
        finish(b, why);
        return;
    }
    uint64_t ms = (uint64_t)b->r->backoff_ms << QN_MIN(b->fruitless - 1, 16u);
    ms = QN_MAX(QN_MIN(ms, BACKOFF_MAX_MS), pause_ms);
    if (qn_client_later(b->r->http, (unsigned)ms, again, b, &e) < 0)
        finish(b, why);
}

static unsigned asked_pause(const struct qn_client_response *resp)
{
    struct qn_err ignored;
    uint64_t seconds;

    if (qn_num_u64(qn_client_header_get(resp, "retry-after"), 0, UINT64_MAX, &seconds, &ignored) < 0)
        return 0;
    return seconds > RETRY_AFTER_MAX ? UINT32_MAX : (unsigned)seconds * 1000;
}

static void on_status(struct qn_blob_op *b, const struct qn_client_response *resp)
{
    struct qn_err e;
    unsigned pause = asked_pause(resp);

    if (resp->status == 416 && b->have > 0 && !b->no_range) {
        b->no_range = true;
        qn_fail(&e, QN_E_NETWORK, "status 416 for a range inside of the blob");
        retry(b, &e, 0);
        return;
    }
    qn_status_fail(b->r, resp, "blob", QN_E_BLOB_UNKNOWN, &e);
    /* A signed address that expired in the middle is answered with 403; a fresh one is a redirect away. */
    bool transient = (resp->status == 403 && b->have > 0) || resp->status == 408 || resp->status == 429 ||
                     (resp->status >= 500 && resp->status != 501);
    if (transient && pause != UINT32_MAX)
        retry(b, &e, pause);
    else
        finish(b, &e);
}

static void on_done(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct qn_blob_op *b = ctx;
    struct qn_err e;

    if (failed) {
        bool transient = failed->code == QN_E_NETWORK || failed->code == QN_E_TIMEOUT;
        /* All bytes are here: an end that is not as announced does not matter. */
        if (transient && b->size != UINT64_MAX && b->have == b->size && b->have > b->started)
            verify(b);
        else if (transient && !b->sink_failed)
            retry(b, failed, 0);
        else
            finish(b, failed);
        return;
    }
    if (resp->status != 200 && resp->status != 206) {
        on_status(b, resp);
        return;
    }
    if (b->skip || (b->size != UINT64_MAX && b->have < b->size)) {
        qn_fail(&e, QN_E_NETWORK, "the answer ended after %llu bytes", (unsigned long long)b->have);
        retry(b, &e, 0);
        return;
    }
    verify(b);
}

static void send_blob(struct qn_blob_op *b)
{
    char text[QN_DIGEST_TEXT];
    struct qn_err e;
    struct qn_op *op = qn_op_new(b->r, QN_CLIENT_GET, qn_str_c(b->repo), "pull", "/v2/%s/blobs/%s", b->repo,
                                 qn_digest_text(&b->want, text));

    b->started = b->have;
    b->skip = 0;
    op->timeout = 0; /* stalls end it, not its length */
    op->max_body = INT64_MAX;
    op->range_from = b->no_range ? 0 : b->have;
    op->sink = &b->own;
    op->head = on_head;
    op->http_id = &b->http_id;
    op->done = on_done;
    op->ctx = b;
    if (qn_op_start(op, &e) < 0)
        finish(b, &e);
}

int qn_registry_blob_async(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, uint64_t size,
                           const struct qn_sink *sink, void (*done)(void *ctx, const struct qn_err *failed), void *ctx,
                           uint64_t *id, struct qn_err *e)
{
    struct qn_blob_op *b = qn_new(struct qn_blob_op);

    if (qn_registry_repo(r, repo, b->repo, e) < 0) {
        free(b);
        return -1;
    }
    b->r = r;
    b->want = *d;
    b->size = size;
    b->sink = sink;
    b->done = done;
    b->ctx = ctx;
    b->own = (struct qn_sink){on_bytes, b};
    qn_hash_init(&b->hash, d->algorithm);
    pthread_mutex_lock(&r->lock);
    b->id = ++r->last_blob;
    if (id)
        *id = b->id;
    b->next = r->blobs;
    r->blobs = b;
    pthread_mutex_unlock(&r->lock);
    /* On the client's thread, like every later step: nothing may finish before this returns. */
    if (qn_client_later(r->http, 0, again, b, e) == 0)
        return 0;
    pthread_mutex_lock(&r->lock);
    struct qn_blob_op **at = &r->blobs;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    pthread_mutex_unlock(&r->lock);
    qn_hash_fini(&b->hash);
    free(b);
    return -1;
}

void qn_registry_cancel(struct qn_registry *r, uint64_t id)
{
    uint64_t http_id = 0;

    pthread_mutex_lock(&r->lock);
    for (struct qn_blob_op *b = r->blobs; b; b = b->next) {
        if (b->id == id) {
            b->cancelled = true;
            http_id = b->http_id;
        }
    }
    pthread_mutex_unlock(&r->lock);
    if (http_id)
        qn_client_cancel(r->http, http_id);
}
