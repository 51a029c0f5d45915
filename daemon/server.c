#include "server.h"

#include "api.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_BYTES   (64u << 20)
#define ADMIN_THREADS 4
#define ADMIN_QUEUE   256

bool qn_is_mirror(const struct qn_http_request *r)
{
    return qn_http_kind(r) == QN_LISTEN_MIRROR;
}

void qn_respond_error(struct qn_http_request *r, enum qn_code code, const char *message)
{
    struct qn_err e;

    qn_fail(&e, code, "%s", message);
    if (qn_http_kind(r) == QN_LISTEN_ADMIN || qn_http_kind(r) == QN_LISTEN_METRICS)
        qn_http_respond_problem(r, 0, NULL, &e);
    else
        qn_http_respond_oci_error(r, 0, NULL, &e);
}

/* --- who may use the admin API ------------------------------------------------------------------------------------ */
static bool same_secret(struct qn_str a, struct qn_str b)
{
    return a.n == b.n && a.n > 0 && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

/* A page of another site must not reach the API through a browser: names that only DNS makes ours are refused. */
static bool host_is_ours(const struct qn_server *s, struct qn_str host)
{
    struct qn_str name = host, url = s->site->settings->admin_url;
    unsigned char buf[16];
    char text[64];

    if (name.n && name.p[0] == '[') {
        ptrdiff_t close = qn_str_chr(name, ']');
        return close > 0;
    }
    ptrdiff_t colon = qn_str_rchr(name, ':');
    if (colon >= 0)
        name = qn_str_head(name, (size_t)colon);
    if (qn_str_ieq(name, QN_STR("localhost")))
        return true;
    if (qn_str_copy(name, text, sizeof text) && inet_pton(AF_INET, text, buf) == 1)
        return true;
    ptrdiff_t at = qn_str_find(url, QN_STR("://"));
    url = qn_str_from(url, at < 0 ? 0 : (size_t)at + 3);
    ptrdiff_t slash = qn_str_chr(url, '/');
    if (slash >= 0)
        url = qn_str_head(url, (size_t)slash);
    return url.n && qn_str_ieq(url, host);
}

static bool origin_is_ours(struct qn_str origin, struct qn_str host)
{
    ptrdiff_t at = qn_str_find(origin, QN_STR("://"));
    return at >= 0 && qn_str_ieq(qn_str_from(origin, (size_t)at + 3), host);
}

static void find_actor(struct qn_exchange *x, struct qn_str token)
{
    const struct qn_settings *s = x->server->site->settings;

    for (size_t i = 0; i < s->tokens; i++)
        if (same_secret(token, s->token[i].token)) {
            x->actor = s->token[i].name.p;
            x->role = (int)s->token[i].role;
        }
    if (s->tokens == 0 && same_secret(token, qn_str_c(x->server->token))) {
        x->actor = "admin";
        x->role = QN_ROLE_OPERATE;
    }
}

static bool authorized(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str value, host = QN_STR("");
    uid_t uid;
    pid_t pid;

    if (x->endpoint->role == 0)
        return true;
    if (qn_http_peer_cred(r, &uid, &pid)) {
        if (uid != 0 && uid != geteuid()) {
            qn_respond_error(r, QN_E_DENIED, "only root and the daemon's user may use this socket");
            return false;
        }
        x->actor = "local";
        x->role = QN_ROLE_OPERATE;
        return true;
    }
    (void)qn_http_header(r, "Host", &host);
    if (!host_is_ours(x->server, host) || (qn_http_header(r, "Origin", &value) && !origin_is_ours(value, host))) {
        qn_respond_error(r, QN_E_DENIED, "this Host or Origin is not the admin listener's (admin_url)");
        return false;
    }
    if (qn_http_header(r, "Authorization", &value) && value.n > 7 &&
        qn_str_ieq(qn_str_head(value, 7), QN_STR("Bearer ")))
        find_actor(x, qn_str_trim(qn_str_from(value, 7)));
    if (!x->actor) {
        struct qn_http_field challenge[] = {{"WWW-Authenticate", "Bearer realm=\"quench admin\""}, {NULL, NULL}};
        struct qn_err e;
        qn_fail(&e, QN_E_UNAUTHORIZED, "a bearer token is needed");
        qn_http_respond_problem(r, 0, challenge, &e);
        return false;
    }
    if (x->role < x->endpoint->role) {
        qn_respond_error(r, QN_E_DENIED, "this token's role does not allow that");
        return false;
    }
    return true;
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */
static void no_route(struct qn_http_request *r, bool other)
{
    char allow[64];
    struct qn_http_field fields[] = {{"Allow", allow}, {NULL, NULL}};
    struct qn_err e;

    if (!other) {
        qn_respond_error(r, QN_E_NOT_FOUND, "no such endpoint");
        return;
    }
    qn_endpoint_methods(qn_http_kind(r), qn_http_path(r), allow, sizeof allow);
    qn_fail(&e, QN_E_METHOD, "this method is not allowed here");
    if (qn_http_kind(r) == QN_LISTEN_ADMIN || qn_http_kind(r) == QN_LISTEN_METRICS)
        qn_http_respond_problem(r, 0, fields, &e);
    else
        qn_http_respond_oci_error(r, 0, fields, &e);
}

static void on_begin(void *ctx, struct qn_http_request *r)
{
    struct qn_exchange *x = qn_new(struct qn_exchange);
    bool other;
    uint64_t length;

    x->server = ctx;
    x->started = qn_time_mono_ms();
    x->generation = qn_site_generation(x->server->site);
    qn_http_set_user(r, x);
    x->endpoint = qn_endpoint_find(qn_http_kind(r), qn_str_c(qn_http_method_text(r)), qn_http_path(r), x->arg, &other);
    if (!qn_http_has_body(r, &length))
        return; /* answered in on_handle: a connection lives on only then */
    x->beginning = true;
    if (!x->endpoint)
        no_route(r, other);
    else if (authorized(x, r)) {
        if (x->endpoint->body == QN_BODY_PUSH)
            qn_push_begin(x, r);
        else if (x->endpoint->body)
            qn_http_body_buffer(r, x->endpoint->body);
        else if (x->endpoint->out[0])
            qn_respond_error(r, QN_E_MALFORMED, "this request has no body");
    }
}

/* Query and body of the admin API against their rows. */
static bool check_request(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str type;
    struct qn_err e;

    x->checked = true;
    if (qn_api_check_query(x->endpoint, r, &e) < 0) {
        qn_respond_error(r, e.code, e.msg);
        return false;
    }
    if (qn_http_body(r).n && qn_http_header(r, "Content-Type", &type) &&
        !qn_str_ieq(qn_media_type_essence(type), QN_STR("application/json"))) {
        qn_respond_error(r, QN_E_UNSUPPORTED, "the body must be application/json");
        return false;
    }
    if (qn_api_body(x->endpoint, qn_http_body(r), &x->body, &e) < 0) {
        qn_respond_error(r, e.code, e.msg);
        return false;
    }
    return true;
}

static void on_handle(void *ctx, struct qn_http_request *r)
{
    struct qn_exchange *x = qn_http_user(r);
    struct qn_str arg[3];
    bool other = false;

    (void)ctx;
    x->beginning = false;
    qn_log_request(qn_http_id(r));
    if (!x->endpoint) {
        (void)qn_endpoint_find(qn_http_kind(r), qn_str_c(qn_http_method_text(r)), qn_http_path(r), arg, &other);
        no_route(r, other);
    } else if (x->actor || authorized(x, r)) {
        const struct qn_err *bad = qn_http_body_error(r);
        if (bad && x->endpoint->body != QN_BODY_PUSH)
            qn_respond_error(r, bad->code, bad->msg);
        else if (x->checked || !x->endpoint->out[0] || check_request(x, r))
            x->endpoint->handle(x, r);
    }
    qn_log_request(NULL);
}

static void on_end(void *ctx, struct qn_http_request *r)
{
    struct qn_exchange *x = qn_http_user(r);

    (void)ctx;
    if (!x)
        return;
    qn_pull_release(x->pull);
    qn_denied_release(x->denied);
    qn_push_abandon(x);
    qn_work_release(x->work);
    json_decref(x->body);
    json_decref(x->access);
    free(x);
    qn_http_set_user(r, NULL);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
/* ROOT/admin.token: made once, readable by its owner alone. */
static int admin_token(struct qn_server *s, struct qn_err *e)
{
    qn_auto_free char *path = qn_xasprintf("%.*s/admin.token", QN_FMT(s->site->settings->root));
    qn_auto_buf struct qn_buf b = {0};
    unsigned char raw[32];

    if (s->site->settings->tokens || s->token[0])
        return 0;
    qn_buf_init(&b, 4096);
    if (access(path, F_OK) == 0) {
        if (qn_file_read(path, &b, e) < 0)
            return -1;
        struct qn_str t = qn_str_trim(qn_buf_view(&b));
        if (t.n < 16 || !qn_str_copy(t, s->token, sizeof s->token))
            return qn_fail(e, QN_E_CONFIG, "%s: does not hold a token; remove the file and a new one is made", path);
        return 0;
    }
    if (RAND_bytes(raw, sizeof raw) != 1)
        return qn_fail(e, QN_E_IO, "random numbers");
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(s->token + 2 * i, 3, "%02x", raw[i]);
    qn_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", path);
    if (qn_fd_write(fd, s->token, strlen(s->token), e) < 0 || qn_fd_write(fd, "\n", 1, e) < 0)
        return qn_err_wrap(e, "%s", path);
    return 0;
}

/* "unix:ROOT/admin.sock": ROOT stands for storage.root. */
static char *listen_address(const struct qn_settings *s, struct qn_str address)
{
    if (qn_str_starts(address, QN_STR("unix:ROOT/")))
        return qn_xasprintf("unix:%.*s/%.*s", QN_FMT(s->root), QN_FMT(qn_str_from(address, 10)));
    return qn_xstrndup(address);
}

struct listeners {
    struct qn_http_listen at[64];
    size_t n;
};

static int add_listeners(const struct qn_settings *s, const struct qn_names *names, enum qn_listener kind,
                         const char *name, struct listeners *l, struct qn_err *e)
{
    for (size_t i = 0; i < names->n; i++) {
        if (l->n == QN_ARRAY_LEN(l->at))
            return qn_fail(e, QN_E_CONFIG, "listen: more than %zu addresses", QN_ARRAY_LEN(l->at));
        bool tcp = !qn_str_starts(names->v[i], QN_STR("unix:"));
        l->at[l->n++] = (struct qn_http_listen){.address = listen_address(s, names->v[i]),
                                                .kind = (int)kind,
                                                .name = name,
                                                .problems = kind == QN_LISTEN_ADMIN || kind == QN_LISTEN_METRICS,
                                                .tls = tcp && s->tls_cert.n > 0,
                                                .uploads = kind == QN_LISTEN_REGISTRY && s->locals > 0};
    }
    return 0;
}

static int read_pem(struct qn_str path, struct qn_buf *b, struct qn_err *e)
{
    qn_auto_free char *name = qn_xstrndup(path);

    qn_buf_init(b, 1u << 20);
    return path.n ? qn_file_read(name, b, e) : 0;
}

/* Whether a peer's X-Forwarded-For is believed. */
static bool is_proxy(void *ctx, const struct sockaddr *peer, socklen_t n)
{
    const struct qn_server *s = ctx;

    const struct qn_settings *c = s->site->settings;

    return qn_address_listed(peer, n, c->trusted, c->trusted_count);
}

static int open_listeners(struct qn_server *s, struct listeners *l, struct qn_err *e)
{
    const struct qn_settings *c = s->site->settings;
    qn_auto_buf struct qn_buf cert = {0}, key = {0}, ca = {0};
    struct qn_http_app app = {.begin = on_begin, .handle = on_handle, .end = on_end, .trusted = is_proxy, .ctx = s};

    if (add_listeners(c, &c->registry, QN_LISTEN_REGISTRY, "registry", l, e) < 0 ||
        add_listeners(c, &c->mirror, QN_LISTEN_MIRROR, "mirror", l, e) < 0 ||
        add_listeners(c, &c->admin, QN_LISTEN_ADMIN, "admin", l, e) < 0 ||
        add_listeners(c, &c->metrics, QN_LISTEN_METRICS, "metrics", l, e) < 0 || read_pem(c->tls_cert, &cert, e) < 0 ||
        read_pem(c->tls_key, &key, e) < 0 || read_pem(c->tls_client_ca, &ca, e) < 0)
        return qn_err_wrap(e, "listen");
    struct qn_http_options o = {.listen = l->at,
                                .listen_count = l->n,
                                .connections = (unsigned)c->connections,
                                .per_client = (unsigned)c->per_client,
                                .tls_cert = cert.n ? cert.p : NULL,
                                .tls_key = key.n ? key.p : NULL,
                                .tls_client_ca = ca.n ? ca.p : NULL,
                                .access_log = true};
    return qn_http_new(&o, &app, &s->http, e);
}

int qn_server_new(struct qn_site *site, struct qn_server **out, struct qn_err *e)
{
    struct qn_server *s = qn_new(struct qn_server);
    struct listeners l = {.n = 0};

    s->site = site;
    s->started = qn_time_now();
    s->cache = qn_cache_new(CACHE_BYTES);
    int r = qn_pool_new("admin", ADMIN_THREADS, ADMIN_QUEUE, &s->admin, e);
    if (r == 0)
        r = admin_token(s, e) < 0 ? -1 : open_listeners(s, &l, e);
    for (size_t i = 0; i < l.n; i++) {
        char port[16];
        snprintf(port, sizeof port, "%u", r == 0 ? qn_http_port(s->http, i) : 0);
        if (r == 0)
            qn_log(QN_LOG_INFO, "listening", "for", l.at[i].name, "address", l.at[i].address, "port",
                   qn_http_port(s->http, i) ? port : NULL, NULL);
        free((char *)(uintptr_t)l.at[i].address);
    }
    if (r < 0) {
        qn_server_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

int qn_server_reload(struct qn_server *s, const struct qn_settings *settings, struct qn_err *e)
{
    qn_auto_buf struct qn_buf cert = {0}, key = {0}, ca = {0};
    const struct qn_settings *old = s->site->settings;
    bool tls = old->tls_cert.n && settings->tls_cert.n;

    if (tls && (read_pem(settings->tls_cert, &cert, e) < 0 || read_pem(settings->tls_key, &key, e) < 0 ||
                read_pem(settings->tls_client_ca, &ca, e) < 0))
        return qn_err_wrap(e, "listen.tls");
    if (tls && qn_http_retls(s->http, cert.p, key.p, ca.n ? ca.p : NULL, e) < 0)
        return qn_err_wrap(e, "listen.tls");
    if (qn_site_reload(s->site, settings, e) < 0)
        return -1;
    return admin_token(s, e);
}

void qn_server_stop(struct qn_server *s, unsigned ms)
{
    if (s && s->http)
        (void)qn_http_drain(s->http, ms);
}

void qn_server_free(struct qn_server *s)
{
    if (!s)
        return;
    atomic_store(&s->site->stopping, true); /* ends what the admin API's threads wait for */
    qn_pool_free(s->admin);                 /* what it wakes is still there */
    qn_http_free(s->http);
    qn_cache_free(s->cache);
    free(s);
}
