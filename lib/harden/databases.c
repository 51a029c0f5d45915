/* Package databases after the rules: they say exactly what is left. Whole stanzas and whole lines go, everything else
 * stays byte for byte. Only what this plan removed is taken out: what the image lacked before stays as it was. */
#include "databases.h"

#include "base/path.h"
#include "formats/apk.h"
#include "formats/dpkg.h"

#define DB_MAX (96u << 20)

enum qn_package_state qn_plan_package_state(const struct qn_plan *p, uint32_t package)
{
    const struct qn_package *pkg = &p->img->package[package];
    uint32_t before = 0, after = 0;
    bool touched = false;

    for (uint32_t i = 0; i < pkg->files; i++) {
        bool kept = qn_plan_kept(p, pkg->file[i]);
        touched = touched || !kept;
        if (qn_image_documentation(p->img->tree.node[pkg->file[i]].path))
            continue;
        before++;
        after += kept;
    }
    if (before > 0 && after == 0)
        return QN_PACKAGE_REMOVED;
    return touched ? QN_PACKAGE_PARTIAL : QN_PACKAGE_KEPT;
}

/* The rule that removed the first file of a package: database edits on its behalf are that rule's. */
static enum qn_rule rule_of(const struct qn_plan *p, uint32_t package)
{
    const struct qn_package *pkg = &p->img->package[package];
    for (uint32_t i = 0; i < pkg->files; i++)
        if (!qn_plan_kept(p, pkg->file[i]))
            return p->change[p->fate[pkg->file[i]].removed - 1].rule;
    return QN_RULE_package_managers;
}

struct filter {
    const struct qn_plan *p;
    enum qn_rule rule;
    bool any;             /* something was dropped */
    struct qn_near *near; /* NULL where paths do not outlive the call */
};

/* Whether the file that a database line names is still there, or was not there before. */
static bool path_stays(struct filter *f, struct qn_str path)
{
    struct qn_near fresh = {.known = false};
    uint32_t n = qn_tree_listed(&f->p->img->tree, path, f->near ? f->near : &fresh);

    if (n == QN_NO_NODE || qn_plan_kept(f->p, n))
        return true;
    f->rule = f->p->change[f->p->fate[n].removed - 1].rule;
    f->any = true;
    return false;
}

static bool keep_path(void *ctx, struct qn_str path)
{
    return path_stays(ctx, path);
}

/* Packages of which nothing is left, found once: every stanza and every file of info/ asks. */
static int find_gone(struct qn_plan *p, struct qn_err *e)
{
    p->package_gone = qn_arena_alloc(&p->arena, p->img->package_count, sizeof *p->package_gone, e);
    if (!p->package_gone)
        return -1;
    for (uint32_t i = 0; i < p->img->package_count; i++)
        p->package_gone[i] = qn_plan_package_state(p, i) == QN_PACKAGE_REMOVED;
    /* A second stanza of the same package and architecture has no files of its own: it goes with the first. */
    for (size_t k = 1; k < p->img->package_count; k++) {
        const struct qn_package *a = p->img->by_name[k - 1], *b = p->img->by_name[k];
        if (b->kind != QN_PACKAGE_RPM && b->files == 0 && qn_str_eq(a->name, b->name) && qn_str_eq(a->arch, b->arch))
            p->package_gone[b - p->img->package] = p->package_gone[a - p->img->package];
    }
    return 0;
}

/* Gives the first package of the name and architecture ("" for any) if all of them are gone, else QN_NO_PACKAGE. */
static uint32_t gone(const struct qn_plan *p, struct qn_str name, struct qn_str arch)
{
    const struct qn_image *img = p->img;
    uint32_t first = qn_image_package(img, name, arch);

    if (first == QN_NO_PACKAGE || !p->package_gone[first])
        return QN_NO_PACKAGE;
    for (uint32_t i = first; arch.n == 0 && i != QN_NO_PACKAGE; i = qn_image_package_next(img, i))
        if (!p->package_gone[i])
            return QN_NO_PACKAGE;
    return first;
}

/* Whether the package of a stanza is gone: of exactly this architecture, which may be none. */
static bool stanza_gone(const struct qn_plan *p, struct qn_str name, struct qn_str arch)
{
    uint32_t i = qn_image_package(p->img, name, QN_STR(""));

    while (i != QN_NO_PACKAGE && !qn_str_eq(p->img->package[i].arch, arch))
        i = qn_image_package_next(p->img, i);
    return i != QN_NO_PACKAGE && p->package_gone[i];
}

static bool keep_stanza(void *ctx, const struct qn_dpkg_stanza *s)
{
    struct filter *f = ctx;
    bool gone = stanza_gone(f->p, s->package, s->architecture);
    f->any = f->any || gone;
    return !gone;
}

static bool keep_diversion(void *ctx, const struct qn_dpkg_diversion *d)
{
    struct filter *f = ctx;
    bool drop = gone(f->p, d->package, QN_STR("")) != QN_NO_PACKAGE;
    f->any = f->any || drop;
    return !drop;
}

/* The name of a package whose file NAME.list (or NAME:ARCH.md5sums ...) in info/ this is. */
static void info_owner(struct qn_str base, struct qn_str *name, struct qn_str *arch)
{
    ptrdiff_t dot = qn_str_rchr(base, '.'), colon;
    *name = qn_str_head(base, dot < 0 ? base.n : (size_t)dot);
    *arch = QN_STR("");
    if ((colon = qn_str_chr(*name, ':')) >= 0) {
        *arch = qn_str_from(*name, (size_t)colon + 1);
        *name = qn_str_head(*name, (size_t)colon);
    }
}

static int edit_paths(struct qn_plan *p, uint32_t node, enum qn_dpkg_file kind, struct qn_err *e)
{
    struct qn_near near = {.known = false};
    struct filter f = {.p = p, .near = &near};
    struct qn_str text;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, DB_MAX);
    if (!qn_plan_text(p, node, &text))
        return 0;
    if (qn_dpkg_filter_paths(kind, text, keep_path, &f, &b, e) < 0)
        return qn_err_wrap(e, "/%s", QN_Q(p->img->tree.node[node].path));
    if (!f.any)
        return 0;
    p->rule = f.rule;
    return qn_plan_edit(p, node, qn_buf_view(&b), "the files that it listed are removed", e);
}

static int edit_info(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t info = qn_tree_resolve(t, QN_STR("var/lib/dpkg/info"), true);

    if (info == QN_NO_NODE)
        return 0;
    for (uint32_t i = info + 1, end = qn_tree_end(t, info); i < end; i++) {
        struct qn_str base = qn_path_base(t->node[i].path), name, arch;
        if (!qn_plan_kept(p, i) || t->node[i].type == QN_DIR)
            continue;
        info_owner(base, &name, &arch);
        uint32_t package = gone(p, name, arch);
        if (package != QN_NO_PACKAGE) {
            p->rule = rule_of(p, package);
            if (qn_plan_remove(p, i, "its package is removed", e) < 0)
                return -1;
            continue;
        }
        int r = 0;
        if (qn_str_ends(base, QN_STR(".list")))
            r = edit_paths(p, i, QN_DPKG_LIST, e);
        else if (qn_str_ends(base, QN_STR(".md5sums")))
            r = edit_paths(p, i, QN_DPKG_MD5SUMS, e);
        else if (qn_str_ends(base, QN_STR(".conffiles")))
            r = edit_paths(p, i, QN_DPKG_CONFFILES, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

/* The rule that takes a whole package out, for stanza edits. */
static void stanza_rule(struct qn_plan *p)
{
    for (uint32_t i = 0; i < p->img->package_count; i++)
        if (p->package_gone[i]) {
            p->rule = rule_of(p, i);
            return;
        }
}

static int edit_stanzas(struct qn_plan *p, const char *path, struct qn_err *e)
{
    struct filter f = {.p = p};
    struct qn_str text;
    uint32_t node;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, DB_MAX);
    if (!qn_plan_path_text(p, qn_str_c(path), &node, &text))
        return 0;
    if (qn_dpkg_filter(text, keep_stanza, &f, &b, e) < 0)
        return qn_err_wrap(e, "/%s", path);
    if (!f.any)
        return 0;
    stanza_rule(p);
    return qn_plan_edit(p, node, qn_buf_view(&b), "no file of some packages is left", e);
}

static int edit_dpkg(struct qn_plan *p, struct qn_err *e)
{
    struct filter f = {.p = p};
    struct qn_str text;
    uint32_t node;
    qn_auto_buf struct qn_buf b = {0};

    if (edit_stanzas(p, "var/lib/dpkg/status", e) < 0 || edit_stanzas(p, "var/lib/dpkg/available", e) < 0 ||
        edit_info(p, e) < 0)
        return -1;
    if (qn_plan_path_text(p, QN_STR("var/lib/dpkg/statoverride"), &node, &text) &&
        edit_paths(p, node, QN_DPKG_STATOVERRIDE, e) < 0)
        return -1;
    qn_buf_init(&b, DB_MAX);
    if (!qn_plan_path_text(p, QN_STR("var/lib/dpkg/diversions"), &node, &text))
        return 0;
    if (qn_dpkg_filter_diversions(text, keep_diversion, &f, &b, e) < 0)
        return -1;
    if (!f.any)
        return 0;
    stanza_rule(p);
    return qn_plan_edit(p, node, qn_buf_view(&b), "the package that diverted is removed", e);
}

/* Distroless images: one file (and its checksums) a package. */
static int edit_status_d(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    uint32_t dir = p->img->db.dpkg_status_d;

    for (uint32_t k = 0; dir != QN_NO_NODE && k < p->img->package_count; k++) {
        const struct qn_package *pkg = &p->img->package[k];
        char sums[QN_PATH_MAX];
        if (!qn_path_under(t->node[pkg->database].path, t->node[dir].path))
            continue;
        snprintf(sums, sizeof sums, "%.*s.md5sums", QN_FMT(t->node[pkg->database].path));
        uint32_t node = qn_tree_find(t, qn_str_c(sums));
        if (p->package_gone[k]) {
            p->rule = rule_of(p, k);
            if (qn_plan_remove(p, pkg->database, "no file of the package is left", e) < 0 ||
                (node != QN_NO_NODE && qn_plan_remove(p, node, "no file of the package is left", e) < 0))
                return -1;
        } else if (node != QN_NO_NODE && edit_paths(p, node, QN_DPKG_MD5SUMS, e) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool apk_package(void *ctx, const struct qn_apk_stanza *s)
{
    struct filter *f = ctx;
    bool gone = stanza_gone(f->p, s->name, s->arch);
    f->any = f->any || gone;
    return !gone;
}

static bool apk_file(void *ctx, const struct qn_apk_stanza *s, struct qn_str path)
{
    (void)s;
    return path_stays(ctx, path);
}

static bool apk_world(void *ctx, struct qn_str name)
{
    struct filter *f = ctx;
    bool drop = gone(f->p, name, QN_STR("")) != QN_NO_PACKAGE;
    f->any = f->any || drop;
    return !drop;
}

static int edit_apk(struct qn_plan *p, struct qn_err *e)
{
    struct filter f = {.p = p, .rule = QN_RULE_package_managers};
    struct qn_apk_keep keep = {apk_package, apk_file, apk_file, &f};
    struct qn_str text;
    uint32_t node = p->img->db.apk_installed;
    qn_auto_buf struct qn_buf b = {0};

    if (!qn_plan_text(p, node, &text))
        return 0;
    qn_buf_init(&b, DB_MAX);
    if (qn_apk_filter(text, &keep, &b, e) < 0)
        return qn_err_wrap(e, "/%s", QN_Q(p->img->tree.node[node].path));
    p->rule = f.rule;
    if (f.any && qn_plan_edit(p, node, qn_buf_view(&b), "it says what is left of the packages", e) < 0)
        return -1;
    qn_buf_clear(&b);
    f.any = false;
    if (!qn_plan_path_text(p, QN_STR("etc/apk/world"), &node, &text))
        return 0;
    if (qn_apk_world_filter(text, apk_world, &f, &b, e) < 0)
        return -1;
    stanza_rule(p);
    return f.any ? qn_plan_edit(p, node, qn_buf_view(&b), "it would install removed packages again", e) : 0;
}

int qn_plan_databases(struct qn_plan *p, struct qn_err *e)
{
    p->reporting = false;
    if (find_gone(p, e) < 0 || edit_dpkg(p, e) < 0 || edit_status_d(p, e) < 0 || edit_apk(p, e) < 0 ||
        qn_database_rpm(p, e) < 0 || qn_database_ldcache(p, e) < 0 || qn_database_sbom(p, e) < 0)
        return qn_err_wrap(e, "package databases");
    return 0;
}
