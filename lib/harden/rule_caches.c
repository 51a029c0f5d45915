/* What a package manager, a library or a build left behind and would make again. */
#include "rule_common.h"

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

/* Below each home directory. */
static const struct {
    const char *name, *because;
} at_home[] = {
    {".cache", "cache"},
    {".npm/_cacache", "cache of npm"},
    {".npm/_logs", "log of npm"},
    {".composer/cache", "cache of composer"},
    {".bundle/cache", "cache of bundler"},
    {".gradle/caches", "cache of gradle"},
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

/* Log files, but not links (to standard output) nor directories, nor files that a service could not make again:
 * empty ones and those of another owner were put there for it. */
static bool log_stays(const struct qn_image *img, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];
    return n->type != QN_FILE || !n->data || n->data->size == 0 || n->uid != 0;
}

/* Temporary directories are emptied unless the image starts inside them. */
static int temporary(struct qn_plan *p, const char *dir, struct qn_err *e)
{
    struct qn_str work = p->img->config.working_dir;

    while (work.n && work.p[0] == '/')
        work = qn_str_from(work, 1);
    if (qn_path_under(work, qn_str_c(dir)))
        return 0;
    return qn_rule_empty_path(p, dir, "temporary file", NULL, e);
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
