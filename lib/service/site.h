/* Everything that a running Quench shares: settings, store, index, upstreams, workers, work in flight. */
#ifndef QN_SERVICE_SITE_H
#define QN_SERVICE_SITE_H

#include "auth.h"
#include "counters.h"
#include "derive.h"
#include "route.h"
#include "settings.h"

#include "base/map.h"
#include "base/pool.h"
#include "store/blob.h"
#include "store/gc.h"
#include "store/rows_content.h"
#include "store/index.h"
#include "store/upload.h"
#include "upstream/fetch.h"
#include "upstream/registry.h"

#include <pthread.h>
#include <stdatomic.h>

struct qn_generation;

struct qn_site {
    const struct qn_settings *_Atomic settings; /* those in force: qn_site_reload() */
    struct qn_store *store;
    struct qn_index *index;
    struct qn_client *client;
    struct qn_fetcher *fetcher;
    struct qn_generation *generations; /* settings and their upstreams' clients, newest first; under the lock */
    struct qn_workers *workers;
    struct qn_pool *pulls;  /* threads that wait for upstreams */
    struct qn_pool *pushes; /* threads that make what was pushed durable */
    struct qn_uploads *uploads;
    struct qn_pool *jobs; /* limits.jobs threads that derive */
    char engine[256];
    struct qn_site_counters counters;
    atomic_bool stopping;
    pthread_mutex_t lock;   /* of what follows */
    pthread_cond_t changed; /* a derivation ended */
    struct qn_map pull_map; /* key -> struct qn_pull */
    struct qn_map job_map;  /* key -> struct qn_job */
    struct qn_map deriving; /* key of a single image's derivation -> marker */
    size_t queued_jobs;
    struct qn_job *live; /* jobs that have not ended */
    struct qn_overrides *overrides;
    struct qn_auth *auth;         /* NULL without `auth` in the configuration */
    atomic_uint_fast64_t changes; /* see qn_site_generation() */
};

/* Opens store and index below settings->root, starts HTTP client, worker and job threads. `settings` must outlive it.
 * CONFLICT when another process uses the directory. Free with qn_site_close(). */
int qn_site_open(const struct qn_settings *settings, struct qn_site **out, struct qn_err *e) QN_MUST_CHECK;
/* Puts other settings in force, for what begins from now on; `settings` must outlive the site, as the old ones do:
 * pulls and jobs go on with those that they began under. What only a start can change (listeners, storage, numbers of
 * threads and connections) stays as it was. On failure everything does. Not from two threads at a time. */
int qn_site_reload(struct qn_site *site, const struct qn_settings *settings, struct qn_err *e) QN_MUST_CHECK;
/* Cancels work in flight, stops threads, closes. NULL is fine. */
void qn_site_close(struct qn_site *site);
/* The client of an upstream of these or earlier settings. */
struct qn_registry *qn_site_registry(struct qn_site *site, const struct qn_upstream_settings *u);

/* The policy of UPSTREAM/REPOSITORY[:TAG] now: the configuration's, changed by the newest override that fits. Alive as
 * long as the site. */
const struct qn_policy *qn_site_policy(struct qn_site *site, struct qn_str repository, struct qn_str tag);
/* A number that changes whenever answers may: decisions, overrides (their end too), settings. What keeps answers in
 * memory keeps them under it. */
uint64_t qn_site_generation(struct qn_site *site);
/* Something was decided: answers in memory are void. */
void qn_site_changed(struct qn_site *site);

/* --- content ------------------------------------------------------------------------------------------------------ */
/* Reads a manifest or another small blob of the store. BLOB_UNKNOWN when it is not there. */
int qn_site_read(struct qn_site *site, const struct qn_digest *d, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;
/* Whether a repository may use the store's copy of something: a local one what is linked there, an upstream's also what
 * came from an upstream. Else its bytes would show what others pushed to whoever knows a digest. */
int qn_site_usable(struct qn_site *site, const struct qn_route *route, enum qn_link_kind kind,
                   const struct qn_digest *d, bool *usable, struct qn_err *e) QN_MUST_CHECK;
/* Makes sure that a repository may show a manifest and all below it: what it may not use of the store has to come from
 * its upstream. BLOB_UNKNOWN or MANIFEST_UNKNOWN otherwise. Blocking. Before links are made. */
int qn_site_prove(struct qn_site *site, const struct qn_route *route, const struct qn_digest *manifest,
                  struct qn_err *e) QN_MUST_CHECK;
/* Makes sure that a blob of a repository is in the store, downloading it if need be; blocking. */
int qn_site_need_blob(struct qn_site *site, const struct qn_route *route, const struct qn_digest *d, uint64_t size,
                      struct qn_err *e) QN_MUST_CHECK;
/* Gets a manifest by digest from the store or from upstream, keeps it, and records what it names. Blocking. The media
 * type is the one that upstream declared (or the index knows). */
int qn_site_need_manifest(struct qn_site *site, const struct qn_route *route, const struct qn_digest *d,
                          struct qn_buf *out, char media_type[QN_ROW_MEDIA], struct qn_err *e) QN_MUST_CHECK;
/* The rows of one manifest, gathered before a transaction. */
struct qn_manifest_rows {
    struct qn_row_blob blob;
    struct qn_row_manifest manifest;
    struct qn_row_edge *edge;
    size_t edges;
};
void qn_manifest_rows_of(const struct qn_manifest *m, const struct qn_digest *d, uint64_t size, enum qn_origin origin,
                         struct qn_manifest_rows *out);
int qn_manifest_rows_write(struct qn_tx *tx, const struct qn_manifest_rows *rows, struct qn_err *e) QN_MUST_CHECK;
void qn_manifest_rows_fini(struct qn_manifest_rows *rows);
/* Stores a manifest's bytes with the rows of what it names. */
int qn_site_put_manifest(struct qn_site *site, struct qn_str bytes, const char *media_type, enum qn_origin origin,
                         struct qn_digest *out, struct qn_err *e) QN_MUST_CHECK;
/* Lets a repository show a manifest and everything below it that is known, for that reason. */
int qn_site_link(struct qn_site *site, const char *repo, const struct qn_digest *manifest, enum qn_link_how how,
                 struct qn_err *e) QN_MUST_CHECK;

#endif
