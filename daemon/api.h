/* The admin API's description (api.def, api_query.def, api_types.def) and what is read from it: checks of what comes
 * in, and the OpenAPI document. */
#ifndef QN_DAEMON_API_H
#define QN_DAEMON_API_H

#include "server.h"

/* Checks a value against a TYPE of api_types.def, members of documents included; `where` names it in errors. MALFORMED.
 * Depth is bounded by the table. */
int qn_api_check(struct qn_str type, const json_t *value, const char *where, struct qn_err *e) QN_MUST_CHECK;
/* Checks the query of a request: required parameters are there, all are known and of their type. USAGE. */
int qn_api_check_query(const struct qn_endpoint *p, const struct qn_http_request *r, struct qn_err *e) QN_MUST_CHECK;
/* Parses and checks the body of a request by the row; `*out` is NULL when there is none and none is needed. */
int qn_api_body(const struct qn_endpoint *p, struct qn_str text, json_t **out, struct qn_err *e) QN_MUST_CHECK;
/* The document for what this build answers. The caller owns it. */
json_t *qn_api_document(void);

#endif
