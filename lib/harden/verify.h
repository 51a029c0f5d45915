/* The verifier: would the result still start, and does it say the truth? It sees the source and the result as images
 * built from facts; those of rewritten layers come from a fresh scan of the emitted blobs. Necessary, never enough. */
#ifndef QN_HARDEN_VERIFY_H
#define QN_HARDEN_VERIFY_H

#include "rule.h"

struct qn_verify {
    const struct qn_image *before;
    const struct qn_image *after;
    const struct qn_options *opt;
    /* `before` is `after`: there is nothing to compare with, and what is reached must be well by itself. */
    bool alone;
};

#define QN_VERDICT_TEXT 512
/* Of one check. */
struct qn_verdict {
    bool ok;
    char detail[QN_VERDICT_TEXT]; /* the first thing that is wrong, or what was looked at */
};

/* Runs every check. `results` has QN_CHECK_COUNT places. True when all are well. */
enum qn_check {
#define X(name, summary) QN_CHECK_##name,
#include "checks.def"
#undef X
    QN_CHECK_COUNT
};
bool qn_verify_all(const struct qn_verify *v, struct qn_verdict results[QN_CHECK_COUNT]);
/* As the report's `verification` list. */
json_t *qn_verify_json(const struct qn_verdict results[QN_CHECK_COUNT]);
const char *qn_check_name(enum qn_check check);

#define X(name, summary) void qn_verify_##name(const struct qn_verify *v, struct qn_verdict *out);
#include "checks.def"
#undef X

/* For checks: records a failure (only the first one is kept). */
void qn_verdict_fail(struct qn_verdict *out, const char *fmt, ...) QN_PRINTF(2, 3);
/* The group that an image's process has: of config.User, or of the user's passwd row, or 0 as in runtimes. */
uint32_t qn_verify_group(const struct qn_image *img);
/* Permission bits (4 read, 2 write, 1 run or traverse) that the image's user, with that group, has on a node. */
unsigned qn_verify_bits(const struct qn_image *img, uint32_t node, uint32_t gid);
/* The node of the result that stands for one of the source, or QN_NO_NODE. */
uint32_t qn_verify_same(const struct qn_verify *v, uint32_t before);

#endif
