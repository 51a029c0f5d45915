/* Carries out a piece list: old layer and pieces in, new compressed layer out. Memory is flat (at most 8 MiB and
 * the codecs' windows), time is linear. Splicing the old deflate stream instead of compressing anew may come
 * behind the same function; the engine's name says which one made the bytes. */
#ifndef QN_HARDEN_REWRITE_H
#define QN_HARDEN_REWRITE_H

#include "base/err.h"
#include "formats/compression.h"
#include "formats/digest.h"

#include <stdint.h>

struct qn_rewrite {
    int source;               /* the old layer, read with pread from 0 */
    enum qn_compression from; /* QN_PLAIN: `source` is the uncompressed tar and COPY may jump; otherwise it is
                                  * inflated once, front to back, and COPY must ascend */
    uint64_t source_size;     /* bytes of `source`; more are not read */
    uint64_t tar_size;        /* of the old uncompressed tar: bound of COPY */
    int file;                 /* what FILE pieces read, or -1 */
    struct qn_str pieces;     /* encoding; treated as foreign */
    enum qn_compression to;
    int out;          /* written from its current position */
    uint64_t max_out; /* most bytes of the new uncompressed tar */
};

struct qn_rewritten {
    struct qn_digest diff_id; /* SHA-256 of the new uncompressed tar */
    uint64_t tar_size;        /* of the new uncompressed tar */
    uint64_t size;            /* bytes written to `out` */
};

/* MALFORMED for bad pieces (also a COPY that steps back in a compressed source), a source that does not inflate or is
 * shorter than tar_size; LIMIT beyond max_out; IO. What was written to `out` before a failure is worthless. */
int qn_rewrite(const struct qn_rewrite *self, struct qn_rewritten *out, struct qn_err *e) QN_MUST_CHECK;

#endif
