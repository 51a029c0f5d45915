#include "json.h"

#include <stdlib.h>

void qn_json_cleanup(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

#define MAX_DEPTH 128

/* Nesting counted before parsing, so that recursion over the document is bounded by us. */
static int check_depth(struct qn_str text, struct qn_err *e)
{
    unsigned depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH)
                return qn_fail(e, QN_E_LIMIT, "JSON: nested deeper than %d levels", MAX_DEPTH);
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

int qn_json_parse(struct qn_str text, size_t max, json_t **out, struct qn_err *e)
{
    json_error_t je;

    if (text.n > max)
        return qn_fail(e, QN_E_LIMIT, "JSON: document of %zu bytes, at most %zu", text.n, max);
    if (check_depth(text, e) < 0)
        return -1;
    qn_auto_json json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &je);
    if (!j)
        return qn_fail(e, QN_E_MALFORMED, "JSON: line %d, column %d: %s", je.line, je.column, QN_Q(qn_str_c(je.text)));
    *out = qn_steal(j);
    return 0;
}

static int print(const json_t *j, size_t flags, struct qn_buf *b, struct qn_err *e)
{
    char *text = json_dumps(j, flags | JSON_ENCODE_ANY);
    if (!text)
        return qn_fail(e, QN_E_NOMEM, "JSON: cannot print the document");
    int r = qn_buf_c(b, text, e);
    free(text);
    return r;
}

int qn_json_print(const json_t *j, struct qn_buf *b, struct qn_err *e)
{
    return print(j, JSON_COMPACT, b, e);
}

int qn_json_print_canonical(const json_t *j, struct qn_buf *b, struct qn_err *e)
{
    return print(j, JSON_COMPACT | JSON_SORT_KEYS, b, e);
}

int qn_json_print_pretty(const json_t *j, struct qn_buf *b, struct qn_err *e)
{
    return print(j, JSON_INDENT(2), b, e);
}

int qn_json_str_opt(const json_t *obj, const char *key, struct qn_str *out, struct qn_err *e)
{
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v)) {
        *out = (struct qn_str){"", 0};
        return 0;
    }
    if (!json_is_string(v))
        return qn_fail(e, QN_E_MALFORMED, "%s: not a string", key);
    *out = (struct qn_str){json_string_value(v), json_string_length(v)};
    return 0;
}

int qn_json_str(const json_t *obj, const char *key, struct qn_str *out, struct qn_err *e)
{
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return qn_fail(e, QN_E_MALFORMED, "%s: missing", key);
    return qn_json_str_opt(obj, key, out, e);
}

int qn_json_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out, struct qn_err *e)
{
    const json_t *v = json_object_get(obj, key);
    if (!v)
        return qn_fail(e, QN_E_MALFORMED, "%s: missing", key);
    if (!json_is_integer(v))
        return qn_fail(e, QN_E_MALFORMED, "%s: not an integer", key);
    int64_t n = (int64_t)json_integer_value(v);
    if (n < min || n > max)
        return qn_fail(e, QN_E_MALFORMED, "%s: %lld is out of range", key, (long long)n);
    *out = n;
    return 0;
}

int qn_json_object_opt(const json_t *obj, const char *key, json_t **out, struct qn_err *e)
{
    json_t *v = json_object_get(obj, key);
    if (v && json_is_null(v))
        v = NULL;
    if (v && !json_is_object(v))
        return qn_fail(e, QN_E_MALFORMED, "%s: not an object", key);
    *out = v;
    return 0;
}

int qn_json_array_opt(const json_t *obj, const char *key, json_t **out, struct qn_err *e)
{
    json_t *v = json_object_get(obj, key);
    if (v && json_is_null(v))
        v = NULL;
    if (v && !json_is_array(v))
        return qn_fail(e, QN_E_MALFORMED, "%s: not an array", key);
    *out = v;
    return 0;
}

static json_t *or_abort(json_t *j)
{
    qn_assert(j);
    return j;
}

json_t *qn_json_string(struct qn_str s)
{
    if (qn_str_utf8(s))
        return or_abort(json_stringn(s.p, s.n));
    struct qn_err e;
    qn_auto_buf struct qn_buf b = {0};
    qn_buf_init(&b, s.n * 3 + 1);
    for (; s.n; s = qn_str_from(s, 1)) {
        /* Keep ASCII, replace the rest: a name that is not UTF-8 cannot be carried by JSON. */
        bool ascii = (unsigned char)s.p[0] < 0x80;
        int r = ascii ? qn_buf_put(&b, s.p, 1, &e) : qn_buf_c(&b, "\xef\xbf\xbd", &e);
        qn_assert(r == 0);
    }
    return or_abort(json_stringn(b.p, b.n));
}

json_t *qn_json_string_c(const char *s)
{
    return qn_json_string(qn_str_c(s));
}

void qn_json_set(json_t *obj, const char *key, json_t *value)
{
    qn_assert(value && json_object_set_new(obj, key, value) == 0);
}

void qn_json_set_str(json_t *obj, const char *key, struct qn_str value)
{
    qn_json_set(obj, key, qn_json_string(value));
}

void qn_json_set_c(json_t *obj, const char *key, const char *value)
{
    qn_json_set(obj, key, qn_json_string_c(value));
}

void qn_json_set_int(json_t *obj, const char *key, int64_t value)
{
    qn_json_set(obj, key, or_abort(json_integer(value)));
}

void qn_json_set_bool(json_t *obj, const char *key, bool value)
{
    qn_json_set(obj, key, json_boolean(value));
}

void qn_json_push(json_t *arr, json_t *value)
{
    qn_assert(value && json_array_append_new(arr, value) == 0);
}
