/* Nodes by how their paths end: what a text means that names "x.so" or "modules/x.so". */
#ifndef QN_IMAGE_ENDINGS_H
#define QN_IMAGE_ENDINGS_H

#include "tree.h"

#include "base/mem.h"

struct qn_endings {
    const struct qn_tree *tree;
    uint32_t *node; /* sorted by path, read from its end */
    uint32_t *next; /* for each place and one behind the last: the first place from there on that was not taken */
    size_t count;
};

/* Collects the nodes for which `wanted` is true. */
int qn_endings_make(const struct qn_tree *t, bool (*wanted)(const void *ctx, uint32_t node), const void *ctx,
                    struct qn_arena *arena, struct qn_endings *out, struct qn_err *e) QN_MUST_CHECK;
/* Takes a node whose path ends like `ending`; a name without a slash must be a whole last component. Each node is given
 * once, so that it does not matter how many texts name how many files. False when none is left. */
bool qn_endings_take(struct qn_endings *self, struct qn_str ending, uint32_t *node);

#endif
