/* Denials: what a client gets instead of an image (contract section 4, "Denials"). On the registry listener an error;
 * on the mirror listener a manifest that every client fails on, with the reason in its layer's media type. */
#ifndef QN_SERVICE_DENY_H
#define QN_SERVICE_DENY_H

#include "settings.h"

#include "formats/mediatype.h"
#include "store/rows_content.h"

enum qn_denial {
    QN_DENY_NONE = 0,
    QN_DENY_POLICY,
    QN_DENY_UNKNOWN_UPSTREAM,
    QN_DENY_NOT_ALLOWED,
    QN_DENY_NOT_FOUND,
    QN_DENY_DIGEST_PIN,
    QN_DENY_PLATFORM,
    QN_DENY_UPSTREAM_DOWN,
    QN_DENY_UPSTREAM_DENIED,
    QN_DENY_MALFORMED,
    QN_DENY_HARDENING_FAILED,
    QN_DENY_STILL_HARDENING,
    QN_DENY_QUEUE_FULL,
    QN_DENY_STORAGE_FULL,
    QN_DENY_NOT_APPROVED,
    QN_DENY_REJECTED,
    QN_DENIALS /* how many */
};

/* "policy", "unknown-upstream", ... the public slug. */
const char *qn_denial_name(enum qn_denial d);
/* The denial of a slug, or QN_DENY_NONE. */
enum qn_denial qn_denial_parse(const char *slug);
/* HTTP status on the registry listener. */
unsigned qn_denial_status(enum qn_denial d);
/* OCI error code there. */
enum qn_code qn_denial_code(enum qn_denial d);
/* The denial that an error means. */
enum qn_denial qn_denial_of(const struct qn_err *err);

/* Makes the rows of a denial: one manifest, and for `kind` index one row more for the index, which comes first.
 * Deterministic: a function of the arguments but `repo` and `expires`. `rows` has two places; `*n` says how many. */
int qn_denial_make(enum qn_denial d, const char *message, enum qn_media_kind kind, enum qn_media_family family,
                   const struct qn_settings *s, const char *repo, int64_t expires, struct qn_row_denial *rows,
                   size_t *n, struct qn_err *e) QN_MUST_CHECK;

#endif
