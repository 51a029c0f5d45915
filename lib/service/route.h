/* From the name that a client uses to an upstream or a local name and its repository: one resolver (contract section 4,
 * "Routing"). */
#ifndef QN_SERVICE_ROUTE_H
#define QN_SERVICE_ROUTE_H

#include "settings.h"

#include "formats/reference.h"
#include "store/index.h"

struct qn_route {
    const struct qn_upstream_settings *upstream; /* NULL for a local repository */
    const struct qn_local_settings *local;       /* NULL for an upstream's */
    bool build;                                  /* the path began with build/: the policy's `use` is build */
    char repo
        [QN_ROW_REPO]; /* canonical: [build/]UPSTREAM/REPOSITORY, NAME/REPOSITORY; what links and tags are kept under */
    char name[QN_ROW_REPO];       /* UPSTREAM/REPOSITORY, NAME/REPOSITORY: what policies and rules match */
    char remote[QN_NAME_MAX + 1]; /* the repository as the upstream knows it; below the local name */
};

/* Routes `name` (the part of the path between /v2/ and /manifests/ or the like). `mirror` is the kind of listener, `ns`
 * the value of ?ns= or empty. NAME_INVALID: not a repository name, or prefix and ns disagree. NAME_UNKNOWN: no such
 * upstream. DENIED: the upstream's allow list does not have it. */
int qn_route(const struct qn_settings *s, bool mirror, struct qn_str name, struct qn_str ns, struct qn_route *out,
             struct qn_err *e) QN_MUST_CHECK;

#endif
