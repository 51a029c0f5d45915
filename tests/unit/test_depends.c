#include "image/depends.h"
#include "image_fixture.h"

static const struct qn_package *package(const struct fixture *f, const char *name)
{
    uint32_t i = qn_image_package(&f->image, qn_str_c(name), QN_STR(""));
    ck_assert_msg(i != QN_NO_PACKAGE, "no package %s", name);
    return &f->image.package[i];
}

START_TEST(dpkg)
{
    auto_fixture f = {0};
    size_t n;

    fixture_layer(&f, "var/lib/dpkg/status text=" DPKG_STATUS("a", "Depends: b (>= 1), c | d [amd64], e:any\\n"
                                                                   "Pre-Depends: f\\nProvides: v (= 1), w\\n")
                          DPKG_STATUS("b", "") DPKG_STATUS("c", "Provides: v\\n") "\n");
    fixture_image(&f, "");
    const struct qn_package *a = package(&f, "a");
    ck_assert_uint_eq(a->depend_count, 5);
    qn_is(a->depends[0].name, "f");
    qn_is(a->depends[1].name, "b");
    qn_is(a->depends[2].name, "c");
    qn_is(a->depends[3].name, "d");
    qn_is(a->depends[4].name, "e");
    ck_assert_uint_eq(a->depends[2].group, a->depends[3].group);
    ck_assert_uint_ne(a->depends[3].group, a->depends[4].group);
    ck_assert_uint_eq(a->provide_count, 2);
    qn_depends_find(&f.image, QN_STR("v"), &n);
    ck_assert_uint_eq(n, 2);
    qn_depends_find(&f.image, QN_STR("b"), &n);
    ck_assert_uint_eq(n, 1);
    qn_depends_find(&f.image, QN_STR("nothing"), &n);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(a->intent, QN_INTENT_UNKNOWN);
}
END_TEST

START_TEST(apt_marks)
{
    auto_fixture f = {0};

    fixture_layer(
        &f, "var/lib/dpkg/status text=" DPKG_STATUS("a", "") DPKG_STATUS(
                "b", "") "\nvar/lib/apt/extended_states text=Package: a\\nArchitecture: amd64\\nAuto-Installed: 1\\n\\n"
                         "Package: b\\nAuto-Installed: 0\\n\n");
    fixture_image(&f, "");
    ck_assert_int_eq(package(&f, "a")->intent, QN_INTENT_AUTO);
    ck_assert_int_eq(package(&f, "b")->intent, QN_INTENT_CHOSEN);
    auto_fixture g = {0};
    fixture_layer(&g, "var/lib/dpkg/status text=" DPKG_STATUS("a", "") "\nvar/lib/apt/extended_states text=nonsense\n");
    fixture_image(&g, "");
    ck_assert_int_eq(package(&g, "a")->intent, QN_INTENT_UNKNOWN);
}
END_TEST

START_TEST(apk)
{
    auto_fixture f = {0};

    fixture_layer(&f, "lib/apk/db/installed text=P:a\\nV:1\\nD:so:libc.so.1 b>1 !c /bin/sh\\np:cmd:a=1 so:liba.so.1=1"
                      "\\n\\nP:b\\nV:1\\np:so:libc.so.1\\n\\nP:n\\nV:1\\np:cmd:n\\n\\n\netc/apk/world text=b cmd:a\n");
    fixture_image(&f, "");
    const struct qn_package *a = package(&f, "a");
    ck_assert_uint_eq(a->depend_count, 3);
    qn_is(a->depends[0].name, "so:libc.so.1");
    qn_is(a->depends[2].name, "/bin/sh");
    qn_is(a->provides[0], "cmd:a");
    ck_assert_int_eq(a->intent, QN_INTENT_CHOSEN);
    ck_assert_int_eq(package(&f, "b")->intent, QN_INTENT_CHOSEN);
    ck_assert_int_eq(package(&f, "n")->intent, QN_INTENT_AUTO);
}
END_TEST

Suite *suite_depends(void);
Suite *suite_depends(void)
{
    const TTest *const tests[] = {dpkg, apt_marks, apk};
    return qn_suite("depends", tests, QN_ARRAY_LEN(tests));
}
