#include "packages.h"
#include "units.h"

#include "base/num.h"
#include "base/path.h"
#include "formats/passwd.h"

#define ARENA_MAX (512u << 20)

bool qn_node_text(const struct qn_image *img, uint32_t node, struct qn_str *text)
{
    if (node == QN_NO_NODE || img->tree.node[node].type != QN_FILE)
        return false;
    const struct qn_entry *data = img->tree.node[node].data;
    if (!data || !data->captured)
        return false;
    *text = data->text;
    return true;
}

bool qn_image_text(const struct qn_image *img, struct qn_str path, struct qn_str *text)
{
    return qn_node_text(img, qn_tree_resolve(&img->tree, path, true), text);
}

uint32_t qn_image_package(const struct qn_image *img, struct qn_str name, struct qn_str arch)
{
    size_t lo = 0, hi = img->package_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct qn_package *p = img->by_name[mid];
        int c = qn_str_cmp(p->name, name);
        if (c < 0 || (c == 0 && arch.n && qn_str_cmp(p->arch, arch) < 0))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == img->package_count || !qn_str_eq(img->by_name[lo]->name, name) ||
        (arch.n && !qn_str_eq(img->by_name[lo]->arch, arch)))
        return QN_NO_PACKAGE;
    return (uint32_t)(img->by_name[lo] - img->package);
}

uint32_t qn_image_package_next(const struct qn_image *img, uint32_t package)
{
    const struct qn_package *p = &img->package[package];
    size_t next = (size_t)p->order + 1;

    if (next == img->package_count || !qn_str_eq(img->by_name[next]->name, p->name))
        return QN_NO_PACKAGE;
    return (uint32_t)(img->by_name[next] - img->package);
}

static void find_databases(struct qn_image *img)
{
    const struct qn_tree *t = &img->tree;

    img->db.dpkg_status = qn_tree_resolve(t, QN_STR("var/lib/dpkg/status"), true);
    img->db.dpkg_status_d = qn_tree_resolve(t, QN_STR("var/lib/dpkg/status.d"), true);
    img->db.apk_installed = qn_tree_resolve(t, QN_STR("lib/apk/db/installed"), true);
    if (img->db.apk_installed == QN_NO_NODE)
        img->db.apk_installed = qn_tree_resolve(t, QN_STR("usr/lib/apk/db/installed"), true);
    qn_rpm_find(img);
}

static void read_osrelease(struct qn_image *img)
{
    struct qn_str text;

    if (qn_image_text(img, QN_STR("etc/os-release"), &text) || qn_image_text(img, QN_STR("usr/lib/os-release"), &text))
        qn_osrelease_parse(text, &img->os);
}

/* config.User: "", NAME, UID, and either with ":GROUP". */
static void read_user(struct qn_image *img)
{
    struct qn_str user = img->config.user, text;
    struct qn_err e;
    uint64_t uid;
    ptrdiff_t colon = qn_str_chr(user, ':');

    if (colon >= 0)
        user = qn_str_head(user, (size_t)colon);
    img->runs_as_root = user.n == 0 || qn_str_eq(user, QN_STR("root"));
    if (img->runs_as_root)
        return;
    qn_auto_rows struct qn_rows rows = {0};
    if (qn_image_text(img, QN_STR("etc/passwd"), &text) && qn_rows_parse(QN_ROWS_PASSWD, text, &rows, &e) == 0) {
        const struct qn_row *row = qn_rows_find(&rows, user);
        if (row && qn_row_number(row, QN_PW_UID, &img->run_uid)) {
            img->runs_as_root = img->run_uid == 0;
            return;
        }
    }
    if (qn_num_u64(user, 0, UINT32_MAX, &uid, &e) == 0) {
        img->run_uid = (uint32_t)uid;
        img->runs_as_root = uid == 0;
    }
}

int qn_image_build(const struct qn_layer_index *layers, size_t count, struct qn_str config,
                   const struct qn_limits *limits, const struct qn_keep *keep, struct qn_image *out, struct qn_err *e)
{
    qn_auto_image struct qn_image img = {.entry = QN_NO_NODE};

    qn_arena_init(&img.arena, ARENA_MAX);
    if (qn_imgconfig_parse(config, limits, &img.config, e) < 0)
        return qn_err_wrap(e, "image config");
    if (qn_tree_build(layers, count, &img.tree, e) < 0)
        return -1;
    find_databases(&img);
    read_osrelease(&img);
    read_user(&img);
    if (qn_image_commands(&img, e) < 0 || qn_image_libraries(&img, e) < 0 || qn_image_packages(&img, e) < 0 ||
        qn_image_units(&img, e) < 0 || qn_image_reach(&img, keep, e) < 0)
        return -1;
    *out = img;
    img = (struct qn_image){0};
    return 0;
}

void qn_image_fini(struct qn_image *img)
{
    qn_tree_fini(&img->tree);
    qn_imgconfig_fini(&img->config);
    qn_arena_fini(&img->arena);
    *img = (struct qn_image){0};
}

bool qn_image_documentation(struct qn_str path)
{
    static const char *const dirs[] = {"usr/share/doc",      "usr/share/man",     "usr/share/info",
                                       "usr/share/locale",   "usr/share/lintian", "usr/share/doc-base",
                                       "usr/share/licenses", "var/lib/db/sbom",   "usr/share/bash-completion",
                                       "usr/share/bug",      "usr/share/zsh",     "usr/share/fish"};
    if (!qn_str_starts(path, QN_STR("usr/share/")) && !qn_str_starts(path, QN_STR("var/lib/")))
        return false;
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}
