/* Layers are rewritten in place. Entries that nothing changes are copied with their headers, byte for byte and in
 * their order; changed ones get a new header. What a later layer hides is treated by the same paths as what is
 * visible, since its bytes can be downloaded. When the entry that holds the data of hard links goes, its data stays
 * at its place under the first name that stays, and the other names point there. */
#include "emit.h"

#include "base/path.h"
#include "formats/tar_write.h"

#include <stdlib.h>

struct item {
    const struct qn_entry *entry;
    uint32_t node; /* of its path in the merged view, or QN_NO_NODE */
    bool visible;
    bool drop;
    bool edited;                 /* content is replaced */
    const struct qn_entry *data; /* hard links: where the data stands */
    struct item *promoted;       /* of a dropped data entry: the name that takes its place */
    bool emitted;                /* a promoted name: already written */
};

struct emit {
    const struct qn_plan *p;
    const struct qn_layer_index *ix;
    struct item *item; /* by position in the archive */
    struct qn_pieces *out;
    bool touched;
    uint64_t entries;
};

static bool rule_on(const struct qn_plan *p, enum qn_rule r)
{
    return p->opt->rule[r] == QN_RULE_ON;
}

static bool device_whiteout(const struct qn_entry *n)
{
    return n->type == QN_CHAR && n->dev_major == 0 && n->dev_minor == 0;
}

/* Mode of an entry in the new layer. */
static uint32_t new_mode(const struct emit *m, const struct item *it)
{
    const struct qn_entry *n = it->entry;

    if (it->visible)
        return m->p->fate[it->node].mode;
    if ((n->type == QN_FILE || n->type == QN_HARDLINK) && rule_on(m->p, QN_RULE_setuid))
        return n->mode & ~06000u;
    return n->mode;
}

static uint32_t new_uid(const struct emit *m, const struct item *it)
{
    return it->visible ? m->p->fate[it->node].uid : it->entry->uid;
}

static bool loses_caps(const struct emit *m, const struct item *it)
{
    if (!it->entry->caps)
        return false;
    return it->visible ? m->p->fate[it->node].uncap : rule_on(m->p, QN_RULE_file_caps);
}

/* An entry as the tar writer wants it; `name` is room for a directory's slash. */
static struct qn_tar_entry tar_entry(const struct emit *m, const struct item *it, char name[QN_PATH_MAX + 2])
{
    static const enum qn_tar_type types[] = {
        [QN_FILE] = QN_TAR_FILE, [QN_HARDLINK] = QN_TAR_HARDLINK, [QN_SYMLINK] = QN_TAR_SYMLINK,
        [QN_CHAR] = QN_TAR_CHAR, [QN_BLOCK] = QN_TAR_BLOCKDEV,    [QN_DIR] = QN_TAR_DIR,
        [QN_FIFO] = QN_TAR_FIFO, [QN_WHITEOUT] = QN_TAR_FILE,     [QN_OPAQUE] = QN_TAR_FILE};
    const struct qn_entry *n = it->entry;
    bool keeps_owner = new_uid(m, it) == n->uid;
    int len = snprintf(name, QN_PATH_MAX + 2, "%.*s%s", QN_FMT(n->path), n->type == QN_DIR ? "/" : "");

    return (struct qn_tar_entry){.name = n->path.n ? qn_str_n(name, (size_t)len) : QN_STR("./"),
                                 .link = n->link,
                                 .type = types[n->type],
                                 .mode = (uint16_t)new_mode(m, it),
                                 .uid = new_uid(m, it),
                                 .gid = n->gid,
                                 .uname = keeps_owner ? n->uname : QN_STR(""),
                                 .gname = n->gname,
                                 .mtime = n->mtime,
                                 .mtime_nsec = n->mtime_nsec,
                                 .devmajor = n->dev_major,
                                 .devminor = n->dev_minor,
                                 .size = n->size,
                                 .real_size = n->size,
                                 .pax = n->pax};
}

static int put_header(struct emit *m, const struct qn_tar_entry *t, bool drop_caps, struct qn_err *e)
{
    static const struct qn_str caps[] = {{"SCHILY.xattr.security.capability", 32},
                                         {"LIBARCHIVE.xattr.security.capability", 36}};
    struct qn_tar_edit edit = {.drop = drop_caps ? caps : NULL, .drops = drop_caps ? QN_ARRAY_LEN(caps) : 0};
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 4u << 20);
    if (qn_tar_entry_edit(t, &edit, &b, e) < 0)
        return qn_err_wrap(e, "\"%s\"", QN_Q(t->name));
    m->touched = true;
    return qn_pieces_lit(m->out, qn_buf_view(&b), e);
}

static int put_content(struct emit *m, struct qn_str content, struct qn_err *e)
{
    if (qn_pieces_lit(m->out, content, e) < 0)
        return -1;
    return qn_pieces_zero(m->out, qn_tar_padding(content.n), e);
}

/* A name whose data stood under an entry that goes: a file of its own, with that entry's data. */
static int put_promoted(struct emit *m, const struct item *old, struct item *it, struct qn_err *e)
{
    char name[QN_PATH_MAX + 2];
    struct qn_tar_entry t = tar_entry(m, it, name);

    t.type = QN_TAR_FILE;
    t.link = QN_STR("");
    t.size = t.real_size = old->entry->size;
    t.pax = old->entry->pax;
    it->emitted = true;
    m->entries++;
    if (put_header(m, &t, old->entry->caps && (it->visible ? m->p->fate[it->node].uncap : true), e) < 0)
        return -1;
    return qn_pieces_copy(m->out, old->entry->data, old->entry->end, e);
}

/* Replaces the content of a captured file. */
static int put_edited(struct emit *m, const struct item *it, struct qn_err *e)
{
    char name[QN_PATH_MAX + 2];
    struct qn_tar_entry t = tar_entry(m, it, name);
    struct qn_str content = m->p->fate[it->node].content;

    t.type = QN_TAR_FILE;
    t.link = QN_STR("");
    t.size = t.real_size = content.n;
    return put_header(m, &t, loses_caps(m, it), e) < 0 ? -1 : put_content(m, content, e);
}

/* A device 0:0 hides like a whiteout in overlay file systems and is a device elsewhere: say what is meant. */
static int put_whiteout(struct emit *m, const struct item *it, struct qn_err *e)
{
    char name[QN_PATH_MAX + 2];
    struct qn_tar_entry t = tar_entry(m, it, name);
    struct qn_str dir = qn_path_dir(it->entry->path), base = qn_path_base(it->entry->path);

    snprintf(name, sizeof name, "%.*s%s.wh.%.*s", QN_FMT(dir), dir.n ? "/" : "", QN_FMT(base));
    t.name = qn_str_c(name);
    t.type = QN_TAR_FILE;
    t.devmajor = t.devminor = 0;
    t.size = t.real_size = 0;
    return put_header(m, &t, false, e);
}

static struct item *leader(struct emit *m, const struct item *it)
{
    return it->data ? &m->item[it->data->seq] : NULL;
}

static int put_kept(struct emit *m, const struct item *it, struct qn_err *e)
{
    const struct qn_entry *n = it->entry;
    struct item *lead = n->type == QN_HARDLINK ? leader(m, it) : NULL;
    bool moved = lead && lead->promoted && lead->promoted != it;
    bool same = new_mode(m, it) == n->mode && new_uid(m, it) == n->uid && !loses_caps(m, it) && !moved;

    if (same || n->sparse)
        return qn_pieces_copy(m->out, n->begin, n->end, e);
    char name[QN_PATH_MAX + 2];
    struct qn_tar_entry t = tar_entry(m, it, name);
    if (moved)
        t.link = lead->promoted->entry->path;
    if (put_header(m, &t, loses_caps(m, it), e) < 0)
        return -1;
    return qn_pieces_copy(m->out, n->data, n->end, e);
}

static int put_item(struct emit *m, struct item *it, struct qn_err *e)
{
    if (it->promoted && put_promoted(m, it, it->promoted, e) < 0)
        return -1;
    if (it->emitted)
        return 0;
    if (it->drop) {
        m->touched = true;
        return 0;
    }
    m->entries++;
    if (it->edited)
        return put_edited(m, it, e);
    if (device_whiteout(it->entry) && rule_on(m->p, QN_RULE_devices))
        return put_whiteout(m, it, e);
    return put_kept(m, it, e);
}

static void classify(struct emit *m)
{
    const struct qn_tree *t = &m->p->img->tree;

    for (size_t i = 0; i < m->ix->count; i++) {
        const struct qn_entry *n = &m->ix->entry[i];
        struct item *it = &m->item[n->seq];
        it->entry = n;
        it->node = QN_NO_NODE;
        if (n->type == QN_WHITEOUT || n->type == QN_OPAQUE)
            continue;
        it->node = qn_tree_find(t, n->path);
        it->visible = it->node != QN_NO_NODE && t->node[it->node].entry == n;
        it->drop = it->node != QN_NO_NODE && m->p->fate[it->node].removed;
        it->edited = it->visible && m->p->fate[it->node].edited;
        if (n->type == QN_HARDLINK)
            it->data = qn_layer_data(m->ix, n);
    }
    /* Names that stay although the entry with their data does not, in the order of the archive. */
    for (size_t i = 0; i < m->ix->count; i++) {
        struct item *it = &m->item[i], *lead = leader(m, it);
        if (!it->drop && !it->edited && lead && (lead->drop || lead->edited) && !lead->promoted)
            lead->promoted = it;
    }
}

static int put_additions(struct emit *m, struct qn_err *e)
{
    const struct qn_plan *p = m->p;

    for (size_t i = 0; i < p->additions; i++) {
        const struct qn_addition *a = &p->addition[i];
        struct qn_str dir = qn_path_dir(a->path);
        char name[QN_PATH_MAX + 2], parent[QN_PATH_MAX + 2];
        struct qn_tar_entry t = {.type = a->type == QN_DIR ? QN_TAR_DIR : QN_TAR_FILE,
                                 .mode = (uint16_t)a->mode,
                                 .uid = a->uid,
                                 .gid = a->gid,
                                 .size = a->content.n,
                                 .real_size = a->content.n};
        bool made = false;
        for (size_t k = 0; k < i; k++)
            made = made || qn_str_eq(qn_path_dir(p->addition[k].path), dir) || qn_str_eq(p->addition[k].path, dir);
        if (dir.n && !made && qn_tree_find(&p->img->tree, dir) == QN_NO_NODE) {
            snprintf(parent, sizeof parent, "%.*s/", QN_FMT(dir));
            struct qn_tar_entry above = {.name = qn_str_c(parent), .type = QN_TAR_DIR, .mode = 0755};
            if (put_header(m, &above, false, e) < 0)
                return -1;
            m->entries++;
        }
        snprintf(name, sizeof name, "%.*s%s", QN_FMT(a->path), a->type == QN_DIR ? "/" : "");
        t.name = qn_str_c(name);
        m->entries++;
        if (put_header(m, &t, false, e) < 0 || (a->type == QN_FILE && put_content(m, a->content, e) < 0))
            return -1;
    }
    return 0;
}

int qn_plan_emit(const struct qn_plan *p, uint32_t layer, struct qn_pieces *out, bool *touched, uint64_t *entries,
                 struct qn_err *e)
{
    const struct qn_layer_index *ix = &p->img->tree.layer[layer];
    struct emit m = {.p = p, .ix = ix, .out = out};
    uint64_t at = 0;
    int r = 0;

    m.item = qn_xcalloc(ix->count, sizeof *m.item);
    classify(&m);
    for (size_t i = 0; r == 0 && i < ix->count; i++) {
        /* Bytes between entries belong to none of them (pax global headers): they stay. */
        r = qn_pieces_copy(out, at, m.item[i].entry->begin, e);
        if (r == 0)
            r = put_item(&m, &m.item[i], e);
        at = m.item[i].entry->end;
    }
    if (r == 0)
        r = qn_pieces_copy(out, at, ix->tail, e);
    if (r == 0 && layer + 1 == p->img->tree.layer_count)
        r = put_additions(&m, e);
    if (r == 0 && ix->tail == ix->size && m.touched)
        r = qn_pieces_zero(out, 2 * QN_TAR_BLOCK, e);
    else if (r == 0)
        r = qn_pieces_copy(out, ix->tail, ix->size, e);
    free(m.item);
    *touched = m.touched;
    *entries = m.entries;
    return r < 0 ? qn_err_wrap(e, "layer %u", layer) : 0;
}
