/* The blocking forms: start, wait for the callback, hand over. Not for the HTTP client's thread. */
#include "registry_op.h"

#include "base/mem.h"

#include <stdlib.h>

void qn_waiter_init(struct qn_waiter *w)
{
    *w = (struct qn_waiter){0};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->cond, NULL);
}

void qn_waiter_finish(struct qn_waiter *w, const struct qn_err *failed)
{
    pthread_mutex_lock(&w->lock);
    w->finished = true;
    w->failed = failed != NULL;
    if (failed)
        w->err = *failed;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

int qn_waiter_wait(struct qn_waiter *w, int started, struct qn_err *e)
{
    if (started == 0) {
        pthread_mutex_lock(&w->lock);
        while (!w->finished)
            pthread_cond_wait(&w->cond, &w->lock);
        pthread_mutex_unlock(&w->lock);
        if (w->failed)
            *e = w->err;
    }
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->lock);
    return started < 0 || w->failed ? -1 : 0;
}

/* --- manifests ---------------------------------------------------------------------------------------------------- */

struct manifest_wait {
    struct qn_waiter w;
    struct qn_remote_manifest m;
};

static void manifest_done(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed)
{
    struct manifest_wait *mw = ctx;

    if (!failed) {
        mw->m = *m;
        mw->m.bytes = qn_str_n(m->bytes.n ? qn_xstrndup(m->bytes) : NULL, m->bytes.n);
    }
    qn_waiter_finish(&mw->w, failed);
}

int qn_registry_resolve(struct qn_registry *r, struct qn_str repo, struct qn_str ref, struct qn_remote_manifest *out,
                        struct qn_err *e)
{
    struct manifest_wait mw = {0};

    qn_assert(!qn_client_on_thread(r->http));
    qn_waiter_init(&mw.w);
    if (qn_waiter_wait(&mw.w, qn_registry_resolve_async(r, repo, ref, manifest_done, &mw, e), e) < 0)
        return -1;
    *out = mw.m;
    return 0;
}

int qn_registry_manifest(struct qn_registry *r, struct qn_str repo, struct qn_str ref, struct qn_remote_manifest *out,
                         struct qn_err *e)
{
    struct manifest_wait mw = {0};

    qn_assert(!qn_client_on_thread(r->http));
    qn_waiter_init(&mw.w);
    if (qn_waiter_wait(&mw.w, qn_registry_manifest_async(r, repo, ref, manifest_done, &mw, e), e) < 0)
        return -1;
    *out = mw.m;
    return 0;
}

/* --- blobs -------------------------------------------------------------------------------------------------------- */

static void blob_done(void *ctx, const struct qn_err *failed)
{
    qn_waiter_finish(ctx, failed);
}

int qn_registry_blob(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, uint64_t size,
                     const struct qn_sink *sink, struct qn_err *e)
{
    struct qn_waiter w;

    qn_assert(!qn_client_on_thread(r->http));
    qn_waiter_init(&w);
    return qn_waiter_wait(&w, qn_registry_blob_async(r, repo, d, size, sink, blob_done, &w, NULL, e), e);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

struct tags_wait {
    struct qn_waiter w;
    struct qn_remote_tags t;
};

static void tags_done(void *ctx, const struct qn_remote_tags *t, const struct qn_err *failed)
{
    struct tags_wait *tw = ctx;

    if (!failed) {
        tw->t = *t;
        tw->t.tag = qn_xcalloc(t->n + 1, sizeof *t->tag);
        for (size_t i = 0; i < t->n; i++)
            tw->t.tag[i] = qn_xstrdup(t->tag[i]);
    }
    qn_waiter_finish(&tw->w, failed);
}

int qn_registry_tags(struct qn_registry *r, struct qn_str repo, const char *page, unsigned n,
                     struct qn_remote_tags *out, struct qn_err *e)
{
    qn_auto_free struct tags_wait *tw = qn_new(struct tags_wait);

    qn_assert(!qn_client_on_thread(r->http));
    qn_waiter_init(&tw->w);
    if (qn_waiter_wait(&tw->w, qn_registry_tags_async(r, repo, page, n, tags_done, tw, e), e) < 0)
        return -1;
    *out = tw->t;
    return 0;
}

struct text_wait {
    struct qn_waiter w;
    char *p;
    size_t n;
};

static void text_done(void *ctx, struct qn_str json, const struct qn_err *failed)
{
    struct text_wait *tw = ctx;

    if (!failed) {
        tw->p = qn_xstrndup(json);
        tw->n = json.n;
    }
    qn_waiter_finish(&tw->w, failed);
}

int qn_registry_referrers(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, char **json, size_t *n,
                          struct qn_err *e)
{
    struct text_wait tw = {0};

    qn_assert(!qn_client_on_thread(r->http));
    qn_waiter_init(&tw.w);
    if (qn_waiter_wait(&tw.w, qn_registry_referrers_async(r, repo, d, text_done, &tw, e), e) < 0)
        return -1;
    *json = tw.p;
    *n = tw.n;
    return 0;
}
