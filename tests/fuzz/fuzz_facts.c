/* Facts of a layer, which another process wrote: decoded, merged with themselves, made an image, planned, emitted. */
#include "harden/emit.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan(const struct qn_image *img)
{
    qn_auto_json json_t *policy = json_object();
    qn_auto_options struct qn_options opt = {0};
    qn_auto_plan struct qn_plan p = {0};
    struct qn_err e;

    if (qn_options_read(policy, &opt, &e) < 0 || qn_plan_make(img, &opt, &p, &e) < 0)
        return;
    for (uint32_t i = 0; i < img->tree.layer_count; i++) {
        qn_auto_pieces struct qn_pieces pieces = {0};
        struct qn_pieces_view view;
        struct qn_str encoding = {"", 0};
        bool touched;
        uint64_t entries;
        qn_pieces_init(&pieces, 64u << 20);
        if (qn_plan_emit(&p, i, &pieces, &touched, &entries, &e) < 0 || qn_pieces_finish(&pieces, &encoding, &e) < 0)
            continue; /* sums of hostile sizes */
        if (qn_pieces_open(encoding, img->tree.layer[i].size, &view, &e) < 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char config[] =
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Entrypoint\":[\"/run\"],\"Cmd\":[\"sh\",\"-c\","
        "\"app\"],\"WorkingDir\":\"/app\",\"Env\":[\"PATH=/usr/bin:.\"]},\"rootfs\":{\"type\":\"layers\","
        "\"diff_ids\":[]}}";
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_layer_index layers[2];
    qn_auto_image struct qn_image img = {0};
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_err e;

    qn_arena_init(&arena, 64u << 20);
    if (qn_layer_decode(qn_str_n(data, size), &arena, &layers[0], &e) < 0)
        return 0;
    layers[1] = layers[0];
    if (qn_image_build(layers, 2, qn_str_c(config), &limits, NULL, &img, &e) == 0)
        plan(&img);
    return 0;
}
