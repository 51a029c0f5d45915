#include "descriptor.h"
#include "base/json.h"
#include "jsonkeys.h"

#include <stdio.h>

static const struct {
    const char *alias, *architecture, *variant;
} aliases[] = {
    {"x86_64", "amd64", ""},    {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""}, {"armhf", "arm", "v7"},
    {"armel", "arm", "v6"},     {"i386", "386", ""},     {"i486", "386", ""},      {"i586", "386", ""},
    {"i686", "386", ""},        {"x86", "386", ""},      {"loong", "loong64", ""}, {"powerpc64le", "ppc64le", ""},
    {"ppc64el", "ppc64le", ""},
};

static bool word_valid(struct qn_str s)
{
    if (s.n == 0 || s.n > 64)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' &&
            c != '-')
            return false;
    }
    return true;
}

int qn_platform_parse(struct qn_str s, struct qn_platform *out, struct qn_err *e)
{
    struct qn_platform p = {QN_STR(""), QN_STR(""), QN_STR(""), QN_STR("")};
    struct qn_str rest = s, extra;

    if (s.n == 0 || s.p[s.n - 1] == '/' || !qn_str_next(&rest, '/', &p.os) || !qn_str_next(&rest, '/', &p.architecture))
        return qn_fail(e, QN_E_USAGE, "platform \"%s\": write OS/ARCH[/VARIANT], as in linux/amd64", QN_Q(s));
    bool variant = qn_str_next(&rest, '/', &p.variant);
    if (!word_valid(p.os) || !word_valid(p.architecture) || (variant && !word_valid(p.variant)) ||
        qn_str_next(&rest, '/', &extra))
        return qn_fail(e, QN_E_USAGE, "platform \"%s\": write OS/ARCH[/VARIANT], as in linux/amd64", QN_Q(s));
    for (size_t i = 0; i < QN_ARRAY_LEN(aliases); i++) {
        if (!qn_str_eq_c(p.architecture, aliases[i].alias))
            continue;
        p.architecture = qn_str_c(aliases[i].architecture);
        if (!variant)
            p.variant = qn_str_c(aliases[i].variant);
        break;
    }
    if (qn_str_eq_c(p.architecture, "arm64") && qn_str_eq_c(p.variant, "8"))
        p.variant = QN_STR("v8");
    *out = p;
    return 0;
}

/* The variant that an architecture without one stands for. */
static struct qn_str variant_of(const struct qn_platform *p)
{
    if (p->variant.n)
        return p->variant;
    if (qn_str_eq_c(p->architecture, "arm64"))
        return QN_STR("v8");
    if (qn_str_eq_c(p->architecture, "amd64"))
        return QN_STR("v1");
    if (qn_str_eq_c(p->architecture, "arm"))
        return QN_STR("v7");
    return p->variant;
}

bool qn_platform_match(const struct qn_platform *want, const struct qn_platform *have)
{
    return qn_str_eq(want->os, have->os) && qn_str_eq(want->architecture, have->architecture) &&
           qn_str_eq(variant_of(want), variant_of(have)) &&
           (want->os_version.n == 0 || qn_str_eq(want->os_version, have->os_version));
}

char *qn_platform_text(const struct qn_platform *p, char out[QN_PLATFORM_TEXT])
{
    snprintf(out, QN_PLATFORM_TEXT, "%.64s/%.64s%s%.64s", qn_quote(qn_str_head(p->os, 64)).s,
             qn_quote(qn_str_head(p->architecture, 64)).s, p->variant.n ? "/" : "",
             qn_quote(qn_str_head(p->variant, 64)).s);
    return out;
}

static int bounded(const json_t *obj, const char *key, size_t max, struct qn_str *out, struct qn_err *e)
{
    struct qn_str s;

    if (qn_json_str_opt(obj, key, &s, e) < 0)
        return -1;
    if (s.n > max)
        return qn_fail(e, QN_E_MALFORMED, "%s: %zu bytes, at most %zu", key, s.n, max);
    *out = s;
    return 0;
}

int qn_platform_from_json(const json_t *obj, struct qn_platform *out, struct qn_err *e)
{
    static const char *const keys[] = {"os", "architecture", "variant", "os.version", NULL};
    struct qn_platform p;

    if (qn_json_exact_keys(obj, keys, "platform", e) < 0 || bounded(obj, "os", 64, &p.os, e) < 0 ||
        bounded(obj, "architecture", 64, &p.architecture, e) < 0 || bounded(obj, "variant", 64, &p.variant, e) < 0 ||
        bounded(obj, "os.version", 128, &p.os_version, e) < 0)
        return -1;
    *out = p;
    return 0;
}

static int check_annotations(const json_t *annotations, struct qn_err *e)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)annotations, key, value) {
        if (!json_is_string(value))
            return qn_fail(e, QN_E_MALFORMED, "annotations: \"%s\": not a string", QN_Q(qn_str_c(key)));
    }
    return 0;
}

static int parse(json_t *j, const char *where, struct qn_descriptor *d, struct qn_err *e)
{
    static const char *const keys[] = {"mediaType",    "digest", "size", "platform", "annotations",
                                       "artifactType", "urls",   "data", NULL};
    struct qn_str digest;
    json_t *platform;
    int64_t size;

    if (!json_is_object(j))
        return qn_fail(e, QN_E_MALFORMED, "not an object");
    if (qn_json_exact_keys(j, keys, where, e) < 0 || bounded(j, "mediaType", 255, &d->media_type, e) < 0 ||
        bounded(j, "artifactType", 255, &d->artifact_type, e) < 0 || qn_json_str(j, "digest", &digest, e) < 0 ||
        qn_json_int(j, "size", 0, INT64_MAX, &size, e) < 0 || qn_json_object_opt(j, "platform", &platform, e) < 0 ||
        qn_json_object_opt(j, "annotations", &d->annotations, e) < 0)
        return -1;
    if (qn_digest_parse(digest, &d->digest, e) < 0) {
        e->code = QN_E_MALFORMED;
        return -1;
    }
    if (d->annotations && check_annotations(d->annotations, e) < 0)
        return -1;
    d->size = (uint64_t)size;
    d->json = j;
    d->has_platform = platform != NULL;
    return platform ? qn_platform_from_json(platform, &d->platform, e) : 0;
}

int qn_descriptor_parse(json_t *j, const char *where, struct qn_descriptor *out, struct qn_err *e)
{
    struct qn_descriptor d = {.media_type = QN_STR(""), .artifact_type = QN_STR("")};

    d.platform = (struct qn_platform){QN_STR(""), QN_STR(""), QN_STR(""), QN_STR("")};
    if (parse(j, where, &d, e) < 0)
        return qn_err_wrap(e, "%s", where);
    *out = d;
    return 0;
}

struct qn_str qn_descriptor_annotation(const struct qn_descriptor *d, const char *key)
{
    const json_t *v = json_object_get(d->annotations, key);
    return v && json_is_string(v) ? qn_str_n(json_string_value(v), json_string_length(v)) : QN_STR("");
}
