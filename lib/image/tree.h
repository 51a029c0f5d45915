/* The merged view of an image's layers, as docker's overlay2 and containerd's overlayfs build it, and path lookups
 * that follow its symbolic links. Sources: OCI image-spec layer.md ("Applying changesets", "Whiteouts"), and the
 * measured behaviour of the runtimes where the specification is silent:
 *  - a non-directory replaces what was there; a directory over a directory replaces its attributes only;
 *  - a whiteout or an opaque marker hides lower layers only, wherever it stands in its layer;
 *  - an entry below a path that is not a directory in the lower layers replaces that path by a directory. */
#ifndef QN_IMAGE_TREE_H
#define QN_IMAGE_TREE_H

#include "layer.h"

#include "base/path.h"

#define QN_NO_NODE UINT32_MAX

struct qn_node {
    struct qn_str path;
    const struct qn_entry *entry; /* the visible entry; NULL for a directory that no layer lists */
    const struct qn_entry *data;  /* the entry with the content: `entry`, or the target of a hard link; NULL if none */
    enum qn_entry_type type;      /* as seen in a container: a hard link is a QN_FILE */
    uint32_t layer;
    uint32_t parent; /* node of the directory above, QN_NO_NODE for the root */
    uint32_t mode, uid, gid;
    uint32_t package;         /* index into the image's packages, or QN_NO_PACKAGE */
    uint32_t end;             /* the first node behind this one that is not below it */
    uint32_t child, children; /* where its children stand in the tree's `child`, and how many they are */
};
#define QN_NO_PACKAGE UINT32_MAX

struct qn_tree {
    struct qn_node *node; /* sorted by path, each directory directly before what is below it; node[0] is the root */
    size_t count;
    uint32_t *child; /* the children of each directory together, in the order of their names */
    uint64_t *key;   /* qn_tree_key() of each one's name: most names differ there already */
    const struct qn_layer_index *layer;
    size_t layer_count;
};

/* Merges `count` layers, lowest first. The tree borrows them; free it with qn_tree_fini(). */
int qn_tree_build(const struct qn_layer_index *layers, size_t count, struct qn_tree *out,
                  struct qn_err *e) QN_MUST_CHECK;
void qn_tree_fini(struct qn_tree *t);
#define qn_auto_tree QN_CLEANUP(qn_tree_fini)

/* The first eight bytes of a name as a number of the same order. */
uint64_t qn_tree_key(struct qn_str name);
/* The node of this name directly in a directory, or QN_NO_NODE. */
uint32_t qn_tree_child(const struct qn_tree *t, uint32_t dir, struct qn_str name);
/* The node of a canonical path itself (links are not followed), or QN_NO_NODE. */
uint32_t qn_tree_find(const struct qn_tree *t, struct qn_str path);
/* The node that a path inside the container names, following links in every component but, unless `follow_last`,
 * the last; `path` may be absolute or relative to the root, and may hold "." and "..". QN_NO_NODE when it does not
 * exist or the links loop (40 steps). */
uint32_t qn_tree_resolve(const struct qn_tree *t, struct qn_str path, bool follow_last);
/* The same, starting in a directory: relative paths and links are relative to `dir`. */
uint32_t qn_tree_resolve_at(const struct qn_tree *t, struct qn_str dir, struct qn_str path, bool follow_last);
/* The node that a path of a package database means: what stands there, or what links in the directories above lead
 * to; the last component is not followed. Databases name one directory after the other: `near` remembers the last one.
 * Start with {0}. */
struct qn_near {
    struct qn_str dir; /* a view of the last path, which must live as long */
    uint32_t canonical, resolved;
    bool known;
};
uint32_t qn_tree_listed(const struct qn_tree *t, struct qn_str path, struct qn_near *near);
/* What qn_tree_resolve() finds when it follows to the end, as if the nodes of which `gone` says so were not there;
 * `*first` is the first one that the walk met, or QN_NO_NODE. */
uint32_t qn_tree_resolve_without(const struct qn_tree *t, struct qn_str path,
                                 bool (*gone)(const void *ctx, uint32_t node), const void *ctx, uint32_t *first);
/* Where a symbolic link leads as a canonical path, whether or not it exists; false when it climbs or loops. */
bool qn_tree_target(const struct qn_tree *t, uint32_t node, char buf[QN_PATH_MAX], struct qn_str *out);
/* The first node behind `node` that is not below it. */
static inline uint32_t qn_tree_end(const struct qn_tree *t, uint32_t node)
{
    return t->node[node].end;
}
/* Whether an entry of a layer is what a container sees under its path. */
bool qn_tree_visible(const struct qn_tree *t, const struct qn_entry *entry);
/* What a hard link of `layer` names: the last entry of that name that stands before it in the archive, or NULL. */
const struct qn_entry *qn_layer_target(const struct qn_layer_index *layer, const struct qn_entry *entry);
/* Whether an entry is a character device 0:0, or a hard link to one: overlayfs' own form of a whiteout, which runtimes
 * hand down as it is. */
bool qn_layer_hides(const struct qn_layer_index *layer, const struct qn_entry *entry);
/* The entry with the content of a file entry of `layer` (follows hard links inside the layer), or NULL. */
const struct qn_entry *qn_layer_data(const struct qn_layer_index *layer, const struct qn_entry *entry);

#endif
