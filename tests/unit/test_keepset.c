/* The keep-set, and the rules that use it. */
#include "image_fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* A small Debian: a server with a library, a plugin package, tools, shells and what nothing needs. */
#define PKG(name, extra)  DPKG_STATUS(name, extra)
#define LIST(name, files) "var/lib/dpkg/info/" name ".list text=" files "\\n\n"
#define AUTO(name)        "Package: " name "\\nAuto-Installed: 1\\n\\n"
static const char system_files[] = OS_DEBIAN
    "bin -> usr/bin\nlib -> usr/lib\nlib64/ld-linux-x86-64.so.2 elf soname=ld-linux-x86-64.so.2\n"
    "usr/lib/libc.so.6 elf soname=libc.so.6\nusr/lib/libgcc_s.so.1 elf soname=libgcc_s.so.1\n"
    "usr/lib/libnss_db.so.2 elf\netc/nsswitch.conf text=hosts: files [x] db # nis\\n\n"
    "usr/sbin/server elf needs=libc.so.6,libz.so.1 import=dlopen names=libopt.so.2,/usr/lib/server/mods,"
    "/usr/share/server/data\nusr/lib/libz.so.1 -> libz.so.1.3\nusr/lib/libz.so.1.3 elf soname=libz.so.1\n"
    "usr/lib/libopt.so.2 elf\nusr/lib/server/mods/a.so elf\nusr/lib/server/mods/b.txt text=x\n"
    "usr/sbin/server-ctl text=#!/usr/bin/perl\\n\nusr/sbin/server-sh text=#!/bin/sh\\nexec helper\\n\n"
    "usr/bin/helper elf\nusr/share/server/data text=d\nusr/share/server/more text=d\n"
    "usr/bin/perl elf\nusr/bin/dash elf needs=libc.so.6\nusr/bin/sh -> dash\nusr/bin/bash elf needs=libtinfo.so.6\n"
    "usr/lib/libtinfo.so.6 elf\nusr/bin/cat elf\nusr/bin/ls elf\nusr/bin/dd elf\nusr/bin/chroot elf\n"
    "usr/bin/idle elf needs=libidle.so.1\nusr/lib/libidle.so.1 elf\nusr/share/doc/idle/copyright text=c\n"
    "usr/lib/plug/p.so elf\nusr/share/dep/d text=d\nusr/lib/gconv/u.so elf\n";
static const char system_packages[] = "var/lib/apt/extended_states text=" AUTO("libc6") AUTO("zlib1g") AUTO(
    "libopt2") AUTO("perl-base") AUTO("dash") AUTO("bash") AUTO("libtinfo6") AUTO("coreutils") AUTO("idle")
    AUTO("libidle1") AUTO("dep") AUTO("helper") AUTO("libgcc") "\nvar/lib/dpkg/status text=" PKG(
        "server", "Depends: libc6, zlib1g, dep, idle-or | dep, adduser, helper\\n") PKG("libc6", "") PKG("zlib1g", "")
        PKG("libopt2", "") PKG("perl-base", "") PKG("dash", "") PKG("bash", "Depends: libtinfo6\\n")
            PKG("libtinfo6", "") PKG("coreutils", "") PKG("idle", "Depends: libidle1\\n") PKG("libidle1", "")
                PKG("plug", "Depends: server\\n") PKG("dep", "") PKG("helper", "") PKG("libgcc", "") "\n" LIST(
                    "server",
                    "/usr/sbin/server\\n/usr/sbin/server-ctl\\n/usr/sbin/server-sh\\n/usr/lib/server/mods/a.so\\n"
                    "/usr/lib/server/mods/b.txt\\n/usr/share/server/data\\n/usr/share/server/more")
                    LIST("libc6", "/lib/libc.so.6\\n/lib64/ld-linux-x86-64.so.2\\n/usr/lib/libnss_db.so.2\\n/usr/"
                                  "lib/gconv/u.so") LIST("zlib1g", "/lib/libz.so.1\\n/lib/libz.so.1.3")
                        LIST("libopt2", "/usr/lib/libopt.so.2") LIST("perl-base", "/usr/bin/perl")
                            LIST("dash", "/bin/dash\\n/bin/sh") LIST("bash", "/bin/bash")
                                LIST("libtinfo6", "/lib/libtinfo.so.6")
                                    LIST("coreutils", "/bin/cat\\n/bin/ls\\n/bin/dd\\n/usr/bin/chroot")
                                        LIST("idle", "/usr/bin/idle\\n/usr/share/doc/idle/copyright")
                                            LIST("libidle1", "/usr/lib/libidle.so.1") LIST("plug", "/usr/lib/plug/p.so")
                                                LIST("dep", "/usr/share/dep/d") LIST("helper", "/usr/bin/helper")
                                                    LIST("libgcc", "/usr/lib/libgcc_s.so.1");
#define SERVES  "'Entrypoint':['/usr/sbin/server']"
#define NO_USER "'user':'off'"

static char *debian(const char *extra)
{
    return qn_xasprintf("%s%s%s", system_files, system_packages, extra);
}

static void make(struct fixture *f, const char *extra, const char *config, const char *policy)
{
    qn_auto_free char *layer = debian(extra);
    fixture_make(f, layer, config, policy);
}

static void gone(const struct fixture *f, const char *path, enum qn_rule rule)
{
    ck_assert_msg(fixture_removed(f, path), "%s stays", path);
    ck_assert_msg(fixture_change(f, rule, path), "%s goes because of another rule", path);
}

static void stays(const struct fixture *f, const char *path)
{
    const struct fixture *x = f;
    ck_assert_msg(!fixture_removed(x, path), "%s goes", path);
}

static void because(struct fixture *f, const char *path, const char *want)
{
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_err e;

    qn_ok(qn_keepset_explain(&f->image, &f->plan.keepset, fixture_node(f, path), &b, &e), e);
    ck_assert_msg(b.p && strcmp(b.p, want) == 0, "%s: \"%s\" instead of \"%s\"", path, b.p, want);
}

START_TEST(standard)
{
    auto_fixture f = {0};

    make(&f, "", SERVES, "{'rules':{" NO_USER "}}");
    stays(&f, "usr/lib/libz.so.1.3");
    stays(&f, "usr/lib/libopt.so.2");
    stays(&f, "usr/lib/server/mods/a.so");
    stays(&f, "usr/share/server/more");
    stays(&f, "usr/lib/libgcc_s.so.1");
    stays(&f, "usr/lib/libnss_db.so.2");
    /* Installed on purpose, depended on. */
    stays(&f, "usr/lib/plug/p.so");
    stays(&f, "usr/share/dep/d");
    /* A shell script of a kept package keeps the shell, that the floor; a Perl script keeps nothing and goes. */
    stays(&f, "usr/sbin/server-sh");
    stays(&f, "usr/bin/dash");
    stays(&f, "usr/bin/sh");
    stays(&f, "usr/bin/cat");
    stays(&f, "usr/bin/helper");
    gone(&f, "usr/sbin/server-ctl", QN_RULE_unused_packages);
    gone(&f, "usr/bin/perl", QN_RULE_unused_packages);
    gone(&f, "usr/bin/dd", QN_RULE_unused_packages);
    gone(&f, "usr/bin/idle", QN_RULE_unused_packages);
    gone(&f, "usr/lib/libidle.so.1", QN_RULE_unused_packages);
    gone(&f, "usr/bin/bash", QN_RULE_shells);
    gone(&f, "usr/lib/libtinfo.so.6", QN_RULE_unused_packages);
    stays(&f, "usr/share/doc/idle/copyright");
    struct qn_str status = fixture_text(&f, "var/lib/dpkg/status");
    ck_assert(qn_str_find(status, QN_STR("Package: idle\n")) < 0 && qn_str_find(status, QN_STR("Package: bash\n")) < 0);
    ck_assert(qn_str_find(status, QN_STR("Package: coreutils\n")) >= 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(strict)
{
    auto_fixture f = {0};

    make(&f, "", SERVES, "{'profile':'strict','rules':{" NO_USER "}}");
    stays(&f, "usr/lib/libz.so.1.3");
    stays(&f, "usr/lib/libopt.so.2");
    stays(&f, "usr/lib/server/mods/a.so");
    stays(&f, "usr/share/server/more");
    stays(&f, "usr/lib/plug/p.so");
    gone(&f, "usr/sbin/server-sh", QN_RULE_unused_files);
    gone(&f, "usr/lib/gconv/u.so", QN_RULE_unused_files);
    gone(&f, "usr/bin/helper", QN_RULE_unused_packages);
    gone(&f, "usr/bin/cat", QN_RULE_unused_packages);
    gone(&f, "usr/bin/dash", QN_RULE_shells);
    gone(&f, "usr/bin/sh", QN_RULE_shells);
    fixture_verified(&f);
}
END_TEST

START_TEST(off)
{
    auto_fixture f = {0}, g = {0};

    make(&f, "", SERVES, "{'profile':'safe'}");
    stays(&f, "usr/bin/idle");
    ck_assert(!f.plan.kept);
    make(&g, "", SERVES, "{'use':'build'}");
    stays(&g, "usr/bin/idle");
    stays(&g, "usr/bin/chroot");
    stays(&g, "usr/bin/bash");
}
END_TEST

START_TEST(reasons)
{
    auto_fixture f = {0};

    make(&f, "", SERVES, "{'rules':{" NO_USER "}}");
    because(&f, "usr/lib/libz.so.1", "it is needed by /usr/sbin/server, because it is the entrypoint");
    because(&f, "usr/lib/libopt.so.2", "it is named by /usr/sbin/server, because it is the entrypoint");
    because(&f, "usr/lib/plug/p.so", "it is part of package plug, because it was installed on purpose");
    because(
        &f, "usr/share/dep/d",
        "it is part of package dep, because it is a dependency of package server, because it owns /usr/sbin/server, "
        "because it is the entrypoint");
    because(&f, "usr/bin/idle", "nothing needs it");
}
END_TEST

/* Whatever the order in which things are looked at. */
static void same_when_shuffled(const struct fixture *f, enum qn_keep_level level)
{
    qn_auto_keepset struct qn_keepset first = {0};
    struct qn_keepset_input in = {.level = level};
    struct qn_err e;

    qn_ok(qn_keepset_make(&f->image, &in, &first, &e), e);
    for (in.shuffle = 1; in.shuffle < 40; in.shuffle++) {
        qn_auto_keepset struct qn_keepset ks = {0};
        qn_ok(qn_keepset_make(&f->image, &in, &ks, &e), e);
        for (uint32_t i = 0; i < f->image.tree.count; i++)
            ck_assert_msg(qn_keepset_has(&ks, i) == qn_keepset_has(&first, i), "%s with seed %d",
                          QN_Q(f->image.tree.node[i].path), (int)in.shuffle);
        for (uint32_t i = 0; i < f->image.package_count; i++)
            ck_assert((ks.package[i].why != 0) == (first.package[i].why != 0) && ks.alive[i] == first.alive[i]);
    }
}

START_TEST(any_order)
{
    auto_fixture f = {0}, g = {0};

    qn_auto_free char *layer = debian("");
    fixture_layer(&f, layer);
    fixture_image(&f, SERVES);
    same_when_shuffled(&f, QN_KEEP_PACKAGES);
    same_when_shuffled(&f, QN_KEEP_FILES);
    fixture_layer(&g, layer);
    fixture_image(&g, "'Cmd':['sh','-c','server']");
    same_when_shuffled(&g, QN_KEEP_PACKAGES);
    same_when_shuffled(&g, QN_KEEP_FILES);
}
END_TEST

START_TEST(what_the_image_is_for)
{
    auto_fixture f = {0}, g = {0}, h = {0};

    /* It starts a shell: everything in its PATH is what it is for. */
    make(&f, "", "'Cmd':['bash']", "");
    stays(&f, "usr/bin/bash");
    stays(&f, "usr/bin/dd");
    stays(&f, "usr/bin/idle");
    stays(&f, "usr/bin/chroot");
    ck_assert(f.plan.result[QN_RULE_shells].because.n);
    /* What it starts is not there. */
    make(&g, "", "'Cmd':['/gone']", "");
    stays(&g, "usr/bin/idle");
    ck_assert(g.plan.result[QN_RULE_unused_packages].because.n);
    /* The policy keeps a package and a command. */
    make(&h, "", SERVES, "{'keep':{'packages':['idle'],'commands':['bash -c x']}}");
    stays(&h, "usr/bin/idle");
    stays(&h, "usr/lib/libidle.so.1");
    stays(&h, "usr/bin/bash");
    stays(&h, "usr/lib/libtinfo.so.6");
}
END_TEST

START_TEST(tools_by_name)
{
    static const char layer[] =
        "e text=#!/bin/sh\\ntrue\\n\nbin/sh elf\nusr/bin/su 4755 elf\nusr/bin/mount elf\nusr/bin/gcc elf\nusr/bin/git "
        "elf\n"
        "usr/include/a.h text=a\nusr/lib/libx.a text=a\nopt/libx.a text=a\nvar/lib/dpkg/status text=" PKG("gcc", "")
            PKG("git", "") PKG("mount", "") PKG("x-dev", "") "\n" LIST("gcc", "/usr/bin/gcc")
                LIST("git", "/usr/bin/git") LIST("mount", "/usr/bin/mount\\n/usr/bin/su\\n/bin/sh")
                    LIST("x-dev", "/usr/include/a.h\\n/usr/lib/libx.a\\n/opt/libx.a");
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, layer, "'Entrypoint':['/e']", "");
    gone(&f, "usr/bin/su", QN_RULE_privilege_tools);
    gone(&f, "usr/bin/mount", QN_RULE_privilege_tools);
    gone(&f, "usr/bin/gcc", QN_RULE_build_tools);
    gone(&f, "usr/bin/git", QN_RULE_build_tools);
    gone(&f, "usr/include/a.h", QN_RULE_build_tools);
    gone(&f, "usr/lib/libx.a", QN_RULE_build_tools);
    fixture_verified(&f);
    /* Something compiles when it runs: all of it stays. */
    fixture_make(&g, layer, "'Cmd':['sh','-c','gcc x.c; su -c x']", "");
    stays(&g, "usr/bin/gcc");
    stays(&g, "usr/bin/su");
    stays(&g, "usr/include/a.h");
    ck_assert(g.plan.result[QN_RULE_build_tools].because.n);
    fixture_verified(&g);
    fixture_make(&h, layer, "'Cmd':['git']", "");
    stays(&h, "usr/bin/git");
}
END_TEST

START_TEST(strict_backs_off)
{
    static const char *const starts = "'Entrypoint':['/e']";
    auto_fixture f = {0}, g = {0}, h = {0};

    make(&f, "e text=#!/bin/sh\\n\"$RUN\" server\\n\n", starts, "{'profile':'strict'}");
    ck_assert_int_eq(f.plan.opt->profile, QN_STANDARD);
    ck_assert(qn_str_find(f.plan.lowered, QN_STR("/e makes up what it runs")) >= 0 ||
              qn_str_find(f.plan.lowered, QN_STR("e makes up what it runs")) >= 0);
    stays(&f, "usr/bin/cat");
    fixture_verified(&f);
    make(&g, "e text=#!/bin/sh\\nexec server \"$@\"\\n\n", starts, "{'profile':'strict'}");
    ck_assert_int_eq(g.plan.opt->profile, QN_STRICT);
    gone(&g, "usr/bin/cat", QN_RULE_unused_packages);
    /* The policy insists. */
    make(&h, "e text=#!/bin/sh\\n\"$RUN\" server\\n\n", starts, "{'profile':'strict','rules':{'unused-files':'on'}}");
    ck_assert_int_eq(h.plan.opt->profile, QN_STRICT);
    fixture_verified(&h);
}
END_TEST

START_TEST(scripts_reach)
{
    static const char layer[] = OS_DEBIAN
        "bin/sh elf\nusr/bin/psql text=#!/bin/sh\\nexec psql \"$@\"\\n. run-env\\n\n"
        "usr/lib/pg/15/bin/psql elf\nusr/lib/pg/run-env text=#!/bin/sh\\nx\\n\nusr/sbin/supervisord elf\n"
        "etc/supervisor/conf.d/a.conf text=[program:a]\\ncommand = /usr/bin/worker --x\\n\n"
        "usr/bin/worker elf\nusr/sbin/sshd elf\netc/passwd text=root:x:0:0::/root:/bin/zsh\\n\nbin/zsh elf\n"
        "usr/sbin/cron elf\netc/crontab text=* * * * * root /usr/bin/nightly\\n\nusr/bin/nightly elf\n"
        "var/lib/dpkg/status text=" PKG("pg", "")
            PKG("rest", "") "\n" LIST("pg", "/usr/bin/psql\\n/usr/lib/pg/15/bin/psql\\n/usr/lib/pg/run-env")
                LIST("rest",
                     "/bin/sh\\n/bin/zsh\\n/usr/bin/worker\\n/usr/bin/nightly\\n/usr/sbin/sshd\\n/usr/sbin/cron\\n"
                     "/usr/sbin/supervisord");
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_layer(&f, layer);
    fixture_image(&f, "'Cmd':['psql']");
    ck_assert(fixture_reached(&f, "usr/lib/pg/15/bin/psql") && fixture_reached(&f, "usr/lib/pg/run-env"));
    ck_assert(!fixture_reached(&f, "bin/zsh") && !fixture_reached(&f, "usr/bin/nightly"));
    fixture_layer(&g, layer);
    fixture_image(&g, "'Cmd':['supervisord']");
    ck_assert(fixture_reached(&g, "usr/bin/worker"));
    fixture_layer(&h, layer);
    fixture_image(&h, "'Cmd':['/usr/sbin/sshd','-D']");
    ck_assert(fixture_reached(&h, "bin/zsh"));
    fixture_layer(&i, layer);
    fixture_image(&i, "'Cmd':['cron','-f']");
    ck_assert(fixture_reached(&i, "usr/bin/nightly"));
}
END_TEST

START_TEST(families)
{
    static const char layer[] = OS_DEBIAN
        "lib64/ld-linux-x86-64.so.2 elf\nusr/lib/libc.so.6 elf soname=libc.so.6\nusr/bin/python3 elf "
        "needs=libc.so.6\nusr/lib/python3.11/os.py text=x\nusr/lib/python3.11/http/a.py text=x\n"
        "usr/bin/tls elf needs=libcrypto.so.3\nusr/lib/libcrypto.so.3 elf\nusr/lib/ossl-modules/legacy.so elf "
        "needs=libcrypto.so.3\nusr/bin/conv elf import=iconv_open\nusr/lib/gconv/UTF-16.so elf\n"
        "usr/bin/pamd elf needs=libpam.so.0\nusr/lib/libpam.so.0 elf\netc/pam.d/x text=auth pam_x.so\\n\n"
        "usr/lib/security/pam_x.so elf\nusr/lib/security/pam_y.so elf\nvar/lib/dpkg/status text=" PKG("python", "")
            PKG("pylib", "") PKG("crypto", "") PKG("tools", "") PKG("pam", "") PKG("libc6", "") "\n" LIST(
                "python", "/usr/bin/python3\\n/usr/lib/python3.11/os.py") LIST("pylib", "/usr/lib/python3.11/http/a.py")
                LIST("crypto", "/usr/lib/libcrypto.so.3\\n/usr/lib/ossl-modules/legacy.so")
                    LIST("tools", "/usr/bin/tls\\n/usr/bin/conv\\n/usr/bin/pamd\\n/usr/lib/libpam.so.0")
                        LIST("pam", "/usr/lib/security/pam_x.so\\n/usr/lib/security/pam_y.so")
                            LIST("libc6", "/usr/lib/libc.so.6\\n/usr/lib/gconv/UTF-16.so\\n/lib64/"
                                          "ld-linux-x86-64.so.2") "var/lib/apt/extended_states text=" AUTO("python")
                                AUTO("pylib") AUTO("crypto") AUTO("tools") AUTO("pam") "\n";
    static const char strictly[] = "{'profile':'strict','rules':{'user':'off'}}";
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_make(&f, layer, "'Cmd':['python3']", strictly);
    stays(&f, "usr/lib/python3.11/http/a.py");
    /* A plugin alone does not keep what it plugs into. */
    gone(&f, "usr/lib/libcrypto.so.3", QN_RULE_unused_packages);
    gone(&f, "usr/lib/gconv/UTF-16.so", QN_RULE_unused_files);
    fixture_verified(&f);
    fixture_make(&g, layer, "'Cmd':['tls']", strictly);
    stays(&g, "usr/lib/ossl-modules/legacy.so");
    gone(&g, "usr/lib/python3.11/http/a.py", QN_RULE_unused_packages);
    fixture_make(&h, layer, "'Cmd':['conv']", strictly);
    stays(&h, "usr/lib/gconv/UTF-16.so");
    fixture_make(&i, layer, "'Cmd':['pamd']", strictly);
    stays(&i, "usr/lib/security/pam_x.so");
    stays(&i, "etc/pam.d/x");
    fixture_verified(&i);
}
END_TEST

START_TEST(alpine)
{
    static const char layer[] =
        "lib/ld-musl-x86_64.so.1 elf soname=libc.musl-x86_64.so.1\nlib/libc.musl-x86_64.so.1 -> ld-musl-x86_64.so.1\n"
        "bin/busybox elf needs=libc.musl-x86_64.so.1 interp=/lib/ld-musl-x86_64.so.1\nbin/sh -> /bin/busybox\n"
        "bin/ls -> /bin/busybox\nbin/dd -> /bin/busybox\nusr/bin/app elf needs=libc.musl-x86_64.so.1,libz.so.1 "
        "interp=/lib/ld-musl-x86_64.so.1\nlib/libz.so.1 elf\nusr/bin/idle elf\netc/apk/world text=app busybox\\n\n"
        "lib/apk/db/installed "
        "text=P:musl\\nV:1\\nF:lib\\nR:ld-musl-x86_64.so.1\\nR:libc.musl-x86_64.so.1\\n\\nP:busybox\\nV:1"
        "\\nF:bin\\nR:busybox\\nR:sh\\n\\nP:app\\nV:1\\nD:so:libz.so.1 /bin/sh\\nF:usr/bin\\nR:app\\n\\nP:zlib\\nV:1\\n"
        "p:so:libz.so.1=1\\nF:lib\\nR:libz.so.1\\n\\nP:idle\\nV:1\\nF:usr/bin\\nR:idle\\n\\n\n";
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, layer, "'Cmd':['app']", "{'profile':'strict','rules':{'user':'off'}}");
    stays(&f, "lib/libz.so.1");
    gone(&f, "bin/sh", QN_RULE_shells);
    gone(&f, "bin/ls", QN_RULE_unused_packages);
    gone(&f, "usr/bin/idle", QN_RULE_unused_packages);
    stays(&f, "lib/ld-musl-x86_64.so.1");
    fixture_verified(&f);
    fixture_make(&g, layer, "'Cmd':['/bin/sh','-c','app']", "{'rules':{'user':'off'}}");
    stays(&g, "bin/sh");
    stays(&g, "bin/ls");
    gone(&g, "bin/dd", QN_RULE_unused_packages);
    fixture_verified(&g);
    fixture_make(&h, layer, "'Cmd':['/bin/sh']", "");
    stays(&h, "bin/dd");
    fixture_verified(&h);
}
END_TEST

/* Somebody asked for a library that nothing needs, and for a program that nothing calls: what cannot be read does. */
START_TEST(asked_for)
{
    static const char files[] =
        "usr/lib/libload.so.1 elf\nusr/bin/tool elf needs=libtool.so.1\nusr/lib/libtool.so.1 elf\n"
        "usr/bin/side elf\nusr/sbin/serve elf\nusr/bin/serve-ctl elf\n"
        "var/lib/apt/extended_states text=" AUTO("libtool1")
            AUTO("libleft1") "\nusr/lib/libleft.so.1 elf\n"
                             "var/lib/dpkg/status text=" PKG("libload1", "") PKG("tool", "") PKG("libtool1", "")
                                 PKG("libleft1", "") PKG("serve", "") "\n" LIST("libload1", "/usr/lib/libload.so.1")
                                     LIST("tool", "/usr/bin/tool\\n/usr/bin/side")
                                         LIST("libtool1", "/usr/lib/libtool.so.1")
                                             LIST("libleft1", "/usr/lib/libleft.so.1")
                                                 LIST("serve", "/usr/sbin/serve\\n/usr/bin/serve-ctl");
    static const char *const profiles[] = {"standard", "strict"};

    for (size_t i = 0; i < 2; i++) {
        auto_fixture f = {0};
        qn_auto_free char *policy = qn_xasprintf("{'profile':'%s','rules':{" NO_USER "}}", profiles[i]);
        fixture_make(&f, files, "'Cmd':['/usr/sbin/serve']", policy);
        stays(&f, "usr/lib/libload.so.1");
        stays(&f, "usr/bin/tool");
        stays(&f, "usr/bin/side");
        stays(&f, "usr/lib/libtool.so.1");
        gone(&f, "usr/lib/libleft.so.1", QN_RULE_unused_packages);
        /* The server is what runs: strict needs no reason for the rest of its package. */
        if (i == 0)
            stays(&f, "usr/bin/serve-ctl");
        else
            gone(&f, "usr/bin/serve-ctl", QN_RULE_unused_files);
        fixture_verified(&f);
    }
}
END_TEST

/* Nothing is marked as automatic, as in many base images: what the base brought along was not asked for, and what data
 * packages depend on is for their maintainer scripts. */
START_TEST(brought_along)
{
    static const char layer[] =
        OS_DEBIAN "usr/sbin/app elf\nusr/share/tables/t text=t\nusr/share/rules/r text=r\nusr/share/numbers/n text=n\n"
                  "usr/share/asked/a text=a\netc/base text=b\nusr/lib/merge text=m\n"
                  "var/lib/dpkg/status text=" PKG("app", "") PKG("base-files", "Depends: tables\\n") PKG("tables", "")
                      PKG("usrmerge", "Depends: rules\\n") PKG("rules", "Depends: numbers\\n") PKG("numbers", "")
                          PKG("asked", "") "\n" LIST("app", "/usr/sbin/app") LIST("base-files", "/etc/base")
                              LIST("tables", "/usr/share/tables/t") LIST("usrmerge", "/usr/lib/merge")
                                  LIST("rules", "/usr/share/rules/r") LIST("numbers", "/usr/share/numbers/n")
                                      LIST("asked", "/usr/share/asked/a");
    auto_fixture f = {0};

    fixture_make(&f, layer, "'Cmd':['/usr/sbin/app']", "{'rules':{" NO_USER "}}");
    stays(&f, "usr/share/asked/a");
    stays(&f, "etc/base");
    gone(&f, "usr/share/rules/r", QN_RULE_unused_packages);
    gone(&f, "usr/share/numbers/n", QN_RULE_unused_packages);
    gone(&f, "usr/share/tables/t", QN_RULE_unused_packages);
    fixture_verified(&f);
}
END_TEST

/* A package that is kept for its library or its modules loses its programs, and what only its own upkeep would run. */
START_TEST(kept_for_a_library)
{
    static const char layer[] = OS_DEBIAN
        "usr/sbin/app elf needs=libx.so.1\nusr/lib/libx.so.1 elf soname=libx.so.1\nusr/bin/x-tool elf\n"
        "usr/share/x/clean 755 text=#!/bin/sh\\nupkeep\\n\nusr/bin/upkeep elf\nbin/sh elf\n"
        "usr/share/x/report 755 text=#!/usr/bin/perl\\n\nusr/bin/perl elf\nusr/bin/app-ctl elf\n"
        "usr/bin/meta-tool elf\nusr/share/meta/m text=m\nusr/bin/adm elf\nusr/share/perl5/Adm.pm text=1;\n"
        "usr/share/perl/5.36 -> 5.36.0\nusr/share/perl/5.36.0/a.pm text=1;\n"
        "var/lib/apt/extended_states text=" AUTO("libx1") AUTO("x-utils") AUTO("dash") AUTO("perl") AUTO("meta-tools")
            AUTO("adduser") AUTO("perl-modules") "\nvar/lib/dpkg/status text=" PKG("app", "Depends: libx1\\n")
                PKG("libx1", "") PKG("dash", "") PKG("x-utils", "") PKG("perl", "")
                    PKG("meta", "Depends: meta-tools\\n") PKG("meta-tools", "") PKG("adduser", "")
                        PKG("perl-modules", "") "\n" LIST("app", "/usr/sbin/app\\n/usr/bin/app-ctl") LIST(
                            "libx1", "/usr/lib/libx.so.1\\n/usr/bin/x-tool\\n/usr/share/x/clean\\n/usr/share/x/report")
                            LIST("x-utils", "/usr/bin/upkeep") LIST("dash", "/bin/sh") LIST("perl", "/usr/bin/perl")
                                LIST("meta", "/usr/share/meta/m") LIST("meta-tools", "/usr/bin/meta-tool")
                                    LIST("adduser", "/usr/bin/adm\\n/usr/share/perl5/Adm.pm")
                                        LIST("perl-modules", "/usr/share/perl/5.36\\n/usr/share/perl/5.36.0/a.pm");
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, layer, "'Cmd':['/usr/sbin/app']", "{'rules':{" NO_USER "}}");
    stays(&f, "usr/lib/libx.so.1");
    stays(&f, "usr/bin/app-ctl");
    gone(&f, "usr/bin/x-tool", QN_RULE_unused_packages);
    gone(&f, "usr/bin/upkeep", QN_RULE_unused_packages);
    gone(&f, "usr/bin/perl", QN_RULE_unused_packages);
    gone(&f, "bin/sh", QN_RULE_shells);
    /* Whoever asks for a package without programs asks for those that it depends on. */
    stays(&f, "usr/bin/meta-tool");
    /* The way into a directory of which nothing is left goes with it. */
    gone(&f, "usr/share/perl/5.36", QN_RULE_unused_packages);
    fixture_verified(&f);
    /* Of a package with modules for an interpreter that runs, those stay; of one that makes the system, nothing. */
    fixture_make(&g, layer, "'Cmd':['/usr/bin/perl']", "{'rules':{" NO_USER "}}");
    stays(&g, "usr/share/perl/5.36");
    stays(&g, "usr/share/perl/5.36.0/a.pm");
    gone(&g, "usr/bin/adm", QN_RULE_unused_packages);
    fixture_verified(&g);
}
END_TEST

Suite *suite_keepset(void);
Suite *suite_keepset(void)
{
    const TTest *const tests[] = {standard,
                                  strict,
                                  off,
                                  reasons,
                                  any_order,
                                  what_the_image_is_for,
                                  tools_by_name,
                                  kept_for_a_library,
                                  strict_backs_off,
                                  scripts_reach,
                                  families,
                                  alpine,
                                  asked_for,
                                  brought_along};
    return qn_suite("keepset", tests, QN_ARRAY_LEN(tests));
}
