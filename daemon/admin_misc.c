/* The admin API about settings and records: policies, upstreams, packages, the audit log. */
#include "admin.h"

#include "base/clock.h"
#include "base/num.h"
#include "harden/rule.h"
#include "store/rows_search.h"

#include <stdlib.h>

/* --- policies ----------------------------------------------------------------------------------------------------- */
void qn_endpoint_policies(struct qn_exchange *x, struct qn_http_request *r)
{
    const struct qn_settings *s = x->server->site->settings;
    json_t *body = json_object(), *list = json_array();

    for (size_t i = 0; i < s->policies; i++) {
        json_t *o = json_deep_copy(s->policy[i].document), *match = json_array();
        for (size_t k = 0; k < s->policy[i].match.n; k++)
            qn_json_push(match, qn_json_string(s->policy[i].match.v[k]));
        qn_json_set_str(o, "name", s->policy[i].name);
        qn_json_set(o, "match", match);
        qn_json_set_c(o, "mode", qn_mode_name(s->policy[i].mode));
        qn_json_set_c(o, "approval", s->policy[i].manual ? "manual" : "auto");
        qn_json_set_c(o, "digest", s->policy[i].digest);
        qn_json_push(list, o);
    }
    qn_json_set(body, "policies", list);
    qn_http_respond_json(r, 200, NULL, body);
}

/* The glob of the policy that fitted. */
static struct qn_str matched(const struct qn_policy *p, const struct qn_subject *s)
{
    for (size_t i = 0; i < p->match.n; i++)
        if (qn_settings_fits(p->match.v[i], qn_str_c(s->route.name), qn_str_c(s->tag)))
            return p->match.v[i];
    return QN_STR("**");
}

/* Every rule and its state under a policy: profile, use, then the policy's own words. */
static json_t *rules_in_force(const json_t *document)
{
    static const char *const states[] = {[QN_RULE_OFF] = "off", [QN_RULE_ON] = "on", [QN_RULE_REPORT] = "report"};
    qn_auto_options struct qn_options opt = {0};
    json_t *o = json_object();
    struct qn_err e;

    if (qn_options_read(document, &opt, &e) < 0)
        return o;
    for (int i = 0; i < QN_RULE_COUNT; i++)
        qn_json_set_c(o, qn_rule_name((enum qn_rule)i), states[opt.rule[i]]);
    return o;
}

void qn_endpoint_policy_explain(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_site *site = x->server->site;
    struct qn_subject s = {.policy = NULL};
    struct qn_row_override *row = qn_new(struct qn_row_override);
    const char *ref = json_string_value(json_object_get(x->body, "ref"));
    struct qn_digest digest;
    struct qn_err e;

    if (qn_admin_reference(site, qn_str_c(ref), &s, &digest, &e) < 0) {
        free(row);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_t *o = json_object(), *overrides = json_array();
    const json_t *document = s.route.build ? s.policy->build : s.policy->document;
    qn_json_set_c(o, "ref", ref);
    qn_json_set_str(o, "policy", s.policy->name);
    qn_json_set_c(o, "digest", s.route.build ? s.policy->build_digest : s.policy->digest);
    qn_json_set_c(o, "mode", qn_mode_name(s.policy->mode));
    qn_json_set(o, "use", json_incref(json_object_get(document, "use")));
    qn_json_set(o, "profile", json_incref(json_object_get(document, "profile")));
    qn_json_set(o, "rules", rules_in_force(document));
    qn_json_set_str(o, "matched", matched(s.policy, &s));
    if (qn_override_of(site, qn_str_c(s.route.name), qn_str_c(s.tag), row))
        qn_json_push(overrides, qn_override_json(row));
    qn_json_set(o, "overrides", overrides);
    free(row);
    qn_http_respond_json(r, 200, NULL, o);
}

/* --- upstreams ---------------------------------------------------------------------------------------------------- */
void qn_endpoint_upstreams(struct qn_exchange *x, struct qn_http_request *r)
{
    const struct qn_settings *s = x->server->site->settings;
    json_t *body = json_object(), *list = json_array();

    for (size_t i = 0; i < s->upstreams; i++) {
        struct qn_registry_status st;
        json_t *o = json_object();
        qn_registry_status(qn_site_registry(x->server->site, &s->upstream[i]), &st);
        qn_json_set_str(o, "name", s->upstream[i].name);
        qn_json_set_str(o, "url", s->upstream[i].url);
        qn_json_set_bool(o, "reachable", st.failures == 0);
        qn_json_set_int(o, "failures", st.failures);
        if (st.limit >= 0)
            qn_json_set_int(o, "rate_limit", st.limit);
        if (st.remaining >= 0)
            qn_json_set_int(o, "rate_remaining", st.remaining);
        qn_set_text(o, "last_error", st.last_error);
        qn_set_time(o, "last_ok", st.last_ok);
        qn_set_time(o, "last_fail", st.last_fail);
        qn_json_push(list, o);
    }
    qn_json_set(body, "upstreams", list);
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- packages ----------------------------------------------------------------------------------------------------- */
struct finding {
    json_t *list;
    char last[QN_ROW_PURL + 32];
};

static bool add_package(void *arg, const struct qn_found_package *row)
{
    struct finding *f = arg;
    json_t *o = json_object(), *tags = NULL;
    struct qn_err e;

    qn_json_set_c(o, "purl", row->purl);
    qn_json_set_c(o, "state", row->state);
    qn_set_digest(o, "digest", &row->hardened);
    qn_json_set_c(o, "platform", row->platform);
    qn_json_set_c(o, "ref", row->reference);
    qn_json_set(o, "tags", qn_json_parse(qn_str_c(row->tags), sizeof row->tags, &tags, &e) == 0 ? tags : json_array());
    qn_set_time(o, "made", row->made);
    qn_set_time(o, "last_served", row->last_served);
    qn_json_push(f->list, o);
    snprintf(f->last, sizeof f->last, "%lld~%s", (long long)row->derivation, row->purl);
    return true;
}

static bool add_puller(void *arg, const struct qn_row_pulled *row)
{
    json_t *who = json_string(row->who[0] ? row->who : row->peer), *item;
    size_t i;

    json_array_foreach ((json_t *)arg, i, item)
        if (json_equal(item, who)) {
            json_decref(who);
            return true;
        }
    qn_json_push(arg, who);
    return json_array_size(arg) < 20;
}

/* Who pulled each image, as far as audit.pulls recorded it. */
static int add_pullers(struct qn_tx *tx, json_t *list, struct qn_err *e)
{
    size_t i;
    json_t *item;

    json_array_foreach (list, i, item) {
        struct qn_digest d;
        json_t *who = json_array();
        qn_json_set(item, "pulled_by", who);
        if (qn_digest_parse(qn_str_c(json_string_value(json_object_get(item, "digest"))), &d, e) < 0 ||
            qn_index_pulled(tx, &d, 0, 200, add_puller, who, e) < 0)
            return -1;
    }
    return 0;
}

void qn_endpoint_packages(struct qn_exchange *x, struct qn_http_request *r)
{
    const struct qn_settings *s = x->server->site->settings;
    struct finding f = {.list = json_array()};
    char purl[QN_ROW_PURL], after[QN_ROW_PURL + 32] = "";
    const char *tilde = NULL;
    uint64_t derivation = 0;
    struct qn_page page;
    struct qn_err e;

    qn_page_read(r, &page);
    if (qn_query_text(r, "after", after, sizeof after))
        tilde = strchr(after, '~');
    if (tilde && qn_num_u64(qn_str_n(after, (size_t)(tilde - after)), 0, INT64_MAX, &derivation, &e) < 0)
        tilde = NULL;
    qn_auto_read struct qn_tx *tx = NULL;
    if (!qn_query_text(r, "purl", purl, sizeof purl) || (after[0] && !tilde)) {
        json_decref(f.list);
        qn_respond_error(r, QN_E_USAGE, "purl or after: not one of ours");
        return;
    }
    if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
        qn_index_packages(tx, purl, tilde ? tilde + 1 : "", (int64_t)derivation, page.limit, add_package, &f, &e) < 0 ||
        (s->log_pulls && add_pullers(tx, f.list, &e) < 0)) {
        json_decref(f.list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    json_t *body = json_object();
    if (json_array_size(f.list) == page.limit)
        qn_json_set_c(body, "after", f.last);
    qn_json_set(body, "packages", f.list);
    qn_http_respond_json(r, 200, NULL, body);
}

/* --- audit -------------------------------------------------------------------------------------------------------- */
static bool add_entry(void *arg, const struct qn_row_audit *row)
{
    json_t *o = json_object(), *detail = NULL;
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->id);
    struct qn_err e;

    qn_json_set_c(o, "id", id);
    qn_set_time(o, "at", row->at);
    qn_json_set_c(o, "who", row->who);
    qn_json_set_c(o, "action", row->action);
    qn_json_set_c(o, "subject", row->subject);
    if (qn_json_parse(qn_str_c(row->detail), sizeof row->detail, &detail, &e) == 0)
        qn_json_set(o, "detail", detail);
    qn_set_text(o, "request", row->request);
    qn_set_digest(o, "previous", &row->previous);
    qn_set_digest(o, "hash", &row->hash);
    qn_json_push(arg, o);
    return true;
}

static bool add_pulled(void *arg, const struct qn_row_pulled *row)
{
    json_t *o = json_object();
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->id);

    qn_json_set_c(o, "id", id);
    qn_set_time(o, "at", row->at);
    qn_json_set_c(o, "who", row->who);
    qn_json_set_c(o, "repository", row->repo);
    qn_json_set_c(o, "reference", row->reference);
    qn_set_digest(o, "digest", &row->digest);
    qn_set_text(o, "peer", row->peer);
    qn_json_push(arg, o);
    return true;
}

void qn_endpoint_audit(struct qn_exchange *x, struct qn_http_request *r)
{
    char who[QN_ROW_NAME], action[QN_ROW_SLUG], subject[QN_ROW_REF];
    struct qn_str kind = QN_STR(""), order = QN_STR("");
    struct qn_audit_filter f = {.who = NULL};
    struct qn_page page;
    struct qn_err e;
    int bad;

    qn_page_read(r, &page);
    (void)qn_http_query(r, "kind", &kind);
    (void)qn_http_query(r, "order", &order);
    f.who = qn_query_text(r, "who", who, sizeof who) ? who : NULL;
    f.action = qn_query_text(r, "action", action, sizeof action) ? action : NULL;
    f.subject = qn_query_text(r, "subject", subject, sizeof subject) ? subject : NULL;
    f.before = page.after;
    f.forward = qn_str_eq(order, QN_STR("oldest"));
    bool pulls = qn_str_eq(kind, QN_STR("pulls")), filtered = f.who || f.action || f.subject;
    json_t *list = json_array();
    qn_auto_read struct qn_tx *tx = NULL;
    if (filtered && (f.forward || pulls))
        bad = qn_fail(&e, QN_E_CONFLICT, "who, action and subject go with kind=decisions and order=newest");
    else if (qn_index_read(x->server->site->index, &tx, &e) < 0)
        bad = -1;
    else
        bad = pulls ? qn_index_pulled(tx, NULL, page.after, page.limit, add_pulled, list, &e)
                    : qn_index_audit(tx, &f, page.limit, add_entry, list, &e);
    if (bad < 0) {
        json_decref(list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    qn_http_respond_json(r, 200, NULL, qn_page_json("entries", list, page.limit));
}
