/* Inside of a push. */
#ifndef QN_SERVICE_PUSH_INT_H
#define QN_SERVICE_PUSH_INT_H

#include "push.h"

struct qn_push {
    struct qn_site *site;
    struct qn_push_request rq; /* rq.bytes: owned */
    unsigned refs;             /* under site->lock, like the next three */
    bool done;
    void (*wake)(void *arg);
    void *arg;
    struct qn_push_result result;
};

/* The work; `e` ends in the result. */
int qn_push_blob(struct qn_push *p, struct qn_err *e) QN_MUST_CHECK;
int qn_push_mount(struct qn_push *p, struct qn_err *e) QN_MUST_CHECK;
int qn_push_manifest(struct qn_push *p, struct qn_err *e) QN_MUST_CHECK;
int qn_push_delete_tag(struct qn_push *p, struct qn_err *e) QN_MUST_CHECK;
int qn_push_delete_manifest(struct qn_push *p, struct qn_err *e) QN_MUST_CHECK;
int qn_push_delete_blob(struct qn_push *p, struct qn_err *e) QN_MUST_CHECK;

/* W. PRECONDITION unless the condition holds for a tag as it is now. */
int qn_push_check(struct qn_tx *tx, const char *repo, const char *tag, const struct qn_push_condition *c,
                  struct qn_err *e) QN_MUST_CHECK;

#endif
