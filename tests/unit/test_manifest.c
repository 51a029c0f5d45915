#include "formats/manifest.h"
#include "unit.h"

#include "base/buf.h"

#define D1  "\"sha256:1111111111111111111111111111111111111111111111111111111111111111\""
#define D2  "\"sha256:2222222222222222222222222222222222222222222222222222222222222222\""
#define CFG "{\"mediaType\":\"" QN_MT_OCI_CONFIG "\",\"digest\":" D1 ",\"size\":10}"
#define LAY "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":" D2 ",\"size\":20}"
#define IMG "{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_MANIFEST "\",\"config\":" CFG ",\"layers\":[" LAY "]}"

static const struct qn_limits limits = {.manifest_size = 4u << 20};

static int parse(const char *text, const char *type, struct qn_manifest *m, struct qn_err *e)
{
    return qn_manifest_parse(qn_str_c(text), qn_str_c(type), &limits, m, e);
}

static void refuse(const char *text, const char *type, enum qn_code code)
{
    struct qn_manifest m;
    struct qn_err e;
    qn_fails(parse(text, type, &m, &e), e, code);
}

START_TEST(image)
{
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_err e;

    qn_ok(parse(IMG, "", &m, &e), e);
    ck_assert_int_eq(m.kind, QN_MEDIA_MANIFEST);
    ck_assert_int_eq(m.family, QN_FAMILY_OCI);
    ck_assert_str_eq(m.media_type, QN_MT_OCI_MANIFEST);
    ck_assert_uint_eq(m.layer_count, 1);
    ck_assert_uint_eq(m.layers[0].size, 20);
    ck_assert_uint_eq(m.config.digest.bytes[0], 0x11);
    ck_assert(qn_manifest_is_image(&m));
    ck_assert(!m.has_subject);
}
END_TEST

START_TEST(declared_type)
{
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_err e;

    qn_ok(parse(IMG, QN_MT_OCI_MANIFEST "; charset=utf-8", &m, &e), e);
    qn_manifest_fini(&m);
    qn_ok(parse(IMG, "application/json", &m, &e), e);
    qn_manifest_fini(&m);
    /* Without a mediaType of its own the declared one counts, then the shape. */
    qn_ok(parse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":[]}", "", &m, &e), e);
    ck_assert_str_eq(m.media_type, QN_MT_OCI_MANIFEST);
    ck_assert(!qn_manifest_is_image(&m));
    qn_manifest_fini(&m);
    qn_ok(parse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":null}", QN_MT_DOCKER_MANIFEST, &m, &e), e);
    ck_assert_int_eq(m.family, QN_FAMILY_DOCKER);
    refuse(IMG, QN_MT_OCI_INDEX, QN_E_MALFORMED);
    refuse(IMG, QN_MT_DOCKER_MANIFEST, QN_E_MALFORMED);
    refuse(IMG, "text/html", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":[]}", QN_MT_OCI_INDEX, QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"manifests\":[]}", QN_MT_OCI_MANIFEST, QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":[]}", "text/html", QN_E_UNSUPPORTED);
}
END_TEST

START_TEST(refused)
{
    refuse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":[" LAY "],\"manifests\":[]}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_INDEX "\",\"config\":" CFG "}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":1,\"fsLayers\":[]}", "", QN_E_UNSUPPORTED);
    refuse("{\"schemaVersion\":2,\"fsLayers\":[]}", "", QN_E_UNSUPPORTED);
    refuse("{\"schemaVersion\":2,\"config\":" CFG "}", "application/vnd.docker.distribution.manifest.v1+prettyjws",
           QN_E_UNSUPPORTED);
    refuse("{\"schemaVersion\":2,\"layers\":[]}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"Config\":" CFG ",\"layers\":[]}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":" CFG ",\"config\":" CFG "}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":{}}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":{\"digest\":" D1 ",\"size\":-1}}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":{\"digest\":" D1 ",\"size\":1.5}}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:zz\",\"size\":1}}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":{\"digest\":" D1 ",\"Size\":1}}", "", QN_E_MALFORMED);
    refuse("{\"schemaVersion\":2,\"config\":{\"digest\":" D1 ",\"size\":1,\"annotations\":{\"a\":1}}}", "",
           QN_E_MALFORMED);
    refuse("[]", "", QN_E_MALFORMED);
    refuse("", "", QN_E_MALFORMED);
    refuse(IMG " x", "", QN_E_MALFORMED);
}
END_TEST

static void many(struct qn_buf *b, const char *key, const char *entry, size_t n)
{
    struct qn_err e;

    qn_ok(qn_buf_printf(b, &e, "{\"schemaVersion\":2,%s\"%s\":[", strcmp(key, "layers") ? "" : "\"config\":" CFG ",",
                        key),
          e);
    for (size_t i = 0; i < n; i++)
        qn_ok(qn_buf_printf(b, &e, "%s%s", i ? "," : "", entry), e);
    qn_ok(qn_buf_c(b, "]}", &e), e);
}

START_TEST(counts)
{
    static const struct {
        const char *key;
        size_t n;
        bool good;
    } cases[] = {{"layers", 127, true}, {"layers", 128, false}, {"manifests", 64, true}, {"manifests", 65, false}};

    for (size_t i = 0; i < QN_ARRAY_LEN(cases); i++) {
        qn_auto_manifest struct qn_manifest m = {0};
        qn_auto_buf struct qn_buf b = {0};
        struct qn_err e;
        qn_buf_init(&b, 1u << 20);
        many(&b, cases[i].key, LAY, cases[i].n);
        if (cases[i].good)
            qn_ok(parse(b.p, "", &m, &e), e);
        else
            qn_fails(parse(b.p, "", &m, &e), e, QN_E_MALFORMED);
    }
    struct qn_limits small = {.manifest_size = 100};
    struct qn_manifest m;
    struct qn_err e;
    qn_fails(qn_manifest_parse(qn_str_c(IMG), QN_STR(""), &small, &m, &e), e, QN_E_LIMIT);
}
END_TEST

START_TEST(index_entries)
{
    static const char text[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_INDEX "\",\"manifests\":["
        "{\"mediaType\":\"" QN_MT_OCI_MANIFEST "\",\"digest\":" D1 ",\"size\":1,\"platform\":{\"os\":\"linux\","
        "\"architecture\":\"arm64\",\"variant\":\"v8\"}},"
        "{\"mediaType\":\"" QN_MT_OCI_MANIFEST "\",\"digest\":" D2 ",\"size\":1,\"platform\":{\"os\":\"unknown\","
        "\"architecture\":\"unknown\"},\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\","
        "\"vnd.docker.reference.digest\":" D1 "}}],"
        "\"subject\":{\"mediaType\":\"" QN_MT_OCI_MANIFEST "\",\"digest\":" D1
        ",\"size\":1},\"annotations\":{\"k\":\"v\"}}";
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_digest about;
    struct qn_err e;

    qn_ok(parse(text, "", &m, &e), e);
    ck_assert_int_eq(m.kind, QN_MEDIA_INDEX);
    ck_assert_uint_eq(m.manifest_count, 2);
    ck_assert(m.has_subject && m.annotations);
    ck_assert(m.manifests[0].has_platform);
    qn_is(m.manifests[0].platform.variant, "v8");
    ck_assert(!qn_manifest_is_attestation(&m.manifests[0]));
    ck_assert(qn_manifest_is_attestation(&m.manifests[1]));
    ck_assert(qn_manifest_attested(&m.manifests[1], &about));
    ck_assert(qn_digest_eq(&about, &m.manifests[0].digest));
    ck_assert(!qn_manifest_attested(&m.manifests[0], &about));
    ck_assert(!qn_manifest_is_image(&m));
}
END_TEST

START_TEST(artifacts)
{
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_err e;

    qn_ok(parse("{\"schemaVersion\":2,\"artifactType\":\"application/x\",\"config\":" CFG ",\"layers\":[" LAY "]}", "",
                &m, &e),
          e);
    ck_assert(!qn_manifest_is_image(&m));
    qn_manifest_fini(&m);
    qn_ok(
        parse(
            "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":" D1
            ",\"size\":1},\"layers\":[" LAY "]}",
            "", &m, &e),
        e);
    ck_assert(!qn_manifest_is_image(&m));
    qn_manifest_fini(&m);
    qn_ok(parse("{\"schemaVersion\":2,\"config\":" CFG ",\"layers\":[{\"mediaType\":\"application/vnd.in-toto+json\","
                "\"digest\":" D1 ",\"size\":1}]}",
                "", &m, &e),
          e);
    ck_assert(!qn_manifest_is_image(&m));
}
END_TEST

START_TEST(media_types)
{
    const struct qn_media_type *t = qn_media_type_find(QN_STR("application/vnd.oci.image.layer.v1.tar+zstd"));

    ck_assert(t && t->kind == QN_MEDIA_LAYER && t->compression == QN_ZSTD && t->family == QN_FAMILY_OCI);
    t = qn_media_type_find(QN_STR(" Application/vnd.docker.image.rootfs.foreign.diff.tar.gzip ; a=b"));
    ck_assert(t && t->kind == QN_MEDIA_FOREIGN && t->family == QN_FAMILY_DOCKER);
    ck_assert(!qn_media_type_find(QN_STR("application/vnd.oci.image.layer.v1.tar+xz")));
    ck_assert(!qn_media_type_find(QN_STR("")));
    ck_assert_str_eq(qn_media_type_name(QN_MEDIA_LAYER, QN_FAMILY_DOCKER, QN_GZIP),
                     "application/vnd.docker.image.rootfs.diff.tar.gzip");
    ck_assert(!qn_media_type_name(QN_MEDIA_INDEX, QN_FAMILY_OCI, QN_GZIP));
}
END_TEST

static bool match(const char *want, const char *have)
{
    struct qn_platform w, h;
    struct qn_err e;

    qn_ok(qn_platform_parse(qn_str_c(want), &w, &e), e);
    qn_ok(qn_platform_parse(qn_str_c(have), &h, &e), e);
    return qn_platform_match(&w, &h);
}

START_TEST(platforms)
{
    static const char *const bad[] = {"",          "linux",       "linux/", "/amd64", "linux/amd64/", "linux/arm/v7/x",
                                      "linux//v7", "li nux/amd64"};
    struct qn_platform p;
    char text[QN_PLATFORM_TEXT];
    struct qn_err e;

    ck_assert(match("linux/arm64", "linux/arm64/v8"));
    ck_assert(match("linux/arm64/v8", "linux/arm64"));
    ck_assert(!match("linux/arm64", "linux/arm64/v9"));
    ck_assert(match("linux/amd64", "linux/amd64/v1"));
    ck_assert(!match("linux/amd64", "linux/amd64/v3"));
    ck_assert(match("linux/arm/v7", "linux/arm/v7"));
    ck_assert(!match("linux/arm/v7", "linux/arm/v6"));
    ck_assert(!match("linux/amd64", "windows/amd64"));
    ck_assert(match("linux/x86_64", "linux/amd64"));
    qn_ok(qn_platform_parse(QN_STR("linux/armhf"), &p, &e), e);
    ck_assert_str_eq(qn_platform_text(&p, text), "linux/arm/v7");
    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        qn_fails(qn_platform_parse(qn_str_c(bad[i]), &p, &e), e, QN_E_USAGE);
}
END_TEST

Suite *suite_manifest(void)
{
    const TTest *const tests[] = {image,         declared_type, refused,     counts,
                                  index_entries, artifacts,     media_types, platforms};
    return qn_suite("manifest", tests, QN_ARRAY_LEN(tests));
}
