#include "sql.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The section texts of schema.sql, embedded at build time. */
__asm__(".section .rodata\n"
        ".global qn_schema_begin\n.global qn_schema_end\n"
        "qn_schema_begin:\n.incbin \"lib/store/schema.sql\"\nqn_schema_end:\n.byte 0\n"
        ".previous\n");
extern const char qn_schema_begin[], qn_schema_end[];

struct qn_str qn_schema_text(unsigned version)
{
    struct qn_str all = qn_str_n(qn_schema_begin, (size_t)(qn_schema_end - qn_schema_begin));
    char mark[32];

    snprintf(mark, sizeof mark, "-- version %u\n", version);
    ptrdiff_t at = qn_str_find(all, qn_str_c(mark));
    qn_assert(at >= 0);
    struct qn_str text = qn_str_from(all, (size_t)at);
    snprintf(mark, sizeof mark, "-- version %u\n", version + 1);
    ptrdiff_t end = qn_str_find(text, qn_str_c(mark));
    return end < 0 ? text : qn_str_head(text, (size_t)end);
}

int qn_sql_fail(struct qn_tx *tx, const char *sql, struct qn_err *e)
{
    int rc = tx->db ? sqlite3_extended_errcode(tx->db) : SQLITE_NOMEM;
    enum qn_code code = QN_E_IO;

    if ((rc & 0xff) == SQLITE_FULL)
        code = QN_E_NO_SPACE;
    else if ((rc & 0xff) == SQLITE_NOMEM)
        code = QN_E_NOMEM;
    else if ((rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISUSE || (rc & 0xff) == SQLITE_ERROR)
        code = QN_E_BUG;
    return qn_fail(e, code, "index: %s (%d): %.60s", tx->db ? sqlite3_errmsg(tx->db) : "out of memory", rc, sql);
}

int qn_sql_exec(struct qn_tx *tx, const char *sql, struct qn_err *e)
{
    if (sqlite3_exec(tx->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return qn_sql_fail(tx, sql, e);
    return 0;
}

int qn_sql_open(const char *path, bool writer, struct qn_tx *tx, struct qn_err *e)
{
    int flags = SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);

    tx->writer = writer;
    if (sqlite3_open_v2(path, &tx->db, flags, NULL) != SQLITE_OK) {
        qn_sql_fail(tx, "open", e);
        qn_sql_close(tx);
        return qn_err_wrap(e, "%s", path);
    }
    sqlite3_busy_timeout(tx->db, 10000);
    sqlite3_limit(tx->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_db_config(tx->db, SQLITE_DBCONFIG_DEFENSIVE, writer ? 1 : 0, NULL);
    sqlite3_db_config(tx->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (qn_sql_exec(tx,
                    writer ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                             "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536"
                           : "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192",
                    e) < 0) {
        qn_sql_close(tx);
        return qn_err_wrap(e, "%s", path);
    }
    return 0;
}

void qn_sql_close(struct qn_tx *tx)
{
    for (size_t i = 0; i < QN_SQL_STATEMENTS; i++)
        sqlite3_finalize(tx->slot[i].st);
    memset(tx->slot, 0, sizeof tx->slot);
    sqlite3_close(tx->db);
    tx->db = NULL;
}

static int user_version(struct qn_tx *tx, int *out, struct qn_err *e)
{
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(tx->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        qn_sql_fail(tx, "PRAGMA user_version", e);
        sqlite3_finalize(st);
        return -1;
    }
    *out = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return 0;
}

int qn_sql_migrate(struct qn_tx *tx, struct qn_err *e)
{
    int version;

    if (user_version(tx, &version, e) < 0)
        return -1;
    if (version < 0 || (unsigned)version > QN_SCHEMA_VERSION)
        return qn_fail(e, QN_E_CONFIG, "index: schema %d was made by a newer version of Quench (this one knows %u)",
                       version, QN_SCHEMA_VERSION);
    for (unsigned v = (unsigned)version + 1; v <= QN_SCHEMA_VERSION; v++) {
        qn_auto_free char *text = qn_xstrndup(qn_schema_text(v));
        qn_auto_free char *sql = qn_xasprintf("BEGIN IMMEDIATE; %s; PRAGMA user_version = %u; COMMIT", text, v);
        if (qn_sql_exec(tx, sql, e) < 0) {
            sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL);
            return qn_err_wrap(e, "migration to schema %u", v);
        }
    }
    return 0;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static int prepare(struct qn_tx *tx, const char *sql, sqlite3_stmt **out, struct qn_err *e)
{
    size_t at = ((uintptr_t)sql * 0x9e3779b97f4a7c15u >> 32) & (QN_SQL_STATEMENTS - 1);

    for (size_t probe = 0; probe < QN_SQL_STATEMENTS; probe++, at = (at + 1) & (QN_SQL_STATEMENTS - 1)) {
        if (tx->slot[at].sql == sql) {
            *out = tx->slot[at].st;
            return 0;
        }
        if (!tx->slot[at].sql)
            break;
    }
    qn_assert(!tx->slot[at].sql);
    if (sqlite3_prepare_v3(tx->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &tx->slot[at].st, NULL) != SQLITE_OK)
        return qn_sql_fail(tx, sql, e);
    tx->slot[at].sql = sql;
    *out = tx->slot[at].st;
    return 0;
}

static int bind_digest(sqlite3_stmt *st, int i, const struct qn_digest *d)
{
    size_t n = d ? qn_digest_size(d->algorithm) : 0;
    return n ? sqlite3_bind_blob(st, i, d->bytes, (int)n, SQLITE_STATIC) : sqlite3_bind_zeroblob(st, i, 0);
}

static int bind_all(struct qn_tx *tx, sqlite3_stmt *st, const char *sql, const char *types, va_list ap,
                    struct qn_err *e)
{
    int rc = SQLITE_OK;

    for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
        if (*types == 'd') {
            rc = bind_digest(st, i, va_arg(ap, const struct qn_digest *));
        } else if (*types == 't') {
            rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else if (*types == 'i') {
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (*types == 'u') {
            uint64_t v = va_arg(ap, uint64_t);
            if (v > INT64_MAX)
                return qn_fail(e, QN_E_LIMIT, "index: %llu does not fit a row", (unsigned long long)v);
            rc = sqlite3_bind_int64(st, i, (int64_t)v);
        } else {
            qn_assert(*types == 'b');
            const void *p = va_arg(ap, const void *);
            rc = sqlite3_bind_blob64(st, i, p ? p : "", va_arg(ap, size_t), SQLITE_STATIC);
        }
    }
    return rc == SQLITE_OK ? 0 : qn_sql_fail(tx, sql, e);
}

static int query(struct qn_tx *tx, sqlite3_stmt **out, struct qn_err *e, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st;

    if (prepare(tx, sql, &st, e) < 0)
        return -1;
    /* One use at a time: callbacks of a walk must not start the same walk on the same transaction. */
    qn_assert(!sqlite3_stmt_busy(st));
    sqlite3_reset(st);
    if (bind_all(tx, st, sql, types, ap, e) < 0)
        return -1;
    *out = st;
    return 0;
}

int qn_sql_query(struct qn_tx *tx, sqlite3_stmt **out, struct qn_err *e, const char *sql, const char *types, ...)
{
    va_list ap;

    va_start(ap, types);
    int r = query(tx, out, e, sql, types, ap);
    va_end(ap);
    return r;
}

void qn_sql_done(sqlite3_stmt **st)
{
    if (*st) {
        sqlite3_reset(*st);
        sqlite3_clear_bindings(*st);
    }
    *st = NULL;
}

int qn_sql_step(struct qn_tx *tx, sqlite3_stmt *st, bool *row, struct qn_err *e)
{
    int rc = sqlite3_step(st);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return qn_sql_fail(tx, sqlite3_sql(st), e);
    *row = rc == SQLITE_ROW;
    return 0;
}

int qn_sql_run(struct qn_tx *tx, int *changes, struct qn_err *e, const char *sql, const char *types, ...)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    va_list ap;
    bool row = true;

    qn_assert(tx->writer);
    va_start(ap, types);
    int r = query(tx, &st, e, sql, types, ap);
    va_end(ap);
    while (r == 0 && row)
        r = qn_sql_step(tx, st, &row, e);
    if (r == 0 && changes)
        *changes = sqlite3_changes(tx->db);
    return r;
}

void qn_col_digest(sqlite3_stmt *st, int i, struct qn_digest *out)
{
    const void *p = sqlite3_column_blob(st, i);
    int n = sqlite3_column_bytes(st, i);

    *out = (struct qn_digest){0};
    if (p && (n == 32 || n == 64)) {
        out->algorithm = n == 32 ? QN_SHA256 : QN_SHA512;
        memcpy(out->bytes, p, (size_t)n);
    }
}

void qn_col_text(sqlite3_stmt *st, int i, char *out, size_t size)
{
    const char *p = (const char *)sqlite3_column_text(st, i);
    snprintf(out, size, "%s", p ? p : "");
}

int64_t qn_col_i64(sqlite3_stmt *st, int i)
{
    return sqlite3_column_int64(st, i);
}

uint64_t qn_col_u64(sqlite3_stmt *st, int i)
{
    int64_t v = sqlite3_column_int64(st, i);
    return v < 0 ? 0 : (uint64_t)v;
}
