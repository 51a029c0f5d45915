#include "deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define IN_BLOCK  (64u << 10)
#define OUT_BLOCK (128u << 10)

struct qn_deflate_state {
    z_stream z;
    gz_header header;
    ZSTD_CCtx *zstd;
    bool ended;
    size_t have; /* bytes in `in` */
    /* Codecs always get whole blocks: where the caller cuts its pieces must not show in the output. */
    uint8_t in[IN_BLOCK];
    uint8_t out[OUT_BLOCK];
};

static int start_gzip(struct qn_deflate_state *st, struct qn_err *e)
{
    if (deflateInit2(&st->z, QN_GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return qn_fail(e, QN_E_NOMEM, "no memory for zlib");
    st->header.os = 255;
    if (deflateSetHeader(&st->z, &st->header) != Z_OK)
        return qn_fail(e, QN_E_BUG, "zlib refuses a gzip header");
    return 0;
}

static int start_zstd(struct qn_deflate_state *st, struct qn_err *e)
{
    st->zstd = ZSTD_createCCtx();
    if (!st->zstd)
        return qn_fail(e, QN_E_NOMEM, "no memory for zstd");
    if (ZSTD_isError(ZSTD_CCtx_setParameter(st->zstd, ZSTD_c_compressionLevel, QN_ZSTD_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(st->zstd, ZSTD_c_checksumFlag, 1)))
        return qn_fail(e, QN_E_BUG, "zstd refuses its parameters");
    return 0;
}

int qn_deflate_init(struct qn_deflate *self, enum qn_compression compression, struct qn_err *e)
{
    *self = (struct qn_deflate){.compression = compression};
    if (compression == QN_PLAIN)
        return 0;
    self->state = calloc(1, sizeof *self->state);
    if (!self->state)
        return qn_fail(e, QN_E_NOMEM, "no memory for a compressor");
    int r = compression == QN_GZIP ? start_gzip(self->state, e) : start_zstd(self->state, e);
    if (r < 0)
        qn_deflate_fini(self);
    return r;
}

void qn_deflate_fini(struct qn_deflate *self)
{
    if (!self->state)
        return;
    if (self->compression == QN_GZIP)
        deflateEnd(&self->state->z); /* harmless on a stream that was never started */
    ZSTD_freeCCtx(self->state->zstd);
    free(self->state);
    self->state = NULL;
}

static int emit(struct qn_deflate *self, const void *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    if (n == 0)
        return 0;
    self->out += n;
    return qn_sink_write(out, p, n, e);
}

static int gzip_block(struct qn_deflate *self, const uint8_t *p, size_t n, bool last, const struct qn_sink *out,
                      struct qn_err *e)
{
    struct qn_deflate_state *st = self->state;
    int r;

    st->z.next_in = (uint8_t *)(uintptr_t)p;
    st->z.avail_in = (uInt)n;
    do {
        st->z.next_out = st->out;
        st->z.avail_out = OUT_BLOCK;
        r = deflate(&st->z, last ? Z_FINISH : Z_NO_FLUSH);
        if (r == Z_STREAM_ERROR)
            return qn_fail(e, QN_E_BUG, "zlib lost its state");
        if (emit(self, st->out, OUT_BLOCK - st->z.avail_out, out, e) < 0)
            return -1;
    } while (last ? r != Z_STREAM_END : st->z.avail_out == 0);
    return 0;
}

static int zstd_block(struct qn_deflate *self, const uint8_t *p, size_t n, bool last, const struct qn_sink *out,
                      struct qn_err *e)
{
    struct qn_deflate_state *st = self->state;
    ZSTD_inBuffer in = {p, n, 0};
    size_t left;

    do {
        ZSTD_outBuffer to = {st->out, OUT_BLOCK, 0};
        left = ZSTD_compressStream2(st->zstd, &to, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return qn_fail(e, QN_E_BUG, "zstd: %s", ZSTD_getErrorName(left));
        if (emit(self, st->out, to.pos, out, e) < 0)
            return -1;
    } while (last ? left != 0 : in.pos < n);
    return 0;
}

static int block(struct qn_deflate *self, const uint8_t *p, size_t n, bool last, const struct qn_sink *out,
                 struct qn_err *e)
{
    return self->compression == QN_GZIP ? gzip_block(self, p, n, last, out, e) : zstd_block(self, p, n, last, out, e);
}

int qn_deflate_feed(struct qn_deflate *self, const void *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    struct qn_deflate_state *st = self->state;
    const uint8_t *at = p;

    self->in += n;
    if (self->compression == QN_PLAIN)
        return emit(self, p, n, out, e);
    while (n) {
        if (st->have == 0 && n >= IN_BLOCK) {
            if (block(self, at, IN_BLOCK, false, out, e) < 0)
                return -1;
            at += IN_BLOCK;
            n -= IN_BLOCK;
            continue;
        }
        size_t part = QN_MIN(n, IN_BLOCK - st->have);
        memcpy(st->in + st->have, at, part);
        st->have += part;
        at += part;
        n -= part;
        if (st->have == IN_BLOCK) {
            if (block(self, st->in, IN_BLOCK, false, out, e) < 0)
                return -1;
            st->have = 0;
        }
    }
    return 0;
}

int qn_deflate_finish(struct qn_deflate *self, const struct qn_sink *out, struct qn_err *e)
{
    struct qn_deflate_state *st = self->state;

    if (self->compression == QN_PLAIN)
        return 0;
    qn_assert(!st->ended);
    st->ended = true;
    return block(self, st->in, st->have, true, out, e);
}

int qn_codec_engine(struct qn_buf *b, struct qn_err *e)
{
    return qn_buf_printf(b, e, "zlib-%s-%d,zstd-%s-%d", zlibVersion(), QN_GZIP_LEVEL, ZSTD_versionString(),
                         QN_ZSTD_LEVEL);
}
