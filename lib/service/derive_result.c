/* Stages of a derivation that see the image as a whole: plan, new configuration, verification, manifest and report. */
#include "derive_int.h"

#include "base/fd.h"
#include "base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX (32u << 20)

/* Appends a facts file to the bundle. */
static int append_facts(struct qn_derivation *d, int fd, uint64_t size, struct qn_extent *x, struct qn_err *e)
{
    char chunk[32768];

    *x = (struct qn_extent){d->bundle_size, size};
    for (uint64_t at = 0; at < size;) {
        size_t got;
        if (qn_fd_pread(fd, chunk, (size_t)QN_MIN(size - at, (uint64_t)sizeof chunk), at, &got, e) < 0 ||
            (got > 0 && qn_fd_pwrite(d->bundle, chunk, got, d->bundle_size + at, e) < 0))
            return -1;
        if (got == 0)
            return qn_fail(e, QN_E_IO, "layer facts are cut short");
        at += got;
    }
    d->bundle_size += size;
    return 0;
}

static int source_bundle(struct qn_derivation *d, struct qn_err *e)
{
    if (d->bundle >= 0)
        return 0;
    d->bundle = qn_derive_tmp(d, e);
    if (d->bundle < 0)
        return -1;
    for (size_t i = 0; i < d->count; i++)
        if (append_facts(d, d->layer[i].facts, d->layer[i].facts_size, &d->extent[i], e) < 0)
            return -1;
    return 0;
}

static int read_layer(struct qn_work_layer *l, const json_t *o, struct qn_err *e)
{
    const json_t *extent = json_object_get(o, "pieces");
    struct qn_str edits;
    int64_t entries;

    if (qn_json_int(o, "entries", 0, INT64_MAX, &entries, e) < 0 || qn_json_str(o, "edits", &edits, e) < 0 ||
        qn_digest_parse(edits, &l->edits, e) < 0)
        return -1;
    l->pieces_off = (uint64_t)json_integer_value(json_array_get(extent, 0));
    l->pieces_len = (uint64_t)json_integer_value(json_array_get(extent, 1));
    l->entries = (uint64_t)entries;
    l->state = QN_LAYER_UNCHANGED;
    if (json_is_true(json_object_get(o, "touched")))
        l->state = entries ? QN_LAYER_REWRITTEN : QN_LAYER_DROPPED;
    return 0;
}

int qn_derive_plan(struct qn_derivation *d, struct qn_err *e)
{
    qn_auto_worker struct qn_worker *w = NULL;
    qn_auto_buf struct qn_buf reply = {0};
    json_t *layers;

    qn_buf_init(&reply, ANSWER_MAX);
    if (d->env->progress.report)
        d->env->progress.report(d->env->progress.ctx, "plan", 0, 0);
    if (source_bundle(d, e) < 0 || (d->pieces = qn_derive_tmp(d, e)) < 0 ||
        qn_workers_take(d->env->workers, &w, e) < 0 ||
        qn_worker_request_plan(w, d->bundle, d->extent, d->count, qn_buf_view(&d->config), d->document,
                               d->env->question, d->pieces, &d->env->limits, e) < 0 ||
        qn_derive_wait(d, w, &reply, e) < 0 || qn_json_parse(qn_buf_view(&reply), ANSWER_MAX, &d->plan, e) < 0 ||
        qn_json_array_opt(d->plan, "layers", &layers, e) < 0)
        return qn_err_wrap(e, "plan");
    if (json_array_size(layers) != d->count)
        return qn_fail(e, QN_E_WORKER, "plan: the worker answered for another image");
    for (size_t i = 0; i < d->count; i++)
        if (read_layer(&d->layer[i], json_array_get(layers, i), e) < 0)
            return qn_err_wrap(e, "plan: layer %zu", i);
    return 0;
}

/* --- configuration ------------------------------------------------------------------------------------------------ */
static void set_label(json_t *config, const char *key, const char *value)
{
    json_t *labels = json_object_get(config, "Labels");

    if (!json_is_object(labels)) {
        qn_json_set(config, "Labels", json_object());
        labels = json_object_get(config, "Labels");
    }
    qn_json_set_c(labels, key, value);
}

/* The history item of layer `i` says that it is empty now. */
static void history_dropped(json_t *history, size_t i)
{
    size_t n = 0, k;
    json_t *item;

    json_array_foreach (history, k, item) {
        if (json_is_true(json_object_get(item, "empty_layer")))
            continue;
        if (n++ == i) {
            qn_json_set_bool(item, "empty_layer", true);
            return;
        }
    }
}

static char *policy_text(const struct qn_derivation *d)
{
    return qn_xasprintf("%s@%s", d->policy->name, d->policy->digest);
}

static void add_history(struct qn_derivation *d, json_t *root)
{
    json_t *history = json_object_get(root, "history"), *item = json_object();
    const char *created = json_string_value(json_object_get(root, "created"));
    qn_auto_free char *policy = policy_text(d);
    qn_auto_free char *by = qn_xasprintf("quench harden %s", policy);

    if (!json_is_array(history)) {
        json_decref(item);
        return;
    }
    if (created)
        qn_json_set_c(item, "created", created);
    qn_json_set_c(item, "created_by", by);
    qn_json_set_bool(item, "empty_layer", true);
    qn_json_push(history, item);
}

int qn_derive_config(struct qn_derivation *d, struct qn_err *e)
{
    qn_auto_json json_t *root = NULL;
    qn_auto_free char *policy = policy_text(d);
    struct qn_str text;
    char digest[QN_DIGEST_TEXT];

    if (qn_json_str(d->plan, "config", &text, e) < 0 ||
        qn_json_parse(text, d->env->limits.manifest_size * 2, &root, e) < 0)
        return qn_err_wrap(e, "new config");
    json_t *diff_ids = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
    if (json_array_size(diff_ids) != d->count)
        return qn_fail(e, QN_E_MALFORMED, "config: %zu diff_ids for %zu layers", json_array_size(diff_ids), d->count);
    for (size_t i = d->count; i-- > 0;) {
        if (d->layer[i].state == QN_LAYER_REWRITTEN)
            json_array_set_new(diff_ids, i, qn_json_string_c(qn_digest_text(&d->layer[i].made.diff_id, digest)));
        if (d->layer[i].state != QN_LAYER_DROPPED)
            continue;
        json_array_remove(diff_ids, i);
        history_dropped(json_object_get(root, "history"), i);
    }
    /* How the source was built is not how the result is. */
    json_object_del(root, "container");
    json_object_del(root, "container_config");
    json_t *config = json_object_get(root, "config");
    if (!json_is_object(config)) {
        qn_json_set(root, "config", json_object());
        config = json_object_get(root, "config");
    }
    set_label(config, "io.quench.source", qn_digest_text(&d->digest, digest));
    set_label(config, "io.quench.policy", policy);
    set_label(config, "io.quench.engine", d->env->engine);
    add_history(d, root);
    qn_buf_clear(&d->new_config);
    return qn_json_print(root, &d->new_config, e);
}

/* --- verification ------------------------------------------------------------------------------------------------- */
int qn_derive_verify(struct qn_derivation *d, struct qn_err *e)
{
    qn_auto_worker struct qn_worker *w = NULL;
    qn_auto_buf struct qn_buf reply = {0};
    qn_auto_json json_t *answer = NULL;
    struct qn_extent *after = d->extent + d->count;
    uint64_t source_size = d->bundle_size;
    size_t n = 0;

    qn_buf_init(&reply, ANSWER_MAX);
    if (d->env->progress.report)
        d->env->progress.report(d->env->progress.ctx, "verify", 0, 0);
    for (size_t i = 0; i < d->count; i++) {
        struct qn_work_layer *l = &d->layer[i];
        if (l->state == QN_LAYER_DROPPED)
            continue;
        if (l->state == QN_LAYER_UNCHANGED)
            after[n] = d->extent[i];
        else if (append_facts(d, l->made_facts, l->made_facts_size, &after[n], e) < 0)
            return qn_err_wrap(e, "verify");
        n++;
    }
    struct qn_image_ref source = {qn_buf_view(&d->config), d->extent, d->count};
    struct qn_image_ref result = {qn_buf_view(&d->new_config), after, n};
    if (qn_workers_take(d->env->workers, &w, e) < 0 ||
        qn_worker_request_verify(w, d->bundle, &source, &result, d->document, &d->env->limits, e) < 0 ||
        qn_derive_wait(d, w, &reply, e) < 0 || qn_json_parse(qn_buf_view(&reply), ANSWER_MAX, &answer, e) < 0)
        return qn_err_wrap(e, "verify");
    d->bundle_size = source_size; /* another attempt starts behind the source's facts again */
    d->verified = json_is_true(json_object_get(answer, "ok"));
    d->verification = json_incref(json_object_get(answer, "verification"));
    d->after = json_incref(json_object_get(answer, "after"));
    return 0;
}

/* --- manifest and report ------------------------------------------------------------------------------------------ */
static json_t *layer_descriptor(const struct qn_work_layer *l)
{
    json_t *o = json_deep_copy(l->descriptor->json);
    char digest[QN_DIGEST_TEXT];

    /* Layers are served by whoever serves the manifest; embedded data would be another copy. */
    json_object_del(o, "urls");
    json_object_del(o, "data");
    if (l->state == QN_LAYER_REWRITTEN) {
        qn_json_set_c(o, "digest", qn_digest_text(&l->made.digest, digest));
        qn_json_set_int(o, "size", (int64_t)l->made.size);
        /* Tables of contents and the like describe the old bytes. */
        json_object_del(o, "annotations");
    }
    const struct qn_media_type *t = qn_media_type_find(l->descriptor->media_type);
    bool other = l->state == QN_LAYER_REWRITTEN && l->made_compression != l->compression;
    if (t && (t->kind == QN_MEDIA_FOREIGN || other)) {
        const char *plain = qn_media_type_name(QN_MEDIA_LAYER, t->family, other ? l->made_compression : t->compression);
        if (plain)
            qn_json_set_c(o, "mediaType", plain);
    }
    return o;
}

static json_t *new_manifest(struct qn_derivation *d, const struct qn_digest *config)
{
    json_t *root = json_deep_copy(d->manifest.root), *layers = json_array(), *c;
    qn_auto_free char *policy = policy_text(d);
    char digest[QN_DIGEST_TEXT];

    qn_json_set_c(root, "mediaType", d->manifest.media_type);
    json_object_del(root, "subject");
    c = json_object_get(root, "config");
    qn_json_set_c(c, "digest", qn_digest_text(config, digest));
    qn_json_set_int(c, "size", (int64_t)d->new_config.n);
    json_object_del(c, "data");
    json_object_del(c, "urls");
    for (size_t i = 0; i < d->count; i++)
        if (d->layer[i].state != QN_LAYER_DROPPED)
            qn_json_push(layers, layer_descriptor(&d->layer[i]));
    qn_json_set(root, "layers", layers);
    if (d->manifest.family == QN_FAMILY_OCI) {
        json_t *a = json_object_get(root, "annotations");
        if (!json_is_object(a)) {
            qn_json_set(root, "annotations", json_object());
            a = json_object_get(root, "annotations");
        }
        qn_json_set_c(a, "org.opencontainers.image.base.digest", qn_digest_text(&d->digest, digest));
        qn_json_set_c(a, "io.quench.policy", policy);
        qn_json_set_c(a, "io.quench.engine", d->env->engine);
    }
    return root;
}

static json_t *digest_object(const struct qn_digest *d)
{
    char text[QN_DIGEST_TEXT];
    json_t *o = json_object();
    qn_json_set_c(o, "digest", qn_digest_text(d, text));
    return o;
}

static json_t *report_layers(const struct qn_derivation *d, bool unchanged)
{
    static const char *const states[] = {
        [QN_LAYER_UNCHANGED] = "unchanged", [QN_LAYER_REWRITTEN] = "rewritten", [QN_LAYER_DROPPED] = "dropped"};
    json_t *list = json_array();
    char text[QN_DIGEST_TEXT];

    for (size_t i = 0; i < d->count; i++) {
        const struct qn_work_layer *l = &d->layer[i];
        enum qn_layer_state state = unchanged ? QN_LAYER_UNCHANGED : l->state;
        json_t *o = json_object();
        qn_json_set_c(o, "source", qn_digest_text(&l->descriptor->digest, text));
        if (state == QN_LAYER_UNCHANGED)
            qn_json_set_c(o, "hardened", text);
        if (state == QN_LAYER_REWRITTEN) {
            qn_json_set_c(o, "hardened", qn_digest_text(&l->made.digest, text));
            qn_json_set_c(o, "diff_id", qn_digest_text(&l->made.diff_id, text));
        }
        qn_json_set_c(o, "state", states[state]);
        qn_json_push(list, o);
    }
    return list;
}

/* Completes the plan's report. */
static json_t *finish_report(struct qn_derivation *d, const struct qn_digest *hardened, bool unchanged)
{
    json_t *report = json_object_get(d->plan, "report"), *policy = json_object_get(report, "policy"), *after;
    uint64_t size = 0;

    qn_json_set(report, "source", digest_object(&d->digest));
    qn_json_set(report, "hardened", digest_object(hardened));
    qn_json_set_c(report, "engine", d->env->engine);
    qn_json_set_c(policy, "name", d->policy->name);
    qn_json_set_c(policy, "digest", d->policy->digest);
    json_t *before = json_object_get(report, "before");
    qn_json_set_int(before, "compressed_bytes", (int64_t)d->total);
    after = unchanged ? json_deep_copy(before) : json_incref(d->after);
    for (size_t i = 0; i < d->count; i++)
        if (unchanged || d->layer[i].state == QN_LAYER_UNCHANGED)
            size += d->layer[i].descriptor->size;
        else if (d->layer[i].state == QN_LAYER_REWRITTEN)
            size += d->layer[i].made.size;
    qn_json_set_int(after, "compressed_bytes", (int64_t)size);
    qn_json_set(report, "after", after);
    qn_json_set(report, "layers", report_layers(d, unchanged));
    qn_json_set(report, "verification", d->verification ? json_incref(d->verification) : json_array());
    return json_incref(report);
}

int qn_derive_unchanged(struct qn_derivation *d, struct qn_derived *out, struct qn_err *e)
{
    (void)e;
    out->unchanged = true;
    out->digest = d->digest;
    out->manifest = qn_xstrndup(d->bytes);
    out->manifest_size = d->bytes.n;
    out->media_type = d->manifest.media_type;
    out->report = finish_report(d, &d->digest, true);
    return 0;
}

int qn_derive_assemble(struct qn_derivation *d, struct qn_derived *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf bytes = {0};
    qn_auto_json json_t *manifest = NULL;

    qn_buf_init(&bytes, d->env->limits.manifest_size);
    out->config_digest = qn_digest_of(qn_buf_view(&d->new_config));
    manifest = new_manifest(d, &out->config_digest);
    if (qn_json_print(manifest, &bytes, e) < 0)
        return qn_err_wrap(e, "new manifest");
    out->digest = qn_digest_of(qn_buf_view(&bytes));
    out->manifest_size = bytes.n;
    out->manifest = qn_buf_steal(&bytes);
    out->media_type = d->manifest.media_type;
    out->config_size = d->new_config.n;
    out->config = qn_buf_steal(&d->new_config);
    out->new_layers = qn_xcalloc(d->count, sizeof *out->new_layers);
    for (size_t i = 0; i < d->count; i++)
        if (d->layer[i].state == QN_LAYER_REWRITTEN)
            out->new_layers[out->new_layer_count++] = d->layer[i].made.digest;
    out->report = finish_report(d, &out->digest, false);
    return 0;
}
