/* WWW-Authenticate (RFC 9110 section 11.6.1, RFC 6750, distribution "token" specification) and the rule about where
 * credentials may be sent. */
#ifndef QN_UPSTREAM_CHALLENGE_H
#define QN_UPSTREAM_CHALLENGE_H

#include "base/err.h"
#include "base/str.h"

enum qn_scheme { QN_SCHEME_OTHER = 0, QN_SCHEME_BASIC = 1, QN_SCHEME_BEARER = 2 };

#define QN_CHALLENGE_REALM 1024
#define QN_CHALLENGE_TEXT  512
#define QN_CHALLENGES_MAX  8

struct qn_challenge {
    enum qn_scheme scheme;
    char realm[QN_CHALLENGE_REALM]; /* "" when absent */
    char service[QN_CHALLENGE_TEXT];
    char scope[QN_CHALLENGE_TEXT];
    char error[QN_CHALLENGE_TEXT];
};
/* Parses one header value that may hold several challenges; at most `max` are written, schemes that we do not know
 * included. MALFORMED for broken syntax, LIMIT for texts that are too long. */
int qn_challenge_parse(struct qn_str value, struct qn_challenge *out, size_t max, size_t *n,
                       struct qn_err *e) QN_MUST_CHECK;

/* Whether the password of the upstream at `base_url` may be sent to the token server `realm`: https, no user info, and
 * the same host, the same registrable parent domain, or a host of `allowed`. Plain http only when the upstream itself
 * is plain http and the host is the same. ADDRESS with the reason otherwise. */
int qn_realm_check(const char *base_url, const char *realm, const char *const *allowed, size_t n,
                   struct qn_err *e) QN_MUST_CHECK;

/* One entry of a Link header (RFC 8288): the target of the first link with rel="next", or the empty view. */
struct qn_str qn_link_next(struct qn_str value);

#endif
