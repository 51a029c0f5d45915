/* What the tar tests share: scanning into a list, archives made by hand. */
#ifndef QN_TESTS_UNIT_TAR_COMMON_H
#define QN_TESTS_UNIT_TAR_COMMON_H

#include "base/mem.h"
#include "formats/digest.h"
#include "formats/tar_read.h"
#include "formats/tar_write.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define BIG  (64u << 20)
#define MANY 4000

/* --- scanning into a list -------------------------------------------------------------------------------------- */

struct item {
    struct qn_tar_entry entry; /* strings are heap copies */
    struct qn_digest content;  /* of the expanded file */
    struct qn_hash hash;
    uint64_t at;    /* expanded bytes so far */
    size_t segment; /* of a sparse file */
    uint64_t in_segment;
    bool ended;
};

struct list {
    struct item *item;
    size_t n;
    struct qn_tar_summary summary;
};

static struct qn_str copy(struct qn_str s)
{
    return qn_str_n(qn_xstrndup(s), s.n);
}

static int on_entry(void *ctx, const struct qn_tar_entry *entry, struct qn_err *e)
{
    struct list *l = ctx;

    (void)e;
    ck_assert_uint_lt(l->n, MANY);
    ck_assert_uint_eq(entry->index, l->n);
    ck_assert(l->n == 0 || l->item[l->n - 1].ended);
    struct item *it = &l->item[l->n++];
    it->entry = *entry;
    struct qn_str *strings[] = {&it->entry.name,  &it->entry.link, &it->entry.uname,
                                &it->entry.gname, &it->entry.pax,  &it->entry.pax_global};
    for (size_t i = 0; i < QN_ARRAY_LEN(strings); i++)
        *strings[i] = copy(*strings[i]);
    struct qn_tar_segment *segments = qn_xcalloc(entry->segments + 1, sizeof *segments);
    for (size_t i = 0; i < entry->segments; i++)
        segments[i] = entry->segment[i];
    it->entry.segment = segments;
    qn_hash_init(&it->hash, QN_SHA256);
    return 0;
}

static void zeros(struct item *it, uint64_t to)
{
    static const char none[4096];

    while (it->at < to) {
        size_t n = (size_t)QN_MIN(to - it->at, (uint64_t)sizeof none);
        qn_hash_update(&it->hash, none, n);
        it->at += n;
    }
}

static int on_data(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct list *l = ctx;
    struct item *it = &l->item[l->n - 1];
    const char *at = p;

    (void)e;
    while (n) {
        size_t part = n;
        if (it->entry.sparse) {
            while (it->in_segment == it->entry.segment[it->segment].len) {
                it->segment++;
                it->in_segment = 0;
                ck_assert_uint_lt(it->segment, it->entry.segments);
            }
            struct qn_tar_segment s = it->entry.segment[it->segment];
            zeros(it, s.off + it->in_segment);
            part = (size_t)QN_MIN((uint64_t)n, s.len - it->in_segment);
            it->in_segment += part;
        }
        qn_hash_update(&it->hash, at, part);
        it->at += part;
        at += part;
        n -= part;
    }
    return 0;
}

static int on_end(void *ctx, struct qn_err *e)
{
    struct list *l = ctx;
    struct item *it = &l->item[l->n - 1];

    (void)e;
    zeros(it, it->entry.real_size);
    ck_assert_uint_eq(it->at, it->entry.real_size);
    it->content = qn_hash_final(&it->hash);
    it->ended = true;
    return 0;
}

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct qn_tar_entry *entry = &l->item[i].entry;
        struct qn_str *strings[] = {&entry->name,  &entry->link, &entry->uname,
                                    &entry->gname, &entry->pax,  &entry->pax_global};
        for (size_t k = 0; k < QN_ARRAY_LEN(strings); k++)
            free((void *)(uintptr_t)strings[k]->p);
        free((void *)(uintptr_t)entry->segment);
        qn_hash_fini(&l->item[i].hash);
    }
    free(l->item);
    *l = (struct list){0};
}

#define auto_list QN_CLEANUP(list_free)

static int scan_with(struct qn_str tar, size_t step, const struct qn_limits *limits, struct list *l, struct qn_err *e)
{
    qn_auto_tar_read struct qn_tar_read r = {0};
    struct qn_tar_events events = {on_entry, on_data, on_end, l};

    list_free(l);
    l->item = qn_xcalloc(MANY, sizeof *l->item);
    qn_ok(qn_tar_read_init(&r, limits, &events, e), *e);
    for (size_t i = 0; i < tar.n; i += step)
        if (qn_tar_read_feed(&r, tar.p + i, QN_MIN(step, tar.n - i), e) < 0)
            return -1;
    return qn_tar_read_finish(&r, &l->summary, e);
}

QN_UNUSED static int scan(struct qn_str tar, struct list *l, struct qn_err *e)
{
    return scan_with(tar, tar.n + 1, &QN_LIMITS_DEFAULT, l, e);
}

QN_UNUSED static void same_item(const struct item *a, const struct item *b)
{
    ck_assert(qn_str_eq(a->entry.name, b->entry.name));
    ck_assert(qn_str_eq(a->entry.link, b->entry.link));
    ck_assert(qn_str_eq(a->entry.uname, b->entry.uname));
    ck_assert(qn_str_eq(a->entry.gname, b->entry.gname));
    ck_assert_int_eq(a->entry.type, b->entry.type);
    ck_assert_uint_eq(a->entry.mode, b->entry.mode);
    ck_assert_uint_eq(a->entry.uid, b->entry.uid);
    ck_assert_uint_eq(a->entry.gid, b->entry.gid);
    ck_assert_int_eq(a->entry.mtime, b->entry.mtime);
    ck_assert_uint_eq(a->entry.mtime_nsec, b->entry.mtime_nsec);
    ck_assert_uint_eq(a->entry.devmajor, b->entry.devmajor);
    ck_assert_uint_eq(a->entry.devminor, b->entry.devminor);
    ck_assert_uint_eq(a->entry.real_size, b->entry.real_size);
    ck_assert(qn_digest_eq(&a->content, &b->content));
}

/* --- archives by hand ------------------------------------------------------------------------------------------ */

static void sum(char *h)
{
    unsigned v = 0;

    memset(h + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        v += (uint8_t)h[i];
    snprintf(h + 148, 8, "%06o", v);
}

/* A header; `set` changes it before it is summed. */
static char *header(struct qn_buf *b, const char *name, char type, const char *size, struct qn_err *e)
{
    char *h;

    ck_assert_int_eq(qn_buf_reserve(b, 512, &h, e), 0);
    memset(h, 0, 512);
    b->n += 512;
    memcpy(h, name, strnlen(name, 100));
    memcpy(h + 100, "0000644", 7);
    memcpy(h + 108, "0000000", 7);
    memcpy(h + 116, "0000000", 7);
    memcpy(h + 124, size, strnlen(size, 12));
    memcpy(h + 136, "00000000000", 11);
    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    sum(h);
    return h;
}

QN_UNUSED static void payload(struct qn_buf *b, const char *name, char type, struct qn_str text)
{
    struct qn_err e;
    char size[16];

    snprintf(size, sizeof size, "%011zo", text.n);
    header(b, name, type, size, &e);
    qn_ok(qn_buf_str(b, text, &e), e);
    qn_ok(qn_buf_zero(b, qn_tar_padding(text.n), &e), e);
}

/* Well-formed records out of "KEY=VALUE" lines. */
QN_UNUSED static void records(struct qn_buf *b, const char *lines)
{
    struct qn_str rest = qn_str_c(lines), line;
    struct qn_err e;

    while (qn_str_next(&rest, '\n', &line)) {
        size_t n = line.n + 3;
        n = n > 9 ? line.n + 4 : n;
        n = n > 99 ? line.n + 5 : n;
        qn_ok(qn_buf_printf(b, &e, "%zu %.*s\n", n, QN_FMT(line)), e);
    }
}

/* An extension header of such records. */
QN_UNUSED static void pax(struct qn_buf *b, char type, const char *lines)
{
    qn_auto_buf struct qn_buf text = {.max = BIG};

    records(&text, lines);
    payload(b, "pax", type, qn_buf_view(&text));
}

QN_UNUSED static void refused(struct qn_buf *b, enum qn_code code, const char *reason)
{
    struct qn_err e;

    for (size_t step = 1; step <= b->n + 1; step += b->n) {
        auto_list struct list l = {0};
        qn_fails(scan_with(qn_buf_view(b), step, &QN_LIMITS_DEFAULT, &l, &e), e, code);
        ck_assert_msg(strstr(e.msg, reason), "%s instead of %s", e.msg, reason);
    }
    qn_buf_clear(b);
}

#endif
