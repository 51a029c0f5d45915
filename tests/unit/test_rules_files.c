/* docs, caches, debris, devices. */
#include "image_fixture.h"

#include <stdio.h>

#define APP    "app/run text=#!/bin/sh\\nexec true\\n\nbin/sh elf\n"
#define STARTS "'Entrypoint':['/app/run']"

static void gone(const struct fixture *f, const char *path, enum qn_rule rule)
{
    ck_assert_msg(fixture_removed(f, path), "%s stays", path);
    ck_assert_msg(fixture_change(f, rule, path), "%s goes because of another rule", path);
}

static void stays(const struct fixture *f, const char *path)
{
    ck_assert_msg(!fixture_removed(f, path), "%s goes", path);
}

START_TEST(docs)
{
    auto_fixture f = {0};

    fixture_make(
        &f,
        APP "usr/share/man/man1/x.1.gz text=1\nusr/share/info/dir text=1\nusr/share/doc/a/README text=1\n"
            "usr/share/doc/a/copyright text=c\nusr/share/doc/b/copyright.gz text=c\nusr/share/doc/b/changelog text=1\n"
            "usr/share/doc/c -> a\nusr/share/doc/d/license.txt text=1\nusr/share/doc/e/NOTICE text=1\n"
            "usr/share/locale/de/LC_MESSAGES/x.mo text=1\nusr/share/locale/en_GB/x.mo text=1\n"
            "usr/share/locale/fr/x.mo text=1\nusr/share/locale/locale.alias text=1\nusr/share/locale/C.utf8/x text=1\n"
            "usr/share/bash-completion/x text=1\nusr/share/lintian/x text=1\nusr/lib/locale/C.utf8/LC_CTYPE text=1\n",
        STARTS, "");
    gone(&f, "usr/share/man/man1/x.1.gz", QN_RULE_docs);
    gone(&f, "usr/share/man", QN_RULE_docs);
    gone(&f, "usr/share/info", QN_RULE_docs);
    gone(&f, "usr/share/doc/a/README", QN_RULE_docs);
    stays(&f, "usr/share/doc/a/copyright");
    stays(&f, "usr/share/doc/a");
    stays(&f, "usr/share/doc/b/copyright.gz");
    gone(&f, "usr/share/doc/b/changelog", QN_RULE_docs);
    stays(&f, "usr/share/doc/c");
    stays(&f, "usr/share/doc/d/license.txt");
    stays(&f, "usr/share/doc/e/NOTICE");
    gone(&f, "usr/share/locale/de", QN_RULE_docs);
    gone(&f, "usr/share/locale/fr/x.mo", QN_RULE_docs);
    stays(&f, "usr/share/locale/en_GB/x.mo");
    stays(&f, "usr/share/locale/locale.alias");
    stays(&f, "usr/share/locale/C.utf8/x");
    gone(&f, "usr/share/bash-completion/x", QN_RULE_docs);
    gone(&f, "usr/share/lintian", QN_RULE_docs);
    stays(&f, "usr/lib/locale/C.utf8/LC_CTYPE");
    fixture_verified(&f);
}
END_TEST

START_TEST(languages_that_are_asked_for)
{
    static const char *const env[] = {"LANG=de_DE.UTF-8", "LC_ALL=de_DE.UTF-8", "LANGUAGE=en:de", "LC_MESSAGES=de"};
    for (size_t i = 0; i < QN_ARRAY_LEN(env); i++) {
        auto_fixture f = {0};
        char config[128];
        snprintf(config, sizeof config, STARTS ",'Env':['%s']", env[i]);
        fixture_make(
            &f,
            APP "usr/share/locale/de/x.mo text=1\nusr/share/locale/d/x.mo text=1\nusr/share/locale/fr/x.mo text=1\n"
                "usr/share/locale/den/x.mo text=1\n",
            config, "");
        stays(&f, "usr/share/locale/de/x.mo");
        gone(&f, "usr/share/locale/d/x.mo", QN_RULE_docs);
        gone(&f, "usr/share/locale/den/x.mo", QN_RULE_docs);
        gone(&f, "usr/share/locale/fr/x.mo", QN_RULE_docs);
    }
}
END_TEST

START_TEST(docs_that_are_read)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 "usr/share/doc/app/help.txt text=1\nusr/share/doc/app/more.txt text=1\nbin/sh elf\n"
                 "app/run text=#!/bin/sh\\ncat /usr/share/doc/app/help.txt\\n\n",
                 STARTS, "");
    stays(&f, "usr/share/doc/app/help.txt");
    gone(&f, "usr/share/doc/app/more.txt", QN_RULE_docs);
    ck_assert_uint_ge(f.plan.result[QN_RULE_docs].protected, 1);
    fixture_verified(&f);
}
END_TEST

START_TEST(docs_for_builds)
{
    auto_fixture f = {0};

    fixture_make(&f, APP "usr/share/man/man1/x.1 text=1\nusr/share/locale/de/LC_MESSAGES/x.mo text=1\n", STARTS,
                 "{'use':'build'}");
    gone(&f, "usr/share/man/man1/x.1", QN_RULE_docs);
    /* update-alternatives of packages on top wants the directories. */
    stays(&f, "usr/share/man/man1");
    gone(&f, "usr/share/locale/de/LC_MESSAGES/x.mo", QN_RULE_docs);
    stays(&f, "usr/share/locale/de/LC_MESSAGES");
    fixture_verified(&f);
}
END_TEST

#define CACHES                                                                                                         \
    "var/lib/apt/lists/partial/\nvar/lib/apt/lists/x text=1\nvar/cache/apt/pkgcache.bin text=1\n"                      \
    "var/cache/debconf/config.dat text=1\nroot/.cache/pip/x text=1\nhome/u/.npm/_cacache/x text=1\n"                   \
    "root/.cache/ms-playwright/chrome/pak text=1\nroot/.cache/huggingface/model text=1\nvar/backups/x text=1\n"        \
    "etc/x.dpkg-old text=1\nopt/y.dpkg-dist text=1\netc/conf~ text=1\nvar/lib/dpkg/status-old text=1\n"

START_TEST(caches)
{
    auto_fixture f = {0};

    fixture_make(&f, APP CACHES, STARTS, "{'rules':{'package-managers':'off'}}");
    gone(&f, "var/lib/apt/lists/x", QN_RULE_caches);
    stays(&f, "var/lib/apt/lists/partial");
    gone(&f, "var/cache/apt/pkgcache.bin", QN_RULE_caches);
    gone(&f, "var/cache/debconf/config.dat", QN_RULE_caches);
    gone(&f, "root/.cache/pip", QN_RULE_caches);
    gone(&f, "home/u/.npm/_cacache", QN_RULE_caches);
    /* Browsers of test drivers and models live in caches, and are what the image is for. */
    stays(&f, "root/.cache/ms-playwright/chrome/pak");
    stays(&f, "root/.cache/huggingface/model");
    gone(&f, "var/backups/x", QN_RULE_caches);
    gone(&f, "etc/x.dpkg-old", QN_RULE_caches);
    gone(&f, "opt/y.dpkg-dist", QN_RULE_caches);
    gone(&f, "etc/conf~", QN_RULE_caches);
    gone(&f, "var/lib/dpkg/status-old", QN_RULE_caches);
    fixture_verified(&f);
    auto_fixture g = {0};
    fixture_make(&g, APP CACHES, STARTS, "{'use':'build'}");
    stays(&g, "var/cache/debconf/config.dat");
    gone(&g, "var/lib/apt/lists/x", QN_RULE_caches);
}
END_TEST

START_TEST(logs)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 APP
                 "var/log/dpkg.log text=1\nvar/log/apt/history.log text=1\nvar/log/nginx/access.log -> /dev/stdout\n"
                 "var/log/app.log 0666 text=1\nvar/log/empty.log text=\nvar/log/own.log uid=5 text=1\n"
                 "var/log/lastlog 0664 gid=43 text=1\nvar/log/faillog text=1\n",
                 STARTS, "");
    gone(&f, "var/log/dpkg.log", QN_RULE_caches);
    gone(&f, "var/log/apt/history.log", QN_RULE_caches);
    gone(&f, "var/log/lastlog", QN_RULE_caches);
    gone(&f, "var/log/faillog", QN_RULE_caches);
    /* The directory, and what was put there for a service, stay. */
    stays(&f, "var/log/nginx/access.log");
    stays(&f, "var/log/app.log");
    stays(&f, "var/log/empty.log");
    stays(&f, "var/log/own.log");
    stays(&f, "var/log");
    stays(&f, "var/log/nginx");
    fixture_verified(&f);
}
END_TEST

START_TEST(temporary_files)
{
    static const char *const layer =
        APP "tmp/ 1777\ntmp/build/x text=1\ntmp/uploads/ uid=33\ntmp/shared/ 0777\nvar/tmp/ 1777\nvar/tmp/y text=1\n";
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_make(&f, layer, STARTS, "");
    gone(&f, "tmp/build", QN_RULE_caches);
    gone(&f, "var/tmp/y", QN_RULE_caches);
    stays(&f, "tmp");
    stays(&f, "tmp/uploads");
    stays(&f, "tmp/shared");
    fixture_verified(&f);
    fixture_make(&g, layer, STARTS ",'WorkingDir':'/tmp/build'", "");
    stays(&g, "tmp/build/x");
    fixture_make(&h, layer, STARTS ",'Volumes':{'/tmp/build':{}}", "");
    stays(&h, "tmp/build/x");
    fixture_make(&i, layer, STARTS ",'Env':['DATA=/tmp/build']", "");
    stays(&i, "tmp/build");
}
END_TEST

START_TEST(debris)
{
    auto_fixture f = {0};

    fixture_make(
        &f,
        APP
        "app/.git/HEAD text=1\napp/.git/hooks/pre-commit.sample text=#!/bin/sh\\nwget x\nsrc/.gitignore text=1\n"
        "app/.github/workflows/ci.yml text=1\n.DS_Store text=1\nroot/.bash_history text=1\nhome/u/.viminfo text=1\n"
        "Dockerfile text=1\napp/Dockerfile.dev text=1\napp/sub/Dockerfile text=1\napp/docker-compose.yml text=1\n"
        "app/core.123 text=1\napp/core.js text=1\nopt/core.1 text=1\nopt/.bash_history text=1\napp/.gitkeep text=\n",
        STARTS ",'WorkingDir':'/app'", "");
    gone(&f, "app/.git", QN_RULE_debris);
    gone(&f, "app/.git/hooks/pre-commit.sample", QN_RULE_debris);
    gone(&f, "src/.gitignore", QN_RULE_debris);
    gone(&f, "app/.github", QN_RULE_debris);
    gone(&f, ".DS_Store", QN_RULE_debris);
    gone(&f, "root/.bash_history", QN_RULE_debris);
    gone(&f, "home/u/.viminfo", QN_RULE_debris);
    gone(&f, "Dockerfile", QN_RULE_debris);
    gone(&f, "app/Dockerfile.dev", QN_RULE_debris);
    gone(&f, "app/docker-compose.yml", QN_RULE_debris);
    gone(&f, "app/core.123", QN_RULE_debris);
    /* Elsewhere these may be what an application is about. */
    stays(&f, "app/sub/Dockerfile");
    stays(&f, "app/core.js");
    stays(&f, "opt/core.1");
    stays(&f, "opt/.bash_history");
    stays(&f, "app/.gitkeep");
    fixture_verified(&f);
}
END_TEST

START_TEST(debris_of_a_package)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 APP "usr/lib/tmpl/.gitignore text=1\nvar/lib/dpkg/status text=" DPKG_STATUS(
                     "t", "") "\n"
                              "var/lib/dpkg/info/t.list text=/usr/lib/tmpl/.gitignore\\n",
                 STARTS, "");
    stays(&f, "usr/lib/tmpl/.gitignore");
}
END_TEST

START_TEST(devices)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 APP "dev/null 0666 char 1:3\ndev/sda 0660 block 8:0\ndev/kmsg char 1:11\nrun/x.fifo fifo\n"
                     "var/spool/q/public fifo\netc/odd char 5:1\n",
                 STARTS, "");
    stays(&f, "dev/null");
    gone(&f, "dev/sda", QN_RULE_devices);
    gone(&f, "dev/kmsg", QN_RULE_devices);
    gone(&f, "etc/odd", QN_RULE_devices);
    gone(&f, "run/x.fifo", QN_RULE_devices);
    stays(&f, "var/spool/q/public");
    const struct qn_finding *n = fixture_finding(&f, "NIST-CM-7", "dev/sda");
    ck_assert(n && n->fixed && strstr(n->detail.p, "8:0"));
    fixture_verified(&f);
}
END_TEST

/* Off: nothing; report: the same proposals, each once, and nothing done. */
START_TEST(off_and_report)
{
    static const char *const layer = APP "usr/share/man/x text=1\nDockerfile text=1\ntmp/x text=1\ndev/sda block 8:0\n";
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, layer, STARTS,
                 "{'rules':{'docs':'off','debris':'off','caches':'off','devices':'off','user':'off'}}");
    ck_assert(qn_plan_empty(&f.plan));
    ck_assert_uint_eq(f.plan.changes, 0);
    fixture_make(&g, layer, STARTS,
                 "{'rules':{'docs':'report','debris':'report','caches':'report','devices':'report','user':'off'}}");
    ck_assert(qn_plan_empty(&g.plan));
    ck_assert_ptr_nonnull(fixture_change(&g, QN_RULE_docs, "usr/share/man/x"));
    ck_assert_ptr_nonnull(fixture_change(&g, QN_RULE_debris, "Dockerfile"));
    ck_assert_ptr_nonnull(fixture_change(&g, QN_RULE_caches, "tmp/x"));
    const struct qn_finding *n = fixture_finding(&g, "NIST-CM-7", "dev/sda");
    ck_assert(n && !n->fixed);
}
END_TEST

START_TEST(keep_and_remove)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 APP "usr/share/man/keep text=1\nusr/share/man/go text=1\nopt/extra/a text=1\nopt/extra/b text=1\n"
                     "etc/os-release text=ID=x\\n\nusr/lib/own text=1\nusr/share/doc/own/copyright text=1\n"
                     "var/lib/dpkg/status text=" DPKG_STATUS("own", "") DPKG_STATUS(
                         "base", "") "\n"
                                     "var/lib/dpkg/info/own.list text=/usr/lib/own\\n/usr/share/doc/own/copyright\\n\n"
                                     "var/lib/dpkg/info/base.list text=/app/run\\n",
                 STARTS,
                 "{'keep':{'paths':['/usr/share/man/ke*']},'remove':{'paths':['opt/extra','/etc/os-release','/app/**'],"
                 "'packages':['ow*']}}");
    stays(&f, "usr/share/man/keep");
    gone(&f, "usr/share/man/go", QN_RULE_docs);
    gone(&f, "opt/extra", QN_RULE_debris);
    /* What tells scanners which distribution it is, and what runs, stay whatever the policy says. */
    stays(&f, "etc/os-release");
    stays(&f, "app/run");
    gone(&f, "usr/lib/own", QN_RULE_package_managers);
    stays(&f, "usr/share/doc/own/copyright");
    ck_assert(qn_str_find(fixture_text(&f, "var/lib/dpkg/status"), QN_STR("Package: own")) < 0);
    fixture_verified(&f);
}
END_TEST

Suite *suite_rules_files(void)
{
    const TTest *const tests[] = {docs,
                                  languages_that_are_asked_for,
                                  docs_that_are_read,
                                  docs_for_builds,
                                  caches,
                                  logs,
                                  temporary_files,
                                  debris,
                                  debris_of_a_package,
                                  devices,
                                  off_and_report,
                                  keep_and_remove};
    return qn_suite("rules_files", tests, QN_ARRAY_LEN(tests));
}
