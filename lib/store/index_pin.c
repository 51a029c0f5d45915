/* Denial manifests and pins. */
#include "rows_content.h"
#include "sql.h"

#include "base/clock.h"

#include <stdio.h>

int qn_index_denial_put(struct qn_tx *tx, const struct qn_row_denial *row, struct qn_err *e)
{
    int64_t repo;

    if (row->body_size > QN_DENIAL_BODY_MAX)
        return qn_fail(e, QN_E_LIMIT, "index: denial manifest of %zu bytes", row->body_size);
    if (qn_repo_need(tx, row->repo, &repo, e) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO denial (repo, digest, config, media_type, reason, message, expires, body)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                      " ON CONFLICT (repo, digest) DO UPDATE SET expires = max(expires, excluded.expires)",
                      "iddtttib", repo, &row->digest, &row->config, row->media_type, row->reason, row->message,
                      row->expires, row->body, row->body_size);
}

int qn_index_denial_get(struct qn_tx *tx, const char *repo, const struct qn_digest *d, struct qn_row_denial *out,
                        bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT digest, config, media_type, reason, message, expires, body FROM denial WHERE"
                     " repo = (SELECT id FROM repo WHERE name = ?1) AND (digest = ?2 OR config = ?2) AND expires > ?3"
                     " ORDER BY expires DESC LIMIT 1",
                     "tdi", repo, d, qn_time_now()) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    snprintf(out->repo, sizeof out->repo, "%s", repo);
    qn_col_digest(st, 0, &out->digest);
    qn_col_digest(st, 1, &out->config);
    qn_col_text(st, 2, out->media_type, sizeof out->media_type);
    qn_col_text(st, 3, out->reason, sizeof out->reason);
    qn_col_text(st, 4, out->message, sizeof out->message);
    out->expires = qn_col_i64(st, 5);
    const void *body = sqlite3_column_blob(st, 6);
    out->body_size = QN_MIN((size_t)sqlite3_column_bytes(st, 6), QN_DENIAL_BODY_MAX);
    if (body)
        memcpy(out->body, body, out->body_size);
    return 0;
}

int qn_index_pin_put(struct qn_tx *tx, const struct qn_row_pin *row, struct qn_err *e)
{
    enum qn_pin_kind other = row->kind == QN_PIN_APPROVED   ? QN_PIN_REJECTED
                             : row->kind == QN_PIN_REJECTED ? QN_PIN_APPROVED
                                                            : (enum qn_pin_kind)0;

    if (other && qn_sql_run(tx, NULL, e, "DELETE FROM pin WHERE digest = ? AND kind = ? AND repo = ?", "dit",
                            &row->digest, (int64_t)other, row->repo) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO pin (digest, kind, repo, who, comment, at) VALUES (?, ?, ?, ?, ?, ?)",
                      "dittti", &row->digest, (int64_t)row->kind, row->repo, row->who, row->comment,
                      row->at ? row->at : qn_time_now());
}

int qn_index_pin_get(struct qn_tx *tx, const struct qn_digest *d, enum qn_pin_kind kind, const char *repo,
                     struct qn_row_pin *out, bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e, "SELECT who, comment, at FROM pin WHERE digest = ? AND kind = ? AND repo = ?", "dit",
                     d, (int64_t)kind, repo) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    *out = (struct qn_row_pin){.digest = *d, .kind = kind, .at = qn_col_i64(st, 2)};
    snprintf(out->repo, sizeof out->repo, "%s", repo);
    qn_col_text(st, 0, out->who, sizeof out->who);
    qn_col_text(st, 1, out->comment, sizeof out->comment);
    return 0;
}

int qn_index_pin_del(struct qn_tx *tx, const struct qn_digest *d, enum qn_pin_kind kind, const char *repo, bool *found,
                     struct qn_err *e)
{
    int changes;

    if (qn_sql_run(tx, &changes, e, "DELETE FROM pin WHERE digest = ? AND kind = ? AND repo = ?", "dit", d,
                   (int64_t)kind, repo) < 0)
        return -1;
    *found = changes > 0;
    return 0;
}
