#include "counters.h"

#include <string.h>

const char *const qn_stage_names[QN_STAGES] = {"queued", "fetch", "plan", "rewrite", "verify", "commit"};
const unsigned qn_stage_bounds[QN_STAGE_BOUNDS] = {10, 25, 50, 100, 250, 500, 1000, 2500, 10000, 30000, 60000, 300000};

void qn_stage_took(struct qn_site_counters *c, const char *stage, int64_t ms)
{
    size_t b = 0;

    for (size_t i = 0; i < QN_STAGES; i++) {
        if (strcmp(qn_stage_names[i], stage) != 0)
            continue;
        while (b < QN_STAGE_BOUNDS && ms > (int64_t)qn_stage_bounds[b])
            b++;
        atomic_fetch_add(&c->stage[i].bucket[b], 1);
        atomic_fetch_add(&c->stage[i].sum_ms, ms > 0 ? (uint64_t)ms : 0);
        return;
    }
}
