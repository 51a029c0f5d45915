/* The index: ROOT/quench.db, what is known about the blobs. SQLite in WAL mode, synchronous FULL.
 *
 * One writer thread runs all changes and commits them in groups; a write returns after its transaction is durable.
 * Readers have handles of their own and see a consistent snapshot. Blob files come first, rows after them: a row never
 * names a blob that is not durable.
 *
 * A `struct qn_tx` is either the writer's open transaction (inside a function given to qn_index_write) or a reader's
 * snapshot (qn_index_read). The typed functions that take a `struct qn_tx *` are in rows_content.h, rows_tag.h,
 * rows_derive.h and rows_job.h; those that change something need the writer's. Missing rows are no error: `*found`
 * says so. A digest without an algorithm (all zero) stands for "none". */
#ifndef QN_STORE_INDEX_H
#define QN_STORE_INDEX_H

#include "base/err.h"
#include "base/str.h"
#include "formats/digest.h"

#include <stdint.h>

struct qn_index;
struct qn_tx;

/* Sizes of the texts in rows, NUL included. Longer input is LIMIT, never cut, but for messages. */
#define QN_ROW_REPO     400 /* UPSTREAM/REPOSITORY */
#define QN_ROW_TAG      136
#define QN_ROW_MEDIA    256
#define QN_ROW_PLATFORM 512 /* "linux/amd64", or "index:linux/amd64,linux/arm64" */
#define QN_ROW_ENGINE   256
#define QN_ROW_SLUG     48
#define QN_ROW_MESSAGE  512
#define QN_ROW_COMMENT  2048 /* 500 characters */
#define QN_ROW_REF      664  /* a whole reference */
#define QN_ROW_NAME     128  /* of people, codecs, stages */

/* Opens (and makes) the database at `path`, brings an older schema up to date, marks jobs and derivations that were
 * running at the last death as failed and counts that death, and starts the writer. CONFIG when the file was made by a
 * newer version; IO when it is damaged. */
int qn_index_open(const char *path, struct qn_index **out, struct qn_err *e) QN_MUST_CHECK;
/* Finishes what is queued, writes pending touches, folds the log and closes. No reader may be left. NULL is fine. */
void qn_index_close(struct qn_index *ix);

/* Runs `fn` inside a write transaction on the writer thread and returns when it is durable. When `fn` fails, its
 * changes alone are undone and its error is returned. `fn` must be quick, must not wait and must not call
 * qn_index_write. */
int qn_index_write(struct qn_index *ix, int (*fn)(struct qn_tx *tx, void *arg, struct qn_err *e), void *arg,
                   struct qn_err *e) QN_MUST_CHECK;
/* The same without waiting: `done` (may be NULL) runs on the writer thread afterwards, `failed` being NULL on success.
 * BUSY when too many writes are queued; `done` is not called then. */
int qn_index_post(struct qn_index *ix, int (*fn)(struct qn_tx *tx, void *arg, struct qn_err *e), void *arg,
                  void (*done)(void *arg, const struct qn_err *failed), struct qn_err *e) QN_MUST_CHECK;
/* Takes a read snapshot; give it back with qn_index_read_end (or qn_auto_read). Keep it short. Any thread. */
int qn_index_read(struct qn_index *ix, struct qn_tx **out, struct qn_err *e) QN_MUST_CHECK;
void qn_index_read_end(struct qn_tx **tx);
#define qn_auto_read QN_CLEANUP(qn_index_read_end)

/* Notes that a blob or manifest was used today; written in batches, never waits. Any thread. */
void qn_index_touch(struct qn_index *ix, const struct qn_digest *d);
/* Writes pending touches now. */
int qn_index_flush(struct qn_index *ix, struct qn_err *e) QN_MUST_CHECK;

struct qn_index_stats {
    uint64_t blobs, bytes;                 /* rows and their sizes */
    uint64_t writes, commits, checkpoints; /* since the start */
    uint64_t queued;                       /* writes that wait now */
};
int qn_index_stats(struct qn_index *ix, struct qn_index_stats *out, struct qn_err *e) QN_MUST_CHECK;

/* --- leases -----------------------------------------------------------------------------------------------------
 * Whoever is about to make a reference to a blob (a row, a tag, a link) holds a lease on its digest from before it
 * looks whether the blob is there until its transaction is durable. The sweep never touches a leased digest, nor what
 * hangs below a leased manifest. When the sweep is removing that very blob at this moment, taking waits until it is
 * gone (milliseconds); the blob is then simply absent. Leases live in memory and end with the process. */
struct qn_lease {
    struct qn_index *ix;
    struct qn_lease_entry *entry;
};
void qn_lease_take(struct qn_index *ix, const struct qn_digest *d, struct qn_lease *out);
/* Safe on a zeroed or released lease. */
void qn_lease_drop(struct qn_lease *l);
#define qn_auto_lease QN_CLEANUP(qn_lease_drop)

#endif
