/* What changed between two images, by file, by package and in the configuration: what `quench diff` prints. */
#ifndef QN_HARDEN_COMPARE_H
#define QN_HARDEN_COMPARE_H

#include "base/json.h"
#include "image/image.h"

/* Compares the merged views. {"equal", "files": [{"path", "change": "added|removed|changed", "type", "what": [...],
 * "from", "to"}], "packages": [{"package", "change", "from", "to"}], "config": [{"key", "from", "to"}], "counts":
 * {"added", "removed", "changed", "packages_added", "packages_removed", "packages_changed"}}. `what` names content,
 * size, mode, owner, link, device, capabilities, time, type. Contents are compared by the hashes in the facts; both
 * scans must have made them, else only sizes and times tell. At most 100,000 files are listed; then "truncated" is
 * there. Values of environment variables are not told. The caller owns the result. */
json_t *qn_compare_images(const struct qn_image *a, const struct qn_image *b);

#endif
