/* The check of a whole plan: whatever stays must still find what it needs. What it needs and the plan removed comes
 * back, path by path; the rounds end because every round only brings something back. */
#include "plan.h"

#include "base/path.h"

/* Takes one removal back. */
static int restore(struct qn_plan *p, uint32_t node, struct qn_err *e, const char *verb, const char *who)
{
    struct qn_fate *f = &p->fate[node];
    qn_assert(f->removed);
    struct qn_change *c = &p->change[f->removed - 1];

    f->removed = 0;
    f->protected = true;
    c->undone = true;
    p->result[c->rule].changes--;
    p->result[c->rule].undone++;
    /* The directories above must be there too. */
    for (uint32_t d = p->img->tree.node[node].parent; d != QN_NO_NODE && p->fate[d].removed;
         d = p->img->tree.node[d].parent) {
        p->change[p->fate[d].removed - 1].undone = true;
        p->result[p->change[p->fate[d].removed - 1].rule].changes--;
        p->fate[d].removed = 0;
    }
    return qn_arena_printf(&p->arena, &c->because, e, "backed off: /%s %s", who, verb);
}

/* Brings back a file and every link on the way that name lookups take to it. */
static int restore_chain(struct qn_plan *p, uint32_t node, bool *again, const char *verb, const char *who,
                         struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;

    for (unsigned hop = 0; node != QN_NO_NODE && hop < 40; hop++) {
        if (p->fate[node].removed) {
            if (restore(p, node, e, verb, who) < 0)
                return -1;
            *again = true;
        }
        if (t->node[node].type != QN_SYMLINK)
            return 0;
        node = qn_tree_resolve_at(t, qn_path_dir(t->node[node].path), t->node[node].entry->link, false);
    }
    return 0;
}

static int check_elf(struct qn_plan *p, uint32_t i, bool *again, struct qn_err *e)
{
    const struct qn_node *n = &p->img->tree.node[i];
    const struct qn_elf_facts *f = &n->data->elf;

    if (f->interp.n && restore_chain(p, qn_tree_resolve(&p->img->tree, f->interp, false), again, "is loaded by it",
                                     QN_Q(n->path), e) < 0)
        return -1;
    for (uint32_t k = 0; k < f->needed_count; k++) {
        uint32_t lib = qn_image_library(p->img, i, f->needed[k]);
        char name[QN_PATH_MAX];
        if (lib == QN_NO_NODE)
            continue; /* did not resolve before either */
        if (restore_chain(p, lib, again, "needs it", QN_Q(n->path), e) < 0)
            return -1;
        int len = snprintf(name, sizeof name, "%.*s/%.*s", QN_FMT(qn_path_dir(p->img->tree.node[lib].path)),
                           QN_FMT(f->needed[k]));
        if (len > 0 && (size_t)len < sizeof name &&
            restore_chain(p, qn_tree_find(&p->img->tree, qn_str_c(name)), again, "needs it", QN_Q(n->path), e) < 0)
            return -1;
    }
    return 0;
}

/* A link that leads to something removed: the target comes back when the link is reached, else the link goes too. */
static int check_link(struct qn_plan *p, uint32_t i, bool *again, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t to = qn_tree_resolve(t, t->node[i].path, true);

    if (to == QN_NO_NODE || !p->fate[to].removed)
        return 0;
    if (qn_image_reached(p->img, i) || qn_path_dir(t->node[i].path).n == 0)
        return restore_chain(p, i, again, "leads to it", QN_Q(t->node[i].path), e);
    p->rule = p->change[p->fate[to].removed - 1].rule;
    p->reporting = false;
    *again = true;
    if (qn_plan_remove(p, i, "its target is removed", e) < 0)
        return -1;
    if (!p->fate[i].removed) /* protected after all */
        return restore_chain(p, to, again, "leads to it", QN_Q(t->node[i].path), e);
    return 0;
}

/* A hard link whose data entry goes needs nothing: the emitter moves the data to the first name that stays. */
static int check_script(struct qn_plan *p, uint32_t i, bool *again, struct qn_err *e)
{
    const struct qn_node *n = &p->img->tree.node[i];

    if (!qn_image_reached(p->img, i))
        return 0;
    return restore_chain(p, qn_tree_resolve(&p->img->tree, n->data->script.interpreter, false), again,
                         "is interpreted by it", QN_Q(n->path), e);
}

int qn_plan_check(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    bool again = true;

    for (unsigned round = 0; again; round++) {
        again = false;
        qn_assert(round < 10000);
        for (uint32_t i = 1; i < t->count; i++) {
            const struct qn_node *n = &t->node[i];
            int r = 0;
            if (p->fate[i].removed || !n->entry)
                continue;
            if (n->type == QN_SYMLINK)
                r = check_link(p, i, &again, e);
            else if (n->type == QN_FILE && n->data && n->data->content == QN_ELF)
                r = check_elf(p, i, &again, e);
            else if (n->type == QN_FILE && n->data && n->data->content == QN_SCRIPT)
                r = check_script(p, i, &again, e);
            if (r < 0)
                return qn_err_wrap(e, "check");
        }
    }
    return 0;
}
