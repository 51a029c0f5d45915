/* What the files of the HTTP server share. Nothing outside http*.c includes this. */
#ifndef QN_DAEMON_HTTP_INT_H
#define QN_DAEMON_HTTP_INT_H

#include "base/buf.h"
#include "base/pool.h"
#include "http.h"
#include "target.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

/* 0.9.77.1 to 1.0.9 die from one crafted request. */
#define QN_MHD_BAD(v) ((v) >= 0x00097701u && (v) <= 0x01000900u)
#if QN_MHD_BAD(MHD_VERSION)
#error "this version of libmicrohttpd crashes on crafted requests: use 0.9.75, 0.9.76 or at least 1.0.10"
#endif

#define CLIENT_BUCKETS 4096u
#define NO_DEADLINE    INT64_MAX
#define LINGER_MAX     256u

/* Connections of one client address. */
struct qn_client {
    struct qn_client *next;
    uint8_t key[16];
    unsigned count;
};

/* One accepted connection; in the table by descriptor and in the list, both under qn_http.lock. */
struct qn_conn {
    struct qn_http *h;
    struct qn_conn *next, *prev;
    int fd;
    uint32_t generation; /* tells a later connection with the same descriptor apart */
    unsigned listener;
    bool roomy;   /* counts in h->roomy */
    bool started; /* the library has told that it serves it */
    bool local;   /* unix socket */
    bool trusted;
    uid_t uid;
    pid_t pid;
    struct qn_client *client;    /* NULL when not counted */
    struct qn_http_waker *waker; /* the live one */
    int64_t accepted;
    _Atomic int64_t deadline;   /* for the headers; NO_DEADLINE when they are there */
    _Atomic int64_t rate_since; /* start of the window in which bodies must progress; 0: none runs */
    _Atomic uint64_t rate_bytes;
    _Atomic uint64_t rate_acked; /* not 0: the kernel sends the body; its count when that began, plus 1 */
    _Atomic bool busy;           /* a request is under way */
    char *cn;
    char peer[64];
};

/* Daemons with the same options: plain or TLS, small or large buffers. */
struct qn_workers {
    struct MHD_Daemon **daemon;
    unsigned next;
    struct qn_workers *older; /* replaced ones, whose connections go on */
    int64_t replaced;         /* monotonic ms */
};

struct qn_listener {
    int fd;
    unsigned option; /* index in options.listen */
    unsigned port;
    bool local;
    char *unlink; /* path of a socket made here */
};

struct qn_http_stats {
    _Atomic uint64_t requests[QN_HTTP_KINDS][6];
    _Atomic uint64_t connections, accepted, refused, rejected, timed_out, parked, bytes_in, bytes_out;
};

struct qn_sender;

struct qn_http {
    _Atomic unsigned refs; /* the owner's and one a waker */
    struct qn_http_options options;
    struct qn_http_listen *listen;
    struct qn_http_app app;
    unsigned worker_count;
    struct qn_workers group[4]; /* bit 0: TLS, bit 1: uploads; `daemon` under the lock */
    _Atomic bool asks_clients;  /* for certificates */
    struct qn_listener *listener;
    size_t listener_count;
    struct qn_pool *io;
    struct qn_sender *sender;
    pthread_t acceptor, control;
    bool acceptor_runs, control_runs;
    int accept_epoll, control_epoll;
    int stop_fd;    /* eventfd: the acceptor ends */
    int control_fd; /* eventfd: the control thread looks again */
    _Atomic bool draining, stopping;
    _Atomic unsigned roomy; /* connections with large buffers */
    _Atomic uint64_t ids;   /* requests that were given an id */
    struct qn_http_stats stats;

    pthread_mutex_t lock; /* what follows, and the state of wakers */
    struct qn_conn **table;
    size_t table_size;
    struct qn_conn *conns;
    uint32_t generation;
    struct {
        int fd;
        int64_t until;
    } linger[LINGER_MAX]; /* sockets of refused requests, see qn_conn_linger() */
    size_t lingering;
    struct qn_http_waker **heap; /* by deadline */
    size_t heap_n, heap_cap;
    struct qn_client *client[CLIENT_BUCKETS];
    uint64_t seed;
};

struct qn_http_waker {
    _Atomic unsigned refs;
    struct qn_http *h;
    struct qn_http_request *r; /* NULL when void or woken; under the lock */
    int64_t deadline;
    size_t heap_at; /* SIZE_MAX: not in the heap */
    bool sending;   /* a body goes on while the request is parked: the check against slow peers does too */
};

enum qn_phase { QN_PHASE_LINE, QN_PHASE_BODY, QN_PHASE_READY, QN_PHASE_ANSWERED };

struct qn_http_request {
    struct qn_http *h;
    struct qn_conn *conn;
    struct MHD_Connection *mhd;
    enum qn_phase phase;
    enum qn_http_method method;
    char method_text[12];
    char id[64];
    char *forwarded; /* address from X-Forwarded-For */
    void *user;
    int64_t start;
    bool begun;
    bool parked;          /* the callback that runs or ran last has parked; worker only */
    bool timed_out, gone; /* why the last park ended */
    /* body */
    bool has_body, want_buffer, want_sink;
    uint64_t body_length, body_size, body_max;
    struct qn_buf body;
    struct qn_sink sink;
    struct qn_err *body_error;
    /* answer */
    struct MHD_Response *response; /* until it is queued */
    struct qn_http_shared *shared; /* owns `response` when not NULL */
    unsigned status;
    uint64_t answer_size; /* of bodies from memory */
    uint64_t bytes_out;
    struct qn_target target;
    struct qn_str raw;
    char storage[]; /* raw target and NUL, then the decoded texts */
};

/* http.c: the library's callbacks; `cls` is the server */
void *qn_http_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
size_t qn_http_keep_escapes(void *cls, struct MHD_Connection *mhd, char *s);
enum MHD_Result qn_http_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                   const char *version, const char *upload, size_t *upload_n, void **con_cls);
void qn_http_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode code);
void qn_http_on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_ConnectionNotificationCode code);

/* http_listen.c */
/* Which group of daemons serves a listener; beyond so many connections with large buffers, the one without bit 1. */
unsigned qn_http_group(const struct qn_http *h, const struct qn_listener *l);
int qn_http_listen_open(struct qn_http *h, struct qn_err *e) QN_MUST_CHECK;
void qn_http_listen_close(struct qn_http *h);
void *qn_http_acceptor(void *arg);

/* http_conn.c */
/* Registers an accepted socket; NULL when the client has too many. Takes `fd` only on success. */
struct qn_conn *qn_conn_new(struct qn_http *h, int fd, const struct qn_listener *l, const struct sockaddr *peer,
                            socklen_t n);
/* Progress of a body, for the check against slow peers. */
void qn_conn_progress(struct qn_conn *c, uint64_t bytes);
/* Lets the kernel's own count stand for qn_conn_progress(), for bodies that it sends by itself; false where it keeps
 * none (TLS, unix sockets). */
bool qn_conn_meter(struct qn_conn *c);
void qn_conn_rate_start(struct qn_conn *c);
void qn_conn_rate_stop(struct qn_conn *c);
/* A request is about to be refused while its body is still coming. The library closes its socket once the answer is
 * out, and what arrives after that would make the kernel reset the connection, under which clients lose the answer: so
 * the socket stays open for some seconds more. */
void qn_conn_linger(struct qn_conn *c);
/* Forgets what the library never told the end of; after it was stopped. */
void qn_http_conns_drop(struct qn_http *h);
/* Forgets a connection. */
void qn_conn_free(struct qn_conn *c);
struct qn_conn *qn_conn_of_fd(struct qn_http *h, int fd);
/* Closes connections whose time is up; frees those the library never served. Monotonic `now`. */
void qn_conn_reap(struct qn_http *h, int64_t now);

/* http_park.c */
void *qn_http_control(void *arg);
/* As qn_http_park(), for a body that goes on without the library; there is no deadline, and a client that shut down its
 * side is not taken for gone. */
struct qn_http_waker *qn_http_park_sending(struct qn_http_request *r);
void qn_http_control_kick(struct qn_http *h);
/* Makes the waker of a request void, if it has one; `go_on` unless the request is over. */
void qn_http_unpark(struct qn_http_request *r, bool go_on);
/* Wakes everything that is parked; the requests end unanswered. */
void qn_http_wake_all(struct qn_http *h);
void qn_http_unref(struct qn_http *h);

/* http_request.c */
struct qn_http_request *qn_http_request_new(struct qn_http *h, struct MHD_Connection *mhd, const char *uri);
void qn_http_request_free(struct qn_http_request *r);
/* Checks framing and target of a request whose headers are there; fills method, id, peer, body length. */
int qn_http_request_check(struct qn_http_request *r, const char *method, const char *version, struct qn_err *e);

/* http_reply.c */
/* Sets the answer; takes `response`, unless r->shared owns it. */
void qn_http_answer(struct qn_http_request *r, unsigned status, struct MHD_Response *response);
/* Adds fields; those with control bytes are left out. `skip`: leave out what describes a body. */
void qn_http_add_fields(struct qn_http_request *r, struct MHD_Response *response, const struct qn_http_field *fields,
                        bool skip);
/* The value among `fields`, or NULL. */
const char *qn_http_field_get(const struct qn_http_field *fields, const char *name);
/* An answer without a body. */
void qn_http_answer_empty(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields);

#endif
