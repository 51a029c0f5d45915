/* Storage maintenance as jobs: collection of what nothing needs, and reading every blob again. */
#ifndef QN_SERVICE_UPKEEP_H
#define QN_SERVICE_UPKEEP_H

#include "site.h"

#include "store/rows_job.h"

enum qn_upkeep { QN_UPKEEP_GC = 1, QN_UPKEEP_SCRUB };

/* Starts it on a thread of the site; `id` is the job's, where failures stand. BUSY when too much waits. Blocks for the
 * index. */
int qn_upkeep_start(struct qn_site *site, enum qn_upkeep what, char id[QN_JOB_ID], struct qn_err *e) QN_MUST_CHECK;

#endif
