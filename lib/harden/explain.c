#include "explain.h"

#include "base/path.h"

#define PATHS_MAX 200

static const char *type_name(enum qn_entry_type type)
{
    static const char *const names[] = {
        [QN_FILE] = "file",          [QN_HARDLINK] = "file", [QN_SYMLINK] = "symlink", [QN_CHAR] = "character device",
        [QN_BLOCK] = "block device", [QN_DIR] = "directory", [QN_FIFO] = "fifo"};
    return type <= QN_FIFO && names[type] ? names[type] : "other";
}

static void set_path(json_t *o, const char *key, struct qn_str path)
{
    qn_auto_free char *text = qn_xasprintf("/%.*s", QN_FMT(path));
    qn_json_set_c(o, key, text);
}

static json_t *change_json(const struct qn_change *c, bool reported)
{
    json_t *o = json_object();

    qn_json_set_c(o, "rule", qn_rule_name(c->rule));
    qn_json_set_c(o, "action", qn_action_name(c->action));
    if (c->from.n)
        qn_json_set_str(o, "from", c->from);
    if (c->to.n)
        qn_json_set_str(o, "to", c->to);
    qn_json_set_str(o, "because", c->because);
    if (c->undone)
        qn_json_set_bool(o, "backed_off", true);
    if (reported)
        qn_json_set_bool(o, "reported", true);
    return o;
}

/* The changes of a node; gives the one that decides: what removes it, else the first that stands, else one that was
 * taken back. */
static const struct qn_change *changes_of(const struct qn_plan *p, uint32_t node, json_t *list)
{
    const struct qn_change *decides = NULL;
    int rank = 0;

    for (size_t i = 0; i < p->changes; i++) {
        const struct qn_change *c = &p->change[i];
        if (c->node != node)
            continue;
        bool reported = p->opt->rule[c->rule] == QN_RULE_REPORT;
        qn_json_push(list, change_json(c, reported));
        int r = reported ? 0 : c->undone ? 1 : c->action != QN_REMOVE ? 2 : 3;
        if (r > rank) {
            rank = r;
            decides = c;
        }
    }
    return decides;
}

static const char *state_of(const struct qn_plan *p, uint32_t node)
{
    const struct qn_fate *f = &p->fate[node];
    return f->removed ? "removed" : f->changed || f->uncap || f->edited ? "changed" : "kept";
}

/* How many nodes below a directory go and stay. */
static void count_below(const struct qn_plan *p, uint32_t dir, json_t *o)
{
    int64_t kept = 0, removed = 0;

    for (uint32_t i = dir + 1, end = qn_tree_end(&p->img->tree, dir); i < end; i++)
        if (p->fate[i].removed)
            removed++;
        else
            kept++;
    qn_json_set_int(o, "below_kept", kept);
    qn_json_set_int(o, "below_removed", removed);
}

/* The chain of reasons why a file is reached or kept; none when the profile keeps what no rule takes. */
static int set_reason(const struct qn_plan *p, uint32_t node, json_t *o, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    bool reached = qn_image_reached(p->img, node);

    if (!reached && !(p->kept && qn_keepset_has(&p->keepset, node)))
        return 0;
    qn_buf_init(&b, 64u << 10);
    if ((reached ? qn_image_explain(p->img, node, &b, e) : qn_keepset_explain(p->img, &p->keepset, node, &b, e)) < 0)
        return -1;
    qn_json_set_str(o, "reason", qn_buf_view(&b));
    return 0;
}

/* One sentence for people. */
static void set_because(const struct qn_plan *p, uint32_t node, const struct qn_change *decides, json_t *o)
{
    const struct qn_node *n = &p->img->tree.node[node];
    const char *reason = json_string_value(json_object_get(o, "reason"));

    if (decides) {
        qn_json_set_c(o, "rule", qn_rule_name(decides->rule));
        qn_json_set_str(o, "because", decides->because);
    } else if (reason) {
        qn_json_set_c(o, "because", reason);
    } else if (p->fate[node].reported) {
        qn_json_set_c(o, "rule", qn_rule_name((enum qn_rule)(p->fate[node].reported - 1)));
        qn_json_set_c(o, "because", "the rule only reports it");
    } else if (qn_plan_policy_keeps(p, n->path)) {
        qn_json_set_c(o, "because", "the policy keeps it");
    } else if (n->package == QN_NO_PACKAGE && n->type != QN_DIR) {
        qn_json_set_c(o, "because", "no package owns it: part of the application");
    } else {
        qn_json_set_c(o, "because", "no rule of this policy asks for a change");
    }
}

static json_t *explain_node(const struct qn_plan *p, uint32_t node, struct qn_err *e)
{
    const struct qn_node *n = &p->img->tree.node[node];
    qn_auto_json json_t *o = json_object();
    json_t *list = json_array();

    qn_json_set_c(o, "kind", "path");
    set_path(o, "path", n->path);
    qn_json_set_c(o, "type", type_name(n->type));
    if (n->type == QN_SYMLINK)
        qn_json_set_str(o, "link", n->entry->link);
    if (n->entry)
        qn_json_set_int(o, "layer", n->layer);
    if (n->package != QN_NO_PACKAGE)
        qn_json_set_str(o, "package", p->img->package[n->package].name);
    qn_json_set_c(o, "state", state_of(p, node));
    const struct qn_change *decides = changes_of(p, node, list);
    qn_json_set(o, "changes", list);
    if (set_reason(p, node, o, e) < 0)
        return NULL;
    set_because(p, node, decides, o);
    if (n->type == QN_DIR)
        count_below(p, node, o);
    return qn_steal(o);
}

static json_t *explain_addition(const struct qn_plan *p, struct qn_str path)
{
    for (size_t i = 0; i < p->changes; i++) {
        const struct qn_change *c = &p->change[i];
        if (c->action != QN_ADD || c->undone || !qn_str_eq(c->path, path))
            continue;
        json_t *o = json_object(), *list = json_array();
        qn_json_set_c(o, "kind", "path");
        set_path(o, "path", path);
        qn_json_set_c(o, "state", "added");
        qn_json_set_c(o, "rule", qn_rule_name(c->rule));
        qn_json_set_str(o, "because", c->because);
        qn_json_push(list, change_json(c, false));
        qn_json_set(o, "changes", list);
        return o;
    }
    return NULL;
}

/* --- packages ----------------------------------------------------------------------------------------------------- */

/* Those of its files that tell: what stays of a package that goes, and why; else what goes and why. */
static int package_paths(const struct qn_plan *p, const struct qn_package *k, bool removed, json_t *list,
                         struct qn_err *e)
{
    for (uint32_t f = 0; f < k->files && json_array_size(list) < PATHS_MAX; f++) {
        if ((p->fate[k->file[f]].removed != 0) != removed)
            continue;
        json_t *full = explain_node(p, k->file[f], e), *o = json_object();
        if (!full)
            return -1;
        static const char *const keys[] = {"path", "state", "rule", "because"};
        for (size_t i = 0; i < QN_ARRAY_LEN(keys); i++)
            if (json_object_get(full, keys[i]))
                qn_json_set(o, keys[i], json_incref(json_object_get(full, keys[i])));
        json_decref(full);
        qn_json_push(list, o);
    }
    return 0;
}

/* Why a package stays: the keep-set's reason, else its first file that is reached. */
static int package_reason(const struct qn_plan *p, const struct qn_package *k, json_t *o, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 64u << 10);
    if (p->kept && p->keepset.package[k - p->img->package].why != QN_KEPT_NOT) {
        if (qn_keepset_explain_package(p->img, &p->keepset, (uint32_t)(k - p->img->package), &b, e) < 0)
            return -1;
        qn_json_set_str(o, "because", qn_buf_view(&b));
        return 0;
    }
    for (uint32_t f = 0; f < k->files; f++) {
        if (p->fate[k->file[f]].removed || !qn_image_reached(p->img, k->file[f]))
            continue;
        if (qn_buf_printf(&b, e, "/%s is needed: ", QN_Q(p->img->tree.node[k->file[f]].path)) < 0 ||
            qn_image_explain(p->img, k->file[f], &b, e) < 0)
            return -1;
        qn_json_set_str(o, "because", qn_buf_view(&b));
        return 0;
    }
    return 0;
}

static json_t *explain_package(const struct qn_plan *p, uint32_t package, struct qn_err *e)
{
    static const char *const states[] = {
        [QN_PACKAGE_KEPT] = "kept", [QN_PACKAGE_PARTIAL] = "partial", [QN_PACKAGE_REMOVED] = "removed"};
    const struct qn_package *k = &p->img->package[package];
    enum qn_package_state state = qn_plan_package_state(p, package);
    qn_auto_json json_t *o = json_object();
    json_t *list = json_array();
    int64_t removed = 0;

    for (uint32_t f = 0; f < k->files; f++)
        removed += p->fate[k->file[f]].removed != 0;
    qn_json_set_c(o, "kind", "package");
    qn_json_set_str(o, "package", k->name);
    qn_json_set_str(o, "purl", k->purl);
    qn_json_set_c(o, "state", states[state]);
    qn_json_set_int(o, "files", k->files);
    qn_json_set_int(o, "removed", removed);
    qn_json_set(o, "paths", list);
    if (package_reason(p, k, o, e) < 0 || package_paths(p, k, state == QN_PACKAGE_REMOVED, list, e) < 0)
        return NULL;
    if (!json_object_get(o, "because"))
        qn_json_set_c(o, "because",
                      state == QN_PACKAGE_REMOVED   ? "nothing that stays needs any of its files"
                      : state == QN_PACKAGE_PARTIAL ? "no rule asks for the rest of its files"
                                                    : "no rule of this policy asks for its removal");
    return qn_steal(o);
}

json_t *qn_explain(const struct qn_plan *p, struct qn_str what, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    bool path = qn_str_chr(what, '/') >= 0;
    uint32_t node = path ? qn_tree_resolve(t, what, false) : QN_NO_NODE;

    if (node != QN_NO_NODE)
        return explain_node(p, node, e);
    if (path) {
        while (what.n && what.p[0] == '/')
            what = qn_str_from(what, 1);
        json_t *added = explain_addition(p, what);
        if (!added)
            qn_fail(e, QN_E_NOT_FOUND, "the image has no /%s", QN_Q(what));
        return added;
    }
    uint32_t package = qn_image_package(p->img, what, QN_STR(""));
    if (package != QN_NO_PACKAGE)
        return explain_package(p, package, e);
    node = qn_image_command(p->img, what);
    if (node == QN_NO_NODE)
        node = qn_tree_resolve(t, what, false);
    if (node != QN_NO_NODE)
        return explain_node(p, node, e);
    qn_fail(e, QN_E_NOT_FOUND, "the image has no package and no command \"%s\"", QN_Q(what));
    return NULL;
}
