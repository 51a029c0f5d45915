#include "formats/imgconfig.h"
#include "unit.h"

#define D1 "\"sha256:1111111111111111111111111111111111111111111111111111111111111111\""

static const struct qn_limits limits = {.manifest_size = 4u << 20};

static int parse(const char *text, struct qn_imgconfig *c, struct qn_err *e)
{
    return qn_imgconfig_parse(qn_str_c(text), &limits, c, e);
}

START_TEST(whole)
{
    static const char text[] =
        "{\"created\":\"2024-01-01T00:00:00Z\",\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"x\":1,"
        "\"config\":{\"User\":\"1000:1000\",\"Entrypoint\":[\"/a\",\"b\"],\"Cmd\":[\"c\"],\"Env\":[\"PATH=/x\",\"A=1\","
        "\"PATH=/y\"],\"WorkingDir\":\"/w\",\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},"
        "\"Labels\":{\"l\":\"m\"},\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"],\"Interval\":1},"
        "\"StopSignal\":\"SIGQUIT\",\"Shell\":[\"/bin/sh\",\"-c\"],\"OnBuild\":[\"RUN x\"]},"
        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" D1 "]},"
        "\"history\":[{\"created_by\":\"a\"},{\"created_by\":\"b\",\"empty_layer\":true}]}";
    qn_auto_imgconfig struct qn_imgconfig c = {0};
    struct qn_str value;
    struct qn_err e;

    qn_ok(parse(text, &c, &e), e);
    qn_is(c.platform.os, "linux");
    qn_is(c.platform.variant, "v8");
    qn_is(c.user, "1000:1000");
    ck_assert_uint_eq(c.entrypoint.n, 2);
    qn_is(c.entrypoint.v[1], "b");
    qn_is(c.cmd.v[0], "c");
    qn_is(c.working_dir, "/w");
    qn_is(c.volumes.v[0], "/v");
    ck_assert_uint_eq(c.exposed_ports.n, 2);
    qn_is(c.healthcheck.v[0], "CMD-SHELL");
    qn_is(c.stop_signal, "SIGQUIT");
    qn_is(c.shell.v[1], "-c");
    qn_is(c.on_build.v[0], "RUN x");
    ck_assert(json_object_get(c.labels, "l") && json_object_get(c.root, "x"));
    qn_is(qn_imgconfig_path(&c), "/y");
    ck_assert(qn_imgconfig_env(&c, "A", &value));
    qn_is(value, "1");
    ck_assert(!qn_imgconfig_env(&c, "B", &value));
    qn_ok(qn_imgconfig_check_layers(&c, 1, &e), e);
    qn_fails(qn_imgconfig_check_layers(&c, 2, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(sparse)
{
    qn_auto_imgconfig struct qn_imgconfig c = {0};
    struct qn_err e;

    qn_ok(parse("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null},\"config\":null,\"history\":null}", &c, &e), e);
    ck_assert(!c.cmd.set && !c.entrypoint.set);
    qn_is(qn_imgconfig_path(&c), QN_DEFAULT_PATH);
    qn_ok(qn_imgconfig_check_layers(&c, 0, &e), e);
    qn_imgconfig_fini(&c);
    qn_ok(parse("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"config\":{\"Cmd\":\"one\",\"Entrypoint\":[]}}", &c,
                &e),
          e);
    ck_assert(c.entrypoint.set && c.entrypoint.n == 0);
    qn_is(c.cmd.v[0], "one");
}
END_TEST

START_TEST(history_must_fit)
{
    qn_auto_imgconfig struct qn_imgconfig c = {0};
    struct qn_err e;

    qn_ok(
        parse("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" D1 "]},\"history\":[{\"empty_layer\":true}]}", &c, &e),
        e);
    qn_fails(qn_imgconfig_check_layers(&c, 1, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"rootfs\":{\"diff_ids\":[]}}",
        "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}",
        "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:1\"]}}",
        "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"Cmd\":[1]}}",
        "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"entrypoint\":[\"/x\"]}}",
        "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"User\":7}}",
        "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"Labels\":{\"a\":{}}}}",
        "{\"rootfs\":{\"type\":\"layers\"},\"config\":[]}",
        "{\"rootfs\":{\"type\":\"layers\"},\"Config\":{}}",
        "{\"rootfs\":{\"type\":\"layers\"},\"history\":[1]}",
        "{\"rootfs\":{\"type\":\"layers\"},\"history\":[{\"empty_layer\":1}]}",
        "{\"rootfs\":{\"type\":\"layers\"},\"os\":1}",
    };
    struct qn_imgconfig c;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        qn_fails(parse(bad[i], &c, &e), e, QN_E_MALFORMED);
    struct qn_limits small = {.manifest_size = 10};
    qn_fails(qn_imgconfig_parse(QN_STR("{\"rootfs\":{}}"), &small, &c, &e), e, QN_E_LIMIT);
}
END_TEST

Suite *suite_imgconfig(void)
{
    const TTest *const tests[] = {whole, sparse, history_must_fit, refused};
    return qn_suite("imgconfig", tests, QN_ARRAY_LEN(tests));
}
