/* What a tag is: asked upstream when it is time to, hardened when it must be, answered from what is known meanwhile. */
#include "decide.h"
#include "pull_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/rows_tag.h"

#include <stdlib.h>

#define NEGATIVE_TTL 30 /* seconds that "no such tag" is believed */

/* --- the source --------------------------------------------------------------------------------------------------- */
static int put_tag(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_tag_put(tx, arg, e);
}

static void fill_row(const struct qn_pull *p, struct qn_row_tag *row)
{
    *row = (struct qn_row_tag){.checked = qn_time_now()};
    snprintf(row->repo, sizeof row->repo, "%s", p->rq.route.repo);
    snprintf(row->tag, sizeof row->tag, "%s", p->rq.tag);
}

static void use_row(struct qn_pull *p, const struct qn_row_tag *row)
{
    p->subject.source = row->digest;
    snprintf(p->subject.media_type, sizeof p->subject.media_type, "%s", row->media_type);
    p->fresh_until = row->checked + (int64_t)p->rq.route.upstream->tag_ttl;
}

/* Upstream is not there: what was known stays good for stale_ttl. */
static int stale(struct qn_pull *p, const struct qn_row_tag *row, bool known, const struct qn_err *why,
                 struct qn_err *e)
{
    const struct qn_upstream_settings *u = p->rq.route.upstream;
    bool down = why->code == QN_E_NETWORK || why->code == QN_E_TIMEOUT || why->code == QN_E_RATE_LIMITED ||
                why->code == QN_E_ADDRESS;

    if (!down || !known || row->digest.algorithm == QN_DIGEST_NONE ||
        row->checked + (int64_t)(u->tag_ttl + u->stale_ttl) < qn_time_now()) {
        *e = *why;
        return -1;
    }
    qn_log_err(QN_LOG_WARN, "upstream does not answer; serving what was known", why, "repo", p->rq.route.repo, "tag",
               p->rq.tag, NULL);
    atomic_fetch_add(&p->site->counters.stale_served, 1);
    use_row(p, row);
    p->fresh_until = qn_time_now() + 5;
    p->warning = "stale: the upstream registry does not answer";
    return 0;
}

static int ask_upstream(struct qn_pull *p, const struct qn_row_tag *old, bool known, struct qn_err *e)
{
    struct qn_remote_manifest m;
    struct qn_row_tag row;
    struct qn_err why;

    fill_row(p, &row);
    atomic_fetch_add(&p->site->counters.upstream_resolves, 1);
    int r = qn_registry_resolve(qn_site_registry(p->site, p->rq.route.upstream), qn_str_c(p->rq.route.remote),
                                qn_str_c(p->rq.tag), &m, &why);
    if (r < 0) {
        bool missing = why.code == QN_E_MANIFEST_UNKNOWN || why.code == QN_E_NAME_UNKNOWN;
        if (missing && qn_index_write(p->site->index, put_tag, &row, e) < 0)
            return -1;
        return stale(p, old, known, &why, e);
    }
    row.digest = m.digest;
    row.size = m.size;
    snprintf(row.media_type, sizeof row.media_type, "%s", m.media_type);
    snprintf(row.etag, sizeof row.etag, "%s", m.etag);
    if (m.bytes.n) {
        struct qn_digest stored;
        if (qn_site_put_manifest(p->site, m.bytes, m.media_type, QN_ORIGIN_UPSTREAM, &stored, &why) < 0)
            row.size = m.size; /* derivation will say what is wrong with it */
        free((char *)(uintptr_t)m.bytes.p);
    }
    if (qn_index_write(p->site->index, put_tag, &row, e) < 0)
        return -1;
    use_row(p, &row);
    return 0;
}

/* A local tag is what the request found it to be, or what it is now. */
static int local_source(struct qn_pull *p, struct qn_err *e)
{
    struct qn_row_manifest m;
    struct qn_row_tag row;
    bool found = true;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, e) < 0)
            return -1;
        if (p->rq.digest.algorithm == QN_DIGEST_NONE) {
            if (qn_index_tag_get(tx, p->rq.route.repo, p->rq.tag, &row, &found, e) < 0)
                return -1;
            if (found)
                p->rq.digest = row.digest;
        }
        if (found && qn_index_manifest_get(tx, &p->rq.digest, &m, &found, e) < 0)
            return -1;
    }
    if (!found)
        return qn_fail(e, QN_E_MANIFEST_UNKNOWN, "%s:%s: manifest unknown", p->rq.route.repo, p->rq.tag);
    p->subject.source = p->rq.digest;
    snprintf(p->subject.media_type, sizeof p->subject.media_type, "%s", m.media_type);
    return 0;
}

static int find_source(struct qn_pull *p, struct qn_err *e)
{
    struct qn_row_tag row = {.checked = 0};
    bool known = false;
    int64_t now = qn_time_now();

    if (p->rq.route.local)
        return local_source(p, e);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, e) < 0 ||
            qn_index_tag_get(tx, p->rq.route.repo, p->rq.tag, &row, &known, e) < 0)
            return -1;
    }
    int64_t age = now - row.checked, ttl = (int64_t)p->rq.route.upstream->tag_ttl;
    if (known && row.digest.algorithm == QN_DIGEST_NONE && age < QN_MIN(ttl, (int64_t)NEGATIVE_TTL))
        return qn_fail(e, QN_E_MANIFEST_UNKNOWN, "%s:%s: the upstream registry has no such tag", p->rq.route.name,
                       p->rq.tag);
    if (known && row.digest.algorithm != QN_DIGEST_NONE && age >= 0 && age < ttl) {
        use_row(p, &row);
        return 0;
    }
    return ask_upstream(p, &row, known, e);
}

/* --- history ------------------------------------------------------------------------------------------------------ */
static int put_served(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_served_put(tx, arg, e);
}

static void remember_served(struct qn_pull *p, const struct qn_digest *served, const char *media_type)
{
    struct qn_row_served row = {.source = p->subject.source, .served = *served, .from = qn_time_now()}, current;
    struct qn_derivation_key key;
    struct qn_err e;
    bool found = false;

    qn_subject_key(p->site, &p->subject, &key);
    row.policy = key.policy;
    snprintf(row.repo, sizeof row.repo, "%s", p->rq.route.repo);
    snprintf(row.tag, sizeof row.tag, "%s", p->rq.tag);
    snprintf(row.platforms, sizeof row.platforms, "%s", p->site->settings->platform_list);
    snprintf(row.media_type, sizeof row.media_type, "%s", media_type);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) == 0 &&
            qn_index_served_get(tx, row.repo, row.tag, &row.policy, row.platforms, &current, &found, &e) == 0 &&
            found && qn_digest_eq(&current.served, served) && qn_digest_eq(&current.source, &row.source))
            return; /* nothing new to write on the path of every pull */
    }
    if (qn_index_write(p->site->index, put_served, &row, &e) < 0)
        qn_log_err(QN_LOG_WARN, "tag history not written", &e, "repo", row.repo, "tag", row.tag, NULL);
}

/* What the tag served last under whatever source, policy or engine; false when that is gone. */
static bool previous(struct qn_pull *p, struct qn_row_served *row)
{
    struct qn_err e;
    uint64_t size;
    bool found = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) < 0 ||
            qn_index_served_latest(tx, p->rq.route.repo, p->rq.tag, row, &found, &e) < 0)
            return false;
    }
    return found && qn_blob_stat(p->site->store, &row->served, &size, &e) == 0;
}

/* --- approvals and holds: what somebody decided ------------------------------------------------------------------- */
/* The same image may have been hardened for another repository: this one shows it from now on. */
static int show(struct qn_pull *p, const struct qn_digest *d, bool original, struct qn_err *e)
{
    struct qn_row_link link;
    bool linked = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, e) < 0 ||
            qn_index_link_get(tx, p->rq.route.repo, QN_LINK_MANIFEST, d, &link, &linked, e) < 0)
            return -1;
    }
    return linked && link.how >= QN_HOW_ORIGINAL ? 0 : qn_publish_links(p->site, &p->subject, d, original, e);
}

/* Serves a manifest that was served before, with a warning that is static; false when it is gone. */
static bool serve_known(struct qn_pull *p, const struct qn_digest *source, const struct qn_digest *d,
                        const char *warning)
{
    struct qn_row_manifest m;
    struct qn_err e;
    uint64_t size;
    bool found = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) < 0 || qn_index_manifest_get(tx, d, &m, &found, &e) < 0)
            return false;
    }
    if (!found || qn_blob_stat(p->site->store, d, &size, &e) < 0)
        return false;
    p->warning = warning;
    p->subject.source = *source;
    snprintf(p->subject.media_type, sizeof p->subject.media_type, "%s", m.media_type);
    if (show(p, d, false, &e) < 0)
        return false;
    qn_pull_serve(p, d, m.media_type, m.size, p->rq.policy->mode == QN_MODE_ENFORCE);
    return true;
}

/* The newest approved result of the tag. */
static bool serve_approved(struct qn_pull *p, const char *warning)
{
    struct qn_row_approval row;
    struct qn_err e;
    bool found = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) < 0 ||
            qn_index_approval_current(tx, p->rq.route.repo, p->rq.tag, &row, &found, &e) < 0)
            return false;
    }
    if (!found)
        return false;
    p->fresh_until = QN_MIN(p->fresh_until, qn_time_now() + 30);
    return serve_known(p, &row.source, &row.digest, warning);
}

/* Whether a result may be served; when not, the pull was answered: with what is approved, or a denial. */
static bool approved(struct qn_pull *p, const struct qn_outcome *o)
{
    char message[QN_ROW_MESSAGE], digest[QN_DIGEST_TEXT];
    struct qn_row_approval row;
    struct qn_err e;

    if (o->state != QN_STATE_DONE)
        return !serve_approved(p, "previous: the newer image of this tag could not be hardened");
    if (qn_approval_open(p->site, &p->subject, o, &row, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return false;
    }
    if (row.state == QN_APPROVAL_APPROVED)
        return true;
    bool waits = row.state == QN_APPROVAL_WAITING;
    if (serve_approved(p, waits ? "previous: a newer image of this tag awaits approval"
                                : "previous: the newer image of this tag was rejected"))
        return false;
    snprintf(message, sizeof message,
             waits ? "%s:%s awaits approval: quench ctl approve %s"
                   : "%s:%s was rejected; quench ctl images show %s tells why",
             p->rq.route.repo, p->rq.tag, qn_digest_text(&o->digest, digest));
    p->fresh_until = 0;
    qn_pull_deny(p, waits ? QN_DENY_NOT_APPROVED : QN_DENY_REJECTED, message);
    return false;
}

/* A tag that somebody froze or rolled back: upstream is not asked. False when it is not held. */
static bool held(struct qn_pull *p)
{
    struct qn_row_hold row;
    enum qn_approval_state state = QN_APPROVAL_APPROVED;
    struct qn_err e;
    bool found = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) < 0 ||
            qn_index_hold_get(tx, p->rq.route.repo, p->rq.tag, &row, &found, &e) < 0) {
            qn_pull_deny_err(p, &e);
            return true;
        }
    }
    if (!found)
        return false;
    if (p->rq.policy->manual && qn_approval_of(p->site, p->rq.route.repo, &row.served, &state, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return true;
    }
    if (state == QN_APPROVAL_REJECTED) {
        qn_pull_deny(p, QN_DENY_REJECTED, "the tag is held at an image that was rejected");
        return true;
    }
    p->fresh_until = qn_time_now() + 30;
    atomic_fetch_add(&p->site->counters.held_served, 1);
    if (!serve_known(p, &row.source, &row.served, "held: this tag was frozen or rolled back"))
        qn_pull_deny(p, QN_DENY_NOT_FOUND, "the tag is held at an image that is not in the store any more");
    return true;
}

/* --- outcomes ----------------------------------------------------------------------------------------------------- */
static void serve_outcome(struct qn_pull *p, const struct qn_outcome *o)
{
    struct qn_err e;

    if (p->rq.policy->manual && !approved(p, o))
        return;
    if (o->state != QN_STATE_DONE) {
        p->answer.retry_at = o->retry_at;
        qn_pull_deny(p, o->denial, o->message[0] ? o->message : qn_state_name(o->state));
        return;
    }
    if (show(p, &o->digest, o->unchanged && o->backed_off, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    if (o->backed_off && !p->warning)
        p->warning = o->unchanged ? "original: no hardened form of this image passed verification"
                                  : "backed off: the verifier refused part of the profile";
    remember_served(p, &o->digest, o->media_type);
    qn_pull_serve(p, &o->digest, o->media_type, o->size, true);
}

static void job_ended(void *arg)
{
    struct qn_pull *p = arg;
    struct qn_outcome o;

    qn_job_outcome(p->job, &o);
    serve_outcome(p, &o);
}

/* Runs on a pull thread again, since what follows writes to the index. */
static void job_ended_elsewhere(void *arg)
{
    struct qn_pull *p = arg;
    struct qn_err e;

    if (qn_pool_add(p->site->pulls, job_ended, p, &e) < 0)
        job_ended(p);
}

static void start_job(struct qn_pull *p)
{
    struct qn_job *job;
    struct qn_err e;

    if (qn_job_join(p->site, &p->subject, &job, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    pthread_mutex_lock(&p->site->lock);
    p->job = job;
    pthread_mutex_unlock(&p->site->lock);
    if (!qn_job_wait(job, job_ended_elsewhere, p))
        job_ended(p);
}

/* A job that nobody waits for: while something older is served, or to publish a report. */
static void start_background(struct qn_pull *p)
{
    struct qn_job *job;
    struct qn_err e;

    if (qn_job_join(p->site, &p->subject, &job, &e) < 0)
        qn_log_err(QN_LOG_WARN, "not hardened in the background", &e, "ref", p->subject.reference, NULL);
    else
        qn_job_release(job);
}

static void enforce(struct qn_pull *p)
{
    struct qn_outcome o;
    struct qn_row_served old;
    struct qn_err e;
    bool found;

    if (qn_outcome_get(p->site, &p->subject, &o, &found, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    if (found) {
        serve_outcome(p, &o);
        return;
    }
    if (p->rq.policy->manual && !p->rq.policy->wait_on_update) {
        struct qn_subject newer = p->subject;
        if (!p->rq.head)
            start_background(p);
        if (serve_approved(p, "previous: a newer image of this tag is being hardened, and will await approval"))
            return;
        p->subject = newer;
    }
    if (p->rq.route.local || p->rq.policy->manual || p->rq.policy->wait_on_update || !previous(p, &old)) {
        start_job(p);
        return;
    }
    /* The tag moved, or policy or engine changed: the last result stays while the next one is made. */
    if (!p->rq.head)
        start_background(p);
    atomic_fetch_add(&p->site->counters.previous_served, 1);
    p->warning = "previous: a newer image of this tag is being hardened";
    p->fresh_until = 0;
    p->subject.source = old.source;
    struct qn_row_manifest m;
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) < 0 || qn_index_manifest_get(tx, &old.served, &m, &found, &e) < 0 ||
            !found) {
            start_job(p);
            return;
        }
    }
    qn_pull_serve(p, &old.served, m.media_type, m.size, true);
}

/* --- upstream's own bytes ----------------------------------------------------------------------------------------- */
int qn_pull_pass(struct qn_pull *p, const struct qn_digest *d, enum qn_link_how how, char media_type[QN_ROW_MEDIA],
                 uint64_t *size, bool *image, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_manifest struct qn_manifest m = {0};

    qn_buf_init(&b, p->site->settings->limits.manifest_size);
    if (qn_site_need_manifest(p->site, &p->rq.route, d, &b, media_type, e) < 0 ||
        qn_manifest_parse_kept(qn_buf_view(&b), qn_str_c(media_type), &p->site->settings->limits, &m, e) < 0)
        return -1;
    *size = b.n;
    *image = m.kind == QN_MEDIA_INDEX || qn_manifest_is_image(&m);
    if (how == 0 || p->rq.route.local)
        return 0; /* only looked at; what was pushed is shown already */
    if (qn_site_prove(p->site, &p->rq.route, d, e) < 0)
        return -1;
    return qn_site_link(p->site, p->rq.route.repo, d, how, e);
}

static void pass_tag(struct qn_pull *p, enum qn_link_how how)
{
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    bool image;
    struct qn_err e;

    if (qn_pull_pass(p, &p->subject.source, how, media_type, &size, &image, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    remember_served(p, &p->subject.source, media_type);
    qn_pull_serve(p, &p->subject.source, media_type, size, false);
}

void qn_pull_tag(struct qn_pull *p)
{
    struct qn_err e;
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    bool image;

    p->subject.route = p->rq.route;
    p->subject.policy = p->rq.policy;
    snprintf(p->subject.tag, sizeof p->subject.tag, "%s", p->rq.tag);
    snprintf(p->subject.reference, sizeof p->subject.reference, "%s:%s", p->rq.route.repo, p->rq.tag);
    if (held(p))
        return;
    if (find_source(p, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    qn_pull_resolved(p, p->subject.media_type);
    if (p->rq.policy->mode == QN_MODE_OFF || (p->rq.route.local && !p->rq.route.local->harden_on_push)) {
        pass_tag(p, QN_HOW_PASSTHROUGH);
        return;
    }
    /* Signatures, attestations and other artifacts are passed on as they are. */
    if (qn_pull_pass(p, &p->subject.source, 0, media_type, &size, &image, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    snprintf(p->subject.media_type, sizeof p->subject.media_type, "%s", media_type);
    if (!image) {
        pass_tag(p, QN_HOW_PASSTHROUGH);
        return;
    }
    if (p->rq.policy->mode == QN_MODE_AUDIT) {
        if (!p->rq.head)
            start_background(p);
        p->warning = "audit: this is the original image; the report says what hardening would change";
        pass_tag(p, QN_HOW_ORIGINAL);
        return;
    }
    enforce(p);
}
