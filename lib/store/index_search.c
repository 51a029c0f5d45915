/* Packages and changes of results. */
#include "rows_search.h"
#include "sql.h"

#include <stdio.h>
#include <string.h>

int qn_index_result_clear(struct qn_tx *tx, int64_t derivation, struct qn_err *e)
{
    if (qn_sql_run(tx, NULL, e, "DELETE FROM package WHERE derivation = ?", "i", derivation) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e, "DELETE FROM change WHERE derivation = ?", "i", derivation);
}

int qn_index_package_put(struct qn_tx *tx, const struct qn_row_package *row, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e, "INSERT OR REPLACE INTO package (purl, derivation, state) VALUES (?, ?, ?)", "tit",
                      row->purl, row->derivation, row->state);
}

/* What a tag serves is the image itself or an index that holds it. CROSS JOIN: by purl first, however many results
 * there are. */
#define PACKAGES(where)                                                                                                \
    "SELECT purl, package.state, derivation.id, hardened, platform, reference, made, last_served,"                     \
    " (SELECT json_group_array(ref) FROM (SELECT repo.name || ':' || served.tag AS ref FROM served"                    \
    "   JOIN repo ON repo.id = served.repo WHERE until = 0 AND served.served IN (SELECT hardened UNION"                \
    "   SELECT parent FROM edge WHERE child = hardened) LIMIT 10))"                                                    \
    " FROM package CROSS JOIN derivation ON derivation.id = package.derivation"                                        \
    " WHERE " where " AND package.state <> 'removed' AND derivation.state = 3 ORDER BY purl, package.derivation"

/* The range of texts that a query stands for; it starts at the query itself or behind the last row of the page before,
 * which makes one range of the table's key. `first` is bound, so it lives as long as the statement. '?' and '@' are
 * neighbours in ASCII, as are '@' and 'A'. */
static int packages_query(struct qn_tx *tx, const char *purl, const char *after, int64_t id,
                          char first[QN_ROW_PURL + 1], sqlite3_stmt **st, struct qn_err *e)
{
    const char *slash = strrchr(purl, '/');
    const char *at = strchr(slash ? slash : purl, '@');

    snprintf(first, QN_ROW_PURL + 1, "%s%s", purl, at ? "" : "@");
    if (!*after || strcmp(after, first) < 0) {
        after = first;
        id = 0;
    }
    if (strchr(purl, '?'))
        return qn_sql_query(tx, st, e, PACKAGES("(purl, package.derivation) > (?2, ?3) AND purl = ?1"), "tti", purl,
                            after, id);
    if (at)
        return qn_sql_query(tx, st, e,
                            PACKAGES("(purl, package.derivation) > (?2, ?3) AND purl < ?1 || '@'"
                                     " AND (purl = ?1 OR purl >= ?1 || '?')"),
                            "tti", purl, after, id);
    return qn_sql_query(tx, st, e, PACKAGES("(purl, package.derivation) > (?2, ?3) AND purl < ?1 || 'A'"), "tti", purl,
                        after, id);
}

int qn_index_packages(struct qn_tx *tx, const char *purl, const char *after, int64_t after_id, size_t max,
                      bool (*fn)(void *arg, const struct qn_found_package *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    struct qn_found_package row;
    char first[QN_ROW_PURL + 1];
    bool found;

    if (packages_query(tx, purl, after, after_id, first, &st, e) < 0)
        return -1;
    for (; max > 0; max--) {
        if (qn_sql_step(tx, st, &found, e) < 0)
            return -1;
        if (!found)
            break;
        qn_col_text(st, 0, row.purl, sizeof row.purl);
        qn_col_text(st, 1, row.state, sizeof row.state);
        row.derivation = qn_col_i64(st, 2);
        qn_col_digest(st, 3, &row.hardened);
        qn_col_text(st, 4, row.platform, sizeof row.platform);
        qn_col_text(st, 5, row.reference, sizeof row.reference);
        row.made = qn_col_i64(st, 6);
        row.last_served = qn_col_i64(st, 7);
        qn_col_text(st, 8, row.tags, sizeof row.tags);
        if (!fn(arg, &row))
            break;
    }
    return 0;
}

/* --- changes ------------------------------------------------------------------------------------------------------ */
int qn_index_change_put(struct qn_tx *tx, const struct qn_row_change *row, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO change (derivation, seq, rule, action, path, package, before, after,"
                      " because) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      "iittttttt", row->derivation, row->seq, row->rule, row->action, row->path, row->package,
                      row->before, row->after, row->because);
}

#define CHANGES "SELECT seq, rule, action, path, package, before, after, because FROM change WHERE derivation = ?1 "

int qn_index_changes(struct qn_tx *tx, int64_t derivation, const struct qn_change_filter *f, size_t max,
                     bool (*fn)(void *arg, const struct qn_row_change *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    struct qn_row_change row = {.derivation = derivation};
    const char *rule = f->rule ? f->rule : "";
    bool found;

    /* '/' and '0' are neighbours in ASCII. */
    if (f->path ? qn_sql_query(tx, &st, e,
                               CHANGES "AND seq > ?2 AND (?3 = '' OR rule = ?3) AND (path = ?4 OR (path > ?4 || '/'"
                                       " AND path < ?4 || '0')) ORDER BY seq",
                               "iitt", derivation, f->after, rule, f->path) < 0
                : qn_sql_query(tx, &st, e, CHANGES "AND seq > ?2 AND (?3 = '' OR rule = ?3) ORDER BY seq", "iit",
                               derivation, f->after, rule) < 0)
        return -1;
    for (; max > 0; max--) {
        if (qn_sql_step(tx, st, &found, e) < 0)
            return -1;
        if (!found)
            break;
        row.seq = qn_col_i64(st, 0);
        qn_col_text(st, 1, row.rule, sizeof row.rule);
        qn_col_text(st, 2, row.action, sizeof row.action);
        qn_col_text(st, 3, row.path, sizeof row.path);
        qn_col_text(st, 4, row.package, sizeof row.package);
        qn_col_text(st, 5, row.before, sizeof row.before);
        qn_col_text(st, 6, row.after, sizeof row.after);
        qn_col_text(st, 7, row.because, sizeof row.because);
        if (!fn(arg, &row))
            break;
    }
    return 0;
}
