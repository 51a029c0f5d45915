/* What compiled and packed parts of an application name, and the formats that they come in. */
#include "formats/classfile.h"
#include "formats/zip.h"
#include "image/packed.h"
#include "unit.h"

#include <stdlib.h>
#include <zlib.h>

static void put(struct qn_buf *b, const void *p, size_t n)
{
    struct qn_err e;
    qn_ok(qn_buf_put(b, p, n, &e), e);
}

/* Numbers of `n` bytes, the lowest or the highest first. */
static void number(struct qn_buf *b, uint32_t v, unsigned n, bool low_first)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned char c = (unsigned char)(v >> 8 * (low_first ? i : n - 1 - i));
        put(b, &c, 1);
    }
}

/* A class whose constants are UTF8 texts; those behind the NULL are strings of its program as well. */
static void make_class(struct qn_buf *b, const char *const *texts)
{
    uint32_t n = 0, strings = 0;

    b->max = 1u << 20;
    for (size_t i = 0, later = 0; i < 16 && (texts[i] || !later); i++) {
        later += texts[i] == NULL;
        n += texts[i] != NULL;
        strings += texts[i] && later;
    }
    number(b, 0xcafebabe, 4, false);
    number(b, 61, 4, false);
    number(b, n + strings + 3, 2, false);
    put(b, "\5\0\0\0\0\0\0\0\1", 9); /* a long takes two numbers */
    for (size_t i = 0, later = 0; i < 16 && (texts[i] || !later); i++) {
        later += texts[i] == NULL;
        if (!texts[i])
            continue;
        put(b, "\1", 1);
        number(b, (uint32_t)strlen(texts[i]), 2, false);
        put(b, texts[i], strlen(texts[i]));
    }
    for (uint32_t i = 0; i < strings; i++) {
        put(b, "\10", 1);
        number(b, 3 + n - strings + i, 2, false);
    }
}

struct file {
    const char *name;
    struct qn_str bytes;
};

static void make_zip(struct qn_buf *b, const struct file *files, size_t count, bool packed)
{
    qn_auto_buf struct qn_buf dir = {.max = 1u << 20};

    b->max = 4u << 20;
    for (size_t i = 0; i < count; i++) {
        unsigned char out[8192];
        z_stream s = {.next_in = (unsigned char *)(uintptr_t)files[i].bytes.p,
                      .avail_in = (unsigned)files[i].bytes.n,
                      .next_out = out,
                      .avail_out = sizeof out};
        struct qn_str data = files[i].bytes;
        if (packed) {
            ck_assert_int_eq(deflateInit2(&s, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
            ck_assert_int_eq(deflate(&s, Z_FINISH), Z_STREAM_END);
            data = qn_str_n(out, sizeof out - s.avail_out);
            (void)deflateEnd(&s);
        }
        size_t at = b->n, name = strlen(files[i].name);
        const uint32_t fields[] = {20, 0, packed ? 8 : 0, 0, 0};
        for (int central = 0; central < 2; central++) {
            struct qn_buf *to = central ? &dir : b;
            number(to, central ? 0x02014b50 : 0x04034b50, 4, true);
            if (central)
                number(to, 20, 2, true);
            for (size_t k = 0; k < QN_ARRAY_LEN(fields); k++)
                number(to, fields[k], 2, true);
            number(to, 0, 4, true);
            number(to, (uint32_t)data.n, 4, true);
            number(to, (uint32_t)files[i].bytes.n, 4, true);
            number(to, (uint32_t)name, 2, true);
            number(to, 0, 2, true);
            if (central) {
                put(to, "\0\0\0\0\0\0\0\0\0", 10);
                number(to, (uint32_t)at, 4, true);
            }
            put(to, files[i].name, name);
        }
        put(b, data.p, data.n);
    }
    uint32_t begin = (uint32_t)b->n;
    put(b, dir.p, dir.n);
    number(b, 0x06054b50, 4, true);
    number(b, 0, 4, true);
    number(b, (uint32_t)count, 2, true);
    number(b, (uint32_t)count, 2, true);
    number(b, (uint32_t)dir.n, 4, true);
    number(b, begin, 4, true);
    number(b, 0, 2, true);
}

/* Whether a file names a command. */
static bool names(const char *path, struct qn_str bytes, const char *command)
{
    struct qn_arena arena;
    struct qn_text_facts out = {0};
    struct qn_mentions m = {{0, 0}};
    struct qn_err e;
    bool found = false;

    qn_arena_init(&arena, 1u << 20);
    ck_assert(qn_packed(qn_str_c(path), bytes));
    qn_ok(qn_packed_read(qn_str_c(path), bytes, &arena, &out, &m, &e), e);
    for (uint32_t i = 0; i < out.hint_count; i++)
        found = found || qn_str_eq_c(out.hint[i].text, command);
    found = found || qn_mentions_has(&m, qn_tool_find(qn_str_c(command)));
    qn_arena_fini(&arena);
    return found;
}

static const char *const starter[16] = {"java/lang/ProcessBuilder", "unsaid", NULL, "sh", "-c", "jq -n 1", "curl"};
static const char *const other[16] = {"java/lang/Object", NULL, "bc", "convert -x"};
static const char *const harmless[16] = {"java/lang/Object", NULL, "gs -x"};

START_TEST(jars)
{
    qn_auto_buf struct qn_buf a = {0}, b = {0}, c = {0}, lib = {0}, app = {0}, plain = {0}, script = {0};

    make_class(&a, starter);
    make_class(&b, other);
    make_class(&c, harmless);
    for (int packed = 0; packed < 2; packed++) {
        qn_auto_buf struct qn_buf zip = {0};
        const struct file files[] = {
            {"META-INF/MANIFEST.MF", QN_STR("x")}, {"A.class", qn_buf_view(&a)}, {"B.class", qn_buf_view(&b)}};
        make_zip(&zip, files, 3, packed);
        struct qn_str bytes = qn_buf_view(&zip);
        ck_assert(names("app/x.jar", bytes, "sh") && names("app/x.jar", bytes, "jq") &&
                  names("app/x.jar", bytes, "curl"));
        ck_assert(names("app/x.jar", bytes, "bc") && names("app/x.jar", bytes, "convert"));
        ck_assert(!names("app/x.jar", bytes, "unsaid"));
        /* Every shorter archive, and every damaged one, ends. */
        for (size_t n = 2; n < bytes.n; n++)
            (void)names("app/x.jar", qn_str_head(bytes, n), "sh");
        for (size_t i = 2; i < bytes.n; i++) {
            zip.p[i] = (char)~zip.p[i];
            (void)names("app/x.jar", bytes, "sh");
            zip.p[i] = (char)~zip.p[i];
        }
    }
    const struct file inner[] = {{"A.class", qn_buf_view(&a)}}, none[] = {{"C.class", qn_buf_view(&c)}};
    make_zip(&lib, inner, 1, true);
    make_zip(&plain, none, 1, true);
    /* Nothing starts programs: texts are texts. */
    ck_assert(!names("app/x.jar", qn_buf_view(&plain), "gs"));
    const struct file outer[] = {{"BOOT-INF/lib/a.jar", qn_buf_view(&lib)}, {"C.class", qn_buf_view(&c)}};
    make_zip(&app, outer, 2, false);
    ck_assert(names("app/x.jar", qn_buf_view(&app), "jq"));
    ck_assert(!names("app/x.jar", qn_buf_view(&app), "gs"));
    /* What an application uses may run command lines; whether this one makes it is not known. */
    ck_assert(!names("app/x.jar", qn_buf_view(&app), "sh"));
    /* A script that starts the archive behind it. */
    script.max = 4u << 20;
    put(&script, "#!/bin/sh\nexec java -jar $0\n", 28);
    put(&script, lib.p, lib.n);
    ck_assert(names("app/x.jar", qn_buf_view(&script), "sh"));
}
END_TEST

START_TEST(other_code)
{
    static const char python[] = "\xa7\r\r\n\0\0\0\0\xe3\xda\x0asubprocess\xfa\x03tar\x7a\x0bzstd -q abc\xda\x02\x01z";
    static const char assembly[] = "MZ\0\0ProcessStartInfo\0\0g\0s\0\1\0/\0b\0i\0n\0/\0s\0h\0\0\0";
    qn_auto_buf struct qn_buf a = {0};

    make_class(&a, starter);
    ck_assert(names("app/A.class", qn_buf_view(&a), "jq"));
    ck_assert(names("app/m.pyc", qn_str_n(python, sizeof python - 1), "tar"));
    ck_assert(names("app/m.pyc", qn_str_n(python, sizeof python - 1), "zstd"));
    ck_assert(!names("app/m.pyc", qn_str_n(python + 9, 2), "tar"));
    ck_assert(names("app/x.dll", qn_str_n(assembly, sizeof assembly - 1), "/bin/sh"));
    ck_assert(names("app/x.dll", qn_str_n(assembly, sizeof assembly - 1), "gs"));
    ck_assert(names("app/x.phar", QN_STR("<?php exec('jq -n 1'); \0\1"), "jq"));
    ck_assert(!qn_packed(QN_STR("app/__pycache__/m.pyc"), QN_STR("\xa7\r\r\n")));
    ck_assert(!qn_packed(QN_STR("usr/share/java/x.jar"), QN_STR("PK\3\4")));
    ck_assert(!qn_packed(QN_STR("app/x.jar"), QN_STR("text")));
}
END_TEST

Suite *suite_packed(void);
Suite *suite_packed(void)
{
    const TTest *const tests[] = {jars, other_code};
    return qn_suite("packed", tests, QN_ARRAY_LEN(tests));
}
