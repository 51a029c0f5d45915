/* What the texts of an application name. */
#include "image_fixture.h"
#include "image/dynamic.h"
#include "image/texts.h"

static bool names(const struct fixture *f, const char *path, enum qn_hint_kind kind, const char *text)
{
    const struct qn_text_facts *x = &f->image.tree.node[fixture_node(f, path)].data->named;
    for (uint32_t i = 0; i < x->hint_count; i++)
        if (x->hint[i].kind == kind && qn_str_eq_c(x->hint[i].text, text))
            return true;
    return false;
}

static bool command(const struct fixture *f, const char *path, const char *text)
{
    return names(f, path, QN_HINT_COMMAND, text);
}

START_TEST(code)
{
    auto_fixture f = {0};

    fixture_layer(&f, "app/a.py text=run(['jq',\"-n\"])\\nTOOL = \"gs\"\\nx='a/b | bc -l && exec dot'\\n"
                      "s='perl'\\nt=['ruby', '-e']\\nsubprocess.run(\"bash x\", shell=True)\\n# don't\\n"
                      "p=\"/usr/bin/convert\"\\n\n"
                      "app/b.py text=lib=CDLL(find_library('magic'))\\nCDLL('libz.so.1')\\n\n"
                      "app/node_modules/c/c.js text=exec('sh x')\\nspawn('tool')\\n\n"
                      "usr/lib/python3/dist-packages/d.py text='tool'\\n\n"
                      "app/e text=#!/usr/bin/env node\\nspawn('tool')\\nchild_process.exec('x')\\n\n");
    fixture_image(&f, "");
    ck_assert(command(&f, "app/a.py", "jq") && command(&f, "app/a.py", "gs") && command(&f, "app/a.py", "bc"));
    ck_assert(command(&f, "app/a.py", "dot") && command(&f, "app/a.py", "bash") && command(&f, "app/a.py", "/bin/sh"));
    ck_assert(command(&f, "app/a.py", "/usr/bin/convert") && command(&f, "app/a.py", "ruby"));
    /* The name of a language alone says nothing. */
    ck_assert(!command(&f, "app/a.py", "perl") && !names(&f, "app/a.py", QN_HINT_LIBRARY, "gs"));
    ck_assert(names(&f, "app/b.py", QN_HINT_LIBRARY, "magic") && names(&f, "app/b.py", QN_HINT_LIBRARY, "libz.so.1"));
    ck_assert(command(&f, "app/b.py", "ldconfig"));
    /* What is used may start programs; for a shell it must be the application that says so. */
    ck_assert(command(&f, "app/node_modules/c/c.js", "tool") && !command(&f, "app/node_modules/c/c.js", "sh"));
    ck_assert(!command(&f, "usr/lib/python3/dist-packages/d.py", "tool"));
    ck_assert(command(&f, "app/e", "tool") && command(&f, "app/e", "/bin/sh"));
}
END_TEST

/* What an application uses is full of names; they are programs where the same file starts some. */
START_TEST(dependencies)
{
    auto_fixture f = {0};

    fixture_layer(&f, "opt/venv/lib/python3.11/site-packages/lexer/names.py text=WORDS = ('jq', 'gs')\\n\n"
                      "opt/venv/lib/python3.11/site-packages/git/cmd.py text=import subprocess\\nX = ['jq']\\n\n"
                      "opt/venv/lib/python3.11/site-packages/x.yml text=cmd: jq\\n\n"
                      "app/names.py text=WORDS = ('jq', 'gs')\\n\n");
    fixture_image(&f, "");
    ck_assert(!command(&f, "opt/venv/lib/python3.11/site-packages/lexer/names.py", "jq"));
    ck_assert(command(&f, "opt/venv/lib/python3.11/site-packages/git/cmd.py", "jq"));
    ck_assert(!command(&f, "opt/venv/lib/python3.11/site-packages/x.yml", "jq"));
    ck_assert(command(&f, "app/names.py", "jq"));
}
END_TEST

START_TEST(settings)
{
    auto_fixture f = {0};

    fixture_layer(&f, "app/Procfile text=web: jq -n 1\\nclock: env X=1 bc\\n\n"
                      "app/s.conf text=; command=no\\n[program:b]\\ncommand=bash -c \"dd x | xxd -p\"\\n\n"
                      "app/c.yml text=run:\\n  - gs -q\\n  cmd: [\"dot\", \"-T\"]\\n\n");
    fixture_image(&f, "");
    ck_assert(command(&f, "app/Procfile", "jq") && command(&f, "app/Procfile", "bc"));
    ck_assert(command(&f, "app/s.conf", "bash") && command(&f, "app/s.conf", "dd") && command(&f, "app/s.conf", "xxd"));
    ck_assert(!command(&f, "app/s.conf", "no"));
    ck_assert(command(&f, "app/c.yml", "gs") && command(&f, "app/c.yml", "dot"));
}
END_TEST

/* A table of names is kept in mind, one without end is not. */
START_TEST(too_many)
{
    static const int counts[] = {5000, 60000, 70000};
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 16u << 20};
    struct qn_err e;
    char name[8] = "n0.py";

    for (size_t k = 0; k < QN_ARRAY_LEN(counts); k++) {
        qn_ok(qn_buf_printf(&b, &e, "n%zu.py text=", k), e);
        for (int i = 0; i < counts[k]; i++)
            qn_ok(qn_buf_printf(&b, &e, "'w%d'\\n", i), e);
        qn_ok(qn_buf_c(&b, "\n", &e), e);
    }
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    for (size_t k = 0; k < QN_ARRAY_LEN(counts); k++) {
        name[1] = (char)('0' + k);
        const struct qn_text_facts *x = &f.image.tree.node[fixture_node(&f, name)].data->named;
        ck_assert(x->hints_cut == ((uint32_t)counts[k] > QN_TEXT_HINTS_MAX));
        ck_assert_uint_eq(x->hint_count, QN_MIN((uint32_t)counts[k], QN_TEXT_HINTS_MAX));
    }
}
END_TEST

/* A layer full of tables: the later ones get less room, and none makes the scan fail. */
START_TEST(too_many_everywhere)
{
    qn_auto_arena struct qn_arena arena = {.limit = 8u << 20};
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_text_facts first, last;
    struct qn_err e;

    for (int i = 0; i < 20000; i++)
        qn_ok(qn_buf_printf(&b, &e, "'w%d'\n", i), e);
    qn_ok(qn_text_read(QN_STR("a.py"), QN_TEXT_CODE, qn_buf_view(&b), &arena, &first, &e), e);
    ck_assert(first.hint_count == 20000 && !first.hints_cut);
    for (int i = 0; i < 4; i++)
        qn_ok(qn_text_read(QN_STR("a.py"), QN_TEXT_CODE, qn_buf_view(&b), &arena, &last, &e), e);
    ck_assert(last.hint_count == 4096 && last.hints_cut);
}
END_TEST

#define DPKG_LISTED                                                                                                    \
    "var/lib/dpkg/status text=" DPKG_STATUS("tools",                                                                   \
                                            "") "\nvar/lib/dpkg/info/tools.list text=/usr/bin/jq\\n/usr/bin/bc"        \
                                                "\\n/usr/bin/bash\\n/usr/bin/sh\\n/usr/bin/make\\n/usr/lib/"           \
                                                "libmagic.so.1\\n/usr/lib/libmagick.so.1\\n/usr/bin/python3"           \
                                                "\\n/usr/bin/wrap\\n\n"
#define TOOLS                                                                                                          \
    "usr/bin/jq elf\nusr/bin/bc elf\nusr/bin/bash elf\nusr/bin/sh elf\nusr/bin/make elf\nusr/lib/libmagic.so.1 elf\n"  \
    "usr/lib/libmagick.so.1 elf\nusr/bin/python3 elf\nusr/bin/wrap text=#!/bin/sh\\nexec \"$@\"\\n\n" DPKG_LISTED

START_TEST(reached)
{
    auto_fixture f = {0};

    fixture_layer(&f, TOOLS "app/a.py text=run(['jq', 'make'])\\nCDLL(find_library('magic'))\\n\n"
                            "run text=#!/usr/bin/wrap bash\\nbc x\\n\n");
    fixture_image(&f, "'Cmd':['python3','/app/a.py']");
    ck_assert(fixture_reached(&f, "usr/bin/jq") && fixture_reached(&f, "usr/bin/bash"));
    ck_assert(fixture_reached(&f, "usr/bin/bc") && fixture_reached(&f, "usr/lib/libmagic.so.1"));
    ck_assert(!fixture_reached(&f, "usr/lib/libmagick.so.1") && !fixture_reached(&f, "usr/bin/make"));
}
END_TEST

START_TEST(variables)
{
    auto_fixture f = {0};
    struct qn_str where, what;

    fixture_layer(&f, TOOLS);
    fixture_image(&f, "'Cmd':['sh','-c','exec $TOOL $ARGS'],'Env':['TOOL=jq -n','ARGS=1']");
    ck_assert(fixture_reached(&f, "usr/bin/jq") && !fixture_reached(&f, "usr/bin/bc"));
    ck_assert(!qn_image_dynamic(&f.image, &where, &what));
    auto_fixture g = {0};
    fixture_layer(&g, TOOLS);
    fixture_image(&g, "'Cmd':['sh','-c','exec $TOOL $ARGS'],'Env':['ARGS=1']");
    ck_assert(qn_image_dynamic(&g.image, &where, &what) && where.n == 0);
}
END_TEST

Suite *suite_texts(void);
Suite *suite_texts(void)
{
    const TTest *tests[] = {code, dependencies, settings, too_many, too_many_everywhere, reached, variables};
    return qn_suite("texts", tests, QN_ARRAY_LEN(tests));
}
