/* The audit log, hash-chained, and who pulled what. */
#include "rows_admin.h"
#include "sql.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static void hash_field(struct qn_hash *h, const char *text, size_t n)
{
    unsigned char length[8];

    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
    qn_hash_update(h, length, sizeof length);
    qn_hash_update(h, text, n);
}

static void hash_number(struct qn_hash *h, int64_t v)
{
    char text[24];

    hash_field(h, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

void qn_audit_hash(const struct qn_row_audit *row, struct qn_digest *out)
{
    qn_auto_hash struct qn_hash h = {0};

    qn_hash_init(&h, QN_SHA256);
    hash_field(&h, (const char *)row->previous.bytes, row->previous.algorithm == QN_DIGEST_NONE ? 0 : 32);
    hash_number(&h, row->id);
    hash_number(&h, row->at);
    hash_field(&h, row->who, strlen(row->who));
    hash_field(&h, row->action, strlen(row->action));
    hash_field(&h, row->subject, strlen(row->subject));
    hash_field(&h, row->detail, strlen(row->detail));
    hash_field(&h, row->request, strlen(row->request));
    *out = qn_hash_final(&h);
}

#define AUDIT "SELECT id, at, who, action, subject, detail, request, hash FROM audit "

static int audit_one(struct qn_tx *tx, sqlite3_stmt *st, struct qn_row_audit *out, bool *found, struct qn_err *e)
{
    if (qn_sql_step(tx, st, found, e) < 0)
        return -1;
    if (!*found)
        return 0;
    *out = (struct qn_row_audit){.id = qn_col_i64(st, 0), .at = qn_col_i64(st, 1)};
    qn_col_text(st, 2, out->who, sizeof out->who);
    qn_col_text(st, 3, out->action, sizeof out->action);
    qn_col_text(st, 4, out->subject, sizeof out->subject);
    qn_col_text(st, 5, out->detail, sizeof out->detail);
    qn_col_text(st, 6, out->request, sizeof out->request);
    qn_col_digest(st, 7, &out->hash);
    return 0;
}

int qn_index_audit_put(struct qn_tx *tx, struct qn_row_audit *row, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    struct qn_row_audit last = {.id = 0};
    bool found;

    if (strlen(row->detail) == 0)
        snprintf(row->detail, sizeof row->detail, "{}");
    if (qn_sql_query(tx, &st, e, AUDIT "ORDER BY id DESC LIMIT 1", "") < 0 || audit_one(tx, st, &last, &found, e) < 0)
        return -1;
    row->id = last.id + 1;
    row->previous = last.hash;
    row->at = row->at ? row->at : qn_time_now();
    qn_audit_hash(row, &row->hash);
    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO audit (id, at, who, action, subject, detail, request, hash)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                      "iitttttd", row->id, row->at, row->who, row->action, row->subject, row->detail, row->request,
                      &row->hash);
}

static int audit_query(struct qn_tx *tx, const struct qn_audit_filter *f, sqlite3_stmt **st, struct qn_err *e)
{
    int64_t before = f->before > 0 ? f->before : INT64_MAX;

    if (f->forward)
        return qn_sql_query(tx, st, e, AUDIT "WHERE id >= ? ORDER BY id", "i", f->before > 0 ? f->before : 0);
    const char *who = f->who ? f->who : "", *action = f->action ? f->action : "", *subject = f->subject;
    if (subject)
        return qn_sql_query(tx, st, e,
                            AUDIT
                            "WHERE subject = ?1 AND id < ?2 AND (?3 = '' OR who = ?3) AND (?4 = '' OR action = ?4)"
                            " ORDER BY id DESC",
                            "titt", subject, before, who, action);
    if (f->who)
        return qn_sql_query(tx, st, e, AUDIT "WHERE who = ?1 AND id < ?2 AND (?3 = '' OR action = ?3) ORDER BY id DESC",
                            "tit", who, before, action);
    if (f->action)
        return qn_sql_query(tx, st, e, AUDIT "WHERE action = ? AND id < ? ORDER BY id DESC", "ti", action, before);
    return qn_sql_query(tx, st, e, AUDIT "WHERE id < ? ORDER BY id DESC", "i", before);
}

int qn_index_audit(struct qn_tx *tx, const struct qn_audit_filter *f, size_t max,
                   bool (*fn)(void *arg, const struct qn_row_audit *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    struct qn_row_audit row, other;
    bool found, more, any = f->who || f->action || f->subject;

    if (audit_query(tx, f, &st, e) < 0 || audit_one(tx, st, &row, &found, e) < 0)
        return -1;
    /* The entry at `before` itself is read only for its hash. */
    if (f->forward && found && f->before > 0 && row.id == f->before) {
        other = row;
        if (audit_one(tx, st, &row, &found, e) < 0)
            return -1;
        row.previous = other.hash;
    }
    for (; found && max > 0; max--) {
        if (audit_one(tx, st, &other, &more, e) < 0)
            return -1;
        if (more && f->forward)
            other.previous = row.hash;
        else if (more && !any)
            row.previous = other.hash;
        if (!fn(arg, &row))
            break;
        row = other;
        found = more;
    }
    return 0;
}

int qn_index_audit_prune(struct qn_tx *tx, int64_t before, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e, "DELETE FROM audit WHERE at < ? AND id < (SELECT max(id) FROM audit)", "i", before);
}

/* --- pulls -------------------------------------------------------------------------------------------------------- */
int qn_index_pulled_put(struct qn_tx *tx, const struct qn_row_pulled *row, struct qn_err *e)
{
    int64_t repo;

    if (qn_repo_need(tx, row->repo, &repo, e) < 0)
        return -1;
    return qn_sql_run(tx, NULL, e,
                      "INSERT INTO pulled (at, repo, reference, digest, who, peer) VALUES (?, ?, ?, ?, ?, ?)", "iitdtt",
                      row->at ? row->at : qn_time_now(), repo, row->reference, &row->digest, row->who, row->peer);
}

#define PULLED                                                                                                         \
    "SELECT pulled.id, at, repo.name, reference, digest, who, peer FROM pulled JOIN repo ON repo.id = pulled.repo "

int qn_index_pulled(struct qn_tx *tx, const struct qn_digest *d, int64_t before, size_t max,
                    bool (*fn)(void *arg, const struct qn_row_pulled *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool found;

    before = before > 0 ? before : INT64_MAX;
    if (d ? qn_sql_query(tx, &st, e, PULLED "WHERE digest = ? AND pulled.id < ? ORDER BY pulled.id DESC", "di", d,
                         before) < 0
          : qn_sql_query(tx, &st, e, PULLED "WHERE pulled.id < ? ORDER BY pulled.id DESC", "i", before) < 0)
        return -1;
    for (; max > 0; max--) {
        struct qn_row_pulled row;
        if (qn_sql_step(tx, st, &found, e) < 0)
            return -1;
        if (!found)
            break;
        row = (struct qn_row_pulled){.id = qn_col_i64(st, 0), .at = qn_col_i64(st, 1)};
        qn_col_text(st, 2, row.repo, sizeof row.repo);
        qn_col_text(st, 3, row.reference, sizeof row.reference);
        qn_col_digest(st, 4, &row.digest);
        qn_col_text(st, 5, row.who, sizeof row.who);
        qn_col_text(st, 6, row.peer, sizeof row.peer);
        if (!fn(arg, &row))
            break;
    }
    return 0;
}

int qn_index_pulled_prune(struct qn_tx *tx, int64_t before, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e, "DELETE FROM pulled WHERE at < ?", "i", before);
}
