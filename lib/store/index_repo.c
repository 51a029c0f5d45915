#include "rows_content.h"
#include "sql.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

int qn_repo_id(struct qn_tx *tx, const char *name, int64_t *id, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e, "SELECT id FROM repo WHERE name = ?", "t", name) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *id = row ? qn_col_i64(st, 0) : 0;
    return 0;
}

int qn_repo_need(struct qn_tx *tx, const char *name, int64_t *id, struct qn_err *e)
{
    if (qn_repo_id(tx, name, id, e) < 0)
        return -1;
    if (*id)
        return 0;
    if (qn_index_repo_put(tx, name, false, e) < 0)
        return -1;
    return qn_repo_id(tx, name, id, e);
}

int qn_index_repo_put(struct qn_tx *tx, const char *repo, bool local, struct qn_err *e)
{
    if (strlen(repo) >= QN_ROW_REPO)
        return qn_fail(e, QN_E_LIMIT, "index: repository name of %zu bytes", strlen(repo));
    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO repo (name, local) VALUES (?, ?)"
                      " ON CONFLICT (name) DO UPDATE SET local = max(local, excluded.local)",
                      "ti", repo, (int64_t)local);
}

int qn_index_repos(struct qn_tx *tx, const char *after, size_t max, bool (*fn)(void *arg, const char *repo, bool local),
                   void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, "SELECT name, local FROM repo WHERE name > ? ORDER BY name", "t", after) < 0)
        return -1;
    for (bool row; max > 0; max--) {
        char name[QN_ROW_REPO];
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        qn_col_text(st, 0, name, sizeof name);
        if (!fn(arg, name, qn_col_i64(st, 1) != 0))
            break;
    }
    return 0;
}

int qn_index_repo_get(struct qn_tx *tx, const char *repo, bool *local, bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e, "SELECT local FROM repo WHERE name = ?", "t", repo) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    if (row)
        *local = qn_col_i64(st, 0) != 0;
    *found = row;
    return 0;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

int qn_index_link_put(struct qn_tx *tx, const struct qn_row_link *row, struct qn_err *e)
{
    int64_t repo;

    if (qn_repo_need(tx, row->repo, &repo, e) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO link (repo, digest, kind, how, media_type, added) VALUES (?, ?, ?, ?, ?, ?)"
                      " ON CONFLICT (repo, digest, kind) DO UPDATE SET how = excluded.how,"
                      " media_type = excluded.media_type, added = max(added, excluded.added)"
                      " WHERE excluded.how >= how",
                      "idiiti", repo, &row->digest, (int64_t)row->kind, (int64_t)row->how, row->media_type,
                      row->added ? row->added : qn_time_now());
}

int qn_index_link_get(struct qn_tx *tx, const char *repo, enum qn_link_kind kind, const struct qn_digest *d,
                      struct qn_row_link *out, bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT how, media_type, added FROM link WHERE repo = (SELECT id FROM repo WHERE name = ?)"
                     " AND digest = ? AND kind = ?",
                     "tdi", repo, d, (int64_t)kind) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    snprintf(out->repo, sizeof out->repo, "%s", repo);
    out->digest = *d;
    out->kind = kind;
    out->how = (enum qn_link_how)qn_col_i64(st, 0);
    qn_col_text(st, 1, out->media_type, sizeof out->media_type);
    out->added = qn_col_i64(st, 2);
    return 0;
}

int qn_index_link_del(struct qn_tx *tx, const char *repo, enum qn_link_kind kind, const struct qn_digest *d,
                      bool *found, struct qn_err *e)
{
    int changes;

    if (qn_sql_run(tx, &changes, e,
                   "DELETE FROM link WHERE repo = (SELECT id FROM repo WHERE name = ?) AND digest = ? AND kind = ?",
                   "tdi", repo, d, (int64_t)kind) < 0)
        return -1;
    *found = changes > 0;
    return 0;
}

int qn_index_links_of(struct qn_tx *tx, const struct qn_digest *d, const char *after, size_t max,
                      bool (*fn)(void *arg, const struct qn_row_link *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT repo.name, kind, how, media_type, added FROM link JOIN repo ON repo.id = link.repo"
                     " WHERE link.digest = ? AND repo.name > ? ORDER BY repo.name, kind",
                     "dt", d, after) < 0)
        return -1;
    for (bool row; max > 0; max--) {
        struct qn_row_link link = {.digest = *d};
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        qn_col_text(st, 0, link.repo, sizeof link.repo);
        link.kind = (enum qn_link_kind)qn_col_i64(st, 1);
        link.how = (enum qn_link_how)qn_col_i64(st, 2);
        qn_col_text(st, 3, link.media_type, sizeof link.media_type);
        link.added = qn_col_i64(st, 4);
        if (!fn(arg, &link))
            break;
    }
    return 0;
}

/* Whether another manifest that the repository shows names a digest. */
static int still_named(struct qn_tx *tx, int64_t repo, const struct qn_digest *d, bool *named, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT 1 FROM edge JOIN link ON link.digest = edge.parent AND link.repo = ? AND link.kind = 1"
                     " WHERE edge.child = ? LIMIT 1",
                     "id", repo, d) < 0)
        return -1;
    return qn_sql_step(tx, st, named, e);
}

static int unlink_tree(struct qn_tx *tx, int64_t repo, const struct qn_digest *d, unsigned depth, struct qn_err *e)
{
    struct qn_row_edge *edge = NULL;
    size_t n = 0;
    int changes, r = 0;

    if (qn_sql_run(tx, &changes, e, "DELETE FROM link WHERE repo = ? AND digest = ? AND kind = 1 AND how < ?", "idi",
                   repo, d, (int64_t)QN_HOW_PUSHED) < 0)
        return -1;
    if (changes == 0)
        return 0;
    if (qn_index_children(tx, d, &edge, &n, e) < 0)
        return -1;
    for (size_t i = 0; r == 0 && i < n; i++) {
        bool named = false;
        r = still_named(tx, repo, &edge[i].child, &named, e);
        if (r < 0 || named)
            continue;
        if (edge[i].kind == QN_EDGE_MANIFEST)
            r = depth > 0 ? unlink_tree(tx, repo, &edge[i].child, depth - 1, e) : 0;
        else
            r = qn_sql_run(tx, NULL, e, "DELETE FROM link WHERE repo = ? AND digest = ? AND kind = 2 AND how < ?",
                           "idi", repo, &edge[i].child, (int64_t)QN_HOW_PUSHED);
    }
    free(edge);
    return r;
}

int qn_index_unlink_tree(struct qn_tx *tx, const char *repo, const struct qn_digest *manifest, struct qn_err *e)
{
    int64_t id;

    if (qn_repo_id(tx, repo, &id, e) < 0)
        return -1;
    return id ? unlink_tree(tx, id, manifest, 3, e) : 0;
}

/* --- referrers ---------------------------------------------------------------------------------------------------- */

void qn_row_referrer_fini(struct qn_row_referrer *r)
{
    free(r->annotations);
    r->annotations = NULL;
}

int qn_index_referrer_put(struct qn_tx *tx, const char *repo, const struct qn_row_referrer *row, struct qn_err *e)
{
    int64_t id;

    if (qn_repo_need(tx, repo, &id, e) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO referrer (repo, subject, digest, size, media_type, artifact_type,"
                      " annotations) VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "idduttt", id, &row->subject, &row->digest, row->size, row->media_type, row->artifact_type,
                      row->annotations);
}

int qn_index_referrer_del(struct qn_tx *tx, const char *repo, const struct qn_digest *referrer, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e,
                      "DELETE FROM referrer WHERE digest = ? AND repo = (SELECT id FROM repo WHERE name = ?)", "dt",
                      referrer, repo);
}

int qn_index_referrers(struct qn_tx *tx, const char *repo, const struct qn_digest *subject, const char *artifact_type,
                       const struct qn_digest *after, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_referrer *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT digest, size, media_type, artifact_type, annotations FROM referrer"
                     " WHERE repo = (SELECT id FROM repo WHERE name = ?1) AND subject = ?2 AND digest > ?3"
                     " AND (?4 = '' OR artifact_type = ?4) ORDER BY digest",
                     "tddt", repo, subject, after, artifact_type ? artifact_type : "") < 0)
        return -1;
    for (bool row, more = true; more && max > 0; max--) {
        struct qn_row_referrer r = {.subject = *subject};
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        qn_col_digest(st, 0, &r.digest);
        r.size = qn_col_u64(st, 1);
        qn_col_text(st, 2, r.media_type, sizeof r.media_type);
        qn_col_text(st, 3, r.artifact_type, sizeof r.artifact_type);
        const char *text = (const char *)sqlite3_column_text(st, 4);
        r.annotations = text ? qn_xstrdup(text) : NULL;
        more = fn(arg, &r);
        qn_row_referrer_fini(&r);
    }
    return 0;
}
