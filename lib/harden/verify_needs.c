/* Every shared library and loader that resolved in the source resolves in the result. Alone, those of whatever is
 * reached are there. */
#include "verify.h"

static void one(const struct qn_verify *v, uint32_t i, struct qn_verdict *out)
{
    const struct qn_node *n = &v->after->tree.node[i];
    const struct qn_elf_facts *f = &n->data->elf;
    uint32_t old = qn_tree_find(&v->before->tree, n->path);

    if (old == QN_NO_NODE || !v->before->tree.node[old].data || v->before->tree.node[old].data->content != QN_ELF)
        return;
    if (v->alone && !qn_image_reached(v->after, i))
        return;
    if (f->interp.n && (v->alone || qn_tree_resolve(&v->before->tree, f->interp, true) != QN_NO_NODE) &&
        qn_tree_resolve(&v->after->tree, f->interp, true) == QN_NO_NODE)
        qn_verdict_fail(out, "/%s: its loader %s is missing", QN_Q(n->path), QN_Q(f->interp));
    for (uint32_t k = 0; k < f->needed_count; k++)
        if ((v->alone || qn_image_library(v->before, old, f->needed[k]) != QN_NO_NODE) &&
            qn_image_library(v->after, i, f->needed[k]) == QN_NO_NODE)
            qn_verdict_fail(out, "/%s: its library %s is missing", QN_Q(n->path), QN_Q(f->needed[k]));
}

void qn_verify_needs(const struct qn_verify *v, struct qn_verdict *out)
{
    for (uint32_t i = 1; i < v->after->tree.count && out->ok; i++) {
        const struct qn_node *n = &v->after->tree.node[i];
        if (n->type == QN_FILE && n->data && n->data->content == QN_ELF)
            one(v, i, out);
    }
}
