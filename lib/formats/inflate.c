#include "inflate.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#ifndef QN_NO_ISAL
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#endif

#define WINDOW          (128u << 10)
#define MAX_GZIP_HEADER (64u << 10)
#define MAX_MEMBERS     1000000u
#define STEP_MAX        (1u << 30) /* input given to a codec at once; its counters have 32 bits */
#define ZSTD_MAGIC      0xfd2fb528u
#define ZSTD_SKIPPABLE  0x184d2a50u /* and the 15 after it */
#define GZIP_HEADER_CRC 0x02u
#define GZIP_EXTRA      0x04u
#define GZIP_NAME       0x08u
#define GZIP_COMMENT    0x10u
#define GZIP_RESERVED   0xe0u

/* Where a gzip stream is. A member starts at FIXED; the parts that its flags do not announce are skipped. */
enum gzip_step {
    AT_FIXED,
    AT_EXTRA_LEN,
    AT_EXTRA,
    AT_NAME,
    AT_COMMENT,
    AT_HEADER_CRC,
    AT_BODY,
    AT_TRAILER,
    AT_BETWEEN,
    AT_PADDING,
};

struct qn_inflate_state {
    uint64_t members; /* or frames, finished */
    /* gzip */
    enum gzip_step step;
    bool zlib;       /* z is alive and inflates instead of ISA-L */
    uint8_t raw[10]; /* fixed part, extra length, header CRC or trailer */
    unsigned have;   /* bytes of it */
    unsigned extra;  /* bytes of the extra field still to come */
    uint8_t flags;
    uint32_t header_size;
    uint32_t header_crc;
    uint32_t crc;        /* of the member's data */
    uint64_t member_out; /* its length */
    uint8_t carry[8];    /* bytes behind a member's data that ISA-L had already taken */
    unsigned carried;
    z_stream z;
#ifndef QN_NO_ISAL
    struct inflate_state isal;
    bool avx;
#endif
    /* zstd */
    ZSTD_DCtx *zstd;
    unsigned magic_have; /* bytes of a frame's magic number, while between frames */
    uint8_t magic[4];
    uint8_t window[WINDOW];
};

#ifndef QN_NO_ISAL
/* ISA-L returns with the upper halves of the vector registers dirty, which slows the SSE code that follows (SHA). */
static inline void clean_vectors(const struct qn_inflate_state *st)
{
#if defined(__x86_64__)
    if (st->avx)
        __asm__ volatile("vzeroupper" ::: "memory");
#else
    (void)st;
#endif
}
#endif

static int fail_at(const struct qn_inflate *self, struct qn_err *e, const char *what)
{
    return qn_fail(e, QN_E_MALFORMED, "%s: %s at compressed offset %llu, uncompressed offset %llu",
                   qn_compression_name(self->compression), what, (unsigned long long)self->in,
                   (unsigned long long)self->out);
}

static int emit(struct qn_inflate *self, const void *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    if (n == 0)
        return 0;
    if (n > self->max_out - self->out)
        return qn_fail(e, QN_E_LIMIT, "%s: more than %llu uncompressed bytes (compressed offset %llu)",
                       qn_compression_name(self->compression), (unsigned long long)self->max_out,
                       (unsigned long long)self->in);
    uint64_t total = self->out + n;
    if (self->ratio && total > QN_RATIO_FREE && total / self->ratio > self->in)
        return qn_fail(e, QN_E_LIMIT, "%s: %llu uncompressed bytes out of %llu, more than %llu for one",
                       qn_compression_name(self->compression), (unsigned long long)total, (unsigned long long)self->in,
                       (unsigned long long)self->ratio);
    self->out = total;
    return qn_sink_write(out, p, n, e);
}

int qn_inflate_init(struct qn_inflate *self, enum qn_compression compression, uint64_t max_out, uint64_t ratio,
                    struct qn_err *e)
{
    *self = (struct qn_inflate){.compression = compression, .max_out = max_out, .ratio = ratio};
    if (compression == QN_PLAIN)
        return 0;
    struct qn_inflate_state *st = calloc(1, sizeof *st);
    if (!st)
        return qn_fail(e, QN_E_NOMEM, "no memory for a decompressor");
    self->state = st;
    if (compression == QN_ZSTD) {
        st->zstd = ZSTD_createDCtx();
        if (!st->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(st->zstd, ZSTD_d_windowLogMax, QN_ZSTD_WINDOW_LOG))) {
            qn_inflate_fini(self);
            return qn_fail(e, QN_E_NOMEM, "no memory for a zstd decompressor");
        }
        return 0;
    }
#ifndef QN_NO_ISAL
    isal_inflate_init(&st->isal);
#if defined(__x86_64__)
    st->avx = __builtin_cpu_supports("avx");
#endif
    return 0;
#else
    if (qn_inflate_use_zlib(self, e) == 0)
        return 0;
    qn_inflate_fini(self);
    return -1;
#endif
}

int qn_inflate_use_zlib(struct qn_inflate *self, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    if (self->compression != QN_GZIP || st->zlib)
        return 0;
    if (inflateInit2(&st->z, -15) != Z_OK)
        return qn_fail(e, QN_E_NOMEM, "no memory for zlib");
    st->zlib = true;
    return 0;
}

void qn_inflate_fini(struct qn_inflate *self)
{
    struct qn_inflate_state *st = self->state;

    if (!st)
        return;
    if (st->zlib)
        inflateEnd(&st->z);
    ZSTD_freeDCtx(st->zstd);
    free(st);
    self->state = NULL;
}

/* --- gzip: header and trailer, byte by byte ----------------------------------------------------------------------- */

/* Goes to the next part of the header that the flags announce, or to the data. */
static void next_part(struct qn_inflate_state *st)
{
    static const struct {
        enum gzip_step step;
        uint8_t flag;
    } parts[] = {
        {AT_EXTRA_LEN, GZIP_EXTRA}, {AT_NAME, GZIP_NAME}, {AT_COMMENT, GZIP_COMMENT}, {AT_HEADER_CRC, GZIP_HEADER_CRC}};

    st->have = 0;
    for (size_t i = 0; i < QN_ARRAY_LEN(parts); i++)
        if (parts[i].step > st->step && (st->flags & parts[i].flag)) {
            st->step = parts[i].step;
            return;
        }
    st->step = AT_BODY;
}

static void start_member(struct qn_inflate_state *st)
{
    st->step = AT_FIXED;
    st->have = 0;
    st->header_size = 0;
    st->header_crc = 0;
    st->crc = 0;
    st->member_out = 0;
    if (st->zlib)
        inflateReset(&st->z);
#ifndef QN_NO_ISAL
    else
        isal_inflate_reset(&st->isal);
#endif
}

static int fixed_byte(struct qn_inflate *self, uint8_t byte, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    st->raw[st->have++] = byte;
    if ((st->have == 1 && byte != 0x1f) || (st->have == 2 && byte != 0x8b))
        return fail_at(self, e, "no gzip header");
    if (st->have == 3 && byte != 8)
        return fail_at(self, e, "unknown compression method");
    if (st->have == 4 && (byte & GZIP_RESERVED))
        return fail_at(self, e, "reserved header flags are set");
    if (st->have == 10) {
        st->flags = st->raw[3];
        next_part(st);
    }
    return 0;
}

static int header_byte(struct qn_inflate *self, uint8_t byte, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    if (++st->header_size > MAX_GZIP_HEADER)
        return fail_at(self, e, "header longer than 64 KiB");
    if (st->step != AT_HEADER_CRC)
        st->header_crc = (uint32_t)crc32(st->header_crc, &byte, 1);
    if (st->step == AT_FIXED)
        return fixed_byte(self, byte, e);
    if (st->step == AT_EXTRA) {
        if (--st->extra == 0)
            next_part(st);
        return 0;
    }
    if (st->step == AT_NAME || st->step == AT_COMMENT) {
        if (byte == 0)
            next_part(st);
        return 0;
    }
    st->raw[st->have++] = byte;
    if (st->have < 2)
        return 0;
    unsigned value = st->raw[0] | (unsigned)st->raw[1] << 8;
    if (st->step == AT_HEADER_CRC) {
        if (value != (st->header_crc & 0xffff))
            return fail_at(self, e, "header checksum is wrong");
        next_part(st);
        return 0;
    }
    st->step = AT_EXTRA;
    st->extra = value;
    if (value == 0)
        next_part(st);
    return 0;
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int trailer_byte(struct qn_inflate *self, uint8_t byte, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    st->raw[st->have++] = byte;
    if (st->have < 8)
        return 0;
    if (le32(st->raw) != st->crc)
        return fail_at(self, e, "checksum of the data is wrong");
    if (le32(st->raw + 4) != (uint32_t)st->member_out)
        return fail_at(self, e, "length of the data is wrong");
    if (++st->members >= MAX_MEMBERS)
        return qn_fail(e, QN_E_LIMIT, "gzip: more than %u members", MAX_MEMBERS);
    st->step = AT_BETWEEN;
    return 0;
}

/* Everything but the data of a member. */
static int wrapper_byte(struct qn_inflate *self, uint8_t byte, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    if (st->step == AT_BETWEEN) {
        if (byte == 0) {
            st->step = AT_PADDING;
            return 0;
        }
        if (byte != 0x1f)
            return fail_at(self, e, "bytes after the last member");
        start_member(st);
    }
    if (st->step == AT_PADDING)
        return byte == 0 ? 0 : fail_at(self, e, "bytes after the last member");
    if (st->step == AT_TRAILER)
        return trailer_byte(self, byte, e);
    return header_byte(self, byte, e);
}

/* --- gzip: data --------------------------------------------------------------------------------------------------- */

static int member_data(struct qn_inflate *self, const uint8_t *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    self->state->member_out += n;
    return emit(self, p, n, out, e);
}

static void end_of_data(struct qn_inflate_state *st)
{
    st->step = AT_TRAILER;
    st->have = 0;
}

#ifndef QN_NO_ISAL
static const char *isal_reason(int r)
{
    switch (r) {
    case ISAL_INVALID_BLOCK:
        return "invalid block";
    case ISAL_INVALID_SYMBOL:
        return "invalid symbol";
    case ISAL_INVALID_LOOKBACK:
        return "match reaches back before the start";
    default:
        return "invalid data";
    }
}

/* ISA-L keeps up to eight bytes of look-ahead in its bit buffer: what is behind the end of the data goes back. */
static void take_back(struct qn_inflate *self)
{
    struct qn_inflate_state *st = self->state;
    unsigned bits = (unsigned)st->isal.read_in_length;
    uint64_t value = st->isal.read_in >> (bits % 8);

    st->carried = bits / 8;
    for (unsigned i = 0; i < st->carried; i++)
        st->carry[i] = (uint8_t)(value >> (8 * i));
    self->in -= st->carried;
}

static int isal_data(struct qn_inflate *self, const uint8_t *p, size_t n, size_t *used, const struct qn_sink *out,
                     struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;
    struct inflate_state *z = &st->isal;
    uint64_t before = self->in;

    z->next_in = (uint8_t *)(uintptr_t)p;
    z->avail_in = (uint32_t)n;
    do {
        z->next_out = st->window;
        z->avail_out = WINDOW;
        int r = isal_inflate(z);
        size_t got = WINDOW - z->avail_out;
        self->in = before + (n - z->avail_in);
        st->crc = crc32_gzip_refl(st->crc, st->window, got);
        clean_vectors(st);
        if (r != ISAL_DECOMP_OK)
            return fail_at(self, e, isal_reason(r));
        if (member_data(self, st->window, got, out, e) < 0)
            return -1;
        if (z->block_state == ISAL_BLOCK_FINISH && z->tmp_out_processed == z->tmp_out_valid) {
            take_back(self);
            end_of_data(st);
            break;
        }
    } while (z->avail_in > 0 || z->avail_out == 0);
    *used = n - z->avail_in;
    return 0;
}
#endif

static int zlib_data(struct qn_inflate *self, const uint8_t *p, size_t n, size_t *used, const struct qn_sink *out,
                     struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;
    z_stream *z = &st->z;
    uint64_t before = self->in;
    int r;

    z->next_in = (uint8_t *)(uintptr_t)p;
    z->avail_in = (uInt)n;
    do {
        z->next_out = st->window;
        z->avail_out = WINDOW;
        r = inflate(z, Z_NO_FLUSH);
        size_t got = WINDOW - z->avail_out;
        self->in = before + (n - z->avail_in);
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
            return fail_at(self, e, z->msg ? z->msg : "invalid data");
        st->crc = (uint32_t)crc32(st->crc, st->window, (uInt)got);
        if (member_data(self, st->window, got, out, e) < 0)
            return -1;
    } while (r != Z_STREAM_END && (z->avail_in > 0 || z->avail_out == 0));
    if (r == Z_STREAM_END)
        end_of_data(st);
    *used = n - z->avail_in;
    return 0;
}

static int gzip_feed(struct qn_inflate *self, const uint8_t *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    while (n) {
        size_t used = 1;
        if (st->step == AT_BODY) {
            size_t step = QN_MIN(n, STEP_MAX);
#ifndef QN_NO_ISAL
            int r = st->zlib ? zlib_data(self, p, step, &used, out, e) : isal_data(self, p, step, &used, out, e);
#else
            int r = zlib_data(self, p, step, &used, out, e);
#endif
            if (r < 0)
                return -1;
            /* Eight bytes are a trailer at most: no member's data can start in them. */
            for (unsigned i = 0; i < st->carried; i++, self->in++)
                if (wrapper_byte(self, st->carry[i], e) < 0)
                    return -1;
            st->carried = 0;
        } else if (wrapper_byte(self, *p, e) < 0) {
            return -1;
        } else {
            self->in++;
        }
        p += used;
        n -= used;
    }
    return 0;
}

/* --- zstd --------------------------------------------------------------------------------------------------------- */

/* Collects the magic number in front of a frame: libzstd would also try formats from before its first release. */
static int zstd_magic(struct qn_inflate *self, uint8_t byte, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    st->magic[st->magic_have++] = byte;
    if (st->magic_have < 4)
        return 0;
    uint32_t magic = le32(st->magic);
    if (magic != ZSTD_MAGIC && (magic & ~15u) != ZSTD_SKIPPABLE)
        return fail_at(self, e, st->members ? "bytes after the last frame" : "no zstd frame");
    ZSTD_inBuffer in = {st->magic, 4, 0};
    ZSTD_outBuffer none = {st->window, WINDOW, 0};
    size_t r = ZSTD_decompressStream(st->zstd, &none, &in);
    if (ZSTD_isError(r) || in.pos != 4)
        return fail_at(self, e, ZSTD_isError(r) ? ZSTD_getErrorName(r) : "invalid frame header");
    return 0;
}

static int zstd_frame(struct qn_inflate *self, const uint8_t *p, size_t n, size_t *used, const struct qn_sink *out,
                      struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;
    ZSTD_inBuffer in = {p, n, 0};
    uint64_t before = self->in;

    for (;;) {
        ZSTD_outBuffer to = {st->window, WINDOW, 0};
        size_t r = ZSTD_decompressStream(st->zstd, &to, &in);
        self->in = before + in.pos;
        if (ZSTD_isError(r))
            return fail_at(self, e, ZSTD_getErrorName(r));
        if (emit(self, st->window, to.pos, out, e) < 0)
            return -1;
        if (r == 0) {
            st->magic_have = 0;
            if (++st->members >= MAX_MEMBERS)
                return qn_fail(e, QN_E_LIMIT, "zstd: more than %u frames", MAX_MEMBERS);
            break;
        }
        if (in.pos == n && to.pos < WINDOW)
            break;
    }
    *used = in.pos;
    return 0;
}

static int zstd_feed(struct qn_inflate *self, const uint8_t *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    struct qn_inflate_state *st = self->state;

    while (n) {
        size_t used = 1;
        if (st->magic_have < 4) {
            if (zstd_magic(self, *p, e) < 0)
                return -1;
            self->in++;
        } else if (zstd_frame(self, p, n, &used, out, e) < 0) {
            return -1;
        }
        p += used;
        n -= used;
    }
    return 0;
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

static int plain_feed(struct qn_inflate *self, const uint8_t *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    while (n) {
        size_t part = QN_MIN(n, WINDOW);
        self->in += part;
        if (emit(self, p, part, out, e) < 0)
            return -1;
        p += part;
        n -= part;
    }
    return 0;
}

int qn_inflate_feed(struct qn_inflate *self, const void *p, size_t n, const struct qn_sink *out, struct qn_err *e)
{
    switch (self->compression) {
    case QN_GZIP:
        return gzip_feed(self, p, n, out, e);
    case QN_ZSTD:
        return zstd_feed(self, p, n, out, e);
    case QN_PLAIN:
    default:
        return plain_feed(self, p, n, out, e);
    }
}

int qn_inflate_finish(struct qn_inflate *self, struct qn_err *e)
{
    const struct qn_inflate_state *st = self->state;

    if (self->compression == QN_GZIP && st->step != AT_BETWEEN && st->step != AT_PADDING)
        return fail_at(self, e, self->in == 0 ? "no data" : "stream ends too early");
    if (self->compression == QN_ZSTD && (st->magic_have != 0 || st->members == 0))
        return fail_at(self, e, self->in == 0 ? "no data" : "stream ends too early");
    return 0;
}

enum qn_compression qn_compression_detect(struct qn_str head)
{
    const uint8_t *p = (const uint8_t *)head.p;

    if (head.n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        return QN_GZIP;
    if (head.n >= 4 && (le32(p) == ZSTD_MAGIC || (le32(p) & ~15u) == ZSTD_SKIPPABLE))
        return QN_ZSTD;
    return QN_PLAIN;
}

const char *qn_compression_name(enum qn_compression compression)
{
    return compression == QN_GZIP ? "gzip" : compression == QN_ZSTD ? "zstd" : "plain";
}
