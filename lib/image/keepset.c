#include "keepset_int.h"

#include "base/path.h"

#define ARENA_MAX (256u << 20)

static const struct {
    const char *name;
    enum qn_package_class class;
} cuts[] = {
#define X(name, class) {name, QN_CLASS_##class},
#include "cuts.def"
#undef X
};

enum qn_package_class qn_package_class(struct qn_str name)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(cuts); i++)
        if (qn_glob(qn_str_c(cuts[i].name), name))
            return cuts[i].class;
    return QN_CLASS_PLAIN;
}

void qn_keeping_package(struct qn_keeping *k, uint32_t package, uint8_t how, enum qn_kept_why why, uint32_t from)
{
    struct qn_keep_package *p = &k->package[package];

    if (k->ks->package[package].why == QN_KEPT_NOT)
        k->ks->package[package] = (struct qn_kept){why, from};
    if ((p->how | how) == p->how)
        return;
    p->how |= how;
    if (p->queued)
        return;
    p->queued = true;
    k->packages[k->package_count++] = package;
}

bool qn_keeping_shell(const struct qn_keeping *k, uint32_t node)
{
    const struct qn_node *n = &k->img->tree.node[node];
    return n->parent != QN_NO_NODE && (k->bits[n->parent] & QN_IN_BIN) && qn_is_shell_name(qn_path_base(n->path)) &&
           n->type != QN_DIR;
}

void qn_keeping_node(struct qn_keeping *k, uint32_t node, enum qn_kept_why why, uint32_t from)
{
    if (node == QN_NO_NODE || (k->bits[node] & QN_IS_GONE))
        return;
    uint32_t package = k->img->tree.node[node].package;
    if (package != QN_NO_PACKAGE && why != QN_KEPT_MEMBER) {
        uint32_t parent = k->img->tree.node[node].parent;
        bool program = parent != QN_NO_NODE && (k->bits[parent] & QN_IN_BIN);
        qn_keeping_package(k, package, program ? QN_BY_FILE | QN_BY_PROGRAM : QN_BY_FILE, QN_KEPT_OWNER, node);
    }
    if (qn_keeping_has(k, node))
        return;
    k->ks->node[node] = (struct qn_kept){why, from};
    if (k->shell == QN_NO_NODE && qn_keeping_shell(k, node))
        k->shell = node;
    if (package != QN_NO_PACKAGE && !k->ks->alive[package] && !qn_image_documentation(k->img->tree.node[node].path)) {
        k->ks->alive[package] = true;
        /* Dependencies of a package of which nothing was kept so far are followed now. */
        if (!k->package[package].queued) {
            k->package[package].queued = true;
            k->packages[k->package_count++] = package;
        }
    }
    k->queue[k->count++] = node;
}

void qn_keeping_chain(struct qn_keeping *k, uint32_t node, enum qn_kept_why why, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;

    for (unsigned hop = 0; node != QN_NO_NODE && hop < 40 && !(k->bits[node] & QN_IS_GONE); hop++) {
        qn_keeping_node(k, node, why, from);
        const struct qn_node *n = &t->node[node];
        if (n->type != QN_SYMLINK)
            return;
        from = node;
        why = QN_KEPT_LINK;
        node = qn_tree_resolve_at(t, qn_path_dir(n->path), n->entry->link, false);
    }
}

/* The next one of a list, or with a seed any one of it. */
static size_t pick(struct qn_keeping *k, size_t left)
{
    if (!k->in->shuffle)
        return 0;
    k->random = k->random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(k->random >> 33) % left;
}

static void take_node(struct qn_keeping *k)
{
    size_t at = k->head + pick(k, k->count - k->head);
    uint32_t node = k->queue[at];

    k->queue[at] = k->queue[k->head++];
    qn_keep_expand(k, node);
}

static void take_package(struct qn_keeping *k)
{
    size_t at = pick(k, k->package_count);
    uint32_t package = k->packages[at];

    k->packages[at] = k->packages[--k->package_count];
    k->package[package].queued = false;
    qn_keep_members(k, package);
}

/* Who logs in over the network finds a shell, and with it the usual tools, in strict as well. */
static bool serves_logins(const struct qn_keeping *k)
{
    static const char *const names[] = {"sshd", "dropbear", "in.telnetd", "ttyd"};
    const struct qn_tree *t = &k->img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        if (t->node[i].type != QN_FILE || !(t->node[i].mode & 0111) || !qn_image_needed(k->img, i))
            continue;
        for (size_t n = 0; n < QN_ARRAY_LEN(names); n++)
            if (qn_str_eq_c(qn_path_base(t->node[i].path), names[n]))
                return true;
    }
    return false;
}

/* Scripts take the usual tools for granted. */
static void lay_floor(struct qn_keeping *k)
{
    static const char *const tools[] = {
#define X(name) name,
#include "floor.def"
#undef X
    };

    if (k->floor || k->shell == QN_NO_NODE || (qn_keeping_files(k) && !serves_logins(k)))
        return;
    k->floor = true;
    for (size_t i = 0; i < QN_ARRAY_LEN(tools); i++)
        qn_keeping_chain(k, qn_image_command_name(k->img, qn_str_c(tools[i])), QN_KEPT_FLOOR, k->shell);
}

static void fixpoint(struct qn_keeping *k)
{
    size_t before;

    do {
        while (k->head < k->count || k->package_count) {
            if (k->package_count && (k->head == k->count || (k->in->shuffle && pick(k, 2))))
                take_package(k);
            else
                take_node(k);
        }
        before = k->count;
        lay_floor(k);
        for (uint32_t i = 0; i < k->img->package_count; i++)
            if (k->package[i].waiting)
                qn_keep_members(k, i);
    } while (k->count > before || k->package_count);
}

static bool plugin(const void *ctx, uint32_t node)
{
    const struct qn_keeping *k = ctx;
    const struct qn_node *n = &k->img->tree.node[node];

    return (n->type == QN_FILE || n->type == QN_SYMLINK) && !(k->bits[node] & QN_IS_LIB) &&
           qn_str_ends(n->path, QN_STR(".so"));
}

static void mark_dir(struct qn_keeping *k, struct qn_str path, uint8_t bit)
{
    uint32_t n = qn_tree_resolve(&k->img->tree, path, true);
    if (n != QN_NO_NODE && n != 0 && k->img->tree.node[n].type == QN_DIR)
        k->bits[n] |= bit;
}

/* Directories of ld.so.conf and the files that it may include. */
static void mark_loader_conf(struct qn_keeping *k)
{
    const struct qn_tree *t = &k->img->tree;
    uint32_t dir = qn_tree_resolve(t, QN_STR("etc/ld.so.conf.d"), true);
    struct qn_str text, line;

    if (qn_image_text(k->img, QN_STR("etc/ld.so.conf"), &text))
        while (qn_str_next(&text, '\n', &line))
            mark_dir(k, qn_str_trim(line), QN_IN_LIB);
    for (uint32_t i = dir; i != QN_NO_NODE && i < qn_tree_end(t, dir); i++)
        if (qn_node_text(k->img, i, &text))
            while (qn_str_next(&text, '\n', &line))
                mark_dir(k, qn_str_trim(line), QN_IN_LIB);
}

static void mark_places(struct qn_keeping *k)
{
    static const char *const bins[] = {"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin",
                                       "sbin",           "bin",           "usr/games"};
    static const char *const libs[] = {"lib", "lib64", "lib32", "usr/lib", "usr/lib64", "usr/lib32", "usr/local/lib"};
    const struct qn_tree *t = &k->img->tree;
    struct qn_str path = qn_imgconfig_path(&k->img->config), dir;

    while (qn_str_next(&path, ':', &dir))
        if (dir.n > 1 && dir.p[0] == '/')
            mark_dir(k, dir, QN_IN_BIN);
    for (size_t i = 0; i < QN_ARRAY_LEN(bins); i++)
        mark_dir(k, qn_str_c(bins[i]), QN_IN_BIN);
    for (size_t i = 0; i < QN_ARRAY_LEN(libs); i++)
        mark_dir(k, qn_str_c(libs[i]), QN_IN_LIB);
    mark_loader_conf(k);
    for (uint32_t i = 1; i < t->count; i++) {
        struct qn_str base = qn_path_base(t->node[i].path);
        /* Multiarch directories: x86_64-linux-gnu and the like. */
        bool tuple = t->node[i].type == QN_DIR && (k->bits[t->node[i].parent] & QN_IN_LIB) &&
                     (qn_str_find(base, QN_STR("-linux-gnu")) > 0 || qn_str_find(base, QN_STR("-linux-musl")) > 0);
        if (tuple)
            k->bits[i] |= QN_IN_LIB;
        if (t->node[i].type != QN_DIR && (k->bits[t->node[i].parent] & QN_IN_LIB) &&
            (qn_str_ends(base, QN_STR(".so")) || qn_str_find(base, QN_STR(".so.")) > 0))
            k->bits[i] |= QN_IS_LIB;
        if (k->in->gone && k->in->gone(k->in->ctx, i))
            k->bits[i] |= QN_IS_GONE;
    }
}

static int prepare(struct qn_keeping *k, struct qn_err *e)
{
    const struct qn_image *img = k->img;
    struct qn_arena *a = &k->ks->arena;
    size_t nodes = img->tree.count, packages = img->package_count;

    k->ks->node = qn_arena_alloc(a, nodes, sizeof *k->ks->node, e);
    k->bits = qn_arena_alloc(a, nodes, 1, e);
    k->queue = qn_arena_alloc(a, nodes, sizeof *k->queue, e);
    k->ks->package = qn_arena_alloc(a, packages, sizeof *k->ks->package, e);
    k->ks->alive = qn_arena_alloc(a, packages, 1, e);
    k->packages = qn_arena_alloc(a, packages, sizeof *k->packages, e);
    k->package = qn_arena_alloc(a, packages, sizeof *k->package, e);
    if (!k->ks->node || !k->bits || !k->queue || !k->ks->package || !k->ks->alive || !k->packages || !k->package)
        return -1;
    mark_places(k);
    if (qn_families_mark(k, e) < 0)
        return -1;
    qn_keep_classify(k);
    if (qn_endings_make(&img->tree, plugin, k, a, &k->plugins, e) < 0 ||
        qn_names_make(&img->tree, qn_names_program, &img->tree, a, &k->programs, e) < 0)
        return -1;
    qn_names_by_package(&k->programs, &img->tree);
    return 0;
}

int qn_keepset_make(const struct qn_image *img, const struct qn_keepset_input *in, struct qn_keepset *out,
                    struct qn_err *e)
{
    qn_auto_keepset struct qn_keepset ks = {.level = in->level};
    struct qn_keeping k = {
        .img = img, .in = in, .ks = &ks, .libc = QN_NO_NODE, .shell = QN_NO_NODE, .random = in->shuffle, .e = e};

    qn_arena_init(&ks.arena, ARENA_MAX);
    if (prepare(&k, e) < 0)
        return qn_err_wrap(e, "keep-set");
    qn_keep_roots(&k);
    fixpoint(&k);
    if (k.failed)
        return qn_err_wrap(e, "keep-set");
    *out = ks;
    ks = (struct qn_keepset){0};
    return 0;
}

void qn_keepset_fini(struct qn_keepset *ks)
{
    qn_arena_fini(&ks->arena);
    *ks = (struct qn_keepset){0};
}
