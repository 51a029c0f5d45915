/* Rows that answer questions across images: which packages are in which result, and what was changed in one. Written
 * from a result's report; gone with the derivation's row. See index.h. */
#ifndef QN_STORE_ROWS_SEARCH_H
#define QN_STORE_ROWS_SEARCH_H

#include "rows_derive.h"

#define QN_ROW_PURL 512
#define QN_ROW_PATH 4200

/* --- packages ----------------------------------------------------------------------------------------------------- */
struct qn_row_package {
    char purl[QN_ROW_PURL];
    char state[16];     /* "kept", "partial", "removed" */
    int64_t derivation; /* its id */
};
/* W. Forgets what is known of a derivation's packages and changes. */
int qn_index_result_clear(struct qn_tx *tx, int64_t derivation, struct qn_err *e) QN_MUST_CHECK;
/* W. Replaces the row of (purl, derivation). Texts that are too long are LIMIT. */
int qn_index_package_put(struct qn_tx *tx, const struct qn_row_package *row, struct qn_err *e) QN_MUST_CHECK;

/* A package in an image that is served or may be. */
struct qn_found_package {
    char purl[QN_ROW_PURL];
    char state[16];
    int64_t derivation;
    struct qn_digest hardened;
    char platform[QN_ROW_PLATFORM];
    char reference[QN_ROW_REF];
    int64_t made, last_served; /* seconds */
    char tags[2048];           /* JSON array of references that serve it now, at most 10 */
};
/* Finished results in which a package is kept, by (purl, derivation) after (`after`, `after_id`) ("" and 0 from the
 * start), at most `max`. `purl` with a version matches that version; without one every version; with qualifiers the
 * very text. */
int qn_index_packages(struct qn_tx *tx, const char *purl, const char *after, int64_t after_id, size_t max,
                      bool (*fn)(void *arg, const struct qn_found_package *row), void *arg,
                      struct qn_err *e) QN_MUST_CHECK;

/* --- changes ------------------------------------------------------------------------------------------------------ */
struct qn_row_change {
    int64_t derivation;
    int64_t seq; /* in the report's order, from 1 */
    char rule[QN_ROW_SLUG];
    char action[16];
    char path[QN_ROW_PATH];
    char package[QN_ROW_NAME];
    char before[QN_ROW_NAME], after[QN_ROW_NAME];
    char because[QN_ROW_MESSAGE];
};
/* W. Texts other than the path that are too long are cut. */
int qn_index_change_put(struct qn_tx *tx, const struct qn_row_change *row, struct qn_err *e) QN_MUST_CHECK;
struct qn_change_filter {
    const char *path; /* NULL: any; else this path and what is below it */
    const char *rule; /* NULL: any */
    int64_t after;    /* seq */
};
/* Changes of a derivation in order, at most `max`; `fn` stops the walk by returning false. */
int qn_index_changes(struct qn_tx *tx, int64_t derivation, const struct qn_change_filter *f, size_t max,
                     bool (*fn)(void *arg, const struct qn_row_change *row), void *arg, struct qn_err *e) QN_MUST_CHECK;

#endif
