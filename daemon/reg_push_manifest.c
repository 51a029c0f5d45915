/* PUT and DELETE of manifests. Source: OCI distribution-spec "Pushing Manifests", "Content Management". */
#include "reg_push.h"

#include <stdlib.h>

/* --- conditions --------------------------------------------------------------------------------------------------- */
static bool add_tags(void *arg, struct qn_str value)
{
    struct qn_push_condition *c = arg;
    struct qn_str one;
    struct qn_err e;

    while (qn_str_next(&value, ',', &one)) {
        one = qn_str_trim(one);
        if (qn_str_eq(one, QN_STR("*")))
            c->any = true;
        if (qn_str_starts(one, QN_STR("W/")))
            one = qn_str_from(one, 2);
        if (one.n < 2 || one.p[0] != '"' || one.p[one.n - 1] != '"' || c->digests == QN_ARRAY_LEN(c->digest))
            continue;
        if (qn_digest_parse(qn_str_n(one.p + 1, one.n - 2), &c->digest[c->digests], &e) == 0)
            c->digests++;
    }
    c->given = true;
    return true;
}

/* If-Match goes before If-None-Match (RFC 9110 section 13.2.2). */
static void read_condition(const struct qn_http_request *r, struct qn_push_condition *c)
{
    qn_http_header_each(r, "If-Match", add_tags, c);
    if (c->given)
        return;
    qn_http_header_each(r, "If-None-Match", add_tags, c);
    c->none = c->given;
}

/* --- putting ------------------------------------------------------------------------------------------------------ */
struct tag_list {
    struct qn_push_request *rq;
    bool bad, many;
};

static bool add_tag(void *arg, struct qn_str value)
{
    struct tag_list *l = arg;

    l->bad = l->bad || !qn_reference_tag_valid(value);
    l->many = l->rq->tags == QN_PUSH_TAGS;
    if (l->bad || l->many)
        return false;
    for (size_t i = 0; i < l->rq->tags; i++)
        if (qn_str_eq_c(value, l->rq->tag[i]))
            return true;
    snprintf(l->rq->tag[l->rq->tags++], QN_ROW_TAG, "%.*s", QN_FMT(value));
    return true;
}

/* Reads the reference of the path and tag= of the query; false when the request was answered. */
static bool read_names(struct qn_exchange *x, struct qn_http_request *r, struct qn_push_request *rq)
{
    struct tag_list tags = {.rq = rq};
    struct qn_str ref = x->arg[1];
    struct qn_err e;

    if (qn_str_chr(ref, ':') >= 0) {
        if (qn_digest_parse(ref, &rq->digest, &e) < 0) {
            qn_respond_error(r, QN_E_DIGEST_INVALID, e.msg);
            return false;
        }
        qn_http_query_each(r, "tag", add_tag, &tags);
    } else {
        (void)add_tag(&tags, ref);
    }
    if (tags.bad)
        qn_respond_error(r, QN_E_NAME_INVALID, "a tag is at most 128 of [A-Za-z0-9_.-] and does not begin with . or -");
    else if (tags.many)
        qn_respond_error(r, QN_E_LIMIT, "too many tags for one request");
    return !tags.bad && !tags.many;
}

static char *join_tags(const struct qn_push_request *rq)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, QN_PUSH_TAGS * (QN_ROW_TAG + 2));
    for (size_t i = 0; i < rq->tags; i++)
        if (qn_buf_printf(&b, &e, "%s%s", i ? ", " : "", rq->tag[i]) < 0)
            break;
    return qn_buf_steal(&b);
}

static void respond_put(struct qn_exchange *x, struct qn_http_request *r, const struct qn_push_request *rq,
                        const struct qn_push_result *result)
{
    static const char held[] = "299 - \"held: the tag was frozen or rolled back, and serves that until it is thawed\"";
    char digest[QN_DIGEST_TEXT], etag[QN_DIGEST_TEXT + 2], subject[QN_DIGEST_TEXT] = "";
    qn_auto_free char *location =
        qn_xasprintf("/v2/%s/manifests/%s", x->route.repo, qn_digest_text(&result->digest, digest));
    qn_auto_free char *tags = rq->digest.algorithm != QN_DIGEST_NONE && rq->tags ? join_tags(rq) : NULL;

    snprintf(etag, sizeof etag, "\"%s\"", digest);
    if (result->subject.algorithm != QN_DIGEST_NONE)
        qn_digest_text(&result->subject, subject);
    struct qn_http_field fields[] = {{"Location", location},
                                     {"Docker-Content-Digest", digest},
                                     {"ETag", etag},
                                     {"OCI-Subject", subject[0] ? subject : NULL},
                                     {"OCI-Tag", tags},
                                     {"Warning", result->held ? held : NULL},
                                     {"Docker-Distribution-Api-Version", "registry/2.0"},
                                     {NULL, NULL}};
    qn_http_respond(r, 201, fields, QN_STR(""));
}

void qn_endpoint_manifest_put(struct qn_exchange *x, struct qn_http_request *r)
{
    const struct qn_err *bad = qn_http_body_error(r);
    struct qn_str type = QN_STR("");

    if (!qn_push_enter(x, r, QN_PUSH))
        return;
    if (bad) {
        qn_push_respond_failed(x, r, bad, NULL);
        return;
    }
    struct qn_push_request *rq = qn_push_request_new(x, QN_PUSH_MANIFEST);
    (void)qn_http_header(r, "Content-Type", &type);
    type = qn_media_type_essence(type);
    snprintf(rq->media_type, sizeof rq->media_type, "%.*s", (int)QN_MIN(type.n, sizeof rq->media_type - 1), type.p);
    rq->bytes = qn_http_body(r);
    read_condition(r, &rq->condition);
    if (read_names(x, r, rq)) {
        const struct qn_push_result *result = qn_push_await(x, r, rq);
        if (result)
            respond_put(x, r, rq, result);
    }
    free(rq);
}

/* --- deleting ----------------------------------------------------------------------------------------------------- */
void qn_endpoint_manifest_delete(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str ref = x->arg[1];
    bool digest = qn_str_chr(ref, ':') >= 0;

    if (!qn_push_enter(x, r, QN_DELETE))
        return;
    struct qn_push_request *rq = qn_push_request_new(x, digest ? QN_PUSH_DELETE_MANIFEST : QN_PUSH_DELETE_TAG);
    read_condition(r, &rq->condition);
    if (read_names(x, r, rq) && qn_push_await(x, r, rq))
        qn_http_respond(r, 202, NULL, QN_STR(""));
    free(rq);
}
