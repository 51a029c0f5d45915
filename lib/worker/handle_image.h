/* Requests about images and their answers, as the daemon makes and reads them: scan a layer, plan an image, verify a
 * result. Payloads are JSON documents of our own making; files travel as descriptors. */
#ifndef QN_WORKER_HANDLE_IMAGE_H
#define QN_WORKER_HANDLE_IMAGE_H

#include "spawn.h"

#include "base/json.h"
#include "base/limits.h"
#include "formats/compression.h"
#include "formats/digest.h"

/* Where one facts file stands in a bundle: facts files of all layers, one behind the other in one file. */
struct qn_extent {
    uint64_t off, len;
};

struct qn_scan_reply {
    enum qn_compression compression; /* as its first bytes say */
    uint64_t entries, tar_size, facts_size;
    struct qn_digest diff_id; /* none unless asked for */
};
/* What a scan looks for beside the usual. */
enum { QN_SCAN_DIFF_ID = 1, QN_SCAN_CONTENTS = 2 };
/* Sends SCAN: `layer` is the (possibly still growing) blob, `spill` and `facts` are empty files. Call
 * qn_worker_progress() as bytes arrive. */
int qn_worker_request_scan(struct qn_worker *w, int layer, int spill, int facts, const struct qn_limits *limits,
                           unsigned what, struct qn_err *e) QN_MUST_CHECK;
int qn_scan_reply_read(struct qn_str reply, struct qn_scan_reply *out, struct qn_err *e) QN_MUST_CHECK;

/* Sends PLAN: the bundle's extents are the layers, lowest first; piece lists are written to `pieces`. `policy` is the
 * canonical policy document. The answer: {"empty", "layers": [{"touched", "entries", "pieces": [off, len], "edits"}],
 * "config", "report"}. `question` (may be NULL) is answered along with it, under "answer": {"explain": PATH or PACKAGE}
 * (harden/explain.h) or {"verify": true}: the verifier alone, as VERIFY answers. */
int qn_worker_request_plan(struct qn_worker *w, int bundle, const struct qn_extent *layers, size_t count,
                           struct qn_str config, const json_t *policy, const json_t *question, int pieces,
                           const struct qn_limits *limits, struct qn_err *e) QN_MUST_CHECK;

/* One image of a VERIFY request. */
struct qn_image_ref {
    struct qn_str config;
    const struct qn_extent *layers;
    size_t count;
};
/* Sends VERIFY. The answer: {"ok", "verification": [...], "after": {figures}}. */
int qn_worker_request_verify(struct qn_worker *w, int bundle, const struct qn_image_ref *before,
                             const struct qn_image_ref *after, const json_t *policy, const struct qn_limits *limits,
                             struct qn_err *e) QN_MUST_CHECK;

/* Sends COMPARE: two images, each in a bundle of its own, scanned with QN_SCAN_CONTENTS. The answer is that of
 * harden/compare.h. */
int qn_worker_request_compare(struct qn_worker *w, const int bundle[2], const struct qn_image_ref image[2],
                              const struct qn_limits *limits, struct qn_err *e) QN_MUST_CHECK;

#endif
