#include "edits.h"

#include "image/called.h"

#define ASKED_MAX 64u

int qn_rule_remove_path(struct qn_plan *p, const char *path, const char *because,
                        bool (*keep)(const struct qn_image *img, uint32_t node), struct qn_err *e)
{
    uint32_t n = qn_tree_resolve(&p->img->tree, qn_str_c(path), true);
    return n == QN_NO_NODE || n == 0 ? 0 : qn_plan_remove_tree(p, n, because, keep, e);
}

int qn_rule_empty_path(struct qn_plan *p, const char *path, const char *because,
                       bool (*keep)(const struct qn_image *img, uint32_t node), struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t n = qn_tree_resolve(t, qn_str_c(path), true);

    if (n == QN_NO_NODE || n == 0 || t->node[n].type != QN_DIR)
        return 0;
    for (uint32_t i = n + 1, end = qn_tree_end(t, n); i < end; i = qn_tree_end(t, i))
        if (qn_plan_remove_tree(p, i, because, keep, e) < 0)
            return -1;
    return 0;
}

bool qn_rule_in_path(const struct qn_image *img, uint32_t node)
{
    static const char *const usual[] = {"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"};
    uint32_t parent = img->tree.node[node].parent;

    if (parent == QN_NO_NODE)
        return false;
    for (size_t i = 0; !img->searched[parent] && i < QN_ARRAY_LEN(usual); i++)
        if (qn_str_eq_c(img->tree.node[parent].path, usual[i]))
            return true;
    return img->searched[parent];
}

bool qn_rule_any_reached(const struct qn_image *img, const char *const *names)
{
    for (uint32_t i = 1; i < img->tree.count; i++) {
        if (!qn_image_reached(img, i) || img->tree.node[i].type == QN_DIR)
            continue;
        struct qn_str base = qn_path_base(img->tree.node[i].path);
        for (size_t k = 0; names[k]; k++)
            if (qn_str_eq_c(base, names[k]) && img->tree.node[i].mode & 0111)
                return true;
    }
    return false;
}

/* Whether something is known to start a program; a library is loaded. Looking for its name costs a look at every
 * text. */
static bool started(const struct qn_image *img, uint32_t node, unsigned *asked)
{
    const struct qn_elf_facts *f = &img->tree.node[node].data->elf;

    return (!f->is_static && f->interp.n == 0) || ++*asked > ASKED_MAX || qn_image_started(img, node);
}

bool qn_rule_drops_privileges(const struct qn_image *img, enum qn_profile profile)
{
    static const char *const tools[] = {"gosu",    "su-exec", "su",   "sudo",        "setpriv",
                                        "runuser", "chroot",  "doas", "s6-setuidgid"};
    /* Interpreters can become somebody else; what they run hardly ever does. */
    static const char *const interpreters[] = {"python*", "perl*", "ruby*", "node*", "php",      "php8*",
                                               "php7*",   "lua*",  "java",  "tini",  "dumb-init"};
    unsigned asked = 0;

    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        struct qn_str base = qn_path_base(n->path);
        if (!(img->reach[i].all & (QN_WHY_STARTED | QN_WHY_BIT(QN_WHY_UNOWNED))) || n->type == QN_DIR)
            continue;
        for (size_t k = 0; k < QN_ARRAY_LEN(tools); k++)
            if (qn_str_eq_c(base, tools[k]))
                return true;
        bool interpreter = qn_is_shell_name(base);
        for (size_t k = 0; k < QN_ARRAY_LEN(interpreters); k++)
            interpreter = interpreter || qn_glob(qn_str_c(interpreters[k]), base);
        if (!interpreter && n->data && n->data->content == QN_ELF && (n->mode & 0111) &&
            (n->data->elf.imports & QN_IMPORT_SETUID) && (profile != QN_STRICT || started(img, i, &asked)))
            return true;
    }
    return false;
}

bool qn_rule_keep_dirs(const struct qn_image *img, uint32_t node)
{
    return img->tree.node[node].type == QN_DIR;
}

static bool named(const char *const *globs, struct qn_str name)
{
    for (size_t k = 0; globs[k]; k++)
        if (qn_glob(qn_str_c(globs[k]), name))
            return true;
    return false;
}

bool qn_rule_licence(const struct qn_image *img, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];
    static const char *const starts[] = {"copyright", "license", "licence", "copying", "notice"};
    static const char *const dirs[] = {"usr/share/doc", "usr/local/share/doc", "usr/share/licenses",
                                       "usr/share/common-licenses"};
    struct qn_str base = qn_path_base(n->path);
    bool place = false;

    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        place = place || qn_path_under(n->path, qn_str_c(dirs[i]));
    if (!place || n->type == QN_DIR)
        return false;
    for (size_t i = 0; i < QN_ARRAY_LEN(starts); i++)
        if (qn_str_ieq(qn_str_head(base, strlen(starts[i])), qn_str_c(starts[i])))
            return true;
    return qn_path_under(n->path, QN_STR("usr/share/licenses")) ||
           (n->type == QN_SYMLINK && qn_str_eq(qn_path_dir(n->path), QN_STR("usr/share/doc")));
}

int qn_rule_remove_package(struct qn_plan *p, uint32_t package, const char *because, struct qn_err *e)
{
    const struct qn_package *pkg = &p->img->package[package];

    for (uint32_t f = 0; f < pkg->files; f++)
        if (!qn_rule_licence(p->img, pkg->file[f]) && qn_plan_remove(p, pkg->file[f], because, e) < 0)
            return -1;
    return 0;
}

int qn_rule_remove_packages(struct qn_plan *p, const char *const *globs, bool partly, const char *because,
                            struct qn_err *e)
{
    const struct qn_image *img = p->img;

    for (size_t i = 0; i < img->package_count; i++) {
        const struct qn_package *pkg = &img->package[i];
        if (!named(globs, pkg->name))
            continue;
        bool reached = false;
        for (uint32_t f = 0; f < pkg->files; f++)
            reached = reached || qn_image_reached(img, pkg->file[f]);
        if (reached && !partly) {
            p->result[p->rule].protected ++;
            continue;
        }
        if (qn_rule_remove_package(p, (uint32_t)i, because, e) < 0)
            return -1;
    }
    return 0;
}
