/* Documentation, translations and completions: read by people, not by what the image runs. */
#include "rule_common.h"

static const struct {
    const char *path, *because;
} trees[] = {
    {"usr/share/man", "manual pages"},
    {"usr/local/share/man", "manual pages"},
    {"usr/local/man", "manual pages"},
    {"usr/share/info", "info pages"},
    {"usr/share/doc", "documentation"},
    {"usr/local/share/doc", "documentation"},
    {"usr/share/doc-base", "documentation"},
    {"usr/share/gtk-doc", "documentation"},
    {"usr/share/help", "help pages"},
    {"usr/share/gnome/help", "help pages"},
    {"usr/share/lintian", "overrides for a package checker"},
    {"usr/share/linda", "overrides for a package checker"},
    {"usr/share/bug", "bug report helpers"},
    {"usr/share/bash-completion", "shell completions"},
    {"etc/bash_completion.d", "shell completions"},
    {"usr/share/zsh/vendor-completions", "shell completions"},
    {"usr/share/zsh/site-functions", "shell completions"},
    {"usr/share/fish/vendor_completions.d", "shell completions"},
};

/* Copyright files, and links to the directory that has one (Debian Policy 12.5), are licences. */
static bool licence(const struct qn_image *img, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];
    struct qn_str base = qn_path_base(n->path);

    if (qn_str_eq(base, QN_STR("copyright")) || qn_str_starts(base, QN_STR("LICENSE")) ||
        qn_str_starts(base, QN_STR("LICENCE")) || qn_str_starts(base, QN_STR("COPYING")) ||
        qn_str_starts(base, QN_STR("NOTICE")))
        return true;
    return n->type == QN_SYMLINK && qn_str_eq(qn_path_dir(n->path), QN_STR("usr/share/doc"));
}

static bool licence_or_dir(const struct qn_image *img, uint32_t node)
{
    return img->tree.node[node].type == QN_DIR || licence(img, node);
}

/* Locales whose translations stay: C, POSIX and English of any country. */
static bool locale_stays(struct qn_str name)
{
    return qn_str_eq(name, QN_STR("C")) || qn_str_eq(name, QN_STR("POSIX")) || qn_str_eq(name, QN_STR("en")) ||
           qn_str_starts(name, QN_STR("en_")) || qn_str_starts(name, QN_STR("en@")) ||
           qn_str_starts(name, QN_STR("C.")) || qn_str_eq(name, QN_STR("locale.alias"));
}

static int locales(struct qn_plan *p, const char *root, bool keep_dirs, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t dir = qn_tree_resolve(t, qn_str_c(root), true);
    struct qn_str lang;

    if (dir == QN_NO_NODE)
        return 0;
    if (!qn_imgconfig_env(&p->img->config, "LANG", &lang))
        lang = QN_STR("C");
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i = qn_tree_end(t, i)) {
        struct qn_str name = qn_path_base(t->node[i].path);
        /* "de" and "de_DE" serve LANG=de_DE.UTF-8. */
        bool asked = qn_str_starts(lang, name) && name.n >= 2;
        if (locale_stays(name) || asked || t->node[i].type != QN_DIR)
            continue;
        if (qn_plan_remove_tree(p, i, "translations", keep_dirs ? qn_rule_keep_dirs : NULL, e) < 0)
            return -1;
    }
    return 0;
}

int qn_rule_docs(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    /* Packages that are installed later expect the directories (update-alternatives links manual pages). */
    bool shape = opt->use == QN_USE_BUILD;

    (void)img;
    for (size_t i = 0; i < QN_ARRAY_LEN(trees); i++)
        if (qn_rule_remove_path(plan, trees[i].path, trees[i].because, shape ? licence_or_dir : licence, e) < 0)
            return -1;
    if (locales(plan, "usr/share/locale", shape, e) < 0)
        return -1;
    return locales(plan, "usr/local/share/locale", shape, e);
}
