/* YAML documents as nodes that know where they stand. Scalars stay text: what they mean is the schema's business, so
 * `on`, `off`, `yes` are plain words, quoted or not. Aliases, anchors' uses, tags and duplicate keys are refused. */
#ifndef QN_DAEMON_YAML_H
#define QN_DAEMON_YAML_H

#include "base/mem.h"

enum qn_yaml_kind { QN_YAML_SCALAR = 1, QN_YAML_LIST, QN_YAML_MAP };

struct qn_yaml {
    enum qn_yaml_kind kind;
    unsigned line, column; /* from 1 */
    unsigned key_line;     /* of values in a map: where their key stands */
    unsigned key_column;
    struct qn_str text;     /* scalars */
    bool is_null;           /* an empty plain scalar, `null` or `~` */
    struct qn_str *key;     /* maps: `count` keys */
    struct qn_yaml **child; /* lists and maps */
    size_t count;
};

/* Parses one document of at most 1 MiB. `file` names it in errors: "FILE:LINE:COLUMN: what". An empty document gives
 * an empty map. Nodes live in `arena` and borrow nothing. CONFIG on any error. */
int qn_yaml_parse(const char *file, struct qn_str text, struct qn_arena *arena, struct qn_yaml **out,
                  struct qn_err *e) QN_MUST_CHECK;
/* The value of a key of a map, or NULL. */
struct qn_yaml *qn_yaml_get(const struct qn_yaml *map, const char *key);

#endif
