#include "rewrite.h"
#include "base/fd.h"
#include "base/mem.h"
#include "formats/deflate.h"
#include "formats/inflate.h"
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

#define READ_BLOCK  (256u << 10)
#define WRITE_BLOCK (1u << 20)

/* The work: new tar bytes go through `deflate` and the hash into `block` and on to the file. */
struct work {
    const struct qn_rewrite *job;
    struct qn_pieces_view pieces;
    struct qn_deflate deflate;
    struct qn_hash hash;
    struct qn_sink sink; /* of compressed bytes */
    uint64_t tar_size;   /* new tar so far */
    uint64_t size;       /* compressed bytes so far */
    uint8_t *read_block;
    uint8_t *source_block; /* compressed bytes that the inflater still reads while pieces are put */
    uint8_t *block;        /* compressed bytes not yet written */
    size_t have;
    /* A compressed source: how far the old tar has come, and the COPY piece that waits for its bytes. */
    uint64_t old_off;
    struct qn_piece piece; /* what is left of it; length 0 when there is none */
    bool more;             /* there are pieces behind it */
};

static int flush(struct work *w, struct qn_err *e)
{
    size_t n = w->have;

    w->have = 0;
    if (n && qn_fd_write(w->job->out, w->block, n, e) < 0)
        return qn_err_wrap(e, "new layer");
    return 0;
}

static int write_compressed(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct work *w = ctx;

    w->size += n;
    if (n > WRITE_BLOCK - w->have && flush(w, e) < 0)
        return -1;
    if (n >= WRITE_BLOCK)
        return qn_fd_write(w->job->out, p, n, e);
    memcpy(w->block + w->have, p, n);
    w->have += n;
    return 0;
}

/* Bytes of the new tar. */
static int put(struct work *w, const void *p, size_t n, struct qn_err *e)
{
    w->tar_size += n;
    qn_hash_update(&w->hash, p, n);
    return qn_deflate_feed(&w->deflate, p, n, &w->sink, e);
}

static int put_zeros(struct work *w, uint64_t n, struct qn_err *e)
{
    static const uint8_t zeros[16384];

    while (n) {
        size_t part = (size_t)QN_MIN(n, (uint64_t)sizeof zeros);
        if (put(w, zeros, part, e) < 0)
            return -1;
        n -= part;
    }
    return 0;
}

static int put_from(struct work *w, int fd, const char *what, uint64_t off, uint64_t n, struct qn_err *e)
{
    while (n) {
        size_t part = (size_t)QN_MIN(n, (uint64_t)READ_BLOCK), got;
        if (qn_fd_pread(fd, w->read_block, part, off, &got, e) < 0)
            return qn_err_wrap(e, "%s", what);
        if (got < part)
            return qn_fail(e, QN_E_MALFORMED, "%s ends at %llu, a piece needs more", what,
                           (unsigned long long)(off + got));
        if (put(w, w->read_block, part, e) < 0)
            return -1;
        off += part;
        n -= part;
    }
    return 0;
}

/* Carries out every piece up to the next COPY, which is left in w->piece when the source is compressed. */
static int advance(struct work *w, struct qn_err *e)
{
    struct qn_piece p;

    w->piece.len = 0;
    while ((w->more = qn_pieces_next(&w->pieces, &p))) {
        int r = 0;
        if (p.kind == QN_PIECE_LIT) {
            r = put(w, p.bytes.p, p.bytes.n, e);
        } else if (p.kind == QN_PIECE_ZERO) {
            r = put_zeros(w, p.len, e);
        } else if (p.kind == QN_PIECE_FILE) {
            r = put_from(w, w->job->file, "inserted file", p.off, p.len, e);
        } else if (w->job->from == QN_PLAIN) {
            r = put_from(w, w->job->source, "old tar", p.off, p.len, e);
        } else {
            w->piece = p;
            return 0;
        }
        if (r < 0)
            return -1;
    }
    return 0;
}

/* Sink of the inflated source: the bytes [old_off, old_off + n) of the old tar. */
static int take_old(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct work *w = ctx;
    uint64_t start = w->old_off, end = start + n;

    w->old_off = end;
    while (w->piece.len && w->piece.off < end) {
        size_t skip = (size_t)(w->piece.off - start);
        size_t part = (size_t)QN_MIN(w->piece.len, end - w->piece.off);
        if (put(w, (const uint8_t *)p + skip, part, e) < 0)
            return -1;
        w->piece.off += part;
        w->piece.len -= part;
        if (w->piece.len == 0 && advance(w, e) < 0)
            return -1;
    }
    return 0;
}

static int inflate_source(struct work *w, struct qn_err *e)
{
    qn_auto_inflate struct qn_inflate inflate = {0};
    struct qn_sink sink = {take_old, w};
    uint64_t off = 0;

    if (!w->pieces.ascending)
        return qn_fail(e, QN_E_MALFORMED, "piece list steps back, which a compressed source cannot");
    /* The size is known from the scan: more is another layer than the one that was planned for. */
    if (qn_inflate_init(&inflate, w->job->from, w->job->tar_size, 0, e) < 0 || advance(w, e) < 0)
        return -1;
    while (w->piece.len) {
        size_t want = (size_t)QN_MIN((uint64_t)READ_BLOCK, w->job->source_size - off), got;
        if (qn_fd_pread(w->job->source, w->source_block, want, off, &got, e) < 0)
            return qn_err_wrap(e, "old layer");
        if (got == 0)
            return qn_fail(e, QN_E_MALFORMED, "old layer ends at %llu uncompressed bytes, a piece needs more",
                           (unsigned long long)w->old_off);
        if (qn_inflate_feed(&inflate, w->source_block, got, &sink, e) < 0)
            return qn_err_wrap(e, "old layer");
        off += got;
    }
    return 0;
}

static int run(struct work *w, struct qn_rewritten *out, struct qn_err *e)
{
    const struct qn_rewrite *job = w->job;

    if (qn_deflate_init(&w->deflate, job->to, e) < 0)
        return -1;
    if ((job->from == QN_PLAIN ? advance(w, e) : inflate_source(w, e)) < 0)
        return -1;
    if (qn_deflate_finish(&w->deflate, &w->sink, e) < 0 || flush(w, e) < 0)
        return -1;
    out->diff_id = qn_hash_final(&w->hash);
    out->tar_size = w->tar_size;
    out->size = w->size;
    return 0;
}

int qn_rewrite(const struct qn_rewrite *self, struct qn_rewritten *out, struct qn_err *e)
{
    struct work w = {.job = self};

    if (qn_pieces_open(self->pieces, self->tar_size, &w.pieces, e) < 0)
        return -1;
    if (w.pieces.size > self->max_out)
        return qn_fail(e, QN_E_LIMIT, "new tar of %llu bytes, at most %llu", (unsigned long long)w.pieces.size,
                       (unsigned long long)self->max_out);
    if (w.pieces.file_end && self->file < 0)
        return qn_fail(e, QN_E_MALFORMED, "piece list inserts a file and there is none");
    w.sink = (struct qn_sink){write_compressed, &w};
    w.read_block = malloc(READ_BLOCK);
    w.source_block = malloc(READ_BLOCK);
    w.block = malloc(WRITE_BLOCK);
    qn_hash_init(&w.hash, QN_SHA256);
    int r =
        w.read_block && w.source_block && w.block ? run(&w, out, e) : qn_fail(e, QN_E_NOMEM, "no memory for a rewrite");
    qn_hash_fini(&w.hash);
    qn_deflate_fini(&w.deflate);
    free(w.read_block);
    free(w.source_block);
    free(w.block);
    return r;
}
