/* One tar entry out of its header block and its extension headers. */
#include "base/num.h"
#include "base/path.h"
#include "tar_internal.h"

#include <string.h>

int qn_pax_next(struct qn_str *rest, struct qn_str *key, struct qn_str *value)
{
    uint64_t n = 0;
    size_t digits = 0;

    if (rest->n == 0)
        return 0;
    while (digits < rest->n && digits < 9 && rest->p[digits] >= '0' && rest->p[digits] <= '9')
        n = n * 10 + (uint64_t)(rest->p[digits++] - '0');
    if (digits == 0 || digits >= rest->n || rest->p[digits] != ' ' || n > rest->n || n < digits + 4 ||
        rest->p[n - 1] != '\n')
        return -1;
    struct qn_str record = {rest->p + digits + 1, (size_t)n - digits - 2};
    ptrdiff_t equals = qn_str_chr(record, '=');
    if (equals <= 0)
        return -1;
    *key = qn_str_head(record, (size_t)equals);
    *value = qn_str_from(record, (size_t)equals + 1);
    *rest = qn_str_from(*rest, (size_t)n);
    return qn_str_chr(*key, '\0') < 0 ? 1 : -1;
}

bool qn_pax_get(struct qn_str pax, struct qn_str key, struct qn_str *value)
{
    struct qn_str k, v;
    bool found = false;

    while (qn_pax_next(&pax, &k, &v) == 1)
        if (qn_str_eq(k, key)) {
            *value = v;
            found = true;
        }
    return found;
}

/* Global records with these keys would change entries for one reader and not for the next. */
static bool changes_entries(struct qn_str key)
{
    static const char *const keys[] = {"path", "linkpath", "size", "uid", "gid"};

    for (size_t i = 0; i < QN_ARRAY_LEN(keys); i++)
        if (qn_str_eq_c(key, keys[i]))
            return true;
    return qn_str_starts(key, QN_STR("SCHILY.xattr.")) || qn_str_starts(key, QN_STR("GNU.sparse."));
}

int qn_tar_pax_check(struct qn_str pax, bool global, struct qn_err *e)
{
    struct qn_str rest = pax, key, value;
    int r;

    while ((r = qn_pax_next(&rest, &key, &value)) == 1)
        if (global && changes_entries(key))
            return qn_fail(e, QN_E_UNSUPPORTED, "global pax record \"%s\": readers disagree on it", QN_Q(key));
    if (r < 0)
        return qn_fail(e, QN_E_MALFORMED, "pax record at byte %zu of its header is not well-formed", pax.n - rest.n);
    return 0;
}

/* --- header fields ------------------------------------------------------------------------------------------------ */

struct qn_str qn_tar_text(const uint8_t *block, size_t off, size_t n)
{
    struct qn_str s = {(const char *)block + off, n};
    ptrdiff_t nul = qn_str_chr(s, '\0');

    return nul < 0 ? s : qn_str_head(s, (size_t)nul);
}

/* Base-256: the top bit is the mark, the next one the sign of a two's complement number. */
static int base256(const uint8_t *p, size_t n, int64_t *out)
{
    bool negative = p[0] & 0x40;
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t byte = negative ? (uint8_t)~p[i] : p[i];
        if (i == 0)
            byte &= 0x7f;
        if (v >> 56)
            return -1;
        v = v << 8 | byte;
    }
    if (v >> 63)
        return -1;
    *out = negative ? -(int64_t)v - 1 : (int64_t)v;
    return 0;
}

int qn_tar_number(const uint8_t *block, size_t off, size_t n, const char *what, int64_t *out, struct qn_err *e)
{
    const uint8_t *p = block + off;

    if (p[0] & 0x80) {
        if (base256(p, n, out) < 0)
            return qn_fail(e, QN_E_MALFORMED, "%s field is out of range", what);
        return 0;
    }
    while (n && (*p == ' ' || *p == '\0')) {
        p++;
        n--;
    }
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\0'))
        n--;
    uint64_t v = 0;
    for (size_t i = 0; i < n && p[i]; i++) {
        if (p[i] < '0' || p[i] > '7')
            return qn_fail(e, QN_E_MALFORMED, "%s field is not octal", what);
        v = v << 3 | (uint64_t)(p[i] - '0'); /* twelve digits at most: 36 bits */
    }
    *out = (int64_t)v;
    return 0;
}

enum qn_tar_flavour qn_tar_flavour(const uint8_t *block)
{
    if (memcmp(block + 257, "ustar  ", 8) == 0)
        return QN_TAR_GNU;
    if (memcmp(block + 257, "ustar", 6) != 0)
        return QN_TAR_V7;
    return memcmp(block + 508, "tar", 4) == 0 ? QN_TAR_STAR : QN_TAR_USTAR;
}

int qn_tar_checksum(const uint8_t *block, struct qn_err *e)
{
    int64_t want, plus = 0, minus = 0;

    for (size_t i = 0; i < QN_TAR_BLOCK; i++) {
        uint8_t byte = i >= 148 && i < 156 ? ' ' : block[i];
        plus += byte;
        minus += (int8_t)byte;
    }
    if (qn_tar_number(block, QN_TAR_F_CHKSUM, "checksum", &want, e) < 0)
        return -1;
    if (want != plus && want != minus)
        return qn_fail(e, QN_E_MALFORMED, "checksum is wrong, or this is not a tar archive");
    return 0;
}

/* --- the entry ---------------------------------------------------------------------------------------------------- */

static int id_field(const uint8_t *h, size_t off, size_t n, const char *what, uint32_t *out, struct qn_err *e)
{
    int64_t v;

    if (qn_tar_number(h, off, n, what, &v, e) < 0)
        return -1;
    if (v < 0 || v > UINT32_MAX)
        return qn_fail(e, QN_E_MALFORMED, "%s %lld is out of range", what, (long long)v);
    *out = (uint32_t)v;
    return 0;
}

/* The prefix of a name. Archives by Go before 1.8 have one under GNU magic, where times should be. */
static struct qn_str name_prefix(const uint8_t *h)
{
    struct qn_err ignored;
    int64_t number;

    switch (qn_tar_flavour(h)) {
    case QN_TAR_USTAR:
        return qn_tar_text(h, QN_TAR_F_PREFIX);
    case QN_TAR_STAR:
        return qn_tar_text(h, QN_TAR_F_STAR);
    case QN_TAR_GNU:
        if ((h[345] == 0 || qn_tar_number(h, QN_TAR_F_ATIME, "atime", &number, &ignored) == 0) &&
            (h[357] == 0 || qn_tar_number(h, QN_TAR_F_CTIME, "ctime", &number, &ignored) == 0))
            return QN_STR("");
        for (size_t i = 345; i < 500 && h[i]; i++)
            if (h[i] & 0x80)
                return QN_STR("");
        return qn_tar_text(h, QN_TAR_F_PREFIX);
    case QN_TAR_V7:
    default:
        return QN_STR("");
    }
}

static int header_name(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_str prefix = name_prefix(st->header), name = qn_tar_text(st->header, QN_TAR_F_NAME);

    st->entry.name = name;
    if (prefix.n == 0)
        return 0;
    qn_buf_clear(&st->joined);
    if (qn_buf_str(&st->joined, prefix, e) < 0 || qn_buf_c(&st->joined, "/", e) < 0 ||
        qn_buf_str(&st->joined, name, e) < 0)
        return -1;
    st->entry.name = qn_buf_view(&st->joined);
    return 0;
}

static int header_type(struct qn_tar_read_state *st, struct qn_err *e)
{
    static const struct {
        char flag;
        enum qn_tar_type type;
    } types[] = {{'\0', QN_TAR_FILE},    {'0', QN_TAR_FILE},    {'7', QN_TAR_FILE}, {'S', QN_TAR_FILE},
                 {'1', QN_TAR_HARDLINK}, {'2', QN_TAR_SYMLINK}, {'3', QN_TAR_CHAR}, {'4', QN_TAR_BLOCKDEV},
                 {'5', QN_TAR_DIR},      {'6', QN_TAR_FIFO}};
    char flag = (char)st->header[QN_TAR_F_TYPE];

    for (size_t i = 0; i < QN_ARRAY_LEN(types); i++)
        if (types[i].flag == flag) {
            st->entry.type = types[i].type;
            return 0;
        }
    return qn_fail(e, QN_E_UNSUPPORTED, "unknown entry type \"%s\"", QN_Q(qn_str_n(&flag, 1)));
}

static int header_fields(struct qn_tar_read_state *st, struct qn_err *e)
{
    const uint8_t *h = st->header;
    struct qn_tar_entry *entry = &st->entry;
    int64_t mode, size;

    if (header_name(st, e) < 0 || header_type(st, e) < 0)
        return -1;
    if (qn_tar_number(h, QN_TAR_F_MODE, "mode", &mode, e) < 0 || id_field(h, QN_TAR_F_UID, "uid", &entry->uid, e) < 0 ||
        id_field(h, QN_TAR_F_GID, "gid", &entry->gid, e) < 0 || qn_tar_number(h, QN_TAR_F_SIZE, "size", &size, e) < 0 ||
        qn_tar_number(h, QN_TAR_F_MTIME, "mtime", &entry->mtime, e) < 0)
        return -1;
    if (size < 0)
        return qn_fail(e, QN_E_MALFORMED, "size is negative");
    entry->mode = (uint16_t)(mode & 07777);
    entry->size = (uint64_t)size;
    entry->link = qn_tar_text(h, QN_TAR_F_LINK);
    if (qn_tar_flavour(h) == QN_TAR_V7)
        return 0;
    entry->uname = qn_tar_text(h, QN_TAR_F_UNAME);
    entry->gname = qn_tar_text(h, QN_TAR_F_GNAME);
    if (entry->type != QN_TAR_CHAR && entry->type != QN_TAR_BLOCKDEV)
        return 0;
    if (id_field(h, QN_TAR_F_DEVMAJOR, "device major", &entry->devmajor, e) < 0)
        return -1;
    return id_field(h, QN_TAR_F_DEVMINOR, "device minor", &entry->devminor, e);
}

/* "[-]SECONDS[.FRACTION]", the fraction cut to nanoseconds. */
static int pax_time(struct qn_str s, int64_t *sec, uint32_t *nsec, struct qn_err *e)
{
    ptrdiff_t dot = qn_str_chr(s, '.');
    struct qn_str fraction = dot < 0 ? QN_STR("") : qn_str_from(s, (size_t)dot + 1);
    bool negative = s.n > 0 && s.p[0] == '-';
    int64_t whole;
    uint32_t ns = 0;

    if (qn_num_i64(qn_str_head(s, dot < 0 ? s.n : (size_t)dot), -(1ll << 60), 1ll << 60, &whole, e) < 0)
        return qn_fail(e, QN_E_MALFORMED, "mtime \"%s\" is not a time", QN_Q(s));
    for (size_t i = 0; i < QN_MAX(fraction.n, (size_t)9); i++) {
        char c = i < fraction.n ? fraction.p[i] : '0';
        if (c < '0' || c > '9')
            return qn_fail(e, QN_E_MALFORMED, "mtime \"%s\" is not a time", QN_Q(s));
        if (i < 9)
            ns = ns * 10 + (uint32_t)(c - '0');
    }
    *sec = negative && ns ? whole - 1 : whole;
    *nsec = negative && ns ? 1000000000u - ns : ns;
    return 0;
}

static int pax_id(struct qn_str s, const char *what, uint32_t *out, struct qn_err *e)
{
    uint64_t v;

    if (qn_num_u64(s, 0, UINT32_MAX, &v, e) < 0)
        return qn_fail(e, QN_E_MALFORMED, "%s \"%s\" is not a number or out of range", what, QN_Q(s));
    *out = (uint32_t)v;
    return 0;
}

/* A record with an empty value leaves the header's field as it is. */
static int pax_record(struct qn_tar_entry *entry, struct qn_str key, struct qn_str value, struct qn_err *e)
{
    if (value.n == 0)
        return 0;
    struct qn_str *text = qn_str_eq_c(key, "path")       ? &entry->name
                          : qn_str_eq_c(key, "linkpath") ? &entry->link
                          : qn_str_eq_c(key, "uname")    ? &entry->uname
                          : qn_str_eq_c(key, "gname")    ? &entry->gname
                                                         : NULL;
    if (text) {
        if (qn_str_chr(value, '\0') >= 0)
            return qn_fail(e, QN_E_MALFORMED, "NUL in pax record \"%s\"", QN_Q(key));
        *text = value;
        return 0;
    }
    if (qn_str_eq_c(key, "uid"))
        return pax_id(value, "pax uid", &entry->uid, e);
    if (qn_str_eq_c(key, "gid"))
        return pax_id(value, "pax gid", &entry->gid, e);
    if (qn_str_eq_c(key, "mtime"))
        return pax_time(value, &entry->mtime, &entry->mtime_nsec, e);
    if (qn_str_eq_c(key, "size") && qn_num_u64(value, 0, INT64_MAX, &entry->size, e) < 0)
        return qn_fail(e, QN_E_MALFORMED, "pax size \"%s\" is not a number or out of range", QN_Q(value));
    return 0;
}

/* The last record of a key counts, so only it is looked at. */
static int pax_fields(struct qn_tar_entry *entry, struct qn_err *e)
{
    static const char *const keys[] = {"path", "linkpath", "uname", "gname", "uid", "gid", "mtime", "size"};

    for (size_t i = 0; i < QN_ARRAY_LEN(keys); i++) {
        struct qn_str key = qn_str_c(keys[i]), value;
        if (qn_pax_get(entry->pax, key, &value) && pax_record(entry, key, value, e) < 0)
            return -1;
    }
    return 0;
}

static int gnu_name(struct qn_str *field, const struct qn_buf *value, struct qn_str pax, const char *key,
                    struct qn_err *e)
{
    struct qn_str name = qn_buf_view(value), other;

    if (name.n == 0)
        return 0;
    if (qn_pax_get(pax, qn_str_c(key), &other) && other.n && !qn_str_eq(name, other))
        return qn_fail(e, QN_E_MALFORMED, "pax %s and GNU long name differ", key);
    *field = name;
    return 0;
}

static int check_names(const struct qn_tar_entry *entry, struct qn_err *e)
{
    if (entry->name.n > QN_PATH_MAX)
        return qn_fail(e, QN_E_MALFORMED, "name of %zu bytes, at most %u", entry->name.n, QN_PATH_MAX);
    if (entry->link.n > QN_PATH_MAX)
        return qn_fail(e, QN_E_MALFORMED, "link target of %zu bytes, at most %u", entry->link.n, QN_PATH_MAX);
    return 0;
}

int qn_tar_entry_build(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_tar_entry *entry = &st->entry;

    *entry = (struct qn_tar_entry){.pax = st->has_pax ? qn_buf_view(&st->pax) : QN_STR(""),
                                   .pax_global = qn_buf_view(&st->global),
                                   .name = QN_STR(""),
                                   .link = QN_STR(""),
                                   .uname = QN_STR(""),
                                   .gname = QN_STR("")};
    st->map_in_data = false;
    if (header_fields(st, e) < 0 || pax_fields(entry, e) < 0)
        return -1;
    if ((st->has_name && gnu_name(&entry->name, &st->name, entry->pax, "path", e) < 0) ||
        (st->has_link && gnu_name(&entry->link, &st->link, entry->pax, "linkpath", e) < 0))
        return -1;
    if (st->header[QN_TAR_F_TYPE] == '\0' && qn_str_ends(entry->name, QN_STR("/")))
        entry->type = QN_TAR_DIR;
    if (entry->type != QN_TAR_FILE)
        entry->size = 0;
    if (entry->type != QN_TAR_HARDLINK && entry->type != QN_TAR_SYMLINK)
        entry->link = QN_STR("");
    entry->real_size = entry->size;
    if (qn_tar_sparse_begin(st, e) < 0 || check_names(entry, e) < 0)
        return -1;
    if (entry->size > st->max_file || entry->real_size > st->max_file)
        return qn_fail(e, QN_E_LIMIT, "file of %llu bytes, at most %llu",
                       (unsigned long long)QN_MAX(entry->size, entry->real_size), (unsigned long long)st->max_file);
    return 0;
}
