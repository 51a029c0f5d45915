/* The one set of limits on what strangers send. Sizes are uncompressed bytes unless said otherwise. */
#ifndef QN_BASE_LIMITS_H
#define QN_BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct qn_limits {
    uint64_t image_size;    /* all layers of an image together */
    uint64_t layer_ratio;   /* uncompressed / compressed of one layer, counted after QN_RATIO_FREE bytes */
    uint64_t layer_entries; /* entries of one layer */
    uint64_t manifest_size; /* bytes of a manifest, index or config */
};

#define QN_RATIO_FREE (64ull << 20)
#define QN_LIMITS_DEFAULT                                                                                              \
    ((struct qn_limits){                                                                                               \
        .image_size = 20ull << 30, .layer_ratio = 200, .layer_entries = 500000, .manifest_size = 4ull << 20})

#endif
