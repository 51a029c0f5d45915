#include "bind.h"

#include "base/fd.h"
#include "base/num.h"
#include "harden/rule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum type {
    MAP = 1,
    OPTIONAL,
    LIST,
    STRINGS,
    STRING,
    URL,
    SIZE,
    DURATION,
    UINT,
    SWITCH,
    WORD,
    SECRET,
    RULES,
    RESERVED
};

static const struct param {
    const char *path;
    enum type type;
    const char *initial;
    const char *summary;
} params[] = {
#define X(path, type, initial, summary) {path, type, initial, summary},
#include "params.def"
#undef X
};

int qn_config_fail(const char *file, const struct qn_yaml *at, struct qn_err *e, const char *fmt, ...)
{
    char text[384];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return qn_fail(e, QN_E_CONFIG, "%s:%u:%u: %s", file, at->line, at->column, text);
}

/* The place of a value's key. */
static struct qn_yaml key_of(const struct qn_yaml *value)
{
    return (struct qn_yaml){.line = value->key_line, .column = value->key_column};
}

static const struct param *find_param(const char *path)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(params); i++)
        if (strcmp(params[i].path, path) == 0)
            return &params[i];
    return NULL;
}

/* Whether row `p` stands directly below `prefix` ("" for the top level); gives its last component. */
static bool below(const struct param *p, const char *prefix, const char **key)
{
    size_t n = strlen(prefix);

    if (n && (strncmp(p->path, prefix, n) != 0 || p->path[n] != '.'))
        return false;
    *key = p->path + n + (n ? 1 : 0);
    return !strchr(*key, '.') && !strchr(*key, '[');
}

struct binding {
    const char *file;
    struct qn_err *e;
};

static int convert(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out);
static int bind_map(struct binding *b, const char *prefix, const struct qn_yaml *map, json_t *out);

static int switch_value(struct qn_str s, bool *on)
{
    static const char *const yes[] = {"on", "true", "yes"}, *const no[] = {"off", "false", "no"};
    for (size_t i = 0; i < 3; i++) {
        if (qn_str_eq_c(s, yes[i]) || qn_str_eq_c(s, no[i])) {
            *on = qn_str_eq_c(s, yes[i]);
            return 0;
        }
    }
    return -1;
}

/* One of the words of "a|b|c". */
static bool word_of(const char *list, struct qn_str s)
{
    struct qn_str rest = qn_str_c(list), w;
    while (qn_str_next(&rest, '|', &w))
        if (qn_str_eq(w, s))
            return true;
    return false;
}

/* ${ENV} and file:PATH; anything else is itself. */
static int secret(struct binding *b, const struct qn_yaml *n, json_t **out)
{
    struct qn_str s = n->text;

    if (qn_str_starts(s, QN_STR("${")) && qn_str_ends(s, QN_STR("}"))) {
        qn_auto_free char *name = qn_xstrndup(qn_str_head(qn_str_from(s, 2), s.n - 3));
        const char *value = getenv(name);
        if (!value)
            return qn_config_fail(b->file, n, b->e, "environment variable %s is not set", name);
        *out = qn_json_string_c(value);
        return 0;
    }
    if (!qn_str_starts(s, QN_STR("file:"))) {
        *out = qn_json_string(s);
        return 0;
    }
    qn_auto_free char *path = qn_xstrndup(qn_str_from(s, 5));
    qn_auto_buf struct qn_buf buf = {0};
    struct qn_err why;
    qn_buf_init(&buf, 65536);
    if (qn_file_read(path, &buf, &why) < 0)
        return qn_config_fail(b->file, n, b->e, "%s", why.msg);
    *out = qn_json_string(qn_str_trim(qn_buf_view(&buf)));
    return 0;
}

static int number(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out)
{
    uint64_t v;
    struct qn_err why;
    int r = p->type == SIZE       ? qn_num_size(n->text, &v, &why)
            : p->type == DURATION ? qn_num_duration(n->text, &v, &why)
                                  : qn_num_u64(n->text, 0, 1u << 31, &v, &why);

    if (r < 0 || v > INT64_MAX)
        return qn_config_fail(b->file, n, b->e, "%s: %s", p->path, r < 0 ? why.msg : "too large");
    *out = json_integer((json_int_t)v);
    return 0;
}

static int scalar(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out)
{
    bool on;

    if (n->kind != QN_YAML_SCALAR)
        return qn_config_fail(b->file, n, b->e, "%s: must be a single value", p->path);
    if (p->type == SIZE || p->type == DURATION || p->type == UINT)
        return number(b, p, n, out);
    if (p->type == SECRET)
        return secret(b, n, out);
    if (p->type == SWITCH) {
        if (switch_value(n->text, &on) < 0)
            return qn_config_fail(b->file, n, b->e, "%s: \"%s\" is neither on nor off", p->path, QN_Q(n->text));
        *out = json_boolean(on);
        return 0;
    }
    if (p->type == WORD && !word_of(p->initial, n->text))
        return qn_config_fail(b->file, n, b->e, "%s: \"%s\" is none of %s", p->path, QN_Q(n->text), p->initial);
    if (p->type == URL && !qn_str_starts(n->text, QN_STR("https://")) && !qn_str_starts(n->text, QN_STR("http://")))
        return qn_config_fail(b->file, n, b->e, "%s: \"%s\" is not a URL (https://HOST or http://HOST)", p->path,
                              QN_Q(n->text));
    if (n->text.n == 0)
        return qn_config_fail(b->file, n, b->e, "%s: is empty", p->path);
    *out = qn_json_string(n->text);
    return 0;
}

static int strings(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out)
{
    if (n->kind != QN_YAML_LIST)
        return qn_config_fail(b->file, n, b->e, "%s: must be a list: [\"...\"]", p->path);
    *out = json_array();
    for (size_t i = 0; i < n->count; i++) {
        if (n->child[i]->kind != QN_YAML_SCALAR || n->child[i]->text.n == 0)
            return qn_config_fail(b->file, n->child[i], b->e, "%s: items must be words", p->path);
        qn_json_push(*out, qn_json_string(n->child[i]->text));
    }
    return 0;
}

static int rules(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out)
{
    bool reserved;

    if (n->kind != QN_YAML_MAP)
        return qn_config_fail(b->file, n, b->e, "%s: must be a map of RULE: on, off or report", p->path);
    *out = json_object();
    for (size_t i = 0; i < n->count; i++) {
        const struct qn_yaml *v = n->child[i], key = key_of(v);
        bool on = false;
        int rule = qn_rule_find(n->key[i], &reserved);
        if (rule < 0 && reserved)
            return qn_fail(b->e, QN_E_NOT_BUILT, "%s:%u:%u: not built yet: rules.%s", b->file, key.line, key.column,
                           QN_Q(n->key[i]));
        if (rule < 0)
            return qn_config_fail(b->file, &key, b->e, "there is no rule \"%s\"", QN_Q(n->key[i]));
        bool report = v->kind == QN_YAML_SCALAR && qn_str_eq(v->text, QN_STR("report"));
        if (!report && (v->kind != QN_YAML_SCALAR || switch_value(v->text, &on) < 0))
            return qn_config_fail(b->file, v, b->e, "rules.%s: must be on, off or report", QN_Q(n->key[i]));
        qn_json_set_c(*out, qn_rule_name((enum qn_rule)rule), report ? "report" : on ? "on" : "off");
    }
    return 0;
}

static int list(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out)
{
    char prefix[256];

    if (n->kind != QN_YAML_LIST)
        return qn_config_fail(b->file, n, b->e, "%s: must be a list", p->path);
    snprintf(prefix, sizeof prefix, "%s[]", p->path);
    *out = json_array();
    for (size_t i = 0; i < n->count; i++) {
        json_t *item = json_object();
        qn_json_push(*out, item);
        if (n->child[i]->kind != QN_YAML_MAP)
            return qn_config_fail(b->file, n->child[i], b->e, "%s: items must be maps", p->path);
        if (bind_map(b, prefix, n->child[i], item) < 0)
            return -1;
    }
    return 0;
}

/* A reserved key may be written out with the one value that says "not in use". */
static int reserved(struct binding *b, const struct param *p, const struct qn_yaml *n)
{
    bool off = (n->kind != QN_YAML_SCALAR && n->count == 0) || n->is_null ||
               (n->kind == QN_YAML_SCALAR && p->initial[0] && qn_str_eq_c(n->text, p->initial));
    if (off)
        return 0;
    return qn_fail(b->e, QN_E_NOT_BUILT, "%s:%u:%u: not built yet: %s", b->file, n->line, n->column, p->path);
}

static int convert(struct binding *b, const struct param *p, const struct qn_yaml *n, json_t **out)
{
    if (p->type == RESERVED)
        return reserved(b, p, n);
    if (p->type == MAP || p->type == OPTIONAL) {
        if (n->kind != QN_YAML_MAP && !n->is_null)
            return qn_config_fail(b->file, n, b->e, "%s: must be a map", p->path);
        *out = json_object();
        return bind_map(b, p->path, n->kind == QN_YAML_MAP ? n : NULL, *out);
    }
    if (p->type == LIST)
        return list(b, p, n, out);
    if (p->type == STRINGS)
        return strings(b, p, n, out);
    if (p->type == RULES)
        return rules(b, p, n, out);
    return scalar(b, p, n, out);
}

/* What a key is when the file does not have it. */
static int initial(struct binding *b, const struct param *p, json_t **out)
{
    struct qn_str rest = qn_str_c(p->initial), word;
    struct qn_yaml text = {.kind = QN_YAML_SCALAR};

    if (p->type == MAP || p->type == RULES) {
        *out = json_object();
        return p->type == MAP ? bind_map(b, p->path, NULL, *out) : 0;
    }
    if (p->type == LIST || p->type == STRINGS) {
        *out = json_array();
        while (p->type == STRINGS && qn_str_word(&rest, &word))
            qn_json_push(*out, qn_json_string(word));
        return 0;
    }
    text.text = rest;
    if (p->type == WORD)
        (void)qn_str_next(&rest, '|', &text.text);
    if (p->type == RESERVED || p->type == OPTIONAL || text.text.n == 0)
        return 0;
    return scalar(b, p, &text, out);
}

static int bind_map(struct binding *b, const char *prefix, const struct qn_yaml *map, json_t *out)
{
    char path[256];
    const char *key;

    for (size_t i = 0; map && i < map->count; i++) {
        snprintf(path, sizeof path, "%s%s%.*s", prefix, prefix[0] ? "." : "", QN_FMT(map->key[i]));
        const struct qn_yaml at = key_of(map->child[i]);
        if (!find_param(path))
            return qn_config_fail(b->file, &at, b->e, "unknown key \"%s\"%s%s", QN_Q(map->key[i]),
                                  prefix[0] ? " in " : "", prefix);
    }
    for (size_t i = 0; i < QN_ARRAY_LEN(params); i++) {
        json_t *value = NULL;
        if (!below(&params[i], prefix, &key))
            continue;
        const struct qn_yaml *n = qn_yaml_get(map, key);
        int r = n && !(n->is_null && params[i].type != RESERVED) ? convert(b, &params[i], n, &value)
                                                                 : initial(b, &params[i], &value);
        if (value)
            qn_json_set(out, key, value);
        if (r < 0)
            return -1;
    }
    return 0;
}

int qn_config_bind(const char *file, const struct qn_yaml *root, json_t **out, struct qn_err *e)
{
    struct binding b = {file, e};
    qn_auto_json json_t *o = json_object();

    if (root->kind != QN_YAML_MAP)
        return qn_config_fail(file, root, e, "the file must be a map of keys");
    if (bind_map(&b, "", root, o) < 0)
        return -1;
    *out = qn_steal(o);
    return 0;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */
static int print_value(const struct param *p, const json_t *v, struct qn_buf *b, struct qn_err *e)
{
    uint64_t n = (uint64_t)json_integer_value(v);

    if (p->type == SECRET)
        return qn_buf_c(b, "\"***\"", e);
    if (p->type == SIZE) {
        static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
        unsigned u = 0;
        while (n && u < 4 && n % 1024 == 0) {
            n /= 1024;
            u++;
        }
        return qn_buf_printf(b, e, "%llu%s", (unsigned long long)n, units[u]);
    }
    if (p->type == DURATION) {
        const char *unit = n % 86400 == 0 ? "d" : n % 3600 == 0 ? "h" : n % 60 == 0 ? "m" : "s";
        n /= n % 86400 == 0 ? 86400 : n % 3600 == 0 ? 3600 : n % 60 == 0 ? 60 : 1;
        return qn_buf_printf(b, e, "%llu%s", (unsigned long long)n, n ? unit : "");
    }
    if (p->type == SWITCH)
        return qn_buf_c(b, json_is_true(v) ? "on" : "off", e);
    if (p->type == WORD)
        return qn_buf_c(b, json_string_value(v), e);
    return qn_json_print(v, b, e);
}

static int print_map(const char *prefix, const json_t *map, const char *first, const char *indent, struct qn_buf *b,
                     struct qn_err *e)
{
    char deeper[64], item[256];
    const char *key, *lead = first;
    size_t i, k;
    json_t *row;

    for (i = 0; i < QN_ARRAY_LEN(params); i++) {
        const struct param *p = &params[i];
        const json_t *v = below(p, prefix, &key) ? json_object_get(map, key) : NULL;
        if (!v || (json_is_object(v) && json_object_size(v) == 0 && p->type == MAP))
            continue;
        if (qn_buf_printf(b, e, "%s%s:", lead, key) < 0)
            return -1;
        lead = indent;
        snprintf(deeper, sizeof deeper, "%s  ", indent);
        if (p->type == MAP || p->type == OPTIONAL) {
            if (qn_buf_printf(b, e, "  # %s\n", p->summary) < 0 || print_map(p->path, v, deeper, deeper, b, e) < 0)
                return -1;
            continue;
        }
        if (p->type != LIST || json_array_size(v) == 0) {
            size_t start = b->n;
            if (qn_buf_c(b, " ", e) < 0 || print_value(p, v, b, e) < 0)
                return -1;
            int pad = b->n - start < 34 ? (int)(34 - (b->n - start)) : 1;
            if (qn_buf_printf(b, e, "%*s# %s\n", pad, "", p->summary) < 0)
                return -1;
            continue;
        }
        snprintf(item, sizeof item, "%s[]", p->path);
        if (qn_buf_printf(b, e, "  # %s\n", p->summary) < 0)
            return -1;
        char dash[64], under[64];
        snprintf(dash, sizeof dash, "%s  - ", indent);
        snprintf(under, sizeof under, "%s    ", indent);
        json_array_foreach (v, k, row) {
            if (print_map(item, row, dash, under, b, e) < 0)
                return -1;
        }
    }
    return 0;
}

int qn_config_print(const json_t *effective, struct qn_buf *b, struct qn_err *e)
{
    return print_map("", effective, "", "", b, e);
}
