/* The HTTP client: one thread owns every upstream connection (libcurl multi). Requests enter by a queue; callbacks run
 * on that thread and must not block.
 *
 * Only http and https; no proxies, no netrc, no cookies, no content decoding, HTTP/1.1. Redirects are followed by our
 * own code: at most five, never from https to http, Authorization only ever to the first origin (scheme, host, port).
 * Every socket's address is checked (address.h) after name resolution, on reused connections too. */
#ifndef QN_UPSTREAM_CLIENT_H
#define QN_UPSTREAM_CLIENT_H

#include "address.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/sink.h"
#include "base/str.h"

#include <stdint.h>

struct qn_client;

struct qn_client_options {
    unsigned per_host;        /* connections to one host; 0: 8 */
    unsigned total;           /* connections altogether; 0: 64 */
    unsigned connect_timeout; /* seconds; 0: 10 */
    unsigned stall_timeout;   /* seconds below stall_rate that end a transfer; 0: 30 */
    unsigned stall_rate;      /* bytes a second; 0: 64 */
    const char *user_agent;   /* NULL: "quench/VERSION" */
    const char *ca_file;      /* NULL: the system's */
};
int qn_client_new(const struct qn_client_options *opt, struct qn_client **out, struct qn_err *e) QN_MUST_CHECK;
/* Ends what is under way (completions run with CANCELLED) and the thread; whatever is started later fails with
 * CANCELLED. To shut down: stop this, then free fetchers and registries, then this. */
void qn_client_stop(struct qn_client *h);
/* Stops and frees. NULL is fine. */
void qn_client_free(struct qn_client *h);

enum qn_client_method {
    QN_CLIENT_GET,
    QN_CLIENT_HEAD,
    QN_CLIENT_POST,
    QN_CLIENT_PUT,
    QN_CLIENT_PATCH,
    QN_CLIENT_DELETE
};

struct qn_client_header {
    char *name; /* as received */
    char *value;
};
struct qn_client_response {
    int status;         /* of the last hop; 0 when there was no answer */
    struct qn_str body; /* when no sink took it; of an error status at most 16 KiB; borrowed */
    const char *url;    /* of the last hop */
    const struct qn_client_header *header;
    size_t headers;
    uint64_t received; /* body bytes of this answer, wherever they went */
};
/* First header of that name (any case), or the empty view. */
struct qn_str qn_client_header_get(const struct qn_client_response *r, const char *name);

/* What a request needs; qn_client_start copies everything but `sink`, `allow`, `body_fd` and the callbacks' contexts,
 * which must live until `done`. */
struct qn_client_request {
    enum qn_client_method method;
    const char *url;
    const char *const *header; /* "Name: value" lines */
    size_t headers;
    const char *authorization; /* value of Authorization, or NULL; never sent to another origin */
    struct qn_str body;        /* of POST, PUT, PATCH when body_fd is -1 */
    int body_fd;               /* -1, or a file to send: body_size bytes from body_offset */
    uint64_t body_offset, body_size;
    uint64_t range_from;    /* "Range: bytes=FROM-" when not 0 */
    uint64_t max_body;      /* ceiling of a body of status 2xx, in memory or into the sink; LIMIT beyond; 0: 1 MiB */
    unsigned timeout;       /* seconds for the whole request, redirects included; 0: none */
    unsigned max_redirects; /* 0 to 5 */
    bool plain_http;        /* http:// is allowed (the upstream is configured so); else https only */
    const struct qn_cidr *allow; /* blocks beyond the public addresses */
    size_t allows;
    const struct qn_sink *sink; /* gets bodies of status 200 and 206 alone; NULL: into memory */
    /* Called once on the status and headers of the final answer, before any body byte reaches the sink; -1 ends the
     * request with `e`. May be NULL. */
    int (*head)(void *ctx, const struct qn_client_response *r, struct qn_err *e);
    /* Called exactly once. `failed` is NULL when a complete answer came, whatever its status. */
    void (*done)(void *ctx, const struct qn_client_response *r, const struct qn_err *failed);
    void *ctx;
};
/* Queues a request; `*id` (may be NULL) names it. Any thread, also from callbacks. */
int qn_client_start(struct qn_client *h, const struct qn_client_request *req, uint64_t *id,
                    struct qn_err *e) QN_MUST_CHECK;
/* Ends a request: `done` runs soon with CANCELLED, unless it ran already. Any thread. */
void qn_client_cancel(struct qn_client *h, uint64_t id);
/* Runs `fn` on the client's thread after `ms` milliseconds (back-off). When the client stops, it runs at once with
 * `stopping` true. */
int qn_client_later(struct qn_client *h, unsigned ms, void (*fn)(void *ctx, bool stopping), void *ctx,
                    struct qn_err *e) QN_MUST_CHECK;
/* Whether this is the client's thread (where blocking calls are a bug). */
bool qn_client_on_thread(const struct qn_client *h);

#endif
