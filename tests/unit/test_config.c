/* The configuration file: YAML with places, the schema over it, and its printed form. */
#include "settings_common.h"

#include "base/fd.h"
#include "harden/rule.h"

#include <stdlib.h>
#include <unistd.h>

static int read_text(const char *yaml, json_t **out, struct qn_err *e)
{
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_yaml *root;

    qn_arena_init(&arena, 16u << 20);
    if (qn_yaml_parse("q.yaml", qn_str_c(yaml), &arena, &root, e) < 0)
        return -1;
    return qn_config_bind("q.yaml", root, out, e);
}

/* The text must be refused with this message. */
static void refused(const char *yaml, enum qn_code code, const char *message)
{
    json_t *j;
    struct qn_err e;

    qn_fails(read_text(yaml, &j, &e), e, code);
    ck_assert_msg(strstr(e.msg, message) == e.msg, "\"%s\" instead of \"%s\"", e.msg, message);
}

START_TEST(wrong_yaml)
{
    refused("a: [1\n", QN_E_CONFIG, "q.yaml:2:1: ");
    refused("log: {level: info}\nlog: {level: info}\n", QN_E_CONFIG, "q.yaml:2:1: the key stands twice");
    refused("storage: &x {root: /a}\nlimits: *x\n", QN_E_CONFIG, "q.yaml:1:10: aliases are not supported");
    refused("- a\n", QN_E_CONFIG, "q.yaml:1:1: the file must be a map of keys");
    refused("log:\n  ? [a]\n  : b\n", QN_E_CONFIG, "q.yaml:2:3: a key must be a plain word");
    refused("log: {}\n---\nlog: {}\n", QN_E_CONFIG, "q.yaml:2:1: a second document");
    refused("log:\n\tlevel: info\n", QN_E_CONFIG, "q.yaml:2:1: ");
    refused("log: {level: \"\\x01\xff\"}\n", QN_E_CONFIG, "q.yaml:");
}
END_TEST

START_TEST(wrong_keys_and_values)
{
    refused("log: {level: info}\nlogs: {}\n", QN_E_CONFIG, "q.yaml:2:1: unknown key \"logs\"");
    refused("storage:\n  root: /x\n  rot: /y\n", QN_E_CONFIG, "q.yaml:3:3: unknown key \"rot\" in storage");
    refused("upstreams:\n- name: a.io\n  uri: x\n", QN_E_CONFIG, "q.yaml:3:3: unknown key \"uri\" in upstreams[]");
    refused("storage: /x\n", QN_E_CONFIG, "q.yaml:1:10: storage: must be a map");
    refused("upstreams: {}\n", QN_E_CONFIG, "q.yaml:1:12: upstreams: must be a list");
    refused("upstreams: [x]\n", QN_E_CONFIG, "q.yaml:1:13: upstreams: items must be maps");
    refused("platforms: linux/amd64\n", QN_E_CONFIG, "q.yaml:1:12: platforms: must be a list");
    refused("platforms: [[a]]\n", QN_E_CONFIG, "q.yaml:1:13: platforms: items must be words");
    refused("storage: {root: [a]}\n", QN_E_CONFIG, "q.yaml:1:17: storage.root: must be a single value");
    refused("storage: {root: ''}\n", QN_E_CONFIG, "q.yaml:1:17: storage.root: is empty");
    refused("storage: {max_size: 10 GB}\n", QN_E_CONFIG, "q.yaml:1:21: storage.max_size: ");
    refused("storage: {max_size: -1}\n", QN_E_CONFIG, "q.yaml:1:21: storage.max_size: ");
    refused("storage: {keep_sources: 7}\n", QN_E_CONFIG, "q.yaml:1:25: storage.keep_sources: ");
    refused("storage: {max_size: 99999999TiB}\n", QN_E_CONFIG, "q.yaml:1:21: storage.max_size: ");
    refused("limits: {jobs: 9999999999}\n", QN_E_CONFIG, "q.yaml:1:16: limits.jobs: ");
    refused("public_url: quench.example\n", QN_E_CONFIG, "q.yaml:1:13: public_url: \"quench.example\" is not a URL");
    refused("upstreams: [{library_prefix: maybe}]\n", QN_E_CONFIG,
            "q.yaml:1:30: upstreams[].library_prefix: \"maybe\" is neither");
    refused("log: {level: loud}\n", QN_E_CONFIG, "q.yaml:1:14: log.level: \"loud\" is none of ");
    refused("policies: [{rules: [docs]}]\n", QN_E_CONFIG, "q.yaml:1:20: policies[].rules: must be a map");
    refused("policies: [{rules: {dox: on}}]\n", QN_E_CONFIG, "q.yaml:1:21: there is no rule \"dox\"");
    refused("policies: [{rules: {docs: maybe}}]\n", QN_E_CONFIG, "q.yaml:1:27: rules.docs: must be on, off or report");
    refused("policies: [{rules: {docs: [on]}}]\n", QN_E_CONFIG, "q.yaml:1:27: rules.docs: must be on, off or report");
}
END_TEST

START_TEST(reserved_keys)
{
    json_t *j;
    struct qn_err e;

    refused("webhooks: [{url: x}]\n", QN_E_NOT_BUILT, "q.yaml:1:11: not built yet: webhooks");
    refused("auth: {token: {realm: x}}\n", QN_E_NOT_BUILT, "q.yaml:1:15: not built yet: auth.token");
    refused("storage: {index: postgresql://x}\n", QN_E_NOT_BUILT, "q.yaml:1:18: not built yet: storage.index");
    refused("policies: [{patch: on}]\n", QN_E_NOT_BUILT, "q.yaml:1:20: not built yet: policies[].patch");
    refused("policies: [{rules: {trust-store: on}}]\n", QN_E_NOT_BUILT,
            "q.yaml:1:21: not built yet: rules.trust-store");
    /* Written out with the one value that means "not in use", they are fine. */
    qn_ok(read_text("webhooks: []\nstorage: {index: sqlite, s3: {}}\nauth:\npolicies: [{name: x, patch: off, approval: "
                    "auto, sign: {}}]\n",
                    &j, &e),
          e);
    json_decref(j);
}
END_TEST

START_TEST(defaults)
{
    json_t *j;
    struct qn_err e;

    qn_ok(read_text("", &j, &e), e);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "log"), "level")), "info");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "log"), "format")), "text");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(j, "limits"), "queue")), 256);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(j, "storage"), "max_size")), 100ll << 30);
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(j, "listen"), "admin")), 2);
    ck_assert_ptr_null(json_object_get(j, "public_url"));
    json_decref(j);
    qn_ok(read_text("policies: [{name: x}]\nlog:\nlimits: ~\n", &j, &e), e);
    json_t *p = json_array_get(json_object_get(j, "policies"), 0);
    static const char *const words[][2] = {
        {"mode", "enforce"},        {"use", "run"},           {"profile", "standard"},         {"user", "auto"},
        {"compression", "keep"},    {"on_doubt", "back-off"}, {"on_update", "serve-previous"}, {"digest_pulls", "deny"},
        {"low_ports", "restricted"}};
    for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
        ck_assert_str_eq(json_string_value(json_object_get(p, words[i][0])), words[i][1]);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(p, "match"), 0)), "**");
    json_decref(j);
}
END_TEST

START_TEST(words_and_units)
{
    json_t *j;
    struct qn_err e;

    qn_ok(read_text("upstreams:\n- {library_prefix: yes}\n- {library_prefix: 'on'}\n- {library_prefix: false}\n"
                    "policies: [{rules: {docs: no, setuid: \"report\", user: true}}]\n"
                    "storage: {max_size: 3MiB, keep_sources: 0, upload_ttl: 90s}\n",
                    &j, &e),
          e);
    json_t *list = json_object_get(j, "upstreams");
    ck_assert(json_is_true(json_object_get(json_array_get(list, 0), "library_prefix")));
    ck_assert(json_is_true(json_object_get(json_array_get(list, 1), "library_prefix")));
    ck_assert(json_is_false(json_object_get(json_array_get(list, 2), "library_prefix")));
    json_t *rules = json_object_get(json_array_get(json_object_get(j, "policies"), 0), "rules");
    ck_assert_str_eq(json_string_value(json_object_get(rules, "docs")), "off");
    ck_assert_str_eq(json_string_value(json_object_get(rules, "setuid")), "report");
    ck_assert_str_eq(json_string_value(json_object_get(rules, "user")), "on");
    json_t *s = json_object_get(j, "storage");
    ck_assert_int_eq(json_integer_value(json_object_get(s, "max_size")), 3 << 20);
    ck_assert_int_eq(json_integer_value(json_object_get(s, "keep_sources")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(s, "upload_ttl")), 90);
    json_decref(j);
}
END_TEST

static const char *token(const json_t *j)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(json_object_get(j, "admin"), "tokens"), 0), "token"));
}

START_TEST(secrets)
{
    json_t *j;
    struct qn_err e;
    char path[] = "/tmp/quench-secret-XXXXXX", yaml[256];
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    qn_ok(qn_fd_write(fd, "  from-a-file\n", 14, &e), e);
    close(fd);
    setenv("QUENCH_TEST_SECRET", "from-the-environment", 1);
    unsetenv("QUENCH_TEST_NONE");
    qn_ok(read_text("admin: {tokens: [{name: a, token: '${QUENCH_TEST_SECRET}'}]}\n", &j, &e), e);
    ck_assert_str_eq(token(j), "from-the-environment");
    json_decref(j);
    snprintf(yaml, sizeof yaml, "admin: {tokens: [{name: a, token: 'file:%s'}]}\n", path);
    qn_ok(read_text(yaml, &j, &e), e);
    ck_assert_str_eq(token(j), "from-a-file");
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    qn_ok(qn_config_print(j, &b, &e), e);
    ck_assert_ptr_null(strstr(b.p, "from-a-file"));
    ck_assert_ptr_nonnull(strstr(b.p, "token: \"***\""));
    json_decref(j);
    unlink(path);
    refused("admin: {tokens: [{name: a, token: '${QUENCH_TEST_NONE}'}]}\n", QN_E_CONFIG,
            "q.yaml:1:35: environment variable QUENCH_TEST_NONE is not set");
    refused("admin: {tokens: [{name: a, token: file:/nonexistent/x}]}\n", QN_E_CONFIG, "q.yaml:1:35: /nonexistent/x");
    qn_ok(read_text("admin: {tokens: [{name: a, token: '${'}]}\n", &j, &e), e);
    ck_assert_str_eq(token(j), "${");
    json_decref(j);
}
END_TEST

/* What check-config prints is a configuration, and the same one. */
START_TEST(printed_and_read_again)
{
    static const char *const texts[] = {"",
                                        "listen: {registry: [], mirror: ['[::]:5001', 'unix:/x y'], tls: {cert: /c, "
                                        "key: /k}}\npublic_url: https://q.example/a\n",
                                        "storage: {root: \"/a b\\\"c#: d\", max_size: 1536KiB, keep_sources: 25h, "
                                        "upload_ttl: 61s, keep_derivations: 0}\n",
                                        "upstreams:\n- {name: a.io, url: 'https://a.io', aliases: [b.io, c.io], "
                                        "library_prefix: on, credentials: {command: [x, 'y z']}, "
                                        "anonymous_read: on, tag_ttl: 0, allow: ['lib/*'], allow_addresses: "
                                        "[10.0.0.0/8]}\n- {name: d.io, url: 'http://d.io'}\n",
                                        "policies:\n- {name: one, match: ['a.io/**:1.*'], mode: off, rules: {docs: "
                                        "off, user: report}, keep: {paths: ['/x y/**'], commands: "
                                        "['sh -c \"a b\"']}, remove: {packages: ['p*']}, user: '7:8', on_doubt: deny, "
                                        "evidence: {report: admin}}\n- {name: default, use: build}\n",
                                        "admin: {tokens: []}\nlimits: {jobs: 3, cold_wait: 1h}\nlog: {level: debug, "
                                        "format: json}\nplatforms: [linux/arm64, 'linux/amd64']\n"};
    for (size_t i = 0; i < QN_ARRAY_LEN(texts); i++) {
        json_t *j, *again;
        struct qn_err e;
        qn_auto_buf struct qn_buf b = {.max = 1u << 20};
        qn_ok(read_text(texts[i], &j, &e), e);
        qn_ok(qn_config_print(j, &b, &e), e);
        ck_assert_msg(read_text(b.p, &again, &e) == 0, "%s\n%s", e.msg, b.p);
        ck_assert_msg(json_equal(j, again), "%s", b.p);
        json_decref(j);
        json_decref(again);
    }
}
END_TEST

START_TEST(deep_and_large)
{
    struct qn_err e;
    json_t *j;
    qn_auto_buf struct qn_buf b = {.max = 4u << 20};

    for (int i = 0; i < 200; i++)
        qn_ok(qn_buf_c(&b, "[", &e), e);
    for (int i = 0; i < 200; i++)
        qn_ok(qn_buf_c(&b, "]", &e), e);
    qn_fails(read_text(b.p, &j, &e), e, QN_E_CONFIG);
    qn_buf_clear(&b);
    while (b.n < (1u << 20) + 10)
        qn_ok(qn_buf_c(&b, "# a comment that goes on and on\n", &e), e);
    qn_fails(read_text(b.p, &j, &e), e, QN_E_CONFIG);
    /* Very many keys: comparing each with each would take minutes. */
    qn_buf_clear(&b);
    for (int i = 0; i < 60000; i++)
        qn_ok(qn_buf_printf(&b, &e, "key%d: 1\n", i), e);
    qn_fails(read_text(b.p, &j, &e), e, QN_E_CONFIG);
}
END_TEST

Suite *suite_config(void)
{
    const TTest *const tests[] = {wrong_yaml, wrong_keys_and_values,  reserved_keys, defaults, words_and_units,
                                  secrets,    printed_and_read_again, deep_and_large};
    return qn_suite("config", tests, QN_ARRAY_LEN(tests));
}
