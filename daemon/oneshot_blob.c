/* Bytes of a one-shot run: layers on their way from the source through a derivation to the destination. */
#include "oneshot_int.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* --- held files --------------------------------------------------------------------------------------------------- */
static struct qn_held *find(struct qn_oneshot *o, const struct qn_digest *d)
{
    for (size_t i = 0; i < o->helds; i++)
        if (qn_digest_eq(&o->held[i].digest, d))
            return &o->held[i];
    return NULL;
}

/* Keeps a duplicate of `fd` until the image is written. */
static int hold(struct qn_oneshot *o, const struct qn_digest *d, uint64_t size, int fd, struct qn_err *e)
{
    int r = 0;

    pthread_mutex_lock(&o->lock);
    if (!find(o, d)) {
        void *list = o->held;
        r = qn_grow(&list, &o->held_cap, o->helds + 1, sizeof *o->held, 1u << 16, e);
        o->held = list;
        int copy = r == 0 ? dup(fd) : -1;
        if (r == 0 && copy < 0)
            r = qn_fail_errno(e, QN_E_IO, "keeping a layer");
        if (r == 0)
            o->held[o->helds++] = (struct qn_held){*d, size, copy};
    }
    pthread_mutex_unlock(&o->lock);
    return r;
}

void qn_oneshot_drop(struct qn_oneshot *o)
{
    for (size_t i = 0; i < o->helds; i++)
        close(o->held[i].fd);
    o->helds = 0;
}

/* --- from the source ---------------------------------------------------------------------------------------------- */
struct arriving {
    struct qn_oneshot *o;
    int fd;
    uint64_t at, size;
    int (*progress)(void *arg, uint64_t available, struct qn_err *e);
    void *arg;
};

static int arrive(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct arriving *a = ctx;

    if (atomic_load(&a->o->cancel))
        return qn_fail(e, QN_E_CANCELLED, "cancelled");
    if (n > a->size - a->at)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "more than the %llu bytes that the manifest says",
                       (unsigned long long)a->size);
    if (qn_fd_pwrite(a->fd, p, n, a->at, e) < 0)
        return -1;
    a->at += n;
    return a->progress ? a->progress(a->arg, a->at, e) : 0;
}

/* A blob of the source in an unnamed file. */
static int fetch(struct arriving *a, const struct qn_digest *d, struct qn_err *e)
{
    struct qn_sink sink = {arrive, a};

    if (a->o->source.ops->blob(a->o->source.self, d, a->size, &sink, e) < 0)
        return -1;
    if (a->at != a->size)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "%llu bytes, the manifest says %llu", (unsigned long long)a->at,
                       (unsigned long long)a->size);
    return 0;
}

static int get_layer(void *ctx, const struct qn_descriptor *d, int *fd,
                     int (*opened)(void *arg, int fd, struct qn_err *e),
                     int (*progress)(void *arg, uint64_t available, struct qn_err *e), void *arg, struct qn_err *e)
{
    struct qn_oneshot *o = ctx;

    *fd = qn_fd_tmpfile(o->work, e);
    struct arriving a = {o, *fd, 0, d->size, progress, arg};
    if (*fd < 0 || opened(arg, *fd, e) < 0)
        return -1;
    if (d->size == 0 && progress(arg, 0, e) < 0)
        return -1;
    if (fetch(&a, &d->digest, e) < 0)
        return -1;
    qn_progress_layer(&o->progress);
    return o->opt->dst ? hold(o, &d->digest, d->size, *fd, e) : 0;
}

static int append(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_buf_put(ctx, p, n, e);
}

int qn_oneshot_small(struct qn_oneshot *o, const struct qn_descriptor *d, struct qn_buf *out, struct qn_err *e)
{
    struct qn_sink sink = {append, out};
    size_t before = out->n;

    if (d->size > o->settings.limits.manifest_size)
        return qn_fail(e, QN_E_LIMIT, "%llu bytes, at most %llu (limits.manifest_size)", (unsigned long long)d->size,
                       (unsigned long long)o->settings.limits.manifest_size);
    if (o->source.ops->blob(o->source.self, &d->digest, d->size, &sink, e) < 0)
        return -1;
    if (out->n - before != d->size)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "%zu bytes, the manifest says %llu", out->n - before,
                       (unsigned long long)d->size);
    return 0;
}

static int get_blob(void *ctx, const struct qn_descriptor *d, struct qn_buf *out, struct qn_err *e)
{
    return qn_oneshot_small(ctx, d, out, e);
}

static int made(void *ctx, const struct qn_digest *source, const struct qn_digest *edits, int fd,
                const struct qn_derive_layer *layer, struct qn_err *e)
{
    struct qn_oneshot *o = ctx;

    (void)source;
    (void)edits;
    return o->opt->dst ? hold(o, &layer->digest, layer->size, fd, e) : 0;
}

void qn_oneshot_blobs(struct qn_oneshot *o, struct qn_derive_source *source, struct qn_derive_cache *cache)
{
    *source = (struct qn_derive_source){get_layer, get_blob, o};
    *cache = (struct qn_derive_cache){.rewrite_put = made, .ctx = o};
}

/* --- to the destination ------------------------------------------------------------------------------------------- */
int qn_oneshot_put(struct qn_oneshot *o, const struct qn_descriptor *d, struct qn_err *e)
{
    struct qn_item item = {.digest = d->digest, .size = d->size};
    bool has;

    if (atomic_load(&o->cancel))
        return qn_fail(e, QN_E_CANCELLED, "cancelled");
    snprintf(item.media_type, sizeof item.media_type, "%.*s", QN_FMT(d->media_type));
    if (o->dest.ops->has_blob(o->dest.self, &d->digest, &has, e) < 0)
        return -1;
    if (has)
        return 0;
    if (!find(o, &d->digest)) {
        qn_auto_close int fd = qn_fd_tmpfile(o->work, e);
        struct arriving a = {.o = o, .fd = fd, .size = d->size};
        if (fd < 0 || fetch(&a, &d->digest, e) < 0 || hold(o, &d->digest, d->size, fd, e) < 0)
            return -1;
    }
    const struct qn_held *h = find(o, &d->digest);
    qn_assert(h);
    return o->dest.ops->put_blob(o->dest.self, &item, h->fd, 0, e);
}

int qn_oneshot_put_bytes(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes, struct qn_err *e)
{
    qn_auto_close int fd = qn_fd_memfile("config", e);
    bool has;

    if (fd < 0 || o->dest.ops->has_blob(o->dest.self, &item->digest, &has, e) < 0)
        return -1;
    if (has)
        return 0;
    return qn_fd_write(fd, bytes.p, bytes.n, e) < 0 ? -1 : o->dest.ops->put_blob(o->dest.self, item, fd, 0, e);
}
