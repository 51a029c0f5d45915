#include "tree.h"

#include "base/path.h"

#include <stdlib.h>

#define MAX_NODES 4000000u

const struct qn_entry *qn_layer_target(const struct qn_layer_index *layer, const struct qn_entry *entry)
{
    size_t lo = 0, hi = layer->count;

    /* The last entry of that name that stands earlier in the archive. */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = qn_path_cmp(layer->entry[mid].path, entry->link);
        if (c < 0 || (c == 0 && layer->entry[mid].seq < entry->seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    for (unsigned hop = 0; lo > 0 && hop < 8; hop++) {
        const struct qn_entry *target = &layer->entry[--lo];
        if (!qn_str_eq(target->path, entry->link))
            return NULL;
        if (target->type <= QN_FIFO)
            return target;
    }
    return NULL;
}

const struct qn_entry *qn_layer_data(const struct qn_layer_index *layer, const struct qn_entry *entry)
{
    for (unsigned hop = 0; entry && hop < 8; hop++) {
        if (entry->type != QN_HARDLINK)
            return entry;
        entry = qn_layer_target(layer, entry);
    }
    return NULL;
}

bool qn_layer_hides(const struct qn_layer_index *layer, const struct qn_entry *entry)
{
    const struct qn_entry *n = entry->type == QN_HARDLINK ? qn_layer_data(layer, entry) : entry;
    return n && n->type == QN_CHAR && n->dev_major == 0 && n->dev_minor == 0;
}

/* A growing list of nodes. */
struct list {
    struct qn_node *node;
    size_t count, cap;
};

static int push(struct list *l, const struct qn_node *n, struct qn_err *e)
{
    if (qn_grow((void **)&l->node, &l->cap, l->count + 1, sizeof *l->node, MAX_NODES, e) < 0)
        return qn_err_wrap(e, "image tree");
    l->node[l->count++] = *n;
    return 0;
}

/* Makes room for `n` nodes at once; more than there may be are refused when they come. */
static int reserve(struct list *l, size_t n, struct qn_err *e)
{
    return qn_grow((void **)&l->node, &l->cap, QN_MIN(n, MAX_NODES), sizeof *l->node, MAX_NODES, e) < 0
               ? qn_err_wrap(e, "image tree")
               : 0;
}

static struct qn_node implicit_dir(struct qn_str path, uint32_t layer)
{
    return (struct qn_node){.path = path, .type = QN_DIR, .layer = layer, .mode = 0755, .package = QN_NO_PACKAGE};
}

static struct qn_node entry_node(const struct qn_layer_index *ix, const struct qn_entry *en, uint32_t layer)
{
    const struct qn_entry *data = en->type == QN_HARDLINK ? qn_layer_data(ix, en) : en;
    struct qn_node n = {.path = en->path,
                        .entry = en,
                        .data = data,
                        .type = data ? data->type : QN_FILE,
                        .layer = layer,
                        .mode = en->mode,
                        .uid = en->uid,
                        .gid = en->gid,
                        .package = QN_NO_PACKAGE};
    return n;
}

/* What one layer says about one path. */
struct change {
    struct qn_str path;
    bool whiteout, opaque, implicit;
    const struct qn_entry *entry; /* the last real entry, or NULL */
};

/* The changes of a layer in path order, parents that it does not list included as `implicit`. */
struct changes {
    struct change *at;
    size_t count, cap;
};

static int push_change(struct changes *c, struct change ch, struct qn_err *e)
{
    if (qn_grow((void **)&c->at, &c->cap, c->count + 1, sizeof *c->at, MAX_NODES, e) < 0)
        return qn_err_wrap(e, "image tree");
    c->at[c->count++] = ch;
    return 0;
}

/* Changes above the current one, outermost first. */
struct above {
    size_t at[QN_PATH_MAX / 2 + 2];
    size_t n;
};

/* Finds or adds the change of `path`, and one for every directory above it that the layer does not list: those say
 * nothing unless something below them is there. `above` then ends with the change itself. */
static int change_of(struct changes *c, struct above *above, struct qn_str path, struct qn_err *e)
{
    while (above->n && !qn_path_under(path, c->at[above->at[above->n - 1]].path))
        above->n--;
    size_t have = above->n ? c->at[above->at[above->n - 1]].path.n : 0;
    bool found = above->n && have == path.n;
    for (size_t i = have + (have ? 1 : 0); !found && i <= path.n; i++) {
        if (i < path.n && path.p[i] != '/')
            continue;
        if (push_change(c, (struct change){.path = qn_str_head(path, i)}, e) < 0)
            return -1;
        above->at[above->n++] = c->count - 1;
    }
    return 0;
}

static int collect(const struct qn_layer_index *ix, struct changes *c, struct qn_err *e)
{
    struct above above = {.n = 0};

    for (size_t i = 0; i < ix->count; i++) {
        const struct qn_entry *en = &ix->entry[i];
        bool device = qn_layer_hides(ix, en);
        if (en->path.n == 0 && en->type != QN_DIR && en->type != QN_OPAQUE)
            return qn_fail(e, QN_E_MALFORMED, "image tree: the root is not a directory");
        if (change_of(c, &above, en->path, e) < 0)
            return -1;
        struct change *ch = &c->at[above.at[above.n - 1]];
        if (en->type == QN_WHITEOUT || device)
            ch->whiteout = true;
        else if (en->type == QN_OPAQUE)
            ch->opaque = true;
        else
            ch->entry = en;
        /* What stands above something that is there must be there. */
        for (size_t k = above.n - 1; ch->entry && k-- > 0;) {
            struct change *dir = &c->at[above.at[k]];
            if (dir->entry || dir->implicit)
                break;
            dir->implicit = true;
        }
    }
    return 0;
}

/* The lower nodes that are hidden while the sweep is below `dir`. */
struct hiding {
    struct qn_str dir;
    bool on;
};

static int apply(const struct list *lower, const struct changes *c, const struct qn_layer_index *ix, uint32_t layer,
                 struct list *out, struct qn_err *e)
{
    struct hiding hide = {0};
    size_t i = 0, j = 0;

    while (i < lower->count || j < c->count) {
        int order = i == lower->count ? 1 : j == c->count ? -1 : qn_path_cmp(lower->node[i].path, c->at[j].path);
        struct qn_str path = order <= 0 ? lower->node[i].path : c->at[j].path;
        if (hide.on && !qn_path_under(path, hide.dir))
            hide.on = false;
        const struct qn_node *below = order <= 0 ? &lower->node[i++] : NULL;
        if (below && hide.on)
            below = NULL;
        if (order < 0) {
            if (below && push(out, below, e) < 0)
                return -1;
            continue;
        }
        const struct change *ch = &c->at[j++];
        if (ch->whiteout)
            below = NULL;
        bool directory = ch->entry ? ch->entry->type == QN_DIR : ch->implicit;
        bool keeps = below && below->type == QN_DIR && (directory || !ch->entry);
        if (!hide.on && (ch->whiteout || ch->opaque || (ch->entry && !directory)))
            hide = (struct hiding){path, true};
        struct qn_node n;
        if (ch->entry)
            n = entry_node(ix, ch->entry, layer);
        else if (ch->implicit && !keeps)
            n = implicit_dir(path, layer);
        else if (below)
            n = *below;
        else
            continue;
        if (push(out, &n, e) < 0)
            return -1;
    }
    return 0;
}

/* Parents, ends of subtrees, and how many children each directory has. */
static void set_parents(struct qn_tree *t)
{
    uint32_t at = QN_NO_NODE;

    for (uint32_t i = 0; i < t->count; i++) {
        while (at != QN_NO_NODE &&
               !(t->node[at].path.n < t->node[i].path.n && qn_path_under(t->node[i].path, t->node[at].path))) {
            t->node[at].end = i;
            at = t->node[at].parent;
        }
        t->node[i].parent = at;
        t->node[i].child = t->node[i].children = 0;
        if (at != QN_NO_NODE)
            t->node[at].children++;
        at = i;
    }
    for (; at != QN_NO_NODE; at = t->node[at].parent)
        t->node[at].end = (uint32_t)t->count;
}

/* Sorts the children of each directory together. They come in path order, which is that of their names. */
static void set_children(struct qn_tree *t)
{
    uint32_t next = 0;

    t->child = qn_xcalloc(t->count, sizeof *t->child);
    t->key = qn_xcalloc(t->count, sizeof *t->key);
    for (uint32_t i = 0; i < t->count; i++) {
        t->node[i].child = next;
        next += t->node[i].children;
        t->node[i].children = 0;
    }
    for (uint32_t i = 1; i < t->count; i++) {
        struct qn_node *dir = &t->node[t->node[i].parent];
        uint32_t at = dir->child + dir->children++;
        t->child[at] = i;
        t->key[at] = qn_tree_key(qn_str_from(t->node[i].path, dir->path.n + (dir->path.n > 0)));
    }
}

int qn_tree_build(const struct qn_layer_index *layers, size_t count, struct qn_tree *out, struct qn_err *e)
{
    struct list acc = {0}, next = {0};
    struct changes c = {0};
    struct qn_node root = implicit_dir(QN_STR(""), 0);
    int r = push(&acc, &root, e);

    for (size_t i = 0; r == 0 && i < count; i++) {
        c.count = 0;
        next.count = 0;
        r = collect(&layers[i], &c, e);
        if (r == 0)
            r = reserve(&next, acc.count + c.count, e);
        if (r == 0)
            r = apply(&acc, &c, &layers[i], (uint32_t)i, &next, e);
        struct list swap = acc;
        acc = next;
        next = swap;
    }
    free(c.at);
    free(next.node);
    if (r == 0 && (acc.count == 0 || acc.node[0].path.n != 0 || acc.node[0].type != QN_DIR))
        r = qn_fail(e, QN_E_MALFORMED, "image tree: the root is not a directory");
    if (r < 0) {
        free(acc.node);
        return -1;
    }
    *out = (struct qn_tree){.node = acc.node, .count = acc.count, .layer = layers, .layer_count = count};
    set_parents(out);
    set_children(out);
    return 0;
}

void qn_tree_fini(struct qn_tree *t)
{
    free(t->node);
    free(t->child);
    free(t->key);
    *t = (struct qn_tree){0};
}
