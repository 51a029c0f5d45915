#include "layer.h"

#include "base/cur.h"
#include "base/path.h"

#include <stdlib.h>

#define MAGIC        0x5354434146434e51ull /* "QNCFACTS" */
#define TRAILER_SIZE 128u
#define NEEDED_MAX   4096u
#define SEGMENTS_MAX (1u << 20)
#define FLAG_SPARSE  1u
#define FLAG_CAPS    2u
#define FLAG_WHOLE   4u
#define FLAG_STATIC  8u
#define FLAG_CUT     16u
#define FLAG_PATHS   32u

bool qn_script_shell(const struct qn_script_facts *script)
{
    struct qn_str base = qn_path_base(script->interpreter), rest = script->argument, word;

    if (qn_is_shell_name(base) || qn_is_shell_name(script->program) || qn_str_eq(base, QN_STR("execlineb")) ||
        qn_str_eq(base, QN_STR("with-contenv")))
        return true;
    while (qn_str_word(&rest, &word))
        if (qn_is_shell_name(qn_path_base(word)))
            return true;
    return false;
}

int qn_entry_cmp(const void *a, const void *b)
{
    const struct qn_entry *x = a, *y = b;
    int c = qn_path_cmp(x->path, y->path);
    return c ? c : (x->seq > y->seq) - (x->seq < y->seq);
}

static int put_hints(struct qn_buf *b, const struct qn_hint *hint, uint32_t count, struct qn_err *e)
{
    if (qn_buf_u32(b, count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (qn_buf_u8(b, (uint8_t)hint[i].kind, e) < 0 || qn_buf_lstr(b, hint[i].text, e) < 0)
            return -1;
    return 0;
}

static int put_elf(struct qn_buf *b, const struct qn_elf_facts *f, struct qn_err *e)
{
    if (qn_buf_u8(b, f->class, e) < 0 || qn_buf_u8(b, f->data, e) < 0 || qn_buf_u32(b, f->machine, e) < 0 ||
        qn_buf_u32(b, f->type, e) < 0 || qn_buf_u32(b, f->imports, e) < 0 || qn_buf_lstr(b, f->interp, e) < 0 ||
        qn_buf_lstr(b, f->soname, e) < 0 || qn_buf_lstr(b, f->rpath, e) < 0 || qn_buf_lstr(b, f->runpath, e) < 0 ||
        qn_buf_u32(b, f->needed_count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < f->needed_count; i++)
        if (qn_buf_lstr(b, f->needed[i], e) < 0)
            return -1;
    return put_hints(b, f->hint, f->hint_count, e);
}

static int put_segments(struct qn_buf *b, const struct qn_entry *n, struct qn_err *e)
{
    if (qn_buf_u32(b, n->segments, e) < 0)
        return -1;
    for (uint32_t i = 0; i < n->segments; i++)
        if (qn_buf_u64(b, n->segment[i].off, e) < 0 || qn_buf_u64(b, n->segment[i].len, e) < 0)
            return -1;
    return 0;
}

static int put_entry(struct qn_buf *b, const struct qn_entry *n, uint64_t text_at, struct qn_err *e)
{
    uint32_t flags = (n->sparse ? FLAG_SPARSE : 0) | (n->caps ? FLAG_CAPS : 0) | (n->captured ? FLAG_WHOLE : 0) |
                     (n->elf.is_static ? FLAG_STATIC : 0) | (n->elf.hints_cut || n->named.hints_cut ? FLAG_CUT : 0) |
                     (n->elf.paths_cut ? FLAG_PATHS : 0);
    const uint32_t words[] = {(uint32_t)n->type, (uint32_t)n->content, flags,         n->mode, n->uid,     n->gid,
                              n->dev_major,      n->dev_minor,         n->mtime_nsec, n->seq,  n->secrets, n->units};
    const uint64_t longs[] = {n->size, (uint64_t)n->mtime, n->begin,           n->data,           n->end,
                              text_at, n->text.n,          n->mentions.bit[0], n->mentions.bit[1]};

    for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
        if (qn_buf_u32(b, words[i], e) < 0)
            return -1;
    for (size_t i = 0; i < QN_ARRAY_LEN(longs); i++)
        if (qn_buf_u64(b, longs[i], e) < 0)
            return -1;
    if (qn_buf_lstr(b, n->path, e) < 0 || qn_buf_lstr(b, n->link, e) < 0 || qn_buf_lstr(b, n->uname, e) < 0 ||
        qn_buf_lstr(b, n->gname, e) < 0 || qn_buf_lstr(b, n->pax, e) < 0 || qn_buf_lstr(b, n->hash, e) < 0 ||
        (n->sparse && put_segments(b, n, e) < 0))
        return -1;
    if (n->content == QN_ELF)
        return put_elf(b, &n->elf, e);
    if (n->content == QN_SCRIPT &&
        (qn_buf_lstr(b, n->script.interpreter, e) < 0 || qn_buf_lstr(b, n->script.argument, e) < 0 ||
         qn_buf_lstr(b, n->script.program, e) < 0))
        return -1;
    return n->content == QN_OTHER ? 0 : put_hints(b, n->named.hint, n->named.hint_count, e);
}

static int put_trailer(struct qn_buf *b, const struct qn_layer_index *ix, uint64_t at, uint64_t len, struct qn_err *e)
{
    const uint64_t longs[] = {MAGIC,     QN_FACTS_VERSION, at,       len,
                              ix->count, ix->size,         ix->tail, (uint64_t)ix->diff_id.algorithm};

    for (size_t i = 0; i < QN_ARRAY_LEN(longs); i++)
        if (qn_buf_u64(b, longs[i], e) < 0)
            return -1;
    return qn_buf_put(b, ix->diff_id.bytes, sizeof ix->diff_id.bytes, e);
}

int qn_layer_encode(const struct qn_layer_index *index, const uint64_t *text_at, uint64_t text_bytes,
                    const struct qn_sink *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    uint64_t written = 0;

    qn_buf_init(&b, 64u << 20);
    for (size_t i = 0; i < index->count; i++) {
        if (put_entry(&b, &index->entry[i], text_at[i], e) < 0)
            return -1;
        if (b.n < 65536)
            continue;
        written += b.n;
        if (qn_sink_write(out, b.p, b.n, e) < 0)
            return -1;
        qn_buf_clear(&b);
    }
    written += b.n;
    if (put_trailer(&b, index, text_bytes, written, e) < 0)
        return -1;
    return qn_sink_write(out, b.p, b.n, e);
}

static int get_hints(struct qn_cur *c, struct qn_arena *arena, const struct qn_hint **out, uint32_t *out_count,
                     struct qn_err *e)
{
    uint32_t count = qn_cur_u32(c);

    if (c->bad || count > QN_MAX(QN_HINTS_MAX, QN_TEXT_HINTS_MAX) || count > c->n / 5)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: hints of a file");
    if (count == 0)
        return 0;
    struct qn_hint *hint = qn_arena_alloc(arena, count, sizeof *hint, e);
    if (!hint)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        hint[i].kind = (enum qn_hint_kind)qn_cur_u8(c);
        hint[i].text = qn_cur_lstr(c);
        if (c->bad || hint[i].kind < QN_HINT_PATH || hint[i].kind > QN_HINT_WORD || hint[i].text.n >= QN_PATH_MAX)
            return qn_fail(e, QN_E_MALFORMED, "layer facts: hints of a file");
    }
    *out = hint;
    *out_count = count;
    return 0;
}

static int get_elf(struct qn_cur *c, struct qn_arena *arena, struct qn_elf_facts *f, struct qn_err *e)
{
    f->class = qn_cur_u8(c);
    f->data = qn_cur_u8(c);
    f->machine = (uint16_t)qn_cur_u32(c);
    f->type = (uint16_t)qn_cur_u32(c);
    f->imports = qn_cur_u32(c);
    f->interp = qn_cur_lstr(c);
    f->soname = qn_cur_lstr(c);
    f->rpath = qn_cur_lstr(c);
    f->runpath = qn_cur_lstr(c);
    f->needed_count = qn_cur_u32(c);
    if (c->bad || f->needed_count > NEEDED_MAX)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: ELF record");
    struct qn_str *needed = qn_arena_alloc(arena, f->needed_count, sizeof *needed, e);
    if (!needed)
        return -1;
    for (uint32_t i = 0; i < f->needed_count; i++)
        needed[i] = qn_cur_lstr(c);
    f->needed = needed;
    return get_hints(c, arena, &f->hint, &f->hint_count, e);
}

static int get_segments(struct qn_cur *c, struct qn_arena *arena, struct qn_entry *n, struct qn_err *e)
{
    uint32_t count = qn_cur_u32(c);
    uint64_t at = 0, data = 0;

    if (c->bad || count > SEGMENTS_MAX || count > c->n / 16)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: sparse record");
    struct qn_tar_segment *s = qn_arena_alloc(arena, count, sizeof *s, e);
    if (!s)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        s[i].off = qn_cur_u64(c);
        s[i].len = qn_cur_u64(c);
        if (s[i].off < at || s[i].off > n->size || s[i].len > n->size - s[i].off)
            return qn_fail(e, QN_E_MALFORMED, "layer facts: sparse record");
        at = s[i].off + s[i].len;
        data += s[i].len;
    }
    if (data > n->end - n->data)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: sparse record");
    n->segment = s;
    n->segments = count;
    return 0;
}

/* What readers rely on without looking again. Only files have content. */
static bool plausible(const struct qn_entry *n, uint64_t tar_size)
{
    if (n->type < QN_FILE || n->type > QN_OPAQUE || n->content > QN_PACKED || n->mode > 07777)
        return false;
    if (n->begin > n->data || n->data > n->end || n->end > tar_size || n->mtime_nsec > 999999999)
        return false;
    if (n->type == QN_FILE && !n->sparse && n->size > n->end - n->data)
        return false;
    if ((n->type != QN_FILE || n->sparse) && (n->content != QN_OTHER || n->captured || n->secrets || n->units))
        return false;
    if (n->captured ? n->text.n != n->size : n->text.n != 0)
        return false;
    if (n->content == QN_ELF && (n->elf.class < 1 || n->elf.class > 2 || n->elf.data < 1 || n->elf.data > 2))
        return false;
    return qn_path_is_clean(n->path) && (n->type != QN_HARDLINK || qn_path_is_clean(n->link));
}

static int get_entry(struct qn_cur *c, struct qn_str file, struct qn_arena *arena, struct qn_entry *n, struct qn_err *e)
{
    n->type = (enum qn_entry_type)qn_cur_u32(c);
    n->content = (enum qn_content)qn_cur_u32(c);
    uint32_t flags = qn_cur_u32(c);
    n->mode = qn_cur_u32(c);
    n->uid = qn_cur_u32(c);
    n->gid = qn_cur_u32(c);
    n->dev_major = qn_cur_u32(c);
    n->dev_minor = qn_cur_u32(c);
    n->mtime_nsec = qn_cur_u32(c);
    n->seq = qn_cur_u32(c);
    n->secrets = qn_cur_u32(c);
    n->units = qn_cur_u32(c);
    n->size = qn_cur_u64(c);
    n->mtime = (int64_t)qn_cur_u64(c);
    n->begin = qn_cur_u64(c);
    n->data = qn_cur_u64(c);
    n->end = qn_cur_u64(c);
    uint64_t text_at = qn_cur_u64(c), text_n = qn_cur_u64(c);
    n->mentions.bit[0] = qn_cur_u64(c);
    n->mentions.bit[1] = qn_cur_u64(c);
    n->path = qn_cur_lstr(c);
    n->link = qn_cur_lstr(c);
    n->uname = qn_cur_lstr(c);
    n->gname = qn_cur_lstr(c);
    n->pax = qn_cur_lstr(c);
    n->hash = qn_cur_lstr(c);
    n->sparse = flags & FLAG_SPARSE;
    n->caps = flags & FLAG_CAPS;
    n->captured = flags & FLAG_WHOLE;
    n->elf.is_static = flags & FLAG_STATIC;
    if (c->bad || text_at > file.n || text_n > file.n - text_at)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: entry runs past the end");
    n->text = qn_str_n(file.p + text_at, (size_t)text_n);
    if (n->sparse && (n->data > n->end || get_segments(c, arena, n, e) < 0))
        return qn_fail(e, QN_E_MALFORMED, "layer facts: sparse record");
    n->elf.hints_cut = n->content == QN_ELF && (flags & FLAG_CUT);
    n->elf.paths_cut = n->content == QN_ELF && (flags & FLAG_PATHS);
    n->named.hints_cut = n->content != QN_ELF && (flags & FLAG_CUT);
    if (n->content == QN_ELF)
        return get_elf(c, arena, &n->elf, e);
    if (n->content == QN_SCRIPT) {
        n->script.interpreter = qn_cur_lstr(c);
        n->script.argument = qn_cur_lstr(c);
        n->script.program = qn_cur_lstr(c);
    }
    return n->content == QN_OTHER ? 0 : get_hints(c, arena, &n->named.hint, &n->named.hint_count, e);
}

/* Entries number the places of an archive, each once, and stand there one behind the other. */
static int check_places(const struct qn_layer_index *ix, struct qn_arena *arena, struct qn_err *e)
{
    uint32_t *at = qn_arena_alloc(arena, ix->count, sizeof *at, e);
    uint64_t end = 0;

    if (!at)
        return -1;
    for (size_t i = 0; i < ix->count; i++) {
        uint32_t seq = ix->entry[i].seq;
        if (seq >= ix->count || at[seq])
            return qn_fail(e, QN_E_MALFORMED, "layer facts: entry %zu has another one's place", i);
        at[seq] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < ix->count; i++) {
        const struct qn_entry *n = &ix->entry[at[i] - 1];
        if (n->begin < end || n->end > ix->tail)
            return qn_fail(e, QN_E_MALFORMED, "layer facts: entries overlap in the archive");
        end = n->end;
    }
    return 0;
}

int qn_layer_decode(struct qn_str file, struct qn_arena *arena, struct qn_layer_index *out, struct qn_err *e)
{
    struct qn_layer_index ix = {0};
    struct qn_cur t = qn_cur_init(file.p, file.n);

    if (file.n < TRAILER_SIZE)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: too short");
    t = qn_cur_at(&t, file.n - TRAILER_SIZE, TRAILER_SIZE);
    uint64_t magic = qn_cur_u64(&t), version = qn_cur_u64(&t);
    uint64_t at = qn_cur_u64(&t), len = qn_cur_u64(&t), count = qn_cur_u64(&t);
    ix.size = qn_cur_u64(&t);
    ix.tail = qn_cur_u64(&t);
    ix.diff_id.algorithm = (enum qn_digest_algorithm)qn_cur_u64(&t);
    memcpy(ix.diff_id.bytes, qn_cur_take(&t, sizeof ix.diff_id.bytes), sizeof ix.diff_id.bytes);
    if (magic != MAGIC || version != QN_FACTS_VERSION || ix.diff_id.algorithm > QN_SHA512 || ix.tail > ix.size)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: not of version %u", QN_FACTS_VERSION);
    struct qn_cur c = qn_cur_init(file.p, file.n - TRAILER_SIZE);
    c = qn_cur_at(&c, at, len);
    if (c.bad || count > len / 64 || count > UINT32_MAX - 1)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: entry table out of bounds");
    ix.count = (size_t)count;
    ix.entry = qn_arena_alloc(arena, ix.count, sizeof *ix.entry, e);
    if (!ix.entry)
        return -1;
    for (size_t i = 0; i < ix.count; i++) {
        if (get_entry(&c, qn_str_head(file, at), arena, &ix.entry[i], e) < 0)
            return -1;
        if (c.bad || !plausible(&ix.entry[i], ix.size) || (i > 0 && qn_entry_cmp(&ix.entry[i - 1], &ix.entry[i]) >= 0))
            return qn_fail(e, QN_E_MALFORMED, "layer facts: entry %zu is not plausible", i);
    }
    if (c.n != 0)
        return qn_fail(e, QN_E_MALFORMED, "layer facts: bytes after the last entry");
    if (check_places(&ix, arena, e) < 0)
        return -1;
    *out = ix;
    return 0;
}
