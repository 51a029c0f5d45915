/* Device nodes, sockets and FIFOs: a runtime makes the ones that a container needs. */
#include "edits.h"

static bool usual(struct qn_str path)
{
    static const char *const names[] = {"dev/console", "dev/null", "dev/zero",    "dev/full",
                                        "dev/random",  "dev/tty",  "dev/urandom", "dev/ptmx"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(path, names[i]))
            return true;
    return false;
}

/* Device 0:0 hides what lies below in an overlay and is a device elsewhere: the emitter writes what is meant. */
static int whiteouts(struct qn_plan *p, struct qn_err *e)
{
    for (size_t l = 0; l < p->img->tree.layer_count; l++) {
        const struct qn_layer_index *ix = &p->img->tree.layer[l];
        for (size_t i = 0; i < ix->count; i++) {
            const struct qn_entry *n = &ix->entry[i];
            if (qn_layer_hides(ix, n) &&
                qn_plan_finding(p, "NIST-CM-7", QN_INFO, true, n->path, e, "whiteout written as device 0:0") < 0)
                return -1;
        }
    }
    return 0;
}

int qn_rule_devices(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;

    (void)opt;
    if (whiteouts(plan, e) < 0)
        return -1;
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        bool device = (n->type == QN_CHAR || n->type == QN_BLOCK) && !usual(n->path);
        /* Elsewhere (mail queues, supervisors) a FIFO is how programs of the image talk. */
        bool fifo =
            n->type == QN_FIFO && (qn_path_under(n->path, QN_STR("dev")) || qn_path_under(n->path, QN_STR("run")) ||
                                   qn_path_under(n->path, QN_STR("tmp")));
        if ((device || fifo) && qn_plan_remove(plan, i, device ? "device node" : "FIFO", e) < 0)
            return -1;
        if (device && qn_plan_finding(plan, "NIST-CM-7", QN_WARN, plan->fate[i].removed != 0, n->path, e,
                                      "device node %u:%u", n->entry->dev_major, n->entry->dev_minor) < 0)
            return -1;
    }
    return 0;
}
