/* A write-ahead log merged into its database by hand: SQLite itself would want shared memory for it. */
#include "rpmdb.h"

#include "base/cur.h"

#define FILE_HEADER  100u
#define WAL_HEADER   32u
#define FRAME_HEADER 24u
#define WAL_MAGIC    0x377f0682u /* checksums in little-endian words; 1 more: big-endian */
#define WAL_VERSION  3007000u

struct sums {
    uint32_t a, b;
    bool big;
};

/* Section 4.2: a running sum over pairs of words. */
static void add(struct sums *s, const char *p, size_t n)
{
    struct qn_cur c = qn_cur_init(p, n);

    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint32_t x = (uint32_t)(s->big ? qn_cur_be(&c, 4) : qn_cur_le(&c, 4));
        uint32_t y = (uint32_t)(s->big ? qn_cur_be(&c, 4) : qn_cur_le(&c, 4));
        s->a += x + s->b;
        s->b += y + s->a;
    }
}

static uint32_t word(struct qn_str s, size_t at)
{
    struct qn_cur c = qn_cur_init(s.p, s.n);
    c = qn_cur_at(&c, at, 4);
    return (uint32_t)qn_cur_be(&c, 4);
}

struct wal {
    struct qn_str bytes;
    size_t page;
    struct sums sums;
    size_t at; /* next frame */
};

/* A log of another database, or a broken one, holds nothing that SQLite would read. */
static bool wal_begin(struct qn_str bytes, struct qn_str file, struct wal *w)
{
    size_t page = (size_t)(unsigned char)file.p[16] << 8 | (unsigned char)file.p[17];

    *w = (struct wal){.bytes = bytes, .page = page == 1 ? 65536 : page, .at = WAL_HEADER};
    if (bytes.n < WAL_HEADER || (word(bytes, 0) & ~1u) != WAL_MAGIC || word(bytes, 4) != WAL_VERSION ||
        word(bytes, 8) != w->page)
        return false;
    w->sums.big = word(bytes, 0) & 1;
    add(&w->sums, bytes.p, 24);
    return w->sums.a == word(bytes, 24) && w->sums.b == word(bytes, 28);
}

/* The next valid frame; `*commit` is the size of the database in pages after it, or 0. */
static bool wal_next(struct wal *w, uint32_t *number, uint32_t *commit, struct qn_str *page)
{
    if (w->bytes.n - w->at < FRAME_HEADER + w->page)
        return false;
    struct qn_str frame = qn_str_n(w->bytes.p + w->at, FRAME_HEADER + w->page);
    if (word(frame, 8) != word(w->bytes, 16) || word(frame, 12) != word(w->bytes, 20))
        return false;
    add(&w->sums, frame.p, 8);
    add(&w->sums, frame.p + FRAME_HEADER, w->page);
    if (w->sums.a != word(frame, 16) || w->sums.b != word(frame, 20))
        return false;
    *number = word(frame, 0);
    *commit = word(frame, 4);
    *page = qn_str_from(frame, FRAME_HEADER);
    w->at += frame.n;
    return *number > 0;
}

/* The number of frames up to the last commit, and the size that it gives. */
static size_t committed(struct wal w, uint32_t *pages)
{
    uint32_t number, commit;
    struct qn_str page;
    size_t n = 0, last = 0;

    while (wal_next(&w, &number, &commit, &page)) {
        n++;
        if (commit) {
            last = n;
            *pages = commit;
        }
    }
    return last;
}

int qn_sqlite_merge(struct qn_str file, struct qn_str wal, struct qn_buf *out, struct qn_err *e)
{
    size_t begin = out->n;
    uint32_t pages = 0, number, commit;
    struct qn_str page;
    struct wal w;

    if (!qn_str_starts(file, QN_STR("SQLite format 3")) || file.n < FILE_HEADER)
        return qn_fail(e, QN_E_MALFORMED, "not an SQLite database");
    if (qn_buf_str(out, file, e) < 0)
        return -1;
    if (!wal_begin(wal, file, &w))
        return 0;
    size_t frames = committed(w, &pages);
    if (frames == 0)
        return 0;
    if ((uint64_t)pages * w.page > out->max - begin)
        return qn_fail(e, QN_E_LIMIT, "an SQLite database of %u pages", pages);
    size_t size = (size_t)pages * w.page;
    if (size > out->n - begin && qn_buf_zero(out, size - (out->n - begin), e) < 0)
        return -1;
    out->n = begin + size;
    for (size_t i = 0; i < frames && wal_next(&w, &number, &commit, &page); i++)
        if (number <= pages)
            memcpy(out->p + begin + (size_t)(number - 1) * w.page, page.p, w.page);
    return 0;
}
