/* Who may do what: the one place where a request's access to a repository is decided. */
#ifndef QN_DAEMON_ACCESS_H
#define QN_DAEMON_ACCESS_H

#include "server.h"

#define QN_AUTH_SERVICE "quench" /* whom tokens are for */

/* Whether the request may do that with the repository that qn_exchange_route() found; answers it when not. Handlers ask
 * each time they are called, before anything that could tell whether something exists. In `begin` (a request with a
 * body) it decides at once; in `handle` it may park: then it is false and there is no answer yet. The mirror listener
 * is read-only and asks nobody. */
bool qn_exchange_may(struct qn_exchange *x, struct qn_http_request *r, enum qn_action action);
/* The same by the rules alone, of any repository ("UPSTREAM/REPOSITORY", "NAME/REPOSITORY") for a request that passed
 * qn_exchange_may() or needs none; answers nothing. */
bool qn_exchange_could(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_str repository,
                       enum qn_action action);
/* Whether a request that passed qn_exchange_may() may read another repository as well: by the rules, and by its token
 * where it has one. `spelled` is the name that a token is asked for with. */
enum qn_also { QN_ALSO_NOT, QN_ALSO, QN_ALSO_ASK /* by the rules, but the token is not for it */ };
enum qn_also qn_exchange_also(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_str repository,
                              struct qn_str spelled);
/* Challenges for a token that is for both: pushing here and reading there. */
void qn_exchange_ask_also(struct qn_exchange *x, struct qn_http_request *r, struct qn_str spelled);
/* Whether the request may see lists of what it may read. */
bool qn_exchange_may_list(struct qn_exchange *x, struct qn_http_request *r);
/* Whether somebody is known behind the request, if only by an anonymous token; challenges when not. */
bool qn_exchange_enter(struct qn_exchange *x, struct qn_http_request *r);
/* Whether answers depend on who asks: then what lies in memory must not be given out before qn_exchange_may(). */
bool qn_exchange_guarded(const struct qn_exchange *x, const struct qn_http_request *r);
/* Appends the address of the registry listener as the client knows it, without a slash at the end. */
void qn_realm(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_buf *b);

#endif
