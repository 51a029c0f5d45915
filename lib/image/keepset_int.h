/* The inside of the keep-set's computation, shared by its files: keepset.c (work list, roots, explanations),
 * keep_file.c (what a kept file brings), keep_package.c (what a kept package brings), families.c (families.def). */
#ifndef QN_IMAGE_KEEPSET_INT_H
#define QN_IMAGE_KEEPSET_INT_H

#include "depends.h"
#include "endings.h"
#include "keepset.h"
#include "names.h"

#define QN_FAMILY_MAX 160

/* Bits of a node. */
enum {
    QN_IN_BIN = 1,  /* a directory of programs */
    QN_IN_LIB = 2,  /* a directory in which loaders look */
    QN_BY_ROW = 4,  /* kept by a row of families.def or not at all */
    QN_IS_GONE = 8, /* another rule took it */
    QN_IS_LIB = 16, /* stands in a library directory and is named like a library */
};

/* How a package is kept, as bits. */
enum {
    QN_BY_FILE = 1,
    QN_BY_DEPENDS = 2,
    QN_BY_INTENT = 4,
    QN_BY_ALWAYS = 8,
    QN_BY_TREE = 16,
    QN_BY_PROGRAM = 32, /* a program of it is needed: others of the same package may be, too */
    QN_BY_CODE = 64,    /* what depends on it holds code that is not read, and may call its programs */
};
/* Reasons for its programs to stay in `standard`, not just its libraries, modules or data. */
#define QN_FOR_PROGRAMS (QN_BY_INTENT | QN_BY_PROGRAM | QN_BY_CODE)

struct qn_keep_package {
    uint8_t how;
    bool queued, waiting, sorted, called;
    uint8_t followed;         /* 1: its dependencies were followed; 2: as those that are meant with it */
    bool libraries, programs; /* has files in library directories; in bin directories */
    bool headers;             /* has files below usr/include that stay */
    bool needed_by_other;     /* an installed package depends on it */
    bool scripts;             /* the words of its scripts were followed */
    bool code;                /* it holds code of an interpreter, which is not read for what it calls */
    bool aimless;             /* somebody asked for it, and none of its programs is known to run: what calls them is not
                                 to be seen */
    bool brought;             /* the base system depends on it: that it is there says nothing */
    enum qn_package_class class;
    struct qn_str *needed; /* names that its executables need, sorted; once `sorted` */
    uint32_t needed_count;
};

struct qn_keeping {
    const struct qn_image *img;
    const struct qn_keepset_input *in;
    struct qn_keepset *ks;
    uint8_t *bits;
    uint32_t *queue; /* nodes to be expanded; each stands here at most once */
    size_t head, count;
    uint32_t *packages; /* packages to be looked at (again) */
    size_t package_count;
    struct qn_keep_package *package;
    uint32_t *trees; /* directories in the trees of libraries, in path order */
    size_t tree_count;
    struct qn_endings plugins; /* "*.so" outside of library directories */
    struct qn_names programs;  /* by package */
    bool row[QN_FAMILY_MAX];   /* rows of families.def that were carried out */
    uint32_t libc;             /* node of a C library that is kept, or QN_NO_NODE */
    uint32_t shell;            /* a shell that is kept, or QN_NO_NODE */
    bool floor;                /* the floor was laid */
    uint64_t random;
    struct qn_err *e;
    bool failed;
};

static inline bool qn_keeping_files(const struct qn_keeping *k)
{
    return k->in->level == QN_KEEP_FILES;
}
static inline bool qn_keeping_has(const struct qn_keeping *k, uint32_t node)
{
    return k->ks->node[node].why != QN_KEPT_NOT;
}
/* Keeps a node; with it, unless it is kept as a member, its package. Nothing happens when it is gone or kept. */
void qn_keeping_node(struct qn_keeping *k, uint32_t node, enum qn_kept_why why, uint32_t from);
/* The same with every link on the way to where a name leads. */
void qn_keeping_chain(struct qn_keeping *k, uint32_t node, enum qn_kept_why why, uint32_t from);
void qn_keeping_package(struct qn_keeping *k, uint32_t package, uint8_t how, enum qn_kept_why why, uint32_t from);
/* Whether a node is a shell in a bin directory: kept when it is needed, never with its package. */
bool qn_keeping_shell(const struct qn_keeping *k, uint32_t node);

/* keep_file.c */
void qn_keep_expand(struct qn_keeping *k, uint32_t node);
/* The words of a kept script, once its package's programs stay. */
void qn_keep_script(struct qn_keeping *k, uint32_t node);
/* keep_package.c */
void qn_keep_classify(struct qn_keeping *k);
void qn_keep_roots(struct qn_keeping *k);
void qn_keep_members(struct qn_keeping *k, uint32_t package);
/* families.c */
int qn_families_mark(struct qn_keeping *k, struct qn_err *e) QN_MUST_CHECK;
void qn_families_look(struct qn_keeping *k, uint32_t node);
void qn_families_iconv(struct qn_keeping *k, uint32_t node);
/* Keeps what a text names as "*.so": plugins of this base name whose path ends like the word. */
void qn_keep_plugins(struct qn_keeping *k, struct qn_str text, uint32_t from);

#endif
