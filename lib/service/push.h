/* Pushes: what writes to local repositories. Blobs arrive as uploads (store/upload.h); everything that makes something
 * durable or changes the index runs on threads that may wait, and goes on when the client has left.
 * Source: OCI distribution-spec "Push", "Content Management". */
#ifndef QN_SERVICE_PUSH_H
#define QN_SERVICE_PUSH_H

#include "job.h"

#include "store/upload.h"

#define QN_PUSH_TAGS 32 /* of one manifest */

enum qn_push_kind {
    QN_PUSH_BLOB = 1,        /* ends an upload: upload, digest */
    QN_PUSH_CANCEL,          /* drops an upload: upload */
    QN_PUSH_MOUNT,           /* shows a blob of another repository: digest, from */
    QN_PUSH_MANIFEST,        /* bytes, media_type, digest (none: SHA-256), tags, condition */
    QN_PUSH_DELETE_TAG,      /* tag[0], condition */
    QN_PUSH_DELETE_MANIFEST, /* digest: from this repository, with its tags */
    QN_PUSH_DELETE_BLOB      /* digest: from this repository */
};

/* If-Match and If-None-Match on what a tag is before it changes: its source or what it serves. */
struct qn_push_condition {
    bool given, none; /* none: If-None-Match */
    bool any;         /* "*" */
    struct qn_digest digest[8];
    size_t digests;
};

struct qn_push_request {
    enum qn_push_kind kind;
    struct qn_route route; /* of a local repository */
    struct qn_digest digest;
    char upload[QN_UPLOAD_ID];
    char from[QN_ROW_REPO];
    char media_type[QN_ROW_MEDIA];
    struct qn_str bytes; /* borrowed for the call */
    char tag[QN_PUSH_TAGS][QN_ROW_TAG];
    size_t tags;
    struct qn_push_condition condition;
};

/* What a push came to; immutable once it is there, and alive as long as the push. */
struct qn_push_result {
    bool failed;
    struct qn_err err;
    json_t *missing; /* MANIFEST_BLOB: an array of {digest, mediaType}; else NULL */
    struct qn_digest digest;
    struct qn_digest subject; /* none: algorithm 0 */
    bool held;                /* QN_PUSH_MANIFEST: a tag is frozen or rolled back, and stays at what it serves */
    bool mounted;             /* QN_PUSH_MOUNT; when not, an upload is to be started */
};

struct qn_push;
/* Starts it; BUSY when too many are under way. Release with qn_push_release(). */
int qn_push_start(struct qn_site *site, const struct qn_push_request *rq, struct qn_push **out,
                  struct qn_err *e) QN_MUST_CHECK;
void qn_push_release(struct qn_push *p); /* NULL is fine */
/* Arranges for `wake` to be called once when it is done; false (and nothing arranged) when it is. One waiter: an
 * earlier one is woken now. */
bool qn_push_wait(struct qn_push *p, void (*wake)(void *arg), void *arg);
/* The result when done, or NULL. */
const struct qn_push_result *qn_push_result(struct qn_push *p);

#endif
