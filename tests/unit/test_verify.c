/* Each check fails when its thing is broken, and names it. */
#include "image_fixture.h"

#define LOADER "lib64/ld-linux-x86-64.so.2 elf\n"
#define BASE                                                                                                           \
    LOADER                                                                                                             \
    "usr/bin/dash elf\nusr/bin/sh -> dash\nbin -> usr/bin\nusr/sbin/app 0755 elf needs=libx.so\nusr/lib/libx.so "      \
    "elf\n"                                                                                                            \
    "run text=#!/bin/sh\\nexec app\\n\npy text=#!/usr/bin/env python3\\n\nusr/bin/env elf\nusr/bin/python3 elf\n"      \
    "etc/passwd text=root:x:0:0::/:\\napp:x:5:6::/:\\n\netc/group text=app:x:6:\\n\ndata/ 0750 gid=6\nwork/\n"         \
    "var/lib/dpkg/status text=" DPKG_STATUS("x", "")                                                                   \
        DPKG_STATUS("y", "") "\n"                                                                                      \
                             "var/lib/dpkg/info/x.list text=/usr/lib/libx.so\\n\nvar/lib/dpkg/info/y.list "            \
                             "text=/usr/share/y\\n\nusr/share/y text=1\n"
#define CONFIG                                                                                                         \
    "'Entrypoint':['/run'],'Cmd':['app','x'],'User':'app:app','WorkingDir':'/work','Volumes':{'/"                      \
    "data':{}},'Healthcheck':{'Test':"                                                                                 \
    "['CMD','/py']}"

/* `upper` breaks the image; the check must say so, with `what` in its words. */
static void broken(enum qn_check check, const char *upper, const char *config, const char *what)
{
    auto_fixture before = {0}, after = {0};

    fixture_layer(&before, BASE);
    fixture_policy(&before, ALL_OFF);
    fixture_image(&before, CONFIG);
    fixture_layer(&after, BASE);
    fixture_layer(&after, upper);
    fixture_policy(&after, ALL_OFF);
    fixture_image(&after, config ? config : CONFIG);
    struct qn_verdict v = fixture_check(&before, &after, check);
    ck_assert_msg(v.ok == (what == NULL), "%s with %s: %s", qn_check_name(check), upper, v.detail);
    if (what)
        ck_assert_msg(strstr(v.detail, what) != NULL, "%s: \"%s\" does not say \"%s\"", qn_check_name(check), v.detail,
                      what);
}

START_TEST(nothing_wrong)
{
    auto_fixture f = {0};

    fixture_make(&f, BASE, CONFIG, ALL_OFF);
    fixture_verified(&f);
    for (int i = 0; i < QN_CHECK_COUNT; i++)
        broken((enum qn_check)i, "new text=1\n", NULL, NULL);
}
END_TEST

START_TEST(needs)
{
    broken(QN_CHECK_needs, "usr/lib/.wh.libx.so text=\n", NULL, "libx.so");
    broken(QN_CHECK_needs, "lib64/.wh.ld-linux-x86-64.so.2 text=\n", NULL, "ld-linux");
    /* A library that was not found before is not missed; another one in its place will do. */
    broken(QN_CHECK_needs, "usr/lib/.wh.libx.so text=\nlib64/libx.so elf\n", NULL, NULL);
    broken(QN_CHECK_needs, "usr/lib/.wh.libx.so text=\nlib64/libx.so elf class=32\n", NULL, "libx.so");
    broken(QN_CHECK_needs, "usr/lib/.wh.libx.so text=\nusr/sbin/.wh.app text=\n", NULL, NULL);
}
END_TEST

START_TEST(entrypoint)
{
    broken(QN_CHECK_entrypoint, ".wh.run text=\n", NULL, "entrypoint");
    broken(QN_CHECK_entrypoint, "run 0644 text=#!/bin/sh\\n\n", NULL, "may not be run");
    broken(QN_CHECK_entrypoint, "usr/sbin/.wh.app text=\n", NULL, "command");
    broken(QN_CHECK_entrypoint, "usr/local/sbin/app elf\n", NULL, "another file");
    broken(QN_CHECK_entrypoint, ".wh.py text=\n", NULL, "health check");
    broken(QN_CHECK_entrypoint, "run 0754 uid=0 gid=6 text=#!/bin/sh\\n\n", NULL, NULL);
    broken(QN_CHECK_entrypoint, "run 0754 uid=0 gid=7 text=#!/bin/sh\\n\n", NULL, "may not be run");
}
END_TEST

START_TEST(interpreters)
{
    broken(QN_CHECK_interpreters, "usr/bin/.wh.dash text=\n", NULL, "/bin/sh");
    broken(QN_CHECK_interpreters, "usr/bin/.wh.python3 text=\n", NULL, "python3");
    broken(QN_CHECK_interpreters, ".wh.run text=\n", NULL, "/run is gone");
}
END_TEST

START_TEST(links)
{
    broken(QN_CHECK_links, "usr/bin/.wh.dash text=\n", NULL, "/usr/bin/sh leads to nothing");
    broken(QN_CHECK_links, ".wh.py text=\n", NULL, "/py is gone though it is reached");
    broken(QN_CHECK_links, "new -> nowhere\n", NULL, NULL);
}
END_TEST

START_TEST(users)
{
    broken(QN_CHECK_users, "etc/.wh.passwd text=\n", NULL, "user \"app\"");
    broken(QN_CHECK_users, "etc/group text=x:x:6:\\n\n", NULL, "group \"app\"");
    broken(QN_CHECK_users, "etc/.wh.passwd text=\n", "'User':'5:6'", NULL);
    broken(QN_CHECK_users, "x text=1\n", "'User':'nobody'", NULL); /* was unknown before as well */
}
END_TEST

START_TEST(directories)
{
    broken(QN_CHECK_directories, ".wh.data text=\n", NULL, "/data is gone");
    broken(QN_CHECK_directories, ".wh.work text=\n", NULL, "/work is gone");
    broken(QN_CHECK_directories, "data/ 0700 gid=6\n", NULL, "group or mode");
    broken(QN_CHECK_directories, "data/ 0750 gid=7\n", NULL, "group or mode");
    broken(QN_CHECK_directories, "data/ 01750 uid=9 gid=6\n", NULL, NULL);
    broken(QN_CHECK_directories, "work text=file\n", NULL, "/work is gone");
}
END_TEST

START_TEST(database)
{
    broken(QN_CHECK_database, "usr/share/.wh.y text=\n", NULL, "\"y\" is listed");
    broken(QN_CHECK_database, "var/lib/dpkg/status text=" DPKG_STATUS("x", "") "\n", NULL, "\"y\" is not listed");
    broken(QN_CHECK_database,
           "var/lib/dpkg/status text=" DPKG_STATUS("x", "") DPKG_STATUS("y", "") DPKG_STATUS("z", "") "\n", NULL,
           "\"z\" is new");
    broken(QN_CHECK_database, "usr/share/.wh.y text=\nvar/lib/dpkg/status text=" DPKG_STATUS("x", "") "\n", NULL,
           "y.list names");
    broken(QN_CHECK_database,
           "usr/share/.wh.y text=\nvar/lib/dpkg/info/.wh.y.list text=\nvar/lib/dpkg/status text=" DPKG_STATUS("x",
                                                                                                              "") "\n",
           NULL, NULL);
}
END_TEST

START_TEST(tar)
{
    broken(QN_CHECK_tar, "a => nothing\n", NULL, "hard links");
    broken(QN_CHECK_tar, "a text=1\na text=1\n", NULL, "twice");
}
END_TEST

START_TEST(layers)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, "a text=1\n", "", ALL_OFF);
    fixture_layer(&g, "b text=1\n");
    fixture_policy(&g, ALL_OFF);
    fixture_image(&g, "");
    ck_assert(fixture_check(&f, &g, QN_CHECK_layers).ok);
    /* The bytes of another layer under the same configuration. */
    f.image.config.diff_ids[0].bytes[0] ^= 1;
    ck_assert(!fixture_check(&g, &f, QN_CHECK_layers).ok);
    f.image.tree.layer_count = 0;
    ck_assert(!fixture_check(&g, &f, QN_CHECK_layers).ok);
    f.image.tree.layer_count = 1;
}
END_TEST

static struct qn_verdict judged(const char *before, const char *after, const char *config, const char *new_config,
                                const char *policy, enum qn_check check)
{
    auto_fixture f = {0}, g = {0};

    fixture_layer(&f, before);
    fixture_policy(&f, policy);
    fixture_image(&f, config);
    fixture_layer(&g, after);
    fixture_policy(&g, policy);
    fixture_image(&g, new_config);
    return fixture_check(&f, &g, check);
}

START_TEST(privileges)
{
    static const char *const on = "{'rules':{'user':'off'}}";
    struct qn_verdict v =
        judged("a 4755 elf\n", "a 4755 elf\n", "'Cmd':['/a']", "'Cmd':['/a']", on, QN_CHECK_privileges);

    ck_assert(!v.ok && strstr(v.detail, "/a has mode 4755"));
    ck_assert(judged("a 4755 elf\n", "a 0755 elf\n", "'Cmd':['/a']", "'Cmd':['/a']", on, QN_CHECK_privileges).ok);
    ck_assert(judged("a 4755 elf\n", "a 4755 elf\n", "'Cmd':['/a'],'User':'5'", "'Cmd':['/a'],'User':'5'", on,
                     QN_CHECK_privileges)
                  .ok);
    ck_assert(judged("a 4755 elf\n", "a 4755 elf\n", "'Cmd':['/a']", "'Cmd':['/a']", ALL_OFF, QN_CHECK_privileges).ok);
    v = judged("a 4755 text=1\n", "a 4755 text=1\na 0755 text=2\n", "", "", on, QN_CHECK_privileges);
    ck_assert(!v.ok && strstr(v.detail, "lower layer"));
}
END_TEST

START_TEST(access)
{
    static const char *const layer =
        "opt/tool elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so elf\nrun text=#!/opt/tool\\n\n";
    static const struct {
        const char *after, *config, *what;
    } rows[] = {
        {layer, "'Cmd':['/run'],'User':'5:5'", NULL},
        {"opt/tool 0700 elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so elf\nrun text=#!/opt/tool\\n\n",
         "'Cmd':['/run'],'User':'5:5'", "/opt/tool"},
        {"opt/ 0700\nopt/tool elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so elf\nrun "
         "text=#!/opt/tool\\n\n",
         "'Cmd':['/run'],'User':'5:5'", "/opt/"},
        {"opt/ 0700 uid=5\nopt/tool elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so elf\nrun "
         "text=#!/opt/tool\\n\n",
         "'Cmd':['/run'],'User':'5:5'", NULL},
        {"opt/ 0710 gid=5\nopt/tool elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so elf\nrun "
         "text=#!/opt/tool\\n\n",
         "'Cmd':['/run'],'User':'5:5'", NULL},
        {"opt/tool elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so 0600 elf\nrun text=#!/opt/tool\\n\n",
         "'Cmd':['/run'],'User':'5:5'", "libx.so"},
        {"opt/tool elf needs=libx.so interp=/opt/ld\nopt/ld elf\nlib64/libx.so elf\nrun 0711 text=#!/opt/tool\\n\n",
         "'Cmd':['/run'],'User':'5:5'", "/run"}};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        struct qn_verdict v = judged(layer, rows[i].after, "'Cmd':['/run']", rows[i].config, ALL_OFF, QN_CHECK_access);
        ck_assert_msg(v.ok == (rows[i].what == NULL), "%zu: %s", i, v.detail);
        if (rows[i].what)
            ck_assert_msg(strstr(v.detail, rows[i].what) != NULL, "%zu: %s", i, v.detail);
    }
}
END_TEST

START_TEST(stable)
{
    struct qn_verdict v = judged("a text=1\n", "usr/share/man/x text=1\n", "", "", "", QN_CHECK_stable);

    ck_assert(!v.ok && strstr(v.detail, "rule docs would remove \"usr/share/man/x\""));
    /* What a rule may only report is not work left. */
    ck_assert(
        judged("a text=1\n", "usr/share/man/x text=1\n", "", "", "{'rules':{'docs':'report'}}", QN_CHECK_stable).ok);
    v = judged("a text=1\n", "a text=1\n", "", "'WorkingDir':'x'", "", QN_CHECK_stable);
    ck_assert(!v.ok && strstr(v.detail, "config.WorkingDir"));
}
END_TEST

START_TEST(as_json)
{
    struct qn_verdict results[QN_CHECK_COUNT] = {0};
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_err e;

    for (int i = 0; i < QN_CHECK_COUNT; i++)
        results[i].ok = i != 2;
    qn_verdict_fail(&results[0], "first %d", 1);
    qn_verdict_fail(&results[0], "second");
    qn_auto_json json_t *list = qn_verify_json(results);
    qn_ok(qn_json_print(json_array_get(list, 0), &b, &e), e);
    ck_assert_str_eq(b.p, "{\"check\":\"needs\",\"ok\":false,\"detail\":\"first 1\"}");
    ck_assert_uint_eq(json_array_size(list), QN_CHECK_COUNT);
}
END_TEST

Suite *suite_verify(void)
{
    const TTest *const tests[] = {nothing_wrong, needs, entrypoint, interpreters, links,  users,  directories,
                                  database,      tar,   layers,     privileges,   access, stable, as_json};
    return qn_suite("verify", tests, QN_ARRAY_LEN(tests));
}
