/* Rows about tags: what upstream (or a push) says a tag is, and what Quench served for it. See index.h. */
#ifndef QN_STORE_ROWS_TAG_H
#define QN_STORE_ROWS_TAG_H

#include "index.h"

/* --- the source of a tag ------------------------------------------------------------------------------------------ */
struct qn_row_tag {
    char repo[QN_ROW_REPO];
    char tag[QN_ROW_TAG];
    struct qn_digest digest; /* what it points at; none: upstream said that there is no such tag */
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    int64_t checked; /* seconds: when upstream was asked last, or when it was pushed */
    char etag[QN_ROW_MEDIA];
};
/* W. Sets it; the repository becomes known (as not local) when it is not. */
int qn_index_tag_put(struct qn_tx *tx, const struct qn_row_tag *row, struct qn_err *e) QN_MUST_CHECK;
int qn_index_tag_get(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_tag *out, bool *found,
                     struct qn_err *e) QN_MUST_CHECK;
/* W. */
int qn_index_tag_del(struct qn_tx *tx, const char *repo, const char *tag, bool *found, struct qn_err *e) QN_MUST_CHECK;
/* W. Removes the tags of a repository that point at a digest, or that serve it now, and ends what they serve. */
int qn_index_untag(struct qn_tx *tx, const char *repo, const struct qn_digest *d, struct qn_err *e) QN_MUST_CHECK;
/* W. The tag serves nothing any more, under whatever policy. */
int qn_index_served_end(struct qn_tx *tx, const char *repo, const char *tag, struct qn_err *e) QN_MUST_CHECK;
/* Tags of a repository that point at something, bytewise after `after` ("" from the start), at most `max`; `fn` stops
 * the walk by returning false. */
int qn_index_tags(struct qn_tx *tx, const char *repo, const char *after, size_t max,
                  bool (*fn)(void *arg, const struct qn_row_tag *row), void *arg, struct qn_err *e) QN_MUST_CHECK;
/* Tags of a repository that point at a digest (a manifest's DELETE removes them). At most `max`. */
int qn_index_tags_of(struct qn_tx *tx, const char *repo, const struct qn_digest *d, size_t max,
                     bool (*fn)(void *arg, const struct qn_row_tag *row), void *arg, struct qn_err *e) QN_MUST_CHECK;

/* --- what was served ---------------------------------------------------------------------------------------------- */
struct qn_row_served {
    int64_t id;
    char repo[QN_ROW_REPO];
    char tag[QN_ROW_TAG];
    struct qn_digest policy;
    char platforms[QN_ROW_PLATFORM];
    struct qn_digest source;
    struct qn_digest served;
    char media_type[QN_ROW_MEDIA]; /* of what was served */
    int64_t from;                  /* seconds */
    int64_t to;                    /* 0: current */
};
/* W. The tag moves: the current row of (repo, tag, policy, platforms) ends at row->from and this one begins. When
 * source and served are what is current already, nothing changes. `id` and `to` are ignored. */
int qn_index_served_put(struct qn_tx *tx, const struct qn_row_served *row, struct qn_err *e) QN_MUST_CHECK;
/* The current row of a tag under a policy and platform list. */
int qn_index_served_get(struct qn_tx *tx, const char *repo, const char *tag, const struct qn_digest *policy,
                        const char *platforms, struct qn_row_served *out, bool *found, struct qn_err *e) QN_MUST_CHECK;
/* The newest current row of a tag, whatever policy and platforms: what "serve-previous" serves. */
int qn_index_served_latest(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_served *out, bool *found,
                           struct qn_err *e) QN_MUST_CHECK;
/* History of a tag, newest first, ids below `before` (0: from the newest), at most `max`. An empty tag: of every
 * tag. */
int qn_index_served_list(struct qn_tx *tx, const char *repo, const char *tag, int64_t before, size_t max,
                         bool (*fn)(void *arg, const struct qn_row_served *row), void *arg,
                         struct qn_err *e) QN_MUST_CHECK;
/* History rows that served a digest (which tags had it), newest first, at most `max`. */
int qn_index_served_of(struct qn_tx *tx, const struct qn_digest *served, size_t max,
                       bool (*fn)(void *arg, const struct qn_row_served *row), void *arg,
                       struct qn_err *e) QN_MUST_CHECK;

/* W. No tag serves a digest any more. */
int qn_index_unserve(struct qn_tx *tx, const struct qn_digest *served, struct qn_err *e) QN_MUST_CHECK;
/* Whether a digest is pinned, approved, or a tag is held at it. */
int qn_index_protected(struct qn_tx *tx, const struct qn_digest *d, bool *kept, struct qn_err *e) QN_MUST_CHECK;

/* --- holds: tags that somebody froze or rolled back --------------------------------------------------------------- */
struct qn_row_hold {
    char repo[QN_ROW_REPO];
    char tag[QN_ROW_TAG];
    struct qn_digest source; /* the tag stays at this source */
    struct qn_digest served; /* and at this result; none: whatever the policy makes of the source */
    char who[QN_ROW_NAME];
    char comment[QN_ROW_COMMENT];
    int64_t at;
};
/* W. */
int qn_index_hold_put(struct qn_tx *tx, const struct qn_row_hold *row, struct qn_err *e) QN_MUST_CHECK;
/* A tag of the repository that is held at a digest, as its source or as what it serves. */
int qn_index_hold_of(struct qn_tx *tx, const char *repo, const struct qn_digest *d, char tag[QN_ROW_TAG], bool *found,
                     struct qn_err *e) QN_MUST_CHECK;
int qn_index_hold_get(struct qn_tx *tx, const char *repo, const char *tag, struct qn_row_hold *out, bool *found,
                      struct qn_err *e) QN_MUST_CHECK;
/* W. */
int qn_index_hold_del(struct qn_tx *tx, const char *repo, const char *tag, bool *found, struct qn_err *e) QN_MUST_CHECK;

#endif
