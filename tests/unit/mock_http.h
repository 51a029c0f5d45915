/* A small HTTP server on loopback for tests: one thread a connection, one function that answers. */
#ifndef QN_TESTS_MOCK_HTTP_H
#define QN_TESTS_MOCK_HTTP_H

#include "base/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define MOCK_LOG 512

struct mock_request {
    char method[16];
    char path[1024]; /* with the query */
    char authorization[1024];
    char range[64];
    char content_type[256];
    char *body;
    size_t body_n;
};

struct mock {
    int fd;
    int port;
    pthread_t thread;
    /* Answers with the functions below; returning false closes the connection. */
    bool (*answer)(struct mock *m, const struct mock_request *req, int fd);
    void *ctx;
    atomic_int connections; /* accepted so far */
    atomic_int busy, busy_max;
    atomic_int live; /* connections that are being served */ /* answers under way, and the most at once */
    pthread_mutex_t lock;
    struct mock_request log[MOCK_LOG]; /* bodies are not kept */
    int logged;
    atomic_bool stop;
};

void mock_start(struct mock *m, bool (*answer)(struct mock *m, const struct mock_request *req, int fd), void *ctx);
void mock_stop(struct mock *m);
/* A whole answer; `headers` are lines that end with "\r\n", "" for none. */
bool mock_reply(int fd, int status, const char *headers, const void *body, size_t n);
bool mock_text(int fd, int status, const char *headers, const char *body);
/* Raw bytes. */
bool mock_send(int fd, const void *p, size_t n);
/* Number of requests whose "METHOD PATH" starts so. */
int mock_count(struct mock *m, const char *start);
/* "http://127.0.0.1:PORT"; NUL-terminated in `out`. */
char *mock_url(const struct mock *m, char out[64]);

#endif
