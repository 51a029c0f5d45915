/* The registry, mirror and admin listeners: requests to handlers (routes.def), answers from the site. */
#ifndef QN_DAEMON_SERVER_H
#define QN_DAEMON_SERVER_H

#include "http.h"

#include "service/pull.h"
#include "service/push.h"

enum qn_listener { QN_LISTEN_REGISTRY = 0, QN_LISTEN_MIRROR = 1, QN_LISTEN_ADMIN = 2, QN_LISTEN_METRICS = 3 };

struct qn_server {
    struct qn_site *site;
    struct qn_http *http;
    struct qn_cache *cache;
    struct qn_pool *admin; /* threads of the admin API that may wait */
    char token[80];        /* of ROOT/admin.token when the configuration has none */
    int64_t started;
};

struct qn_endpoint;

/* What a request keeps between calls of its handler. */
struct qn_exchange {
    struct qn_server *server;
    const struct qn_endpoint *endpoint;
    struct qn_str arg[3]; /* the parts of the path that the pattern leaves open */
    int64_t started;      /* monotonic ms */
    uint64_t generation;  /* of answers kept in memory, when the request began */
    int step;             /* the handler's own */
    bool checked;         /* admin: query and body are as described */
    struct qn_route route;
    const struct qn_policy *policy;
    struct qn_pull *pull;
    struct qn_denied *denied; /* a denial being recorded */
    struct qn_upload_writer upload;
    char upload_id[QN_UPLOAD_ID];
    bool orphan; /* the upload is known to this request alone */
    struct qn_push *push;
    const char *actor;          /* the admin token's name, or `who` */
    int role;                   /* admin */
    char who[QN_AUTH_USER + 8]; /* registry: the user, "cn:NAME", or "" for anybody */
    json_t *access;             /* registry: of the token, or NULL; owned */
    bool identified;            /* registry: who is known */
    bool beginning;             /* inside `begin`: nothing can wait */
    json_t *body;               /* admin: the checked body, or NULL; owned */
    struct qn_work *work;       /* admin: what runs on a thread that may wait */
};

#define QN_BODY_PUSH SIZE_MAX

struct qn_endpoint {
    const char *pattern; /* "/v2/<name>/manifests/<ref>": <name> may hold slashes, other parts not */
    unsigned listeners;  /* bits 1 << enum qn_listener */
    const char *methods; /* "GET HEAD" */
    void (*handle)(struct qn_exchange *x, struct qn_http_request *r);
    size_t body; /* most bytes of a request body; 0: none; QN_BODY_PUSH: qn_push_begin() decides */
    int role;    /* least admin role; 0: none needed */
    const char *summary;
    const char *name;             /* of the handler */
    const char *query, *in, *out; /* of the admin API: as in api.def; "" for none */
};

/* Opens the listeners of the settings. Free with qn_server_free(). */
int qn_server_new(struct qn_site *site, struct qn_server **out, struct qn_err *e) QN_MUST_CHECK;
/* Puts other settings in force (qn_site_reload()), certificates too; open connections go on. On failure the old ones
 * stay, but for certificates that were read before it. */
int qn_server_reload(struct qn_server *s, const struct qn_settings *settings, struct qn_err *e) QN_MUST_CHECK;
/* Lets what runs finish for at most `ms`, then closes everything. NULL is fine. */
void qn_server_stop(struct qn_server *s, unsigned ms);
void qn_server_free(struct qn_server *s);
/* The row of a path on a listener; `*other` tells that the path exists with other methods. */
const struct qn_endpoint *qn_endpoint_find(int listener, struct qn_str method, struct qn_str path, struct qn_str arg[3],
                                           bool *other);
/* The methods of a path on a listener, for Allow: "GET, HEAD". */
void qn_endpoint_methods(int listener, struct qn_str path, char *out, size_t size);
/* Every row, for documentation and tests. */
const struct qn_endpoint *qn_endpoints(size_t *n);

/* --- for handlers ------------------------------------------------------------------------------------------------- */
bool qn_is_mirror(const struct qn_http_request *r);
/* Routes the name in arg[0]; false when the request was answered with an error. */
bool qn_exchange_route(struct qn_exchange *x, struct qn_http_request *r, struct qn_str tag);
/* Parks until the pull has its answer (or, `resolved`, knows its source) or `deadline`. */
void qn_exchange_wait(struct qn_exchange *x, struct qn_http_request *r, bool resolved, int64_t deadline);
/* Answers with a denial: an error on the registry listener, a denial manifest on the mirror listener when a manifest
 * was asked for. May park; the handler is then called again and must call this again. */
void qn_respond_denial(struct qn_exchange *x, struct qn_http_request *r, enum qn_denial d, const char *message,
                       int64_t retry_at);
/* Where denials stand for names that lead to no upstream. */
#define QN_NO_REPO "-"
/* Answers for a blob that the repository does not show: the sentence of a denial, or "unknown". */
void qn_respond_unlinked(struct qn_exchange *x, struct qn_http_request *r);
void qn_respond_error(struct qn_http_request *r, enum qn_code code, const char *message);
/* "5" and the like for Retry-After. */
void qn_retry_after(int64_t retry_at, char out[24]);
/* The bytes and rows of a denial manifest that is recorded; false when it is not yet (the request parked). */
bool qn_denial_record(struct qn_exchange *x, struct qn_http_request *r, enum qn_denial d, const char *message,
                      struct qn_row_denial *out);

/* A push with a body begins: takes the body or answers. */
void qn_push_begin(struct qn_exchange *x, struct qn_http_request *r);
/* The request is over: what of it is not finished is given up. */
void qn_push_abandon(struct qn_exchange *x);
/* A manifest that is not there, with what was asked for as detail. */
void qn_respond_manifest_unknown(struct qn_exchange *x, struct qn_http_request *r);

/* --- lists of local repositories ---------------------------------------------------------------------------------- */
void qn_local_tags(struct qn_exchange *x, struct qn_http_request *r, struct qn_str last, uint64_t n);
void qn_local_referrers(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d, const char *type);
/* A referrer as a descriptor. */
json_t *qn_referrer_json(const struct qn_row_referrer *row);
/* Takes `manifests`; `link` may be NULL. */
void qn_respond_referrers(struct qn_http_request *r, json_t *manifests, bool filtered, const char *link);

/* Records a pull when audit.pulls asks for it. */
void qn_note_pull(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *served);

/* Gives up the interest in work of the admin API. NULL is fine. */
struct qn_work;
void qn_work_release(struct qn_work *w);
/* Gives up the interest in a denial that is being recorded. NULL is fine. */
void qn_denied_release(struct qn_denied *d);

/* --- answers kept in memory --------------------------------------------------------------------------------------- */
/* A response kept under a key until a time; NULL when there is none of this generation (qn_site_generation). The caller
 * gets a reference. */
struct qn_http_shared *qn_cache_get(struct qn_cache *c, uint64_t generation, const char *key);
/* Keeps a response (a reference of its own) of `bytes` until `expires` (seconds since 1970). One of an older generation
 * than is kept already is not; a newer one makes what is kept void. */
void qn_cache_put(struct qn_cache *c, uint64_t generation, const char *key, struct qn_http_shared *s, size_t bytes,
                  int64_t expires);
void qn_cache_clear(struct qn_cache *c);
struct qn_cache *qn_cache_new(size_t max_bytes);
void qn_cache_free(struct qn_cache *c);

#define QN_ENDPOINT(name) void qn_endpoint_##name(struct qn_exchange *x, struct qn_http_request *r)
QN_ENDPOINT(base);
QN_ENDPOINT(token);
QN_ENDPOINT(token_post);
QN_ENDPOINT(manifest);
QN_ENDPOINT(blob);
QN_ENDPOINT(tags);
QN_ENDPOINT(referrers);
QN_ENDPOINT(catalog);
QN_ENDPOINT(manifest_put);
QN_ENDPOINT(manifest_delete);
QN_ENDPOINT(blob_delete);
QN_ENDPOINT(upload_start);
QN_ENDPOINT(upload_status);
QN_ENDPOINT(upload_patch);
QN_ENDPOINT(upload_put);
QN_ENDPOINT(upload_cancel);
QN_ENDPOINT(healthz);
QN_ENDPOINT(readyz);
QN_ENDPOINT(metrics);
QN_ENDPOINT(openapi);
QN_ENDPOINT(resolve);
QN_ENDPOINT(images);
QN_ENDPOINT(images_post);
QN_ENDPOINT(image);
QN_ENDPOINT(report);
QN_ENDPOINT(jobs);
QN_ENDPOINT(job);
QN_ENDPOINT(job_cancel);
QN_ENDPOINT(job_retry);
QN_ENDPOINT(policies);
QN_ENDPOINT(upstreams);
QN_ENDPOINT(gc);
QN_ENDPOINT(scrub);
QN_ENDPOINT(image_delete);
QN_ENDPOINT(diff);
QN_ENDPOINT(explain);
QN_ENDPOINT(approve);
QN_ENDPOINT(reject);
QN_ENDPOINT(pin);
QN_ENDPOINT(tag_history);
QN_ENDPOINT(tag_rollback);
QN_ENDPOINT(tag_freeze);
QN_ENDPOINT(tag_thaw);
QN_ENDPOINT(overrides);
QN_ENDPOINT(override_post);
QN_ENDPOINT(override_delete);
QN_ENDPOINT(policy_explain);
QN_ENDPOINT(packages);
QN_ENDPOINT(snippet);
QN_ENDPOINT(audit);

#endif
