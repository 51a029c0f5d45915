/* Plans by hand, and what their check takes back. */
#include "image_fixture.h"

#include <stdio.h>

#define DB "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\nvar/lib/dpkg/info/p.list text="

static void prepare(struct fixture *f, const char *layer, const char *config, const char *const *remove)
{
    struct qn_err e;

    fixture_make(f, layer, config, ALL_OFF);
    for (size_t i = 0; remove[i]; i++)
        fixture_remove(f, QN_RULE_docs, remove[i]);
    qn_ok(qn_plan_check(&f->plan, &e), e);
    qn_ok(qn_plan_databases(&f->plan, &e), e);
}

static void expect(const struct fixture *f, const char *const *stays, const char *const *goes)
{
    for (size_t i = 0; stays[i]; i++)
        ck_assert_msg(!fixture_removed(f, stays[i]), "%s goes", stays[i]);
    for (size_t i = 0; goes[i]; i++)
        ck_assert_msg(fixture_removed(f, goes[i]), "%s stays", goes[i]);
    fixture_verified(f);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING   ((const char *const[]){NULL})

START_TEST(libraries)
{
    auto_fixture f = {0};

    prepare(&f,
            "pkg/tool elf needs=liba.so.1\nlib64/liba.so.1 -> ../opt/lib/liba.so.1.2\nopt/lib/liba.so.1.2 elf "
            "soname=liba.so.1 needs=libb.so\n"
            "usr/lib/libb.so elf\nusr/lib/libc.so elf\nlib64/ld-linux-x86-64.so.2 elf\n" DB
            "/lib64/liba.so.1\\n/opt/lib/liba.so.1.2\\n/usr/lib/libb.so\\n/usr/lib/libc.so\\n/lib64/"
            "ld-linux-x86-64.so.2\\n/pkg/tool\\n\n",
            "", LIST("lib64/liba.so.1", "opt/lib", "usr/lib/libb.so", "usr/lib/libc.so", "lib64/ld-linux-x86-64.so.2"));
    expect(&f,
           LIST("lib64/liba.so.1", "opt/lib/liba.so.1.2", "opt/lib", "opt", "usr/lib/libb.so",
                "lib64/ld-linux-x86-64.so.2"),
           LIST("usr/lib/libc.so"));
    const struct qn_change *c = fixture_change(&f, QN_RULE_docs, "usr/lib/libb.so");
    ck_assert(c && c->undone);
    qn_is(c->because, "backed off: /opt/lib/liba.so.1.2 needs it");
    /* With the directory; what is left is one library and the edit of the list. */
    ck_assert_uint_eq(f.plan.result[QN_RULE_docs].undone, 5);
    ck_assert_uint_eq(f.plan.result[QN_RULE_docs].changes, 2);
}
END_TEST

START_TEST(chains_in_any_order)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 4u << 20};
    struct qn_err e;

    /* Each needs the one that was looked at just before it: rounds over all of them would be quadratic. */
    for (int i = 0; i < 3000; i++)
        qn_ok(qn_buf_printf(&b, &e, "lib64/lib%05d.so elf soname=x needs=lib%05d.so\n", i, i ? i - 1 : 99999), e);
    qn_ok(qn_buf_c(&b, "bin/app elf needs=lib02999.so\n", &e), e);
    fixture_make(&f, b.p, "", ALL_OFF);
    for (int i = 0; i < 3000; i++) {
        char name[64];
        snprintf(name, sizeof name, "lib64/lib%05d.so", i);
        f.plan.fate[fixture_node(&f, name)].protected = false;
        f.image.reach[fixture_node(&f, name)] = (struct qn_reach){0};
        fixture_remove(&f, QN_RULE_caches, name);
    }
    qn_ok(qn_plan_check(&f.plan, &e), e);
    ck_assert_uint_eq(f.plan.result[QN_RULE_caches].undone, 3000);
}
END_TEST

START_TEST(links)
{
    auto_fixture f = {0};

    prepare(&f,
            "usr/bin/real elf\nusr/bin/link -> real\nusr/bin/link2 -> link\nusr/bin/hop -> link3\nusr/bin/link3 -> "
            "kept\nusr/bin/kept elf\n"
            "top -> usr/share/x\nusr/share/x text=1\ndangling -> nowhere\nusr/dirlink -> share\nusr/through -> "
            "dirlink/y\nusr/share/y text=1\n",
            "'Cmd':['/usr/bin/none']", LIST("usr/bin/real", "usr/bin/link3", "usr/share/x", "usr/dirlink"));
    expect(&f,
           /* A link at the top keeps what it leads to; those of no database are the application. */
           LIST("usr/bin/real", "usr/share/x", "top", "dangling", "usr/bin/kept", "usr/share/y"),
           LIST("usr/bin/hop", "usr/bin/link3", "usr/dirlink", "usr/through"));
}
END_TEST

START_TEST(links_of_packages)
{
    auto_fixture f = {0};

    prepare(&f,
            "usr/bin/real elf\nusr/bin/link -> real\nusr/bin/link2 -> /usr/bin/link\nusr/lib/x.so -> "
            "x.so.1\nusr/lib/x.so.1 elf\n" DB
            "/usr/bin/real\\n/usr/bin/link\\n/usr/bin/link2\\n/usr/lib/x.so\\n/usr/lib/x.so.1\\n\n",
            "", LIST("usr/bin/real", "usr/lib/x.so.1"));
    expect(&f, NOTHING, LIST("usr/bin/real", "usr/bin/link", "usr/bin/link2", "usr/lib/x.so", "usr/lib/x.so.1"));
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_docs, "usr/bin/link2"));
}
END_TEST

START_TEST(reached_links)
{
    auto_fixture f = {0};

    prepare(&f, "usr/bin/real elf\nusr/bin/link -> real\n" DB "/usr/bin/real\\n/usr/bin/link\\n\n", "'Cmd':['link']",
            LIST("usr/bin/real", "usr/bin/link"));
    expect(&f, LIST("usr/bin/real", "usr/bin/link"), NOTHING);
}
END_TEST

/* A link that went with its target comes back with it. */
START_TEST(links_come_back)
{
    auto_fixture f = {0};

    prepare(&f,
            "usr/bin/a elf\nusr/bin/alias -> a\nusr/lib/z.so -> ../share/z.so.1\nusr/share/z.so.1 elf "
            "soname=z\nusr/share/other -> z.so.1\n"
            "bin/app -> ../usr/bin/alias\n" DB
            "/usr/bin/a\\n/usr/bin/alias\\n/usr/lib/z.so\\n/usr/share/z.so.1\\n/usr/share/other\\n/bin/app\\n"
            "/usr/bin/user\\n\nusr/bin/user elf needs=z.so\n",
            "", LIST("usr/share/z.so.1", "usr/share/other", "usr/bin/a"));
    expect(&f, LIST("usr/lib/z.so", "usr/share/z.so.1"), LIST("usr/bin/a", "usr/bin/alias", "bin/app"));
}
END_TEST

START_TEST(interpreters)
{
    auto_fixture f = {0};

    prepare(&f,
            "usr/bin/dash elf\nbin -> usr/bin\nusr/bin/sh -> dash\nrun text=#!/bin/sh\\n\n" DB
            "/usr/bin/dash\\n/usr/bin/sh\\n\n",
            "'Cmd':['/run']", LIST("usr/bin/dash", "usr/bin/sh"));
    expect(&f, LIST("usr/bin/dash", "usr/bin/sh"), NOTHING);
}
END_TEST

START_TEST(what_may_not_go)
{
    auto_fixture f = {0};
    struct qn_err e;

    fixture_make(&f,
                 "etc/os-release text=ID=x\\n\nusr/lib/os-release text=ID=x\\n\nsrv/keep text=1\nx "
                 "text=1\netc/debian_version text=12\n",
                 "", "{'keep':{'paths':['/srv/**']},'rules':{'user':'off'}}");
    fixture_remove(&f, QN_RULE_docs, "etc/os-release");
    fixture_remove(&f, QN_RULE_docs, "usr/lib/os-release");
    fixture_remove(&f, QN_RULE_docs, "etc/debian_version");
    fixture_remove(&f, QN_RULE_docs, "srv");
    qn_ok(qn_plan_remove(&f.plan, 0, "test", &e), e);
    ck_assert(qn_plan_empty(&f.plan));
    fixture_remove(&f, QN_RULE_docs, "x");
    ck_assert(!qn_plan_empty(&f.plan));
}
END_TEST

START_TEST(trees)
{
    auto_fixture f = {0};

    fixture_make(&f, "a/b/c text=1\na/b/d/e text=1\na/run text=#!/bin/sh\\n\na/f/ 0755\n", "'Cmd':['/a/run']", ALL_OFF);
    fixture_remove(&f, QN_RULE_docs, "a");
    /* Directories go when everything in them goes. */
    ck_assert(fixture_removed(&f, "a/b") && fixture_removed(&f, "a/b/d") && fixture_removed(&f, "a/b/d/e") &&
              fixture_removed(&f, "a/f"));
    ck_assert(!fixture_removed(&f, "a") && !fixture_removed(&f, "a/run"));
    fixture_verified(&f);
}
END_TEST

START_TEST(edits_and_modes)
{
    auto_fixture f = {0};
    struct qn_err e;
    struct qn_str text;

    fixture_make(&f, "etc/x text=one\nimplicit/y text=1\n!bare\n", "", ALL_OFF);
    uint32_t x = fixture_node(&f, "etc/x");
    f.plan.rule = QN_RULE_caches;
    qn_ok(qn_plan_edit(&f.plan, x, QN_STR("one"), "same", &e), e);
    ck_assert(qn_plan_empty(&f.plan));
    qn_ok(qn_plan_edit(&f.plan, x, QN_STR("two"), "test", &e), e);
    ck_assert(qn_plan_text(&f.plan, x, &text) && qn_str_eq_c(text, "two"));
    qn_ok(qn_plan_chmod(&f.plan, x, 0600, "test", &e), e);
    qn_ok(qn_plan_chown(&f.plan, x, 5, "test", &e), e);
    qn_is(fixture_change(&f, QN_RULE_caches, "etc/x")->to, "5");
    ck_assert_uint_eq(f.plan.changes, 3);
    fixture_remove(&f, QN_RULE_docs, "etc/x");
    ck_assert(!qn_plan_text(&f.plan, x, &text));
    qn_ok(qn_plan_chmod(&f.plan, x, 0644, "late", &e), e);
    ck_assert_uint_eq(fixture_mode(&f, "etc/x"), 0600);
}
END_TEST

Suite *suite_plan_check(void)
{
    const TTest *const tests[] = {libraries,     chains_in_any_order, links,        links_of_packages,
                                  reached_links, links_come_back,     interpreters, what_may_not_go,
                                  trees,         edits_and_modes};
    return qn_suite("plan_check", tests, QN_ARRAY_LEN(tests));
}
