/* With the rules on: setuid and setgid bits only on programs that a process which is not root reaches, in every layer,
 * hidden entries included. */
#include "verify.h"

static void one(const struct qn_verify *v, const struct qn_entry *n, struct qn_verdict *out)
{
    uint32_t node = qn_tree_find(&v->after->tree, n->path);
    bool visible = node != QN_NO_NODE && v->after->tree.node[node].entry == n;
    bool needed = visible && qn_image_reached(v->after, node) && !v->before->runs_as_root;

    if ((n->type == QN_FILE || n->type == QN_HARDLINK) && (n->mode & 06000) && !needed)
        qn_verdict_fail(out, "/%s has mode %04o%s", QN_Q(n->path), n->mode, visible ? "" : " in a lower layer");
}

void qn_verify_privileges(const struct qn_verify *v, struct qn_verdict *out)
{
    if (v->opt->rule[QN_RULE_setuid] != QN_RULE_ON)
        return;
    for (size_t l = 0; l < v->after->tree.layer_count; l++)
        for (size_t i = 0; i < v->after->tree.layer[l].count && out->ok; i++)
            one(v, &v->after->tree.layer[l].entry[i], out);
}
