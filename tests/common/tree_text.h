/* Layers written as text, for tests and fuzz targets. One entry a line, words separated by blanks:
 *
 *   usr/bin/                          directory; also "usr/bin/ 1777 uid=5"
 *   usr/bin/dash 4755 elf needs=libc.so.6 interp=/lib64/ld-linux-x86-64.so.2
 *   etc/passwd 0640 gid=42 text=root:x:0:0::/root:/bin/sh\nbin:...      (text= takes the rest of the line)
 *   bin -> usr/bin                    symbolic link
 *   usr/bin/sh => usr/bin/dash        hard link; takes mode and owner as files do
 *   dev/x char 1:3 | dev/x block 8:0 | run/x fifo
 *   etc/.wh.passwd                    whiteouts are ordinary names
 *
 * Words of files: MODE uid= gid= mtime= caps zeros=N sparse=N text= bytes=%XX%XX | elf static class=32 big machine=N
 * needs=a,b interp= soname= rpath= runpath= import=a,b names=a,b. In names and values %XX is a byte, in text= \n and \\
 * are.
 * Directories above an entry that the layer did not name are added, unless a line "!bare" stood before. */
#ifndef QN_TESTS_COMMON_TREE_TEXT_H
#define QN_TESTS_COMMON_TREE_TEXT_H

#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/path.h"
#include "formats/tar_write.h"

#include <stdio.h>

struct tree_line {
    struct qn_str name, link, text, needs, interp, soname, rpath, runpath, import, names;
    enum qn_tar_type type;
    uint64_t mode, uid, gid, mtime, zeros, sparse, machine, major, minor;
    bool has_mode, elf, is_static, narrow, big, caps, has_text;
};

/* --- ELF ---------------------------------------------------------------------------------------------------------- */
struct tree_elf {
    struct qn_buf *b;
    size_t start;
    bool narrow, big;
};

static int tree_elf_num(struct tree_elf *m, uint64_t v, unsigned bytes, struct qn_err *e)
{
    for (unsigned i = 0; i < bytes; i++)
        if (qn_buf_u8(m->b, (uint8_t)(v >> 8 * (m->big ? bytes - 1 - i : i)), e) < 0)
            return -1;
    return 0;
}

static int tree_elf_word(struct tree_elf *m, uint64_t v, struct qn_err *e)
{
    return tree_elf_num(m, v, m->narrow ? 4 : 8, e);
}

static int tree_elf_segment(struct tree_elf *m, uint32_t type, uint64_t off, uint64_t size, struct qn_err *e)
{
    if (tree_elf_num(m, type, 4, e) < 0 || (!m->narrow && tree_elf_num(m, 4, 4, e) < 0) ||
        tree_elf_word(m, off, e) < 0 || tree_elf_word(m, 0x10000 + off, e) < 0 || tree_elf_word(m, 0, e) < 0 ||
        tree_elf_word(m, size, e) < 0 || tree_elf_word(m, size, e) < 0)
        return -1;
    return m->narrow && tree_elf_num(m, 4, 4, e) < 0 ? -1 : tree_elf_word(m, 8, e);
}

/* Where the parts of the file stand, measured before they are written. */
struct tree_elf_plan {
    uint64_t interp, interp_n, strtab, strtab_n, symtab, symbols, hash, dynamic, dynamic_n, names, end;
};

/* Adds the words of a comma-separated list to a string table; with `tag`, a dynamic entry for each. */
static int tree_elf_list(struct qn_buf *strings, struct qn_str list, struct tree_elf *dynamic, uint64_t tag,
                         uint64_t *count, struct qn_err *e)
{
    struct qn_str word;

    while (qn_str_next(&list, ',', &word)) {
        if (dynamic && (tree_elf_word(dynamic, tag, e) < 0 || tree_elf_word(dynamic, strings->n, e) < 0))
            return -1;
        if (qn_buf_str(strings, word, e) < 0 || qn_buf_u8(strings, 0, e) < 0)
            return -1;
        ++*count;
    }
    return 0;
}

static int tree_elf_symbols(struct tree_elf *m, struct qn_str list, uint64_t at, struct qn_err *e)
{
    struct qn_str word;

    if (qn_buf_zero(m->b, m->narrow ? 16 : 24, e) < 0)
        return -1;
    while (qn_str_next(&list, ',', &word)) {
        if (tree_elf_num(m, at, 4, e) < 0 || qn_buf_zero(m->b, m->narrow ? 12 : 20, e) < 0)
            return -1;
        at += word.n + 1;
    }
    return 0;
}

static int tree_elf_header(struct tree_elf *m, const struct tree_line *l, unsigned segments, struct qn_err *e)
{
    const uint8_t ident[16] = {0x7f, 'E', 'L', 'F', m->narrow ? 1 : 2, m->big ? 2 : 1, 1};
    uint64_t machine = l->machine ? l->machine : m->narrow ? 3 : 62;

    if (qn_buf_put(m->b, ident, sizeof ident, e) < 0 || tree_elf_num(m, l->is_static ? 2 : 3, 2, e) < 0 ||
        tree_elf_num(m, machine, 2, e) < 0 || tree_elf_num(m, 1, 4, e) < 0 || tree_elf_word(m, 0, e) < 0 ||
        tree_elf_word(m, m->narrow ? 52 : 64, e) < 0 || tree_elf_word(m, 0, e) < 0 || tree_elf_num(m, 0, 4, e) < 0)
        return -1;
    return tree_elf_num(m, m->narrow ? 52 : 64, 2, e) < 0 || tree_elf_num(m, m->narrow ? 32 : 56, 2, e) < 0 ||
                   tree_elf_num(m, segments, 2, e) < 0 || tree_elf_num(m, m->narrow ? 40 : 64, 2, e) < 0
               ? -1
               : tree_elf_num(m, 0, 4, e);
}

/* A file that loaders' tables fully describe and nothing could run. */
static int tree_elf(const struct tree_line *l, struct qn_buf *out, struct qn_err *e)
{
    struct qn_buf strings = {.max = 1u << 20}, dynamic = {.max = 1u << 20};
    struct tree_elf m = {out, out->n, l->narrow, l->big}, d = {&dynamic, 0, l->narrow, l->big};
    struct tree_elf_plan p = {0};
    struct qn_str interp = l->interp;
    uint64_t ignored = 0, imports_at;
    const struct {
        struct qn_str value;
        uint64_t tag;
    } one[] = {{l->soname, 14}, {l->rpath, 15}, {l->runpath, 29}};

    if (!l->is_static && interp.n == 0 && l->needs.n && l->soname.n == 0)
        interp = QN_STR("/lib64/ld-linux-x86-64.so.2");
    int r = qn_buf_u8(&strings, 0, e);
    if (r == 0)
        r = tree_elf_list(&strings, l->needs, &d, 1, &ignored, e);
    for (size_t i = 0; r == 0 && i < QN_ARRAY_LEN(one); i++)
        r = tree_elf_list(&strings, one[i].value, one[i].value.n ? &d : NULL, one[i].tag, &ignored, e);
    imports_at = strings.n;
    if (r == 0)
        r = tree_elf_list(&strings, l->import, NULL, 0, &p.symbols, e);
    unsigned segments = l->is_static ? 1 : interp.n ? 3 : 2;
    p.interp = (l->narrow ? 52u : 64u) + segments * (l->narrow ? 32u : 56u);
    p.interp_n = interp.n ? interp.n + 1 : 0;
    p.strtab = p.interp + p.interp_n;
    p.symtab = p.strtab + strings.n;
    p.hash = p.symtab + (p.symbols + 1) * (l->narrow ? 16 : 24);
    p.dynamic = p.hash + 8;
    const uint64_t tail[] = {5, 0x10000 + p.strtab, 10, strings.n, 6, 0x10000 + p.symtab, 4, 0x10000 + p.hash, 0, 0};
    for (size_t i = 0; r == 0 && i < QN_ARRAY_LEN(tail); i++)
        r = tree_elf_word(&d, tail[i], e);
    p.names = p.dynamic + dynamic.n;
    p.end = p.names + l->names.n + 1;
    if (r == 0)
        r = tree_elf_header(&m, l, segments, e) < 0 || tree_elf_segment(&m, 1, 0, p.end, e) < 0 ||
                    (!l->is_static && tree_elf_segment(&m, 2, p.dynamic, dynamic.n, e) < 0) ||
                    (segments == 3 && tree_elf_segment(&m, 3, p.interp, p.interp_n, e) < 0) ||
                    (p.interp_n && (qn_buf_str(out, interp, e) < 0 || qn_buf_u8(out, 0, e) < 0)) ||
                    qn_buf_put(out, strings.p, strings.n, e) < 0 ||
                    tree_elf_symbols(&m, l->import, imports_at, e) < 0 || tree_elf_num(&m, 1, 4, e) < 0 ||
                    tree_elf_num(&m, p.symbols + 1, 4, e) < 0 || qn_buf_put(out, dynamic.p, dynamic.n, e) < 0
                ? -1
                : 0;
    struct qn_str names = l->names, name;
    while (r == 0 && qn_str_next(&names, ',', &name))
        r = qn_buf_str(out, name, e) < 0 ? -1 : qn_buf_u8(out, 0, e);
    if (r == 0)
        r = qn_buf_u8(out, 0, e);
    if (r == 0 && m.start + p.end > out->n)
        r = qn_buf_zero(out, m.start + p.end - out->n, e);
    qn_buf_fini(&strings);
    qn_buf_fini(&dynamic);
    return r;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */
static unsigned tree_hex(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 0;
}

/* Undoes %XX (or, for text, backslashes). */
static int tree_value(struct qn_arena *a, struct qn_str s, bool text, struct qn_str *out, struct qn_err *e)
{
    char *p = qn_arena_alloc(a, s.n + 1, 1, e);
    size_t n = 0;

    if (!p)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        p[n] = s.p[i];
        if (text && s.p[i] == '\\' && i + 1 < s.n) {
            i++;
            p[n] = s.p[i] == 'n' ? '\n' : s.p[i] == 't' ? '\t' : s.p[i] == '0' ? '\0' : s.p[i];
        } else if (!text && s.p[i] == '%' && i + 2 < s.n) {
            p[n] = (char)(tree_hex(s.p[i + 1]) << 4 | tree_hex(s.p[i + 2]));
            i += 2;
        }
        n++;
    }
    *out = qn_str_n(p, n);
    return 0;
}

static int tree_word(struct qn_arena *a, struct tree_line *l, struct qn_str w, struct qn_err *e)
{
    const struct {
        struct qn_str key;
        uint64_t *number;
        struct qn_str *text;
    } keys[] = {{QN_STR("uid"), &l->uid, NULL},         {QN_STR("gid"), &l->gid, NULL},
                {QN_STR("mtime"), &l->mtime, NULL},     {QN_STR("zeros"), &l->zeros, NULL},
                {QN_STR("sparse"), &l->sparse, NULL},   {QN_STR("machine"), &l->machine, NULL},
                {QN_STR("needs"), NULL, &l->needs},     {QN_STR("interp"), NULL, &l->interp},
                {QN_STR("soname"), NULL, &l->soname},   {QN_STR("rpath"), NULL, &l->rpath},
                {QN_STR("runpath"), NULL, &l->runpath}, {QN_STR("import"), NULL, &l->import},
                {QN_STR("names"), NULL, &l->names},     {QN_STR("bytes"), NULL, &l->text}};
    ptrdiff_t eq = qn_str_chr(w, '=');

    for (size_t i = 0; eq > 0 && i < QN_ARRAY_LEN(keys); i++) {
        if (!qn_str_eq(keys[i].key, qn_str_head(w, (size_t)eq)))
            continue;
        struct qn_str value = qn_str_from(w, (size_t)eq + 1);
        return keys[i].number ? qn_num_u64(value, 0, UINT32_MAX, keys[i].number, e)
                              : tree_value(a, value, false, keys[i].text, e);
    }
    l->elf = l->elf || qn_str_eq(w, QN_STR("elf")) || qn_str_eq(w, QN_STR("static"));
    l->is_static = l->is_static || qn_str_eq(w, QN_STR("static"));
    l->narrow = l->narrow || qn_str_eq(w, QN_STR("class=32"));
    l->big = l->big || qn_str_eq(w, QN_STR("big"));
    l->caps = l->caps || qn_str_eq(w, QN_STR("caps"));
    if (w.p[0] >= '0' && w.p[0] <= '7') {
        l->has_mode = true;
        return qn_num_octal(w, 07777, &l->mode, e);
    }
    return 0;
}

static int tree_device(struct tree_line *l, struct qn_str w, struct qn_err *e)
{
    ptrdiff_t colon = qn_str_chr(w, ':');

    if (colon < 0)
        return qn_fail(e, QN_E_MALFORMED, "device without MAJOR:MINOR");
    return qn_num_u64(qn_str_head(w, (size_t)colon), 0, 4095, &l->major, e) < 0
               ? -1
               : qn_num_u64(qn_str_from(w, (size_t)colon + 1), 0, 255, &l->minor, e);
}

static int tree_parse(struct qn_arena *a, struct qn_str line, struct tree_line *l, struct qn_err *e)
{
    struct qn_str w;
    ptrdiff_t text = qn_str_find(line, QN_STR(" text="));

    *l = (struct tree_line){.type = QN_TAR_FILE};
    if (text >= 0) {
        l->has_text = true;
        if (tree_value(a, qn_str_from(line, (size_t)text + 6), true, &l->text, e) < 0)
            return -1;
        line = qn_str_head(line, (size_t)text);
    }
    if (!qn_str_word(&line, &w) || tree_value(a, w, false, &l->name, e) < 0)
        return qn_fail(e, QN_E_MALFORMED, "line without a name");
    if (l->name.p[l->name.n - 1] == '/')
        l->type = QN_TAR_DIR;
    while (qn_str_word(&line, &w)) {
        bool symlink = qn_str_eq(w, QN_STR("->")), hardlink = qn_str_eq(w, QN_STR("=>"));
        bool device = qn_str_eq(w, QN_STR("char")) || qn_str_eq(w, QN_STR("block"));
        if (symlink || hardlink || device) {
            l->type = symlink         ? QN_TAR_SYMLINK
                      : hardlink      ? QN_TAR_HARDLINK
                      : w.p[0] == 'c' ? QN_TAR_CHAR
                                      : QN_TAR_BLOCKDEV;
            if (!qn_str_word(&line, &w) || (device ? tree_device(l, w, e) : tree_value(a, w, false, &l->link, e)) < 0)
                return qn_fail(e, QN_E_MALFORMED, "link without a target");
        } else if (qn_str_eq(w, QN_STR("fifo"))) {
            l->type = QN_TAR_FIFO;
        } else if (tree_word(a, l, w, e) < 0) {
            return -1;
        }
    }
    l->has_text = l->has_text || l->text.n;
    bool script = l->has_text && qn_str_starts(l->text, QN_STR("#!"));
    if (!l->has_mode)
        l->mode = l->type == QN_TAR_SYMLINK ? 0777 : l->type == QN_TAR_DIR || l->elf || script ? 0755 : 0644;
    return 0;
}

/* --- archives ----------------------------------------------------------------------------------------------------- */
static int tree_sparse(const struct tree_line *l, struct qn_buf *out, struct qn_err *e)
{
    char h[512] = {0};
    unsigned sum = 0;

    snprintf(h, 100, "%.*s", QN_FMT(l->name));
    snprintf(h + 100, 8, "%07o", (unsigned)l->mode);
    snprintf(h + 108, 8, "%07o", (unsigned)l->uid);
    snprintf(h + 116, 8, "%07o", (unsigned)l->gid);
    snprintf(h + 124, 12, "%011zo", l->text.n);
    snprintf(h + 136, 12, "%011o", (unsigned)l->mtime);
    h[156] = 'S';
    memcpy(h + 257, "ustar  ", 8);
    snprintf(h + 386, 12, "%011o", 512u);
    snprintf(h + 398, 12, "%011zo", l->text.n);
    snprintf(h + 410, 12, "%011llo", (unsigned long long)l->sparse);
    snprintf(h + 422, 12, "%011o", 0u);
    snprintf(h + 483, 12, "%011llo", (unsigned long long)l->sparse);
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    if (qn_buf_put(out, h, sizeof h, e) < 0 || qn_buf_str(out, l->text, e) < 0)
        return -1;
    return qn_buf_zero(out, qn_tar_padding(l->text.n), e);
}

static int tree_put(const struct tree_line *l, struct qn_buf *out, struct qn_err *e)
{
    struct qn_buf content = {.max = 64u << 20};
    struct qn_tar_entry t = {.name = l->name,
                             .link = l->link,
                             .type = l->type,
                             .mode = (uint16_t)l->mode,
                             .uid = (uint32_t)l->uid,
                             .gid = (uint32_t)l->gid,
                             .mtime = (int64_t)l->mtime,
                             .devmajor = (uint32_t)l->major,
                             .devminor = (uint32_t)l->minor};
    int r = 0;

    if (l->sparse && l->type == QN_TAR_FILE)
        return tree_sparse(l, out, e);
    if (l->caps)
        t.pax = QN_STR("42 SCHILY.xattr.security.capability=caps!\n");
    if (l->type == QN_TAR_FILE)
        r = l->elf        ? tree_elf(l, &content, e)
            : l->has_text ? qn_buf_str(&content, l->text, e)
                          : qn_buf_zero(&content, (size_t)QN_MIN(l->zeros, 1u << 20), e);
    t.size = t.real_size = content.n;
    if (r == 0)
        r = qn_tar_write_header(&t, out, e) < 0 || qn_buf_put(out, content.p, content.n, e) < 0
                ? -1
                : qn_buf_zero(out, qn_tar_padding(content.n), e);
    qn_buf_fini(&content);
    return r;
}

/* Directories above `name` that this layer does not have yet. */
static int tree_parents(struct qn_map *seen, struct qn_str name, struct qn_buf *out, struct qn_err *e)
{
    for (size_t i = 1; i + 1 < name.n; i++) {
        if (name.p[i] != '/' || qn_map_get(seen, qn_str_head(name, i)))
            continue;
        struct tree_line dir = {.name = qn_str_head(name, i + 1), .type = QN_TAR_DIR, .mode = 0755};
        if (qn_map_put(seen, qn_str_head(name, i), seen, e) < 0 || tree_put(&dir, out, e) < 0)
            return -1;
    }
    return 0;
}

/* Appends the archive of a text, with its end. MALFORMED for lines that say nothing. */
static int tree_text_tar(struct qn_str text, struct qn_buf *out, struct qn_err *e)
{
    struct qn_arena arena;
    struct qn_map seen;
    struct qn_str line;
    bool bare = false;
    int r = 0;

    qn_arena_init(&arena, 64u << 20);
    qn_map_init(&seen, 100000);
    while (r == 0 && qn_str_next(&text, '\n', &line)) {
        struct tree_line l;
        line = qn_str_trim(line);
        bare = bare || qn_str_eq(line, QN_STR("!bare"));
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == '!')
            continue;
        r = tree_parse(&arena, line, &l, e);
        if (r == 0 && !bare)
            r = tree_parents(&seen, l.name, out, e);
        struct qn_str name = l.name;
        if (r == 0 && name.p[name.n - 1] == '/')
            name.n--;
        if (r == 0)
            r = qn_map_put(&seen, name, &seen, e) < 0 ? -1 : tree_put(&l, out, e);
    }
    if (r == 0)
        r = qn_tar_write_end(out, e);
    qn_map_fini(&seen);
    qn_arena_fini(&arena);
    return r;
}

#endif
