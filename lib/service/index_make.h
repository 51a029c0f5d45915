/* The index of hardened children: a pure function of the source index and what became of its entries (contract
 * section 4, "Indexes"). The daemon and the command line both make their indexes here. */
#ifndef QN_SERVICE_INDEX_MAKE_H
#define QN_SERVICE_INDEX_MAKE_H

#include "base/json.h"
#include "formats/manifest.h"

/* What became of one entry of the source index. */
struct qn_index_child {
    const struct qn_descriptor *source; /* borrows from the source index */
    bool attestation;                   /* describes a sibling: see qn_index_attests() */
    bool taken;                         /* an image (or index) that the result has */
    bool unchanged;                     /* taken, and its digest is the source's */
    struct qn_digest digest;            /* taken: of what stands in for it, and its size in bytes */
    uint64_t size;
};

/* Whether an attestation stays: what it describes is emitted unchanged. */
bool qn_index_attests(const struct qn_index_child *attestation, const struct qn_index_child *all, size_t n);

/* Where an index comes from, for its annotations (OCI indexes only). */
struct qn_index_origin {
    const struct qn_digest *source;
    const char *policy; /* NAME@DIGEST */
    const char *engine;
};
/* Makes the result; `children` has one element for each entry of `m`, in its order. `*same` tells that nothing is
 * different, and the source's own bytes stand. DENIED when no entry is left: `platforms` names what was asked for.
 * The caller owns `*out`. */
int qn_index_make(const struct qn_manifest *m, const struct qn_index_child *children,
                  const struct qn_index_origin *from, const char *platforms, json_t **out, bool *same,
                  struct qn_err *e) QN_MUST_CHECK;

#endif
