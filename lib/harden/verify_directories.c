/* The working directory and the volumes: there, directories, of the same group and mode. */
#include "verify.h"

static void one(const struct qn_verify *v, struct qn_str path, struct qn_verdict *out)
{
    uint32_t old = qn_tree_resolve(&v->before->tree, path, true), now = qn_tree_resolve(&v->after->tree, path, true);

    if (old == QN_NO_NODE)
        return; /* the runtime makes it */
    if (now == QN_NO_NODE || v->after->tree.node[now].type != v->before->tree.node[old].type) {
        qn_verdict_fail(out, "%s is gone", QN_Q(path));
        return;
    }
    const struct qn_node *b = &v->before->tree.node[old], *a = &v->after->tree.node[now];
    if (a->gid != b->gid || (a->mode | 01000) != (b->mode | 01000))
        qn_verdict_fail(out, "%s: group or mode changed", QN_Q(path));
}

void qn_verify_directories(const struct qn_verify *v, struct qn_verdict *out)
{
    if (v->before->config.working_dir.n)
        one(v, v->before->config.working_dir, out);
    for (size_t i = 0; i < v->before->config.volumes.n; i++)
        one(v, v->before->config.volumes.v[i], out);
}
