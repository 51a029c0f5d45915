/* Streaming decompression of layers: plain, gzip (RFC 1952, RFC 1951) and zstd (RFC 8878).
 *
 * Push style: feed compressed bytes in pieces of any size; decompressed bytes go to a sink in pieces of at most
 * 128 KiB. Memory is flat: about 300 KiB for gzip; for zstd the frame's window, of which at most 64 MiB
 * (QN_ZSTD_WINDOW_LOG 26; `zstd -19` uses 8 MiB, only --ultra and --long go beyond) are accepted.
 *
 * Strict where decoders disagree: every gzip member's CRC-32 and ISIZE and every zstd checksum is verified; reserved
 * gzip flags, a wrong header CRC, header fields beyond 64 KiB, more than 1,000,000 members or frames and any
 * byte but zero after the last member are errors. Many members or frames, skippable frames among them, are fine.
 *
 * gzip runs through ISA-L. Compiled with -DQN_NO_ISAL, or switched to zlib with qn_inflate_use_zlib(), a stream
 * that both accept gives the same bytes. */
#ifndef QN_FORMATS_INFLATE_H
#define QN_FORMATS_INFLATE_H

#include "base/err.h"
#include "base/sink.h"
#include "base/str.h"
#include "compression.h"

#include <stdint.h>

#define QN_ZSTD_WINDOW_LOG 26 /* largest accepted zstd window: 64 MiB of worker memory */

struct qn_inflate {
    enum qn_compression compression;
    uint64_t in;  /* compressed bytes consumed so far */
    uint64_t out; /* uncompressed bytes given to the sink so far */
    uint64_t max_out;
    uint64_t ratio;
    struct qn_inflate_state *state;
};

/* Starts a stream. `max_out`: most uncompressed bytes (LIMIT beyond). `ratio`: most uncompressed bytes for each
 * compressed byte, watched once more than QN_RATIO_FREE bytes came out; 0 for none. NOMEM on failure. */
int qn_inflate_init(struct qn_inflate *self, enum qn_compression compression, uint64_t max_out, uint64_t ratio,
                    struct qn_err *e) QN_MUST_CHECK;
/* Decompresses `n` bytes into `out`. MALFORMED for bytes that are not such a stream, LIMIT beyond the limits, or
 * what the sink failed with. Messages name the compressed and the uncompressed offset. After a failure only fini. */
int qn_inflate_feed(struct qn_inflate *self, const void *p, size_t n, const struct qn_sink *out,
                    struct qn_err *e) QN_MUST_CHECK;
/* Says that no more bytes come: MALFORMED when the stream is not complete. */
int qn_inflate_finish(struct qn_inflate *self, struct qn_err *e) QN_MUST_CHECK;
/* Frees; safe on a zeroed or finished stream. */
void qn_inflate_fini(struct qn_inflate *self);
#define qn_auto_inflate QN_CLEANUP(qn_inflate_fini)

/* Makes a gzip stream that was just initialised run through zlib instead of ISA-L. No effect on others. */
int qn_inflate_use_zlib(struct qn_inflate *self, struct qn_err *e) QN_MUST_CHECK;

/* Tells the compression from the first bytes (QN_COMPRESSION_SNIFF of them, fewer only at the end of the data):
 * gzip and zstd (also a leading skippable frame) by their magic numbers, everything else is QN_PLAIN. */
enum qn_compression qn_compression_detect(struct qn_str head);
/* "plain", "gzip", "zstd". */
const char *qn_compression_name(enum qn_compression compression);

#endif
