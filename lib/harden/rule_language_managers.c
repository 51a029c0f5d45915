/* Package managers of languages, as whole units. One stays when anything of it is reached, when the application names
 * or imports it, and when a package that is used depends on the package that it is. */
#include "edits.h"

#include "image/depends.h"
#include "image/units.h"

/* Where programs stand that are not the application's own: what they name in their texts is not evidence of use, what
 * they import is. */
static bool dependency(struct qn_str path)
{
    return qn_str_find(path, QN_STR("-packages/")) >= 0 || qn_str_find(path, QN_STR("node_modules/")) >= 0 ||
           qn_str_find(path, QN_STR("/gems/")) >= 0 || qn_str_find(path, QN_STR("vendor/")) >= 0;
}

/* Programs that come with a language, or that install: what they say of managers does not count. */
static bool toolbox(struct qn_str path)
{
    static const char *const parts[] = {"/distutils/", "/_vendor/", "/tests/", "/test/"};
    bool library = qn_str_find(path, QN_STR("lib/python3")) >= 0 && qn_str_find(path, QN_STR("-packages/")) < 0;

    for (size_t i = 0; i < QN_ARRAY_LEN(parts); i++)
        if (qn_str_find(path, qn_str_c(parts[i])) >= 0)
            return true;
    return library || qn_str_find(path, QN_STR("lib/ruby/")) >= 0 || qn_str_find(path, QN_STR("share/")) >= 0 ||
           qn_str_eq(qn_path_base(path), QN_STR("setup.py"));
}

/* Units that something in the image uses. */
static uint32_t used(const struct qn_image *img)
{
    const uint32_t imports = QN_UNIT_BIT(QN_UNIT_SETUPTOOLS) | QN_UNIT_BIT(QN_UNIT_PIP);
    uint32_t bits = 0;

    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        struct qn_str base = qn_path_base(n->path);
        if (img->unit[i]) {
            if (qn_image_reached(img, i))
                bits |= QN_UNIT_BIT(img->unit[i]);
            continue;
        }
        if (n->package == QN_NO_PACKAGE && (qn_str_eq(base, QN_STR("Gemfile")) || qn_str_eq(base, QN_STR("gems.rb"))) &&
            !dependency(n->path))
            bits |= QN_UNIT_BIT(QN_UNIT_BUNDLER);
        if (n->type == QN_FILE && n->data && n->data->units && !toolbox(n->path))
            bits |= dependency(n->path) || n->package != QN_NO_PACKAGE ? n->data->units & imports : n->data->units;
    }
    return bits;
}

static enum qn_unit unit_of_package(struct qn_str name)
{
    for (int u = QN_UNIT_NONE + 1; u < QN_UNITS; u++)
        if (qn_unit_package((enum qn_unit)u, name))
            return (enum qn_unit)u;
    return QN_UNIT_NONE;
}

/* Units that a package with files of its own depends on, which is no unit itself. */
static uint32_t depended_on(const struct qn_image *img)
{
    uint32_t bits = 0;

    for (size_t k = 0; k < img->package_count; k++) {
        const struct qn_package *p = &img->package[k];
        if (unit_of_package(p->name) != QN_UNIT_NONE || p->files == 0)
            continue;
        for (uint32_t d = 0; d < p->depend_count; d++) {
            size_t count, at = qn_depends_find(img, p->depends[d].name, &count);
            for (size_t i = at; i < at + count; i++)
                bits |= QN_UNIT_BIT(unit_of_package(img->package[img->provider[i].package].name));
        }
    }
    return bits & ~QN_UNIT_BIT(QN_UNIT_NONE);
}

static int remove_unit(struct qn_plan *p, enum qn_unit unit, struct qn_err *e)
{
    const struct qn_image *img = p->img;
    char because[64];

    snprintf(because, sizeof because, "%s: package manager of a language", qn_unit_name(unit));
    for (size_t k = 0; k < img->package_count; k++)
        if (qn_unit_package(unit, img->package[k].name) && qn_rule_remove_package(p, (uint32_t)k, because, e) < 0)
            return -1;
    for (uint32_t i = 1; i < img->tree.count;) {
        if (img->unit[i] != unit) {
            i++;
            continue;
        }
        if (qn_plan_remove_tree(p, i, because, NULL, e) < 0)
            return -1;
        i = qn_tree_end(&img->tree, i);
    }
    return 0;
}

int qn_rule_language_managers(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                              struct qn_err *e)
{
    uint32_t keep = used(img) | depended_on(img);

    (void)opt;
    /* pip of some distributions is built from what these bring. */
    if (keep & QN_UNIT_BIT(QN_UNIT_PIP))
        keep |= QN_UNIT_BIT(QN_UNIT_SETUPTOOLS) | QN_UNIT_BIT(QN_UNIT_WHEEL);
    for (int u = QN_UNIT_NONE + 1; u < QN_UNITS; u++) {
        if (keep & QN_UNIT_BIT(u)) {
            plan->result[plan->rule].protected ++;
            continue;
        }
        if (remove_unit(plan, (enum qn_unit)u, e) < 0)
            return -1;
    }
    return 0;
}
