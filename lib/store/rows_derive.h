/* Rows about results: derivations (of single images and of indexes), layer facts, rewritten layers. See index.h. */
#ifndef QN_STORE_ROWS_DERIVE_H
#define QN_STORE_ROWS_DERIVE_H

#include "index.h"

/* --- derivations -------------------------------------------------------------------------------------------------- */
enum qn_state {
    QN_STATE_QUEUED = 1,
    QN_STATE_RUNNING = 2,
    QN_STATE_DONE = 3,
    QN_STATE_FAILED = 4, /* may be tried again at retry_at; 0: not by itself */
    QN_STATE_DENIED = 5, /* refused for good, until the key changes or somebody retries */
    QN_STATE_CANCELLED = 6
};
/* "queued" ...; "" for other numbers. */
const char *qn_state_name(enum qn_state state);
/* 0 for other words. */
enum qn_state qn_state_parse(struct qn_str name);

/* Same key, same bytes (architecture section 1). An index's platform text is "index:" and the platform list. */
struct qn_derivation_key {
    struct qn_digest source;
    char platform[QN_ROW_PLATFORM];
    struct qn_digest policy;
    char engine[QN_ROW_ENGINE];
    struct qn_digest patch; /* none: no patch plan */
};
struct qn_row_derivation {
    int64_t id; /* given by the index; grows */
    struct qn_derivation_key key;
    enum qn_state state;
    struct qn_digest hardened; /* when done; the source's own when the plan was empty */
    char media_type[QN_ROW_MEDIA];
    uint64_t size;           /* of the hardened manifest */
    struct qn_digest report; /* the report blob; none for indexes */
    char reason[QN_ROW_SLUG];
    char message[QN_ROW_MESSAGE];
    char policy_name[QN_ROW_NAME]; /* for people; not part of the key */
    char reference[QN_ROW_REF];    /* that asked first; not part of the key */
    uint32_t attempts;
    uint32_t deaths; /* of the daemon in a row while this was running */
    int64_t retry_at;
    int64_t created, made, last_served; /* seconds; 0: never */
};
/* W. Finds or makes the row of a key (state queued) and gives it. `made` tells whether it is new. */
int qn_index_derivation_open(struct qn_tx *tx, const struct qn_derivation_key *key, const char *policy_name,
                             const char *reference, struct qn_row_derivation *out, bool *made,
                             struct qn_err *e) QN_MUST_CHECK;
int qn_index_derivation_get(struct qn_tx *tx, const struct qn_derivation_key *key, struct qn_row_derivation *out,
                            bool *found, struct qn_err *e) QN_MUST_CHECK;
int qn_index_derivation_by_id(struct qn_tx *tx, int64_t id, struct qn_row_derivation *out, bool *found,
                              struct qn_err *e) QN_MUST_CHECK;
/* W. Writes every field but id, key and created. An attempt is recorded with this before its work starts: state
 * running, attempts + 1. Done, failed and denied are meant to set `deaths` to 0: the daemon lived. */
int qn_index_derivation_set(struct qn_tx *tx, const struct qn_row_derivation *row, struct qn_err *e) QN_MUST_CHECK;
/* Finished derivations with this hardened digest, newest first, at most `max`; `fn` stops the walk by false. */
int qn_index_derivations_of(struct qn_tx *tx, const struct qn_digest *hardened, size_t max,
                            bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg,
                            struct qn_err *e) QN_MUST_CHECK;
/* Finished derivations of a source, newest first, whatever the rest of the key. */
int qn_index_derivations_from(struct qn_tx *tx, const struct qn_digest *source, size_t max,
                              bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg,
                              struct qn_err *e) QN_MUST_CHECK;
/* The admin list: newest first, ids below `before` (0: from the newest), of one state (0: all), at most `max`. */
int qn_index_derivation_list(struct qn_tx *tx, enum qn_state state, int64_t before, size_t max,
                             bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg,
                             struct qn_err *e) QN_MUST_CHECK;
/* The same of one reference, as it stands in the rows. */
int qn_index_derivations_for(struct qn_tx *tx, const char *reference, enum qn_state state, int64_t before, size_t max,
                             bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg,
                             struct qn_err *e) QN_MUST_CHECK;
/* W. Forgets a derivation (purge, or a retry after a denial). Its blobs go with the next sweep. */
int qn_index_derivation_del(struct qn_tx *tx, int64_t id, struct qn_err *e) QN_MUST_CHECK;

/* --- layers ------------------------------------------------------------------------------------------------------- */
struct qn_row_facts {
    struct qn_digest layer; /* as in the manifest: compressed */
    char version[QN_ROW_NAME];
    struct qn_digest facts; /* blob */
    uint64_t facts_size;
    struct qn_digest diff_id;
    uint64_t size, uncompressed;
};
/* W. */
int qn_index_facts_put(struct qn_tx *tx, const struct qn_row_facts *row, struct qn_err *e) QN_MUST_CHECK;
int qn_index_facts_get(struct qn_tx *tx, const struct qn_digest *layer, const char *version, struct qn_row_facts *out,
                       bool *found, struct qn_err *e) QN_MUST_CHECK;

struct qn_row_rewrite {
    struct qn_digest layer; /* source */
    struct qn_digest edits; /* digest of the edits that touch it */
    char codec[QN_ROW_NAME];
    struct qn_digest hardened;
    struct qn_digest diff_id;
    uint64_t size, uncompressed;
    char media_type[QN_ROW_MEDIA];
};
/* W. */
int qn_index_rewrite_put(struct qn_tx *tx, const struct qn_row_rewrite *row, struct qn_err *e) QN_MUST_CHECK;
int qn_index_rewrite_get(struct qn_tx *tx, const struct qn_digest *layer, const struct qn_digest *edits,
                         const char *codec, struct qn_row_rewrite *out, bool *found, struct qn_err *e) QN_MUST_CHECK;

#endif
