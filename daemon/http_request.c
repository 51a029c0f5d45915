/* Requests: what the library parsed, checked again, since 0.9.75 lets framing pass that others read differently. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "http_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX 100

struct qn_http_request *qn_http_request_new(struct qn_http *h, struct MHD_Connection *mhd, const char *uri)
{
    size_t n = uri ? strlen(uri) : 0;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct qn_conn *conn = info ? info->socket_context : NULL;

    if (!conn)
        return NULL;
    /* Beyond the limit the text is cut; the check then sees that it is too long. */
    n = QN_MIN(n, QN_TARGET_MAX + 1);
    struct qn_http_request *r = qn_xcalloc(1, sizeof *r + 2 * (n + 1));
    if (n)
        memcpy(r->storage, uri, n);
    r->raw = qn_str_n(r->storage, n);
    r->h = h;
    r->conn = conn;
    r->mhd = mhd;
    r->start = qn_time_mono_ms();
    r->target.path = QN_STR("");
    qn_buf_init(&r->body, 0);
    atomic_store(&conn->busy, true);
    return r;
}

void qn_http_request_free(struct qn_http_request *r)
{
    qn_buf_fini(&r->body);
    free(r->body_error);
    free(r->forwarded);
    free(r);
}

/* --- framing ------------------------------------------------------------------------------------------------------ */

struct framing {
    struct qn_err *e;
    bool bad;
    unsigned count, lengths, encodings, hosts;
    struct qn_str length, encoding, request_id, forwarded;
};

static bool token(struct qn_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
        if (!good)
            return false;
    }
    return s.n > 0;
}

static bool field_value(struct qn_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

static enum MHD_Result one_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                  const char *value, size_t value_n)
{
    struct framing *f = cls;
    struct qn_str key = qn_str_n(name, name_n), v = value ? qn_str_n(value, value_n) : QN_STR("");

    (void)kind;
    if (++f->count > HEADERS_MAX || !token(key) || !field_value(v)) {
        qn_fail(f->e, QN_E_MALFORMED, "request header \"%s\" is malformed", QN_Q(key));
        f->bad = true;
        return MHD_NO;
    }
    if (qn_str_ieq(key, QN_STR("Content-Length"))) {
        f->lengths++;
        f->length = v;
    } else if (qn_str_ieq(key, QN_STR("Transfer-Encoding"))) {
        f->encodings++;
        f->encoding = v;
    } else if (qn_str_ieq(key, QN_STR("Host"))) {
        f->hosts++;
    } else if (qn_str_ieq(key, QN_STR("X-Request-Id"))) {
        f->request_id = v;
    } else if (qn_str_ieq(key, QN_STR("X-Forwarded-For"))) {
        f->forwarded = v;
    }
    return MHD_YES;
}

/* Every request has exactly one reading of where it ends (RFC 9112 section 6). */
static int check_framing(struct qn_http_request *r, const struct framing *f, bool http11, struct qn_err *e)
{
    struct qn_err number;

    if (f->lengths > 1 || f->encodings > 1 || (f->lengths && f->encodings))
        return qn_fail(e, QN_E_MALFORMED, "more than one Content-Length or Transfer-Encoding");
    if (f->hosts > 1 || (http11 && f->hosts != 1))
        return qn_fail(e, QN_E_MALFORMED, "%u Host headers", f->hosts);
    if (f->encodings && (!http11 || !qn_str_ieq(f->encoding, QN_STR("chunked"))))
        return qn_fail(e, QN_E_MALFORMED, "Transfer-Encoding \"%s\"", QN_Q(f->encoding));
    if (f->lengths && qn_num_u64(f->length, 0, INT64_MAX, &r->body_length, &number) < 0)
        return qn_fail(e, QN_E_MALFORMED, "Content-Length \"%s\"", QN_Q(f->length));
    if (f->encodings)
        r->body_length = UINT64_MAX;
    r->has_body = r->body_length > 0;
    if (r->has_body && (r->method == QN_HTTP_GET || r->method == QN_HTTP_HEAD || r->method == QN_HTTP_OTHER))
        return qn_fail(e, QN_E_METHOD, "%s with a body", r->method_text);
    return 0;
}

static void set_id(struct qn_http_request *r, struct qn_str given)
{
    bool good = given.n > 0 && given.n < sizeof r->id;

    for (size_t i = 0; good && i < given.n; i++) {
        char c = given.p[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    }
    if (good && qn_str_copy(given, r->id, sizeof r->id))
        return;
    /* Unique and without a system call: the random start of this server, stepped and mixed (splitmix64). */
    uint64_t v =
        r->h->seed + 0x9e3779b97f4a7c15u * (atomic_fetch_add_explicit(&r->h->ids, 1, memory_order_relaxed) + 1);
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    snprintf(r->id, sizeof r->id, "%016llx", (unsigned long long)(v ^ v >> 31));
}

/* The last address of X-Forwarded-For that is not a trusted proxy itself: the one that our proxy saw. */
static void set_forwarded(struct qn_http_request *r, struct qn_str list)
{
    struct qn_str rest = list;
    char text[64];

    while (rest.n) {
        ptrdiff_t comma = qn_str_rchr(rest, ',');
        struct qn_str one = qn_str_trim(qn_str_from(rest, (size_t)(comma + 1)));
        rest = comma < 0 ? QN_STR("") : qn_str_head(rest, (size_t)comma);
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        bool trusted = false;
        if (!qn_str_copy(one, text, sizeof text))
            return;
        if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
            trusted = r->h->app.trusted(r->h->app.ctx, (struct sockaddr *)&in, sizeof in);
        else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
            trusted = r->h->app.trusted(r->h->app.ctx, (struct sockaddr *)&in6, sizeof in6);
        else
            return;
        free(r->forwarded);
        r->forwarded = qn_xstrdup(text);
        if (!trusted)
            return;
    }
}

static enum qn_http_method method_of(const char *text)
{
    static const struct {
        const char *text;
        enum qn_http_method method;
    } known[] = {{"GET", QN_HTTP_GET},        {"HEAD", QN_HTTP_HEAD},   {"POST", QN_HTTP_POST},
                 {"PUT", QN_HTTP_PUT},        {"PATCH", QN_HTTP_PATCH}, {"DELETE", QN_HTTP_DELETE},
                 {"OPTIONS", QN_HTTP_OPTIONS}};

    for (size_t i = 0; i < QN_ARRAY_LEN(known); i++)
        if (strcmp(text, known[i].text) == 0)
            return known[i].method;
    return QN_HTTP_OTHER;
}

int qn_http_request_check(struct qn_http_request *r, const char *method, const char *version, struct qn_err *e)
{
    const struct qn_str none = QN_STR("");
    struct framing f = {.e = e, .length = none, .encoding = none, .request_id = none, .forwarded = none};
    bool http11 = strcmp(version, "HTTP/1.1") == 0;

    r->method = method_of(method);
    snprintf(r->method_text, sizeof r->method_text, "%s", token(qn_str_c(method)) ? method : "?");
    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, one_header, &f);
    set_id(r, f.request_id);
    if (f.bad)
        return -1;
    if (!http11 && strcmp(version, "HTTP/1.0") != 0)
        return qn_fail(e, QN_E_MALFORMED, "protocol version \"%s\"", QN_Q(qn_str_c(version)));
    if (check_framing(r, &f, http11, e) < 0)
        return -1;
    if (r->conn->trusted && f.forwarded.n)
        set_forwarded(r, f.forwarded);
    return qn_target_parse(r->raw, r->storage + r->raw.n + 1, &r->target, e);
}

/* --- what the application asks ------------------------------------------------------------------------------------ */

enum qn_http_method qn_http_method(const struct qn_http_request *r)
{
    return r->method;
}

const char *qn_http_method_text(const struct qn_http_request *r)
{
    return r->method_text;
}

struct qn_str qn_http_path(const struct qn_http_request *r)
{
    return r->target.path;
}

bool qn_http_query(const struct qn_http_request *r, const char *key, struct qn_str *value)
{
    return qn_target_query(&r->target, key, value);
}

void qn_http_query_each(const struct qn_http_request *r, const char *key, bool (*each)(void *arg, struct qn_str value),
                        void *arg)
{
    qn_target_query_each(&r->target, key, each, arg);
}

void qn_http_query_keys(const struct qn_http_request *r, bool (*each)(void *arg, struct qn_str key), void *arg)
{
    for (unsigned i = 0; i < r->target.query_count; i++)
        if (!each(arg, r->target.query[i].key))
            return;
}

int qn_http_kind(const struct qn_http_request *r)
{
    return r->h->listen[r->conn->listener].kind;
}

bool qn_http_is_tls(const struct qn_http_request *r)
{
    return r->h->listen[r->conn->listener].tls;
}

const char *qn_http_id(const struct qn_http_request *r)
{
    return r->id;
}

const char *qn_http_peer(const struct qn_http_request *r)
{
    return r->forwarded ? r->forwarded : r->conn->peer;
}

bool qn_http_peer_cred(const struct qn_http_request *r, uid_t *uid, pid_t *pid)
{
    if (!r->conn->local || r->conn->uid == (uid_t)-1)
        return false;
    *uid = r->conn->uid;
    *pid = r->conn->pid;
    return true;
}

struct header_search {
    struct qn_str name;
    bool (*each)(void *arg, struct qn_str value);
    void *arg;
};

static enum MHD_Result match_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                    const char *value, size_t value_n)
{
    struct header_search *s = cls;

    (void)kind;
    if (!qn_str_ieq(qn_str_n(name, name_n), s->name))
        return MHD_YES;
    return s->each(s->arg, value ? qn_str_n(value, value_n) : QN_STR("")) ? MHD_YES : MHD_NO;
}

void qn_http_header_each(const struct qn_http_request *r, const char *name,
                         bool (*each)(void *arg, struct qn_str value), void *arg)
{
    struct header_search s = {qn_str_c(name), each, arg};
    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, match_header, &s);
}

struct first {
    struct qn_str *value;
    bool found;
};

static bool take_first(void *arg, struct qn_str value)
{
    struct first *f = arg;
    *f->value = value;
    f->found = true;
    return false;
}

bool qn_http_header(const struct qn_http_request *r, const char *name, struct qn_str *value)
{
    struct first f = {value, false};
    qn_http_header_each(r, name, take_first, &f);
    return f.found;
}

bool qn_http_has_body(const struct qn_http_request *r, uint64_t *length)
{
    *length = r->body_length;
    return r->has_body;
}

void qn_http_set_user(struct qn_http_request *r, void *user)
{
    r->user = user;
}

void *qn_http_user(const struct qn_http_request *r)
{
    return r->user;
}

void qn_http_body_buffer(struct qn_http_request *r, size_t max)
{
    r->want_buffer = true;
    r->want_sink = false;
    r->body_max = max;
    qn_buf_init(&r->body, max);
}

void qn_http_body_stream(struct qn_http_request *r, const struct qn_sink *sink, uint64_t max)
{
    r->want_sink = true;
    r->want_buffer = false;
    r->body_max = max;
    r->sink = *sink;
}

struct qn_str qn_http_body(const struct qn_http_request *r)
{
    return r->body.n ? qn_buf_view(&r->body) : QN_STR("");
}

const struct qn_err *qn_http_body_error(const struct qn_http_request *r)
{
    return r->body_error;
}

uint64_t qn_http_body_size(const struct qn_http_request *r)
{
    return r->body_size;
}

bool qn_http_timed_out(const struct qn_http_request *r)
{
    return r->timed_out;
}
