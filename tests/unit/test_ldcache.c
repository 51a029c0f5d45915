/* The cache of ld.so: entries go, everything else can still be read. */
#include "formats/ldcache.h"
#include "image_fixture.h"

#include <stdlib.h>

struct want {
    const char *gone; /* entries whose path has this go */
    struct qn_buf seen;
};

static bool keep(void *ctx, struct qn_str path)
{
    struct want *w = ctx;
    struct qn_err e;

    qn_ok(qn_buf_printf(&w->seen, &e, "%.*s ", QN_FMT(path)), e);
    return !w->gone || qn_str_find(path, qn_str_c(w->gone)) < 0;
}

static void put(struct qn_buf *b, uint64_t v, unsigned bytes, bool big)
{
    struct qn_err e;
    for (unsigned i = 0; i < bytes; i++)
        qn_ok(qn_buf_u8(b, (uint8_t)(v >> (8 * (big ? bytes - 1 - i : i) & 63)), &e), e);
}

static const char strings[] = "x86-64-v3\0/lib/libc.so.6\0/opt/odd/libz.so.1\0libother.so\0/usr/lib/libm.so.6\0";
static const struct {
    uint32_t name, path;
    uint64_t hwcap;
} entries[] = {{15, 10, 0}, {44, 25, 0}, {65, 56, 1ull << 62}};

/* Three libraries; the second one's name is not the end of its path, the third one needs a capability. */
static void new_format(struct qn_buf *b, bool big, bool extension, uint32_t before)
{
    struct qn_err e;
    size_t begin = b->n;
    uint32_t at = 48 + 3 * 24, ext = (uint32_t)(at + sizeof strings - 1 + 3) & ~3u;

    qn_ok(qn_buf_c(b, "glibc-ld.so.cache1.1", &e), e);
    put(b, 3, 4, big);
    put(b, sizeof strings - 1, 4, big);
    put(b, big ? 3 : 2, 1, big);
    put(b, 0, 3, big);
    put(b, extension ? before + ext : 0, 4, big);
    put(b, 0, 12, big);
    for (size_t i = 0; i < QN_ARRAY_LEN(entries); i++) {
        put(b, 0x303, 4, big);
        put(b, at + entries[i].name, 4, big);
        put(b, at + entries[i].path, 4, big);
        put(b, 0, 4, big);
        put(b, entries[i].hwcap, 8, big);
    }
    qn_ok(qn_buf_put(b, strings, sizeof strings - 1, &e), e);
    if (!extension)
        return;
    put(b, 0, (unsigned)(begin + ext - b->n), big);
    put(b, 0xeaa42174, 4, big);
    put(b, 2, 4, big);
    const uint32_t rows[] = {0, 0, before + ext + 44, 7, 1, 0, before + ext + 40, 4};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++)
        put(b, rows[i], 4, big);
    put(b, at, 4, big);
    qn_ok(qn_buf_c(b, "ldconfi", &e), e);
}

static void old_format(struct qn_buf *b, bool with_strings)
{
    struct qn_err e;

    qn_ok(qn_buf_put(b, "ld.so-1.7.0", 12, &e), e);
    put(b, 3, 4, false);
    for (size_t i = 0; i < QN_ARRAY_LEN(entries); i++) {
        put(b, 3, 4, false);
        put(b, entries[i].name, 4, false);
        put(b, entries[i].path, 4, false);
    }
    if (with_strings)
        qn_ok(qn_buf_put(b, strings, sizeof strings - 1, &e), e);
}

/* Filters, reads the result again and gives its paths. */
static void filtered(struct qn_str file, const char *gone, size_t want_dropped, const char *left, struct qn_buf *out)
{
    struct want w = {.gone = gone, .seen = {.max = 1u << 20}}, again = {.seen = {.max = 1u << 20}};
    struct qn_buf none = {0};
    struct qn_err e;
    size_t dropped;

    qn_ok(qn_ldcache_filter(file, keep, &w, out, &dropped, &e), e);
    qn_is(qn_buf_view(&w.seen), "/lib/libc.so.6 /opt/odd/libz.so.1 /usr/lib/libm.so.6 ");
    ck_assert_uint_eq(dropped, want_dropped);
    qn_ok(qn_ldcache_filter(qn_buf_view(out), keep, &again, &none, &dropped, &e), e);
    ck_assert_uint_eq(dropped, 0);
    qn_is(qn_buf_view(&again.seen), left);
    qn_buf_fini(&w.seen);
    qn_buf_fini(&again.seen);
}

static uint32_t le(const struct qn_buf *b, size_t at)
{
    ck_assert_uint_le(at + 4, b->n);
    const unsigned char *p = (const unsigned char *)b->p + at;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

START_TEST(entries_go)
{
    qn_auto_buf struct qn_buf in = {.max = 1u << 20}, out = {.max = 1u << 20};

    new_format(&in, false, true, 0);
    filtered(qn_buf_view(&in), "libc", 1, "/opt/odd/libz.so.1 /usr/lib/libm.so.6 ", &out);
    ck_assert_uint_eq(le(&out, 20), 2);
    /* The name that is no part of its path, and the one that is. */
    ck_assert_str_eq(out.p + le(&out, 48 + 4), "libother.so");
    ck_assert_str_eq(out.p + le(&out, 48 + 24 + 4), "libm.so.6");
    /* The capability's name and the generator. */
    uint32_t ext = le(&out, 32);
    ck_assert_uint_eq(ext % 4, 0);
    ck_assert_uint_eq(le(&out, ext), 0xeaa42174);
    ck_assert_uint_eq(le(&out, ext + 4), 2);
    ck_assert_mem_eq(out.p + le(&out, ext + 8 + 8), "ldconfi", 7);
    ck_assert_str_eq(out.p + le(&out, le(&out, ext + 24 + 8)), "x86-64-v3");
    /* What went is not in the bytes. */
    ck_assert(qn_str_find(qn_buf_view(&out), QN_STR("libc.so")) < 0);
}
END_TEST

START_TEST(other_formats)
{
    qn_auto_buf struct qn_buf big = {.max = 1u << 20}, old = {.max = 1u << 20}, both = {.max = 1u << 20};
    qn_auto_buf struct qn_buf a = {.max = 1u << 20}, b = {.max = 1u << 20}, c = {.max = 1u << 20};

    new_format(&big, true, true, 0);
    filtered(qn_buf_view(&big), "/usr", 1, "/lib/libc.so.6 /opt/odd/libz.so.1 ", &a);
    ck_assert_int_eq(a.p[23], 2);
    old_format(&old, true);
    filtered(qn_buf_view(&old), "opt", 1, "/lib/libc.so.6 /usr/lib/libm.so.6 ", &b);
    ck_assert_uint_eq(le(&b, 12), 2);
    old_format(&both, false);
    put(&both, 0, 56 - (unsigned)both.n, false);
    new_format(&both, false, true, 56);
    filtered(qn_buf_view(&both), "lib", 3, "", &c);
    ck_assert(qn_str_starts(qn_buf_view(&c), QN_STR("glibc-ld.so.cache1.1")));
    ck_assert_mem_eq(c.p + le(&c, le(&c, 32) + 8 + 8), "ldconfi", 7);
}
END_TEST

START_TEST(nothing_goes)
{
    qn_auto_buf struct qn_buf in = {.max = 1u << 20}, out = {.max = 1u << 20};
    struct want w = {.seen = {.max = 1u << 20}};
    struct qn_err e;
    size_t dropped;

    new_format(&in, false, false, 0);
    qn_ok(qn_ldcache_filter(qn_buf_view(&in), keep, &w, &out, &dropped, &e), e);
    ck_assert_uint_eq(dropped, 0);
    ck_assert_uint_eq(out.n, 0);
    qn_buf_fini(&w.seen);
}
END_TEST

START_TEST(broken)
{
    qn_auto_buf struct qn_buf in = {.max = 1u << 20}, out = {.max = 1u << 20};
    struct want w = {.gone = "libc", .seen = {.max = 1u << 20}};
    struct qn_err e;
    size_t dropped;

    new_format(&in, false, true, 0);
    for (size_t n = 0; n < in.n; n++) {
        out.n = 0;
        w.seen.n = 0;
        if (qn_ldcache_filter(qn_str_head(qn_buf_view(&in), n), keep, &w, &out, &dropped, &e) < 0)
            ck_assert_uint_eq(out.n, 0);
    }
    qn_fails(qn_ldcache_filter(QN_STR("ELF"), keep, &w, &out, &dropped, &e), e, QN_E_MALFORMED);
    qn_fails(qn_ldcache_filter(qn_str_head(qn_buf_view(&in), 40), keep, &w, &out, &dropped, &e), e, QN_E_MALFORMED);
    in.p[20] = 100;
    qn_fails(qn_ldcache_filter(qn_buf_view(&in), keep, &w, &out, &dropped, &e), e, QN_E_MALFORMED);
    qn_buf_fini(&w.seen);
}
END_TEST

/* The text of a layer line, with every byte that is not a letter as %XX. */
static void as_text(struct qn_str bytes, struct qn_buf *b)
{
    struct qn_err e;
    for (size_t i = 0; i < bytes.n; i++)
        qn_ok(qn_buf_printf(b, &e, "%%%02X", (unsigned char)bytes.p[i]), e);
}

START_TEST(libraries_that_went)
{
    qn_auto_buf struct qn_buf in = {.max = 1u << 20}, layer = {.max = 1u << 20};
    struct want w = {.seen = {.max = 1u << 20}};
    auto_fixture f = {0};
    struct qn_buf none = {0};
    struct qn_err e;
    size_t dropped;

    new_format(&in, false, true, 0);
    qn_ok(qn_buf_c(&layer,
                   "lib -> usr/lib\nusr/lib/libc.so.6 zeros=1\nopt/odd/libz.so.1 -> libz.so.1.2\n"
                   "opt/odd/libz.so.1.2 zeros=1\netc/ld.so.cache bytes=",
                   &e),
          e);
    as_text(qn_buf_view(&in), &layer);
    qn_ok(qn_buf_c(&layer, "\n", &e), e);
    fixture_make(&f, layer.p, "", ALL_OFF);
    fixture_remove(&f, QN_RULE_caches, "opt/odd/libz.so.1.2");
    qn_ok(qn_plan_check(&f.plan, &e), e);
    qn_ok(qn_plan_databases(&f.plan, &e), e);
    qn_ok(qn_ldcache_filter(fixture_text(&f, "etc/ld.so.cache"), keep, &w, &none, &dropped, &e), e);
    /* The one that was never there stays listed: nobody asks for it. */
    qn_is(qn_buf_view(&w.seen), "/lib/libc.so.6 /usr/lib/libm.so.6 ");
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_caches, "etc/ld.so.cache"));
    fixture_verified(&f);
    qn_buf_fini(&w.seen);
}
END_TEST

START_TEST(a_cache_that_names_what_went)
{
    qn_auto_buf struct qn_buf in = {.max = 1u << 20}, layer = {.max = 1u << 20};
    auto_fixture before = {0}, after = {0};
    struct qn_err e;

    new_format(&in, false, false, 0);
    qn_ok(qn_buf_c(&layer, "etc/ld.so.cache bytes=", &e), e);
    as_text(qn_buf_view(&in), &layer);
    fixture_layer(&after, layer.p);
    fixture_policy(&after, "");
    fixture_image(&after, "");
    qn_ok(qn_buf_c(&layer, "\nlib/libc.so.6 zeros=1\n", &e), e);
    fixture_layer(&before, layer.p);
    fixture_policy(&before, "");
    fixture_image(&before, "");
    struct qn_verdict v = fixture_check(&before, &after, QN_CHECK_database);
    ck_assert(!v.ok);
    ck_assert_ptr_nonnull(strstr(v.detail, "/lib/libc.so.6"));
}
END_TEST

Suite *suite_ldcache(void)
{
    const TTest *const tests[] = {entries_go, other_formats,       nothing_goes,
                                  broken,     libraries_that_went, a_cache_that_names_what_went};
    return qn_suite("ldcache", tests, QN_ARRAY_LEN(tests));
}
