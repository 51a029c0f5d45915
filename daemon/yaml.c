#include "yaml.h"

#include <yaml.h>

#define MAX_DEPTH 32
#define MAX_KEYS  1000

static int fail_at(const char *file, const yaml_mark_t *m, const char *what, struct qn_err *e)
{
    return qn_fail(e, QN_E_CONFIG, "%s:%zu:%zu: %s", file, m->line + 1, m->column + 1, what);
}

struct build {
    const char *file;
    yaml_document_t *doc;
    struct qn_arena *arena;
    struct qn_err *e;
    unsigned char *seen; /* one per libyaml node: an alias would lead to a node twice */
};

static struct qn_yaml *build_node(struct build *b, int id, unsigned depth);

static bool is_null(const yaml_node_t *n)
{
    const char *v = (const char *)n->data.scalar.value;
    return n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (n->data.scalar.length == 0 || strcmp(v, "null") == 0 || strcmp(v, "~") == 0);
}

static int build_list(struct build *b, const yaml_node_t *n, struct qn_yaml *out, unsigned depth)
{
    const yaml_node_item_t *start = n->data.sequence.items.start, *end = n->data.sequence.items.top;

    out->kind = QN_YAML_LIST;
    out->count = (size_t)(end - start);
    out->child = qn_arena_alloc(b->arena, out->count, sizeof(struct qn_yaml *), b->e);
    if (!out->child)
        return -1;
    for (size_t i = 0; i < out->count; i++)
        if (!(out->child[i] = build_node(b, start[i], depth)))
            return -1;
    return 0;
}

static int build_map(struct build *b, const yaml_node_t *n, struct qn_yaml *out, unsigned depth)
{
    const yaml_node_pair_t *start = n->data.mapping.pairs.start, *end = n->data.mapping.pairs.top;

    out->kind = QN_YAML_MAP;
    out->count = (size_t)(end - start);
    if (out->count > MAX_KEYS)
        return fail_at(b->file, &n->start_mark, "more keys than any map here may have", b->e);
    out->child = qn_arena_alloc(b->arena, out->count, sizeof(struct qn_yaml *), b->e);
    out->key = qn_arena_alloc(b->arena, out->count, sizeof *out->key, b->e);
    if (!out->child || !out->key)
        return -1;
    for (size_t i = 0; i < out->count; i++) {
        const yaml_node_t *k = yaml_document_get_node(b->doc, start[i].key);
        if (!k || k->type != YAML_SCALAR_NODE)
            return fail_at(b->file, &n->start_mark, "a key must be a plain word", b->e);
        if (qn_arena_str(b->arena, qn_str_n(k->data.scalar.value, k->data.scalar.length), &out->key[i], b->e) < 0)
            return -1;
        for (size_t j = 0; j < i; j++)
            if (qn_str_eq(out->key[i], out->key[j]))
                return fail_at(b->file, &k->start_mark, "the key stands twice", b->e);
        if (!(out->child[i] = build_node(b, start[i].value, depth)))
            return -1;
        out->child[i]->key_line = (unsigned)k->start_mark.line + 1;
        out->child[i]->key_column = (unsigned)k->start_mark.column + 1;
    }
    return 0;
}

static struct qn_yaml *build_node(struct build *b, int id, unsigned depth)
{
    const yaml_node_t *n = yaml_document_get_node(b->doc, id);
    struct qn_yaml *out = qn_arena_alloc(b->arena, 1, sizeof *out, b->e);
    int r = 0;

    if (!n || !out)
        return NULL;
    if (depth >= MAX_DEPTH || b->seen[id]) {
        fail_at(b->file, &n->start_mark, depth >= MAX_DEPTH ? "nested too deep" : "aliases are not supported", b->e);
        return NULL;
    }
    b->seen[id] = 1;
    out->line = (unsigned)n->start_mark.line + 1;
    out->column = (unsigned)n->start_mark.column + 1;
    if (n->type == YAML_SEQUENCE_NODE) {
        r = build_list(b, n, out, depth + 1);
    } else if (n->type == YAML_MAPPING_NODE) {
        r = build_map(b, n, out, depth + 1);
    } else {
        out->kind = QN_YAML_SCALAR;
        out->is_null = is_null(n);
        r = qn_arena_str(b->arena, qn_str_n(n->data.scalar.value, n->data.scalar.length), &out->text, b->e);
    }
    return r < 0 ? NULL : out;
}

static int build_document(struct build *b, struct qn_yaml **out)
{
    const yaml_node_t *root = yaml_document_get_root_node(b->doc);
    size_t nodes = (size_t)(b->doc->nodes.top - b->doc->nodes.start);

    if (!root) {
        *out = qn_arena_alloc(b->arena, 1, sizeof **out, b->e);
        if (!*out)
            return -1;
        **out = (struct qn_yaml){.kind = QN_YAML_MAP, .line = 1, .column = 1};
        return 0;
    }
    b->seen = qn_arena_alloc(b->arena, nodes + 1, 1, b->e);
    *out = b->seen ? build_node(b, 1, 0) : NULL;
    return *out ? 0 : -1;
}

int qn_yaml_parse(const char *file, struct qn_str text, struct qn_arena *arena, struct qn_yaml **out, struct qn_err *e)
{
    yaml_parser_t parser;
    yaml_document_t doc, second;
    int r;

    if (text.n > 1u << 20)
        return qn_fail(e, QN_E_CONFIG, "%s: larger than 1 MiB", file);
    if (!yaml_parser_initialize(&parser))
        return qn_fail(e, QN_E_NOMEM, "%s: YAML parser", file);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    if (!yaml_parser_load(&parser, &doc)) {
        const char *problem = parser.problem ? parser.problem : "not YAML";
        r = fail_at(file, &parser.problem_mark, problem, e);
        yaml_parser_delete(&parser);
        return r;
    }
    struct build b = {.file = file, .doc = &doc, .arena = arena, .e = e};
    r = build_document(&b, out);
    yaml_document_delete(&doc);
    if (r == 0 && yaml_parser_load(&parser, &second)) {
        if (yaml_document_get_root_node(&second))
            r = fail_at(file, &second.start_mark, "a second document", e);
        yaml_document_delete(&second);
    }
    yaml_parser_delete(&parser);
    return r;
}

struct qn_yaml *qn_yaml_get(const struct qn_yaml *map, const char *key)
{
    for (size_t i = 0; map && map->kind == QN_YAML_MAP && i < map->count; i++)
        if (qn_str_eq_c(map->key[i], key))
            return map->child[i];
    return NULL;
}
