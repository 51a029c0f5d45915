#include "pieces.h"
#include "base/cur.h"
#include "base/num.h"
#include "formats/tar_write.h"

#define MAGIC "QNPL1" /* with its NUL */

/* --- encoder ------------------------------------------------------------------------------------------------------ */

void qn_pieces_init(struct qn_pieces *self, size_t max)
{
    *self = (struct qn_pieces){0};
    qn_buf_init(&self->buf, max);
    qn_buf_init(&self->literal, QN_PIECE_LIT_MAX);
}

void qn_pieces_fini(struct qn_pieces *self)
{
    qn_buf_fini(&self->buf);
    qn_buf_fini(&self->literal);
}

static int put_leb(struct qn_buf *b, uint64_t v, struct qn_err *e)
{
    uint8_t raw[10];
    size_t n = 0;

    do {
        raw[n] = (uint8_t)(v & 0x7f);
        v >>= 7;
        if (v)
            raw[n] |= 0x80;
        n++;
    } while (v);
    return qn_buf_put(b, raw, n, e);
}

/* Writes the piece that waited for a neighbour to merge with. */
static int flush(struct qn_pieces *self, struct qn_err *e)
{
    struct qn_piece p = self->last;

    if (p.len == 0)
        return 0;
    if (self->buf.n == 0 && qn_buf_put(&self->buf, MAGIC, sizeof MAGIC, e) < 0)
        return -1;
    if (qn_buf_u8(&self->buf, (uint8_t)p.kind, e) < 0 || put_leb(&self->buf, p.len, e) < 0)
        return -1;
    if ((p.kind == QN_PIECE_COPY || p.kind == QN_PIECE_FILE) && put_leb(&self->buf, p.off, e) < 0)
        return -1;
    if (p.kind == QN_PIECE_LIT) {
        if (qn_buf_str(&self->buf, qn_buf_view(&self->literal), e) < 0)
            return -1;
        qn_buf_clear(&self->literal);
    }
    self->n++;
    self->last = (struct qn_piece){0};
    return 0;
}

static bool merges(const struct qn_piece *last, enum qn_piece_kind kind, uint64_t off)
{
    if (last->len == 0 || last->kind != kind)
        return false;
    return kind == QN_PIECE_ZERO || (kind != QN_PIECE_LIT && last->off + last->len == off);
}

static int add(struct qn_pieces *self, enum qn_piece_kind kind, uint64_t off, uint64_t len, struct qn_err *e)
{
    uint64_t size, end;

    qn_assert(!self->done);
    if (len == 0)
        return 0;
    if (qn_num_add(self->size, len, &size, e) < 0 || qn_num_add(off, len, &end, e) < 0)
        return -1;
    if (merges(&self->last, kind, off)) {
        self->last.len += len; /* at most `size` */
    } else {
        if (flush(self, e) < 0)
            return -1;
        self->last = (struct qn_piece){.kind = kind, .off = off, .len = len};
    }
    self->size = size;
    return 0;
}

int qn_pieces_copy(struct qn_pieces *self, uint64_t off, uint64_t end, struct qn_err *e)
{
    if (end < off)
        return qn_fail(e, QN_E_BUG, "piece that ends before it starts");
    return add(self, QN_PIECE_COPY, off, end - off, e);
}

int qn_pieces_zero(struct qn_pieces *self, uint64_t len, struct qn_err *e)
{
    return add(self, QN_PIECE_ZERO, 0, len, e);
}

int qn_pieces_file(struct qn_pieces *self, uint64_t off, uint64_t len, struct qn_err *e)
{
    return add(self, QN_PIECE_FILE, off, len, e);
}

int qn_pieces_lit(struct qn_pieces *self, struct qn_str bytes, struct qn_err *e)
{
    while (bytes.n) {
        size_t have = self->last.kind == QN_PIECE_LIT ? (size_t)self->last.len : 0;
        if (have == QN_PIECE_LIT_MAX)
            have = 0;
        size_t part = QN_MIN(bytes.n, QN_PIECE_LIT_MAX - have);
        if (have == 0 && add(self, QN_PIECE_LIT, 0, part, e) < 0)
            return -1;
        if (have) {
            if (qn_num_add(self->size, part, &self->size, e) < 0)
                return -1;
            self->last.len += part;
        }
        if (qn_buf_put(&self->literal, bytes.p, part, e) < 0)
            return -1;
        bytes = qn_str_from(bytes, part);
    }
    return 0;
}

int qn_pieces_entry_data(struct qn_pieces *self, const struct qn_tar_entry *entry, struct qn_err *e)
{
    uint64_t at = 0, data = entry->data_off;

    if (!entry->sparse)
        return qn_pieces_copy(self, entry->data_off, entry->end_off, e);
    for (size_t i = 0; i < entry->segments; i++) {
        struct qn_tar_segment s = entry->segment[i];
        if (qn_pieces_zero(self, s.off - at, e) < 0 || qn_pieces_copy(self, data, data + s.len, e) < 0)
            return -1;
        at = s.off + s.len;
        data += s.len;
    }
    return qn_pieces_zero(self, entry->real_size - at + qn_tar_padding(entry->real_size), e);
}

int qn_pieces_finish(struct qn_pieces *self, struct qn_str *out, struct qn_err *e)
{
    if (!self->done) {
        if (flush(self, e) < 0)
            return -1;
        if (self->buf.n == 0 && qn_buf_put(&self->buf, MAGIC, sizeof MAGIC, e) < 0)
            return -1;
        if (qn_buf_u8(&self->buf, 0, e) < 0 || put_leb(&self->buf, self->n, e) < 0 ||
            put_leb(&self->buf, self->size, e) < 0)
            return -1;
        self->done = true;
    }
    *out = qn_buf_view(&self->buf);
    return 0;
}

/* --- decoder ------------------------------------------------------------------------------------------------------ */

/* Sets `bad` for numbers beyond 64 bits or not in their shortest form. */
static uint64_t get_leb(struct qn_cur *c)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = qn_cur_u8(c);
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (byte == 0 && shift)
                break;
            return v;
        }
    }
    c->bad = true;
    return 0;
}

/* Reads one piece; kind 0 is the end. */
static void get_piece(struct qn_cur *c, struct qn_piece *p)
{
    *p = (struct qn_piece){.kind = (enum qn_piece_kind)qn_cur_u8(c), .bytes = QN_STR("")};
    if (c->bad || p->kind == 0)
        return;
    if (p->kind > QN_PIECE_FILE) {
        c->bad = true;
        return;
    }
    p->len = get_leb(c);
    if (p->kind == QN_PIECE_COPY || p->kind == QN_PIECE_FILE)
        p->off = get_leb(c);
    if (p->kind == QN_PIECE_LIT) {
        if (p->len > QN_PIECE_LIT_MAX)
            c->bad = true;
        const uint8_t *at = qn_cur_take(c, (size_t)p->len);
        if (at)
            p->bytes = qn_str_n(at, (size_t)p->len);
    }
    if (p->len == 0)
        c->bad = true;
}

static bool should_be_one(const struct qn_piece *last, const struct qn_piece *p)
{
    if (p->kind == QN_PIECE_LIT)
        return last->kind == QN_PIECE_LIT && last->len < QN_PIECE_LIT_MAX;
    return merges(last, p->kind, p->off);
}

static int check_piece(struct qn_pieces_view *v, const struct qn_piece *last, const struct qn_piece *p,
                       uint64_t old_size, uint64_t *copied, struct qn_err *e)
{
    uint64_t end;

    if (should_be_one(last, p))
        return qn_fail(e, QN_E_MALFORMED, "it continues the one before it");
    if (qn_num_add(p->off, p->len, &end, e) < 0 || qn_num_add(v->size, p->len, &v->size, e) < 0)
        return qn_fail(e, QN_E_MALFORMED, "its end is beyond 64 bits");
    if (p->kind == QN_PIECE_COPY) {
        if (end > old_size)
            return qn_fail(e, QN_E_MALFORMED, "it ends at %llu, the old tar at %llu", (unsigned long long)end,
                           (unsigned long long)old_size);
        if (p->off < *copied)
            v->ascending = false;
        *copied = end;
    }
    if (p->kind == QN_PIECE_FILE)
        v->file_end = QN_MAX(v->file_end, end);
    v->n++;
    return 0;
}

int qn_pieces_open(struct qn_str encoding, uint64_t old_size, struct qn_pieces_view *out, struct qn_err *e)
{
    struct qn_pieces_view v = {.ascending = true};
    struct qn_cur c = qn_cur_init(encoding.p, encoding.n);
    struct qn_piece last = {0}, p;
    uint64_t copied = 0;

    if (!qn_str_starts(encoding, qn_str_n(MAGIC, sizeof MAGIC)))
        return qn_fail(e, QN_E_MALFORMED, "piece list: no such encoding");
    qn_cur_take(&c, sizeof MAGIC);
    v.rest = qn_str_n(c.p, c.n);
    for (;;) {
        size_t at = encoding.n - c.n;
        get_piece(&c, &p);
        if (c.bad)
            return qn_fail(e, QN_E_MALFORMED, "piece list: piece %llu at byte %zu is not well-formed",
                           (unsigned long long)v.n, at);
        if (p.kind == 0)
            break;
        if (check_piece(&v, &last, &p, old_size, &copied, e) < 0)
            return qn_err_wrap(e, "piece list: piece %llu at byte %zu", (unsigned long long)v.n, at);
        last = p;
    }
    uint64_t n = get_leb(&c), size = get_leb(&c);
    if (c.bad || c.n || n != v.n || size != v.size)
        return qn_fail(e, QN_E_MALFORMED, "piece list: its end does not match its pieces");
    *out = v;
    return 0;
}

bool qn_pieces_next(struct qn_pieces_view *self, struct qn_piece *out)
{
    struct qn_cur c = qn_cur_init(self->rest.p, self->rest.n);

    get_piece(&c, out);
    if (c.bad || out->kind == 0)
        return false;
    self->rest = qn_str_n(c.p, c.n);
    return true;
}

struct qn_digest qn_pieces_digest(struct qn_str encoding, const struct qn_digest *file)
{
    struct qn_hash h;

    qn_hash_init(&h, QN_SHA256);
    qn_hash_update(&h, encoding.p, encoding.n);
    if (file)
        qn_hash_update(&h, file->bytes, qn_digest_size(file->algorithm));
    return qn_hash_final(&h);
}
