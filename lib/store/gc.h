/* What leaves the store, and whether files and rows agree. Contract section 7. */
#ifndef QN_STORE_GC_H
#define QN_STORE_GC_H

#include "blob.h"
#include "index.h"
#include "upload.h"

#include <stdatomic.h>

struct qn_gc_options {
    int64_t now;           /* seconds; 0: the clock */
    uint64_t keep_sources; /* seconds since last use */
    uint64_t keep_derivations;
    uint64_t upload_ttl;        /* unfinished uploads, and pushed blobs that no manifest names */
    struct qn_uploads *uploads; /* NULL: nobody uploads, the files alone are looked at */
    uint64_t grace;             /* everything younger stays; 0: one hour */
    uint64_t max_size;          /* 0: no limit; above it facts and idle sources go before their time */
    const atomic_bool *stop;    /* becomes true to end early; may be NULL */
};
struct qn_gc_result {
    uint64_t removed, freed; /* blobs, bytes */
    uint64_t kept, kept_bytes;
    bool still_full; /* max_size is exceeded by what may not go */
};
/* Marks and sweeps: never what is pinned, approved, tagged, leased, inside its window, or named by such. Everything
 * past its window goes; when max_size is still exceeded, layer facts go before their time, longest unused first.
 * Forgotten uploads, expired denials and jobs that ended a month ago go as well. One at a time (BUSY). Runs on the
 * caller's thread for seconds or minutes; pulls and jobs go on meanwhile. */
int qn_gc(struct qn_store *s, struct qn_index *ix, const struct qn_gc_options *opt, struct qn_gc_result *out,
          struct qn_err *e) QN_MUST_CHECK;

struct qn_check_result {
    uint64_t files, rows;
    uint64_t
        adopted; /* files without a row: got one (origin pushed: whose they are is not known, and nothing names them) */
    uint64_t missing; /* rows without a file: removed */
    uint64_t resized; /* rows whose size was not the file's: corrected, or both removed when the content is wrong */
};
/* Makes rows follow files. Before serving, or beside it. */
int qn_store_check(struct qn_store *s, struct qn_index *ix, struct qn_check_result *out,
                   struct qn_err *e) QN_MUST_CHECK;

struct qn_scrub_result {
    uint64_t checked, bytes, damaged;
};
/* Hashes every blob again; damaged ones lose file and row. `damaged` (may be NULL) is told of each. `*stop` (may be
 * NULL) ends it early. */
int qn_store_scrub(struct qn_store *s, struct qn_index *ix, const atomic_bool *stop,
                   void (*damaged)(void *arg, const struct qn_digest *d), void *arg, struct qn_scrub_result *out,
                   struct qn_err *e) QN_MUST_CHECK;

#endif
