#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "mock_http.h"
#include "upstream/client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct qn_client *http;
static struct mock a, b;
static struct qn_err e;
static struct qn_cidr loopback;

/* One request and what came of it. */
struct result {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished, failed;
    struct qn_err err;
    int status, heads;
    char body[70000], url[300], etag[64];
    size_t body_n;
    struct qn_sink sink;
    size_t sunk;
};

static int sunk(void *ctx, const void *p, size_t n, struct qn_err *err)
{
    struct result *r = ctx;
    (void)p;
    r->sunk += n;
    return r->sunk > 1000000 ? qn_fail(err, QN_E_NO_SPACE, "sink is full") : 0;
}

static int on_head(void *ctx, const struct qn_client_response *resp, struct qn_err *err)
{
    struct result *r = ctx;
    r->heads++;
    return resp->status == 418 ? qn_fail(err, QN_E_CANCELLED, "not a pot") : 0;
}

static void on_done(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct result *r = ctx;
    pthread_mutex_lock(&r->lock);
    ck_assert(!r->finished);
    r->finished = true;
    r->failed = failed != NULL;
    if (failed)
        r->err = *failed;
    r->status = resp->status;
    r->body_n = QN_MIN(resp->body.n, sizeof r->body - 1);
    if (r->body_n)
        memcpy(r->body, resp->body.p, r->body_n);
    snprintf(r->url, sizeof r->url, "%s", resp->url);
    qn_str_copy(qn_client_header_get(resp, "ETAG"), r->etag, sizeof r->etag);
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

static void begin(struct qn_client_request *req, struct result *r, uint64_t *id)
{
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, NULL);
    req->head = on_head;
    req->done = on_done;
    req->ctx = r;
    r->sink = (struct qn_sink){sunk, r};
    if (req->sink)
        req->sink = &r->sink;
    if (req->method != QN_CLIENT_PUT)
        req->body_fd = -1;
    qn_ok(qn_client_start(http, req, id, &e), e);
}

static void finish(struct result *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->finished)
        pthread_cond_wait(&r->cond, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static void go(struct qn_client_request req, struct result *r)
{
    begin(&req, r, NULL);
    finish(r);
}

static struct qn_client_request get(const char *url)
{
    return (struct qn_client_request){
        .method = QN_CLIENT_GET, .url = url, .plain_http = true, .allow = &loopback, .allows = 1, .max_redirects = 5};
}

static bool answer(struct mock *m, const struct mock_request *req, int fd)
{
    char header[300];
    static const char big[100000];

    if (strcmp(req->path, "/ok") == 0)
        return mock_text(fd, 200, "ETag: \"x\"\r\n", "fine");
    if (strcmp(req->path, "/echo") == 0)
        return mock_reply(fd, 200, "", req->body, req->body_n);
    if (strcmp(req->path, "/missing") == 0)
        return mock_reply(fd, 404, "", big, sizeof big);
    if (strcmp(req->path, "/big") == 0)
        return mock_reply(fd, 200, "", big, sizeof big);
    if (strcmp(req->path, "/pot") == 0)
        return mock_text(fd, 418, "", "pot");
    if (strcmp(req->path, "/loop") == 0)
        return mock_text(fd, 302, "Location: /loop\r\n", "ignored");
    if (strcmp(req->path, "/other") == 0) {
        snprintf(header, sizeof header, "Location: http://127.0.0.1:%d/back\r\n", b.port);
        return mock_text(fd, 307, header, "ignored");
    }
    if (strcmp(req->path, "/back") == 0) {
        snprintf(header, sizeof header, "Location: http://127.0.0.1:%d/ok\r\n", a.port);
        return mock_text(fd, 307, header, "ignored");
    }
    if (strncmp(req->path, "/to?", 4) == 0) {
        snprintf(header, sizeof header, "Location: %s\r\n", req->path + 4);
        return mock_text(fd, 302, header, "");
    }
    if (strcmp(req->path, "/headers") == 0) {
        mock_send(fd, "HTTP/1.1 200 OK\r\n", 17);
        for (int i = 0; i < 300; i++)
            mock_send(fd, "X-Header: value\r\n", 17);
        return mock_send(fd, "\r\n", 2);
    }
    if (strcmp(req->path, "/stall") == 0) {
        mock_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", 42);
        for (int i = 0; i < 500 && !m->stop; i++)
            poll(NULL, 0, 20);
        return false;
    }
    if (strcmp(req->path, "/slow") == 0) {
        poll(NULL, 0, 100);
        return mock_text(fd, 200, "", "slow");
    }
    return mock_text(fd, 500, "", "what?");
}

static void setup(void)
{
    struct qn_client_options opt = {.per_host = 4, .stall_timeout = 1};
    mock_start(&a, answer, NULL);
    mock_start(&b, answer, NULL);
    qn_ok(qn_cidr_parse(QN_STR("127.0.0.1/32"), &loopback, &e), e);
    qn_ok(qn_client_new(&opt, &http, &e), e);
}

static void teardown(void)
{
    qn_client_free(http);
    mock_stop(&a);
    mock_stop(&b);
}

static char url_buf[400];
static const char *at(const struct mock *m, const char *path)
{
    snprintf(url_buf, sizeof url_buf, "http://127.0.0.1:%d%s", m->port, path);
    return url_buf;
}

START_TEST(simple)
{
    static struct result r;
    struct qn_client_request req = get(at(&a, "/ok"));

    go(req, &r);
    ck_assert_msg(!r.failed, "%s", r.err.msg);
    ck_assert_int_eq(r.status, 200);
    ck_assert_str_eq(r.body, "fine");
    ck_assert_str_eq(r.etag, "\"x\"");
    ck_assert_int_eq(r.heads, 1);
    go(get(at(&a, "/missing")), &r);
    ck_assert(!r.failed);
    ck_assert_int_eq(r.status, 404);
    ck_assert_uint_eq(r.body_n, 16384); /* of error bodies only the start */
    req = get(at(&a, "/echo"));
    req.method = QN_CLIENT_POST;
    req.body = QN_STR("posted");
    go(req, &r);
    ck_assert_str_eq(r.body, "posted");
    req = get(at(&a, "/ok"));
    req.method = QN_CLIENT_HEAD;
    go(req, &r);
    ck_assert_int_eq(r.status, 200);
    ck_assert_uint_eq(r.body_n, 0);
    ck_assert_int_eq(r.heads, 1);
    ck_assert_int_eq(a.connections, 1); /* kept alive all the while */
    go(get(at(&a, "/pot")), &r);
    ck_assert(r.failed && r.err.code == QN_E_CANCELLED);
    req = get(at(&a, "/ok"));
    req.plain_http = false;
    go(req, &r);
    ck_assert(r.failed && r.err.code == QN_E_ADDRESS);
}
END_TEST

START_TEST(uploads_a_file)
{
    static struct result r;
    FILE *f = tmpfile();
    fputs("skip this, send that", f);
    fflush(f);
    struct qn_client_request req = get(at(&a, "/echo"));
    req.method = QN_CLIENT_PUT;
    req.body_fd = fileno(f);
    req.body_offset = 11;
    req.body_size = 9;
    go(req, &r);
    ck_assert_str_eq(r.body, "send that");
    req.body_size = 100; /* more than there is */
    go(req, &r);
    ck_assert(r.failed && r.err.code == QN_E_IO);
    fclose(f);
}
END_TEST

START_TEST(limits)
{
    static struct result r;
    struct qn_client_request req = get(at(&a, "/big"));

    req.max_body = 5000;
    go(req, &r);
    ck_assert(r.failed && r.err.code == QN_E_LIMIT);
    req = get(at(&a, "/headers"));
    go(req, &r);
    ck_assert(r.failed && r.err.code == QN_E_LIMIT);
    req = get(at(&a, "/big"));
    req.sink = &r.sink;
    go(req, &r);
    ck_assert(!r.failed);
    ck_assert_uint_eq(r.sunk, 100000);
    req = get(at(&a, "/missing"));
    req.sink = &r.sink;
    go(req, &r);
    ck_assert_uint_eq(r.sunk, 0); /* the sink sees no error bodies */
    int64_t start = qn_time_mono_ms();
    req = get(at(&a, "/stall"));
    go(req, &r);
    ck_assert_msg(r.failed && r.err.code == QN_E_TIMEOUT, "%s", r.err.msg);
    ck_assert_int_lt(qn_time_mono_ms() - start, 5000);
    req = get(at(&a, "/slow"));
    req.timeout = 1;
    go(req, &r);
    ck_assert(!r.failed);
}
END_TEST

START_TEST(closed_addresses)
{
    static const char *const hosts[] = {"127.0.0.1",  "localhost", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]",
                                        "0177.0.0.1", "127.1",     "[::1]",      "0.0.0.0",    "[::ffff:7f00:1]"};
    static struct result r;

    for (size_t i = 0; i < QN_ARRAY_LEN(hosts); i++) {
        char url[200];
        snprintf(url, sizeof url, "http://%s:%d/ok", hosts[i], a.port);
        struct qn_client_request req = get(url);
        req.allows = 0;
        go(req, &r);
        ck_assert_msg(r.failed && (r.err.code == QN_E_ADDRESS || r.err.code == QN_E_NETWORK), "%s: %s", hosts[i],
                      r.err.msg);
        ck_assert_int_eq(r.status, 0);
    }
    ck_assert_int_eq(a.connections, 0);
    /* A connection that somebody else was allowed to open is of no use to one who was not. */
    go(get(at(&a, "/ok")), &r);
    ck_assert(!r.failed);
    struct qn_client_request req = get(at(&a, "/ok"));
    req.allows = 0;
    go(req, &r);
    ck_assert_msg(r.failed && r.err.code == QN_E_ADDRESS, "%s", r.err.msg);
    ck_assert_int_eq(mock_count(&a, "GET"), 1);
}
END_TEST

START_TEST(redirects)
{
    static struct result r;
    static const char *const bad[] = {"file:///etc/passwd",  "ftp://127.0.0.1/x",     "http://u:p@127.0.0.1:1/x",
                                      "gopher://127.0.0.1/", "http://127.0.0.2:1/ok", "https://0/x",
                                      "dict://127.0.0.1/"};
    struct qn_client_request req = get(at(&a, "/other"));

    req.authorization = "Bearer secret";
    go(req, &r);
    ck_assert_msg(!r.failed, "%s", r.err.msg);
    ck_assert_str_eq(r.body, "fine");
    ck_assert_ptr_nonnull(strstr(r.url, "/ok"));
    ck_assert_int_eq(r.heads, 1);
    ck_assert_str_eq(a.log[0].authorization, "Bearer secret");
    ck_assert_str_eq(b.log[0].authorization, ""); /* never to another origin */
    ck_assert_str_eq(a.log[1].authorization, ""); /* nor back again */
    req = get(at(&a, "/to?/ok"));
    req.authorization = "Bearer secret";
    go(req, &r);
    ck_assert_str_eq(a.log[3].authorization, "Bearer secret"); /* the same origin keeps it */
    go(get(at(&a, "/loop")), &r);
    ck_assert(r.failed && r.err.code == QN_E_NETWORK);
    ck_assert_int_eq(mock_count(&a, "GET /loop"), 6);
    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++) {
        char path[100];
        snprintf(path, sizeof path, "/to?%s", bad[i]);
        go(get(at(&a, path)), &r);
        ck_assert_msg(r.failed && r.err.code == QN_E_ADDRESS, "%s: %d %s", bad[i], r.status, r.err.msg);
    }
    req = get(at(&a, "/loop"));
    req.max_redirects = 0;
    go(req, &r);
    ck_assert_int_eq(r.status, 302);
    req = get(at(&a, "/loop"));
    req.method = QN_CLIENT_POST;
    go(req, &r);
    ck_assert_int_eq(r.status, 302);
}
END_TEST

START_TEST(cancelling)
{
    static struct result r, s;
    uint64_t id;
    struct qn_client_request req = get(at(&a, "/stall"));

    begin(&req, &r, &id);
    poll(NULL, 0, 50);
    qn_client_cancel(http, id);
    finish(&r);
    ck_assert(r.failed && r.err.code == QN_E_CANCELLED);
    qn_client_cancel(http, id);   /* too late: nothing happens */
    qn_client_cancel(http, 9999); /* unknown: nothing happens */
    req = get(at(&a, "/stall"));
    begin(&req, &s, &id);
    qn_client_stop(http);
    ck_assert(s.finished && s.failed && s.err.code == QN_E_CANCELLED);
    qn_fails(qn_client_start(http, &req, &id, &e), e, QN_E_CANCELLED);
}
END_TEST

struct timer {
    int64_t at;
    atomic_int ran;
    bool stopping;
};
static void on_timer(void *ctx, bool stopping)
{
    struct timer *t = ctx;
    ck_assert(qn_client_on_thread(http) || stopping);
    t->at = qn_time_mono_ms();
    t->stopping = stopping;
    t->ran++;
}

START_TEST(timers)
{
    struct timer t[3] = {0};
    int64_t start = qn_time_mono_ms();

    qn_ok(qn_client_later(http, 150, on_timer, &t[0], &e), e);
    qn_ok(qn_client_later(http, 30, on_timer, &t[1], &e), e);
    qn_ok(qn_client_later(http, 60000, on_timer, &t[2], &e), e);
    while (!t[0].ran)
        poll(NULL, 0, 5);
    ck_assert_int_ge(t[0].at - start, 150);
    ck_assert_int_lt(t[1].at, t[0].at);
    qn_client_stop(http);
    ck_assert_int_eq(t[2].ran, 1);
    ck_assert(t[2].stopping);
    ck_assert(!t[0].stopping);
    qn_fails(qn_client_later(http, 1, on_timer, &t[0], &e), e, QN_E_CANCELLED);
}
END_TEST

START_TEST(downloads_do_not_starve_the_rest)
{
    static struct result r[20], small;
    struct qn_client_request req;

    for (int i = 0; i < 20; i++) {
        req = get(at(&a, "/slow"));
        req.sink = &r[i].sink;
        begin(&req, &r[i], NULL);
    }
    int64_t start = qn_time_mono_ms();
    go(get(at(&a, "/ok")), &small);
    ck_assert_int_lt(qn_time_mono_ms() - start, 400);
    for (int i = 0; i < 20; i++) {
        finish(&r[i]);
        ck_assert(!r[i].failed);
        ck_assert_uint_eq(r[i].sunk, 4);
    }
    ck_assert_int_le(a.busy_max, 5); /* four downloads and the small one */
}
END_TEST

Suite *suite_client(void);
Suite *suite_client(void)
{
    Suite *s = suite_create("client");
    TCase *c = tcase_create("client");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, simple);
    tcase_add_test(c, uploads_a_file);
    tcase_add_test(c, limits);
    tcase_add_test(c, closed_addresses);
    tcase_add_test(c, redirects);
    tcase_add_test(c, cancelling);
    tcase_add_test(c, timers);
    tcase_add_test(c, downloads_do_not_starve_the_rest);
    suite_add_tcase(s, c);
    return s;
}
