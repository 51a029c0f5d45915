/* Blob files: ROOT/blobs/ALGORITHM/AB/ABCDEF..., the truth that the index follows.
 *
 * A name exists only when its content is complete, verified and durable: write to an unnamed file, hash, verify,
 * fdatasync, chmod 0444, link, fsync of the directory. Blob files are never changed afterwards. Every function may
 * be called from any thread; those that touch the disk block, so that HTTP threads leave them to I/O threads. */
#ifndef QN_STORE_BLOB_H
#define QN_STORE_BLOB_H

#include "base/err.h"
#include "base/sink.h"
#include "base/str.h"
#include "base/buf.h"
#include "formats/digest.h"

#include <stdint.h>

struct qn_store;

struct qn_store_options {
    uint64_t max_size;  /* bytes that all blobs together may take; 0: no limit */
    uint64_t keep_free; /* bytes of the file system that stay free; 0: 256 MiB or 2 %, whichever is smaller */
};

/* Opens (and makes) ROOT with blobs/, tmp/, uploads/ and lock. ROOT/tmp is emptied. CONFLICT names the process that
 * holds ROOT/lock when another one uses the directory. `opt` may be NULL. */
int qn_store_open(const char *root, const struct qn_store_options *opt, struct qn_store **out,
                  struct qn_err *e) QN_MUST_CHECK;
/* Releases the lock. No writer may be left. NULL is fine. */
void qn_store_close(struct qn_store *s);
/* Paths that live as long as the store: ROOT, ROOT/tmp, ROOT/uploads. */
const char *qn_store_root(const struct qn_store *s);
const char *qn_store_tmp(const struct qn_store *s);
const char *qn_store_uploads(const struct qn_store *s);

/* --- space -------------------------------------------------------------------------------------------------------- */
struct qn_store_space {
    uint64_t fs_total, fs_free; /* of the file system, as an unprivileged user sees it */
    uint64_t used;              /* bytes of all blobs as far as they were counted (qn_store_set_used) */
    uint64_t reserved;          /* promised to writers that are under way */
    uint64_t max_size;          /* as configured */
};
int qn_store_space(struct qn_store *s, struct qn_store_space *out, struct qn_err *e) QN_MUST_CHECK;
/* Tells the store how many bytes its blobs take (from qn_index_used at start); it keeps count from then on. */
void qn_store_set_used(struct qn_store *s, uint64_t used);
/* Promises `bytes` to a download or a job; NO_SPACE when they would pass max_size or the watermark of the file
 * system. Give them back with qn_store_release() when the blob is committed or dropped. */
int qn_store_reserve(struct qn_store *s, uint64_t bytes, struct qn_err *e) QN_MUST_CHECK;
void qn_store_release(struct qn_store *s, uint64_t bytes);

/* --- writing ------------------------------------------------------------------------------------------------------ */
struct qn_blob_writer {
    struct qn_store *store;
    int fd; /* unnamed file; -1 when finished */
    uint64_t size;
    uint64_t reserved;
    struct qn_hash hash;
};
/* Starts a blob. `reserve` bytes are reserved first (0: unknown size, nothing reserved). */
int qn_blob_begin(struct qn_store *s, enum qn_digest_algorithm algorithm, uint64_t reserve, struct qn_blob_writer *out,
                  struct qn_err *e) QN_MUST_CHECK;
int qn_blob_write(struct qn_blob_writer *w, const void *p, size_t n, struct qn_err *e) QN_MUST_CHECK;
/* The writer as a sink; it must outlive the sink. */
struct qn_sink qn_blob_writer_sink(struct qn_blob_writer *w);
/* Makes the blob durable under its name. DIGEST_MISMATCH or SIZE_MISMATCH when `expect` (may be NULL) or `size`
 * (UINT64_MAX: any) differ. The writer is finished in every case; on failure nothing is left. A blob that is
 * there already is success. `*out` (may be NULL) is the digest. */
int qn_blob_commit(struct qn_blob_writer *w, const struct qn_digest *expect, uint64_t size, struct qn_digest *out,
                   struct qn_err *e) QN_MUST_CHECK;
/* Drops an unfinished blob. Safe on a finished or zeroed writer. */
void qn_blob_abort(struct qn_blob_writer *w);
#define qn_auto_blob QN_CLEANUP(qn_blob_abort)
/* A whole blob from memory (manifests, configs, reports); SHA-256. */
int qn_blob_put(struct qn_store *s, struct qn_str bytes, struct qn_digest *out, struct qn_err *e) QN_MUST_CHECK;
/* The same for bytes whose digest the caller computed, of any algorithm. */
int qn_blob_put_as(struct qn_store *s, struct qn_str bytes, const struct qn_digest *d, struct qn_err *e) QN_MUST_CHECK;
/* An unnamed, writable file in ROOT/tmp that qn_blob_adopt() can link without a copy; -1 on failure. */
int qn_blob_tmpfile(struct qn_store *s, struct qn_err *e) QN_MUST_CHECK;
/* Makes an already hashed unnamed file durable under its name. The caller vouches for `digest`; the size is checked
 * (SIZE_MISMATCH). A file of another file system or a memory file is copied (and hashed again: DIGEST_MISMATCH).
 * `fd` stays the caller's and must not be written to any more. */
int qn_blob_adopt(struct qn_store *s, int fd, const struct qn_digest *digest, uint64_t size,
                  struct qn_err *e) QN_MUST_CHECK;

/* --- reading ------------------------------------------------------------------------------------------------------ */
/* Opens a blob read-only, close-on-exec. BLOB_UNKNOWN when there is none. */
int qn_blob_open(struct qn_store *s, const struct qn_digest *d, int *fd, uint64_t *size,
                 struct qn_err *e) QN_MUST_CHECK;
/* Its size; BLOB_UNKNOWN when there is none. */
int qn_blob_stat(struct qn_store *s, const struct qn_digest *d, uint64_t *size, struct qn_err *e) QN_MUST_CHECK;
/* Appends a whole blob to `b` (whose ceiling applies), hashing it: DIGEST_MISMATCH when the file was damaged. */
int qn_blob_read(struct qn_store *s, const struct qn_digest *d, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* Unlinks a blob; a missing one is success. Descriptors that are open go on working. */
int qn_blob_remove(struct qn_store *s, const struct qn_digest *d, struct qn_err *e) QN_MUST_CHECK;
/* Calls `fn` for every blob in order of algorithm and digest; stops when it fails. Files with foreign names are
 * skipped. `changed` is the time of the last status change in seconds. */
int qn_blob_each(struct qn_store *s,
                 int (*fn)(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed, struct qn_err *e),
                 void *arg, struct qn_err *e) QN_MUST_CHECK;
/* Hashes a blob again. When it does not match, `*ok` is false and the file is moved to ROOT/tmp/quarantine, which the
 * next start removes; the caller then deletes its row. Reads past the page cache as far as the kernel lets us. */
int qn_blob_scrub(struct qn_store *s, const struct qn_digest *d, bool *ok, struct qn_err *e) QN_MUST_CHECK;

#endif
