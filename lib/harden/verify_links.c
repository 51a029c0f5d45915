/* No symbolic link of the result leads to nothing if it led to something in the source; what is reached is there. */
#include "verify.h"

#include "base/path.h"

static bool made_at_run_time(struct qn_str path)
{
    static const char *const dirs[] = {"dev", "proc", "run", "sys"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}

void qn_verify_links(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_tree *b = &v->before->tree, *a = &v->after->tree;

    for (uint32_t i = 1; i < a->count && out->ok; i++) {
        const struct qn_node *n = &a->node[i];
        char buf[4096];
        struct qn_str target;
        if (n->type != QN_SYMLINK || qn_tree_resolve(a, n->path, true) != QN_NO_NODE)
            continue;
        uint32_t old = qn_tree_find(b, n->path);
        bool led = old != QN_NO_NODE && qn_tree_resolve(b, n->path, true) != QN_NO_NODE;
        if (led && !(qn_tree_target(a, i, buf, &target) && made_at_run_time(target)))
            qn_verdict_fail(out, "/%s leads to nothing", QN_Q(n->path));
    }
    for (uint32_t i = 1; i < b->count && out->ok; i++)
        if (qn_image_reached(v->before, i) && b->node[i].type != QN_DIR && qn_verify_same(v, i) == QN_NO_NODE)
            qn_verdict_fail(out, "/%s is gone though it is reached", QN_Q(b->node[i].path));
}
