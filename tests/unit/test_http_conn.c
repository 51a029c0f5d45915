/* Connections of the HTTP server: parking, deadlines, caps, listeners, draining. */
#include "http_fixture.h"

START_TEST(held_body)
{
    start((struct qn_http_options){0}, false);
    int fd = client_connect(T.port);
    client_send(fd, "GET /held HTTP/1.1\r\nHost: t\r\n\r\n");
    /* The headers come at once, the body when it is known. */
    auto_reply head = client_read(fd, 300, SIZE_MAX);
    ck_assert_int_eq(reply_status(&head), 200);
    ck_assert(strstr(head.p, "\r\n\r\n") && strcasestr(head.p, "transfer-encoding: chunked"));
    ck_assert(!strcasestr(head.p, "content-length") && !strstr(head.p, "held text"));
    struct qn_http_waker *w = take_waker();
    T.released = true;
    qn_http_wake(w);
    auto_reply body = client_read(fd, 500, SIZE_MAX);
    ck_assert_msg(strstr(body.p, "held text\r\n0\r\n\r\n") != NULL, "%s", body.p);
    ck_assert(!body.closed);
    close(fd);
    /* Or when the deadline has passed. */
    T.released = false;
    expect("GET", "/held?ms=1", "", 200, "held text");
    stop();
}
END_TEST

static void *wake_later(void *arg)
{
    usleep(200000);
    T.released = true;
    qn_http_wake(arg);
    return NULL;
}

START_TEST(parking)
{
    pthread_t waker;

    start((struct qn_http_options){0}, false);
    expect("GET", "/park?ms=1", "", 200, "late");
    int fd = client_connect(T.port);
    client_send(fd, "GET /park HTTP/1.1\r\nHost: t\r\n\r\nGET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
    usleep(50000);
    put_waker(NULL); /* drops the stale one of the first request, or this one's */
    T.handled = 0;
    close(fd);
    fd = client_connect(T.port);
    client_send(fd, "GET /park HTTP/1.1\r\nHost: t\r\n\r\nGET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
    ck_assert_int_eq(pthread_create(&waker, NULL, wake_later, take_waker()), 0);
    auto_reply r = client_read(fd, 1000, SIZE_MAX);
    ck_assert_uint_eq(reply_count(&r), 2);
    ck_assert(strstr(r.p, "woken") && strstr(r.p, "shared"));
    pthread_join(waker, NULL);
    close(fd);
    stop();
}
END_TEST

START_TEST(vanished_while_parked)
{
    struct qn_http_counters c = {0};

    start((struct qn_http_options){.per_client = 1000}, false);
    for (unsigned i = 0; i < 100; i++) {
        int fd = client_connect(T.port);
        client_send(fd, "GET /park HTTP/1.1\r\nHost: t\r\n\r\n");
        struct qn_http_waker *w = take_waker();
        close(fd);
        if (i % 2)
            qn_http_waker_drop(w);
        else
            qn_http_wake(w);
    }
    for (unsigned i = 0; i < 200; i++) {
        qn_http_counters(T.h, &c);
        if (c.connections == 0 && c.parked == 0 && T.ended == 100)
            break;
        usleep(20000);
    }
    ck_assert_uint_eq(c.connections, 0);
    ck_assert_uint_eq(c.parked, 0);
    ck_assert_uint_eq(T.ended, 100);
    stop();
}
END_TEST

START_TEST(slow_header)
{
    struct qn_http_counters c;

    start((struct qn_http_options){.header_ms = 1000}, false);
    int fd = client_connect(T.port), quiet = client_connect(T.port);
    int64_t began = qn_time_mono_ms();
    const char *text = "GET /x HTTP/1.1\r\nHost: t\r\nX: ";
    bool closed = false;
    for (unsigned i = 0; i < 100 && !closed; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char one[2] = {text[i % strlen(text)], 0};
        client_send(fd, i < strlen(text) ? one : "a");
        char buf[256];
        closed = poll(&p, 1, 100) > 0 && recv(fd, buf, sizeof buf, 0) <= 0;
    }
    ck_assert(closed);
    ck_assert_int_lt(qn_time_mono_ms() - began, 3000);
    auto_reply r = client_read(quiet, 3000, SIZE_MAX);
    ck_assert(r.closed);
    qn_http_counters(T.h, &c);
    ck_assert_uint_ge(c.timed_out, 2);
    expect("GET", "/shared", "", 200, "shared");
    close(fd);
    close(quiet);
    stop();
}
END_TEST

START_TEST(caps)
{
    struct qn_http_counters c;
    int fd[4];

    start((struct qn_http_options){.per_client = 3}, false);
    for (unsigned i = 0; i < 4; i++) {
        fd[i] = client_connect(T.port);
        client_send(fd[i], "GET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
        auto_reply r = client_read(fd[i], 300, SIZE_MAX);
        ck_assert_msg(r.closed == (i == 3), "connection %u: %s", i, r.p);
    }
    qn_http_counters(T.h, &c);
    ck_assert_uint_eq(c.refused, 1);
    for (unsigned i = 0; i < 4; i++)
        close(fd[i]);
    usleep(300000);
    expect("GET", "/shared", "", 200, "shared");
    stop();
    /* The total makes clients wait instead. */
    memset(&T, 0, sizeof T);
    start((struct qn_http_options){.connections = 2}, false);
    for (unsigned i = 0; i < 3; i++) {
        fd[i] = client_connect(T.port);
        client_send(fd[i], "GET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    auto_reply waits = client_read(fd[2], 300, SIZE_MAX);
    ck_assert(waits.n == 0 && !waits.closed);
    close(fd[0]);
    auto_reply served = client_read(fd[2], 1000, 10);
    ck_assert_int_eq(reply_status(&served), 200);
    close(fd[1]);
    close(fd[2]);
    stop();
}
END_TEST

START_TEST(proxies)
{
    start((struct qn_http_options){.per_client = 1}, true);
    int idle = client_connect(T.port);
    expect("GET", "/who", "X-Forwarded-For: 1.2.3.4, 9.9.9.9, 127.0.0.1\r\n", 200, "\r\n\r\n9.9.9.9");
    expect("GET", "/who", "X-Forwarded-For: 2001:db8::1\r\n", 200, "\r\n\r\n2001:db8::1");
    expect("GET", "/who", "X-Forwarded-For: nonsense\r\n", 200, "\r\n\r\n127.0.0.1");
    close(idle);
    stop();
}
END_TEST

START_TEST(unix_socket)
{
    char path[64], address[80];

    snprintf(path, sizeof path, "/tmp/quench-test-%d.sock", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    const struct qn_http_listen listen[] = {{address, 2, "admin", false, false, false},
                                            {"[::]:0", 0, "both", false, false, false}};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path) + 1);
    /* A socket that was left behind does not hinder. */
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(stale, (struct sockaddr *)&un, sizeof un), 0);
    close(stale);
    start((struct qn_http_options){.listen = listen, .listen_count = 2}, false);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
    client_send(fd, "GET /who HTTP/1.1\r\nHost: t\r\n\r\n");
    auto_reply r = client_read(fd, 300, SIZE_MAX);
    ck_assert(strstr(r.p, "\r\n\r\nme"));
    close(fd);
    /* IPv4 reaches the listener of both families. */
    T.port = qn_http_port(T.h, 1);
    expect("GET", "/who", "", 200, "\r\n\r\n127.0.0.1");
    stop();
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(bad_addresses)
{
    static const char *const bad[] = {"", "nonsense", "127.0.0.1:99999", "::1:80", "unix:", "systemd:none", ":80"};
    const struct qn_http_app app = {on_begin, on_handle, on_end, NULL, NULL};

    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++) {
        const struct qn_http_listen listen[] = {{bad[i], 0, "bad", false, false, false}};
        struct qn_http *h;
        struct qn_err e;
        qn_fails(qn_http_new(&(struct qn_http_options){.listen = listen, .listen_count = 1}, &app, &h, &e), e,
                 QN_E_CONFIG);
    }
    const struct qn_http_listen tls[] = {{"127.0.0.1:0", 0, "tls", true, false, false}};
    struct qn_http *h;
    struct qn_err e;
    qn_fails(qn_http_new(&(struct qn_http_options){.listen = tls, .listen_count = 1}, &app, &h, &e), e, QN_E_CONFIG);
}
END_TEST

static void *release_after(void *arg)
{
    (void)arg;
    usleep(300000);
    T.released = true;
    qn_http_wake(take_waker());
    return NULL;
}

START_TEST(drain)
{
    pthread_t thread;

    start((struct qn_http_options){0}, false);
    int idle = client_connect(T.port), busy = client_connect(T.port);
    client_send(idle, "GET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
    auto_reply first = client_read(idle, 300, SIZE_MAX);
    ck_assert_int_eq(reply_status(&first), 200);
    client_send(busy, "GET /park HTTP/1.1\r\nHost: t\r\n\r\n");
    usleep(100000);
    ck_assert_int_eq(pthread_create(&thread, NULL, release_after, NULL), 0);
    /* Idle connections are closed, what runs is finished. */
    ck_assert(qn_http_drain(T.h, 5000));
    auto_reply r = client_read(busy, 1000, SIZE_MAX);
    ck_assert(strstr(r.p, "woken") && strcasestr(r.p, "connection: close") && r.closed);
    auto_reply gone = client_read(idle, 1000, SIZE_MAX);
    ck_assert(gone.closed && gone.n == 0);
    pthread_join(thread, NULL);
    close(busy);
    close(idle);
    stop();
}
END_TEST

START_TEST(stop_while_busy)
{
    int fd[20];

    start((struct qn_http_options){0}, false);
    for (unsigned i = 0; i < 20; i++) {
        fd[i] = client_connect(T.port);
        client_send(fd[i], i % 2 ? "GET /park HTTP/1.1\r\nHost: t\r\n\r\n" : "GET /held HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    usleep(200000);
    ck_assert(!qn_http_drain(T.h, 100));
    /* A waker that is woken after the server is gone does nothing. */
    struct qn_http_waker *w = take_waker();
    stop();
    qn_http_wake(w);
    ck_assert_uint_eq(T.ended, 20);
    for (unsigned i = 0; i < 20; i++)
        close(fd[i]);
}
END_TEST

START_TEST(many_idle)
{
    enum { N = 2000 };
    static int fd[N];
    struct qn_http_counters c;

    start((struct qn_http_options){.per_client = N + 10}, false);
    for (unsigned i = 0; i < N; i++)
        fd[i] = client_connect(T.port);
    for (unsigned i = 0; i < N; i++)
        client_send(fd[i], "GET /park HTTP/1.1\r\nHost: t\r\n\r\n");
    for (unsigned i = 0; i < 500; i++) {
        qn_http_counters(T.h, &c);
        if (c.parked == N)
            break;
        usleep(10000);
    }
    ck_assert_uint_eq(c.parked, N);
    int64_t began = qn_time_mono_ms();
    for (unsigned i = 0; i < 100; i++)
        expect("GET", "/shared", "", 200, "shared");
    ck_assert_int_lt(qn_time_mono_ms() - began, 5000);
    for (unsigned i = 0; i < N; i++)
        close(fd[i]);
    for (unsigned i = 0; i < 500; i++) {
        qn_http_counters(T.h, &c);
        if (c.connections == 0)
            break;
        usleep(10000);
    }
    ck_assert_uint_eq(c.connections, 0);
    stop();
}
END_TEST

Suite *suite_http_conn(void)
{
    const TTest *const tests[] = {held_body, parking,     vanished_while_parked, slow_header, caps,
                                  proxies,   unix_socket, bad_addresses,         drain,       stop_while_busy,
                                  many_idle};
    return qn_suite("http_conn", tests, QN_ARRAY_LEN(tests));
}
