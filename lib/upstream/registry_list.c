/* Tags and referrers: documents that come in pages. */
#include "registry_op.h"

#include "base/json.h"
#include "base/mem.h"
#include "formats/mediatype.h"
#include "formats/reference.h"
#include "client_call.h"

#include <stdio.h>
#include <stdlib.h>

#define TAGS_BYTES  (8u << 20)
#define TAGS_MAX    100000u
#define PAGES_MAX   16u
#define EMPTY_INDEX "{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_INDEX "\",\"manifests\":[]}"

/* --- tags --------------------------------------------------------------------------------------------------------- */

struct tags_op {
    struct qn_registry *r;
    char repo[256];
    void (*done)(void *ctx, const struct qn_remote_tags *t, const struct qn_err *failed);
    void *ctx;
};

void qn_remote_tags_fini(struct qn_remote_tags *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->tag[i]);
    free(t->tag);
    *t = (struct qn_remote_tags){0};
}

/* The query of the next page. Only the query is used: where the link points is not upstream's to say. */
static void read_next(const struct qn_client_response *resp, char *out, size_t size)
{
    struct qn_str link = qn_link_next(qn_client_header_get(resp, "link"));
    ptrdiff_t q = qn_str_chr(link, '?');

    out[0] = '\0';
    if (q < 0)
        return;
    struct qn_str query = qn_str_from(link, (size_t)q + 1);
    for (size_t i = 0; i < query.n; i++) {
        if (query.p[i] <= ' ' || (unsigned char)query.p[i] >= 0x7f || query.p[i] == '#')
            return;
    }
    if (!qn_str_copy(query, out, size))
        out[0] = '\0';
}

static int read_tags(const struct qn_client_response *resp, struct qn_remote_tags *out, struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;
    json_t *list;
    size_t i, cap = 0;
    json_t *value;

    if (qn_json_parse(resp->body, TAGS_BYTES, &j, e) < 0 || qn_json_array_opt(j, "tags", &list, e) < 0)
        return -1;
    json_array_foreach (list, i, value) {
        struct qn_str tag = qn_str_n(json_string_value(value), json_string_length(value));
        void *arr = out->tag;
        if (!json_is_string(value) || !qn_reference_tag_valid(tag))
            continue;
        if (qn_grow(&arr, &cap, out->n + 1, sizeof *out->tag, TAGS_MAX, e) < 0)
            return qn_err_wrap(e, "tags");
        out->tag = arr;
        out->tag[out->n++] = qn_xstrndup(tag);
    }
    read_next(resp, out->next, sizeof out->next);
    return 0;
}

static void on_tags(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct tags_op *t = ctx;
    struct qn_remote_tags tags = {0};
    struct qn_err e;
    int rc = 0;

    if (failed)
        e = *failed;
    else if (resp->status != 200)
        rc = qn_status_fail(t->r, resp, "tags", QN_E_NAME_UNKNOWN, &e);
    else if (read_tags(resp, &tags, &e) < 0)
        rc = qn_err_wrap(&e, "upstream %s: tags of %s", t->r->name, t->repo);
    t->done(t->ctx, failed || rc < 0 ? NULL : &tags, failed || rc < 0 ? &e : NULL);
    qn_remote_tags_fini(&tags);
    free(t);
}

int qn_registry_tags_async(struct qn_registry *r, struct qn_str repo, const char *page, unsigned n,
                           void (*done)(void *ctx, const struct qn_remote_tags *t, const struct qn_err *failed),
                           void *ctx, struct qn_err *e)
{
    qn_auto_free struct tags_op *t = qn_new(struct tags_op);
    char query[QN_REMOTE_PAGE + 1] = "";

    if (qn_registry_repo(r, repo, t->repo, e) < 0)
        return -1;
    if (page[0])
        snprintf(query, sizeof query, "?%s", page);
    else if (n)
        snprintf(query, sizeof query, "?n=%u", n);
    t->r = r;
    t->done = done;
    t->ctx = ctx;
    struct qn_op *op = qn_op_new(r, QN_CLIENT_GET, qn_str_c(t->repo), "pull", "/v2/%s/tags/list%s", t->repo, query);
    op->max_body = TAGS_BYTES;
    op->repeat = true;
    op->done = on_tags;
    op->ctx = t;
    if (qn_op_start(op, e) < 0)
        return -1;
    qn_steal(t);
    return 0;
}

/* --- referrers ---------------------------------------------------------------------------------------------------- */

struct referrers_op {
    struct qn_registry *r;
    char repo[256];
    struct qn_digest subject;
    json_t *all; /* the first page with the further ones' manifests appended */
    unsigned pages;
    uint64_t bytes;
    void (*done)(void *ctx, struct qn_str json, const struct qn_err *failed);
    void *ctx;
};

static void end(struct referrers_op *o, struct qn_str json, const struct qn_err *failed)
{
    o->done(o->ctx, failed ? (struct qn_str){"", 0} : json, failed);
    json_decref(o->all);
    free(o);
}

static void end_all(struct referrers_op *o)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;

    qn_buf_init(&b, 64u << 20);
    if (qn_json_print(o->all, &b, &e) < 0)
        end(o, (struct qn_str){"", 0}, &e);
    else
        end(o, qn_buf_view(&b), NULL);
}

/* One page more; what is no index is MALFORMED. */
static int take_page(struct referrers_op *o, const struct qn_client_response *resp, struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;
    json_t *list;

    o->bytes += resp->body.n;
    if (o->bytes > o->r->manifest_max)
        return qn_fail(e, QN_E_LIMIT, "more than %llu bytes", (unsigned long long)o->r->manifest_max);
    if (qn_json_parse(resp->body, (size_t)o->r->manifest_max, &j, e) < 0 ||
        qn_json_array_opt(j, "manifests", &list, e) < 0)
        return -1;
    if (!list)
        return qn_fail(e, QN_E_MALFORMED, "the answer is not an index");
    o->pages++;
    if (!o->all)
        o->all = qn_steal(j);
    else
        json_array_extend(json_object_get(o->all, "manifests"), list);
    return 0;
}

static int ask_page(struct referrers_op *o, const char *query, struct qn_err *e);

static void on_fallback(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct referrers_op *o = ctx;
    struct qn_err e;

    if (failed)
        end(o, QN_STR(""), failed);
    else if (resp->status == 404)
        end(o, QN_STR(EMPTY_INDEX), NULL);
    else if (resp->status != 200 && qn_status_fail(o->r, resp, "referrers", QN_E_NOT_FOUND, &e) < 0)
        end(o, QN_STR(""), &e);
    else if (take_page(o, resp, &e) < 0 && qn_err_wrap(&e, "upstream %s: referrers tag", o->r->name) < 0)
        end(o, QN_STR(""), &e);
    else
        end(o, resp->body, NULL);
}

static int ask_fallback(struct referrers_op *o, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];

    *strchr(qn_digest_text(&o->subject, text), ':') = '-';
    struct qn_op *op = qn_op_new(o->r, QN_CLIENT_GET, qn_str_c(o->repo), "pull", "/v2/%s/manifests/%s", o->repo, text);
    qn_op_header(op, "Accept: " QN_MT_OCI_INDEX);
    op->max_body = o->r->manifest_max;
    op->repeat = true;
    op->done = on_fallback;
    op->ctx = o;
    return qn_op_start(op, e);
}

static void on_page(void *ctx, const struct qn_client_response *resp, const struct qn_err *failed)
{
    struct referrers_op *o = ctx;
    char next[QN_REMOTE_PAGE];
    struct qn_err e;

    if (failed) {
        end(o, QN_STR(""), failed);
        return;
    }
    bool json = qn_str_starts(qn_client_header_get(resp, "content-type"), QN_STR(QN_MT_OCI_INDEX));
    if (!o->all && (resp->status != 200 || !json) && resp->status != 429 && resp->status < 500) {
        /* An upstream that does not know this interface. */
        if (ask_fallback(o, &e) < 0)
            end(o, QN_STR(""), &e);
        return;
    }
    if (resp->status != 200) {
        qn_status_fail(o->r, resp, "referrers", QN_E_NOT_FOUND, &e);
        end(o, QN_STR(""), &e);
        return;
    }
    read_next(resp, next, sizeof next);
    if (take_page(o, resp, &e) < 0) {
        qn_err_wrap(&e, "upstream %s: referrers", o->r->name);
        end(o, QN_STR(""), &e);
    } else if (o->pages == 1 && !next[0]) {
        end(o, resp->body, NULL);
    } else if (!next[0] || o->pages >= PAGES_MAX) {
        end_all(o);
    } else if (ask_page(o, next, &e) < 0) {
        end(o, QN_STR(""), &e);
    }
}

static int ask_page(struct referrers_op *o, const char *query, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];
    struct qn_op *op = qn_op_new(o->r, QN_CLIENT_GET, qn_str_c(o->repo), "pull", "/v2/%s/referrers/%s%s%s", o->repo,
                                 qn_digest_text(&o->subject, text), query[0] ? "?" : "", query);

    qn_op_header(op, "Accept: " QN_MT_OCI_INDEX);
    op->max_body = o->r->manifest_max;
    op->repeat = true;
    op->done = on_page;
    op->ctx = o;
    return qn_op_start(op, e);
}

int qn_registry_referrers_async(struct qn_registry *r, struct qn_str repo, const struct qn_digest *d,
                                void (*done)(void *ctx, struct qn_str json, const struct qn_err *failed), void *ctx,
                                struct qn_err *e)
{
    qn_auto_free struct referrers_op *o = qn_new(struct referrers_op);

    if (qn_registry_repo(r, repo, o->repo, e) < 0)
        return -1;
    o->r = r;
    o->subject = *d;
    o->done = done;
    o->ctx = ctx;
    if (ask_page(o, "", e) < 0)
        return -1;
    qn_steal(o);
    return 0;
}
