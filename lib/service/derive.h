/* A derivation: from a source manifest to a hardened one (architecture.md section 1). Blocking; runs on a job's thread
 * and uses worker processes for everything that looks inside a layer. Knows nothing of stores, registries or clients:
 * where bytes come from and what is remembered between derivations comes through two sets of functions. */
#ifndef QN_SERVICE_DERIVE_H
#define QN_SERVICE_DERIVE_H

#include "base/json.h"
#include "base/limits.h"
#include "formats/manifest.h"
#include "worker/handle_image.h"

#include <stdatomic.h>

/* Where layers and configs come from. Called on several threads. */
struct qn_derive_source {
    /* Gives a layer. Calls `opened` once with a descriptor from which bytes can be read from offset 0, then `progress`
     * as more bytes are there, and returns when all are there and the digest was verified. The descriptor is then the
     * caller's to close. */
    int (*layer)(void *ctx, const struct qn_descriptor *d, int *fd, int (*opened)(void *arg, int fd, struct qn_err *e),
                 int (*progress)(void *arg, uint64_t available, struct qn_err *e), void *arg, struct qn_err *e);
    /* Appends a verified small blob (the config). */
    int (*blob)(void *ctx, const struct qn_descriptor *d, struct qn_buf *out, struct qn_err *e);
    void *ctx;
};

/* A rewritten layer. */
struct qn_derive_layer {
    struct qn_digest digest; /* of the compressed bytes */
    uint64_t size;
    struct qn_digest diff_id;
    uint64_t tar_size;
};

/* What is remembered between derivations; every function may be NULL. Failures of `put` are not fatal. */
struct qn_derive_cache {
    /* Facts of a layer: an open file (the caller closes it), its size and the size of the uncompressed layer. -1 in
     * `*fd` when unknown. */
    int (*facts_get)(void *ctx, const struct qn_digest *layer, int *fd, uint64_t *size, uint64_t *tar_size,
                     struct qn_err *e);
    int (*facts_put)(void *ctx, const struct qn_digest *layer, uint64_t layer_size, int fd, uint64_t size,
                     uint64_t tar_size, struct qn_err *e);
    /* A rewritten layer by its source and edits. */
    int (*rewrite_get)(void *ctx, const struct qn_digest *layer, const struct qn_digest *edits, bool *found,
                       struct qn_derive_layer *out, struct qn_err *e);
    /* Takes over a finished file (borrowed descriptor) that has `layer->digest`. Required. */
    int (*rewrite_put)(void *ctx, const struct qn_digest *source, const struct qn_digest *edits, int fd,
                       const struct qn_derive_layer *layer, struct qn_err *e);
    void *ctx;
};

struct qn_derive_progress {
    /* `stage`: "fetch", "plan", "rewrite", "verify"; bytes of compressed layers, 0 of 0 where nobody knows. Any of the
     * job's threads. */
    void (*report)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    void *ctx;
};

struct qn_derive_env {
    struct qn_workers *workers;
    const char *tmp; /* directory for spill files, on the file system of the results */
    struct qn_limits limits;
    uint64_t spill;            /* bytes of uncompressed tars kept between scan and rewrite; beyond: inflated again */
    unsigned parallel;         /* layers at work at the same time; at least 1 */
    int64_t deadline_ms;       /* monotonic; -1: none */
    const atomic_bool *cancel; /* may be NULL */
    const char *engine;
    bool plan_only;         /* stop after the plan: the result is the source, the report says what would be */
    const json_t *question; /* asked along with the plan (worker/handle_image.h); NULL: nothing */
    bool contents;          /* with plan_only: the facts hash contents, and go to the result, for qn_compare() */
    struct qn_derive_cache cache;
    struct qn_derive_progress progress;
};

struct qn_derive_policy {
    const char *name;   /* for annotations and people */
    const char *digest; /* "sha256:..." of the canonical document */
    const json_t *document;
};

enum qn_layer_state { QN_LAYER_UNCHANGED = 1, QN_LAYER_REWRITTEN, QN_LAYER_DROPPED };

struct qn_derived {
    bool unchanged;          /* the plan was empty (or had to be given up): the result is the source */
    bool backed_off;         /* the profile was lowered, or given up, because the verifier refused the first result */
    struct qn_digest digest; /* of the hardened manifest */
    char *manifest;          /* heap; the source's own when unchanged */
    size_t manifest_size;
    const char *media_type; /* static */
    char *config;           /* heap; NULL when unchanged */
    size_t config_size;
    struct qn_digest config_digest;
    struct qn_digest *new_layers; /* heap: digests given to rewrite_put or found by rewrite_get */
    size_t new_layer_count;
    json_t *report;                 /* owned */
    json_t *answer;                 /* to env->question; owned */
    struct qn_derived_facts *facts; /* with env->contents; owned */
};

/* What was learned of an image's layers. */
struct qn_derived_facts {
    int bundle; /* facts of all layers, one behind the other */
    size_t count;
    struct qn_extent *extent; /* where each one's are */
    struct qn_str config;     /* the configuration's bytes */
};

/* Derives. `bytes` are the source manifest's, verified by the caller. MALFORMED and LIMIT name layer and entry; VERIFY
 * when the result does not hold and the policy says deny; DENIED never. Free with qn_derived_fini(). */
int qn_derive(const struct qn_derive_env *env, const struct qn_derive_source *source,
              const struct qn_derive_policy *policy, struct qn_str bytes, struct qn_str media_type,
              struct qn_derived *out, struct qn_err *e) QN_MUST_CHECK;
void qn_derived_fini(struct qn_derived *d);
#define qn_auto_derived QN_CLEANUP(qn_derived_fini)

/* Compares two images by the facts of their derivations: harden/compare.h. */
int qn_compare(const struct qn_derive_env *env, const struct qn_derived_facts *before,
               const struct qn_derived_facts *after, json_t **out, struct qn_err *e) QN_MUST_CHECK;
void qn_derived_facts_free(struct qn_derived_facts *f); /* NULL is fine */

/* "0.1.0+zlib-...": version, codecs and SQLite; part of every derivation's key. `out` has 256 bytes. */
void qn_engine_text(char out[256]);

#endif
