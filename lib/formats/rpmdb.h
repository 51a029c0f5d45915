/* The rpm database in its SQLite form, as bytes in memory: nothing opens a file. A write-ahead log that was shipped
 * beside it is merged first. Sources: rpm, lib/backend/sqlite.cc; SQLite, "Database File Format" sections 1.3 and 4. */
#ifndef QN_FORMATS_RPMDB_H
#define QN_FORMATS_RPMDB_H

#include "base/buf.h"

#include <stdint.h>

struct qn_rpmdb {
    struct sqlite3 *db;
    struct sqlite3_stmt *rows;
    uint32_t last; /* number of the row before */
};

/* Once a process, before it gives up opening files: SQLite's allocator and the seed of its random numbers. */
void qn_rpmdb_warm_up(void);
/* Opens a copy of the database; `wal` may be empty. MALFORMED for what is none, LIMIT beyond 64 MiB. */
int qn_rpmdb_open(struct qn_str file, struct qn_str wal, struct qn_rpmdb *out, struct qn_err *e) QN_MUST_CHECK;
void qn_rpmdb_close(struct qn_rpmdb *self);
#define qn_auto_rpmdb QN_CLEANUP(qn_rpmdb_close)

/* The next package, by number: 1, or 0 at the end, or -1. The header is valid until the next call. */
int qn_rpmdb_next(struct qn_rpmdb *self, uint32_t *number, struct qn_str *header, struct qn_err *e) QN_MUST_CHECK;
/* Takes a package out of every table. */
int qn_rpmdb_remove(struct qn_rpmdb *self, uint32_t number, struct qn_err *e) QN_MUST_CHECK;
/* Appends the database as a file, without free pages and what was removed: the same bytes on every machine with this
 * version of SQLite. */
int qn_rpmdb_print(struct qn_rpmdb *self, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;
/* Appends a database file with its committed write-ahead log in it; without one, the file as it is. */
int qn_sqlite_merge(struct qn_str file, struct qn_str wal, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;

#endif
