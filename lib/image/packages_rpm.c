/* Packages of rpm databases in their SQLite form. */
#include "packages.h"

#include "base/path.h"
#include "formats/rpmdb.h"
#include "formats/rpmheader.h"

#define NAMES_MAX 65536u

void qn_rpm_find(struct qn_image *img)
{
    static const char *const dirs[] = {"var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"};
    static const char *const others[] = {"Packages", "Packages.db"};
    const struct qn_tree *t = &img->tree;

    img->db.rpm_sqlite = QN_NO_NODE;
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++) {
        uint32_t dir = qn_tree_resolve(t, qn_str_c(dirs[i]), true);
        if (dir == QN_NO_NODE)
            continue;
        for (size_t k = 0; k < QN_ARRAY_LEN(others); k++)
            if (qn_tree_resolve_at(t, t->node[dir].path, qn_str_c(others[k]), true) != QN_NO_NODE)
                img->db.rpm = true;
        uint32_t n = qn_tree_resolve_at(t, t->node[dir].path, QN_STR("rpmdb.sqlite"), true);
        /* One directory may go by two names; two databases are one too many. */
        if (n != QN_NO_NODE && img->db.rpm_sqlite != QN_NO_NODE && n != img->db.rpm_sqlite)
            img->db.rpm = true;
        if (n != QN_NO_NODE && img->db.rpm_sqlite == QN_NO_NODE)
            img->db.rpm_sqlite = n;
    }
    /* A list of packages without their database: nobody knows what is theirs. */
    if (img->db.rpm_sqlite == QN_NO_NODE &&
        qn_tree_resolve(t, QN_STR("var/lib/rpmmanifest/container-manifest-2"), true) != QN_NO_NODE)
        img->db.rpm = true;
}

/* "nginx-1.20.1-14.el9.src.rpm": name, version and release end at the last two dashes. */
static void source(struct qn_str file, struct qn_package *p)
{
    if (!qn_str_ends(file, QN_STR(".rpm")))
        return;
    struct qn_str s = qn_str_head(file, file.n - 4);
    ptrdiff_t dot = qn_str_rchr(s, '.');
    s = qn_str_head(s, dot < 0 ? s.n : (size_t)dot);
    ptrdiff_t release = qn_str_rchr(s, '-');
    ptrdiff_t version = release < 0 ? -1 : qn_str_rchr(qn_str_head(s, (size_t)release), '-');
    if (version <= 0)
        return;
    p->source = qn_str_head(s, (size_t)version);
    p->source_version = qn_str_from(s, (size_t)version + 1);
}

/* "(a >= 1 or b)": a condition between parentheses; every name in it counts. Names may hold balanced ones. */
static bool rich_next(struct qn_str *rest, struct qn_str *name)
{
    static const char *const words[] = {"or",      "and", "if", "else", "unless", "with",
                                        "without", "<",   ">",  "=",    "<=",     ">="};
    bool version = false;

    while (qn_str_word(rest, name)) {
        bool skip = version;
        version = name->n <= 2 && name->n && (name->p[0] == '<' || name->p[0] == '>' || name->p[0] == '=');
        for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
            skip = skip || qn_str_eq_c(*name, words[i]);
        if (skip)
            continue;
        while (name->n && name->p[0] == '(')
            *name = qn_str_from(*name, 1);
        size_t open = 0, close = 0;
        for (size_t i = 0; i < name->n; i++) {
            open += name->p[i] == '(';
            close += name->p[i] == ')';
        }
        for (; close > open && name->n && name->p[name->n - 1] == ')'; close--)
            name->n--;
        if (name->n)
            return true;
    }
    return false;
}

/* What is needed while scripts run, or asked of rpm itself, is not needed in an image that stays as it is. */
static bool at_run_time(const struct qn_rpm_header *h, uint32_t i, struct qn_str name)
{
    uint32_t flags = 0;

    (void)qn_rpm_number(h, QN_RPM_REQUIRE_FLAGS, i, &flags);
    return !(flags & (QN_RPM_SCRIPTS | QN_RPM_RPMLIB)) && !qn_str_starts(name, QN_STR("rpmlib("));
}

/* Names that a package needs; counts them when `out` is NULL. */
static uint32_t requires(const struct qn_rpm_header *h, struct qn_depend *out)
{
    struct qn_rpm_strings list = qn_rpm_strings(h, QN_RPM_REQUIRES);
    struct qn_str s, name;
    uint32_t n = 0;

    for (uint32_t i = 0; qn_rpm_strings_next(&list, &s) && n < NAMES_MAX; i++) {
        if (!at_run_time(h, i, s))
            continue;
        if (!qn_str_starts(s, QN_STR("("))) {
            if (out)
                out[n] = (struct qn_depend){s, i};
            n++;
            continue;
        }
        while (n < NAMES_MAX && rich_next(&s, &name)) {
            if (out)
                out[n] = (struct qn_depend){name, i};
            n++;
        }
    }
    return n;
}

static int read_names(struct qn_image *img, const struct qn_rpm_header *h, struct qn_package *p, struct qn_err *e)
{
    struct qn_rpm_strings gives = qn_rpm_strings(h, QN_RPM_PROVIDES);
    uint32_t needs = requires(h, NULL);

    if (needs >= NAMES_MAX || gives.left >= NAMES_MAX)
        return qn_fail(e, QN_E_LIMIT, "package \"%s\": more than %u dependencies", QN_Q(p->name), NAMES_MAX);
    p->depends = qn_arena_alloc(&img->arena, needs, sizeof *p->depends, e);
    p->provides = p->depends ? qn_arena_alloc(&img->arena, gives.left, sizeof *p->provides, e) : NULL;
    if (!p->provides)
        return -1;
    p->depend_count = requires(h, p->depends);
    while (qn_rpm_strings_next(&gives, &p->provides[p->provide_count]))
        p->provide_count++;
    return 0;
}

static int add(struct qn_image *img, struct qn_package_list *list, uint32_t number, struct qn_str header,
               struct qn_err *e)
{
    struct qn_package p = {.kind = QN_PACKAGE_RPM, .number = number, .database = img->db.rpm_sqlite};
    struct qn_rpm_header h;
    struct qn_str epoch = {"", 0};
    uint32_t n;

    if (qn_arena_str(&img->arena, header, &p.raw, e) < 0 || qn_rpm_header_parse(p.raw, &h, e) < 0)
        return -1;
    p.name = qn_rpm_string(&h, QN_RPM_NAME);
    p.arch = qn_rpm_string(&h, QN_RPM_ARCH);
    if (p.name.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "rpm database: package %u has no name", number);
    struct qn_str version = qn_rpm_string(&h, QN_RPM_VERSION), release = qn_rpm_string(&h, QN_RPM_RELEASE);
    if (qn_arena_printf(&img->arena, &p.version, e, "%.*s%s%.*s", QN_FMT(version), release.n ? "-" : "",
                        QN_FMT(release)) < 0)
        return -1;
    if (qn_rpm_number(&h, QN_RPM_EPOCH, 0, &n) && qn_arena_printf(&img->arena, &epoch, e, "%u", n) < 0)
        return -1;
    source(qn_rpm_string(&h, QN_RPM_SOURCE), &p);
    return read_names(img, &h, &p, e) < 0 ? -1 : qn_package_list_add(img, list, p, epoch, e);
}

static int read_all(struct qn_image *img, struct qn_str file, struct qn_package_list *list, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;
    qn_auto_rpmdb struct qn_rpmdb db = {0};
    struct qn_str wal = {"", 0}, header;
    char name[QN_PATH_MAX];
    uint32_t number;
    int r = snprintf(name, sizeof name, "%.*s-wal", QN_FMT(t->node[img->db.rpm_sqlite].path));

    if (r > 0 && (size_t)r < sizeof name)
        (void)qn_image_text(img, qn_str_c(name), &wal);
    if (qn_rpmdb_open(file, wal, &db, e) < 0)
        return -1;
    while ((r = qn_rpmdb_next(&db, &number, &header, e)) > 0)
        if (add(img, list, number, header, e) < 0)
            return -1;
    return r;
}

int qn_rpm_read(struct qn_image *img, struct qn_package_list *list, struct qn_err *e)
{
    size_t before = list->count;
    struct qn_str file;
    struct qn_err broken;

    if (img->db.rpm_sqlite == QN_NO_NODE)
        return 0;
    if (!img->db.rpm && qn_node_text(img, img->db.rpm_sqlite, &file)) {
        if (read_all(img, file, list, &broken) == 0)
            return 0;
        /* What depends on the machine is no reason to leave packages alone. */
        if (broken.code == QN_E_NOMEM) {
            *e = broken;
            return -1;
        }
    }
    list->count = before;
    img->db.rpm = true;
    img->db.rpm_sqlite = QN_NO_NODE;
    return 0;
}

static void own_one(struct qn_image *img, struct qn_str dir, struct qn_str base, uint32_t package)
{
    char path[QN_PATH_MAX];
    int n = snprintf(path, sizeof path, "%.*s%.*s", QN_FMT(dir), QN_FMT(base));
    struct qn_str s = n > 0 && (size_t)n < sizeof path ? qn_str_c(path) : QN_STR("");

    while (s.n && s.p[0] == '/')
        s = qn_str_from(s, 1);
    if (s.n)
        qn_package_own(img, s, package);
}

int qn_rpm_own(struct qn_image *img, uint32_t package, struct qn_err *e)
{
    struct qn_rpm_header h;
    struct qn_str base;

    if (qn_rpm_header_parse(img->package[package].raw, &h, e) < 0)
        return -1;
    struct qn_rpm_strings old = qn_rpm_strings(&h, QN_RPM_OLD_FILENAMES), bases = qn_rpm_strings(&h, QN_RPM_BASENAMES);
    struct qn_rpm_strings dirs = qn_rpm_strings(&h, QN_RPM_DIRNAMES);
    qn_auto_free struct qn_str *dir = qn_xcalloc((size_t)dirs.left + 1, sizeof *dir);
    uint32_t count = 0, at;
    while (qn_rpm_strings_next(&dirs, &dir[count]))
        count++;
    for (uint32_t i = 0; qn_rpm_strings_next(&bases, &base); i++)
        if (qn_rpm_number(&h, QN_RPM_DIR_INDEXES, i, &at) && at < count)
            own_one(img, dir[at], base, package);
    while (qn_rpm_strings_next(&old, &base))
        own_one(img, base, QN_STR(""), package);
    return 0;
}
