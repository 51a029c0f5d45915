#include "admin.h"

#include "base/clock.h"
#include "base/num.h"

#include <stdlib.h>

/* --- JSON --------------------------------------------------------------------------------------------------------- */
void qn_set_time(json_t *o, const char *key, int64_t seconds)
{
    char text[QN_TIME_TEXT];

    if (seconds <= 0)
        return;
    qn_time_format(seconds, text);
    qn_json_set_c(o, key, text);
}

void qn_set_ms(json_t *o, const char *key, int64_t ms)
{
    char text[QN_TIME_TEXT];

    if (ms <= 0)
        return;
    qn_time_format_ms(ms, text);
    qn_json_set_c(o, key, text);
}

void qn_set_digest(json_t *o, const char *key, const struct qn_digest *d)
{
    char text[QN_DIGEST_TEXT];

    if (d->algorithm != QN_DIGEST_NONE)
        qn_json_set_c(o, key, qn_digest_text(d, text));
}

void qn_set_text(json_t *o, const char *key, const char *text)
{
    if (text && *text)
        qn_json_set_c(o, key, text);
}

static const char *image_state(const struct qn_row_derivation *row)
{
    if (row->state == QN_STATE_DONE)
        return qn_digest_eq(&row->hardened, &row->key.source) ? "unchanged" : "hardened";
    return row->state == QN_STATE_DENIED || row->state == QN_STATE_FAILED ? "denied" : "hardening";
}

json_t *qn_image_json(const struct qn_row_derivation *row)
{
    json_t *o = json_object();
    char digest[QN_DIGEST_TEXT];
    qn_auto_free char *policy = qn_xasprintf("%s@%s", row->policy_name, qn_digest_text(&row->key.policy, digest));
    qn_auto_free char *id = qn_xasprintf("%lld", (long long)row->id);

    qn_json_set_c(o, "id", id);
    qn_json_set_c(o, "ref", row->reference);
    qn_json_set_c(o, "state", image_state(row));
    qn_set_digest(o, "digest", &row->hardened);
    qn_set_digest(o, "source", &row->key.source);
    qn_json_set_c(o, "platform", row->key.platform);
    qn_set_text(o, "media_type", row->media_type);
    qn_json_set_c(o, "policy", policy);
    qn_json_set_c(o, "engine", row->key.engine);
    qn_set_text(o, "reason", row->reason);
    qn_set_text(o, "message", row->message);
    qn_json_set_int(o, "attempts", row->attempts);
    qn_set_time(o, "made", row->made);
    qn_set_time(o, "last_served", row->last_served);
    qn_set_time(o, "retry_at", row->retry_at);
    return o;
}

json_t *qn_approval_json(const struct qn_row_approval *row)
{
    json_t *o = json_object();

    qn_json_set_c(o, "repository", row->repo);
    qn_json_set_c(o, "tag", row->tag);
    qn_json_set_c(o, "state", qn_approval_name(row->state));
    qn_set_text(o, "who", row->who);
    qn_set_text(o, "comment", row->comment);
    qn_set_time(o, "created", row->created);
    qn_set_time(o, "decided", row->decided);
    return o;
}

json_t *qn_hold_json(const struct qn_row_hold *row)
{
    json_t *o = json_object();

    qn_set_digest(o, "source", &row->source);
    qn_set_digest(o, "served", &row->served);
    qn_json_set_c(o, "who", row->who);
    qn_set_text(o, "comment", row->comment);
    qn_set_time(o, "at", row->at);
    return o;
}

json_t *qn_override_json(const struct qn_row_override *row)
{
    json_t *o = json_object(), *rules = NULL;
    struct qn_err e;

    qn_json_set_int(o, "id", row->id);
    qn_json_set_c(o, "match", row->match);
    qn_set_text(o, "mode", row->mode);
    if (row->rules[0] && qn_json_parse(qn_str_c(row->rules), sizeof row->rules, &rules, &e) == 0)
        qn_json_set(o, "rules", rules);
    qn_set_time(o, "expires", row->expires);
    qn_json_set_c(o, "reason", row->reason);
    qn_json_set_c(o, "who", row->who);
    qn_set_time(o, "at", row->at);
    qn_set_time(o, "ended", row->ended);
    return o;
}

/* --- lists -------------------------------------------------------------------------------------------------------- */
void qn_page_read(const struct qn_http_request *r, struct qn_page *out)
{
    struct qn_str v;
    struct qn_err e;
    uint64_t n;

    *out = (struct qn_page){.limit = 100};
    if (qn_http_query(r, "limit", &v) && qn_num_u64(v, 1, 1000, &n, &e) == 0)
        out->limit = n;
    if (qn_http_query(r, "after", &v) && qn_num_u64(v, 0, INT64_MAX, &n, &e) == 0)
        out->after = (int64_t)n;
}

json_t *qn_page_json(const char *name, json_t *list, uint64_t limit)
{
    json_t *body = json_object();
    size_t n = json_array_size(list);

    qn_json_set(body, name, list);
    if (n > 0 && n == limit)
        qn_json_set(body, "after", json_incref(json_object_get(json_array_get(list, n - 1), "id")));
    return body;
}

bool qn_query_text(const struct qn_http_request *r, const char *key, char *out, size_t size)
{
    struct qn_str v;
    return qn_http_query(r, key, &v) && qn_str_copy(v, out, size);
}

/* --- references --------------------------------------------------------------------------------------------------- */
int qn_admin_reference(struct qn_site *site, struct qn_str ref, struct qn_subject *s, struct qn_digest *digest,
                       struct qn_err *e)
{
    ptrdiff_t at = qn_str_chr(ref, '@'), colon, slash;
    struct qn_str name = ref, tag = QN_STR("");

    *digest = (struct qn_digest){QN_DIGEST_NONE, {0}};
    if (at >= 0) {
        name = qn_str_head(ref, (size_t)at);
        if (qn_digest_parse(qn_str_from(ref, (size_t)at + 1), digest, e) < 0)
            return -1;
    }
    colon = qn_str_rchr(name, ':');
    slash = qn_str_rchr(name, '/');
    if (colon > slash) {
        tag = qn_str_from(name, (size_t)colon + 1);
        name = qn_str_head(name, (size_t)colon);
        if (!qn_reference_tag_valid(tag))
            return qn_fail(e, QN_E_NAME_INVALID, "\"%s\": not a valid tag", QN_Q(tag));
    }
    if (at < 0 && tag.n == 0)
        tag = QN_STR("latest");
    if (name.n > QN_NAME_MAX)
        return qn_fail(e, QN_E_NAME_UNKNOWN, "no repository has a name of %zu bytes", name.n);
    if (qn_route(site->settings, false, name, QN_STR(""), &s->route, e) < 0)
        return -1;
    s->policy = qn_site_policy(site, qn_str_c(s->route.name), tag);
    snprintf(s->tag, sizeof s->tag, "%.*s", QN_FMT(tag));
    if (tag.n)
        snprintf(s->reference, sizeof s->reference, "%s:%.*s", s->route.repo, QN_FMT(tag));
    return 0;
}
