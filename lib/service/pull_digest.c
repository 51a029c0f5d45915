/* Pulls by digest, of blobs that are not here yet, and of lists. */
#include "decide.h"
#include "pull_int.h"

#include "base/clock.h"

#include <stdlib.h>

static int find_link(struct qn_pull *p, enum qn_link_kind kind, struct qn_row_link *link, bool *found, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(p->site->index, &tx, e) < 0)
        return -1;
    return qn_index_link_get(tx, p->rq.route.repo, kind, &p->rq.digest, link, found, e);
}

struct hardened {
    const struct qn_site *site;
    struct qn_subject subject;
    struct qn_digest digest;
    bool found;
};

/* The result for the path and policy that were asked for: another one's is not served here. */
static bool ours(void *arg, const struct qn_row_derivation *row)
{
    struct hardened *h = arg;
    struct qn_derivation_key key;

    snprintf(h->subject.media_type, sizeof h->subject.media_type, "%s", row->media_type);
    qn_subject_key(h->site, &h->subject, &key);
    if (row->state == QN_STATE_DONE && qn_digest_eq(&row->key.policy, &key.policy) &&
        strcmp(row->key.platform, key.platform) == 0 && strcmp(row->key.engine, key.engine) == 0) {
        h->digest = row->hardened;
        h->found = true;
    }
    return !h->found;
}

/* An upstream image asked for by its own digest: no other bytes may be served under it. */
static void deny_pin(struct qn_pull *p)
{
    struct hardened h = {.site = p->site, .subject = {.route = p->rq.route, .policy = p->rq.policy}};
    char message[QN_ROW_MESSAGE], digest[QN_DIGEST_TEXT];
    struct qn_err e;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, &e) == 0)
            (void)!qn_index_derivations_from(tx, &p->rq.digest, 64, ours, &h, &e);
    }
    if (h.found)
        snprintf(message, sizeof message,
                 "this digest is upstream's image before hardening; the hardened image is %s@%s", p->rq.route.repo,
                 qn_digest_text(&h.digest, digest));
    else
        snprintf(message, sizeof message,
                 "this digest is upstream's image before hardening; pull %s by tag to get it hardened",
                 p->rq.route.repo);
    qn_pull_deny(p, QN_DENY_DIGEST_PIN, message);
}

static void pass(struct qn_pull *p, enum qn_link_how how)
{
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    bool image;
    struct qn_err e;

    if (qn_pull_pass(p, &p->rq.digest, how, media_type, &size, &image, &e) < 0)
        qn_pull_deny_err(p, &e);
    else
        qn_pull_serve(p, &p->rq.digest, media_type, size, false);
}

/* Under a policy that asks for approval, a result of ours is denied until somebody gave it. False when the pull was
 * answered. */
static bool approved(struct qn_pull *p)
{
    enum qn_approval_state state;
    char message[QN_ROW_MESSAGE], digest[QN_DIGEST_TEXT];
    struct qn_err e;

    if (qn_approval_of(p->site, p->rq.route.repo, &p->rq.digest, &state, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return false;
    }
    if (state != QN_APPROVAL_WAITING && state != QN_APPROVAL_REJECTED)
        return true;
    qn_digest_text(&p->rq.digest, digest);
    if (state == QN_APPROVAL_WAITING)
        snprintf(message, sizeof message, "%s awaits approval: quench ctl approve %s", p->rq.route.repo, digest);
    else
        snprintf(message, sizeof message, "%s: this image was rejected; quench ctl images show %s tells why",
                 p->rq.route.repo, digest);
    qn_pull_deny(p, state == QN_APPROVAL_WAITING ? QN_DENY_NOT_APPROVED : QN_DENY_REJECTED, message);
    return false;
}

void qn_pull_digest(struct qn_pull *p)
{
    struct qn_row_link link;
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    bool found, image;
    struct qn_err e;

    if (find_link(p, QN_LINK_MANIFEST, &link, &found, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    if (found && link.how == QN_HOW_HARDENED && qn_blob_stat(p->site->store, &p->rq.digest, &size, &e) < 0) {
        qn_pull_deny(p, QN_DENY_NOT_FOUND, "this hardened image is not kept any more; pull its tag again");
        return;
    }
    if (p->rq.policy->manual && p->rq.policy->mode == QN_MODE_ENFORCE && (!found || link.how == QN_HOW_HARDENED) &&
        !approved(p))
        return;
    if (found) {
        pass(p, link.how);
        return;
    }
    if (p->rq.policy->mode != QN_MODE_ENFORCE) {
        if (p->rq.policy->mode == QN_MODE_AUDIT)
            p->warning = "audit: this is the original image";
        pass(p, QN_HOW_PASSTHROUGH);
        return;
    }
    if (qn_pull_pass(p, &p->rq.digest, 0, media_type, &size, &image, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    if (!image) {
        pass(p, QN_HOW_PASSTHROUGH);
    } else if (p->rq.policy->exact_digests) {
        p->warning = "original: this digest is upstream's image, not hardened";
        pass(p, QN_HOW_ORIGINAL);
    } else {
        deny_pin(p);
    }
}

/* --- blobs -------------------------------------------------------------------------------------------------------- */
/* Size of a blob by the manifests that name it: only a descriptor tells before the download. */
static int size_of(struct qn_pull *p, uint64_t *size, struct qn_err *e)
{
    struct qn_digest *parent = NULL;
    size_t n = 0;
    int r = -1;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(p->site->index, &tx, e) < 0 || qn_index_parents(tx, &p->rq.digest, 16, &parent, &n, e) < 0)
            return -1;
    }
    qn_fail(e, QN_E_BLOB_UNKNOWN, "no manifest here names this blob");
    for (size_t i = 0; r < 0 && i < n; i++) {
        qn_auto_buf struct qn_buf b = {0};
        qn_auto_manifest struct qn_manifest m = {0};
        struct qn_err skip;
        qn_buf_init(&b, p->site->settings->limits.manifest_size);
        if (qn_site_read(p->site, &parent[i], &b, &skip) < 0 ||
            qn_manifest_parse(qn_buf_view(&b), QN_STR(""), &p->site->settings->limits, &m, &skip) < 0 ||
            m.kind != QN_MEDIA_MANIFEST)
            continue;
        for (size_t k = 0; k <= m.layer_count && r < 0; k++) {
            const struct qn_descriptor *d = k < m.layer_count ? &m.layers[k] : &m.config;
            if (!qn_digest_eq(&d->digest, &p->rq.digest))
                continue;
            *size = d->size;
            r = 0;
        }
    }
    free(parent);
    return r;
}

void qn_pull_blob(struct qn_pull *p)
{
    struct qn_row_link link;
    uint64_t size;
    bool found;
    struct qn_err e;

    if (find_link(p, QN_LINK_BLOB, &link, &found, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    if (!found) {
        qn_pull_deny(p, QN_DENY_NOT_FOUND, "blob unknown to this repository");
        return;
    }
    p->answer.kind = QN_ANSWER_BLOB;
    p->answer.digest = p->rq.digest;
    if (qn_blob_stat(p->site->store, &p->rq.digest, &p->answer.size, &e) == 0) {
        qn_pull_finish(p);
        return;
    }
    if (size_of(p, &size, &e) < 0 ||
        qn_fetch_start(p->site->fetcher, qn_site_registry(p->site, p->rq.route.upstream), qn_str_c(p->rq.route.remote),
                       &p->rq.digest, size, p->rq.route.upstream->name.p, &p->answer.fetch, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    /* An answer without a first byte would be a promise that upstream may not keep. */
    if (qn_fetch_wait(p->answer.fetch, 0, 60000, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    p->answer.size = size;
    qn_pull_finish(p);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */
static int compare(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

#define MAX_TAGS 200000u

struct tag_list {
    char **tag;
    size_t n, cap;
};

static int collect(struct qn_pull *p, struct tag_list *all, struct qn_err *e)
{
    struct qn_remote_tags page = {0};
    char last[136] = "";
    int r = 0;

    for (unsigned pages = 0; r == 0 && pages < 1000; pages++) {
        r = qn_registry_tags(qn_site_registry(p->site, p->rq.route.upstream), qn_str_c(p->rq.route.remote), last, 1000,
                             &page, e);
        if (r == 0)
            r = qn_grow((void **)&all->tag, &all->cap, all->n + page.n, sizeof *all->tag, MAX_TAGS, e);
        for (size_t i = 0; r == 0 && i < page.n; i++)
            all->tag[all->n++] = qn_steal(page.tag[i]);
        snprintf(last, sizeof last, "%s", r == 0 ? page.next : "");
        qn_remote_tags_fini(&page);
        if (!last[0])
            break;
    }
    return r;
}

/* Every tag of upstream's, sorted: paging is done where the request is answered. */
void qn_pull_tags(struct qn_pull *p)
{
    struct tag_list all = {0};
    struct qn_err e;
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_json json_t *list = json_array();

    qn_buf_init(&b, 64u << 20);
    int r = collect(p, &all, &e);
    if (r == 0) {
        if (all.n)
            qsort(all.tag, all.n, sizeof *all.tag, compare);
        for (size_t i = 0; i < all.n; i++)
            qn_json_push(list, qn_json_string_c(all.tag[i]));
        r = qn_json_print(list, &b, &e);
    }
    for (size_t i = 0; i < all.n; i++)
        free(all.tag[i]);
    free(all.tag);
    if (r < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    p->answer.kind = QN_ANSWER_TEXT;
    p->answer.text_size = b.n;
    p->answer.text = qn_buf_steal(&b);
    p->answer.fresh_until = qn_time_now() + (int64_t)p->rq.route.upstream->tag_ttl;
    qn_pull_finish(p);
}

/* Upstream's referrers of a digest that is not ours, as it answers them; what they name may then be pulled. */
void qn_pull_referrers(struct qn_pull *p)
{
    char *json;
    size_t n;
    struct qn_err e;

    if (qn_registry_referrers(qn_site_registry(p->site, p->rq.route.upstream), qn_str_c(p->rq.route.remote),
                              &p->rq.digest, &json, &n, &e) < 0) {
        qn_pull_deny_err(p, &e);
        return;
    }
    p->answer.kind = QN_ANSWER_TEXT;
    p->answer.text = json;
    p->answer.text_size = n;
    p->answer.fresh_until = qn_time_now() + 30;
    qn_pull_finish(p);
}
