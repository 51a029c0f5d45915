#include "ldcache.h"

#include "base/cur.h"
#include "base/mem.h"

#define OLD_MAGIC    "ld.so-1.7.0"
#define NEW_MAGIC    "glibc-ld.so.cache1.1"
#define OLD_HEADER   16u /* magic, a byte of padding, number of entries */
#define OLD_ENTRY    12u /* flags, name, path */
#define NEW_HEADER   48u
#define NEW_ENTRY    24u /* flags, name, path, an unused word, capabilities in 8 bytes */
#define FLAGS_AT     28u /* of the header: byte order in the two lowest bits */
#define BYTES_LITTLE 2u
#define BYTES_BIG    3u
#define EXT_MAGIC    0xeaa42174u
#define TAG_HWCAPS   1u
#define MAX_SECTIONS 16u

/* One of the two tables, and what it is written to. */
struct cache {
    struct qn_str bytes; /* from the header on */
    size_t base;         /* where it stands in the file: the extension counts from there */
    bool old, big;
    uint32_t count;
    size_t header, entry; /* sizes */
    size_t strings_from;  /* offsets of strings count from here: 0, in the old format the end of the table */
    uint32_t extension;   /* offset in the file, or 0 */
    bool *stays;          /* one per entry */
    struct qn_buf *out;
    size_t begin; /* of the new header in `out` */
};

static uint32_t word(const struct cache *c, struct qn_str s, size_t at)
{
    struct qn_cur cur = qn_cur_init(s.p, s.n);
    cur = qn_cur_at(&cur, at, 4);
    return (uint32_t)(c->big ? qn_cur_be(&cur, 4) : qn_cur_le(&cur, 4));
}

static void set_word(const struct cache *c, size_t at, size_t v)
{
    for (unsigned i = 0; i < 4; i++)
        c->out->p[at + i] = (char)(v >> 8 * (c->big ? 3 - i : i));
}

/* A string by its offset; false when it does not end in the file. */
static bool string(const struct cache *c, uint32_t off, struct qn_str *out)
{
    struct qn_str s = qn_str_from(c->bytes, c->strings_from);
    ptrdiff_t end;

    if (off >= s.n || (end = qn_str_chr(s = qn_str_from(s, off), '\0')) < 0)
        return false;
    *out = qn_str_head(s, (size_t)end);
    return true;
}

static size_t entry_at(const struct cache *c, uint32_t i)
{
    return c->header + (size_t)i * c->entry;
}

static bool fits(const struct cache *c)
{
    return c->count <= (c->bytes.n - c->header) / c->entry;
}

static int open_new(struct cache *c, struct qn_err *e)
{
    if (c->bytes.n < NEW_HEADER)
        return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: header cut short");
    c->header = NEW_HEADER;
    c->entry = NEW_ENTRY;
    unsigned order = (unsigned char)c->bytes.p[FLAGS_AT] & 3u;
    c->big = order == BYTES_BIG;
    c->count = word(c, c->bytes, 20);
    if (order != BYTES_BIG && order != BYTES_LITTLE && !fits(c)) {
        c->big = true;
        c->count = word(c, c->bytes, 20);
    }
    c->extension = word(c, c->bytes, 32);
    return fits(c) ? 0 : qn_fail(e, QN_E_MALFORMED, "ld.so.cache: %u entries do not fit", c->count);
}

/* A new table stands behind the old one, at a multiple of 4 or 8 as the machine aligns 64 bits. */
static bool behind(struct qn_str file, const struct cache *old, size_t *at)
{
    size_t end = entry_at(old, old->count);

    for (size_t align = 4; align <= 8; align += 4) {
        *at = (end + align - 1) / align * align;
        if (qn_str_starts(qn_str_from(file, *at), QN_STR(NEW_MAGIC)))
            return true;
    }
    return false;
}

static int open_cache(struct qn_str file, struct cache *c, struct qn_err *e)
{
    size_t at;

    c->bytes = file;
    if (qn_str_starts(file, QN_STR(NEW_MAGIC)))
        return open_new(c, e);
    if (!qn_str_starts(file, QN_STR(OLD_MAGIC)) || file.n < OLD_HEADER)
        return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: neither format");
    c->old = true;
    c->header = OLD_HEADER;
    c->entry = OLD_ENTRY;
    c->count = word(c, file, 12);
    if (!fits(c)) {
        c->big = true;
        c->count = word(c, file, 12);
    }
    if (!fits(c))
        return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: %u entries do not fit", c->count);
    if (behind(file, c, &at)) {
        c->old = false;
        c->base = at;
        c->bytes = qn_str_from(file, at);
        return open_new(c, e);
    }
    c->strings_from = entry_at(c, c->count);
    return 0;
}

/* Appends a string and gives its offset as entries count it. */
static int put_string(const struct cache *c, size_t from, struct qn_str s, size_t *off, struct qn_err *e)
{
    *off = c->out->n - c->begin - from;
    if (*off > UINT32_MAX - s.n)
        return qn_fail(e, QN_E_LIMIT, "ld.so.cache: too large");
    return qn_buf_str(c->out, s, e) < 0 ? -1 : qn_buf_u8(c->out, 0, e);
}

/* Strings of the entries that stay; the name is mostly the end of the path. */
static int put_strings(struct cache *c, uint32_t kept, struct qn_err *e)
{
    size_t from = c->old ? entry_at(c, kept) : 0;
    uint32_t k = 0;

    /* Where a new table would stand behind an old one there is none. */
    if (c->old && qn_buf_zero(c->out, 8, e) < 0)
        return -1;
    for (uint32_t i = 0; i < c->count; i++) {
        struct qn_str name, path;
        size_t at, name_at;
        if (!c->stays[i])
            continue;
        if (!string(c, word(c, c->bytes, entry_at(c, i) + 4), &name) ||
            !string(c, word(c, c->bytes, entry_at(c, i) + 8), &path))
            return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: string of entry %u", i);
        if (put_string(c, from, path, &at, e) < 0)
            return -1;
        name_at = at + path.n - name.n;
        if (!qn_str_ends(path, name) && put_string(c, from, name, &name_at, e) < 0)
            return -1;
        set_word(c, c->begin + entry_at(c, k) + 4, name_at);
        set_word(c, c->begin + entry_at(c, k) + 8, at);
        k++;
    }
    return 0;
}

struct section {
    uint32_t tag, flags;
    struct qn_str bytes;
};

static int read_sections(const struct cache *c, struct qn_str file, struct section *s, uint32_t *count,
                         struct qn_err *e)
{
    struct qn_str ext = qn_str_from(file, c->extension);

    *count = 0;
    if (c->old || c->extension == 0)
        return 0;
    *count = word(c, ext, 4);
    if (word(c, ext, 0) != EXT_MAGIC || *count > MAX_SECTIONS || ext.n < 8 + (size_t)*count * 16)
        return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: extension");
    for (uint32_t i = 0; i < *count; i++) {
        size_t at = 8 + (size_t)i * 16;
        uint32_t off = word(c, ext, at + 8), size = word(c, ext, at + 12);
        if (off > file.n || size > file.n - off)
            return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: section %u of the extension", i);
        s[i] = (struct section){word(c, ext, at), word(c, ext, at + 4), qn_str_n(file.p + off, size)};
    }
    return 0;
}

/* Names of capabilities stand as offsets of strings: where the strings go now, the words follow. */
static int put_hwcaps(struct cache *c, const struct section *s, size_t *strings, struct qn_err *e)
{
    for (size_t i = 0; i + 4 <= s->bytes.n; i += 4) {
        struct qn_str name;
        if (!string(c, word(c, s->bytes, i), &name))
            return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: capability %zu", i / 4);
        if (put_string(c, 0, name, &strings[i / 4], e) < 0)
            return -1;
    }
    return 0;
}

static int put_extension(struct cache *c, const struct section *s, uint32_t count, const size_t *hwcap,
                         struct qn_err *e)
{
    while (c->out->n % 4)
        if (qn_buf_u8(c->out, 0, e) < 0)
            return -1;
    size_t ext = c->out->n;
    if (qn_buf_zero(c->out, 8 + (size_t)count * 16, e) < 0)
        return -1;
    set_word(c, c->begin + 32, ext - c->begin);
    set_word(c, ext, EXT_MAGIC);
    set_word(c, ext + 4, count);
    for (uint32_t i = 0; i < count; i++) {
        /* Words first: they must be aligned, and texts of any length may stand before them. */
        while (c->out->n % 4)
            if (qn_buf_u8(c->out, 0, e) < 0)
                return -1;
        size_t at = c->out->n, row = ext + 8 + (size_t)i * 16;
        if (qn_buf_str(c->out, s[i].bytes, e) < 0)
            return -1;
        set_word(c, row, s[i].tag);
        set_word(c, row + 4, s[i].flags);
        set_word(c, row + 8, at - c->begin);
        set_word(c, row + 12, s[i].bytes.n);
        for (size_t k = 0; s[i].tag == TAG_HWCAPS && k + 4 <= s[i].bytes.n; k += 4)
            set_word(c, at + k, hwcap[k / 4]);
    }
    return 0;
}

static int put_cache(struct cache *c, struct qn_str file, uint32_t kept, struct qn_err *e)
{
    struct section section[MAX_SECTIONS];
    qn_auto_free size_t *hwcap = NULL;
    uint32_t sections;

    c->begin = c->out->n;
    if (read_sections(c, file, section, &sections, e) < 0 ||
        qn_buf_str(c->out, qn_str_head(c->bytes, c->header), e) < 0)
        return -1;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->stays[i] && qn_buf_put(c->out, c->bytes.p + entry_at(c, i), c->entry, e) < 0)
            return -1;
    set_word(c, c->begin + (c->old ? 12 : 20), kept);
    if (put_strings(c, kept, e) < 0)
        return -1;
    for (uint32_t i = 0; i < sections; i++)
        if (section[i].tag == TAG_HWCAPS && !hwcap) {
            hwcap = qn_xcalloc(section[i].bytes.n / 4 + 1, sizeof *hwcap);
            if (put_hwcaps(c, &section[i], hwcap, e) < 0)
                return -1;
        } else if (section[i].tag == TAG_HWCAPS) {
            return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: capabilities twice");
        }
    if (c->old)
        return 0;
    set_word(c, c->begin + 24, c->out->n - c->begin - entry_at(c, kept));
    set_word(c, c->begin + 32, 0);
    return sections ? put_extension(c, section, sections, hwcap, e) : 0;
}

int qn_ldcache_filter(struct qn_str file, bool (*keep)(void *ctx, struct qn_str path), void *ctx, struct qn_buf *out,
                      size_t *dropped, struct qn_err *e)
{
    struct cache c = {.out = out};
    size_t begin = out->n;

    if (open_cache(file, &c, e) < 0)
        return -1;
    qn_auto_free bool *stays = qn_xcalloc((size_t)c.count + 1, sizeof *stays);
    uint32_t kept = 0;
    c.stays = stays;
    for (uint32_t i = 0; i < c.count; i++) {
        struct qn_str path;
        if (!string(&c, word(&c, c.bytes, entry_at(&c, i) + 8), &path) || !qn_str_starts(path, QN_STR("/")))
            return qn_fail(e, QN_E_MALFORMED, "ld.so.cache: path of entry %u", i);
        stays[i] = keep(ctx, path);
        kept += stays[i];
    }
    *dropped = c.count - kept;
    if (kept == c.count)
        return 0;
    if (put_cache(&c, file, kept, e) < 0) {
        out->n = begin;
        return -1;
    }
    return 0;
}
