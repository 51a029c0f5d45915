/* The check of a whole plan: whatever stays must still find what it needs. What it needs and the plan removed comes
 * back, path by path; it ends because nothing that came back goes again. */
#include "plan.h"

#include "base/path.h"

#include <stdlib.h>

/* Nodes whose needs are to be looked at (again). */
struct todo {
    struct qn_plan *p;
    uint32_t *queue; /* a stack; each node stands in it at most once */
    bool *waits;     /* one per node */
    size_t count;
};

static void look_at(struct todo *w, uint32_t node)
{
    if (w->waits[node])
        return;
    w->waits[node] = true;
    w->queue[w->count++] = node;
}

/* Takes one removal back; what comes back has needs of its own. */
static int restore(struct todo *w, uint32_t node, struct qn_err *e, const char *verb, const char *who)
{
    struct qn_plan *p = w->p;
    struct qn_fate *f = &p->fate[node];
    qn_assert(f->removed);
    struct qn_change *c = &p->change[f->removed - 1];

    f->removed = 0;
    f->protected = true;
    c->undone = true;
    p->result[c->rule].changes--;
    p->result[c->rule].undone++;
    look_at(w, node);
    /* The directories above must be there too. */
    for (uint32_t d = p->img->tree.node[node].parent; d != QN_NO_NODE && p->fate[d].removed;
         d = p->img->tree.node[d].parent) {
        struct qn_change *above = &p->change[p->fate[d].removed - 1];
        above->undone = true;
        above->because = QN_STR("backed off: something in it stays");
        p->result[above->rule].changes--;
        p->fate[d].removed = 0;
        p->fate[d].protected = true;
    }
    return qn_arena_printf(&p->arena, &c->because, e, "backed off: /%s %s", who, verb);
}

static bool gone(const void *ctx, uint32_t node)
{
    const struct qn_plan *p = ctx;
    return p->fate[node].removed != 0;
}

/* Brings back whatever a path lookup meets on its way to where it led. */
static int restore_path(struct todo *w, struct qn_str path, const char *verb, struct qn_str who, struct qn_err *e)
{
    uint32_t met;

    for (;;) {
        (void)qn_tree_resolve_without(&w->p->img->tree, path, gone, w->p, &met);
        if (met == QN_NO_NODE)
            return 0;
        if (restore(w, met, e, verb, QN_Q(who)) < 0)
            return -1;
    }
}

static int check_elf(struct todo *w, uint32_t i, struct qn_err *e)
{
    const struct qn_tree *t = &w->p->img->tree;
    const struct qn_node *n = &t->node[i];
    const struct qn_elf_facts *f = &n->data->elf;

    if (f->interp.n && restore_path(w, f->interp, "is loaded by it", n->path, e) < 0)
        return -1;
    for (uint32_t k = 0; k < f->needed_count; k++) {
        uint32_t lib = qn_image_library_name(w->p->img, i, f->needed[k]);
        /* One that was not found before is not missed. */
        if (lib != QN_NO_NODE && restore_path(w, t->node[lib].path, "needs it", n->path, e) < 0)
            return -1;
    }
    return 0;
}

/* A link that is reached, or stands at the top, keeps its target. */
static int check_link(struct todo *w, uint32_t i, struct qn_err *e)
{
    const struct qn_tree *t = &w->p->img->tree;
    bool stays = qn_image_reached(w->p->img, i) || qn_path_dir(t->node[i].path).n == 0 || w->p->fate[i].protected;

    return stays ? restore_path(w, t->node[i].path, "leads to it", t->node[i].path, e) : 0;
}

static int check_script(struct todo *w, uint32_t i, struct qn_err *e)
{
    const struct qn_node *n = &w->p->img->tree.node[i];

    return qn_image_reached(w->p->img, i)
               ? restore_path(w, n->data->script.interpreter, "is interpreted by it", n->path, e)
               : 0;
}

/* Restores until everything that stays finds what it needs. A hard link whose data entry goes needs nothing: the
 * emitter moves the data to the first name that stays. */
static int settle(struct todo *w, struct qn_err *e)
{
    while (w->count) {
        uint32_t i = w->queue[--w->count];
        const struct qn_node *n = &w->p->img->tree.node[i];
        int r = 0;
        w->waits[i] = false;
        if (w->p->fate[i].removed || !n->entry)
            continue;
        if (n->type == QN_SYMLINK)
            r = check_link(w, i, e);
        else if (n->type == QN_FILE && n->data && n->data->content == QN_ELF)
            r = check_elf(w, i, e);
        else if (n->type == QN_FILE && n->data && n->data->content == QN_SCRIPT)
            r = check_script(w, i, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

static const char target_removed[] = "its target is removed";

/* Links that would lead to something removed go as well, on behalf of the rule that removed it. One that may not go
 * brings its target back, which may bring back more: then it has to be settled again. */
static int dangling(struct todo *w, struct qn_err *e)
{
    struct qn_plan *p = w->p;
    const struct qn_tree *t = &p->img->tree;
    uint32_t met;

    for (uint32_t i = 1; i < t->count; i++) {
        if (t->node[i].type != QN_SYMLINK || p->fate[i].removed)
            continue;
        (void)qn_tree_resolve_without(t, t->node[i].path, gone, p, &met);
        if (met == QN_NO_NODE || qn_tree_resolve(t, t->node[i].path, true) == QN_NO_NODE)
            continue;
        p->rule = p->change[p->fate[met].removed - 1].rule;
        p->reporting = false;
        if (qn_plan_remove(p, i, target_removed, e) < 0)
            return -1;
        if (!p->fate[i].removed && restore_path(w, t->node[i].path, "leads to it", t->node[i].path, e) < 0)
            return -1;
    }
    return 0;
}

/* Links that went because their target did, which came back later. */
static int undangle(struct todo *w, struct qn_err *e)
{
    struct qn_plan *p = w->p;
    const struct qn_tree *t = &p->img->tree;

    for (size_t i = p->changes; i-- > 0;) {
        const struct qn_change *c = &p->change[i];
        uint32_t met;
        if (c->undone || c->node == QN_NO_NODE || !qn_str_eq_c(c->because, target_removed))
            continue;
        /* Looked up as if the link itself were there. */
        uint32_t removed = p->fate[c->node].removed;
        p->fate[c->node].removed = 0;
        uint32_t to = qn_tree_resolve_without(t, t->node[c->node].path, gone, p, &met);
        p->fate[c->node].removed = removed;
        if (to != QN_NO_NODE && restore(w, c->node, e, "is there again", QN_Q(t->node[to].path)) < 0)
            return -1;
    }
    return 0;
}

int qn_plan_check(struct qn_plan *p, struct qn_err *e)
{
    size_t nodes = p->img->tree.count;
    struct todo w = {.p = p, .queue = qn_xcalloc(nodes, sizeof *w.queue), .waits = qn_xcalloc(nodes, sizeof *w.waits)};
    int r = 0;

    for (uint32_t i = (uint32_t)nodes; i-- > 1;)
        look_at(&w, i);
    while (r == 0 && w.count) {
        r = settle(&w, e);
        if (r == 0)
            r = dangling(&w, e);
        if (r == 0 && w.count == 0)
            r = undangle(&w, e);
    }
    free(w.queue);
    free(w.waits);
    return r < 0 ? qn_err_wrap(e, "check") : 0;
}
