/* Nodes by base name. */
#ifndef QN_IMAGE_NAMES_H
#define QN_IMAGE_NAMES_H

#include "tree.h"

struct qn_name {
    struct qn_str base;
    uint32_t node;
    uint32_t run;     /* how many of the same name there are from here on */
    uint32_t visited; /* of the first of a name: the caller's, 0 at first */
};

struct qn_names {
    struct qn_name *at; /* sorted by name and node */
    size_t count;
};

/* Collects the nodes for which `wanted` is true. */
int qn_names_make(const struct qn_tree *t, bool (*wanted)(const void *ctx, uint32_t node), const void *ctx,
                  struct qn_arena *arena, struct qn_names *out, struct qn_err *e) QN_MUST_CHECK;
/* The first place of a name and how many follow. */
size_t qn_names_find(const struct qn_names *names, struct qn_str base, size_t *count);
/* Whether a node is a program in a directory called bin, sbin or libexec: the ones that scripts pick among by name. */
bool qn_names_program(const void *tree, uint32_t node);

#endif
