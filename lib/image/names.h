/* Nodes by base name. */
#ifndef QN_IMAGE_NAMES_H
#define QN_IMAGE_NAMES_H

#include "tree.h"

struct qn_name {
    struct qn_str base;
    uint32_t node;
    uint32_t run;     /* how many of the same name there are from here on */
    uint32_t visited; /* of the first of a name: the caller's, 0 at first */
    uint32_t package; /* QN_NO_PACKAGE unless the names are sorted by it */
};

struct qn_names {
    struct qn_name *at; /* sorted by name and node */
    size_t count;
};

/* Collects the nodes for which `wanted` is true. */
int qn_names_make(const struct qn_tree *t, bool (*wanted)(const void *ctx, uint32_t node), const void *ctx,
                  struct qn_arena *arena, struct qn_names *out, struct qn_err *e) QN_MUST_CHECK;
/* Sorts the names of each package apart: by name, package and node. What `run` counts is of one package then. */
void qn_names_by_package(struct qn_names *names, const struct qn_tree *t);
/* The first place of a name and how many follow; of a package, or QN_NO_PACKAGE where they are not sorted by it. */
size_t qn_names_find_of(const struct qn_names *names, struct qn_str base, uint32_t package, size_t *count);
size_t qn_names_find(const struct qn_names *names, struct qn_str base, size_t *count);
/* Whether a node is a program in a directory called bin, sbin or libexec: the ones that scripts pick among by name. */
bool qn_names_program(const void *tree, uint32_t node);

#endif
