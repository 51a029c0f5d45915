#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/deflate.h"
#include "formats/digest.h"
#include "formats/inflate.h"
#include "unit.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define BIG (8u << 20)

static int to_buf(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    ck_assert_uint_gt(n, 0);
    return qn_buf_put(ctx, p, n, e);
}

static int to_buf_small(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    ck_assert_uint_le(n, 128u << 10);
    return to_buf(ctx, p, n, e);
}

static int to_hash(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    (void)e;
    qn_hash_update(ctx, p, n);
    return 0;
}

static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Text-like bytes with runs, repeats and some noise. */
static void sample(struct qn_buf *b, size_t n, uint32_t seed)
{
    struct qn_err e;

    while (b->n < n) {
        uint32_t r = next(&seed), len = 1 + r % 300;
        char part[300];
        for (uint32_t i = 0; i < len; i++)
            part[i] = r & 1024 ? (char)(next(&seed) & 255) : r & 2048 ? 'x' : (char)('a' + (i * (r >> 16)) % 19);
        qn_ok(qn_buf_put(b, part, len, &e), e);
    }
}

/* Compresses in pieces of `step` bytes. */
static void pack(enum qn_compression c, struct qn_str in, size_t step, struct qn_buf *out)
{
    qn_auto_deflate struct qn_deflate z = {0};
    struct qn_sink sink = {to_buf, out};
    struct qn_err e;

    qn_ok(qn_deflate_init(&z, c, &e), e);
    for (size_t i = 0; i < in.n; i += step)
        qn_ok(qn_deflate_feed(&z, in.p + i, QN_MIN(step, in.n - i), &sink, &e), e);
    qn_ok(qn_deflate_finish(&z, &sink, &e), e);
    ck_assert_uint_eq(z.in, in.n);
    ck_assert_uint_eq(z.out, out->n);
}

static int unpack_with(enum qn_compression c, bool zlib, struct qn_str in, size_t step, uint64_t max,
                       struct qn_buf *out, struct qn_err *e)
{
    qn_auto_inflate struct qn_inflate z = {0};
    struct qn_sink sink = {to_buf_small, out};

    qn_ok(qn_inflate_init(&z, c, max, 0, e), *e);
    if (zlib)
        qn_ok(qn_inflate_use_zlib(&z, e), *e);
    for (size_t i = 0; i < in.n; i += step)
        if (qn_inflate_feed(&z, in.p + i, QN_MIN(step, in.n - i), &sink, e) < 0)
            return -1;
    ck_assert_uint_eq(z.in, in.n);
    ck_assert_uint_eq(z.out, out->n);
    return qn_inflate_finish(&z, e);
}

/* Both engines must agree; gives the common verdict. */
static int unpack(enum qn_compression c, struct qn_str in, size_t step, struct qn_buf *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf other = {.max = BIG};
    struct qn_err e2;
    int r = unpack_with(c, false, in, step, BIG, out, e);
    int r2 = unpack_with(c, true, in, step, BIG, &other, &e2);

    ck_assert_msg(r == r2, "isa-l: %d %s, zlib: %d %s", r, r ? e->msg : "", r2, r2 ? e2.msg : "");
    if (r == 0)
        ck_assert(qn_str_eq(qn_buf_view(out), qn_buf_view(&other)));
    return r;
}

static void refuses(enum qn_compression c, struct qn_str in, const char *reason)
{
    struct qn_err e;

    for (size_t step = 1; step <= in.n; step += in.n > 1 ? in.n - 1 : 1) {
        qn_auto_buf struct qn_buf out = {.max = BIG};
        qn_fails(unpack(c, in, step, &out, &e), e, QN_E_MALFORMED);
        ck_assert_msg(strstr(e.msg, reason), "%s instead of %s", e.msg, reason);
        ck_assert_msg(strstr(e.msg, "at compressed offset"), "%s", e.msg);
    }
}

START_TEST(round_trips)
{
    static const size_t sizes[] = {0, 1, 511, 65535, 65536, 65537, 131072, 1000003};
    static const size_t steps[] = {61, 4096, 65536, 1 << 20};
    struct qn_err e;

    for (enum qn_compression c = QN_PLAIN; c <= QN_ZSTD; c++)
        for (size_t i = 0; i < QN_ARRAY_LEN(sizes); i++) {
            qn_auto_buf struct qn_buf in = {.max = BIG};
            qn_auto_buf struct qn_buf first = {.max = BIG};
            sample(&in, sizes[i], 7);
            pack(c, qn_buf_view(&in), SIZE_MAX / 2, &first);
            for (size_t k = 0; k < QN_ARRAY_LEN(steps); k++) {
                qn_auto_buf struct qn_buf again = {.max = BIG};
                qn_auto_buf struct qn_buf out = {.max = BIG};
                pack(c, qn_buf_view(&in), steps[k], &again);
                ck_assert(qn_str_eq(qn_buf_view(&first), qn_buf_view(&again)));
                qn_ok(unpack(c, qn_buf_view(&first), steps[k], &out, &e), e);
                ck_assert(qn_str_eq(qn_buf_view(&in), qn_buf_view(&out)));
            }
            if (in.n)
                ck_assert_int_eq(qn_compression_detect(qn_buf_view(&first)), c);
        }
}
END_TEST

START_TEST(gzip_header_says_nothing)
{
    qn_auto_buf struct qn_buf out = {.max = BIG};
    static const uint8_t header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};

    pack(QN_GZIP, QN_STR("hello"), 5, &out);
    ck_assert_int_eq(memcmp(out.p, header, sizeof header), 0);
}
END_TEST

/* A gzip member made by zlib at a level and window, with a rich header if asked. */
static void member(struct qn_buf *out, struct qn_str in, int level, bool rich)
{
    z_stream z = {0};
    char extra[300] = "AB", name[] = "some name", comment[] = "and a comment";
    gz_header h = {.extra = (Bytef *)extra,
                   .extra_len = sizeof extra,
                   .name = (Bytef *)name,
                   .comment = (Bytef *)comment,
                   .hcrc = 1};
    struct qn_err e;
    char *at;

    ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    if (rich)
        ck_assert_int_eq(deflateSetHeader(&z, &h), Z_OK);
    size_t bound = deflateBound(&z, in.n) + 1000;
    qn_ok(qn_buf_reserve(out, bound, &at, &e), e);
    z.next_in = (Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    z.next_out = (Bytef *)at;
    z.avail_out = (uInt)bound;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->n += bound - z.avail_out;
    deflateEnd(&z);
}

START_TEST(many_members_and_rich_headers)
{
    qn_auto_buf struct qn_buf in = {.max = BIG};
    qn_auto_buf struct qn_buf z = {.max = BIG};
    struct qn_err e;

    sample(&in, 200000, 3);
    for (size_t i = 0; i < 60; i++) {
        size_t from = i * in.n / 60, to = (i + 1) * in.n / 60;
        if (i % 9 == 0)
            member(&z, QN_STR(""), 6, false);
        member(&z, qn_str_n(in.p + from, to - from), (int)(i % 10), i % 2);
    }
    static const size_t steps[] = {1, 3, 8, 9, 777, BIG};
    for (size_t pad = 0; pad < 2; pad++) {
        for (size_t k = 0; k < QN_ARRAY_LEN(steps); k++) {
            qn_auto_buf struct qn_buf out = {.max = BIG};
            qn_ok(unpack(QN_GZIP, qn_buf_view(&z), steps[k], &out, &e), e);
            ck_assert(qn_str_eq(qn_buf_view(&in), qn_buf_view(&out)));
        }
        qn_ok(qn_buf_zero(&z, 513, &e), e); /* zero padding is fine */
    }
    qn_ok(qn_buf_u8(&z, 0x1f, &e), e); /* but a member after it is not */
    refuses(QN_GZIP, qn_buf_view(&z), "bytes after the last member");
}
END_TEST

START_TEST(every_cut_of_a_gzip_stream_is_noticed)
{
    qn_auto_buf struct qn_buf z = {.max = BIG};
    qn_auto_buf struct qn_buf in = {.max = BIG};
    struct qn_err e;

    sample(&in, 900, 11);
    member(&z, qn_buf_view(&in), 6, true);
    for (size_t i = 0; i < z.n; i++) {
        qn_auto_buf struct qn_buf out = {.max = BIG};
        qn_fails(unpack(QN_GZIP, qn_str_head(qn_buf_view(&z), i), 5, &out, &e), e, QN_E_MALFORMED);
        ck_assert_msg(strstr(e.msg, i ? "stream ends too early" : "no data"), "%s", e.msg);
    }
}
END_TEST

START_TEST(damaged_gzip)
{
    qn_auto_buf struct qn_buf z = {.max = BIG};
    struct qn_err e;
    static const struct {
        size_t at; /* from the start, or from the end when beyond 1000 */
        uint8_t value;
        const char *reason;
    } damage[] = {
        {0, 'P', "no gzip header"},
        {1, 'P', "no gzip header"},
        {2, 7, "unknown compression method"},
        {3, 0x20, "reserved header flags"},
        {3, 0x80, "reserved header flags"},
        {1000 + 8, 1, "checksum of the data"},
        {1000 + 5, 1, "checksum of the data"},
        {1000 + 4, 77, "length of the data"},
        {1000 + 1, 77, "length of the data"},
    };

    for (size_t i = 0; i < QN_ARRAY_LEN(damage); i++) {
        qn_buf_clear(&z);
        member(&z, QN_STR("hello, hello, hello"), 6, false);
        size_t at = damage[i].at < 1000 ? damage[i].at : z.n - (damage[i].at - 1000);
        z.p[at] = (char)damage[i].value;
        refuses(QN_GZIP, qn_buf_view(&z), damage[i].reason);
    }
    qn_buf_clear(&z);
    member(&z, QN_STR("hello"), 6, true);
    z.p[20] ^= 1; /* in the extra field */
    refuses(QN_GZIP, qn_buf_view(&z), "header checksum");
    qn_buf_clear(&z);
    member(&z, QN_STR("hello"), 6, false);
    qn_ok(qn_buf_c(&z, "x", &e), e);
    refuses(QN_GZIP, qn_buf_view(&z), "bytes after the last member");
    qn_buf_clear(&z);
    qn_ok(qn_buf_put(&z, "\x1f\x8b\x08\x08\0\0\0\0\0\xff", 10, &e), e);
    for (unsigned i = 0; i < 70000; i++)
        qn_ok(qn_buf_u8(&z, 'n', &e), e); /* a name without an end */
    refuses(QN_GZIP, qn_buf_view(&z), "header longer than 64 KiB");
}
END_TEST

START_TEST(a_match_before_the_start)
{
    /* Fixed block: length 3, distance 1 with nothing before it. */
    static const uint8_t z[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0x03, 0x02, 0x00, 0, 0, 0, 0, 0, 0, 0, 0};
    qn_auto_buf struct qn_buf out = {.max = BIG};
    struct qn_err e;

    qn_fails(unpack(QN_GZIP, qn_str_n(z, sizeof z), sizeof z, &out, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(limits_hold)
{
    qn_auto_buf struct qn_buf in = {.max = BIG};
    struct qn_err e;

    qn_ok(qn_buf_zero(&in, 4 << 20, &e), e);
    for (enum qn_compression c = QN_PLAIN; c <= QN_ZSTD; c++) {
        qn_auto_buf struct qn_buf z = {.max = BIG};
        pack(c, qn_buf_view(&in), BIG, &z);
        for (unsigned zlib = 0; zlib < 2; zlib++) {
            qn_auto_buf struct qn_buf out = {.max = BIG};
            qn_ok(unpack_with(c, zlib, qn_buf_view(&z), 1000, 4 << 20, &out, &e), e);
            qn_buf_clear(&out);
            qn_fails(unpack_with(c, zlib, qn_buf_view(&z), 1000, (4 << 20) - 1, &out, &e), e, QN_E_LIMIT);
            ck_assert_uint_lt(out.n, 4 << 20);
        }
    }
}
END_TEST

static int ratio(const struct qn_buf *z, uint64_t most, struct qn_err *e)
{
    qn_auto_inflate struct qn_inflate inflate = {0};
    struct qn_hash h;
    qn_hash_init(&h, QN_SHA256);
    struct qn_sink sink = {to_hash, &h};

    qn_ok(qn_inflate_init(&inflate, QN_GZIP, UINT64_MAX, most, e), *e);
    int r = qn_inflate_feed(&inflate, z->p, z->n, &sink, e);
    qn_hash_fini(&h);
    return r;
}

START_TEST(bombs_are_noticed)
{
    qn_auto_buf struct qn_buf z = {.max = BIG};
    qn_auto_deflate struct qn_deflate deflate = {0};
    struct qn_sink sink = {to_buf, &z};
    static const char zeros[1 << 16];
    struct qn_err e;

    qn_ok(qn_deflate_init(&deflate, QN_GZIP, &e), e);
    for (uint64_t n = 0; n < QN_RATIO_FREE; n += sizeof zeros)
        qn_ok(qn_deflate_feed(&deflate, zeros, sizeof zeros, &sink, &e), e);
    size_t before = z.n;
    for (unsigned i = 0; i < 64; i++)
        qn_ok(qn_deflate_feed(&deflate, zeros, sizeof zeros, &sink, &e), e);
    qn_ok(qn_deflate_finish(&deflate, &sink, &e), e);
    ck_assert_uint_gt(z.n, before);
    qn_fails(ratio(&z, 200, &e), e, QN_E_LIMIT);
    ck_assert_msg(strstr(e.msg, "more than 200 for one"), "%s", e.msg);
    qn_ok(ratio(&z, 2000, &e), e);
    z.n = before - 100; /* as long as no more than the free bytes came out, nothing is said */
    qn_ok(ratio(&z, 200, &e), e);
}
END_TEST

START_TEST(zstd_frames)
{
    qn_auto_buf struct qn_buf in = {.max = BIG};
    qn_auto_buf struct qn_buf z = {.max = BIG};
    struct qn_err e;
    char *at;

    sample(&in, 300000, 5);
    for (size_t i = 0; i < 20; i++) {
        size_t from = i * in.n / 20, to = (i + 1) * in.n / 20;
        qn_ok(qn_buf_put(&z, "\x5c\x2a\x4d\x18\x03\0\0\0abc", 11, &e), e); /* a skippable frame */
        qn_ok(qn_buf_reserve(&z, ZSTD_compressBound(to - from), &at, &e), e);
        z.n += ZSTD_compress(at, ZSTD_compressBound(to - from), in.p + from, to - from, 1 + (int)i % 19);
    }
    ck_assert_int_eq(qn_compression_detect(qn_buf_view(&z)), QN_ZSTD);
    static const size_t steps[] = {1, 3, 777, BIG};
    for (size_t k = 0; k < QN_ARRAY_LEN(steps); k++) {
        qn_auto_buf struct qn_buf out = {.max = BIG};
        qn_ok(unpack(QN_ZSTD, qn_buf_view(&z), steps[k], &out, &e), e);
        ck_assert(qn_str_eq(qn_buf_view(&in), qn_buf_view(&out)));
    }
    z.n--;
    refuses(QN_ZSTD, qn_buf_view(&z), "stream ends too early");
    z.n++;
    qn_ok(qn_buf_c(&z, "junk", &e), e);
    refuses(QN_ZSTD, qn_buf_view(&z), "bytes after the last frame");
    refuses(QN_ZSTD, QN_STR("\x25\xb5\x2f\xfdxxxxxxxx"), "no zstd frame"); /* a format before 0.8 */
    qn_auto_buf struct qn_buf out = {.max = BIG};
    qn_fails(unpack(QN_ZSTD, QN_STR(""), 1, &out, &e), e, QN_E_MALFORMED);
    qn_buf_clear(&z);
    pack(QN_ZSTD, qn_buf_view(&in), BIG, &z);
    z.p[z.n - 1] ^= 1; /* its checksum */
    refuses(QN_ZSTD, qn_buf_view(&z), "checksum");
}
END_TEST

START_TEST(zstd_windows_are_bounded)
{
    struct qn_err e;

    for (int log = QN_ZSTD_WINDOW_LOG; log <= QN_ZSTD_WINDOW_LOG + 1; log++) {
        qn_auto_buf struct qn_buf z = {.max = BIG};
        qn_auto_buf struct qn_buf out = {.max = BIG};
        ZSTD_CCtx *c = ZSTD_createCCtx();
        ZSTD_inBuffer in = {"hello", 5, 0};
        char *at;
        ck_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log)));
        qn_ok(qn_buf_reserve(&z, 1000, &at, &e), e);
        ZSTD_outBuffer to = {at, 1000, 0};
        ck_assert(!ZSTD_isError(ZSTD_compressStream2(c, &to, &in, ZSTD_e_continue)));
        ck_assert_uint_eq(ZSTD_compressStream2(c, &to, &in, ZSTD_e_end), 0);
        ZSTD_freeCCtx(c);
        z.n = to.pos;
        if (log > QN_ZSTD_WINDOW_LOG)
            refuses(QN_ZSTD, qn_buf_view(&z), "memory");
        else
            qn_ok(unpack(QN_ZSTD, qn_buf_view(&z), 1, &out, &e), e);
    }
}
END_TEST

static int no_room(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    (void)ctx;
    (void)p;
    (void)n;
    return qn_fail(e, QN_E_NO_SPACE, "full");
}

START_TEST(sinks_may_fail)
{
    qn_auto_buf struct qn_buf in = {.max = BIG};
    struct qn_sink sink = {no_room, NULL};
    struct qn_err e;

    sample(&in, 500000, 1);
    for (enum qn_compression c = QN_PLAIN; c <= QN_ZSTD; c++) {
        qn_auto_buf struct qn_buf z = {.max = BIG};
        qn_auto_inflate struct qn_inflate inflate = {0};
        qn_auto_deflate struct qn_deflate deflate = {0};
        pack(c, qn_buf_view(&in), BIG, &z);
        qn_ok(qn_inflate_init(&inflate, c, BIG, 0, &e), e);
        qn_fails(qn_inflate_feed(&inflate, z.p, z.n, &sink, &e), e, QN_E_NO_SPACE);
        qn_ok(qn_deflate_init(&deflate, c, &e), e);
        qn_fails(qn_deflate_feed(&deflate, in.p, in.n, &sink, &e), e, QN_E_NO_SPACE);
    }
}
END_TEST

START_TEST(engine_names_the_codecs)
{
    qn_auto_buf struct qn_buf b = {.max = 100};
    struct qn_err e;

    qn_ok(qn_codec_engine(&b, &e), e);
    ck_assert(qn_str_starts(qn_buf_view(&b), QN_STR("zlib-1.")));
    ck_assert(qn_str_find(qn_buf_view(&b), QN_STR(",zstd-1.")) > 0);
    ck_assert_int_eq(qn_compression_detect(QN_STR("\x1f")), QN_PLAIN);
    ck_assert_int_eq(qn_compression_detect(QN_STR("")), QN_PLAIN);
    ck_assert_int_eq(qn_compression_detect(QN_STR("etc/passwd")), QN_PLAIN);
}
END_TEST

Suite *suite_codec(void)
{
    const TTest *const tests[] = {
        round_trips,
        gzip_header_says_nothing,
        many_members_and_rich_headers,
        every_cut_of_a_gzip_stream_is_noticed,
        damaged_gzip,
        a_match_before_the_start,
        limits_hold,
        bombs_are_noticed,
        zstd_frames,
        zstd_windows_are_bounded,
        sinks_may_fail,
        engine_names_the_codecs,
    };
    return qn_suite("codec", tests, QN_ARRAY_LEN(tests));
}
