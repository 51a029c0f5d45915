/* The rpm database without the packages of which nothing is left: whole rows go, the headers of the others are not
 * touched (rpm has digests of them). Lists of packages for images without rpm are filtered by lines. */
#include "databases.h"

#include "base/path.h"
#include "formats/rpmdb.h"

#define DB_MAX (96u << 20)

static bool any_gone(const struct qn_plan *p, uint32_t *first)
{
    for (uint32_t i = 0; i < p->img->package_count; i++)
        if (p->img->package[i].kind == QN_PACKAGE_RPM && p->package_gone[i]) {
            *first = i;
            return true;
        }
    return false;
}

/* The rule that removed the first file of a package. */
static enum qn_rule rule_of(const struct qn_plan *p, uint32_t package)
{
    const struct qn_package *pkg = &p->img->package[package];

    for (uint32_t i = 0; i < pkg->files; i++)
        if (!qn_plan_kept(p, pkg->file[i]))
            return p->change[p->fate[pkg->file[i]].removed - 1].rule;
    return QN_RULE_package_managers;
}

static uint32_t beside(const struct qn_plan *p, const char *suffix)
{
    char name[QN_PATH_MAX];
    int n = snprintf(name, sizeof name, "%.*s%s", QN_FMT(p->img->tree.node[p->img->db.rpm_sqlite].path), suffix);

    return n > 0 && (size_t)n < sizeof name ? qn_tree_find(&p->img->tree, qn_str_c(name)) : QN_NO_NODE;
}

static int rewrite(const struct qn_plan *p, struct qn_str file, struct qn_buf *out, struct qn_err *e)
{
    qn_auto_rpmdb struct qn_rpmdb db = {0};
    struct qn_str wal = {"", 0};
    uint32_t log = beside(p, "-wal");

    if (log != QN_NO_NODE)
        (void)qn_node_text(p->img, log, &wal);
    if (qn_rpmdb_open(file, wal, &db, e) < 0)
        return -1;
    for (uint32_t i = 0; i < p->img->package_count; i++)
        if (p->img->package[i].kind == QN_PACKAGE_RPM && p->package_gone[i] &&
            qn_rpmdb_remove(&db, p->img->package[i].number, e) < 0)
            return -1;
    return qn_rpmdb_print(&db, out, e);
}

static bool stays(const struct qn_plan *p, struct qn_str name)
{
    bool known = false;

    for (uint32_t i = qn_image_package(p->img, name, QN_STR("")); i != QN_NO_PACKAGE;
         i = qn_image_package_next(p->img, i)) {
        if (p->img->package[i].kind == QN_PACKAGE_RPM && !p->package_gone[i])
            return true;
        known = true;
    }
    return !known;
}

/* One line a package: its name, then other columns behind tabs. */
static int edit_manifest(struct qn_plan *p, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = DB_MAX};
    struct qn_str text, rest;
    uint32_t node;
    bool any = false;

    if (!qn_plan_path_text(p, QN_STR("var/lib/rpmmanifest/container-manifest-2"), &node, &text))
        return 0;
    for (rest = text; rest.n;) {
        ptrdiff_t end = qn_str_chr(rest, '\n');
        struct qn_str line = qn_str_head(rest, end < 0 ? rest.n : (size_t)end + 1), name = line;
        ptrdiff_t tab = qn_str_chr(line, '\t');
        rest = qn_str_from(rest, line.n);
        name = qn_str_trim(qn_str_head(line, tab < 0 ? line.n : (size_t)tab));
        bool keep = stays(p, name);
        any = any || !keep;
        if (keep && qn_buf_str(&b, line, e) < 0)
            return -1;
    }
    return any ? qn_plan_edit(p, node, qn_buf_view(&b), "no file of some packages is left", e) : 0;
}

int qn_database_rpm(struct qn_plan *p, struct qn_err *e)
{
    static const char *const logs[] = {"-wal", "-shm", "-journal"};
    qn_auto_buf struct qn_buf b = {.max = DB_MAX};
    struct qn_str file;
    uint32_t first, node = p->img->db.rpm_sqlite;

    if (node == QN_NO_NODE || !any_gone(p, &first) || !qn_plan_text(p, node, &file))
        return 0;
    p->rule = rule_of(p, first);
    if (rewrite(p, file, &b, e) < 0)
        return qn_err_wrap(e, "/%s", QN_Q(p->img->tree.node[node].path));
    if (qn_plan_edit(p, node, qn_buf_view(&b), "no file of some packages is left", e) < 0)
        return -1;
    for (size_t i = 0; i < QN_ARRAY_LEN(logs); i++) {
        uint32_t log = beside(p, logs[i]);
        if (log != QN_NO_NODE && qn_plan_remove(p, log, "its content is in the database", e) < 0)
            return -1;
        /* A log that had to stay would be read into a database that it is not of. */
        if (log != QN_NO_NODE && qn_plan_kept(p, log) && i != 1)
            return qn_fail(e, QN_E_VERIFY, "/%s stays, but the database was rewritten",
                           QN_Q(p->img->tree.node[log].path));
    }
    return edit_manifest(p, e);
}
