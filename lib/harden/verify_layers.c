/* The configuration names as many layers as there are, with the digests that their contents have. */
#include "verify.h"

void qn_verify_layers(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_imgconfig *c = &v->after->config;
    struct qn_err e;

    if (qn_imgconfig_check_layers(c, v->after->tree.layer_count, &e) < 0) {
        qn_verdict_fail(out, "%s", e.msg);
        return;
    }
    for (size_t i = 0; i < c->diff_id_count; i++) {
        const struct qn_digest *seen = &v->after->tree.layer[i].diff_id;
        char text[QN_DIGEST_TEXT];
        if (seen->algorithm != QN_DIGEST_NONE && !qn_digest_eq(seen, &c->diff_ids[i]))
            qn_verdict_fail(out, "layer %zu has diff ID %s", i, qn_digest_text(seen, text));
    }
    if (out->ok)
        snprintf(out->detail, sizeof out->detail, "%zu layers, %zu before", c->diff_id_count,
                 v->before->tree.layer_count);
}
