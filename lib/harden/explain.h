/* Why a path or a package of an image is kept, changed or removed: what `quench explain` and the admin API print. */
#ifndef QN_HARDEN_EXPLAIN_H
#define QN_HARDEN_EXPLAIN_H

#include "plan.h"

/* Explains `what`: a path ("/usr/bin/x"; links in its directories are followed), the name of a package, or a command
 * of the image's PATH, in this order. {"kind": "path", "path", "type", "layer", "package", "state": "kept|changed|
 * removed|added", "rule", "because", "reason", "changes"} or {"kind": "package", "package", "purl", "state", "files",
 * "removed", "because", "paths": [...]}. `reason` is the chain of reasons that reaches the file, when something does.
 * NOT_FOUND when the image has nothing of that name. The caller owns the result; NULL on error. */
json_t *qn_explain(const struct qn_plan *p, struct qn_str what, struct qn_err *e);

#endif
