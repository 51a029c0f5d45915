/* A repository of a registry behind the common face of sources and destinations. */
#include "layout.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

struct place {
    struct qn_registry *r;
    char *repo, *ref;
};

static struct place *place_new(struct qn_registry *r, const char *repo, const char *ref)
{
    struct place *p = qn_new(struct place);
    *p = (struct place){r, qn_xstrdup(repo), qn_xstrdup(ref)};
    return p;
}

static void place_free(void *self)
{
    struct place *p = self;
    free(p->repo);
    free(p->ref);
    free(p);
}

static int resolve(void *self, struct qn_str ref, struct qn_item *out, struct qn_err *e)
{
    struct place *p = self;
    struct qn_remote_manifest m;

    if (qn_registry_resolve(p->r, qn_str_c(p->repo), ref.n ? ref : qn_str_c(p->ref), &m, e) < 0)
        return -1;
    free((char *)(uintptr_t)m.bytes.p);
    *out = (struct qn_item){.digest = m.digest, .size = m.size};
    snprintf(out->media_type, sizeof out->media_type, "%s", m.media_type);
    return 0;
}

static int manifest(void *self, const struct qn_digest *d, struct qn_buf *out, char media_type[QN_REMOTE_MEDIA],
                    struct qn_err *e)
{
    struct place *p = self;
    struct qn_remote_manifest m;
    char text[QN_DIGEST_TEXT];

    if (qn_registry_manifest(p->r, qn_str_c(p->repo), qn_str_c(qn_digest_text(d, text)), &m, e) < 0)
        return -1;
    int r = qn_buf_str(out, m.bytes, e);
    free((char *)(uintptr_t)m.bytes.p);
    snprintf(media_type, QN_REMOTE_MEDIA, "%s", m.media_type);
    return r;
}

static int blob(void *self, const struct qn_digest *d, uint64_t size, const struct qn_sink *sink, struct qn_err *e)
{
    struct place *p = self;
    return qn_registry_blob(p->r, qn_str_c(p->repo), d, size, sink, e);
}

int qn_registry_source(struct qn_registry *r, const char *repo, const char *ref, struct qn_source *out,
                       struct qn_err *e)
{
    static const struct qn_source_ops ops = {resolve, manifest, blob, place_free};
    (void)e;
    *out = (struct qn_source){&ops, place_new(r, repo, ref)};
    return 0;
}

static int has_blob(void *self, const struct qn_digest *d, bool *has, struct qn_err *e)
{
    struct place *p = self;
    return qn_registry_has_blob(p->r, qn_str_c(p->repo), d, has, e);
}

static int put_blob(void *self, const struct qn_item *item, int fd, uint64_t offset, struct qn_err *e)
{
    struct place *p = self;
    return qn_registry_put_blob(p->r, qn_str_c(p->repo), &item->digest, fd, offset, item->size, e);
}

static int put_manifest(void *self, const struct qn_item *item, struct qn_str bytes, bool root, struct qn_err *e)
{
    struct place *p = self;
    return qn_registry_put_manifest(p->r, qn_str_c(p->repo), qn_str_c(root ? p->ref : ""), item->media_type, bytes, e);
}

static int finish(void *self, struct qn_err *e)
{
    (void)self, (void)e;
    return 0;
}

int qn_registry_dest(struct qn_registry *r, const char *repo, const char *ref, struct qn_dest *out, struct qn_err *e)
{
    static const struct qn_dest_ops ops = {has_blob, put_blob, put_manifest, finish, place_free};

    if (strchr(ref, ':'))
        return qn_fail(e, QN_E_USAGE, "docker://.../%s@%s: a destination has a tag, not a digest", repo, ref);
    *out = (struct qn_dest){&ops, place_new(r, repo, ref)};
    return 0;
}
