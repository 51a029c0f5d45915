/* Inside of the registry client: one operation with its log-ins and repeats; private to this room. */
#ifndef QN_UPSTREAM_REGISTRY_OP_H
#define QN_UPSTREAM_REGISTRY_OP_H

#include "registry.h"

#include "base/pool.h"

#include <pthread.h>

#define QN_OP_SCOPE   320u
#define QN_OP_HEADERS 4u
#define QN_TOKENS_MAX 256u /* cached of one registry */

struct qn_token {
    struct qn_token *next;
    char scope[QN_OP_SCOPE];
    char *header; /* "Bearer ..." */
    int64_t expires;
    uint64_t serial;
};

/* User name and password, or an identity token. */
struct qn_login {
    char *username, *password, *identity;
};
void qn_login_fini(struct qn_login *l);
/* Copies into a zeroed one. */
void qn_login_copy(struct qn_login *to, const struct qn_login *from);

struct qn_blob_op;

struct qn_registry {
    struct qn_client *http;
    char *name, *url; /* url without a trailing slash */
    bool plain_http, library_prefix;
    struct qn_credentials cred; /* texts are own copies */
    struct qn_cidr *allow;
    size_t allows;
    char **realm;
    size_t realms;
    uint64_t manifest_max;
    unsigned attempts, backoff_ms;
    struct qn_pool *pool; /* runs the credentials command; NULL without one */

    pthread_mutex_t lock; /* of what follows */
    struct qn_registry_status status;
    struct qn_token *token; /* newest first */
    size_t tokens;
    uint64_t serial;
    char *basic; /* "Basic ...", once the upstream asked for it */
    struct qn_login login;
    int64_t login_until; /* seconds; the login is known until then */
    struct qn_blob_op *blobs;
    uint64_t last_blob;
};

struct qn_op {
    struct qn_registry *r;
    enum qn_client_method method;
    char *url;
    char *header[QN_OP_HEADERS];
    size_t headers;
    struct qn_str body; /* borrowed */
    int body_fd;
    uint64_t body_offset, body_size, range_from, max_body;
    unsigned timeout;
    const struct qn_sink *sink;
    int (*head)(void *ctx, const struct qn_client_response *r, struct qn_err *e);
    char scope[QN_OP_SCOPE]; /* "repository:library/nginx:pull" */
    bool repeat;             /* connection failures and 5xx are tried again */
    enum qn_code missing;    /* what 404 means */
    /* Called once, on the HTTP client's thread; `resp` may have any status. The operation is freed afterwards. */
    void (*done)(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed);
    void *ctx;
    /* The machinery's own. */
    unsigned logins, tries;
    uint64_t used_serial; /* of the token that was sent; 0: none */
    bool used_basic;
    struct qn_login login;
    char *realm, *service, *wanted; /* of the challenge */
    _Atomic uint64_t *http_id;      /* where the id of the request under way goes; may be NULL */
};

/* A fresh operation on "URL/v2/PATH"; `action` "pull" or "pull,push". */
struct qn_op *qn_op_new(struct qn_registry *r, enum qn_client_method method, struct qn_str repo, const char *action,
                        const char *fmt, ...) QN_PRINTF(5, 6);
void qn_op_header(struct qn_op *op, const char *line);
/* Starts it and takes it over, also on failure (then `done` is not called). */
int qn_op_start(struct qn_op *op, struct qn_err *e) QN_MUST_CHECK;
void qn_op_free(struct qn_op *op);
/* Ends it: runs `done` and frees. */
void qn_op_finish(struct qn_op *op, const struct qn_client_response *resp, const struct qn_err *failed);
/* Sends it (again) with what is known of log-ins; a failure finishes it. */
void qn_op_send(struct qn_op *op);
/* Fills `e` for a status that is no success: 404, 401, 429 ... `missing` is the code of 404. */
int qn_status_fail(struct qn_registry *r, const struct qn_client_response *resp, const char *what, enum qn_code missing,
                   struct qn_err *e);
/* The repository as upstream knows it ("library/" added); NAME_INVALID unless it follows the grammar. */
int qn_registry_repo(const struct qn_registry *r, struct qn_str repo, char out[256], struct qn_err *e) QN_MUST_CHECK;

/* --- log-ins (login.c) -------------------------------------------------------------------------------------------- */
/* Answers a 401: gets what the challenge asks for and sends the operation again, or finishes it. */
void qn_op_login(struct qn_op *op, const struct qn_client_response *resp);
/* "Bearer ..." or "Basic ..." for a scope as far as it is known, as a heap string, or NULL; `*serial` of the token. */
char *qn_login_header(struct qn_registry *r, const char *scope, uint64_t *serial, bool *basic);
/* Forgets a token that was refused. */
void qn_token_forget(struct qn_registry *r, uint64_t serial);
/* Forgets user name and password, and that they were sent as Basic: the upstream refused them. */
void qn_login_forget(struct qn_registry *r);
void qn_tokens_free(struct qn_registry *r);

/* --- credentials (credentials.c) ---------------------------------------------------------------------------------- */
/* Reads or runs what the configuration says. Blocks for a command. A zeroed login: anonymous. */
int qn_credentials_get(const struct qn_registry *r, struct qn_login *out, struct qn_err *e) QN_MUST_CHECK;
/* Base64 of "USER:PASSWORD" behind "Basic "; heap. */
char *qn_basic_header(const char *username, const char *password);
/* Decodes docker's "auth" member; MALFORMED otherwise. */
int qn_basic_decode(struct qn_str base64, struct qn_login *out, struct qn_err *e) QN_MUST_CHECK;
/* What a credentials command printed; `username` (may be NULL) for a password alone. */
int qn_credentials_parse(struct qn_str text, const char *username, struct qn_login *out,
                         struct qn_err *e) QN_MUST_CHECK;

/* --- waiting for an answer on another thread (registry_sync.c) ---------------------------------------------------- */
struct qn_waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished;
    bool failed;
    struct qn_err err;
};
void qn_waiter_init(struct qn_waiter *w);
void qn_waiter_finish(struct qn_waiter *w, const struct qn_err *failed);
/* Waits, and frees the waiter; -1 with the error when it failed. `started` < 0: `e` is set, nothing to wait for. */
int qn_waiter_wait(struct qn_waiter *w, int started, struct qn_err *e) QN_MUST_CHECK;

#endif
