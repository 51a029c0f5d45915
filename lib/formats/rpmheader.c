#include "rpmheader.h"

#include "base/cur.h"

#define ENTRY       16u
#define ENTRIES_MAX 65536u
#define STORE_MAX   (256u << 20)

enum { TYPE_INT32 = 4, TYPE_STRING = 6, TYPE_STRINGS = 8, TYPE_I18N = 9, TYPES };

struct entry {
    uint32_t tag, type, at, count;
};

static struct entry entry_at(struct qn_str index, size_t i)
{
    struct qn_cur c = qn_cur_init(index.p + i * ENTRY, ENTRY);
    return (struct entry){.tag = (uint32_t)qn_cur_be(&c, 4),
                          .type = (uint32_t)qn_cur_be(&c, 4),
                          .at = (uint32_t)qn_cur_be(&c, 4),
                          .count = (uint32_t)qn_cur_be(&c, 4)};
}

/* Whether a list of texts ends in the store. */
static bool texts_fit(struct qn_str at, uint32_t count)
{
    for (; count; count--) {
        ptrdiff_t end = qn_str_chr(at, '\0');
        if (end < 0)
            return false;
        at = qn_str_from(at, (size_t)end + 1);
    }
    return true;
}

static bool plausible(const struct entry *n, struct qn_str store)
{
    static const uint8_t sizes[TYPES] = {0, 1, 1, 2, 4, 8, 1, 1, 1, 1};

    if (n->type >= TYPES || n->at > store.n || n->count > store.n)
        return false;
    struct qn_str at = qn_str_from(store, n->at);
    if (n->type == TYPE_STRING || n->type == TYPE_STRINGS || n->type == TYPE_I18N)
        return texts_fit(at, n->type == TYPE_STRING ? 1 : n->count);
    return (uint64_t)n->count * sizes[n->type] <= at.n;
}

int qn_rpm_header_parse(struct qn_str blob, struct qn_rpm_header *out, struct qn_err *e)
{
    struct qn_cur c = qn_cur_init(blob.p, blob.n);
    uint32_t entries = (uint32_t)qn_cur_be(&c, 4), size = (uint32_t)qn_cur_be(&c, 4);

    if (c.bad || entries == 0 || entries > ENTRIES_MAX || size > STORE_MAX ||
        (uint64_t)entries * ENTRY + size > blob.n - 8)
        return qn_fail(e, QN_E_MALFORMED, "rpm header: %u entries and %u bytes do not fit in %zu", entries, size,
                       blob.n);
    struct qn_rpm_header h = {qn_str_n(blob.p + 8, (size_t)entries * ENTRY),
                              qn_str_n(blob.p + 8 + (size_t)entries * ENTRY, size)};
    for (uint32_t i = 0; i < entries; i++) {
        struct entry n = entry_at(h.index, i);
        if (!plausible(&n, h.store))
            return qn_fail(e, QN_E_MALFORMED, "rpm header: tag %u lies outside", n.tag);
    }
    *out = h;
    return 0;
}

static bool find(const struct qn_rpm_header *h, uint32_t tag, struct entry *out)
{
    for (size_t i = 0; i < h->index.n / ENTRY; i++) {
        *out = entry_at(h->index, i);
        if (out->tag == tag)
            return true;
    }
    return false;
}

struct qn_rpm_strings qn_rpm_strings(const struct qn_rpm_header *h, uint32_t tag)
{
    struct entry n;

    if (!find(h, tag, &n) || (n.type != TYPE_STRING && n.type != TYPE_STRINGS && n.type != TYPE_I18N))
        return (struct qn_rpm_strings){{"", 0}, 0};
    return (struct qn_rpm_strings){qn_str_from(h->store, n.at), n.type == TYPE_STRING ? 1 : n.count};
}

bool qn_rpm_strings_next(struct qn_rpm_strings *self, struct qn_str *out)
{
    ptrdiff_t end = self->left ? qn_str_chr(self->rest, '\0') : -1;

    if (end < 0)
        return false;
    *out = qn_str_head(self->rest, (size_t)end);
    self->rest = qn_str_from(self->rest, (size_t)end + 1);
    self->left--;
    return true;
}

struct qn_str qn_rpm_string(const struct qn_rpm_header *h, uint32_t tag)
{
    struct qn_rpm_strings list = qn_rpm_strings(h, tag);
    struct qn_str s = {"", 0};

    (void)qn_rpm_strings_next(&list, &s);
    return s;
}

bool qn_rpm_number(const struct qn_rpm_header *h, uint32_t tag, uint32_t i, uint32_t *out)
{
    struct entry n;

    if (!find(h, tag, &n) || n.type != TYPE_INT32 || i >= n.count)
        return false;
    struct qn_cur c = qn_cur_init(h->store.p + n.at + (size_t)i * 4, 4);
    *out = (uint32_t)qn_cur_be(&c, 4);
    return true;
}
