/* Rewriting a layer in a worker: the request as the daemon makes it and the answer as it reads it. */
#ifndef QN_WORKER_HANDLE_REWRITE_H
#define QN_WORKER_HANDLE_REWRITE_H

#include "harden/rewrite.h"
#include "spawn.h"

/* Sends REWRITE. Like qn_rewrite(), but the piece list is the content of the file `pieces_fd` (job->pieces is not used;
 * a memory file will do); then qn_worker_wait() and qn_rewritten_decode(). The source must be complete. */
int qn_worker_request_rewrite(struct qn_worker *w, const struct qn_rewrite *job, int pieces_fd,
                              struct qn_err *e) QN_MUST_CHECK;
/* Reads the answer. MALFORMED when it is none. */
int qn_rewritten_decode(struct qn_str reply, struct qn_rewritten *out, struct qn_err *e) QN_MUST_CHECK;

#endif
