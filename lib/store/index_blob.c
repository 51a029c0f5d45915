#include "rows_content.h"
#include "sql.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

int qn_index_blob_put(struct qn_tx *tx, const struct qn_row_blob *row, struct qn_err *e)
{
    int64_t now = qn_time_now();

    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO blob (digest, size, origin, added, last_day) VALUES (?1, ?2, ?3, ?4, ?5)"
                      " ON CONFLICT (digest) DO UPDATE SET last_day = max(last_day, excluded.last_day), origin ="
                      " CASE WHEN instr('4321', excluded.origin) > instr('4321', origin) THEN excluded.origin"
                      " ELSE origin END",
                      "duiii", &row->digest, row->size, (int64_t)row->origin, row->added ? row->added : now,
                      row->last_day ? row->last_day : now / 86400);
}

int qn_index_blob_get(struct qn_tx *tx, const struct qn_digest *d, struct qn_row_blob *out, bool *found,
                      struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e, "SELECT size, origin, added, last_day FROM blob WHERE digest = ?", "d", d) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    if (row)
        *out = (struct qn_row_blob){
            .digest = *d,
            .size = qn_col_u64(st, 0),
            .origin = (enum qn_origin)qn_col_i64(st, 1),
            .added = qn_col_i64(st, 2),
            .last_day = qn_col_i64(st, 3),
        };
    *found = row;
    return 0;
}

int qn_index_blob_del(struct qn_tx *tx, const struct qn_digest *d, struct qn_err *e)
{
    struct qn_row_blob blob = {0};
    bool found;

    if (qn_index_blob_get(tx, d, &blob, &found, e) < 0 ||
        qn_sql_run(tx, NULL, e, "DELETE FROM edge WHERE parent = ?", "d", d) < 0 ||
        qn_sql_run(tx, NULL, e, "DELETE FROM manifest WHERE digest = ?", "d", d) < 0 ||
        qn_sql_run(tx, NULL, e, "DELETE FROM referrer WHERE digest = ?", "d", d) < 0 ||
        qn_sql_run(tx, NULL, e, "DELETE FROM facts WHERE facts = ?", "d", d) < 0 ||
        qn_sql_run(tx, NULL, e, "DELETE FROM rewrite WHERE hardened = ?", "d", d) < 0)
        return -1;
    /* A result that is gone is made again when somebody asks; upstream's bytes can be had again through their link. */
    if (qn_sql_run(tx, NULL, e, "DELETE FROM derivation WHERE hardened = ?1 AND length(hardened) > 0 AND source <> ?1",
                   "d", d) < 0)
        return -1;
    if (qn_sql_run(tx, NULL, e,
                   found && blob.origin == QN_ORIGIN_UPSTREAM
                       ? "DELETE FROM link WHERE digest = ? AND repo IN (SELECT id FROM repo WHERE local = 1)"
                       : "DELETE FROM link WHERE digest = ?",
                   "d", d) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e, "DELETE FROM blob WHERE digest = ?", "d", d);
}

int qn_index_used(struct qn_tx *tx, uint64_t *bytes, uint64_t *blobs, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e, "SELECT bytes, blobs FROM total", "") < 0 || qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *bytes = row ? qn_col_u64(st, 0) : 0;
    *blobs = row ? qn_col_u64(st, 1) : 0;
    return 0;
}

int qn_index_manifest_put(struct qn_tx *tx, const struct qn_row_manifest *row, const struct qn_row_edge *edges,
                          size_t n, struct qn_err *e)
{
    if (qn_sql_run(tx, NULL, e,
                   "INSERT INTO manifest (digest, size, media_type, artifact_type, subject, config)"
                   " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET media_type = excluded.media_type",
                   "duttdd", &row->digest, row->size, row->media_type, row->artifact_type, &row->subject,
                   &row->config) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (qn_sql_run(tx, NULL, e, "INSERT OR IGNORE INTO edge (parent, child, kind) VALUES (?, ?, ?)", "ddi",
                       &row->digest, &edges[i].child, (int64_t)edges[i].kind) < 0)
            return -1;
    }
    return 0;
}

int qn_index_manifest_get(struct qn_tx *tx, const struct qn_digest *d, struct qn_row_manifest *out, bool *found,
                          struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT size, media_type, artifact_type, subject, config FROM manifest WHERE digest = ?", "d",
                     d) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    out->digest = *d;
    out->size = qn_col_u64(st, 0);
    qn_col_text(st, 1, out->media_type, sizeof out->media_type);
    qn_col_text(st, 2, out->artifact_type, sizeof out->artifact_type);
    qn_col_digest(st, 3, &out->subject);
    qn_col_digest(st, 4, &out->config);
    return 0;
}

int qn_index_children(struct qn_tx *tx, const struct qn_digest *parent, struct qn_row_edge **out, size_t *n,
                      struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    qn_auto_free void *arr = NULL;
    size_t count = 0, cap = 0;

    if (qn_sql_query(tx, &st, e, "SELECT child, kind FROM edge WHERE parent = ?", "d", parent) < 0)
        return -1;
    for (bool row = true;;) {
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        if (qn_grow(&arr, &cap, count + 1, sizeof(struct qn_row_edge), SIZE_MAX / sizeof(struct qn_row_edge), e) < 0)
            return -1;
        struct qn_row_edge *edge = (struct qn_row_edge *)arr + count++;
        qn_col_digest(st, 0, &edge->child);
        edge->kind = (enum qn_edge_kind)qn_col_i64(st, 1);
    }
    *out = qn_steal(arr);
    *n = count;
    return 0;
}

int qn_index_parents(struct qn_tx *tx, const struct qn_digest *child, size_t max, struct qn_digest **out, size_t *n,
                     struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    qn_auto_free void *arr = NULL;
    size_t count = 0, cap = 0;

    if (qn_sql_query(tx, &st, e, "SELECT parent FROM edge WHERE child = ? LIMIT ?", "du", child,
                     (uint64_t)QN_MIN(max, (size_t)INT64_MAX)) < 0)
        return -1;
    for (bool row = true;;) {
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        if (qn_grow(&arr, &cap, count + 1, sizeof(struct qn_digest), SIZE_MAX / sizeof(struct qn_digest), e) < 0)
            return -1;
        qn_col_digest(st, 0, (struct qn_digest *)arr + count++);
    }
    *out = qn_steal(arr);
    *n = count;
    return 0;
}
