/* Reports as SARIF, for code scanning and gates. Source: OASIS "Static Analysis Results Interchange Format" 2.1.0. */
#ifndef QN_HARDEN_SARIF_H
#define QN_HARDEN_SARIF_H

#include "base/json.h"

/* One run with one result for each finding of the reports (contract section 6). A finding that hardening has taken away
 * is a result of kind "pass", unless `as_is`: then the image is meant as it came, and all of them are open. `uri` names
 * the image. Pure. The caller owns the document. */
json_t *qn_sarif_make(const json_t *const *reports, size_t n, const char *uri, bool as_is);

#endif
