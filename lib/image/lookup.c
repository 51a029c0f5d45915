#include "lookup.h"

#include "base/path.h"

#include <stdlib.h>

void qn_dirs_init(struct qn_dirs *self, const struct qn_tree *t)
{
    *self = (struct qn_dirs){.tree = t};
    self->at = qn_xcalloc(t->count, sizeof *self->at);
    self->listed = qn_xcalloc(t->count, sizeof *self->listed);
}

void qn_dirs_fini(struct qn_dirs *self)
{
    free(self->at);
    free(self->listed);
    *self = (struct qn_dirs){0};
}

void qn_dirs_add(struct qn_dirs *self, uint32_t node)
{
    if (node == QN_NO_NODE || self->listed[node])
        return;
    self->listed[node] = true;
    self->at[self->count++] = node;
}

/* Something found, as it is sorted: of equal ones the first found comes first. */
struct item {
    struct qn_found found;
    struct qn_str name;
    size_t rank;
};

static int order(uint64_t key, struct qn_str name, uint32_t kind, const struct qn_found *f, struct qn_str other)
{
    if (key != f->key)
        return key < f->key ? -1 : 1;
    int c = qn_str_cmp(name, other);
    return c ? c : (kind > f->kind) - (kind < f->kind);
}

static int by_name(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int c = order(x->found.key, x->name, x->found.kind, &y->found, y->name);
    return c ? c : (x->rank > y->rank) - (x->rank < y->rank);
}

static size_t collect(const struct qn_dirs *dirs, bool (*wanted)(const void *ctx, uint32_t to, uint32_t *kind),
                      const void *ctx, struct item *out)
{
    const struct qn_tree *t = dirs->tree;
    size_t n = 0;

    for (size_t d = 0; d < dirs->count; d++) {
        const struct qn_node *dir = &t->node[dirs->at[d]];
        for (uint32_t i = dir->child; i < dir->child + dir->children; i++) {
            uint32_t node = t->child[i], to = qn_tree_resolve(t, t->node[node].path, true), kind = 0;
            if (to == QN_NO_NODE || !wanted(ctx, to, &kind))
                continue;
            out[n] = (struct item){{t->key[i], node, to, kind}, qn_path_base(t->node[node].path), n};
            n++;
        }
    }
    return n;
}

int qn_lookup_make(const struct qn_dirs *dirs, bool (*wanted)(const void *ctx, uint32_t to, uint32_t *kind),
                   const void *ctx, struct qn_arena *arena, struct qn_lookup *out, struct qn_err *e)
{
    size_t most = 0, n = 0;

    for (size_t d = 0; d < dirs->count; d++)
        most += dirs->tree->node[dirs->at[d]].children;
    qn_auto_free struct item *item = qn_xcalloc(most ? most : 1, sizeof *item);
    most = collect(dirs, wanted, ctx, item);
    qsort(item, most, sizeof *item, by_name);
    struct qn_found *at = qn_arena_alloc(arena, most, sizeof *at, e);
    if (!at)
        return -1;
    for (size_t i = 0; i < most; i++)
        if (i == 0 || order(item[i].found.key, item[i].name, item[i].found.kind, &item[i - 1].found, item[i - 1].name))
            at[n++] = item[i].found;
    *out = (struct qn_lookup){at, n};
    return 0;
}

const struct qn_found *qn_lookup_find(const struct qn_lookup *self, const struct qn_tree *t, struct qn_str name,
                                      uint32_t kind)
{
    size_t lo = 0, hi = self->count;
    uint64_t key = qn_tree_key(name);

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct qn_found *f = &self->at[mid];
        int c = key < f->key ? -1 : key > f->key;
        if (c == 0)
            c = order(key, name, kind, f, qn_path_base(t->node[f->node].path));
        if (c == 0)
            return f;
        if (c > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
