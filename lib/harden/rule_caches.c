/* What a package manager, a library or a build left behind and would make again. */
#include "edits.h"

static const struct {
    const char *path, *because;
} emptied[] = {
    {"var/lib/apt/lists", "package lists of apt"},
    {"var/cache/apt", "cache of apt"},
    {"var/cache/apk", "cache of apk"},
    {"etc/apk/cache", "cache of apk"},
    {"var/cache/dnf", "cache of dnf"},
    {"var/cache/libdnf5", "cache of dnf"},
    {"var/cache/yum", "cache of yum"},
    {"var/cache/zypp", "cache of zypper"},
    {"var/cache/debconf", "cache of debconf"},
    {"var/cache/man", "cache of man"},
    {"var/cache/ldconfig", "cache of ldconfig"},
    {"var/cache/PackageKit", "cache of PackageKit"},
    {"var/backups", "backups"},
    {"usr/local/share/.cache", "cache of yarn"},
};

/* Below each home directory: what tools of the build fetch or make again. Not the whole of .cache: browsers of test
 * drivers, models and package managers' own programs live there and are meant to run. */
static const struct {
    const char *name, *because;
} at_home[] = {
    {".cache/pip", "cache of pip"},
    {".cache/pypoetry/cache", "cache of poetry"},
    {".cache/pypoetry/artifacts", "cache of poetry"},
    {".cache/pipenv", "cache of pipenv"},
    {".cache/uv", "cache of uv"},
    {".cache/go-build", "cache of go"},
    {".cache/yarn", "cache of yarn"},
    {".cache/node-gyp", "cache of node-gyp"},
    {".cache/composer", "cache of composer"},
    {".cache/ccache", "cache of ccache"},
    {".cache/sccache", "cache of sccache"},
    {".cache/bazel", "cache of bazel"},
    {".cache/mypy", "cache of mypy"},
    {".cache/ruff", "cache of ruff"},
    {".cache/black", "cache of black"},
    {".cache/pylint", "cache of pylint"},
    {".cache/pre-commit", "cache of pre-commit"},
    {".cache/fontconfig", "cache of fontconfig"},
    {".cache/mesa_shader_cache", "cache of mesa"},
    {".npm/_cacache", "cache of npm"},
    {".npm/_logs", "log of npm"},
    {".composer/cache", "cache of composer"},
    {".bundle/cache", "cache of bundler"},
};

static const char *const leftovers[] = {"*.dpkg-old", "*.dpkg-dist", "*.dpkg-new", "*.dpkg-bak",
                                        "*.dpkg-tmp", "*.ucf-old",   "*.ucf-dist", "*.rpmsave",
                                        "*.rpmnew",   "*.rpmorig",   "*.apk-new"};

static int homes(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t home = qn_tree_find(t, QN_STR("home"));
    char path[QN_PATH_MAX];

    for (size_t k = 0; k < QN_ARRAY_LEN(at_home); k++) {
        snprintf(path, sizeof path, "root/%s", at_home[k].name);
        if (qn_rule_remove_path(p, path, at_home[k].because, NULL, e) < 0)
            return -1;
        if (home == QN_NO_NODE)
            continue;
        for (uint32_t i = home + 1, end = qn_tree_end(t, home); i < end; i = qn_tree_end(t, i)) {
            int n = snprintf(path, sizeof path, "%.*s/%s", QN_FMT(t->node[i].path), at_home[k].name);
            if (n > 0 && (size_t)n < sizeof path && qn_rule_remove_path(p, path, at_home[k].because, NULL, e) < 0)
                return -1;
        }
    }
    return 0;
}

/* Log files, but not links (to standard output) nor directories, nor files that a service could not make again: empty
 * ones, and those that others than root own or may write, were put there for it. The records of logins, which only
 * the system's own tools write, are none of these. */
static bool log_stays(const struct qn_image *img, uint32_t node)
{
    static const char *const logins[] = {"lastlog", "faillog", "tallylog", "wtmp", "btmp"};
    const struct qn_node *n = &img->tree.node[node];

    if (n->type != QN_FILE || !n->data || n->data->size == 0)
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(logins); i++)
        if (qn_str_eq_c(qn_path_base(n->path), logins[i]))
            return false;
    return n->uid != 0 || (n->mode & 022);
}

/* A directory that somebody else owns or everybody may write was made for the application. */
static bool made_for_somebody(const struct qn_image *img, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];
    return n->type == QN_DIR && (n->uid != 0 || (n->mode & 022));
}

static struct qn_str relative(struct qn_str path)
{
    while (path.n && path.p[0] == '/')
        path = qn_str_from(path, 1);
    return path;
}

/* Temporary directories are emptied unless the image starts inside them or has a volume there. */
static int temporary(struct qn_plan *p, const char *dir, struct qn_err *e)
{
    const struct qn_imgconfig *c = &p->img->config;

    if (qn_path_under(relative(c->working_dir), qn_str_c(dir)))
        return 0;
    for (size_t i = 0; i < c->volumes.n; i++)
        if (qn_path_under(relative(c->volumes.v[i]), qn_str_c(dir)))
            return 0;
    return qn_rule_empty_path(p, dir, "temporary file", made_for_somebody, e);
}

int qn_rule_caches(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;

    for (size_t i = 0; i < QN_ARRAY_LEN(emptied); i++) {
        /* debconf answers from its cache when packages are installed on top. */
        if (opt->use == QN_USE_BUILD && strcmp(emptied[i].path, "var/cache/debconf") == 0)
            continue;
        if (qn_rule_empty_path(plan, emptied[i].path, emptied[i].because, qn_rule_keep_dirs, e) < 0)
            return -1;
    }
    if (homes(plan, e) < 0 || temporary(plan, "tmp", e) < 0 || temporary(plan, "var/tmp", e) < 0 ||
        qn_rule_empty_path(plan, "var/log", "log file", log_stays, e) < 0)
        return -1;
    for (uint32_t i = 1; i < t->count; i++) {
        if (t->node[i].type != QN_FILE)
            continue;
        struct qn_str base = qn_path_base(t->node[i].path), path = t->node[i].path;
        for (size_t k = 0; k < QN_ARRAY_LEN(leftovers); k++)
            if (qn_glob(qn_str_c(leftovers[k]), base) && qn_plan_remove(plan, i, "left over from an upgrade", e) < 0)
                return -1;
        bool backup = (qn_path_under(path, QN_STR("etc")) && qn_str_ends(base, QN_STR("~"))) ||
                      (qn_path_under(path, QN_STR("var/lib/dpkg")) && qn_str_ends(base, QN_STR("-old")));
        if (backup && qn_plan_remove(plan, i, "backup", e) < 0)
            return -1;
    }
    return 0;
}
