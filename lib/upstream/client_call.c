#include "client_call.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- origins ------------------------------------------------------------------------------------------------------ */

void qn_origin_fini(struct qn_origin *o)
{
    curl_free(o->scheme);
    curl_free(o->host);
    curl_free(o->port);
    *o = (struct qn_origin){0};
}

bool qn_origin_eq(const struct qn_origin *a, const struct qn_origin *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->port, b->port) == 0 &&
           qn_str_ieq(qn_str_c(a->host), qn_str_c(b->host));
}

static void url_cleanup(CURLU **u)
{
    curl_url_cleanup(*u);
}

int qn_origin_of(const char *url, bool plain_http, struct qn_origin *out, struct qn_err *e)
{
    QN_CLEANUP(url_cleanup) CURLU *u = curl_url();
    QN_CLEANUP(qn_origin_fini) struct qn_origin o = {0};
    char *user = NULL;

    if (!u || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &o.scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &o.host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &o.port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return qn_fail(e, QN_E_ADDRESS, "\"%s\" is not a URL", QN_Q(qn_str_c(url)));
    if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        curl_free(user);
        return qn_fail(e, QN_E_ADDRESS, "\"%s\": user names in URLs are refused", QN_Q(qn_str_c(url)));
    }
    if (strcmp(o.scheme, "https") != 0 && !(plain_http && strcmp(o.scheme, "http") == 0))
        return qn_fail(e, QN_E_ADDRESS, "\"%s\": only https is allowed here", QN_Q(qn_str_c(url)));
    *out = o;
    o = (struct qn_origin){0};
    return 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct qn_call *qn_call_new(const struct qn_client_request *req)
{
    struct qn_call *c = qn_new(struct qn_call);

    c->req = *req;
    c->url = qn_xstrdup(req->url);
    c->req.url = NULL;
    c->header = qn_xcalloc(req->headers + 1, sizeof *c->header);
    for (size_t i = 0; i < req->headers; i++)
        c->header[i] = qn_xstrdup(req->header[i]);
    c->req.header = NULL;
    c->authorization = req->authorization ? qn_xstrdup(req->authorization) : NULL;
    c->req.authorization = NULL;
    c->body = qn_xstrndup(req->body);
    c->req.body.p = c->body;
    if (c->req.max_body == 0)
        c->req.max_body = 1u << 20;
    c->req.max_redirects = QN_MIN(c->req.max_redirects, 5u);
    if (req->timeout)
        c->deadline = qn_time_mono_ms() + (int64_t)req->timeout * 1000;
    return c;
}

static void forget_headers(struct qn_call *c)
{
    for (size_t i = 0; i < c->got_n; i++) {
        free(c->got[i].name);
        free(c->got[i].value);
    }
    c->got_n = 0;
    c->got_bytes = 0;
}

static void forget_hop(struct qn_call *c)
{
    curl_easy_cleanup(c->easy);
    c->easy = NULL;
    curl_slist_free_all(c->lines);
    c->lines = NULL;
    forget_headers(c);
    qn_buf_fini(&c->memory);
    c->received = c->sent = 0;
}

void qn_call_free(struct qn_call *c)
{
    if (!c)
        return;
    forget_hop(c);
    for (size_t i = 0; i < c->req.headers; i++)
        free(c->header[i]);
    free(c->header);
    if (c->authorization)
        explicit_bzero(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c->body);
    free(c->got);
    free(c->url);
    qn_origin_fini(&c->first);
    qn_origin_fini(&c->now);
    free(c);
}

/* --- callbacks of libcurl ----------------------------------------------------------------------------------------- */

static int status_of(const struct qn_call *c)
{
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static void response_of(const struct qn_call *c, struct qn_client_response *r)
{
    *r = (struct qn_client_response){
        .status = c->easy ? status_of(c) : 0,
        .body = qn_buf_view(&c->memory),
        .url = c->url,
        .header = c->got,
        .headers = c->got_n,
        .received = c->received,
    };
}

static bool will_redirect(const struct qn_call *c, int status)
{
    struct qn_client_response r = {.header = c->got, .headers = c->got_n};

    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        return false;
    return c->req.max_redirects > 0 && (c->req.method == QN_CLIENT_GET || c->req.method == QN_CLIENT_HEAD) &&
           qn_client_header_get(&r, "location").n > 0;
}

static int fail_call(struct qn_call *c)
{
    c->failed = true;
    return -1;
}

static int add_header(struct qn_call *c, struct qn_str line)
{
    void *arr = c->got;
    ptrdiff_t colon = qn_str_chr(line, ':');

    if (colon <= 0)
        return 0;
    c->got_bytes += line.n;
    if (c->got_bytes > QN_CLIENT_HEADER_BYTES)
        return qn_fail(&c->err, QN_E_LIMIT, "%s: more than %u bytes of headers", c->now.host, QN_CLIENT_HEADER_BYTES);
    if (qn_grow(&arr, &c->got_cap, c->got_n + 1, sizeof *c->got, QN_CLIENT_HEADERS_MAX, &c->err) < 0)
        return qn_err_wrap(&c->err, "%s: headers", c->now.host);
    c->got = arr;
    c->got[c->got_n].name = qn_xstrndup(qn_str_head(line, (size_t)colon));
    c->got[c->got_n].value = qn_xstrndup(qn_str_trim(qn_str_from(line, (size_t)colon + 1)));
    c->got_n++;
    return 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct qn_call *c = arg;
    struct qn_str line = qn_str_n(p, size * n);

    /* A status line starts a new answer (after "100 Continue", for example). */
    if (qn_str_starts(line, QN_STR("HTTP/")))
        forget_headers(c);
    else if (add_header(c, line) < 0)
        return fail_call(c) == 0;
    return line.n;
}

/* Tells `head` once, when it is sure that this answer is the final one. */
static int announce(struct qn_call *c)
{
    struct qn_client_response r;

    if (c->head_done)
        return 0;
    c->head_done = true;
    if (!c->req.head)
        return 0;
    response_of(c, &r);
    return c->req.head(c->req.ctx, &r, &c->err) < 0 ? fail_call(c) : 0;
}

static int take_body(struct qn_call *c, int status, const char *p, size_t n)
{
    if (status >= 200 && status < 300 && c->received > c->req.max_body) {
        qn_fail(&c->err, QN_E_LIMIT, "%s: body of more than %llu bytes", c->now.host,
                (unsigned long long)c->req.max_body);
        return fail_call(c);
    }
    if (c->req.sink && (status == 200 || status == 206))
        return qn_sink_write(c->req.sink, p, n, &c->err) < 0 ? fail_call(c) : 0;
    if (status >= 200 && status < 300)
        return qn_buf_put(&c->memory, p, n, &c->err) < 0 ? fail_call(c) : 0;
    size_t room = c->memory.n < QN_CLIENT_ERROR_BODY ? QN_CLIENT_ERROR_BODY - c->memory.n : 0;
    if (qn_buf_put(&c->memory, p, QN_MIN(n, room), &c->err) < 0)
        return fail_call(c);
    if (c->received > QN_CLIENT_IGNORED_MAX) {
        qn_fail(&c->err, QN_E_LIMIT, "%s: endless body of status %d", c->now.host, status);
        return fail_call(c);
    }
    return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct qn_call *c = arg;
    size_t bytes = size * n;
    int status = status_of(c);

    c->received += bytes;
    if (will_redirect(c, status)) {
        if (c->received <= QN_CLIENT_IGNORED_MAX)
            return bytes;
        qn_fail(&c->err, QN_E_LIMIT, "%s: endless body of a redirect", c->now.host);
        fail_call(c);
        return 0;
    }
    if (announce(c) < 0 || take_body(c, status, p, bytes) < 0)
        return 0;
    return bytes;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
    struct qn_call *c = arg;
    size_t got;
    size_t want = (size_t)QN_MIN((uint64_t)(size * n), c->req.body_size - c->sent);

    if (qn_fd_pread(c->req.body_fd, out, want, c->req.body_offset + c->sent, &got, &c->err) < 0 || got < want) {
        if (got < want)
            qn_fail(&c->err, QN_E_IO, "the file that is uploaded ends early");
        fail_call(c);
        return CURL_READFUNC_ABORT;
    }
    c->sent += got;
    return got;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct qn_call *c = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > c->req.body_size)
        return CURL_SEEKFUNC_FAIL;
    c->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* The one place where addresses are judged: after name resolution, right before connecting. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct qn_call *c = arg;
    (void)purpose;

    if (!qn_address_allowed(&address->addr, (socklen_t)address->addrlen, c->req.allow, c->req.allows)) {
        c->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A connection that another upstream was allowed to open may be reused for this request: judge it again. */
static int on_connection(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct qn_call *c = arg;
    (void)local, (void)peer_port, (void)local_port;

    if (qn_address_text_allowed(peer, c->req.allow, c->req.allows))
        return CURL_PREREQFUNC_OK;
    c->refused = true;
    return CURL_PREREQFUNC_ABORT;
}

/* --- one hop ------------------------------------------------------------------------------------------------------ */

static int add_line(struct qn_call *c, const char *line, struct qn_err *e)
{
    if (strpbrk(line, "\r\n"))
        return qn_fail(e, QN_E_BUG, "header with a line break");
    struct curl_slist *more = curl_slist_append(c->lines, line);
    if (!more)
        return qn_fail(e, QN_E_NOMEM, "no memory for a header");
    c->lines = more;
    return 0;
}

static int add_lines(struct qn_call *c, struct qn_err *e)
{
    bool typed = false;

    for (size_t i = 0; i < c->req.headers; i++) {
        if (add_line(c, c->header[i], e) < 0)
            return -1;
        typed = typed || qn_str_ieq(qn_str_head(qn_str_c(c->header[i]), 13), QN_STR("content-type:"));
    }
    if (add_line(c, "Expect:", e) < 0 || (!typed && add_line(c, "Content-Type:", e) < 0))
        return -1;
    if (c->authorization && qn_origin_eq(&c->first, &c->now)) {
        qn_auto_free char *line = qn_xasprintf("Authorization: %s", c->authorization);
        int r = add_line(c, line, e);
        explicit_bzero(line, strlen(line));
        return r;
    }
    return 0;
}

static void set_method(struct qn_call *c)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    CURL *h = c->easy;
    char range[32];

    if (c->req.range_from) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)c->req.range_from);
        curl_easy_setopt(h, CURLOPT_RANGE, range);
    }
    if (c->req.method == QN_CLIENT_GET || c->req.method == QN_CLIENT_HEAD) {
        curl_easy_setopt(h, CURLOPT_NOBODY, c->req.method == QN_CLIENT_HEAD ? 1L : 0L);
        return;
    }
    if (c->req.body_fd >= 0) {
        curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(h, CURLOPT_READDATA, c);
        curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(h, CURLOPT_SEEKDATA, c);
        curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->req.body_size);
    } else if (c->req.method != QN_CLIENT_DELETE) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->req.body.n);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, c->body);
    }
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, names[c->req.method]);
}

static void set_transport(struct qn_call *c)
{
    CURL *h = c->easy;

    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, c->req.plain_http ? "http,https" : "https");
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(h, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(h, CURLOPT_USERAGENT, c->user_agent);
    if (c->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, c->connect_timeout);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, c->stall_rate);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, c->stall_timeout);
    if (c->deadline) {
        int64_t left = c->deadline - qn_time_mono_ms();
        curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)QN_MAX(left, 1));
    }
    curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, on_connection);
    curl_easy_setopt(h, CURLOPT_PREREQDATA, c);
}

int qn_call_prepare(struct qn_call *c, struct qn_err *e)
{
    if (!c->now.host) {
        if (qn_origin_of(c->url, c->req.plain_http, &c->now, e) < 0 ||
            qn_origin_of(c->url, c->req.plain_http, &c->first, e) < 0)
            return -1;
    }
    c->easy = curl_easy_init();
    if (!c->easy)
        return qn_fail(e, QN_E_NOMEM, "no memory for a request");
    qn_buf_init(&c->memory, (size_t)QN_MIN(QN_MAX(c->req.max_body, QN_CLIENT_ERROR_BODY), SIZE_MAX / 2));
    if (add_lines(c, e) < 0)
        return -1;
    set_transport(c);
    set_method(c);
    curl_easy_setopt(c->easy, CURLOPT_URL, c->url);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->lines);
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->curl_text);
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    return 0;
}

static int next_url(const struct qn_call *c, struct qn_str location, char **out, struct qn_err *e)
{
    QN_CLEANUP(url_cleanup) CURLU *u = curl_url();
    qn_auto_free char *rel = qn_xstrndup(location);
    char *full = NULL;

    if (!u || curl_url_set(u, CURLUPART_URL, c->url, 0) != CURLUE_OK ||
        curl_url_set(u, CURLUPART_URL, rel, 0) != CURLUE_OK ||
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_URL, &full, 0) != CURLUE_OK)
        return qn_fail(e, QN_E_NETWORK, "%s: redirect to \"%s\", which is not a URL", c->now.host, QN_Q(location));
    *out = qn_xstrdup(full);
    curl_free(full);
    return 0;
}

int qn_call_redirect(struct qn_call *c, bool *again, struct qn_err *e)
{
    struct qn_client_response r;
    struct qn_origin origin;
    qn_auto_free char *url = NULL;

    response_of(c, &r);
    *again = false;
    if (!will_redirect(c, r.status))
        return 0;
    if (c->hops >= c->req.max_redirects)
        return qn_fail(e, QN_E_NETWORK, "%s: more than %u redirects", c->first.host, c->req.max_redirects);
    if (next_url(c, qn_client_header_get(&r, "location"), &url, e) < 0)
        return -1;
    bool plain = c->req.plain_http && strcmp(c->now.scheme, "http") == 0;
    if (qn_origin_of(url, plain, &origin, e) < 0)
        return qn_err_wrap(e, "redirect from %s", c->now.host);
    forget_hop(c);
    free(c->url);
    c->url = qn_steal(url);
    qn_origin_fini(&c->now);
    c->now = origin;
    c->hops++;
    /* Once the first origin is left, credentials stay behind, even if a later hop leads back. */
    if (!qn_origin_eq(&c->first, &c->now) && c->authorization) {
        explicit_bzero(c->authorization, strlen(c->authorization));
        free(c->authorization);
        c->authorization = NULL;
    }
    *again = true;
    return 0;
}

int qn_call_result(struct qn_call *c, CURLcode rc, struct qn_err *e)
{
    const char *why = c->curl_text[0] ? c->curl_text : curl_easy_strerror(rc);
    const char *host = c->now.host ? c->now.host : "?";

    if (c->failed) {
        *e = c->err;
        return -1;
    }
    if (rc == CURLE_OK) {
        if (!will_redirect(c, status_of(c)) && announce(c) < 0) {
            *e = c->err;
            return -1;
        }
        return 0;
    }
    if (c->refused)
        return qn_fail(e, QN_E_ADDRESS, "%s: its address may not be contacted (not public, and not in allow_addresses)",
                       host);
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return qn_fail(e, QN_E_TIMEOUT, "%s: %s", host, why);
    if (rc == CURLE_OUT_OF_MEMORY)
        return qn_fail(e, QN_E_NOMEM, "%s: %s", host, why);
    return qn_fail(e, QN_E_NETWORK, "%s: %s", host, why);
}

void qn_call_done(struct qn_call *c, const struct qn_err *failed)
{
    struct qn_client_response r;

    response_of(c, &r);
    c->req.done(c->req.ctx, &r, failed);
}

struct qn_str qn_client_header_get(const struct qn_client_response *r, const char *name)
{
    for (size_t i = 0; i < r->headers; i++) {
        if (qn_str_ieq(qn_str_c(r->header[i].name), qn_str_c(name)))
            return qn_str_c(r->header[i].value);
    }
    return (struct qn_str){"", 0};
}
