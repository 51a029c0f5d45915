/* Reports as one page that a person can read and an auditor can file. */
#ifndef QN_HARDEN_HTML_H
#define QN_HARDEN_HTML_H

#include "base/json.h"

/* A self-contained HTML page about a list of reports (contract section 6), one section each: figures, rules with what
 * they changed and why, what stays and why, packages, findings with their codes, controls, verification. No script, no
 * reference to anything outside; every text is escaped, whatever the reports hold. Appends to `out`; LIMIT when that is
 * full. Pure. */
int qn_report_html(const json_t *reports, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;

#endif
