#include "deny.h"

static const struct {
    const char *name;
    unsigned status;
    enum qn_code code;
} denials[] = {
    [QN_DENY_NONE] = {"", 403, QN_E_DENIED},
    [QN_DENY_POLICY] = {"policy", 403, QN_E_DENIED},
    [QN_DENY_UNKNOWN_UPSTREAM] = {"unknown-upstream", 404, QN_E_NAME_UNKNOWN},
    [QN_DENY_NOT_ALLOWED] = {"not-allowed", 403, QN_E_DENIED},
    [QN_DENY_NOT_FOUND] = {"not-found", 404, QN_E_MANIFEST_UNKNOWN},
    [QN_DENY_DIGEST_PIN] = {"digest-pin", 403, QN_E_DENIED},
    [QN_DENY_PLATFORM] = {"platform", 403, QN_E_DENIED},
    [QN_DENY_UPSTREAM_DOWN] = {"upstream-down", 503, QN_E_NETWORK},
    [QN_DENY_UPSTREAM_DENIED] = {"upstream-denied", 403, QN_E_UPSTREAM_DENIED},
    [QN_DENY_MALFORMED] = {"malformed", 403, QN_E_DENIED},
    [QN_DENY_HARDENING_FAILED] = {"hardening-failed", 403, QN_E_DENIED},
    [QN_DENY_STILL_HARDENING] = {"still-hardening", 503, QN_E_BUSY},
    [QN_DENY_QUEUE_FULL] = {"queue-full", 429, QN_E_BUSY},
    [QN_DENY_STORAGE_FULL] = {"storage-full", 503, QN_E_NO_SPACE},
    [QN_DENY_NOT_APPROVED] = {"not-approved", 403, QN_E_DENIED},
    [QN_DENY_REJECTED] = {"rejected", 403, QN_E_DENIED},
};

const char *qn_denial_name(enum qn_denial d)
{
    return denials[d].name;
}

enum qn_denial qn_denial_parse(const char *slug)
{
    for (size_t i = 1; i < QN_ARRAY_LEN(denials); i++)
        if (strcmp(denials[i].name, slug) == 0)
            return (enum qn_denial)i;
    return QN_DENY_NONE;
}

unsigned qn_denial_status(enum qn_denial d)
{
    return denials[d].status;
}

enum qn_code qn_denial_code(enum qn_denial d)
{
    return denials[d].code;
}

enum qn_denial qn_denial_of(const struct qn_err *err)
{
    static const struct {
        enum qn_code code;
        enum qn_denial denial;
    } map[] = {{QN_E_MALFORMED, QN_DENY_MALFORMED},
               {QN_E_LIMIT, QN_DENY_MALFORMED},
               {QN_E_UNSUPPORTED, QN_DENY_MALFORMED},
               {QN_E_DIGEST_MISMATCH, QN_DENY_MALFORMED},
               {QN_E_SIZE_MISMATCH, QN_DENY_MALFORMED},
               {QN_E_NO_SPACE, QN_DENY_STORAGE_FULL},
               {QN_E_NAME_UNKNOWN, QN_DENY_NOT_FOUND},
               {QN_E_MANIFEST_UNKNOWN, QN_DENY_NOT_FOUND},
               {QN_E_BLOB_UNKNOWN, QN_DENY_NOT_FOUND},
               {QN_E_NOT_FOUND, QN_DENY_NOT_FOUND},
               {QN_E_UPSTREAM_DENIED, QN_DENY_UPSTREAM_DENIED},
               {QN_E_UNAUTHORIZED, QN_DENY_UPSTREAM_DENIED},
               {QN_E_NETWORK, QN_DENY_UPSTREAM_DOWN},
               {QN_E_TIMEOUT, QN_DENY_UPSTREAM_DOWN},
               {QN_E_RATE_LIMITED, QN_DENY_UPSTREAM_DOWN},
               {QN_E_ADDRESS, QN_DENY_UPSTREAM_DOWN},
               {QN_E_BUSY, QN_DENY_QUEUE_FULL},
               {QN_E_DENIED, QN_DENY_NOT_ALLOWED},
               {QN_E_VERIFY, QN_DENY_HARDENING_FAILED}};
    for (size_t i = 0; i < QN_ARRAY_LEN(map); i++)
        if (map[i].code == err->code)
            return map[i].denial;
    return QN_DENY_HARDENING_FAILED;
}

static json_t *descriptor(const char *media_type, const struct qn_digest *d, size_t size)
{
    char text[QN_DIGEST_TEXT];
    json_t *o = json_object();

    qn_json_set_c(o, "mediaType", media_type);
    qn_json_set_c(o, "digest", qn_digest_text(d, text));
    qn_json_set_int(o, "size", (int64_t)size);
    return o;
}

static int print_row(json_t *body, struct qn_row_denial *row, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, sizeof row->body);
    if (qn_json_print(body, &b, e) < 0)
        return qn_err_wrap(e, "denial");
    memcpy(row->body, b.p, b.n);
    row->body_size = b.n;
    row->digest = qn_digest_of(qn_buf_view(&b));
    return 0;
}

static void start_row(struct qn_row_denial *row, enum qn_denial d, const char *message, const char *repo,
                      int64_t expires)
{
    *row = (struct qn_row_denial){.expires = expires};
    snprintf(row->repo, sizeof row->repo, "%s", repo);
    snprintf(row->reason, sizeof row->reason, "%s", qn_denial_name(d));
    snprintf(row->message, sizeof row->message, "%s", message);
}

/* An image whose config is never given out and whose layer has a type that no client can unpack. Both are the same
 * blob, so that whichever a client asks for first, the answer is the sentence. */
static int make_manifest(enum qn_denial d, enum qn_media_family family, struct qn_row_denial *row, struct qn_err *e)
{
    qn_auto_json json_t *config = json_object(), *body = json_object();
    qn_auto_buf struct qn_buf b = {0};
    char layer_type[128];

    qn_buf_init(&b, 8192);
    qn_json_set_c(config, "denied", qn_denial_name(d));
    qn_json_set_c(config, "message", row->message);
    if (qn_json_print(config, &b, e) < 0)
        return -1;
    row->config = qn_digest_of(qn_buf_view(&b));
    snprintf(layer_type, sizeof layer_type, "application/vnd.quench.denied.%s", qn_denial_name(d));
    const char *type = qn_media_type_name(QN_MEDIA_MANIFEST, family, QN_PLAIN);
    snprintf(row->media_type, sizeof row->media_type, "%s", type);
    qn_json_set_int(body, "schemaVersion", 2);
    qn_json_set_c(body, "mediaType", type);
    qn_json_set(body, "config", descriptor(qn_media_type_name(QN_MEDIA_CONFIG, family, QN_PLAIN), &row->config, b.n));
    json_t *layers = json_array();
    qn_json_push(layers, descriptor(layer_type, &row->config, b.n));
    qn_json_set(body, "layers", layers);
    return print_row(body, row, e);
}

/* One entry a platform, each explicit: an entry without a platform makes docker fall back. */
static int make_index(const struct qn_settings *s, enum qn_media_family family, const struct qn_row_denial *child,
                      struct qn_row_denial *row, struct qn_err *e)
{
    qn_auto_json json_t *body = json_object();
    json_t *list = json_array();
    const char *type = qn_media_type_name(QN_MEDIA_INDEX, family, QN_PLAIN);

    snprintf(row->media_type, sizeof row->media_type, "%s", type);
    qn_json_set_int(body, "schemaVersion", 2);
    qn_json_set_c(body, "mediaType", type);
    qn_json_set(body, "manifests", list);
    for (size_t i = 0; i < s->platforms; i++) {
        json_t *o = descriptor(child->media_type, &child->digest, child->body_size), *p = json_object();
        qn_json_set_str(p, "architecture", s->platform[i].architecture);
        qn_json_set_str(p, "os", s->platform[i].os);
        if (s->platform[i].variant.n)
            qn_json_set_str(p, "variant", s->platform[i].variant);
        qn_json_set(o, "platform", p);
        qn_json_push(list, o);
    }
    row->config = child->config;
    return print_row(body, row, e);
}

int qn_denial_make(enum qn_denial d, const char *message, enum qn_media_kind kind, enum qn_media_family family,
                   const struct qn_settings *s, const char *repo, int64_t expires, struct qn_row_denial *rows,
                   size_t *n, struct qn_err *e)
{
    bool index = kind == QN_MEDIA_INDEX;

    start_row(&rows[index], d, message, repo, expires);
    if (make_manifest(d, family, &rows[index], e) < 0)
        return -1;
    *n = 1;
    if (!index)
        return 0;
    start_row(&rows[0], d, message, repo, expires);
    *n = 2;
    return make_index(s, family, &rows[1], &rows[0], e);
}
