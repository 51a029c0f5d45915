/* Tar bytes through the scanner; what it writes, its reader accepts. The first byte says how the bytes are cut. */
#include "base/fd.h"
#include "image/scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(int facts, const struct qn_scan_result *r)
{
    qn_auto_mapped struct qn_mapped map = {0};
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_layer_index ix;
    struct qn_err e;

    qn_arena_init(&arena, 256u << 20);
    if (qn_fd_map(facts, UINT32_MAX, &map, &e) < 0 || map.n != r->facts_size ||
        qn_layer_decode(qn_str_n(map.p, map.n), &arena, &ix, &e) < 0)
        abort();
    if (ix.count != r->entries || ix.size != r->tar_size || !qn_digest_eq(&ix.diff_id, &r->diff_id))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_err e;
    qn_auto_close int spill = qn_fd_memfile("spill", &e), facts = qn_fd_memfile("facts", &e);
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    qn_auto_scan struct qn_scan scan = {0};
    struct qn_scan_result r;
    size_t step = size ? (size_t)data[0] * 64 + 1 : 1;

    if (spill < 0 || facts < 0 || size < 1)
        return 0;
    limits.image_size = 8u << 20;
    limits.layer_entries = 1000;
    struct qn_scan_options opt = {.limits = limits, .spill = spill, .facts = facts, .diff_id = true};
    if (qn_scan_init(&scan, &opt, &e) < 0)
        return 0;
    for (size_t i = 1; i < size; i += step)
        if (qn_scan_feed(&scan, data + i, QN_MIN(step, size - i), &e) < 0)
            return 0;
    if (qn_scan_finish(&scan, &r, &e) == 0)
        read_back(facts, &r);
    return 0;
}
