/* From plan to piece lists: what each layer's new tar is made of. */
#ifndef QN_HARDEN_EMIT_H
#define QN_HARDEN_EMIT_H

#include "pieces.h"
#include "plan.h"

/* Writes the piece list of a layer (0 is the lowest). `*touched` is false when the new tar would be the old one;
 * `*entries` counts what is left of it. `out` was initialised by the caller. */
int qn_plan_emit(const struct qn_plan *p, uint32_t layer, struct qn_pieces *out, bool *touched, uint64_t *entries,
                 struct qn_err *e) QN_MUST_CHECK;

#endif
