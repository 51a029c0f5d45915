/* Stages of a derivation that touch layers: scan while they arrive, rewrite, scan what was emitted. */
#include "derive_int.h"

#include "base/fd.h"
#include "formats/inflate.h"
#include "harden/rewrite.h"
#include "worker/handle_rewrite.h"

#include <errno.h>
#include <unistd.h>

/* A scan under way. */
struct scanning {
    struct qn_derivation *d;
    struct qn_work_layer *l;
    struct qn_worker *w;
    bool asked; /* the worker has its request */
};

static int scan_opened(void *arg, int fd, struct qn_err *e)
{
    struct scanning *s = arg;
    s->asked = true;
    return qn_worker_request_scan(s->w, fd, s->l->spill, s->l->facts, &s->d->env->limits,
                                  s->d->env->contents ? QN_SCAN_CONTENTS : 0, e);
}

static void report_fetch(struct qn_derivation *d, struct qn_work_layer *l, uint64_t available)
{
    uint64_t done = 0;

    pthread_mutex_lock(&d->lock);
    l->fetched = available;
    for (size_t i = 0; i < d->count; i++)
        done += d->layer[i].fetched;
    pthread_mutex_unlock(&d->lock);
    if (d->env->progress.report)
        d->env->progress.report(d->env->progress.ctx, d->stage, done, d->total);
}

static int scan_progress(void *arg, uint64_t available, struct qn_err *e)
{
    struct scanning *s = arg;

    report_fetch(s->d, s->l, available);
    return qn_worker_progress(s->w, available, available == s->l->descriptor->size, e);
}

/* Facts that are known from another image: the layer itself is needed only if something edits it. */
static int known_facts(struct qn_derivation *d, struct qn_work_layer *l, bool *known, struct qn_err *e)
{
    const struct qn_derive_cache *c = &d->env->cache;

    *known = false;
    if (!c->facts_get)
        return 0;
    if (c->facts_get(c->ctx, &l->descriptor->digest, &l->facts, &l->facts_size, &l->tar_size, e) < 0)
        return -1;
    *known = l->facts >= 0;
    return 0;
}

static int ignore_opened(void *arg, int fd, struct qn_err *e)
{
    (void)arg;
    (void)fd;
    (void)e;
    return 0;
}

static int only_progress(void *arg, uint64_t available, struct qn_err *e)
{
    struct scanning *s = arg;
    (void)e;
    report_fetch(s->d, s->l, available);
    return 0;
}

/* Keeps the uncompressed tar while there is room for it. */
static void keep_spill(struct qn_derivation *d, struct qn_work_layer *l)
{
    pthread_mutex_lock(&d->lock);
    bool fits = l->tar_size <= d->env->spill && d->spilled <= d->env->spill - l->tar_size;
    if (fits)
        d->spilled += l->tar_size;
    pthread_mutex_unlock(&d->lock);
    if (!fits)
        qn_close_cleanup(&l->spill);
}

static int scan_fresh(struct qn_derivation *d, size_t i, struct qn_err *e)
{
    struct qn_work_layer *l = &d->layer[i];
    const struct qn_derive_cache *c = &d->env->cache;
    qn_auto_worker struct qn_worker *w = NULL;
    qn_auto_buf struct qn_buf reply = {0};
    struct qn_scan_reply r;
    struct qn_err worker_err = {.code = QN_OK};

    qn_buf_init(&reply, 65536);
    l->spill = qn_derive_tmp(d, e);
    l->facts = l->spill < 0 ? -1 : qn_derive_tmp(d, e);
    if (l->facts < 0 || qn_workers_take(d->env->workers, &w, e) < 0)
        return -1;
    struct scanning s = {d, l, w, false};
    if (d->source->layer(d->source->ctx, l->descriptor, &l->blob, scan_opened, scan_progress, &s, e) < 0) {
        /* A worker that gave up while bytes still came knows better what is wrong with them. */
        if (s.asked && qn_worker_wait(w, 0, NULL, &reply, &worker_err) < 0 && worker_err.code == QN_E_MALFORMED)
            *e = worker_err;
        return -1;
    }
    if (qn_derive_wait(d, w, &reply, e) < 0 || qn_scan_reply_read(qn_buf_view(&reply), &r, e) < 0)
        return -1;
    l->facts_size = r.facts_size;
    l->tar_size = r.tar_size;
    l->compression = r.compression;
    keep_spill(d, l);
    if (c->facts_put)
        (void)c->facts_put(c->ctx, &l->descriptor->digest, l->descriptor->size, l->facts, l->facts_size, l->tar_size,
                           e);
    return 0;
}

int qn_derive_scan(struct qn_derivation *d, size_t i, struct qn_err *e)
{
    struct qn_work_layer *l = &d->layer[i];
    struct scanning s = {d, l, NULL, false};
    bool known;

    l->state = QN_LAYER_UNCHANGED;
    if (known_facts(d, l, &known, e) < 0)
        return qn_derive_at_layer(d, i, e);
    int r = known ? d->source->layer(d->source->ctx, l->descriptor, &l->blob, ignore_opened, only_progress, &s, e)
                  : scan_fresh(d, i, e);
    if (r == 0 && known) {
        char head[QN_COMPRESSION_SNIFF];
        size_t got;
        r = qn_fd_pread(l->blob, head, sizeof head, 0, &got, e);
        l->compression = r == 0 ? qn_compression_detect(qn_str_n(head, got)) : QN_PLAIN;
    }
    return r < 0 ? qn_derive_at_layer(d, i, e) : 0;
}

int qn_derive_scan_file(struct qn_derivation *d, int blob, uint64_t size, int facts, struct qn_scan_reply *out,
                        struct qn_err *e)
{
    qn_auto_worker struct qn_worker *w = NULL;
    qn_auto_close int spill = qn_derive_tmp(d, e);
    qn_auto_buf struct qn_buf reply = {0};
    struct qn_limits limits = d->env->limits;

    /* What was let in may shrink further when it is compressed again; its size is limited all the same. */
    limits.layer_ratio = 0;
    qn_buf_init(&reply, 65536);
    if (spill < 0 || qn_workers_take(d->env->workers, &w, e) < 0 ||
        qn_worker_request_scan(w, blob, spill, facts, &limits, QN_SCAN_DIFF_ID, e) < 0 ||
        qn_worker_progress(w, size, true, e) < 0 || qn_derive_wait(d, w, &reply, e) < 0)
        return -1;
    return qn_scan_reply_read(qn_buf_view(&reply), out, e);
}

/* --- rewrite ------------------------------------------------------------------------------------------------------ */
static int hash_file(int fd, uint64_t size, struct qn_digest *out, struct qn_err *e)
{
    qn_auto_hash struct qn_hash h = {0};
    char *chunk = qn_xcalloc(1, 256u << 10);
    uint64_t at = 0;
    size_t got = 1;
    int r = 0;

    qn_hash_init(&h, QN_SHA256);
    while (r == 0 && at < size && got > 0) {
        r = qn_fd_pread(fd, chunk, (size_t)QN_MIN(size - at, (uint64_t)(256u << 10)), at, &got, e);
        qn_hash_update(&h, chunk, got);
        at += got;
    }
    free(chunk);
    if (r == 0 && at != size)
        r = qn_fail(e, QN_E_IO, "rewritten layer is shorter than its worker said");
    *out = qn_hash_final(&h);
    return r;
}

/* The piece list of one layer as a file of its own. */
static int piece_file(struct qn_derivation *d, const struct qn_work_layer *l, struct qn_err *e)
{
    int fd = qn_fd_memfile("pieces", e);
    char chunk[32768];

    for (uint64_t at = 0; fd >= 0 && at < l->pieces_len;) {
        size_t got;
        if (qn_fd_pread(d->pieces, chunk, (size_t)QN_MIN(l->pieces_len - at, (uint64_t)sizeof chunk),
                        l->pieces_off + at, &got, e) < 0 ||
            got == 0 || qn_fd_write(fd, chunk, got, e) < 0) {
            close(fd);
            return got == 0 ? qn_fail(e, QN_E_IO, "piece list is cut short") : -1;
        }
        at += got;
    }
    return fd;
}

/* What a rewritten layer is compressed with: what the source is (compression: keep), or gzip. */
static enum qn_compression target(const struct qn_derivation *d, const struct qn_work_layer *l)
{
    const char *want = json_string_value(json_object_get(d->document, "compression"));

    return want && strcmp(want, "gzip") == 0 ? QN_GZIP : l->compression;
}

/* Rewrites are found again by layer and edits; another compression gives other bytes. */
static struct qn_digest rewrite_key(const struct qn_work_layer *l)
{
    struct qn_hash h;

    if (l->made_compression == l->compression)
        return l->edits;
    qn_hash_init(&h, QN_SHA256);
    qn_hash_update(&h, &l->edits, sizeof l->edits);
    qn_hash_update(&h, "gzip", 4);
    return qn_hash_final(&h);
}

static int rewrite_fresh(struct qn_derivation *d, struct qn_work_layer *l, int out, struct qn_err *e)
{
    qn_auto_worker struct qn_worker *w = NULL;
    qn_auto_close int pieces = piece_file(d, l, e);
    qn_auto_buf struct qn_buf reply = {0};
    struct qn_rewritten r;
    struct qn_rewrite job = {.source = l->spill >= 0 ? l->spill : l->blob,
                             .from = l->spill >= 0 ? QN_PLAIN : l->compression,
                             .source_size = l->spill >= 0 ? l->tar_size : l->descriptor->size,
                             .tar_size = l->tar_size,
                             .file = -1,
                             .to = l->made_compression,
                             .out = out,
                             .max_out = d->env->limits.image_size + (64u << 20)};

    qn_buf_init(&reply, 65536);
    if (pieces < 0 || qn_workers_take(d->env->workers, &w, e) < 0 ||
        qn_worker_request_rewrite(w, &job, pieces, e) < 0 || qn_derive_wait(d, w, &reply, e) < 0 ||
        qn_rewritten_decode(qn_buf_view(&reply), &r, e) < 0)
        return -1;
    l->made = (struct qn_derive_layer){.size = r.size, .diff_id = r.diff_id, .tar_size = r.tar_size};
    return hash_file(out, r.size, &l->made.digest, e);
}

/* The facts of an emitted layer, read from its bytes by another process than the one that made them. */
static int scan_made(struct qn_derivation *d, struct qn_work_layer *l, int blob, struct qn_err *e)
{
    struct qn_scan_reply r;

    l->made_facts = qn_derive_tmp(d, e);
    if (l->made_facts < 0 || qn_derive_scan_file(d, blob, l->made.size, l->made_facts, &r, e) < 0)
        return qn_err_wrap(e, "rewritten layer");
    l->made_facts_size = r.facts_size;
    return 0;
}

static void report_rewrite(struct qn_derivation *d, uint64_t more)
{
    uint64_t total = 0;

    for (size_t i = 0; i < d->count; i++)
        total += d->layer[i].state == QN_LAYER_REWRITTEN ? d->layer[i].descriptor->size : 0;
    pthread_mutex_lock(&d->lock);
    d->rewritten += more;
    uint64_t done = d->rewritten;
    pthread_mutex_unlock(&d->lock);
    if (d->env->progress.report)
        d->env->progress.report(d->env->progress.ctx, d->stage, done, total);
}

int qn_derive_rewrite(struct qn_derivation *d, size_t i, struct qn_err *e)
{
    struct qn_work_layer *l = &d->layer[i];
    const struct qn_derive_cache *c = &d->env->cache;
    bool found = false;
    qn_auto_close int out = -1;

    if (l->state != QN_LAYER_REWRITTEN)
        return 0;
    report_rewrite(d, 0);
    l->made_compression = target(d, l);
    struct qn_digest key = rewrite_key(l);
    if (c->rewrite_get && c->rewrite_get(c->ctx, &l->descriptor->digest, &key, &found, &l->made, e) < 0)
        return qn_derive_at_layer(d, i, e);
    if (found && c->facts_get) {
        uint64_t tar_size;
        if (c->facts_get(c->ctx, &l->made.digest, &l->made_facts, &l->made_facts_size, &tar_size, e) < 0)
            return -1;
        if (l->made_facts >= 0)
            return 0;
    }
    out = qn_derive_tmp(d, e);
    if (out < 0 || rewrite_fresh(d, l, out, e) < 0 || scan_made(d, l, out, e) < 0 ||
        c->rewrite_put(c->ctx, &l->descriptor->digest, &key, out, &l->made, e) < 0)
        return qn_derive_at_layer(d, i, e);
    report_rewrite(d, l->descriptor->size);
    if (c->facts_put)
        (void)c->facts_put(c->ctx, &l->made.digest, l->made.size, l->made_facts, l->made_facts_size, l->made.tar_size,
                           e);
    return 0;
}
