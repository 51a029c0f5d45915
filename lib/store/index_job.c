#include "rows_job.h"
#include "sql.h"

#include <stdio.h>

int qn_index_job_put(struct qn_tx *tx, const struct qn_row_job *row, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO job (id, kind, reference, derivation, state, stage, bytes_done,"
                      " bytes_total, created, started, finished, error, message, attempts)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      "tttiituuiiitti", row->id, row->kind, row->reference, row->derivation, (int64_t)row->state,
                      row->stage, row->bytes_done, row->bytes_total, row->created, row->started, row->finished,
                      row->error, row->message, (int64_t)row->attempts);
}

#define COLUMNS                                                                                                        \
    "SELECT id, kind, reference, derivation, state, stage, bytes_done, bytes_total, created, started, finished,"       \
    " error, message, attempts FROM job "

static void read_row(sqlite3_stmt *st, struct qn_row_job *out)
{
    qn_col_text(st, 0, out->id, sizeof out->id);
    qn_col_text(st, 1, out->kind, sizeof out->kind);
    qn_col_text(st, 2, out->reference, sizeof out->reference);
    out->derivation = qn_col_i64(st, 3);
    out->state = (enum qn_state)qn_col_i64(st, 4);
    qn_col_text(st, 5, out->stage, sizeof out->stage);
    out->bytes_done = qn_col_u64(st, 6);
    out->bytes_total = qn_col_u64(st, 7);
    out->created = qn_col_i64(st, 8);
    out->started = qn_col_i64(st, 9);
    out->finished = qn_col_i64(st, 10);
    qn_col_text(st, 11, out->error, sizeof out->error);
    qn_col_text(st, 12, out->message, sizeof out->message);
    out->attempts = (uint32_t)qn_col_u64(st, 13);
}

int qn_index_job_get(struct qn_tx *tx, const char *id, struct qn_row_job *out, bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e, COLUMNS "WHERE id = ?", "t", id) < 0 || qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    if (row)
        read_row(st, out);
    *found = row;
    return 0;
}

static int walk(struct qn_tx *tx, sqlite3_stmt *st, size_t max, bool (*fn)(void *arg, const struct qn_row_job *row),
                void *arg, struct qn_err *e)
{
    for (bool row; max > 0; max--) {
        struct qn_row_job job;
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        read_row(st, &job);
        if (!fn(arg, &job))
            break;
    }
    return 0;
}

int qn_index_jobs_for(struct qn_tx *tx, const char *reference, enum qn_state state, const char *before, size_t max,
                      bool (*fn)(void *arg, const struct qn_row_job *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, COLUMNS "WHERE reference = ?1 AND id < ?2 AND (?3 = 0 OR state = ?3) ORDER BY id DESC",
                     "tti", reference, before[0] ? before : "~", (int64_t)state) < 0)
        return -1;
    return walk(tx, st, max, fn, arg, e);
}

int qn_index_jobs(struct qn_tx *tx, enum qn_state state, const char *before, size_t max,
                  bool (*fn)(void *arg, const struct qn_row_job *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    before = before[0] ? before : "~";
    if (state ? qn_sql_query(tx, &st, e, COLUMNS "WHERE state = ? AND id < ? ORDER BY id DESC", "it", (int64_t)state,
                             before) < 0
              : qn_sql_query(tx, &st, e, COLUMNS "WHERE id < ? ORDER BY id DESC", "t", before) < 0)
        return -1;
    return walk(tx, st, max, fn, arg, e);
}

int qn_index_jobs_prune(struct qn_tx *tx, int64_t before_ms, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e, "DELETE FROM job WHERE state > 2 AND finished > 0 AND finished < ?", "i", before_ms);
}
