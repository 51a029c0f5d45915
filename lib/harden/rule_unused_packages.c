/* Packages outside of the keep-set, and tools of toolbox packages that nothing needs. */
#include "unused.h"

static const char unneeded[] = "nothing that the image runs or that was installed on purpose needs its package";
static const char tool[] = "a tool of a toolbox package that nothing in the image calls";
static const char program[] = "a program that nothing calls of a package that stays for its libraries or data";
static const char script[] = "a script that nothing runs, and what interprets it is not needed";

static const char *because_of(const struct qn_plan *plan, const struct qn_keepset *ks, uint32_t node)
{
    const struct qn_image *img = plan->img;
    const struct qn_node *n = &img->tree.node[node];
    enum qn_package_class class = qn_package_class(img->package[n->package].name);

    /* Package managers have a rule of their own. */
    if (class == QN_CLASS_MANAGER &&
        (ks->alive[n->package] || plan->opt->rule[QN_RULE_package_managers] == QN_RULE_OFF))
        return NULL;
    if (!ks->alive[n->package])
        return unneeded;
    if (class == QN_CLASS_TOOLBOX)
        return tool;
    if (ks->level == QN_KEEP_PACKAGES && n->type == QN_FILE && n->data && n->data->content == QN_SCRIPT)
        return script;
    if (ks->level == QN_KEEP_PACKAGES && qn_rule_in_path(img, node))
        return program;
    return NULL;
}

int qn_rule_unused_packages(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                            struct qn_err *e)
{
    const struct qn_keepset *ks;
    int r = qn_unused_begin(plan, &ks, e);

    (void)opt;
    if (r <= 0)
        return r;
    for (uint32_t i = 1; i < img->tree.count; i++) {
        if (qn_keepset_has(ks, i) || qn_unused_never(img, i) || qn_unused_shell(img, i) || qn_unused_way(img, ks, i))
            continue;
        const char *because = because_of(plan, ks, i);
        if (because && qn_plan_remove(plan, i, because, e) < 0)
            return -1;
    }
    return 0;
}
