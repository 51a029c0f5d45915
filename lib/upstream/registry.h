/* Client of one upstream registry (OCI Distribution 1.1, Docker Registry HTTP API v2).
 *
 * Every call exists in two forms: NAME_async, whose callback runs on the HTTP client's thread, and NAME, which waits
 * and must not be called there. 401 answers are followed to the token server once; tokens are kept per scope until 30
 * seconds before they expire. Errors: NAME_UNKNOWN, MANIFEST_UNKNOWN, BLOB_UNKNOWN (404), UPSTREAM_DENIED (401, 403),
 * RATE_LIMITED (429), NETWORK (5xx, connection), ADDRESS, LIMIT, DIGEST_MISMATCH, SIZE_MISMATCH, TIMEOUT, CANCELLED. */
#ifndef QN_UPSTREAM_REGISTRY_H
#define QN_UPSTREAM_REGISTRY_H

#include "challenge.h"
#include "client.h"
#include "formats/digest.h"

#define QN_REMOTE_MEDIA 256
#define QN_REMOTE_ETAG  256

/* Where the user name and password come from. */
enum qn_credentials_kind { QN_CRED_NONE = 0, QN_CRED_STATIC, QN_CRED_DOCKER_CONFIG, QN_CRED_COMMAND };
struct qn_credentials {
    enum qn_credentials_kind kind;
    const char *username, *password;
    const char *path;        /* of a docker config.json ("auths"; "identitytoken" too) */
    const char *const *argv; /* NULL-terminated; prints {"username":..,"password":..} or USERNAME newline PASSWORD */
    unsigned timeout;        /* of the command, seconds; 0: 10 */
};
struct qn_registry_config {
    const char *name;    /* "docker.io": for messages and for looking up docker's configuration */
    const char *url;     /* "https://registry-1.docker.io"; http:// is allowed when written out */
    bool library_prefix; /* "nginx" means "library/nginx" */
    struct qn_credentials credentials;
    const struct qn_cidr *allow; /* addresses beyond the public ones */
    size_t allows;
    const char *const *realms; /* hosts of token servers beyond the upstream's own domain */
    size_t n_realms;
    uint64_t manifest_max; /* bytes; 0: 4 MiB */
    unsigned attempts;     /* of a blob download without progress; 0: 5 */
    unsigned backoff_ms;   /* first pause between attempts, doubled up to 30 s; 0: 500 */
};
struct qn_registry;
/* Copies the configuration. The client `h` must outlive it. CONFIG for an unusable URL. */
int qn_registry_new(struct qn_client *h, const struct qn_registry_config *config, struct qn_registry **out,
                    struct qn_err *e) QN_MUST_CHECK;
/* Everything started must have ended. NULL is fine. */
void qn_registry_free(struct qn_registry *r);
const char *qn_registry_name(const struct qn_registry *r);

/* What the upstream said last about its limits and how it is. */
struct qn_registry_status {
    int64_t limit, remaining;   /* -1: never said */
    int64_t window;             /* seconds; -1: never said */
    int64_t retry_at;           /* seconds since 1970: a 429 or 503 asked to wait until then; 0: no */
    int64_t last_ok, last_fail; /* seconds since 1970; 0: never */
    unsigned failures;          /* in a row: connections and 5xx */
    char last_error[256];
};
void qn_registry_status(struct qn_registry *r, struct qn_registry_status *out);

/* A manifest, or what a HEAD says of it. */
struct qn_remote_manifest {
    struct qn_digest digest;
    uint64_t size;
    char media_type[QN_REMOTE_MEDIA];
    char etag[QN_REMOTE_ETAG];
    struct qn_str bytes; /* empty after a HEAD; borrowed in callbacks, heap (free bytes.p) after blocking calls */
};
/* Asks what a tag is: HEAD, and GET when that gives no digest. `ref` is a tag or a digest. */
int qn_registry_resolve(struct qn_registry *r, struct qn_str repo, struct qn_str ref, struct qn_remote_manifest *out,
                        struct qn_err *e) QN_MUST_CHECK;
int qn_registry_resolve_async(struct qn_registry *r, struct qn_str repo, struct qn_str ref,
                              void (*done)(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed),
                              void *ctx, struct qn_err *e) QN_MUST_CHECK;
/* Gets a manifest; asked by digest, its bytes are verified. */
int qn_registry_manifest(struct qn_registry *r, struct qn_str repo, struct qn_str ref, struct qn_remote_manifest *out,
                         struct qn_err *e) QN_MUST_CHECK;
int qn_registry_manifest_async(struct qn_registry *r, struct qn_str repo, struct qn_str ref,
                               void (*done)(void *ctx, const struct qn_remote_manifest *m, const struct qn_err *failed),
                               void *ctx, struct qn_err *e) QN_MUST_CHECK;

/* Streams a blob into a sink: hashed on the way, resumed by Range after a cut (progress resets the attempts), the whole
 * verified at the end. The sink sees every byte once, in order, from the start. `size` is the descriptor's
 * (UINT64_MAX: unknown). DIGEST_MISMATCH comes after the last byte: sinks must not publish before `done`. */
int qn_registry_blob(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, uint64_t size,
                     const struct qn_sink *sink, struct qn_err *e) QN_MUST_CHECK;
/* The sink must live until `done`. `*id` (may be NULL) is for qn_registry_cancel. */
int qn_registry_blob_async(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, uint64_t size,
                           const struct qn_sink *sink, void (*done)(void *ctx, const struct qn_err *failed), void *ctx,
                           uint64_t *id, struct qn_err *e) QN_MUST_CHECK;
void qn_registry_cancel(struct qn_registry *r, uint64_t id);

/* One page of tags/list: names from upstream's JSON document that follow the grammar of tags. `page` is "" for the
 * first page, else the `next` of the one before; `n` 0: upstream's own page size. */
#define QN_REMOTE_PAGE 1024
struct qn_remote_tags {
    char **tag; /* heap */
    size_t n;
    char next[QN_REMOTE_PAGE]; /* upstream's own words for the next page; "" at the end */
};
void qn_remote_tags_fini(struct qn_remote_tags *t);
int qn_registry_tags(struct qn_registry *r, struct qn_str repo, const char *page, unsigned n,
                     struct qn_remote_tags *out, struct qn_err *e) QN_MUST_CHECK;
int qn_registry_tags_async(struct qn_registry *r, struct qn_str repo, const char *page, unsigned n,
                           void (*done)(void *ctx, const struct qn_remote_tags *t, const struct qn_err *failed),
                           void *ctx, struct qn_err *e) QN_MUST_CHECK;

/* Referrers of a digest as the bytes of an OCI image index: the API, else the fallback tag ALGORITHM-HEX, else an empty
 * index. At most manifest_max bytes; further pages are appended up to 16. Borrowed in the callback, heap otherwise. */
int qn_registry_referrers(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, char **json, size_t *n,
                          struct qn_err *e) QN_MUST_CHECK;
int qn_registry_referrers_async(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d,
                                void (*done)(void *ctx, struct qn_str json, const struct qn_err *failed), void *ctx,
                                struct qn_err *e) QN_MUST_CHECK;

/* --- pushing (command line destinations); blocking only ----------------------------------------------------------- */
int qn_registry_has_blob(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, bool *has,
                         struct qn_err *e) QN_MUST_CHECK;
/* Uploads `size` bytes of `fd` from `offset`, in one PUT. */
int qn_registry_put_blob(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d, int fd, uint64_t offset,
                         uint64_t size, struct qn_err *e) QN_MUST_CHECK;
/* `ref` is a tag, or empty for the digest of the bytes. */
int qn_registry_put_manifest(struct qn_registry *r, struct qn_str repo, struct qn_str ref, const char *media_type,
                             struct qn_str bytes, struct qn_err *e) QN_MUST_CHECK;

#endif
