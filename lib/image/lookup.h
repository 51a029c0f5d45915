/* Names that are looked up again and again in the same list of directories: commands in those of PATH, libraries in
 * those of the system. What the directories hold is sorted once, so that a lookup costs the same however many of them
 * an image names. */
#ifndef QN_IMAGE_LOOKUP_H
#define QN_IMAGE_LOOKUP_H

#include "tree.h"

#include "base/mem.h"

/* `kind` tells things of one name apart that do not stand in for each other. */
struct qn_found {
    uint64_t key;      /* qn_tree_key() of the name */
    uint32_t node, to; /* the name itself, and where it leads */
    uint32_t kind;
};

struct qn_lookup {
    struct qn_found *at; /* sorted by name and kind, each once: the one in the first directory */
    size_t count;
};

/* A list of directories, each at its first place. */
struct qn_dirs {
    const struct qn_tree *tree;
    uint32_t *at; /* heap */
    size_t count;
    bool *listed; /* heap; one per node */
};
void qn_dirs_init(struct qn_dirs *self, const struct qn_tree *t);
void qn_dirs_fini(struct qn_dirs *self);
#define qn_auto_dirs QN_CLEANUP(qn_dirs_fini)
/* Adds a node; nothing for QN_NO_NODE. */
void qn_dirs_add(struct qn_dirs *self, uint32_t node);

/* Sorts what the directories hold: that for which `wanted` is true, which sets `*kind` for where a name leads. */
int qn_lookup_make(const struct qn_dirs *dirs, bool (*wanted)(const void *ctx, uint32_t to, uint32_t *kind),
                   const void *ctx, struct qn_arena *arena, struct qn_lookup *out, struct qn_err *e) QN_MUST_CHECK;
/* NULL when no directory has it. `name` without slashes. */
const struct qn_found *qn_lookup_find(const struct qn_lookup *self, const struct qn_tree *t, struct qn_str name,
                                      uint32_t kind);

#endif
