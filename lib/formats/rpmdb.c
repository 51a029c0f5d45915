#include "rpmdb.h"

#include <sqlite3.h>

#include <stdio.h>

#define FILE_MAX   (64u << 20)
#define HEADER_MAX (32 << 20)
#define STEPS_MAX  200000000 /* of SQLite's machine, in one statement */
/* The table of packages and those that find them; whatever else is in the file is none of ours. */
static const char *const tables[] = {"Name",
                                     "Basenames",
                                     "Group",
                                     "Requirename",
                                     "Providename",
                                     "Conflictname",
                                     "Obsoletename",
                                     "Triggername",
                                     "Dirnames",
                                     "Installtid",
                                     "Sigmd5",
                                     "Sha1header",
                                     "Filetriggername",
                                     "Transfiletriggername",
                                     "Recommendname",
                                     "Suggestname",
                                     "Supplementname",
                                     "Enhancename"};

void qn_rpmdb_warm_up(void)
{
    char seed[8];

    (void)sqlite3_initialize();
    sqlite3_randomness(sizeof seed, seed);
}

static int failed(const struct qn_rpmdb *d, const char *what, struct qn_err *e)
{
    int code = sqlite3_errcode(d->db);

    return qn_fail(e, code == SQLITE_NOMEM ? QN_E_NOMEM : QN_E_MALFORMED, "rpm database: %s: %s", what,
                   sqlite3_errmsg(d->db));
}

/* A hostile file can make a statement run for ever; the count of steps does not depend on the machine. */
static int stop(void *ctx)
{
    (void)ctx;
    return 1;
}

static int exec(struct qn_rpmdb *d, const char *sql, struct qn_err *e)
{
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(d, sql, e);
}

/* What SQLite recommends for files from strangers. */
static int distrust(struct qn_rpmdb *d, struct qn_err *e)
{
    static const int off[] = {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION};

    for (size_t i = 0; i < QN_ARRAY_LEN(off); i++)
        if (sqlite3_db_config(d->db, off[i], 0, (int *)NULL) != SQLITE_OK)
            return failed(d, "configuration", e);
    if (sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL) != SQLITE_OK)
        return failed(d, "configuration", e);
    sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, HEADER_MAX);
    sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 1); /* VACUUM takes it */
    sqlite3_limit(d->db, SQLITE_LIMIT_SQL_LENGTH, 100000);
    sqlite3_limit(d->db, SQLITE_LIMIT_EXPR_DEPTH, 20);
    sqlite3_limit(d->db, SQLITE_LIMIT_VDBE_OP, 250000);
    sqlite3_progress_handler(d->db, STEPS_MAX, stop, NULL);
    return exec(d, "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON", e);
}

static int load(struct qn_rpmdb *d, struct qn_str file, struct qn_str wal, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = FILE_MAX};

    if (qn_sqlite_merge(file, wal, &b, e) < 0)
        return -1;
    /* Neither readers nor writers of a write-ahead log from here on: the log is in it. */
    b.p[18] = b.p[19] = 1;
    unsigned char *copy = sqlite3_malloc64(b.n);
    if (!copy)
        return qn_fail(e, QN_E_NOMEM, "rpm database");
    memcpy(copy, b.p, b.n);
    /* The copy is SQLite's from here on, also on failure. */
    if (sqlite3_deserialize(d->db, "main", copy, (sqlite3_int64)b.n, (sqlite3_int64)b.n,
                            SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) != SQLITE_OK)
        return failed(d, "loading", e);
    return 0;
}

int qn_rpmdb_open(struct qn_str file, struct qn_str wal, struct qn_rpmdb *out, struct qn_err *e)
{
    qn_auto_rpmdb struct qn_rpmdb d = {0};

    if (file.n > FILE_MAX)
        return qn_fail(e, QN_E_LIMIT, "rpm database: larger than %u bytes", FILE_MAX);
    if (sqlite3_open_v2(":memory:", &d.db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return qn_fail(e, QN_E_NOMEM, "rpm database");
    if (distrust(&d, e) < 0 || load(&d, file, wal, e) < 0)
        return -1;
    if (sqlite3_prepare_v2(d.db, "SELECT hnum, blob FROM Packages ORDER BY hnum", -1, &d.rows, NULL) != SQLITE_OK)
        return failed(&d, "table of packages", e);
    *out = d;
    d = (struct qn_rpmdb){0};
    return 0;
}

void qn_rpmdb_close(struct qn_rpmdb *self)
{
    (void)sqlite3_finalize(self->rows);
    (void)sqlite3_close(self->db);
    *self = (struct qn_rpmdb){0};
}

int qn_rpmdb_next(struct qn_rpmdb *self, uint32_t *number, struct qn_str *header, struct qn_err *e)
{
    int r = sqlite3_step(self->rows);

    if (r == SQLITE_DONE)
        return 0;
    if (r != SQLITE_ROW)
        return failed(self, "packages", e);
    sqlite3_int64 n = sqlite3_column_int64(self->rows, 0);
    const void *p = sqlite3_column_blob(self->rows, 1);
    if (n < 1 || n > UINT32_MAX || !p || sqlite3_column_type(self->rows, 1) != SQLITE_BLOB)
        return qn_fail(e, QN_E_MALFORMED, "rpm database: a row of packages that is none");
    if (n <= self->last)
        return qn_fail(e, QN_E_MALFORMED, "rpm database: rows of packages out of order");
    *number = self->last = (uint32_t)n;
    *header = qn_str_n(p, (size_t)sqlite3_column_bytes(self->rows, 1));
    return 1;
}

/* Whether the file has a table (not a view, and of rpm's making); older ones lack some. */
static int has_table(struct qn_rpmdb *d, const char *name, bool *has, struct qn_err *e)
{
    sqlite3_stmt *st = NULL;
    int r = sqlite3_prepare_v2(d->db, "SELECT 1 FROM sqlite_schema WHERE type='table' AND name=? COLLATE NOCASE", -1,
                               &st, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    if (r == SQLITE_OK)
        r = sqlite3_step(st);
    *has = r == SQLITE_ROW;
    (void)sqlite3_finalize(st);
    return r == SQLITE_ROW || r == SQLITE_DONE ? 0 : failed(d, "schema", e);
}

int qn_rpmdb_remove(struct qn_rpmdb *self, uint32_t number, struct qn_err *e)
{
    char sql[128];

    (void)sqlite3_reset(self->rows);
    for (size_t i = 0; i < QN_ARRAY_LEN(tables); i++) {
        bool has;
        if (has_table(self, tables[i], &has, e) < 0)
            return -1;
        snprintf(sql, sizeof sql, "DELETE FROM \"%s\" WHERE hnum=%u", tables[i], number);
        if (has && exec(self, sql, e) < 0)
            return -1;
    }
    snprintf(sql, sizeof sql, "DELETE FROM Packages WHERE hnum=%u", number);
    return exec(self, sql, e);
}

int qn_rpmdb_print(struct qn_rpmdb *self, struct qn_buf *out, struct qn_err *e)
{
    sqlite3_int64 size = 0;

    (void)sqlite3_reset(self->rows);
    if (exec(self, "VACUUM", e) < 0)
        return -1;
    unsigned char *p = sqlite3_serialize(self->db, "main", &size, 0);
    if (!p)
        return qn_fail(e, QN_E_NOMEM, "rpm database");
    int r = qn_buf_put(out, p, (size_t)size, e);
    sqlite3_free(p);
    return r;
}
