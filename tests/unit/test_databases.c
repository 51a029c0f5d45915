/* Package databases say what is left, and everything else in them stays byte for byte. */
#include "image_fixture.h"

static void carry_out(struct fixture *f, const char *layer, const char *const *remove)
{
    struct qn_err e;

    fixture_make(f, layer, "", ALL_OFF);
    for (size_t i = 0; remove[i]; i++)
        fixture_remove(f, QN_RULE_caches, remove[i]);
    qn_ok(qn_plan_check(&f->plan, &e), e);
    qn_ok(qn_plan_databases(&f->plan, &e), e);
    fixture_verified(f);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ONE                                                                                                            \
    "Package: one\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 1\\nDescription: odd   spacing \\n " \
    "more\\n .\\n\\n"
#define TWO                                                                                                            \
    "Package: two\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 2\\nConffiles:\\n /etc/two "         \
    "0123\\n\\n"
#define OLD "Package: old\\nStatus: deinstall ok config-files\\nArchitecture: amd64\\nVersion: 3\\n\\n"
#define DPKG                                                                                                           \
    "usr/bin/one zeros=5\nusr/share/doc/one/copyright text=c\nusr/share/bash-completion/completions/one "              \
    "text=x\nusr/lib/two/a zeros=1\n"                                                                                  \
    "usr/lib/two/b zeros=1\netc/two text=x\nvar/lib/dpkg/status text=" ONE TWO OLD                                     \
    "\nvar/lib/dpkg/available text=" TWO ONE "\n"                                                                      \
    "var/lib/dpkg/info/one.list text=/.\\n/usr\\n/usr/bin\\n/usr/bin/one\\n/usr/share/doc/one/copyright\\n"            \
    "/usr/share/bash-completion/completions/one\\n\nvar/lib/dpkg/info/one.md5sums text=0  usr/bin/one\\n\n"            \
    "var/lib/dpkg/info/one.postinst text=x\nvar/lib/dpkg/info/two.list "                                               \
    "text=/.\\n/usr\\n/usr/lib\\n/usr/lib/two\\n/usr/lib/two/a\\n/usr/lib/two/b\\n/usr/lib/two/never\\n/etc/two\\n\n"  \
    "var/lib/dpkg/info/two.md5sums text=00000000000000000000000000000000  "                                            \
    "usr/lib/two/a\\n00000000000000000000000000000001  usr/lib/two/b\\nbroken\\n\n"                                    \
    "var/lib/dpkg/info/two.conffiles text=/etc/two\\n\nvar/lib/dpkg/info/two.triggers text=x\n"                        \
    "var/lib/dpkg/diversions text=/a\\n/b\\none\\n/c\\n/d\\n:\\n/e\\n/f\\ntwo\\n\n"                                    \
    "var/lib/dpkg/statoverride text=root root 4755 /usr/bin/one\\nroot root 0700 /usr/lib/two/a\\n\n"

#define TEXT_ONE                                                                                                       \
    "Package: one\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDescription: odd   spacing \n "      \
    "more\n .\n\n"
#define TEXT_TWO                                                                                                       \
    "Package: two\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\nConffiles:\n /etc/two 0123\n\n"
#define TEXT_OLD "Package: old\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 3\n\n"

START_TEST(nothing_removed)
{
    auto_fixture f = {0};

    carry_out(&f, DPKG "x text=1\n", LIST("x"));
    ck_assert(!f.plan.fate[fixture_node(&f, "var/lib/dpkg/status")].edited);
    ck_assert(!f.plan.fate[fixture_node(&f, "var/lib/dpkg/info/two.list")].edited);
    ck_assert(!fixture_removed(&f, "var/lib/dpkg/info/two.triggers"));
}
END_TEST

START_TEST(a_whole_package)
{
    auto_fixture f = {0};

    carry_out(&f, DPKG, LIST("usr/bin/one"));
    /* Documentation, licences and completions are no payload. */
    qn_is(fixture_text(&f, "var/lib/dpkg/status"), TEXT_TWO TEXT_OLD);
    qn_is(fixture_text(&f, "var/lib/dpkg/available"), TEXT_TWO);
    ck_assert(fixture_removed(&f, "var/lib/dpkg/info/one.list") &&
              fixture_removed(&f, "var/lib/dpkg/info/one.md5sums") &&
              fixture_removed(&f, "var/lib/dpkg/info/one.postinst"));
    ck_assert(!fixture_removed(&f, "usr/share/doc/one/copyright"));
    qn_is(fixture_text(&f, "var/lib/dpkg/diversions"), "/c\n/d\n:\n/e\n/f\ntwo\n");
    qn_is(fixture_text(&f, "var/lib/dpkg/statoverride"), "root root 0700 /usr/lib/two/a\n");
    ck_assert_int_eq(qn_plan_package_state(&f.plan, qn_image_package(&f.image, QN_STR("one"), QN_STR(""))),
                     QN_PACKAGE_REMOVED);
    ck_assert_int_eq(qn_plan_package_state(&f.plan, qn_image_package(&f.image, QN_STR("two"), QN_STR(""))),
                     QN_PACKAGE_KEPT);
    /* Edits are the rule's that removed the files. */
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_caches, "var/lib/dpkg/status"));
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_caches, "var/lib/dpkg/info/one.list"));
}
END_TEST

START_TEST(part_of_a_package)
{
    auto_fixture f = {0};

    carry_out(&f, DPKG, LIST("usr/lib/two/b"));
    ck_assert(!f.plan.fate[fixture_node(&f, "var/lib/dpkg/status")].edited);
    /* What was not there before stays listed: this plan did not remove it. */
    qn_is(fixture_text(&f, "var/lib/dpkg/info/two.list"),
          "/.\n/usr\n/usr/lib\n/usr/lib/two\n/usr/lib/two/a\n/usr/lib/two/never\n/etc/two\n");
    qn_is(fixture_text(&f, "var/lib/dpkg/info/two.md5sums"),
          "00000000000000000000000000000000  usr/lib/two/a\nbroken\n");
    ck_assert_int_eq(qn_plan_package_state(&f.plan, qn_image_package(&f.image, QN_STR("two"), QN_STR(""))),
                     QN_PACKAGE_PARTIAL);
    auto_fixture g = {0};
    carry_out(&g, DPKG, LIST("etc/two"));
    qn_is(fixture_text(&g, "var/lib/dpkg/info/two.conffiles"), "");
    auto_fixture h = {0};
    carry_out(&h, DPKG, LIST("usr/lib/two"));
    qn_is(fixture_text(&h, "var/lib/dpkg/info/two.list"), "/.\n/usr\n/usr/lib\n/usr/lib/two/never\n/etc/two\n");
}
END_TEST

START_TEST(only_documentation_removed)
{
    auto_fixture f = {0};

    carry_out(&f, DPKG, LIST("usr/share/bash-completion"));
    ck_assert(!f.plan.fate[fixture_node(&f, "var/lib/dpkg/status")].edited);
    qn_is(fixture_text(&f, "var/lib/dpkg/info/one.list"),
          "/.\n/usr\n/usr/bin\n/usr/bin/one\n/usr/share/doc/one/copyright\n");
    ck_assert_int_eq(qn_plan_package_state(&f.plan, 0), QN_PACKAGE_PARTIAL);
}
END_TEST

START_TEST(merged_usr)
{
    auto_fixture f = {0};

    carry_out(&f,
              "bin -> usr/bin\nusr/bin/a zeros=1\nusr/bin/b zeros=1\nvar/lib/dpkg/status text=" DPKG_STATUS(
                  "p", "") "\n"
                           "var/lib/dpkg/info/p.list text=/bin\\n/bin/a\\n/usr/bin/b\\n",
              LIST("usr/bin/a"));
    qn_is(fixture_text(&f, "var/lib/dpkg/info/p.list"), "/bin\n/usr/bin/b\n");
}
END_TEST

START_TEST(two_architectures)
{
    auto_fixture f = {0};

    carry_out(
        &f,
        "usr/lib/a zeros=1\nusr/lib/b zeros=1\nvar/lib/dpkg/status "
        "text=Package: l\\nStatus: install ok installed\\nArchitecture: i386\\nVersion: 1\\n\\n" DPKG_STATUS(
            "l",
            "") "\n"
                "var/lib/dpkg/info/l:i386.list text=/usr/lib/a\\n\nvar/lib/dpkg/info/l:amd64.list text=/usr/lib/b\\n\n"
                "var/lib/dpkg/diversions text=/x\\n/y\\nl\\n\n",
        LIST("usr/lib/a"));
    ck_assert(fixture_removed(&f, "var/lib/dpkg/info/l:i386.list") &&
              !fixture_removed(&f, "var/lib/dpkg/info/l:amd64.list"));
    ck_assert(qn_str_find(fixture_text(&f, "var/lib/dpkg/status"), QN_STR("i386")) < 0);
    /* The package is still there in another architecture. */
    ck_assert(!f.plan.fate[fixture_node(&f, "var/lib/dpkg/diversions")].edited);
}
END_TEST

START_TEST(two_stanzas_of_one_package)
{
    auto_fixture f = {0};

    carry_out(&f,
              "usr/lib/a zeros=1\nvar/lib/dpkg/status text=" DPKG_STATUS("l", "") DPKG_STATUS("l", "")
                  DPKG_STATUS("m", "") "\nvar/lib/dpkg/info/l.list text=/usr/lib/a\\n\n",
              LIST("usr/lib/a"));
    ck_assert(qn_str_find(fixture_text(&f, "var/lib/dpkg/status"), QN_STR("Package: l")) < 0);
    ck_assert(qn_str_find(fixture_text(&f, "var/lib/dpkg/status"), QN_STR("Package: m")) >= 0);
}
END_TEST

START_TEST(distroless)
{
    static const char *const layer = "usr/lib/a zeros=1\nusr/lib/b zeros=1\nvar/lib/dpkg/status.d/one text=Package: "
                                     "one\\nVersion: 1\\nArchitecture: amd64\\n\n"
                                     "var/lib/dpkg/status.d/one.md5sums text=00000000000000000000000000000000  "
                                     "usr/lib/a\\n00000000000000000000000000000001  usr/lib/b\\n\n";
    auto_fixture f = {0}, g = {0};

    carry_out(&f, layer, LIST("usr/lib/b"));
    qn_is(fixture_text(&f, "var/lib/dpkg/status.d/one.md5sums"), "00000000000000000000000000000000  usr/lib/a\n");
    carry_out(&g, layer, LIST("usr/lib/a", "usr/lib/b"));
    ck_assert(fixture_removed(&g, "var/lib/dpkg/status.d/one") &&
              fixture_removed(&g, "var/lib/dpkg/status.d/one.md5sums"));
}
END_TEST

#define APK                                                                                                            \
    "bin/a zeros=1\nlib/b zeros=1\nlib/c zeros=1\netc/apk/world text=one\\ntwo>=1\\nthree\\n\nlib/apk/db/installed "   \
    "text="                                                                                                            \
    "C:Q1abc=\\nP:one\\nV:1\\nA:x86_64\\nD:so:libc\\nF:bin\\nM:0:0:755\\nR:a\\na:0:0:755\\nZ:Q1aaa=\\n\\n"             \
    "P:two\\nV:2\\nA:x86_64\\nF:lib\\nR:b\\nZ:Q1bbb=\\nR:c\\nZ:Q1ccc=\\nF:lib/none\\n\\n\n"

START_TEST(apk)
{
    auto_fixture f = {0}, g = {0};

    carry_out(&f, APK, LIST("bin/a"));
    qn_is(fixture_text(&f, "lib/apk/db/installed"),
          "P:two\nV:2\nA:x86_64\nF:lib\nR:b\nZ:Q1bbb=\nR:c\nZ:Q1ccc=\nF:lib/none\n\n");
    qn_is(fixture_text(&f, "etc/apk/world"), "two>=1\nthree\n");
    carry_out(&g, APK, LIST("lib/b"));
    qn_is(fixture_text(&g, "lib/apk/db/installed"),
          "C:Q1abc=\nP:one\nV:1\nA:x86_64\nD:so:libc\nF:bin\nM:0:0:755\nR:a\na:0:0:755\nZ:Q1aaa=\n\nP:two\nV:2\nA:x86_"
          "64\nF:lib\nR:c\nZ:Q1ccc=\nF:lib/none\n\n");
    ck_assert(!g.plan.fate[fixture_node(&g, "etc/apk/world")].edited);
}
END_TEST

START_TEST(many_packages)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 64u << 20};
    struct qn_err e;

    /* Each stanza and each file of info/ asks whether its package is gone. */
    qn_ok(qn_buf_c(&b, "var/lib/dpkg/status text=", &e), e);
    for (int i = 0; i < 5000; i++)
        qn_ok(qn_buf_printf(&b, &e,
                            "Package: p%d\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 1\\n\\n", i),
              e);
    qn_ok(qn_buf_c(&b, "\n", &e), e);
    for (int i = 0; i < 5000; i++)
        qn_ok(qn_buf_printf(&b, &e, "f/%d zeros=1\nvar/lib/dpkg/info/p%d.list text=/f/%d\\n\n", i, i, i), e);
    carry_out(&f, b.p, LIST("f"));
    qn_is(fixture_text(&f, "var/lib/dpkg/status"), "");
}
END_TEST

Suite *suite_databases(void)
{
    const TTest *const tests[] = {nothing_removed,
                                  a_whole_package,
                                  part_of_a_package,
                                  only_documentation_removed,
                                  merged_usr,
                                  two_architectures,
                                  two_stanzas_of_one_package,
                                  distroless,
                                  apk,
                                  many_packages};
    return qn_suite("databases", tests, QN_ARRAY_LEN(tests));
}
