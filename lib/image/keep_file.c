/* What a kept file brings along: its loader and libraries, what its texts name, its interpreter. */
#include "keepset_int.h"
#include "words.h"

#include "base/path.h"

/* Names of the C libraries and loaders, whose texts name what other programs may want. */
static bool c_library(struct qn_str base)
{
    return qn_str_starts(base, QN_STR("libc.so")) || qn_str_starts(base, QN_STR("libc-2")) ||
           qn_str_starts(base, QN_STR("ld-linux")) || qn_str_starts(base, QN_STR("ld-musl")) ||
           qn_str_starts(base, QN_STR("libc.musl")) || qn_str_starts(base, QN_STR("ld64.so")) ||
           qn_str_starts(base, QN_STR("ld.so")) || qn_str_starts(base, QN_STR("ld-2"));
}

/* A library for newer processors stands beside the one for all: in glibc-hwcaps/LEVEL of the same directory. */
static void variants(struct qn_keeping *k, uint32_t node)
{
    const struct qn_tree *t = &k->img->tree;
    struct qn_str path = t->node[node].path;
    uint32_t dir = qn_tree_resolve_at(t, qn_path_dir(path), QN_STR("glibc-hwcaps"), true);

    if (dir == QN_NO_NODE)
        return;
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i++)
        if (t->node[i].type != QN_DIR && qn_str_eq(qn_path_base(t->node[i].path), qn_path_base(path)))
            qn_keeping_chain(k, i, QN_KEPT_NEEDED, node);
}

static bool in_bin(const struct qn_keeping *k, uint32_t node)
{
    uint32_t parent = k->img->tree.node[node].parent;
    return parent != QN_NO_NODE && (k->bits[parent] & QN_IN_BIN);
}

/* Plugins directly in a directory that a text names. */
static void plugin_directory(struct qn_keeping *k, uint32_t dir, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    unsigned depth = 0;

    for (uint32_t d = dir; d != 0 && d != QN_NO_NODE; d = t->node[d].parent)
        depth++;
    if (depth < 3 || (k->bits[dir] & (QN_IN_BIN | QN_IN_LIB)))
        return;
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i++)
        if (t->node[i].parent == dir && t->node[i].type != QN_DIR && !(k->bits[i] & QN_BY_ROW) &&
            (qn_str_ends(t->node[i].path, QN_STR(".so")) || qn_str_find(t->node[i].path, QN_STR(".so.")) > 0))
            qn_keeping_chain(k, i, QN_KEPT_DIRECTORY, from);
}

/* A file or directory that a text of a kept executable names. */
static void named(struct qn_keeping *k, uint32_t to, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    const struct qn_elf_facts *f = &t->node[from].data->elf;
    uint32_t end = to == QN_NO_NODE ? to : qn_tree_resolve(t, t->node[to].path, true);

    if (end == QN_NO_NODE || end == 0 || to == from)
        return;
    if (t->node[end].type == QN_DIR) {
        plugin_directory(k, end, from);
        return;
    }
    bool program = in_bin(k, to) || (t->node[end].type == QN_FILE && (t->node[end].mode & 0111));
    /* Shells are kept for command lines, not for being named; in strict, programs for what runs. */
    if (program && (qn_keeping_shell(k, to) ||
                    (qn_keeping_files(k) && !qn_image_reached(k->img, from) && !(k->bits[end] & QN_IS_LIB))))
        return;
    /* What starts nothing knows interpreters only to tell scripts apart. */
    bool starts = f->is_static || (f->imports & (QN_IMPORT_SHELL | QN_IMPORT_EXEC | QN_IMPORT_SPAWN));
    if (program && !starts && qn_is_interpreter_name(qn_path_base(t->node[to].path)))
        return;
    qn_keeping_chain(k, to, QN_KEPT_NAMED, from);
}

/* A path with more text behind it: the longest name in an existing directory with which it starts. */
static void prefixed(struct qn_keeping *k, struct qn_str text, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    struct qn_str path = qn_str_from(text, 1);
    size_t slash = path.n;

    while (slash > 0) {
        size_t end = slash;
        while (slash > 0 && path.p[slash - 1] != '/')
            slash--;
        struct qn_str dir = qn_str_head(path, slash > 0 ? slash - 1 : 0);
        uint32_t d = slash > 0 ? qn_tree_resolve(t, dir, true) : QN_NO_NODE;
        for (size_t n = end; d != QN_NO_NODE && n > slash + 1; n--) {
            uint32_t to = qn_tree_child(t, d, qn_str_n(path.p + slash, n - slash));
            if (to != QN_NO_NODE && t->node[to].type != QN_DIR) {
                named(k, to, from);
                return;
            }
        }
        slash = slash > 0 ? slash - 1 : 0;
    }
}

static void library(struct qn_keeping *k, struct qn_str name, uint32_t from)
{
    uint32_t lib = qn_image_library_name(k->img, from, name);
    if (lib != QN_NO_NODE)
        qn_keeping_chain(k, lib, QN_KEPT_NAMED, from);
}

/* Programs of the same package or directory that a program calls by name, in path order. */
static void companions(struct qn_keeping *k, struct qn_str word, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    uint32_t package = t->node[from].package, beside = QN_NO_NODE;
    size_t n = 0, at = 0;

    if (package != QN_NO_PACKAGE && k->package[package].class != QN_CLASS_TOOLBOX)
        at = qn_names_find_of(&k->programs, word, package, &n);
    if (n && k->programs.at[at].visited)
        n = 0;
    if (!in_bin(k, from))
        beside = qn_tree_child(t, t->node[from].parent, word);
    if (beside != QN_NO_NODE && !qn_names_program(t, beside))
        beside = QN_NO_NODE;
    if (n)
        k->programs.at[at].visited = 1;
    for (size_t i = at; i < at + n; i++) {
        if (beside <= k->programs.at[i].node) {
            qn_keeping_chain(k, beside, QN_KEPT_COMMAND, from);
            beside = QN_NO_NODE;
        }
        qn_keeping_chain(k, k->programs.at[i].node, QN_KEPT_COMMAND, from);
    }
    qn_keeping_chain(k, beside, QN_KEPT_COMMAND, from);
}

/* A program that names more words than were noted may call every program that came with it. */
static void all_companions(struct qn_keeping *k, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    uint32_t package = t->node[from].package;

    if (package == QN_NO_PACKAGE || k->package[package].called || k->package[package].class == QN_CLASS_TOOLBOX ||
        !qn_image_reached(k->img, from))
        return;
    k->package[package].called = true;
    for (uint32_t i = 0; i < k->img->package[package].files; i++)
        if (qn_names_program(t, k->img->package[package].file[i]))
            qn_keeping_chain(k, k->img->package[package].file[i], QN_KEPT_COMMAND, from);
}

static void hint(struct qn_keeping *k, const struct qn_hint *h, const struct qn_elf_facts *f, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    uint32_t to;

    switch (h->kind) {
    case QN_HINT_PATH:
        named(k, qn_tree_resolve(t, h->text, false), from);
        break;
    case QN_HINT_PREFIX:
        prefixed(k, h->text, from);
        break;
    case QN_HINT_LIBRARY:
        if ((f->imports & QN_IMPORT_DLOPEN) || f->is_static || f->interp.n == 0)
            library(k, h->text, from);
        break;
    case QN_HINT_COMMAND:
        to = qn_image_command_name(k->img, h->text);
        if (to != QN_NO_NODE && !qn_keeping_shell(k, to))
            qn_keeping_chain(k, to, QN_KEPT_COMMAND, from);
        break;
    case QN_HINT_WORD:
        if (qn_image_reached(k->img, from))
            companions(k, h->text, from);
        break;
    default:
        break;
    }
}

/* Whether it runs command lines: through the C library, or by starting a shell that it names. */
static bool runs_lines(const struct qn_keeping *k, const struct qn_elf_facts *f)
{
    if (f->imports & QN_IMPORT_SHELL)
        return true;
    for (uint32_t i = 0; (f->imports & QN_IMPORT_EXEC) && i < f->hint_count; i++) {
        uint32_t to =
            f->hint[i].kind == QN_HINT_PATH ? qn_tree_resolve(&k->img->tree, f->hint[i].text, false) : QN_NO_NODE;
        if (to != QN_NO_NODE && qn_keeping_shell(k, to))
            return true;
    }
    return false;
}

static void elf(struct qn_keeping *k, uint32_t node, const struct qn_elf_facts *f)
{
    const struct qn_image *img = k->img;
    struct qn_str base = qn_path_base(img->tree.node[node].path);

    if (f->interp.n)
        qn_keeping_chain(k, qn_tree_resolve(&img->tree, f->interp, false), QN_KEPT_NEEDED, node);
    for (uint32_t i = 0; i < f->needed_count; i++)
        qn_keeping_chain(k, qn_image_library_name(img, node, f->needed[i]), QN_KEPT_NEEDED, node);
    if (k->bits[node] & QN_IS_LIB)
        variants(k, node);
    if (c_library(base) || c_library(f->soname))
        return;
    if (f->imports & QN_IMPORT_ICONV)
        qn_families_iconv(k, node);
    /* One program under many names lists what it is, not what it calls. */
    if (qn_is_shell_name(base))
        return;
    for (uint32_t i = 0; i < f->hint_count; i++)
        hint(k, &f->hint[i], f, node);
    if (f->hints_cut)
        all_companions(k, node);
    if (!qn_keeping_files(k) && runs_lines(k, f))
        qn_keeping_chain(k, qn_image_command_name(img, QN_STR("/bin/sh")), QN_KEPT_SHELL, node);
}

/* Words of a script that a kept package brings: it may be run by hand, and then needs what it calls. */
static void script_words(struct qn_keeping *k, uint32_t node, struct qn_str text)
{
    struct qn_shell_words words = {.rest = text};
    struct qn_str word;

    while (qn_shell_word(&words, &word)) {
        bool name = word.n < QN_PATH_MAX && !qn_shell_spoken(text, word);
        uint32_t to = name ? qn_image_command_name(k->img, word) : QN_NO_NODE;
        if (to != QN_NO_NODE && k->img->tree.node[to].type != QN_DIR && !qn_keeping_shell(k, to))
            qn_keeping_chain(k, to, QN_KEPT_COMMAND, node);
    }
}

/* Of a package that is kept for a library or its data, scripts that nothing runs are for its own upkeep. */
void qn_keep_script(struct qn_keeping *k, uint32_t node)
{
    const struct qn_node *n = &k->img->tree.node[node];
    bool own = n->package != QN_NO_PACKAGE && n->data && n->data->content == QN_SCRIPT && (n->mode & 0111) &&
               qn_script_shell(&n->data->script);

    if (!own || (qn_keeping_files(k) && !qn_image_reached(k->img, node)))
        return;
    const struct qn_keep_package *p = &k->package[n->package];
    if (p->class != QN_CLASS_TOOLBOX && (p->scripts || qn_image_reached(k->img, node)))
        script_words(k, node, n->data->text);
}

static void script(struct qn_keeping *k, uint32_t node, const struct qn_entry *data)
{
    const struct qn_node *n = &k->img->tree.node[node];
    /* Texts that start like scripts but cannot be run are modules and examples; in strict, what does not run needs
     * nothing. */
    if (!(n->mode & 0111) || (qn_keeping_files(k) && !qn_image_reached(k->img, node) && n->package != QN_NO_PACKAGE))
        return;
    qn_keeping_chain(k, qn_image_command_name(k->img, data->script.interpreter), QN_KEPT_INTERPRETER, node);
    if (data->script.program.n)
        qn_keeping_chain(k, qn_image_command_name(k->img, data->script.program), QN_KEPT_INTERPRETER, node);
    qn_keep_script(k, node);
}

void qn_keep_expand(struct qn_keeping *k, uint32_t node)
{
    const struct qn_node *n = &k->img->tree.node[node];

    qn_families_look(k, node);
    if (n->type == QN_SYMLINK) {
        qn_keeping_chain(k, node, QN_KEPT_LINK, node);
        return;
    }
    if (n->type != QN_FILE || !n->data)
        return;
    if (n->data->content == QN_ELF)
        elf(k, node, &n->data->elf);
    else if (n->data->content == QN_SCRIPT)
        script(k, node, n->data);
    else if (n->data->content == QN_TEXT && n->data->captured && qn_path_under(n->path, QN_STR("etc")) &&
             !qn_path_under(n->path, QN_STR("etc/pam.d")))
        qn_keep_plugins(k, n->data->text, node);
}
