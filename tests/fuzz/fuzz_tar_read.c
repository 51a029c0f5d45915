/* The tar scanner: offsets must be consistent, every byte must belong somewhere, the cuts must not matter, and what is
 * read can be written and is read again as the same entry. */
#include "base/path.h"
#include "formats/digest.h"
#include "formats/tar_read.h"
#include "formats/tar_write.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk {
    uint64_t last_end; /* of the entry before */
    uint64_t end, left;
    uint64_t n, data;
    bool open, again; /* `again`: reads what was written, compares with `want` */
    const struct qn_tar_entry *want;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static int on_entry(void *ctx, const struct qn_tar_entry *entry, struct qn_err *e);

static int on_data(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct walk *w = ctx;

    (void)p;
    (void)e;
    must(w->open && n > 0 && n <= w->left);
    w->left -= n;
    w->data += n;
    return 0;
}

static int on_end(void *ctx, struct qn_err *e)
{
    struct walk *w = ctx;

    (void)e;
    must(w->open && w->left == 0);
    w->open = false;
    w->last_end = w->end;
    return 0;
}

static int scan(const void *data, size_t size, size_t step, struct walk *w, struct qn_tar_summary *s, struct qn_err *e)
{
    qn_auto_tar_read struct qn_tar_read r = {0};
    struct qn_limits limits = {.image_size = 1ull << 40, .layer_entries = 1000};
    struct qn_tar_events events = {on_entry, on_data, on_end, w};

    must(qn_tar_read_init(&r, &limits, &events, e) == 0);
    for (size_t i = 0; i < size; i += step)
        if (qn_tar_read_feed(&r, (const uint8_t *)data + i, QN_MIN(step, size - i), e) < 0)
            return -1;
    return qn_tar_read_finish(&r, s, e);
}

/* A header written from the entry says the same again. */
static void write_again(const struct qn_tar_entry *entry)
{
    qn_auto_buf struct qn_buf out = {.max = 4u << 20};
    struct qn_tar_entry plain = *entry;
    struct walk w = {.again = true, .want = &plain};
    struct qn_tar_summary s;
    struct qn_err e;

    plain.real_size = 0;
    if (qn_tar_write_header(&plain, &out, &e) < 0) {
        must(e.code == QN_E_LIMIT || e.code == QN_E_UNSUPPORTED || entry->name.n == 0);
        return;
    }
    must(out.n % QN_TAR_BLOCK == 0);
    must(scan(out.p, out.n, out.n, &w, &s, &e) == 0 && w.n == 1);
}

static int on_entry(void *ctx, const struct qn_tar_entry *entry, struct qn_err *e)
{
    struct walk *w = ctx;

    (void)e;
    if (w->again) {
        must(qn_str_eq(entry->name, w->want->name) && qn_str_eq(entry->link, w->want->link));
        must(entry->mode == w->want->mode && entry->uid == w->want->uid && entry->gid == w->want->gid);
        must(entry->mtime == w->want->mtime && entry->mtime_nsec == w->want->mtime_nsec);
        must(entry->type == w->want->type && qn_str_eq(entry->uname, w->want->uname));
        must(entry->devmajor == w->want->devmajor && entry->devminor == w->want->devminor);
        w->open = true;
        w->n++;
        return 0;
    }
    must(!w->open && entry->index == w->n);
    must(w->last_end <= entry->ext_off && entry->ext_off <= entry->hdr_off && entry->hdr_off < entry->data_off);
    must(entry->data_off + entry->size <= entry->end_off && entry->end_off < entry->data_off + entry->size + 512);
    must((entry->ext_off | entry->hdr_off | entry->data_off | entry->end_off) % QN_TAR_BLOCK == 0);
    must(entry->name.n <= QN_PATH_MAX && qn_str_chr(entry->name, '\0') < 0);
    must(entry->link.n <= QN_PATH_MAX && qn_str_chr(entry->link, '\0') < 0);
    must(entry->mode <= 07777 && entry->mtime_nsec < 1000000000);
    must(entry->type == QN_TAR_FILE || entry->size == 0);
    must(entry->sparse || (entry->real_size == entry->size && entry->segments == 0));
    uint64_t sum = 0, at = 0;
    for (size_t i = 0; i < entry->segments; i++) {
        must(entry->segment[i].off >= at);
        at = entry->segment[i].off + entry->segment[i].len;
        must(at <= entry->real_size);
        sum += entry->segment[i].len;
    }
    must(!entry->sparse || sum == entry->size);
    if (w->n < 20)
        write_again(entry);
    w->open = true;
    w->end = entry->end_off;
    w->left = entry->size;
    w->n++;
    return 0;
}

static void check(const uint8_t *data, size_t size)
{
    struct walk a = {0}, b = {0};
    struct qn_tar_summary s = {0}, t = {0};
    struct qn_err e = {0};

    int r = scan(data, size, size + 1, &a, &s, &e);
    must(r == 0 || e.msg[0]);
    int r2 = scan(data, size, 509, &b, &t, &e);
    must(r == r2);
    if (r < 0)
        return;
    must(a.n == b.n && a.data == b.data && s.end_off == t.end_off && s.ending == t.ending);
    must(!a.open && s.entries == a.n && s.size == size && s.end_off >= a.last_end && s.end_off <= size);
    for (size_t i = (size_t)s.end_off; i < size; i++)
        must(data[i] == 0);
    must((size - s.end_off >= 1024) == (s.ending == QN_TAR_END_TWO));
}

/* Gives every block that looks like a header its right checksum, which mutations would never find. */
static void mend(uint8_t *data, size_t size)
{
    for (size_t at = 0; at + QN_TAR_BLOCK <= size; at += QN_TAR_BLOCK) {
        uint8_t *h = data + at;
        unsigned sum = 0;
        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        memset(h + 148, ' ', 8);
        for (unsigned i = 0; i < QN_TAR_BLOCK; i++)
            sum += h[i];
        for (unsigned i = 6; i-- > 0; sum >>= 3)
            h[148 + i] = (uint8_t)('0' + (sum & 7));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    mend(copy, size);
    check(copy, size);
    free(copy);
    return 0;
}
