/* Shells that nothing needs: no entrypoint or command in shell form, no script, no program that runs command lines. */
#include "unused.h"

int qn_rule_shells(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_keepset *ks;

    (void)opt;
    if (img->utility)
        return qn_plan_back_off(plan, e, "the image starts a shell and exists for its tools");
    int r = qn_unused_begin(plan, &ks, e);
    if (r <= 0)
        return r;
    for (uint32_t i = 1; i < img->tree.count; i++) {
        if (qn_keepset_has(ks, i) || qn_unused_never(img, i) || !qn_unused_shell(img, i))
            continue;
        if (qn_plan_remove(plan, i, "no script, shell-form command or program needs this shell", e) < 0)
            return -1;
    }
    return 0;
}
