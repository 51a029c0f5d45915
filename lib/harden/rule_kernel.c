/* Kernels, their modules, firmware and sources: a container runs on its host's. The directories stay, hosts mount their
 * own there. */
#include "edits.h"

int qn_rule_kernel(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    static const struct {
        const char *path, *because;
    } places[] = {{"boot", "kernel and boot loader"},
                  {"lib/modules", "kernel modules"},
                  {"lib/firmware", "firmware for devices"},
                  {"usr/lib/modules", "kernel modules"},
                  {"usr/lib/firmware", "firmware for devices"}};
    const struct qn_tree *t = &img->tree;

    for (size_t i = 0; i < QN_ARRAY_LEN(places); i++)
        if (qn_rule_empty_path(plan, places[i].path, places[i].because, NULL, e) < 0)
            return -1;
    /* Applications live in usr/src as well: only what packages put there, and kernels by their name. */
    uint32_t src = qn_tree_resolve(t, QN_STR("usr/src"), true);
    if (src == QN_NO_NODE || t->node[src].type != QN_DIR || opt->use == QN_USE_BUILD)
        return 0;
    for (uint32_t i = src + 1, end = qn_tree_end(t, src); i < end; i = qn_tree_end(t, i)) {
        struct qn_str base = qn_path_base(t->node[i].path);
        bool kernel = qn_glob(QN_STR("linux-*"), base) || qn_glob(QN_STR("kernels"), base);
        bool owned = false, foreign = false;
        for (uint32_t k = i; k < qn_tree_end(t, i); k++) {
            owned = owned || t->node[k].package != QN_NO_PACKAGE;
            foreign = foreign || (t->node[k].type != QN_DIR && t->node[k].package == QN_NO_PACKAGE);
        }
        if ((kernel || (owned && !foreign)) && qn_plan_remove_tree(plan, i, "sources of the kernel", NULL, e) < 0)
            return -1;
    }
    return 0;
}
