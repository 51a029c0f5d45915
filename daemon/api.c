#include "api.h"

#include "base/num.h"

static const struct {
    const char *name, *members, *summary;
} types[] = {
#define X(name, members, summary) {#name, members, summary},
#include "api_types.def"
#undef X
};

static const struct param {
    const char *id, *name, *type, *summary;
} params[] = {
#define X(id, name, type, summary) {#id, name, type, summary},
#include "api_query.def"
#undef X
};

static const struct param *find_param(struct qn_str id)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(params); i++)
        if (qn_str_eq_c(id, params[i].id))
            return &params[i];
    qn_assert(false);
    return NULL;
}

static const char *members_of(struct qn_str name)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(types); i++)
        if (qn_str_eq_c(name, types[i].name))
            return types[i].members;
    return NULL;
}

/* "NAME:TYPE" with or without "?" at the end. */
struct member {
    struct qn_str name, type;
    bool optional;
};

static bool next_member(struct qn_str *rest, struct member *m)
{
    struct qn_str word;

    if (!qn_str_word(rest, &word))
        return false;
    m->optional = qn_str_ends(word, QN_STR("?"));
    if (m->optional)
        word = qn_str_head(word, word.n - 1);
    ptrdiff_t colon = qn_str_chr(word, ':');
    qn_assert(colon > 0);
    m->name = qn_str_head(word, (size_t)colon);
    m->type = qn_str_from(word, (size_t)colon + 1);
    return true;
}

/* LOW..HIGH behind the slash of a type. */
static bool bounds(struct qn_str type, struct qn_str *base, uint64_t *low, uint64_t *high)
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
    if (qn_str_eq(type, QN_STR("ref")) && (s.n == 0 || s.n > 660))
        return qn_fail(e, QN_E_MALFORMED, "%s: 1 to 660 characters are needed", where);
    if (bounds(type, &base, &low, &high) && (characters(s) < low || characters(s) > high))
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
    struct member m;
    const char *key;
    json_t *item;
    char at[128];
    size_t known = 0;

    if (!json_is_object(value))
        return qn_fail(e, QN_E_MALFORMED, "%s: must be an object", where);
    while (next_member(&rest, &m)) {
        qn_auto_free char *name = qn_xstrndup(m.name);
        snprintf(at, sizeof at, "%s%s%s", where, *where ? "." : "", name);
        item = json_object_get(value, name);
        known += item != NULL;
        if (!item && !m.optional)
            return qn_fail(e, QN_E_MALFORMED, "%s: missing", at);
        if (item && qn_api_check(m.type, item, at, e) < 0)
            return -1;
    }
    if (known == json_object_size(value))
        return 0;
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
        bool found = false;
        for (rest = qn_str_c(members); next_member(&rest, &m);)
            found = found || qn_str_eq_c(m.name, key);
        if (!found)
            return qn_fail(e, QN_E_MALFORMED, "%s%s\"%s\": there is no such member", where, *where ? ": " : "",
                           QN_Q(qn_str_c(key)));
    }
    return 0;
}

static int check_scalar(struct qn_str type, const json_t *value, const char *where, struct qn_err *e)
{
    struct qn_str base, s = qn_str_n(json_string_value(value), json_string_length(value));
    uint64_t low, high;

    (void)bounds(type, &base, &low, &high);
    if (qn_str_eq(base, QN_STR("boolean")))
        return json_is_boolean(value) ? 0 : qn_fail(e, QN_E_MALFORMED, "%s: must be true or false", where);
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
    members = members_of(type);
    return members ? check_document(members, value, where, e) : check_scalar(type, value, where, e);
}

static int check_param(const struct param *p, struct qn_str value, struct qn_err *e)
{
    struct qn_str type = qn_str_c(p->type), base;
    uint64_t low, high, n;
    struct qn_err why;

    (void)bounds(type, &base, &low, &high);
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
        if (qn_str_eq_c(key, find_param(word)->name))
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
        const struct param *param = find_param(needed ? qn_str_head(word, word.n - 1) : word);
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
        return qn_fail(e, QN_E_MALFORMED, "a body is needed: %s", members_of(type));
    if (qn_json_parse(text, p->body, &body, e) < 0 || qn_api_check(type, body, "", e) < 0)
        return -1;
    *out = qn_steal(body);
    return 0;
}

/* --- the document ------------------------------------------------------------------------------------------------- */
static json_t *reference_to(struct qn_str name)
{
    json_t *o = json_object();
    qn_auto_free char *path = qn_xasprintf("#/components/schemas/%.*s", QN_FMT(name));

    qn_json_set_c(o, "$ref", path);
    return o;
}

#define TEXT_PATTERN "^[^\\u0000-\\u001f\\u007f]*$"
#define REF_PATTERN                                                                                                    \
    "^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"                   \
    "(@sha256:[a-f0-9]{64})?$"

static void set_words(json_t *o, struct qn_str list)
{
    struct qn_str w;
    json_t *words = json_array();

    while (qn_str_next(&list, '|', &w))
        qn_json_push(words, qn_json_string(w));
    qn_json_set(o, "enum", words);
}

static void set_string(json_t *o, struct qn_str type)
{
    struct qn_str base;
    uint64_t low, high;

    qn_json_set_c(o, "type", "string");
    if (bounds(type, &base, &low, &high)) {
        qn_json_set_int(o, "minLength", (int64_t)low);
        qn_json_set_int(o, "maxLength", (int64_t)high);
        qn_json_set_c(o, "pattern", TEXT_PATTERN);
    } else if (qn_str_eq(type, QN_STR("ref"))) {
        qn_json_set_int(o, "maxLength", 380);
        qn_json_set_c(o, "pattern", REF_PATTERN);
    } else if (qn_str_eq(type, QN_STR("digest"))) {
        qn_json_set_c(o, "pattern", "^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$");
    } else if (qn_str_eq(type, QN_STR("time"))) {
        qn_json_set_c(o, "format", "date-time");
    }
    if (qn_str_chr(type, '|') >= 0)
        set_words(o, type);
}

static json_t *schema_of(struct qn_str type)
{
    json_t *o;
    struct qn_str base;
    uint64_t low, high;

    if (members_of(type))
        return reference_to(type);
    o = json_object();
    if (qn_str_starts(type, QN_STR("["))) {
        qn_json_set_c(o, "type", "array");
        qn_json_set(o, "items", schema_of(qn_str_head(qn_str_from(type, 1), type.n - 2)));
        return o;
    }
    bool bounded = bounds(type, &base, &low, &high);
    if (qn_str_eq(base, QN_STR("integer")) || qn_str_eq(base, QN_STR("number")) || qn_str_eq(base, QN_STR("boolean")) ||
        qn_str_eq(base, QN_STR("object"))) {
        qn_json_set(o, "type", qn_json_string(base));
        if (bounded) {
            qn_json_set_int(o, "minimum", (int64_t)low);
            qn_json_set_int(o, "maximum", (int64_t)high);
        }
        return o;
    }
    set_string(o, type);
    return o;
}

static bool is_request(const char *name)
{
    size_t n;
    const struct qn_endpoint *p = qn_endpoints(&n);

    for (size_t i = 0; i < n; i++)
        if (strncmp(p[i].in, name, strlen(name)) == 0 && strchr("?", p[i].in[strlen(name)]))
            return true;
    return false;
}

static json_t *schemas(void)
{
    json_t *all = json_object();

    for (size_t i = 0; i < QN_ARRAY_LEN(types); i++) {
        json_t *o = json_object(), *properties = json_object(), *required = json_array();
        struct qn_str rest = qn_str_c(types[i].members);
        struct member m;
        while (next_member(&rest, &m)) {
            qn_auto_free char *name = qn_xstrndup(m.name);
            qn_json_set(properties, name, schema_of(m.type));
            if (!m.optional)
                qn_json_push(required, qn_json_string(m.name));
        }
        qn_json_set_c(o, "type", "object");
        qn_json_set_c(o, "description", types[i].summary);
        qn_json_set(o, "properties", properties);
        qn_json_set(o, "required", required);
        if (is_request(types[i].name))
            qn_json_set_bool(o, "additionalProperties", false);
        qn_json_set(all, types[i].name, o);
    }
    return all;
}

static json_t *parameter(const char *name, const char *in, bool required, const char *summary, json_t *schema)
{
    json_t *o = json_object();

    qn_json_set_c(o, "name", name);
    qn_json_set_c(o, "in", in);
    qn_json_set_bool(o, "required", required);
    qn_json_set_c(o, "description", summary);
    qn_json_set(o, "schema", schema);
    return o;
}

static json_t *path_schema(struct qn_str name)
{
    json_t *o;

    if (qn_str_eq(name, QN_STR("digest")))
        return schema_of(name);
    if (qn_str_eq(name, QN_STR("client")))
        return schema_of(QN_STR("docker|containerd|podman|buildkit|k3s|kubernetes"));
    o = json_object();
    qn_json_set_c(o, "type", "string");
    qn_json_set_c(o, "pattern", "^[A-Za-z0-9_-]{1,31}$");
    return o;
}

/* "/a/<b>" as "/a/{b}", and the parameters that stand in it. */
static char *path_of(const char *pattern, json_t *parameters)
{
    char *path = qn_xasprintf("%s", pattern);

    for (char *c = path; *c; c++) {
        if (*c != '<')
            continue;
        char *end = strchr(c, '>');
        qn_auto_free char *name = qn_xstrndup(qn_str_n(c + 1, (size_t)(end - c - 1)));
        qn_json_push(parameters, parameter(name, "path", true, name, path_schema(qn_str_c(name))));
        *c = '{';
        *end = '}';
    }
    return path;
}

static json_t *content(const char *media_type, json_t *schema)
{
    json_t *o = json_object(), *inner = json_object();

    qn_json_set(inner, "schema", schema);
    qn_json_set(o, media_type, inner);
    return o;
}

static json_t *response(const char *description, json_t *body)
{
    json_t *o = json_object();

    qn_json_set_c(o, "description", description);
    if (body)
        qn_json_set(o, "content", body);
    return o;
}

static void add_content(json_t *of, const char *media_type)
{
    json_t *text = json_object(), *schema = json_object();

    qn_json_set_c(schema, "type", "string");
    qn_json_set(text, "schema", schema);
    qn_json_set(of, media_type, text);
}

static json_t *responses(const struct qn_endpoint *p)
{
    static const struct {
        const char *status, *text;
    } errors[] = {{"400", "the request is wrong"},
                  {"401", "a token is needed"},
                  {"403", "the role does not allow it"},
                  {"404", "no such thing"},
                  {"409", "in conflict with the state"},
                  {"413", "too large"},
                  {"415", "not JSON"},
                  {"503", "busy, try again"},
                  {"default", "an error"}};
    json_t *o = json_object(), *body;
    struct qn_str out = qn_str_c(p->out), status, name;

    (void)(qn_str_word(&out, &status) && qn_str_word(&out, &name));
    if (qn_str_eq(name, QN_STR("Text"))) {
        body = json_object();
        add_content(body, "text/plain");
    } else if (qn_str_eq(name, QN_STR("Report"))) {
        json_t *any = json_object(), *list = json_array();
        qn_json_push(list, reference_to(name));
        qn_json_push(list, schema_of(QN_STR("[Report]")));
        qn_json_set(any, "anyOf", list);
        body = content("application/json", any);
        add_content(body, "text/html");
        qn_json_set(body, "application/sarif+json", json_object());
    } else {
        body = content("application/json", reference_to(name));
        if (qn_str_eq(name, QN_STR("Job")) && strcmp(p->methods, "GET") == 0)
            add_content(body, "text/event-stream");
    }
    qn_auto_free char *code = qn_xstrndup(status);
    qn_json_set(o, code, response(p->summary, body));
    for (size_t i = 0; i < QN_ARRAY_LEN(errors); i++)
        qn_json_set(o, errors[i].status,
                    response(errors[i].text, content("application/problem+json", reference_to(QN_STR("Problem")))));
    return o;
}

static json_t *operation(const struct qn_endpoint *p, json_t *parameters)
{
    static const char *const roles[] = {"none", "read", "approve", "operate"};
    json_t *o = json_object();
    struct qn_str rest = qn_str_c(p->query), word;

    while (qn_str_word(&rest, &word)) {
        bool needed = qn_str_ends(word, QN_STR("!"));
        const struct param *q = find_param(needed ? qn_str_head(word, word.n - 1) : word);
        qn_json_push(parameters, parameter(q->name, "query", needed, q->summary, schema_of(qn_str_c(q->type))));
    }
    qn_json_set_c(o, "operationId", p->name);
    qn_json_set_c(o, "summary", p->summary);
    qn_json_set_c(o, "x-role", roles[p->role]);
    qn_json_set(o, "parameters", parameters);
    if (p->in[0]) {
        json_t *b = json_object();
        struct qn_str in = qn_str_c(p->in);
        bool optional = qn_str_ends(in, QN_STR("?"));
        qn_json_set_bool(b, "required", !optional);
        qn_json_set(b, "content", content("application/json", reference_to(optional ? qn_str_head(in, in.n - 1) : in)));
        qn_json_set(o, "requestBody", b);
    }
    qn_json_set(o, "responses", responses(p));
    return o;
}

static json_t *paths(void)
{
    json_t *all = json_object();
    size_t n;
    const struct qn_endpoint *p = qn_endpoints(&n);

    for (size_t i = 0; i < n; i++) {
        if (!p[i].out[0])
            continue;
        json_t *parameters = json_array();
        qn_auto_free char *path = path_of(p[i].pattern, parameters);
        json_t *item = json_object_get(all, path);
        char method[12];
        if (!item) {
            item = json_object();
            qn_json_set(all, path, item);
        }
        snprintf(method, sizeof method, "%s", p[i].methods);
        for (char *c = method; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        qn_json_set(item, method, operation(&p[i], parameters));
    }
    return all;
}

json_t *qn_api_document(void)
{
    json_t *root = json_object(), *info = json_object(), *components = json_object(), *schemes = json_object(),
           *bearer = json_object(), *security = json_array(), *need = json_object();

    qn_json_set_c(root, "openapi", "3.1.0");
    qn_json_set_c(info, "title", "Quench admin API");
    qn_json_set_c(info, "version", "1");
    qn_json_set(root, "info", info);
    qn_json_set_c(bearer, "type", "http");
    qn_json_set_c(bearer, "scheme", "bearer");
    qn_json_set(schemes, "token", bearer);
    qn_json_set(need, "token", json_array());
    qn_json_push(security, need);
    qn_json_set(root, "security", security);
    qn_json_set(root, "paths", paths());
    qn_json_set(components, "schemas", schemas());
    qn_json_set(components, "securitySchemes", schemes);
    qn_json_set(root, "components", components);
    return root;
}
