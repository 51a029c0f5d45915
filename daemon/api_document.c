/* The admin API as an OpenAPI 3.1 document, from the rows that it is served by. */
#include "api_int.h"

#include "harden/rule.h"

#include <stdlib.h>

static json_t *reference_to(struct qn_str name)
{
    json_t *o = json_object();
    qn_auto_free char *path = qn_xasprintf("#/components/schemas/%.*s", QN_FMT(name));

    qn_json_set_c(o, "$ref", path);
    return o;
}

#define TEXT_PATTERN "^[^\\u0000-\\u001f\\u007f]*$"
#define REF_PATTERN                                                                                                    \
    "^[a-z0-9]+([._-][a-z0-9]+)*(/"                                                                                    \
    "[a-z0-9]+([._-][a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"                                                \
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
    if (qn_api_bounds(type, &base, &low, &high)) {
        qn_json_set_int(o, "minLength", (int64_t)low);
        qn_json_set_int(o, "maxLength", (int64_t)high);
        qn_json_set_c(o, "pattern", TEXT_PATTERN);
    } else if (qn_str_eq(type, QN_STR("ref"))) {
        qn_json_set_int(o, "maxLength", QN_REF_MAX);
        qn_json_set_c(o, "pattern", REF_PATTERN);
    } else if (qn_str_eq(type, QN_STR("position"))) {
        qn_json_set_c(o, "pattern", "^[0-9]{1,15}~[ -}]{1,500}$");
    } else if (qn_str_eq(type, QN_STR("platform"))) {
        qn_json_set_c(o, "pattern", "^[a-z0-9]{1,20}/[a-z0-9_]{1,20}(/[a-z0-9]{1,20})?$");
    } else if (qn_str_eq(type, QN_STR("when"))) {
        qn_json_set_c(o, "pattern",
                      "^([1-9][0-9]{0,6}s|[1-9][0-9]{0,4}m|[1-9][0-9]{0,3}h|[1-9][0-9]{0,2}d|"
                      "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$");
    } else if (qn_str_eq(type, QN_STR("digest"))) {
        qn_json_set_c(o, "pattern", "^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$");
    } else if (qn_str_eq(type, QN_STR("time"))) {
        qn_json_set_c(o, "format", "date-time");
    }
    if (qn_str_chr(type, '|') >= 0)
        set_words(o, type);
}

static void set_rules(json_t *o)
{
    json_t *names = json_object(), *list = json_array(), *states = json_object();

    for (int i = 0; i < QN_RULE_COUNT; i++)
        qn_json_push(list, qn_json_string_c(qn_rule_name((enum qn_rule)i)));
    qn_json_set(names, "enum", list);
    set_words(states, QN_STR("on|off|report"));
    qn_json_set_c(o, "type", "object");
    qn_json_set_int(o, "minProperties", 1);
    qn_json_set(o, "propertyNames", names);
    qn_json_set(o, "additionalProperties", states);
}

static json_t *schema_of(struct qn_str type)
{
    json_t *o;
    struct qn_str base;
    uint64_t low, high;

    if (qn_api_members_of(type))
        return reference_to(type);
    o = json_object();
    if (qn_str_starts(type, QN_STR("["))) {
        qn_json_set_c(o, "type", "array");
        qn_json_set(o, "items", schema_of(qn_str_head(qn_str_from(type, 1), type.n - 2)));
        return o;
    }
    bool bounded = qn_api_bounds(type, &base, &low, &high);
    if (qn_str_eq(base, QN_STR("integer")) || qn_str_eq(base, QN_STR("number")) || qn_str_eq(base, QN_STR("boolean")) ||
        qn_str_eq(base, QN_STR("object"))) {
        qn_json_set(o, "type", qn_json_string(base));
        if (bounded) {
            qn_json_set_int(o, "minimum", (int64_t)low);
            qn_json_set_int(o, "maximum", (int64_t)high);
        }
        return o;
    }
    if (qn_str_eq(base, QN_STR("rules")))
        set_rules(o);
    else
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

static void set_alternatives(json_t *o, struct qn_str some)
{
    json_t *list = json_array();
    struct qn_str name;

    while (some.n && qn_str_next(&some, ',', &name)) {
        json_t *one = json_object(), *required = json_array();
        qn_json_push(required, qn_json_string(name));
        qn_json_set(one, "required", required);
        qn_json_push(list, one);
    }
    if (json_array_size(list))
        json_object_set(o, "anyOf", list);
    json_decref(list);
}

static json_t *schemas(void)
{
    json_t *all = json_object();
    size_t n = 0;

    for (const struct qn_api_type *t; (t = qn_api_type_at(n)); n++) {
        json_t *o = json_object(), *properties = json_object(), *required = json_array();
        struct qn_str rest = qn_str_c(t->members);
        struct qn_api_member m;
        while (qn_api_next_member(&rest, &m)) {
            qn_auto_free char *name = qn_xstrndup(m.name);
            qn_json_set(properties, name, schema_of(m.type));
            if (!m.optional)
                qn_json_push(required, qn_json_string(m.name));
        }
        qn_json_set_c(o, "type", "object");
        qn_json_set_c(o, "description", t->summary);
        qn_json_set(o, "properties", properties);
        qn_json_set(o, "required", required);
        if (is_request(t->name))
            qn_json_set_bool(o, "additionalProperties", false);
        set_alternatives(o, qn_api_alternatives(t->members));
        qn_json_set(all, t->name, o);
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
        qn_json_set(body, "application/json", json_object());
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
        const struct qn_api_param *q = qn_api_param(needed ? qn_str_head(word, word.n - 1) : word);
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
