#include "tar_write.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>

#define PAX_MAX (1u << 20)

unsigned qn_tar_padding(uint64_t size)
{
    return (unsigned)(-size % QN_TAR_BLOCK);
}

int qn_tar_write_end(struct qn_buf *out, struct qn_err *e)
{
    return qn_buf_zero(out, 2 * QN_TAR_BLOCK, e);
}

/* --- header fields ------------------------------------------------------------------------------------------------ */

/* Octal digits and a NUL; false, and zero in the field, when the number does not fit. */
static bool octal(char *h, size_t off, size_t n, uint64_t v)
{
    bool fits = v >> (3 * (n - 1)) == 0;

    if (!fits)
        v = 0;
    for (size_t i = n - 1; i-- > 0; v >>= 3)
        h[off + i] = (char)('0' + (v & 7));
    return fits;
}

static bool text(char *h, size_t off, size_t n, struct qn_str s)
{
    if (s.n)
        memcpy(h + off, s.p, QN_MIN(s.n, n));
    return s.n <= n;
}

/* Splits a name at a "/" so that both parts fit. */
static bool name_fits(char *h, struct qn_str name)
{
    if (text(h, 0, 100, name))
        return true;
    for (size_t i = QN_MIN(name.n - 1, (size_t)155); i > 0; i--)
        if (name.p[i] == '/' && name.n - i - 1 <= 100 && name.n - i - 1 > 0) {
            memset(h, 0, 100);
            text(h, 345, 155, qn_str_head(name, i));
            return text(h, 0, 100, qn_str_from(name, i + 1));
        }
    return false;
}

static void finish_header(char *h, char type)
{
    unsigned sum = 0;

    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < QN_TAR_BLOCK; i++)
        sum += (uint8_t)h[i];
    octal(h, 148, 7, sum);
}

/* --- pax records -------------------------------------------------------------------------------------------------- */

static int put_record(struct qn_buf *b, struct qn_str key, struct qn_str value, struct qn_err *e)
{
    size_t body = key.n + value.n + 3, n = body + 1; /* blank, "=", newline and one digit */

    /* The length counts its own digits. */
    for (;;) {
        size_t digits = 1;
        for (size_t v = n; v >= 10; v /= 10)
            digits++;
        if (n == body + digits)
            break;
        n = body + digits;
    }
    if (qn_buf_printf(b, e, "%zu ", n) < 0 || qn_buf_str(b, key, e) < 0 || qn_buf_c(b, "=", e) < 0 ||
        qn_buf_str(b, value, e) < 0)
        return -1;
    return qn_buf_c(b, "\n", e);
}

static int put_number(struct qn_buf *b, const char *key, uint64_t v, struct qn_err *e)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)v);

    return put_record(b, qn_str_c(key), qn_str_n(digits, (size_t)n), e);
}

static int put_time(struct qn_buf *b, int64_t sec, uint32_t nsec, struct qn_err *e)
{
    char digits[48];
    bool negative = sec < 0;
    uint64_t whole = negative ? -(uint64_t)sec : (uint64_t)sec;

    if (negative && nsec) {
        whole--;
        nsec = 1000000000u - nsec;
    }
    int n = snprintf(digits, sizeof digits, "%s%llu.%09u", negative ? "-" : "", (unsigned long long)whole, nsec);
    size_t len = (size_t)n;
    while (digits[len - 1] == '0')
        len--;
    if (digits[len - 1] == '.')
        len--;
    return put_record(b, QN_STR("mtime"), qn_str_n(digits, len), e);
}

/* Keys that the entry's fields say already. */
static bool is_field(struct qn_str key)
{
    static const char *const keys[] = {"path", "linkpath", "size", "uid", "gid", "mtime", "uname", "gname"};

    for (size_t i = 0; i < QN_ARRAY_LEN(keys); i++)
        if (qn_str_eq_c(key, keys[i]))
            return true;
    return qn_str_starts(key, QN_STR("GNU.sparse."));
}

static bool dropped(const struct qn_tar_edit *edit, struct qn_str key)
{
    for (size_t i = 0; i < edit->drops; i++) {
        struct qn_str d = edit->drop[i];
        if (d.n && d.p[d.n - 1] == '*' ? qn_str_starts(key, qn_str_head(d, d.n - 1)) : qn_str_eq(key, d))
            return true;
    }
    return false;
}

static int kept_records(const struct qn_tar_entry *entry, const struct qn_tar_edit *edit, struct qn_buf *b,
                        struct qn_err *e)
{
    struct qn_str rest = entry->pax, key, value;
    int r;

    while ((r = qn_pax_next(&rest, &key, &value)) == 1)
        if (!is_field(key) && !dropped(edit, key) && put_record(b, key, value, e) < 0)
            return -1;
    return r < 0 ? qn_fail(e, QN_E_MALFORMED, "pax records are not well-formed") : 0;
}

/* --- the entry ---------------------------------------------------------------------------------------------------- */

static char type_flag(enum qn_tar_type type)
{
    static const char flags[] = {'0', '1', '2', '3', '4', '5', '6'};

    qn_assert((size_t)type < sizeof flags);
    return flags[type];
}

static bool is_device(const struct qn_tar_entry *entry)
{
    return entry->type == QN_TAR_CHAR || entry->type == QN_TAR_BLOCKDEV;
}

/* Device numbers have no pax record that readers share: what does not fit cannot be written. */
static int device_fields(const struct qn_tar_entry *entry, char *h, struct qn_err *e)
{
    bool fits = octal(h, 329, 8, is_device(entry) ? entry->devmajor : 0);

    fits = octal(h, 337, 8, is_device(entry) ? entry->devminor : 0) && fits;
    return fits ? 0
                : qn_fail(e, QN_E_UNSUPPORTED, "device number %u:%u does not fit into a tar header", entry->devmajor,
                          entry->devminor);
}

/* Fills the header; whatever does not fit becomes a record. Records stand in this order, always. */
static int fields(const struct qn_tar_entry *entry, char *h, struct qn_buf *b, struct qn_err *e)
{
    uint64_t size = entry->type == QN_TAR_FILE ? entry->real_size : 0;

    octal(h, 100, 8, entry->mode & 07777u);
    if (!name_fits(h, entry->name) && put_record(b, QN_STR("path"), entry->name, e) < 0)
        return -1;
    if (!text(h, 157, 100, entry->link) && put_record(b, QN_STR("linkpath"), entry->link, e) < 0)
        return -1;
    if (!octal(h, 124, 12, size) && put_number(b, "size", size, e) < 0)
        return -1;
    if (!octal(h, 108, 8, entry->uid) && put_number(b, "uid", entry->uid, e) < 0)
        return -1;
    if (!octal(h, 116, 8, entry->gid) && put_number(b, "gid", entry->gid, e) < 0)
        return -1;
    bool whole = octal(h, 136, 12, entry->mtime < 0 ? 0 : (uint64_t)entry->mtime);
    if ((!whole || entry->mtime < 0 || entry->mtime_nsec) && put_time(b, entry->mtime, entry->mtime_nsec, e) < 0)
        return -1;
    /* Room for the NUL that some readers want. */
    if ((!text(h, 265, 32, entry->uname) || entry->uname.n == 32) &&
        put_record(b, QN_STR("uname"), entry->uname, e) < 0)
        return -1;
    if ((!text(h, 297, 32, entry->gname) || entry->gname.n == 32) &&
        put_record(b, QN_STR("gname"), entry->gname, e) < 0)
        return -1;
    return device_fields(entry, h, e);
}

static int put_pax(struct qn_str records, struct qn_str name, struct qn_buf *out, struct qn_err *e)
{
    char h[QN_TAR_BLOCK] = {0};

    while (name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    text(h, 0, 100, QN_STR("PaxHeaders/"));
    text(h, 11, 89, qn_path_base(name));
    octal(h, 100, 8, 0644);
    octal(h, 108, 8, 0);
    octal(h, 116, 8, 0);
    octal(h, 124, 12, records.n);
    octal(h, 136, 12, 0);
    octal(h, 329, 8, 0);
    octal(h, 337, 8, 0);
    finish_header(h, 'x');
    if (qn_buf_put(out, h, sizeof h, e) < 0 || qn_buf_str(out, records, e) < 0)
        return -1;
    return qn_buf_zero(out, qn_tar_padding(records.n), e);
}

static int check_name(struct qn_str s, const char *what, struct qn_err *e)
{
    if (s.n > QN_PATH_MAX)
        return qn_fail(e, QN_E_MALFORMED, "%s of %zu bytes, at most %u", what, s.n, QN_PATH_MAX);
    if (qn_str_chr(s, '\0') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "NUL in %s \"%s\"", what, QN_Q(s));
    return 0;
}

static int write_entry(const struct qn_tar_entry *entry, const struct qn_tar_edit *edit, struct qn_buf *out,
                       struct qn_err *e)
{
    qn_auto_buf struct qn_buf records = {.max = PAX_MAX};
    char h[QN_TAR_BLOCK] = {0};

    if (entry->name.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "an entry without a name");
    if (check_name(entry->name, "name", e) < 0 || check_name(entry->link, "link target", e) < 0 ||
        check_name(entry->uname, "user name", e) < 0 || check_name(entry->gname, "group name", e) < 0)
        return -1;
    if (fields(entry, h, &records, e) < 0 || kept_records(entry, edit, &records, e) < 0)
        return qn_err_wrap(e, "entry \"%s\"", QN_Q(entry->name));
    finish_header(h, type_flag(entry->type));
    if (records.n && put_pax(qn_buf_view(&records), entry->name, out, e) < 0)
        return -1;
    return qn_buf_put(out, h, sizeof h, e);
}

int qn_tar_entry_edit(const struct qn_tar_entry *entry, const struct qn_tar_edit *edit, struct qn_buf *out,
                      struct qn_err *e)
{
    struct qn_tar_entry changed = *entry;

    if (edit->set_mode)
        changed.mode = edit->mode;
    if (edit->set_uid)
        changed.uid = edit->uid;
    if (edit->set_gid)
        changed.gid = edit->gid;
    if (edit->set_size)
        changed.real_size = edit->size;
    if (edit->set_mtime) {
        changed.mtime = edit->mtime;
        changed.mtime_nsec = 0;
    }
    return write_entry(&changed, edit, out, e);
}

int qn_tar_write_header(const struct qn_tar_entry *entry, struct qn_buf *out, struct qn_err *e)
{
    struct qn_tar_edit nothing = {0};

    return write_entry(entry, &nothing, out, e);
}
