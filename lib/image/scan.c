#include "scan.h"
#include "content.h"

#include "base/fd.h"
#include "base/path.h"
#include "formats/inflate.h"
#include "formats/tar_read.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPILL_BUFFER  (256u << 10)
#define QN_HASH_BYTES 32
#define NAMES_MAX     (256u << 20)

struct qn_scan_state {
    struct qn_scan_options opt;
    struct qn_inflate inflate;
    struct qn_tar_read tar;
    struct qn_hash hash;
    struct qn_arena arena; /* paths, links, lists */
    struct qn_entry *entry;
    uint64_t *text_at;
    size_t count, cap, text_cap;
    uint64_t tar_size;   /* bytes written to the spill or waiting in `pending` */
    uint64_t text_bytes; /* captured contents in the facts file */
    bool current;        /* an entry's content is wanted when it ends */
    uint64_t facts_size;
    size_t pending;
    char spill[SPILL_BUFFER];
};

static int flush_spill(struct qn_scan_state *s, struct qn_err *e)
{
    if (s->pending == 0)
        return 0;
    if (qn_fd_pwrite(s->opt.spill, s->spill, s->pending, s->tar_size - s->pending, e) < 0)
        return qn_err_wrap(e, "uncompressed layer");
    s->pending = 0;
    return 0;
}

/* Uncompressed bytes: to the spill file, the hash and the tar scanner. The spill comes first, since the scanner's
 * entry_end looks into it. */
static int take_plain(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct qn_scan_state *s = ctx;
    const char *at = p;

    if (s->opt.diff_id)
        qn_hash_update(&s->hash, p, n);
    for (size_t left = n; left;) {
        size_t k = QN_MIN(left, sizeof s->spill - s->pending);
        memcpy(s->spill + s->pending, at, k);
        s->pending += k;
        s->tar_size += k;
        at += k;
        left -= k;
        if (s->pending == sizeof s->spill && flush_spill(s, e) < 0)
            return -1;
    }
    return qn_tar_read_feed(&s->tar, p, n, e);
}

static bool has_caps(struct qn_str pax)
{
    struct qn_str value;
    return qn_pax_get(pax, QN_STR("SCHILY.xattr.security.capability"), &value) ||
           qn_pax_get(pax, QN_STR("LIBARCHIVE.xattr.security.capability"), &value);
}

static enum qn_entry_type entry_type(enum qn_tar_type type)
{
    static const enum qn_entry_type types[] = {
        [QN_TAR_FILE] = QN_FILE, [QN_TAR_HARDLINK] = QN_HARDLINK, [QN_TAR_SYMLINK] = QN_SYMLINK,
        [QN_TAR_CHAR] = QN_CHAR, [QN_TAR_BLOCKDEV] = QN_BLOCK,    [QN_TAR_DIR] = QN_DIR,
        [QN_TAR_FIFO] = QN_FIFO,
    };
    return types[type];
}

/* Whiteouts (OCI image-spec layer.md): ".wh.NAME" hides NAME, ".wh..wh..opq" the whole content of its directory.
 * Other ".wh..wh." names are AUFS bookkeeping, which runtimes skip: they hide nothing and are kept as they are. */
static int whiteout(struct qn_scan_state *s, struct qn_entry *n, struct qn_err *e)
{
    struct qn_str base = qn_path_base(n->path), dir = qn_path_dir(n->path);

    if (!qn_str_starts(base, QN_STR(".wh.")))
        return 0;
    if (qn_str_eq(base, QN_STR(".wh..wh..opq"))) {
        n->type = QN_OPAQUE;
        n->path = dir;
        return 0;
    }
    if (qn_str_starts(base, QN_STR(".wh..wh.")))
        return 0;
    base = qn_str_from(base, 4);
    if (base.n == 0 || qn_str_eq(base, QN_STR(".")) || qn_str_eq(base, QN_STR("..")))
        return qn_fail(e, QN_E_MALFORMED, "entry \"%s\": whiteout of nothing", QN_Q(n->path));
    n->type = QN_WHITEOUT;
    return qn_arena_printf(&s->arena, &n->path, e, "%.*s%s%.*s", QN_FMT(dir), dir.n ? "/" : "", QN_FMT(base));
}

static int keep_segments(struct qn_scan_state *s, const struct qn_tar_entry *t, struct qn_entry *n, struct qn_err *e)
{
    struct qn_tar_segment *copy = qn_arena_alloc(&s->arena, t->segments, sizeof *copy, e);

    if (!copy)
        return -1;
    for (size_t i = 0; i < t->segments; i++)
        copy[i] = t->segment[i];
    n->segment = copy;
    n->segments = (uint32_t)t->segments;
    return 0;
}

static int on_entry(void *ctx, const struct qn_tar_entry *t, struct qn_err *e)
{
    struct qn_scan_state *s = ctx;
    char clean[QN_PATH_MAX];
    struct qn_str path, link;

    if (qn_grow((void **)&s->entry, &s->cap, s->count + 1, sizeof *s->entry, s->opt.limits.layer_entries, e) < 0 ||
        qn_grow((void **)&s->text_at, &s->text_cap, s->count + 1, sizeof *s->text_at, s->opt.limits.layer_entries, e) <
            0)
        return qn_err_wrap(e, "layer entries");
    struct qn_entry n = {.type = entry_type(t->type),
                         .mode = t->mode,
                         .uid = t->uid,
                         .gid = t->gid,
                         .dev_major = t->devmajor,
                         .dev_minor = t->devminor,
                         .size = t->real_size,
                         .mtime = t->mtime,
                         .mtime_nsec = t->mtime_nsec,
                         .sparse = t->sparse,
                         .caps = has_caps(t->pax),
                         .seq = (uint32_t)s->count,
                         .begin = t->ext_off,
                         .data = t->data_off,
                         .end = t->end_off};
    if (qn_path_clean(t->name, clean, &path, e) < 0 || qn_arena_str(&s->arena, path, &n.path, e) < 0)
        return qn_err_wrap(e, "entry %zu", s->count);
    link = t->link;
    if (n.type == QN_HARDLINK && qn_path_clean(t->link, clean, &link, e) < 0)
        return qn_err_wrap(e, "entry %zu \"%s\": hard link", s->count, QN_Q(t->name));
    if (qn_arena_str(&s->arena, link, &n.link, e) < 0 || qn_arena_str(&s->arena, t->uname, &n.uname, e) < 0 ||
        qn_arena_str(&s->arena, t->gname, &n.gname, e) < 0 || qn_arena_str(&s->arena, t->pax, &n.pax, e) < 0)
        return -1;
    if (whiteout(s, &n, e) < 0 || (n.type == QN_FILE && n.sparse && keep_segments(s, t, &n, e) < 0))
        return -1;
    n.sparse = n.type == QN_FILE && n.sparse;
    s->current = n.type == QN_FILE && !n.sparse;
    s->entry[s->count++] = n;
    return 0;
}

static int hash_content(struct qn_scan_state *s, struct qn_entry *n, struct qn_str bytes, struct qn_err *e)
{
    struct qn_digest d = qn_digest_of(bytes);

    return qn_arena_str(&s->arena, qn_str_n(d.bytes, QN_HASH_BYTES), &n->hash, e);
}

/* The content of the entry that just ended, through a window of the spill file. */
static int look_at(struct qn_scan_state *s, struct qn_entry *n, struct qn_str bytes, struct qn_err *e)
{
    uint64_t keep = qn_content_capture(n->path, n->size, bytes);

    if (s->opt.contents && hash_content(s, n, bytes, e) < 0)
        return -1;
    if (!qn_content_wanted(n->path, n->size, qn_str_head(bytes, 4)))
        return 0;
    if (keep) {
        n->captured = true;
        n->text = qn_str_head(bytes, (size_t)keep);
        s->text_at[s->count - 1] = s->text_bytes;
        if (qn_fd_pwrite(s->opt.facts, bytes.p, (size_t)keep, s->text_bytes, e) < 0)
            return qn_err_wrap(e, "layer facts");
        s->text_bytes += keep;
    }
    int r = qn_content_read(bytes, n, &s->arena, e);
    n->text.p = NULL; /* only its length counts from here on */
    return r;
}

static int on_entry_end(void *ctx, struct qn_err *e)
{
    struct qn_scan_state *s = ctx;
    struct qn_entry *n = &s->entry[s->count - 1];
    char head[4];
    size_t got;

    if (!s->current)
        return 0;
    if (n->size == 0) {
        n->captured = true;
        return 0;
    }
    /* Most files are decided by their first bytes alone; those are often still in the buffer. */
    uint64_t flushed = s->tar_size - s->pending;
    if (n->data >= flushed) {
        got = (size_t)QN_MIN(n->size, sizeof head);
        memcpy(head, s->spill + (n->data - flushed), got);
    } else if (flush_spill(s, e) < 0 ||
               qn_fd_pread(s->opt.spill, head, (size_t)QN_MIN(n->size, sizeof head), n->data, &got, e) < 0) {
        return -1;
    }
    if (!s->opt.contents && !qn_content_wanted(n->path, n->size, qn_str_n(head, got)))
        return 0;
    if (n->data >= s->tar_size - s->pending)
        return look_at(s, n, qn_str_n(s->spill + (n->data - (s->tar_size - s->pending)), (size_t)n->size), e);
    if (flush_spill(s, e) < 0)
        return -1;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), off = n->data & ~(page - 1);
    size_t len = (size_t)(n->data - off + n->size);
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, s->opt.spill, (off_t)off);
    if (map == MAP_FAILED)
        return qn_fail_errno(e, QN_E_IO, "window of %zu bytes", len);
    int r = look_at(s, n, qn_str_n((char *)map + (n->data - off), (size_t)n->size), e);
    munmap(map, len);
    return r;
}

int qn_scan_init(struct qn_scan *self, const struct qn_scan_options *options, struct qn_err *e)
{
    struct qn_scan_state *s = qn_new(struct qn_scan_state);
    struct qn_tar_events events = {.entry = on_entry, .entry_end = on_entry_end, .ctx = s};

    s->opt = *options;
    qn_arena_init(&s->arena, NAMES_MAX);
    self->state = s;
    if (options->diff_id)
        qn_hash_init(&s->hash, QN_SHA256);
    if (qn_inflate_init(&s->inflate, options->compression, options->limits.image_size, options->limits.layer_ratio, e) <
            0 ||
        qn_tar_read_init(&s->tar, &options->limits, &events, e) < 0) {
        qn_scan_fini(self);
        return -1;
    }
    return 0;
}

int qn_scan_feed(struct qn_scan *self, const void *p, size_t n, struct qn_err *e)
{
    struct qn_sink sink = {take_plain, self->state};
    return qn_inflate_feed(&self->state->inflate, p, n, &sink, e);
}

static int write_facts(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    struct qn_scan_state *s = ctx;

    if (qn_fd_pwrite(s->opt.facts, p, n, s->facts_size, e) < 0)
        return qn_err_wrap(e, "layer facts");
    s->facts_size += n;
    return 0;
}

/* Sorts the entries; text_at is reordered along by sequence number. */
static int encode(struct qn_scan_state *s, uint64_t tail, const struct qn_digest *diff_id, struct qn_err *e)
{
    struct qn_layer_index ix = {
        .entry = s->entry, .count = s->count, .size = s->tar_size, .tail = tail, .diff_id = *diff_id};
    struct qn_sink sink = {write_facts, s};

    if (s->count)
        qsort(s->entry, s->count, sizeof *s->entry, qn_entry_cmp);
    uint64_t *sorted = qn_xcalloc(s->count, sizeof *sorted);
    for (size_t i = 0; i < s->count; i++)
        sorted[i] = s->text_at[s->entry[i].seq];
    s->facts_size = s->text_bytes;
    int r = qn_layer_encode(&ix, sorted, s->text_bytes, &sink, e);
    free(sorted);
    return r;
}

int qn_scan_finish(struct qn_scan *self, struct qn_scan_result *out, struct qn_err *e)
{
    struct qn_scan_state *s = self->state;
    struct qn_tar_summary summary;
    struct qn_digest diff_id = {QN_DIGEST_NONE, {0}};

    if (qn_inflate_finish(&s->inflate, e) < 0 || qn_tar_read_finish(&s->tar, &summary, e) < 0 || flush_spill(s, e) < 0)
        return -1;
    if (s->opt.diff_id)
        diff_id = qn_hash_final(&s->hash);
    if (encode(s, summary.end_off, &diff_id, e) < 0)
        return -1;
    *out = (struct qn_scan_result){s->count, s->tar_size, s->facts_size, diff_id};
    return 0;
}

void qn_scan_fini(struct qn_scan *self)
{
    struct qn_scan_state *s = self->state;
    if (!s)
        return;
    qn_inflate_fini(&s->inflate);
    qn_tar_read_fini(&s->tar);
    qn_hash_fini(&s->hash);
    qn_arena_fini(&s->arena);
    free(s->entry);
    free(s->text_at);
    free(s);
    self->state = NULL;
}

int qn_scan_file(const struct qn_scan_options *options, int layer, struct qn_scan_result *out, struct qn_err *e)
{
    qn_auto_scan struct qn_scan scan = {0};
    char chunk[32768];
    size_t got;

    if (qn_scan_init(&scan, options, e) < 0)
        return -1;
    do {
        if (qn_fd_read(layer, chunk, sizeof chunk, &got, e) < 0 || qn_scan_feed(&scan, chunk, got, e) < 0)
            return -1;
    } while (got == sizeof chunk);
    return qn_scan_finish(&scan, out, e);
}
