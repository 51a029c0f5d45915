/* Rows about content: blobs, manifests and what they name, repositories and what they may show, referrers, denials,
 * pins. See index.h for transactions; functions marked W need the writer's. */
#ifndef QN_STORE_ROWS_CONTENT_H
#define QN_STORE_ROWS_CONTENT_H

#include "index.h"

/* --- blobs -------------------------------------------------------------------------------------------------------- */
enum qn_origin { QN_ORIGIN_UPSTREAM = 1, QN_ORIGIN_MADE = 2, QN_ORIGIN_PUSHED = 3, QN_ORIGIN_FACTS = 4 };

struct qn_row_blob {
    struct qn_digest digest;
    uint64_t size;
    enum qn_origin origin;
    int64_t added;    /* seconds */
    int64_t last_day; /* day of last use: seconds / 86400 */
};
/* W. Adds a blob that is durable on disk (added and last_day of 0 mean now). An existing row keeps its time; its origin
 * becomes the more public of the two (upstream, made, pushed, facts): only what an upstream gave may be used for others
 * than the repositories that show it. */
int qn_index_blob_put(struct qn_tx *tx, const struct qn_row_blob *row, struct qn_err *e) QN_MUST_CHECK;
int qn_index_blob_get(struct qn_tx *tx, const struct qn_digest *d, struct qn_row_blob *out, bool *found,
                      struct qn_err *e) QN_MUST_CHECK;
/* W. Forgets a blob and, when it is a manifest, its manifest row and edges. Links stay when the origin is
 * upstream, but for those of local repositories. */
int qn_index_blob_del(struct qn_tx *tx, const struct qn_digest *d, struct qn_err *e) QN_MUST_CHECK;
/* Bytes and number of all blobs. */
int qn_index_used(struct qn_tx *tx, uint64_t *bytes, uint64_t *blobs, struct qn_err *e) QN_MUST_CHECK;

/* --- manifests ---------------------------------------------------------------------------------------------------- */
enum qn_edge_kind { QN_EDGE_MANIFEST = 1, QN_EDGE_CONFIG = 2, QN_EDGE_LAYER = 3 };

struct qn_row_manifest {
    struct qn_digest digest;
    uint64_t size;
    char media_type[QN_ROW_MEDIA];
    char artifact_type[QN_ROW_MEDIA]; /* "" for none */
    struct qn_digest subject;         /* none: algorithm 0 */
    struct qn_digest config;          /* none for indexes */
};
struct qn_row_edge {
    struct qn_digest child;
    enum qn_edge_kind kind;
};
/* W. Adds a manifest and what it names (its bytes are a blob: qn_index_blob_put first). */
int qn_index_manifest_put(struct qn_tx *tx, const struct qn_row_manifest *row, const struct qn_row_edge *edges,
                          size_t n, struct qn_err *e) QN_MUST_CHECK;
int qn_index_manifest_get(struct qn_tx *tx, const struct qn_digest *d, struct qn_row_manifest *out, bool *found,
                          struct qn_err *e) QN_MUST_CHECK;
/* What a manifest names; `*out` is freed with free(). Every child once, in no promised order. */
int qn_index_children(struct qn_tx *tx, const struct qn_digest *parent, struct qn_row_edge **out, size_t *n,
                      struct qn_err *e) QN_MUST_CHECK;
/* Manifests that name `child`, at most `max`; `*out` is freed with free(). */
int qn_index_parents(struct qn_tx *tx, const struct qn_digest *child, size_t max, struct qn_digest **out, size_t *n,
                     struct qn_err *e) QN_MUST_CHECK;

/* --- repositories and what they may show -------------------------------------------------------------------------- */
enum qn_link_kind { QN_LINK_MANIFEST = 1, QN_LINK_BLOB = 2 };
/* Why a repository shows a digest. Order matters: a stronger reason (larger) replaces a weaker one. */
enum qn_link_how {
    QN_HOW_DENIAL = 1,      /* part of a denial manifest */
    QN_HOW_PASSTHROUGH = 2, /* mode off, artifacts, signatures: upstream's bytes */
    QN_HOW_ORIGINAL = 3,    /* upstream's bytes, handed out by decision (audit, on_doubt: original, exact) */
    QN_HOW_REPORT = 4,      /* evidence of ours */
    QN_HOW_HARDENED = 5,
    QN_HOW_PUSHED = 6
};
struct qn_row_link {
    char repo[QN_ROW_REPO];
    struct qn_digest digest;
    enum qn_link_kind kind;
    enum qn_link_how how;
    char media_type[QN_ROW_MEDIA];
    int64_t added;
};
/* W. Makes a repository known; `local` ones hold what people pushed and keep untagged manifests. */
int qn_index_repo_put(struct qn_tx *tx, const char *repo, bool local, struct qn_err *e) QN_MUST_CHECK;
/* Names after `after` ("" from the start) in bytewise order, at most `max`; `fn` stops the walk by returning false. */
int qn_index_repos(struct qn_tx *tx, const char *after, size_t max, bool (*fn)(void *arg, const char *repo, bool local),
                   void *arg, struct qn_err *e) QN_MUST_CHECK;
int qn_index_repo_get(struct qn_tx *tx, const char *repo, bool *local, bool *found, struct qn_err *e) QN_MUST_CHECK;
/* W. Lets `row->repo` (made known when it is not) show a digest. */
int qn_index_link_put(struct qn_tx *tx, const struct qn_row_link *row, struct qn_err *e) QN_MUST_CHECK;
/* The one check of access: whether this repository shows this digest as this kind. */
int qn_index_link_get(struct qn_tx *tx, const char *repo, enum qn_link_kind kind, const struct qn_digest *d,
                      struct qn_row_link *out, bool *found, struct qn_err *e) QN_MUST_CHECK;
/* W. `*found` tells whether there was one. */
int qn_index_link_del(struct qn_tx *tx, const char *repo, enum qn_link_kind kind, const struct qn_digest *d,
                      bool *found, struct qn_err *e) QN_MUST_CHECK;
/* Repositories that show a digest, by name after `after`, at most `max`; `fn` stops the walk by returning false. */
int qn_index_links_of(struct qn_tx *tx, const struct qn_digest *d, const char *after, size_t max,
                      bool (*fn)(void *arg, const struct qn_row_link *row), void *arg, struct qn_err *e) QN_MUST_CHECK;

/* W. Takes from a repository what a manifest of ours or of upstream's alone shows there: itself, the blobs that no
 * other manifest shown there names, and manifests below that no other one holds. What was pushed stays. */
int qn_index_unlink_tree(struct qn_tx *tx, const char *repo, const struct qn_digest *manifest,
                         struct qn_err *e) QN_MUST_CHECK;

/* --- referrers ---------------------------------------------------------------------------------------------------- */
struct qn_row_referrer {
    struct qn_digest subject;
    struct qn_digest digest;
    uint64_t size;
    char media_type[QN_ROW_MEDIA];
    char artifact_type[QN_ROW_MEDIA];
    char *annotations; /* JSON object text or NULL; heap on reading (qn_row_referrer_fini), borrowed on writing */
};
void qn_row_referrer_fini(struct qn_row_referrer *r);
/* W. */
int qn_index_referrer_put(struct qn_tx *tx, const char *repo, const struct qn_row_referrer *row,
                          struct qn_err *e) QN_MUST_CHECK;
/* W. Removes a referrer of this repository, whatever its subject. */
int qn_index_referrer_del(struct qn_tx *tx, const char *repo, const struct qn_digest *referrer,
                          struct qn_err *e) QN_MUST_CHECK;
/* Referrers of a subject in a repository, by digest after `after` (NULL from the start), optionally of one artifact
 * type (NULL: all), at most `max`. `fn` borrows the row and stops the walk by returning false. */
int qn_index_referrers(struct qn_tx *tx, const char *repo, const struct qn_digest *subject, const char *artifact_type,
                       const struct qn_digest *after, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_referrer *row), void *arg,
                       struct qn_err *e) QN_MUST_CHECK;

/* --- denial manifests --------------------------------------------------------------------------------------------- */
#define QN_DENIAL_BODY_MAX 16384u
struct qn_row_denial {
    char repo[QN_ROW_REPO];
    struct qn_digest digest; /* of the manifest */
    struct qn_digest config; /* its config blob, which answers 403 with the sentence */
    char media_type[QN_ROW_MEDIA];
    char reason[QN_ROW_SLUG];
    char message[QN_ROW_MESSAGE]; /* the sentence */
    int64_t expires;              /* seconds */
    size_t body_size;
    char body[QN_DENIAL_BODY_MAX]; /* the manifest's bytes: denials live in the index alone, not as blobs */
};
/* W. A denial that is there already gets the later expiry. */
int qn_index_denial_put(struct qn_tx *tx, const struct qn_row_denial *row, struct qn_err *e) QN_MUST_CHECK;
/* By the digest of the manifest or of its config blob. Expired ones are not found. */
int qn_index_denial_get(struct qn_tx *tx, const char *repo, const struct qn_digest *d, struct qn_row_denial *out,
                        bool *found, struct qn_err *e) QN_MUST_CHECK;

/* --- pins --------------------------------------------------------------------------------------------------------- */
enum qn_pin_kind { QN_PIN_PIN = 1, QN_PIN_APPROVED = 2, QN_PIN_REJECTED = 3 };
struct qn_row_pin {
    struct qn_digest digest;
    enum qn_pin_kind kind;
    char repo[QN_ROW_REPO]; /* "" for every repository */
    char who[QN_ROW_NAME];
    char comment[QN_ROW_COMMENT];
    int64_t at;
};
/* W. Pinned and approved digests, and all below them, are never evicted. An approval and a rejection of the same
 * digest and repository replace each other. */
int qn_index_pin_put(struct qn_tx *tx, const struct qn_row_pin *row, struct qn_err *e) QN_MUST_CHECK;
int qn_index_pin_get(struct qn_tx *tx, const struct qn_digest *d, enum qn_pin_kind kind, const char *repo,
                     struct qn_row_pin *out, bool *found, struct qn_err *e) QN_MUST_CHECK;
/* W. */
int qn_index_pin_del(struct qn_tx *tx, const struct qn_digest *d, enum qn_pin_kind kind, const char *repo, bool *found,
                     struct qn_err *e) QN_MUST_CHECK;

#endif
