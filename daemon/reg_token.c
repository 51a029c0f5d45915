/* /token: tokens for users and for anybody, so that docker can pull without a login and push with one on the same
 * listener. Sources: Docker Registry v2 "Token Authentication Specification" (GET) and "OAuth2 Token Authentication"
 * (POST, grant_type=password). */
#include "access.h"

#include "base/clock.h"
#include "base/num.h"
#include "upstream/registry_op.h"

#include <stdlib.h>

#define SCOPES_MAX 32

static void wake(void *arg)
{
    qn_http_wake(arg);
}

/* --- what is asked for -------------------------------------------------------------------------------------------- */
struct granting {
    struct qn_exchange *x;
    struct qn_http_request *r;
    json_t *access;
};

static void add_action(json_t *actions, const char *word)
{
    qn_json_push(actions, qn_json_string_c(word));
}

/* The actions of one scope that the rules give: "repository:NAME:pull,push". What is not given is left out; the request
 * that uses the token is refused then. */
static void grant(struct granting *g, struct qn_str scope)
{
    ptrdiff_t first = qn_str_chr(scope, ':'), last = qn_str_rchr(scope, ':');
    struct qn_route route;
    struct qn_err e;

    if (first < 0 || last <= first || json_array_size(g->access) >= SCOPES_MAX ||
        !qn_str_eq(qn_str_head(scope, (size_t)first), QN_STR("repository")))
        return;
    struct qn_str name = qn_str_head(qn_str_from(scope, (size_t)first + 1), (size_t)(last - first - 1));
    struct qn_str rest = qn_str_from(scope, (size_t)last + 1), word;
    if (qn_route(g->x->server->site->settings, false, name, QN_STR(""), &route, &e) < 0)
        return;
    json_t *item = json_object(), *actions = json_array();
    bool want[3] = {false, false, false};
    while (qn_str_next(&rest, ',', &word)) {
        bool all = qn_str_eq(word, QN_STR("*"));
        want[0] = want[0] || all || qn_str_eq(word, QN_STR("pull"));
        want[1] = want[1] || all || qn_str_eq(word, QN_STR("push"));
        want[2] = want[2] || all || qn_str_eq(word, QN_STR("delete"));
    }
    if (want[0] && qn_exchange_could(g->x, g->r, qn_str_c(route.name), QN_PULL))
        add_action(actions, "pull");
    if (want[1] && qn_exchange_could(g->x, g->r, qn_str_c(route.name), QN_PUSH))
        add_action(actions, "push");
    if (want[2] && qn_exchange_could(g->x, g->r, qn_str_c(route.name), QN_DELETE))
        add_action(actions, "delete");
    qn_json_set_c(item, "type", "repository");
    qn_json_set_str(item, "name", name);
    qn_json_set(item, "actions", actions);
    qn_json_push(g->access, item);
}

static bool each_scope(void *arg, struct qn_str value)
{
    struct qn_str scope;

    while (qn_str_word(&value, &scope)) /* OAuth2 writes several into one */
        grant(arg, scope);
    return true;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */
static void respond_token(struct qn_exchange *x, struct qn_http_request *r, const json_t *access)
{
    int64_t now = qn_time_now();
    qn_auto_free char *token = qn_token_make(x->server->site->auth, x->who, access, now);
    struct qn_http_field fields[] = {{"Cache-Control", "no-store"}, {NULL, NULL}};
    char issued[QN_TIME_TEXT];

    if (!token) {
        qn_respond_error(r, QN_E_LIMIT, "too much is asked for in one token");
        return;
    }
    json_t *o = json_object();
    qn_time_format(now, issued);
    qn_json_set_c(o, "token", token);
    qn_json_set_c(o, "access_token", token);
    qn_json_set_int(o, "expires_in", QN_TOKEN_SECONDS);
    qn_json_set_c(o, "issued_at", issued);
    qn_http_respond_json(r, 200, fields, o);
}

static void respond_wrong(struct qn_http_request *r)
{
    struct qn_http_field fields[] = {
        {"WWW-Authenticate", "Basic realm=\"quench\""}, {"Cache-Control", "no-store"}, {NULL, NULL}};
    struct qn_err e;

    qn_fail(&e, QN_E_UNAUTHORIZED, "the user's name or the password is wrong");
    qn_http_respond_oci_error(r, 0, fields, &e);
}

/* Whether the login is right; false when the request was parked or answered. */
static bool logged_in(struct qn_exchange *x, struct qn_http_request *r, struct qn_str user, struct qn_str password)
{
    struct qn_http_field later[] = {{"Retry-After", "1"}, {NULL, NULL}};
    struct qn_auth *auth = x->server->site->auth;
    struct qn_err e;

    enum qn_known known = qn_auth_known(auth, user, password);
    if (known == QN_KNOWN_RIGHT) {
        snprintf(x->who, sizeof x->who, "%.*s", QN_FMT(user));
        return true;
    }
    if (known == QN_KNOWN_WRONG) {
        respond_wrong(r);
        return false;
    }
    struct qn_http_waker *w = qn_http_park(r, INT64_MAX);
    if (w && qn_auth_check(auth, user, password, wake, w, &e) < 0) {
        qn_http_waker_drop(w);
        qn_http_respond_oci_error(r, 0, later, &e);
    }
    return false;
}

static bool with_header(struct qn_exchange *x, struct qn_http_request *r, struct qn_str value)
{
    struct qn_login login = {0};
    struct qn_err e;
    bool right = false;

    if (value.n <= 6 || !qn_str_ieq(qn_str_head(value, 6), QN_STR("Basic ")) ||
        qn_basic_decode(qn_str_trim(qn_str_from(value, 6)), &login, &e) < 0)
        respond_wrong(r);
    else
        right = logged_in(x, r, qn_str_c(login.username), qn_str_c(login.password));
    qn_login_fini(&login);
    return right;
}

static bool has_auth(struct qn_exchange *x, struct qn_http_request *r)
{
    if (x->server->site->settings->auth)
        return true;
    qn_respond_error(r, QN_E_NOT_FOUND, "there are no tokens here: the configuration has no auth");
    return false;
}

void qn_endpoint_token(struct qn_exchange *x, struct qn_http_request *r)
{
    struct granting g = {x, r, NULL};
    struct qn_str value;

    if (!has_auth(x, r))
        return;
    if (qn_http_header(r, "Authorization", &value)) {
        if (!with_header(x, r, value))
            return;
    } else if (*qn_http_client_cn(r) && strlen(qn_http_client_cn(r)) <= QN_AUTH_USER) {
        snprintf(x->who, sizeof x->who, "cn:%s", qn_http_client_cn(r));
    }
    g.access = json_array();
    qn_http_query_each(r, "scope", each_scope, &g);
    respond_token(x, r, g.access);
    json_decref(g.access);
}

/* A member of a form (application/x-www-form-urlencoded), decoded; heap, NULL when absent or malformed. */
static char *form_value(struct qn_str body, const char *key)
{
    struct qn_str pair;

    while (qn_str_next(&body, '&', &pair)) {
        ptrdiff_t eq = qn_str_chr(pair, '=');
        if (eq < 0 || !qn_str_eq_c(qn_str_head(pair, (size_t)eq), key))
            continue;
        struct qn_str raw = qn_str_from(pair, (size_t)eq + 1);
        char *out = qn_xcalloc(1, raw.n + 1);
        size_t n = 0;
        for (size_t i = 0; i < raw.n; i++) {
            if (raw.p[i] != '%') {
                out[n++] = (char)(raw.p[i] == '+' ? ' ' : raw.p[i]);
                continue;
            }
            int high = i + 2 < raw.n ? qn_num_hex(raw.p[i + 1]) : -1,
                low = i + 2 < raw.n ? qn_num_hex(raw.p[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                free(out);
                return NULL;
            }
            out[n++] = (char)(high * 16 + low);
            i += 2;
        }
        return out;
    }
    return NULL;
}

void qn_endpoint_token_post(struct qn_exchange *x, struct qn_http_request *r)
{
    struct granting g = {x, r, NULL};
    struct qn_str body = qn_http_body(r);
    qn_auto_free char *grant_type = form_value(body, "grant_type"), *user = form_value(body, "username"),
                      *password = form_value(body, "password"), *scope = form_value(body, "scope");

    if (!has_auth(x, r))
        return;
    if (!grant_type || strcmp(grant_type, "password") != 0 || !user || !password) {
        /* There are no refresh tokens; containerd and docker go on with GET when POST is not there. */
        qn_respond_error(r, QN_E_METHOD, "only grant_type=password with username and password");
        return;
    }
    bool right = logged_in(x, r, qn_str_c(user), qn_str_c(password));
    explicit_bzero(password, strlen(password));
    if (!right)
        return;
    g.access = json_array();
    if (scope)
        (void)each_scope(&g, qn_str_c(scope));
    respond_token(x, r, g.access);
    json_decref(g.access);
}
