#include "pull_int.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

static void make_key(struct qn_pull *p)
{
    static const char *const kinds[] = {[QN_PULL_TAG] = "tag",
                                        [QN_PULL_DIGEST] = "digest",
                                        [QN_PULL_BLOB] = "blob",
                                        [QN_PULL_TAGS] = "tags",
                                        [QN_PULL_REFERRERS] = "referrers"};
    char digest[QN_DIGEST_TEXT] = "";

    if (p->rq.digest.algorithm != QN_DIGEST_NONE)
        qn_digest_text(&p->rq.digest, digest);
    snprintf(p->key, sizeof p->key, "%s|%s|%s|%s|%s", kinds[p->rq.kind], p->rq.head ? "head" : "", p->rq.route.repo,
             p->rq.tag, digest);
}

static void run(void *arg)
{
    struct qn_pull *p = arg;

    atomic_fetch_add(&p->site->counters.pulls, 1);
    if (p->rq.kind == QN_PULL_TAG)
        qn_pull_tag(p);
    else if (p->rq.kind == QN_PULL_DIGEST)
        qn_pull_digest(p);
    else if (p->rq.kind == QN_PULL_BLOB)
        qn_pull_blob(p);
    else if (p->rq.kind == QN_PULL_TAGS)
        qn_pull_tags(p);
    else
        qn_pull_referrers(p);
}

int qn_pull_join(struct qn_site *site, const struct qn_pull_request *rq, struct qn_pull **out, struct qn_err *e)
{
    struct qn_pull *fresh = qn_new(struct qn_pull);
    int r = 0;

    fresh->site = site;
    fresh->rq = *rq;
    fresh->refs = 2; /* the caller's and the work's */
    make_key(fresh);
    pthread_mutex_lock(&site->lock);
    struct qn_pull *p = qn_map_get(&site->pull_map, qn_str_c(fresh->key));
    if (p)
        p->refs++;
    else if (atomic_load(&site->stopping))
        r = qn_fail(e, QN_E_BUSY, "stopping");
    else
        r = qn_map_put(&site->pull_map, qn_str_c(fresh->key), fresh, e);
    pthread_mutex_unlock(&site->lock);
    if (p || r < 0) {
        free(fresh);
        *out = p;
        return r;
    }
    if (qn_pool_add(site->pulls, run, fresh, e) < 0)
        qn_pull_deny_err(fresh, e);
    *out = fresh;
    return 0;
}

void qn_pull_release(struct qn_pull *p)
{
    if (!p)
        return;
    struct qn_site *site = p->site;
    pthread_mutex_lock(&site->lock);
    bool last = --p->refs == 0;
    pthread_mutex_unlock(&site->lock);
    if (!last)
        return;
    qn_job_release(p->job);
    if (p->answer.fetch)
        qn_fetch_release(p->answer.fetch);
    free(p->answer.text);
    free(p);
}

/* Takes those waiters off the list that `all` or the milestone concerns; the caller wakes them without the lock. */
static struct qn_pull_waiter *take_waiters(struct qn_pull *p, bool all)
{
    struct qn_pull_waiter *taken = NULL, **at = &p->waiters;

    while (*at) {
        struct qn_pull_waiter *w = *at;
        if (!all && !w->resolved) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = taken;
        taken = w;
    }
    return taken;
}

static void wake_all(struct qn_pull_waiter *w)
{
    while (w) {
        struct qn_pull_waiter *next = w->next;
        w->wake(w->arg);
        free(w);
        w = next;
    }
}

bool qn_pull_wait(struct qn_pull *p, bool resolved, void (*wake)(void *arg), void *arg)
{
    struct qn_pull_waiter *w = qn_new(struct qn_pull_waiter);

    *w = (struct qn_pull_waiter){NULL, resolved, wake, arg};
    pthread_mutex_lock(&p->site->lock);
    bool waits = !p->done && !(resolved && p->resolved);
    if (waits) {
        w->next = p->waiters;
        p->waiters = w;
    }
    pthread_mutex_unlock(&p->site->lock);
    if (!waits)
        free(w);
    return waits;
}

void qn_pull_resolved(struct qn_pull *p, const char *media_type)
{
    const struct qn_media_type *t = qn_media_type_find(qn_str_c(media_type));

    pthread_mutex_lock(&p->site->lock);
    p->kind = t && t->kind == QN_MEDIA_INDEX ? QN_MEDIA_INDEX : QN_MEDIA_MANIFEST;
    p->family = t ? t->family : QN_FAMILY_OCI;
    p->resolved = true;
    struct qn_pull_waiter *w = take_waiters(p, false);
    pthread_mutex_unlock(&p->site->lock);
    wake_all(w);
}

bool qn_pull_source(struct qn_pull *p, enum qn_media_kind *kind, enum qn_media_family *family)
{
    pthread_mutex_lock(&p->site->lock);
    bool known = p->resolved;
    *kind = known ? p->kind : QN_MEDIA_MANIFEST;
    *family = known ? p->family : QN_FAMILY_OCI;
    pthread_mutex_unlock(&p->site->lock);
    return known;
}

const struct qn_answer *qn_pull_answer(struct qn_pull *p)
{
    pthread_mutex_lock(&p->site->lock);
    bool done = p->done;
    pthread_mutex_unlock(&p->site->lock);
    return done ? &p->answer : NULL;
}

void qn_pull_job(struct qn_pull *p, char out[QN_JOB_ID])
{
    pthread_mutex_lock(&p->site->lock);
    snprintf(out, QN_JOB_ID, "%s", p->job ? qn_job_id_of(p->job) : "");
    pthread_mutex_unlock(&p->site->lock);
}

void qn_pull_finish(struct qn_pull *p)
{
    if (p->answer.kind == QN_ANSWER_DENIED) {
        qn_log(QN_LOG_INFO, "denied", "repo", p->rq.route.repo, "ref", p->rq.tag[0] ? p->rq.tag : NULL, "reason",
               qn_denial_name(p->answer.denial), "error", p->answer.message, NULL);
    }
    pthread_mutex_lock(&p->site->lock);
    p->done = true;
    (void)qn_map_del(&p->site->pull_map, qn_str_c(p->key));
    struct qn_pull_waiter *w = take_waiters(p, true);
    pthread_mutex_unlock(&p->site->lock);
    wake_all(w);
    qn_pull_release(p);
}

void qn_pull_deny(struct qn_pull *p, enum qn_denial d, const char *message)
{
    p->answer.kind = QN_ANSWER_DENIED;
    p->answer.denial = d;
    snprintf(p->answer.message, sizeof p->answer.message, "%s", message);
    qn_pull_finish(p);
}

void qn_pull_deny_err(struct qn_pull *p, const struct qn_err *why)
{
    if (why->code == QN_E_BUG || why->code == QN_E_IO || why->code == QN_E_NOMEM)
        qn_log_err(QN_LOG_ERROR, "pull failed", why, "repo", p->rq.route.repo, "ref", p->rq.tag, NULL);
    qn_pull_deny(p, qn_denial_of(why), why->msg);
}

void qn_pull_serve(struct qn_pull *p, const struct qn_digest *d, const char *media_type, uint64_t size, bool hardened)
{
    struct qn_answer *a = &p->answer;

    a->kind = QN_ANSWER_MANIFEST;
    a->digest = *d;
    a->size = size;
    a->hardened = hardened;
    a->warning = p->warning;
    a->fresh_until = p->fresh_until;
    if (p->rq.kind == QN_PULL_TAG)
        a->source = p->subject.source;
    snprintf(a->media_type, sizeof a->media_type, "%s", media_type);
    qn_index_touch(p->site->index, d);
    qn_pull_finish(p);
}
