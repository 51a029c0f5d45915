#include "image_fixture.h"

#define STATUS "var/lib/dpkg/status text="

static void owned(const struct fixture *f, const char *path, const char *package)
{
    ck_assert_msg(strcmp(fixture_owner(f, path), package) == 0, "%s belongs to \"%s\" instead of \"%s\"", path,
                  fixture_owner(f, path), package);
}

START_TEST(merged_usr)
{
    auto_fixture f = {0};

    fixture_layer(
        &f, OS_DEBIAN
        "bin -> usr/bin\nlib -> usr/lib\nusr/bin/tool elf\nusr/lib/libx.so.1 elf\n"
        "usr/lib/libx.so -> libx.so.1\nusr/share/doc/x/copyright text=c\nusr/bin/other elf\n"
        "usr/lib/link -> dir\nusr/lib/dir/f text=1\n" STATUS DPKG_STATUS("x", "") DPKG_STATUS(
            "base", "") "\n"
                        "var/lib/dpkg/info/x.list text=/.\\n/bin\\n/bin/tool\\n/lib/libx.so.1\\n/lib/libx.so\\n"
                        "/usr/share/doc/x/copyright\\n/usr/lib/gone\\n/usr/lib/link\\n\n"
                        "var/lib/dpkg/info/base.list text=/bin\\n/lib\\n/usr\\n");
    fixture_image(&f, "");
    owned(&f, "usr/bin/tool", "x");
    owned(&f, "usr/lib/libx.so.1", "x");
    owned(&f, "usr/lib/libx.so", "x");
    owned(&f, "usr/share/doc/x/copyright", "x");
    owned(&f, "usr/bin/other", "");
    /* Directories and the links of merged /usr are nobody's payload; other links are. */
    owned(&f, "bin", "");
    owned(&f, "usr", "");
    owned(&f, "usr/lib/link", "x");
    uint32_t x = qn_image_package(&f.image, QN_STR("x"), QN_STR(""));
    ck_assert_uint_eq(f.image.package[x].files, 5);
    ck_assert_uint_eq(f.image.package[qn_image_package(&f.image, QN_STR("base"), QN_STR("amd64"))].files, 0);
    ck_assert_uint_eq(qn_image_package(&f.image, QN_STR("x"), QN_STR("arm64")), QN_NO_PACKAGE);
    ck_assert_uint_eq(qn_image_package(&f.image, QN_STR("y"), QN_STR("")), QN_NO_PACKAGE);
    qn_is(f.image.package[x].purl, "pkg:deb/debian/x@1.0-1?arch=amd64&distro=debian-12");
}
END_TEST

START_TEST(multi_arch_names)
{
    auto_fixture f = {0};

    fixture_layer(&f, "usr/lib/a elf\nusr/lib/b elf\n" STATUS
                      "Package: l\\nStatus: install ok installed\\nArchitecture: i386\\nVersion: 1\\n\\n" DPKG_STATUS(
                          "l", "") "\nvar/lib/dpkg/info/l:i386.list text=/usr/lib/a\\n\n"
                                   "var/lib/dpkg/info/l:amd64.list text=/usr/lib/b\\n\n");
    fixture_image(&f, "");
    const struct qn_node *n = f.image.tree.node;
    qn_is(f.image.package[n[fixture_node(&f, "usr/lib/a")].package].arch, "i386");
    qn_is(f.image.package[n[fixture_node(&f, "usr/lib/b")].package].arch, "amd64");
    ck_assert_uint_eq(qn_image_package(&f.image, QN_STR("l"), QN_STR("amd64")),
                      n[fixture_node(&f, "usr/lib/b")].package);
}
END_TEST

START_TEST(not_installed)
{
    auto_fixture f = {0};

    fixture_layer(&f, "usr/bin/a elf\n" STATUS
                      "Package: a\\nStatus: deinstall ok config-files\\nArchitecture: amd64\\nVersion: 1\\n\\n"
                      "Package: b\\nEssential: yes\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 1\\n"
                      "Source: srcb (2)\\n\nvar/lib/dpkg/info/a.list text=/usr/bin/a\\n");
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.package_count, 1);
    ck_assert(f.image.package[0].essential);
    qn_is(f.image.package[0].source, "srcb");
    qn_is(f.image.package[0].source_version, "2");
    owned(&f, "usr/bin/a", "");
}
END_TEST

START_TEST(diversions)
{
    auto_fixture f = {0};

    fixture_layer(
        &f, "bin/sh elf\nbin/sh.distrib elf\nbin/who elf\nbin/who.old elf\n" STATUS DPKG_STATUS("dash", "") DPKG_STATUS(
                "posh",
                "") "\n"
                    "var/lib/dpkg/info/dash.list text=/bin/sh\\n/bin/who\\n\n"
                    "var/lib/dpkg/info/posh.list text=/bin/sh\\n\n"
                    "var/lib/dpkg/diversions text=/bin/who\\n/bin/who.old\\n:\\n/bin/sh\\n/bin/sh.distrib\\nposh\\n");
    fixture_image(&f, "");
    owned(&f, "bin/sh", "posh");
    owned(&f, "bin/sh.distrib", "dash");
    /* The administrator's own diversion. */
    owned(&f, "bin/who.old", "dash");
    owned(&f, "bin/who", "");
}
END_TEST

START_TEST(alternatives_and_byte_code)
{
    auto_fixture f = {0};

    fixture_layer(&f, "usr/bin/mawk elf\nusr/bin/awk -> /etc/alternatives/awk\netc/alternatives/awk -> /usr/bin/mawk\n"
                      "etc/alternatives/gone -> /usr/bin/gone\nusr/bin/gone2 -> /etc/alternatives/gone\n"
                      "usr/lib/python3/x.py text=1\nusr/lib/python3/__pycache__/x.cpython-311.opt-1.pyc zeros=3\n"
                      "usr/lib/python3/__pycache__/y.cpython-311.pyc zeros=3\n" STATUS DPKG_STATUS(
                          "mawk", "") "\n"
                                      "var/lib/dpkg/info/mawk.list text=/usr/bin/mawk\\n/usr/lib/python3/x.py\\n");
    fixture_image(&f, "");
    owned(&f, "etc/alternatives/awk", "mawk");
    owned(&f, "usr/bin/awk", "mawk");
    owned(&f, "etc/alternatives/gone", "");
    owned(&f, "usr/bin/gone2", "");
    owned(&f, "usr/lib/python3/__pycache__/x.cpython-311.opt-1.pyc", "mawk");
    owned(&f, "usr/lib/python3/__pycache__/y.cpython-311.pyc", "");
}
END_TEST

START_TEST(alpine)
{
    auto_fixture f = {0};

    fixture_layer(&f, "etc/os-release text=ID=alpine\\nVERSION_ID=3.19.1\\n\nbin/busybox elf\nbin/sh -> /bin/busybox\n"
                      "usr/bin/wget -> /bin/busybox\nsbin/apk elf\nusr/bin/odd -> /sbin/apk\nlib/apk/db/installed "
                      "text=P:busybox\\nV:1.36\\nA:x86_64\\no:busybox\\nF:bin\\nR:busybox\\na:0:0:755\\n\\n"
                      "P:apk-tools\\nV:2\\nA:x86_64\\nF:sbin\\nM:0:0:755\\nR:apk\\n\\n");
    fixture_image(&f, "");
    owned(&f, "bin/busybox", "busybox");
    owned(&f, "bin/sh", "busybox");
    owned(&f, "usr/bin/wget", "busybox");
    owned(&f, "sbin/apk", "apk-tools");
    owned(&f, "usr/bin/odd", "");
    qn_is(f.image.package[0].purl, "pkg:apk/alpine/busybox@1.36?arch=x86_64&distro=alpine-3.19.1");
    ck_assert_uint_eq(f.image.db.dpkg_status, QN_NO_NODE);
}
END_TEST

START_TEST(alpine_in_usr)
{
    auto_fixture f = {0};

    fixture_layer(&f, "usr/bin/x elf\nusr/lib/apk/db/installed text=P:x\\nV:1\\nA:x86_64\\nF:usr/bin\\nR:x\\n\\n");
    fixture_image(&f, "");
    owned(&f, "usr/bin/x", "x");
    qn_is(f.image.tree.node[f.image.package[0].database].path, "usr/lib/apk/db/installed");
}
END_TEST

START_TEST(distroless)
{
    auto_fixture f = {0};

    fixture_layer(&f,
                  "usr/lib/libssl.so.3 elf\nusr/share/doc/libssl3/copyright text=c\n"
                  "var/lib/dpkg/status.d/libssl3 text=Package: libssl3\\nVersion: 3.0\\nArchitecture: amd64\\n\n"
                  "var/lib/dpkg/status.d/libssl3.md5sums text=00000000000000000000000000000000  usr/lib/libssl.so.3\\n"
                  "00000000000000000000000000000000  usr/share/doc/libssl3/copyright\\n");
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.package_count, 1);
    owned(&f, "usr/lib/libssl.so.3", "libssl3");
    owned(&f, "usr/share/doc/libssl3/copyright", "libssl3");
    qn_is(f.image.tree.node[f.image.package[0].database].path, "var/lib/dpkg/status.d/libssl3");
}
END_TEST

START_TEST(rpm_is_seen)
{
    auto_fixture f = {0};

    fixture_layer(&f, "var/lib/rpm -> ../../usr/lib/sysimage/rpm\nusr/lib/sysimage/rpm/rpmdb.sqlite zeros=10");
    fixture_image(&f, "");
    ck_assert(f.image.db.rpm);
}
END_TEST

START_TEST(broken_databases)
{
    auto_fixture a = {0}, b = {0}, c = {0};
    struct qn_err e;

    fixture_layer(&a, STATUS "Package: x\\nPackage: y\\n");
    qn_fails(fixture_try_image(&a, "", &e), e, QN_E_MALFORMED);
    ck_assert_msg(strstr(e.msg, "/var/lib/dpkg/status"), "%s", e.msg);
    fixture_layer(&b, "lib/apk/db/installed text=nonsense\\n");
    qn_fails(fixture_try_image(&b, "", &e), e, QN_E_MALFORMED);
    ck_assert_msg(strstr(e.msg, "/lib/apk/db/installed"), "%s", e.msg);
    /* What cannot be read cannot be kept true. */
    fixture_layer(&c, "var/lib/dpkg/status sparse=100000 text=Package");
    qn_fails(fixture_try_image(&c, "", &e), e, QN_E_LIMIT);
}
END_TEST

START_TEST(two_stanzas_of_one_package)
{
    auto_fixture f = {0};

    fixture_layer(&f, "usr/bin/a elf\n" STATUS DPKG_STATUS("a", "")
                          DPKG_STATUS("a", "") "\n"
                                               "var/lib/dpkg/info/a.list text=/usr/bin/a\\n");
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.package_count, 2);
    ck_assert_uint_eq(f.image.package[0].files, 1);
    ck_assert_uint_eq(f.image.package[1].files, 0);
}
END_TEST

START_TEST(many_diversions_and_files)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 64u << 20};
    struct qn_err e;

    qn_ok(qn_buf_c(&b, STATUS DPKG_STATUS("x", "") "\nvar/lib/dpkg/diversions text=", &e), e);
    for (int i = 0; i < 20000; i++)
        qn_ok(qn_buf_printf(&b, &e, "/d/f%d\\n/d/f%d.real\\nother\\n", i, i), e);
    qn_ok(qn_buf_c(&b, "\nvar/lib/dpkg/info/x.list text=", &e), e);
    for (int i = 0; i < 20000; i++)
        qn_ok(qn_buf_printf(&b, &e, "/d/f%d\\n", i), e);
    qn_ok(qn_buf_c(&b, "\nd/f7.real text=1\nd/f7 text=1\n", &e), e);
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    owned(&f, "d/f7.real", "x");
    owned(&f, "d/f7", "");
}
END_TEST

Suite *suite_packages_owned(void)
{
    const TTest *const tests[] = {merged_usr,
                                  multi_arch_names,
                                  not_installed,
                                  diversions,
                                  alpine,
                                  alternatives_and_byte_code,
                                  alpine_in_usr,
                                  distroless,
                                  rpm_is_seen,
                                  broken_databases,
                                  two_stanzas_of_one_package,
                                  many_diversions_and_files};
    return qn_suite("packages_owned", tests, QN_ARRAY_LEN(tests));
}
