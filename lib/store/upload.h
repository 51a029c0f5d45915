/* Blobs on their way in: ROOT/uploads/ID, one file each, hashed while it is written and linked into place when it is
 * whole. What was written stays when a connection is cut and when the daemon ends; the hash is then made again from the
 * file. Any number of threads; one writer at a time in each upload.
 * Source: OCI distribution-spec "Pushing blobs". */
#ifndef QN_STORE_UPLOAD_H
#define QN_STORE_UPLOAD_H

#include "blob.h"

#define QN_UPLOAD_ID   72    /* room for a UUID, a dash, 32 hex digits and NUL */
#define QN_UPLOADS_MAX 16384 /* at a time */

struct qn_uploads;

/* Finds what an earlier process left in ROOT/uploads. `s` must outlive it. */
int qn_uploads_open(struct qn_store *s, struct qn_uploads **out, struct qn_err *e) QN_MUST_CHECK;
/* Forgets what is in memory; files stay. No writer may be left. NULL is fine. */
void qn_uploads_close(struct qn_uploads *u);

/* Starts an empty upload. An id is good only together with the repository that it was made for. `algorithm` is what the
 * digest is expected to be of; QN_DIGEST_NONE means SHA-256. When there are too many, one that nobody has written to
 * for ten minutes makes room; BUSY when there is none. */
int qn_upload_start(struct qn_uploads *u, const char *repo, enum qn_digest_algorithm algorithm, char id[QN_UPLOAD_ID],
                    struct qn_err *e) QN_MUST_CHECK;
/* How many bytes there are. UPLOAD_UNKNOWN when there is no such upload in that repository. */
int qn_upload_size(struct qn_uploads *u, const char *repo, const char *id, uint64_t *size,
                   struct qn_err *e) QN_MUST_CHECK;

struct qn_upload_writer {
    struct qn_uploads *uploads;
    struct qn_upload *upload;
    uint64_t ticket; /* a later writer makes it void */
    uint64_t start;  /* offset of its first byte */
};
#define QN_UPLOAD_END UINT64_MAX
/* Becomes the writer. `offset` is where the bytes belong: RANGE unless that is where the upload ends; QN_UPLOAD_END
 * appends. Who names the right offset takes over from a writer that is still there (its connection may be dead, and
 * nobody knows yet); CONFLICT otherwise. `expect` bytes are coming (0: unknown): NO_SPACE when they do not fit.
 * `algorithm` (may be QN_DIGEST_NONE): what is known of the digest by now. */
int qn_upload_write_begin(struct qn_uploads *u, const char *repo, const char *id, uint64_t offset, uint64_t expect,
                          enum qn_digest_algorithm algorithm, struct qn_upload_writer *out,
                          struct qn_err *e) QN_MUST_CHECK;
/* Appends. CONFLICT when somebody took over. Writes to the page cache on the caller's thread. */
int qn_upload_write(struct qn_upload_writer *w, const void *p, size_t n, struct qn_err *e) QN_MUST_CHECK;
/* Stops writing; what was written stays. Safe on a zeroed writer. */
void qn_upload_write_end(struct qn_upload_writer *w);
#define qn_auto_upload_writer QN_CLEANUP(qn_upload_write_end)

/* Ends an upload: checks the digest, makes the blob durable under its name and forgets the upload. Blocking. The caller
 * holds a lease on `digest`. DIGEST_INVALID: the content has another one (the upload is dropped). CONFLICT: somebody
 * writes to it. After other failures it is still there. */
int qn_upload_commit(struct qn_uploads *u, const char *repo, const char *id, const struct qn_digest *digest,
                     uint64_t *size, struct qn_err *e) QN_MUST_CHECK;
/* Drops an upload, whoever writes to it. */
int qn_upload_cancel(struct qn_uploads *u, const char *repo, const char *id, struct qn_err *e) QN_MUST_CHECK;
/* Drops uploads that nobody has written to since `before` (seconds): how many. */
size_t qn_uploads_expire(struct qn_uploads *u, int64_t before);
/* How many there are, and their bytes. */
void qn_uploads_count(struct qn_uploads *u, size_t *n, uint64_t *bytes);

#endif
