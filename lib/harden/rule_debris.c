/* What belongs to the making of an image, not to its running. */
#include "edits.h"

/* Directories and files that are debris wherever no package put them. */
static const char *const anywhere[] = {
    ".git",      ".hg",       ".svn",           ".bzr",        ".gitignore", ".gitattributes", ".gitmodules",
    ".github",   ".gitlab",   ".gitlab-ci.yml", ".travis.yml", ".circleci",  ".idea",          ".vscode",
    ".DS_Store", "Thumbs.db", ".editorconfig",  ".drone.yml",  ".hgignore",  "Jenkinsfile",    "__MACOSX",
};
/* Files of people, in home directories, the working directory and the root. */
static const char *const personal[] = {
    ".bash_history",      ".ash_history",   ".zsh_history",  ".sh_history",       ".python_history",
    ".node_repl_history", ".mysql_history", ".psql_history", ".rediscli_history", ".sqlite_history",
    ".lesshst",           ".viminfo",       ".wget-hsts",    ".selected_editor",  ".sudo_as_admin_successful",
};
/* Only in the root, the working directory and homes: elsewhere these may be what an application is about. */
static const char *const build[] = {"Dockerfile",          "Dockerfile.*",         "Containerfile", ".dockerignore",
                                    "docker-compose*.yml", "docker-compose*.yaml", "compose.yml",   "compose.yaml"};

static bool one_of(const char *const *names, size_t n, struct qn_str base)
{
    for (size_t i = 0; i < n; i++)
        if (qn_glob(qn_str_c(names[i]), base))
            return true;
    return false;
}

static bool core_dump(struct qn_str base)
{
    if (!qn_str_starts(base, QN_STR("core.")) || base.n < 6)
        return false;
    for (size_t i = 5; i < base.n; i++)
        if (base.p[i] < '0' || base.p[i] > '9')
            return false;
    return true;
}

/* Whether a directory is one where people work: the root, a home, the working directory. */
static bool workplace(const struct qn_image *img, struct qn_str dir)
{
    struct qn_str work = img->config.working_dir;

    while (work.n && work.p[0] == '/')
        work = qn_str_from(work, 1);
    while (work.n && work.p[work.n - 1] == '/')
        work.n--;
    return dir.n == 0 || qn_str_eq(dir, QN_STR("root")) || qn_str_eq(dir, work) ||
           qn_str_eq(qn_path_dir(dir), QN_STR("home"));
}

int qn_rule_debris(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;

    (void)opt;
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        struct qn_str base = qn_path_base(n->path);
        const char *why = NULL;
        if (n->package == QN_NO_PACKAGE && one_of(anywhere, QN_ARRAY_LEN(anywhere), base))
            why = "left over from development";
        else if (n->type == QN_FILE && workplace(img, qn_path_dir(n->path))) {
            if (one_of(personal, QN_ARRAY_LEN(personal), base))
                why = "history or state of a person's shell";
            else if (one_of(build, QN_ARRAY_LEN(build), base))
                why = "recipe of the image";
            else if (core_dump(base))
                why = "core dump";
        }
        if (why && qn_plan_remove_tree(plan, i, why, NULL, e) < 0)
            return -1;
    }
    return 0;
}
