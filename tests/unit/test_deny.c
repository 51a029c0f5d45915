#include "settings_common.h"

#include "formats/manifest.h"
#include "service/deny.h"

static void make(const struct qn_settings *s, enum qn_denial d, enum qn_media_kind kind, enum qn_media_family family,
                 struct qn_row_denial *rows, size_t *n)
{
    struct qn_err e;
    qn_ok(qn_denial_make(d, "it may not be pulled", kind, family, s, "docker.io/library/x", 77, rows, n, &e), e);
}

START_TEST(manifests)
{
    static const enum qn_media_family families[] = {QN_FAMILY_OCI, QN_FAMILY_DOCKER};
    auto_settings s = {0};

    settings_load("", &s);
    for (size_t f = 0; f < QN_ARRAY_LEN(families); f++) {
        struct qn_row_denial *rows = calloc(2, sizeof *rows);
        size_t n;
        struct qn_err e;
        make(&s, QN_DENY_POLICY, QN_MEDIA_MANIFEST, families[f], rows, &n);
        ck_assert_uint_eq(n, 1);
        struct qn_str body = qn_str_n(rows[0].body, rows[0].body_size);
        struct qn_digest d = qn_digest_of(body);
        ck_assert(qn_digest_eq(&d, &rows[0].digest));
        qn_auto_json json_t *j = NULL;
        qn_ok(qn_json_parse(body, 65536, &j, &e), e);
        ck_assert_str_eq(json_string_value(json_object_get(j, "mediaType")), rows[0].media_type);
        json_t *layer = json_array_get(json_object_get(j, "layers"), 0);
        ck_assert_str_eq(json_string_value(json_object_get(layer, "mediaType")),
                         "application/vnd.quench.denied.policy");
        char text[QN_DIGEST_TEXT];
        ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "config"), "digest")),
                         qn_digest_text(&rows[0].config, text));
        ck_assert_str_eq(rows[0].reason, "policy");
        ck_assert_str_eq(rows[0].message, "it may not be pulled");
        ck_assert_int_eq(rows[0].expires, 77);
        ck_assert_int_eq(strstr(rows[0].media_type, "docker") != NULL, families[f] == QN_FAMILY_DOCKER);
        free(rows);
    }
}
END_TEST

START_TEST(indexes)
{
    auto_settings s = {0};
    struct qn_row_denial *rows = calloc(2, sizeof *rows);
    size_t n, i;
    struct qn_err e;
    json_t *o;

    settings_load("platforms: [linux/amd64, linux/arm64/v8, linux/arm/v7]\n", &s);
    make(&s, QN_DENY_STILL_HARDENING, QN_MEDIA_INDEX, QN_FAMILY_OCI, rows, &n);
    ck_assert_uint_eq(n, 2);
    qn_auto_json json_t *j = NULL;
    qn_ok(qn_json_parse(qn_str_n(rows[0].body, rows[0].body_size), 65536, &j, &e), e);
    json_t *list = json_object_get(j, "manifests");
    ck_assert_uint_eq(json_array_size(list), 3);
    char text[QN_DIGEST_TEXT];
    json_array_foreach (list, i, o) {
        /* An entry without a platform makes docker fall back. */
        json_t *p = json_object_get(o, "platform");
        ck_assert_str_eq(json_string_value(json_object_get(p, "os")), "linux");
        ck_assert_ptr_nonnull(json_object_get(p, "architecture"));
        ck_assert_str_eq(json_string_value(json_object_get(o, "digest")), qn_digest_text(&rows[1].digest, text));
        ck_assert_int_eq((int)json_integer_value(json_object_get(o, "size")), (int)rows[1].body_size);
    }
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(json_array_get(list, 1), "platform"), "variant")), "v8");
    ck_assert(strstr(rows[0].media_type, "index"));
    ck_assert(strstr(rows[1].media_type, "manifest"));
    free(rows);
}
END_TEST

START_TEST(deterministic)
{
    auto_settings s = {0};
    struct qn_row_denial *a = calloc(2, sizeof *a), *b = calloc(2, sizeof *b), *c = calloc(2, sizeof *c);
    size_t n;
    struct qn_err e;

    settings_load("", &s);
    make(&s, QN_DENY_POLICY, QN_MEDIA_INDEX, QN_FAMILY_DOCKER, a, &n);
    memset(b, 0xff, 2 * sizeof *b);
    qn_ok(qn_denial_make(QN_DENY_POLICY, "it may not be pulled", QN_MEDIA_INDEX, QN_FAMILY_DOCKER, &s, "other/repo", 99,
                         b, &n, &e),
          e);
    for (int i = 0; i < 2; i++) {
        ck_assert(qn_digest_eq(&a[i].digest, &b[i].digest));
        ck_assert_uint_eq(a[i].body_size, b[i].body_size);
        ck_assert_mem_eq(a[i].body, b[i].body, a[i].body_size);
    }
    make(&s, QN_DENY_PLATFORM, QN_MEDIA_INDEX, QN_FAMILY_DOCKER, c, &n);
    ck_assert(!qn_digest_eq(&a[0].digest, &c[0].digest));
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(every_reason)
{
    auto_settings s = {0};
    struct qn_row_denial *rows = calloc(2, sizeof *rows);
    char longest[4096];
    struct qn_err e;
    size_t n;

    settings_load("platforms: [linux/amd64, linux/arm64, linux/arm/v6, linux/arm/v7, linux/386, linux/ppc64le, "
                  "linux/s390x, linux/riscv64,"
                  " linux/mips64le, linux/loong64, linux/arm/v5, linux/ppc64, linux/mips, linux/mips64, linux/sparc64, "
                  "linux/alpha]\n",
                  &s);
    memset(longest, '"', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    for (int d = QN_DENY_POLICY; d <= QN_DENY_STORAGE_FULL; d++) {
        const char *name = qn_denial_name((enum qn_denial)d);
        ck_assert_int_eq(qn_denial_parse(name), d);
        ck_assert_uint_ge(qn_denial_status((enum qn_denial)d), 400);
        /* Sentences of any length, on as many platforms as there may be, fit. */
        qn_ok(qn_denial_make((enum qn_denial)d, longest, QN_MEDIA_INDEX, QN_FAMILY_OCI, &s, "r", 1, rows, &n, &e), e);
    }
    ck_assert_int_eq(qn_denial_parse("nonsense"), QN_DENY_NONE);
    ck_assert_int_eq(qn_denial_parse(""), QN_DENY_NONE);
    free(rows);
}
END_TEST

START_TEST(errors_become_reasons)
{
    static const struct {
        enum qn_code code;
        enum qn_denial denial;
    } want[] = {{QN_E_MALFORMED, QN_DENY_MALFORMED},
                {QN_E_NETWORK, QN_DENY_UPSTREAM_DOWN},
                {QN_E_UPSTREAM_DENIED, QN_DENY_UPSTREAM_DENIED},
                {QN_E_NO_SPACE, QN_DENY_STORAGE_FULL},
                {QN_E_BUSY, QN_DENY_QUEUE_FULL},
                {QN_E_VERIFY, QN_DENY_HARDENING_FAILED},
                {QN_E_WORKER, QN_DENY_HARDENING_FAILED},
                {QN_E_MANIFEST_UNKNOWN, QN_DENY_NOT_FOUND}};
    for (size_t i = 0; i < QN_ARRAY_LEN(want); i++) {
        struct qn_err e = {.code = want[i].code};
        ck_assert_int_eq(qn_denial_of(&e), want[i].denial);
    }
}
END_TEST

Suite *suite_deny(void)
{
    const TTest *const tests[] = {manifests, indexes, deterministic, every_reason, errors_become_reasons};
    return qn_suite("deny", tests, QN_ARRAY_LEN(tests));
}
