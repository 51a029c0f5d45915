/* dpkg, apk and package URLs. */
#include "formats/apk.h"
#include "formats/dpkg.h"
#include "formats/purl.h"
#include "unit.h"

static const char status[] = "Package: a\nStatus: install ok installed\nPriority: required\nVersion: 1:2-3\n"
                             "Architecture: amd64\nSource: src (1.0)\nDepends: libc6 (>= 2.36), x | y:any,\n z\n"
                             "Conffiles:\n /etc/a 0123 obsolete\n /etc/a b 4567\nDescription: short\n long\n .\n"
                             "\n"
                             "Package: b\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
                             "\n\n"
                             "Package: c\nVersion: 3\n";

static bool not_b(void *ctx, const struct qn_dpkg_stanza *s)
{
    (void)ctx;
    return !qn_str_eq_c(s->package, "b");
}

static bool all(void *ctx, const struct qn_dpkg_stanza *s)
{
    (void)ctx;
    (void)s;
    return true;
}

START_TEST(stanzas)
{
    struct qn_str rest = qn_str_c(status), name, version, group, path, conffiles;
    struct qn_dpkg_stanza s;
    struct qn_dpkg_dep d;
    struct qn_err e;

    ck_assert_int_eq(qn_dpkg_next(&rest, &s, &e), 1);
    qn_is(s.package, "a");
    qn_is(s.version, "1:2-3");
    ck_assert(qn_dpkg_is_installed(&s));
    qn_dpkg_source(&s, &name, &version);
    qn_is(name, "src");
    qn_is(version, "1.0");
    ck_assert(qn_dpkg_dep_group(&s.depends, &group) && qn_dpkg_dep_next(&group, &d));
    qn_is(d.name, "libc6");
    qn_is(d.relation, ">=");
    qn_is(d.version, "2.36");
    ck_assert(!qn_dpkg_dep_next(&group, &d));
    ck_assert(qn_dpkg_dep_group(&s.depends, &group) && qn_dpkg_dep_next(&group, &d));
    qn_is(d.name, "x");
    ck_assert(qn_dpkg_dep_next(&group, &d));
    qn_is(d.name, "y");
    qn_is(d.arch, "any");
    ck_assert(qn_dpkg_dep_group(&s.depends, &group) && qn_dpkg_dep_next(&group, &d));
    qn_is(d.name, "z");
    ck_assert(!qn_dpkg_dep_group(&s.depends, &group));
    conffiles = s.conffiles;
    ck_assert(qn_dpkg_conffile_next(&conffiles, &path));
    qn_is(path, "etc/a");
    ck_assert(qn_dpkg_conffile_next(&conffiles, &path));
    qn_is(path, "etc/a b");
    ck_assert(!qn_dpkg_conffile_next(&conffiles, &path));
    ck_assert_int_eq(qn_dpkg_next(&rest, &s, &e), 1);
    ck_assert(!qn_dpkg_is_installed(&s));
    qn_is(s.depends, "");
    ck_assert_int_eq(qn_dpkg_next(&rest, &s, &e), 1);
    qn_is(s.raw, "Package: c\nVersion: 3\n");
    qn_dpkg_source(&s, &name, &version);
    qn_is(name, "c");
    ck_assert_int_eq(qn_dpkg_next(&rest, &s, &e), 0);
}
END_TEST

START_TEST(status_filter)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, 4096);
    qn_ok(qn_dpkg_filter(qn_str_c(status), all, NULL, &b, &e), e);
    ck_assert_str_eq(b.p, status);
    qn_buf_clear(&b);
    qn_ok(qn_dpkg_filter(qn_str_c(status), not_b, NULL, &b, &e), e);
    ck_assert(!strstr(b.p, "Package: b") && strstr(b.p, " .\n\nPackage: c\nVersion: 3\n"));
    ck_assert_uint_eq(b.n, strlen(status) - strlen("Package: b\nStatus: deinstall ok config-files\nVersion: 1\n"
                                                   "Architecture: all\n\n\n"));
    qn_buf_clear(&b);
    qn_ok(qn_dpkg_filter(QN_STR("\n\n"), all, NULL, &b, &e), e);
    ck_assert_str_eq(b.p, "\n\n");
}
END_TEST

START_TEST(bad_stanzas)
{
    static const char *const bad[] = {"Package: a\nPackage: b\n",
                                      "Package: a\nVersion: 1\nversion: 2\n",
                                      " x\n",
                                      "no colon\n",
                                      "Version: 1\n",
                                      ": x\n",
                                      "Package:\n",
                                      "Package: a\nA B: c\n"};
    struct qn_dpkg_stanza s;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++) {
        struct qn_str rest = qn_str_c(bad[i]);
        ck_assert_msg(qn_dpkg_next(&rest, &s, &e) < 0, "%s", bad[i]);
        ck_assert_int_eq(e.code, QN_E_MALFORMED);
    }
}
END_TEST

static bool keep_path(void *ctx, struct qn_str path)
{
    return !qn_str_eq_c(path, ctx);
}

static void filtered(enum qn_dpkg_file file, const char *text, const char *drop, const char *want)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    char copy[64];

    ck_assert(qn_str_copy(qn_str_c(drop), copy, sizeof copy));
    qn_buf_init(&b, 4096);
    qn_ok(qn_dpkg_filter_paths(file, qn_str_c(text), keep_path, copy, &b, &e), e);
    qn_is(qn_buf_view(&b), want);
}

#define H "0123456789abcdef0123456789abcdef"

START_TEST(path_files)
{
    struct qn_str rest = QN_STR("/.\n/usr\nbroken\n/usr/bin/a b"), path, hash;

    ck_assert(qn_dpkg_list_next(&rest, &path));
    qn_is(path, "");
    ck_assert(qn_dpkg_list_next(&rest, &path));
    ck_assert(qn_dpkg_list_next(&rest, &path));
    qn_is(path, "usr/bin/a b");
    ck_assert(!qn_dpkg_list_next(&rest, &path));
    rest = QN_STR(H "  usr/a b\nshort\n");
    ck_assert(qn_dpkg_md5_next(&rest, &hash, &path));
    qn_is(hash, H);
    qn_is(path, "usr/a b");
    ck_assert(!qn_dpkg_md5_next(&rest, &hash, &path));
    filtered(QN_DPKG_LIST, "/.\n/usr/a\n/usr/b\n", "usr/a", "/.\n/usr/b\n");
    filtered(QN_DPKG_MD5SUMS, H "  a\n" H "  b\njunk\n", "b", H "  a\njunk\n");
    filtered(QN_DPKG_CONFFILES, "/etc/a\nremove-on-upgrade /etc/b\n/etc/c d\n", "etc/b", "/etc/a\n/etc/c d\n");
    filtered(QN_DPKG_STATOVERRIDE, "root root 4755 /bin/x\nroot adm 02750 /var/y\n", "bin/x",
             "root adm 02750 /var/y\n");
}
END_TEST

static bool not_dash(void *ctx, const struct qn_dpkg_diversion *d)
{
    (void)ctx;
    return !qn_str_eq_c(d->package, "dash");
}

START_TEST(diversions)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_str rest = QN_STR("/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n/cut\n");
    struct qn_dpkg_diversion d;
    struct qn_err e;

    qn_buf_init(&b, 1000);
    qn_ok(qn_dpkg_filter_diversions(rest, not_dash, NULL, &b, &e), e);
    qn_is(qn_buf_view(&b), "/a\n/b\n:\n");
    ck_assert(qn_dpkg_diversion_next(&rest, &d));
    qn_is(d.from, "bin/sh");
    qn_is(d.to, "bin/sh.distrib");
    qn_is(d.package, "dash");
}
END_TEST

static const char installed[] =
    "C:Q1a\nP:musl\nV:1.1\nA:x86_64\nL:MIT\no:musl\nD:\np:so:libc.musl-x86_64.so.1=1\nF:lib\nR:ld-musl.so.1\na:0:0:"
    "755\nZ:Q1x\n"
    "R:libc.so\na:0:0:777\nZ:Q1y\nF:etc\nM:0:0:1777\n\n"
    "P:busybox\nV:1.31\nD:so:libc.musl-x86_64.so.1 !old\nF:bin\nR:busybox\nZ:Q1z\nF:usr\nF:usr/bin\n\n";

START_TEST(apk_packages)
{
    struct qn_str rest = qn_str_c(installed);
    struct qn_apk_stanza s;
    struct qn_apk_dep d;
    struct qn_err e;

    ck_assert_int_eq(qn_apk_next(&rest, &s, &e), 1);
    qn_is(s.name, "musl");
    qn_is(s.license, "MIT");
    ck_assert(qn_apk_dep_next(&s.provides, &d));
    qn_is(d.name, "so:libc.musl-x86_64.so.1");
    struct qn_apk_files it = {.rest = s.body};
    struct qn_apk_file f;
    ck_assert_int_eq(qn_apk_files_next(&it, &f, &e), 1);
    ck_assert(f.is_dir);
    qn_is(f.path, "lib");
    ck_assert_int_eq(qn_apk_files_next(&it, &f, &e), 1);
    qn_is(f.path, "lib/ld-musl.so.1");
    qn_is(f.access, "0:0:755");
    qn_is(f.digest, "Q1x");
    ck_assert_int_eq(qn_apk_files_next(&it, &f, &e), 1);
    ck_assert_int_eq(qn_apk_files_next(&it, &f, &e), 1);
    qn_is(f.path, "etc");
    qn_is(f.access, "0:0:1777");
    ck_assert_int_eq(qn_apk_files_next(&it, &f, &e), 0);
    ck_assert_int_eq(qn_apk_next(&rest, &s, &e), 1);
    ck_assert(qn_apk_dep_next(&s.depends, &d) && !d.conflict && qn_apk_dep_next(&s.depends, &d) && d.conflict);
    qn_is(d.name, "old");
    ck_assert_int_eq(qn_apk_next(&rest, &s, &e), 0);
}
END_TEST

static bool not_musl(void *ctx, const struct qn_apk_stanza *s)
{
    (void)ctx;
    return !qn_str_eq_c(s->name, "musl");
}

static bool not_ld(void *ctx, const struct qn_apk_stanza *s, struct qn_str path)
{
    (void)ctx;
    (void)s;
    return !qn_str_eq_c(path, "lib/ld-musl.so.1") && !qn_str_eq_c(path, "bin/busybox");
}

static bool no_dir(void *ctx, const struct qn_apk_stanza *s, struct qn_str path)
{
    (void)ctx;
    (void)s;
    return qn_str_eq_c(path, "usr");
}

START_TEST(apk_filter)
{
    const struct qn_apk_keep everything = {0}, packages = {.package = not_musl},
                             files = {.file = not_ld, .dir = no_dir};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, 4096);
    qn_ok(qn_apk_filter(qn_str_c(installed), &everything, &b, &e), e);
    ck_assert_str_eq(b.p, installed);
    qn_buf_clear(&b);
    qn_ok(qn_apk_filter(qn_str_c(installed), &packages, &b, &e), e);
    ck_assert_str_eq(b.p, strstr(installed, "P:busybox"));
    qn_buf_clear(&b);
    qn_ok(qn_apk_filter(qn_str_c(installed), &files, &b, &e), e);
    ck_assert_str_eq(b.p, "C:Q1a\nP:musl\nV:1.1\nA:x86_64\nL:MIT\no:musl\nD:\np:so:libc.musl-x86_64.so.1=1\nF:lib\n"
                          "R:libc.so\na:0:0:777\nZ:Q1y\n\n"
                          "P:busybox\nV:1.31\nD:so:libc.musl-x86_64.so.1 !old\nF:usr\n\n");
}
END_TEST

START_TEST(apk_bad)
{
    static const char *const bad[] = {"P:a\n\n", "P:a\nV:1\nrubbish\n", "V:1\n", "P:a\nV:1\n:x\n"};
    struct qn_apk_stanza s;
    struct qn_apk_file f;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++) {
        struct qn_str rest = qn_str_c(bad[i]);
        ck_assert_msg(qn_apk_next(&rest, &s, &e) < 0, "%s", bad[i]);
        ck_assert_int_eq(e.code, QN_E_MALFORMED);
    }
    struct qn_apk_files it = {.rest = QN_STR("R:x\n")};
    ck_assert_int_lt(qn_apk_files_next(&it, &f, &e), 0);
    it = (struct qn_apk_files){.rest = QN_STR("F:a/..\n")};
    ck_assert_int_lt(qn_apk_files_next(&it, &f, &e), 0);
}
END_TEST

START_TEST(apk_world)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    char drop[] = "curl";

    qn_buf_init(&b, 1000);
    qn_ok(qn_apk_world_filter(QN_STR("alpine-baselayout\ncurl>=7\nbash curl  nginx@edge\n!x"), keep_path, drop, &b, &e),
          e);
    qn_is(qn_buf_view(&b), "alpine-baselayout\nbash nginx@edge\n!x");
}
END_TEST

START_TEST(purls)
{
    const struct qn_purl deb = {"deb",           QN_STR("debian"),
                                QN_STR("g++"),   QN_STR("4:12.2.0-3+x~1"),
                                QN_STR("amd64"), .distro_version = QN_STR("12")};
    const struct qn_purl bare = {"apk",      QN_STR(""), QN_STR("a b"),
                                 QN_STR(""), QN_STR(""), .distro_version = QN_STR("3")};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, 1000);
    qn_ok(qn_purl_print(&deb, &b, &e), e);
    qn_is(qn_buf_view(&b), "pkg:deb/debian/g%2B%2B@4:12.2.0-3%2Bx~1?arch=amd64&distro=debian-12");
    qn_buf_clear(&b);
    qn_ok(qn_purl_print(&bare, &b, &e), e);
    qn_is(qn_buf_view(&b), "pkg:apk/a%20b");
}
END_TEST

Suite *suite_packages(void)
{
    const TTest *const tests[] = {stanzas,      status_filter, bad_stanzas, path_files, diversions,
                                  apk_packages, apk_filter,    apk_bad,     apk_world,  purls};
    return qn_suite("packages", tests, QN_ARRAY_LEN(tests));
}
