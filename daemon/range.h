/* The Range header, single byte ranges only. Source: RFC 9110 sections 14.1.2, 14.2. */
#ifndef QN_DAEMON_RANGE_H
#define QN_DAEMON_RANGE_H

#include "base/str.h"

#include <stdint.h>

enum qn_range {
    QN_RANGE_NONE, /* no range, or one that may be ignored: other units, several ranges, wrong syntax */
    QN_RANGE_PART, /* a part: answer 206 */
    QN_RANGE_BAD,  /* not satisfiable, or ending before it begins: answer 416 */
};

/* Reads the Content-Range of an upload's chunk, "FIRST-LAST" (OCI distribution-spec "Pushing a blob in chunks"), also
 * in the form of RFC 9110, "bytes FIRST-LAST/LENGTH". False when it is neither, or too large to count. */
bool qn_range_content(struct qn_str header, uint64_t *first, uint64_t *last);
/* Reads "bytes=FIRST-LAST", "bytes=FIRST-" or "bytes=-SUFFIX" against a content of `size` bytes. For QN_RANGE_PART
 * sets `*first` and `*last` (inclusive, clamped to the content). */
enum qn_range qn_range_parse(struct qn_str header, uint64_t size, uint64_t *first, uint64_t *last);

#endif
