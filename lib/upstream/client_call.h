/* One request of the HTTP client, all its hops; private to this room. */
#ifndef QN_UPSTREAM_CLIENT_CALL_H
#define QN_UPSTREAM_CLIENT_CALL_H

#include "client.h"

#include <curl/curl.h>

#define QN_CLIENT_HEADERS_MAX  128u
#define QN_CLIENT_HEADER_BYTES 65536u
#define QN_CLIENT_ERROR_BODY   16384u
#define QN_CLIENT_IGNORED_MAX  (1u << 20) /* of bodies that nobody wants */

/* Scheme, host and port: what credentials are bound to. */
struct qn_origin {
    char *scheme, *host, *port;
};
void qn_origin_fini(struct qn_origin *o);
bool qn_origin_eq(const struct qn_origin *a, const struct qn_origin *b);
/* Takes a URL apart; ADDRESS unless it is https, or http where that is allowed, without user information. */
int qn_origin_of(const char *url, bool plain_http, struct qn_origin *out, struct qn_err *e) QN_MUST_CHECK;

struct qn_call {
    struct qn_call *next; /* in the queue, or among the running */
    uint64_t id;
    struct qn_client_request req; /* texts point at own copies */
    char **header;
    char *authorization, *body;
    const char *user_agent, *ca_file;
    long connect_timeout, stall_timeout, stall_rate;
    int64_t deadline; /* monotonic ms; 0: none */
    bool cancelled;

    char *url; /* of this hop */
    struct qn_origin first, now;
    unsigned hops;
    CURL *easy;
    struct curl_slist *lines;
    struct qn_client_header *got;
    size_t got_n, got_cap, got_bytes;
    struct qn_buf memory;
    uint64_t received, sent;
    bool head_done;
    bool refused; /* an address was not allowed */
    bool failed;  /* err is set by a callback */
    struct qn_err err;
    char curl_text[CURL_ERROR_SIZE];
};

struct qn_call *qn_call_new(const struct qn_client_request *req);
void qn_call_free(struct qn_call *c);
/* Makes the easy handle of the present hop. */
int qn_call_prepare(struct qn_call *c, struct qn_err *e) QN_MUST_CHECK;
/* After a transfer: whether another hop follows (url and origin are set then, the handle is gone). */
int qn_call_redirect(struct qn_call *c, bool *again, struct qn_err *e) QN_MUST_CHECK;
/* Turns libcurl's result into ours; 0 when a complete answer came. */
int qn_call_result(struct qn_call *c, CURLcode rc, struct qn_err *e) QN_MUST_CHECK;
/* Runs `done`. */
void qn_call_done(struct qn_call *c, const struct qn_err *failed);

#endif
