/* Set-user-ID and set-group-ID bits of files. A container that starts as root gains nothing from them; one that starts
 * as somebody else needs them for the programs it calls, and only for those, under whichever of their names. */
#include "groups.h"
#include "edits.h"

int qn_rule_setuid(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;
    qn_auto_groups struct qn_groups groups = {0};

    (void)opt;
    qn_groups_init(&groups, img, qn_image_needed);
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        /* Whatever a hard link leads to, its header says modes of files. */
        bool file = n->type == QN_FILE || (n->entry && n->entry->type == QN_HARDLINK);
        if (!file || !(plan->fate[i].mode & 06000))
            continue;
        if (plan->fate[i].removed) {
            if (qn_plan_finding(plan, "CIS-DI-0008", QN_WARN, true, n->path, e,
                                "setuid or setgid program that another rule removes") < 0)
                return -1;
            continue;
        }
        if (!img->runs_as_root && qn_groups_node(&groups, i)) {
            if (qn_plan_finding(plan, "CIS-DI-0008", QN_WARN, false, n->path, e,
                                "setuid or setgid program stays: a process that is not root runs it") < 0)
                return -1;
            plan->result[plan->rule].protected ++;
            continue;
        }
        if (qn_plan_chmod(plan, i, plan->fate[i].mode & ~06000u, "setuid and setgid bits raise privileges", e) < 0 ||
            qn_plan_finding(plan, "CIS-DI-0008", QN_WARN, true, n->path, e, "setuid or setgid bit") < 0)
            return -1;
    }
    return 0;
}
