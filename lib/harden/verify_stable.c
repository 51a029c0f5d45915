/* The same policy over the result finds nothing left to do. */
#include "verify.h"
#include "plan.h"

void qn_verify_stable(const struct qn_verify *v, struct qn_verdict *out)
{
    qn_auto_plan struct qn_plan p = {0};
    struct qn_err e;

    if (qn_plan_make(v->after, v->opt, &p, &e) < 0) {
        qn_verdict_fail(out, "planning again failed: %s", e.msg);
        return;
    }
    if (qn_plan_empty(&p))
        return;
    for (size_t i = 0; i < p.changes; i++) {
        const struct qn_change *c = &p.change[i];
        bool stands = c->node == QN_NO_NODE || p.fate[c->node].removed || p.fate[c->node].changed;
        if (!c->undone && stands && v->opt->rule[c->rule] != QN_RULE_REPORT)
            qn_verdict_fail(out, "rule %s would %s \"%s\" now: %s", qn_rule_name(c->rule), qn_action_name(c->action),
                            QN_Q(c->path), QN_Q(c->because));
    }
}
