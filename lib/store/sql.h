/* Inside of the index: transactions and statements; private to this room. */
#ifndef QN_STORE_SQL_H
#define QN_STORE_SQL_H

#include "index.h"

#include <pthread.h>
#include <sqlite3.h>

#define QN_SQL_STATEMENTS 256u /* slots of the cache; a power of two */

/* One database handle with its prepared statements, which are found by the address of their text. */
struct qn_tx {
    struct qn_index *ix;
    struct qn_tx *next; /* among idle readers */
    sqlite3 *db;
    bool writer;
    struct {
        const char *sql;
        sqlite3_stmt *st;
    } slot[QN_SQL_STATEMENTS];
};

/* The newest schema, and the text that brings version - 1 to `version` (1 to QN_SCHEMA_VERSION). */
#define QN_SCHEMA_VERSION 3u
struct qn_str qn_schema_text(unsigned version);

/* Opens a handle with the settings of the house. */
int qn_sql_open(const char *path, bool writer, struct qn_tx *tx, struct qn_err *e) QN_MUST_CHECK;
void qn_sql_close(struct qn_tx *tx);
/* Brings the schema up to date. */
int qn_sql_migrate(struct qn_tx *tx, struct qn_err *e) QN_MUST_CHECK;
/* Raises the handle's error: IO, NO_SPACE, NOMEM or BUG; -1. */
int qn_sql_fail(struct qn_tx *tx, const char *sql, struct qn_err *e);
/* Runs fixed text without parameters or rows, uncached. */
int qn_sql_exec(struct qn_tx *tx, const char *sql, struct qn_err *e) QN_MUST_CHECK;

/* Prepares a literal and binds parameters: 'd' const struct qn_digest *, 't' const char *, 'i' int64_t,
 * 'u' uint64_t (LIMIT beyond INT64_MAX), 'b' const void * and size_t. The statement is given back with
 * qn_auto_stmt (reset, not finalized). */
int qn_sql_query(struct qn_tx *tx, sqlite3_stmt **out, struct qn_err *e, const char *sql, const char *types,
                 ...) QN_MUST_CHECK;
void qn_sql_done(sqlite3_stmt **st);
#define qn_auto_stmt QN_CLEANUP(qn_sql_done)
/* The next row; `*row` is false at the end. */
int qn_sql_step(struct qn_tx *tx, sqlite3_stmt *st, bool *row, struct qn_err *e) QN_MUST_CHECK;
/* Prepares, binds, runs to the end. `*changes` (may be NULL): rows changed. */
int qn_sql_run(struct qn_tx *tx, int *changes, struct qn_err *e, const char *sql, const char *types, ...) QN_MUST_CHECK;

/* Columns of the current row. */
void qn_col_digest(sqlite3_stmt *st, int i, struct qn_digest *out);
void qn_col_text(sqlite3_stmt *st, int i, char *out, size_t size);
int64_t qn_col_i64(sqlite3_stmt *st, int i);
uint64_t qn_col_u64(sqlite3_stmt *st, int i);

/* The id of a repository; 0 when it is not known. */
int qn_repo_id(struct qn_tx *tx, const char *name, int64_t *id, struct qn_err *e) QN_MUST_CHECK;
/* The same, making it known (not local) when it is not. LIMIT for a name that is too long. */
int qn_repo_need(struct qn_tx *tx, const char *name, int64_t *id, struct qn_err *e) QN_MUST_CHECK;

/* --- leases and the sweep (lease.c) ------------------------------------------------------------------------------- */
struct qn_leases;
struct qn_leases *qn_leases_new(void);
void qn_leases_free(struct qn_leases *l);
/* From now on every lease that is held or taken is remembered, until the end. BUSY when a sweep is under way. */
int qn_leases_record(struct qn_index *ix, struct qn_err *e) QN_MUST_CHECK;
void qn_leases_record_end(struct qn_index *ix);
/* Locks the table for a decision; qn_lease_held tells whether a digest is held or was since recording began. */
void qn_leases_lock(struct qn_index *ix);
void qn_leases_unlock(struct qn_index *ix);
bool qn_lease_held(struct qn_index *ix, const struct qn_digest *d);
/* With the lock held: the digest is about to go; whoever wants a lease on it waits for qn_lease_undoom. */
void qn_lease_doom(struct qn_index *ix, const struct qn_digest *d);
void qn_leases_undoom(struct qn_index *ix); /* all of them; takes the lock itself */
struct qn_leases *qn_index_leases(struct qn_index *ix);
const char *qn_index_path(const struct qn_index *ix);

#endif
