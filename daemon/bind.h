/* The schema params.def over a YAML document: every key is known, every value has its type, defaults are filled in. */
#ifndef QN_DAEMON_BIND_H
#define QN_DAEMON_BIND_H

#include "yaml.h"

#include "base/json.h"

/* Gives the effective configuration as JSON: sizes in bytes, durations in seconds, switches as booleans, lists of
 * strings as arrays; secrets are resolved (${ENV}, file:PATH). CONFIG with file, line and column; NOT_BUILT for
 * reserved keys. The caller owns `*out`. */
int qn_config_bind(const char *file, const struct qn_yaml *root, json_t **out, struct qn_err *e) QN_MUST_CHECK;
/* Prints an effective configuration as YAML with the documentation of each key; secrets as "***". */
int qn_config_print(const json_t *effective, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* An error at a node: "FILE:LINE:COLUMN: text". */
int qn_config_fail(const char *file, const struct qn_yaml *at, struct qn_err *e, const char *fmt, ...) QN_PRINTF(4, 5);

#endif
