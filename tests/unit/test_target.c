#include "daemon/range.h"
#include "daemon/target.h"
#include "unit.h"

#include "daemon/http.h"

static char storage[QN_TARGET_MAX + 2];

static int parse(const char *raw, struct qn_target *t, struct qn_err *e)
{
    return qn_target_parse(qn_str_c(raw), storage, t, e);
}

START_TEST(good_targets)
{
    static const struct {
        const char *raw, *path;
    } cases[] = {
        {"/", "/"},
        {"/v2/", "/v2/"},
        {"/v2/library/nginx/manifests/1.27", "/v2/library/nginx/manifests/1.27"},
        {"/api/v1/images/sha256%3Aab", "/api/v1/images/sha256:ab"},
        {"http://host:5000/v2/x", "/v2/x"},
        {"HTTPS://h/", "/"},
        {"/a...b", "/a...b"},
    };
    struct qn_target t;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(cases); i++) {
        qn_ok(parse(cases[i].raw, &t, &e), e);
        qn_is(t.path, cases[i].path);
    }
}
END_TEST

START_TEST(bad_targets)
{
    static const char *const bad[] = {
        "",          "*",           "x",         "//",       "//evil/x", "/a//b",        "/a/../b",    "/..",
        "/.",        "/a/.",        "/%2e%2e/x", "/a%2fb",   "/a%00b",   "/a%",          "/a%4",       "/a%zz",
        "/v2/a%41",  "/%762/a",     "/v%32",     "/a b",     "/a#b",     "/a\\b",        "/a\x01",     "/a\x7f",
        "/\xc3\xa9", "/a%c3%a9",    "/a?x=%",    "/a?x=%00", "/a?x=%0a", "/a?x=%ff",     "/a?x=1&x=2", "ftp://h/x",
        "http:///x", "http://host", "/a%5cb",    "/a%25",    "host:443", "/a?x=1&%78=2",
    };
    struct qn_target t;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        ck_assert_msg(parse(bad[i], &t, &e) < 0, "%s", bad[i]);
}
END_TEST

START_TEST(queries)
{
    struct qn_target t;
    struct qn_err e;
    struct qn_str v;
    char big[QN_TARGET_MAX + 2];

    qn_ok(parse("/v2/x/tags/list?n=10&last=a%2Fb+c&flag&ns=docker.io&&u=%C3%A9", &t, &e), e);
    ck_assert(qn_target_query(&t, "n", &v));
    qn_is(v, "10");
    ck_assert(qn_target_query(&t, "last", &v));
    qn_is(v, "a/b c");
    ck_assert(qn_target_query(&t, "flag", &v));
    qn_is(v, "");
    ck_assert(qn_target_query(&t, "u", &v));
    qn_is(v, "\xc3\xa9");
    ck_assert(!qn_target_query(&t, "N", &v));
    memset(big, 'a', sizeof big);
    big[0] = '/';
    qn_ok(qn_target_parse(qn_str_n(big, QN_TARGET_MAX), storage, &t, &e), e);
    qn_fails(qn_target_parse(qn_str_n(big, QN_TARGET_MAX + 1), storage, &t, &e), e, QN_E_MALFORMED);
    size_t at = (size_t)snprintf(big, sizeof big, "/?z");
    for (unsigned i = 1; i < QN_QUERY_MAX; i++)
        at += (size_t)snprintf(big + at, sizeof big - at, "&k%u", i);
    qn_ok(parse(big, &t, &e), e);
    snprintf(big + at, sizeof big - at, "&q");
    qn_fails(parse(big, &t, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(ranges)
{
    static const struct {
        const char *header;
        uint64_t size;
        enum qn_range want;
        uint64_t first, last;
    } cases[] = {
        {"bytes=0-0", 10, QN_RANGE_PART, 0, 0},
        {"bytes=0-", 10, QN_RANGE_PART, 0, 9},
        {"bytes=3-5", 10, QN_RANGE_PART, 3, 5},
        {"bytes=3-500", 10, QN_RANGE_PART, 3, 9},
        {"bytes=-3", 10, QN_RANGE_PART, 7, 9},
        {"bytes=-30", 10, QN_RANGE_PART, 0, 9},
        {"Bytes = 1-2", 10, QN_RANGE_NONE, 0, 0},
        {" bytes=1-2 ", 10, QN_RANGE_PART, 1, 2},
        {"bytes=-0", 10, QN_RANGE_BAD, 0, 0},
        {"bytes=10-", 10, QN_RANGE_BAD, 0, 0},
        {"bytes=10-12", 10, QN_RANGE_BAD, 0, 0},
        {"bytes=0-", 0, QN_RANGE_BAD, 0, 0},
        {"bytes=5-3", 10, QN_RANGE_BAD, 0, 0},
        {"bytes=1-2,4-5", 10, QN_RANGE_NONE, 0, 0},
        {"bytes=a-b", 10, QN_RANGE_NONE, 0, 0},
        {"bytes=-", 10, QN_RANGE_NONE, 0, 0},
        {"bytes=99999999999999999999-", 10, QN_RANGE_NONE, 0, 0},
        {"items=0-1", 10, QN_RANGE_NONE, 0, 0},
        {"", 10, QN_RANGE_NONE, 0, 0},
    };

    for (size_t i = 0; i < QN_ARRAY_LEN(cases); i++) {
        uint64_t first = 0, last = 0;
        enum qn_range got = qn_range_parse(qn_str_c(cases[i].header), cases[i].size, &first, &last);
        ck_assert_msg(got == cases[i].want, "%s", cases[i].header);
        if (got == QN_RANGE_PART)
            ck_assert_msg(first == cases[i].first && last == cases[i].last, "%s", cases[i].header);
    }
}
END_TEST

static bool add_value(void *arg, struct qn_str value)
{
    char *out = arg;
    snprintf(out + strlen(out), 64 - strlen(out), "%.*s,", QN_FMT(value));
    return true;
}

START_TEST(repeated_tags)
{
    struct qn_target t;
    struct qn_err e;
    char values[64] = "";

    qn_ok(parse("/v2/x/manifests/y?tag=1.2&tag=1&n=3&tag=latest", &t, &e), e);
    qn_target_query_each(&t, "tag", add_value, values);
    ck_assert_str_eq(values, "1.2,1,latest,");
    qn_fails(parse("/v2/x/manifests/y?tag=1&n=3&n=4", &t, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(chunk_ranges)
{
    static const struct {
        const char *header;
        bool good;
        uint64_t first, last;
    } cases[] = {{"0-0", true, 0, 0},
                 {" 5-11 ", true, 5, 11},
                 {"bytes 5-11/*", true, 5, 11},
                 {"bytes 5-11/12", true, 5, 11},
                 {"bytes 5-11", false, 0, 0},
                 {"5-4", false, 0, 0},
                 {"-4", false, 0, 0},
                 {"5-", false, 0, 0},
                 {"", false, 0, 0},
                 {"-", false, 0, 0},
                 {"a-b", false, 0, 0},
                 {"0-18446744073709551615", false, 0, 0},
                 {"0-18446744073709551614", true, 0, UINT64_MAX - 1},
                 {"0-99999999999999999999", false, 0, 0}};

    for (size_t i = 0; i < QN_ARRAY_LEN(cases); i++) {
        uint64_t first = 0, last = 0;
        bool got = qn_range_content(qn_str_c(cases[i].header), &first, &last);
        ck_assert_msg(got == cases[i].good, "%s", cases[i].header);
        if (got)
            ck_assert_msg(first == cases[i].first && last == cases[i].last, "%s", cases[i].header);
    }
}
END_TEST

START_TEST(library_versions)
{
    static const char *const good[] = {"0.9.75", "0.9.76", "0.9.77", "1.0.10", "1.1.0", "2.0.0"};
    static const char *const bad[] = {"0.9.77.1", "1.0.0", "1.0.1", "1.0.9", "", "x"};

    for (size_t i = 0; i < QN_ARRAY_LEN(good); i++)
        ck_assert_msg(qn_http_library_usable(good[i]), "%s", good[i]);
    for (size_t i = 0; i < QN_ARRAY_LEN(bad) - 2; i++)
        ck_assert_msg(!qn_http_library_usable(bad[i]), "%s", bad[i]);
    ck_assert(!qn_http_library_usable("x"));
    ck_assert(qn_http_library_usable(qn_http_library()));
}
END_TEST

Suite *suite_target(void)
{
    const TTest *const tests[] = {good_targets,     bad_targets,   queries,     ranges,
                                  library_versions, repeated_tags, chunk_ranges};
    return qn_suite("target", tests, QN_ARRAY_LEN(tests));
}
