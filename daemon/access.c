#include "access.h"

#include "base/clock.h"
#include "base/log.h"
#include "upstream/registry_op.h"

#include <stdlib.h>

static const char *action_word(enum qn_action action)
{
    return action == QN_PULL ? "pull" : action == QN_PUSH ? "push" : "delete";
}

bool qn_exchange_guarded(const struct qn_exchange *x, const struct qn_http_request *r)
{
    return x->server->site->settings->auth && !qn_is_mirror(r);
}

/* Whether anybody can log in: only then is there a challenge. */
static bool has_users(const struct qn_exchange *x)
{
    return x->server->site->settings->htpasswd.n > 0;
}

/* --- the challenge ------------------------------------------------------------------------------------------------ */
void qn_realm(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_buf *b)
{
    struct qn_str url = x->server->site->settings->public_url, host = QN_STR("");
    struct qn_err e;

    if (url.n && qn_str_ends(url, QN_STR("/")))
        url = qn_str_head(url, url.n - 1);
    if (!url.n)
        (void)qn_http_header(r, "Host", &host);
    if (url.n ? qn_buf_str(b, url, &e) < 0
              : qn_buf_printf(b, &e, "%s://%.*s", qn_http_is_tls(r) ? "https" : "http", QN_FMT(host)) < 0)
        qn_buf_clear(b);
}

/* 401 with the challenge that docker and the others follow (Docker token specification). `scope` may be empty. */
static void challenge(struct qn_exchange *x, struct qn_http_request *r, const char *scope, const char *error,
                      const char *message)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e, ignored;

    qn_buf_init(&b, 4096);
    if (qn_buf_c(&b, "Bearer realm=\"", &ignored) == 0)
        qn_realm(x, r, &b);
    if (qn_buf_printf(&b, &ignored, "/token\",service=\"%s\"%s%s%s%s%s%s", QN_AUTH_SERVICE, *scope ? ",scope=\"" : "",
                      scope, *scope ? "\"" : "", *error ? ",error=\"" : "", error, *error ? "\"" : "") < 0 ||
        qn_buf_put(&b, "", 1, &ignored) < 0)
        qn_buf_clear(&b);
    struct qn_http_field fields[] = {{"WWW-Authenticate", b.n ? b.p : "Bearer"},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {"Cache-Control", "no-store"},
                                     {NULL, NULL}};
    qn_fail(&e, QN_E_UNAUTHORIZED, "%s", message);
    qn_http_respond_oci_error(r, 0, fields, &e);
}

static void scope_of(const struct qn_exchange *x, enum qn_action action, char *out, size_t size)
{
    snprintf(out, size, "repository:%.*s:%s%s", QN_FMT(x->arg[0]), action == QN_PULL ? "" : "pull,",
             action_word(action));
}

/* --- who asks ----------------------------------------------------------------------------------------------------- */
/* Without the answer being known: in `begin` nothing can wait. */
enum identity { UNKNOWN, KNOWN, ANSWERED };

static void wake(void *arg)
{
    qn_http_wake(arg);
}

static enum identity ask_password(struct qn_exchange *x, struct qn_http_request *r, const struct qn_login *login)
{
    struct qn_str user = qn_str_c(login->username), password = qn_str_c(login->password);
    struct qn_http_field later[] = {{"Retry-After", "1"}, {NULL, NULL}};
    struct qn_err e;

    enum qn_known known = qn_auth_known(x->server->site->auth, user, password);
    if (known == QN_KNOWN_RIGHT) {
        snprintf(x->who, sizeof x->who, "%s", login->username);
        return KNOWN;
    }
    if (known == QN_KNOWN_WRONG) {
        challenge(x, r, "", "", "the user's name or the password is wrong");
        return ANSWERED;
    }
    if (x->beginning)
        return UNKNOWN;
    struct qn_http_waker *w = qn_http_park(r, INT64_MAX);
    if (w && qn_auth_check(x->server->site->auth, user, password, wake, w, &e) < 0) {
        qn_http_waker_drop(w);
        qn_http_respond_oci_error(r, 0, later, &e);
    }
    return ANSWERED;
}

static enum identity ask_basic(struct qn_exchange *x, struct qn_http_request *r, struct qn_str base64)
{
    struct qn_login login = {0};
    struct qn_err e;
    enum identity found = ANSWERED;

    if (qn_basic_decode(base64, &login, &e) < 0)
        challenge(x, r, "", "", "Authorization: Basic is not base64 of NAME:PASSWORD");
    else
        found = ask_password(x, r, &login);
    qn_login_fini(&login);
    return found;
}

static enum identity identify(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str value;
    struct qn_err e;

    if (x->identified)
        return KNOWN;
    enum identity found = KNOWN;
    if (!has_users(x) || !qn_http_header(r, "Authorization", &value)) {
        const char *cn = qn_http_client_cn(r);
        if (*cn && strlen(cn) <= QN_AUTH_USER)
            snprintf(x->who, sizeof x->who, "cn:%s", cn);
    } else if (value.n > 6 && qn_str_ieq(qn_str_head(value, 6), QN_STR("Basic "))) {
        found = ask_basic(x, r, qn_str_trim(qn_str_from(value, 6)));
    } else if (value.n > 7 && qn_str_ieq(qn_str_head(value, 7), QN_STR("Bearer "))) {
        if (qn_token_read(x->server->site->auth, qn_str_trim(qn_str_from(value, 7)), qn_time_now(), x->who, &x->access,
                          &e) < 0) {
            challenge(x, r, "", "invalid_token", e.msg);
            found = ANSWERED;
        }
    } else {
        challenge(x, r, "", "", "Authorization must be Basic or Bearer");
        found = ANSWERED;
    }
    x->identified = found == KNOWN;
    if (x->identified && x->who[0])
        x->actor = x->who;
    return found;
}

/* --- decisions ---------------------------------------------------------------------------------------------------- */
bool qn_exchange_could(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_str repository,
                       enum qn_action action)
{
    if (qn_is_mirror(r))
        return action == QN_PULL;
    return qn_settings_may(x->server->site->settings, qn_str_c(x->who), repository, action);
}

static void refuse(struct qn_exchange *x, struct qn_http_request *r, enum qn_action action)
{
    char scope[QN_NAME_MAX + 64];

    scope_of(x, action, scope, sizeof scope);
    if (x->access)
        challenge(x, r, scope, "insufficient_scope", "the token does not allow that");
    else if (!x->who[0] && has_users(x))
        challenge(x, r, scope, "", "a login is needed");
    else
        qn_respond_error(r, QN_E_DENIED, "no rule of auth.rules allows that");
}

bool qn_exchange_may(struct qn_exchange *x, struct qn_http_request *r, enum qn_action action)
{
    struct qn_http_field later[] = {{"Retry-After", "1"}, {NULL, NULL}};
    struct qn_err e;

    if (qn_is_mirror(r) || !x->server->site->settings->auth) {
        if (qn_exchange_could(x, r, qn_str_c(x->route.name), action))
            return true;
        qn_respond_error(r, qn_is_mirror(r) ? QN_E_METHOD : QN_E_DENIED,
                         qn_is_mirror(r) ? "a mirror is read-only"
                                         : "nobody may push or delete here: the configuration has no auth");
        return false;
    }
    enum identity known = identify(x, r);
    if (known == UNKNOWN && x->endpoint->handle == qn_endpoint_manifest_put)
        return true; /* its body is small: it is taken, and asked again before anything is done with it */
    if (known == UNKNOWN) {
        qn_fail(&e, QN_E_BUSY, "the password is not checked yet: ask for something without a body first");
        qn_http_respond_oci_error(r, 0, later, &e);
    }
    if (known != KNOWN)
        return false;
    if (qn_exchange_could(x, r, qn_str_c(x->route.name), action) &&
        (!x->access || qn_token_covers(x->access, x->arg[0], action_word(action))))
        return true;
    refuse(x, r, action);
    return false;
}

enum qn_also qn_exchange_also(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_str repository,
                              struct qn_str spelled)
{
    if (!qn_exchange_could(x, r, repository, QN_PULL))
        return QN_ALSO_NOT;
    return !x->access || qn_token_covers(x->access, spelled, "pull") ? QN_ALSO : QN_ALSO_ASK;
}

void qn_exchange_ask_also(struct qn_exchange *x, struct qn_http_request *r, struct qn_str spelled)
{
    char scope[2 * QN_NAME_MAX + 128];

    scope_of(x, QN_PUSH, scope, sizeof scope);
    size_t n = strlen(scope);
    snprintf(scope + n, sizeof scope - n, " repository:%.*s:pull", QN_FMT(spelled));
    challenge(x, r, scope, "insufficient_scope", "the token does not let the blob be read where it is");
}

/* Somebody must be known behind the request, if only by an anonymous token. */
static bool known_by(struct qn_exchange *x, struct qn_http_request *r, const char *scope)
{
    if (!qn_exchange_guarded(x, r))
        return true;
    if (identify(x, r) != KNOWN)
        return false;
    if (x->who[0] || x->access || !has_users(x))
        return true;
    challenge(x, r, scope, "", "a login is needed");
    return false;
}

bool qn_exchange_may_list(struct qn_exchange *x, struct qn_http_request *r)
{
    return known_by(x, r, "registry:catalog:*");
}

bool qn_exchange_enter(struct qn_exchange *x, struct qn_http_request *r)
{
    return known_by(x, r, "");
}
