/* Documentation, translations and completions: read by people, not by what the image runs. */
#include "edits.h"

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

static bool licence_or_dir(const struct qn_image *img, uint32_t node)
{
    return img->tree.node[node].type == QN_DIR || qn_rule_licence(img, node);
}

/* Locales whose translations stay: C, POSIX and English of any country. */
static bool locale_stays(struct qn_str name)
{
    return qn_str_eq(name, QN_STR("C")) || qn_str_eq(name, QN_STR("POSIX")) || qn_str_eq(name, QN_STR("en")) ||
           qn_str_starts(name, QN_STR("en_")) || qn_str_starts(name, QN_STR("en@")) ||
           qn_str_starts(name, QN_STR("C.")) || qn_str_eq(name, QN_STR("locale.alias"));
}

/* Whether a variable of the environment asks for the language of a directory: "de" and "de_DE" serve
 * LANG=de_DE.UTF-8; LANGUAGE is a list. */
static bool asked_for(const struct qn_image *img, struct qn_str name)
{
    static const char *const names[] = {"LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"};
    struct qn_str value, lang;

    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++) {
        if (!qn_imgconfig_env(&img->config, names[i], &value))
            continue;
        while (qn_str_next(&value, ':', &lang))
            if (name.n >= 2 && qn_str_starts(lang, name) && (lang.n == name.n || strchr("_.@", lang.p[name.n])))
                return true;
    }
    return false;
}

static int locales(struct qn_plan *p, const char *root, bool keep_dirs, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t dir = qn_tree_resolve(t, qn_str_c(root), true);

    if (dir == QN_NO_NODE)
        return 0;
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i = qn_tree_end(t, i)) {
        struct qn_str name = qn_path_base(t->node[i].path);
        if (locale_stays(name) || asked_for(p->img, name) || t->node[i].type != QN_DIR)
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
        if (qn_rule_remove_path(plan, trees[i].path, trees[i].because, shape ? licence_or_dir : qn_rule_licence, e) < 0)
            return -1;
    if (locales(plan, "usr/share/locale", shape, e) < 0)
        return -1;
    return locales(plan, "usr/local/share/locale", shape, e);
}
