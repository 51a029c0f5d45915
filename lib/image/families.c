/* The table families.def. */
#include "keepset_int.h"
#include "words.h"

#include "base/path.h"

enum action { DIR, ONLY, FILE_, LIB, TREE, PROG, NSS, PAM };
#define FILE FILE_
static const struct {
    const char *trigger;
    enum action action;
    const char *target;
} rows[] = {
#define X(trigger, action, target) {trigger, action, target},
#include "families.def"
#undef X
};
#undef FILE
_Static_assert(QN_ARRAY_LEN(rows) <= QN_FAMILY_MAX, "one flag a row");

/* Where plugin directories stand. */
static bool library_tree(struct qn_str path)
{
    static const char *const trees[] = {"lib", "lib64", "usr/lib", "usr/lib64", "usr/libexec", "usr/local/lib"};
    for (size_t i = 0; i < QN_ARRAY_LEN(trees); i++)
        if (qn_path_under(path, qn_str_c(trees[i])))
            return true;
    return false;
}

static bool directory_fits(const struct qn_keeping *k, uint32_t dir, size_t row)
{
    return qn_glob(qn_str_c(rows[row].target), qn_path_base(k->img->tree.node[dir].path));
}

int qn_families_mark(struct qn_keeping *k, struct qn_err *e)
{
    const struct qn_tree *t = &k->img->tree;

    k->trees = qn_arena_alloc(&k->ks->arena, t->count, sizeof *k->trees, e);
    if (!k->trees)
        return -1;
    for (uint32_t d = 1; d < t->count; d++) {
        if (t->node[d].type != QN_DIR || !library_tree(t->node[d].path))
            continue;
        k->trees[k->tree_count++] = d;
        for (size_t r = 0; r < QN_ARRAY_LEN(rows); r++) {
            if (rows[r].action != ONLY || !directory_fits(k, d, r))
                continue;
            for (uint32_t i = d + 1, end = qn_tree_end(t, d); i < end; i++)
                k->bits[i] |= QN_BY_ROW;
        }
    }
    return 0;
}

void qn_keep_plugins(struct qn_keeping *k, struct qn_str text, uint32_t from)
{
    struct qn_shell_words words = {.rest = text};
    struct qn_str word;

    while (qn_shell_word(&words, &word)) {
        struct qn_str base = qn_path_base(word);
        if (!qn_str_ends(word, QN_STR(".so")) || base.n < 4)
            continue;
        for (uint32_t node; word.p[0] != '/' && qn_endings_take(&k->plugins, word, &node);)
            qn_keeping_chain(k, node, QN_KEPT_SETTING, from);
        uint32_t to = word.p[0] == '/' ? qn_tree_resolve(&k->img->tree, word, false) : QN_NO_NODE;
        if (to != QN_NO_NODE && k->img->tree.node[to].type != QN_DIR)
            qn_keeping_chain(k, to, QN_KEPT_SETTING, from);
    }
}

/* Modules of every service that a line of nsswitch.conf names. */
static void services(struct qn_keeping *k, struct qn_str text, uint32_t from)
{
    struct qn_str line, word;
    char name[96];

    while (qn_str_next(&text, '\n', &line)) {
        ptrdiff_t hash = qn_str_chr(line, '#'), colon;
        line = hash < 0 ? line : qn_str_head(line, (size_t)hash);
        if ((colon = qn_str_chr(line, ':')) < 0)
            continue;
        line = qn_str_from(line, (size_t)colon + 1);
        while (qn_str_word(&line, &word)) {
            if (word.n > 64 || word.p[0] == '[')
                continue;
            snprintf(name, sizeof name, "libnss_%.*s.so.2", QN_FMT(word));
            qn_keeping_chain(k, qn_image_library_name(k->img, from, qn_str_c(name)), QN_KEPT_FAMILY, from);
        }
    }
}

static void pam(struct qn_keeping *k, struct qn_str path)
{
    const struct qn_tree *t = &k->img->tree;
    uint32_t dir = qn_tree_resolve(t, path, true);
    struct qn_str text;

    if (dir == QN_NO_NODE)
        return;
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i++)
        if (qn_node_text(k->img, i, &text) && !(k->bits[i] & QN_IS_GONE)) {
            qn_keeping_node(k, i, QN_KEPT_FAMILY, dir);
            qn_keep_plugins(k, text, i);
        }
}

static void directories(struct qn_keeping *k, size_t row, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;

    for (size_t n = 0; n < k->tree_count; n++) {
        uint32_t d = k->trees[n];
        if (!directory_fits(k, d, row))
            continue;
        for (uint32_t i = d + 1, end = qn_tree_end(t, d); i < end; i++)
            if (t->node[i].type != QN_DIR)
                qn_keeping_chain(k, i, QN_KEPT_FAMILY, from);
    }
}

/* Every package with a file below the tree: interpreters find modules by name only. What packages bring for the making
 * of the system (adduser, ucf) is for themselves. */
static void tree(struct qn_keeping *k, size_t row, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    struct qn_str glob = qn_str_c(rows[row].target);
    unsigned depth = 0;

    for (size_t i = 0; i < glob.n; i++)
        depth += glob.p[i] == '/';
    for (uint32_t d = 1; d < t->count; d++) {
        unsigned slashes = 0;
        if (t->node[d].type != QN_DIR || !qn_str_starts(t->node[d].path, qn_str_head(glob, 4)))
            continue;
        for (size_t i = 0; i < t->node[d].path.n; i++)
            slashes += t->node[d].path.p[i] == '/';
        if (slashes != depth || !qn_glob(glob, t->node[d].path))
            continue;
        for (uint32_t i = d + 1, end = qn_tree_end(t, d); i < end; i++)
            if (t->node[i].package != QN_NO_PACKAGE && k->package[t->node[i].package].class != QN_CLASS_CUT)
                qn_keeping_package(k, t->node[i].package, QN_BY_TREE, QN_KEPT_TREE, from);
    }
}

static void carry_out(struct qn_keeping *k, size_t row, uint32_t from)
{
    const struct qn_tree *t = &k->img->tree;
    struct qn_str target = qn_str_c(rows[row].target), text;

    /* A library is looked up for each architecture that is there; all else is the same for every trigger. */
    k->row[row] = rows[row].action != LIB && rows[row].action != NSS;
    switch (rows[row].action) {
    case DIR:
    case ONLY:
        directories(k, row, from);
        break;
    case FILE_: {
        uint32_t n = qn_tree_resolve(t, target, false);
        if (n != QN_NO_NODE && t->node[n].type != QN_DIR)
            qn_keeping_chain(k, n, QN_KEPT_FAMILY, from);
        break;
    }
    case LIB:
        qn_keeping_chain(k, qn_image_library_name(k->img, from, target), QN_KEPT_FAMILY, from);
        break;
    case TREE:
        tree(k, row, from);
        break;
    case PROG:
        qn_keeping_chain(k, qn_image_command_name(k->img, target), QN_KEPT_FAMILY, from);
        break;
    case NSS:
        if (qn_image_text(k->img, target, &text))
            services(k, text, from);
        break;
    case PAM:
        pam(k, target);
        break;
    default:
        break;
    }
}

void qn_families_look(struct qn_keeping *k, uint32_t node)
{
    const struct qn_node *n = &k->img->tree.node[node];
    bool elf = n->type == QN_FILE && n->data && n->data->content == QN_ELF;
    bool program = n->parent != QN_NO_NODE && (k->bits[n->parent] & QN_IN_BIN);

    if (!elf && !program)
        return;
    struct qn_str base = qn_path_base(n->path);
    for (size_t r = 0; base.n && r < QN_ARRAY_LEN(rows); r++) {
        /* A library is looked up as its loader would, which takes an executable to start from. */
        bool needs_elf = rows[r].action == LIB || rows[r].action == NSS;
        if (!k->row[r] && rows[r].trigger[0] == base.p[0] && (elf || !needs_elf) &&
            qn_glob(qn_str_c(rows[r].trigger), base))
            carry_out(k, r, node);
    }
}

void qn_families_iconv(struct qn_keeping *k, uint32_t node)
{
    for (size_t r = 0; r < QN_ARRAY_LEN(rows); r++)
        if (!k->row[r] && strcmp(rows[r].trigger, "!iconv") == 0)
            carry_out(k, r, node);
}
