/* Manifests, indexes and their descriptors. */
#include "formats/manifest.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;

    const struct qn_limits limits = QN_LIMITS_DEFAULT;
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_digest d;

    if (qn_manifest_parse(text, QN_STR(""), &limits, &m, &e) == 0) {
        if (m.kind == QN_MEDIA_INDEX ? m.layer_count != 0 : m.manifest_count != 0)
            abort();
        if (qn_manifest_is_image(&m) && m.layer_count == 0)
            abort();
        for (size_t i = 0; i < m.manifest_count; i++)
            if (qn_manifest_is_attestation(&m.manifests[i]))
                (void)qn_manifest_attested(&m.manifests[i], &d);
    }
    {
        /* What may be hardened may be kept as well. */
        qn_auto_manifest struct qn_manifest kept = {0};
        if (qn_manifest_parse_kept(text, QN_STR(""), &limits, &kept, &e) < 0 && m.root)
            abort();
    }
    (void)qn_media_type_find(text);
    return 0;
}
