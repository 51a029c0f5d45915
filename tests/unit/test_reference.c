#include "formats/reference.h"
#include "unit.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void fill(char *s, size_t n, char c)
{
    memset(s, c, n);
    s[n] = '\0';
}

START_TEST(repository_names)
{
    static const char *const good[] = {"nginx", "library/nginx",    "a/b/c/d", "a.b", "a_b", "a__b", "a---b",
                                       "0",     "my.repo_x__y--z/1"};
    static const char *const bad[] = {"",   "/",      "a/",   "/a",    "a//b", "A",        "a/B", ".",
                                      "..", "a/../b", "a..b", "a___b", "a._b", "-a",       "a-",  "_a",
                                      "a_", "a b",    "a%2f", "a:b",   "a@b",  "\xc3\xa9", "a.",  "a/.b"};
    char name[300];

    for (size_t i = 0; i < QN_ARRAY_LEN(good); i++)
        ck_assert_msg(qn_reference_repository_valid(qn_str_c(good[i])), "%s", good[i]);
    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        ck_assert_msg(!qn_reference_repository_valid(qn_str_c(bad[i])), "%s", bad[i]);
    ck_assert(!qn_reference_repository_valid(qn_str_n("a\0b", 3)));
    fill(name, 255, 'a');
    ck_assert(qn_reference_repository_valid(qn_str_c(name)));
    fill(name, 256, 'a');
    ck_assert(!qn_reference_repository_valid(qn_str_c(name)));
}
END_TEST

START_TEST(tags)
{
    char tag[200];

    ck_assert(qn_reference_tag_valid(QN_STR("latest")));
    ck_assert(qn_reference_tag_valid(QN_STR("_1.2-RC.3")));
    ck_assert(!qn_reference_tag_valid(QN_STR("")));
    ck_assert(!qn_reference_tag_valid(QN_STR(".a")));
    ck_assert(!qn_reference_tag_valid(QN_STR("-a")));
    ck_assert(!qn_reference_tag_valid(QN_STR("a/b")));
    ck_assert(!qn_reference_tag_valid(qn_str_n("a\0", 2)));
    fill(tag, 128, 'x');
    ck_assert(qn_reference_tag_valid(qn_str_c(tag)));
    fill(tag, 129, 'x');
    ck_assert(!qn_reference_tag_valid(qn_str_c(tag)));
}
END_TEST

START_TEST(hosts)
{
    static const char *const good[] = {"docker.io",  "localhost",     "host:5000",
                                       "[::1]:5000", "[2001:db8::1]", "A.example"};
    static const char *const bad[] = {"",     "-a.b", "a-.b", "a..b", "a.",  "h:0",   "h:65536", "h:",
                                      "[::1", "[]",   "[zz]", "a_b",  "a b", "h:1:2", "user@h"};

    for (size_t i = 0; i < QN_ARRAY_LEN(good); i++)
        ck_assert_msg(qn_reference_host_valid(qn_str_c(good[i])), "%s", good[i]);
    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        ck_assert_msg(!qn_reference_host_valid(qn_str_c(bad[i])), "%s", bad[i]);
}
END_TEST

static void round_trip(const char *text, const char *host, const char *repository, const char *tag, bool digest)
{
    struct qn_reference r;
    struct qn_err e;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 2000);
    qn_ok(qn_reference_parse(qn_str_c(text), &r, &e), e);
    ck_assert_str_eq(r.host, host);
    ck_assert_str_eq(r.repository, repository);
    ck_assert_str_eq(r.tag, tag);
    ck_assert(digest == (r.digest.algorithm == QN_SHA256));
    qn_ok(qn_reference_print(&r, &b, &e), e);
    ck_assert_str_eq(b.p, text);
}

START_TEST(references)
{
    struct qn_reference r;
    struct qn_err e;

    round_trip("nginx", "", "nginx", "", false);
    round_trip("nginx:1.27", "", "nginx", "1.27", false);
    round_trip("library/nginx", "", "library/nginx", "", false);
    round_trip("docker.io/library/nginx:1", "docker.io", "library/nginx", "1", false);
    round_trip("localhost/a", "localhost", "a", "", false);
    round_trip("host:5000/a/b:tag@sha256:" HEX64, "host:5000", "a/b", "tag", true);
    round_trip("[::1]:5000/a@sha256:" HEX64, "[::1]:5000", "a", "", true);
    round_trip("Host/a", "Host", "a", "", false);
    qn_fails(qn_reference_parse(QN_STR("nginx:"), &r, &e), e, QN_E_NAME_INVALID);
    qn_fails(qn_reference_parse(QN_STR(""), &r, &e), e, QN_E_NAME_INVALID);
    qn_fails(qn_reference_parse(QN_STR("UPPER"), &r, &e), e, QN_E_NAME_INVALID);
    qn_fails(qn_reference_parse(QN_STR("a@sha256:00"), &r, &e), e, QN_E_DIGEST_INVALID);
    qn_fails(qn_reference_parse(QN_STR("a@b@sha256:" HEX64), &r, &e), e, QN_E_DIGEST_INVALID);
    qn_fails(qn_reference_parse(QN_STR("host:99999/a"), &r, &e), e, QN_E_NAME_INVALID);
    qn_fails(qn_reference_parse(QN_STR("docker.io/"), &r, &e), e, QN_E_NAME_INVALID);
}
END_TEST

START_TEST(locations)
{
    struct qn_location l;
    struct qn_err e;

    qn_ok(qn_location_parse(QN_STR("docker://nginx"), &l, &e), e);
    ck_assert_int_eq(l.transport, QN_TRANSPORT_DOCKER);
    ck_assert_str_eq(l.reference.host, "docker.io");
    ck_assert_str_eq(l.reference.repository, "library/nginx");
    ck_assert_str_eq(l.reference.tag, "latest");
    qn_ok(qn_location_parse(QN_STR("docker://h:1/a@sha256:" HEX64), &l, &e), e);
    ck_assert_str_eq(l.reference.host, "h:1");
    ck_assert_str_eq(l.reference.tag, "");
    qn_ok(qn_location_parse(QN_STR("oci:/tmp/dir:v1"), &l, &e), e);
    ck_assert_int_eq(l.transport, QN_TRANSPORT_OCI);
    ck_assert_str_eq(l.path, "/tmp/dir");
    ck_assert_str_eq(l.name, "v1");
    qn_ok(qn_location_parse(QN_STR("oci-archive:x.tar"), &l, &e), e);
    ck_assert_str_eq(l.path, "x.tar");
    ck_assert_str_eq(l.name, "");
    qn_ok(qn_location_parse(QN_STR("docker-archive:x.tar:docker.io/a/b:c"), &l, &e), e);
    ck_assert_str_eq(l.name, "docker.io/a/b:c");
    qn_fails(qn_location_parse(QN_STR("docker-daemon:nginx:1"), &l, &e), e, QN_E_NOT_BUILT);
    qn_fails(qn_location_parse(QN_STR("nginx"), &l, &e), e, QN_E_USAGE);
    qn_fails(qn_location_parse(QN_STR("docker:nginx"), &l, &e), e, QN_E_USAGE);
    qn_fails(qn_location_parse(QN_STR("oci:"), &l, &e), e, QN_E_USAGE);
    qn_fails(qn_location_parse(QN_STR("oci:dir:"), &l, &e), e, QN_E_USAGE);
    qn_fails(qn_location_parse(QN_STR("oci:dir:a b"), &l, &e), e, QN_E_USAGE);
    qn_fails(qn_location_parse(QN_STR("docker-archive:x:Bad Ref"), &l, &e), e, QN_E_USAGE);
    qn_fails(qn_location_parse(QN_STR("docker-archive:x:BAD"), &l, &e), e, QN_E_NAME_INVALID);
    ck_assert_str_eq(qn_transport_name(QN_TRANSPORT_OCI_ARCHIVE), "oci-archive");
}
END_TEST

Suite *suite_reference(void)
{
    const TTest *const tests[] = {repository_names, tags, hosts, references, locations};
    return qn_suite("reference", tests, QN_ARRAY_LEN(tests));
}
