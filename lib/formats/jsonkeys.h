/* Member names that decoders in Go read without regard to case. */
#ifndef QN_FORMATS_JSONKEYS_H
#define QN_FORMATS_JSONKEYS_H

#include "base/err.h"

#include <jansson.h>

/* Refuses an object with a member whose name differs from one of the NULL-terminated `keys` only by case: other
 * readers would take it for that member. MALFORMED names `where` and the member. `obj` may be NULL. */
int qn_json_exact_keys(const json_t *obj, const char *const *keys, const char *where, struct qn_err *e) QN_MUST_CHECK;

#endif
