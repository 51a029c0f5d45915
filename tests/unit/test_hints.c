#include "image_fixture.h"

static const struct qn_elf_facts *facts(const struct fixture *f, const char *path)
{
    return &f->image.tree.node[fixture_node(f, path)].data->elf;
}

static bool hints(const struct fixture *f, const char *path, enum qn_hint_kind kind, const char *text)
{
    const struct qn_elf_facts *x = facts(f, path);
    for (uint32_t i = 0; i < x->hint_count; i++)
        if (x->hint[i].kind == kind && qn_str_eq_c(x->hint[i].text, text))
            return true;
    return false;
}

START_TEST(paths)
{
    auto_fixture f = {0};

    fixture_layer(&f, "x elf names=/usr/lib/x/mods,--path=/etc/x.conf:/opt/y,/usr/lib/x/%25s.so,/api/v1,a/usr/lib/z,"
                      "/usr/share/a*.txt,/var/lib/x/\n");
    fixture_image(&f, "");
    ck_assert(hints(&f, "x", QN_HINT_PATH, "/usr/lib/x/mods"));
    ck_assert(hints(&f, "x", QN_HINT_PATH, "/etc/x.conf") && hints(&f, "x", QN_HINT_PATH, "/opt/y"));
    ck_assert(hints(&f, "x", QN_HINT_PATH, "/usr/lib/x") && hints(&f, "x", QN_HINT_PATH, "/usr/share"));
    ck_assert(hints(&f, "x", QN_HINT_PATH, "/var/lib/x"));
    ck_assert(!hints(&f, "x", QN_HINT_PATH, "/api/v1") && !hints(&f, "x", QN_HINT_PATH, "/usr/lib/z"));
    ck_assert(!facts(&f, "x")->hints_cut);
}
END_TEST

START_TEST(libraries)
{
    auto_fixture f = {0};

    fixture_layer(&f, "x elf names=liba.so,libb.so.1.2,c/d.so,lib%25s.so,libe.so.x,.so\n");
    fixture_image(&f, "");
    ck_assert(hints(&f, "x", QN_HINT_LIBRARY, "liba.so") && hints(&f, "x", QN_HINT_LIBRARY, "libb.so.1.2"));
    ck_assert(hints(&f, "x", QN_HINT_LIBRARY, "c/d.so"));
    ck_assert(!hints(&f, "x", QN_HINT_LIBRARY, "lib%s.so") && !hints(&f, "x", QN_HINT_LIBRARY, "libe.so.x"));
    ck_assert(!hints(&f, "x", QN_HINT_LIBRARY, ".so"));
}
END_TEST

START_TEST(commands)
{
    auto_fixture f = {0};

    fixture_layer(
        &f,
        "x elf import=popen names=locale%20-a,exec%20gcc%20-g%20%25s,file%20is%20bad,ls%20/x%20|%20wc%20"
        "-l,echo%20a|sort,Cannot%20do,cc1\ny elf import=execve names=locale%20-a,exec%20cc%20-c%20%25s,postgres,a\nz "
        "elf names=postgres,iconv\n"
        "i elf import=iconv_open\n");
    fixture_image(&f, "");
    ck_assert(hints(&f, "x", QN_HINT_COMMAND, "locale") && hints(&f, "x", QN_HINT_COMMAND, "gcc"));
    ck_assert(hints(&f, "x", QN_HINT_COMMAND, "ls") && hints(&f, "x", QN_HINT_COMMAND, "wc"));
    ck_assert(hints(&f, "x", QN_HINT_COMMAND, "sort"));
    ck_assert(!hints(&f, "x", QN_HINT_COMMAND, "file") && !hints(&f, "x", QN_HINT_COMMAND, "Cannot"));
    ck_assert(hints(&f, "x", QN_HINT_WORD, "cc1"));
    ck_assert(!hints(&f, "y", QN_HINT_COMMAND, "locale") && hints(&f, "y", QN_HINT_WORD, "postgres"));
    ck_assert(hints(&f, "y", QN_HINT_COMMAND, "cc"));
    ck_assert(!hints(&f, "z", QN_HINT_WORD, "postgres"));
    ck_assert(facts(&f, "i")->imports & QN_IMPORT_ICONV);
    ck_assert(!(facts(&f, "z")->imports & QN_IMPORT_ICONV));
}
END_TEST

START_TEST(static_programs)
{
    auto_fixture f = {0};

    fixture_layer(&f, "x static names=bad%01/usr/bin/gitfatal%01/usr/x\n");
    fixture_image(&f, "");
    ck_assert(hints(&f, "x", QN_HINT_PREFIX, "/usr/bin/gitfatal"));
}
END_TEST

START_TEST(very_many)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 8u << 20};
    struct qn_err e;

    qn_ok(qn_buf_c(&b, "x elf names=/usr/a", &e), e);
    for (int i = 0; i < 40000; i++)
        qn_ok(qn_buf_printf(&b, &e, ",/usr/%d", i), e);
    qn_ok(qn_buf_c(&b, "\ny elf names=/usr/a,/usr/b,/usr/a,/usr/b,/usr/a\n", &e), e);
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    ck_assert(facts(&f, "x")->hints_cut);
    ck_assert_uint_le(facts(&f, "x")->hint_count, QN_HINTS_MAX);
    ck_assert_uint_eq(facts(&f, "y")->hint_count, 2);
}
END_TEST

Suite *suite_hints(void);
Suite *suite_hints(void)
{
    const TTest *const tests[] = {paths, libraries, commands, static_programs, very_many};
    return qn_suite("hints", tests, QN_ARRAY_LEN(tests));
}
