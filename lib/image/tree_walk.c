/* Lookups in the merged tree: by canonical path, and as a process would walk, following links. */
#include "tree.h"

#include "base/path.h"

#include <endian.h>

#define MAX_STEPS 40u

uint64_t qn_tree_key(struct qn_str name)
{
    uint64_t key = 0;

    if (name.n)
        memcpy(&key, name.p, QN_MIN(name.n, sizeof key));
    return be64toh(key);
}

uint32_t qn_tree_child(const struct qn_tree *t, uint32_t dir, struct qn_str name)
{
    size_t above = t->node[dir].path.n + (dir > 0);
    uint32_t lo = t->node[dir].child, hi = lo + t->node[dir].children;
    uint64_t key = qn_tree_key(name);

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = t->key[mid] < key ? -1 : t->key[mid] > key;
        if (c == 0)
            c = qn_str_cmp(qn_str_from(t->node[t->child[mid]].path, above), name);
        if (c == 0)
            return t->child[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return QN_NO_NODE;
}

uint32_t qn_tree_find(const struct qn_tree *t, struct qn_str path)
{
    uint32_t at = 0;
    ptrdiff_t slash;

    if (path.n == 0)
        return 0;
    do {
        slash = qn_str_chr(path, '/');
        at = qn_tree_child(t, at, slash < 0 ? path : qn_str_head(path, (size_t)slash));
        path = qn_str_from(path, slash < 0 ? path.n : (size_t)slash + 1);
    } while (slash >= 0 && at != QN_NO_NODE);
    return at;
}

bool qn_tree_visible(const struct qn_tree *t, const struct qn_entry *entry)
{
    uint32_t n = qn_tree_find(t, entry->path);
    return n != QN_NO_NODE && t->node[n].entry == entry;
}

/* A walk through the tree: where we are, and what is still to be walked. */
struct walk {
    const struct qn_tree *t;
    uint32_t at;                       /* the last node that is there */
    size_t missing;                    /* components below it that are not; ".." takes them back */
    struct qn_str rest[MAX_STEPS + 2]; /* the last one comes first; each is followed by a slash */
    size_t depth, rest_n;              /* how many; all their bytes */
    unsigned steps;
    char *text; /* of QN_PATH_MAX bytes, or NULL: where we are, while something is missing */
    size_t n;
    bool (*gone)(const void *ctx, uint32_t node); /* or NULL */
    const void *ctx;
    uint32_t met; /* the first node that is gone, or QN_NO_NODE */
};

/* Puts a link target in front of the rest of the walk; false when it does not fit. */
static bool walk_prepend(struct walk *w, struct qn_str target)
{
    if (target.n + 1 + w->rest_n >= QN_PATH_MAX)
        return false;
    w->rest[w->depth++] = target;
    w->rest_n += target.n + 1;
    if (target.n && target.p[0] == '/') {
        w->at = 0;
        w->missing = 0;
    }
    return true;
}

static struct qn_str walk_take(struct walk *w)
{
    struct qn_str *rest = &w->rest[w->depth - 1], part = *rest;
    ptrdiff_t slash = qn_str_chr(*rest, '/');

    if (slash < 0) {
        w->depth--;
    } else {
        part = qn_str_head(*rest, (size_t)slash);
        *rest = qn_str_from(*rest, (size_t)slash + 1);
    }
    w->rest_n -= part.n + 1;
    return part;
}

static void walk_up(struct walk *w)
{
    if (w->missing == 0) {
        w->at = w->at ? w->t->node[w->at].parent : 0;
        return;
    }
    w->missing--;
    w->n = w->text ? qn_path_dir(qn_str_n(w->text, w->n)).n : 0;
}

/* Goes on to something that is not there; false when its path is too long to be told. */
static bool walk_miss(struct walk *w, struct qn_str part)
{
    struct qn_str at = w->t->node[w->at].path;

    if (w->text && w->missing == 0) {
        memcpy(w->text, at.p, at.n);
        w->n = at.n;
    }
    w->missing++;
    if (!w->text)
        return true;
    if (w->n + 1 + part.n >= QN_PATH_MAX)
        return false;
    if (w->n)
        w->text[w->n++] = '/';
    memcpy(w->text + w->n, part.p, part.n);
    w->n += part.n;
    return true;
}

/* One component; false when the walk fails. */
static bool walk_step(struct walk *w, bool follow_last)
{
    struct qn_str part = walk_take(w);

    if (part.n == 0 || (part.n == 1 && part.p[0] == '.'))
        return true;
    if (part.n == 2 && part.p[0] == '.' && part.p[1] == '.') {
        walk_up(w);
        return true;
    }
    uint32_t node = w->missing ? QN_NO_NODE : qn_tree_child(w->t, w->at, part);
    if (node == QN_NO_NODE)
        return walk_miss(w, part);
    if (w->gone && w->gone(w->ctx, node)) {
        w->met = node;
        return false;
    }
    if (w->t->node[node].type != QN_SYMLINK || (w->depth == 0 && !follow_last)) {
        w->at = node;
        return true;
    }
    return ++w->steps <= MAX_STEPS && walk_prepend(w, w->t->node[node].entry->link);
}

static bool walk(struct walk *w, struct qn_str dir, struct qn_str path, bool follow_last)
{
    bool absolute = path.n && path.p[0] == '/';

    if (!walk_prepend(w, path) || (!absolute && dir.n && !walk_prepend(w, dir)))
        return false;
    while (w->depth)
        if (!walk_step(w, follow_last))
            return false;
    return true;
}

static uint32_t walk_end(const struct walk *w)
{
    return w->missing ? QN_NO_NODE : w->at;
}

uint32_t qn_tree_resolve_at(const struct qn_tree *t, struct qn_str dir, struct qn_str path, bool follow_last)
{
    struct walk w = {.t = t};

    return qn_str_chr(path, '\0') < 0 && walk(&w, dir, path, follow_last) ? walk_end(&w) : QN_NO_NODE;
}

uint32_t qn_tree_resolve_without(const struct qn_tree *t, struct qn_str path,
                                 bool (*gone)(const void *ctx, uint32_t node), const void *ctx, uint32_t *first)
{
    struct walk w = {.t = t, .gone = gone, .ctx = ctx, .met = QN_NO_NODE};
    bool there = qn_str_chr(path, '\0') < 0 && walk(&w, QN_STR(""), path, true);

    *first = w.met;
    return there ? walk_end(&w) : QN_NO_NODE;
}

uint32_t qn_tree_resolve(const struct qn_tree *t, struct qn_str path, bool follow_last)
{
    return qn_tree_resolve_at(t, QN_STR(""), path, follow_last);
}

uint32_t qn_tree_listed(const struct qn_tree *t, struct qn_str path, struct qn_near *near)
{
    struct qn_str dir = qn_path_dir(path), base = qn_path_base(path);

    if (base.n == 0 || base.p[0] == '.' || path.n >= QN_PATH_MAX || qn_str_chr(path, '\0') >= 0) {
        uint32_t n = qn_tree_find(t, path);
        return n == QN_NO_NODE ? qn_tree_resolve(t, path, false) : n;
    }
    if (!near->known || !qn_str_eq(dir, near->dir))
        *near = (struct qn_near){dir, qn_tree_find(t, dir), qn_tree_resolve(t, dir, true), true};
    uint32_t n = near->canonical == QN_NO_NODE ? QN_NO_NODE : qn_tree_child(t, near->canonical, base);
    return n != QN_NO_NODE || near->resolved == QN_NO_NODE ? n : qn_tree_child(t, near->resolved, base);
}

bool qn_tree_target(const struct qn_tree *t, uint32_t node, char buf[QN_PATH_MAX], struct qn_str *out)
{
    struct walk w = {.t = t, .text = buf};
    const struct qn_node *n = &t->node[node];

    if (n->type != QN_SYMLINK || !walk(&w, qn_path_dir(n->path), n->entry->link, true))
        return false;
    if (!w.missing) {
        w.n = t->node[w.at].path.n;
        memcpy(buf, t->node[w.at].path.p, w.n);
    }
    *out = qn_str_n(buf, w.n);
    return true;
}
