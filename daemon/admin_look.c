/* The admin API's closer looks: why something stays or goes, and what differs. */
#include "admin.h"

#include "base/num.h"
#include "store/rows_search.h"

#include <stdlib.h>

/* --- which image -------------------------------------------------------------------------------------------------- */
struct pick {
    struct qn_row_derivation row;
    bool found;
};

static bool take(void *arg, const struct qn_row_derivation *row)
{
    struct pick *p = arg;

    if (row->report.algorithm == QN_DIGEST_NONE)
        return true;
    p->row = *row;
    p->found = true;
    return false;
}

/* The newest derivation whose result is the image; of an index, of its first image that was made here. */
static int find_image(struct qn_site *site, const struct qn_digest *d, struct qn_row_derivation *out, struct qn_err *e)
{
    struct pick p = {.found = false};
    struct qn_row_edge *edge = NULL;
    size_t n = 0;
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(site->index, &tx, e) < 0 || qn_index_derivations_of(tx, d, 64, take, &p, e) < 0 ||
        (!p.found && qn_index_children(tx, d, &edge, &n, e) < 0))
        return -1;
    int r = 0;
    for (size_t i = 0; r == 0 && !p.found && i < n; i++)
        if (edge[i].kind == QN_EDGE_MANIFEST)
            r = qn_index_derivations_of(tx, &edge[i].child, 64, take, &p, e);
    free(edge);
    if (r < 0)
        return -1;
    if (!p.found)
        return qn_fail(e, QN_E_NOT_FOUND, "no image of that digest was made here");
    *out = p.row;
    return 0;
}

/* The repository that a derivation was made for; its reference is "REPO:TAG", or "REPO" or "REPO@DIGEST". */
static int subject_of(struct qn_site *site, const struct qn_row_derivation *row, struct qn_subject *s, struct qn_err *e)
{
    struct qn_digest ignored;

    if (qn_admin_reference(site, qn_str_c(row->reference), s, &ignored, e) < 0)
        return -1;
    s->source = row->key.source;
    snprintf(s->media_type, sizeof s->media_type, "%s", row->media_type);
    return 0;
}

/* The policy that a derivation was made under, if the configuration still has it. */
static int same_policy(struct qn_site *site, const struct qn_row_derivation *row, struct qn_subject *s,
                       struct qn_err *e)
{
    struct qn_derivation_key key;
    const struct qn_settings *c = site->settings;

    qn_subject_key(site, s, &key);
    for (size_t i = 0; !qn_digest_eq(&key.policy, &row->key.policy) && i < c->policies; i++) {
        s->policy = &c->policy[i];
        qn_subject_key(site, s, &key);
    }
    if (!qn_digest_eq(&key.policy, &row->key.policy))
        return qn_fail(e, QN_E_CONFLICT,
                       "it was made under a policy \"%s\" that has changed since; its report still tells what was done",
                       row->policy_name);
    return 0;
}

/* --- explain ------------------------------------------------------------------------------------------------------ */
static int explain(struct qn_work *w, struct qn_err *e)
{
    struct qn_site *site = w->server->site;
    qn_auto_json json_t *question = json_object();
    qn_auto_derived struct qn_derived out = {0};
    struct qn_subject s = {.policy = NULL};
    struct qn_row_derivation row;
    struct qn_digest d;
    const char *path = qn_work_query(w, "path");

    qn_json_set_c(question, "explain", path);
    struct qn_look look = {.question = question};
    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0 || find_image(site, &d, &row, e) < 0 ||
        subject_of(site, &row, &s, e) < 0 || same_policy(site, &row, &s, e) < 0 ||
        qn_look(site, &s, &look, &out, e) < 0)
        return -1;
    w->out = json_object();
    qn_set_digest(w->out, "digest", &row.hardened);
    qn_json_set_c(w->out, "subject", path);
    qn_json_set(w->out, "answer", json_incref(out.answer));
    return 0;
}

void qn_endpoint_explain(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, explain);
}

/* --- what was done ------------------------------------------------------------------------------------------------ */
static bool add_change(void *arg, const struct qn_row_change *row)
{
    json_t *o = json_object();
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->seq);

    qn_json_set_c(o, "id", id);
    qn_json_set_c(o, "rule", row->rule);
    qn_json_set_c(o, "action", row->action);
    qn_json_set_c(o, "path", row->path);
    qn_set_text(o, "package", row->package);
    qn_set_text(o, "from", row->before);
    qn_set_text(o, "to", row->after);
    qn_set_text(o, "because", row->because);
    qn_json_push(arg, o);
    return true;
}

static uint64_t number(const struct qn_work *w, const char *key, uint64_t otherwise)
{
    const char *s = qn_work_query(w, key);
    struct qn_err e;
    uint64_t n;

    return s && qn_num_u64(qn_str_c(s), 0, INT64_MAX, &n, &e) == 0 ? n : otherwise;
}

/* Source and result: the report's changes, a page at a time. */
static int made_changes(struct qn_work *w, const struct qn_row_derivation *row, struct qn_err *e)
{
    struct qn_change_filter f = {
        .path = qn_work_query(w, "path"), .rule = qn_work_query(w, "rule"), .after = (int64_t)number(w, "after", 0)};
    uint64_t limit = number(w, "limit", 100);
    json_t *list = json_array();
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(w->server->site->index, &tx, e) < 0 ||
        qn_index_changes(tx, row->id, &f, limit, add_change, list, e) < 0) {
        json_decref(list);
        return -1;
    }
    w->out = qn_page_json("changes", list, limit);
    qn_set_digest(w->out, "digest", &row->hardened);
    qn_set_digest(w->out, "against", &row->key.source);
    return 0;
}

/* --- against another image ---------------------------------------------------------------------------------------- */
/* Facts of an image as it is: result or source. */
static int facts_of(struct qn_site *site, const struct qn_row_derivation *row, const struct qn_digest *d,
                    struct qn_derived *out, struct qn_err *e)
{
    struct qn_subject s = {.policy = NULL};
    struct qn_look look = {.contents = true};

    if (subject_of(site, row, &s, e) < 0)
        return -1;
    s.source = *d;
    return qn_look(site, &s, &look, out, e);
}

static bool take_source(void *arg, const struct qn_row_derivation *row)
{
    return take(arg, row);
}

/* An image that was made here or that something was made from. */
static int find_any(struct qn_site *site, const struct qn_digest *d, struct qn_row_derivation *row,
                    struct qn_digest *image, struct qn_err *e)
{
    struct pick p = {.found = false};

    if (find_image(site, d, row, e) == 0) {
        *image = row->hardened;
        return 0;
    }
    if (e->code != QN_E_NOT_FOUND)
        return -1;
    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(site->index, &tx, e) < 0 || qn_index_derivations_from(tx, d, 64, take_source, &p, e) < 0)
        return -1;
    if (!p.found)
        return qn_fail(e, QN_E_NOT_FOUND, "against: no image of that digest is known here");
    *row = p.row;
    *image = *d;
    return 0;
}

static int against_image(struct qn_work *w, const struct qn_row_derivation *row, struct qn_err *e)
{
    struct qn_site *site = w->server->site;
    qn_auto_derived struct qn_derived before = {0}, after = {0};
    struct qn_row_derivation other;
    struct qn_digest d, image;
    struct qn_derive_env env = {.workers = NULL};

    if (qn_digest_parse(qn_str_c(qn_work_query(w, "against")), &d, e) < 0 ||
        find_any(site, &d, &other, &image, e) < 0 || facts_of(site, &other, &image, &before, e) < 0 ||
        facts_of(site, row, &row->hardened, &after, e) < 0)
        return -1;
    qn_look_env(site, &env);
    if (qn_compare(&env, before.facts, after.facts, &w->out, e) < 0)
        return -1;
    qn_set_digest(w->out, "digest", &row->hardened);
    qn_set_digest(w->out, "against", &image);
    json_t *counts = json_incref(json_object_get(w->out, "counts"));
    (void)json_object_del(w->out, "counts");
    qn_json_set(w->out, "figures", counts);
    return 0;
}

/* --- against another policy --------------------------------------------------------------------------------------- */
static char *change_key(const json_t *rule, const json_t *c)
{
    const char *name = json_string_value(json_object_get(rule, "rule"));
    const char *action = json_string_value(json_object_get(c, "action"));
    const char *path = json_string_value(json_object_get(c, "path"));
    const char *to = json_string_value(json_object_get(c, "to"));

    return qn_xasprintf("%s|%s|%s|%s", name ? name : "", action ? action : "", path ? path : "", to ? to : "");
}

/* Every change of a report by its key: rule, action, path, result. */
static json_t *changes_of(const json_t *report)
{
    json_t *all = json_object(), *rule, *change;
    size_t i, k;

    json_array_foreach (json_object_get(report, "rules"), i, rule)
        json_array_foreach (json_object_get(rule, "changes"), k, change) {
            qn_auto_free char *key = change_key(rule, change);
            json_t *o = json_copy(change);
            qn_json_set(o, "rule", json_incref(json_object_get(rule, "rule")));
            qn_json_set(all, key, o);
        }
    return all;
}

/* What is in `a` and not in `b`. */
static void push_missing(json_t *list, const json_t *a, const json_t *b, const char *policy)
{
    const char *key;
    json_t *change;

    json_object_foreach ((json_t *)(uintptr_t)a, key, change) {
        if (json_object_get(b, key))
            continue;
        json_t *o = json_copy(change);
        qn_auto_free char *id = qn_xasprintf("%zu", json_array_size(list) + 1);
        qn_json_set_c(o, "id", id);
        qn_json_set_c(o, "policy", policy);
        qn_json_push(list, o);
    }
}

static int against_policy(struct qn_work *w, const struct qn_row_derivation *row, struct qn_err *e)
{
    struct qn_site *site = w->server->site;
    qn_auto_derived struct qn_derived out = {0};
    qn_auto_json json_t *reports = json_array();
    struct qn_subject s = {.policy = NULL};
    struct qn_look look = {.question = NULL};
    const char *name = qn_work_query(w, "policy");

    if (subject_of(site, row, &s, e) < 0)
        return -1;
    s.policy = qn_settings_policy_named(site->settings, qn_str_c(name));
    if (!s.policy)
        return qn_fail(e, QN_E_NOT_FOUND, "there is no policy of that name");
    if (qn_gather_reports(site, &row->hardened, reports, e) < 0 || qn_look(site, &s, &look, &out, e) < 0)
        return -1;
    qn_auto_json json_t *now = changes_of(json_array_get(reports, 0)), *then = changes_of(out.report);
    json_t *list = json_array();
    push_missing(list, now, then, row->policy_name);
    push_missing(list, then, now, name);
    w->out = json_object();
    qn_set_digest(w->out, "digest", &row->hardened);
    qn_json_set_bool(w->out, "equal", json_array_size(list) == 0);
    qn_json_set(w->out, "changes", list);
    return 0;
}

static int diff(struct qn_work *w, struct qn_err *e)
{
    struct qn_row_derivation row;
    struct qn_digest d;

    if (qn_work_query(w, "against") && qn_work_query(w, "policy"))
        return qn_fail(e, QN_E_CONFLICT, "against or policy, not both");
    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0 || find_image(w->server->site, &d, &row, e) < 0)
        return -1;
    if (qn_work_query(w, "against"))
        return against_image(w, &row, e);
    return qn_work_query(w, "policy") ? against_policy(w, &row, e) : made_changes(w, &row, e);
}

void qn_endpoint_diff(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, diff);
}
