/* What /metrics tells of the service: counts and times since the start; all monotonic, any thread. */
#ifndef QN_SERVICE_COUNTERS_H
#define QN_SERVICE_COUNTERS_H

#include "deny.h"

#include "harden/rule.h"

#include <stdatomic.h>
#include <stdint.h>

/* Stages of a job, in order; the names are those of its progress. */
#define QN_STAGES       6
#define QN_STAGE_BOUNDS 12 /* upper bounds of the histogram, in milliseconds; beyond: one more */
extern const char *const qn_stage_names[QN_STAGES];
extern const unsigned qn_stage_bounds[QN_STAGE_BOUNDS];

struct qn_stage_times {
    atomic_uint_fast64_t bucket[QN_STAGE_BOUNDS + 1]; /* each by itself, not summed up */
    atomic_uint_fast64_t sum_ms;
};

struct qn_site_counters {
    atomic_uint_fast64_t pulls, memory_hits, jobs_done, jobs_failed, jobs_denied, upstream_resolves, upstream_manifests,
        stale_served, previous_served, held_served, layers_scanned, layers_rewritten, layers_reused, upstream_bytes,
        evicted_blobs, evicted_bytes;
    atomic_uint_fast64_t denied[QN_DENIALS];        /* by reason */
    atomic_uint_fast64_t backed_off[QN_RULE_COUNT]; /* results in which a rule backed off */
    atomic_uint_fast64_t profile_lowered;           /* results with a lower profile than was asked for */
    struct qn_stage_times stage[QN_STAGES];
};

/* Notes that a stage took so long; other names than qn_stage_names are ignored. */
void qn_stage_took(struct qn_site_counters *c, const char *stage, int64_t ms);

#endif
