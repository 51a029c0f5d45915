/* Bills of materials that an image carries: CycloneDX and SPDX, as JSON. Scanners believe them, so what they say of
 * packages that are gone goes; a document about one such package goes with it. Others stay byte for byte. */
#include "databases.h"

#include "base/json.h"
#include "base/map.h"
#include "base/path.h"

#define SBOM_MAX (16u << 20)

/* What a package URL says, percent signs undone: "deb", "openssl", "3.0.1". */
struct purl {
    char type[16], name[256], version[256];
};

static unsigned hex(char c)
{
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
           : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                  : 16;
}

static bool decode(struct qn_str s, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%' && i + 2 < s.n && hex(s.p[i + 1]) < 16 && hex(s.p[i + 2]) < 16) {
            c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        }
        if (n + 1 >= size || c == '\0')
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

/* purl-spec: scheme, type, namespace, name, version, qualifiers, subpath. */
static bool parse(struct qn_str s, struct purl *out)
{
    if (!qn_str_starts(s, QN_STR("pkg:")))
        return false;
    s = qn_str_from(s, 4);
    for (size_t i = 0; i < 2; i++) {
        ptrdiff_t end = qn_str_chr(s, i ? '?' : '#');
        s = end < 0 ? s : qn_str_head(s, (size_t)end);
    }
    ptrdiff_t slash = qn_str_chr(s, '/'), at = qn_str_rchr(s, '@');
    if (slash <= 0 || at < slash)
        return false;
    struct qn_str name = qn_path_base(qn_str_head(s, (size_t)at));
    return decode(qn_str_head(s, (size_t)slash), out->type, sizeof out->type) &&
           decode(name, out->name, sizeof out->name) &&
           decode(qn_str_from(s, (size_t)at + 1), out->version, sizeof out->version);
}

struct filter {
    struct qn_plan *p;
    struct qn_map gone; /* identifiers of dropped entries */
    uint32_t first;     /* a package that was dropped */
    size_t dropped;
};

/* The package that is gone and that a package URL means, or QN_NO_PACKAGE. */
static uint32_t gone(const struct qn_plan *p, const char *text)
{
    static const char *const types[] = {[QN_PACKAGE_DEB] = "deb", [QN_PACKAGE_APK] = "apk", [QN_PACKAGE_RPM] = "rpm"};
    struct purl u;

    if (!text || !parse(qn_str_c(text), &u))
        return QN_NO_PACKAGE;
    for (uint32_t i = qn_image_package(p->img, qn_str_c(u.name), QN_STR("")); i != QN_NO_PACKAGE;
         i = qn_image_package_next(p->img, i)) {
        const struct qn_package *pkg = &p->img->package[i];
        struct qn_str version = pkg->version;
        /* Some write the epoch into the version, some leave it out. */
        ptrdiff_t colon = qn_str_chr(version, ':');
        bool same = qn_str_eq_c(version, u.version) ||
                    (colon >= 0 && qn_str_eq_c(qn_str_from(version, (size_t)colon + 1), u.version));
        if (p->package_gone[i] && same && strcmp(types[pkg->kind], u.type) == 0)
            return i;
    }
    return QN_NO_PACKAGE;
}

static int note(struct filter *f, uint32_t package, const char *id, struct qn_err *e)
{
    struct qn_str copy;

    if (f->dropped++ == 0)
        f->first = package;
    if (!id)
        return 0;
    /* The entry that has it is about to go. */
    return qn_arena_str(&f->p->arena, qn_str_c(id), &copy, e) < 0 ? -1 : qn_map_put(&f->gone, copy, f, e);
}

static bool is_gone(const struct filter *f, const json_t *id)
{
    return json_is_string(id) && qn_map_get(&f->gone, qn_str_c(json_string_value(id))) != NULL;
}

/* Drops the items of a list of identifiers that are gone. */
static void drop_ids(const struct filter *f, json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (is_gone(f, json_array_get(list, i)))
            json_array_remove(list, i);
}

/* CycloneDX: components, and what depends on what. 1 when the document is about a package that is gone. */
static int cyclonedx(struct filter *f, json_t *root, struct qn_err *e)
{
    json_t *list = json_object_get(root, "components"), *deps = json_object_get(root, "dependencies");
    json_t *about = json_object_get(json_object_get(root, "metadata"), "component");
    uint32_t package = gone(f->p, json_string_value(json_object_get(about, "purl")));

    if (package != QN_NO_PACKAGE)
        return note(f, package, NULL, e) < 0 ? -1 : 1;
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *c = json_array_get(list, i);
        package = gone(f->p, json_string_value(json_object_get(c, "purl")));
        if (package == QN_NO_PACKAGE)
            continue;
        if (note(f, package, json_string_value(json_object_get(c, "bom-ref")), e) < 0)
            return -1;
        json_array_remove(list, i);
    }
    for (size_t i = json_array_size(deps); i-- > 0;) {
        json_t *d = json_array_get(deps, i);
        if (is_gone(f, json_object_get(d, "ref")))
            json_array_remove(deps, i);
        else
            drop_ids(f, json_object_get(d, "dependsOn"));
    }
    return 0;
}

static uint32_t spdx_package(const struct qn_plan *p, const json_t *c)
{
    json_t *refs = json_object_get(c, "externalRefs"), *ref;
    size_t i;

    json_array_foreach (refs, i, ref) {
        const char *type = json_string_value(json_object_get(ref, "referenceType"));
        if (type && strcmp(type, "purl") == 0)
            return gone(p, json_string_value(json_object_get(ref, "referenceLocator")));
    }
    return QN_NO_PACKAGE;
}

/* SPDX 2: packages, and their relationships. 1 when everything that the document describes is gone. */
static int spdx(struct filter *f, json_t *root, struct qn_err *e)
{
    json_t *list = json_object_get(root, "packages"), *rel = json_object_get(root, "relationships");
    json_t *describes = json_object_get(root, "documentDescribes");
    size_t left = json_array_size(describes), lost = 0;

    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *c = json_array_get(list, i);
        uint32_t package = spdx_package(f->p, c);
        if (package == QN_NO_PACKAGE)
            continue;
        if (note(f, package, json_string_value(json_object_get(c, "SPDXID")), e) < 0)
            return -1;
        json_array_remove(list, i);
    }
    drop_ids(f, describes);
    lost = left - json_array_size(describes);
    left = json_array_size(describes);
    for (size_t i = json_array_size(rel); i-- > 0;) {
        json_t *r = json_array_get(rel, i);
        const char *type = json_string_value(json_object_get(r, "relationshipType"));
        bool subject = type && strcmp(type, "DESCRIBES") == 0;
        bool drop =
            is_gone(f, json_object_get(r, "spdxElementId")) || is_gone(f, json_object_get(r, "relatedSpdxElement"));
        lost += subject && drop;
        left += subject && !drop;
        if (drop)
            json_array_remove(rel, i);
    }
    return lost > 0 && left == 0;
}

static int edit(struct qn_plan *p, uint32_t node, struct qn_str text, struct qn_err *e)
{
    struct filter f = {.p = p};
    qn_auto_json json_t *root = NULL;
    struct qn_err broken;

    if (qn_json_parse(text, SBOM_MAX, &root, &broken) < 0 || !json_is_object(root))
        return 0;
    qn_map_init(&f.gone, 1000000);
    int whole = json_object_get(root, "bomFormat")     ? cyclonedx(&f, root, e)
                : json_object_get(root, "spdxVersion") ? spdx(&f, root, e)
                                                       : 0;
    qn_map_fini(&f.gone);
    if (whole < 0 || f.dropped == 0)
        return whole;
    for (uint32_t i = 0; i < p->img->package[f.first].files; i++) {
        uint32_t file = p->img->package[f.first].file[i];
        if (!qn_plan_kept(p, file))
            p->rule = p->change[p->fate[file].removed - 1].rule;
    }
    if (whole && qn_plan_remove(p, node, "it describes a package of which nothing is left", e) < 0)
        return -1;
    if (!qn_plan_kept(p, node))
        return 0;
    qn_auto_buf struct qn_buf b = {.max = 4 * SBOM_MAX};
    if (qn_json_print_pretty(root, &b, e) < 0)
        return -1;
    return qn_plan_edit(p, node, qn_buf_view(&b), "no file of some packages is left", e);
}

int qn_database_sbom(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;
    bool any = false;

    for (uint32_t i = 0; i < p->img->package_count; i++)
        any = any || p->package_gone[i];
    for (uint32_t i = 1; any && i < t->count; i++) {
        struct qn_str text, path = t->node[i].path;
        bool sbom = qn_str_ends(path, QN_STR(".spdx.json")) || qn_str_ends(path, QN_STR(".cdx.json")) ||
                    qn_str_ends(path, QN_STR(".spdx")) || qn_path_under(path, QN_STR("var/lib/db/sbom"));
        if (sbom && t->node[i].type == QN_FILE && qn_plan_text(p, i, &text) && edit(p, i, text, e) < 0)
            return qn_err_wrap(e, "/%s", QN_Q(path));
    }
    return 0;
}
