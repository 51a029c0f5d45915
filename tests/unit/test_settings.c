#include "settings_common.h"

#include "harden/rule.h"

static const char *policy(const struct qn_settings *s, const char *repository, const char *tag)
{
    static char name[128];
    ck_assert(qn_str_copy(qn_settings_policy(s, qn_str_c(repository), qn_str_c(tag))->name, name, sizeof name));
    return name;
}

START_TEST(built_in)
{
    auto_settings s = {0};

    settings_load("", &s);
    ck_assert_uint_eq(s.upstreams, 1);
    qn_is(s.upstream[0].name, "docker.io");
    ck_assert(s.upstream[0].library_prefix);
    ck_assert_ptr_eq(qn_settings_upstream(&s, QN_STR("Index.Docker.IO")), &s.upstream[0]);
    ck_assert_ptr_null(qn_settings_upstream(&s, QN_STR("quay.io")));
    qn_is(s.default_upstream, "docker.io");
    qn_is(s.root, "/var/lib/quench");
    ck_assert_str_eq(s.platform_list, "linux/amd64");
    ck_assert_uint_eq(s.policies, 1);
    ck_assert_str_eq(policy(&s, "docker.io/library/nginx", ""), "default");
    ck_assert_uint_eq(s.limits.image_size, 20ull << 30);
    ck_assert_uint_eq(s.cold_wait, 240);
    ck_assert(s.policy[0].mode == QN_MODE_ENFORCE && s.policy[0].public_report && !s.policy[0].wait_on_update);
}
END_TEST

START_TEST(policies_match_in_order)
{
    auto_settings s = {0};

    settings_load("policies:\n"
                  "- {name: tagged, match: ['docker.io/library/nginx:1.2*']}\n"
                  "- {name: nginx, match: ['docker.io/library/nginx'], mode: audit}\n"
                  "- {name: acme, match: ['*/acme/**', 'quay.io/**'], mode: off, profile: strict}\n"
                  "- {name: deep, match: ['docker.io/**/base']}\n",
                  &s);
    ck_assert_str_eq(policy(&s, "docker.io/library/nginx", "1.27"), "tagged");
    ck_assert_str_eq(policy(&s, "docker.io/library/nginx", "2"), "nginx");
    /* A glob with a tag fits that tag only: not pulls by digest. */
    ck_assert_str_eq(policy(&s, "docker.io/library/nginx", ""), "nginx");
    ck_assert_str_eq(policy(&s, "docker.io/library/nginx-extra", "1"), "default");
    ck_assert_str_eq(policy(&s, "docker.io/acme/a/b", "1"), "acme");
    ck_assert_str_eq(policy(&s, "quay.io/x", "1"), "acme");
    ck_assert_str_eq(policy(&s, "docker.io/x/y/base", ""), "deep");
    ck_assert_str_eq(policy(&s, "docker.io/library/redis", "7"), "default");
    ck_assert_int_eq(qn_settings_policy_named(&s, QN_STR("acme"))->mode, QN_MODE_OFF);
    ck_assert_int_eq(qn_settings_policy_named(&s, QN_STR("nginx"))->mode, QN_MODE_AUDIT);
    ck_assert_ptr_null(qn_settings_policy_named(&s, QN_STR("none")));
}
END_TEST

START_TEST(digests)
{
    auto_settings a = {0}, b = {0}, c = {0}, d = {0}, none = {0}, named = {0};

    settings_load(
        "policies:\n- {name: default, profile: safe, rules: {docs: off, user: report}, keep: {paths: [/a]}}\n", &a);
    settings_load(
        "policies:\n- keep: {paths: [\"/a\"]}\n  rules: {user: report, docs: 'no'}\n  name: default\n  profile: safe\n",
        &b);
    settings_load(
        "policies:\n- {name: default, profile: safe, rules: {docs: off, user: report}, keep: {paths: [/b]}}\n", &c);
    /* The order and the spelling of keys do not count, their values do. */
    ck_assert_str_eq(a.policy[0].digest, b.policy[0].digest);
    ck_assert_str_eq(a.policy[0].build_digest, b.policy[0].build_digest);
    ck_assert_str_ne(a.policy[0].digest, c.policy[0].digest);
    ck_assert_str_ne(a.policy[0].digest, a.policy[0].build_digest);
    /* What cannot change bytes does not count; written out, the built-in values are the built-in ones. */
    settings_load("policies:\n- {name: default, match: ['**'], mode: audit, on_update: wait, digest_pulls: exact, "
                  "evidence: {report: admin}, profile: standard, use: run, low_ports: restricted}\n",
                  &d);
    settings_load("", &none);
    ck_assert_str_eq(d.policy[0].digest, none.policy[0].digest);
    ck_assert(d.policy[0].wait_on_update && d.policy[0].exact_digests && !d.policy[0].public_report);
    ck_assert_str_eq(json_string_value(json_object_get(d.policy[0].build, "use")), "build");
    /* The name stands in results: another one is another policy. */
    settings_load("policies:\n- {name: other, match: ['a.io/x']}\n", &named);
    ck_assert_str_eq(named.policy[1].digest, none.policy[0].digest);
    ck_assert_str_ne(named.policy[0].digest, none.policy[0].digest);
}
END_TEST

static void refused(const char *yaml, enum qn_code code, const char *why)
{
    struct qn_settings s = {0};
    struct qn_err e;

    qn_fails(settings_try(yaml, &s, &e), e, code);
    ck_assert_msg(strstr(e.msg, why), "\"%s\" does not say \"%s\"", e.msg, why);
}

START_TEST(refusals)
{
    refused("policies:\n- {name: default}\n- {name: x}\n", QN_E_CONFIG, "must be the last");
    refused("policies:\n- {name: x}\n- {name: x}\n", QN_E_CONFIG, "two are named");
    refused("policies:\n- {match: ['**']}\n", QN_E_CONFIG, "needs a name");
    refused("policies:\n- {name: 'a b'}\n", QN_E_CONFIG, "letters, digits");
    refused("policies:\n- {name: x, user: nobody}\n", QN_E_CONFIG, "UID:GID");
    refused("policies:\n- {name: x, user: '0:0'}\n", QN_E_CONFIG, "UID:GID");
    refused("policies:\n- {name: x, user: '1:x'}\n", QN_E_CONFIG, "UID:GID");
    refused("policies:\n- {name: x, rules: {trust-store: on}}\n", QN_E_NOT_BUILT, "not built yet: rules.trust-store");
    refused("upstreams:\n- {name: quay.io}\n", QN_E_CONFIG, "name and url");
    refused("upstreams:\n- {name: quay, url: 'https://quay.io'}\n", QN_E_CONFIG, "with a dot");
    refused("upstreams:\n- {name: 'quay.io:443', url: 'https://quay.io'}\n", QN_E_CONFIG, "without port");
    refused("upstreams:\n- {name: a.io, url: 'https://a.io'}\n- {name: b.io, url: 'https://b.io', aliases: [A.IO]}\n",
            QN_E_CONFIG, "stands for two");
    refused("upstreams:\n- {name: a.io, url: 'https://a.io', credentials: {username: u, password: p}}\n", QN_E_CONFIG,
            "anonymous_read");
    refused("upstreams:\n- {name: a.io, url: 'https://a.io', allow_addresses: [10.0.0.0/99]}\n", QN_E_CONFIG,
            "allow_addresses");
    refused("platforms: []\n", QN_E_CONFIG, "platforms");
    refused("platforms: [amd64]\n", QN_E_USAGE, "platforms");
    refused("admin: {tokens: [{name: x, role: read, token: short}]}\n", QN_E_CONFIG, "16 characters");
    refused("listen: {tls: {cert: /x}}\n", QN_E_CONFIG, "go together");
    refused("limits: {jobs: 0}\n", QN_E_CONFIG, "limits");
    refused("limits: {manifest_size: 1GiB}\n", QN_E_CONFIG, "limits");
    refused("limits: {worker_memory: 1MiB}\n", QN_E_CONFIG, "limits");
}
END_TEST

START_TEST(everything)
{
    auto_settings s = {0};

    settings_load(
        "listen: {registry: [], mirror: ['[::]:5001'], admin: ['unix:/x']}\n"
        "storage: {root: /data, max_size: 0, keep_sources: 1h}\n"
        "upstreams:\n- {name: a.io, url: 'http://127.0.0.1:1', aliases: [b.io], allow: ['lib/*'], tag_ttl: 0, "
        "allow_addresses: [127.0.0.0/8]}\n"
        "- {name: c.io, url: 'https://c.io', credentials: {command: [get, me]}, anonymous_read: yes}\n"
        "default_upstream: a.io\nplatforms: [linux/amd64, linux/arm64/v8]\n"
        "admin: {tokens: [{name: ops, role: approve, token: 0123456789abcdef}]}\nlog: {level: debug, format: json}\n"
        "metrics: {listen: ['127.0.0.1:9']}\n",
        &s);
    ck_assert_uint_eq(s.registry.n, 0);
    qn_is(s.mirror.v[0], "[::]:5001");
    ck_assert_uint_eq(s.max_size, 0);
    ck_assert_uint_eq(s.keep_sources, 3600);
    ck_assert_uint_eq(s.upstream[0].address_count, 1);
    ck_assert_uint_eq(s.upstream[0].tag_ttl, 0);
    ck_assert_uint_eq(s.upstream[1].tag_ttl, 300);
    ck_assert_str_eq(s.upstream[1].command[1], "me");
    ck_assert_ptr_null(s.upstream[1].command[2]);
    ck_assert_uint_eq(s.platforms, 2);
    ck_assert_int_eq(s.token[0].role, QN_ROLE_APPROVE);
    ck_assert(s.log_json);
    qn_is(s.metrics.v[0], "127.0.0.1:9");
}
END_TEST

/* --- who may do what ---------------------------------------------------------------------------------------------- */
START_TEST(local_names)
{
    auto_settings s = {0};

    settings_load("local:\n- {name: apps}\n- {name: a_b-c, sparse: on, harden_on_push: yes}\n", &s);
    ck_assert_uint_eq(s.locals, 2);
    ck_assert(!s.local[0].sparse && !s.local[0].harden_on_push && s.local[1].sparse && s.local[1].harden_on_push);
    ck_assert_ptr_eq(qn_settings_local(&s, QN_STR("a_b-c")), &s.local[1]);
    ck_assert_ptr_null(qn_settings_local(&s, QN_STR("app")));
    refused("local: [{sparse: on}]\n", QN_E_CONFIG, "local: name");
    refused("local: [{name: a.io}]\n", QN_E_CONFIG, "local: name");
    refused("local: [{name: a/b}]\n", QN_E_CONFIG, "local: name");
    refused("local: [{name: Apps}]\n", QN_E_CONFIG, "local: name");
    refused("local: [{name: build}]\n", QN_E_CONFIG, "local: name");
    refused("local: [{name: x}, {name: x}]\n", QN_E_CONFIG, "two are named");
    refused("upstreams: [{name: a.io, url: 'https://a.io', aliases: [hub]}]\nlocal: [{name: hub}]\n", QN_E_CONFIG,
            "an upstream already");
}
END_TEST

START_TEST(rules_of_access)
{
    static const char *const yaml = "auth:\n  rules:\n"
                                    "  - {who: ['*'], repositories: ['docker.io/**', 'apps/public/*']}\n"
                                    "  - {who: [ci, 'cn:builder'], repositories: ['apps/**'], actions: [pull, push]}\n"
                                    "  - {who: [root], actions: [pull, push, delete]}\n";
    static const struct {
        const char *who, *repository;
        enum qn_action action;
        bool may;
    } rows[] = {{"", "docker.io/library/nginx", QN_PULL, true},
                {"", "docker.io/library/nginx", QN_PUSH, false},
                {"", "apps/public/x", QN_PULL, true},
                {"", "apps/public/x/y", QN_PULL, false},
                {"", "apps/x", QN_PULL, false},
                {"*", "apps/x", QN_PULL, false},
                {"ci", "docker.io/library/nginx", QN_PULL, true}, /* "*" is everybody */
                {"ci", "apps/x", QN_PUSH, true},
                {"ci", "apps/x", QN_DELETE, false},
                {"ci", "docker.io/library/nginx", QN_PUSH, false},
                {"builder", "apps/x", QN_PUSH, false},
                {"cn:builder", "apps/x", QN_PUSH, true},
                {"root", "apps/x", QN_DELETE, true},
                {"Root", "apps/x", QN_DELETE, false}};
    auto_settings none = {0}, given = {0}, empty = {0};

    settings_load(yaml, &given);
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++)
        ck_assert_msg(qn_settings_may(&given, qn_str_c(rows[i].who), qn_str_c(rows[i].repository), rows[i].action) ==
                          rows[i].may,
                      "row %zu: \"%s\" in %s", i, rows[i].who, rows[i].repository);
    settings_load("", &none);
    settings_load("auth: {}\n", &empty);
    ck_assert(!none.auth && empty.auth && given.auth);
    ck_assert(qn_settings_may(&none, QN_STR(""), QN_STR("a/b"), QN_PULL));
    ck_assert(!qn_settings_may(&none, QN_STR("root"), QN_STR("a/b"), QN_PUSH));
    ck_assert(qn_settings_may(&empty, QN_STR(""), QN_STR("a/b"), QN_PULL));
    ck_assert(!qn_settings_may(&empty, QN_STR(""), QN_STR("a/b"), QN_DELETE));
    refused("auth: {rules: [{repositories: ['**']}]}\n", QN_E_CONFIG, "needs who");
    refused("auth: {rules: [{who: [a], actions: [read]}]}\n", QN_E_CONFIG, "none of pull, push, delete");
}
END_TEST

/* --- the part of a policy that workers read ----------------------------------------------------------------------- */
static int options(const char *text, struct qn_options *o, struct qn_err *e)
{
    qn_auto_json json_t *j = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(j);
    return qn_options_read(j, o, e);
}

START_TEST(profiles)
{
    struct qn_err e;
    static const struct {
        const char *text;
        enum qn_rule rule;
        enum qn_rule_state state;
    } rows[] = {{"{}", QN_RULE_network_tools, QN_RULE_ON},
                {"{\"profile\":\"safe\"}", QN_RULE_network_tools, QN_RULE_REPORT},
                {"{\"profile\":\"strict\"}", QN_RULE_file_caps, QN_RULE_ON},
                {"{\"use\":\"build\"}", QN_RULE_package_managers, QN_RULE_OFF},
                {"{\"use\":\"build\"}", QN_RULE_docs, QN_RULE_ON},
                {"{\"use\":\"build\",\"rules\":{\"package-managers\":\"on\"}}", QN_RULE_package_managers, QN_RULE_ON},
                {"{\"rules\":{\"setuid\":\"off\"}}", QN_RULE_setuid, QN_RULE_OFF},
                {"{\"rules\":{\"setuid\":\"report\"}}", QN_RULE_setuid, QN_RULE_REPORT},
                {"{\"user\":\"keep\"}", QN_RULE_user, QN_RULE_OFF},
                {"{\"user\":\"keep\",\"rules\":{\"user\":\"on\"}}", QN_RULE_user, QN_RULE_ON},
                {"{\"user\":\"7:8\"}", QN_RULE_user, QN_RULE_ON}};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        qn_auto_options struct qn_options o = {0};
        qn_ok(options(rows[i].text, &o, &e), e);
        ck_assert_msg(o.rule[rows[i].rule] == rows[i].state, "%s", rows[i].text);
    }
    for (int r = 0; r < QN_RULE_COUNT; r++) {
        bool reserved;
        ck_assert_int_eq(qn_rule_find(qn_str_c(qn_rule_name((enum qn_rule)r)), &reserved), r);
        ck_assert(qn_rule_summary((enum qn_rule)r)[0] && qn_rule_checks((enum qn_rule)r)[0]);
    }
    bool reserved;
    ck_assert(qn_rule_find(QN_STR("trust-store"), &reserved) < 0 && reserved);
    ck_assert(qn_rule_find(QN_STR("package_managers"), &reserved) < 0 && !reserved);
}
END_TEST

START_TEST(wrong_options)
{
    struct qn_err e;
    static const struct {
        const char *text;
        enum qn_code code;
    } rows[] = {{"{\"profile\":\"mild\"}", QN_E_CONFIG},
                {"{\"use\":7}", QN_E_MALFORMED},
                {"{\"rules\":{\"x\":\"on\"}}", QN_E_CONFIG},
                {"{\"rules\":{\"docs\":\"maybe\"}}", QN_E_CONFIG},
                {"{\"rules\":{\"docs\":true}}", QN_E_CONFIG},
                {"{\"keep\":{\"paths\":[1]}}", QN_E_CONFIG},
                {"{\"keep\":[]}", QN_E_MALFORMED},
                {"{\"remove\":{\"paths\":\"x\"}}", QN_E_MALFORMED},
                {"{\"user\":\"99999999999\"}", QN_E_CONFIG},
                {"{\"rules\":{\"trust-store\":\"on\"}}", QN_E_NOT_BUILT}};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        struct qn_options o = {0};
        qn_fails(options(rows[i].text, &o, &e), e, rows[i].code);
    }
}
END_TEST

Suite *suite_settings(void)
{
    const TTest *const tests[] = {built_in, policies_match_in_order, digests,     refusals,       everything,
                                  profiles, wrong_options,           local_names, rules_of_access};
    return qn_suite("settings", tests, QN_ARRAY_LEN(tests));
}
