/* Inside of a one-shot run: what its parts share. */
#ifndef QN_DAEMON_ONESHOT_INT_H
#define QN_DAEMON_ONESHOT_INT_H

#include "oneshot.h"
#include "progress.h"

#include "service/derive.h"
#include "service/settings.h"
#include "upstream/layout.h"

#include <pthread.h>

/* Bytes that wait for the destination: an open file without a name. */
struct qn_held {
    struct qn_digest digest;
    uint64_t size;
    int fd;
};

struct qn_oneshot {
    const struct qn_oneshot_options *opt;
    struct qn_settings settings;
    struct qn_platform *want; /* NULL: every platform */
    size_t wants;
    bool explicit_platforms; /* named on the command line: each must be there */
    char platforms[512];     /* for messages */
    json_t *policy;          /* the document, with the command line's words in it */
    char policy_name[128];
    char policy_digest[QN_DIGEST_TEXT];
    char engine[256];
    char work[QN_PATH_MAX];
    struct qn_location from, to;
    struct qn_client *client;
    struct qn_registry *from_registry, *to_registry;
    struct qn_source source;
    struct qn_dest dest; /* opened when the first result is there */
    bool dest_failed;    /* the error is the destination's, and names it */
    struct qn_workers *workers;
    atomic_bool cancel;
    struct qn_progress progress;
    pthread_mutex_t lock; /* of what follows: layers are fetched by several threads */
    struct qn_held *held;
    size_t helds, held_cap;
    struct qn_oneshot_result result;
};

/* --- oneshot_place.c ---------------------------------------------------------------------------------------------- */
/* Parses SRC and DST; starts the HTTP client when one of them is a registry. */
int qn_oneshot_places(struct qn_oneshot *o, struct qn_err *e) QN_MUST_CHECK;
int qn_oneshot_source(struct qn_oneshot *o, struct qn_err *e) QN_MUST_CHECK;
/* Opens the destination unless it is open, or there is none. */
int qn_oneshot_dest(struct qn_oneshot *o, struct qn_err *e) QN_MUST_CHECK;
/* Names the destination in an error; returns -1. */
int qn_oneshot_dest_failed(struct qn_oneshot *o, struct qn_err *e);
/* Policy, platforms: what configuration and command line say together. */
int qn_oneshot_policy(struct qn_oneshot *o, struct qn_err *e) QN_MUST_CHECK;

/* --- oneshot_blob.c ----------------------------------------------------------------------------------------------- */
/* As a derivation's source and cache. */
void qn_oneshot_blobs(struct qn_oneshot *o, struct qn_derive_source *source, struct qn_derive_cache *cache);
/* Appends a verified small blob of the source. */
int qn_oneshot_small(struct qn_oneshot *o, const struct qn_descriptor *d, struct qn_buf *out,
                     struct qn_err *e) QN_MUST_CHECK;
/* Gives a blob of the source, or one that was made, to the destination, unless that has it. */
int qn_oneshot_put(struct qn_oneshot *o, const struct qn_descriptor *d, struct qn_err *e) QN_MUST_CHECK;
/* The same from memory. */
int qn_oneshot_put_bytes(struct qn_oneshot *o, const struct qn_item *item, struct qn_str bytes,
                         struct qn_err *e) QN_MUST_CHECK;
/* Closes what is held. */
void qn_oneshot_drop(struct qn_oneshot *o);

/* --- oneshot_image.c ---------------------------------------------------------------------------------------------- */
/* The whole: the source's manifest or index, its images, the destination. */
int qn_oneshot_all(struct qn_oneshot *o, struct qn_err *e) QN_MUST_CHECK;

#endif
