/* Requests and responses of the HTTP server, over real sockets. */
#include "http_fixture.h"

#include <fcntl.h>

START_TEST(basics)
{
    start((struct qn_http_options){0}, false);
    expect("GET", "/shared", "", 200, "\r\n\r\nshared");
    expect("GET", "/shared", "If-None-Match: \"x\", W/\"s\"\r\n", 304, "ETag: \"s\"");
    expect("GET", "/shared", "If-None-Match: \"x\"\r\n", 200, "shared");
    expect("HEAD", "/shared", "", 200, "Content-Length: 6");
    expect("GET", "/problem", "", 503, "application/problem+json");
    expect("GET", "/problem", "", 503, "a \\\"quoted\\\" text");
    expect("GET", "/nothing", "", 500, "neither answered");
    expect("GET", "/who", "", 200, "127.0.0.1");
    expect("GET", "/who", "X-Forwarded-For: 9.9.9.9\r\n", 200, "127.0.0.1");
    expect("GET", "/x", "X-Request-Id: abc-1\r\n", 200, "X-Request-Id: abc-1");
    auto_reply head = client_get(T.port, "HEAD", "/head", "");
    ck_assert_int_eq(reply_status(&head), 200);
    ck_assert(!strcasestr(head.p, "content-length"));
    /* A made id replaces one that could break a log line. */
    auto_reply odd = client_get(T.port, "GET", "/x", "X-Request-Id: a b\r\n");
    ck_assert(!strstr(odd.p, "X-Request-Id: a b") && strstr(odd.p, "X-Request-Id: "));
    expect("GET", "/accept", "Accept: a\r\naccept: b, c\r\nACCEPT: d\r\n", 200, "ok");
    ck_assert_uint_eq(T.lines, 3);
    stop();
}
END_TEST

START_TEST(keep_alive_and_counters)
{
    struct qn_http_counters c;

    start((struct qn_http_options){0}, false);
    auto_reply r =
        client_exchange(T.port, "GET /shared HTTP/1.1\r\nHost: t\r\n\r\nHEAD /shared HTTP/1.1\r\nHost: t\r\n\r\n"
                                "GET /problem HTTP/1.1\r\nHost: t\r\n\r\n");
    ck_assert_uint_eq(reply_count(&r), 3);
    ck_assert(!r.closed);
    usleep(100000);
    qn_http_counters(T.h, &c);
    ck_assert_uint_eq(c.requests[1][2], 2);
    ck_assert_uint_eq(c.requests[1][5], 1);
    ck_assert_uint_eq(c.connections, 0);
    ck_assert_uint_eq(c.accepted, 1);
    ck_assert_uint_ge(c.bytes_out, 6);
    ck_assert_uint_eq(T.ended, 3);
    stop();
}
END_TEST

/* Each must be refused, and nothing after it may be answered: neither what the body hides nor what is pipelined. */
START_TEST(smuggling)
{
    static const char hidden[] = "GET /shared HTTP/1.1\r\nHost: t\r\n\r\n";
    static const char *const heads[] = {
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length : 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: +5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5, 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0x5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\nabcde",
        "POST /echo HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde",
        "GET /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: t\r\nBad Name: x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: t\r\nA(b: x\r\n\r\n",
        "GET /a/../shared HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /v2/%2e%2e/x HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /a%00b HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET //x HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET http:/x HTTP/1.1\r\nHost: t\r\n\r\n",
        "POST /nobody HTTP/1.1\r\nHost: t\r\nContent-Length: 70000\r\n\r\n",
        "FOO /x HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc",
    };
    char text[1024];

    start((struct qn_http_options){0}, false);
    for (size_t i = 0; i < QN_ARRAY_LEN(heads); i++) {
        snprintf(text, sizeof text, "%s%s", heads[i], hidden);
        auto_reply r = client_exchange(T.port, text);
        ck_assert_msg(r.closed, "%s\nwas not closed: %.400s", heads[i], r.p);
        ck_assert_msg(!strstr(r.p, "shared"), "%s\nlet a hidden request pass: %.600s", heads[i], r.p);
        ck_assert_msg(!strstr(r.p, "HTTP/1.1 2"), "%s\n%.600s", heads[i], r.p);
    }
    expect("GET", "/shared", "", 200, "shared");
    stop();
}
END_TEST

START_TEST(bodies)
{
    char big[2000] = "";

    start((struct qn_http_options){0}, false);
    auto_reply r = client_exchange(
        T.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhelloPOST /echo HTTP/1.1\r\nHost: t\r\n"
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    ck_assert_uint_eq(reply_count(&r), 2);
    ck_assert(strstr(r.p, "\r\n\r\nhello") && strstr(r.p, "\r\n\r\nabcde"));
    /* Declared and undeclared bodies over the limit. */
    memset(big, 'x', 1500);
    char text[4000];
    snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1500\r\n\r\n%s", big);
    auto_reply declared = client_exchange(T.port, text);
    ck_assert_int_eq(reply_status(&declared), 413);
    snprintf(text, sizeof text,
             "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n%s\r\n0\r\n\r\n", big);
    auto_reply chunked = client_exchange(T.port, text);
    ck_assert_int_eq(reply_status(&chunked), 413);
    /* An early refusal of a small body keeps the connection. */
    auto_reply early = client_exchange(T.port, "PUT /denied HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
                                               "GET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
    ck_assert_uint_eq(reply_count(&early), 2);
    ck_assert_int_eq(reply_status(&early), 403);
    ck_assert(strstr(early.p, "\"code\":\"DENIED\"") && strstr(early.p, "no pushes"));
    /* One that waits for "100 Continue" is told at once. */
    auto_reply expecting =
        client_exchange(T.port, "PUT /denied HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    ck_assert_int_eq(reply_status(&expecting), 403);
    stop();
}
END_TEST

/* A client that is still sending is not cut off: it would lose the answer. */
START_TEST(refused_while_sending)
{
    static const char *const methods[] = {"PUT", "PATCH", "POST"};
    char text[256], piece[4096] = "";

    start((struct qn_http_options){0}, false);
    for (size_t i = 0; i < QN_ARRAY_LEN(methods); i++) {
        int fd = client_connect(T.port);
        snprintf(text, sizeof text, "%s /denied HTTP/1.1\r\nHost: t\r\nContent-Length: 50000000\r\n\r\n", methods[i]);
        client_send(fd, text);
        auto_reply r = client_read(fd, 10000, SIZE_MAX);
        ck_assert_msg(reply_status(&r) == 403 && r.closed, "%s: %.100s", methods[i], r.p);
        for (unsigned k = 0; k < 3; k++) {
            ck_assert_msg(send(fd, piece, sizeof piece, MSG_NOSIGNAL) == sizeof piece, "%s: reset", methods[i]);
            usleep(20000);
        }
        close(fd);
    }
    stop();
}
END_TEST

START_TEST(upload)
{
    char head[200], *block = qn_xcalloc(1, 65537);

    start((struct qn_http_options){0}, false);
    memset(block, 'u', 65536);
    for (unsigned full = 0; full < 2; full++) {
        int fd = client_connect(T.port);
        T.sunk = 0;
        snprintf(head, sizeof head, "PUT %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %u\r\n\r\n",
                 full ? "/full" : "/sink", 65536 * 20);
        client_send(fd, head);
        for (unsigned i = 0; i < 20; i++)
            client_send(fd, block);
        auto_reply r = client_read(fd, 5000, SIZE_MAX);
        ck_assert_int_eq(reply_status(&r), full ? 507 : 200);
        if (!full)
            ck_assert_uint_eq(T.sunk, 65536 * 20);
        close(fd);
    }
    free(block);
    stop();
}
END_TEST

static void check_range(const char *path, const char *range, int status, size_t first, size_t n)
{
    char header[200], want[200];

    snprintf(header, sizeof header, "Range: %s\r\n", range);
    auto_reply r = client_get(T.port, "GET", path, header);
    size_t got;
    const char *body = reply_body(&r, &got);
    ck_assert_msg(reply_status(&r) == status, "%s: %.200s", range, r.p);
    ck_assert_msg(got == n, "%s: %zu instead of %zu", range, got, n);
    /* One assertion only: the framework logs each. */
    size_t same = 0;
    while (same < n && (unsigned char)body[same] == (first + same) % 251)
        same++;
    ck_assert_msg(same == n, "%s: byte %zu", range, same);
    if (status == 206) {
        snprintf(want, sizeof want, "Content-Range: bytes %zu-%zu/%u", first, first + n - 1, FILE_SIZE);
        ck_assert_msg(strstr(r.p, want) != NULL, "%s: %.300s", range, r.p);
    }
}

START_TEST(files)
{
    start((struct qn_http_options){0}, false);
    /* Out of memory, so that I/O threads have to bring it back (where the file system lets us). */
    fdatasync(T.file);
    posix_fadvise(T.file, 0, 0, POSIX_FADV_DONTNEED);
    check_range("/file", "bytes=0-", 206, 0, FILE_SIZE);
    check_range("/file", "bytes=5-9", 206, 5, 5);
    check_range("/file", "bytes=-100000", 206, FILE_SIZE - 100000, 100000);
    check_range("/file", "bytes=1000000-", 206, 1000000, FILE_SIZE - 1000000);
    check_range("/file", "bytes=1-2,5-6", 200, 0, FILE_SIZE);
    check_range("/file", "bytes=99999999-", 416, 0, 0);
    check_range("/file", "bytes=0-9\r\nIf-Range: \"tag\"", 206, 0, 10);
    check_range("/file", "bytes=0-9\r\nIf-Range: \"other\"", 200, 0, FILE_SIZE);
    check_range("/small", "nonsense", 200, 0, 1000);
    expect("GET", "/file", "Range: bytes=99999999-\r\n", 416, "Content-Range: bytes */3145728");
    expect("GET", "/file", "If-None-Match: \"tag\"\r\n", 304, NULL);
    expect("GET", "/small", "If-None-Match: \"tag\"\r\n", 304, NULL);
    expect("GET", "/small", "", 200, "Accept-Ranges: bytes");
    /* Sent past the library, once it is in memory: the connection ends with it. */
    expect("GET", "/file", "", 200, "Connection: close");
    auto_reply head = client_get(T.port, "HEAD", "/file", "Range: bytes=0-1\r\n");
    size_t n;
    reply_body(&head, &n);
    ck_assert_uint_eq(n, 0);
    ck_assert(strstr(head.p, "Content-Length: 3145728") && reply_status(&head) == 200);
    /* A file shorter than promised: the client sees a cut body. */
    auto_reply cut = client_get(T.port, "GET", "/cut", "");
    reply_body(&cut, &n);
    ck_assert_uint_eq(n, FILE_SIZE);
    ck_assert(strstr(cut.p, "Content-Length: 3145729") && cut.closed);
    stop();
}
END_TEST

static void *grow_slowly(void *arg)
{
    int fd = *(int *)arg;

    for (size_t done = 0; done < FILE_SIZE;) {
        size_t n = QN_MIN(FILE_SIZE - done, 300000u);
        char *bytes = qn_xcalloc(1, n);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)((done + i) % 251);
        ck_assert(pwrite(fd, bytes, n, (off_t)done) == (ssize_t)n);
        free(bytes);
        done += n;
        qn_http_growing_advance(T.growing, done == FILE_SIZE ? done - 1 : done);
        usleep(20000);
    }
    qn_http_growing_finish(T.growing, FILE_SIZE);
    return NULL;
}

START_TEST(growing_file)
{
    struct qn_err e;
    pthread_t writer;
    int fd = qn_fd_tmpfile("/tmp", &e), mine = dup(fd);

    start((struct qn_http_options){0}, false);
    T.growing = qn_http_growing_new(fd, FILE_SIZE);
    ck_assert_int_eq(pthread_create(&writer, NULL, grow_slowly, &mine), 0);
    check_range("/grow", "bytes=5-9", 206, 5, 5);
    check_range("/grow", "bytes=2000000-2000099", 206, 2000000, 100);
    check_range("/grow", "bytes=0-", 206, 0, FILE_SIZE);
    check_range("/grow", "bytes=-10", 206, FILE_SIZE - 10, 10);
    check_range("/grow", "none", 200, 0, FILE_SIZE);
    pthread_join(writer, NULL);
    close(mine);
    stop();
}
END_TEST

START_TEST(growing_fails)
{
    struct qn_err e;

    start((struct qn_http_options){0}, false);
    T.growing = qn_http_growing_new(qn_fd_tmpfile("/tmp", &e), 100000);
    int fd = client_connect(T.port);
    client_send(fd, "GET /grow HTTP/1.1\r\nHost: t\r\n\r\n");
    auto_reply head = client_read(fd, 300, SIZE_MAX);
    ck_assert(!head.closed && strstr(head.p, "Content-Length: 100000"));
    qn_http_growing_fail(T.growing);
    auto_reply rest = client_read(fd, 3000, SIZE_MAX);
    ck_assert(rest.closed && rest.n == 0);
    close(fd);
    stop();
}
END_TEST

Suite *suite_http(void)
{
    const TTest *const tests[] = {
        refused_while_sending, basics,       keep_alive_and_counters, smuggling, bodies, upload, files,
        growing_file,          growing_fails};
    return qn_suite("http", tests, QN_ARRAY_LEN(tests));
}
