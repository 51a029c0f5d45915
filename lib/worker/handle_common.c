#include "handle_common.h"

#include "formats/manifest.h"

#define FACTS_ARENA (768u << 20)

int qn_handle_limits(const json_t *request, struct qn_limits *out, struct qn_err *e)
{
    const json_t *o = json_object_get(request, "limits");
    int64_t size, ratio, entries, manifest;

    if (qn_json_int(o, "image_size", 1, INT64_MAX, &size, e) < 0 ||
        qn_json_int(o, "layer_ratio", 0, INT64_MAX, &ratio, e) < 0 ||
        qn_json_int(o, "layer_entries", 1, INT64_MAX, &entries, e) < 0 ||
        qn_json_int(o, "manifest_size", 1, INT64_MAX, &manifest, e) < 0)
        return qn_err_wrap(e, "limits");
    *out = (struct qn_limits){.image_size = (uint64_t)size,
                              .layer_ratio = (uint64_t)ratio,
                              .layer_entries = (uint64_t)entries,
                              .manifest_size = (uint64_t)manifest};
    return 0;
}

int qn_handle_image(const json_t *object, struct qn_str bundle, const struct qn_limits *limits,
                    const struct qn_keep *keep, struct qn_handled_image *out, struct qn_err *e)
{
    json_t *extents, *pair;
    struct qn_str config;
    size_t i;

    qn_arena_init(&out->arena, FACTS_ARENA);
    if (qn_json_array_opt(object, "facts", &extents, e) < 0 || qn_json_str(object, "config", &config, e) < 0)
        return -1;
    out->count = json_array_size(extents);
    if (out->count > QN_MANIFEST_LAYERS_MAX)
        return qn_fail(e, QN_E_LIMIT, "%zu layers, at most %d", out->count, QN_MANIFEST_LAYERS_MAX);
    out->layer = qn_arena_alloc(&out->arena, out->count, sizeof *out->layer, e);
    if (!out->layer)
        return -1;
    json_array_foreach (extents, i, pair) {
        uint64_t off = (uint64_t)json_integer_value(json_array_get(pair, 0));
        uint64_t len = (uint64_t)json_integer_value(json_array_get(pair, 1));
        if (off > bundle.n || len > bundle.n - off)
            return qn_fail(e, QN_E_MALFORMED, "facts of layer %zu lie outside", i);
        if (qn_layer_decode(qn_str_n(bundle.p + off, (size_t)len), &out->arena, &out->layer[i], e) < 0)
            return qn_err_wrap(e, "layer %zu", i);
    }
    return qn_image_build(out->layer, out->count, config, limits, keep, &out->image, e);
}

void qn_handled_image_fini(struct qn_handled_image *h)
{
    qn_image_fini(&h->image);
    qn_arena_fini(&h->arena);
}
