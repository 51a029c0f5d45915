/* What the files of decide.h share. */
#ifndef QN_SERVICE_DECIDE_INT_H
#define QN_SERVICE_DECIDE_INT_H

#include "decide.h"

/* W. An entry of the audit log; detail members with NULL values are left out, `pairs` ends with NULL. */
int qn_audit_put(struct qn_tx *tx, const struct qn_actor *actor, const char *action, const char *subject,
                 const char *const *pairs, struct qn_err *e) QN_MUST_CHECK;

#endif
