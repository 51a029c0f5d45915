#include "endings.h"

#include <stdlib.h>

/* The byte `i` bytes from the end of a path that a slash precedes; -1 beyond. */
static int back(struct qn_str path, size_t i)
{
    if (i < path.n)
        return (unsigned char)path.p[path.n - 1 - i];
    return i == path.n ? '/' : -1;
}

/* Order of the last `n` bytes. */
static int order(struct qn_str a, struct qn_str b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int x = back(a, i), y = back(b, i);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

struct item {
    struct qn_str path;
    uint32_t node;
};

static int by_end(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return order(x->path, y->path, QN_MAX(x->path.n, y->path.n) + 1);
}

int qn_endings_make(const struct qn_tree *t, bool (*wanted)(const void *ctx, uint32_t node), const void *ctx,
                    struct qn_arena *arena, struct qn_endings *out, struct qn_err *e)
{
    size_t n = 0;

    for (uint32_t i = 1; i < t->count; i++)
        n += wanted(ctx, i);
    qn_auto_free struct item *item = qn_xcalloc(n ? n : 1, sizeof *item);
    struct qn_endings made = {.tree = t, .count = n};
    made.node = qn_arena_alloc(arena, n, sizeof *made.node, e);
    made.next = made.node ? qn_arena_alloc(arena, n + 1, sizeof *made.next, e) : NULL;
    if (!made.next)
        return -1;
    n = 0;
    for (uint32_t i = 1; i < t->count; i++)
        if (wanted(ctx, i))
            item[n++] = (struct item){t->node[i].path, i};
    qsort(item, n, sizeof *item, by_end);
    for (size_t i = 0; i < n; i++)
        made.node[i] = item[i].node;
    for (size_t i = 0; i <= n; i++)
        made.next[i] = (uint32_t)i;
    *out = made;
    return 0;
}

/* The first place from `at` on that was not taken; the way there is made shorter. */
static uint32_t left(struct qn_endings *self, uint32_t at)
{
    while (self->next[at] != at) {
        self->next[at] = self->next[self->next[at]];
        at = self->next[at];
    }
    return at;
}

bool qn_endings_take(struct qn_endings *self, struct qn_str ending, uint32_t *node)
{
    const struct qn_node *nodes = self->tree->node;
    size_t lo = 0, hi = self->count, n = ending.n + (qn_str_chr(ending, '/') < 0);

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (order(nodes[self->node[mid]].path, ending, n) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    uint32_t at = left(self, (uint32_t)lo);
    if (at == self->count || order(nodes[self->node[at]].path, ending, n) != 0)
        return false;
    *node = self->node[at];
    self->next[at] = at + 1;
    return true;
}
