/* Rows about jobs, for the admin API and for knowing what was in flight when the daemon died. See index.h. */
#ifndef QN_STORE_ROWS_JOB_H
#define QN_STORE_ROWS_JOB_H

#include "rows_derive.h"

#define QN_JOB_ID 32 /* text, sorts by time of creation */

struct qn_row_job {
    char id[QN_JOB_ID];
    char kind[QN_ROW_SLUG]; /* "harden", "gc", "scrub" */
    char reference[QN_ROW_REF];
    int64_t derivation; /* id; 0: none */
    enum qn_state state;
    char stage[QN_ROW_SLUG]; /* "fetch", "scan", ... */
    uint64_t bytes_done, bytes_total;
    int64_t created, started, finished; /* milliseconds; 0: not yet */
    char error[QN_ROW_SLUG];            /* reason or code, "" for none */
    char message[QN_ROW_MESSAGE];
    uint32_t attempts;
};
/* A fresh id; two calls never give the same, and later calls give larger ones. Any thread. */
void qn_job_id(struct qn_index *ix, char out[QN_JOB_ID]);
/* W. Inserts or replaces. Written before work starts, so that a death finds it. */
int qn_index_job_put(struct qn_tx *tx, const struct qn_row_job *row, struct qn_err *e) QN_MUST_CHECK;
int qn_index_job_get(struct qn_tx *tx, const char *id, struct qn_row_job *out, bool *found,
                     struct qn_err *e) QN_MUST_CHECK;
/* Newest first, ids below `before` ("" from the newest), of one state (0: all), at most `max`. */
int qn_index_jobs(struct qn_tx *tx, enum qn_state state, const char *before, size_t max,
                  bool (*fn)(void *arg, const struct qn_row_job *row), void *arg, struct qn_err *e) QN_MUST_CHECK;
/* The same of one reference. */
int qn_index_jobs_for(struct qn_tx *tx, const char *reference, enum qn_state state, const char *before, size_t max,
                      bool (*fn)(void *arg, const struct qn_row_job *row), void *arg, struct qn_err *e) QN_MUST_CHECK;
/* W. Forgets finished jobs that ended before `before_ms`. */
int qn_index_jobs_prune(struct qn_tx *tx, int64_t before_ms, struct qn_err *e) QN_MUST_CHECK;

#endif
