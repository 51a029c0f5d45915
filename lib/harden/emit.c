/* Layers are rewritten in place. Entries that nothing changes are copied with their headers, byte for byte and in
 * their order; changed ones get a new header. What a later layer hides is treated by the same paths as what is
 * visible, since its bytes can be downloaded. When the entry that holds the data of hard links goes, its data stays
 * at its place under the first name that stays, and the other names point there. */
#include "emit.h"
#include "secrets_gone.h"

#include "base/path.h"
#include "formats/tar_write.h"

#include <stdlib.h>

/* A path with ".wh." or a slash, and NUL. */
#define NAME_ROOM (QN_PATH_MAX + 8)

struct item {
    const struct qn_entry *entry;
    uint32_t node; /* of its path in the merged view, or QN_NO_NODE */
    bool visible;
    bool drop;
    bool edited;                 /* content is replaced */
    const struct qn_entry *data; /* hard links: where the data stands */
    uint32_t alive;              /* of a hidden data entry: a visible node with its data, or QN_NO_NODE */
    struct item *promoted;       /* of a dropped data entry: the name that takes its place */
    bool emitted;                /* a promoted name: already written */
};

struct emit {
    const struct qn_plan *p;
    const struct qn_layer_index *ix;
    size_t layer;
    struct item *item; /* by position in the archive */
    struct qn_pieces *out;
    bool touched;
    uint64_t entries;
};

static bool rule_on(const struct qn_plan *p, enum qn_rule r)
{
    return p->opt->rule[r] == QN_RULE_ON;
}

/* Mode of an entry in the new layer. */
static uint32_t new_mode(const struct emit *m, const struct item *it)
{
    const struct qn_entry *n = it->entry;

    if (it->visible)
        return m->p->fate[it->node].mode;
    if (it->alive != QN_NO_NODE)
        return n->mode & (~06000u | m->p->fate[it->alive].mode);
    if ((n->type == QN_FILE || n->type == QN_HARDLINK) && rule_on(m->p, QN_RULE_setuid))
        return n->mode & ~06000u;
    return n->mode;
}

static uint32_t new_uid(const struct emit *m, const struct item *it)
{
    return it->visible ? m->p->fate[it->node].uid : it->entry->uid;
}

static bool late(const struct emit *m, const struct qn_entry *n)
{
    return m->p->clamped && n->mtime > m->p->latest;
}

static bool loses_caps(const struct emit *m, const struct item *it)
{
    uint32_t node = it->visible ? it->node : it->alive;
    return node != QN_NO_NODE ? m->p->fate[node].uncap : rule_on(m->p, QN_RULE_file_caps);
}

/* An entry as the tar writer wants it; `name` is room for a directory's slash. */
static struct qn_tar_entry tar_entry(const struct emit *m, const struct item *it, char name[NAME_ROOM])
{
    static const enum qn_tar_type types[] = {
        [QN_FILE] = QN_TAR_FILE, [QN_HARDLINK] = QN_TAR_HARDLINK, [QN_SYMLINK] = QN_TAR_SYMLINK,
        [QN_CHAR] = QN_TAR_CHAR, [QN_BLOCK] = QN_TAR_BLOCKDEV,    [QN_DIR] = QN_TAR_DIR,
        [QN_FIFO] = QN_TAR_FIFO, [QN_WHITEOUT] = QN_TAR_FILE,     [QN_OPAQUE] = QN_TAR_FILE};
    const struct qn_entry *n = it->entry;
    bool keeps_owner = new_uid(m, it) == n->uid;
    int len = snprintf(name, NAME_ROOM, "%.*s%s", QN_FMT(n->path), n->type == QN_DIR ? "/" : "");

    return (struct qn_tar_entry){.name = n->path.n ? qn_str_n(name, (size_t)len) : QN_STR("./"),
                                 .link = n->link,
                                 .type = types[n->type],
                                 .mode = (uint16_t)new_mode(m, it),
                                 .uid = new_uid(m, it),
                                 .gid = n->gid,
                                 .uname = keeps_owner ? n->uname : QN_STR(""),
                                 .gname = n->gname,
                                 .mtime = late(m, n) ? m->p->latest : n->mtime,
                                 .mtime_nsec = late(m, n) ? 0 : n->mtime_nsec,
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

/* The data of an entry behind a new header, which never says "sparse". */
static int put_data(struct emit *m, const struct qn_entry *n, struct qn_err *e)
{
    const struct qn_tar_entry t = {.sparse = n->sparse,
                                   .segment = n->segment,
                                   .segments = n->segments,
                                   .real_size = n->size,
                                   .data_off = n->data,
                                   .end_off = n->end};
    return qn_pieces_entry_data(m->out, &t, e);
}

/* A name whose data stood under an entry that goes: a file of its own, with that entry's data. */
static int put_promoted(struct emit *m, const struct item *old, struct item *it, struct qn_err *e)
{
    char name[NAME_ROOM];
    struct qn_tar_entry t = tar_entry(m, it, name);

    t.type = QN_TAR_FILE;
    t.link = QN_STR("");
    t.size = t.real_size = old->entry->size;
    t.pax = old->entry->pax;
    it->emitted = true;
    m->entries++;
    return put_header(m, &t, loses_caps(m, it->visible ? it : old), e) < 0 ? -1 : put_data(m, old->entry, e);
}

/* Replaces the content of a captured file. */
static int put_edited(struct emit *m, const struct item *it, struct qn_err *e)
{
    char name[NAME_ROOM];
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
    char name[NAME_ROOM];
    struct qn_tar_entry t = tar_entry(m, it, name);
    struct qn_str dir = qn_path_dir(it->entry->path), base = qn_path_base(it->entry->path);

    snprintf(name, sizeof name, "%.*s%s.wh.%.*s", QN_FMT(dir), dir.n ? "/" : "", QN_FMT(base));
    t.name = qn_str_c(name);
    t.type = QN_TAR_FILE;
    t.link = QN_STR("");
    t.devmajor = t.devminor = 0;
    t.size = t.real_size = 0;
    return put_header(m, &t, false, e);
}

static struct item *leader(struct emit *m, const struct item *it)
{
    return it->data ? &m->item[it->data->seq] : NULL;
}

/* Where a hard link must lead now if not where it did, or "". */
static struct qn_str new_target(struct emit *m, const struct item *it)
{
    const struct item *lead = it->entry->type == QN_HARDLINK ? leader(m, it) : NULL;

    if (!lead)
        return QN_STR("");
    if (lead->promoted)
        return lead->promoted->entry->path;
    /* A link to a link that goes leads to the data itself. */
    const struct item *named = &m->item[qn_layer_target(m->ix, it->entry)->seq];
    return named != lead && (named->drop || named->edited) ? lead->entry->path : QN_STR("");
}

static int put_kept(struct emit *m, const struct item *it, struct qn_err *e)
{
    const struct qn_entry *n = it->entry;
    struct qn_str target = new_target(m, it);
    bool caps = n->caps && loses_caps(m, it);

    if (new_mode(m, it) == n->mode && new_uid(m, it) == n->uid && !caps && target.n == 0 && !late(m, n))
        return qn_pieces_copy(m->out, n->begin, n->end, e);
    char name[NAME_ROOM];
    struct qn_tar_entry t = tar_entry(m, it, name);
    if (target.n)
        t.link = target;
    return put_header(m, &t, caps, e) < 0 ? -1 : put_data(m, n, e);
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
    if (qn_layer_hides(m->ix, it->entry) && rule_on(m->p, QN_RULE_devices))
        return put_whiteout(m, it, e);
    return put_kept(m, it, e);
}

/* Whether something that is not visible goes because the directory around it does: nothing would hide it any more, and
 * a mark in it would bring the directory back. */
static bool goes_with_directory(const struct qn_plan *p, const struct qn_entry *n)
{
    const struct qn_tree *t = &p->img->tree;
    struct qn_str dir = n->type == QN_OPAQUE ? n->path : qn_path_dir(n->path);

    for (; dir.n; dir = qn_path_dir(dir)) {
        uint32_t node = qn_tree_find(t, dir);
        if (node != QN_NO_NODE)
            return p->fate[node].removed != 0;
    }
    return false;
}

static void classify_one(struct emit *m, const struct qn_entry *n)
{
    const struct qn_tree *t = &m->p->img->tree;
    struct item *it = &m->item[n->seq];

    it->entry = n;
    it->node = it->alive = QN_NO_NODE;
    if (n->type != QN_WHITEOUT && n->type != QN_OPAQUE && !qn_layer_hides(m->ix, n))
        it->node = qn_tree_find(t, n->path);
    if (it->node == QN_NO_NODE) {
        it->drop = goes_with_directory(m->p, n);
    } else {
        it->visible = t->node[it->node].entry == n;
        it->drop = m->p->fate[it->node].removed != 0;
        it->edited = it->visible && m->p->fate[it->node].edited;
    }
    if (m->p->hidden && rule_on(m->p, QN_RULE_secrets) && qn_secret_hidden(m->p->img, m->layer, n))
        it->drop = true;
    if (n->type == QN_HARDLINK && !qn_layer_hides(m->ix, n))
        it->data = qn_layer_data(m->ix, n);
}

static void classify(struct emit *m)
{
    for (size_t i = 0; i < m->ix->count; i++)
        classify_one(m, &m->ix->entry[i]);
    /* Names that stay although the entry with their data does not, in the order of the archive. */
    for (size_t i = 0; i < m->ix->count; i++) {
        struct item *it = &m->item[i], *lead = leader(m, it);
        if (lead && it->visible && !lead->visible)
            lead->alive = it->node;
        if (!it->drop && !it->edited && lead && (lead->drop || lead->edited) && !lead->promoted)
            lead->promoted = it;
    }
}

/* Whether the new layer lists a directory. */
static bool lists(const struct emit *m, struct qn_str dir)
{
    const struct qn_entry *entry = m->ix->entry;
    size_t lo = 0, hi = m->ix->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (qn_path_cmp(entry[mid].path, dir) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < m->ix->count && qn_str_eq(entry[lo].path, dir); lo++)
        if (entry[lo].type == QN_DIR && !m->item[entry[lo].seq].drop)
            return true;
    return false;
}

/* The directories above an addition, as they are in the merged view: a layer lists what it stands in. */
static int put_parents(struct emit *m, size_t addition, struct qn_err *e)
{
    const struct qn_plan *p = m->p;
    struct qn_str path = p->addition[addition].path;

    for (size_t i = 1; i < path.n; i++) {
        struct qn_str dir = qn_str_head(path, i);
        bool made = path.p[i] != '/' || lists(m, dir);
        for (size_t k = 0; k < addition; k++)
            made = made || qn_path_under(p->addition[k].path, dir);
        if (made)
            continue;
        char name[NAME_ROOM];
        uint32_t node = qn_tree_find(&p->img->tree, dir);
        snprintf(name, sizeof name, "%.*s/", QN_FMT(dir));
        struct qn_tar_entry t = {.name = qn_str_c(name), .type = QN_TAR_DIR, .mode = 0755};
        if (node != QN_NO_NODE && p->img->tree.node[node].entry) {
            const struct qn_entry *n = p->img->tree.node[node].entry;
            t.mode = (uint16_t)p->fate[node].mode;
            t.uid = p->fate[node].uid;
            t.gid = n->gid;
            t.mtime = late(m, n) ? p->latest : n->mtime;
            t.mtime_nsec = late(m, n) ? 0 : n->mtime_nsec;
            t.pax = n->pax;
        }
        m->entries++;
        if (put_header(m, &t, false, e) < 0)
            return -1;
    }
    return 0;
}

static int put_additions(struct emit *m, struct qn_err *e)
{
    const struct qn_plan *p = m->p;

    for (size_t i = 0; i < p->additions; i++) {
        const struct qn_addition *a = &p->addition[i];
        char name[NAME_ROOM];
        struct qn_tar_entry t = {.type = a->type == QN_DIR ? QN_TAR_DIR : QN_TAR_FILE,
                                 .mode = (uint16_t)a->mode,
                                 .uid = a->uid,
                                 .gid = a->gid,
                                 .size = a->content.n,
                                 .real_size = a->content.n};
        snprintf(name, sizeof name, "%.*s%s", QN_FMT(a->path), a->type == QN_DIR ? "/" : "");
        t.name = qn_str_c(name);
        m->entries++;
        if (put_parents(m, i, e) < 0 || put_header(m, &t, false, e) < 0 ||
            (a->type == QN_FILE && put_content(m, a->content, e) < 0))
            return -1;
    }
    return 0;
}

int qn_plan_emit(const struct qn_plan *p, uint32_t layer, struct qn_pieces *out, bool *touched, uint64_t *entries,
                 struct qn_err *e)
{
    const struct qn_layer_index *ix = &p->img->tree.layer[layer];
    struct emit m = {.p = p, .ix = ix, .layer = layer, .out = out};
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
