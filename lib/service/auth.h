/* Users of the registry listener: passwords (htpasswd, bcrypt) and the short-lived tokens that stand for them.
 *
 * A password check takes tenths of a second on purpose: it runs on threads of its own, and what came of it is
 * remembered until the file changes. Any thread may call any of these; only qn_auth_check's work waits. */
#ifndef QN_SERVICE_AUTH_H
#define QN_SERVICE_AUTH_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#include <stdint.h>

struct qn_auth;

#define QN_AUTH_USER     120u /* bytes of a user's name, at most */
#define QN_AUTH_PASSWORD 1024u
#define QN_TOKEN_SECONDS 300
#define QN_TOKEN_MAX     8192u /* bytes of a token */

/* Reads the file (`htpasswd` empty: there are no users) and the key ROOT/token.key, which is made when it is not there.
 * CONFIG names the line of an entry that is not bcrypt. `service` is whom tokens are for. */
int qn_auth_new(struct qn_str htpasswd, const char *root, struct qn_str service, struct qn_auth **out,
                struct qn_err *e) QN_MUST_CHECK;
/* NULL is fine. Checks that wait are given up. */
void qn_auth_free(struct qn_auth *a);
/* Reads the file again; on failure what was read before stays. */
int qn_auth_reload(struct qn_auth *a, struct qn_err *e) QN_MUST_CHECK;

/* --- passwords ---------------------------------------------------------------------------------------------------- */
enum qn_known { QN_KNOWN_NOT = 0, QN_KNOWN_RIGHT, QN_KNOWN_WRONG };
/* What is remembered of a password; never waits. */
enum qn_known qn_auth_known(struct qn_auth *a, struct qn_str user, struct qn_str password);
/* Finds out, then calls `wake` once; qn_auth_known tells afterwards. A name that does not exist takes as long as a
 * wrong password. BUSY when too many are waiting (nothing is called then). */
int qn_auth_check(struct qn_auth *a, struct qn_str user, struct qn_str password, void (*wake)(void *arg), void *arg,
                  struct qn_err *e) QN_MUST_CHECK;

/* --- tokens ------------------------------------------------------------------------------------------------------- */
/* A token (JSON Web Token, RFC 7519, signed with HMAC-SHA256 by a key that never leaves this daemon) for `user` ("" is
 * anybody) with `access`: [{"type", "name", "actions": [...]}] (borrowed), good from `now` (seconds) on for
 * QN_TOKEN_SECONDS. Heap; NULL when it would be too long. */
char *qn_token_make(const struct qn_auth *a, const char *user, const json_t *access, int64_t now);
/* Checks form, signature, audience and time of a token of ours. UNAUTHORIZED says what is wrong. `user` has room for
 * QN_AUTH_USER + 4 bytes; the caller owns `*access`. */
int qn_token_read(const struct qn_auth *a, struct qn_str token, int64_t now, char *user, json_t **access,
                  struct qn_err *e) QN_MUST_CHECK;
/* Whether the access of a token holds an action for a repository's name. */
bool qn_token_covers(const json_t *access, struct qn_str name, const char *action);

#endif
