#include "rows_tag.h"
#include "sql.h"

#include "base/clock.h"

#include <stdio.h>

/* --- the source of a tag ------------------------------------------------------------------------------------------ */

int qn_index_tag_put(struct qn_tx *tx, const struct qn_row_tag *row, struct qn_err *e)
{
    int64_t repo;

    if (qn_repo_need(tx, row->repo, &repo, e) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO tag (repo, tag, digest, media_type, size, checked, etag)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "itdtuit", repo, row->tag, &row->digest, row->media_type, row->size,
                      row->checked ? row->checked : qn_time_now(), row->etag);
}

#define TAG_COLUMNS "tag, digest, media_type, size, checked, etag"

static void tag_row(sqlite3_stmt *st, const char *repo, struct qn_row_tag *out)
{
    snprintf(out->repo, sizeof out->repo, "%s", repo);
    qn_col_text(st, 0, out->tag, sizeof out->tag);
    qn_col_digest(st, 1, &out->digest);
    qn_col_text(st, 2, out->media_type, sizeof out->media_type);
    out->size = qn_col_u64(st, 3);
    out->checked = qn_col_i64(st, 4);
    qn_col_text(st, 5, out->etag, sizeof out->etag);
}

static int tag_walk(struct qn_tx *tx, sqlite3_stmt *st, const char *repo, size_t max,
                    bool (*fn)(void *arg, const struct qn_row_tag *row), void *arg, struct qn_err *e)
{
    for (bool row; max > 0; max--) {
        struct qn_row_tag tag;
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        tag_row(st, repo, &tag);
        if (!fn(arg, &tag))
            break;
    }
    return 0;
}

int qn_index_tag_get(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_tag *out, bool *found,
                     struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT " TAG_COLUMNS " FROM tag WHERE repo = (SELECT id FROM repo WHERE name = ?) AND tag = ?",
                     "tt", repo, tag) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    if (row)
        tag_row(st, repo, out);
    *found = row;
    return 0;
}

int qn_index_tag_del(struct qn_tx *tx, const char *repo, const char *tag, bool *found, struct qn_err *e)
{
    int changes;

    if (qn_sql_run(tx, &changes, e, "DELETE FROM tag WHERE repo = (SELECT id FROM repo WHERE name = ?) AND tag = ?",
                   "tt", repo, tag) < 0)
        return -1;
    *found = changes > 0;
    return 0;
}

int qn_index_tags(struct qn_tx *tx, const char *repo, const char *after, size_t max,
                  bool (*fn)(void *arg, const struct qn_row_tag *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT " TAG_COLUMNS " FROM tag WHERE repo = (SELECT id FROM repo WHERE name = ?) AND tag > ?"
                     " AND length(digest) > 0 ORDER BY tag",
                     "tt", repo, after) < 0)
        return -1;
    return tag_walk(tx, st, repo, max, fn, arg, e);
}

int qn_index_tags_of(struct qn_tx *tx, const char *repo, const struct qn_digest *d, size_t max,
                     bool (*fn)(void *arg, const struct qn_row_tag *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT " TAG_COLUMNS " FROM tag WHERE digest = ? AND length(digest) > 0"
                     " AND repo = (SELECT id FROM repo WHERE name = ?) ORDER BY tag",
                     "dt", d, repo) < 0)
        return -1;
    return tag_walk(tx, st, repo, max, fn, arg, e);
}

/* --- what was served ---------------------------------------------------------------------------------------------- */

#define SERVED_COLUMNS                                                                                                 \
    "served.id, repo.name, tag, policy, platforms, source, served, media_type, since, until"                           \
    " FROM served JOIN repo ON repo.id = served.repo"

static void served_row(sqlite3_stmt *st, struct qn_row_served *out)
{
    out->id = qn_col_i64(st, 0);
    qn_col_text(st, 1, out->repo, sizeof out->repo);
    qn_col_text(st, 2, out->tag, sizeof out->tag);
    qn_col_digest(st, 3, &out->policy);
    qn_col_text(st, 4, out->platforms, sizeof out->platforms);
    qn_col_digest(st, 5, &out->source);
    qn_col_digest(st, 6, &out->served);
    qn_col_text(st, 7, out->media_type, sizeof out->media_type);
    out->from = qn_col_i64(st, 8);
    out->to = qn_col_i64(st, 9);
}

static int served_one(struct qn_tx *tx, sqlite3_stmt *st, struct qn_row_served *out, bool *found, struct qn_err *e)
{
    bool row;

    if (qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    if (row)
        served_row(st, out);
    *found = row;
    return 0;
}

static int served_walk(struct qn_tx *tx, sqlite3_stmt *st, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_served *row), void *arg, struct qn_err *e)
{
    for (bool found; max > 0; max--) {
        struct qn_row_served row;
        if (served_one(tx, st, &row, &found, e) < 0)
            return -1;
        if (!found || !fn(arg, &row))
            break;
    }
    return 0;
}

int qn_index_served_put(struct qn_tx *tx, const struct qn_row_served *row, struct qn_err *e)
{
    struct qn_row_served now;
    bool found;
    int64_t repo;
    int64_t from = row->from ? row->from : qn_time_now();

    if (qn_index_served_get(tx, row->repo, row->tag, &row->policy, row->platforms, &now, &found, e) < 0)
        return -1;
    if (found && qn_digest_eq(&now.source, &row->source) && qn_digest_eq(&now.served, &row->served))
        return 0;
    if (qn_repo_need(tx, row->repo, &repo, e) < 0)
        return -1;
    if (found &&
        qn_sql_run(tx, NULL, e, "UPDATE served SET until = max(?, since, 1) WHERE id = ?", "ii", from, now.id) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO served (repo, tag, policy, platforms, source, served, media_type, since, until)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                      "itdtddti", repo, row->tag, &row->policy, row->platforms, &row->source, &row->served,
                      row->media_type, from);
}

int qn_index_served_get(struct qn_tx *tx, const char *repo, const char *tag, const struct qn_digest *policy,
                        const char *platforms, struct qn_row_served *out, bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT " SERVED_COLUMNS " WHERE repo.name = ? AND tag = ? AND policy = ? AND platforms = ?"
                     " AND until = 0",
                     "ttdt", repo, tag, policy, platforms) < 0)
        return -1;
    return served_one(tx, st, out, found, e);
}

int qn_index_served_latest(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_served *out, bool *found,
                           struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT " SERVED_COLUMNS " WHERE repo.name = ? AND tag = ? AND until = 0"
                     " ORDER BY served.id DESC LIMIT 1",
                     "tt", repo, tag) < 0)
        return -1;
    return served_one(tx, st, out, found, e);
}

int qn_index_served_list(struct qn_tx *tx, const char *repo, const char *tag, int64_t before, size_t max,
                         bool (*fn)(void *arg, const struct qn_row_served *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    before = before > 0 ? before : INT64_MAX;
    if (*tag ? qn_sql_query(tx, &st, e,
                            "SELECT " SERVED_COLUMNS " WHERE repo.name = ? AND tag = ? AND served.id < ?"
                            " ORDER BY served.id DESC",
                            "tti", repo, tag, before) < 0
             : qn_sql_query(tx, &st, e,
                            "SELECT " SERVED_COLUMNS " WHERE repo.name = ? AND served.id < ? ORDER BY served.id DESC",
                            "ti", repo, before) < 0)
        return -1;
    return served_walk(tx, st, max, fn, arg, e);
}

int qn_index_served_of(struct qn_tx *tx, const struct qn_digest *served, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_served *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, "SELECT " SERVED_COLUMNS " WHERE served = ? ORDER BY served.id DESC", "d", served) < 0)
        return -1;
    return served_walk(tx, st, max, fn, arg, e);
}

int qn_index_served_end(struct qn_tx *tx, const char *repo, const char *tag, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e,
                      "UPDATE served SET until = max(?, since, 1) WHERE repo = (SELECT id FROM repo WHERE name = ?)"
                      " AND tag = ? AND until = 0",
                      "itt", qn_time_now(), repo, tag);
}

int qn_index_untag(struct qn_tx *tx, const char *repo, const struct qn_digest *d, struct qn_err *e)
{
    for (bool more = true; more;) {
        qn_auto_stmt sqlite3_stmt *st = NULL;
        char tag[QN_ROW_TAG];
        bool found;
        if (qn_sql_query(tx, &st, e,
                         "SELECT tag FROM tag WHERE digest = ?1 AND length(digest) > 0"
                         " AND repo = (SELECT id FROM repo WHERE name = ?2)"
                         " UNION SELECT tag FROM served WHERE served = ?1 AND until = 0"
                         " AND repo = (SELECT id FROM repo WHERE name = ?2) LIMIT 1",
                         "dt", d, repo) < 0 ||
            qn_sql_step(tx, st, &more, e) < 0)
            return -1;
        if (!more)
            break;
        qn_col_text(st, 0, tag, sizeof tag);
        qn_sql_done(&st);
        if (qn_index_tag_del(tx, repo, tag, &found, e) < 0 || qn_index_served_end(tx, repo, tag, e) < 0)
            return -1;
    }
    return 0;
}

/* --- holds -------------------------------------------------------------------------------------------------------- */

int qn_index_hold_put(struct qn_tx *tx, const struct qn_row_hold *row, struct qn_err *e)
{
    int64_t repo;

    if (qn_repo_need(tx, row->repo, &repo, e) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO hold (repo, tag, source, served, who, comment, at)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "itddtti", repo, row->tag, &row->source, &row->served, row->who, row->comment,
                      row->at ? row->at : qn_time_now());
}

int qn_index_hold_of(struct qn_tx *tx, const char *repo, const struct qn_digest *d, char tag[QN_ROW_TAG], bool *found,
                     struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT tag FROM hold WHERE repo = (SELECT id FROM repo WHERE name = ?1)"
                     " AND (source = ?2 OR served = ?2) LIMIT 1",
                     "td", repo, d) < 0 ||
        qn_sql_step(tx, st, found, e) < 0)
        return -1;
    if (*found)
        qn_col_text(st, 0, tag, QN_ROW_TAG);
    return 0;
}

int qn_index_hold_get(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_hold *out, bool *found,
                      struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT source, served, who, comment, at FROM hold"
                     " WHERE repo = (SELECT id FROM repo WHERE name = ?) AND tag = ?",
                     "tt", repo, tag) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    snprintf(out->repo, sizeof out->repo, "%s", repo);
    snprintf(out->tag, sizeof out->tag, "%s", tag);
    qn_col_digest(st, 0, &out->source);
    qn_col_digest(st, 1, &out->served);
    qn_col_text(st, 2, out->who, sizeof out->who);
    qn_col_text(st, 3, out->comment, sizeof out->comment);
    out->at = qn_col_i64(st, 4);
    return 0;
}

int qn_index_hold_del(struct qn_tx *tx, const char *repo, const char *tag, bool *found, struct qn_err *e)
{
    int changes;

    if (qn_sql_run(tx, &changes, e, "DELETE FROM hold WHERE repo = (SELECT id FROM repo WHERE name = ?) AND tag = ?",
                   "tt", repo, tag) < 0)
        return -1;
    *found = changes > 0;
    return 0;
}

/* --- what decisions ask ------------------------------------------------------------------------------------------- */

int qn_index_unserve(struct qn_tx *tx, const struct qn_digest *served, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e, "UPDATE served SET until = max(?, since, 1) WHERE served = ? AND until = 0", "id",
                      qn_time_now(), served);
}

int qn_index_protected(struct qn_tx *tx, const struct qn_digest *d, bool *kept, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     "SELECT 1 FROM pin WHERE digest = ?1 AND kind IN (1, 2)"
                     " UNION ALL SELECT 1 FROM hold WHERE served = ?1 LIMIT 1",
                     "d", d) < 0)
        return -1;
    return qn_sql_step(tx, st, kept, e);
}
