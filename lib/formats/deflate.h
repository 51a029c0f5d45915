/* Streaming compression of layers: plain, gzip, zstd. The same bytes in give the same bytes out, however they are
 * cut into pieces and on every machine with the same codec versions (qn_codec_engine()).
 *
 * gzip is one member with MTIME 0, no name and OS 255, made by zlib. ISA-L's compressor is not used: its output
 * depends on the processor.
 *
 * Levels, measured on a Debian 12 minbase root file system (170 MB of tar, zlib 1.2.13, one core of a shared EPYC):
 *
 *     gzip level    1     2     3     4     5     6      zstd level    1     2     3     4
 *     MB/s         85    80    61    57    43    28                  438   353   237   167
 *     out/in     .389  .381  .376  .364  .357  .354                 .355  .322  .299  .295
 *
 * Level 4 takes half the time of 6, the level of most images, for 2.7 % more bytes: a cold pull waits for it. */
#ifndef QN_FORMATS_DEFLATE_H
#define QN_FORMATS_DEFLATE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/sink.h"
#include "compression.h"

#include <stdint.h>

#define QN_GZIP_LEVEL 4
#define QN_ZSTD_LEVEL 3

struct qn_deflate {
    enum qn_compression compression;
    uint64_t in;  /* uncompressed bytes taken */
    uint64_t out; /* compressed bytes given to the sink */
    struct qn_deflate_state *state;
};

/* Starts a stream; NOMEM on failure. Memory: gzip about 400 KiB, zstd about 4 MiB. */
int qn_deflate_init(struct qn_deflate *self, enum qn_compression compression, struct qn_err *e) QN_MUST_CHECK;
/* Compresses `n` bytes; output goes to `out` in pieces of at most 128 KiB (plain: as they came). Fails with what the
 * sink failed with. */
int qn_deflate_feed(struct qn_deflate *self, const void *p, size_t n, const struct qn_sink *out,
                    struct qn_err *e) QN_MUST_CHECK;
/* Ends the stream: the rest of the output. */
int qn_deflate_finish(struct qn_deflate *self, const struct qn_sink *out, struct qn_err *e) QN_MUST_CHECK;
/* Frees; safe on a zeroed or finished stream. */
void qn_deflate_fini(struct qn_deflate *self);
#define qn_auto_deflate QN_CLEANUP(qn_deflate_fini)

/* Appends the part of the engine's name that decides the bytes: "zlib-1.2.13-4,zstd-1.5.4-3". */
int qn_codec_engine(struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

#endif
