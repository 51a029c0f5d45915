/* Lists of local repositories, and of repositories. Every page is one walk along an index.
 * Source: OCI distribution-spec "Content Discovery". */
#include "access.h"

#include "base/log.h"
#include "base/num.h"
#include "store/rows_tag.h"

#include <stdlib.h>

#define REFERRERS_PAGE  1000
#define REFERRERS_BYTES (4u << 20) /* of one page, as they stand in the index */
#define CATALOG_SCAN    100000     /* names looked at for one page */

/* --- tags --------------------------------------------------------------------------------------------------------- */
struct tag_page {
    json_t *tags;
    uint64_t n;
    bool more;
};

static bool add_tag(void *arg, const struct qn_row_tag *row)
{
    struct tag_page *p = arg;

    p->more = json_array_size(p->tags) >= p->n;
    if (!p->more)
        qn_json_push(p->tags, qn_json_string_c(row->tag));
    return !p->more;
}

static const char *last_of(const json_t *list)
{
    return json_string_value(json_array_get(list, json_array_size(list) - 1));
}

void qn_local_tags(struct qn_exchange *x, struct qn_http_request *r, struct qn_str last, uint64_t n)
{
    qn_auto_json json_t *tags = json_array();
    struct tag_page page = {.tags = tags, .n = n};
    qn_auto_free char *after = qn_xstrndup(last), *link = NULL;
    struct qn_err e;
    bool local, found = false;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
            qn_index_repo_get(tx, x->route.repo, &local, &found, &e) < 0 ||
            qn_index_tags(tx, x->route.repo, after, (size_t)n + 1, add_tag, &page, &e) < 0) {
            qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
            qn_respond_error(r, e.code, "the index is not readable");
            return;
        }
    }
    if (!found) {
        qn_respond_error(r, QN_E_NAME_UNKNOWN, "repository not known");
        return;
    }
    if (page.more && json_array_size(tags))
        link = qn_xasprintf("</v2/%s/tags/list?n=%llu&last=%s>; rel=\"next\"", x->route.repo, (unsigned long long)n,
                            last_of(tags));
    struct qn_http_field fields[] = {{"Link", link}, {NULL, NULL}};
    json_t *body = json_object();
    qn_json_set_c(body, "name", x->route.repo);
    qn_json_set(body, "tags", json_incref(tags));
    qn_http_respond_json(r, 200, fields, body);
}

/* --- referrers ---------------------------------------------------------------------------------------------------- */
struct referrer_page {
    json_t *list;
    size_t bytes;
    struct qn_digest last;
    bool more;
};

static bool add_referrer(void *arg, const struct qn_row_referrer *row)
{
    struct referrer_page *p = arg;
    size_t bytes = 512 + (row->annotations ? strlen(row->annotations) : 0);

    p->more = json_array_size(p->list) > 0 &&
              (json_array_size(p->list) >= REFERRERS_PAGE || p->bytes + bytes > REFERRERS_BYTES);
    if (p->more)
        return false;
    qn_json_push(p->list, qn_referrer_json(row));
    p->bytes += bytes;
    p->last = row->digest;
    return true;
}

/* A query value as it may stand in a link. */
static char *escape(const char *text)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    int r = 0;

    qn_buf_init(&b, 4096);
    for (const char *p = text; *p && r == 0; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~/:", *p);
        r = plain ? qn_buf_put(&b, p, 1, &e) : qn_buf_printf(&b, &e, "%%%02X", (unsigned)(unsigned char)*p);
    }
    return qn_buf_steal(&b);
}

void qn_local_referrers(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *d, const char *type)
{
    struct referrer_page page = {.list = json_array()};
    struct qn_digest after = {QN_DIGEST_NONE, {0}};
    qn_auto_free char *link = NULL, *filter = type ? escape(type) : NULL;
    char subject[QN_DIGEST_TEXT], last[QN_DIGEST_TEXT];
    struct qn_str text;
    struct qn_err e;
    int got = 0;

    if (qn_http_query(r, "last", &text))
        got = qn_digest_parse(text, &after, &e);
    if (got == 0) {
        qn_auto_read struct qn_tx *tx = NULL;
        got = qn_index_read(x->server->site->index, &tx, &e) < 0
                  ? -1
                  : qn_index_referrers(tx, x->route.repo, d, type, &after, SIZE_MAX, add_referrer, &page, &e);
    }
    if (got < 0) {
        json_decref(page.list);
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    if (page.more)
        link = qn_xasprintf("</v2/%s/referrers/%s?%s%s%slast=%s>; rel=\"next\"", x->route.repo,
                            qn_digest_text(d, subject), filter ? "artifactType=" : "", filter ? filter : "",
                            filter ? "&" : "", qn_digest_text(&page.last, last));
    qn_respond_referrers(r, page.list, type != NULL, link);
}

/* --- the catalog -------------------------------------------------------------------------------------------------- */
struct catalog_page {
    struct qn_exchange *x;
    struct qn_http_request *r;
    json_t *names;
    uint64_t n;
    size_t seen;
    bool more;
};

static bool add_repo(void *arg, const char *repo, bool local)
{
    struct catalog_page *p = arg;
    struct qn_str name = qn_str_c(repo), plain = name;

    (void)local;
    if (qn_str_starts(name, QN_STR("build/")))
        plain = qn_str_from(name, 6);
    if (!qn_reference_repository_valid(name) || !qn_exchange_could(p->x, p->r, plain, QN_PULL))
        return ++p->seen < CATALOG_SCAN;
    p->more = json_array_size(p->names) >= p->n;
    if (!p->more)
        qn_json_push(p->names, qn_json_string_c(repo));
    return !p->more && ++p->seen < CATALOG_SCAN;
}

void qn_endpoint_catalog(struct qn_exchange *x, struct qn_http_request *r)
{
    struct qn_str last = QN_STR(""), count;
    qn_auto_json json_t *names = json_array();
    struct catalog_page page = {.x = x, .r = r, .names = names, .n = 1000};
    qn_auto_free char *link = NULL;
    struct qn_err e;

    if (!qn_exchange_may_list(x, r))
        return;
    (void)qn_http_query(r, "last", &last);
    if (qn_http_query(r, "n", &count) && qn_num_u64(count, 0, 100000, &page.n, &e) < 0) {
        qn_respond_error(r, QN_E_BAD_NUMBER, e.msg);
        return;
    }
    qn_auto_free char *after = qn_xstrndup(last);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(x->server->site->index, &tx, &e) < 0 ||
            qn_index_repos(tx, after, SIZE_MAX, add_repo, &page, &e) < 0) {
            qn_log_err(QN_LOG_ERROR, "index not readable", &e, NULL);
            qn_respond_error(r, e.code, "the index is not readable");
            return;
        }
    }
    if (page.more && json_array_size(names))
        link = qn_xasprintf("</v2/_catalog?n=%llu&last=%s>; rel=\"next\"", (unsigned long long)page.n, last_of(names));
    struct qn_http_field fields[] = {{"Link", link}, {NULL, NULL}};
    json_t *body = json_object();
    qn_json_set(body, "repositories", json_incref(names));
    qn_http_respond_json(r, 200, fields, body);
}
