/* Rows about decisions: approvals, overrides, the audit log, who pulled what. See index.h for transactions; functions
 * marked W need the writer's. */
#ifndef QN_STORE_ROWS_ADMIN_H
#define QN_STORE_ROWS_ADMIN_H

#include "index.h"

/* --- approvals ---------------------------------------------------------------------------------------------------- */
enum qn_approval_state { QN_APPROVAL_WAITING = 1, QN_APPROVAL_APPROVED = 2, QN_APPROVAL_REJECTED = 3 };
/* "waiting", "approved", "rejected"; "" for other numbers. */
const char *qn_approval_name(enum qn_approval_state state);
/* 0 for other words. */
enum qn_approval_state qn_approval_parse(struct qn_str name);

/* One result that a tag of a repository could serve. */
struct qn_row_approval {
    int64_t id;
    char repo[QN_ROW_REPO];
    char tag[QN_ROW_TAG];
    struct qn_digest source;
    struct qn_digest digest; /* index or single manifest */
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    char policy[QN_ROW_NAME];
    enum qn_approval_state state;
    char who[QN_ROW_NAME];
    char comment[QN_ROW_COMMENT];
    int64_t created, decided; /* seconds; 0: not yet */
};
/* W. Records that a result waits. When the same digest of the repository was decided already (for another tag), so is
 * this; a row that is there stays as it is. `out` (may be NULL) gets the row as it stands. */
int qn_index_approval_open(struct qn_tx *tx, const struct qn_row_approval *row, struct qn_row_approval *out,
                           struct qn_err *e) QN_MUST_CHECK;
/* W. Decides every row of a repository and digest. `*changed`: rows. */
int qn_index_approval_decide(struct qn_tx *tx, const char *repo, const struct qn_digest *d,
                             enum qn_approval_state state, const char *who, const char *comment, int *changed,
                             struct qn_err *e) QN_MUST_CHECK;
/* How a digest stands in a repository, whatever the tag: the newest row. */
int qn_index_approval_get(struct qn_tx *tx, const char *repo, const struct qn_digest *d, struct qn_row_approval *out,
                          bool *found, struct qn_err *e) QN_MUST_CHECK;
/* What was approved last for a tag. */
int qn_index_approval_current(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_approval *out,
                              bool *found, struct qn_err *e) QN_MUST_CHECK;
/* Newest first, ids below `before` (0: from the newest), of one state (0: all), at most `max`; `fn` stops the walk by
 * returning false. */
int qn_index_approvals(struct qn_tx *tx, enum qn_approval_state state, int64_t before, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_approval *row), void *arg,
                       struct qn_err *e) QN_MUST_CHECK;
/* Every row of a digest (all repositories and tags), newest first, at most `max`. */
int qn_index_approvals_of(struct qn_tx *tx, const struct qn_digest *d, size_t max,
                          bool (*fn)(void *arg, const struct qn_row_approval *row), void *arg,
                          struct qn_err *e) QN_MUST_CHECK;

/* --- overrides ---------------------------------------------------------------------------------------------------- */
struct qn_row_override {
    int64_t id;
    char match[QN_ROW_REF]; /* a glob as in policies */
    char mode[QN_ROW_SLUG]; /* "" or a mode */
    char rules[2048];       /* "" or a JSON object: rule -> on, off, report */
    int64_t expires;        /* seconds */
    char reason[QN_ROW_COMMENT];
    char who[QN_ROW_NAME];
    int64_t at, ended; /* seconds; ended 0: not before it expires */
};
/* W. `*id` is the new row's. */
int qn_index_override_put(struct qn_tx *tx, const struct qn_row_override *row, int64_t *id,
                          struct qn_err *e) QN_MUST_CHECK;
/* W. Ends one now; `*found` is false when there is none that is in force. */
int qn_index_override_end(struct qn_tx *tx, int64_t id, bool *found, struct qn_err *e) QN_MUST_CHECK;
/* Those in force at `now`, or (0) all; newest first, ids below `before` (0: from the newest), at most `max`. */
int qn_index_overrides(struct qn_tx *tx, int64_t now, int64_t before, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_override *row), void *arg,
                       struct qn_err *e) QN_MUST_CHECK;

/* --- audit log ---------------------------------------------------------------------------------------------------- */
#define QN_AUDIT_DETAIL 12288 /* rules and a reason of the longest kind, every character escaped */
struct qn_row_audit {
    int64_t id;
    int64_t at; /* seconds */
    char who[QN_ROW_NAME];
    char action[QN_ROW_SLUG];     /* "approve", "reject", "rollback", ... */
    char subject[QN_ROW_REF];     /* reference or digest */
    char detail[QN_AUDIT_DETAIL]; /* a JSON object */
    char request[64];             /* id of the request */
    struct qn_digest previous;    /* hash of the row before; none for the first */
    struct qn_digest hash;        /* qn_audit_hash() */
};
/* SHA-256 over the previous hash and the fields in order, each as its length (8 bytes, big endian) and its bytes;
 * numbers in decimal. */
void qn_audit_hash(const struct qn_row_audit *row, struct qn_digest *out);
/* W. Appends: id, previous and hash are set in `row`. at of 0 means now. */
int qn_index_audit_put(struct qn_tx *tx, struct qn_row_audit *row, struct qn_err *e) QN_MUST_CHECK;
struct qn_audit_filter {
    const char *who, *action, *subject; /* NULL: any; not with `forward` */
    int64_t before;                     /* ids below; 0: from the newest */
    bool forward;                       /* ids above `before`, oldest first */
};
/* `previous` of every row is filled only where no filter is given. */
int qn_index_audit(struct qn_tx *tx, const struct qn_audit_filter *f, size_t max,
                   bool (*fn)(void *arg, const struct qn_row_audit *row), void *arg, struct qn_err *e) QN_MUST_CHECK;
/* W. Forgets entries older than `before` seconds, but never the newest: the chain goes on from it. */
int qn_index_audit_prune(struct qn_tx *tx, int64_t before, struct qn_err *e) QN_MUST_CHECK;

/* --- pulls -------------------------------------------------------------------------------------------------------- */
struct qn_row_pulled {
    int64_t id;
    int64_t at; /* seconds */
    char repo[QN_ROW_REPO];
    char reference[QN_DIGEST_TEXT > QN_ROW_TAG ? QN_DIGEST_TEXT : QN_ROW_TAG]; /* the tag or digest that was asked */
    struct qn_digest digest;                                                   /* that was served */
    char who[QN_ROW_NAME];
    char peer[64];
};
/* W. */
int qn_index_pulled_put(struct qn_tx *tx, const struct qn_row_pulled *row, struct qn_err *e) QN_MUST_CHECK;
/* Newest first, ids below `before` (0: from the newest), of one digest (NULL: all), at most `max`. */
int qn_index_pulled(struct qn_tx *tx, const struct qn_digest *d, int64_t before, size_t max,
                    bool (*fn)(void *arg, const struct qn_row_pulled *row), void *arg, struct qn_err *e) QN_MUST_CHECK;
/* W. Forgets pulls older than `before` seconds. */
int qn_index_pulled_prune(struct qn_tx *tx, int64_t before, struct qn_err *e) QN_MUST_CHECK;

#endif
