/* Answers from memory. */
#include "base/json.h"
#include "base/mem.h"
#include "http_int.h"

#include <stdlib.h>
#include <strings.h>

void qn_http_answer(struct qn_http_request *r, unsigned status, struct MHD_Response *response)
{
    qn_assert(response && !r->response && r->phase != QN_PHASE_ANSWERED);
    r->response = response;
    r->status = status;
    /* A connection that drains must not be used again; shared responses have a variant for it. */
    if (!r->shared && atomic_load(&r->h->draining))
        MHD_add_response_header(response, "Connection", "close");
}

static bool clean(const char *text)
{
    for (const char *p = text; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

static bool describes_body(const char *name)
{
    return strcasecmp(name, "Content-Type") == 0 || strcasecmp(name, "Content-Length") == 0 ||
           strcasecmp(name, "Content-Range") == 0;
}

static void add_fields(struct MHD_Response *response, const struct qn_http_field *fields, bool skip)
{
    for (const struct qn_http_field *f = fields; f && f->name; f++) {
        if (!f->value || !clean(f->value) || (skip && describes_body(f->name)))
            continue;
        MHD_add_response_header(response, f->name, f->value);
    }
}

void qn_http_add_fields(struct qn_http_request *r, struct MHD_Response *response, const struct qn_http_field *fields,
                        bool skip)
{
    add_fields(response, fields, skip);
    MHD_add_response_header(response, "X-Request-Id", r->id);
}

const char *qn_http_field_get(const struct qn_http_field *fields, const char *name)
{
    for (const struct qn_http_field *f = fields; f && f->name; f++)
        if (f->value && strcasecmp(f->name, name) == 0)
            return f->value;
    return NULL;
}

void qn_http_answer_empty(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);

    qn_assert(response);
    qn_http_add_fields(r, response, fields, status == MHD_HTTP_NOT_MODIFIED);
    qn_http_answer(r, status, response);
}

void qn_http_respond(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields, struct qn_str body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);

    qn_assert(response);
    qn_http_add_fields(r, response, fields, false);
    r->answer_size = body.n;
    qn_http_answer(r, status, response);
}

static ssize_t read_nothing(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)cls;
    (void)pos;
    (void)buf;
    (void)max;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

void qn_http_respond_headers(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16, read_nothing, NULL, NULL);

    qn_assert(response);
    qn_http_add_fields(r, response, fields, false);
    /* Without a length the library would announce chunks and, even after HEAD, send the last of them. */
    MHD_add_response_header(response, "Connection", "close");
    qn_http_answer(r, status, response);
}

/* Prints and answers a document, with a media type unless the fields have one. */
static void answer_json(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields, json_t *json,
                        const char *type)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

    qn_assert(text);
    json_decref(json);
    size_t n = strlen(text);
    struct MHD_Response *response = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
    qn_assert(response);
    qn_http_add_fields(r, response, fields, false);
    if (!qn_http_field_get(fields, "Content-Type"))
        MHD_add_response_header(response, "Content-Type", type);
    r->answer_size = n;
    qn_http_answer(r, status, response);
}

void qn_http_respond_json(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields, json_t *json)
{
    answer_json(r, status, fields, json, "application/json");
}

/* Takes `detail`. */
static void push_error(json_t *list, const struct qn_err *e, json_t *detail)
{
    json_t *one = json_object();

    qn_json_set_c(one, "code", qn_code_info(e->code)->oci);
    qn_json_set_c(one, "message", e->msg);
    qn_json_set(one, "detail", detail);
    qn_json_push(list, one);
}

void qn_http_respond_oci_error(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                               const struct qn_err *e)
{
    json_t *root = json_object(), *list = json_array();

    push_error(list, e, json_null());
    qn_json_set(root, "errors", list);
    answer_json(r, status ? status : (unsigned)qn_code_info(e->code)->http_status, fields, root, "application/json");
}

void qn_http_respond_oci_details(struct qn_http_request *r, const struct qn_http_field *fields, const struct qn_err *e,
                                 const json_t *details)
{
    json_t *root = json_object(), *list = json_array();

    for (size_t i = 0; i < json_array_size(details); i++)
        push_error(list, e, json_deep_copy(json_array_get(details, i)));
    qn_json_set(root, "errors", list);
    answer_json(r, (unsigned)qn_code_info(e->code)->http_status, fields, root, "application/json");
}

void qn_http_respond_problem(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                             const struct qn_err *e)
{
    const struct qn_code_info *info = qn_code_info(e->code);
    json_t *root = json_object();

    if (!status)
        status = (unsigned)info->http_status;
    qn_json_set_c(root, "type", "about:blank");
    qn_json_set_c(root, "title", info->summary);
    qn_json_set_int(root, "status", status);
    qn_json_set_c(root, "detail", e->msg);
    qn_json_set_c(root, "code", info->name);
    qn_json_set_c(root, "instance", r->id);
    answer_json(r, status, fields, root, "application/problem+json");
}

/* --- entity tags -------------------------------------------------------------------------------------------------- */

struct tag_search {
    struct qn_str tag;
    bool found;
};

/* Weak comparison (RFC 9110 section 13.1.2). */
static bool search_tag(void *arg, struct qn_str value)
{
    struct tag_search *s = arg;
    struct qn_str one;

    while (!s->found && qn_str_next(&value, ',', &one)) {
        one = qn_str_trim(one);
        if (qn_str_starts(one, QN_STR("W/")))
            one = qn_str_from(one, 2);
        s->found = qn_str_eq(one, s->tag) || qn_str_eq_c(one, "*");
    }
    return !s->found;
}

bool qn_http_none_match(const struct qn_http_request *r, struct qn_str etag)
{
    struct tag_search s = {etag, false};
    qn_http_header_each(r, "If-None-Match", search_tag, &s);
    return s.found;
}

/* --- shared responses --------------------------------------------------------------------------------------------- */

/* The bytes behind the variants of a shared response, which may outlive it in connections that still send. */
struct shared_body {
    _Atomic unsigned refs;
    char bytes[];
};

struct qn_http_shared {
    _Atomic unsigned refs;
    unsigned status;
    uint64_t size;
    char *etag;
    struct MHD_Response *full[2], *unchanged[2]; /* [1]: with "Connection: close" */
};

static void body_unref(void *arg)
{
    struct shared_body *b = arg;
    if (atomic_fetch_sub(&b->refs, 1) == 1)
        free(b);
}

static struct MHD_Response *shared_variant(struct shared_body *b, size_t n, const struct qn_http_field *fields,
                                           bool unchanged, bool closing)
{
    struct MHD_Response *response;

    if (unchanged) {
        response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    } else {
        atomic_fetch_add(&b->refs, 1);
        response = MHD_create_response_from_buffer_with_free_callback_cls(n, b->bytes, body_unref, b);
    }
    qn_assert(response);
    add_fields(response, fields, unchanged);
    if (closing)
        MHD_add_response_header(response, "Connection", "close");
    return response;
}

struct qn_http_shared *qn_http_shared_new(unsigned status, const struct qn_http_field *fields, struct qn_str body)
{
    struct shared_body *b = qn_xcalloc(1, sizeof *b + body.n);
    struct qn_http_shared *s = qn_new(struct qn_http_shared);
    const char *etag = qn_http_field_get(fields, "ETag");

    if (body.n)
        memcpy(b->bytes, body.p, body.n);
    atomic_init(&b->refs, 1);
    atomic_init(&s->refs, 1);
    s->status = status;
    s->size = body.n;
    s->etag = etag ? qn_xstrdup(etag) : NULL;
    for (unsigned closing = 0; closing < 2; closing++) {
        s->full[closing] = shared_variant(b, body.n, fields, false, closing);
        if (etag)
            s->unchanged[closing] = shared_variant(b, 0, fields, true, closing);
    }
    body_unref(b);
    return s;
}

struct qn_http_shared *qn_http_shared_ref(struct qn_http_shared *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

struct qn_str qn_http_shared_tag(const struct qn_http_shared *s)
{
    struct qn_str tag = s->etag ? qn_str_c(s->etag) : QN_STR("");
    return tag.n >= 2 ? qn_str_head(qn_str_from(tag, 1), tag.n - 2) : tag;
}

void qn_http_shared_unref(struct qn_http_shared *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (unsigned closing = 0; closing < 2; closing++) {
        MHD_destroy_response(s->full[closing]);
        if (s->unchanged[closing])
            MHD_destroy_response(s->unchanged[closing]);
    }
    free(s->etag);
    free(s);
}

void qn_http_respond_shared(struct qn_http_request *r, struct qn_http_shared *s)
{
    bool closing = atomic_load(&r->h->draining);
    bool unchanged =
        s->etag && (r->method == QN_HTTP_GET || r->method == QN_HTTP_HEAD) && qn_http_none_match(r, qn_str_c(s->etag));

    /* The caller may drop its reference before the response is queued. */
    struct MHD_Response *response = unchanged ? s->unchanged[closing] : s->full[closing];
    r->answer_size = unchanged ? 0 : s->size;
    r->shared = qn_http_shared_ref(s);
    qn_http_answer(r, unchanged ? MHD_HTTP_NOT_MODIFIED : s->status, response);
}
