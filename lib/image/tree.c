#include "tree.h"

#include "base/path.h"

#include <stdlib.h>

#define MAX_NODES 4000000u
#define MAX_STEPS 40u

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

static void set_parents(struct qn_tree *t)
{
    uint32_t at = QN_NO_NODE;

    for (uint32_t i = 0; i < t->count; i++) {
        while (at != QN_NO_NODE &&
               !(t->node[at].path.n < t->node[i].path.n && qn_path_under(t->node[i].path, t->node[at].path)))
            at = t->node[at].parent;
        t->node[i].parent = at;
        at = i;
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
    *out = (struct qn_tree){acc.node, acc.count, layers, count};
    set_parents(out);
    return 0;
}

void qn_tree_fini(struct qn_tree *t)
{
    free(t->node);
    *t = (struct qn_tree){0};
}

uint32_t qn_tree_find(const struct qn_tree *t, struct qn_str path)
{
    size_t lo = 0, hi = t->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = qn_path_cmp(t->node[mid].path, path);
        if (c == 0)
            return (uint32_t)mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return QN_NO_NODE;
}

uint32_t qn_tree_end(const struct qn_tree *t, uint32_t node)
{
    size_t lo = node + 1u, hi = t->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (qn_path_under(t->node[mid].path, t->node[node].path))
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

bool qn_tree_visible(const struct qn_tree *t, const struct qn_entry *entry)
{
    uint32_t n = qn_tree_find(t, entry->path);
    return n != QN_NO_NODE && t->node[n].entry == entry;
}

/* A walk through the tree: where we are, and what is still to be walked. */
struct walk {
    char at[QN_PATH_MAX];
    size_t n;
    char rest[QN_PATH_MAX];
    size_t rest_n;
    unsigned steps;
    bool (*gone)(const void *ctx, uint32_t node); /* or NULL */
    const void *ctx;
    uint32_t met; /* the first node that is gone, or QN_NO_NODE */
};

/* Puts a link target in front of the rest of the walk; false when it does not fit. */
static bool walk_prepend(struct walk *w, struct qn_str target)
{
    if (target.n + 1 + w->rest_n >= sizeof w->rest)
        return false;
    memmove(w->rest + target.n + 1, w->rest, w->rest_n);
    memcpy(w->rest, target.p, target.n);
    w->rest[target.n] = '/';
    w->rest_n += target.n + 1;
    if (target.n && target.p[0] == '/')
        w->n = 0;
    return true;
}

static void walk_up(struct walk *w)
{
    while (w->n > 0 && w->at[w->n - 1] != '/')
        w->n--;
    if (w->n > 0)
        w->n--;
}

/* One component; false when the walk fails. */
static bool walk_step(struct walk *w, const struct qn_tree *t, bool follow_last)
{
    struct qn_str rest = {w->rest, w->rest_n}, part;

    if (!qn_str_next(&rest, '/', &part))
        return false;
    char name[QN_PATH_MAX];
    size_t n = part.n;
    memcpy(name, part.p, n);
    memmove(w->rest, rest.p, rest.n);
    w->rest_n = rest.n;
    if (n == 0 || (n == 1 && name[0] == '.'))
        return true;
    if (n == 2 && name[0] == '.' && name[1] == '.') {
        walk_up(w);
        return true;
    }
    size_t before = w->n;
    if (w->n + 1 + n >= sizeof w->at)
        return false;
    if (w->n)
        w->at[w->n++] = '/';
    memcpy(w->at + w->n, name, n);
    w->n += n;
    uint32_t node = qn_tree_find(t, qn_str_n(w->at, w->n));
    bool last = w->rest_n == 0;
    if (node != QN_NO_NODE && w->gone && w->gone(w->ctx, node)) {
        w->met = node;
        return false;
    }
    if (node == QN_NO_NODE || t->node[node].type != QN_SYMLINK || (last && !follow_last))
        return true;
    if (++w->steps > MAX_STEPS)
        return false;
    w->n = before;
    return walk_prepend(w, t->node[node].entry->link);
}

static bool walk(struct walk *w, const struct qn_tree *t, struct qn_str dir, struct qn_str path, bool follow_last)
{
    w->n = 0;
    w->steps = 0;
    w->rest_n = 0;
    if (path.n == 0 || path.p[0] != '/') {
        if (!walk_prepend(w, path) || (dir.n && !walk_prepend(w, dir)))
            return false;
    } else if (!walk_prepend(w, path)) {
        return false;
    }
    while (w->rest_n)
        if (!walk_step(w, t, follow_last))
            return false;
    return true;
}

uint32_t qn_tree_resolve_at(const struct qn_tree *t, struct qn_str dir, struct qn_str path, bool follow_last)
{
    struct walk w;

    w.gone = NULL;
    if (qn_str_chr(path, '\0') >= 0 || !walk(&w, t, dir, path, follow_last))
        return QN_NO_NODE;
    return qn_tree_find(t, qn_str_n(w.at, w.n));
}

uint32_t qn_tree_resolve_without(const struct qn_tree *t, struct qn_str path,
                                 bool (*gone)(const void *ctx, uint32_t node), const void *ctx, uint32_t *first)
{
    struct walk w;

    w.gone = gone;
    w.ctx = ctx;
    w.met = QN_NO_NODE;
    bool there = qn_str_chr(path, '\0') < 0 && walk(&w, t, QN_STR(""), path, true);
    *first = w.met;
    return there ? qn_tree_find(t, qn_str_n(w.at, w.n)) : QN_NO_NODE;
}

uint32_t qn_tree_resolve(const struct qn_tree *t, struct qn_str path, bool follow_last)
{
    return qn_tree_resolve_at(t, QN_STR(""), path, follow_last);
}

bool qn_tree_target(const struct qn_tree *t, uint32_t node, char buf[4096], struct qn_str *out)
{
    struct walk w;
    const struct qn_node *n = &t->node[node];

    w.gone = NULL;
    if (n->type != QN_SYMLINK || !walk(&w, t, qn_path_dir(n->path), n->entry->link, true))
        return false;
    memcpy(buf, w.at, w.n);
    *out = qn_str_n(buf, w.n);
    return true;
}
