/* package-managers, network-tools, services. */
#include "image_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define APP     "app/run text=#!/bin/sh\\nexec true\\n\nusr/bin/sh elf\nbin -> usr/bin\n"
#define STARTS  "'Entrypoint':['/app/run']"
#define NO_USER "'rules':{'user':'off'}"

static void gone(const struct fixture *f, const char *path, enum qn_rule rule)
{
    ck_assert_msg(fixture_removed(f, path), "%s stays", path);
    ck_assert_msg(fixture_change(f, rule, path), "%s goes because of another rule", path);
}

static void stays(const struct fixture *f, const char *path)
{
    ck_assert_msg(!fixture_removed(f, path), "%s goes", path);
}

#define DEBIAN                                                                                                         \
    APP OS_DEBIAN                                                                                                      \
        "usr/bin/apt elf needs=libapt-pkg.so.6.0\nusr/bin/apt-get elf needs=libapt-pkg.so.6.0\n"                       \
        "usr/lib/libapt-pkg.so.6.0 elf\nusr/bin/dpkg elf\nusr/bin/update-alternatives elf\n"                           \
        "usr/share/doc/apt/copyright text=c\netc/apt/sources.list text=x\nvar/lib/apt/extended_states text=x\n"        \
        "usr/bin/curl elf needs=libcurl.so.4\nusr/lib/libcurl.so.4 elf\nusr/share/doc/curl/copyright text=c\n"         \
        "var/lib/dpkg/status text=" DPKG_STATUS("apt", "Essential: no\\n") DPKG_STATUS("dpkg", "")                     \
            DPKG_STATUS("libapt-pkg6.0", "") DPKG_STATUS("curl", "") DPKG_STATUS("libcurl4", "") DPKG_STATUS(          \
                "base",                                                                                                \
                "") "\n"                                                                                               \
                    "var/lib/dpkg/info/apt.list "                                                                      \
                    "text=/usr/bin/apt\\n/usr/bin/apt-get\\n/usr/share/doc/apt/copyright\\n\n"                         \
                    "var/lib/dpkg/info/apt.postinst text=#!/bin/sh\\napt-get x\\n\nvar/lib/dpkg/info/format "          \
                    "text=1\\n\n"                                                                                      \
                    "var/lib/dpkg/info/dpkg.list text=/usr/bin/dpkg\\n/usr/bin/update-alternatives\\n\n"               \
                    "var/lib/dpkg/info/libapt-pkg6.0.list text=/usr/lib/libapt-pkg.so.6.0\\n\n"                        \
                    "var/lib/dpkg/info/libapt-pkg6.0.shlibs text=x\n"                                                  \
                    "var/lib/dpkg/info/curl.list text=/usr/bin/curl\\n/usr/share/doc/curl/copyright\\n\n"              \
                    "var/lib/dpkg/info/libcurl4.list text=/usr/lib/libcurl.so.4\\n\n"                                  \
                    "var/lib/dpkg/info/base.list text=/usr/bin/sh\\n\nvar/lib/dpkg/alternatives/awk text=auto\\n\n"    \
                    "var/lib/dpkg/triggers/File text=x\nvar/lib/dpkg/lock text=\n"

START_TEST(apt_and_dpkg)
{
    auto_fixture f = {0};

    fixture_make(&f, DEBIAN, STARTS, "");
    gone(&f, "usr/bin/apt", QN_RULE_package_managers);
    gone(&f, "usr/bin/apt-get", QN_RULE_package_managers);
    gone(&f, "usr/bin/dpkg", QN_RULE_package_managers);
    gone(&f, "usr/lib/libapt-pkg.so.6.0", QN_RULE_package_managers);
    gone(&f, "etc/apt", QN_RULE_package_managers);
    gone(&f, "var/lib/apt", QN_RULE_package_managers);
    gone(&f, "var/lib/dpkg/triggers", QN_RULE_package_managers);
    gone(&f, "var/lib/dpkg/alternatives/awk", QN_RULE_package_managers);
    gone(&f, "var/lib/dpkg/info/apt.postinst", QN_RULE_package_managers);
    gone(&f, "var/lib/dpkg/info/apt.list", QN_RULE_package_managers);
    stays(&f, "usr/share/doc/apt/copyright");
    stays(&f, "var/lib/dpkg/info/format");
    stays(&f, "var/lib/dpkg/info/base.list");
    struct qn_str status = fixture_text(&f, "var/lib/dpkg/status");
    ck_assert(qn_str_find(status, QN_STR("Package: apt\n")) < 0);
    ck_assert(qn_str_find(status, QN_STR("Package: dpkg\n")) < 0);
    ck_assert(qn_str_find(status, QN_STR("Package: libapt-pkg6.0\n")) < 0);
    ck_assert(qn_str_find(status, QN_STR("Package: base\n")) >= 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(apt_that_is_called)
{
    auto_fixture f = {0};

    fixture_make(&f, DEBIAN "app/update text=#!/bin/sh\\napt-get update\\n\n", STARTS, "");
    stays(&f, "usr/bin/apt-get");
    stays(&f, "usr/bin/apt");
    stays(&f, "etc/apt/sources.list");
    ck_assert(f.plan.result[QN_RULE_package_managers].because.n > 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(one_tool_of_dpkg_is_called)
{
    auto_fixture f = {0};

    fixture_make(&f, DEBIAN "app/update text=#!/bin/sh\\nupdate-alternatives --set x y\\n\n", STARTS, "");
    gone(&f, "usr/bin/dpkg", QN_RULE_package_managers);
    stays(&f, "usr/bin/update-alternatives");
    stays(&f, "var/lib/dpkg/alternatives/awk");
    ck_assert(qn_str_find(fixture_text(&f, "var/lib/dpkg/status"), QN_STR("Package: dpkg\n")) >= 0);
    qn_is(fixture_text(&f, "var/lib/dpkg/info/dpkg.list"), "/usr/bin/update-alternatives\n");
    fixture_verified(&f);
}
END_TEST

/* A library that something else needs comes back when the plan is checked. */
START_TEST(library_of_apt_that_is_needed)
{
    auto_fixture f = {0};

    fixture_make(&f, DEBIAN "opt/software-center elf needs=libapt-pkg.so.6.0\n", STARTS, "");
    gone(&f, "usr/bin/apt", QN_RULE_package_managers);
    stays(&f, "usr/lib/libapt-pkg.so.6.0");
    fixture_verified(&f);
}
END_TEST

START_TEST(managers_for_builds)
{
    auto_fixture f = {0};

    fixture_make(&f, DEBIAN, STARTS, "{'use':'build'}");
    stays(&f, "usr/bin/apt");
    stays(&f, "etc/apt/sources.list");
    stays(&f, "usr/bin/curl");
    stays(&f, "var/lib/dpkg/info/apt.postinst");
    ck_assert_int_eq(f.opt.rule[QN_RULE_package_managers], QN_RULE_OFF);
    fixture_verified(&f);
}
END_TEST

START_TEST(managers_of_utility_images)
{
    auto_fixture f = {0};

    fixture_make(&f, DEBIAN, "'Cmd':['sh']", "{" NO_USER "}");
    gone(&f, "usr/bin/apt", QN_RULE_package_managers);
    stays(&f, "usr/bin/curl");
    fixture_verified(&f);
}
END_TEST

#define ALPINE                                                                                                         \
    "etc/os-release text=ID=alpine\\n\nbin/busybox elf import=execve "                                                 \
    "names=wget,nc,ip,ping,telnet,ftp,arp,route,nslookup,netstat\n"                                                    \
    "bin/sh -> /bin/busybox\nusr/bin/wget -> /bin/busybox\nusr/bin/nc -> /bin/busybox\nbin/ls -> /bin/busybox\n"       \
    "sbin/apk elf needs=libapk.so.2\nlib/libapk.so.2 elf\netc/apk/world text=busybox\\napk-tools\\nwget>1\\n\n"        \
    "etc/apk/keys/k.pub text=k\netc/apk/repositories text=http\\n\nlib/apk/db/scripts.tar "                            \
    "text=x\nlib/apk/db/triggers text=\n"                                                                              \
    "app/run text=#!/bin/sh\\nexec true\\n\nlib/apk/db/installed "                                                     \
    "text=P:busybox\\nV:1\\nA:x86_64\\nF:bin\\nR:busybox\\nF:usr\\nF:usr/bin\\n\\n"                                    \
    "P:apk-tools\\nV:2\\nA:x86_64\\nF:sbin\\nR:apk\\nF:lib\\nR:libapk.so.2\\n\\n\n"

START_TEST(apk)
{
    auto_fixture f = {0};

    fixture_make(&f, ALPINE, STARTS, "");
    gone(&f, "sbin/apk", QN_RULE_package_managers);
    gone(&f, "lib/libapk.so.2", QN_RULE_package_managers);
    gone(&f, "etc/apk/keys", QN_RULE_package_managers);
    gone(&f, "etc/apk/repositories", QN_RULE_package_managers);
    gone(&f, "lib/apk/db/scripts.tar", QN_RULE_package_managers);
    gone(&f, "usr/bin/wget", QN_RULE_network_tools);
    gone(&f, "usr/bin/nc", QN_RULE_network_tools);
    stays(&f, "bin/sh");
    stays(&f, "bin/busybox");
    stays(&f, "bin/ls");
    stays(&f, "etc/os-release");
    qn_is(fixture_text(&f, "etc/apk/world"), "busybox\nwget>1\n");
    struct qn_str installed = fixture_text(&f, "lib/apk/db/installed");
    ck_assert(qn_str_find(installed, QN_STR("P:apk-tools")) < 0 && qn_str_find(installed, QN_STR("P:busybox")) >= 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(apk_that_is_called)
{
    auto_fixture f = {0};

    fixture_make(&f, ALPINE "app/more text=#!/bin/sh\\napk add x\\nwget y\\n\n", STARTS, "");
    stays(&f, "sbin/apk");
    stays(&f, "etc/apk/keys/k.pub");
    stays(&f, "usr/bin/wget");
    gone(&f, "usr/bin/nc", QN_RULE_network_tools);
    fixture_verified(&f);
}
END_TEST

START_TEST(rpm_stays_true)
{
    auto_fixture f = {0};

    fixture_make(&f, APP "var/lib/rpm/rpmdb.sqlite text=x\nusr/bin/rpm elf\nusr/bin/dnf elf\nusr/bin/curl elf\n",
                 STARTS, "");
    stays(&f, "usr/bin/rpm");
    stays(&f, "usr/bin/curl");
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-4.3", "rpm"));
    fixture_verified(&f);
}
END_TEST

START_TEST(network_tools)
{
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f,
                 DEBIAN "usr/local/bin/wget elf\nopt/wget elf\nusr/bin/telnet -> /etc/alternatives/telnet\n"
                        "etc/alternatives/telnet -> /usr/bin/telnet.real\nusr/bin/telnet.real elf\n",
                 STARTS, LISTS_ONLY);
    gone(&f, "usr/bin/curl", QN_RULE_network_tools);
    stays(&f, "usr/share/doc/curl/copyright");
    /* Libraries are not tools. */
    stays(&f, "usr/lib/libcurl.so.4");
    gone(&f, "usr/local/bin/wget", QN_RULE_network_tools);
    stays(&f, "opt/wget");
    gone(&f, "usr/bin/telnet", QN_RULE_network_tools);
    struct qn_str status = fixture_text(&f, "var/lib/dpkg/status");
    ck_assert(qn_str_find(status, QN_STR("Package: curl\n")) < 0 &&
              qn_str_find(status, QN_STR("Package: libcurl4\n")) >= 0);
    fixture_verified(&f);
    fixture_make(&g, DEBIAN, STARTS, "{'profile':'safe'}");
    stays(&g, "usr/bin/curl");
    ck_assert_ptr_nonnull(fixture_change(&g, QN_RULE_network_tools, "usr/bin/curl"));
    size_t said = 0;
    for (size_t i = 0; i < g.plan.changes; i++)
        said += qn_str_eq_c(g.plan.change[i].path, "usr/bin/curl");
    ck_assert_uint_eq(said, 1);
    fixture_make(&h, DEBIAN, STARTS ",'Healthcheck':{'Test':['CMD-SHELL','curl -f http://localhost']}", "");
    stays(&h, "usr/bin/curl");
    fixture_verified(&h);
}
END_TEST

START_TEST(ssh_for_git)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 DEBIAN "usr/bin/git elf import=execvp names=ssh\nusr/bin/ssh elf\napp/x.py text=run(['git','clone'])\n"
                        "usr/bin/scp elf\n",
                 STARTS, "");
    stays(&f, "usr/bin/ssh");
    gone(&f, "usr/bin/scp", QN_RULE_network_tools);
    fixture_verified(&f);
}
END_TEST

#define SERVICES                                                                                                       \
    APP "etc/cron.daily/x text=#!/bin/sh\\n\netc/crontab text=x\netc/init.d/nginx text=#!/bin/sh\\n. "                 \
        "/lib/lsb/init-functions\\n\n"                                                                                 \
        "usr/lib/lsb/init-functions text=x\netc/rc2.d/S01nginx -> "                                                    \
        "../init.d/nginx\nusr/lib/systemd/system/nginx.service text=x\n"                                               \
        "etc/logrotate.d/nginx text=x\netc/motd text=hi\netc/update-motd.d/10 "                                        \
        "text=#!/bin/sh\\n\netc/profile.d/pkg.sh text=x\n"                                                             \
        "etc/profile.d/own.sh text=x\nusr/lib/tmpfiles.d/x.conf text=x\netc/default/nginx text=x\n"                    \
        "var/lib/dpkg/status text=" DPKG_STATUS(                                                                       \
            "p", "") "\nvar/lib/dpkg/info/p.list text=/etc/cron.daily/x\\n"                                            \
                     "/etc/init.d/nginx\\n/etc/profile.d/pkg.sh\\n/etc/default/nginx\\n/usr/bin/sh\\n/usr/sbin/"       \
                     "cron\\n/usr/sbin/service\\n"                                                                     \
                     "/sbin/init\\n/usr/sbin/logrotate\\n/etc/update-motd.d/10\\n/usr/lib/tmpfiles.d/x.conf\\n\n"

START_TEST(services)
{
    auto_fixture f = {0};

    fixture_make(&f, SERVICES, STARTS, "");
    gone(&f, "etc/cron.daily", QN_RULE_services);
    gone(&f, "etc/crontab", QN_RULE_services);
    gone(&f, "etc/init.d", QN_RULE_services);
    gone(&f, "etc/rc2.d/S01nginx", QN_RULE_services);
    gone(&f, "usr/lib/systemd/system/nginx.service", QN_RULE_services);
    gone(&f, "usr/lib/tmpfiles.d/x.conf", QN_RULE_services);
    gone(&f, "etc/logrotate.d", QN_RULE_services);
    gone(&f, "etc/motd", QN_RULE_services);
    gone(&f, "etc/update-motd.d", QN_RULE_services);
    gone(&f, "etc/profile.d/pkg.sh", QN_RULE_services);
    stays(&f, "etc/profile.d/own.sh");
    stays(&f, "usr/lib/lsb/init-functions");
    stays(&f, "etc/default/nginx");
    qn_is(fixture_text(&f, "var/lib/dpkg/info/p.list"),
          "/etc/default/nginx\n/usr/bin/sh\n/usr/sbin/cron\n/usr/sbin/service\n/sbin/init\n/usr/sbin/logrotate\n");
    fixture_verified(&f);
}
END_TEST

START_TEST(services_that_run)
{
    static const struct {
        const char *layer, *config, *stays, *goes;
    } rows[] = {
        {"usr/sbin/cron elf\n", "'Cmd':['cron','-f']", "etc/cron.daily/x", "etc/init.d/nginx"},
        {"usr/sbin/cron elf\n", "'Cmd':['cron','-f']", "etc/logrotate.d/nginx", "usr/lib/systemd/system/nginx.service"},
        {"usr/sbin/service text=#!/bin/sh\\n\n", "'Cmd':['sh','-c','service nginx start']", "etc/init.d/nginx",
         "etc/cron.daily/x"},
        {"sbin/init elf\n", "'Cmd':['/sbin/init']", "etc/rc2.d/S01nginx", NULL},
        {"", "'Cmd':['/etc/init.d/nginx','start']", "etc/init.d/nginx", "etc/cron.daily/x"},
        {"usr/sbin/logrotate elf\n", "'Cmd':['sh','-c','logrotate x']", "etc/logrotate.d/nginx", "etc/crontab"},
        {"", "'Cmd':['/bin/sh','-lc','x']", "etc/profile.d/pkg.sh", "etc/crontab"},
        {"e text=#!/bin/sh\\n. /etc/profile\n", "'Cmd':['/e']", "etc/profile.d/pkg.sh", "etc/crontab"},
        {"e text=#!/bin/sh\\n. /etc/profile.d/pkg.sh\n", "'Cmd':['/e']", "etc/profile.d/pkg.sh", "etc/crontab"},
        {"usr/bin/systemd-tmpfiles elf\n", "'Cmd':['sh','-c','systemd-tmpfiles --create']", "usr/lib/tmpfiles.d/x.conf",
         "etc/crontab"},
    };
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        auto_fixture f = {0};
        char *text = NULL;
        ck_assert_int_gt(asprintf(&text, "%s%s", SERVICES, rows[i].layer), 0);
        fixture_make(&f, text, rows[i].config, "{" NO_USER "}");
        free(text);
        stays(&f, rows[i].stays);
        if (rows[i].goes)
            gone(&f, rows[i].goes, QN_RULE_services);
        fixture_verified(&f);
    }
}
END_TEST

/* An application's texts that say "init" or "service" start no init. */
START_TEST(words_start_nothing)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 SERVICES "sbin/init elf\nusr/sbin/service elf\napp/x.js text=init the service on a host, mount it\n",
                 STARTS, "");
    gone(&f, "etc/init.d/nginx", QN_RULE_services);
    ck_assert_uint_eq(f.plan.result[QN_RULE_services].because.n, 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(services_for_builds)
{
    auto_fixture f = {0};

    fixture_make(&f, SERVICES, STARTS, "{'use':'build'}");
    stays(&f, "etc/init.d/nginx");
    stays(&f, "etc/cron.daily/x");
}
END_TEST

Suite *suite_rules_tools(void)
{
    const TTest *const tests[] = {apt_and_dpkg,
                                  apt_that_is_called,
                                  one_tool_of_dpkg_is_called,
                                  library_of_apt_that_is_needed,
                                  managers_for_builds,
                                  managers_of_utility_images,
                                  apk,
                                  apk_that_is_called,
                                  rpm_stays_true,
                                  network_tools,
                                  ssh_for_git,
                                  services,
                                  services_that_run,
                                  words_start_nothing,
                                  services_for_builds};
    return qn_suite("rules_tools", tests, QN_ARRAY_LEN(tests));
}
