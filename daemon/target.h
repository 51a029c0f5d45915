/* Request targets: path and query, checked strictly. Sources: RFC 9112 section 3.2, RFC 3986. */
#ifndef QN_DAEMON_TARGET_H
#define QN_DAEMON_TARGET_H

#include "base/err.h"
#include "base/str.h"

#define QN_TARGET_MAX 4096u
#define QN_QUERY_MAX  40u

struct qn_query {
    struct qn_str key;
    struct qn_str value;
};

/* A target taken apart; views borrow the storage given to qn_target_parse(). */
struct qn_target {
    struct qn_str path; /* decoded; starts with "/" */
    struct qn_query query[QN_QUERY_MAX];
    unsigned query_count;
};

/* Checks and decodes a raw request target in origin or absolute form into `storage`, of at least raw.n + 1 bytes.
 * Refused (MALFORMED): control bytes, blanks, bytes over 0x7e, fragments, "//", "." and ".." as path components, "%"
 * that is not followed by two hex digits or that stands for "/", "%", "\", a control byte or a byte over 0x7e, any
 * "%" at all below /v2 (names there need none), a query key other than "tag" and "scope" that appears twice, more than
 * QN_QUERY_MAX keys, more than QN_TARGET_MAX bytes. In a query "+" is a blank, and bytes over 0x7e may be encoded if
 * they are UTF-8. */
int qn_target_parse(struct qn_str raw, char *storage, struct qn_target *out, struct qn_err *e) QN_MUST_CHECK;
/* Every value of a query key, in order; stops when `each` returns false. */
void qn_target_query_each(const struct qn_target *t, const char *key, bool (*each)(void *arg, struct qn_str value),
                          void *arg);
/* The value of a query key; false when it is absent. */
bool qn_target_query(const struct qn_target *t, const char *key, struct qn_str *value);

#endif
