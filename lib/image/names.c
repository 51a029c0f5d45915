#include "names.h"

#include "base/path.h"

#include <stdlib.h>

static int by_base(const void *a, const void *b)
{
    const struct qn_name *x = a, *y = b;
    int c = qn_str_cmp(x->base, y->base);
    return c ? c : (x->node > y->node) - (x->node < y->node);
}

int qn_names_make(const struct qn_tree *t, bool (*wanted)(const void *ctx, uint32_t node), const void *ctx,
                  struct qn_arena *arena, struct qn_names *out, struct qn_err *e)
{
    size_t n = 0;

    for (uint32_t i = 1; i < t->count; i++)
        n += wanted(ctx, i);
    struct qn_name *at = qn_arena_alloc(arena, n, sizeof *at, e);
    if (!at)
        return -1;
    n = 0;
    for (uint32_t i = 1; i < t->count; i++)
        if (wanted(ctx, i))
            at[n++] = (struct qn_name){qn_path_base(t->node[i].path), i, 1, 0};
    if (n)
        qsort(at, n, sizeof *at, by_base);
    for (size_t i = n; i-- > 1;)
        if (qn_str_eq(at[i - 1].base, at[i].base))
            at[i - 1].run = at[i].run + 1;
    *out = (struct qn_names){at, n};
    return 0;
}

size_t qn_names_find(const struct qn_names *names, struct qn_str base, size_t *count)
{
    size_t lo = 0, hi = names->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (qn_str_cmp(names->at[mid].base, base) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *count = lo < names->count && qn_str_eq(names->at[lo].base, base) ? names->at[lo].run : 0;
    return lo;
}

bool qn_names_program(const void *tree, uint32_t node)
{
    const struct qn_tree *t = tree;
    const struct qn_node *n = &t->node[node];

    if (n->type != QN_SYMLINK && (n->type != QN_FILE || !(n->mode & 0111)))
        return false;
    struct qn_str dir = qn_path_base(qn_path_dir(n->path));
    return qn_str_eq(dir, QN_STR("bin")) || qn_str_eq(dir, QN_STR("sbin")) || qn_str_eq(dir, QN_STR("libexec"));
}
