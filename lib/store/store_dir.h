/* Inside of the blob store; private to this room. */
#ifndef QN_STORE_STORE_DIR_H
#define QN_STORE_STORE_DIR_H

#include "blob.h"

#include "base/fd.h"

#include <pthread.h>
#include <sys/types.h>

#define QN_BLOB_NAME  160u /* room for "sha512/ab/" and 128 hex digits */
#define QN_BLOB_CHUNK (1u << 20)

struct qn_store {
    char *root, *tmp, *uploads;
    int blobs_fd, tmp_fd, lock_fd;
    dev_t dev;
    uint64_t max_size, keep_free;
    pthread_mutex_t lock; /* of the counters */
    uint64_t used, reserved;
};

/* "sha256/ab/abcd..." and "sha256/ab". The digest must have an algorithm. */
void qn_blob_name(const struct qn_digest *d, char name[QN_BLOB_NAME], char dir[QN_BLOB_NAME]);
/* Gives a complete file its name and makes both durable. The caller vouches for digest and size, and that nobody writes
 * to the file any more. */
int qn_blob_place(struct qn_store *s, int fd, const struct qn_digest *d, uint64_t size, struct qn_err *e) QN_MUST_CHECK;
/* Blob bytes appeared or went. */
void qn_store_count(struct qn_store *s, int64_t bytes);

#endif
