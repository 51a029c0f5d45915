/* Secrets: what is taken for one, and what the rule makes of it. */
#include "image/secrets.h"
#include "harden/rewrite.h"
#include "image_fixture.h"

#include <stdio.h>

#define BASE64 "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKjMzEfYyjiWA4R4"
#define KEY    "-----BEGIN RSA PRIVATE KEY-----\\n" BASE64 "\\n" BASE64 "\\n-----END RSA PRIVATE KEY-----\\n"
#define KEYTXT "-----BEGIN PRIVATE KEY-----\n" BASE64 "\n" BASE64 "\n-----END PRIVATE KEY-----\n"
/* Put together here, so that nothing takes this file for one that holds secrets. */
#define GITHUB                                                                                                         \
    "ghp"                                                                                                              \
    "_Aa1Bb2Cc3Dd4Ee5Ff6Gg7Hh8Ii9Jj0Kk1Ll2"
#define AWS                                                                                                            \
    "AKI"                                                                                                              \
    "AQ3WZ7K5XN2M4P6R8"
#define GITLAB                                                                                                         \
    "glp"                                                                                                              \
    "at-A1b2C3d4E5f6G7h8I9j0"
#define APP    "app/run text=#!/bin/sh\\nexec true\\n\nbin/sh elf\n"
#define STARTS "'Entrypoint':['/app/run']"
/* Another rule has its own words for keys that anybody may read. */
#define NORMAL "{'rules':{'permissions':'off'}}"
#define STRICT "{'profile':'strict','rules':{'permissions':'off'}}"

static uint32_t bits(const char *path, const char *text)
{
    return qn_secrets_file(qn_str_c(path), qn_str_c(text));
}

#define HAS(path, text, kind) ck_assert_msg(bits(path, text) & QN_SECRET_BIT(QN_SECRET_##kind), "%s: %s", path, text)
#define NONE(path, text)      ck_assert_msg(bits(path, text) == 0, "%s: %s", path, text)

START_TEST(tokens)
{
    HAS("app/x", "token " GITHUB " here", GITHUB);
    HAS("app/x", GITHUB, GITHUB);
    HAS("app/x", "\"" GITLAB "\"", GITLAB);
    HAS("app/x.cfg", "id=" AWS "\n", AWS);
    HAS("app/token", GITHUB "\n", KEY_FILE);
    ck_assert(!(bits("app/x", "a\nb = " GITHUB "\n") & QN_SECRET_FILES));
    NONE("app/x", "x" GITHUB);
    NONE("app/x", "_" AWS);
    NONE("app/x", AWS "Z");
    NONE("app/x", "AKI"
                  "AIOSFODNN7EXAMPLE");
    NONE("app/x", "ghp"
                  "_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    NONE("app/x", "ghp"
                  "_short1234567890");
    NONE("app/tests/x", GITHUB);
    NONE("app/test_login.py", GITHUB);
    NONE("app/vendor/x", GITHUB);
    NONE("app/x-1.0.dist-info/METADATA", GITHUB);
    NONE("usr/lib/python3/x.py", GITHUB);
    NONE("app/README.md", GITHUB);
    ck_assert(!qn_secrets_wanted(QN_STR("usr/share/x"), 5));
    ck_assert(!qn_secrets_wanted(QN_STR("app/x"), 5u << 20));
    ck_assert(qn_secrets_wanted(QN_STR("app/x"), 5u << 10));
    ck_assert_uint_eq(qn_secrets_file(QN_STR("app/x"), QN_STR("\0" GITHUB)), 0);
}
END_TEST

START_TEST(keys_and_files)
{
    HAS("app/tls/server.key", KEYTXT, PRIVATE_KEY);
    HAS("app/tls/server.key", KEYTXT, KEY_FILE);
    HAS("app/start.sh", "#!/bin/sh\ncat <<E\n" KEYTXT "E\n", PRIVATE_KEY);
    ck_assert(!(bits("app/start.sh", "#!/bin/sh\ncat <<E\n" KEYTXT "E\n") & QN_SECRET_FILES));
    HAS("app/gcp.json",
        "{\"type\": \"service_account\", \"private_key\": \"-----BEGIN PRIVATE KEY-----\\n" BASE64 BASE64
        "\\n-----END PRIVATE KEY-----\\n\"}",
        GOOGLE);
    NONE("app/server.key", "-----BEGIN PRIVATE KEY-----\n");
    NONE("app/server.key", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n");
    NONE("app/server.pem", "-----BEGIN CERTIFICATE-----\n" BASE64 BASE64 "\n-----END CERTIFICATE-----\n");
    HAS("etc/ssh/ssh_host_rsa_key", "x", HOST_KEY);
    NONE("etc/ssh/ssh_host_rsa_key.pub", "x");
    HAS("root/.netrc", "machine h login l password p\n", LOGIN_FILE);
    NONE("root/.netrc", "machine h\n");
    HAS("root/.npmrc", "//r/:_authToken=abc\n", REGISTRY_LOGIN);
    NONE("root/.npmrc", "//r/:_authToken=${NPM_TOKEN}\n");
    NONE("root/.npmrc", "registry=https://r/\n");
    HAS("root/.docker/config.json", "{\"auths\":{\"r\":{\"auth\":\"eDp5\"}}}", REGISTRY_LOGIN);
    NONE("root/.docker/config.json", "{\"auths\":{}}");
    HAS("home/u/.kube/config", "users:\n- user:\n    client-key-data: x\n", KUBECONFIG);
    HAS("root/.aws/credentials", "aws_secret_access_key = x\n", CLOUD_LOGIN);
    HAS("app/terraform.tfstate", "{\"version\": 4}", TERRAFORM);
    HAS("root/.git-credentials", "https://u:p@h\n", GIT_CREDENTIALS);
}
END_TEST

START_TEST(one_after_the_other)
{
    struct qn_str rest = QN_STR("a " GITLAB " b " GITHUB " " KEYTXT " c");
    struct qn_secret s;

    ck_assert(qn_secret_next(&rest, &s));
    ck_assert_int_eq(s.kind, QN_SECRET_GITLAB);
    qn_is(s.value, GITLAB);
    ck_assert(qn_secret_next(&rest, &s));
    qn_is(s.value, GITHUB);
    ck_assert(qn_secret_next(&rest, &s));
    ck_assert_int_eq(s.kind, QN_SECRET_PRIVATE_KEY);
    ck_assert(qn_str_ends(s.value, QN_STR("-----END PRIVATE KEY-----")));
    ck_assert(!qn_secret_next(&rest, &s));
    qn_is(rest, "\n c");
}
END_TEST

static void gone(const struct fixture *f, const char *path)
{
    ck_assert_msg(fixture_removed(f, path), "%s stays", path);
    ck_assert_ptr_nonnull(fixture_change(f, QN_RULE_secrets, path));
    ck_assert(fixture_finding(f, "CIS-4.10", path)->fixed);
}

static void stays(const struct fixture *f, const char *path, const char *because)
{
    ck_assert_msg(!fixture_removed(f, path), "%s goes", path);
    const struct qn_finding *found = fixture_finding(f, "CIS-4.10", path);
    ck_assert_msg(found != NULL, "%s is not reported", path);
    ck_assert(!found->fixed);
    ck_assert_msg(qn_str_find(found->detail, qn_str_c(because)) >= 0, "%s: %.*s", path, QN_FMT(found->detail));
    ck_assert(qn_str_find(found->detail, QN_STR("ghp_")) < 0);
}

#define FILES                                                                                                          \
    APP "etc/ssh/ssh_host_rsa_key text=" KEY "\nroot/.git-credentials text=https://u:p@h\\n\nopt/a/tls.key text=" KEY  \
        "\nroot/.npmrc text=//r/:_authToken=abc\\n\nhome/u/.docker/config.json text={\"auths\":{\"r\":{\"auth\":"      \
        "\"eDp5\"}}}\napp/settings.py text=T=\"" GITHUB "\"\\n\netc/app/owned.pem text=" KEY                           \
        "\netc/app/used.pem text=" KEY "\netc/app/once.pem text=" KEY                                                  \
        "\netc/app/app.conf text=cert /etc/app/used.pem\\n# cert once.pem\\n\n"                                        \
        "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\nvar/lib/dpkg/info/p.list text=/etc/app/owned.pem\\n\n"

START_TEST(removed_or_reported)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, FILES, STARTS, NORMAL);
    gone(&f, "etc/ssh/ssh_host_rsa_key");
    gone(&f, "root/.git-credentials");
    stays(&f, "opt/a/tls.key", "private key");
    stays(&f, "root/.npmrc", "registry");
    stays(&f, "home/u/.docker/config.json", "the profile");
    fixture_verified(&f);
    fixture_make(&g, FILES, STARTS, STRICT);
    gone(&g, "etc/ssh/ssh_host_rsa_key");
    gone(&g, "opt/a/tls.key");
    gone(&g, "root/.npmrc");
    gone(&g, "home/u/.docker/config.json");
    stays(&g, "app/settings.py", "GitHub token");
    stays(&g, "etc/app/owned.pem", "a package");
    stays(&g, "etc/app/used.pem", "a configuration names it");
    gone(&g, "etc/app/once.pem");
    fixture_verified(&g);
}
END_TEST

START_TEST(what_something_needs)
{
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, "usr/sbin/sshd elf\netc/ssh/ssh_host_rsa_key text=" KEY "\n", "'Cmd':['/usr/sbin/sshd','-D']",
                 NORMAL);
    stays(&f, "etc/ssh/ssh_host_rsa_key", "the server");
    fixture_verified(&f);
    fixture_make(&g,
                 "usr/sbin/sshd elf\nusr/bin/ssh-keygen elf\nbin/sh elf\netc/ssh/ssh_host_rsa_key text=" KEY
                 "\nrun text=#!/bin/sh\\nssh-keygen -A\\nexec sshd -D\\n\n",
                 "'Cmd':['/run']", NORMAL);
    gone(&g, "etc/ssh/ssh_host_rsa_key");
    fixture_make(&h, APP "k/a.key text=" KEY "\nk/b.key text=" KEY "\n", STARTS ",'Env':['KEY=/k/a.key']",
                 "{'profile':'strict','rules':{'permissions':'off'},'keep':{'paths':['/k/b*']}}");
    stays(&h, "k/a.key", "names it");
    stays(&h, "k/b.key", "that the image runs");
    fixture_verified(&h);
}
END_TEST

START_TEST(hidden_by_upper_layers)
{
    auto_fixture f = {0}, after = {0};
    unsigned touched;

    fixture_layer(&f, APP "k/gone.key text=" KEY "\nk/over.key text=" KEY "\nk/dir/x.key text=" KEY
                          "\nk/link.key => k/gone.key\nk/other text=1\n");
    fixture_layer(&f, "k/.wh.gone.key text=\nk/over.key text=nothing\nk/dir/.wh..wh..opq text=\n");
    fixture_policy(&f, "{'profile':'safe','rules':{'permissions':'off'}}");
    fixture_image(&f, STARTS);
    fixture_plan(&f);
    ck_assert(!qn_plan_empty(&f.plan));
    ck_assert(fixture_finding(&f, "CIS-4.10", "k/gone.key")->fixed);
    ck_assert(fixture_finding(&f, "CIS-4.10", "k/over.key")->fixed);
    ck_assert(fixture_finding(&f, "CIS-4.10", "k/dir/x.key")->fixed);
    fixture_after(&f, &after, &touched);
    ck_assert_uint_eq(touched & 1, 1);
    /* The other name of the file can be seen: it has the data now. */
    bool linked = false;
    for (size_t i = 0; i < after.layer[0].count; i++) {
        const struct qn_entry *n = &after.layer[0].entry[i];
        ck_assert(!qn_str_eq(n->path, QN_STR("k/gone.key")) && !qn_str_eq(n->path, QN_STR("k/over.key")) &&
                  !qn_str_eq(n->path, QN_STR("k/dir/x.key")));
        linked = linked || (qn_str_eq(n->path, QN_STR("k/link.key")) && n->type == QN_FILE && n->secrets);
    }
    ck_assert(linked);
    ck_assert(!fixture_check(&f, &f, QN_CHECK_secrets).ok);
    fixture_verified(&f);
}
END_TEST

START_TEST(every_name_goes)
{
    auto_fixture f = {0}, after = {0};

    fixture_layer(&f, APP "k/a.key text=" KEY "\nk/b.key => k/a.key\n");
    fixture_layer(&f, "k/a.key text=" KEY "\n");
    fixture_policy(&f, STRICT);
    fixture_image(&f, STARTS);
    fixture_plan(&f);
    gone(&f, "k/a.key");
    gone(&f, "k/b.key");
    fixture_after(&f, &after, NULL);
    for (size_t l = 0; l < after.layers; l++)
        for (size_t i = 0; i < after.layer[l].count; i++)
            ck_assert_uint_eq(after.layer[l].entry[i].secrets, 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(variables)
{
    auto_fixture f = {0};

    fixture_make(&f, APP, STARTS ",'Env':['CI=" GITLAB "','X=1']", STRICT);
    const struct qn_finding *found = fixture_finding(&f, "CIS-DI-0010", "GitLab");
    ck_assert_ptr_nonnull(found);
    qn_is(found->detail, "GitLab token in variable \"CI\"");
    ck_assert(!found->fixed);
}
END_TEST

START_TEST(history)
{
    static const char config[] =
        STARTS "},'history':[{'created_by':'ENV A=" GITHUB " B=" GITLAB " c'},{'created_by':'RUN y'}],'x':{";
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, APP, config, NORMAL);
    ck_assert(!fixture_finding(&f, "CIS-DI-0010", "entry 0")->fixed);
    qn_is(qn_str_c(json_string_value(
              json_object_get(json_array_get(json_object_get(f.plan.config, "history"), 0), "created_by"))),
          "ENV A=" GITHUB " B=" GITLAB " c");
    fixture_make(&g, APP, config, STRICT);
    ck_assert(fixture_finding(&g, "CIS-DI-0010", "entry 0")->fixed);
    qn_is(qn_str_c(json_string_value(
              json_object_get(json_array_get(json_object_get(g.plan.config, "history"), 0), "created_by"))),
          "ENV A=*** B=*** c");
}
END_TEST

START_TEST(off_and_report)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, FILES, STARTS, "{'rules':{'secrets':'off','permissions':'off'}}");
    ck_assert(!fixture_removed(&f, "etc/ssh/ssh_host_rsa_key"));
    ck_assert_ptr_null(fixture_finding(&f, "CIS-4.10", "git-credentials"));
    fixture_make(&g, FILES, STARTS, "{'rules':{'secrets':'report','permissions':'off'}}");
    ck_assert(!fixture_removed(&g, "etc/ssh/ssh_host_rsa_key"));
    ck_assert(!fixture_finding(&g, "CIS-4.10", "git-credentials")->fixed);
    fixture_verified(&g);
}
END_TEST

Suite *suite_secrets(void)
{
    const TTest *const tests[] = {tokens,
                                  keys_and_files,
                                  one_after_the_other,
                                  removed_or_reported,
                                  what_something_needs,
                                  hidden_by_upper_layers,
                                  every_name_goes,
                                  variables,
                                  history,
                                  off_and_report};
    return qn_suite("secrets", tests, QN_ARRAY_LEN(tests));
}
