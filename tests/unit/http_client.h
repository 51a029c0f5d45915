/* A raw socket client for tests of the HTTP server. */
#ifndef QN_TESTS_HTTP_CLIENT_H
#define QN_TESTS_HTTP_CLIENT_H

#include "base/clock.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int client_connect(unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static inline void client_send(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        text += k;
        n -= (size_t)k;
    }
}

/* What a connection yields. */
struct reply {
    char *p; /* NUL-terminated */
    size_t n;
    bool closed; /* the server closed it */
};

/* Reads until the server closes, `ms` pass without a byte, or `enough` bytes are there. */
static inline struct reply client_read(int fd, int ms, size_t enough)
{
    size_t cap = 65536;
    struct reply r = {malloc(cap), 0, false};

    ck_assert(r.p);
    while (r.n < enough) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, ms) <= 0)
            break;
        if (r.n + 65536 > cap) {
            cap *= 2;
            r.p = realloc(r.p, cap);
            ck_assert(r.p);
        }
        ssize_t k = recv(fd, r.p + r.n, 65535, 0);
        if (k <= 0) {
            r.closed = true;
            break;
        }
        r.n += (size_t)k;
    }
    r.p[r.n] = '\0';
    return r;
}

static inline void reply_fini(struct reply *r)
{
    free(r->p);
}
#define auto_reply __attribute__((cleanup(reply_fini))) struct reply

/* Sends raw text on a new connection and reads what comes within half a second of silence. */
static inline struct reply client_exchange(unsigned port, const char *text)
{
    int fd = client_connect(port);
    client_send(fd, text);
    struct reply r = client_read(fd, 500, SIZE_MAX);
    close(fd);
    return r;
}

/* A request without a body that asks to close; waits up to 10 s between bytes. */
static inline struct reply client_get(unsigned port, const char *method, const char *path, const char *headers)
{
    char text[4096];
    int fd = client_connect(port);

    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%s\r\n", method, path, headers);
    client_send(fd, text);
    struct reply r = client_read(fd, 10000, SIZE_MAX);
    close(fd);
    return r;
}

static inline int reply_status(const struct reply *r)
{
    return r->n > 12 && strncmp(r->p, "HTTP/1.1 ", 9) == 0
               ? (r->p[9] - 48) * 100 + (r->p[10] - 48) * 10 + (r->p[11] - 48)
               : 0;
}

/* How many responses there are. */
static inline unsigned reply_count(const struct reply *r)
{
    unsigned n = 0;
    for (const char *p = r->p; (p = strstr(p, "HTTP/1.1 ")); p += 9)
        n++;
    return n;
}

static inline const char *reply_body(const struct reply *r, size_t *n)
{
    const char *p = strstr(r->p, "\r\n\r\n");
    ck_assert_msg(p != NULL, "no end of headers: %.200s", r->p);
    *n = r->n - (size_t)(p + 4 - r->p);
    return p + 4;
}

#endif
