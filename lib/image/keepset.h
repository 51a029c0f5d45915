/* The keep-set: what of the packages' files an image can need, beyond what is known to run. Two sets stand side by
 * side: *reached* (image.h) is what something that runs, reads or loads; *kept* is reached, what the packages of
 * reached files bring along, what they depend on, and what somebody installed on purpose. Only "reached" protects from
 * every rule; "kept" protects from those that remove what is unused.
 *
 * The kept set is the least fixpoint of rules that only ever add, each on conditions that something is kept: it does
 * not depend on the order in which things are looked at. Files that no package owns are always kept. */
#ifndef QN_IMAGE_KEEPSET_H
#define QN_IMAGE_KEEPSET_H

#include "image.h"

enum qn_keep_level {
    QN_KEEP_PACKAGES = 1, /* kept packages keep their files; tools of toolbox packages only by need, and a floor */
    QN_KEEP_FILES         /* programs in bin directories and libraries in library directories only by need */
};

/* Why something is kept. `from` is a node or, where it says so, a package. */
enum qn_kept_why {
    QN_KEPT_NOT = 0,
    QN_KEPT_REACHED, /* image.h knows more */
    QN_KEPT_UNOWNED,
    QN_KEPT_LINK,        /* a kept name leads here */
    QN_KEPT_NEEDED,      /* a shared library or loader of a kept executable */
    QN_KEPT_INTERPRETER, /* of a kept script */
    QN_KEPT_NAMED,       /* the texts of a kept executable name it */
    QN_KEPT_DIRECTORY,   /* a plugin in a directory that they name */
    QN_KEPT_COMMAND,     /* a kept program runs it */
    QN_KEPT_SHELL,       /* a kept program runs command lines */
    QN_KEPT_SETTING,     /* a configuration file names it */
    QN_KEPT_FAMILY,      /* families.def: what belongs to such a program or library */
    QN_KEPT_FLOOR,       /* floor.def: scripts take these tools for granted, and a shell stays */
    QN_KEPT_MEMBER,      /* from is a package: it is kept, and this is its file */
    /* Of packages: */
    QN_KEPT_OWNER,   /* from is a node that is needed */
    QN_KEPT_DEPENDS, /* from is a package that depends on it */
    QN_KEPT_TREE,    /* from is an interpreter; the package brings modules for it */
    QN_KEPT_CHOSEN,  /* somebody installed it by name */
    QN_KEPT_ALWAYS   /* every program expects it */
};

struct qn_kept {
    enum qn_kept_why why;
    uint32_t from;
};

struct qn_keepset {
    enum qn_keep_level level;
    struct qn_kept *node;    /* one per node */
    struct qn_kept *package; /* one per package */
    bool *alive;             /* one per package: a file of it is kept that is no documentation */
    struct qn_arena arena;
};

struct qn_keepset_input {
    enum qn_keep_level level;
    bool (*gone)(const void *ctx, uint32_t node); /* nodes that other rules took already; or NULL */
    const void *ctx;
    uint64_t shuffle; /* for tests: not 0 looks at things in another order */
};

/* Computes the set. Free with qn_keepset_fini(). */
int qn_keepset_make(const struct qn_image *img, const struct qn_keepset_input *in, struct qn_keepset *out,
                    struct qn_err *e) QN_MUST_CHECK;
void qn_keepset_fini(struct qn_keepset *ks);
#define qn_auto_keepset QN_CLEANUP(qn_keepset_fini)

static inline bool qn_keepset_has(const struct qn_keepset *ks, uint32_t node)
{
    return ks->node[node].why != QN_KEPT_NOT;
}
/* "needed by /usr/sbin/nginx, because it is the entrypoint": the chain of reasons of a kept node. */
int qn_keepset_explain(const struct qn_image *img, const struct qn_keepset *ks, uint32_t node, struct qn_buf *b,
                       struct qn_err *e) QN_MUST_CHECK;
/* The same of a package. */
int qn_keepset_explain_package(const struct qn_image *img, const struct qn_keepset *ks, uint32_t package,
                               struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

/* What cuts.def says of a package name. */
enum qn_package_class {
    QN_CLASS_PLAIN = 0,
    QN_CLASS_TOOLBOX, /* many independent tools: each by itself, dependencies are not followed */
    QN_CLASS_CUT,     /* depended on for maintainer scripts: such an edge alone does not keep it */
    QN_CLASS_MANAGER, /* a package manager: nothing of it is kept unless it is reached */
    QN_CLASS_ALWAYS,  /* data that every program expects */
    QN_CLASS_BASE,    /* in every base image whether or not anybody asked: no intent; its programs each by itself */
    QN_CLASS_KIT      /* an interpreter with tools for developers: those each by itself */
};
enum qn_package_class qn_package_class(struct qn_str name);

#endif
