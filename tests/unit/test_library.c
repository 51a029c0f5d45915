#include "image_fixture.h"

/* What the library `name` of usr/bin/app is. */
static const char *library(const struct fixture *f, const char *file, const char *name)
{
    static char path[4096];
    uint32_t n = qn_image_library(&f->image, fixture_node(f, file), qn_str_c(name));

    if (n == QN_NO_NODE)
        return "";
    ck_assert(qn_str_copy(f->image.tree.node[n].path, path, sizeof path));
    return path;
}

static void finds(const char *layer, const char *config, const char *want)
{
    auto_fixture f = {0};

    fixture_layer(&f, layer);
    fixture_image(&f, config);
    ck_assert_msg(strcmp(library(&f, "usr/bin/app", "libx.so.1"), want) == 0, "\"%s\" instead of \"%s\"",
                  library(&f, "usr/bin/app", "libx.so.1"), want);
}

START_TEST(defaults)
{
    finds(
        "usr/bin/app elf\nusr/lib/x86_64-linux-gnu/libx.so.1 -> libx.so.1.2\nusr/lib/x86_64-linux-gnu/libx.so.1.2 elf",
        "", "usr/lib/x86_64-linux-gnu/libx.so.1.2");
    finds("usr/bin/app elf\nlib64/libx.so.1 elf", "", "lib64/libx.so.1");
    finds("usr/bin/app elf\nusr/lib/libx.so.1 elf\nlib -> usr/lib", "", "usr/lib/libx.so.1");
    finds("usr/bin/app elf machine=183\nusr/lib/aarch64-linux-gnu/libx.so.1 elf machine=183", "",
          "usr/lib/aarch64-linux-gnu/libx.so.1");
    finds("usr/bin/app elf\nopt/lib/libx.so.1 elf", "", "");
    finds("usr/bin/app text=#!/bin/sh\nlib/libx.so.1 elf", "", "");
}
END_TEST

START_TEST(only_what_fits)
{
    finds("usr/bin/app elf\nlib/libx.so.1 elf class=32\nusr/lib/libx.so.1 elf", "", "usr/lib/libx.so.1");
    finds("usr/bin/app elf\nlib/libx.so.1 elf machine=183", "", "");
    finds("usr/bin/app elf\nlib/libx.so.1 text=INPUT(libx)", "", "");
    finds("usr/bin/app elf class=32\nusr/lib/x86_64-linux-gnu/libx.so.1 elf\nusr/lib/i386-linux-gnu/libx.so.1 elf "
          "class=32",
          "", "usr/lib/i386-linux-gnu/libx.so.1");
    finds("usr/bin/app elf big machine=22\nlib64/libx.so.1 elf machine=22\nusr/lib64/libx.so.1 elf big machine=22", "",
          "usr/lib64/libx.so.1");
}
END_TEST

START_TEST(run_paths)
{
    finds("usr/bin/app elf runpath=/opt/a:/opt/b\nopt/b/libx.so.1 elf\nlib64/libx.so.1 elf", "", "opt/b/libx.so.1");
    finds("usr/bin/app elf rpath=/opt/a\nopt/a/libx.so.1 elf", "", "opt/a/libx.so.1");
    /* RPATH does not count beside RUNPATH. */
    finds("usr/bin/app elf rpath=/opt/a runpath=/opt/b\nopt/a/libx.so.1 elf\nlib64/libx.so.1 elf", "",
          "lib64/libx.so.1");
    finds("usr/bin/app elf runpath=$ORIGIN/../lib/app\nusr/lib/app/libx.so.1 elf", "", "usr/lib/app/libx.so.1");
    finds("usr/bin/app elf runpath=${ORIGIN}\nusr/bin/libx.so.1 elf", "", "usr/bin/libx.so.1");
    finds("usr/bin/app elf runpath=/opt/$LIB\nopt/lib64/libx.so.1 elf", "", "opt/lib64/libx.so.1");
    finds("usr/bin/app elf runpath=:/opt/a\nopt/a/libx.so.1 elf", "", "opt/a/libx.so.1");
}
END_TEST

START_TEST(the_environment)
{
    /* RPATH before LD_LIBRARY_PATH before RUNPATH. */
    static const char *const env = "'Env':['LD_LIBRARY_PATH=/opt/env']";
    finds("usr/bin/app elf\nopt/env/libx.so.1 elf\nlib64/libx.so.1 elf", env, "opt/env/libx.so.1");
    finds("usr/bin/app elf runpath=/opt/run\nopt/env/libx.so.1 elf\nopt/run/libx.so.1 elf", env, "opt/env/libx.so.1");
    finds("usr/bin/app elf rpath=/opt/r\nopt/env/libx.so.1 elf\nopt/r/libx.so.1 elf", env, "opt/r/libx.so.1");
}
END_TEST

START_TEST(ld_so_conf)
{
    finds("usr/bin/app elf\netc/ld.so.conf text=include /etc/ld.so.conf.d/*.conf\\n\n"
          "etc/ld.so.conf.d/a.conf text=# none\\n/opt/none\\n\netc/ld.so.conf.d/b.conf text=/opt/b\\n\nopt/b/libx.so.1 "
          "elf",
          "", "opt/b/libx.so.1");
    finds("usr/bin/app elf\netc/ld.so.conf text=  /opt/c  \\n\nopt/c/libx.so.1 elf\nlib64/libx.so.1 elf", "",
          "opt/c/libx.so.1");
}
END_TEST

START_TEST(musl)
{
    finds("usr/bin/app elf\netc/ld-musl-x86_64.path text=/opt/a:/opt/b\\n\nopt/b/libx.so.1 elf", "", "opt/b/libx.so.1");
    finds("usr/bin/app elf\netc/ld-musl-x86_64.path text=/opt/a\\n/opt/b\\n\nopt/b/libx.so.1 elf", "",
          "opt/b/libx.so.1");
}
END_TEST

START_TEST(names_with_slashes)
{
    auto_fixture f = {0};

    fixture_layer(&f, "usr/bin/app elf\nopt/x/liby.so elf");
    fixture_image(&f, "");
    ck_assert_str_eq(library(&f, "usr/bin/app", "/opt/x/liby.so"), "opt/x/liby.so");
    ck_assert_str_eq(library(&f, "usr/bin/app", "/opt/x/none.so"), "");
}
END_TEST

START_TEST(absurd_paths)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_err e;

    qn_ok(qn_buf_c(&b, "usr/bin/app elf runpath=", &e), e);
    for (int i = 0; i < 390; i++)
        qn_ok(qn_buf_c(&b, "$ORIGIN/", &e), e);
    qn_ok(qn_buf_c(&b, "\nlib64/libx.so.1 elf", &e), e);
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    ck_assert_str_eq(library(&f, "usr/bin/app", "libx.so.1"), "lib64/libx.so.1");
    ck_assert_str_eq(library(&f, "usr/bin/app", ""), "");
}
END_TEST

Suite *suite_library(void)
{
    const TTest *const tests[] = {defaults,   only_what_fits, run_paths,          the_environment,
                                  ld_so_conf, musl,           names_with_slashes, absurd_paths};
    return qn_suite("library", tests, QN_ARRAY_LEN(tests));
}
