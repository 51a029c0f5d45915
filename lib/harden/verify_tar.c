/* What docker's overlay2, containerd and umoci all unpack alike: hard links lead to an earlier name of the same layer,
 * and nothing that the source did right is done wrong now. */
#include "verify.h"

struct faults {
    uint64_t links, duplicates;
};

static struct faults count(const struct qn_layer_index *ix)
{
    struct faults f = {0};

    for (size_t i = 0; i < ix->count; i++) {
        const struct qn_entry *n = &ix->entry[i];
        if (n->type == QN_HARDLINK && !qn_layer_data(ix, n))
            f.links++;
        if (i > 0 && qn_str_eq(n->path, ix->entry[i - 1].path) && n->type <= QN_FIFO &&
            ix->entry[i - 1].type <= QN_FIFO)
            f.duplicates++;
    }
    return f;
}

void qn_verify_tar(const struct qn_verify *v, struct qn_verdict *out)
{
    struct faults before = {0}, after = {0};

    for (size_t i = 0; i < v->before->tree.layer_count && !v->alone; i++) {
        struct faults f = count(&v->before->tree.layer[i]);
        before.links += f.links;
        before.duplicates += f.duplicates;
    }
    for (size_t i = 0; i < v->after->tree.layer_count; i++) {
        struct faults f = count(&v->after->tree.layer[i]);
        after.links += f.links;
        after.duplicates += f.duplicates;
    }
    if (after.links > before.links)
        qn_verdict_fail(out, "%llu hard links lead to nothing in their layer", (unsigned long long)after.links);
    if (after.duplicates > before.duplicates)
        qn_verdict_fail(out, "%llu paths stand twice in a layer", (unsigned long long)after.duplicates);
}
