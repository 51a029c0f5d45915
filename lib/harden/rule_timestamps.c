/* Modification times later than the image's own creation are what varies between two builds of the same thing: they are
 * set to it, in every layer. Only when asked for: programs compare times. */
#include "edits.h"

#include "base/clock.h"

int qn_rule_timestamps(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;
    struct qn_err bad;
    int64_t created;
    size_t late = 0;

    (void)opt;
    if (qn_time_parse(img->config.created, &created, &bad) < 0 || created < 0)
        return qn_plan_back_off(plan, e, "the image does not say when it was created");
    for (size_t l = 0; l < t->layer_count; l++)
        for (size_t i = 0; i < t->layer[l].count; i++)
            late += t->layer[l].entry[i].mtime > created;
    return late ? qn_plan_clamp(plan, created, late, e) : 0;
}
