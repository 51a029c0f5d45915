/* One job's work: children of an index, one image after the other, each derived once whoever asks. */
#include "job.h"

#include "base/clock.h"
#include "base/fd.h"
#include "formats/imgconfig.h"
#include "publish.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PARALLEL_LAYERS 4

/* --- where layers come from --------------------------------------------------------------------------------------- */
struct source {
    struct qn_site *site;
    const struct qn_route *route;
    const struct qn_job_run *run;
};

static int give_up(const struct source *s, struct qn_err *e)
{
    if (atomic_load(s->run->cancel) || atomic_load(&s->site->stopping))
        return qn_fail(e, QN_E_CANCELLED, "cancelled");
    if (qn_time_mono_ms() > s->run->deadline_ms)
        return qn_fail(e, QN_E_TIMEOUT, "took longer than limits.job_time");
    return 0;
}

/* A layer that is still arriving: its worker reads what is there, as it comes. */
static int follow(const struct source *s, struct qn_fetch *f, int *fd,
                  int (*opened)(void *arg, int fd, struct qn_err *e),
                  int (*progress)(void *arg, uint64_t available, struct qn_err *e), void *arg, struct qn_err *e)
{
    struct qn_fetch_state st = {0};
    uint64_t seen = 0;

    while (!st.complete) {
        if (give_up(s, e) < 0)
            return -1;
        if (qn_fetch_wait(f, seen, 1000, e) < 0 && e->code != QN_E_TIMEOUT)
            return -1;
        qn_fetch_state(f, &st);
        if (st.failed) {
            *e = st.err;
            return -1;
        }
        if (*fd < 0 && qn_fetch_fd(f) >= 0) {
            *fd = dup(qn_fetch_fd(f));
            if (*fd < 0)
                return qn_fail_errno(e, QN_E_IO, "layer file");
            if (opened(arg, *fd, e) < 0)
                return -1;
        }
        if (*fd >= 0 && st.avail > seen) {
            seen = st.avail;
            if (progress(arg, seen, e) < 0)
                return -1;
        }
    }
    return qn_fetch_wait_committed(f, 0, e);
}

static int get_layer(void *ctx, const struct qn_descriptor *d, int *fd,
                     int (*opened)(void *arg, int fd, struct qn_err *e),
                     int (*progress)(void *arg, uint64_t available, struct qn_err *e), void *arg, struct qn_err *e)
{
    const struct source *s = ctx;
    struct qn_fetch *f;
    uint64_t size;
    bool usable;
    int blob;

    if (qn_site_usable(s->site, s->route, QN_LINK_BLOB, &d->digest, &usable, e) < 0)
        return -1;
    if (usable && qn_blob_open(s->site->store, &d->digest, &blob, &size, e) == 0) {
        *fd = blob;
        if (size != d->size)
            return qn_fail(e, QN_E_SIZE_MISMATCH, "%llu bytes, the manifest says %llu", (unsigned long long)size,
                           (unsigned long long)d->size);
        return opened(arg, blob, e) < 0 ? -1 : progress(arg, size, e);
    }
    if (s->route->local)
        return qn_site_need_blob(s->site, s->route, &d->digest, d->size, e);
    if (qn_fetch_start(s->site->fetcher, qn_site_registry(s->site, s->route->upstream), qn_str_c(s->route->remote),
                       &d->digest, d->size, s->route->upstream->name.p, &f, e) < 0)
        return -1;
    int r = follow(s, f, fd, opened, progress, arg, e);
    qn_fetch_release(f);
    return r;
}

static int get_blob(void *ctx, const struct qn_descriptor *d, struct qn_buf *out, struct qn_err *e)
{
    const struct source *s = ctx;

    if (d->size > s->site->settings->limits.manifest_size)
        return qn_fail(e, QN_E_LIMIT, "config of %llu bytes", (unsigned long long)d->size);
    if (qn_site_need_blob(s->site, s->route, &d->digest, d->size, e) < 0)
        return -1;
    return qn_site_read(s->site, &d->digest, out, e);
}

/* --- one image ---------------------------------------------------------------------------------------------------- */
static void on_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    const struct qn_job_run *run = ctx;
    run->progress(run->ctx, stage, done, total);
}

/* The platform of an image, by its config. */
static int check_platform(const struct source *s, const struct qn_manifest *m, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_imgconfig struct qn_imgconfig c = {0};
    char text[QN_PLATFORM_TEXT];

    qn_buf_init(&b, s->site->settings->limits.manifest_size);
    if (get_blob((void *)(uintptr_t)s, &m->config, &b, e) < 0 ||
        qn_imgconfig_parse(qn_buf_view(&b), &s->site->settings->limits, &c, e) < 0)
        return qn_err_wrap(e, "config");
    for (size_t i = 0; i < s->site->settings->platforms; i++)
        if (qn_platform_match(&s->site->settings->platform[i], &c.platform))
            return 0;
    return qn_fail(e, QN_E_DENIED, "platform %s is not among those that are served (%s)",
                   qn_platform_text(&c.platform, text), s->site->settings->platform_list);
}

/* `look` (may be NULL): only looked at, not hardened. */
static int derive_image(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_look *look,
                        struct qn_derived *out, struct qn_err *e)
{
    struct qn_site *site = run->site;
    struct source src = {site, &s->route, run};
    struct qn_derive_source ops = {get_layer, get_blob, &src};
    struct qn_derive_policy policy = {.name = s->policy->name.p,
                                      .digest = s->route.build ? s->policy->build_digest : s->policy->digest,
                                      .document = s->route.build ? s->policy->build : s->policy->document};
    struct qn_derive_env env = {.workers = site->workers,
                                .tmp = qn_store_tmp(site->store),
                                .limits = site->settings->limits,
                                .spill = site->settings->spill,
                                .parallel = PARALLEL_LAYERS,
                                .deadline_ms = run->deadline_ms,
                                .cancel = run->cancel,
                                .engine = site->engine,
                                .plan_only = look != NULL,
                                .question = look ? look->question : NULL,
                                .contents = look && look->contents,
                                .progress = {on_progress, (void *)(uintptr_t)run}};
    char media_type[QN_ROW_MEDIA];
    qn_auto_buf struct qn_buf bytes = {0};
    qn_auto_manifest struct qn_manifest m = {0};

    qn_buf_init(&bytes, site->settings->limits.manifest_size);
    qn_derive_store_cache(site, &env.cache);
    if (look && look->contents) { /* facts with hashes of contents are others than those that are kept */
        env.cache.facts_get = NULL;
        env.cache.facts_put = NULL;
    }
    run->progress(run->ctx, "fetch", 0, 0);
    if (qn_site_need_manifest(site, &s->route, &s->source, &bytes, media_type, e) < 0)
        return qn_err_wrap(e, "manifest");
    if (qn_manifest_parse(qn_buf_view(&bytes), qn_str_c(media_type), &site->settings->limits, &m, e) < 0)
        return -1;
    if (!qn_manifest_is_image(&m))
        return qn_fail(e, QN_E_UNSUPPORTED, "not an image");
    if (check_platform(&src, &m, e) < 0)
        return -1;
    return qn_derive(&env, &ops, &policy, qn_buf_view(&bytes), qn_str_c(media_type), out, e);
}

static void no_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    (void)ctx, (void)stage, (void)done, (void)total;
}

int qn_look(struct qn_site *site, const struct qn_subject *s, const struct qn_look *look, struct qn_derived *out,
            struct qn_err *e)
{
    const struct qn_job_run run = {.site = site,
                                   .subject = s,
                                   .cancel = &site->stopping,
                                   .deadline_ms = qn_time_mono_ms() + (int64_t)site->settings->job_time * 1000,
                                   .progress = no_progress};
    return derive_image(&run, s, look, out, e);
}

void qn_look_env(struct qn_site *site, struct qn_derive_env *out)
{
    *out = (struct qn_derive_env){.workers = site->workers,
                                  .limits = site->settings->limits,
                                  .deadline_ms = qn_time_mono_ms() + (int64_t)site->settings->job_time * 1000};
}

/* --- one derivation, however many jobs want it -------------------------------------------------------------------- */
struct in_flight {
    char key[2 * QN_DIGEST_TEXT + 4];
};

static int enter(const struct qn_job_run *run, const struct qn_derivation_key *key, struct in_flight *f,
                 struct qn_err *e)
{
    struct qn_site *site = run->site;
    char source[QN_DIGEST_TEXT], policy[QN_DIGEST_TEXT];
    int r = 0;

    snprintf(f->key, sizeof f->key, "%s|%s", qn_digest_text(&key->source, source),
             qn_digest_text(&key->policy, policy));
    pthread_mutex_lock(&site->lock);
    while (qn_map_get(&site->deriving, qn_str_c(f->key)) && !atomic_load(&site->stopping))
        pthread_cond_wait(&site->changed, &site->lock);
    if (atomic_load(&site->stopping))
        r = qn_fail(e, QN_E_CANCELLED, "stopping");
    else
        r = qn_map_put(&site->deriving, qn_str_c(f->key), f, e);
    pthread_mutex_unlock(&site->lock);
    return r;
}

static void leave(struct qn_site *site, struct in_flight *f)
{
    pthread_mutex_lock(&site->lock);
    (void)qn_map_del(&site->deriving, qn_str_c(f->key));
    pthread_cond_broadcast(&site->changed);
    pthread_mutex_unlock(&site->lock);
}

static int attempt(const struct qn_job_run *run, const struct qn_subject *s, struct qn_outcome *out, struct qn_err *e)
{
    qn_auto_derived struct qn_derived d = {0};
    struct qn_row_derivation row;

    if (qn_derivation_begin(run->site, s, &row, e) < 0)
        return -1;
    if (row.deaths >= 3) {
        struct qn_err refused;
        qn_fail(&refused, QN_E_VERIFY, "the daemon died three times in a row while this was hardened");
        return qn_derivation_failed(run->site, &row, &refused, out, e);
    }
    struct qn_err why;
    if (derive_image(run, s, NULL, &d, &why) < 0)
        return qn_derivation_failed(run->site, &row, &why, out, e);
    run->progress(run->ctx, "commit", 0, 0);
    if (qn_derivation_done(run->site, s, &row, &d, &why) < 0)
        return qn_derivation_failed(run->site, &row, &why, out, e);
    bool found;
    if (qn_outcome_get(run->site, s, out, &found, e) < 0)
        return -1;
    return found ? 0 : qn_fail(e, QN_E_IO, "the result is not in the store");
}

int qn_harden_image(const struct qn_job_run *run, const struct qn_subject *s, struct qn_outcome *out, struct qn_err *e)
{
    struct qn_derivation_key key;
    struct in_flight f;
    bool found;

    qn_subject_key(run->site, s, &key);
    if (enter(run, &key, &f, e) < 0)
        return -1;
    int r = qn_outcome_get(run->site, s, out, &found, e);
    if (r == 0 && !found)
        r = attempt(run, s, out, e);
    leave(run->site, &f);
    if (r == 0 && out->state == QN_STATE_DONE)
        r = qn_publish_links(run->site, s, &out->digest, out->unchanged && out->backed_off, e);
    return r;
}

void qn_harden(const struct qn_job_run *run, struct qn_outcome *out)
{
    const struct qn_subject *s = run->subject;
    const struct qn_media_type *t = qn_media_type_find(qn_str_c(s->media_type));
    struct qn_err e;

    *out = (struct qn_outcome){.state = QN_STATE_FAILED};
    int r = t && t->kind == QN_MEDIA_INDEX ? qn_harden_index(run, s, 3, out, &e) : qn_harden_image(run, s, out, &e);
    if (r == 0)
        return;
    out->state = e.code == QN_E_CANCELLED ? QN_STATE_CANCELLED : QN_STATE_FAILED;
    out->denial = qn_denial_of(&e);
    snprintf(out->message, sizeof out->message, "%s", e.msg);
}
