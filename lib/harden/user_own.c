/* What the application brought along. Its code stays root's, and so do the directories that hold code, but for the one
 * that it starts in: nobody who takes the service over can change what it runs. Directories without code are for data:
 * they become the user's, and so does data beside code that is named like a state. */
#include "rule_user.h"

#include "image/texts.h"
#include "image/units.h"

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
    static const char *const suffix[] = {".py",  ".pyc",   ".js",  ".mjs", ".cjs", ".ts",  ".rb",  ".pl",   ".pm",
                                         ".jar", ".class", ".war", ".so",  ".dll", ".lua", ".php", ".phar", ".exe"};

    if ((n->mode & 0111) || (n->data && (n->data->content == QN_ELF || n->data->content == QN_SCRIPT)))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(suffix); i++)
        if (qn_str_ends(n->path, qn_str_c(suffix[i])))
            return true;
    return false;
}

/* Data that programs keep beside themselves, by its name. */
static bool state_file(struct qn_str path)
{
    static const char *const suffix[] = {".db",   ".sqlite", ".sqlite3", ".db3",  ".log",  ".pid",
                                         ".lock", ".dat",    ".data",    ".rdb",  ".aof",  ".ldb",
                                         ".csv",  ".txt",    ".pkl",     ".json", ".cache"};
    for (size_t i = 0; i < QN_ARRAY_LEN(suffix); i++)
        if (qn_str_ends(path, qn_str_c(suffix[i])))
            return true;
    return false;
}

/* Marks directories with a program in or below them. */
static void mark_code(const struct qn_plan *p, bool *code)
{
    const struct qn_tree *t = &p->img->tree;

    for (uint32_t i = 1; i < t->count; i++)
        if (t->node[i].type == QN_FILE && own_place(t->node[i].path) && program(&t->node[i]))
            for (uint32_t d = t->node[i].parent; d != QN_NO_NODE && !code[d]; d = t->node[d].parent)
                code[d] = true;
}

int qn_user_own(struct qn_plan *p, struct qn_user_choice *u, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t work = qn_tree_resolve(t, p->img->config.working_dir, true);
    bool *code = qn_arena_alloc(&p->arena, t->count, sizeof *code, e);

    if (!code)
        return -1;
    mark_code(p, code);
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        if (!n->entry || n->uid != 0 || n->package != QN_NO_PACKAGE || !own_place(n->path) || program_place(n->path))
            continue;
        if (n->type == QN_DIR)
            u->state[i] = u->state[i] || !code[i] || i == work;
        else if (n->type == QN_FILE && !program(n))
            u->state[i] = u->state[i] || !code[n->parent] || state_file(n->path);
    }
    return 0;
}

bool qn_user_beside(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size)
{
    const struct qn_tree *t = &p->img->tree;
    const uint32_t both = QN_TEXT_WRITES | QN_TEXT_PLACE;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        bool own = n->type == QN_FILE && n->package == QN_NO_PACKAGE && n->data && (n->data->units & both) == both &&
                   own_place(n->path) && !qn_text_dependency(n->path);
        if (!own || p->fate[i].removed || n->uid != 0 || (qn_user_bits(p, u, n->parent) & 2))
            continue;
        snprintf(why, size, "/%s writes files and looks for them where it stands itself: /%s stays root's",
                 QN_Q(n->path), QN_Q(t->node[n->parent].path));
        return false;
    }
    return true;
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
