/* JSON through jansson, with the rules for documents from strangers: bounded size, no duplicate keys,
 * no trailing bytes; getters name the member that is missing or of the wrong type. */
#ifndef QN_BASE_JSON_H
#define QN_BASE_JSON_H

#include "buf.h"
#include "err.h"
#include "str.h"

#include <jansson.h>
#include <stdint.h>

/* Cleanup helper: `qn_auto_json json_t *j = ...;` */
void qn_json_cleanup(json_t **j);
#define qn_auto_json QN_CLEANUP(qn_json_cleanup)

/* Parses a whole document of at most `max` bytes, nested at most 128 deep. MALFORMED (with line and column) for bad
 * syntax, duplicate keys or trailing bytes. The caller owns `*out`. */
int qn_json_parse(struct qn_str text, size_t max, json_t **out, struct qn_err *e) QN_MUST_CHECK;
/* Compact output, keys in insertion order. Appends to `b`. */
int qn_json_print(const json_t *j, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* Compact output with sorted keys: the canonical form that policy digests are computed over. */
int qn_json_print_canonical(const json_t *j, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* Indented output for people. */
int qn_json_print_pretty(const json_t *j, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

/* A required string member as a borrowed view. */
int qn_json_str(const json_t *obj, const char *key, struct qn_str *out, struct qn_err *e) QN_MUST_CHECK;
/* An optional string member; absent and null give the empty view. MALFORMED when of another type. */
int qn_json_str_opt(const json_t *obj, const char *key, struct qn_str *out, struct qn_err *e) QN_MUST_CHECK;
/* A required integer member in [min, max]. */
int qn_json_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out,
                struct qn_err *e) QN_MUST_CHECK;
/* A member that must be an object or array when present; NULL when absent or null. */
int qn_json_object_opt(const json_t *obj, const char *key, json_t **out, struct qn_err *e) QN_MUST_CHECK;
int qn_json_array_opt(const json_t *obj, const char *key, json_t **out, struct qn_err *e) QN_MUST_CHECK;

/* Builders that abort when there is no memory (documents of our own making). */
json_t *qn_json_string(struct qn_str s); /* bytes that are not UTF-8 are replaced by U+FFFD */
json_t *qn_json_string_c(const char *s);
void qn_json_set(json_t *obj, const char *key, json_t *value); /* takes `value` */
void qn_json_set_str(json_t *obj, const char *key, struct qn_str value);
void qn_json_set_c(json_t *obj, const char *key, const char *value);
void qn_json_set_int(json_t *obj, const char *key, int64_t value);
void qn_json_set_bool(json_t *obj, const char *key, bool value);
void qn_json_push(json_t *arr, json_t *value); /* takes `value` */

#endif
