/* The report (contract section 6): first what the plan knows; what only the result knows is added afterwards. */
#ifndef QN_HARDEN_REPORT_H
#define QN_HARDEN_REPORT_H

#include "plan.h"

/* `schema`, `platform`, `policy` (profile, achieved, use), `before` (compressed_bytes 0), `packages`, `rules`, `kept`,
 * `findings`, `controls`. A function of the plan alone. The caller owns it. */
json_t *qn_report_plan(const struct qn_plan *p, struct qn_err *e) QN_MUST_CHECK;

#endif
