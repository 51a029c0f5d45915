#include "depends.h"

#include <stdlib.h>

#define NAMES_MAX 65536u

/* Names of a dependency field; counts them when `out` is NULL. `*group` is the next group's number. */
static uint32_t deb_field(struct qn_str field, struct qn_depend *out, uint32_t *group)
{
    struct qn_str alternatives;
    struct qn_dpkg_dep d;
    uint32_t n = 0;

    while (qn_dpkg_dep_group(&field, &alternatives)) {
        while (n < NAMES_MAX && qn_dpkg_dep_next(&alternatives, &d)) {
            if (out)
                out[n] = (struct qn_depend){d.name, *group};
            n++;
        }
        ++*group;
    }
    return n;
}

static uint32_t apk_field(struct qn_str field, struct qn_depend *out)
{
    struct qn_apk_dep d;
    uint32_t n = 0;

    while (n < NAMES_MAX && qn_apk_dep_next(&field, &d)) {
        if (d.conflict)
            continue;
        if (out)
            out[n] = (struct qn_depend){d.name, n};
        n++;
    }
    return n;
}

/* Names only, for what a package provides. */
static int store_provides(struct qn_arena *arena, const struct qn_depend *list, uint32_t n, struct qn_package *p,
                          struct qn_err *e)
{
    p->provides = qn_arena_alloc(arena, n, sizeof *p->provides, e);
    if (!p->provides)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        p->provides[i] = list[i].name;
    p->provide_count = n;
    return 0;
}

static int too_many(struct qn_str name, struct qn_err *e)
{
    return qn_fail(e, QN_E_LIMIT, "package \"%s\": more than %u dependencies", QN_Q(name), NAMES_MAX);
}

int qn_depends_deb(struct qn_arena *arena, const struct qn_dpkg_stanza *s, struct qn_package *p, struct qn_err *e)
{
    uint32_t groups = 0;
    uint32_t before = deb_field(s->pre_depends, NULL, &groups), needs = deb_field(s->depends, NULL, &groups);
    uint32_t gives = deb_field(s->provides, NULL, &groups);

    if (before >= NAMES_MAX || needs >= NAMES_MAX || gives >= NAMES_MAX)
        return too_many(p->name, e);
    struct qn_depend *list = qn_arena_alloc(arena, (size_t)before + needs + gives, sizeof *list, e);
    if (!list)
        return -1;
    groups = 0;
    deb_field(s->pre_depends, list, &groups);
    deb_field(s->depends, list + before, &groups);
    deb_field(s->provides, list + before + needs, &groups);
    p->depends = list;
    p->depend_count = before + needs;
    return store_provides(arena, list + before + needs, gives, p, e);
}

int qn_depends_apk(struct qn_arena *arena, const struct qn_apk_stanza *s, struct qn_package *p, struct qn_err *e)
{
    uint32_t needs = apk_field(s->depends, NULL), gives = apk_field(s->provides, NULL);

    if (needs >= NAMES_MAX || gives >= NAMES_MAX)
        return too_many(p->name, e);
    struct qn_depend *list = qn_arena_alloc(arena, (size_t)needs + gives, sizeof *list, e);
    if (!list)
        return -1;
    apk_field(s->depends, list);
    apk_field(s->provides, list + needs);
    p->depends = list;
    p->depend_count = needs;
    return store_provides(arena, list + needs, gives, p, e);
}

static int by_provider(const void *a, const void *b)
{
    const struct qn_provider *x = a, *y = b;
    int c = qn_str_cmp(x->name, y->name);
    return c ? c : (x->package > y->package) - (x->package < y->package);
}

int qn_depends_index(struct qn_image *img, struct qn_err *e)
{
    size_t n = img->package_count;

    for (size_t i = 0; i < img->package_count; i++)
        n += img->package[i].provide_count;
    img->provider = qn_arena_alloc(&img->arena, n, sizeof *img->provider, e);
    if (!img->provider)
        return -1;
    n = 0;
    for (uint32_t i = 0; i < img->package_count; i++) {
        img->provider[n++] = (struct qn_provider){img->package[i].name, i};
        for (uint32_t k = 0; k < img->package[i].provide_count; k++)
            img->provider[n++] = (struct qn_provider){img->package[i].provides[k], i};
    }
    if (n)
        qsort(img->provider, n, sizeof *img->provider, by_provider);
    img->provider_count = n;
    return 0;
}

size_t qn_depends_find(const struct qn_image *img, struct qn_str name, size_t *count)
{
    size_t lo = 0, hi = img->provider_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (qn_str_cmp(img->provider[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *count = 0;
    while (lo + *count < img->provider_count && qn_str_eq(img->provider[lo + *count].name, name))
        ++*count;
    return lo;
}

static void set_intent(struct qn_image *img, struct qn_str name, enum qn_package_kind kind, enum qn_intent intent)
{
    size_t n, at = qn_depends_find(img, name, &n);

    for (size_t i = at; i < at + n; i++) {
        struct qn_package *p = &img->package[img->provider[i].package];
        /* apt names packages, apk also what they provide. */
        if (p->kind == kind && (kind == QN_PACKAGE_APK || qn_str_eq(p->name, name)))
            p->intent = intent;
    }
}

static void set_all(struct qn_image *img, enum qn_package_kind kind, enum qn_intent intent)
{
    for (size_t i = 0; i < img->package_count; i++)
        if (img->package[i].kind == kind)
            img->package[i].intent = intent;
}

int qn_depends_intent(struct qn_image *img, struct qn_err *e)
{
    struct qn_dpkg_stanza s;
    struct qn_apk_dep d;
    struct qn_str text;
    int r = 0;

    if (qn_image_text(img, QN_STR("var/lib/apt/extended_states"), &text) && text.n) {
        set_all(img, QN_PACKAGE_DEB, QN_INTENT_CHOSEN);
        while ((r = qn_dpkg_next(&text, &s, e)) > 0)
            if (qn_str_eq(s.auto_installed, QN_STR("1")))
                set_intent(img, s.package, QN_PACKAGE_DEB, QN_INTENT_AUTO);
        /* A damaged list says nothing; what it does not say is kept. */
        if (r < 0)
            set_all(img, QN_PACKAGE_DEB, QN_INTENT_UNKNOWN);
    }
    if (qn_image_text(img, QN_STR("etc/apk/world"), &text)) {
        set_all(img, QN_PACKAGE_APK, QN_INTENT_AUTO);
        while (qn_apk_dep_next(&text, &d))
            set_intent(img, d.name, QN_PACKAGE_APK, QN_INTENT_CHOSEN);
    }
    return 0;
}
