/* Sparse maps: GNU type 'S' with extension blocks, and pax GNU.sparse 0.0, 0.1 (records) and 1.0 (in the data).
 * Source: GNU tar manual, appendix "Storing Sparse Files". */
#include "base/mem.h"
#include "base/num.h"
#include "tar_internal.h"

#define IN_HEADER 4  /* segments in a GNU header, at 386 */
#define IN_BLOCK  21 /* and in an extension block */

static int add_segment(struct qn_tar_read_state *st, uint64_t off, uint64_t len, struct qn_err *e)
{
    struct qn_tar_entry *entry = &st->entry;
    void *arr = st->segment;

    if (qn_grow(&arr, &st->segment_cap, entry->segments + 1, sizeof *st->segment, QN_TAR_SEGMENTS_MAX, e) < 0)
        return qn_err_wrap(e, "sparse map");
    st->segment = arr;
    st->segment[entry->segments++] = (struct qn_tar_segment){off, len};
    return 0;
}

static int map_number(struct qn_str s, uint64_t *out, struct qn_err *e)
{
    if (qn_num_u64(s, 0, INT64_MAX, out, e) < 0)
        return qn_fail(e, QN_E_MALFORMED, "sparse map: \"%s\" is not a number or out of range", QN_Q(s));
    return 0;
}

/* --- GNU type 'S' ------------------------------------------------------------------------------------------------- */

static int gnu_segments(struct qn_tar_read_state *st, const uint8_t *at, size_t n, struct qn_err *e)
{
    for (size_t i = 0; i < n && at[i * 24]; i++) {
        int64_t off, len;
        if (qn_tar_number(at, i * 24, 12, "sparse offset", &off, e) < 0 ||
            qn_tar_number(at, i * 24 + 12, 12, "sparse length", &len, e) < 0)
            return -1;
        if (off < 0 || len < 0)
            return qn_fail(e, QN_E_MALFORMED, "sparse map: a number is negative");
        if (add_segment(st, (uint64_t)off, (uint64_t)len, e) < 0)
            return -1;
    }
    return 0;
}

static int gnu_begin(struct qn_tar_read_state *st, struct qn_err *e)
{
    int64_t real;

    if (qn_tar_flavour(st->header) != QN_TAR_GNU)
        return qn_fail(e, QN_E_MALFORMED, "sparse entry without GNU magic");
    if (qn_tar_number(st->header, QN_TAR_F_REALSIZE, "real size", &real, e) < 0)
        return -1;
    if (real < 0)
        return qn_fail(e, QN_E_MALFORMED, "real size is negative");
    st->entry.sparse = true;
    st->entry.real_size = (uint64_t)real;
    return gnu_segments(st, st->header + 386, IN_HEADER, e);
}

bool qn_tar_sparse_more(const struct qn_tar_read_state *st, const uint8_t *block, bool header)
{
    if (header)
        return st->header[QN_TAR_F_TYPE] == 'S' && block[482];
    return block[504];
}

int qn_tar_sparse_block(struct qn_tar_read_state *st, const uint8_t *block, struct qn_err *e)
{
    return gnu_segments(st, block, IN_BLOCK, e);
}

/* --- pax ---------------------------------------------------------------------------------------------------------- */

/* 0.0: offset and numbytes records alternate. */
static int map_00(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_str rest = st->entry.pax, key, value;
    uint64_t off = 0, len;
    bool open = false;

    while (qn_pax_next(&rest, &key, &value) == 1) {
        if (qn_str_eq_c(key, "GNU.sparse.offset")) {
            if (open || map_number(value, &off, e) < 0)
                return open ? qn_fail(e, QN_E_MALFORMED, "sparse map: two offsets in a row") : -1;
            open = true;
        } else if (qn_str_eq_c(key, "GNU.sparse.numbytes")) {
            if (!open)
                return qn_fail(e, QN_E_MALFORMED, "sparse map: a length without an offset");
            if (map_number(value, &len, e) < 0 || add_segment(st, off, len, e) < 0)
                return -1;
            open = false;
        }
    }
    return open ? qn_fail(e, QN_E_MALFORMED, "sparse map: an offset without a length") : 0;
}

/* 0.1: one record "OFFSET,LENGTH,...". */
static int map_01(struct qn_tar_read_state *st, struct qn_str map, struct qn_err *e)
{
    struct qn_str part;
    uint64_t off, len;

    while (qn_str_next(&map, ',', &part)) {
        if (map_number(part, &off, e) < 0)
            return -1;
        if (!qn_str_next(&map, ',', &part))
            return qn_fail(e, QN_E_MALFORMED, "sparse map: an offset without a length");
        if (map_number(part, &len, e) < 0 || add_segment(st, off, len, e) < 0)
            return -1;
    }
    return 0;
}

static struct qn_str record(const struct qn_tar_entry *entry, const char *key)
{
    struct qn_str value;

    return qn_pax_get(entry->pax, qn_str_c(key), &value) ? value : QN_STR("");
}

static int pax_common(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_tar_entry *entry = &st->entry;
    struct qn_str name = record(entry, "GNU.sparse.name"), size = record(entry, "GNU.sparse.size");

    if (entry->type != QN_TAR_FILE || st->header[QN_TAR_F_TYPE] == 'S')
        return qn_fail(e, QN_E_MALFORMED, "sparse pax records on an entry that cannot have them");
    if (qn_str_chr(name, '\0') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "NUL in pax record \"GNU.sparse.name\"");
    if (size.n == 0)
        size = record(entry, "GNU.sparse.realsize");
    if (size.n && map_number(size, &entry->real_size, e) < 0)
        return -1;
    if (name.n)
        entry->name = name;
    entry->sparse = true;
    return 0;
}

int qn_tar_sparse_begin(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_tar_entry *entry = &st->entry;
    struct qn_str major = record(entry, "GNU.sparse.major"), minor = record(entry, "GNU.sparse.minor");
    struct qn_str map = record(entry, "GNU.sparse.map"), unused;
    bool listed = qn_pax_get(entry->pax, QN_STR("GNU.sparse.offset"), &unused);
    bool one = qn_str_eq_c(major, "1") && qn_str_eq_c(minor, "0");

    if (major.n == 0 && minor.n == 0 && map.n == 0 && !listed)
        return st->header[QN_TAR_F_TYPE] == 'S' ? gnu_begin(st, e) : 0;
    if (!one && (major.n || minor.n) &&
        !(qn_str_eq_c(major, "0") && (qn_str_eq_c(minor, "0") || qn_str_eq_c(minor, "1"))))
        return qn_fail(e, QN_E_UNSUPPORTED, "unknown sparse format");
    if (pax_common(st, e) < 0)
        return -1;
    if (one) {
        st->map_in_data = true;
        st->map_lines = 0;
        qn_buf_clear(&st->map);
        return 0;
    }
    if (map.n && listed)
        return qn_fail(e, QN_E_MALFORMED, "two sparse maps");
    return map.n ? map_01(st, map, e) : map_00(st, e);
}

/* Whether the map in st->map is complete; its first line says how many segments it has. */
static int map_complete(struct qn_tar_read_state *st, uint64_t *segments, bool *done, struct qn_err *e)
{
    struct qn_str map = qn_buf_view(&st->map);
    ptrdiff_t first = qn_str_chr(qn_str_head(map, QN_TAR_BLOCK), '\n');

    if (first < 0)
        return qn_fail(e, QN_E_MALFORMED, "sparse map: the first line has no end");
    if (map_number(qn_str_head(map, (size_t)first), segments, e) < 0)
        return -1;
    if (*segments > QN_TAR_SEGMENTS_MAX)
        return qn_fail(e, QN_E_LIMIT, "sparse map of %llu segments, at most %u", (unsigned long long)*segments,
                       QN_TAR_SEGMENTS_MAX);
    *done = st->map_lines >= 1 + 2 * *segments;
    return 0;
}

/* 1.0: decimal lines, the number of segments first, padded to a block. */
int qn_tar_sparse_map(struct qn_tar_read_state *st, const uint8_t *block, bool *done, struct qn_err *e)
{
    struct qn_str rest, offset, length;
    uint64_t segments, off, len;

    if (qn_buf_put(&st->map, block, QN_TAR_BLOCK, e) < 0)
        return qn_err_wrap(e, "sparse map");
    for (size_t i = 0; i < QN_TAR_BLOCK; i++)
        st->map_lines += block[i] == '\n';
    if (map_complete(st, &segments, done, e) < 0)
        return -1;
    if (!*done)
        return 0;
    rest = qn_buf_view(&st->map);
    rest = qn_str_from(rest, (size_t)qn_str_chr(rest, '\n') + 1);
    for (uint64_t i = 0; i < segments; i++) {
        if (!qn_str_next(&rest, '\n', &offset) || !qn_str_next(&rest, '\n', &length))
            return qn_fail(e, QN_E_BUG, "sparse map lost its lines");
        if (map_number(offset, &off, e) < 0 || map_number(length, &len, e) < 0 || add_segment(st, off, len, e) < 0)
            return -1;
    }
    return 0;
}

int qn_tar_sparse_end(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_tar_entry *entry = &st->entry;
    uint64_t at = 0, sum = 0;

    for (size_t i = 0; i < entry->segments; i++) {
        struct qn_tar_segment s = st->segment[i];
        uint64_t end;
        if (__builtin_add_overflow(s.off, s.len, &end) || s.off < at || end > entry->real_size)
            return qn_fail(e, QN_E_MALFORMED, "sparse map: segment %zu is not behind the one before, or behind the end",
                           i);
        at = end;
        sum += s.len; /* segments do not overlap and end below 2^63 */
    }
    if (sum != entry->size)
        return qn_fail(e, QN_E_MALFORMED, "sparse map names %llu bytes of data, the archive has %llu",
                       (unsigned long long)sum, (unsigned long long)entry->size);
    entry->segment = st->segment;
    return 0;
}
