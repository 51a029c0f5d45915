#include "index_make.h"

static json_t *entry(const struct qn_index_child *c)
{
    json_t *o = json_deep_copy(c->source->json);
    char digest[QN_DIGEST_TEXT];

    qn_json_set_c(o, "digest", qn_digest_text(&c->digest, digest));
    qn_json_set_int(o, "size", (int64_t)c->size);
    json_object_del(o, "urls");
    json_object_del(o, "data");
    return o;
}

bool qn_index_attests(const struct qn_index_child *attestation, const struct qn_index_child *all, size_t n)
{
    struct qn_digest about;

    if (!attestation->attestation || !qn_manifest_attested(attestation->source, &about))
        return false;
    for (size_t i = 0; i < n; i++)
        if (all[i].taken && all[i].unchanged && qn_digest_eq(&all[i].source->digest, &about))
            return true;
    return false;
}

static void annotate(json_t *root, const struct qn_index_origin *from)
{
    json_t *a = json_object_get(root, "annotations");
    char digest[QN_DIGEST_TEXT];

    if (!json_is_object(a)) {
        qn_json_set(root, "annotations", json_object());
        a = json_object_get(root, "annotations");
    }
    qn_json_set_c(a, "org.opencontainers.image.base.digest", qn_digest_text(from->source, digest));
    qn_json_set_c(a, "io.quench.policy", from->policy);
    qn_json_set_c(a, "io.quench.engine", from->engine);
}

int qn_index_make(const struct qn_manifest *m, const struct qn_index_child *children,
                  const struct qn_index_origin *from, const char *platforms, json_t **out, bool *same, struct qn_err *e)
{
    json_t *list = json_array();
    bool equal = true;

    for (size_t i = 0; i < m->manifest_count; i++) {
        const struct qn_index_child *c = &children[i];
        bool keep = c->taken || qn_index_attests(c, children, m->manifest_count);
        equal = equal && keep && (c->attestation || c->unchanged);
        if (keep)
            qn_json_push(list, c->attestation ? json_deep_copy(c->source->json) : entry(c));
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return qn_fail(e, QN_E_DENIED, "the index has no image for %s", platforms);
    }
    json_t *root = json_deep_copy(m->root);
    qn_json_set_c(root, "mediaType", m->media_type);
    qn_json_set(root, "manifests", list);
    json_object_del(root, "subject");
    if (m->family == QN_FAMILY_OCI)
        annotate(root, from);
    *out = root;
    *same = equal;
    return 0;
}
