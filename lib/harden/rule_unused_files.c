/* Programs, libraries and plugins of kept packages that nothing kept needs. */
#include "unused.h"

int qn_rule_unused_files(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                         struct qn_err *e)
{
    const struct qn_keepset *ks;
    int r = qn_unused_begin(plan, &ks, e);

    (void)opt;
    if (r <= 0)
        return r;
    for (uint32_t i = 1; i < img->tree.count && ks->level == QN_KEEP_FILES; i++) {
        if (qn_keepset_has(ks, i) || qn_unused_never(img, i) || qn_unused_shell(img, i) || qn_unused_way(img, ks, i))
            continue;
        uint32_t package = img->tree.node[i].package;
        enum qn_package_class class = qn_package_class(img->package[package].name);
        if (ks->alive[package] && class != QN_CLASS_MANAGER && class != QN_CLASS_TOOLBOX &&
            qn_plan_remove(plan, i, "nothing that the image runs needs this file of a kept package", e) < 0)
            return -1;
    }
    return 0;
}
