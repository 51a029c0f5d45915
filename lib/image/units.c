#include "units.h"

#include "base/path.h"

static const struct {
    const char *name, *packages;
} units[] = {
    {"", ""},
#define UNIT(id, name, packages) {name, packages},
#include "units.def"
#undef UNIT
};

static const struct {
    enum qn_unit unit;
    const char *glob;
} parts[] = {
#define PART(id, glob) {QN_UNIT_##id, glob},
#include "units.def"
#undef PART
};

const char *qn_unit_name(enum qn_unit unit)
{
    return units[unit].name;
}

bool qn_unit_package(enum qn_unit unit, struct qn_str package)
{
    struct qn_str rest = qn_str_c(units[unit].packages), glob;

    while (qn_str_word(&rest, &glob))
        if (qn_glob(glob, package))
            return true;
    return false;
}

/* Rows whose last component starts with a byte, as bits: most names are in none of them. */
static void rows_by_byte(uint64_t out[256])
{
    _Static_assert(QN_ARRAY_LEN(parts) <= 64, "one bit a row");
    memset(out, 0, 256 * sizeof *out);
    for (size_t k = 0; k < QN_ARRAY_LEN(parts); k++) {
        struct qn_str last = qn_path_base(qn_str_c(parts[k].glob));
        qn_assert(last.n && last.p[0] != '*' && last.p[0] != '?');
        out[(unsigned char)last.p[0]] |= 1ull << k;
    }
}

static uint8_t unit_of(struct qn_str path, const uint64_t rows[256])
{
    struct qn_str base = qn_path_base(path);
    uint64_t left = base.n ? rows[(unsigned char)base.p[0]] : 0;

    for (; left; left &= left - 1) {
        int k = __builtin_ctzll(left);
        if (qn_glob(qn_str_c(parts[k].glob), path))
            return (uint8_t)parts[k].unit;
    }
    return QN_UNIT_NONE;
}

int qn_image_units(struct qn_image *img, struct qn_err *e)
{
    struct qn_tree *t = &img->tree;
    uint64_t rows[256];

    img->unit = qn_arena_alloc(&img->arena, t->count, 1, e);
    if (!img->unit)
        return -1;
    rows_by_byte(rows);
    /* Directories stand before what is in them. */
    for (uint32_t i = 1; i < t->count; i++) {
        img->unit[i] = img->unit[t->node[i].parent];
        if (!img->unit[i])
            img->unit[i] = unit_of(t->node[i].path, rows);
    }
    for (uint32_t i = 1; i < t->count; i++) {
        if (t->node[i].type != QN_SYMLINK || img->unit[i])
            continue;
        uint32_t to = qn_tree_resolve(t, t->node[i].path, true);
        img->unit[i] = to == QN_NO_NODE ? 0 : img->unit[to];
    }
    return 0;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Whether a line of Python imports a module. */
static bool imports(struct qn_str text, struct qn_str module)
{
    for (ptrdiff_t at; (at = qn_str_find(text, module)) >= 0; text = qn_str_from(text, (size_t)at + module.n)) {
        size_t i = (size_t)at, end = i + module.n;
        char after = end < text.n ? text.p[end] : '\n';
        if (after != '\n' && after != '\r' && after != '.' && after != ',' && after != ';' && after != '#' &&
            !blank(after))
            continue;
        while (i > 0 && blank(text.p[i - 1]))
            i--;
        struct qn_str before = qn_str_head(text, i);
        if (i < (size_t)at && (qn_str_ends(before, QN_STR("import")) || qn_str_ends(before, QN_STR("from"))))
            return true;
    }
    return false;
}

static const struct {
    enum qn_unit unit;
    const char *name;
} commands[] = {{QN_UNIT_PIP, "pip"},           {QN_UNIT_PIP, "pip3"},
                {QN_UNIT_NPM, "npm"},           {QN_UNIT_NPM, "npx"},
                {QN_UNIT_YARN, "yarn"},         {QN_UNIT_COREPACK, "corepack"},
                {QN_UNIT_GEM, "gem"},           {QN_UNIT_BUNDLER, "bundle"},
                {QN_UNIT_BUNDLER, "bundler"},   {QN_UNIT_BUNDLER, "bundler/setup"},
                {QN_UNIT_COMPOSER, "composer"}, {QN_UNIT_ENSUREPIP, "ensurepip"},
                {QN_UNIT_ENSUREPIP, "venv"}};

/* The managers whose name a text starts with; unless `quote` is NUL, it or a blank must follow. */
static uint32_t named_at(struct qn_str text, char quote)
{
    uint32_t bits = 0;

    for (size_t i = 0; text.n && i < QN_ARRAY_LEN(commands); i++) {
        struct qn_str name = qn_str_c(commands[i].name);
        if (text.p[0] == name.p[0] && qn_str_starts(text, name) &&
            (!quote || (text.n > name.n && (text.p[name.n] == quote || text.p[name.n] == ' '))))
            bits |= QN_UNIT_BIT(commands[i].unit);
    }
    return bits;
}

/* Managers whose name stands in quotes, by itself or with arguments, or behind "-m ". */
static uint32_t quoted(struct qn_str text)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '"' || c == '\'')
            bits |= named_at(qn_str_from(text, i + 1), c);
        else if (c == '-' && qn_str_starts(qn_str_from(text, i), QN_STR("-m ")))
            bits |= named_at(qn_str_from(text, i + 3), '\0');
    }
    return bits;
}

static bool any_of(struct qn_str text, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (qn_str_find(text, qn_str_c(words[i])) >= 0)
            return true;
    return false;
}

uint32_t qn_files_used(struct qn_str text)
{
    static const char *const writes[] = {
        ", 'w",        ", \"w",        ", 'a'",   ", \"a\"",           "'>'",      "\">\"",
        "writeFile",   "WriteStream",  "appendF", "mkdirSync",         "makedirs", ".mkdir(",
        "write_text(", "write_bytes(", "fputs(",  "file_put_contents", "fopen(",   "sqlite3.connect",
        "shelve.open", "File.write",   "mode='w", "mode=\"w",          NULL};
    static const char *const place[] = {"__file__", "__dirname",       "__DIR__", "__FILE__",
                                        "FindBin",  "import.meta.url", NULL};

    return (any_of(text, writes) ? QN_TEXT_WRITES : 0) | (any_of(text, place) ? QN_TEXT_PLACE : 0);
}

uint32_t qn_units_used(struct qn_str text)
{
    static const char *const modules[] = {"setuptools", "pkg_resources", "distutils"};
    uint32_t bits = 0;

    for (size_t i = 0; i < QN_ARRAY_LEN(modules); i++)
        if (imports(text, qn_str_c(modules[i])))
            bits |= QN_UNIT_BIT(QN_UNIT_SETUPTOOLS);
    if (imports(text, QN_STR("venv")) || imports(text, QN_STR("ensurepip")))
        bits |= QN_UNIT_BIT(QN_UNIT_ENSUREPIP);
    if (imports(text, QN_STR("pip")))
        bits |= QN_UNIT_BIT(QN_UNIT_PIP);
    return bits | quoted(text);
}
