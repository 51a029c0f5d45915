/* passwd files, os-release and "#!" lines. */
#include "formats/osrelease.h"
#include "formats/passwd.h"
#include "formats/shebang.h"
#include "unit.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "# comment\n"
                             "\n"
                             "short:x\n"
                             "nobody:*:65534:65534\n"
                             "app:x:1000:1000:a,b:/app:/bin/sh:extra\n"
                             "big:x:99999999999:0:::\n"
                             "last:x:7:7:::/bin/false";

START_TEST(rows_untouched)
{
    qn_auto_rows struct qn_rows r = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    uint32_t id;

    qn_buf_init(&b, 4096);
    qn_ok(qn_rows_parse(QN_ROWS_PASSWD, qn_str_c(passwd), &r, &e), e);
    qn_ok(qn_rows_print(&r, &b, &e), e);
    ck_assert_str_eq(b.p, passwd);
    ck_assert(!r.changed);
    ck_assert(!qn_rows_find(&r, QN_STR("short")));
    ck_assert(!qn_rows_find(&r, QN_STR("# comment")));
    qn_is(qn_rows_find(&r, QN_STR("app"))->field[QN_PW_SHELL], "/bin/sh:extra");
    qn_is(qn_rows_find_id(&r, 65534)->field[0], "nobody");
    ck_assert(!qn_rows_find_id(&r, 12345));
    ck_assert(!qn_row_number(qn_rows_find(&r, QN_STR("big")), QN_PW_UID, &id));
}
END_TEST

START_TEST(rows_edited)
{
    qn_auto_rows struct qn_rows r = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    const struct qn_str fresh[] = {QN_STR("nonroot"), QN_STR("*"), QN_STR("65532"),     QN_STR("65532"),
                                   QN_STR(""),        QN_STR("/"), QN_STR("/bin/false")};

    qn_buf_init(&b, 4096);
    qn_ok(qn_rows_parse(QN_ROWS_PASSWD, qn_str_c(passwd), &r, &e), e);
    qn_ok(qn_rows_set(&r, qn_rows_find(&r, QN_STR("root")), QN_PW_SHELL, QN_STR("/x"), &e), e);
    qn_rows_drop(&r, qn_rows_find(&r, QN_STR("app")));
    ck_assert(!qn_rows_find(&r, QN_STR("app")));
    qn_fails(qn_rows_set(&r, qn_rows_find(&r, QN_STR("nobody")), QN_PW_SHELL, QN_STR("/x"), &e), e, QN_E_MALFORMED);
    qn_fails(qn_rows_set(&r, qn_rows_find(&r, QN_STR("root")), QN_PW_SHELL, QN_STR("a:b"), &e), e, QN_E_MALFORMED);
    qn_fails(qn_rows_set(&r, qn_rows_find(&r, QN_STR("root")), QN_PW_SHELL, QN_STR("a\nb"), &e), e, QN_E_MALFORMED);
    qn_ok(qn_rows_append(&r, fresh, 7, &e), e);
    qn_ok(qn_rows_print(&r, &b, &e), e);
    ck_assert_str_eq(b.p, "root:x:0:0:root:/root:/x\n# comment\n\nshort:x\nnobody:*:65534:65534\n"
                          "big:x:99999999999:0:::\nlast:x:7:7:::/bin/false\nnonroot:*:65532:65532::/:/bin/false\n");
    ck_assert(r.changed);
}
END_TEST

START_TEST(rows_other_files)
{
    qn_auto_rows struct qn_rows g = {0}, s = {0};
    struct qn_err e;

    qn_ok(qn_rows_parse(QN_ROWS_GROUP, QN_STR("wheel:x:10:a,b\nx:x:11\n"), &g, &e), e);
    ck_assert(qn_rows_list_has(qn_rows_find(&g, QN_STR("wheel"))->field[QN_GR_MEMBERS], QN_STR("b")));
    ck_assert(!qn_rows_list_has(qn_rows_find(&g, QN_STR("x"))->field[QN_GR_MEMBERS], QN_STR("")));
    qn_is(qn_rows_find_id(&g, 11)->field[0], "x");
    qn_ok(qn_rows_parse(QN_ROWS_SHADOW, QN_STR("root:$y$abc:19000:0:99999:7:::\n"), &s, &e), e);
    ck_assert_uint_eq(s.row[0].fields, 9);
    ck_assert(!qn_rows_find_id(&s, 19000));
}
END_TEST

START_TEST(rows_empty_and_huge)
{
    qn_auto_rows struct qn_rows r = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    char *at;

    qn_ok(qn_rows_parse(QN_ROWS_PASSWD, QN_STR(""), &r, &e), e);
    ck_assert_uint_eq(r.n, 0);
    qn_buf_init(&b, 1u << 20);
    qn_ok(qn_buf_reserve(&b, 200000, &at, &e), e);
    memset(at, '\n', 200000);
    qn_fails(qn_rows_parse(QN_ROWS_PASSWD, qn_str_n(at, 200000), &r, &e), e, QN_E_LIMIT);
}
END_TEST

START_TEST(os_release)
{
    struct qn_osrelease o;
    char small[4];

    qn_osrelease_parse(
        QN_STR("PRETTY_NAME=\"A \\\"B\\\" C\"\nID=Debian\n# ID=no\nVERSION_ID='12'\nNAME=x\\ y\nID_LIKE=\"bad\n"), &o);
    ck_assert_str_eq(o.id, "debian");
    ck_assert_str_eq(o.version_id, "12");
    ck_assert_str_eq(o.pretty_name, "A \"B\" C");
    ck_assert_str_eq(o.name, "x y");
    ck_assert_str_eq(o.id_like, "");
    ck_assert_str_eq(o.variant_id, "");
    ck_assert(!qn_osrelease_get(QN_STR("ID=toolong"), "ID", small, sizeof small));
    ck_assert(qn_osrelease_get(QN_STR("ID=a\nID=b"), "ID", small, sizeof small));
    ck_assert_str_eq(small, "b");
    ck_assert(!qn_osrelease_get(QN_STR("XID=a"), "ID", small, sizeof small));
}
END_TEST

static void shebang_is(const char *text, const char *interpreter, const char *argument, const char *program)
{
    struct qn_shebang s;

    ck_assert_msg(qn_shebang_parse(qn_str_c(text), &s), "%s", text);
    qn_is(s.interpreter, interpreter);
    qn_is(s.argument, argument);
    qn_is(s.program, program);
}

START_TEST(shebangs)
{
    struct qn_shebang s;

    shebang_is("#!/bin/sh\nx", "/bin/sh", "", "");
    shebang_is("#! /bin/sh -e \t\n", "/bin/sh", "-e", "");
    shebang_is("#!/bin/sh", "/bin/sh", "", "");
    shebang_is("#!/bin/sh\r\n", "/bin/sh", "", "");
    shebang_is("#!/usr/bin/env python3\n", "/usr/bin/env", "python3", "python3");
    shebang_is("#!/usr/bin/env -S python3 -u\n", "/usr/bin/env", "-S python3 -u", "python3");
    shebang_is("#!/usr/bin/env -Spython3 -u\n", "/usr/bin/env", "-Spython3 -u", "python3");
    shebang_is("#!/usr/bin/env -S -u X A=b \"perl\" -w\n", "/usr/bin/env", "-S -u X A=b \"perl\" -w", "perl");
    shebang_is("#!/usr/bin/env -S A=b node\n", "/usr/bin/env", "-S A=b node", "node");
    shebang_is("#!/usr/bin/env -i\n", "/usr/bin/env", "-i", "");
    shebang_is("#!/bin/busybox sh\n", "/bin/busybox", "sh", "");
    ck_assert(!qn_shebang_parse(QN_STR("#!\n/bin/sh"), &s));
    ck_assert(!qn_shebang_parse(QN_STR("# /bin/sh"), &s));
    ck_assert(!qn_shebang_parse(QN_STR("#"), &s));
    ck_assert(!qn_shebang_parse(QN_STR(""), &s));
}
END_TEST

Suite *suite_accounts(void)
{
    const TTest *const tests[] = {rows_untouched,      rows_edited, rows_other_files,
                                  rows_empty_and_huge, os_release,  shebangs};
    return qn_suite("accounts", tests, QN_ARRAY_LEN(tests));
}
