#include "imgconfig.h"
#include "base/json.h"
#include "jsonkeys.h"

#define WORDS_MAX   100000u
#define HISTORY_MAX 10000u

static int list_words(struct qn_imgconfig *c, const json_t *list, const char *key, struct qn_words *out,
                      struct qn_err *e)
{
    json_t *item;
    size_t i, n = json_array_size(list);

    if (n > WORDS_MAX)
        return qn_fail(e, QN_E_LIMIT, "%s: %zu entries, at most %u", key, n, WORDS_MAX);
    struct qn_str *v = qn_arena_alloc(&c->arena, n ? n : 1, sizeof *v, e);
    if (!v)
        return -1;
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return qn_fail(e, QN_E_MALFORMED, "%s[%zu]: not a string", key, i);
        v[i] = qn_str_n(json_string_value(item), json_string_length(item));
    }
    *out = (struct qn_words){v, n, true};
    return 0;
}

/* An array of strings; a single string counts as an array of one, as in docker's decoder. */
static int words(struct qn_imgconfig *c, const json_t *obj, const char *key, struct qn_words *out, struct qn_err *e)
{
    const json_t *v = json_object_get(obj, key);

    if (!v || json_is_null(v))
        return 0;
    if (json_is_array(v))
        return list_words(c, v, key, out, e);
    if (!json_is_string(v))
        return qn_fail(e, QN_E_MALFORMED, "%s: not an array of strings", key);
    struct qn_str *one = qn_arena_alloc(&c->arena, 1, sizeof *one, e);
    if (!one)
        return -1;
    *one = qn_str_n(json_string_value(v), json_string_length(v));
    *out = (struct qn_words){one, 1, true};
    return 0;
}

/* The member names of an object. */
static int names(struct qn_imgconfig *c, const json_t *obj, const char *key, struct qn_words *out, struct qn_err *e)
{
    const char *name;
    json_t *map, *value;
    size_t i = 0;

    if (qn_json_object_opt(obj, key, &map, e) < 0)
        return -1;
    if (!map)
        return 0;
    size_t n = json_object_size(map);
    if (n > WORDS_MAX)
        return qn_fail(e, QN_E_LIMIT, "%s: %zu entries, at most %u", key, n, WORDS_MAX);
    struct qn_str *v = qn_arena_alloc(&c->arena, n ? n : 1, sizeof *v, e);
    if (!v)
        return -1;
    json_object_foreach (map, name, value) {
        (void)value;
        v[i++] = qn_str_c(name);
    }
    *out = (struct qn_words){v, n, true};
    return 0;
}

static int check_labels(const json_t *labels, struct qn_err *e)
{
    const char *key;
    json_t *value;

    if (!labels)
        return 0;
    json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
        if (!json_is_string(value))
            return qn_fail(e, QN_E_MALFORMED, "Labels: \"%s\": not a string", QN_Q(qn_str_c(key)));
    }
    return 0;
}

static int parse_runtime(struct qn_imgconfig *c, struct qn_err *e)
{
    static const char *const keys[] = {"User",    "Entrypoint",   "Cmd",         "Env",         "WorkingDir",
                                       "Volumes", "ExposedPorts", "Labels",      "Healthcheck", "StopSignal",
                                       "Shell",   "OnBuild",      "ArgsEscaped", NULL};
    static const char *const check_keys[] = {"Test", NULL};
    const json_t *r = c->config;
    json_t *check;

    if (!r)
        return 0;
    if (qn_json_exact_keys(r, keys, "config", e) < 0 || qn_json_str_opt(r, "User", &c->user, e) < 0 ||
        words(c, r, "Entrypoint", &c->entrypoint, e) < 0 || words(c, r, "Cmd", &c->cmd, e) < 0 ||
        words(c, r, "Env", &c->env, e) < 0 || qn_json_str_opt(r, "WorkingDir", &c->working_dir, e) < 0 ||
        names(c, r, "Volumes", &c->volumes, e) < 0 || names(c, r, "ExposedPorts", &c->exposed_ports, e) < 0 ||
        qn_json_object_opt(r, "Labels", &c->labels, e) < 0 || check_labels(c->labels, e) < 0 ||
        qn_json_object_opt(r, "Healthcheck", &check, e) < 0 ||
        qn_json_str_opt(r, "StopSignal", &c->stop_signal, e) < 0 || words(c, r, "Shell", &c->shell, e) < 0 ||
        words(c, r, "OnBuild", &c->on_build, e) < 0 || qn_json_exact_keys(check, check_keys, "Healthcheck", e) < 0 ||
        words(c, check, "Test", &c->healthcheck, e) < 0)
        return qn_err_wrap(e, "config");
    return 0;
}

static int parse_rootfs(struct qn_imgconfig *c, struct qn_err *e)
{
    static const char *const keys[] = {"type", "diff_ids", NULL};
    json_t *rootfs, *list, *item;
    struct qn_str type;
    size_t i;

    if (qn_json_object_opt(c->root, "rootfs", &rootfs, e) < 0)
        return -1;
    if (!rootfs)
        return qn_fail(e, QN_E_MALFORMED, "rootfs: missing");
    if (qn_json_exact_keys(rootfs, keys, "rootfs", e) < 0 || qn_json_str_opt(rootfs, "type", &type, e) < 0 ||
        qn_json_array_opt(rootfs, "diff_ids", &list, e) < 0)
        return qn_err_wrap(e, "rootfs");
    if (!qn_str_eq_c(type, "layers"))
        return qn_fail(e, QN_E_MALFORMED, "rootfs.type: \"%s\" instead of \"layers\"", QN_Q(type));
    size_t n = json_array_size(list);
    if (n > HISTORY_MAX)
        return qn_fail(e, QN_E_LIMIT, "rootfs.diff_ids: %zu entries, at most %u", n, HISTORY_MAX);
    c->diff_ids = qn_arena_alloc(&c->arena, n ? n : 1, sizeof *c->diff_ids, e);
    if (!c->diff_ids)
        return -1;
    json_array_foreach (list, i, item) {
        struct qn_str s = json_is_string(item) ? qn_str_n(json_string_value(item), json_string_length(item))
                                               : QN_STR("(not a string)");
        if (qn_digest_parse(s, &c->diff_ids[i], e) < 0) {
            e->code = QN_E_MALFORMED;
            return qn_err_wrap(e, "rootfs.diff_ids[%zu]", i);
        }
    }
    c->diff_id_count = n;
    return 0;
}

static int parse_history_item(json_t *item, struct qn_history *h, struct qn_err *e)
{
    static const char *const keys[] = {"created", "created_by", "empty_layer", NULL};

    if (!json_is_object(item))
        return qn_fail(e, QN_E_MALFORMED, "not an object");
    if (qn_json_exact_keys(item, keys, "history", e) < 0 || qn_json_str_opt(item, "created", &h->created, e) < 0 ||
        qn_json_str_opt(item, "created_by", &h->created_by, e) < 0)
        return -1;
    const json_t *empty = json_object_get(item, "empty_layer");
    if (empty && !json_is_null(empty) && !json_is_boolean(empty))
        return qn_fail(e, QN_E_MALFORMED, "empty_layer: not a boolean");
    h->empty_layer = json_is_true(empty);
    return 0;
}

static int parse_history(struct qn_imgconfig *c, struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(c->root, "history", &list, e) < 0)
        return -1;
    size_t n = json_array_size(list);
    if (n > HISTORY_MAX)
        return qn_fail(e, QN_E_LIMIT, "history: %zu entries, at most %u", n, HISTORY_MAX);
    c->history = qn_arena_alloc(&c->arena, n ? n : 1, sizeof *c->history, e);
    if (!c->history)
        return -1;
    json_array_foreach (list, i, item) {
        if (parse_history_item(item, &c->history[i], e) < 0)
            return qn_err_wrap(e, "history[%zu]", i);
    }
    c->history_count = n;
    return 0;
}

static int parse(struct qn_imgconfig *c, struct qn_str bytes, struct qn_err *e)
{
    static const char *const keys[] = {"created", "config", "rootfs", "history", "os", "architecture", "variant", NULL};

    if (qn_json_parse(bytes, bytes.n, &c->root, e) < 0)
        return -1;
    if (!json_is_object(c->root))
        return qn_fail(e, QN_E_MALFORMED, "not an object");
    if (qn_json_exact_keys(c->root, keys, "document", e) < 0 || qn_platform_from_json(c->root, &c->platform, e) < 0 ||
        qn_json_str_opt(c->root, "created", &c->created, e) < 0 ||
        qn_json_object_opt(c->root, "config", &c->config, e) < 0)
        return -1;
    return parse_runtime(c, e) < 0 || parse_rootfs(c, e) < 0 || parse_history(c, e) < 0 ? -1 : 0;
}

int qn_imgconfig_parse(struct qn_str bytes, const struct qn_limits *limits, struct qn_imgconfig *out, struct qn_err *e)
{
    qn_auto_imgconfig struct qn_imgconfig c = {.created = QN_STR("")};

    if (bytes.n > limits->manifest_size)
        return qn_fail(e, QN_E_LIMIT, "image config: %zu bytes, at most %llu", bytes.n,
                       (unsigned long long)limits->manifest_size);
    c.user = c.working_dir = c.stop_signal = QN_STR("");
    /* Views cost at most 16 bytes for each two bytes of JSON text, diff_ids far less for theirs. */
    qn_arena_init(&c.arena, bytes.n * 32 + 4096);
    if (parse(&c, bytes, e) < 0)
        return qn_err_wrap(e, "image config");
    *out = c;
    memset(&c, 0, sizeof c);
    return 0;
}

void qn_imgconfig_fini(struct qn_imgconfig *c)
{
    qn_arena_fini(&c->arena);
    json_decref(c->root);
    memset(c, 0, sizeof *c);
}

int qn_imgconfig_check_layers(const struct qn_imgconfig *c, size_t layers, struct qn_err *e)
{
    size_t filled = 0;

    if (c->diff_id_count != layers)
        return qn_fail(e, QN_E_MALFORMED, "image config: %zu diff_ids for %zu layers", c->diff_id_count, layers);
    for (size_t i = 0; i < c->history_count; i++)
        filled += !c->history[i].empty_layer;
    if (c->history_count > 0 && filled != layers)
        return qn_fail(e, QN_E_MALFORMED, "image config: history describes %zu layers instead of %zu", filled, layers);
    return 0;
}

bool qn_imgconfig_env(const struct qn_imgconfig *c, const char *name, struct qn_str *value)
{
    size_t n = strlen(name);

    for (size_t i = c->env.n; i-- > 0;) {
        struct qn_str v = c->env.v[i];
        if (v.n > n && v.p[n] == '=' && memcmp(v.p, name, n) == 0) {
            *value = qn_str_from(v, n + 1);
            return true;
        }
    }
    return false;
}

struct qn_str qn_imgconfig_path(const struct qn_imgconfig *c)
{
    struct qn_str path;
    return qn_imgconfig_env(c, "PATH", &path) ? path : QN_STR(QN_DEFAULT_PATH);
}
