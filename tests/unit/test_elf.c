#include "base/buf.h"
#include "base/fd.h"
#include "formats/elf.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>

/* Writes a small ELF file: header, program headers, then the parts that a test wants. */
struct maker {
    uint8_t b[4096];
    bool is64, big;
};

static void put(struct maker *m, size_t at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        m->b[at + i] = (uint8_t)(v >> 8 * (m->big ? bytes - 1 - i : i));
}

static void put_word(struct maker *m, size_t *at, uint64_t v)
{
    unsigned n = m->is64 ? 8 : 4;
    put(m, *at, v, n);
    *at += n;
}

static void put_segment(struct maker *m, unsigned i, uint32_t type, uint64_t off, uint64_t addr, uint64_t size)
{
    size_t at = (m->is64 ? 64 : 52) + i * (m->is64 ? 56u : 32u);

    put(m, at, type, 4);
    at += m->is64 ? 8 : 4;
    put_word(m, &at, off);
    put_word(m, &at, addr);
    put_word(m, &at, 0);
    put_word(m, &at, size);
    put_word(m, &at, size);
    if (!m->is64)
        at += 4;
    put_word(m, &at, 4);
}

#define BASE    0x10000u
#define STRTAB  0x300u
#define DYNAMIC 0x400u
#define SYMTAB  0x500u
#define INTERP  0x700u
#define NOTE    0x780u
#define END     0x1000u

static size_t add_text(struct maker *m, size_t *next, const char *s)
{
    size_t at = *next;
    memcpy(m->b + STRTAB + at, s, strlen(s) + 1);
    *next += strlen(s) + 1;
    return at;
}

static void add_dynamic(struct maker *m, size_t *at, uint64_t tag, uint64_t value)
{
    put_word(m, at, tag);
    put_word(m, at, value);
}

static void add_symbol(struct maker *m, unsigned i, size_t name, unsigned section)
{
    size_t size = m->is64 ? 24 : 16, at = SYMTAB + i * size;
    put(m, at, name, 4);
    put(m, at + (m->is64 ? 6 : 14), section, 2);
}

static void make(struct maker *m, bool is64, bool big)
{
    static const char note[] = "[{\"soname\":[\"libx.so.1\"]}]";
    size_t at, text = 1;

    memset(m, 0, sizeof *m);
    m->is64 = is64;
    m->big = big;
    memcpy(m->b, "\177ELF", 4);
    m->b[4] = is64 ? 2 : 1;
    m->b[5] = big ? 2 : 1;
    put(m, 16, 3, 2);
    put(m, 18, 8, 2);
    at = 24;
    put_word(m, &at, 0);
    put_word(m, &at, is64 ? 64 : 52);
    put_word(m, &at, 0);
    put(m, at, 0x1234, 4);
    put(m, at + 6, is64 ? 56 : 32, 2);
    put(m, at + 8, 4, 2);
    put_segment(m, 0, 1, 0, BASE, END);
    put_segment(m, 1, 2, DYNAMIC, BASE + DYNAMIC, 16 * 10);
    put_segment(m, 2, 3, INTERP, BASE + INTERP, 16);
    put_segment(m, 3, 4, NOTE, BASE + NOTE, 12 + 4 + sizeof note);
    memcpy(m->b + INTERP, "/lib/ld.so.1", 13);
    put(m, NOTE, 4, 4);
    put(m, NOTE + 4, sizeof note, 4);
    put(m, NOTE + 8, 0x407c0c0a, 4);
    memcpy(m->b + NOTE + 12, "FDO", 4);
    memcpy(m->b + NOTE + 16, note, sizeof note);
    at = DYNAMIC;
    add_dynamic(m, &at, 1, add_text(m, &text, "liba.so.1"));
    add_dynamic(m, &at, 1, add_text(m, &text, "libb.so.2"));
    add_dynamic(m, &at, 14, add_text(m, &text, "self.so"));
    add_dynamic(m, &at, 29, add_text(m, &text, "$ORIGIN/x"));
    add_symbol(m, 1, add_text(m, &text, "popen"), 0);
    add_symbol(m, 2, add_text(m, &text, "mine"), 5);
    add_symbol(m, 3, add_text(m, &text, "setuid"), 0);
    add_symbol(m, 4, add_text(m, &text, "system"), 7);
    add_dynamic(m, &at, 5, BASE + STRTAB);
    add_dynamic(m, &at, 10, text);
    add_dynamic(m, &at, 6, BASE + SYMTAB);
    /* DT_HASH: one bucket, five symbols. */
    put(m, 0x900, 1, 4);
    put(m, 0x904, 5, 4);
    add_dynamic(m, &at, 4, BASE + 0x900);
}

static void check_made(const struct maker *m)
{
    struct qn_elf f;
    struct qn_err e;
    struct qn_str s;
    size_t at = 0;

    qn_ok(qn_elf_parse(qn_str_n(m->b, END), &f, &e), e);
    ck_assert(f.is64 == m->is64 && f.big_endian == m->big && f.type == 3 && f.machine == 8 && f.flags == 0x1234);
    ck_assert(f.dynamic && !f.is_static);
    qn_is(f.interp, "/lib/ld.so.1");
    qn_is(f.soname, "self.so");
    qn_is(f.runpath, "$ORIGIN/x");
    qn_is(f.rpath, "");
    ck_assert(qn_elf_needed_next(&f, &at, &s));
    qn_is(s, "liba.so.1");
    ck_assert(qn_elf_needed_next(&f, &at, &s));
    qn_is(s, "libb.so.2");
    ck_assert(!qn_elf_needed_next(&f, &at, &s));
    ck_assert_uint_eq(f.imports, QN_ELF_POPEN | QN_ELF_SETUID);
    at = 0;
    ck_assert(qn_elf_dlopen_next(&f, &at, &s));
    qn_is(s, "[{\"soname\":[\"libx.so.1\"]}]");
    ck_assert(!qn_elf_dlopen_next(&f, &at, &s));
}

START_TEST(every_class_and_order)
{
    struct maker m;

    for (unsigned i = 0; i < 4; i++) {
        make(&m, i & 1, i & 2);
        check_made(&m);
    }
}
END_TEST

START_TEST(strings)
{
    struct qn_elf_strings it = {0};
    struct maker m;
    struct qn_elf f;
    struct qn_err e;
    struct qn_str s;
    bool interp = false, needed = false;

    make(&m, true, false);
    memcpy(m.b + 0xa00, "/usr/lib/\x01plug\0ab\0", 18);
    qn_ok(qn_elf_parse(qn_str_n(m.b, END), &f, &e), e);
    while (qn_elf_string_next(&f, &it, 4, &s)) {
        ck_assert_uint_ge(s.n, 4);
        interp |= qn_str_eq_c(s, "/lib/ld.so.1");
        needed |= qn_str_eq_c(s, "liba.so.1");
        ck_assert(!qn_str_eq_c(s, "/usr/lib/"));
    }
    ck_assert(interp && needed);
}
END_TEST

/* Exact-size copies, so that the sanitizer sees every read beyond. */
static void parse_all(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    struct qn_elf_strings it = {0};
    struct qn_elf f;
    struct qn_err e;
    struct qn_str s;
    size_t at;

    memcpy(copy, p, n);
    if (qn_elf_parse(qn_str_n(copy, n), &f, &e) == 0) {
        for (at = 0; qn_elf_needed_next(&f, &at, &s);)
            ck_assert(s.n > 0);
        for (at = 0; qn_elf_dlopen_next(&f, &at, &s);)
            ck_assert(s.p);
        while (qn_elf_string_next(&f, &it, 1, &s))
            ck_assert(s.n > 0);
    }
    free(copy);
}

START_TEST(cut_and_flipped)
{
    struct maker m;

    for (unsigned k = 0; k < 4; k++) {
        make(&m, k & 1, k & 2);
        for (size_t n = 0; n < 0xa00; n += 3)
            parse_all(m.b, n);
        for (size_t i = 0; i < 0x600; i++) {
            uint8_t old = m.b[i];
            m.b[i] = 0xff;
            parse_all(m.b, END);
            m.b[i] = old;
        }
    }
}
END_TEST

START_TEST(refused)
{
    struct maker m;
    struct qn_elf f;
    struct qn_err e;

    qn_fails(qn_elf_parse(QN_STR(""), &f, &e), e, QN_E_MALFORMED);
    qn_fails(qn_elf_parse(QN_STR("\177ELF"), &f, &e), e, QN_E_MALFORMED);
    make(&m, true, false);
    m.b[4] = 3;
    qn_fails(qn_elf_parse(qn_str_n(m.b, END), &f, &e), e, QN_E_MALFORMED);
    make(&m, true, false);
    put(&m, 32, 0xfffffffffffffff0u, 8);
    qn_fails(qn_elf_parse(qn_str_n(m.b, END), &f, &e), e, QN_E_MALFORMED);
    make(&m, true, false);
    put_segment(&m, 1, 2, 0xfff, BASE, 0xffffffffffffffffu);
    qn_fails(qn_elf_parse(qn_str_n(m.b, END), &f, &e), e, QN_E_MALFORMED);
    ck_assert(qn_elf_is(QN_STR("\177ELFx")) && !qn_elf_is(QN_STR("\177EL")));
}
END_TEST

START_TEST(this_program)
{
    qn_auto_mapped struct qn_mapped map = {0};
    qn_auto_close int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct qn_elf_strings it = {0};
    struct qn_elf f;
    struct qn_err e;
    struct qn_str s;
    bool libc = false, marker = false;

    ck_assert_int_ge(fd, 0);
    qn_ok(qn_fd_map(fd, 1u << 30, &map, &e), e);
    qn_ok(qn_elf_parse(qn_str_n(map.p, map.n), &f, &e), e);
    ck_assert(f.dynamic && !f.is_static && f.interp.n > 0);
    for (size_t at = 0; qn_elf_needed_next(&f, &at, &s);)
        libc |= qn_str_starts(s, QN_STR("libc.so"));
    while (qn_elf_string_next(&f, &it, 4, &s))
        marker |= qn_str_eq_c(s, "/proc/self/exe");
    ck_assert(libc && marker);
    ck_assert(f.imports & QN_ELF_EXEC || f.imports & QN_ELF_LOCALE);
}
END_TEST

Suite *suite_elf(void)
{
    const TTest *const tests[] = {every_class_and_order, strings, cut_and_flipped, refused, this_program};
    return qn_suite("elf", tests, QN_ARRAY_LEN(tests));
}
