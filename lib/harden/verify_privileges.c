/* With the rules on: setuid and setgid bits only on programs that a process which is not root reaches, in every layer,
 * hidden entries included. */
#include "groups.h"
#include "verify.h"

void qn_verify_privileges(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_tree *t = &v->after->tree;
    qn_auto_groups struct qn_groups groups = {0};

    if (v->opt->rule[QN_RULE_setuid] != QN_RULE_ON)
        return;
    qn_groups_init(&groups, v->after, qn_image_needed);
    for (size_t l = 0; l < t->layer_count; l++)
        for (size_t i = 0; i < t->layer[l].count && out->ok; i++) {
            const struct qn_entry *n = &t->layer[l].entry[i];
            if ((n->type != QN_FILE && n->type != QN_HARDLINK) || !(n->mode & 06000))
                continue;
            if (v->before->runs_as_root || !qn_groups_entry(&groups, l, n))
                qn_verdict_fail(out, "/%s has mode %04o%s", QN_Q(n->path), n->mode,
                                qn_tree_visible(t, n) ? "" : " in a lower layer");
        }
}
