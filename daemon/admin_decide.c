/* The admin API about decisions: approvals, pins, purges, held tags, overrides. */
#include "admin.h"

#include "base/clock.h"
#include "base/num.h"

#include <stdlib.h>

static bool add_approval(void *arg, const struct qn_row_approval *row)
{
    qn_json_push(arg, qn_approval_json(row));
    return true;
}

static int approvals_of(struct qn_work *w, const struct qn_digest *d, struct qn_err *e)
{
    json_t *list = json_array();
    qn_auto_read struct qn_tx *tx = NULL;

    w->out = json_object();
    qn_set_digest(w->out, "digest", d);
    qn_json_set(w->out, "approvals", list);
    return qn_index_read(w->server->site->index, &tx, e) < 0
               ? -1
               : qn_index_approvals_of(tx, d, 1000, add_approval, list, e);
}

static int decide(struct qn_work *w, enum qn_approval_state state, struct qn_err *e)
{
    const char *repo = qn_work_text(w, "repository");
    struct qn_digest d;

    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0 ||
        qn_decide_approval(w->server->site, &w->actor, &d, *repo ? repo : NULL, state, qn_work_text(w, "comment"), e) <
            0)
        return -1;
    return approvals_of(w, &d, e);
}

static int approve(struct qn_work *w, struct qn_err *e)
{
    return decide(w, QN_APPROVAL_APPROVED, e);
}

static int reject(struct qn_work *w, struct qn_err *e)
{
    return decide(w, QN_APPROVAL_REJECTED, e);
}

static int pin(struct qn_work *w, struct qn_err *e)
{
    bool pinned = !json_is_false(json_object_get(w->body, "pinned"));
    struct qn_digest d;

    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0 ||
        qn_decide_pin(w->server->site, &w->actor, &d, pinned, qn_work_text(w, "comment"), e) < 0)
        return -1;
    w->out = json_object();
    qn_set_digest(w->out, "digest", &d);
    qn_json_set_bool(w->out, "pinned", pinned);
    return 0;
}

static int purge(struct qn_work *w, struct qn_err *e)
{
    struct qn_digest d;
    int64_t n;

    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0 || qn_decide_purge(w->server->site, &w->actor, &d, &n, e) < 0)
        return -1;
    w->out = json_object();
    qn_set_digest(w->out, "digest", &d);
    qn_json_set_int(w->out, "derivations", n);
    return 0;
}

void qn_endpoint_approve(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, approve);
}

void qn_endpoint_reject(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, reject);
}

void qn_endpoint_pin(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, pin);
}

void qn_endpoint_image_delete(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, purge);
}

/* --- tags --------------------------------------------------------------------------------------------------------- */
/* Repository and tag of a reference, which must not be by digest. */
static int tag_of(struct qn_site *site, const char *ref, struct qn_subject *s, struct qn_err *e)
{
    struct qn_digest digest;

    if (qn_admin_reference(site, qn_str_c(ref), s, &digest, e) < 0)
        return -1;
    return s->tag[0] && digest.algorithm == QN_DIGEST_NONE
               ? 0
               : qn_fail(e, QN_E_NAME_INVALID, "a tag is needed, not a digest");
}

static json_t *held(const struct qn_subject *s, const struct qn_row_hold *hold)
{
    json_t *o = hold ? qn_hold_json(hold) : json_object();

    qn_json_set_c(o, "ref", s->reference);
    qn_json_set_bool(o, "held", hold != NULL);
    return o;
}

static int freeze(struct qn_work *w, struct qn_err *e)
{
    struct qn_subject s = {.policy = NULL};
    struct qn_row_hold hold;

    if (tag_of(w->server->site, qn_work_text(w, "ref"), &s, e) < 0 ||
        qn_decide_freeze(w->server->site, &w->actor, s.route.repo, s.tag, qn_work_text(w, "comment"), &hold, e) < 0)
        return -1;
    w->out = held(&s, &hold);
    return 0;
}

static int rollback(struct qn_work *w, struct qn_err *e)
{
    struct qn_subject s = {.policy = NULL};
    struct qn_digest to = {QN_DIGEST_NONE, {0}};
    struct qn_row_hold hold;
    const char *digest = qn_work_text(w, "digest");

    if (tag_of(w->server->site, qn_work_text(w, "ref"), &s, e) < 0 ||
        (*digest && qn_digest_parse(qn_str_c(digest), &to, e) < 0) ||
        qn_decide_rollback(w->server->site, &w->actor, s.route.repo, s.tag, &to, qn_work_text(w, "comment"), &hold, e) <
            0)
        return -1;
    w->out = held(&s, &hold);
    return 0;
}

static int thaw(struct qn_work *w, struct qn_err *e)
{
    struct qn_subject s = {.policy = NULL};

    if (tag_of(w->server->site, qn_work_text(w, "ref"), &s, e) < 0 ||
        qn_decide_thaw(w->server->site, &w->actor, s.route.repo, s.tag, qn_work_text(w, "comment"), e) < 0)
        return -1;
    w->out = held(&s, NULL);
    return 0;
}

void qn_endpoint_tag_freeze(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, freeze);
}

void qn_endpoint_tag_rollback(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, rollback);
}

void qn_endpoint_tag_thaw(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, thaw);
}

static bool add_served(void *arg, const struct qn_row_served *row)
{
    json_t *o = json_object();
    qn_auto_free char *ref = qn_xasprintf("%s:%s", row->repo, row->tag);
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->id);

    qn_json_set_c(o, "id", id);
    qn_json_set_c(o, "ref", ref);
    qn_set_digest(o, "served", &row->served);
    qn_set_digest(o, "source", &row->source);
    qn_set_digest(o, "policy", &row->policy);
    qn_json_set_c(o, "platforms", row->platforms);
    qn_set_time(o, "from", row->from);
    qn_set_time(o, "to", row->to);
    qn_json_push(arg, o);
    return true;
}

void qn_endpoint_tag_history(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_site *site = x->server->site;
    struct qn_subject s = {.policy = NULL};
    struct qn_row_hold hold;
    struct qn_page page;
    char ref[QN_ROW_REF];
    struct qn_err e;
    bool found = false;

    qn_page_read(r, &page);
    json_t *list = json_array();
    qn_auto_read struct qn_tx *tx = NULL;
    if (!qn_query_text(r, "ref", ref, sizeof ref) || tag_of(site, ref, &s, &e) < 0 ||
        qn_index_read(site->index, &tx, &e) < 0 ||
        qn_index_served_list(tx, s.route.repo, s.tag, page.after, page.limit, add_served, list, &e) < 0 ||
        qn_index_hold_get(tx, s.route.repo, s.tag, &hold, &found, &e) < 0) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_t *body = qn_page_json("tags", list, page.limit);
    if (found)
        qn_json_set(body, "hold", qn_hold_json(&hold));
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- overrides ---------------------------------------------------------------------------------------------------- */
/* A time, or a duration from now on. */
static int read_end(const char *text, int64_t *out, struct qn_err *e)
{
    int64_t now = qn_time_now();
    uint64_t seconds;
    struct qn_err ignored;

    if (qn_time_parse(qn_str_c(text), out, &ignored) < 0) {
        if (qn_num_duration(qn_str_c(text), &seconds, &ignored) < 0)
            return qn_fail(e, QN_E_MALFORMED, "expires: neither a time (RFC 3339) nor a duration (4h)");
        *out = seconds > 366 * 86400u ? INT64_MAX : now + (int64_t)seconds;
    }
    if (*out <= now || *out - now > 366 * 86400)
        return qn_fail(e, QN_E_CONFLICT, "expires: must be between now and a year from now");
    return 0;
}

static int rules_text(const json_t *rules, char *out, size_t size, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, size - 1);
    if (rules && qn_json_print_canonical(rules, &b, e) < 0)
        return qn_err_wrap(e, "rules");
    snprintf(out, size, "%.*s", QN_FMT(qn_buf_view(&b)));
    return 0;
}

static int add_override(struct qn_work *w, struct qn_err *e)
{
    struct qn_row_override row = {.id = 0};
    const json_t *rules = json_object_get(w->body, "rules");
    const char *mode = qn_work_text(w, "mode");

    if (!*mode && json_object_size(rules) == 0)
        return qn_fail(e, QN_E_MALFORMED, "an override needs a mode or rules");
    if (!qn_str_copy(qn_str_c(qn_work_text(w, "match")), row.match, sizeof row.match))
        return qn_fail(e, QN_E_MALFORMED, "match: too long");
    if (read_end(qn_work_text(w, "expires"), &row.expires, e) < 0 ||
        rules_text(json_object_size(rules) ? rules : NULL, row.rules, sizeof row.rules, e) < 0)
        return -1;
    snprintf(row.mode, sizeof row.mode, "%s", mode);
    snprintf(row.reason, sizeof row.reason, "%s", qn_work_text(w, "reason"));
    if (qn_decide_override(w->server->site, &w->actor, &row, e) < 0)
        return -1;
    w->out = qn_override_json(&row);
    return 0;
}

struct wanted {
    int64_t id;
    json_t *found;
};

static bool pick_override(void *arg, const struct qn_row_override *row)
{
    struct wanted *want = arg;
    if (row->id == want->id)
        want->found = qn_override_json(row);
    return false;
}

static int end_override(struct qn_work *w, struct qn_err *e)
{
    struct wanted want = {.found = NULL};
    uint64_t id;

    if (qn_num_u64(qn_str_c(qn_work_query(w, "id")), 1, INT64_MAX - 1, &id, e) < 0 ||
        qn_decide_override_end(w->server->site, &w->actor, (int64_t)id, e) < 0)
        return -1;
    want.id = (int64_t)id;
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(w->server->site->index, &tx, e) < 0 ||
        qn_index_overrides(tx, 0, want.id + 1, 1, pick_override, &want, e) < 0)
        return -1;
    w->out = want.found;
    return want.found ? 0 : qn_fail(e, QN_E_NOT_FOUND, "no such override");
}

void qn_endpoint_override_post(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, add_override);
}

void qn_endpoint_override_delete(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, end_override);
}

static bool add_row(void *arg, const struct qn_row_override *row)
{
    qn_json_push(arg, qn_override_json(row));
    return true;
}

void qn_endpoint_overrides(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_page page;
    struct qn_str all = QN_STR("false");
    struct qn_err e;
    json_t *list = json_array();

    qn_page_read(r, &page);
    (void)qn_http_query(r, "all", &all);
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_overrides(tx, qn_str_eq(all, QN_STR("true")) ? 0 : qn_time_now(), page.after, page.limit, add_row,
                           list, &e) < 0) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    size_t n = json_array_size(list);
    json_t *body = json_object();
    if (n && n == page.limit) {
        qn_auto_free char *id =
            qn_xasprintf("%lld", (long long)json_integer_value(json_object_get(json_array_get(list, n - 1), "id")));
        qn_json_set_c(body, "after", id);
    }
    qn_json_set(body, "overrides", list);
    qn_http_respond_json(r, 200, NULL, body);
}
