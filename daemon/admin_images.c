/* The admin API about images: what a reference stands for, what is known, its report; hardening ahead of time. */
#include "server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "store/rows_tag.h"

#include <stdlib.h>

static void set_time(json_t *o, const char *key, int64_t seconds)
{
    char text[QN_TIME_TEXT];

    if (seconds <= 0)
        return;
    qn_time_format(seconds, text);
    qn_json_set_c(o, key, text);
}

static void set_digest(json_t *o, const char *key, const struct qn_digest *d)
{
    char text[QN_DIGEST_TEXT];

    if (d->algorithm != QN_DIGEST_NONE)
        qn_json_set_c(o, key, qn_digest_text(d, text));
}

static void set_policy(json_t *o, const struct qn_subject *s)
{
    qn_auto_free char *text =
        qn_xasprintf("%s@%s", s->policy->name.p, s->route.build ? s->policy->build_digest : s->policy->digest);
    qn_json_set_c(o, "policy", text);
}

/* A reference as clients write it on the registry listener: [build/]UPSTREAM/REPOSITORY[:TAG|@DIGEST]. */
static int read_reference(struct qn_exchange *x, struct qn_str ref, struct qn_subject *s, struct qn_str *tag,
                          struct qn_digest *digest, struct qn_err *e)
{
    ptrdiff_t at = qn_str_chr(ref, '@'), colon, slash;
    struct qn_str name = ref;

    *digest = (struct qn_digest){QN_DIGEST_NONE, {0}};
    *tag = QN_STR("");
    if (at >= 0) {
        name = qn_str_head(ref, (size_t)at);
        if (qn_digest_parse(qn_str_from(ref, (size_t)at + 1), digest, e) < 0)
            return -1;
    }
    colon = qn_str_rchr(name, ':');
    slash = qn_str_rchr(name, '/');
    if (colon > slash) {
        *tag = qn_str_from(name, (size_t)colon + 1);
        name = qn_str_head(name, (size_t)colon);
        if (!qn_reference_tag_valid(*tag))
            return qn_fail(e, QN_E_NAME_INVALID, "\"%s\": not a valid tag", QN_Q(*tag));
    }
    if (at < 0 && tag->n == 0)
        *tag = QN_STR("latest");
    if (qn_route(x->server->settings, false, name, QN_STR(""), &s->route, e) < 0)
        return -1;
    s->policy = qn_settings_policy(x->server->settings, qn_str_c(s->route.name), *tag);
    if (tag->n)
        snprintf(s->reference, sizeof s->reference, "%s:%.*s", s->route.repo, QN_FMT(*tag));
    return 0;
}

/* --- resolve ------------------------------------------------------------------------------------------------------ */
struct known {
    struct qn_row_tag tag;
    bool has_tag;
    struct qn_row_manifest manifest;
    bool has_manifest;
};

static int look_up(struct qn_exchange *x, struct qn_subject *s, struct qn_str tag, const struct qn_digest *digest,
                   struct known *k, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;
    char name[QN_ROW_TAG];

    if (qn_index_read(x->server->site->index, &tx, e) < 0)
        return -1;
    if (digest->algorithm != QN_DIGEST_NONE) {
        s->source = *digest;
        if (qn_index_manifest_get(tx, digest, &k->manifest, &k->has_manifest, e) < 0)
            return -1;
        snprintf(s->media_type, sizeof s->media_type, "%s", k->has_manifest ? k->manifest.media_type : "");
        k->has_tag = k->has_manifest;
        return 0;
    }
    snprintf(name, sizeof name, "%.*s", QN_FMT(tag));
    if (qn_index_tag_get(tx, s->route.repo, name, &k->tag, &k->has_tag, e) < 0)
        return -1;
    s->source = k->tag.digest;
    snprintf(s->media_type, sizeof s->media_type, "%s", k->tag.media_type);
    return 0;
}

static const char *state_word(struct qn_exchange *x, const struct qn_subject *s, const struct known *k,
                              const struct qn_outcome *o, bool found)
{
    if (!k->has_tag || s->source.algorithm == QN_DIGEST_NONE)
        return "unknown";
    if (s->policy->mode != QN_MODE_ENFORCE || (s->route.local && !s->route.local->harden_on_push))
        return "original";
    if (!found && s->route.local)
        return "hardening";
    if (!found)
        return k->tag.checked + (int64_t)s->route.upstream->tag_ttl < qn_time_now() ? "stale" : "hardening";
    (void)x;
    if (o->state != QN_STATE_DONE)
        return "denied";
    return o->unchanged ? (o->backed_off ? "original" : "unchanged") : "hardened";
}

static void set_links(json_t *o, const struct qn_outcome *out)
{
    json_t *links = json_object();
    char digest[QN_DIGEST_TEXT];
    qn_auto_free char *self = qn_xasprintf("/api/v1/images/%s", qn_digest_text(&out->digest, digest));
    qn_auto_free char *report = qn_xasprintf("%s/report", self);

    qn_json_set_c(links, "image", self);
    qn_json_set_c(links, "report", report);
    qn_json_set(o, "links", links);
}

void qn_endpoint_resolve(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_subject s = {.policy = NULL};
    struct qn_str ref, tag;
    struct qn_digest digest;
    struct known k = {.has_tag = false};
    struct qn_outcome o = {.state = 0};
    struct qn_err e;
    bool found = false;

    if (!qn_http_query(r, "ref", &ref)) {
        qn_respond_error(r, QN_E_USAGE, "the query needs ref=UPSTREAM/REPOSITORY[:TAG|@DIGEST]");
        return;
    }
    if (read_reference(x, ref, &s, &tag, &digest, &e) < 0 || look_up(x, &s, tag, &digest, &k, &e) < 0 ||
        (k.has_tag && s.source.algorithm != QN_DIGEST_NONE &&
         qn_outcome_get(x->server->site, &s, &o, &found, &e) < 0)) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_t *body = json_object();
    const char *state = state_word(x, &s, &k, &o, found);
    qn_json_set_str(body, "ref", ref);
    qn_json_set_c(body, "state", state);
    set_digest(body, "source", &s.source);
    if (found && o.state == QN_STATE_DONE) {
        set_digest(body, "hardened", &o.digest);
        set_links(body, &o);
    }
    set_policy(body, &s);
    if (found && o.state != QN_STATE_DONE) {
        qn_json_set_c(body, "reason", qn_denial_name(o.denial));
        qn_json_set_c(body, "message", o.message);
        set_time(body, "retry_at", o.retry_at);
    }
    if (k.has_tag && !k.has_manifest)
        set_time(body, "checked", k.tag.checked);
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- known images ------------------------------------------------------------------------------------------------- */
static json_t *image_json(const struct qn_row_derivation *row)
{
    json_t *o = json_object();
    char digest[QN_DIGEST_TEXT];
    qn_auto_free char *policy = qn_xasprintf("%s@%s", row->policy_name, qn_digest_text(&row->key.policy, digest));
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->id);
    bool unchanged = qn_digest_eq(&row->hardened, &row->key.source);

    qn_json_set_c(o, "id", id);
    qn_json_set_c(o, "ref", row->reference);
    qn_json_set_c(o, "state",
                  row->state == QN_STATE_DONE ? (unchanged ? "unchanged" : "hardened")
                  : row->state == QN_STATE_DENIED || row->state == QN_STATE_FAILED ? "denied"
                                                                                   : "hardening");
    set_digest(o, "digest", &row->hardened);
    set_digest(o, "source", &row->key.source);
    qn_json_set_c(o, "platform", row->key.platform);
    qn_json_set_c(o, "media_type", row->media_type);
    qn_json_set_c(o, "policy", policy);
    qn_json_set_c(o, "engine", row->key.engine);
    if (row->reason[0])
        qn_json_set_c(o, "reason", row->reason);
    if (row->message[0])
        qn_json_set_c(o, "message", row->message);
    qn_json_set_int(o, "attempts", row->attempts);
    set_time(o, "made", row->made);
    set_time(o, "last_served", row->last_served);
    set_time(o, "retry_at", row->retry_at);
    return o;
}

static bool add_image(void *arg, const struct qn_row_derivation *row)
{
    qn_json_push(arg, image_json(row));
    return true;
}

/* limit and after of a list; false when the request was answered with an error. */
static bool paging(struct qn_http_request *r, uint64_t *limit, int64_t *after)
{
    struct qn_str v;
    struct qn_err e;
    uint64_t n = 0;

    *limit = 100;
    *after = 0;
    if ((qn_http_query(r, "limit", &v) && qn_num_u64(v, 1, 1000, limit, &e) < 0) ||
        (qn_http_query(r, "after", &v) && qn_num_u64(v, 0, INT64_MAX, &n, &e) < 0)) {
        qn_respond_error(r, QN_E_BAD_NUMBER, e.msg);
        return false;
    }
    *after = (int64_t)n;
    return true;
}

static void respond_list(struct qn_http_request *r, const char *name, json_t *list, uint64_t limit)
{
    json_t *body = json_object();
    size_t n = json_array_size(list);

    qn_json_set(body, name, list);
    if (n == limit)
        qn_json_set(body, "after", json_incref(json_object_get(json_array_get(list, n - 1), "id")));
    qn_http_respond_json(r, 200, NULL, body);
}

void qn_endpoint_images(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str v;
    enum qn_state state = 0;
    uint64_t limit;
    int64_t after;
    struct qn_err e;

    if (!paging(r, &limit, &after))
        return;
    if (qn_http_query(r, "state", &v)) {
        state = qn_str_eq(v, QN_STR("hardened")) ? QN_STATE_DONE : qn_state_parse(v);
        if (state == 0) {
            qn_respond_error(r, QN_E_USAGE, "state: hardened, queued, running, done, failed, denied or cancelled");
            return;
        }
    }
    json_t *list = json_array();
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_derivation_list(tx, state, after, limit, add_image, list, &e) < 0) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    respond_list(r, "images", list, limit);
}

struct found_images {
    json_t *list;
    struct qn_digest report;
};

static bool collect_image(void *arg, const struct qn_row_derivation *row)
{
    struct found_images *f = arg;

    qn_json_push(f->list, image_json(row));
    if (f->report.algorithm == QN_DIGEST_NONE)
        f->report = row->report;
    return true;
}

static bool add_tag(void *arg, const struct qn_row_served *row)
{
    json_t *o = json_object();
    qn_auto_free char *ref = qn_xasprintf("%s:%s", row->repo, row->tag);

    qn_json_set_c(o, "ref", ref);
    set_time(o, "from", row->from);
    set_time(o, "to", row->to);
    qn_json_push(arg, o);
    return true;
}

/* before and after of the report, for the overview. */
static void add_figures(struct qn_exchange *x, const struct qn_digest *report, json_t *body)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_json json_t *doc = NULL;
    struct qn_err e;

    qn_buf_init(&b, 16u << 20);
    if (report->algorithm == QN_DIGEST_NONE || qn_site_read(x->server->site, report, &b, &e) < 0 ||
        qn_json_parse(qn_buf_view(&b), 16u << 20, &doc, &e) < 0)
        return;
    qn_json_set(body, "before", json_incref(json_object_get(doc, "before")));
    qn_json_set(body, "after", json_incref(json_object_get(doc, "after")));
}

void qn_endpoint_image(struct qn_exchange *x, struct qn_http_request *r)
{
    struct found_images f = {.report = {QN_DIGEST_NONE, {0}}};
    struct qn_digest d;
    struct qn_err e;
    json_t *tags = json_array(), *body = json_object();
    char text[QN_DIGEST_TEXT];
    int bad = qn_digest_parse(x->arg[0], &d, &e);

    f.list = json_array();
    if (bad == 0) {
        qn_auto_read struct qn_tx *tx = NULL;
        bad = qn_index_read(x->server->site->index, &tx, &e) < 0 ||
              qn_index_derivations_of(tx, &d, 100, collect_image, &f, &e) < 0 ||
              qn_index_served_of(tx, &d, 200, add_tag, tags, &e) < 0;
    }
    if (!bad && json_array_size(f.list) == 0)
        bad = qn_fail(&e, QN_E_NOT_FOUND, "no image of that digest was made here");
    if (bad) {
        json_decref(f.list);
        json_decref(tags);
        json_decref(body);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    qn_json_set_c(body, "digest", qn_digest_text(&d, text));
    qn_json_set(body, "derivations", f.list);
    qn_json_set(body, "tags", tags);
    add_figures(x, &f.report, body);
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- report ------------------------------------------------------------------------------------------------------- */
/* Reports of an image, or of every image of an index (nested ones to the depth that is served). */
static int gather_reports(struct qn_exchange *x, const struct qn_digest *d, unsigned depth, json_t *list,
                          struct qn_err *e)
{
    struct found_images f = {.report = {QN_DIGEST_NONE, {0}}};
    struct qn_row_edge *edge = NULL;
    qn_auto_buf struct qn_buf b = {0};
    size_t n = 0;
    int r = 0;

    f.list = json_array();
    qn_buf_init(&b, 16u << 20);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        r = qn_index_read(x->server->site->index, &tx, e) < 0 ||
                    qn_index_derivations_of(tx, d, 10, collect_image, &f, e) < 0 ||
                    qn_index_children(tx, d, &edge, &n, e) < 0
                ? -1
                : 0;
    }
    json_decref(f.list);
    if (r == 0 && f.report.algorithm != QN_DIGEST_NONE) {
        json_t *doc = NULL;
        r = qn_site_read(x->server->site, &f.report, &b, e) < 0 ? -1
                                                                : qn_json_parse(qn_buf_view(&b), 16u << 20, &doc, e);
        if (r == 0)
            qn_json_push(list, doc);
    }
    for (size_t i = 0; r == 0 && depth > 0 && i < n; i++)
        if (edge[i].kind == QN_EDGE_MANIFEST)
            r = gather_reports(x, &edge[i].child, depth - 1, list, e);
    free(edge);
    return r;
}

void qn_endpoint_report(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_digest d;
    struct qn_err e;
    json_t *list = json_array();
    int bad = qn_digest_parse(x->arg[0], &d, &e) < 0 ? -1 : gather_reports(x, &d, 3, list, &e);

    if (bad == 0 && json_array_size(list) == 0)
        bad = qn_fail(&e, QN_E_NOT_FOUND, "there is no report about that digest");
    if (bad) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    /* One image: its report. An index: a list, one report a platform. */
    json_t *only = json_array_size(list) == 1 ? json_incref(json_array_get(list, 0)) : NULL;
    if (only)
        json_decref(list);
    qn_http_respond_json(r, 200, NULL, only ? only : list);
}

/* --- ahead of the first pull -------------------------------------------------------------------------------------- */
static void respond_accepted(struct qn_exchange *x, struct qn_http_request *r)
{
    char id[QN_JOB_ID];
    const struct qn_answer *a = qn_pull_answer(x->pull);
    json_t *body = json_object();

    qn_pull_job(x->pull, id);
    if (id[0]) {
        qn_auto_free char *job = qn_xasprintf("/api/v1/jobs/%s", id);
        qn_json_set_c(body, "job", id);
        qn_json_set_c(body, "href", job);
    }
    if (a && a->kind == QN_ANSWER_MANIFEST) {
        qn_json_set_c(body, "state", "done");
        set_digest(body, "hardened", &a->digest);
    } else if (a) {
        qn_json_set_c(body, "state", "denied");
        qn_json_set_c(body, "reason", qn_denial_name(a->denial));
        qn_json_set_c(body, "message", a->message);
    } else {
        qn_json_set_c(body, "state", "running");
    }
    qn_http_respond_json(r, 202, NULL, body);
}

static void wake(void *arg)
{
    qn_http_wake(arg);
}

void qn_endpoint_images_post(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_auto_json json_t *body = NULL;
    struct qn_subject s = {.policy = NULL};
    struct qn_pull_request rq = {.kind = QN_PULL_TAG};
    struct qn_str ref, tag;
    struct qn_digest digest;
    struct qn_err e;
    char id[QN_JOB_ID] = "";

    if (!x->pull) {
        if (qn_json_parse(qn_http_body(r), 65536, &body, &e) < 0 || qn_json_str(body, "ref", &ref, &e) < 0 ||
            read_reference(x, ref, &s, &tag, &digest, &e) < 0) {
            qn_respond_error(r, e.code, e.msg);
            return;
        }
        if (json_object_get(body, "platforms")) {
            qn_respond_error(r, QN_E_NOT_BUILT, "not built yet: platforms (the configuration's are used)");
            return;
        }
        rq.route = s.route;
        rq.policy = s.policy;
        rq.digest = digest;
        if (tag.n == 0)
            rq.kind = QN_PULL_DIGEST;
        snprintf(rq.tag, sizeof rq.tag, "%.*s", QN_FMT(tag));
        if (qn_pull_join(x->server->site, &rq, &x->pull, &e) < 0) {
            qn_respond_error(r, e.code, e.msg);
            return;
        }
    }
    qn_pull_job(x->pull, id);
    if (id[0] || qn_pull_answer(x->pull) || qn_time_mono_ms() > x->started + 20000) {
        respond_accepted(x, r);
        return;
    }
    /* The job starts once upstream said what the tag is: look again soon. */
    struct qn_http_waker *w = qn_http_park(r, qn_time_mono_ms() + 100);
    if (w && !qn_pull_wait(x->pull, false, wake, w))
        qn_http_wake(w);
}
