#include "manifest.h"
#include "base/json.h"
#include "base/mem.h"
#include "jsonkeys.h"

#include <stdio.h>
#include <stdlib.h>

/* Media types that say nothing about the content. */
static bool generic(struct qn_str type)
{
    static const char *const names[] = {"", "application/json", "application/octet-stream", "text/plain",
                                        "binary/octet-stream"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_ieq(type, qn_str_c(names[i])))
            return true;
    return false;
}

static int refuse_schema1(struct qn_err *e)
{
    return qn_fail(e, QN_E_UNSUPPORTED,
                   "manifest: Docker schema 1 is not supported; push the image again with a current client");
}

/* Finds the media type from what was declared, what the document says, and its shape, which must agree. */
static int find_type(struct qn_str declared, struct qn_str member, const json_t *root, const struct qn_media_type **out,
                     struct qn_err *e)
{
    const struct qn_media_type *t = NULL;

    declared = qn_media_type_essence(declared);
    if (member.n) {
        t = qn_media_type_find(member);
        if (!generic(declared) && !qn_str_ieq(qn_media_type_essence(member), declared))
            return qn_fail(e, QN_E_MALFORMED, "manifest: mediaType \"%s\" was declared as \"%s\"", QN_Q(member),
                           QN_Q(declared));
    } else if (!generic(declared)) {
        member = declared;
        t = qn_media_type_find(declared);
    } else {
        bool index = json_object_get(root, "manifests") != NULL;
        t = qn_media_type_find(index ? QN_STR(QN_MT_OCI_INDEX) : QN_STR(QN_MT_OCI_MANIFEST));
    }
    if (t && t->kind == QN_MEDIA_SCHEMA1)
        return refuse_schema1(e);
    if (!t || (t->kind != QN_MEDIA_MANIFEST && t->kind != QN_MEDIA_INDEX))
        return qn_fail(e, QN_E_UNSUPPORTED, "manifest: media type \"%s\" is not supported", QN_Q(member));
    *out = t;
    return 0;
}

static int parse_list(const json_t *root, const char *key, size_t max, struct qn_descriptor **out, size_t *count,
                      struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(root, key, &list, e) < 0)
        return qn_err_wrap(e, "manifest");
    size_t n = json_array_size(list);
    if (n > max)
        return qn_fail(e, QN_E_MALFORMED, "manifest: %s: %zu entries, at most %zu", key, n, max);
    if (n == 0)
        return 0;
    struct qn_descriptor *v = qn_xcalloc(n, sizeof *v);
    json_array_foreach (list, i, item) {
        char where[32];
        snprintf(where, sizeof where, "%s[%zu]", key, i);
        if (qn_descriptor_parse(item, where, &v[i], e) < 0) {
            free(v);
            return qn_err_wrap(e, "manifest");
        }
    }
    *out = v;
    *count = n;
    return 0;
}

static bool present(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);
    return v && !json_is_null(v);
}

static int check_shape(struct qn_str content_type, struct qn_manifest *m, struct qn_err *e)
{
    static const char *const keys[] = {
        "schemaVersion", "mediaType",   "artifactType", "config",     "layers", "manifests",
        "subject",       "annotations", "fsLayers",     "signatures", NULL};
    const struct qn_media_type *type = NULL;
    struct qn_str member;
    int64_t version;

    if (!json_is_object(m->root))
        return qn_fail(e, QN_E_MALFORMED, "manifest: not an object");
    if (qn_json_exact_keys(m->root, keys, "manifest", e) < 0)
        return -1;
    if (qn_json_int(m->root, "schemaVersion", 1, 2, &version, e) < 0 ||
        qn_json_str_opt(m->root, "mediaType", &member, e) < 0)
        return qn_err_wrap(e, "manifest");
    if (version == 1 || present(m->root, "fsLayers"))
        return refuse_schema1(e);
    if (present(m->root, "manifests") && (present(m->root, "layers") || present(m->root, "config")))
        return qn_fail(e, QN_E_MALFORMED, "manifest: both an index (manifests) and an image manifest (layers, config)");
    if (find_type(content_type, member, m->root, &type, e) < 0 || !type)
        return -1;
    if (type->kind == QN_MEDIA_INDEX ? present(m->root, "layers") || present(m->root, "config")
                                     : present(m->root, "manifests"))
        return qn_fail(e, QN_E_MALFORMED, "manifest: content does not have the shape of %s", type->name);
    m->kind = type->kind;
    m->family = type->family;
    m->media_type = type->name;
    return 0;
}

static int parse_members(struct qn_manifest *m, size_t layers, size_t children, struct qn_err *e)
{
    json_t *subject;

    if (qn_json_str_opt(m->root, "artifactType", &m->artifact_type, e) < 0 ||
        qn_json_object_opt(m->root, "annotations", &m->annotations, e) < 0 ||
        qn_json_object_opt(m->root, "subject", &subject, e) < 0)
        return qn_err_wrap(e, "manifest");
    if (m->artifact_type.n > 255)
        return qn_fail(e, QN_E_MALFORMED, "manifest: artifactType: %zu bytes, at most 255", m->artifact_type.n);
    if (subject && qn_descriptor_parse(subject, "subject", &m->subject, e) < 0)
        return qn_err_wrap(e, "manifest");
    m->has_subject = subject != NULL;
    if (m->kind == QN_MEDIA_INDEX) {
        if (!json_is_array(json_object_get(m->root, "manifests")))
            return qn_fail(e, QN_E_MALFORMED, "manifest: manifests: missing or not an array");
        return parse_list(m->root, "manifests", children, &m->manifests, &m->manifest_count, e);
    }
    json_t *config = json_object_get(m->root, "config");
    if (!config)
        return qn_fail(e, QN_E_MALFORMED, "manifest: config: missing");
    if (qn_descriptor_parse(config, "config", &m->config, e) < 0)
        return qn_err_wrap(e, "manifest");
    return parse_list(m->root, "layers", layers, &m->layers, &m->layer_count, e);
}

static int parse(struct qn_str bytes, struct qn_str content_type, const struct qn_limits *limits, size_t layers,
                 size_t children, struct qn_manifest *out, struct qn_err *e)
{
    qn_auto_manifest struct qn_manifest m = {.artifact_type = QN_STR("")};

    if (bytes.n > limits->manifest_size)
        return qn_fail(e, QN_E_LIMIT, "manifest: %zu bytes, at most %llu", bytes.n,
                       (unsigned long long)limits->manifest_size);
    if (qn_json_parse(bytes, bytes.n, &m.root, e) < 0)
        return qn_err_wrap(e, "manifest");
    if (check_shape(content_type, &m, e) < 0 || parse_members(&m, layers, children, e) < 0)
        return -1;
    *out = m;
    memset(&m, 0, sizeof m);
    return 0;
}

int qn_manifest_parse(struct qn_str bytes, struct qn_str content_type, const struct qn_limits *limits,
                      struct qn_manifest *out, struct qn_err *e)
{
    return parse(bytes, content_type, limits, QN_MANIFEST_LAYERS_MAX, QN_MANIFEST_CHILDREN_MAX, out, e);
}

int qn_manifest_parse_kept(struct qn_str bytes, struct qn_str content_type, const struct qn_limits *limits,
                           struct qn_manifest *out, struct qn_err *e)
{
    return parse(bytes, content_type, limits, QN_MANIFEST_KEPT_MAX, QN_MANIFEST_KEPT_MAX, out, e);
}

void qn_manifest_fini(struct qn_manifest *m)
{
    free(m->layers);
    free(m->manifests);
    json_decref(m->root);
    memset(m, 0, sizeof *m);
}

bool qn_manifest_is_image(const struct qn_manifest *m)
{
    if (m->kind != QN_MEDIA_MANIFEST || m->layer_count == 0)
        return false;
    const struct qn_media_type *config = qn_media_type_find(m->config.media_type);
    if (!config || config->kind != QN_MEDIA_CONFIG)
        return false;
    if (m->artifact_type.n && !qn_str_ieq(m->artifact_type, m->config.media_type))
        return false;
    /* BuildKit's attestations have an image's config and in-toto statements for layers. */
    for (size_t i = 0; i < m->layer_count; i++) {
        const struct qn_media_type *layer = qn_media_type_find(m->layers[i].media_type);
        if (layer &&
            (layer->kind == QN_MEDIA_LAYER || layer->kind == QN_MEDIA_FOREIGN || layer->kind == QN_MEDIA_ENCRYPTED))
            return true;
    }
    return false;
}

bool qn_manifest_is_attestation(const struct qn_descriptor *d)
{
    return qn_descriptor_annotation(d, "vnd.docker.reference.type").n > 0;
}

bool qn_manifest_attested(const struct qn_descriptor *d, struct qn_digest *out)
{
    struct qn_err e;
    return qn_digest_parse(qn_descriptor_annotation(d, "vnd.docker.reference.digest"), out, &e) == 0;
}
