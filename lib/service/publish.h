/* Recording what a derivation came to: rows before work starts, results in one transaction, failures with their
 * memory (contract section 4, "Failure memory"). */
#ifndef QN_SERVICE_PUBLISH_H
#define QN_SERVICE_PUBLISH_H

#include "job.h"

/* Records an attempt before it starts and gives the row. */
int qn_derivation_begin(struct qn_site *site, const struct qn_subject *s, struct qn_row_derivation *row,
                        struct qn_err *e) QN_MUST_CHECK;
/* Writes the rows that answer questions across images (store/rows_search.h) from a result's report. */
int qn_result_rows(struct qn_site *site, int64_t derivation, const json_t *report, struct qn_err *e) QN_MUST_CHECK;
/* Stores manifest, config and report, writes the report's rows, and marks the row done in one transaction after the
 * blobs are durable. */
int qn_derivation_done(struct qn_site *site, const struct qn_subject *s, struct qn_row_derivation *row,
                       const struct qn_derived *d, struct qn_err *e) QN_MUST_CHECK;
/* The same for an index whose bytes are given. */
int qn_derivation_done_index(struct qn_site *site, struct qn_row_derivation *row, struct qn_str bytes,
                             const char *media_type, bool backed_off, struct qn_err *e) QN_MUST_CHECK;
/* Records a failure: bad input and refusals for good, others with a time to try again. Fills `out`. */
int qn_derivation_failed(struct qn_site *site, struct qn_row_derivation *row, const struct qn_err *why,
                         struct qn_outcome *out, struct qn_err *e) QN_MUST_CHECK;
/* Facts and rewritten layers remembered in the site's store and index. */
void qn_derive_store_cache(struct qn_site *site, struct qn_derive_cache *out);

#endif
