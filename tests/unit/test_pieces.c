#include "base/fd.h"
#include "base/mem.h"
#include "formats/deflate.h"
#include "formats/inflate.h"
#include "formats/tar_write.h"
#include "harden/pieces.h"
#include "harden/rewrite.h"
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#define BIG (16u << 20)

/* --- the list -------------------------------------------------------------------------------------------------- */

START_TEST(neighbours_are_merged)
{
    qn_auto_pieces struct qn_pieces p, q;
    struct qn_str a, b;
    struct qn_err e;

    qn_pieces_init(&p, 4096);
    qn_ok(qn_pieces_copy(&p, 0, 512, &e), e);
    qn_ok(qn_pieces_copy(&p, 512, 512, &e), e);
    qn_ok(qn_pieces_copy(&p, 512, 2048, &e), e);
    qn_ok(qn_pieces_lit(&p, QN_STR("ab"), &e), e);
    qn_ok(qn_pieces_lit(&p, QN_STR(""), &e), e);
    qn_ok(qn_pieces_lit(&p, QN_STR("c"), &e), e);
    qn_ok(qn_pieces_zero(&p, 0, &e), e);
    qn_ok(qn_pieces_zero(&p, 5, &e), e);
    qn_ok(qn_pieces_zero(&p, 6, &e), e);
    qn_ok(qn_pieces_file(&p, 10, 5, &e), e);
    qn_ok(qn_pieces_file(&p, 15, 5, &e), e);
    qn_ok(qn_pieces_file(&p, 15, 5, &e), e);
    qn_ok(qn_pieces_finish(&p, &a, &e), e);
    ck_assert_uint_eq(p.n, 5);

    qn_pieces_init(&q, 4096);
    qn_ok(qn_pieces_copy(&q, 0, 2048, &e), e);
    qn_ok(qn_pieces_lit(&q, QN_STR("abc"), &e), e);
    qn_ok(qn_pieces_zero(&q, 11, &e), e);
    qn_ok(qn_pieces_file(&q, 10, 10, &e), e);
    qn_ok(qn_pieces_file(&q, 15, 5, &e), e);
    qn_ok(qn_pieces_finish(&q, &b, &e), e);
    ck_assert(qn_str_eq(a, b));
    struct qn_digest x = qn_pieces_digest(a, NULL), y = qn_pieces_digest(b, NULL), z = qn_pieces_digest(b, &x);
    ck_assert(qn_digest_eq(&x, &y));
    ck_assert(!qn_digest_eq(&x, &z));

    struct qn_pieces_view v;
    struct qn_piece piece;
    qn_ok(qn_pieces_open(a, 2048, &v, &e), e);
    ck_assert_uint_eq(v.n, 5);
    ck_assert_uint_eq(v.size, 2048 + 3 + 11 + 15);
    ck_assert_uint_eq(v.file_end, 20);
    ck_assert(v.ascending);
    ck_assert(qn_pieces_next(&v, &piece));
    ck_assert(piece.kind == QN_PIECE_COPY && piece.off == 0 && piece.len == 2048);
    ck_assert(qn_pieces_next(&v, &piece));
    qn_is(piece.bytes, "abc");
    for (unsigned i = 0; i < 3; i++)
        ck_assert(qn_pieces_next(&v, &piece));
    ck_assert(!qn_pieces_next(&v, &piece));
    ck_assert(!qn_pieces_next(&v, &piece));
}
END_TEST

START_TEST(an_empty_list)
{
    qn_auto_pieces struct qn_pieces p = {0};
    struct qn_pieces_view v;
    struct qn_piece piece;
    struct qn_str s;
    struct qn_err e;

    qn_pieces_init(&p, 100);
    qn_ok(qn_pieces_finish(&p, &s, &e), e);
    qn_ok(qn_pieces_open(s, 0, &v, &e), e);
    ck_assert_uint_eq(v.size, 0);
    ck_assert(!qn_pieces_next(&v, &piece));
}
END_TEST

START_TEST(long_literals_are_cut)
{
    qn_auto_pieces struct qn_pieces p = {0};
    qn_auto_free char *text = qn_xcalloc(1, BIG);
    struct qn_pieces_view v;
    struct qn_piece piece;
    struct qn_str s;
    struct qn_err e;
    uint64_t total = 0;

    memset(text, 'x', BIG);
    qn_pieces_init(&p, BIG);
    qn_ok(qn_pieces_lit(&p, qn_str_n(text, 10), &e), e);
    qn_ok(qn_pieces_lit(&p, qn_str_n(text, 2 * QN_PIECE_LIT_MAX), &e), e);
    qn_ok(qn_pieces_lit(&p, qn_str_n(text, 10), &e), e);
    qn_ok(qn_pieces_finish(&p, &s, &e), e);
    qn_ok(qn_pieces_open(s, 0, &v, &e), e);
    ck_assert_uint_eq(v.n, 3);
    while (qn_pieces_next(&v, &piece))
        total += piece.bytes.n;
    ck_assert_uint_eq(total, 2 * QN_PIECE_LIT_MAX + 20);

    qn_auto_pieces struct qn_pieces small = {0};
    qn_pieces_init(&small, 100);
    qn_ok(qn_pieces_lit(&small, qn_str_n(text, 200), &e), e); /* it waits for neighbours */
    qn_fails(qn_pieces_finish(&small, &s, &e), e, QN_E_LIMIT);
}
END_TEST

static void refused(const char *raw, size_t n, const char *reason)
{
    qn_auto_free char *list = qn_xcalloc(1, n + 6);
    struct qn_pieces_view v;
    struct qn_err e;

    memcpy(list, "QNPL1", 6);
    memcpy(list + 6, raw, n);
    qn_fails(qn_pieces_open(qn_str_n(list, n + 6), 100, &v, &e), e, QN_E_MALFORMED);
    ck_assert_msg(strstr(e.msg, reason), "%s instead of %s", e.msg, reason);
}

#define REFUSED(raw, reason) refused(raw, sizeof(raw) - 1, reason)

START_TEST(foreign_lists)
{
    struct qn_pieces_view v;
    struct qn_err e;

    qn_fails(qn_pieces_open(QN_STR(""), 100, &v, &e), e, QN_E_MALFORMED);
    qn_fails(qn_pieces_open(QN_STR("QNPL2\0\0\0\0"), 100, &v, &e), e, QN_E_MALFORMED);
    REFUSED("", "piece 0 at byte 6 is not well-formed");
    REFUSED("\0\0", "its end does not match");
    REFUSED("\0\0\0\0", "its end does not match");
    REFUSED("\5\1\1\0\1\1", "not well-formed");
    REFUSED("\1\0\0\0\1\0", "not well-formed");                                       /* empty */
    REFUSED("\1\x81\0\0\0\1\1", "not well-formed");                                   /* longer than needed */
    REFUSED("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\0\0\1\1", "not well-formed"); /* beyond 64 bits */
    REFUSED("\1\2\1\1\2\3\0\2\4", "piece 1 at byte 9: it continues");
    REFUSED("\3\2\3\2\0\2\4", "it continues");
    REFUSED("\2\1x\2\1y\0\2\2", "it continues");
    REFUSED("\1\1\x64\0\1\1", "it ends at 101, the old tar at 100");
    REFUSED("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1\0\1\1", "beyond 64 bits");
    REFUSED("\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\1x\0\2\0", "beyond 64 bits");
    REFUSED("\2\5abc", "not well-formed");
    REFUSED("\1\5\1\0\2\5", "its end does not match");
    REFUSED("\1\5\1\0\1\6", "its end does not match");
}
END_TEST

START_TEST(steps_back_are_told)
{
    qn_auto_pieces struct qn_pieces p = {0};
    struct qn_pieces_view v;
    struct qn_str s;
    struct qn_err e;

    qn_pieces_init(&p, 100);
    qn_ok(qn_pieces_copy(&p, 10, 20, &e), e);
    qn_ok(qn_pieces_copy(&p, 19, 30, &e), e);
    qn_ok(qn_pieces_finish(&p, &s, &e), e);
    qn_ok(qn_pieces_open(s, 30, &v, &e), e);
    ck_assert(!v.ascending);
    qn_fails(qn_pieces_open(s, 29, &v, &e), e, QN_E_MALFORMED);
}
END_TEST

/* --- carrying it out ------------------------------------------------------------------------------------------- */

static int to_fd(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_fd_write(*(int *)ctx, p, n, e);
}

static int to_buf(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_buf_put(ctx, p, n, e);
}

static int pack(enum qn_compression c, struct qn_str in)
{
    struct qn_err e;
    int fd = qn_fd_memfile("source", &e);
    struct qn_sink sink = {to_fd, &fd};
    qn_auto_deflate struct qn_deflate z = {0};

    qn_ok(qn_deflate_init(&z, c, &e), e);
    qn_ok(qn_deflate_feed(&z, in.p, in.n, &sink, &e), e);
    qn_ok(qn_deflate_finish(&z, &sink, &e), e);
    return fd;
}

static void unpack(enum qn_compression c, int fd, struct qn_buf *out)
{
    qn_auto_buf struct qn_buf raw = {.max = BIG};
    qn_auto_inflate struct qn_inflate z = {0};
    struct qn_sink sink = {to_buf, out};
    struct qn_err e;

    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    qn_ok(qn_fd_read_all(fd, &raw, &e), e);
    qn_ok(qn_inflate_init(&z, c, BIG, 0, &e), e);
    qn_ok(qn_inflate_feed(&z, raw.p, raw.n, &sink, &e), e);
    qn_ok(qn_inflate_finish(&z, &e), e);
}

/* A piece list and, made the plain way, what must come out. */
static void random_world(struct qn_buf *old, struct qn_buf *file, struct qn_buf *want, struct qn_pieces *p,
                         bool ascending, unsigned seed)
{
    struct qn_err e;
    uint64_t at = 0;

    srandom(seed);
    for (unsigned i = 0; i < 300000; i++)
        qn_ok(qn_buf_u8(old, (uint8_t)(random() % 7 ? i >> 5 : random()), &e), e);
    qn_ok(qn_buf_str(file, qn_str_from(qn_buf_view(old), 1234), &e), e);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t len = (uint64_t)random() % (i % 5 ? 3000 : 60000), off;
        switch (random() % 6) {
        case 0:
            len %= 2000;
            qn_ok(qn_pieces_lit(p, qn_str_n(file->p, len), &e), e);
            qn_ok(qn_buf_put(want, file->p, len, &e), e);
            break;
        case 1:
            qn_ok(qn_pieces_zero(p, len, &e), e);
            qn_ok(qn_buf_zero(want, len, &e), e);
            break;
        case 2:
            off = (uint64_t)random() % (file->n - 60000);
            qn_ok(qn_pieces_file(p, off, len, &e), e);
            qn_ok(qn_buf_put(want, file->p + off, len, &e), e);
            break;
        default:
            off = ascending ? at + (uint64_t)random() % 2 * ((uint64_t)random() % 5000)
                            : (uint64_t)random() % (old->n - 60000);
            if (off + len > old->n)
                break;
            qn_ok(qn_pieces_copy(p, off, off + len, &e), e);
            qn_ok(qn_buf_put(want, old->p + off, len, &e), e);
            at = off + len;
        }
    }
}

static void rewrite_case(enum qn_compression from, enum qn_compression to, unsigned seed)
{
    qn_auto_buf struct qn_buf old = {.max = BIG};
    qn_auto_buf struct qn_buf file = {.max = BIG};
    qn_auto_buf struct qn_buf want = {.max = BIG};
    qn_auto_buf struct qn_buf got = {.max = BIG};
    qn_auto_pieces struct qn_pieces p = {0};
    struct qn_rewritten done;
    struct qn_str list;
    struct qn_err e;

    qn_pieces_init(&p, BIG);
    random_world(&old, &file, &want, &p, from != QN_PLAIN, seed);
    qn_ok(qn_pieces_finish(&p, &list, &e), e);
    qn_auto_close int source = pack(from, qn_buf_view(&old));
    qn_auto_close int insert = pack(QN_PLAIN, qn_buf_view(&file));
    qn_auto_close int out = qn_fd_memfile("out", &e);
    struct qn_rewrite job = {.source = source,
                             .from = from,
                             .tar_size = old.n,
                             .file = insert,
                             .pieces = list,
                             .to = to,
                             .out = out,
                             .max_out = BIG};
    qn_ok(qn_fd_size(source, &job.source_size, &e), e);
    qn_ok(qn_rewrite(&job, &done, &e), e);
    unpack(to, out, &got);
    ck_assert(qn_str_eq(qn_buf_view(&got), qn_buf_view(&want)));
    struct qn_digest digest = qn_digest_of(qn_buf_view(&want));
    ck_assert(qn_digest_eq(&digest, &done.diff_id));
    ck_assert_uint_eq(done.tar_size, want.n);
    uint64_t size;
    qn_ok(qn_fd_size(out, &size, &e), e);
    ck_assert_uint_eq(done.size, size);
    job.max_out = want.n - 1;
    qn_fails(qn_rewrite(&job, &done, &e), e, QN_E_LIMIT);
}

START_TEST(rewrites)
{
    for (unsigned seed = 1; seed < 5; seed++)
        for (enum qn_compression from = QN_PLAIN; from <= QN_ZSTD; from++)
            for (enum qn_compression to = QN_PLAIN; to <= QN_ZSTD; to++)
                rewrite_case(from, to, seed);
}
END_TEST

static int rewrite_list(struct qn_pieces *p, enum qn_compression from, struct qn_str old, uint64_t tar_size, int file,
                        struct qn_err *e)
{
    qn_auto_close int source = pack(from, old);
    qn_auto_close int out = qn_fd_memfile("out", e);
    struct qn_rewrite job = {
        .source = source, .from = from, .tar_size = tar_size, .file = file, .to = QN_GZIP, .out = out, .max_out = BIG};
    struct qn_rewritten done;

    qn_ok(qn_fd_size(source, &job.source_size, e), *e);
    qn_ok(qn_pieces_finish(p, &job.pieces, e), *e);
    return qn_rewrite(&job, &done, e);
}

START_TEST(sources_that_lie)
{
    struct qn_err e;
    struct qn_str old = QN_STR("0123456789");

    for (enum qn_compression from = QN_PLAIN; from <= QN_ZSTD; from++) {
        qn_auto_pieces struct qn_pieces p = {0};
        qn_pieces_init(&p, 1000);
        qn_ok(qn_pieces_copy(&p, 5, 15, &e), e);
        qn_fails(rewrite_list(&p, from, old, 15, -1, &e), e, QN_E_MALFORMED); /* shorter than it said */
        ck_assert_msg(strstr(e.msg, "ends at 10"), "%s", e.msg);
        qn_fails(rewrite_list(&p, from, old, 14, -1, &e), e, QN_E_MALFORMED);
    }
    qn_auto_pieces struct qn_pieces p = {0};
    qn_pieces_init(&p, 1000);
    qn_ok(qn_pieces_copy(&p, 0, 4, &e), e);
    qn_ok(qn_pieces_lit(&p, QN_STR("-"), &e), e);
    qn_ok(qn_pieces_copy(&p, 2, 4, &e), e);
    qn_ok(rewrite_list(&p, QN_PLAIN, old, 10, -1, &e), e);
    qn_fails(rewrite_list(&p, QN_GZIP, old, 10, -1, &e), e, QN_E_MALFORMED);
    ck_assert_msg(strstr(e.msg, "steps back"), "%s", e.msg);

    qn_auto_pieces struct qn_pieces q = {0};
    qn_pieces_init(&q, 1000);
    qn_ok(qn_pieces_copy(&q, 0, 1, &e), e);
    qn_fails(rewrite_list(&q, QN_GZIP, old, 5, -1, &e), e, QN_E_LIMIT); /* longer than it said */
    qn_auto_pieces struct qn_pieces r = {0};
    qn_pieces_init(&r, 1000);
    qn_ok(qn_pieces_file(&r, 0, 1, &e), e);
    qn_fails(rewrite_list(&r, QN_GZIP, old, 10, -1, &e), e, QN_E_MALFORMED);
    qn_auto_close int empty = qn_fd_memfile("empty", &e);
    qn_fails(rewrite_list(&r, QN_GZIP, old, 10, empty, &e), e, QN_E_MALFORMED);
    ck_assert_msg(strstr(e.msg, "inserted file ends at 0"), "%s", e.msg);
}
END_TEST

START_TEST(data_of_sparse_files)
{
    static const struct qn_tar_segment map[] = {{4, 3}, {10, 0}, {20, 2}, {600, 0}};
    struct qn_tar_entry entry = {.data_off = 512,
                                 .end_off = 1024,
                                 .size = 5,
                                 .real_size = 600,
                                 .sparse = true,
                                 .segment = map,
                                 .segments = QN_ARRAY_LEN(map)};
    qn_auto_pieces struct qn_pieces p = {0};
    struct qn_pieces_view v;
    struct qn_piece piece;
    struct qn_str s;
    struct qn_err e;
    static const uint64_t want[][3] = {{QN_PIECE_ZERO, 0, 4},
                                       {QN_PIECE_COPY, 512, 3},
                                       {QN_PIECE_ZERO, 0, 13},
                                       {QN_PIECE_COPY, 515, 2},
                                       {QN_PIECE_ZERO, 0, 1024 - 22}};

    qn_pieces_init(&p, 1000);
    qn_ok(qn_pieces_entry_data(&p, &entry, &e), e);
    qn_ok(qn_pieces_finish(&p, &s, &e), e);
    qn_ok(qn_pieces_open(s, 1024, &v, &e), e);
    for (size_t i = 0; i < QN_ARRAY_LEN(want); i++) {
        ck_assert(qn_pieces_next(&v, &piece));
        ck_assert_uint_eq(piece.kind, want[i][0]);
        ck_assert_uint_eq(piece.off, want[i][1]);
        ck_assert_uint_eq(piece.len, want[i][2]);
    }
    ck_assert(!qn_pieces_next(&v, &piece));
}
END_TEST

Suite *suite_pieces(void)
{
    const TTest *const tests[] = {
        neighbours_are_merged, an_empty_list, long_literals_are_cut, foreign_lists,
        steps_back_are_told,   rewrites,      sources_that_lie,      data_of_sparse_files,
    };
    return qn_suite("pieces", tests, QN_ARRAY_LEN(tests));
}
