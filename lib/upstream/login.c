/* Answers to 401: which challenge, which token server, which password; tokens are kept until shortly before they
 * expire. Source: Docker Registry v2 authentication via central service (token and OAuth2 forms). */
#include "registry_op.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKEN_MAX     (1u << 20)
#define LOGIN_SECONDS 600 /* credentials of files and commands are asked for again after that */

void qn_login_fini(struct qn_login *l)
{
    char **all[] = {&l->username, &l->password, &l->identity};
    for (size_t i = 0; i < QN_ARRAY_LEN(all); i++) {
        if (*all[i])
            explicit_bzero(*all[i], strlen(*all[i]));
        free(*all[i]);
        *all[i] = NULL;
    }
}

void qn_login_copy(struct qn_login *to, const struct qn_login *from)
{
    to->username = from->username ? qn_xstrdup(from->username) : NULL;
    to->password = from->password ? qn_xstrdup(from->password) : NULL;
    to->identity = from->identity ? qn_xstrdup(from->identity) : NULL;
}

/* --- the cache of tokens ------------------------------------------------------------------------------------------ */

static void token_free(struct qn_token *t)
{
    explicit_bzero(t->header, strlen(t->header));
    free(t->header);
    free(t);
}

void qn_tokens_free(struct qn_registry *r)
{
    for (struct qn_token *t = r->token, *next; t; t = next) {
        next = t->next;
        token_free(t);
    }
    r->token = NULL;
}

char *qn_login_header(struct qn_registry *r, const char *scope, uint64_t *serial, bool *basic)
{
    int64_t now = qn_time_now();
    char *header = NULL;

    *serial = 0;
    *basic = false;
    pthread_mutex_lock(&r->lock);
    for (struct qn_token *t = r->token; t && !header; t = t->next) {
        if (strcmp(t->scope, scope) == 0 && t->expires > now) {
            header = qn_xstrdup(t->header);
            *serial = t->serial;
        }
    }
    if (!header && r->basic) {
        header = qn_xstrdup(r->basic);
        *basic = true;
    }
    pthread_mutex_unlock(&r->lock);
    return header;
}

void qn_token_forget(struct qn_registry *r, uint64_t serial)
{
    pthread_mutex_lock(&r->lock);
    for (struct qn_token **at = &r->token; *at; at = &(*at)->next) {
        if ((*at)->serial == serial) {
            struct qn_token *t = *at;
            *at = t->next;
            r->tokens--;
            token_free(t);
            break;
        }
    }
    pthread_mutex_unlock(&r->lock);
}

void qn_login_forget(struct qn_registry *r)
{
    pthread_mutex_lock(&r->lock);
    r->login_until = 0;
    free(r->basic);
    r->basic = NULL;
    pthread_mutex_unlock(&r->lock);
}

/* Keeps a token in place of an older one of its scope; the oldest goes when there are too many. */
static void token_keep(struct qn_registry *r, const char *scope, struct qn_str value, int64_t expires)
{
    struct qn_token *t = qn_new(struct qn_token);

    snprintf(t->scope, sizeof t->scope, "%s", scope);
    t->header = qn_xasprintf("Bearer %.*s", QN_FMT(value));
    t->expires = expires;
    pthread_mutex_lock(&r->lock);
    t->serial = ++r->serial;
    t->next = r->token;
    r->token = t;
    r->tokens++;
    for (struct qn_token **at = &t->next; *at;) {
        struct qn_token *old = *at;
        if (strcmp(old->scope, scope) != 0 && !(r->tokens > QN_TOKENS_MAX && !old->next)) {
            at = &old->next;
            continue;
        }
        *at = old->next;
        r->tokens--;
        token_free(old);
    }
    pthread_mutex_unlock(&r->lock);
}

/* --- asking the token server -------------------------------------------------------------------------------------- */

static int read_token(struct qn_op *op, const struct qn_client_response *resp, struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;
    struct qn_str value;
    json_t *lifetime;

    if (resp->status == 401 || resp->status == 403) {
        qn_login_forget(op->r);
        return qn_fail(e, QN_E_UPSTREAM_DENIED, "token server of %s: status %d (wrong credentials, or no access)",
                       op->r->name, resp->status);
    }
    if (resp->status != 200)
        return qn_status_fail(op->r, resp, "token server", QN_E_UPSTREAM_DENIED, e);
    if (qn_json_parse(resp->body, TOKEN_MAX, &j, e) < 0 || qn_json_str_opt(j, "token", &value, e) < 0)
        return qn_err_wrap(e, "token server of %s", op->r->name);
    if (value.n == 0 && qn_json_str_opt(j, "access_token", &value, e) < 0)
        return qn_err_wrap(e, "token server of %s", op->r->name);
    if (value.n == 0 || value.n > 65536)
        return qn_fail(e, QN_E_NETWORK, "token server of %s: no token in its answer", op->r->name);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] <= ' ' || value.p[i] == 0x7f)
            return qn_fail(e, QN_E_NETWORK, "token server of %s: a token with blanks or control bytes", op->r->name);
    }
    lifetime = json_object_get(j, "expires_in");
    json_int_t seconds = json_is_integer(lifetime) ? json_integer_value(lifetime) : 60;
    seconds = QN_MIN(QN_MAX(seconds, 60), 86400);
    token_keep(op->r, op->scope, value, qn_time_now() + seconds - 30);
    return 0;
}

static void on_token(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct qn_op *op = ctx;
    struct qn_err e;

    if (failed) {
        e = *failed;
        qn_err_wrap(&e, "token server of %s", op->r->name);
    }
    if (failed || read_token(op, resp, &e) < 0)
        qn_op_finish(op, NULL, &e);
    else
        qn_op_send(op);
}

static void append(struct qn_buf *b, const char *name, const char *value, const char *before)
{
    struct qn_err ignored;
    char *escaped = curl_easy_escape(NULL, value, 0);

    if (!escaped || qn_buf_printf(b, &ignored, "%s%s=%s", before, name, escaped) < 0)
        qn_buf_clear(b);
    curl_free(escaped);
}

/* GET with Basic for passwords and nobody, POST for identity tokens. */
static int ask_token(struct qn_op *op, struct qn_err *e)
{
    qn_auto_buf struct qn_buf url = {0}, form = {0};
    qn_auto_free char *basic = NULL;
    const char *line = "Content-Type: application/x-www-form-urlencoded";

    if (qn_realm_check(op->r->url, op->realm, (const char *const *)op->r->realm, op->r->realms, e) < 0)
        return -1;
    qn_buf_init(&url, 8192);
    qn_buf_init(&form, 65536);
    bool post = op->login.identity != NULL;
    struct qn_buf *b = post ? &form : &url;
    if (qn_buf_c(&url, op->realm, e) < 0)
        return -1;
    append(b, "service", op->service, post ? "" : strchr(op->realm, '?') ? "&" : "?");
    append(b, "scope", op->wanted[0] ? op->wanted : op->scope, "&");
    if (post) {
        append(b, "grant_type", "refresh_token", "&");
        append(b, "client_id", "quench", "&");
        append(b, "refresh_token", op->login.identity, "&");
    } else if (op->login.password) {
        append(b, "account", op->login.username ? op->login.username : "", "&");
        basic = qn_basic_header(op->login.username, op->login.password);
    }
    if (b->n == 0)
        return qn_fail(e, QN_E_LIMIT, "upstream %s: token request too long", op->r->name);
    struct qn_client_request req = {
        .method = post ? QN_CLIENT_POST : QN_CLIENT_GET,
        .url = url.p,
        .header = &line,
        .headers = post ? 1 : 0,
        .authorization = basic,
        .body = qn_buf_view(&form),
        .body_fd = -1,
        .max_body = TOKEN_MAX,
        .timeout = 30,
        .plain_http = strncmp(op->realm, "http://", 7) == 0,
        .allow = op->r->allow,
        .allows = op->r->allows,
        .done = on_token,
        .ctx = op,
    };
    int r = qn_client_start(op->r->http, &req, NULL, e);
    if (basic)
        explicit_bzero(basic, strlen(basic));
    if (form.p)
        explicit_bzero(form.p, form.n);
    return r;
}

/* --- with the credentials at hand --------------------------------------------------------------------------------- */

static int use_basic(struct qn_op *op, struct qn_err *e)
{
    struct qn_registry *r = op->r;

    if (!op->login.password)
        return qn_fail(e, QN_E_UPSTREAM_DENIED, "upstream %s asks for a login and none is configured", r->name);
    char *header = qn_basic_header(op->login.username, op->login.password);
    pthread_mutex_lock(&r->lock);
    char *old = r->basic;
    r->basic = header;
    pthread_mutex_unlock(&r->lock);
    free(old);
    qn_op_send(op);
    return 0;
}

static void with_login(struct qn_op *op)
{
    struct qn_err e;

    if ((op->realm ? ask_token(op, &e) : use_basic(op, &e)) < 0)
        qn_op_finish(op, NULL, &e);
}

static void after_command(void *ctx, bool stopping)
{
    struct qn_op *op = ctx;
    struct qn_err e;

    if (!stopping) {
        with_login(op);
        return;
    }
    qn_fail(&e, QN_E_CANCELLED, "upstream %s: the HTTP client is stopping", op->r->name);
    qn_op_finish(op, NULL, &e);
}

static int known_login(struct qn_registry *r, struct qn_login *out)
{
    pthread_mutex_lock(&r->lock);
    bool known = r->login_until > qn_time_now();
    if (known)
        qn_login_copy(out, &r->login);
    pthread_mutex_unlock(&r->lock);
    return known;
}

static int get_login(struct qn_op *op, struct qn_err *e)
{
    struct qn_login fresh = {0};

    if (known_login(op->r, &op->login))
        return 0;
    if (qn_credentials_get(op->r, &fresh, e) < 0)
        return qn_err_wrap(e, "credentials of upstream %s", op->r->name);
    pthread_mutex_lock(&op->r->lock);
    qn_login_fini(&op->r->login);
    qn_login_copy(&op->r->login, &fresh);
    op->r->login_until = qn_time_now() + LOGIN_SECONDS;
    pthread_mutex_unlock(&op->r->lock);
    op->login = fresh;
    return 0;
}

struct command {
    struct qn_op *op;
    bool failed;
    struct qn_err err;
};

static void command_failed(void *ctx, bool stopping)
{
    struct command *c = ctx;
    (void)stopping;
    qn_op_finish(c->op, NULL, &c->err);
    free(c);
}

/* On the pool's thread: the command may take seconds. */
static void run_command(void *arg)
{
    struct command *c = arg;
    struct qn_op *op = c->op;
    struct qn_err e;

    c->failed = get_login(op, &c->err) < 0;
    if (c->failed) {
        if (qn_client_later(op->r->http, 0, command_failed, c, &e) < 0)
            command_failed(c, true);
        return;
    }
    free(c);
    if (qn_client_later(op->r->http, 0, after_command, op, &e) < 0)
        qn_op_finish(op, NULL, &e);
}

static int find_login(struct qn_op *op, struct qn_err *e)
{
    qn_login_fini(&op->login);
    if (!op->r->pool || known_login(op->r, &op->login)) {
        if (!op->login.password && !op->login.identity && get_login(op, e) < 0)
            return -1;
        with_login(op);
        return 0;
    }
    struct command *c = qn_new(struct command);
    c->op = op;
    if (qn_pool_add(op->r->pool, run_command, c, e) < 0) {
        free(c);
        return -1;
    }
    return 0;
}

/* --- challenges --------------------------------------------------------------------------------------------------- */

/* Picks Bearer before Basic out of every WWW-Authenticate header; false when there is neither. */
static bool choose(struct qn_op *op, const struct qn_client_response *resp)
{
    qn_auto_free struct qn_challenge *all = qn_xcalloc(QN_CHALLENGES_MAX, sizeof *all);
    bool basic = false;
    struct qn_err ignored;

    free(op->realm);
    op->realm = NULL;
    for (size_t h = 0; h < resp->headers && !op->realm; h++) {
        size_t n = 0;
        if (!qn_str_ieq(qn_str_c(resp->header[h].name), QN_STR("www-authenticate")) ||
            qn_challenge_parse(qn_str_c(resp->header[h].value), all, QN_CHALLENGES_MAX, &n, &ignored) < 0)
            continue;
        for (size_t i = 0; i < n && !op->realm; i++) {
            basic = basic || all[i].scheme == QN_SCHEME_BASIC;
            if (all[i].scheme != QN_SCHEME_BEARER || !all[i].realm[0])
                continue;
            free(op->service);
            free(op->wanted);
            op->realm = qn_xstrdup(all[i].realm);
            op->service = qn_xstrdup(all[i].service);
            op->wanted = qn_xstrdup(all[i].scope);
        }
    }
    return op->realm || basic;
}

static void answer(struct qn_op *op)
{
    struct qn_err e;

    if (find_login(op, &e) < 0)
        qn_op_finish(op, NULL, &e);
}

static void on_ping(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct qn_op *op = ctx;
    struct qn_err e;

    if (failed) {
        qn_op_finish(op, NULL, failed);
    } else if (resp->status == 401 && choose(op, resp)) {
        answer(op);
    } else {
        qn_fail(&e, QN_E_UPSTREAM_DENIED, "upstream %s: status 401 without a challenge", op->r->name);
        qn_op_finish(op, NULL, &e);
    }
}

void qn_op_login(struct qn_op *op, const struct qn_client_response *resp)
{
    struct qn_err e;

    if (choose(op, resp)) {
        answer(op);
        return;
    }
    /* Some registries challenge at /v2/ alone. */
    qn_auto_free char *url = qn_xasprintf("%s/v2/", op->r->url);
    struct qn_client_request ping = {
        .method = QN_CLIENT_GET,
        .url = url,
        .body_fd = -1,
        .timeout = 30,
        .plain_http = op->r->plain_http,
        .allow = op->r->allow,
        .allows = op->r->allows,
        .done = on_ping,
        .ctx = op,
    };
    if (qn_client_start(op->r->http, &ping, NULL, &e) < 0)
        qn_op_finish(op, NULL, &e);
}
