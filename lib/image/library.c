/* Which file a DT_NEEDED name means. Sources: ld.so(8) of glibc; musl's dynlink.c search order as its manual tells. The
 * directories that only the system's settings name are the same for all files of a machine: what they hold is sorted
 * once (lookup.h). */
#include "image.h"

#include "base/path.h"

/* Multiarch directories of Debian by machine and class (gABI e_machine). */
static const struct {
    uint16_t machine;
    uint8_t class;
    const char *tuple;
} multiarch[] = {
    {62, 2, "x86_64-linux-gnu"},    {3, 1, "i386-linux-gnu"},          {183, 2, "aarch64-linux-gnu"},
    {40, 1, "arm-linux-gnueabihf"}, {21, 2, "powerpc64le-linux-gnu"},  {22, 2, "s390x-linux-gnu"},
    {243, 2, "riscv64-linux-gnu"},  {258, 2, "loongarch64-linux-gnu"}, {8, 2, "mips64el-linux-gnuabi64"},
};

static bool fits(const struct qn_image *img, uint32_t node, const struct qn_elf_facts *want)
{
    if (node == QN_NO_NODE || img->tree.node[node].type != QN_FILE || !img->tree.node[node].data)
        return false;
    const struct qn_entry *d = img->tree.node[node].data;
    return d->content == QN_ELF && d->elf.class == want->class && d->elf.machine == want->machine &&
           d->elf.data == want->data;
}

static uint32_t in_dir(const struct qn_image *img, struct qn_str dir, struct qn_str name,
                       const struct qn_elf_facts *want)
{
    uint32_t n = qn_tree_resolve_at(&img->tree, dir, name, false);

    if (n == QN_NO_NODE)
        return n;
    return fits(img, qn_tree_resolve(&img->tree, img->tree.node[n].path, true), want) ? n : QN_NO_NODE;
}

/* Replaces $ORIGIN, ${ORIGIN}, $LIB in one element of a search path. */
static bool expand(struct qn_str dir, struct qn_str origin, const struct qn_elf_facts *f, char out[QN_PATH_MAX])
{
    size_t n = 0;

    while (dir.n) {
        struct qn_str put = qn_str_head(dir, 1);
        size_t skip = 1;
        if (qn_str_starts(dir, QN_STR("$ORIGIN")) || qn_str_starts(dir, QN_STR("${ORIGIN}"))) {
            put = origin;
            skip = dir.p[1] == '{' ? 9 : 7;
            if (n == 0)
                out[n++] = '/';
        } else if (qn_str_starts(dir, QN_STR("$LIB")) || qn_str_starts(dir, QN_STR("${LIB}"))) {
            put = f->class == 2 ? QN_STR("lib64") : QN_STR("lib");
            skip = dir.p[1] == '{' ? 6 : 4;
        }
        if (n + put.n + 1 > QN_PATH_MAX)
            return false;
        memcpy(out + n, put.p, put.n);
        n += put.n;
        dir = qn_str_from(dir, skip);
    }
    out[n] = '\0';
    return n > 0;
}

static uint32_t in_path(const struct qn_image *img, struct qn_str list, char separator, struct qn_str origin,
                        struct qn_str name, const struct qn_elf_facts *f)
{
    struct qn_str dir;
    char path[QN_PATH_MAX];

    while (qn_str_next(&list, separator, &dir)) {
        dir = qn_str_trim(dir);
        if (dir.n == 0 || dir.p[0] == '#' || !expand(dir, origin, f, path))
            continue;
        uint32_t n = in_dir(img, qn_str_c(path), name, f);
        if (n != QN_NO_NODE)
            return n;
    }
    return QN_NO_NODE;
}

/* Which of the image's tables is for files of a machine: a row of multiarch[], or one of two behind them. */
static size_t table_of(const struct qn_elf_facts *f)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(multiarch); i++)
        if (multiarch[i].machine == f->machine && multiarch[i].class == f->class)
            return i;
    return QN_ARRAY_LEN(multiarch) + (f->class == 2);
}
_Static_assert(QN_ARRAY_LEN(multiarch) + 2 == QN_LIBRARY_TABLES, "one table for each row, and two");

static uint32_t kind_of(const struct qn_elf_facts *f)
{
    return (uint32_t)f->machine << 16 | (uint32_t)f->class << 8 | f->data;
}

/* Adds the directories of a list. */
static void add_path(struct qn_dirs *dirs, struct qn_str list, char separator, const struct qn_elf_facts *f)
{
    struct qn_str dir;
    char path[QN_PATH_MAX];

    while (qn_str_next(&list, separator, &dir)) {
        dir = qn_str_trim(dir);
        if (dir.n && dir.p[0] != '#' && expand(dir, QN_STR(""), f, path))
            qn_dirs_add(dirs, qn_tree_resolve(dirs->tree, qn_str_c(path), true));
    }
}

/* The lines of ld.so.conf and of every file below ld.so.conf.d. */
static void add_ld_conf(const struct qn_image *img, struct qn_dirs *dirs, const struct qn_elf_facts *f)
{
    struct qn_str text;

    if (qn_image_text(img, QN_STR("etc/ld.so.conf"), &text))
        add_path(dirs, text, '\n', f);
    uint32_t dir = qn_tree_resolve(&img->tree, QN_STR("etc/ld.so.conf.d"), true);
    if (dir == QN_NO_NODE)
        return;
    for (uint32_t i = dir + 1, end = qn_tree_end(&img->tree, dir); i < end; i++)
        if (qn_node_text(img, i, &text))
            add_path(dirs, text, '\n', f);
}

/* musl reads etc/ld-musl-ARCH.path, separated by colons or newlines. */
static void add_musl_path(const struct qn_image *img, struct qn_dirs *dirs, const struct qn_elf_facts *f)
{
    const struct qn_tree *t = &img->tree;
    uint32_t etc = qn_tree_find(t, QN_STR("etc"));
    struct qn_str text;

    if (etc == QN_NO_NODE)
        return;
    for (uint32_t i = etc + 1, end = qn_tree_end(t, etc); i < end; i++) {
        if (!qn_str_starts(t->node[i].path, QN_STR("etc/ld-musl-")) || !qn_node_text(img, i, &text))
            continue;
        add_path(dirs, text, ':', f);
        add_path(dirs, text, '\n', f);
    }
}

static void add_defaults(struct qn_dirs *dirs, size_t table)
{
    static const char *const list[] = {"lib64", "usr/lib64", "lib", "usr/lib", "lib32", "usr/lib32", "usr/local/lib"};
    static const char *const roots[] = {"lib", "usr/lib", "usr/local/lib"};
    char path[QN_PATH_MAX];

    for (size_t k = 0; table < QN_ARRAY_LEN(multiarch) && k < QN_ARRAY_LEN(roots); k++) {
        snprintf(path, sizeof path, "%s/%s", roots[k], multiarch[table].tuple);
        qn_dirs_add(dirs, qn_tree_resolve(dirs->tree, qn_str_c(path), true));
    }
    for (size_t i = 0; i < QN_ARRAY_LEN(list); i++)
        qn_dirs_add(dirs, qn_tree_resolve(dirs->tree, qn_str_c(list[i]), true));
}

/* Files of the machines that a table is for. */
struct wanted {
    const struct qn_tree *tree;
    size_t table;
};

static bool wanted(const void *ctx, uint32_t to, uint32_t *kind)
{
    const struct wanted *w = ctx;
    const struct qn_node *n = &w->tree->node[to];

    if (n->type != QN_FILE || !n->data || n->data->content != QN_ELF || table_of(&n->data->elf) != w->table)
        return false;
    *kind = kind_of(&n->data->elf);
    return true;
}

int qn_image_libraries(struct qn_image *img, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_entry *data = t->node[i].type == QN_FILE ? t->node[i].data : NULL;
        size_t table = data && data->content == QN_ELF ? table_of(&data->elf) : QN_LIBRARY_TABLES;
        if (table == QN_LIBRARY_TABLES || img->library[table].at)
            continue;
        qn_auto_dirs struct qn_dirs dirs = {0};
        qn_dirs_init(&dirs, t);
        add_ld_conf(img, &dirs, &data->elf);
        add_musl_path(img, &dirs, &data->elf);
        add_defaults(&dirs, table);
        if (qn_lookup_make(&dirs, wanted, &(struct wanted){t, table}, &img->arena, &img->library[table], e) < 0)
            return -1;
    }
    return 0;
}

uint32_t qn_image_library(const struct qn_image *img, uint32_t file, struct qn_str name)
{
    uint32_t n = qn_image_library_name(img, file, name);
    return n == QN_NO_NODE ? n : qn_tree_resolve(&img->tree, img->tree.node[n].path, true);
}

uint32_t qn_image_library_name(const struct qn_image *img, uint32_t file, struct qn_str name)
{
    const struct qn_node *node = &img->tree.node[file];
    struct qn_str env;

    if (!node->data || node->data->content != QN_ELF)
        return QN_NO_NODE;
    const struct qn_elf_facts *f = &node->data->elf;
    struct qn_str origin = qn_path_dir(node->path);
    if (qn_str_chr(name, '/') >= 0)
        return in_dir(img, QN_STR(""), name, f);
    uint32_t n = QN_NO_NODE;
    if (f->runpath.n == 0)
        n = in_path(img, f->rpath, ':', origin, name, f);
    if (n == QN_NO_NODE && qn_imgconfig_env(&img->config, "LD_LIBRARY_PATH", &env))
        n = in_path(img, env, ':', origin, name, f);
    if (n == QN_NO_NODE)
        n = in_path(img, f->runpath, ':', origin, name, f);
    if (n != QN_NO_NODE)
        return n;
    const struct qn_found *found = qn_lookup_find(&img->library[table_of(f)], &img->tree, name, kind_of(f));
    return found ? found->node : QN_NO_NODE;
}
