#include "mock_http.h"

#include "base/mem.h"
#include "base/num.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    struct mock *m;
    int fd;
};

/* Answers to HEAD have no body; every connection has its own thread. */
static _Thread_local bool head_only;

bool mock_send(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool mock_reply(int fd, int status, const char *headers, const void *body, size_t n)
{
    char head[2048];
    int len = snprintf(head, sizeof head, "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\n%s\r\n", status, n, headers);
    return mock_send(fd, head, (size_t)len) && (head_only || mock_send(fd, body, n));
}

bool mock_text(int fd, int status, const char *headers, const char *body)
{
    return mock_reply(fd, status, headers, body, strlen(body));
}

static void copy_header(struct qn_str line, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (line.n > n && qn_str_ieq(qn_str_head(line, n), qn_str_c(name)))
        qn_str_copy(qn_str_trim(qn_str_from(line, n)), out, size);
}

/* Reads one request; false at the end of the connection. */
static bool read_request(int fd, struct mock_request *r)
{
    char head[16384], length[32] = "0";
    size_t n = 0;
    uint64_t body = 0;
    struct qn_err e;

    memset(r, 0, sizeof *r);
    for (;;) {
        if (n + 1 >= sizeof head || recv(fd, head + n, 1, 0) != 1)
            return false;
        n++;
        if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    struct qn_str rest = qn_str_n(head, n), line, word;
    qn_str_next(&rest, '\n', &line);
    qn_str_word(&line, &word);
    qn_str_copy(word, r->method, sizeof r->method);
    qn_str_word(&line, &word);
    qn_str_copy(word, r->path, sizeof r->path);
    while (qn_str_next(&rest, '\n', &line)) {
        copy_header(line, "Authorization:", r->authorization, sizeof r->authorization);
        copy_header(line, "Range:", r->range, sizeof r->range);
        copy_header(line, "Content-Type:", r->content_type, sizeof r->content_type);
        copy_header(line, "Content-Length:", length, sizeof length);
    }
    if (qn_num_u64(qn_str_c(length), 0, 1u << 30, &body, &e) < 0)
        return false;
    r->body = qn_xcalloc(1, body + 1);
    while (r->body_n < body) {
        ssize_t k = recv(fd, r->body + r->body_n, body - r->body_n, 0);
        if (k <= 0)
            return false;
        r->body_n += (size_t)k;
    }
    return true;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct mock *m = c->m;
    struct mock_request r = {0};
    bool more = true;

    while (more && !m->stop && read_request(c->fd, &r)) {
        pthread_mutex_lock(&m->lock);
        if (m->logged < MOCK_LOG) {
            m->log[m->logged] = r;
            m->log[m->logged++].body = NULL;
        }
        pthread_mutex_unlock(&m->lock);
        head_only = strcmp(r.method, "HEAD") == 0;
        int busy = ++m->busy, max = m->busy_max;
        while (busy > max && !atomic_compare_exchange_weak(&m->busy_max, &max, busy))
            ;
        more = m->answer(m, &r, c->fd);
        --m->busy;
        free(r.body);
        r.body = NULL;
    }
    free(r.body);
    close(c->fd);
    free(c);
    --m->live;
    return NULL;
}

static void *accept_all(void *arg)
{
    struct mock *m = arg;

    while (!m->stop) {
        struct pollfd p = {m->fd, POLLIN, 0};
        if (poll(&p, 1, 20) <= 0)
            continue;
        int fd = accept(m->fd, NULL, NULL), one = 1;
        pthread_t t;
        pthread_attr_t detached;
        if (fd < 0)
            continue;
        m->connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = qn_new(struct connection);
        *c = (struct connection){m, fd};
        m->live++;
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        if (pthread_create(&t, &detached, serve, c) != 0)
            abort();
        pthread_attr_destroy(&detached);
    }
    return NULL;
}

void mock_start(struct mock *m, bool (*answer)(struct mock *m, const struct mock_request *req, int fd), void *ctx)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t len = sizeof in;

    memset(m, 0, sizeof *m);
    m->answer = answer;
    m->ctx = ctx;
    pthread_mutex_init(&m->lock, NULL);
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(m->fd, (struct sockaddr *)&in, sizeof in) != 0 || listen(m->fd, 128) != 0 ||
        getsockname(m->fd, (struct sockaddr *)&in, &len) != 0)
        abort();
    m->port = ntohs(in.sin_port);
    if (pthread_create(&m->thread, NULL, accept_all, m) != 0)
        abort();
}

void mock_stop(struct mock *m)
{
    m->stop = true;
    pthread_join(m->thread, NULL);
    close(m->fd);
    /* What they read is the test's. A client that keeps its connection open keeps its thread, which then only waits. */
    for (int i = 0; i < 400 && m->live > 0; i++)
        poll(NULL, 0, 5);
}

int mock_count(struct mock *m, const char *start)
{
    int n = 0;
    char line[1100];

    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < m->logged; i++) {
        snprintf(line, sizeof line, "%s %s", m->log[i].method, m->log[i].path);
        n += strncmp(line, start, strlen(start)) == 0;
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

char *mock_url(const struct mock *m, char out[64])
{
    snprintf(out, 64, "http://127.0.0.1:%d", m->port);
    return out;
}
