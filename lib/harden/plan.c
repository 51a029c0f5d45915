#include "plan.h"
#include "edits.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdlib.h>

#define MAX_CHANGES 2000000u
#define ARENA_MAX   (512u << 20)

static const struct {
    int (*run)(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e);
} rule_table[] = {
#define X(name, safe, standard, strict, build, checks, summary) {qn_rule_##name},
#include "rules.def"
#undef X
};

const char *qn_action_name(enum qn_action action)
{
    static const char *const names[] = {
        [QN_REMOVE] = "remove", [QN_CHMOD] = "chmod", [QN_CHOWN] = "chown",  [QN_EDIT] = "edit",
        [QN_ADD] = "add",       [QN_UNCAP] = "edit",  [QN_CONFIG] = "config"};
    return names[action];
}

static int add_change(struct qn_plan *p, struct qn_change c, struct qn_err *e)
{
    if (qn_grow((void **)&p->change, &p->change_cap, p->changes + 1, sizeof c, MAX_CHANGES, e) < 0)
        return qn_err_wrap(e, "plan");
    c.rule = p->rule;
    p->change[p->changes++] = c;
    p->result[p->rule].changes++;
    return 0;
}

static int copied(struct qn_plan *p, const char *text, struct qn_str *out, struct qn_err *e)
{
    return qn_arena_str(&p->arena, qn_str_c(text), out, e);
}

bool qn_plan_policy_keeps(const struct qn_plan *p, struct qn_str path)
{
    for (size_t i = 0; i < p->opt->keep.path_count; i++) {
        struct qn_str glob = p->opt->keep.paths[i];
        if (glob.n && glob.p[0] == '/')
            glob = qn_str_from(glob, 1);
        if (qn_glob(glob, path))
            return true;
    }
    return false;
}

/* A path that must not go whatever a rule says: reached, named by the policy, or the distribution's identity. */
static bool protected(const struct qn_plan *p, uint32_t node)
{
    static const char *const always[] = {"etc/os-release",     "usr/lib/os-release", "etc/debian_version",
                                         "etc/alpine-release", "etc/redhat-release", "etc/lsb-release"};
    struct qn_str path = p->img->tree.node[node].path;

    if (node == 0 || qn_image_reached(p->img, node) || p->fate[node].protected || qn_plan_policy_keeps(p, path))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(always); i++)
        if (qn_str_eq_c(path, always[i]))
            return true;
    return false;
}

int qn_plan_remove(struct qn_plan *p, uint32_t node, const char *because, struct qn_err *e)
{
    struct qn_change c = {.action = QN_REMOVE, .node = node, .path = p->img->tree.node[node].path};

    qn_assert(because && *because);
    if (p->fate[node].removed || (p->reporting && p->fate[node].reported == p->rule + 1))
        return 0;
    if (protected(p, node)) {
        p->result[p->rule].protected ++;
        return 0;
    }
    if (copied(p, because, &c.because, e) < 0 || add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        p->fate[node].reported = (uint8_t)(p->rule + 1);
    else
        p->fate[node].removed = (uint32_t)p->changes;
    return 0;
}

int qn_plan_remove_hidden(struct qn_plan *p, struct qn_str path, const char *because, struct qn_err *e)
{
    struct qn_change c = {.action = QN_REMOVE, .node = QN_NO_NODE, .path = path};

    if (copied(p, because, &c.because, e) < 0 || add_change(p, c, e) < 0)
        return -1;
    p->hidden = p->hidden || !p->reporting;
    return 0;
}

int qn_plan_clamp(struct qn_plan *p, int64_t latest, size_t late, struct qn_err *e)
{
    struct qn_change c = {.action = QN_EDIT, .node = QN_NO_NODE};
    char when[QN_TIME_TEXT];

    qn_time_format(latest, when);
    if (copied(p, "modification times later than the image", &c.because, e) < 0 || copied(p, when, &c.to, e) < 0 ||
        qn_arena_printf(&p->arena, &c.from, e, "%zu later entries", late) < 0 || add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    p->clamped = true;
    p->latest = latest;
    return 0;
}

int qn_plan_remove_tree(struct qn_plan *p, uint32_t node, const char *because,
                        bool (*keep)(const struct qn_image *img, uint32_t node), struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t end = qn_tree_end(t, node);

    for (uint32_t i = node; i < end; i++)
        if (t->node[i].type != QN_DIR && !(keep && keep(p->img, i)) && qn_plan_remove(p, i, because, e) < 0)
            return -1;
    /* Directories from the bottom up: gone when nothing is left below them. Walking backwards, `open` is the lowest
     * index of a node that stays. */
    uint32_t stays = QN_NO_NODE;
    for (uint32_t i = end; i-- > node;) {
        bool directory = t->node[i].type == QN_DIR;
        bool holds = directory && stays != QN_NO_NODE && qn_path_under(t->node[stays].path, t->node[i].path);
        if (directory && !holds && !(keep && keep(p->img, i)) && qn_plan_remove(p, i, because, e) < 0)
            return -1;
        if (!p->fate[i].removed && !(p->reporting && !directory))
            stays = i;
    }
    return 0;
}

int qn_plan_chmod(struct qn_plan *p, uint32_t node, uint32_t mode, const char *because, struct qn_err *e)
{
    struct qn_change c = {.action = QN_CHMOD, .node = node, .path = p->img->tree.node[node].path};
    struct qn_fate *f = &p->fate[node];

    if (f->removed || f->mode == mode || !p->img->tree.node[node].entry)
        return 0;
    if (copied(p, because, &c.because, e) < 0 || qn_arena_printf(&p->arena, &c.from, e, "%04o", f->mode) < 0 ||
        qn_arena_printf(&p->arena, &c.to, e, "%04o", mode) < 0 || add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    f->mode = mode;
    if (!f->changed)
        f->changed = (uint32_t)p->changes;
    return 0;
}

int qn_plan_chown(struct qn_plan *p, uint32_t node, uint32_t uid, const char *because, struct qn_err *e)
{
    struct qn_change c = {.action = QN_CHOWN, .node = node, .path = p->img->tree.node[node].path};
    struct qn_fate *f = &p->fate[node];

    if (f->removed || f->uid == uid || !p->img->tree.node[node].entry)
        return 0;
    if (copied(p, because, &c.because, e) < 0 || qn_arena_printf(&p->arena, &c.from, e, "%u", f->uid) < 0 ||
        qn_arena_printf(&p->arena, &c.to, e, "%u", uid) < 0 || add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    f->uid = uid;
    if (!f->changed)
        f->changed = (uint32_t)p->changes;
    return 0;
}

int qn_plan_uncap(struct qn_plan *p, uint32_t node, const char *because, struct qn_err *e)
{
    struct qn_change c = {
        .action = QN_UNCAP, .node = node, .path = p->img->tree.node[node].path, .from = QN_STR("security.capability")};

    if (p->fate[node].removed || p->fate[node].uncap)
        return 0;
    if (copied(p, because, &c.because, e) < 0 || add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    p->fate[node].uncap = true;
    if (!p->fate[node].changed)
        p->fate[node].changed = (uint32_t)p->changes;
    return 0;
}

bool qn_plan_text(const struct qn_plan *p, uint32_t node, struct qn_str *text)
{
    if (node == QN_NO_NODE || p->fate[node].removed)
        return false;
    if (p->fate[node].edited) {
        *text = p->fate[node].content;
        return true;
    }
    return qn_node_text(p->img, node, text);
}

bool qn_plan_path_text(const struct qn_plan *p, struct qn_str path, uint32_t *node, struct qn_str *text)
{
    *node = qn_tree_resolve(&p->img->tree, path, true);
    return qn_plan_text(p, *node, text);
}

int qn_plan_edit(struct qn_plan *p, uint32_t node, struct qn_str content, const char *because, struct qn_err *e)
{
    struct qn_change c = {.action = QN_EDIT, .node = node, .path = p->img->tree.node[node].path};
    struct qn_fate *f = &p->fate[node];
    struct qn_str old;

    if (f->removed || !qn_plan_text(p, node, &old) || qn_str_eq(old, content))
        return 0;
    if (copied(p, because, &c.because, e) < 0 || qn_arena_printf(&p->arena, &c.from, e, "%zu bytes", old.n) < 0 ||
        qn_arena_printf(&p->arena, &c.to, e, "%zu bytes", content.n) < 0 || add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    f->edited = true;
    if (!f->changed)
        f->changed = (uint32_t)p->changes;
    return qn_arena_str(&p->arena, content, &f->content, e);
}

/* Whether the nearest directory above that is there is one: neither a file nor a link to nothing. */
static bool has_place(const struct qn_tree *t, struct qn_str path)
{
    for (struct qn_str dir = qn_path_dir(path); dir.n; dir = qn_path_dir(dir)) {
        uint32_t n = qn_tree_resolve(t, dir, true);
        if (n != QN_NO_NODE)
            return t->node[n].type == QN_DIR;
        if (qn_tree_find(t, dir) != QN_NO_NODE)
            return false;
    }
    return true;
}

int qn_plan_add(struct qn_plan *p, const struct qn_addition *a, const char *because, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    struct qn_change c = {.action = QN_ADD, .node = QN_NO_NODE};
    struct qn_addition copy = *a;

    /* An entry below a link of a lower layer would replace the link by a directory. */
    uint32_t dir = qn_tree_resolve(t, qn_path_dir(a->path), true);
    if (dir != QN_NO_NODE && dir != 0) {
        if (qn_arena_printf(&p->arena, &copy.path, e, "%.*s/%.*s", QN_FMT(t->node[dir].path),
                            QN_FMT(qn_path_base(a->path))) < 0)
            return -1;
    } else if (qn_arena_str(&p->arena, a->path, &copy.path, e) < 0) {
        return -1;
    }
    if (qn_tree_find(t, copy.path) != QN_NO_NODE || !has_place(t, copy.path))
        return 0;
    if (qn_arena_str(&p->arena, a->content, &copy.content, e) < 0)
        return -1;
    c.path = copy.path;
    if (copied(p, because, &c.because, e) < 0 || qn_arena_printf(&p->arena, &c.to, e, "%04o", a->mode) < 0 ||
        add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    if (qn_grow((void **)&p->addition, &p->addition_cap, p->additions + 1, sizeof copy, 1024, e) < 0)
        return -1;
    p->addition[p->additions++] = copy;
    return 0;
}

int qn_plan_config(struct qn_plan *p, const char *key, struct qn_str from, struct qn_str to, const char *because,
                   struct qn_err *e)
{
    struct qn_change c = {.action = QN_CONFIG, .node = QN_NO_NODE};

    if (copied(p, key, &c.path, e) < 0 || copied(p, because, &c.because, e) < 0 ||
        qn_arena_str(&p->arena, from, &c.from, e) < 0 || qn_arena_str(&p->arena, to, &c.to, e) < 0 ||
        add_change(p, c, e) < 0)
        return -1;
    if (p->reporting)
        return 0;
    p->config_changed = true;
    return 1;
}

int qn_plan_finding(struct qn_plan *p, const char *check, enum qn_level level, bool fixed, struct qn_str where,
                    struct qn_err *e, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    struct qn_finding f = {.check = check, .level = level, .fixed = fixed && !p->reporting};

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (qn_grow((void **)&p->finding, &p->finding_cap, p->findings + 1, sizeof f, 20000, e) < 0)
        return p->findings >= 20000 ? 0 : -1; /* nobody reads more */
    if (copied(p, text, &f.detail, e) < 0 || qn_arena_str(&p->arena, where, &f.where, e) < 0)
        return -1;
    p->finding[p->findings++] = f;
    return 0;
}

int qn_plan_back_off(struct qn_plan *p, struct qn_err *e, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return copied(p, text, &p->result[p->rule].because, e);
}

static bool already_gone(const void *ctx, uint32_t node)
{
    const struct qn_plan *p = ctx;
    return p->fate[node].removed != 0;
}

int qn_plan_keepset(struct qn_plan *p, const struct qn_keepset **out, struct qn_err *e)
{
    const enum qn_rule_state files = p->opt->rule[QN_RULE_unused_files];
    bool strict =
        files == QN_RULE_ON || (files == QN_RULE_REPORT && p->opt->rule[QN_RULE_unused_packages] != QN_RULE_ON);
    struct qn_keepset_input in = {.level = strict ? QN_KEEP_FILES : QN_KEEP_PACKAGES, .gone = already_gone, .ctx = p};

    if (!p->kept && qn_keepset_make(p->img, &in, &p->keepset, e) < 0)
        return -1;
    p->kept = true;
    *out = &p->keepset;
    return 0;
}

/* The policy's remove lists: proposals like any other, on behalf of the rule that would have come closest. */
static int remove_lists(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    const struct qn_options *o = p->opt;

    p->rule = QN_RULE_debris;
    p->reporting = false;
    for (size_t k = 0; k < o->remove_path_count; k++) {
        struct qn_str glob = o->remove_paths[k];
        if (glob.n && glob.p[0] == '/')
            glob = qn_str_from(glob, 1);
        for (uint32_t i = 1; i < t->count; i++)
            if (qn_glob(glob, t->node[i].path) &&
                qn_plan_remove_tree(p, i, "the policy removes it (remove.paths)", NULL, e) < 0)
                return -1;
    }
    p->rule = QN_RULE_package_managers;
    for (size_t k = 0; k < o->remove_package_count; k++)
        for (size_t i = 0; i < p->img->package_count; i++)
            if (qn_glob(o->remove_packages[k], p->img->package[i].name) &&
                qn_rule_remove_package(p, (uint32_t)i, "the policy removes its package (remove.packages)", e) < 0)
                return -1;
    return 0;
}

static int run_rules(struct qn_plan *p, struct qn_err *e)
{
    for (int r = 0; r < QN_RULE_COUNT; r++) {
        if (p->opt->rule[r] == QN_RULE_OFF)
            continue;
        p->rule = (enum qn_rule)r;
        p->reporting = p->opt->rule[r] == QN_RULE_REPORT;
        p->result[r].ran = true;
        if (rule_table[r].run(p->img, p->opt, p, e) < 0)
            return qn_err_wrap(e, "rule %s", qn_rule_name(p->rule));
    }
    return remove_lists(p, e);
}

/* Runtimes make a hard link when they meet it: what it names must stand before it in the same layer, and be no
 * directory. docker and containerd refuse any other. */
static int check_hard_links(const struct qn_tree *t, struct qn_err *e)
{
    for (size_t l = 0; l < t->layer_count; l++)
        for (size_t i = 0; i < t->layer[l].count; i++) {
            const struct qn_entry *n = &t->layer[l].entry[i];
            const struct qn_entry *to = n->type == QN_HARDLINK ? qn_layer_target(&t->layer[l], n) : NULL;
            if (n->type == QN_HARDLINK && (!to || to->type == QN_DIR))
                return qn_fail(e, QN_E_MALFORMED, "layer %zu: hard link \"%s\" to \"%s\", which %s", l, QN_Q(n->path),
                               QN_Q(n->link), to ? "is a directory" : "does not stand before it in the layer");
        }
    return 0;
}

int qn_plan_make(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *out, struct qn_err *e)
{
    qn_auto_plan struct qn_plan p = {.img = img, .asked = opt};
    char because[512];

    if (check_hard_links(&img->tree, e) < 0)
        return -1;
    qn_arena_init(&p.arena, ARENA_MAX);
    struct qn_options *effective = qn_arena_alloc(&p.arena, 1, sizeof *effective, e);
    if (!effective)
        return -1;
    qn_options_for(opt, img, effective, because, sizeof because);
    p.opt = effective;
    if (copied(&p, because, &p.lowered, e) < 0)
        return -1;
    p.config = json_deep_copy(img->config.root);
    p.fate = qn_xcalloc(img->tree.count, sizeof *p.fate);
    if (!p.config)
        return qn_fail(e, QN_E_NOMEM, "copy of the configuration");
    for (uint32_t i = 0; i < img->tree.count; i++) {
        p.fate[i].mode = img->tree.node[i].mode;
        p.fate[i].uid = img->tree.node[i].uid;
    }
    if (run_rules(&p, e) < 0 || qn_plan_check(&p, e) < 0 || qn_plan_databases(&p, e) < 0)
        return -1;
    *out = p;
    p = (struct qn_plan){0};
    return 0;
}

void qn_plan_fini(struct qn_plan *p)
{
    free(p->fate);
    free(p->change);
    free(p->finding);
    free(p->addition);
    json_decref(p->config);
    qn_keepset_fini(&p->keepset);
    qn_arena_fini(&p->arena);
    *p = (struct qn_plan){0};
}

bool qn_plan_empty(const struct qn_plan *p)
{
    if (p->config_changed || p->additions || p->hidden || p->clamped)
        return false;
    for (uint32_t i = 0; i < p->img->tree.count; i++)
        if (p->fate[i].removed || p->fate[i].changed)
            return false;
    return true;
}
