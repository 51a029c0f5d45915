#include "compare.h"

#include "figures.h"

#include "base/path.h"

#define FILES_MAX 100000

struct diff {
    const struct qn_image *a, *b;
    json_t *files, *packages, *config;
    int64_t added, removed, changed, package_added, package_removed, package_changed;
    bool truncated;
};

static const char *type_name(enum qn_entry_type type)
{
    static const char *const names[] = {
        [QN_FILE] = "file",    [QN_HARDLINK] = "file", [QN_SYMLINK] = "symlink", [QN_CHAR] = "device",
        [QN_BLOCK] = "device", [QN_DIR] = "directory", [QN_FIFO] = "fifo"};
    return type <= QN_FIFO && names[type] ? names[type] : "other";
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static json_t *file_row(struct diff *d, const char *change, const struct qn_node *n)
{
    if (json_array_size(d->files) >= FILES_MAX) {
        d->truncated = true;
        return NULL;
    }
    json_t *o = json_object();
    qn_auto_free char *text = qn_xasprintf("/%.*s", QN_FMT(n->path));
    qn_json_set_c(o, "path", text);
    qn_json_set_c(o, "change", change);
    qn_json_set_c(o, "type", type_name(n->type));
    qn_json_push(d->files, o);
    return o;
}

static bool same_content(const struct qn_entry *x, const struct qn_entry *y)
{
    if (!x || !y || x == y)
        return x == y;
    if (x->size != y->size)
        return false;
    if (x->hash.n && y->hash.n)
        return qn_str_eq(x->hash, y->hash);
    return x->size == 0 || x->mtime == y->mtime;
}

struct what {
    json_t *list;
    char from[128], to[128];
};

static void differs(struct what *w, const char *name, const char *from, const char *to)
{
    size_t f = strlen(w->from), t = strlen(w->to);

    qn_json_push(w->list, qn_json_string_c(name));
    if (from[0]) {
        snprintf(w->from + f, sizeof w->from - f, "%s%s", f ? ", " : "", from);
        snprintf(w->to + t, sizeof w->to - t, "%s%s", t ? ", " : "", to);
    }
}

static void numbers(struct what *w, const char *name, const char *fmt_name, unsigned long long x, unsigned long long y)
{
    char from[64], to[64];

    snprintf(from, sizeof from, "%s%llu", fmt_name, x);
    snprintf(to, sizeof to, "%s%llu", fmt_name, y);
    differs(w, name, from, to);
}

static void compare_attributes(struct what *w, const struct qn_node *x, const struct qn_node *y)
{
    char from[64], to[64];

    if (x->mode != y->mode) {
        snprintf(from, sizeof from, "mode %04o", x->mode);
        snprintf(to, sizeof to, "mode %04o", y->mode);
        differs(w, "mode", from, to);
    }
    if (x->uid != y->uid || x->gid != y->gid) {
        snprintf(from, sizeof from, "owner %u:%u", x->uid, x->gid);
        snprintf(to, sizeof to, "owner %u:%u", y->uid, y->gid);
        differs(w, "owner", from, to);
    }
    if (x->entry && y->entry && x->entry->caps != y->entry->caps)
        differs(w, "capabilities", x->entry->caps ? "capabilities" : "none", y->entry->caps ? "capabilities" : "none");
    if (x->entry && y->entry && x->type != QN_DIR &&
        (x->entry->mtime != y->entry->mtime || x->entry->mtime_nsec != y->entry->mtime_nsec))
        differs(w, "time", "", "");
}

static void compare_nodes(struct diff *d, const struct qn_node *x, const struct qn_node *y)
{
    struct what w = {.list = json_array()};

    if (x->type != y->type) {
        differs(&w, "type", type_name(x->type), type_name(y->type));
    } else if (x->type == QN_FILE && !same_content(x->data, y->data)) {
        differs(&w, "content", "", "");
        if (x->data && y->data && x->data->size != y->data->size)
            numbers(&w, "size", "size ", x->data->size, y->data->size);
    } else if (x->type == QN_SYMLINK && !qn_str_eq(x->entry->link, y->entry->link)) {
        char from[64], to[64];
        snprintf(from, sizeof from, "-> %s", QN_Q(x->entry->link));
        snprintf(to, sizeof to, "-> %s", QN_Q(y->entry->link));
        differs(&w, "link", from, to);
    } else if ((x->type == QN_CHAR || x->type == QN_BLOCK) &&
               (x->entry->dev_major != y->entry->dev_major || x->entry->dev_minor != y->entry->dev_minor)) {
        differs(&w, "device", "", "");
    }
    if (x->type == y->type)
        compare_attributes(&w, x, y);
    if (json_array_size(w.list) > 0) {
        d->changed++;
        json_t *o = file_row(d, "changed", y);
        if (o) {
            qn_json_set(o, "what", json_incref(w.list));
            if (w.from[0]) {
                qn_json_set_c(o, "from", w.from);
                qn_json_set_c(o, "to", w.to);
            }
        }
    }
    json_decref(w.list);
}

/* Both trees are in path order. */
static void compare_trees(struct diff *d)
{
    const struct qn_tree *a = &d->a->tree, *b = &d->b->tree;

    for (size_t i = 1, k = 1; i < a->count || k < b->count;) {
        int c = i == a->count ? 1 : k == b->count ? -1 : qn_path_cmp(a->node[i].path, b->node[k].path);
        if (c < 0) {
            d->removed++;
            (void)file_row(d, "removed", &a->node[i++]);
        } else if (c > 0) {
            d->added++;
            (void)file_row(d, "added", &b->node[k++]);
        } else {
            compare_nodes(d, &a->node[i++], &b->node[k++]);
        }
    }
}

/* --- packages ----------------------------------------------------------------------------------------------------- */

static void package_row(struct diff *d, const struct qn_package *p, const char *change, struct qn_str from,
                        struct qn_str to)
{
    json_t *o = json_object();

    qn_json_set_str(o, "package", p->name);
    qn_json_set_str(o, "architecture", p->arch);
    qn_json_set_c(o, "change", change);
    if (from.n)
        qn_json_set_str(o, "from", from);
    if (to.n)
        qn_json_set_str(o, "to", to);
    qn_json_push(d->packages, o);
}

static int package_order(const struct qn_package *x, const struct qn_package *y)
{
    int c = qn_str_cmp(x->name, y->name);
    return c ? c : qn_str_cmp(x->arch, y->arch);
}

static void compare_packages(struct diff *d)
{
    size_t i = 0, k = 0;

    while (i < d->a->package_count || k < d->b->package_count) {
        const struct qn_package *x = i < d->a->package_count ? d->a->by_name[i] : NULL;
        const struct qn_package *y = k < d->b->package_count ? d->b->by_name[k] : NULL;
        int c = !x ? 1 : !y ? -1 : package_order(x, y);
        i += c <= 0;
        k += c >= 0;
        if (c < 0) {
            d->package_removed++;
            package_row(d, x, "removed", x->version, QN_STR(""));
        } else if (c > 0) {
            d->package_added++;
            package_row(d, y, "added", QN_STR(""), y->version);
        } else if (!qn_str_eq(x->version, y->version)) {
            d->package_changed++;
            package_row(d, x, "changed", x->version, y->version);
        }
    }
}

/* --- configuration ------------------------------------------------------------------------------------------------ */

static void config_row(struct diff *d, const char *key, struct qn_str from, struct qn_str to)
{
    json_t *o = json_object();

    qn_json_set_c(o, "key", key);
    if (from.n)
        qn_json_set_str(o, "from", from);
    if (to.n)
        qn_json_set_str(o, "to", to);
    qn_json_push(d->config, o);
}

static void config_words(struct diff *d, const char *key, const struct qn_words *x, const struct qn_words *y)
{
    char text[2][512] = {"", ""};
    const struct qn_words *both[] = {x, y};
    bool same = x->n == y->n;

    for (size_t i = 0; same && i < x->n; i++)
        same = qn_str_eq(x->v[i], y->v[i]);
    if (same)
        return;
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < both[s]->n; i++) {
            size_t n = strlen(text[s]);
            snprintf(text[s] + n, sizeof text[s] - n, "%s%.*s", i ? " " : "", QN_FMT(both[s]->v[i]));
        }
    config_row(d, key, qn_str_c(text[0]), qn_str_c(text[1]));
}

/* The variable of that name, or NULL. */
static const struct qn_str *variable(const struct qn_words *env, struct qn_str name)
{
    for (size_t i = 0; i < env->n; i++) {
        ptrdiff_t eq = qn_str_chr(env->v[i], '=');
        if (qn_str_eq(qn_str_head(env->v[i], eq < 0 ? env->v[i].n : (size_t)eq), name))
            return &env->v[i];
    }
    return NULL;
}

/* Names alone: values may be secrets. */
static void config_env(struct diff *d, const struct qn_words *x, const struct qn_words *y, bool reverse)
{
    for (size_t i = 0; i < x->n; i++) {
        ptrdiff_t eq = qn_str_chr(x->v[i], '=');
        struct qn_str name = qn_str_head(x->v[i], eq < 0 ? x->v[i].n : (size_t)eq);
        const struct qn_str *other = variable(y, name);
        qn_auto_free char *key = qn_xasprintf("Env.%.*s", QN_FMT(name));
        if (!other)
            config_row(d, key, reverse ? QN_STR("") : QN_STR("set"), reverse ? QN_STR("set") : QN_STR(""));
        else if (!reverse && !qn_str_eq(*other, x->v[i]))
            config_row(d, key, QN_STR("one value"), QN_STR("another"));
    }
}

static void compare_config(struct diff *d)
{
    const struct qn_imgconfig *x = &d->a->config, *y = &d->b->config;

    config_words(d, "Entrypoint", &x->entrypoint, &y->entrypoint);
    config_words(d, "Cmd", &x->cmd, &y->cmd);
    config_words(d, "Healthcheck", &x->healthcheck, &y->healthcheck);
    config_words(d, "Shell", &x->shell, &y->shell);
    config_words(d, "ExposedPorts", &x->exposed_ports, &y->exposed_ports);
    config_words(d, "Volumes", &x->volumes, &y->volumes);
    if (!qn_str_eq(x->user, y->user))
        config_row(d, "User", x->user.n ? x->user : QN_STR("root"), y->user.n ? y->user : QN_STR("root"));
    if (!qn_str_eq(x->working_dir, y->working_dir))
        config_row(d, "WorkingDir", x->working_dir, y->working_dir);
    if (!qn_str_eq(x->stop_signal, y->stop_signal))
        config_row(d, "StopSignal", x->stop_signal, y->stop_signal);
    config_env(d, &x->env, &y->env, false);
    config_env(d, &y->env, &x->env, true);
}

static json_t *counts(const struct diff *d)
{
    json_t *o = json_object();

    qn_json_set_int(o, "added", d->added);
    qn_json_set_int(o, "removed", d->removed);
    qn_json_set_int(o, "changed", d->changed);
    qn_json_set_int(o, "packages_added", d->package_added);
    qn_json_set_int(o, "packages_removed", d->package_removed);
    qn_json_set_int(o, "packages_changed", d->package_changed);
    return o;
}

json_t *qn_compare_images(const struct qn_image *a, const struct qn_image *b)
{
    struct diff d = {.a = a, .b = b, .files = json_array(), .packages = json_array(), .config = json_array()};
    struct qn_figures before, after;
    json_t *o = json_object();

    compare_trees(&d);
    compare_packages(&d);
    compare_config(&d);
    qn_figures_count(a, &before);
    qn_figures_count(b, &after);
    qn_json_set_c(o, "schema", "quench.diff.v1");
    qn_json_set_bool(o, "equal",
                     d.added + d.removed + d.changed + d.package_added + d.package_removed + d.package_changed +
                             (int64_t)json_array_size(d.config) ==
                         0);
    qn_json_set(o, "counts", counts(&d));
    qn_json_set(o, "before", qn_figures_json(&before, 0));
    qn_json_set(o, "after", qn_figures_json(&after, 0));
    qn_json_set(o, "packages", d.packages);
    qn_json_set(o, "config", d.config);
    qn_json_set(o, "files", d.files);
    if (d.truncated)
        qn_json_set_bool(o, "truncated", true);
    return o;
}
