#include "zip.h"

#include "base/compiler.h"

#include <zlib.h>

enum { END_SIZE = 22, END_COMMENT_MAX = 65535, ENTRY_SIZE = 46, LOCAL_SIZE = 30 };
#define END_SIGN   0x06054b50u
#define ENTRY_SIGN 0x02014b50u
#define LOCAL_SIGN 0x04034b50u

static uint32_t le(const char *p, unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint32_t)(unsigned char)p[i] << (8 * i);
    return v;
}

int qn_zip_open(struct qn_str bytes, struct qn_zip *out, struct qn_err *e)
{
    size_t lowest = bytes.n > END_SIZE + END_COMMENT_MAX ? bytes.n - END_SIZE - END_COMMENT_MAX : 0;

    for (size_t at = bytes.n < END_SIZE ? 0 : bytes.n - END_SIZE + 1; at-- > lowest;) {
        const char *p = bytes.p + at;
        if (le(p, 4) != END_SIGN || le(p + 20, 2) > bytes.n - at - END_SIZE)
            continue;
        size_t size = le(p + 12, 4);
        /* The directory ends where this record starts, wherever the archive itself does: offsets count from there. */
        if (size > at)
            break;
        size_t begin = at - size, said = le(p + 16, 4);
        if (said > begin)
            break;
        *out = (struct qn_zip){qn_str_from(bytes, begin - said), said, said + size};
        return 0;
    }
    return qn_fail(e, QN_E_MALFORMED, "zip: no central directory");
}

bool qn_zip_next(struct qn_zip *z, struct qn_zip_entry *out)
{
    if (z->at > z->end || z->end - z->at < ENTRY_SIZE || le(z->bytes.p + z->at, 4) != ENTRY_SIGN)
        return false;
    const char *p = z->bytes.p + z->at;
    size_t name = le(p + 28, 2), rest = name + le(p + 30, 2) + le(p + 32, 2);
    size_t stored = le(p + 20, 4), local = le(p + 42, 4);
    if (rest > z->end - z->at - ENTRY_SIZE)
        return false;
    *out = (struct qn_zip_entry){qn_str_n(p + ENTRY_SIZE, name), QN_STR(""), (uint16_t)le(p + 10, 2), le(p + 24, 4)};
    z->at += ENTRY_SIZE + rest;
    if (le(p + 8, 2) & 1) /* encrypted */
        return true;
    if (local > z->bytes.n || z->bytes.n - local < LOCAL_SIZE || le(z->bytes.p + local, 4) != LOCAL_SIGN)
        return true;
    size_t data = local + LOCAL_SIZE + le(z->bytes.p + local + 26, 2) + le(z->bytes.p + local + 28, 2);
    if (data <= z->bytes.n && stored <= z->bytes.n - data)
        out->stored = qn_str_n(z->bytes.p + data, stored);
    return true;
}

int64_t qn_zip_read(const struct qn_zip_entry *entry, char *buf, size_t size)
{
    z_stream s = {0};

    if (entry->size > size || entry->stored.n > UINT32_MAX || size > UINT32_MAX || entry->stored.n == 0)
        return -1;
    if (entry->method == 0) {
        if (entry->stored.n > size)
            return -1;
        memcpy(buf, entry->stored.p, entry->stored.n);
        return (int64_t)entry->stored.n;
    }
    if (entry->method != 8 || inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return -1;
    s.next_in = (unsigned char *)(uintptr_t)entry->stored.p;
    s.avail_in = (unsigned)entry->stored.n;
    s.next_out = (unsigned char *)buf;
    s.avail_out = (unsigned)size;
    int r = inflate(&s, Z_FINISH);
    int64_t n = (int64_t)(size - s.avail_out);
    (void)inflateEnd(&s);
    return r == Z_STREAM_END ? n : -1;
}
