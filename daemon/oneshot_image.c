/* The images of a one-shot run: which platforms, one derivation each, the index around them, the destination. */
#include "oneshot_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "formats/imgconfig.h"
#include "service/index_make.h"

#include <stdlib.h>

#define IMAGES_MAX 512
#define PARALLEL   4

static bool wanted(const struct qn_oneshot *o, const struct qn_platform *p)
{
    for (size_t i = 0; o->want && i < o->wants; i++)
        if (qn_platform_match(&o->want[i], p))
            return true;
    return !o->want;
}

/* Manifest or index by digest. */
static int read_manifest(struct qn_oneshot *o, struct qn_item *item, struct qn_buf *bytes, struct qn_manifest *m,
                         struct qn_err *e)
{
    char declared[QN_REMOTE_MEDIA] = "", text[QN_DIGEST_TEXT];

    qn_buf_init(bytes, o->settings.limits.manifest_size);
    if (o->source.ops->manifest(o->source.self, &item->digest, bytes, declared, e) < 0)
        return -1;
    if (item->media_type[0] == '\0')
        snprintf(item->media_type, sizeof item->media_type, "%s", declared);
    if (qn_manifest_parse(qn_buf_view(bytes), qn_str_c(item->media_type), &o->settings.limits, m, e) < 0)
        return qn_err_wrap(e, "manifest %s", qn_digest_text(&item->digest, text));
    item->size = bytes->n;
    snprintf(item->media_type, sizeof item->media_type, "%s", m->media_type);
    return 0;
}

/* --- one image ---------------------------------------------------------------------------------------------------- */
static int config_of(struct qn_oneshot *o, const struct qn_manifest *m, struct qn_buf *b, struct qn_imgconfig *c,
                     struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];

    qn_buf_init(b, o->settings.limits.manifest_size);
    if (qn_oneshot_small(o, &m->config, b, e) < 0 || qn_imgconfig_parse(qn_buf_view(b), &o->settings.limits, c, e) < 0)
        return qn_err_wrap(e, "config %s", qn_digest_text(&m->config.digest, text));
    return 0;
}

static void on_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    qn_progress_show(ctx, stage, done, total);
}

static int derive(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes, struct qn_derived *out,
                  struct qn_err *e)
{
    struct qn_derive_source source;
    struct qn_derive_policy policy = {o->policy_name, o->policy_digest, o->policy};
    struct qn_derive_env env = {.workers = o->workers,
                                .tmp = o->work,
                                .limits = o->settings.limits,
                                .spill = o->settings.spill,
                                .parallel = PARALLEL,
                                .deadline_ms = qn_time_mono_ms() + (int64_t)o->settings.job_time * 1000,
                                .cancel = &o->cancel,
                                .engine = o->engine,
                                .plan_only = o->opt->plan_only,
                                .question = o->opt->question,
                                .contents = o->opt->contents,
                                .progress = {on_progress, &o->progress}};

    qn_oneshot_blobs(o, &source, &env.cache);
    return qn_derive(&env, &source, &policy, bytes, qn_str_c(item->media_type), out, e);
}

/* Layers, config and manifest of a result. */
static int write_image(struct qn_oneshot *o, const struct qn_derived *d, struct qn_str config, bool root,
                       struct qn_err *e)
{
    struct qn_str bytes = qn_str_n(d->manifest, d->manifest_size);
    struct qn_item item = {.digest = d->digest, .size = d->manifest_size}, about = {.size = config.n};
    qn_auto_manifest struct qn_manifest m = {0};
    uint64_t done = 0, total = 0;

    if (!o->opt->dst)
        return 0;
    if (qn_oneshot_dest(o, e) < 0)
        return -1;
    if (qn_manifest_parse(bytes, qn_str_c(d->media_type), &o->settings.limits, &m, e) < 0)
        return qn_err_wrap(e, "new manifest");
    for (size_t i = 0; i < m.layer_count; i++)
        total += m.layers[i].size;
    for (size_t i = 0; i < m.layer_count; i++) {
        qn_progress_show(&o->progress, "write", done, total);
        if (qn_oneshot_put(o, &m.layers[i], e) < 0)
            return qn_oneshot_dest_failed(o, e);
        done += m.layers[i].size;
    }
    about.digest = m.config.digest;
    snprintf(about.media_type, sizeof about.media_type, "%.*s", QN_FMT(m.config.media_type));
    snprintf(item.media_type, sizeof item.media_type, "%s", m.media_type);
    if (qn_oneshot_put_bytes(o, &about, config, e) < 0 ||
        o->dest.ops->put_manifest(o->dest.self, &item, bytes, root, e) < 0)
        return qn_oneshot_dest_failed(o, e);
    return 0;
}

static int remember(struct qn_oneshot *o, const char *platform, struct qn_derived *d, struct qn_str config,
                    struct qn_err *e)
{
    void *list = o->result.image;
    size_t cap = o->result.n;

    int r = qn_grow(&list, &cap, o->result.n + 1, sizeof *o->result.image, IMAGES_MAX, e);
    o->result.image = list;
    if (r < 0)
        return -1;
    struct qn_oneshot_image *image = &o->result.image[o->result.n++];
    *image = (struct qn_oneshot_image){.report = json_incref(d->report),
                                       .before = qn_xstrndup(config),
                                       .after = d->config ? qn_xstrndup(qn_str_n(d->config, d->config_size)) : NULL,
                                       .unchanged = d->unchanged,
                                       .backed_off = d->backed_off,
                                       .answer = json_incref(d->answer),
                                       .facts = qn_steal(d->facts)};
    snprintf(image->platform, sizeof image->platform, "%s", platform);
    o->result.backed_off = o->result.backed_off || d->backed_off;
    return 0;
}

/* Why a manifest is none of a container image, for people. */
static int no_image(const struct qn_item *item, const struct qn_manifest *m, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];

    qn_digest_text(&item->digest, text);
    for (size_t i = 0; i < m->layer_count; i++) {
        const struct qn_media_type *t = qn_media_type_find(m->layers[i].media_type);
        if (!t || (t->kind != QN_MEDIA_LAYER && t->kind != QN_MEDIA_FOREIGN))
            return qn_fail(e, QN_E_UNSUPPORTED, "manifest %s: layer %zu has media type \"%s\": not a container image",
                           text, i, QN_Q(m->layers[i].media_type));
    }
    return qn_fail(e, QN_E_UNSUPPORTED, "manifest %s: not a container image", text);
}

/* `c` (may be NULL) gets what the index says of the result. */
static int one_image(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes, const struct qn_manifest *m,
                     bool root, struct qn_index_child *c, struct qn_err *e)
{
    qn_auto_buf struct qn_buf config = {0};
    qn_auto_imgconfig struct qn_imgconfig parsed = {0};
    qn_auto_derived struct qn_derived d = {0};
    char platform[QN_PLATFORM_TEXT];

    if (!qn_manifest_is_image(m))
        return no_image(item, m, e);
    if (config_of(o, m, &config, &parsed, e) < 0)
        return -1;
    if ((c ? !c->source->has_platform : o->explicit_platforms) && !wanted(o, &parsed.platform))
        return c ? 0
                 : qn_fail(e, QN_E_NOT_FOUND, "the image is for %s, not for %s",
                           qn_platform_text(&parsed.platform, platform), o->platforms);
    qn_platform_text(&parsed.platform, platform);
    qn_progress_image(&o->progress, platform, (unsigned)m->layer_count);
    if (derive(o, item, bytes, &d, e) < 0)
        return qn_err_wrap(e, "%s", platform);
    struct qn_str after = d.config ? qn_str_n(d.config, d.config_size) : qn_buf_view(&config);
    if (write_image(o, &d, after, root, e) < 0 || remember(o, platform, &d, qn_buf_view(&config), e) < 0)
        return -1;
    qn_oneshot_drop(o);
    if (root)
        o->result.digest = d.digest;
    if (c) {
        c->taken = true;
        c->unchanged = d.unchanged;
        c->digest = d.digest;
        c->size = d.manifest_size;
    }
    return 0;
}

/* --- an index ----------------------------------------------------------------------------------------------------- */

/* One platform only fits into the destination. */
static bool flat(const struct qn_oneshot *o)
{
    return o->opt->dst && o->to.transport == QN_TRANSPORT_DOCKER_ARCHIVE;
}

/* Something that goes through as it is: an attestation. */
static int copy_plain(struct qn_oneshot *o, const struct qn_descriptor *d, struct qn_err *e)
{
    struct qn_item item = {.digest = d->digest};
    qn_auto_buf struct qn_buf bytes = {0};
    qn_auto_manifest struct qn_manifest m = {0};

    snprintf(item.media_type, sizeof item.media_type, "%.*s", QN_FMT(d->media_type));
    if (read_manifest(o, &item, &bytes, &m, e) < 0 || qn_oneshot_put(o, &m.config, e) < 0)
        return -1;
    for (size_t i = 0; i < m.layer_count; i++)
        if (qn_oneshot_put(o, &m.layers[i], e) < 0)
            return -1;
    qn_oneshot_drop(o);
    return o->dest.ops->put_manifest(o->dest.self, &item, qn_buf_view(&bytes), false, e);
}

static int index_of(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes, const struct qn_manifest *m,
                    unsigned depth, bool root, struct qn_index_child *c, struct qn_err *e);

static int child(struct qn_oneshot *o, struct qn_index_child *c, unsigned depth, struct qn_err *e)
{
    const struct qn_media_type *t = qn_media_type_find(c->source->media_type);
    struct qn_item item = {.digest = c->source->digest};
    qn_auto_buf struct qn_buf bytes = {0};
    qn_auto_manifest struct qn_manifest m = {0};

    if (!t || (t->kind != QN_MEDIA_MANIFEST && t->kind != QN_MEDIA_INDEX))
        return 0; /* no image */
    if (c->source->has_platform && !wanted(o, &c->source->platform))
        return 0;
    snprintf(item.media_type, sizeof item.media_type, "%s", t->name);
    if (read_manifest(o, &item, &bytes, &m, e) < 0)
        return -1;
    if (m.kind == QN_MEDIA_MANIFEST)
        return one_image(o, &item, qn_buf_view(&bytes), &m, flat(o), c, e);
    if (depth == 0)
        return qn_fail(e, QN_E_MALFORMED, "indexes nested deeper than 3 levels");
    return index_of(o, &item, qn_buf_view(&bytes), &m, depth - 1, false, c, e);
}

/* What the index offers, for people. */
static int none_wanted(const struct qn_oneshot *o, const struct qn_manifest *m, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err ignored;
    char text[QN_PLATFORM_TEXT];

    qn_buf_init(&b, 300);
    for (size_t i = 0; i < m->manifest_count; i++)
        if (m->manifests[i].has_platform && !qn_manifest_is_attestation(&m->manifests[i]) &&
            qn_buf_printf(&b, &ignored, "%s%s", b.n ? ", " : "", qn_platform_text(&m->manifests[i].platform, text)) < 0)
            break;
    return qn_fail(e, QN_E_NOT_FOUND, "the index has no image for %s; it has %s", o->platforms,
                   b.n ? QN_Q(qn_buf_view(&b)) : "none");
}

static int write_index(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes,
                       const struct qn_index_child *c, size_t n, bool root, struct qn_err *e)
{
    if (!o->opt->dst)
        return 0;
    if (qn_oneshot_dest(o, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (qn_index_attests(&c[i], c, n) && copy_plain(o, c[i].source, e) < 0)
            return qn_err_wrap(e, "attestation");
    return o->dest.ops->put_manifest(o->dest.self, item, bytes, root, e) < 0 ? qn_oneshot_dest_failed(o, e) : 0;
}

static int finish_index(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes,
                        const struct qn_manifest *m, const struct qn_index_child *all, bool root,
                        struct qn_index_child *c, struct qn_err *e)
{
    qn_auto_free char *policy = qn_xasprintf("%s@%s", o->policy_name, o->policy_digest);
    struct qn_index_origin from = {&item->digest, policy, o->engine};
    struct qn_item made = *item;
    qn_auto_json json_t *document = NULL;
    qn_auto_buf struct qn_buf b = {0};
    bool same;

    qn_buf_init(&b, o->settings.limits.manifest_size);
    if (qn_index_make(m, all, &from, o->platforms, &document, &same, e) < 0 ||
        (!same && qn_json_print(document, &b, e) < 0))
        return -1;
    if (!same) {
        bytes = qn_buf_view(&b);
        made.digest = qn_digest_of(bytes);
        made.size = bytes.n;
    }
    if (c) {
        c->taken = true;
        c->unchanged = same;
        c->digest = made.digest;
        c->size = made.size;
    }
    if (root)
        o->result.digest = made.digest;
    return write_index(o, &made, bytes, all, m->manifest_count, root, e);
}

static int index_of(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes, const struct qn_manifest *m,
                    unsigned depth, bool root, struct qn_index_child *c, struct qn_err *e)
{
    struct qn_index_child *all = qn_xcalloc(m->manifest_count, sizeof *all);
    size_t images = 0;
    int r = 0;

    for (size_t i = 0; i < m->manifest_count; i++) {
        all[i].source = &m->manifests[i];
        all[i].attestation = qn_manifest_is_attestation(&m->manifests[i]);
        images += !all[i].attestation && m->manifests[i].has_platform && wanted(o, &m->manifests[i].platform);
    }
    if (flat(o) && images > 1)
        r = qn_fail(e, QN_E_USAGE, "%s: holds one platform, and %zu are chosen: name one with --platform", o->opt->dst,
                    images);
    images = 0;
    for (size_t i = 0; i < m->manifest_count && r == 0; i++) {
        if (!all[i].attestation)
            r = child(o, &all[i], depth, e);
        images += all[i].taken;
    }
    if (r == 0 && images == 0 && root)
        r = none_wanted(o, m, e);
    if (r == 0 && images > 0 && flat(o)) {
        if (c)
            c->taken = true;
    } else if (r == 0 && images > 0) {
        r = finish_index(o, item, bytes, m, all, root, c, e);
    }
    free(all);
    return r;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* A platform that was asked for by name must have been found. */
static int all_found(const struct qn_oneshot *o, struct qn_err *e)
{
    for (size_t i = 0; o->explicit_platforms && i < o->wants; i++) {
        char text[QN_PLATFORM_TEXT];
        bool found = false;
        for (size_t k = 0; k < o->result.n && !found; k++) {
            struct qn_platform have;
            found = qn_platform_parse(qn_str_c(o->result.image[k].platform), &have, e) == 0 &&
                    qn_platform_match(&o->want[i], &have);
        }
        if (!found)
            return qn_fail(e, QN_E_NOT_FOUND, "there is no image for %s", qn_platform_text(&o->want[i], text));
    }
    return 0;
}

int qn_oneshot_all(struct qn_oneshot *o, struct qn_err *e)
{
    struct qn_item item = {.size = 0};
    qn_auto_buf struct qn_buf bytes = {0};
    qn_auto_manifest struct qn_manifest m = {0};

    qn_progress_image(&o->progress, o->opt->src, 0);
    qn_progress_show(&o->progress, "resolve", 0, 0);
    if (o->source.ops->resolve(o->source.self, QN_STR(""), &item, e) < 0 || read_manifest(o, &item, &bytes, &m, e) < 0)
        return qn_err_wrap(e, "%s", o->opt->src);
    int r = m.kind == QN_MEDIA_INDEX ? index_of(o, &item, qn_buf_view(&bytes), &m, 3, true, NULL, e)
                                     : one_image(o, &item, qn_buf_view(&bytes), &m, true, NULL, e);
    if (r < 0 || all_found(o, e) < 0)
        return o->dest_failed ? -1 : qn_err_wrap(e, "%s", o->opt->src);
    if (!o->dest.ops)
        return 0;
    qn_progress_show(&o->progress, "commit", 0, 0);
    return o->dest.ops->finish(o->dest.self, e) < 0 ? qn_oneshot_dest_failed(o, e) : 0;
}
