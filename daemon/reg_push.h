/* What the handlers of pushes share. */
#ifndef QN_DAEMON_REG_PUSH_H
#define QN_DAEMON_REG_PUSH_H

#include "access.h"
#include "range.h"

/* Routes to a local repository and asks whether that may be done there; false when the request was answered (or, in
 * `handle`, parked by qn_exchange_may). */
bool qn_push_enter(struct qn_exchange *x, struct qn_http_request *r, enum qn_action action);
/* A request of a kind for the exchange's repository; free() it. */
struct qn_push_request *qn_push_request_new(const struct qn_exchange *x, enum qn_push_kind kind);
/* Starts a push (once) and gives its result when it is done and good; NULL when the request was parked or answered. */
const struct qn_push_result *qn_push_await(struct qn_exchange *x, struct qn_http_request *r,
                                           const struct qn_push_request *rq);
/* Answers with an error; `details` (borrowed, may be NULL) are told one by one. A full storage is a denial. */
void qn_push_respond_failed(struct qn_exchange *x, struct qn_http_request *r, const struct qn_err *e, json_t *details);

#endif
