/* An index: its images for the platforms that are served, in upstream's order, each hardened; nothing else. A platform
 * that fails fails the index: it never shrinks it (contract section 4, "Indexes"). */
#include "job.h"
#include "publish.h"

#include <stdlib.h>

struct child {
    const struct qn_descriptor *d;
    struct qn_outcome outcome;
    struct qn_digest source;
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

static json_t *entry(const struct child *c)
{
    json_t *o = json_deep_copy(c->d->json);
    char digest[QN_DIGEST_TEXT];

    qn_json_set_c(o, "digest", qn_digest_text(&c->outcome.digest, digest));
    qn_json_set_int(o, "size", (int64_t)c->outcome.size);
    json_object_del(o, "urls");
    json_object_del(o, "data");
    return o;
}

/* Attestations stay where what they describe is emitted unchanged. */
static bool attests_unchanged(const struct child *a, const struct child *all, size_t n)
{
    struct qn_digest about;

    if (!qn_manifest_attested(a->d, &about))
        return false;
    for (size_t i = 0; i < n; i++)
        if (all[i].taken && all[i].outcome.unchanged && qn_digest_eq(&all[i].source, &about))
            return true;
    return false;
}

static json_t *new_index(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_manifest *m,
                         const struct child *c, bool *same)
{
    json_t *root = json_deep_copy(m->root), *list = json_array();
    qn_auto_free char *policy = NULL;
    char digest[QN_DIGEST_TEXT];

    *same = true;
    for (size_t i = 0; i < m->manifest_count; i++) {
        bool keep = c[i].taken || (c[i].attestation && attests_unchanged(&c[i], c, m->manifest_count));
        *same = *same && keep && (c[i].attestation || c[i].outcome.unchanged);
        if (keep && c[i].attestation)
            qn_json_push(list, json_deep_copy(c[i].d->json));
        else if (keep)
            qn_json_push(list, entry(&c[i]));
    }
    qn_json_set_c(root, "mediaType", m->media_type);
    qn_json_set(root, "manifests", list);
    json_object_del(root, "subject");
    if (m->family == QN_FAMILY_OCI) {
        json_t *a = json_object_get(root, "annotations");
        if (!json_is_object(a)) {
            qn_json_set(root, "annotations", json_object());
            a = json_object_get(root, "annotations");
        }
        policy = qn_xasprintf("%s@%s", s->policy->name.p, s->route.build ? s->policy->build_digest : s->policy->digest);
        qn_json_set_c(a, "org.opencontainers.image.base.digest", qn_digest_text(&s->source, digest));
        qn_json_set_c(a, "io.quench.policy", policy);
        qn_json_set_c(a, "io.quench.engine", run->site->engine);
    }
    return root;
}

/* Attestation manifests that stay must be served too. */
static int keep_attestations(const struct qn_job_run *run, const struct qn_subject *s, const struct child *c, size_t n,
                             struct qn_err *e)
{
    char media_type[QN_ROW_MEDIA];

    for (size_t i = 0; i < n; i++) {
        qn_auto_buf struct qn_buf b = {0};
        qn_buf_init(&b, run->site->settings->limits.manifest_size);
        if (c[i].attestation && attests_unchanged(&c[i], c, n) &&
            qn_site_need_manifest(run->site, &s->route, &c[i].d->digest, &b, media_type, e) < 0)
            return -1;
    }
    return 0;
}

static int assemble(const struct qn_job_run *run, const struct qn_subject *s, const struct qn_manifest *m,
                    const struct child *c, struct qn_str bytes, struct qn_outcome *out, struct qn_err *e)
{
    qn_auto_json json_t *root = NULL;
    qn_auto_buf struct qn_buf b = {0};
    struct qn_row_derivation row;
    bool same, backed_off = false, found;

    for (size_t i = 0; i < m->manifest_count; i++)
        backed_off = backed_off || (c[i].taken && c[i].outcome.backed_off);
    root = new_index(run, s, m, c, &same);
    if (json_array_size(json_object_get(root, "manifests")) == 0)
        return qn_fail(e, QN_E_DENIED, "the index has no image for %s", run->site->settings->platform_list);
    if (keep_attestations(run, s, c, m->manifest_count, e) < 0)
        return -1;
    qn_buf_init(&b, run->site->settings->limits.manifest_size);
    if (!same && qn_json_print(root, &b, e) < 0)
        return -1;
    if (qn_derivation_begin(run->site, s, &row, e) < 0 ||
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
        c[i].source = c[i].d->digest;
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
