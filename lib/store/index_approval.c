/* Approvals and overrides. */
#include "rows_admin.h"
#include "sql.h"

#include "base/clock.h"

#include <stdio.h>

static const char *const states[] = {
    [QN_APPROVAL_WAITING] = "waiting", [QN_APPROVAL_APPROVED] = "approved", [QN_APPROVAL_REJECTED] = "rejected"};

const char *qn_approval_name(enum qn_approval_state state)
{
    return (size_t)state < QN_ARRAY_LEN(states) && states[state] ? states[state] : "";
}

enum qn_approval_state qn_approval_parse(struct qn_str name)
{
    for (size_t i = 1; i < QN_ARRAY_LEN(states); i++)
        if (qn_str_eq_c(name, states[i]))
            return (enum qn_approval_state)i;
    return 0;
}

/* --- approvals ---------------------------------------------------------------------------------------------------- */
#define APPROVALS                                                                                                      \
    "SELECT approval.id, repo.name, tag, source, digest, media_type, size, policy, state, who, comment, created,"      \
    " decided FROM approval JOIN repo ON repo.id = approval.repo "

static int approval_one(struct qn_tx *tx, sqlite3_stmt *st, struct qn_row_approval *out, bool *found, struct qn_err *e)
{
    if (qn_sql_step(tx, st, found, e) < 0)
        return -1;
    if (!*found)
        return 0;
    *out = (struct qn_row_approval){.id = qn_col_i64(st, 0),
                                    .size = qn_col_u64(st, 6),
                                    .state = (enum qn_approval_state)qn_col_i64(st, 8),
                                    .created = qn_col_i64(st, 11),
                                    .decided = qn_col_i64(st, 12)};
    qn_col_text(st, 1, out->repo, sizeof out->repo);
    qn_col_text(st, 2, out->tag, sizeof out->tag);
    qn_col_digest(st, 3, &out->source);
    qn_col_digest(st, 4, &out->digest);
    qn_col_text(st, 5, out->media_type, sizeof out->media_type);
    qn_col_text(st, 7, out->policy, sizeof out->policy);
    qn_col_text(st, 9, out->who, sizeof out->who);
    qn_col_text(st, 10, out->comment, sizeof out->comment);
    return 0;
}

static int approval_walk(struct qn_tx *tx, sqlite3_stmt *st, size_t max,
                         bool (*fn)(void *arg, const struct qn_row_approval *row), void *arg, struct qn_err *e)
{
    for (bool found; max > 0; max--) {
        struct qn_row_approval row;
        if (approval_one(tx, st, &row, &found, e) < 0)
            return -1;
        if (!found || !fn(arg, &row))
            break;
    }
    return 0;
}

#define NEXT_TURN                                                                                                      \
    "(SELECT coalesce(max(o.turn), 0) + 1 FROM approval o WHERE o.repo = approval.repo AND o.tag = approval.tag"       \
    " AND o.state = 2)"

int qn_index_approval_open(struct qn_tx *tx, const struct qn_row_approval *row, struct qn_row_approval *out,
                           struct qn_err *e)
{
    struct qn_row_approval known = {.state = QN_APPROVAL_WAITING}, made;
    int64_t repo;
    int added;
    bool found;

    if (qn_repo_need(tx, row->repo, &repo, e) < 0 ||
        qn_index_approval_get(tx, row->repo, &row->digest, &known, &found, e) < 0 ||
        qn_sql_run(tx, &added, e,
                   "INSERT OR IGNORE INTO approval (repo, tag, source, digest, media_type, size, policy, state, who,"
                   " comment, created, decided, turn) VALUES (?, ?, ?, ?, ?, ?, ?, 1, '', '', ?, 0, 0)",
                   "itddtuti", repo, row->tag, &row->source, &row->digest, row->media_type, row->size, row->policy,
                   qn_time_now()) < 0)
        return -1;
    if (added && found && known.state != QN_APPROVAL_WAITING &&
        qn_sql_run(tx, NULL, e,
                   "UPDATE approval SET state = ?, who = ?, comment = ?, decided = ?, turn = " NEXT_TURN
                   " WHERE repo = ? AND tag = ? AND digest = ?",
                   "ittiitd", (int64_t)known.state, known.who, known.comment, known.decided, repo, row->tag,
                   &row->digest) < 0)
        return -1;
    if (!out)
        return 0;
    qn_auto_stmt sqlite3_stmt *st = NULL;
    if (qn_sql_query(tx, &st, e, APPROVALS "WHERE approval.repo = ? AND tag = ? AND digest = ?", "itd", repo, row->tag,
                     &row->digest) < 0 ||
        approval_one(tx, st, &made, &found, e) < 0)
        return -1;
    if (found)
        *out = made;
    return 0;
}

int qn_index_approval_decide(struct qn_tx *tx, const char *repo, const struct qn_digest *d,
                             enum qn_approval_state state, const char *who, const char *comment, int *changed,
                             struct qn_err *e)
{
    return qn_sql_run(tx, changed, e,
                      "UPDATE approval SET state = ?, who = ?, comment = ?, decided = ?, turn = " NEXT_TURN
                      " WHERE digest = ? AND repo = (SELECT id FROM repo WHERE name = ?)",
                      "ittidt", (int64_t)state, who, comment, qn_time_now(), d, repo);
}

int qn_index_approval_get(struct qn_tx *tx, const char *repo, const struct qn_digest *d, struct qn_row_approval *out,
                          bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     APPROVALS "WHERE digest = ? AND approval.repo = (SELECT id FROM repo WHERE name = ?)"
                               " ORDER BY approval.id DESC LIMIT 1",
                     "dt", d, repo) < 0)
        return -1;
    return approval_one(tx, st, out, found, e);
}

int qn_index_approval_current(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_approval *out,
                              bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     APPROVALS "WHERE approval.repo = (SELECT id FROM repo WHERE name = ?) AND tag = ? AND state = 2"
                               " ORDER BY turn DESC LIMIT 1",
                     "tt", repo, tag) < 0)
        return -1;
    return approval_one(tx, st, out, found, e);
}

int qn_index_approvals(struct qn_tx *tx, enum qn_approval_state state, int64_t before, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_approval *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    before = before > 0 ? before : INT64_MAX;
    if (state ? qn_sql_query(tx, &st, e, APPROVALS "WHERE state = ? AND approval.id < ? ORDER BY approval.id DESC",
                             "ii", (int64_t)state, before) < 0
              : qn_sql_query(tx, &st, e, APPROVALS "WHERE approval.id < ? ORDER BY approval.id DESC", "i", before) < 0)
        return -1;
    return approval_walk(tx, st, max, fn, arg, e);
}

int qn_index_approvals_of(struct qn_tx *tx, const struct qn_digest *d, size_t max,
                          bool (*fn)(void *arg, const struct qn_row_approval *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, APPROVALS "WHERE digest = ? ORDER BY approval.id DESC", "d", d) < 0)
        return -1;
    return approval_walk(tx, st, max, fn, arg, e);
}

/* --- overrides ---------------------------------------------------------------------------------------------------- */
int qn_index_override_put(struct qn_tx *tx, const struct qn_row_override *row, int64_t *id, struct qn_err *e)
{
    if (qn_sql_run(tx, NULL, e,
                   "INSERT INTO override (match, mode, rules, expires, reason, who, at, ended)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                   "tttitti", row->match, row->mode, row->rules, row->expires, row->reason, row->who,
                   row->at ? row->at : qn_time_now()) < 0)
        return -1;
    *id = sqlite3_last_insert_rowid(tx->db);
    return 0;
}

int qn_index_override_end(struct qn_tx *tx, int64_t id, bool *found, struct qn_err *e)
{
    int changed;

    if (qn_sql_run(tx, &changed, e, "UPDATE override SET ended = ?1 WHERE id = ?2 AND ended = 0 AND expires > ?1", "ii",
                   qn_time_now(), id) < 0)
        return -1;
    *found = changed > 0;
    return 0;
}

#define OVERRIDES "SELECT id, match, mode, rules, expires, reason, who, at, ended FROM override "

int qn_index_overrides(struct qn_tx *tx, int64_t now, int64_t before, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_override *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool found;

    before = before > 0 ? before : INT64_MAX;
    if (now ? qn_sql_query(tx, &st, e, OVERRIDES "WHERE ended = 0 AND expires > ? AND id < ? ORDER BY id DESC", "ii",
                           now, before) < 0
            : qn_sql_query(tx, &st, e, OVERRIDES "WHERE id < ? ORDER BY id DESC", "i", before) < 0)
        return -1;
    for (; max > 0; max--) {
        struct qn_row_override row;
        if (qn_sql_step(tx, st, &found, e) < 0)
            return -1;
        if (!found)
            break;
        row = (struct qn_row_override){
            .id = qn_col_i64(st, 0), .expires = qn_col_i64(st, 4), .at = qn_col_i64(st, 7), .ended = qn_col_i64(st, 8)};
        qn_col_text(st, 1, row.match, sizeof row.match);
        qn_col_text(st, 2, row.mode, sizeof row.mode);
        qn_col_text(st, 3, row.rules, sizeof row.rules);
        qn_col_text(st, 5, row.reason, sizeof row.reason);
        qn_col_text(st, 6, row.who, sizeof row.who);
        if (!fn(arg, &row))
            break;
    }
    return 0;
}
