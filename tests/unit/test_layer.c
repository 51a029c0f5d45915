#include "image_fixture.h"

#include <stdlib.h>

static const char *const rich = "usr/bin/dash 4755 elf needs=libc.so.6,libm.so.6 soname=x rpath=/a runpath=$ORIGIN/b "
                                "import=system,execve,setuid\n"
                                "usr/bin/dash2 => usr/bin/dash\n"
                                "bin -> usr/bin\n"
                                "etc/passwd 0644 uid=1 gid=2 mtime=1700000000 text=root:x:0:0::/root:/bin/sh\\n\n"
                                "run.sh text=#!/usr/bin/env -S python3 -u\\nimport os\n"
                                "big 0600 sparse=100000 text=data\n"
                                "dev/x char 1:3\n"
                                "etc/.wh.group\n"
                                "var/.wh..wh..opq\n"
                                "ping caps elf\n";

static struct qn_entry *entry(struct fixture *f, const char *path)
{
    for (size_t i = 0; i < f->layer[0].count; i++)
        if (qn_str_eq_c(f->layer[0].entry[i].path, path))
            return &f->layer[0].entry[i];
    ck_abort_msg("no entry %s", path);
}

START_TEST(everything_survives)
{
    auto_fixture f = {0};

    fixture_layer(&f, rich);
    const struct qn_entry *n = entry(&f, "usr/bin/dash");
    ck_assert_int_eq(n->type, QN_FILE);
    ck_assert_int_eq(n->content, QN_ELF);
    ck_assert_uint_eq(n->mode, 04755);
    ck_assert(n->elf.class == 2 && n->elf.data == 1 && n->elf.machine == 62 && n->elf.type == 3 && !n->elf.is_static);
    ck_assert_uint_eq(n->elf.imports, QN_IMPORT_SHELL | QN_IMPORT_EXEC | QN_IMPORT_SETUID);
    ck_assert_uint_eq(n->elf.needed_count, 2);
    qn_is(n->elf.needed[0], "libc.so.6");
    qn_is(n->elf.needed[1], "libm.so.6");
    qn_is(n->elf.soname, "x");
    qn_is(n->elf.rpath, "/a");
    qn_is(n->elf.runpath, "$ORIGIN/b");
    n = entry(&f, "usr/bin/dash2");
    ck_assert_int_eq(n->type, QN_HARDLINK);
    qn_is(n->link, "usr/bin/dash");
    ck_assert_ptr_eq(qn_layer_data(&f.layer[0], n), entry(&f, "usr/bin/dash"));
    n = entry(&f, "bin");
    ck_assert_int_eq(n->type, QN_SYMLINK);
    qn_is(n->link, "usr/bin");
    n = entry(&f, "etc/passwd");
    ck_assert(n->captured && n->uid == 1 && n->gid == 2 && n->mtime == 1700000000);
    qn_is(n->text, "root:x:0:0::/root:/bin/sh\n");
    n = entry(&f, "run.sh");
    ck_assert_int_eq(n->content, QN_SCRIPT);
    qn_is(n->script.interpreter, "/usr/bin/env");
    qn_is(n->script.program, "python3");
    n = entry(&f, "big");
    ck_assert(n->sparse && n->size == 100000 && n->segments == 2 && !n->captured);
    ck_assert(n->segment[0].off == 512 && n->segment[0].len == 4);
    n = entry(&f, "dev/x");
    ck_assert(n->type == QN_CHAR && n->dev_major == 1 && n->dev_minor == 3);
    ck_assert_int_eq(entry(&f, "etc/group")->type, QN_WHITEOUT);
    ck_assert(entry(&f, "ping")->caps);
    size_t opaque = 0;
    for (size_t i = 0; i < f.layer[0].count; i++)
        opaque += f.layer[0].entry[i].type == QN_OPAQUE && qn_str_eq_c(f.layer[0].entry[i].path, "var");
    ck_assert_uint_eq(opaque, 1);
}
END_TEST

START_TEST(sorted_and_numbered)
{
    auto_fixture f = {0};

    fixture_layer(&f, rich);
    const struct qn_layer_index *ix = &f.layer[0];
    for (size_t i = 1; i < ix->count; i++)
        ck_assert_int_lt(qn_entry_cmp(&ix->entry[i - 1], &ix->entry[i]), 0);
    ck_assert_uint_eq(ix->tail + 1024, ix->size);
    ck_assert_uint_eq(ix->size, f.tar[0].n);
    struct qn_digest d = qn_digest_of(qn_buf_view(&f.tar[0]));
    ck_assert(qn_digest_eq(&d, &ix->diff_id));
}
END_TEST

START_TEST(same_bytes_each_time)
{
    auto_fixture a = {0}, b = {0};

    fixture_layer(&a, rich);
    fixture_layer(&b, rich);
    ck_assert(qn_str_eq(qn_buf_view(&a.facts[0]), qn_buf_view(&b.facts[0])));
}
END_TEST

static int decode(struct qn_str file, struct qn_err *e)
{
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_layer_index ix;

    qn_arena_init(&arena, 16u << 20);
    return qn_layer_decode(file, &arena, &ix, e);
}

START_TEST(truncated)
{
    auto_fixture f = {0};
    struct qn_err e;

    fixture_layer(&f, rich);
    for (size_t n = 0; n < f.facts[0].n; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, f.facts[0].p, n);
        qn_fails(decode(qn_str_n(copy, n), &e), e, QN_E_MALFORMED);
        free(copy);
    }
}
END_TEST

START_TEST(flipped)
{
    auto_fixture f = {0};
    struct qn_err e;
    size_t refused = 0;

    fixture_layer(&f, rich);
    for (size_t i = 0; i < f.facts[0].n; i++)
        for (unsigned bit = 0; bit < 8; bit += 3) {
            f.facts[0].p[i] = (char)(f.facts[0].p[i] ^ 1 << bit);
            if (decode(qn_buf_view(&f.facts[0]), &e) < 0) {
                ck_assert(e.code == QN_E_MALFORMED || e.code == QN_E_LIMIT);
                refused++;
            }
            f.facts[0].p[i] = (char)(f.facts[0].p[i] ^ 1 << bit);
        }
    ck_assert_uint_gt(refused, 1000);
}
END_TEST

/* Encodes the layer after a change that a decoder must refuse. */
static void refuse(void (*change)(struct fixture *f), const char *why)
{
    auto_fixture f = {0};
    struct qn_err e;
    qn_auto_buf struct qn_buf out = {.max = 1u << 20};

    fixture_layer(&f, rich);
    change(&f);
    struct qn_layer_index *ix = &f.layer[0];
    uint64_t *text_at = calloc(ix->count, sizeof *text_at), at = 0;
    for (size_t i = 0; i < ix->count; i++)
        if (ix->entry[i].text.n) {
            text_at[i] = at;
            qn_ok(qn_buf_str(&out, ix->entry[i].text, &e), e);
            at += ix->entry[i].text.n;
        }
    struct qn_sink sink = {(int (*)(void *, const void *, size_t, struct qn_err *))qn_buf_put, &out};
    qn_ok(qn_layer_encode(ix, text_at, at, &sink, &e), e);
    free(text_at);
    int r = decode(qn_buf_view(&out), &e);
    ck_assert_msg(change == NULL || r < 0, "%s: accepted", why);
    if (r < 0)
        ck_assert_msg(e.code == QN_E_MALFORMED && strstr(e.msg, why), "%s instead of %s", e.msg, why);
}

static void other_seq(struct fixture *f)
{
    entry(f, "etc/passwd")->seq = 100000;
}
static void same_seq(struct fixture *f)
{
    entry(f, "etc/passwd")->seq = entry(f, "bin")->seq;
}
static void overlap(struct fixture *f)
{
    entry(f, "etc/passwd")->begin -= 512;
}
static void behind_tail(struct fixture *f)
{
    f->layer[0].tail -= 512;
}
static void unsorted(struct fixture *f)
{
    entry(f, "etc/passwd")->path = QN_STR("zzz");
}
static void climbing(struct fixture *f)
{
    entry(f, "run.sh")->path = QN_STR("run/../sh");
}
static void climbing_link(struct fixture *f)
{
    entry(f, "usr/bin/dash2")->link = QN_STR("/usr/bin/dash");
}
static void too_long(struct fixture *f)
{
    entry(f, "etc/passwd")->size += 100000;
}
static void wrong_mode(struct fixture *f)
{
    entry(f, "etc/passwd")->mode = 0100644;
}
static void directory_with_content(struct fixture *f)
{
    entry(f, "etc/passwd")->type = QN_DIR;
}
static void half_captured(struct fixture *f)
{
    entry(f, "etc/passwd")->text.n--;
}
static void odd_class(struct fixture *f)
{
    entry(f, "usr/bin/dash")->elf.class = 3;
}
static void wild_segment(struct fixture *f)
{
    ((struct qn_tar_segment *)(uintptr_t)entry(f, "big")->segment)[0].len = 1000000;
}

START_TEST(hostile)
{
    refuse(other_seq, "place");
    refuse(same_seq, "place");
    refuse(overlap, "overlap");
    refuse(behind_tail, "overlap");
    refuse(unsorted, "not plausible");
    refuse(climbing, "not plausible");
    refuse(climbing_link, "not plausible");
    refuse(too_long, "not plausible");
    refuse(wrong_mode, "not plausible");
    refuse(directory_with_content, "not plausible");
    refuse(half_captured, "not plausible");
    refuse(odd_class, "not plausible");
    refuse(wild_segment, "sparse");
}
END_TEST

START_TEST(empty_layer)
{
    auto_fixture f = {0};

    fixture_layer(&f, "");
    ck_assert_uint_eq(f.layer[0].count, 0);
    ck_assert_uint_eq(f.layer[0].size, 1024);
    ck_assert_uint_eq(f.layer[0].tail, 0);
}
END_TEST

START_TEST(memory_has_a_ceiling)
{
    auto_fixture f = {0};
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_layer_index ix;
    struct qn_err e;

    fixture_layer(&f, rich);
    qn_arena_init(&arena, 100);
    qn_fails(qn_layer_decode(qn_buf_view(&f.facts[0]), &arena, &ix, &e), e, QN_E_LIMIT);
}
END_TEST

Suite *suite_layer(void)
{
    const TTest *const tests[] = {
        everything_survives, sorted_and_numbered, same_bytes_each_time, truncated, flipped, hostile,
        empty_layer,         memory_has_a_ceiling};
    return qn_suite("layer", tests, QN_ARRAY_LEN(tests));
}
