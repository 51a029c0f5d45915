/* A small application on the HTTP server, for tests over real sockets. */
#ifndef QN_TESTS_HTTP_FIXTURE_H
#define QN_TESTS_HTTP_FIXTURE_H

#include "daemon/http.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "http_client.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/un.h>

#define FILE_SIZE (3u << 20)

/* --- the server under test ------------------------------------------------------------------------------------- */

static struct test {
    struct qn_http *h;
    unsigned port;
    struct qn_http_shared *shared;
    int file; /* FILE_SIZE bytes, each its offset modulo 251 */
    struct qn_http_growing *growing;
    struct qn_http_waker *waker; /* of the last park */
    pthread_mutex_t lock;
    _Atomic bool released; /* parked requests may answer */
    unsigned handled, ended, lines;
    size_t sunk;
    char held[64];
} T;

static inline void put_waker(struct qn_http_waker *w)
{
    pthread_mutex_lock(&T.lock);
    if (T.waker)
        qn_http_waker_drop(T.waker);
    T.waker = w;
    pthread_mutex_unlock(&T.lock);
}

static inline struct qn_http_waker *take_waker(void)
{
    for (unsigned i = 0; i < 500; i++) {
        pthread_mutex_lock(&T.lock);
        struct qn_http_waker *w = qn_steal(T.waker);
        pthread_mutex_unlock(&T.lock);
        if (w)
            return w;
        usleep(10000);
    }
    ck_abort_msg("nothing was parked");
    return NULL;
}

static inline bool count_line(void *arg, struct qn_str value)
{
    (void)value;
    (*(unsigned *)arg)++;
    return true;
}

static inline int sink_write(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    (void)p;
    T.sunk += n;
    return ctx && T.sunk > 100000 ? qn_fail(e, QN_E_NO_SPACE, "full") : 0;
}

static inline void on_begin(void *ctx, struct qn_http_request *r)
{
    struct qn_str path = qn_http_path(r);
    struct qn_sink sink = {sink_write, NULL}, failing = {sink_write, &T};
    struct qn_err e;

    (void)ctx;
    if (qn_str_eq_c(path, "/echo"))
        qn_http_body_buffer(r, 1000);
    else if (qn_str_eq_c(path, "/sink"))
        qn_http_body_stream(r, &sink, 10u << 20);
    else if (qn_str_eq_c(path, "/full"))
        qn_http_body_stream(r, &failing, 10u << 20);
    else if (qn_str_eq_c(path, "/denied")) {
        qn_fail(&e, QN_E_DENIED, "no pushes");
        qn_http_respond_oci_error(r, 0, NULL, &e);
    }
}

static inline ssize_t held_read(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n)
{
    size_t size = strlen(T.held);

    (void)ctx;
    if (!T.released && !qn_http_timed_out(r)) {
        struct qn_str ms;
        bool deadline = qn_http_query(r, "ms", &ms);
        put_waker(qn_http_park(r, deadline ? qn_time_mono_ms() + 300 : INT64_MAX));
        return QN_HTTP_AGAIN;
    }
    if (off >= size)
        return QN_HTTP_END;
    n = QN_MIN(n, size - off);
    memcpy(buf, T.held + off, n);
    return (ssize_t)n;
}

static inline void held_free(void *ctx)
{
    (void)ctx;
}

static inline void handle_body(struct qn_http_request *r)
{
    const struct qn_err *failed = qn_http_body_error(r);

    if (failed)
        qn_http_respond_problem(r, 0, NULL, failed);
    else
        qn_http_respond(r, 200, NULL, qn_http_body(r));
}

static inline void handle_park(struct qn_http_request *r)
{
    struct qn_str ms;

    if (T.released || qn_http_timed_out(r)) {
        qn_http_respond(r, 200, NULL, qn_http_timed_out(r) ? QN_STR("late") : QN_STR("woken"));
        return;
    }
    put_waker(qn_http_park(r, qn_http_query(r, "ms", &ms) ? qn_time_mono_ms() + 300 : INT64_MAX));
}

static inline void on_handle(void *ctx, struct qn_http_request *r)
{
    static const struct qn_http_field tagged[] = {{"Content-Type", "application/x"}, {"ETag", "\"tag\""}, {NULL, NULL}};
    const struct qn_http_source held = {held_read, held_free, NULL};
    struct qn_str path = qn_http_path(r);
    uid_t uid;
    pid_t pid;
    struct qn_err e;

    (void)ctx;
    __atomic_add_fetch(&T.handled, 1, __ATOMIC_SEQ_CST);
    if (qn_str_eq_c(path, "/shared"))
        qn_http_respond_shared(r, T.shared);
    else if (qn_str_eq_c(path, "/file"))
        qn_http_respond_file(r, tagged, dup(T.file), FILE_SIZE);
    else if (qn_str_eq_c(path, "/small"))
        qn_http_respond_file(r, tagged, dup(T.file), 1000);
    else if (qn_str_eq_c(path, "/cut"))
        qn_http_respond_file(r, tagged, dup(T.file), FILE_SIZE + 1);
    else if (qn_str_eq_c(path, "/grow"))
        qn_http_respond_growing(r, tagged, T.growing);
    else if (qn_str_eq_c(path, "/held"))
        qn_http_respond_source(r, 200, tagged, QN_HTTP_UNKNOWN, &held);
    else if (qn_str_eq_c(path, "/head"))
        qn_http_respond_headers(r, 200, NULL);
    else if (qn_str_eq_c(path, "/park"))
        handle_park(r);
    else if (qn_str_eq_c(path, "/nothing"))
        return;
    else if (qn_str_eq_c(path, "/accept")) {
        qn_http_header_each(r, "accept", count_line, &T.lines);
        qn_http_respond(r, 200, NULL, QN_STR("ok"));
    } else if (qn_str_eq_c(path, "/who")) {
        bool local = qn_http_peer_cred(r, &uid, &pid);
        qn_http_respond(r, 200, NULL, qn_str_c(local && uid == getuid() ? "me" : qn_http_peer(r)));
    } else if (qn_str_eq_c(path, "/cn")) {
        qn_http_respond(r, 200, NULL, qn_str_c(qn_http_client_cn(r)));
    } else if (qn_str_eq_c(path, "/problem")) {
        qn_fail(&e, QN_E_BUSY, "a \"quoted\" text");
        qn_http_respond_problem(r, 0, NULL, &e);
    } else {
        handle_body(r);
    }
}

static inline void on_end(void *ctx, struct qn_http_request *r)
{
    (void)ctx;
    (void)r;
    __atomic_add_fetch(&T.ended, 1, __ATOMIC_SEQ_CST);
}

static inline bool trusted(void *ctx, const struct sockaddr *peer, socklen_t n)
{
    (void)ctx;
    (void)n;
    return peer->sa_family == AF_INET &&
           ((const struct sockaddr_in *)(const void *)peer)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

static inline void make_file(void)
{
    struct qn_err e;
    char *bytes = qn_xcalloc(1, FILE_SIZE);

    for (size_t i = 0; i < FILE_SIZE; i++)
        bytes[i] = (char)(i % 251);
    T.file = qn_fd_tmpfile("/tmp", &e);
    ck_assert_int_ge(T.file, 0);
    qn_ok(qn_fd_write(T.file, bytes, FILE_SIZE, &e), e);
    free(bytes);
}

static inline void start(struct qn_http_options o, bool proxy)
{
    const struct qn_http_listen listen[] = {{"127.0.0.1:0", 1, "test", false, true, false}};
    const struct qn_http_app app = {on_begin, on_handle, on_end, proxy ? trusted : NULL, NULL};
    struct qn_err e;

    pthread_mutex_init(&T.lock, NULL);
    if (!o.listen) {
        o.listen = listen;
        o.listen_count = 1;
    }
    make_file();
    T.shared =
        qn_http_shared_new(200, (const struct qn_http_field[]){{"ETag", "\"s\""}, {NULL, NULL}}, QN_STR("shared"));
    memcpy(T.held, "held text", 10);
    qn_ok(qn_http_new(&o, &app, &T.h, &e), e);
    T.port = qn_http_port(T.h, 0);
}

static inline void stop(void)
{
    if (T.waker)
        qn_http_wake(qn_steal(T.waker));
    qn_http_free(T.h);
    qn_http_shared_unref(T.shared);
    qn_http_growing_unref(T.growing);
    close(T.file);
}

static inline void expect(const char *method, const char *path, const char *headers, int status, const char *contains)
{
    auto_reply r = client_get(T.port, method, path, headers);
    ck_assert_msg(reply_status(&r) == status, "%s %s: %d instead of %d: %.300s", method, path, reply_status(&r), status,
                  r.p);
    if (contains)
        ck_assert_msg(strstr(r.p, contains) != NULL, "%s %s: no \"%s\" in %.500s", method, path, contains, r.p);
}

#endif
