/* Reports over the admin API: JSON, SARIF, or a page for people. */
#include "admin.h"

#include "harden/html.h"
#include "harden/sarif.h"

#include <stdlib.h>

struct newest {
    struct qn_digest report;
    bool found;
};

static bool see(void *arg, const struct qn_row_derivation *row)
{
    struct newest *n = arg;

    if (row->report.algorithm == QN_DIGEST_NONE)
        return true;
    n->report = row->report;
    n->found = true;
    return false;
}

static int gather(struct qn_site *site, const struct qn_digest *d, unsigned depth, json_t *list, struct qn_err *e)
{
    struct newest f = {.found = false};
    struct qn_row_edge *edge = NULL;
    qn_auto_buf struct qn_buf b = {0};
    size_t n = 0;
    int r = 0;

    qn_buf_init(&b, 16u << 20);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_derivations_of(tx, d, 64, see, &f, e) < 0 ||
            qn_index_children(tx, d, &edge, &n, e) < 0)
            return -1;
    }
    if (f.found) {
        json_t *doc = NULL;
        r = qn_site_read(site, &f.report, &b, e) < 0 ? -1 : qn_json_parse(qn_buf_view(&b), 16u << 20, &doc, e);
        if (r == 0)
            qn_json_push(list, doc);
    }
    for (size_t i = 0; r == 0 && depth > 0 && i < n; i++)
        if (edge[i].kind == QN_EDGE_MANIFEST)
            r = gather(site, &edge[i].child, depth - 1, list, e);
    free(edge);
    return r;
}

int qn_gather_reports(struct qn_site *site, const struct qn_digest *d, json_t *list, struct qn_err *e)
{
    if (gather(site, d, 3, list, e) < 0)
        return -1;
    return json_array_size(list) ? 0 : qn_fail(e, QN_E_NOT_FOUND, "there is no report about that digest");
}

static int page(struct qn_work *w, const json_t *list, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 64u << 20);
    if (qn_report_html(list, &b, e) < 0)
        return -1;
    w->text = qn_buf_steal(&b);
    w->type = "text/html; charset=utf-8";
    return 0;
}

static int sarif(struct qn_work *w, const json_t *list, struct qn_err *e)
{
    size_t n = json_array_size(list);
    const json_t **each = qn_xcalloc(n, sizeof *each);
    qn_auto_buf struct qn_buf b = {0};

    for (size_t i = 0; i < n; i++)
        each[i] = json_array_get(list, i);
    qn_auto_json json_t *doc = qn_sarif_make(each, n, w->arg, false);
    free(each);
    qn_buf_init(&b, 64u << 20);
    if (qn_json_print(doc, &b, e) < 0)
        return -1;
    w->text = qn_buf_steal(&b);
    w->type = "application/sarif+json";
    return 0;
}

static int report(struct qn_work *w, struct qn_err *e)
{
    const char *accept = w->accept;
    qn_auto_json json_t *list = json_array();
    struct qn_digest d;

    if (qn_digest_parse(qn_str_c(w->arg), &d, e) < 0 || qn_gather_reports(w->server->site, &d, list, e) < 0)
        return -1;
    if (strstr(accept, "application/sarif+json"))
        return sarif(w, list, e);
    if (strstr(accept, "text/html"))
        return page(w, list, e);
    /* One image: its report. An index: a list, one report a platform. */
    w->out = json_incref(json_array_size(list) == 1 ? json_array_get(list, 0) : list);
    return 0;
}

void qn_endpoint_report(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_exchange_work(x, r, report);
}
