/* docker-archive: as source and destination. Source: the format of "docker image save", manifest.json. */
#include "layout_io.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "formats/manifest.h"

#include <stdio.h>
#include <stdlib.h>

#define MANIFEST_JSON_MAX (4u << 20)
#define LAYER_PLAIN       "application/vnd.oci.image.layer.v1.tar"
#define LAYER_GZIP        LAYER_PLAIN "+gzip"
#define LAYER_ZSTD        LAYER_PLAIN "+zstd"

/* --- manifest.json ------------------------------------------------------------------------------------------------ */

static int read_entry(json_t *j, struct qn_docker_entry *out, struct qn_err *e)
{
    size_t i;
    json_t *one;

    if (qn_json_str(j, "Config", &out->config, e) < 0 || qn_json_array_opt(j, "RepoTags", &out->tags, e) < 0 ||
        qn_json_array_opt(j, "Layers", &out->layers, e) < 0)
        return -1;
    if (!out->layers)
        return qn_fail(e, QN_E_MALFORMED, "no \"Layers\"");
    if (json_array_size(out->layers) > QN_MANIFEST_LAYERS_MAX)
        return qn_fail(e, QN_E_LIMIT, "%zu layers, at most %d", json_array_size(out->layers), QN_MANIFEST_LAYERS_MAX);
    json_array_foreach (out->layers, i, one) {
        if (!json_is_string(one))
            return qn_fail(e, QN_E_MALFORMED, "\"Layers\" holds something else than names");
    }
    json_array_foreach (out->tags, i, one) {
        if (!json_is_string(one))
            return qn_fail(e, QN_E_MALFORMED, "\"RepoTags\" holds something else than names");
    }
    return 0;
}

/* Takes a name apart the way docker reads it: "docker.io/library/nginx" is "nginx", and no tag is "latest". */
static void normal(struct qn_str s, struct qn_str *name, struct qn_str *tag)
{
    if (qn_str_starts(s, QN_STR("docker.io/")))
        s = qn_str_from(s, 10);
    if (qn_str_starts(s, QN_STR("library/")) && qn_str_chr(qn_str_from(s, 8), '/') < 0)
        s = qn_str_from(s, 8);
    ptrdiff_t colon = qn_str_rchr(s, ':');
    bool tagged = colon > qn_str_rchr(s, '/');
    *name = tagged ? qn_str_head(s, (size_t)colon) : s;
    *tag = tagged ? qn_str_from(s, (size_t)colon + 1) : QN_STR("latest");
}

static bool tag_is(struct qn_str a, struct qn_str b)
{
    struct qn_str a_name, a_tag, b_name, b_tag;

    normal(a, &a_name, &a_tag);
    normal(b, &b_name, &b_tag);
    return qn_str_eq(a_name, b_name) && qn_str_eq(a_tag, b_tag);
}

static bool entry_is(const struct qn_docker_entry *d, struct qn_str name)
{
    size_t i;
    json_t *one;

    json_array_foreach (d->tags, i, one) {
        if (tag_is(qn_str_n(json_string_value(one), json_string_length(one)), name))
            return true;
    }
    return false;
}

int qn_docker_archive_pick(struct qn_str text, const char *name, json_t **root, struct qn_docker_entry *out,
                           struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;
    struct qn_docker_entry d, hit = {0};
    uint64_t number = UINT64_MAX;
    size_t hits = 0, i;
    json_t *one;

    if (qn_json_parse(text, MANIFEST_JSON_MAX, &j, e) < 0)
        return qn_err_wrap(e, "manifest.json");
    if (!json_is_array(j))
        return qn_fail(e, QN_E_MALFORMED, "manifest.json: not an array");
    if (name[0] == '@' && qn_num_u64(qn_str_c(name + 1), 0, 10000, &number, e) < 0)
        return qn_fail(e, QN_E_USAGE, "\"%s\": what follows @ is the number of an image", QN_Q(qn_str_c(name)));
    json_array_foreach (j, i, one) {
        if (read_entry(one, &d, e) < 0)
            return qn_err_wrap(e, "manifest.json: entry %zu", i);
        if (name[0] == '\0' || number == i || (number == UINT64_MAX && entry_is(&d, qn_str_c(name)))) {
            hit = d;
            hits++;
        }
    }
    if (hits == 0)
        return qn_fail(e, QN_E_NOT_FOUND, "manifest.json has no image%s%s", name[0] ? " named " : "",
                       QN_Q(qn_str_c(name)));
    if (hits > 1)
        return qn_fail(e, QN_E_USAGE, "the archive has %zu images%s%s: name one (FILE:REFERENCE or FILE:@N)", hits,
                       name[0] ? " named " : "", QN_Q(qn_str_c(name)));
    *root = qn_steal(j);
    *out = hit;
    return 0;
}

/* --- source ------------------------------------------------------------------------------------------------------- */

struct part {
    struct qn_digest digest;
    struct qn_span span;
};

struct docker {
    struct qn_archive archive;
    struct part *part; /* config, then layers */
    size_t parts;
    struct qn_buf manifest; /* made here */
    struct qn_digest digest;
};

static void docker_free(void *self)
{
    struct docker *d = self;
    qn_archive_fini(&d->archive);
    qn_buf_fini(&d->manifest);
    free(d->part);
    free(d);
}

static int docker_resolve(void *self, struct qn_str ref, struct qn_item *out, struct qn_err *e)
{
    struct docker *d = self;
    char text[QN_DIGEST_TEXT];

    /* The image was chosen when the archive was opened. */
    if (ref.n && !qn_str_eq_c(ref, qn_digest_text(&d->digest, text)))
        return qn_fail(e, QN_E_NOT_FOUND, "docker-archive: \"%s\" is not the image that was opened", QN_Q(ref));
    *out = (struct qn_item){.digest = d->digest, .size = d->manifest.n, .media_type = QN_MT_OCI_MANIFEST};
    return 0;
}

static int docker_manifest(void *self, const struct qn_digest *want, struct qn_buf *out,
                           char media_type[QN_REMOTE_MEDIA], struct qn_err *e)
{
    struct docker *d = self;
    char text[QN_DIGEST_TEXT];

    if (!qn_digest_eq(want, &d->digest))
        return qn_fail(e, QN_E_MANIFEST_UNKNOWN, "docker-archive: no manifest %s", qn_digest_text(want, text));
    snprintf(media_type, QN_REMOTE_MEDIA, "%s", QN_MT_OCI_MANIFEST);
    return qn_buf_str(out, qn_buf_view(&d->manifest), e);
}

static int docker_blob(void *self, const struct qn_digest *want, uint64_t size, const struct qn_sink *sink,
                       struct qn_err *e)
{
    struct docker *d = self;
    char text[QN_DIGEST_TEXT];

    for (size_t i = 0; i < d->parts; i++) {
        if (!qn_digest_eq(&d->part[i].digest, want))
            continue;
        if (size != UINT64_MAX && size != d->part[i].span.size)
            return qn_fail(e, QN_E_SIZE_MISMATCH, "%s: %llu bytes", qn_digest_text(want, text),
                           (unsigned long long)d->part[i].span.size);
        return qn_span_stream(&d->part[i].span, want, sink, e);
    }
    return qn_fail(e, QN_E_BLOB_UNKNOWN, "docker-archive: no blob %s", qn_digest_text(want, text));
}

static int add_part(struct docker *d, struct qn_str name, struct qn_err *e)
{
    struct part *p = &d->part[d->parts];

    if (!qn_archive_find(&d->archive, name, &p->span))
        return qn_fail(e, QN_E_MALFORMED, "the archive has no member \"%s\"", QN_Q(name));
    if (qn_span_digest(&p->span, &p->digest, e) < 0)
        return qn_err_wrap(e, "%s", QN_Q(name));
    d->parts++;
    return 0;
}

static int layer_type(const struct qn_span *s, const char **out, struct qn_err *e)
{
    char magic[4] = "";
    size_t got;

    if (qn_fd_pread(s->fd, magic, (size_t)QN_MIN(s->size, (uint64_t)4), s->off, &got, e) < 0)
        return -1;
    if (got == 4 && memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
        *out = LAYER_ZSTD;
    else
        *out = got >= 2 && memcmp(magic, "\x1f\x8b", 2) == 0 ? LAYER_GZIP : LAYER_PLAIN;
    return 0;
}

static json_t *descriptor(const char *type, const struct part *p)
{
    json_t *j = json_object();
    char text[QN_DIGEST_TEXT];

    qn_json_set_c(j, "mediaType", type);
    qn_json_set_int(j, "size", (int64_t)p->span.size);
    qn_json_set_c(j, "digest", qn_digest_text(&p->digest, text));
    return j;
}

static int make_manifest(struct docker *d, struct qn_err *e)
{
    qn_auto_json json_t *j = json_object();
    json_t *layers = json_array();

    qn_json_set_int(j, "schemaVersion", 2);
    qn_json_set_c(j, "mediaType", QN_MT_OCI_MANIFEST);
    qn_json_set(j, "config", descriptor(QN_MT_OCI_CONFIG, &d->part[0]));
    qn_json_set(j, "layers", layers);
    for (size_t i = 1; i < d->parts; i++) {
        const char *type;
        if (layer_type(&d->part[i].span, &type, e) < 0)
            return -1;
        qn_json_push(layers, descriptor(type, &d->part[i]));
    }
    qn_buf_init(&d->manifest, 1u << 20);
    if (qn_json_print(j, &d->manifest, e) < 0)
        return -1;
    d->digest = qn_digest_of(qn_buf_view(&d->manifest));
    return 0;
}

static int open_image(struct docker *d, const char *name, uint64_t manifest_max, struct qn_err *e)
{
    qn_auto_buf struct qn_buf text = {0};
    qn_auto_json json_t *root = NULL;
    struct qn_docker_entry entry;
    struct qn_span span;
    size_t i;
    json_t *one;

    qn_buf_init(&text, MANIFEST_JSON_MAX);
    if (!qn_archive_find(&d->archive, QN_STR("manifest.json"), &span))
        return qn_fail(e, QN_E_MALFORMED, "the archive has no manifest.json");
    if (qn_span_read(&span, NULL, MANIFEST_JSON_MAX, &text, e) < 0)
        return qn_err_wrap(e, "manifest.json");
    if (qn_docker_archive_pick(qn_buf_view(&text), name, &root, &entry, e) < 0)
        return -1;
    d->part = qn_xcalloc(json_array_size(entry.layers) + 1, sizeof *d->part);
    if (add_part(d, entry.config, e) < 0)
        return -1;
    if (d->part[0].span.size > manifest_max)
        return qn_fail(e, QN_E_LIMIT, "config of %llu bytes, at most %llu", (unsigned long long)d->part[0].span.size,
                       (unsigned long long)manifest_max);
    json_array_foreach (entry.layers, i, one) {
        if (add_part(d, qn_str_n(json_string_value(one), json_string_length(one)), e) < 0)
            return -1;
    }
    return make_manifest(d, e);
}

int qn_docker_archive_source(const struct qn_location *at, uint64_t manifest_max, struct qn_source *out,
                             struct qn_err *e)
{
    static const struct qn_source_ops ops = {docker_resolve, docker_manifest, docker_blob, docker_free};
    struct docker *d = qn_new(struct docker);

    d->archive.fd = -1;
    if (qn_archive_open(at->path, &d->archive, e) < 0 || open_image(d, at->name, manifest_max, e) < 0) {
        docker_free(d);
        return -1;
    }
    *out = (struct qn_source){&ops, d};
    return 0;
}

/* --- destination -------------------------------------------------------------------------------------------------- */

struct save {
    struct qn_tar_out tar;
    char name[QN_NAME_MAX * 2];
    struct qn_buf json; /* manifest.json, once the manifest is known */
};

static void save_free(void *self)
{
    struct save *s = self;
    qn_tar_out_fini(&s->tar);
    qn_buf_fini(&s->json);
    free(s);
}

static void save_name(const struct qn_digest *d, struct qn_str media_type, char out[QN_DIGEST_TEXT + 8])
{
    char text[QN_DIGEST_TEXT];
    const struct qn_media_type *t = qn_media_type_find(media_type);

    snprintf(out, QN_DIGEST_TEXT + 8, "%s.%s", strchr(qn_digest_text(d, text), ':') + 1,
             t && t->kind == QN_MEDIA_CONFIG ? "json" : "tar");
}

static int save_has(void *self, const struct qn_digest *d, bool *has, struct qn_err *e)
{
    (void)e;
    *has = qn_tar_out_has(&((struct save *)self)->tar, d);
    return 0;
}

static int save_blob(void *self, const struct qn_item *item, int fd, uint64_t offset, struct qn_err *e)
{
    struct save *s = self;
    char name[QN_DIGEST_TEXT + 8];
    struct qn_span span = {fd, offset, item->size};

    save_name(&item->digest, qn_str_c(item->media_type), name);
    return qn_tar_out_blob(&s->tar, name, &item->digest, &span, e);
}

static void repo_tags(json_t *entry, const char *name)
{
    json_t *tags = json_array();
    ptrdiff_t colon = qn_str_rchr(qn_str_c(name), ':'), slash = qn_str_rchr(qn_str_c(name), '/');

    if (name[0]) {
        qn_auto_free char *full = qn_xasprintf("%s%s", name, colon > slash ? "" : ":latest");
        qn_json_push(tags, qn_json_string_c(full));
    }
    qn_json_set(entry, "RepoTags", tags);
}

static int save_manifest(void *self, const struct qn_item *item, struct qn_str bytes, bool root, struct qn_err *e)
{
    struct save *s = self;
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    qn_auto_manifest struct qn_manifest m = {0};
    qn_auto_json json_t *j = json_array();
    char name[QN_DIGEST_TEXT + 8];

    if (qn_manifest_parse(bytes, qn_str_c(item->media_type), &limits, &m, e) < 0)
        return -1;
    if (!root || m.kind != QN_MEDIA_MANIFEST)
        return qn_fail(e, QN_E_UNSUPPORTED,
                       "docker-archive holds images of one platform: choose one, or use oci-archive");
    json_t *entry = json_object(), *layers = json_array();
    qn_json_push(j, entry);
    save_name(&m.config.digest, QN_STR(QN_MT_OCI_CONFIG), name);
    qn_json_set_c(entry, "Config", name);
    repo_tags(entry, s->name);
    qn_json_set(entry, "Layers", layers);
    for (size_t i = 0; i < m.layer_count; i++) {
        save_name(&m.layers[i].digest, m.layers[i].media_type, name);
        qn_json_push(layers, qn_json_string_c(name));
        if (!qn_tar_out_has(&s->tar, &m.layers[i].digest))
            return qn_fail(e, QN_E_BUG, "docker-archive: layer %s was not written", name);
    }
    qn_buf_clear(&s->json);
    return qn_json_print(j, &s->json, e);
}

static int save_finish(void *self, struct qn_err *e)
{
    struct save *s = self;

    if (s->json.n == 0)
        return qn_fail(e, QN_E_BUG, "docker-archive: finished without an image");
    if (qn_tar_out_bytes(&s->tar, "manifest.json", qn_buf_view(&s->json), e) < 0)
        return -1;
    return qn_tar_out_finish(&s->tar, e);
}

int qn_docker_archive_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e)
{
    static const struct qn_dest_ops ops = {save_has, save_blob, save_manifest, save_finish, save_free};
    struct save *s = qn_new(struct save);

    s->tar.fd = -1;
    qn_buf_init(&s->json, 1u << 20);
    snprintf(s->name, sizeof s->name, "%s", at->name);
    if (qn_tar_out_open(at->path, &s->tar, e) < 0) {
        save_free(s);
        return -1;
    }
    *out = (struct qn_dest){&ops, s};
    return 0;
}
