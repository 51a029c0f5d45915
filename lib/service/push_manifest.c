/* A manifest that is pushed: looked through, compared with what the repository has, kept, tagged. */
#include "push_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/rows_tag.h"

#include <stdlib.h>

#define MISSING_MAX 32 /* named in one answer */

struct manifest_job {
    struct qn_push *p;
    const struct qn_manifest *m;
    struct qn_manifest_rows rows;
    struct qn_row_referrer referrer;
};

/* --- what it names ------------------------------------------------------------------------------------------------ */
static int check_one(struct qn_tx *tx, struct qn_push *p, const struct qn_descriptor *d, enum qn_link_kind kind,
                     struct qn_err *e)
{
    struct qn_row_link link;
    struct qn_row_blob blob;
    char text[QN_DIGEST_TEXT];
    bool linked, found;

    if (qn_index_link_get(tx, p->rq.route.repo, kind, &d->digest, &link, &linked, e) < 0 ||
        qn_index_blob_get(tx, &d->digest, &blob, &found, e) < 0)
        return -1;
    if (linked && found)
        return 0;
    if (!p->result.missing)
        p->result.missing = json_array();
    if (json_array_size(p->result.missing) >= MISSING_MAX)
        return 0;
    json_t *o = json_object();
    qn_json_set_c(o, "digest", qn_digest_text(&d->digest, text));
    if (d->media_type.n)
        qn_json_set_str(o, "mediaType", d->media_type);
    qn_json_push(p->result.missing, o);
    return 0;
}

/* Layers that are not distributed need not be here. */
static bool foreign(const struct qn_descriptor *d)
{
    const struct qn_media_type *t = qn_media_type_find(d->media_type);
    return t && t->kind == QN_MEDIA_FOREIGN;
}

static int check_all(struct qn_tx *tx, struct qn_push *p, const struct qn_manifest *m, struct qn_err *e)
{
    if (p->rq.route.local->sparse)
        return 0;
    if (m->kind == QN_MEDIA_MANIFEST && check_one(tx, p, &m->config, QN_LINK_BLOB, e) < 0)
        return -1;
    for (size_t i = 0; i < m->layer_count; i++)
        if (!foreign(&m->layers[i]) && check_one(tx, p, &m->layers[i], QN_LINK_BLOB, e) < 0)
            return -1;
    for (size_t i = 0; i < m->manifest_count; i++)
        if (check_one(tx, p, &m->manifests[i], QN_LINK_MANIFEST, e) < 0)
            return -1;
    if (p->result.missing)
        return qn_fail(e, QN_E_MANIFEST_BLOB, "manifest names what is not in this repository");
    return 0;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */
/* Where nothing is hardened, what was pushed is what the tag serves from now on; elsewhere the first pull says. */
static int put_history(struct qn_tx *tx, struct qn_push *p, const struct qn_row_tag *tag, struct qn_err *e)
{
    struct qn_row_served row = {.source = tag->digest, .served = tag->digest, .from = qn_time_now()};
    struct qn_row_hold hold;
    bool found;

    if (qn_index_hold_get(tx, tag->repo, tag->tag, &hold, &found, e) < 0)
        return -1;
    p->result.held = p->result.held || found;
    if (found || p->rq.route.local->harden_on_push)
        return 0;
    snprintf(row.repo, sizeof row.repo, "%s", tag->repo);
    snprintf(row.tag, sizeof row.tag, "%s", tag->tag);
    snprintf(row.media_type, sizeof row.media_type, "%s", tag->media_type);
    return qn_index_served_put(tx, &row, e);
}

static int put_tags(struct qn_tx *tx, const struct manifest_job *j, struct qn_err *e)
{
    const struct qn_push_request *rq = &j->p->rq;
    struct qn_row_tag row = {.digest = j->p->result.digest, .size = rq->bytes.n};

    snprintf(row.repo, sizeof row.repo, "%s", rq->route.repo);
    snprintf(row.media_type, sizeof row.media_type, "%s", j->m->media_type);
    for (size_t i = 0; i < rq->tags; i++) {
        if (qn_push_check(tx, row.repo, rq->tag[i], &rq->condition, e) < 0)
            return -1;
        snprintf(row.tag, sizeof row.tag, "%s", rq->tag[i]);
        if (qn_index_tag_put(tx, &row, e) < 0 || put_history(tx, j->p, &row, e) < 0)
            return -1;
    }
    return 0;
}

static int write_rows(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct manifest_job *j = arg;
    const char *repo = j->p->rq.route.repo;
    struct qn_row_link link = {.digest = j->p->result.digest, .kind = QN_LINK_MANIFEST, .how = QN_HOW_PUSHED};

    snprintf(link.repo, sizeof link.repo, "%s", repo);
    snprintf(link.media_type, sizeof link.media_type, "%s", j->m->media_type);
    if (qn_index_repo_put(tx, repo, true, e) < 0 || check_all(tx, j->p, j->m, e) < 0 ||
        qn_manifest_rows_write(tx, &j->rows, e) < 0 || qn_index_link_put(tx, &link, e) < 0)
        return -1;
    if (j->m->has_subject && qn_index_referrer_put(tx, repo, &j->referrer, e) < 0)
        return -1;
    return put_tags(tx, j, e);
}

static int referrer_of(struct manifest_job *j, struct qn_err *e)
{
    const struct qn_manifest *m = j->m;
    struct qn_str type = m->artifact_type;

    if (!m->has_subject)
        return 0;
    if (type.n == 0 && m->kind == QN_MEDIA_MANIFEST)
        type = m->config.media_type;
    j->referrer =
        (struct qn_row_referrer){.subject = m->subject.digest, .digest = j->p->result.digest, .size = j->p->rq.bytes.n};
    snprintf(j->referrer.media_type, sizeof j->referrer.media_type, "%s", m->media_type);
    snprintf(j->referrer.artifact_type, sizeof j->referrer.artifact_type, "%.*s", QN_FMT(type));
    if (!m->annotations)
        return 0;
    qn_auto_buf struct qn_buf b = {0};
    qn_buf_init(&b, 2 * j->p->rq.bytes.n + 64);
    if (qn_json_print(m->annotations, &b, e) < 0)
        return -1;
    j->referrer.annotations = qn_buf_steal(&b);
    return 0;
}

/* --- hardening ---------------------------------------------------------------------------------------------------- */
/* The tag will be asked for: work starts now. Should it not be possible, the first pull starts it. */
static void harden_tags(struct qn_push *p, const struct qn_manifest *m)
{
    struct qn_subject s = {.route = p->rq.route, .source = p->result.digest};

    if (!p->rq.route.local->harden_on_push || !(m->kind == QN_MEDIA_INDEX || qn_manifest_is_image(m)))
        return;
    snprintf(s.media_type, sizeof s.media_type, "%s", m->media_type);
    for (size_t i = 0; i < p->rq.tags; i++) {
        struct qn_job *job;
        struct qn_outcome o;
        struct qn_err e;
        bool found = false;
        s.policy = qn_site_policy(p->site, qn_str_c(s.route.name), qn_str_c(p->rq.tag[i]));
        snprintf(s.tag, sizeof s.tag, "%s", p->rq.tag[i]);
        snprintf(s.reference, sizeof s.reference, "%s:%s", s.route.repo, p->rq.tag[i]);
        if (s.policy->mode == QN_MODE_OFF || (qn_outcome_get(p->site, &s, &o, &found, &e) == 0 && found))
            continue;
        if (qn_job_join(p->site, &s, &job, &e) < 0)
            qn_log_err(QN_LOG_WARN, "not hardened on push", &e, "ref", s.reference, NULL);
        else
            qn_job_release(job);
    }
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */
static int check_digest(struct qn_push *p, struct qn_err *e)
{
    const struct qn_digest *want = &p->rq.digest;
    char a[QN_DIGEST_TEXT], b[QN_DIGEST_TEXT];

    p->result.digest = qn_digest_with(want->algorithm == QN_DIGEST_NONE ? QN_SHA256 : want->algorithm, p->rq.bytes);
    if (want->algorithm != QN_DIGEST_NONE && !qn_digest_eq(want, &p->result.digest))
        return qn_fail(e, QN_E_DIGEST_INVALID, "%s was asked for, the manifest has %s", qn_digest_text(want, a),
                       qn_digest_text(&p->result.digest, b));
    return 0;
}

/* Before anything is written; the transaction looks again. */
static int check_first(struct qn_push *p, const struct qn_manifest *m, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(p->site->index, &tx, e) < 0)
        return -1;
    return check_all(tx, p, m, e);
}

int qn_push_manifest(struct qn_push *p, struct qn_err *e)
{
    qn_auto_manifest struct qn_manifest m = {0};
    struct manifest_job j = {.p = p, .m = &m};
    qn_auto_lease struct qn_lease lease = {0};

    if (check_digest(p, e) < 0 ||
        qn_manifest_parse_kept(p->rq.bytes, qn_str_c(p->rq.media_type), &p->site->settings->limits, &m, e) < 0)
        return -1;
    if (m.has_subject)
        p->result.subject = m.subject.digest;
    qn_lease_take(p->site->index, &p->result.digest, &lease);
    if (check_first(p, &m, e) < 0 || qn_blob_put_as(p->site->store, p->rq.bytes, &p->result.digest, e) < 0 ||
        referrer_of(&j, e) < 0)
        return -1;
    qn_manifest_rows_of(&m, &p->result.digest, p->rq.bytes.n, QN_ORIGIN_PUSHED, &j.rows);
    int r = qn_index_write(p->site->index, write_rows, &j, e);
    qn_manifest_rows_fini(&j.rows);
    qn_row_referrer_fini(&j.referrer);
    if (r == 0)
        harden_tags(p, &m);
    return r;
}
