/* GET and HEAD of a manifest: from memory, from the store, or from a pull that this request shares with others. */
#include "access.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/rows_tag.h"

#include <stdlib.h>

#define FIRST_HEADER_MS 20000 /* containerd gives up after 30 s without headers, proxies in between sooner */
#define REGISTRY_MS     25000
#define DIGEST_TTL      60 /* seconds that an answer by digest stays in memory */

/* --- answering ---------------------------------------------------------------------------------------------------- */
struct accept {
    bool any, index, given;
};

static bool see_accept(void *arg, struct qn_str value)
{
    struct accept *a = arg;
    struct qn_str part;

    while (qn_str_next(&value, ',', &part)) {
        struct qn_str type = qn_media_type_essence(part);
        const struct qn_media_type *t = qn_media_type_find(type);
        a->given = true;
        a->any = a->any || qn_str_eq(type, QN_STR("*/*")) || qn_str_eq(type, QN_STR("application/*"));
        a->index = a->index || (t && t->kind == QN_MEDIA_INDEX);
    }
    return true;
}

/* A client that lists what it accepts and cannot read an index gets the first platform's image instead. */
static bool wants_child(const struct qn_http_request *r)
{
    struct accept a = {false, false, false};
    qn_http_header_each(r, "Accept", see_accept, &a);
    return a.given && !a.any && !a.index;
}

static bool first_child(struct qn_exchange *x, struct qn_str bytes, const char *media_type, struct qn_digest *out)
{
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_err e;

    if (qn_manifest_parse(bytes, qn_str_c(media_type), &x->server->site->settings->limits, &m, &e) < 0)
        return false;
    for (size_t p = 0; p < x->server->site->settings->platforms; p++)
        for (size_t i = 0; i < m.manifest_count; i++)
            if (m.manifests[i].has_platform &&
                qn_platform_match(&x->server->site->settings->platform[p], &m.manifests[i].platform)) {
                *out = m.manifests[i].digest;
                return true;
            }
    return false;
}

/* What stands in the answer's headers beside the bytes. */
struct shown {
    struct qn_digest digest;
    char media_type[QN_ROW_MEDIA];
    struct qn_digest source;
    const char *warning;
    bool hardened, tag;
};

static struct qn_http_shared *make_answer(struct qn_exchange *x, const struct shown *s, struct qn_str bytes)
{
    char digest[QN_DIGEST_TEXT], etag[QN_DIGEST_TEXT + 2], source[QN_DIGEST_TEXT] = "", policy[256] = "",
                                                           warn[256] = "";

    qn_digest_text(&s->digest, digest);
    snprintf(etag, sizeof etag, "\"%s\"", digest);
    if (s->source.algorithm != QN_DIGEST_NONE)
        qn_digest_text(&s->source, source);
    if (s->hardened)
        snprintf(policy, sizeof policy, "%s@%s", x->policy->name.p,
                 x->route.build ? x->policy->build_digest : x->policy->digest);
    if (s->warning)
        snprintf(warn, sizeof warn, "299 - \"%s\"", s->warning);
    struct qn_http_field fields[] = {{"Content-Type", s->media_type},
                                     {"Docker-Content-Digest", digest},
                                     {"ETag", etag},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {"OCI-Namespace", x->route.upstream ? x->route.upstream->name.p : NULL},
                                     {"Quench-Source-Digest", source[0] ? source : NULL},
                                     {"Quench-Policy", policy[0] ? policy : NULL},
                                     {"Warning", warn[0] ? warn : NULL},
                                     {"Cache-Control", s->tag ? "no-cache" : "max-age=31536000, immutable"},
                                     {NULL, NULL}};
    return qn_http_shared_new(200, fields, bytes);
}

/* What the answer depends on: listener, path, namespace, and whether the client can read an index. Settings never
 * change, so that neither routing nor policies need to be looked at when the answer is in memory. */
static bool cache_key(const struct qn_http_request *r, bool child, char out[1024])
{
    struct qn_str path = qn_http_path(r), ns = QN_STR("");

    (void)qn_http_query(r, "ns", &ns);
    if (path.n + ns.n + 8 > 1024)
        return false;
    char *at = out;
    *at++ = 'm';
    *at++ = (char)('0' + qn_http_kind(r));
    *at++ = child ? '1' : '0';
    memcpy(at, path.p, path.n);
    at += path.n;
    *at++ = '?';
    memcpy(at, ns.p, ns.n);
    at[ns.n] = '\0';
    return true;
}

static void respond_manifest(struct qn_exchange *x, struct qn_http_request *r, struct shown *s, int64_t fresh_until)
{
    struct qn_site *site = x->server->site;
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    char key[1024];
    const struct qn_media_type *t = qn_media_type_find(qn_str_c(s->media_type));
    bool child = s->tag && t && t->kind == QN_MEDIA_INDEX && wants_child(r);

    qn_buf_init(&b, x->server->site->settings->limits.manifest_size);
    if (qn_site_read(site, &s->digest, &b, &e) < 0) {
        qn_log_err(QN_LOG_ERROR, "manifest not readable", &e, "repo", x->route.repo, NULL);
        qn_respond_denial(x, r, QN_DENY_HARDENING_FAILED, "the manifest is not readable; try again", 0);
        return;
    }
    if (child && first_child(x, qn_buf_view(&b), s->media_type, &s->digest)) {
        struct qn_row_manifest row;
        bool found = false;
        qn_auto_read struct qn_tx *tx = NULL;
        qn_buf_clear(&b);
        if (qn_index_read(site->index, &tx, &e) < 0 || qn_index_manifest_get(tx, &s->digest, &row, &found, &e) < 0 ||
            !found || qn_site_read(site, &s->digest, &b, &e) < 0) {
            qn_respond_denial(x, r, QN_DENY_NOT_FOUND, "the image of this index is not here", 0);
            return;
        }
        snprintf(s->media_type, sizeof s->media_type, "%s", row.media_type);
    }
    struct qn_http_shared *shared = make_answer(x, s, qn_buf_view(&b));
    /* As from_memory() asks for it. What is deleted or moved in a local repository is so at once. */
    if (!x->route.local && cache_key(r, s->tag && wants_child(r), key))
        qn_cache_put(x->server->cache, x->generation, key, shared, b.n + 1024, fresh_until);
    qn_note_pull(x, r, &s->digest);
    qn_http_respond_shared(r, shared);
    qn_http_shared_unref(shared);
}

static void respond_answer(struct qn_exchange *x, struct qn_http_request *r, const struct qn_answer *a, bool tag)
{
    struct shown s = {
        .digest = a->digest, .source = a->source, .warning = a->warning, .hardened = a->hardened, .tag = tag};

    if (a->kind != QN_ANSWER_MANIFEST) {
        qn_respond_denial(x, r, a->denial, a->message, a->retry_at);
        return;
    }
    snprintf(s.media_type, sizeof s.media_type, "%s", a->media_type);
    respond_manifest(x, r, &s, tag ? a->fresh_until : qn_time_now() + DIGEST_TTL);
}

/* --- a body that is held ------------------------------------------------------------------------------------------ */
/* The headers are out; the body is the manifest once it is there, or a denial when it does not come. */
struct held {
    struct qn_exchange *x;
    struct qn_buf body;
    bool ready;
    int64_t deadline;
};

static bool fill(struct held *h, struct qn_http_request *r)
{
    const struct qn_answer *a = qn_pull_answer(h->x->pull);
    struct qn_row_denial row;
    struct qn_err e;
    int64_t now = qn_time_mono_ms();

    if (!a && now < h->deadline) {
        qn_exchange_wait(h->x, r, false, h->deadline);
        return false;
    }
    if (a && a->kind == QN_ANSWER_MANIFEST && qn_site_read(h->x->server->site, &a->digest, &h->body, &e) == 0) {
        qn_note_pull(h->x, r, &a->digest);
        return true;
    }
    enum qn_denial d = a && a->kind == QN_ANSWER_DENIED ? a->denial : QN_DENY_STILL_HARDENING;
    const char *message =
        a && a->kind == QN_ANSWER_DENIED ? a->message : "the image is still being hardened; pull it again";
    if (!qn_denial_record(h->x, r, d, message, &row))
        return false;
    atomic_fetch_add(&h->x->server->site->counters.denied[d], 1);
    return qn_buf_put(&h->body, row.body, row.body_size, &e) == 0;
}

static ssize_t held_read(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n)
{
    struct held *h = ctx;

    if (!h->ready && !(h->ready = fill(h, r)))
        return QN_HTTP_AGAIN;
    if (off >= h->body.n)
        return QN_HTTP_END;
    size_t k = QN_MIN(n, h->body.n - (size_t)off);
    memcpy(buf, h->body.p + off, k);
    return (ssize_t)k;
}

static void held_free(void *ctx)
{
    struct held *h = ctx;
    qn_buf_fini(&h->body);
    free(h);
}

static void promise(struct qn_exchange *x, struct qn_http_request *r)
{
    enum qn_media_kind kind;
    enum qn_media_family family;

    (void)qn_pull_source(x->pull, &kind, &family);
    struct qn_http_field fields[] = {{"Content-Type", qn_media_type_name(kind, family, QN_PLAIN)},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {"OCI-Namespace", x->route.upstream->name.p},
                                     {"Cache-Control", "no-store"},
                                     {NULL, NULL}};
    if (qn_http_method(r) == QN_HTTP_HEAD) {
        qn_http_respond_headers(r, 200, fields);
        return;
    }
    struct held *h = qn_new(struct held);
    h->x = x;
    h->deadline = x->started + (int64_t)x->server->site->settings->cold_wait * 1000;
    qn_buf_init(&h->body, x->server->site->settings->limits.manifest_size + QN_DENIAL_BODY_MAX);
    struct qn_http_source source = {held_read, held_free, h};
    qn_http_respond_source(r, 200, fields, QN_HTTP_UNKNOWN, &source);
}

/* --- waiting for a pull ------------------------------------------------------------------------------------------- */
static void wait_on_registry(struct qn_exchange *x, struct qn_http_request *r)
{
    int64_t deadline = x->started + REGISTRY_MS;

    if (qn_time_mono_ms() >= deadline)
        qn_respond_denial(x, r, QN_DENY_STILL_HARDENING, "the image is being hardened; ask again", qn_time_now() + 5);
    else
        qn_exchange_wait(x, r, false, deadline);
}

static void wait_on_mirror(struct qn_exchange *x, struct qn_http_request *r)
{
    int64_t deadline = x->started + FIRST_HEADER_MS;
    bool head = qn_http_method(r) == QN_HTTP_HEAD, late = qn_time_mono_ms() >= deadline;
    enum qn_media_kind kind;
    enum qn_media_family family;
    bool resolved = qn_pull_source(x->pull, &kind, &family);

    if (resolved && (head || late))
        promise(x, r);
    else if (late)
        qn_respond_denial(x, r, QN_DENY_UPSTREAM_DOWN, "the upstream registry does not answer in time", 0);
    else
        qn_exchange_wait(x, r, head, deadline);
}

static void follow(struct qn_exchange *x, struct qn_http_request *r, bool tag)
{
    const struct qn_answer *a = qn_pull_answer(x->pull);

    if (a)
        respond_answer(x, r, a, tag);
    else if (qn_is_mirror(r) && tag && x->policy->mode == QN_MODE_ENFORCE)
        wait_on_mirror(x, r);
    else
        wait_on_registry(x, r);
}

static void join(struct qn_exchange *x, struct qn_http_request *r, const struct qn_pull_request *rq)
{
    struct qn_err e;

    if (qn_pull_join(x->server->site, rq, &x->pull, &e) < 0)
        qn_respond_denial(x, r, QN_DENY_QUEUE_FULL, e.msg, 0);
    else
        follow(x, r, rq->kind == QN_PULL_TAG);
}

/* --- by digest ---------------------------------------------------------------------------------------------------- */
/* Denial manifests and manifests that this repository shows and the store has are answered without a pull. */
static bool quick_digest(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d)
{
    struct qn_site *site = x->server->site;
    struct qn_row_denial *denial = qn_new(struct qn_row_denial);
    struct qn_row_manifest m;
    struct qn_row_link link;
    struct qn_err e;
    uint64_t size;
    bool denied = false, linked = false, known = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, &e) < 0 ||
            qn_index_denial_get(tx, x->route.repo, d, denial, &denied, &e) < 0 ||
            qn_index_link_get(tx, x->route.repo, QN_LINK_MANIFEST, d, &link, &linked, &e) < 0 ||
            qn_index_manifest_get(tx, d, &m, &known, &e) < 0)
            qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
    }
    /* What a policy wants approved is looked at more closely, by a pull. */
    if (linked && link.how == QN_HOW_HARDENED && x->policy->manual)
        linked = false;
    bool answered = denied || (linked && known && qn_blob_stat(site->store, d, &size, &e) == 0);
    if (denied) {
        char digest[QN_DIGEST_TEXT];
        struct qn_http_field fields[] = {{"Content-Type", denial->media_type},
                                         {"Docker-Content-Digest", qn_digest_text(d, digest)},
                                         {"Cache-Control", "no-store"},
                                         {"Quench-Denied", denial->reason},
                                         {NULL, NULL}};
        qn_http_respond(r, 200, fields, qn_str_n(denial->body, denial->body_size));
    } else if (answered) {
        struct shown s = {.digest = *d, .hardened = link.how == QN_HOW_HARDENED};
        snprintf(s.media_type, sizeof s.media_type, "%s", m.media_type);
        if (link.how == QN_HOW_ORIGINAL)
            s.warning = "original: these are upstream's bytes, not hardened";
        qn_index_touch(site->index, d);
        respond_manifest(x, r, &s, qn_time_now() + DIGEST_TTL);
    }
    free(denial);
    return answered;
}

/* --- local repositories ------------------------------------------------------------------------------------------- */
void qn_respond_manifest_unknown(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_auto_json json_t *details = json_array();
    json_t *one = json_object();
    bool digest = qn_str_chr(x->arg[1], ':') >= 0;
    struct qn_err e;

    qn_fail(&e, QN_E_MANIFEST_UNKNOWN, "manifest unknown");
    qn_json_set_c(one, "name", x->route.repo);
    qn_json_set_str(one, digest ? "digest" : "tag", x->arg[1]);
    qn_json_push(details, one);
    qn_http_respond_oci_details(r, NULL, &e, details);
}

static int put_served(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_served_put(tx, arg, e);
}

static void served_written(void *arg, const struct qn_err *failed)
{
    if (failed)
        qn_log_err(QN_LOG_WARN, "tag history not written", failed, NULL);
    free(arg);
}

/* A tag that was pushed to while it was held serves that from its thaw on. */
static void note_served(struct qn_exchange *x, const struct qn_row_tag *tag)
{
    struct qn_row_served *row = qn_new(struct qn_row_served);
    struct qn_err e;

    row->source = row->served = tag->digest;
    row->from = qn_time_now();
    snprintf(row->repo, sizeof row->repo, "%s", tag->repo);
    snprintf(row->tag, sizeof row->tag, "%s", tag->tag);
    snprintf(row->media_type, sizeof row->media_type, "%s", tag->media_type);
    if (qn_index_post(x->server->site->index, put_served, row, served_written, &e) < 0)
        served_written(row, &e);
}

/* A tag that serves what was pushed, or what it is held at. */
static bool plain_tag(struct qn_exchange *x, const char *tag, struct shown *s)
{
    struct qn_row_tag row;
    struct qn_row_hold hold;
    struct qn_row_manifest m;
    struct qn_row_served now;
    struct qn_err e;
    bool found = false, held = false, known = true, served = false;
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_hold_get(tx, x->route.repo, tag, &hold, &held, &e) < 0 ||
        qn_index_tag_get(tx, x->route.repo, tag, &row, &found, &e) < 0 ||
        qn_index_served_latest(tx, x->route.repo, tag, &now, &served, &e) < 0 ||
        (held && qn_index_manifest_get(tx, &hold.served, &m, &known, &e) < 0)) {
        qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
        return false;
    }
    s->digest = held ? hold.served : row.digest;
    s->warning = held ? "held: this tag was frozen or rolled back" : NULL;
    snprintf(s->media_type, sizeof s->media_type, "%s", held ? m.media_type : row.media_type);
    if (found && !held && !x->route.local->harden_on_push && !(served && qn_digest_eq(&now.served, &row.digest)))
        note_served(x, &row);
    return found && known;
}

/* What people pushed, as it is or, where the repository hardens, as it became. */
static void answer_local(struct qn_exchange *x, struct qn_http_request *r, struct qn_pull_request *rq)
{
    struct shown s = {.tag = true};

    if (!plain_tag(x, rq->tag, &s)) {
        qn_respond_manifest_unknown(x, r);
        return;
    }
    if (x->route.local->harden_on_push) {
        rq->digest = s.warning ? (struct qn_digest){QN_DIGEST_NONE, {0}} : s.digest;
        join(x, r, rq);
        return;
    }
    qn_index_touch(x->server->site->index, &s.digest);
    respond_manifest(x, r, &s, 0);
}

/* --- the endpoint ------------------------------------------------------------------------------------------------- */
static bool from_memory(struct qn_exchange *x, struct qn_http_request *r, bool tag)
{
    char key[1024];
    struct qn_digest d;
    struct qn_err e;

    if (!cache_key(r, tag && wants_child(r), key))
        return false;
    struct qn_http_shared *s = qn_cache_get(x->server->cache, x->generation, key);
    if (s && x->server->site->settings->log_pulls) {
        if (!qn_exchange_route(x, r, tag ? x->arg[1] : QN_STR(""))) { /* answered */
            qn_http_shared_unref(s);
            return true;
        }
        if (qn_digest_parse(qn_http_shared_tag(s), &d, &e) == 0)
            qn_note_pull(x, r, &d);
    }
    if (s) {
        atomic_fetch_add(&x->server->site->counters.memory_hits, 1);
        qn_http_respond_shared(r, s);
    }
    qn_http_shared_unref(s);
    return s != NULL;
}

static void answer(struct qn_exchange *x, struct qn_http_request *r, struct qn_str ref, bool digest)
{
    struct qn_pull_request rq = {.head = qn_http_method(r) == QN_HTTP_HEAD};
    struct qn_err e;

    if (digest ? qn_digest_parse(ref, &rq.digest, &e) < 0 : !qn_reference_tag_valid(ref)) {
        qn_respond_error(r, digest ? QN_E_DIGEST_INVALID : QN_E_MANIFEST_UNKNOWN, digest ? e.msg : "not a valid tag");
        return;
    }
    if (!qn_exchange_route(x, r, digest ? QN_STR("") : ref))
        return;
    if (x->pull) {
        follow(x, r, !digest);
        return;
    }
    if (digest && quick_digest(x, r, &rq.digest))
        return;
    if (digest && x->route.local && !x->policy->manual) {
        qn_respond_manifest_unknown(x, r);
        return;
    }
    rq.kind = digest ? QN_PULL_DIGEST : QN_PULL_TAG;
    rq.route = x->route;
    rq.policy = x->policy;
    if (!digest)
        snprintf(rq.tag, sizeof rq.tag, "%.*s", QN_FMT(ref));
    if (x->route.local && !digest)
        answer_local(x, r, &rq);
    else
        join(x, r, &rq);
}

void qn_endpoint_manifest(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str ref = x->arg[1];
    bool digest = qn_str_chr(ref, ':') >= 0;

    if (qn_exchange_guarded(x, r) &&
        (!qn_exchange_route(x, r, digest ? QN_STR("") : ref) || !qn_exchange_may(x, r, QN_PULL)))
        return;
    if (x->pull || !from_memory(x, r, !digest))
        answer(x, r, ref, digest);
}
