/* File capabilities (security.capability): kept only on programs that something reached starts, under whichever of
 * their names; in strict, that nothing owns a program is no reason to think that something starts it. */
#include "groups.h"
#include "edits.h"

#include "image/called.h"

static bool started(const struct qn_image *img, uint32_t node)
{
    return img->tree.node[node].data->caps && qn_image_started(img, node);
}

int qn_rule_file_caps(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;
    qn_auto_groups struct qn_groups groups = {0};

    qn_groups_init(&groups, img, opt->profile == QN_STRICT ? started : qn_image_needed);
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        if (n->type != QN_FILE || !n->data || !n->data->caps || plan->fate[i].removed)
            continue;
        bool needed = qn_groups_node(&groups, i);
        if (!needed && qn_plan_uncap(plan, i, "file capabilities raise privileges, and nothing starts this", e) < 0)
            return -1;
        if (qn_plan_finding(plan, "CIS-4.8", QN_WARN, !needed, n->path, e, "%s",
                            needed ? "file capabilities stay: the image starts it" : "file capabilities") < 0)
            return -1;
    }
    return 0;
}
