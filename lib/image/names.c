#include "names.h"

#include "base/path.h"

#include <stdlib.h>

static int by_base(const void *a, const void *b)
{
    const struct qn_name *x = a, *y = b;
    int c = qn_str_cmp(x->base, y->base);
    if (c == 0)
        c = (x->package > y->package) - (x->package < y->package);
    return c ? c : (x->node > y->node) - (x->node < y->node);
}

static void sort(struct qn_name *at, size_t n)
{
    if (n)
        qsort(at, n, sizeof *at, by_base);
    for (size_t i = 0; i < n; i++)
        at[i].run = 1;
    for (size_t i = n; i-- > 1;)
        if (at[i - 1].package == at[i].package && qn_str_eq(at[i - 1].base, at[i].base))
            at[i - 1].run = at[i].run + 1;
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
            at[n++] = (struct qn_name){.base = qn_path_base(t->node[i].path), .node = i, .package = QN_NO_PACKAGE};
    sort(at, n);
    *out = (struct qn_names){at, n};
    return 0;
}

void qn_names_by_package(struct qn_names *names, const struct qn_tree *t)
{
    for (size_t i = 0; i < names->count; i++)
        names->at[i].package = t->node[names->at[i].node].package;
    sort(names->at, names->count);
}

size_t qn_names_find_of(const struct qn_names *names, struct qn_str base, uint32_t package, size_t *count)
{
    size_t lo = 0, hi = names->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = qn_str_cmp(names->at[mid].base, base);
        if (c < 0 || (c == 0 && names->at[mid].package < package))
            lo = mid + 1;
        else
            hi = mid;
    }
    bool found = lo < names->count && names->at[lo].package == package && qn_str_eq(names->at[lo].base, base);
    *count = found ? names->at[lo].run : 0;
    return lo;
}

size_t qn_names_find(const struct qn_names *names, struct qn_str base, size_t *count)
{
    return qn_names_find_of(names, base, QN_NO_PACKAGE, count);
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
