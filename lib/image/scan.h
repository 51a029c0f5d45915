/* Scanning one layer: compressed bytes in, facts out. Streams; what it holds in memory grows with the number of
 * entries only. Runs inside a worker. */
#ifndef QN_IMAGE_SCAN_H
#define QN_IMAGE_SCAN_H

#include "layer.h"

#include "base/limits.h"
#include "formats/compression.h"

struct qn_scan_options {
    enum qn_compression compression;
    struct qn_limits limits;
    int spill;     /* gets the uncompressed tar, from its start; must be readable as well */
    int facts;     /* gets the facts file, from its start */
    bool diff_id;  /* hash the uncompressed tar */
    bool contents; /* hash every file's content: for comparing images, never for facts that are cached */
};

struct qn_scan_result {
    uint64_t entries;
    uint64_t tar_size;
    uint64_t facts_size;
    struct qn_digest diff_id; /* none unless asked for */
};

struct qn_scan {
    struct qn_scan_state *state;
};

/* Starts a scan. The file descriptors stay the caller's. */
int qn_scan_init(struct qn_scan *self, const struct qn_scan_options *options, struct qn_err *e) QN_MUST_CHECK;
/* Takes `n` more compressed bytes. MALFORMED or LIMIT, naming offset or entry; only fini afterwards. */
int qn_scan_feed(struct qn_scan *self, const void *p, size_t n, struct qn_err *e) QN_MUST_CHECK;
/* Says that no more bytes come: sorts, writes the facts. */
int qn_scan_finish(struct qn_scan *self, struct qn_scan_result *out, struct qn_err *e) QN_MUST_CHECK;
void qn_scan_fini(struct qn_scan *self);
#define qn_auto_scan QN_CLEANUP(qn_scan_fini)

/* Scans a whole file in one go, from its current offset. */
int qn_scan_file(const struct qn_scan_options *options, int layer, struct qn_scan_result *out,
                 struct qn_err *e) QN_MUST_CHECK;

#endif
