/* kernel, preload, timestamps. */
#include "image_fixture.h"

#define APP    "app/run text=#!/bin/sh\\nexec true\\n\nbin/sh elf\n"
#define STARTS "'Entrypoint':['/app/run']"

START_TEST(kernel)
{
    auto_fixture f = {0}, g = {0};
    static const char layer[] =
        APP "boot/vmlinuz text=k\nboot/grub/x text=g\nlib -> usr/lib\nusr/lib/modules/6.1/x.ko text=m\n"
            "usr/lib/firmware/f text=f\nusr/src/linux-headers-6.1/a.h text=h\nusr/src/app/x text=a\n"
            "usr/src/owned/a.c text=c\nusr/src/mixed/a.c text=c\nusr/src/mixed/mine text=c\n"
            "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\nvar/lib/dpkg/info/p.list "
                                                             "text=/usr/src/owned/a.c\\n/usr/src/mixed/a.c\\n\n";

    fixture_make(&f, layer, STARTS, "");
    ck_assert(fixture_removed(&f, "boot/vmlinuz") && fixture_removed(&f, "boot/grub") && !fixture_removed(&f, "boot"));
    ck_assert(fixture_removed(&f, "usr/lib/modules/6.1") && !fixture_removed(&f, "usr/lib/modules"));
    ck_assert(fixture_removed(&f, "usr/lib/firmware/f"));
    ck_assert(fixture_removed(&f, "usr/src/linux-headers-6.1") && fixture_removed(&f, "usr/src/owned"));
    ck_assert(!fixture_removed(&f, "usr/src/app/x") && !fixture_removed(&f, "usr/src/mixed/a.c"));
    fixture_verified(&f);
    fixture_make(&g, layer, STARTS, "{'use':'build'}");
    ck_assert(fixture_removed(&g, "boot/vmlinuz") && !fixture_removed(&g, "usr/src/linux-headers-6.1"));
}
END_TEST

#define PRELOAD                                                                                                        \
    APP "usr/lib/own.so elf\nopt/odd.so elf\nvar/lib/dpkg/status text=" DPKG_STATUS(                                   \
        "p", "") "\nvar/lib/dpkg/info/p.list text=/usr/lib/own.so\\n\n"                                                \
                 "etc/ld.so.preload text=# x\\n/usr/lib/own.so:/opt/odd.so\\n/gone.so libplain.so\\n\n"

START_TEST(preload)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, PRELOAD, STARTS, "");
    ck_assert(!f.plan.fate[fixture_node(&f, "etc/ld.so.preload")].edited);
    ck_assert(!fixture_finding(&f, "NIST-SI-7", "/opt/odd.so")->fixed);
    ck_assert(!fixture_finding(&f, "NIST-SI-7", "/gone.so")->fixed);
    ck_assert_ptr_null(fixture_finding(&f, "NIST-SI-7", "own.so"));
    fixture_verified(&f);
    fixture_make(&g, PRELOAD, STARTS, "{'profile':'strict'}");
    qn_is(fixture_text(&g, "etc/ld.so.preload"), "/usr/lib/own.so\nlibplain.so\n");
    ck_assert(fixture_finding(&g, "NIST-SI-7", "/opt/odd.so")->fixed);
    fixture_verified(&g);
}
END_TEST

START_TEST(timestamps)
{
    auto_fixture f = {0}, after = {0}, g = {0};
    unsigned touched;

    fixture_layer(&f, APP "k/old mtime=5 text=1\n");
    fixture_layer(&f, "k/new mtime=1800000000 text=1\n");
    fixture_policy(&f, "{'rules':{'timestamps':'on','user':'off'}}");
    fixture_image(&f, STARTS);
    fixture_plan(&f);
    ck_assert(f.plan.clamped);
    fixture_after(&f, &after, &touched);
    ck_assert_uint_eq(touched, 2);
    ck_assert_int_eq(after.image.tree.node[fixture_node(&after, "k/old")].entry->mtime, 5);
    ck_assert_int_eq(after.image.tree.node[fixture_node(&after, "k/new")].entry->mtime, f.plan.latest);
    fixture_verified(&f);
    fixture_make(&g, APP "k/new mtime=1800000000 text=1\n", STARTS, "");
    ck_assert(!g.plan.clamped);
}
END_TEST

Suite *suite_rules_system(void)
{
    const TTest *const tests[] = {kernel, preload, timestamps};
    return qn_suite("rules_system", tests, QN_ARRAY_LEN(tests));
}
