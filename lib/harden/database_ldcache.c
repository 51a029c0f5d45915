#include "databases.h"

#include "formats/ldcache.h"

struct filter {
    const struct qn_plan *p;
    enum qn_rule rule;
};

static bool removed(const void *ctx, uint32_t node)
{
    return !qn_plan_kept(ctx, node);
}

static bool keep(void *ctx, struct qn_str path)
{
    struct filter *f = ctx;
    uint32_t met;

    (void)qn_tree_resolve_without(&f->p->img->tree, path, removed, f->p, &met);
    if (met != QN_NO_NODE)
        f->rule = f->p->change[f->p->fate[met].removed - 1].rule;
    return met == QN_NO_NODE;
}

int qn_database_ldcache(struct qn_plan *p, struct qn_err *e)
{
    struct filter f = {.p = p};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_str text;
    struct qn_err broken;
    uint32_t node;
    size_t dropped;

    if (!qn_plan_path_text(p, QN_STR("etc/ld.so.cache"), &node, &text))
        return 0;
    qn_buf_init(&b, 2 * text.n + 4096);
    if (qn_ldcache_filter(text, keep, &f, &b, &dropped, &broken) < 0 || dropped == 0)
        return 0;
    p->rule = f.rule;
    return qn_plan_edit(p, node, qn_buf_view(&b), "the libraries that it listed are removed", e);
}
