#include "api_int.h"

#include "base/num.h"
#include "harden/rule.h"

static const struct qn_api_type types[] = {
#define X(name, members, summary) {#name, members, summary},
#include "api_types.def"
#undef X
};

static const struct qn_api_param params[] = {
#define X(id, name, type, summary) {#id, name, type, summary},
#include "api_query.def"
#undef X
};

const struct qn_api_param *qn_api_param(struct qn_str id)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(params); i++)
        if (qn_str_eq_c(id, params[i].id))
            return &params[i];
    qn_assert(false);
    return NULL;
}

const struct qn_api_type *qn_api_type_at(size_t i)
{
    return i < QN_ARRAY_LEN(types) ? &types[i] : NULL;
}

const char *qn_api_members_of(struct qn_str name)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(types); i++)
        if (qn_str_eq_c(name, types[i].name))
            return types[i].members;
    return NULL;
}

bool qn_api_next_member(struct qn_str *rest, struct qn_api_member *m)
{
    struct qn_str word;

    do
        if (!qn_str_word(rest, &word))
            return false;
    while (word.p[0] == '+');
    m->optional = qn_str_ends(word, QN_STR("?"));
    if (m->optional)
        word = qn_str_head(word, word.n - 1);
    ptrdiff_t colon = qn_str_chr(word, ':');
    qn_assert(colon > 0);
    m->name = qn_str_head(word, (size_t)colon);
    m->type = qn_str_from(word, (size_t)colon + 1);
    return true;
}

struct qn_str qn_api_alternatives(const char *members)
{
    struct qn_str rest = qn_str_c(members), word;

    while (qn_str_word(&rest, &word))
        if (word.p[0] == '+')
            return qn_str_from(word, 1);
    return QN_STR("");
}

bool qn_api_bounds(struct qn_str type, struct qn_str *base, uint64_t *low, uint64_t *high)
{
    ptrdiff_t slash = qn_str_chr(type, '/'), dots = qn_str_find(type, QN_STR(".."));
    struct qn_err e;

    *base = slash < 0 ? type : qn_str_head(type, (size_t)slash);
    if (slash < 0)
        return false;
    int bad = qn_num_u64(qn_str_head(qn_str_from(type, (size_t)slash + 1), (size_t)(dots - slash - 1)), 0, INT64_MAX,
                         low, &e) |
              qn_num_u64(qn_str_from(type, (size_t)dots + 2), 0, INT64_MAX, high, &e);
    qn_assert(bad == 0);
    return true;
}

/* --- checks ------------------------------------------------------------------------------------------------------- */
static size_t characters(struct qn_str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* The form alone; which names lead somewhere is for the handler. */
static bool is_reference(struct qn_str s)
{
    ptrdiff_t at = qn_str_chr(s, '@');
    struct qn_str name = at < 0 ? s : qn_str_head(s, (size_t)at);
    ptrdiff_t colon = qn_str_rchr(name, ':'), slash = qn_str_chr(name, '/');
    struct qn_digest d;
    struct qn_err e;

    if (s.n > QN_REF_MAX || slash < 0 || (at >= 0 && qn_digest_parse(qn_str_from(s, (size_t)at + 1), &d, &e) < 0))
        return false;
    if (colon > slash && !qn_reference_tag_valid(qn_str_from(name, (size_t)colon + 1)))
        return false;
    if (colon > slash)
        name = qn_str_head(name, (size_t)colon);
    return name.n > QN_NAME_MAX || qn_reference_repository_valid(name);
}

static int check_text(struct qn_str type, struct qn_str s, const char *where, struct qn_err *e)
{
    struct qn_str base;
    struct qn_digest d;
    uint64_t low, high;

    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return qn_fail(e, QN_E_MALFORMED, "%s: control characters", where);
    if (qn_str_eq(type, QN_STR("digest")))
        return qn_digest_parse(s, &d, e) < 0 ? qn_err_wrap(e, "%s", where) : 0;
    if (qn_str_eq(type, QN_STR("ref")) && !is_reference(s))
        return qn_fail(e, QN_E_MALFORMED, "%s: not UPSTREAM/REPOSITORY[:TAG|@DIGEST]", where);
    if (qn_api_bounds(type, &base, &low, &high) && (characters(s) < low || characters(s) > high))
        return qn_fail(e, QN_E_MALFORMED, "%s: %llu to %llu characters are needed", where, (unsigned long long)low,
                       (unsigned long long)high);
    return 0;
}

static bool word_in(struct qn_str list, struct qn_str s)
{
    struct qn_str w;

    while (qn_str_next(&list, '|', &w))
        if (qn_str_eq(w, s))
            return true;
    return false;
}

static int check_document(const char *members, const json_t *value, const char *where, struct qn_err *e)
{
    struct qn_str rest = qn_str_c(members);
    struct qn_api_member m;
    const char *key;
    json_t *item;
    char at[128];
    size_t known = 0;

    if (!json_is_object(value))
        return qn_fail(e, QN_E_MALFORMED, "%s: must be an object", where);
    while (qn_api_next_member(&rest, &m)) {
        qn_auto_free char *name = qn_xstrndup(m.name);
        snprintf(at, sizeof at, "%s%s%s", where, *where ? "." : "", name);
        item = json_object_get(value, name);
        known += item != NULL;
        if (!item && !m.optional)
            return qn_fail(e, QN_E_MALFORMED, "%s: missing", at);
        if (item && qn_api_check(m.type, item, at, e) < 0)
            return -1;
    }
    struct qn_str some = qn_api_alternatives(members), name;
    bool any = some.n == 0;
    for (rest = some; !any && qn_str_next(&rest, ',', &name);) {
        qn_auto_free char *text = qn_xstrndup(name);
        any = json_object_get(value, text) != NULL;
    }
    if (!any)
        return qn_fail(e, QN_E_MALFORMED, "%s%sone of %.*s is needed", where, *where ? ": " : "", QN_FMT(some));
    if (known == json_object_size(value))
        return 0;
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
        bool found = false;
        for (rest = qn_str_c(members); qn_api_next_member(&rest, &m);)
            found = found || qn_str_eq_c(m.name, key);
        if (!found)
            return qn_fail(e, QN_E_MALFORMED, "%s%s\"%s\": there is no such member", where, *where ? ": " : "",
                           QN_Q(qn_str_c(key)));
    }
    return 0;
}

static int check_rules(const json_t *value, const char *where, struct qn_err *e)
{
    const char *name;
    json_t *state;
    bool reserved;

    if (json_object_size(value) == 0)
        return qn_fail(e, QN_E_MALFORMED, "%s: must be an object of rules", where);
    json_object_foreach ((json_t *)(uintptr_t)value, name, state) {
        struct qn_str s = qn_str_n(json_string_value(state), json_string_length(state));
        if (qn_rule_find(qn_str_c(name), &reserved) < 0 || !json_is_string(state) ||
            !word_in(QN_STR("on|off|report"), s))
            return qn_fail(e, QN_E_MALFORMED, "%s: \"%s\": not a rule with on, off or report", where,
                           QN_Q(qn_str_c(name)));
    }
    return 0;
}

static int check_scalar(struct qn_str type, const json_t *value, const char *where, struct qn_err *e)
{
    struct qn_str base, s = qn_str_n(json_string_value(value), json_string_length(value));
    uint64_t low, high;

    (void)qn_api_bounds(type, &base, &low, &high);
    if (qn_str_eq(base, QN_STR("boolean")))
        return json_is_boolean(value) ? 0 : qn_fail(e, QN_E_MALFORMED, "%s: must be true or false", where);
    if (qn_str_eq(base, QN_STR("rules")))
        return check_rules(value, where, e);
    if (qn_str_eq(base, QN_STR("object")))
        return json_is_object(value) ? 0 : qn_fail(e, QN_E_MALFORMED, "%s: must be an object", where);
    if (qn_str_eq(base, QN_STR("integer")) || qn_str_eq(base, QN_STR("number"))) {
        bool fits = qn_str_eq(base, QN_STR("integer")) ? json_is_integer(value) : json_is_number(value);
        return fits ? 0 : qn_fail(e, QN_E_MALFORMED, "%s: must be a number", where);
    }
    if (!json_is_string(value))
        return qn_fail(e, QN_E_MALFORMED, "%s: must be a text", where);
    if (qn_str_chr(type, '|') >= 0 && !word_in(type, s))
        return qn_fail(e, QN_E_MALFORMED, "%s: must be one of %.*s", where, QN_FMT(type));
    return check_text(type, s, where, e);
}

int qn_api_check(struct qn_str type, const json_t *value, const char *where, struct qn_err *e)
{
    const char *members;
    size_t i;
    json_t *item;

    if (qn_str_starts(type, QN_STR("["))) {
        if (!json_is_array(value))
            return qn_fail(e, QN_E_MALFORMED, "%s: must be a list", where);
        json_array_foreach ((json_t *)(uintptr_t)value, i, item)
            if (qn_api_check(qn_str_head(qn_str_from(type, 1), type.n - 2), item, where, e) < 0)
                return -1;
        return 0;
    }
    members = qn_api_members_of(type);
    return members ? check_document(members, value, where, e) : check_scalar(type, value, where, e);
}

static int check_param(const struct qn_api_param *p, struct qn_str value, struct qn_err *e)
{
    struct qn_str type = qn_str_c(p->type), base;
    uint64_t low, high, n;
    struct qn_err why;

    (void)qn_api_bounds(type, &base, &low, &high);
    if (qn_str_eq(base, QN_STR("integer"))) {
        if (qn_num_u64(value, low, high, &n, &why) < 0)
            return qn_fail(e, QN_E_USAGE, "%s: %s", p->name, why.msg);
        return 0;
    }
    if (qn_str_eq(base, QN_STR("boolean")) ? !word_in(QN_STR("true|false"), value)
                                           : qn_str_chr(type, '|') >= 0 && !word_in(type, value))
        return qn_fail(e, QN_E_USAGE, "%s: must be one of %s", p->name,
                       qn_str_eq(base, QN_STR("boolean")) ? "true|false" : p->type);
    if (check_text(type, value, p->name, &why) < 0)
        return qn_fail(e, QN_E_USAGE, "%s", why.msg);
    return 0;
}

struct query_check {
    const struct qn_endpoint *endpoint;
    struct qn_err *e;
    int result;
};

static bool known_param(void *arg, struct qn_str key)
{
    struct query_check *c = arg;
    struct qn_str rest = qn_str_c(c->endpoint->query), word;

    while (qn_str_word(&rest, &word)) {
        if (qn_str_ends(word, QN_STR("!")))
            word = qn_str_head(word, word.n - 1);
        if (qn_str_eq_c(key, qn_api_param(word)->name))
            return true;
    }
    c->result = qn_fail(c->e, QN_E_USAGE, "\"%s\": there is no such parameter here", QN_Q(key));
    return false;
}

int qn_api_check_query(const struct qn_endpoint *p, const struct qn_http_request *r, struct qn_err *e)
{
    struct qn_str rest = qn_str_c(p->query), word, value;
    struct query_check c = {p, e, 0};

    while (qn_str_word(&rest, &word)) {
        bool needed = qn_str_ends(word, QN_STR("!"));
        const struct qn_api_param *param = qn_api_param(needed ? qn_str_head(word, word.n - 1) : word);
        bool given = qn_http_query(r, param->name, &value);
        if (needed && !given)
            return qn_fail(e, QN_E_USAGE, "the query needs %s: %s", param->name, param->summary);
        if (given && check_param(param, value, e) < 0)
            return -1;
    }
    qn_http_query_keys(r, known_param, &c);
    return c.result;
}

int qn_api_body(const struct qn_endpoint *p, struct qn_str text, json_t **out, struct qn_err *e)
{
    struct qn_str type = qn_str_c(p->in);
    bool optional = qn_str_ends(type, QN_STR("?"));
    qn_auto_json json_t *body = NULL;

    if (type.n == 0 || (optional && text.n == 0)) {
        *out = NULL;
        return 0;
    }
    if (optional)
        type = qn_str_head(type, type.n - 1);
    if (text.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "a body is needed: %s", qn_api_members_of(type));
    if (qn_json_parse(text, p->body, &body, e) < 0 || qn_api_check(type, body, "", e) < 0)
        return -1;
    *out = qn_steal(body);
    return 0;
}
