/* What the application brought along: as root it could write all of it, and what it writes of it only the application
 * knows. Its directories and data become the user's; programs, and the directories that are named for them, do not. */
#include "rule_user.h"

#include "base/path.h"

/* Below these, and in directories of their own at the top, images keep what is theirs. */
static bool own_place(struct qn_str path)
{
    static const char *const roots[] = {"opt", "srv", "home", "mnt", "media", "usr/src", "var/www", "var/opt"};
    static const char *const system[] = {"usr",    "etc",  "bin", "sbin", "lib",  "lib64", "lib32",
                                         "libx32", "boot", "dev", "sys",  "proc", "run",   "tmp",
                                         "root",   "home", "var", "opt",  "srv",  "mnt",   "media"};

    for (size_t i = 0; i < QN_ARRAY_LEN(roots); i++)
        if (qn_path_under(path, qn_str_c(roots[i])))
            return path.n > strlen(roots[i]);
    for (size_t i = 0; i < QN_ARRAY_LEN(system); i++)
        if (qn_path_under(path, qn_str_c(system[i])))
            return false;
    return path.n > 0;
}

/* Whether a directory of the path is one for programs and their libraries. */
static bool program_place(struct qn_str path)
{
    static const char *const names[] = {"bin",           "sbin",    "lib",          "lib64",
                                        "libexec",       "include", "node_modules", "site-packages",
                                        "dist-packages", "vendor",  "jre",          "jvm"};
    struct qn_str part;

    while (qn_str_next(&path, '/', &part))
        for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
            if (qn_str_eq_c(part, names[i]))
                return true;
    return false;
}

static bool program(const struct qn_node *n)
{
    static const char *const suffix[] = {".py", ".pyc", ".js",    ".mjs", ".cjs", ".ts",  ".rb", ".pl",
                                         ".pm", ".jar", ".class", ".war", ".so",  ".dll", ".lua"};

    if ((n->mode & 0111) || (n->data && (n->data->content == QN_ELF || n->data->content == QN_SCRIPT)))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(suffix); i++)
        if (qn_str_ends(n->path, qn_str_c(suffix[i])))
            return true;
    return false;
}

void qn_user_own(const struct qn_plan *p, struct qn_user_choice *u)
{
    const struct qn_tree *t = &p->img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        bool file = n->type == QN_FILE && !program(n);
        if (n->entry && n->uid == 0 && n->package == QN_NO_PACKAGE && (file || n->type == QN_DIR) &&
            own_place(n->path) && !program_place(n->path))
            u->state[i] = true;
    }
}

bool qn_user_listed(const struct qn_plan *p, char *why, size_t size)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t work = qn_tree_resolve(t, p->img->config.working_dir, true);

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        uint32_t dir = n->type == QN_DIR ? i : n->parent;
        bool own = n->type == QN_DIR ? i == work : n->type == QN_FILE && n->package == QN_NO_PACKAGE && !program(n);
        if (!own || t->node[dir].entry || !own_place(t->node[dir].path) || program_place(t->node[dir].path))
            continue;
        snprintf(why, size,
                 "/%s is in no layer as a directory of its own: it would stay root's, and what the "
                 "application writes there cannot be told",
                 QN_Q(t->node[dir].path));
        return false;
    }
    return true;
}
