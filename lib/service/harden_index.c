/* An index: its images for the platforms that are served, in upstream's order, each hardened; nothing else. A platform
 * that fails fails the index: it never shrinks it (contract section 4, "Indexes"). */
#include "index_make.h"
#include "job.h"
#include "publish.h"

#include <stdlib.h>

struct child {
    const struct qn_descriptor *d;
    struct qn_outcome outcome;
    bool taken, attestation;
};

static bool wanted(const struct qn_settings *s, const struct qn_descriptor *d)
{
    if (!d->has_platform)
        return true; /* its config tells */
    for (size_t i = 0; i < s->platforms; i++)
        if (qn_platform_match(&s->platform[i], &d->platform))
            return true;
    return false;
}

static int harden_child(const struct qn_job_run *run, const struct qn_subject *parent, struct child *c, unsigned depth,
                        struct qn_err *e)
{
    struct qn_subject s = *parent;
    const struct qn_media_type *t = qn_media_type_find(c->d->media_type);

    if (!t || (t->kind != QN_MEDIA_MANIFEST && t->kind != QN_MEDIA_INDEX))
        return 0; /* no image */
    s.source = c->d->digest;
    snprintf(s.media_type, sizeof s.media_type, "%s", t->name);
    if (t->kind == QN_MEDIA_INDEX) {
        if (depth == 0)
            return qn_fail(e, QN_E_MALFORMED, "indexes nested deeper than 3 levels");
        if (qn_harden_index(run, &s, depth - 1, &c->outcome, e) < 0)
            return -1;
    } else if (qn_harden_image(run, &s, &c->outcome, e) < 0) {
        return -1;
    }
    bool other = !c->d->has_platform && c->outcome.denial == QN_DENY_PLATFORM;
    c->taken = !other;
    return 0;
}

/* Attestation manifests that stay must be served too. */
static int keep_attestations(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_index_child *c,
                             size_t n, struct qn_err *e)
{
    char media_type[QN_ROW_MEDIA];

    for (size_t i = 0; i < n; i++) {
        qn_auto_buf struct qn_buf b = {0};
        qn_buf_init(&b, run->site->settings->limits.manifest_size);
        if (qn_index_attests(&c[i], c, n) &&
            qn_site_need_manifest(run->site, &s->route, &c[i].source->digest, &b, media_type, e) < 0)
            return -1;
    }
    return 0;
}

static int make(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_manifest *m,
                const struct qn_index_child *made, struct qn_buf *b, bool *same, struct qn_err *e)
{
    qn_auto_json json_t *root = NULL;
    qn_auto_free char *policy =
        qn_xasprintf("%s@%s", s->policy->name.p, s->route.build ? s->policy->build_digest : s->policy->digest);
    struct qn_index_origin from = {&s->source, policy, run->site->engine};

    if (qn_index_make(m, made, &from, run->site->settings->platform_list, &root, same, e) < 0 ||
        keep_attestations(run, s, made, m->manifest_count, e) < 0)
        return -1;
    return *same ? 0 : qn_json_print(root, b, e);
}

static int assemble(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_manifest *m,
                    const struct child *c, struct qn_str bytes, struct qn_outcome *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_row_derivation row;
    struct qn_index_child *made = qn_xcalloc(m->manifest_count, sizeof *made);
    bool same, backed_off = false, found;

    for (size_t i = 0; i < m->manifest_count; i++) {
        made[i] = (struct qn_index_child){.source = c[i].d,
                                          .attestation = c[i].attestation,
                                          .taken = c[i].taken,
                                          .unchanged = c[i].outcome.unchanged,
                                          .digest = c[i].outcome.digest,
                                          .size = c[i].outcome.size};
        backed_off = backed_off || (c[i].taken && c[i].outcome.backed_off);
    }
    qn_buf_init(&b, run->site->settings->limits.manifest_size);
    int r = make(run, s, m, made, &b, &same, e);
    free(made);
    if (r < 0 || qn_derivation_begin(run->site, s, &row, e) < 0 ||
        qn_derivation_done_index(run->site, &row, same ? bytes : qn_buf_view(&b), m->media_type, backed_off, e) < 0 ||
        qn_outcome_get(run->site, s, out, &found, e) < 0)
        return -1;
    return found ? 0 : qn_fail(e, QN_E_IO, "the result is not in the store");
}

/* Children in order; stops at the first that is not done. */
static int harden_children(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_manifest *m,
                           struct child *c, unsigned depth, const struct child **failed, struct qn_err *e)
{
    for (size_t i = 0; i < m->manifest_count; i++) {
        c[i].d = &m->manifests[i];
        c[i].attestation = qn_manifest_is_attestation(c[i].d);
        if (c[i].attestation || !wanted(run->site->settings, c[i].d))
            continue;
        if (harden_child(run, s, &c[i], depth, e) < 0)
            return -1;
        if (c[i].taken && c[i].outcome.state != QN_STATE_DONE) {
            *failed = &c[i];
            return 0;
        }
    }
    return 0;
}

/* A failure of the index itself, remembered as an image's is. */
static int fail_index(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_err *why,
                      struct qn_outcome *out, struct qn_err *e)
{
    struct qn_row_derivation row;

    if (qn_derivation_begin(run->site, s, &row, e) < 0)
        return -1;
    return qn_derivation_failed(run->site, &row, why, out, e);
}

int qn_harden_index(const struct qn_job_run *run, const struct qn_subject *s, unsigned depth, struct qn_outcome *out,
                    struct qn_err *e)
{
    struct qn_err why;
    char media_type[QN_ROW_MEDIA];
    qn_auto_buf struct qn_buf bytes = {0};
    qn_auto_manifest struct qn_manifest m = {0};
    const struct child *failed = NULL;
    bool found;

    qn_buf_init(&bytes, run->site->settings->limits.manifest_size);
    if (qn_outcome_get(run->site, s, out, &found, e) < 0)
        return -1;
    if (found)
        return out->state == QN_STATE_DONE ? qn_publish_links(run->site, s, &out->digest, false, e) : 0;
    if (qn_site_need_manifest(run->site, &s->route, &s->source, &bytes, media_type, &why) < 0 ||
        qn_manifest_parse(qn_buf_view(&bytes), qn_str_c(media_type), &run->site->settings->limits, &m, &why) < 0)
        return fail_index(run, s, &why, out, e);
    struct child *c = qn_xcalloc(m.manifest_count, sizeof *c);
    int r = harden_children(run, s, &m, c, depth, &failed, &why);
    if (r == 0 && failed)
        *out = failed->outcome;
    else if (r == 0)
        r = assemble(run, s, &m, c, qn_buf_view(&bytes), out, &why);
    free(c);
    if (r < 0)
        return fail_index(run, s, &why, out, e);
    return failed ? 0 : qn_publish_links(run->site, s, &out->digest, false, e);
}
