/* Inside of a derivation: what its stages share. */
#ifndef QN_SERVICE_DERIVE_INT_H
#define QN_SERVICE_DERIVE_INT_H

#include "derive.h"

#include "base/mem.h"
#include "formats/compression.h"

#include <pthread.h>

struct qn_work_layer {
    const struct qn_descriptor *descriptor;
    int blob, spill, facts; /* -1 when not there */
    uint64_t facts_size, tar_size;
    enum qn_compression compression;
    enum qn_layer_state state;
    uint64_t pieces_off, pieces_len, entries;
    struct qn_digest edits;
    struct qn_derive_layer made; /* when rewritten */
    enum qn_compression made_compression;
    int made_facts; /* of the emitted blob */
    uint64_t made_facts_size;
    uint64_t fetched;
};

struct qn_derivation {
    const struct qn_derive_env *env;
    const struct qn_derive_source *source;
    const struct qn_derive_policy *policy;
    json_t *document; /* the policy as tried now: a lower profile after a back-off */
    struct qn_str bytes;
    struct qn_digest digest;
    struct qn_manifest manifest;
    struct qn_buf config;
    struct qn_work_layer *layer;
    size_t count;
    int bundle, pieces;
    struct qn_extent *extent; /* 2 * count: source, then result */
    uint64_t bundle_size, spilled, total, rewritten;
    json_t *plan; /* the answer of PLAN */
    struct qn_buf new_config;
    json_t *verification, *after;
    bool verified;
    pthread_mutex_t lock; /* of the three below and of `spilled`, `fetched`, `rewritten` */
    size_t next;
    bool failed;
    struct qn_err err;
    const char *stage;
};

/* Runs `work` for every layer on env->parallel threads; the first failure wins. */
int qn_derive_each(struct qn_derivation *d, const char *stage,
                   int (*work)(struct qn_derivation *d, size_t i, struct qn_err *e), struct qn_err *e) QN_MUST_CHECK;
int qn_derive_scan(struct qn_derivation *d, size_t i, struct qn_err *e) QN_MUST_CHECK;
int qn_derive_plan(struct qn_derivation *d, struct qn_err *e) QN_MUST_CHECK;
int qn_derive_rewrite(struct qn_derivation *d, size_t i, struct qn_err *e) QN_MUST_CHECK;
int qn_derive_config(struct qn_derivation *d, struct qn_err *e) QN_MUST_CHECK;
int qn_derive_verify(struct qn_derivation *d, struct qn_err *e) QN_MUST_CHECK;
/* Manifest, report and digests of the result. */
int qn_derive_assemble(struct qn_derivation *d, struct qn_derived *out, struct qn_err *e) QN_MUST_CHECK;
int qn_derive_unchanged(struct qn_derivation *d, struct qn_derived *out, struct qn_err *e) QN_MUST_CHECK;
/* The facts of the source, which leave the derivation; after the plan. */
struct qn_derived_facts *qn_derive_facts(struct qn_derivation *d);
/* Scans a file that is complete, in a worker. */
int qn_derive_scan_file(struct qn_derivation *d, int blob, uint64_t size, int facts, struct qn_scan_reply *out,
                        struct qn_err *e) QN_MUST_CHECK;
/* Waits for a worker within the job's deadline and cancellation. */
int qn_derive_wait(struct qn_derivation *d, struct qn_worker *w, struct qn_buf *reply, struct qn_err *e) QN_MUST_CHECK;
/* Puts the layer's number and digest in front of an error; returns -1. */
int qn_derive_at_layer(const struct qn_derivation *d, size_t i, struct qn_err *e);
/* Empty temporary file on the file system of the results. */
int qn_derive_tmp(struct qn_derivation *d, struct qn_err *e);

#endif
