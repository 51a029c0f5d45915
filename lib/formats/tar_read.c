#include "tar_read.h"
#include "base/mem.h"
#include "tar_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qn_tar_read_init(struct qn_tar_read *self, const struct qn_limits *limits, const struct qn_tar_events *events,
                     struct qn_err *e)
{
    struct qn_tar_read_state *st = calloc(1, sizeof *st);

    if (!st)
        return qn_fail(e, QN_E_NOMEM, "no memory for a tar scanner");
    st->events = *events;
    st->max_entries = limits->layer_entries;
    st->max_file = QN_MIN(limits->image_size, (uint64_t)INT64_MAX);
    struct qn_buf *bufs[] = {&st->name, &st->link, &st->pax, &st->payload, &st->global, &st->map};
    for (size_t i = 0; i < QN_ARRAY_LEN(bufs); i++)
        qn_buf_init(bufs[i], QN_TAR_EXT_MAX);
    qn_buf_init(&st->joined, QN_TAR_BLOCK);
    self->state = st;
    return 0;
}

void qn_tar_read_fini(struct qn_tar_read *self)
{
    struct qn_tar_read_state *st = self->state;

    if (!st)
        return;
    struct qn_buf *bufs[] = {&st->name, &st->link, &st->pax, &st->payload, &st->global, &st->map, &st->joined};
    for (size_t i = 0; i < QN_ARRAY_LEN(bufs); i++)
        qn_buf_fini(bufs[i]);
    free(st->segment);
    free(st);
    self->state = NULL;
}

/* Says which entry a failure is about: by the best name known so far. */
static int blame(const struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_str name = st->entry.name;

    if (name.n == 0)
        name = st->has_name ? qn_buf_view(&st->name) : qn_tar_text(st->header, QN_TAR_F_NAME);
    return qn_err_wrap(e, "entry %llu \"%s\"", (unsigned long long)st->entries, QN_Q(name));
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* --- extension headers -------------------------------------------------------------------------------------------- */

static bool ext_seen(const struct qn_tar_read_state *st, char type)
{
    return type == 'L' ? st->has_name : type == 'K' ? st->has_link : type == 'x' ? st->has_pax : false;
}

static int begin_ext(struct qn_tar_read_state *st, char type, struct qn_err *e)
{
    int64_t size;

    if (ext_seen(st, type))
        return qn_fail(e, QN_E_MALFORMED, "two extension headers of type '%c'", type);
    if (type == 'g' && st->ext)
        return qn_fail(e, QN_E_MALFORMED, "global header between an entry and its extension header");
    if (qn_tar_number(st->header, QN_TAR_F_SIZE, "size", &size, e) < 0)
        return -1;
    if (size < 0 || size > QN_TAR_EXT_MAX)
        return qn_fail(e, size < 0 ? QN_E_MALFORMED : QN_E_LIMIT, "extension header of %lld bytes, at most %u",
                       (long long)size, QN_TAR_EXT_MAX);
    if (!st->ext && type != 'g') {
        st->ext = true;
        st->ext_off = st->off - QN_TAR_BLOCK;
    }
    st->ext_type = type;
    qn_buf_clear(&st->payload);
    st->left = (uint64_t)size;
    st->pad = (uint32_t)(-(uint64_t)size % QN_TAR_BLOCK);
    st->step = QN_TAR_AT_EXT;
    return 0;
}

/* A GNU long name ends with a NUL; what follows must be NULs too. */
static int long_name(struct qn_buf *to, struct qn_str payload, struct qn_err *e)
{
    ptrdiff_t nul = qn_str_chr(payload, '\0');
    struct qn_str name = qn_str_head(payload, nul < 0 ? payload.n : (size_t)nul);

    if (nul >= 0 && !all_zero((const uint8_t *)payload.p + nul, payload.n - (size_t)nul))
        return qn_fail(e, QN_E_MALFORMED, "NUL inside a long name");
    qn_buf_clear(to);
    return qn_buf_str(to, name, e);
}

static int end_ext(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_str payload = qn_buf_view(&st->payload);

    st->step = QN_TAR_AT_HEADER;
    switch (st->ext_type) {
    case 'L':
        st->has_name = true;
        return long_name(&st->name, payload, e);
    case 'K':
        st->has_link = true;
        return long_name(&st->link, payload, e);
    case 'g':
        st->end_off = st->off;
        if (qn_tar_pax_check(payload, true, e) < 0)
            return -1;
        return qn_buf_str(&st->global, payload, e);
    default:
        st->has_pax = true;
        qn_buf_clear(&st->pax);
        if (qn_tar_pax_check(payload, false, e) < 0)
            return -1;
        return qn_buf_str(&st->pax, payload, e);
    }
}

static int take_ext(struct qn_tar_read_state *st, const uint8_t *p, size_t n, struct qn_err *e)
{
    if (qn_buf_put(&st->payload, p, n, e) < 0)
        return -1;
    st->left -= n;
    if (st->left == 0) {
        st->step = QN_TAR_AT_EXT_PAD;
        st->left = st->pad;
    }
    return 0;
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

static int end_entry(struct qn_tar_read_state *st, struct qn_err *e)
{
    st->step = QN_TAR_AT_HEADER;
    st->end_off = st->off;
    st->entries++;
    if (st->events.entry_end && st->events.entry_end(st->events.ctx, e) < 0)
        return -1;
    st->ext = st->has_name = st->has_link = st->has_pax = false;
    st->header[0] = '\0';
    st->entry.name = QN_STR("");
    return 0;
}

static int begin_data(struct qn_tar_read_state *st, struct qn_err *e)
{
    struct qn_tar_entry *entry = &st->entry;

    if (entry->sparse && qn_tar_sparse_end(st, e) < 0)
        return blame(st, e);
    entry->data_off = st->off;
    st->left = entry->size;
    st->pad = (uint32_t)(-entry->size % QN_TAR_BLOCK);
    entry->end_off = st->off + st->left + st->pad; /* sizes are far below 2^63 */
    st->step = QN_TAR_AT_DATA;
    return st->events.entry(st->events.ctx, entry, e);
}

static int begin_entry(struct qn_tar_read_state *st, struct qn_err *e)
{
    if (st->entries >= st->max_entries)
        return qn_fail(e, QN_E_LIMIT, "more than %llu entries", (unsigned long long)st->max_entries);
    if (qn_tar_entry_build(st, e) < 0)
        return blame(st, e);
    st->entry.index = st->entries;
    st->entry.hdr_off = st->off - QN_TAR_BLOCK;
    st->entry.ext_off = st->ext ? st->ext_off : st->entry.hdr_off;
    if (st->map_in_data) {
        st->step = QN_TAR_AT_MAP;
        return 0;
    }
    if (qn_tar_sparse_more(st, st->header, true)) {
        st->step = QN_TAR_AT_SPARSE;
        return 0;
    }
    return begin_data(st, e);
}

static int take_header(struct qn_tar_read_state *st, struct qn_err *e)
{
    if (all_zero(st->block, sizeof st->block)) {
        if (st->ext)
            return qn_fail(e, QN_E_MALFORMED, "archive ends behind an extension header, at offset %llu",
                           (unsigned long long)st->off);
        st->step = st->step == QN_TAR_AT_ZERO ? QN_TAR_AT_END : QN_TAR_AT_ZERO;
        return 0;
    }
    if (st->step == QN_TAR_AT_ZERO)
        return qn_fail(e, QN_E_MALFORMED, "a single zero block and then more, at offset %llu",
                       (unsigned long long)(st->off - QN_TAR_BLOCK));
    memcpy(st->header, st->block, sizeof st->header);
    if (qn_tar_checksum(st->header, e) < 0)
        return qn_err_wrap(e, "entry %llu: header at offset %llu", (unsigned long long)st->entries,
                           (unsigned long long)(st->off - QN_TAR_BLOCK));
    char type = (char)st->header[QN_TAR_F_TYPE];
    if (type == 'L' || type == 'K' || type == 'x' || type == 'g')
        return begin_ext(st, type, e) < 0 ? blame(st, e) : 0;
    return begin_entry(st, e);
}

static int take_sparse(struct qn_tar_read_state *st, struct qn_err *e)
{
    if (qn_tar_sparse_block(st, st->block, e) < 0)
        return blame(st, e);
    if (qn_tar_sparse_more(st, st->block, false))
        return 0;
    return begin_data(st, e);
}

static int take_map(struct qn_tar_read_state *st, struct qn_err *e)
{
    bool done;

    if (st->entry.size < QN_TAR_BLOCK) {
        (void)qn_fail(e, QN_E_MALFORMED, "sparse map is longer than the data");
        return blame(st, e);
    }
    st->entry.size -= QN_TAR_BLOCK;
    if (qn_tar_sparse_map(st, st->block, &done, e) < 0)
        return blame(st, e);
    return done ? begin_data(st, e) : 0;
}

static int take_block(struct qn_tar_read_state *st, struct qn_err *e)
{
    st->have = 0;
    if (st->step == QN_TAR_AT_SPARSE)
        return take_sparse(st, e);
    if (st->step == QN_TAR_AT_MAP)
        return take_map(st, e);
    return take_header(st, e);
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

/* Steps that need no further byte: empty payloads and paddings. */
static int settle(struct qn_tar_read_state *st, struct qn_err *e)
{
    while (st->left == 0) {
        int r = 0;
        if (st->step == QN_TAR_AT_DATA) {
            st->step = QN_TAR_AT_PAD;
            st->left = st->pad;
            if (st->left)
                return 0;
        }
        if (st->step == QN_TAR_AT_PAD)
            r = end_entry(st, e);
        else if (st->step == QN_TAR_AT_EXT)
            r = take_ext(st, st->block, 0, e);
        else if (st->step == QN_TAR_AT_EXT_PAD)
            r = end_ext(st, e) < 0 ? blame(st, e) : 0;
        else
            return 0;
        if (r < 0)
            return -1;
    }
    return 0;
}

/* Takes some of the bytes; how many goes to `*used`. */
static int take(struct qn_tar_read_state *st, const uint8_t *p, size_t n, size_t *used, struct qn_err *e)
{
    size_t part;

    switch (st->step) {
    case QN_TAR_AT_EXT:
    case QN_TAR_AT_EXT_PAD:
    case QN_TAR_AT_DATA:
    case QN_TAR_AT_PAD:
        part = (size_t)QN_MIN((uint64_t)n, st->left);
        *used = part;
        st->off += part;
        if (st->step == QN_TAR_AT_EXT)
            return take_ext(st, p, part, e) < 0 ? blame(st, e) : 0;
        st->left -= part;
        if (st->step == QN_TAR_AT_DATA && st->events.data)
            return st->events.data(st->events.ctx, p, part, e);
        return 0;
    case QN_TAR_AT_END:
        if (!all_zero(p, n))
            return qn_fail(e, QN_E_MALFORMED, "bytes after the end of the archive, behind offset %llu",
                           (unsigned long long)st->off);
        *used = n;
        st->off += n;
        return 0;
    case QN_TAR_AT_HEADER:
    case QN_TAR_AT_SPARSE:
    case QN_TAR_AT_MAP:
    case QN_TAR_AT_ZERO:
    default:
        part = QN_MIN(n, sizeof st->block - st->have);
        memcpy(st->block + st->have, p, part);
        *used = part;
        st->have += part;
        st->off += part;
        return st->have == sizeof st->block ? take_block(st, e) : 0;
    }
}

int qn_tar_read_feed(struct qn_tar_read *self, const void *p, size_t n, struct qn_err *e)
{
    const uint8_t *at = p;

    while (n) {
        size_t used = 0;
        if (take(self->state, at, n, &used, e) < 0 || settle(self->state, e) < 0)
            return -1;
        at += used;
        n -= used;
    }
    return 0;
}

int qn_tar_read_finish(struct qn_tar_read *self, struct qn_tar_summary *out, struct qn_err *e)
{
    struct qn_tar_read_state *st = self->state;
    bool boundary = st->step == QN_TAR_AT_HEADER && st->have == 0 && !st->ext;
    bool zero = st->step == QN_TAR_AT_ZERO && all_zero(st->block, st->have);

    if (!boundary && !zero && st->step != QN_TAR_AT_END) {
        (void)qn_fail(e, QN_E_MALFORMED, "archive stops in the middle, at offset %llu", (unsigned long long)st->off);
        return blame(st, e);
    }
    out->ending = boundary ? QN_TAR_END_NONE : zero ? QN_TAR_END_ONE : QN_TAR_END_TWO;
    out->entries = st->entries;
    out->end_off = st->end_off;
    out->size = st->off;
    return 0;
}
