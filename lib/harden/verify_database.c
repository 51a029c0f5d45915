/* Database and files agree: a package that is listed has files, one that is not listed has none left, and no list
 * names a file that went. */
#include "plan.h"
#include "verify.h"

#include "base/path.h"
#include "formats/dpkg.h"
#include "formats/ldcache.h"

static uint32_t find(const struct qn_image *img, const struct qn_package *p)
{
    uint32_t i = qn_image_package(img, p->name, p->arch);

    while (i != QN_NO_PACKAGE &&
           !(qn_str_eq(img->package[i].version, p->version) && qn_str_eq(img->package[i].arch, p->arch)))
        i = qn_image_package_next(img, i);
    return i;
}

static void one(const struct qn_verify *v, const struct qn_package *p, struct qn_verdict *out)
{
    uint32_t payload = 0, left = 0, at = find(v->after, p);

    for (uint32_t i = 0; i < p->files; i++) {
        if (qn_image_documentation(v->before->tree.node[p->file[i]].path))
            continue;
        payload++;
        left += qn_verify_same(v, p->file[i]) != QN_NO_NODE;
    }
    if (at == QN_NO_PACKAGE && left > 0)
        qn_verdict_fail(out, "package \"%s\" is not listed but %u of its files are there", QN_Q(p->name), left);
    if (at != QN_NO_PACKAGE && payload > 0 && left == 0)
        qn_verdict_fail(out, "package \"%s\" is listed but none of its files is there", QN_Q(p->name));
}

/* Lines of lists that name what was there before and is not any more. */
static void lists(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_tree *a = &v->after->tree;
    uint32_t info = qn_tree_resolve(a, QN_STR("var/lib/dpkg/info"), true);

    if (info == QN_NO_NODE)
        return;
    for (uint32_t i = info + 1, end = qn_tree_end(a, info); i < end && out->ok; i++) {
        struct qn_near near = {.known = false};
        struct qn_str text, path;
        if (!qn_str_ends(a->node[i].path, QN_STR(".list")) || !qn_node_text(v->after, i, &text))
            continue;
        while (qn_dpkg_list_next(&text, &path))
            if (path.n && qn_tree_listed(a, path, &near) == QN_NO_NODE &&
                (v->alone ? !qn_image_documentation(path)
                          : qn_tree_resolve(&v->before->tree, path, false) != QN_NO_NODE))
                qn_verdict_fail(out, "/%s names /%s, which is gone", QN_Q(a->node[i].path), QN_Q(path));
    }
}

struct library {
    const struct qn_verify *v;
    struct qn_verdict *out;
};

static bool library(void *ctx, struct qn_str path)
{
    const struct library *l = ctx;

    if (qn_tree_resolve(&l->v->after->tree, path, true) == QN_NO_NODE &&
        (l->v->alone || qn_tree_resolve(&l->v->before->tree, path, true) != QN_NO_NODE))
        qn_verdict_fail(l->out, "/etc/ld.so.cache names %s, which is gone", QN_Q(path));
    return true;
}

/* The loader's cache, read as the loader reads it; one that was readable still is. */
static void libraries(const struct qn_verify *v, struct qn_verdict *out)
{
    struct library l = {v, out};
    struct qn_buf none = {0};
    struct qn_str text;
    struct qn_err e;
    size_t dropped;

    if (qn_image_text(v->after, QN_STR("etc/ld.so.cache"), &text) &&
        qn_ldcache_filter(text, library, &l, &none, &dropped, &e) == 0)
        return;
    struct qn_verdict ignored = {.ok = true};
    l.out = &ignored;
    if (qn_image_text(v->before, QN_STR("etc/ld.so.cache"), &text) &&
        qn_ldcache_filter(text, library, &l, &none, &dropped, &e) == 0)
        qn_verdict_fail(out, "/etc/ld.so.cache cannot be read any more");
}

void qn_verify_database(const struct qn_verify *v, struct qn_verdict *out)
{
    for (size_t i = 0; i < v->before->package_count && out->ok; i++)
        one(v, &v->before->package[i], out);
    for (size_t i = 0; i < v->after->package_count && out->ok; i++)
        if (find(v->before, &v->after->package[i]) == QN_NO_PACKAGE)
            qn_verdict_fail(out, "package \"%s\" is new", QN_Q(v->after->package[i].name));
    lists(v, out);
    libraries(v, out);
    if (out->ok)
        snprintf(out->detail, sizeof out->detail, "%zu packages, %zu before", v->after->package_count,
                 v->before->package_count);
}
