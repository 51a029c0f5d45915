/* A small HTTP/1.1 server on libmicrohttpd that knows nothing of registries.
 *
 * One acceptor thread hands connections round robin to worker threads (one epoll loop each), which run the callbacks
 * of struct qn_http_app and must never block. What takes time parks its request (qn_http_park) and is called again
 * when another thread wakes it. A control thread keeps every deadline. Framing that could be read two ways is refused
 * and the connection closed. */
#ifndef QN_DAEMON_HTTP_H
#define QN_DAEMON_HTTP_H

#include "base/err.h"
#include "base/sink.h"
#include "base/str.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct qn_http;
struct qn_http_request; /* valid from `begin` to the return of `end` */

/* --- server ------------------------------------------------------------------------------------------------------- */
#define QN_HTTP_KINDS 8

struct qn_http_listen {
    const char *address; /* "HOST:PORT", "[::]:PORT" (both families), "unix:PATH", "systemd:NAME"; port 0: any free */
    int kind;            /* the caller's number of the listener, 0 to QN_HTTP_KINDS - 1 */
    const char *name;    /* of the kind, for the log; static */
    bool tls;            /* speak TLS (TCP only) */
    bool uploads;        /* large bodies are expected: bigger buffers */
    bool problems;       /* errors of the server's own are application/problem+json (RFC 9457), not OCI's */
};

/* What the application does. All run on worker threads and must not block; `ctx` is the application's. */
struct qn_http_app {
    /* The headers of a request are there. A request with a body chooses here how it is taken (qn_http_body_*), or is
     * answered at once, after which its connection closes. Without a choice the body is refused. */
    void (*begin)(void *ctx, struct qn_http_request *r);
    /* The whole request is there: respond, or park. Called again after each wake-up until there is a response. */
    void (*handle)(void *ctx, struct qn_http_request *r);
    /* The request is over, answered or not (client gone, server stopped). Free what qn_http_set_user keeps. */
    void (*end)(void *ctx, struct qn_http_request *r);
    /* May be NULL: whether X-Forwarded-For of this peer is believed; such peers are not capped per client. */
    bool (*trusted)(void *ctx, const struct sockaddr *peer, socklen_t n);
    void *ctx;
};

struct qn_http_options {
    const struct qn_http_listen *listen;
    size_t listen_count;
    unsigned workers;     /* 0: one a core, at least 2 */
    unsigned io_threads;  /* that read files which are not in memory; 0: 4 */
    unsigned connections; /* at most at a time; 0: 4096. Beyond, clients wait in the backlog */
    unsigned per_client;  /* of one IPv4 address or IPv6 /64; 0: 256. Beyond, closed at once */
    unsigned header_ms;   /* from connect or first byte to the end of the headers; 0: 10000 */
    unsigned idle_s;      /* without a byte either way; 0: 30 */
    const char *tls_cert; /* PEM texts; NULL: no TLS */
    const char *tls_key;
    const char *tls_client_ca; /* asks clients for certificates; NULL: not */
    bool access_log;           /* one line a request */
};

/* Binds, starts the threads and serves. `options` and `app` are copied, texts in them are not needed afterwards
 * except for `name`. CONFIG for addresses that cannot be used; UNSUPPORTED for versions of libmicrohttpd from 0.9.77.1
 * to 1.0.9, which crash on crafted requests. */
int qn_http_new(const struct qn_http_options *options, const struct qn_http_app *app, struct qn_http **out,
                struct qn_err *e) QN_MUST_CHECK;
/* The port of the `i`th listener (of the options), or 0. */
unsigned qn_http_port(const struct qn_http *h, size_t i);
/* New certificate, key and authority (as in the options) for connections that come from now on; those that are open go
 * on. On failure everything stays as it was. Nothing happens without TLS listeners. Not from two threads at a time. */
int qn_http_retls(struct qn_http *h, const char *cert, const char *key, const char *client_ca,
                  struct qn_err *e) QN_MUST_CHECK;
/* Stops accepting, lets what runs finish with "Connection: close", for at most `ms` milliseconds. True when no
 * connection was left. */
bool qn_http_drain(struct qn_http *h, unsigned ms);
/* Stops. Parked requests end unanswered. Nothing may call qn_http_wake() for this server afterwards. NULL is fine. */
void qn_http_free(struct qn_http *h);

struct qn_http_counters {
    uint64_t requests[QN_HTTP_KINDS][6]; /* by kind and status class (1xx..5xx); [0]: ended without an answer */
    uint64_t connections;                /* now */
    uint64_t accepted;
    uint64_t refused;   /* by the cap per client */
    uint64_t rejected;  /* framing or target refused */
    uint64_t timed_out; /* closed by a deadline of ours */
    uint64_t parked;    /* now */
    uint64_t bytes_in;  /* bodies */
    uint64_t bytes_out;
};
void qn_http_counters(const struct qn_http *h, struct qn_http_counters *out);
/* Version of libmicrohttpd, "0.9.75". */
const char *qn_http_library(void);
/* False for versions that crash on crafted requests (0.9.77.1 to 1.0.9), and for what is not a version. */
bool qn_http_library_usable(const char *version);

/* --- request ------------------------------------------------------------------------------------------------------ */
enum qn_http_method {
    QN_HTTP_GET = 1,
    QN_HTTP_HEAD,
    QN_HTTP_POST,
    QN_HTTP_PUT,
    QN_HTTP_PATCH,
    QN_HTTP_DELETE,
    QN_HTTP_OPTIONS,
    QN_HTTP_OTHER,
};
/* Views live as long as the request. */
enum qn_http_method qn_http_method(const struct qn_http_request *r);
const char *qn_http_method_text(const struct qn_http_request *r);
struct qn_str qn_http_path(const struct qn_http_request *r); /* decoded and checked, see target.h */
bool qn_http_query(const struct qn_http_request *r, const char *key, struct qn_str *value);
/* Every value of a query key ("tag" may stand more than once), in order; stops when `each` returns false. */
void qn_http_query_each(const struct qn_http_request *r, const char *key, bool (*each)(void *arg, struct qn_str value),
                        void *arg);
/* Every key of the query, in order; stops when `each` returns false. */
void qn_http_query_keys(const struct qn_http_request *r, bool (*each)(void *arg, struct qn_str key), void *arg);
int qn_http_kind(const struct qn_http_request *r);
bool qn_http_is_tls(const struct qn_http_request *r);
const char *qn_http_id(const struct qn_http_request *r); /* X-Request-Id if it was [A-Za-z0-9._-]{1,63}, or made here */
const char *qn_http_peer(const struct qn_http_request *r); /* address as text, after X-Forwarded-For; "unix" */
/* Credentials of a unix socket's peer; false on TCP. */
bool qn_http_peer_cred(const struct qn_http_request *r, uid_t *uid, pid_t *pid);
/* Common name of the verified client certificate; "" for none. */
const char *qn_http_client_cn(const struct qn_http_request *r);
/* First value of a header (name without regard to case); false when absent. */
bool qn_http_header(const struct qn_http_request *r, const char *name, struct qn_str *value);
/* Every value of a header, in order; stops when `each` returns false. */
void qn_http_header_each(const struct qn_http_request *r, const char *name,
                         bool (*each)(void *arg, struct qn_str value), void *arg);
/* Whether there is a body, and its declared length (UINT64_MAX: chunked). */
bool qn_http_has_body(const struct qn_http_request *r, uint64_t *length);
/* The application's pointer. */
void qn_http_set_user(struct qn_http_request *r, void *user);
void *qn_http_user(const struct qn_http_request *r);

/* In `begin`: collects a body of at most `max` bytes. */
void qn_http_body_buffer(struct qn_http_request *r, size_t max);
/* In `begin`: passes a body of at most `max` bytes on as it comes. When the sink fails, the rest is read and dropped
 * and qn_http_body_error tells. */
void qn_http_body_stream(struct qn_http_request *r, const struct qn_sink *sink, uint64_t max);
/* In `handle`: the collected body. */
struct qn_str qn_http_body(const struct qn_http_request *r);
/* In `handle`: NULL, or why the body could not be taken (LIMIT, or the sink's error). */
const struct qn_err *qn_http_body_error(const struct qn_http_request *r);
/* Bytes of the body so far. */
uint64_t qn_http_body_size(const struct qn_http_request *r);

/* --- parking ------------------------------------------------------------------------------------------------------ */
struct qn_http_waker;
/* In `handle` or in a source's `read`: stops the request until the waker is woken, `deadline` (monotonic milliseconds,
 * INT64_MAX: none) passes, or the client leaves. Then `handle` (or `read`) runs again, unless the client left. Return
 * without a response. The caller gets the waker with one reference, to be passed on to whoever wakes. NULL when the
 * server stops: just return. At most one waker a request is live: a new park makes the old one void. */
struct qn_http_waker *qn_http_park(struct qn_http_request *r, int64_t deadline);
/* Any thread: wakes the request if it still is parked on this waker, and gives the reference back. Never blocks long,
 * calls nothing back. */
void qn_http_wake(struct qn_http_waker *w);
/* Gives a reference back without waking. */
void qn_http_waker_drop(struct qn_http_waker *w);
/* Whether the last park ended by its deadline. */
bool qn_http_timed_out(const struct qn_http_request *r);

/* --- responses: in `begin` or `handle`, once a request ------------------------------------------------------------ */
struct qn_http_field {
    const char *name;
    const char *value; /* NULL or with control bytes: left out */
};

/* A body from memory (copied). HEAD gets its length only. `fields` ends with a NULL name (NULL: none). */
void qn_http_respond(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                     struct qn_str body);
/* Takes `json`. Content-Type: application/json. */
void qn_http_respond_json(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields, json_t *json);
/* Headers without a body and without Content-Length (HEAD whose answer is not known yet). */
void qn_http_respond_headers(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields);
/* {"errors":[{code,message,detail}]} (OCI distribution-spec "Error Codes"); status 0: the error code's own. The text
 * is e->msg, which must be fit for the client. */
void qn_http_respond_oci_error(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                               const struct qn_err *e);
/* The same, one error for each item of the array `details` (borrowed), which is its "detail". */
void qn_http_respond_oci_details(struct qn_http_request *r, const struct qn_http_field *fields, const struct qn_err *e,
                                 const json_t *details);
/* application/problem+json (RFC 9457). */
void qn_http_respond_problem(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                             const struct qn_err *e);

/* A response made once and sent many times, from any thread. */
struct qn_http_shared;
/* With an ETag among the fields, If-None-Match is answered with 304. One reference for the caller. */
struct qn_http_shared *qn_http_shared_new(unsigned status, const struct qn_http_field *fields, struct qn_str body);
struct qn_http_shared *qn_http_shared_ref(struct qn_http_shared *s);
void qn_http_shared_unref(struct qn_http_shared *s); /* NULL is fine */
/* Its entity tag without the quotes; empty when it has none. Lives as long as the response. */
struct qn_str qn_http_shared_tag(const struct qn_http_shared *s);
void qn_http_respond_shared(struct qn_http_request *r, struct qn_http_shared *s);

/* A file of `size` bytes; takes `fd`. Handles HEAD, If-None-Match (against an ETag among the fields), Range and
 * If-Range, and sets Accept-Ranges. Reads what is in memory on the worker, the rest on I/O threads. */
void qn_http_respond_file(struct qn_http_request *r, const struct qn_http_field *fields, int fd, uint64_t size);

/* A body that comes from the application piece by piece. */
enum { QN_HTTP_AGAIN = 0, QN_HTTP_END = -1, QN_HTTP_ABORT = -2 };
struct qn_http_source {
    /* Copies up to `n` bytes from offset `off` of the content: how many; QN_HTTP_AGAIN after qn_http_park(r, ...);
     * QN_HTTP_END (unknown size only); QN_HTTP_ABORT closes the connection so that the client sees an incomplete
     * body. Runs on the worker. */
    ssize_t (*read)(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n);
    /* The response is over. */
    void (*free)(void *ctx);
    void *ctx;
};
#define QN_HTTP_UNKNOWN UINT64_MAX
/* Headers leave now, the body as `source` yields it: chunked for QN_HTTP_UNKNOWN, else with its length and with
 * ranges as for files. Use for blobs that are still arriving and for bodies that are held until they are known. */
void qn_http_respond_source(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                            uint64_t size, const struct qn_http_source *source);

/* Whether If-None-Match of the request names this entity tag (quotes included). */
bool qn_http_none_match(const struct qn_http_request *r, struct qn_str etag);

/* --- a file that is still being written --------------------------------------------------------------------------- */
struct qn_http_growing;
/* What others write to `fd` (taken), `size` bytes in the end (QN_HTTP_UNKNOWN: not known yet). Any thread. */
struct qn_http_growing *qn_http_growing_new(int fd, uint64_t size);
struct qn_http_growing *qn_http_growing_ref(struct qn_http_growing *g);
void qn_http_growing_unref(struct qn_http_growing *g); /* NULL is fine */
/* `avail` bytes may be read now. Wakes readers that have 128 KiB or their rest. Any thread. */
void qn_http_growing_advance(struct qn_http_growing *g, uint64_t avail);
/* Everything is there, `size` bytes; or nothing more will come, and readers that need more are cut off. */
void qn_http_growing_finish(struct qn_http_growing *g, uint64_t size);
void qn_http_growing_fail(struct qn_http_growing *g);
/* Streams it as qn_http_respond_file does, waiting where it must. */
void qn_http_respond_growing(struct qn_http_request *r, const struct qn_http_field *fields, struct qn_http_growing *g);

#endif
