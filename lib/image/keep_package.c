/* What a kept package brings along: its files, and the packages that it depends on. */
#include "keepset_int.h"

#include "base/path.h"

#include <stdlib.h>

/* Text of an interpreter that scans do not read for what it calls: only an application's own is. */
static bool code(const struct qn_node *n)
{
    static const char *const suffix[] = {".py",  ".pm",  ".pl",  ".rb", ".js", ".php",
                                         ".tcl", ".lua", ".jar", ".el", ".R"};

    if (n->type != QN_FILE || qn_image_documentation(n->path))
        return false;
    if (n->data && n->data->content == QN_SCRIPT && !qn_script_shell(&n->data->script))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(suffix); i++)
        if (qn_str_ends(n->path, qn_str_c(suffix[i])))
            return true;
    return false;
}

void qn_keep_classify(struct qn_keeping *k)
{
    const struct qn_tree *t = &k->img->tree;

    for (uint32_t i = 0; i < k->img->package_count; i++) {
        const struct qn_package *p = &k->img->package[i];
        k->package[i].class = qn_package_class(p->name);
        for (uint32_t f = 0; f < p->files; f++) {
            uint32_t parent = t->node[p->file[f]].parent;
            k->package[i].libraries = k->package[i].libraries || (k->bits[p->file[f]] & QN_IS_LIB);
            k->package[i].headers =
                k->package[i].headers ||
                (qn_path_under(t->node[p->file[f]].path, QN_STR("usr/include")) && !(k->bits[p->file[f]] & QN_IS_GONE));
            k->package[i].code = k->package[i].code || code(&t->node[p->file[f]]);
            k->package[i].programs =
                k->package[i].programs || (parent != QN_NO_NODE && (k->bits[parent] & QN_IN_BIN) != 0);
        }
    }
}

/* --- roots -------------------------------------------------------------------------------------------------------- */
/* Links that installing made, in places that packages share, follow their targets. Others are the application. */
static bool generated(struct qn_str path)
{
    static const char *const dirs[] = {"etc",         "usr/bin",   "usr/sbin", "usr/lib",    "usr/share",
                                       "usr/libexec", "usr/lib64", "bin",      "sbin",       "lib",
                                       "lib64",       "var",       "run",      "usr/include"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}

/* Tools that make base images mark nothing as automatic: what packages of the base system depend on, directly or not,
 * came with them, and nobody asked for it. */
static void mark_brought(struct qn_keeping *k)
{
    size_t count = k->img->package_count, head = 0, n = 0, found;
    uint32_t *queue = qn_xcalloc(count, sizeof *queue);

    for (uint32_t i = 0; i < count; i++)
        if (k->package[i].class != QN_CLASS_PLAIN || k->img->package[i].essential)
            queue[n++] = i;
    while (head < n) {
        const struct qn_package *p = &k->img->package[queue[head++]];
        for (uint32_t d = 0; d < p->depend_count; d++) {
            size_t at = qn_depends_find(k->img, p->depends[d].name, &found);
            for (size_t m = at; m < at + found; m++) {
                struct qn_keep_package *to = &k->package[k->img->provider[m].package];
                if (to->brought || to->class != QN_CLASS_PLAIN || k->img->package[to - k->package].essential)
                    continue;
                to->brought = true;
                queue[n++] = (uint32_t)(to - k->package);
            }
        }
    }
    free(queue);
}

static void mark_needed(struct qn_keeping *k)
{
    size_t found;

    for (uint32_t i = 0; i < k->img->package_count; i++)
        for (uint32_t d = 0; d < k->img->package[i].depend_count; d++) {
            size_t at = qn_depends_find(k->img, k->img->package[i].depends[d].name, &found);
            for (size_t m = at; m < at + found; m++)
                if (k->img->provider[m].package != i)
                    k->package[k->img->provider[m].package].needed_by_other = true;
        }
}

/* Whether an interpreter is reached that a package of its tools is for: "python3.11" for "python3". */
static bool interpreter_runs(const struct qn_keeping *k, struct qn_str package)
{
    size_t n = 0;

    while (n < package.n && package.p[n] >= 'a' && package.p[n] <= 'z')
        n++;
    for (size_t i = 0; i < k->programs.count; i++) {
        struct qn_str base = k->programs.at[i].base;
        if (qn_str_starts(base, qn_str_head(package, n)) && qn_image_reached(k->img, k->programs.at[i].node) &&
            (base.n == n || (base.p[n] >= '0' && base.p[n] <= '9')))
            return true;
    }
    return false;
}

/* A package that somebody asked for has programs, and nothing that can be read calls one: something that cannot be read
 * does, compiled or packed. */
static bool aimless(const struct qn_keeping *k, uint32_t package)
{
    const struct qn_tree *t = &k->img->tree;
    const struct qn_package *p = &k->img->package[package];

    if (k->package[package].class == QN_CLASS_KIT)
        return !interpreter_runs(k, p->name);
    for (uint32_t i = 0; i < p->files; i++) {
        const struct qn_node *n = &t->node[p->file[i]];
        if (n->type == QN_FILE && (n->mode & 0111) && n->data && n->data->content != QN_OTHER &&
            !(k->bits[p->file[i]] & QN_IS_LIB) && qn_image_reached(k->img, p->file[i]))
            return false;
    }
    return k->package[package].programs;
}

static bool chosen(const struct qn_keeping *k, uint32_t package)
{
    const struct qn_package *p = &k->img->package[package];

    enum qn_package_class class = k->package[package].class;

    if (p->intent == QN_INTENT_AUTO || p->essential || k->package[package].brought ||
        (class != QN_CLASS_PLAIN && class != QN_CLASS_KIT))
        return false;
    /* Libraries come along with what needs them, unless nothing does: then they are for something that loads them by
     * name. What is called so and is none (libapache2-mod-php) brings modules for a program. */
    return p->kind != QN_PACKAGE_DEB || !qn_str_starts(p->name, QN_STR("lib")) || !k->package[package].libraries ||
           !k->package[package].needed_by_other;
}

void qn_keep_roots(struct qn_keeping *k)
{
    const struct qn_tree *t = &k->img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        if (n->type == QN_DIR)
            continue;
        if (qn_image_reached(k->img, i))
            qn_keeping_node(k, i, QN_KEPT_REACHED, QN_NO_NODE);
        else if (n->package == QN_NO_PACKAGE && !(n->type == QN_SYMLINK && generated(n->path)))
            qn_keeping_node(k, i, QN_KEPT_UNOWNED, QN_NO_NODE);
    }
    mark_brought(k);
    mark_needed(k);
    for (uint32_t i = 0; i < k->img->package_count; i++) {
        if (k->package[i].class == QN_CLASS_ALWAYS)
            qn_keeping_package(k, i, QN_BY_ALWAYS, QN_KEPT_ALWAYS, QN_NO_NODE);
        if (!chosen(k, i))
            continue;
        k->package[i].aimless = aimless(k, i);
        qn_keeping_package(k, i, QN_BY_INTENT, QN_KEPT_CHOSEN, QN_NO_NODE);
    }
}

/* --- members ------------------------------------------------------------------------------------------------------ */
enum member { LEAVE, KEEP, WAIT };

/* Whether the package's programs stay for being there, in `standard`. */
static bool for_programs(const struct qn_keeping *k, uint32_t package)
{
    const struct qn_keep_package *p = &k->package[package];

    if (p->class == QN_CLASS_TOOLBOX || p->class == QN_CLASS_BASE || p->class == QN_CLASS_CUT ||
        (p->class == QN_CLASS_KIT && !p->aimless))
        return false;
    return (p->how & QN_FOR_PROGRAMS) != 0;
}

/* A script stays with its package when what interprets it stays; a shell is kept for it, if its package's programs
 * stay. */
static enum member script_member(const struct qn_keeping *k, uint32_t package, const struct qn_entry *data)
{
    struct qn_str name = data->script.program.n ? data->script.program : data->script.interpreter;
    uint32_t to = qn_image_command(k->img, name);

    if (to == QN_NO_NODE || (qn_is_shell_name(qn_path_base(name)) && for_programs(k, package)))
        return KEEP;
    return qn_keeping_has(k, to) ? KEEP : WAIT;
}

static bool library_kept(const struct qn_keeping *k, uint32_t package)
{
    const struct qn_package *p = &k->img->package[package];

    for (uint32_t i = 0; i < p->files; i++)
        if ((k->bits[p->file[i]] & QN_IS_LIB) && qn_keeping_has(k, p->file[i]))
            return true;
    return false;
}

/* A package for compiling: its libraries are for linkers. */
static bool for_linkers(const struct qn_package *p)
{
    return qn_str_ends(p->name, QN_STR("-dev")) || qn_str_ends(p->name, QN_STR("-devel"));
}

/* Strict: programs and libraries by need only. `lib` tells whether a library of the package is kept. */
static enum member strict_member(const struct qn_keeping *k, uint32_t package, uint32_t node, bool lib)
{
    const struct qn_keep_package *p = &k->package[package];
    const struct qn_node *n = &k->img->tree.node[node];
    bool by_depends = !(p->how & ~(QN_BY_DEPENDS | QN_BY_CODE));
    bool program =
        n->type == QN_FILE && (n->mode & 0111) && n->data && n->data->content == QN_ELF && n->data->elf.interp.n;

    /* Libraries that somebody asked for are loaded by name; what compilers link with goes with the headers that they
     * read. */
    if (k->bits[node] & QN_IS_LIB)
        return p->class == QN_CLASS_ALWAYS || (p->headers && !by_depends) ||
                       ((p->how & QN_BY_INTENT) && !for_linkers(&k->img->package[package]))
                   ? KEEP
                   : LEAVE;
    if (program && (p->class == QN_CLASS_TOOLBOX || by_depends))
        return LEAVE;
    /* The data of a library that nothing loads. */
    return by_depends && p->libraries && !lib ? WAIT : KEEP;
}

static enum member member(const struct qn_keeping *k, uint32_t package, uint32_t node, bool lib)
{
    const struct qn_keep_package *p = &k->package[package];
    const struct qn_node *n = &k->img->tree.node[node];

    if (qn_keeping_shell(k, node) || (qn_keeping_files(k) && (k->bits[node] & QN_BY_ROW)))
        return LEAVE;
    bool bin = k->bits[n->parent] & QN_IN_BIN;
    if (bin && (!for_programs(k, package) || (qn_keeping_files(k) && !p->aimless)))
        return LEAVE;
    /* A link is what it leads to. */
    uint32_t to = n->type == QN_SYMLINK ? qn_tree_resolve(&k->img->tree, n->path, true) : node;
    const struct qn_node *end = to == QN_NO_NODE ? n : &k->img->tree.node[to];
    if ((bin || !qn_keeping_files(k)) && end->type == QN_FILE && (end->mode & 0111) && end->data &&
        end->data->content == QN_SCRIPT)
        return script_member(k, package, end->data);
    if (bin)
        return KEEP;
    bool to_program =
        n->type == QN_SYMLINK && to != QN_NO_NODE && end->parent != QN_NO_NODE && (k->bits[end->parent] & QN_IN_BIN);
    if (to_program && !for_programs(k, package))
        return qn_keeping_has(k, to) ? KEEP : WAIT;
    return qn_keeping_files(k) ? strict_member(k, package, node, lib) : KEEP;
}

/* --- dependencies ------------------------------------------------------------------------------------------------- */
static int by_text(const void *a, const void *b)
{
    const struct qn_str *x = a, *y = b;
    return qn_str_cmp(*x, *y);
}

/* The names that the executables of a package need, sorted. */
static bool collect_needed(struct qn_keeping *k, uint32_t package)
{
    const struct qn_tree *t = &k->img->tree;
    const struct qn_package *p = &k->img->package[package];
    struct qn_keep_package *kp = &k->package[package];
    uint32_t n = 0;

    if (kp->sorted)
        return true;
    for (int round = 0; round < 2; round++) {
        n = 0;
        for (uint32_t i = 0; i < p->files; i++) {
            const struct qn_node *node = &t->node[p->file[i]];
            if (node->type != QN_FILE || !node->data || node->data->content != QN_ELF)
                continue;
            for (uint32_t d = 0; d < node->data->elf.needed_count; d++, n++)
                if (round)
                    kp->needed[n] = node->data->elf.needed[d];
        }
        if (!round && !(kp->needed = qn_arena_alloc(&k->ks->arena, n, sizeof *kp->needed, k->e)))
            return false;
    }
    if (n)
        qsort(kp->needed, n, sizeof *kp->needed, by_text);
    kp->needed_count = n;
    kp->sorted = true;
    return true;
}

/* Whether the libraries of `to` are why `from` depends on it: then each file decides for itself. */
static bool explained(struct qn_keeping *k, uint32_t from, uint32_t to)
{
    const struct qn_package *p = &k->img->package[to];
    const struct qn_keep_package *kp = &k->package[from];

    if (!k->package[to].libraries || k->package[to].programs)
        return false;
    if (!collect_needed(k, from)) {
        k->failed = true;
        return true;
    }
    for (uint32_t i = 0; i < p->files; i++) {
        struct qn_str base = qn_path_base(k->img->tree.node[p->file[i]].path);
        if ((k->bits[p->file[i]] & QN_IS_LIB) && kp->needed_count &&
            bsearch(&base, kp->needed, kp->needed_count, sizeof base, by_text))
            return true;
    }
    return false;
}

/* Whoever asked for a package without programs and libraries asked for those that it depends on. */
static bool means(const struct qn_keeping *k, uint32_t package)
{
    const struct qn_keep_package *p = &k->package[package];
    return (p->how & (QN_BY_INTENT | QN_BY_CODE)) && !p->programs && !p->libraries;
}

static void edge(struct qn_keeping *k, uint32_t from, uint32_t to)
{
    enum qn_package_class class = k->package[to].class;

    if (to == from || class == QN_CLASS_CUT || class == QN_CLASS_MANAGER || explained(k, from, to))
        return;
    bool calls = k->package[from].code || means(k, from);
    qn_keeping_package(k, to, calls ? QN_BY_DEPENDS | QN_BY_CODE : QN_BY_DEPENDS, QN_KEPT_DEPENDS, from);
}

/* A dependency on a path. Which shell stays is decided elsewhere; of a toolbox, that program alone is meant. */
static void follow_path(struct qn_keeping *k, uint32_t package, struct qn_str path)
{
    const struct qn_tree *t = &k->img->tree;
    uint32_t node = qn_tree_resolve(t, path, true), link = qn_tree_resolve(t, path, false);

    if (node == QN_NO_NODE || t->node[node].package == QN_NO_PACKAGE || qn_is_shell_name(qn_path_base(path)))
        return;
    edge(k, package, t->node[node].package);
    if (k->package[t->node[node].package].class != QN_CLASS_TOOLBOX || t->node[node].type == QN_DIR)
        return;
    qn_keeping_node(k, node, QN_KEPT_DEPENDS, package);
    if (link != QN_NO_NODE)
        qn_keeping_node(k, link, QN_KEPT_DEPENDS, package);
}

static void follow(struct qn_keeping *k, uint32_t package)
{
    const struct qn_package *p = &k->img->package[package];

    for (uint32_t i = 0; i < p->depend_count; i++) {
        struct qn_str name = p->depends[i].name;
        size_t n, at = qn_depends_find(k->img, name, &n);
        for (size_t m = at; m < at + n; m++)
            edge(k, package, k->img->provider[m].package);
        if (n == 0 && name.n && name.p[0] == '/')
            follow_path(k, package, name);
    }
}

/* Whether a package has files that say something: a package without any exists for what it depends on. */
static bool empty(const struct qn_keeping *k, uint32_t package)
{
    const struct qn_package *p = &k->img->package[package];

    for (uint32_t i = 0; i < p->files; i++)
        if (!qn_image_documentation(k->img->tree.node[p->file[i]].path))
            return false;
    return true;
}

void qn_keep_members(struct qn_keeping *k, uint32_t package)
{
    const struct qn_package *p = &k->img->package[package];
    struct qn_keep_package *kp = &k->package[package];

    kp->waiting = false;
    /* Of package managers nothing is kept unless something of it is reached; of toolboxes neither. */
    if ((kp->class == QN_CLASS_MANAGER && !(kp->how & QN_BY_FILE)) ||
        (kp->class == QN_CLASS_TOOLBOX && !(kp->how & (QN_BY_FILE | QN_BY_TREE))))
        return;
    if (!kp->scripts && for_programs(k, package)) {
        kp->scripts = true;
        for (uint32_t i = 0; i < p->files; i++)
            if (qn_keeping_has(k, p->file[i]))
                qn_keep_script(k, p->file[i]);
    }
    bool lib = qn_keeping_files(k) && kp->libraries && library_kept(k, package);
    for (uint32_t i = 0; i < p->files; i++) {
        if (qn_keeping_has(k, p->file[i]))
            continue;
        enum member m = member(k, package, p->file[i], lib);
        if (m == KEEP)
            qn_keeping_node(k, p->file[i], QN_KEPT_MEMBER, package);
        kp->waiting = kp->waiting || m == WAIT;
    }
    /* What data packages depend on is for their maintainer scripts. */
    uint8_t level = means(k, package) ? 2 : 1;
    if (kp->followed >= level || kp->class == QN_CLASS_TOOLBOX || kp->class == QN_CLASS_ALWAYS ||
        !(k->ks->alive[package] || empty(k, package)))
        return;
    kp->followed = level;
    follow(k, package);
}
