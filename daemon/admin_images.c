/* The admin API about images: what a reference stands for, what is known; hardening ahead of time. */
#include "admin.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

/* --- resolve ------------------------------------------------------------------------------------------------------ */
struct known {
    struct qn_row_hold hold;
    bool held;
    enum qn_approval_state approval;
    bool passed; /* what the tag serves is the source as it is */
    struct qn_row_tag tag;
    bool has_tag;
    struct qn_row_manifest manifest;
    bool has_manifest;
};

static int look_up(struct qn_exchange *x, struct qn_subject *s, const struct qn_digest *digest, struct known *k,
                   struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_row_served served;
    bool found;

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
    if (qn_index_tag_get(tx, s->route.repo, s->tag, &k->tag, &k->has_tag, e) < 0 ||
        qn_index_hold_get(tx, s->route.repo, s->tag, &k->hold, &k->held, e) < 0)
        return -1;
    s->source = k->tag.digest;
    if (qn_index_served_latest(tx, s->route.repo, s->tag, &served, &found, e) < 0)
        return -1;
    k->passed = found && qn_digest_eq(&served.served, &s->source);
    snprintf(s->media_type, sizeof s->media_type, "%s", k->tag.media_type);
    return 0;
}

static const char *state_word(const struct qn_subject *s, const struct known *k, const struct qn_outcome *o, bool found)
{
    if (!k->has_tag || s->source.algorithm == QN_DIGEST_NONE)
        return "unknown";
    if (s->policy->mode != QN_MODE_ENFORCE || (s->route.local && !s->route.local->harden_on_push))
        return "original";
    if (!found && k->passed)
        return "original"; /* an artifact, for one */
    if (!found && s->route.local)
        return "hardening";
    if (!found)
        return k->tag.checked + (int64_t)s->route.upstream->tag_ttl < qn_time_now() ? "stale" : "hardening";
    if (o->state != QN_STATE_DONE || k->approval == QN_APPROVAL_REJECTED)
        return "denied";
    if (s->policy->manual && k->approval != QN_APPROVAL_APPROVED)
        return "awaiting-approval";
    return o->unchanged ? (o->backed_off ? "original" : "unchanged") : "hardened";
}

static void set_links(json_t *o, const struct qn_outcome *out)
{
    json_t *links = json_object();
    char digest[QN_DIGEST_TEXT];
    qn_auto_free char *self = qn_xasprintf("/api/v1/images/%s", qn_digest_text(&out->digest, digest));
    qn_auto_free char *report = qn_xasprintf("%s/report", self);
    qn_auto_free char *diff = qn_xasprintf("%s/diff", self);

    qn_json_set_c(links, "image", self);
    qn_json_set_c(links, "report", report);
    qn_json_set_c(links, "diff", diff);
    qn_json_set(o, "links", links);
}

static void set_policy(json_t *o, const struct qn_subject *s)
{
    qn_auto_free char *text =
        qn_xasprintf("%s@%s", s->policy->name.p, s->route.build ? s->policy->build_digest : s->policy->digest);
    qn_json_set_c(o, "policy", text);
}

static json_t *resolution(const struct qn_subject *s, const struct known *k, const struct qn_outcome *o, bool found)
{
    json_t *body = json_object();

    qn_json_set_c(body, "state", state_word(s, k, o, found));
    qn_set_digest(body, "source", &s->source);
    if (found && o->state == QN_STATE_DONE) {
        qn_set_digest(body, "hardened", &o->digest);
        set_links(body, o);
    }
    set_policy(body, s);
    if (found && o->state != QN_STATE_DONE) {
        qn_json_set_c(body, "reason", qn_denial_name(o->denial));
        qn_json_set_c(body, "message", o->message);
        qn_set_time(body, "retry_at", o->retry_at);
    } else if (found && k->approval == QN_APPROVAL_REJECTED) {
        qn_json_set_c(body, "reason", qn_denial_name(QN_DENY_REJECTED));
    }
    if (k->held)
        qn_json_set(body, "hold", qn_hold_json(&k->hold));
    if (k->has_tag && !k->has_manifest)
        qn_set_time(body, "checked", k->tag.checked);
    return body;
}

void qn_endpoint_resolve(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_site *site = x->server->site;
    struct qn_subject s = {.policy = NULL};
    struct qn_str ref = QN_STR("");
    struct qn_digest digest;
    struct known k = {.has_tag = false};
    struct qn_outcome o = {.state = 0};
    struct qn_err e;
    bool found = false;

    (void)qn_http_query(r, "ref", &ref);
    if (qn_admin_reference(site, ref, &s, &digest, &e) < 0 || look_up(x, &s, &digest, &k, &e) < 0 ||
        (k.has_tag && s.source.algorithm != QN_DIGEST_NONE && qn_outcome_get(site, &s, &o, &found, &e) < 0) ||
        (found && s.policy->manual && o.state == QN_STATE_DONE &&
         qn_approval_of(site, s.route.repo, &o.digest, &k.approval, &e) < 0)) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_t *body = resolution(&s, &k, &o, found);
    qn_json_set_str(body, "ref", ref);
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- known images ------------------------------------------------------------------------------------------------- */
static bool add_image(void *arg, const struct qn_row_derivation *row)
{
    qn_json_push(arg, qn_image_json(row));
    return true;
}

/* What was decided, or is to be, looks like an image of the list. */
static bool add_decision(void *arg, const struct qn_row_approval *row)
{
    json_t *o = json_object();
    qn_auto_free char *ref = qn_xasprintf("%s:%s", row->repo, row->tag);
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->id);

    qn_json_set_c(o, "id", id);
    qn_json_set_c(o, "ref", ref);
    qn_json_set_c(o, "state", row->state == QN_APPROVAL_WAITING ? "awaiting-approval" : qn_approval_name(row->state));
    qn_set_digest(o, "digest", &row->digest);
    qn_set_digest(o, "source", &row->source);
    qn_set_text(o, "media_type", row->media_type);
    qn_set_text(o, "policy", row->policy);
    qn_json_set(o, "approval", qn_approval_json(row));
    qn_json_push(arg, o);
    return true;
}

static int list_images(struct qn_tx *tx, struct qn_str word, const char *ref, const struct qn_page *page, json_t *list,
                       struct qn_err *e)
{
    enum qn_state state = qn_str_eq(word, QN_STR("hardened")) ? QN_STATE_DONE : qn_state_parse(word);
    enum qn_approval_state decided =
        qn_str_eq(word, QN_STR("awaiting-approval")) ? QN_APPROVAL_WAITING : qn_approval_parse(word);

    if (ref && decided)
        return qn_fail(e, QN_E_CONFLICT, "decisions are listed for all references: leave ref out");
    if (ref)
        return qn_index_derivations_for(tx, ref, state, page->after, page->limit, add_image, list, e);
    if (decided)
        return qn_index_approvals(tx, decided, page->after, page->limit, add_decision, list, e);
    return qn_index_derivation_list(tx, state, page->after, page->limit, add_image, list, e);
}

void qn_endpoint_images(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str word = QN_STR("");
    char ref[QN_ROW_REF];
    struct qn_page page;
    struct qn_err e;
    json_t *list = json_array();

    qn_page_read(r, &page);
    (void)qn_http_query(r, "state", &word);
    bool by_ref = qn_query_text(r, "ref", ref, sizeof ref);
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        list_images(tx, word, by_ref ? ref : NULL, &page, list, &e) < 0) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    qn_http_respond_json(r, 200, NULL, qn_page_json("images", list, page.limit));
}

struct found_images {
    json_t *list;
    struct qn_digest report;
};

static bool collect_image(void *arg, const struct qn_row_derivation *row)
{
    struct found_images *f = arg;

    qn_json_push(f->list, qn_image_json(row));
    if (f->report.algorithm == QN_DIGEST_NONE)
        f->report = row->report;
    return true;
}

static bool add_tag(void *arg, const struct qn_row_served *row)
{
    json_t *o = json_object();
    qn_auto_free char *ref = qn_xasprintf("%s:%s", row->repo, row->tag);

    qn_json_set_c(o, "ref", ref);
    qn_set_time(o, "from", row->from);
    qn_set_time(o, "to", row->to);
    qn_json_push(arg, o);
    return true;
}

static bool add_approval(void *arg, const struct qn_row_approval *row)
{
    qn_json_push(arg, qn_approval_json(row));
    return true;
}

/* before and after of the report, for the overview. */
static void add_figures(struct qn_site *site, const struct qn_digest *report, json_t *body)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_json json_t *doc = NULL;
    struct qn_err e;

    qn_buf_init(&b, 16u << 20);
    if (report->algorithm == QN_DIGEST_NONE || qn_site_read(site, report, &b, &e) < 0 ||
        qn_json_parse(qn_buf_view(&b), 16u << 20, &doc, &e) < 0)
        return;
    qn_json_set(body, "before", json_incref(json_object_get(doc, "before")));
    qn_json_set(body, "after", json_incref(json_object_get(doc, "after")));
}

static int look(struct qn_work *w, struct qn_err *e)
{
    struct found_images f = {.list = json_array(), .report = {QN_DIGEST_NONE, {0}}};
    json_t *tags = json_array(), *approvals = json_array();
    struct qn_row_pin pin;
    struct qn_digest d;
    bool pinned = false;

    w->out = json_object();
    qn_json_set_c(w->out, "digest", w->arg);
    qn_json_set(w->out, "derivations", f.list);
    qn_json_set(w->out, "tags", tags);
    qn_json_set(w->out, "approvals", approvals);
    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0)
        return -1;
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(w->server->site->index, &tx, e) < 0 ||
            qn_index_derivations_of(tx, &d, 100, collect_image, &f, e) < 0 ||
            qn_index_served_of(tx, &d, 200, add_tag, tags, e) < 0 ||
            qn_index_approvals_of(tx, &d, 200, add_approval, approvals, e) < 0 ||
            qn_index_pin_get(tx, &d, QN_PIN_PIN, "", &pin, &pinned, e) < 0)
            return -1;
    }
    if (json_array_size(f.list) == 0 && json_array_size(tags) == 0)
        return qn_fail(e, QN_E_NOT_FOUND, "no image of that digest was made here");
    qn_json_set_bool(w->out, "pinned", pinned);
    add_figures(w->server->site, &f.report, w->out);
    return 0;
}

void qn_endpoint_image(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, look);
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
        qn_set_digest(body, "hardened", &a->digest);
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

/* An index is hardened for all of the configuration's platforms at once; other ones are not served. */
static int check_platforms(const struct qn_settings *s, const json_t *list, struct qn_err *e)
{
    struct qn_platform p;
    size_t i;
    json_t *item;

    json_array_foreach ((json_t *)(uintptr_t)list, i, item) {
        bool served = false;
        if (qn_platform_parse(qn_str_c(json_string_value(item)), &p, e) < 0)
            return -1;
        for (size_t k = 0; k < s->platforms; k++)
            served = served || qn_platform_match(&s->platform[k], &p);
        if (!served)
            return qn_fail(e, QN_E_DENIED, "platform %s is not among those that are served (%s)",
                           json_string_value(item), s->platform_list);
    }
    return 0;
}

void qn_endpoint_images_post(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_subject s = {.policy = NULL};
    struct qn_pull_request rq = {.kind = QN_PULL_TAG};
    struct qn_digest digest;
    struct qn_err e;
    char id[QN_JOB_ID] = "";

    if (!x->pull) {
        if (qn_admin_reference(x->server->site, qn_str_c(json_string_value(json_object_get(x->body, "ref"))), &s,
                               &digest, &e) < 0 ||
            check_platforms(x->server->site->settings, json_object_get(x->body, "platforms"), &e) < 0) {
            qn_respond_error(r, e.code, e.msg);
            return;
        }
        rq.route = s.route;
        rq.policy = s.policy;
        rq.digest = digest;
        if (digest.algorithm != QN_DIGEST_NONE)
            rq.kind = QN_PULL_DIGEST;
        snprintf(rq.tag, sizeof rq.tag, "%s", s.tag);
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
