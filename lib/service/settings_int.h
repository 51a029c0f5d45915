/* Inside of the settings. */
#ifndef QN_SERVICE_SETTINGS_INT_H
#define QN_SERVICE_SETTINGS_INT_H

#include "settings.h"

/* A list of strings of an object, as views; absent: none. */
int qn_settings_names(struct qn_settings *s, const json_t *obj, const char *key, struct qn_names *out,
                      struct qn_err *e) QN_MUST_CHECK;
/* A string of an object, "" when absent. */
struct qn_str qn_settings_text(const json_t *obj, const char *key);

/* Reads `local`; upstreams are there already. */
int qn_settings_locals(struct qn_settings *s, struct qn_err *e) QN_MUST_CHECK;
/* Reads `auth.rules`. */
int qn_settings_rules(struct qn_settings *s, struct qn_err *e) QN_MUST_CHECK;

/* An upstream with credentials must not be open to everybody by accident. */
int qn_settings_guard(const struct qn_settings *s, struct qn_err *e) QN_MUST_CHECK;

#endif
