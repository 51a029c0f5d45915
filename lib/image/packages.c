/* Packages and the files they own: dpkg (status, status.d) and apk here, rpm in packages_rpm.c. */
#include "depends.h"
#include "packages.h"

#include "base/path.h"
#include "formats/apk.h"
#include "formats/dpkg.h"
#include "formats/purl.h"

#include <stdlib.h>

#define MAX_PACKAGES 100000u

static int make_purl(struct qn_image *img, struct qn_package *p, struct qn_str epoch, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    static const struct {
        const char *type, *distribution;
    } kinds[] = {
        [QN_PACKAGE_DEB] = {"deb", "debian"}, [QN_PACKAGE_APK] = {"apk", "alpine"}, [QN_PACKAGE_RPM] = {"rpm", ""}};
    struct qn_purl purl = {.type = kinds[p->kind].type,
                           .namespace_ = qn_str_c(img->os.id[0] ? img->os.id : kinds[p->kind].distribution),
                           .name = p->name,
                           .version = p->version,
                           .arch = p->arch,
                           .epoch = epoch,
                           .distro_version = qn_str_c(img->os.version_id)};

    qn_buf_init(&b, 8192);
    if (qn_purl_print(&purl, &b, e) < 0)
        return -1;
    return qn_arena_str(&img->arena, qn_buf_view(&b), &p->purl, e);
}

int qn_package_list_add(struct qn_image *img, struct qn_package_list *ps, struct qn_package p, struct qn_str epoch,
                        struct qn_err *e)
{
    if (qn_grow((void **)&ps->at, &ps->cap, ps->count + 1, sizeof *ps->at, MAX_PACKAGES, e) < 0)
        return qn_err_wrap(e, "packages");
    if (make_purl(img, &p, epoch, e) < 0)
        return -1;
    ps->at[ps->count++] = p;
    return 0;
}

/* The text of a database; 0 when there is none, -1 when it is there and was not read: an image whose packages nobody
 * knows cannot be kept true. */
static int database_text(const struct qn_image *img, uint32_t node, struct qn_str *text, struct qn_err *e)
{
    if (qn_node_text(img, node, text))
        return 1;
    if (node == QN_NO_NODE || img->tree.node[node].type != QN_FILE)
        return 0;
    return qn_fail(e, QN_E_LIMIT, "/%s: too large or sparse, its packages cannot be read",
                   QN_Q(img->tree.node[node].path));
}

static int read_dpkg_file(struct qn_image *img, uint32_t node, struct qn_package_list *ps, struct qn_err *e)
{
    struct qn_str rest;
    struct qn_dpkg_stanza s;
    int r = database_text(img, node, &rest, e);

    if (r <= 0)
        return r;
    while ((r = qn_dpkg_next(&rest, &s, e)) > 0) {
        if (!qn_dpkg_is_installed(&s))
            continue;
        struct qn_package p = {.kind = QN_PACKAGE_DEB,
                               .name = s.package,
                               .version = s.version,
                               .arch = s.architecture,
                               .raw = s.raw,
                               .database = node,
                               .essential = qn_str_eq(s.essential, QN_STR("yes")) ||
                                            qn_str_eq(s.priority, QN_STR("required")) ||
                                            qn_str_eq(s.priority, QN_STR("important"))};
        qn_dpkg_source(&s, &p.source, &p.source_version);
        if (qn_depends_deb(&img->arena, &s, &p, e) < 0 || qn_package_list_add(img, ps, p, QN_STR(""), e) < 0)
            return -1;
    }
    return r < 0 ? qn_err_wrap(e, "/%s", QN_Q(img->tree.node[node].path)) : 0;
}

static int read_apk_file(struct qn_image *img, struct qn_package_list *ps, struct qn_err *e)
{
    struct qn_str rest;
    struct qn_apk_stanza s;
    int r = database_text(img, img->db.apk_installed, &rest, e);

    if (r <= 0)
        return r;
    while ((r = qn_apk_next(&rest, &s, e)) > 0) {
        struct qn_package p = {.kind = QN_PACKAGE_APK,
                               .name = s.name,
                               .version = s.version,
                               .arch = s.arch,
                               .raw = s.raw,
                               .source = s.origin,
                               .source_version = s.version,
                               .database = img->db.apk_installed};
        if (qn_depends_apk(&img->arena, &s, &p, e) < 0 || qn_package_list_add(img, ps, p, QN_STR(""), e) < 0)
            return -1;
    }
    return r < 0 ? qn_err_wrap(e, "/%s", QN_Q(img->tree.node[img->db.apk_installed].path)) : 0;
}

/* The node that a database path means: links in the directories are followed, not the last component. A directory,
 * or a link to one (merged /usr), is no payload. */
static uint32_t payload_node(const struct qn_image *img, struct qn_str path, struct qn_near *near)
{
    const struct qn_tree *t = &img->tree;
    uint32_t n = qn_tree_listed(t, path, near);

    if (n == QN_NO_NODE || t->node[n].type == QN_DIR)
        return QN_NO_NODE;
    if (t->node[n].type == QN_SYMLINK) {
        uint32_t to = qn_tree_resolve(t, t->node[n].path, true);
        if (to != QN_NO_NODE && t->node[to].type == QN_DIR && qn_path_dir(t->node[n].path).n == 0)
            return QN_NO_NODE;
    }
    return n;
}

static void own(struct qn_image *img, struct qn_str path, uint32_t package, struct qn_near *near)
{
    uint32_t n = payload_node(img, path, near);
    if (n != QN_NO_NODE)
        img->tree.node[n].package = package;
}

void qn_package_own(struct qn_image *img, struct qn_str path, uint32_t package)
{
    own(img, path, package, &(struct qn_near){.known = false});
}

struct diversions {
    struct qn_dpkg_diversion *at; /* sorted by `from`, without leading slashes */
    size_t count, cap;
};

static struct qn_str relative(struct qn_str path)
{
    while (path.n && path.p[0] == '/')
        path = qn_str_from(path, 1);
    return path;
}

static int by_from(const void *a, const void *b)
{
    const struct qn_dpkg_diversion *x = a, *y = b;
    int c = qn_str_cmp(x->from, y->from);
    /* The place in the file decides between two of one path: the raw views stand in file order. */
    return c ? c : ((uintptr_t)x->raw.p > (uintptr_t)y->raw.p) - ((uintptr_t)x->raw.p < (uintptr_t)y->raw.p);
}

static int read_diversions(const struct qn_image *img, struct diversions *out, struct qn_err *e)
{
    struct qn_dpkg_diversion d;
    struct qn_str text;

    if (!qn_image_text(img, QN_STR("var/lib/dpkg/diversions"), &text))
        return 0;
    while (qn_dpkg_diversion_next(&text, &d)) {
        d.from = relative(d.from);
        d.to = relative(d.to);
        if (qn_grow((void **)&out->at, &out->cap, out->count + 1, sizeof *out->at, MAX_PACKAGES, e) < 0)
            return qn_err_wrap(e, "/var/lib/dpkg/diversions");
        out->at[out->count++] = d;
    }
    if (out->count)
        qsort(out->at, out->count, sizeof *out->at, by_from);
    return 0;
}

/* A diverted file stands under another name unless its owner is who diverted it (dpkg-divert(1)). */
static struct qn_str diverted(const struct diversions *d, struct qn_str path, struct qn_str package)
{
    size_t lo = 0, hi = d->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (qn_str_cmp(d->at[mid].from, path) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->count && qn_str_eq(d->at[lo].from, path) && !qn_str_eq(d->at[lo].package, package) ? d->at[lo].to
                                                                                                      : path;
}

static bool list_text(const struct qn_image *img, const struct qn_package *p, struct qn_str *text)
{
    char path[QN_PATH_MAX];

    int n = snprintf(path, sizeof path, "var/lib/dpkg/info/%.*s.list", QN_FMT(p->name));
    if (n > 0 && (size_t)n < sizeof path && qn_image_text(img, qn_str_c(path), text))
        return true;
    n = snprintf(path, sizeof path, "var/lib/dpkg/info/%.*s:%.*s.list", QN_FMT(p->name), QN_FMT(p->arch));
    return n > 0 && (size_t)n < sizeof path && qn_image_text(img, qn_str_c(path), text);
}

static void own_dpkg(struct qn_image *img, uint32_t index, const struct diversions *diversions)
{
    const struct qn_package *p = &img->package[index];
    struct qn_near near = {.known = false};
    struct qn_str text, path, hash;
    char name[QN_PATH_MAX];

    if (list_text(img, p, &text)) {
        while (qn_dpkg_list_next(&text, &path))
            own(img, diverted(diversions, path, p->name), index, &near);
        return;
    }
    /* Distroless images: status.d/NAME.md5sums is the only list. */
    struct qn_str database = img->tree.node[p->database].path;
    int n = snprintf(name, sizeof name, "%.*s.md5sums", QN_FMT(database));
    if (n > 0 && (size_t)n < sizeof name && qn_image_text(img, qn_str_c(name), &text))
        while (qn_dpkg_md5_next(&text, &hash, &path))
            own(img, path, index, &near);
}

static int own_apk(struct qn_image *img, uint32_t index, struct qn_err *e)
{
    struct qn_str rest = img->package[index].raw;
    struct qn_apk_stanza s;
    struct qn_apk_file f;

    if (qn_apk_next(&rest, &s, e) <= 0)
        return -1;
    struct qn_apk_files *it = qn_arena_alloc(&img->arena, 1, sizeof *it, e);
    if (!it)
        return -1;
    it->rest = s.body;
    int r;
    while ((r = qn_apk_files_next(it, &f, e)) > 0)
        if (!f.is_dir)
            qn_package_own(img, f.path, index);
    return r < 0 ? qn_err_wrap(e, "/lib/apk/db/installed: package \"%s\"", QN_Q(s.name)) : 0;
}

/* Files that belong to a package although its list does not name them. */
static void own_derived(struct qn_image *img)
{
    struct qn_tree *t = &img->tree;

    for (uint32_t i = 0; i < t->count; i++) {
        struct qn_node *n = &t->node[i];
        if (n->package != QN_NO_PACKAGE || n->type == QN_DIR)
            continue;
        /* The applet links of busybox are made by a trigger and stand in no list. */
        if (n->type == QN_SYMLINK && img->db.apk_installed != QN_NO_NODE) {
            uint32_t to = qn_tree_resolve(t, n->path, true);
            if (to != QN_NO_NODE && qn_str_eq(qn_path_base(t->node[to].path), QN_STR("busybox")))
                n->package = t->node[to].package;
        }
        /* Alternatives belong to what they lead to. */
        if (n->type == QN_SYMLINK && qn_path_under(n->path, QN_STR("etc/alternatives"))) {
            uint32_t to = qn_tree_resolve(t, n->path, true);
            if (to != QN_NO_NODE && t->node[to].type != QN_DIR)
                n->package = t->node[to].package;
        }
        /* Byte code that a trigger compiled belongs to its source. */
        struct qn_str dir = qn_path_dir(n->path), base = qn_path_base(n->path);
        if (qn_str_ends(dir, QN_STR("/__pycache__")) && qn_str_ends(base, QN_STR(".pyc"))) {
            char source[QN_PATH_MAX];
            ptrdiff_t dot = qn_str_chr(base, '.');
            struct qn_str up = qn_path_dir(dir);
            int len = snprintf(source, sizeof source, "%.*s/%.*s.py", QN_FMT(up), (int)dot, base.p);
            uint32_t py = len > 0 && (size_t)len < sizeof source ? qn_tree_find(t, qn_str_c(source)) : QN_NO_NODE;
            if (py != QN_NO_NODE)
                n->package = t->node[py].package;
        }
    }
    /* Names in bin directories that update-alternatives made. */
    for (uint32_t i = 0; i < t->count; i++) {
        struct qn_node *n = &t->node[i];
        if (n->package != QN_NO_PACKAGE || n->type != QN_SYMLINK ||
            !qn_str_starts(n->entry->link, QN_STR("/etc/alternatives/")))
            continue;
        uint32_t to = qn_tree_resolve(t, n->path, true);
        if (to != QN_NO_NODE && t->node[to].type != QN_DIR)
            n->package = t->node[to].package;
    }
}

static int collect_payload(struct qn_image *img, struct qn_err *e)
{
    struct qn_tree *t = &img->tree;

    for (uint32_t i = 0; i < t->count; i++)
        if (t->node[i].package != QN_NO_PACKAGE)
            img->package[t->node[i].package].files++;
    for (size_t p = 0; p < img->package_count; p++) {
        img->package[p].file = qn_arena_alloc(&img->arena, img->package[p].files, sizeof(uint32_t), e);
        if (!img->package[p].file)
            return -1;
        img->package[p].files = 0;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->node[i].package == QN_NO_PACKAGE)
            continue;
        struct qn_package *p = &img->package[t->node[i].package];
        p->file[p->files++] = i;
    }
    return 0;
}

static int read_status_d(struct qn_image *img, struct qn_package_list *ps, struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;
    uint32_t dir = img->db.dpkg_status_d;

    if (dir == QN_NO_NODE)
        return 0;
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i++)
        if (t->node[i].type == QN_FILE && !qn_str_ends(t->node[i].path, QN_STR(".md5sums")))
            if (read_dpkg_file(img, i, ps, e) < 0)
                return -1;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct qn_package *const *x = a, *const *y = b;
    int c = qn_str_cmp((*x)->name, (*y)->name);
    c = c ? c : qn_str_cmp((*x)->arch, (*y)->arch);
    return c ? c : (*x > *y) - (*x < *y);
}

/* Two stanzas of one package and architecture would both claim its list. */
static bool repeated(const struct qn_image *img, const struct qn_package *p)
{
    uint32_t first = qn_image_package(img, p->name, p->arch);
    return first != QN_NO_PACKAGE && &img->package[first] != p;
}

static int sort_packages(struct qn_image *img, struct qn_err *e)
{
    img->by_name = qn_arena_alloc(&img->arena, img->package_count, sizeof(struct qn_package *), e);
    if (!img->by_name)
        return -1;
    for (size_t i = 0; i < img->package_count; i++)
        img->by_name[i] = &img->package[i];
    if (img->package_count)
        qsort(img->by_name, img->package_count, sizeof *img->by_name, by_name);
    for (size_t i = 0; i < img->package_count; i++)
        img->by_name[i]->order = (uint32_t)i;
    return 0;
}

static int own_all(struct qn_image *img, struct qn_err *e)
{
    struct diversions diversions = {0};
    int r = read_diversions(img, &diversions, e);

    for (uint32_t i = 0; r == 0 && i < img->package_count; i++) {
        if (img->package[i].kind == QN_PACKAGE_APK)
            r = own_apk(img, i, e);
        else if (img->package[i].kind == QN_PACKAGE_RPM)
            r = qn_rpm_own(img, i, e);
        else if (!repeated(img, &img->package[i]))
            own_dpkg(img, i, &diversions);
    }
    free(diversions.at);
    return r;
}

int qn_image_packages(struct qn_image *img, struct qn_err *e)
{
    struct qn_package_list ps = {0};

    int r = read_dpkg_file(img, img->db.dpkg_status, &ps, e);
    if (r == 0)
        r = read_status_d(img, &ps, e);
    if (r == 0)
        r = read_apk_file(img, &ps, e);
    if (r == 0)
        r = qn_rpm_read(img, &ps, e);
    if (r == 0 && ps.count) {
        img->package = qn_arena_alloc(&img->arena, ps.count, sizeof *img->package, e);
        r = img->package ? 0 : -1;
    }
    if (r == 0 && ps.count)
        memcpy(img->package, ps.at, ps.count * sizeof *ps.at);
    img->package_count = r == 0 ? ps.count : 0;
    free(ps.at);
    if (r < 0 || sort_packages(img, e) < 0 || own_all(img, e) < 0)
        return -1;
    own_derived(img);
    return collect_payload(img, e) < 0 || qn_depends_index(img, e) < 0 ? -1 : qn_depends_intent(img, e);
}
