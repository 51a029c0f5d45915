/* From a report to rows that can be searched. */
#include "publish.h"

#include "store/rows_search.h"

#include <stdio.h>
#include <stdlib.h>

#define CHUNK 500 /* rows of one transaction: others wait for the writer meanwhile */

struct rows {
    int64_t derivation;
    bool clear;
    struct qn_row_package *package;
    struct qn_row_change *change;
    size_t packages, changes;
};

static int write_rows(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    const struct rows *r = arg;

    if (r->clear && qn_index_result_clear(tx, r->derivation, e) < 0)
        return -1;
    for (size_t i = 0; i < r->packages; i++)
        if (qn_index_package_put(tx, &r->package[i], e) < 0)
            return -1;
    for (size_t i = 0; i < r->changes; i++)
        if (qn_index_change_put(tx, &r->change[i], e) < 0)
            return -1;
    return 0;
}

static int flush(struct qn_site *site, struct rows *r, struct qn_err *e)
{
    if (qn_index_write(site->index, write_rows, r, e) < 0)
        return -1;
    r->clear = false;
    r->packages = r->changes = 0;
    return 0;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static int add_packages(struct qn_site *site, struct rows *r, const json_t *report, struct qn_err *e)
{
    size_t i;
    json_t *item;

    json_array_foreach (json_object_get(report, "packages"), i, item) {
        struct qn_row_package *p = &r->package[r->packages++];
        p->derivation = r->derivation;
        snprintf(p->purl, sizeof p->purl, "%s", text(item, "purl"));
        snprintf(p->state, sizeof p->state, "%s", text(item, "state"));
        if (r->packages == CHUNK && flush(site, r, e) < 0)
            return -1;
    }
    return flush(site, r, e);
}

static int add_changes(struct qn_site *site, struct rows *r, const json_t *report, struct qn_err *e)
{
    int64_t seq = 0;
    size_t i, k;
    json_t *rule, *item;

    json_array_foreach (json_object_get(report, "rules"), i, rule)
        json_array_foreach (json_object_get(rule, "changes"), k, item) {
            struct qn_row_change *c = &r->change[r->changes++];
            c->derivation = r->derivation;
            c->seq = ++seq;
            snprintf(c->rule, sizeof c->rule, "%s", text(rule, "rule"));
            snprintf(c->action, sizeof c->action, "%s", text(item, "action"));
            snprintf(c->path, sizeof c->path, "%s", text(item, "path"));
            snprintf(c->package, sizeof c->package, "%s", text(item, "package"));
            snprintf(c->before, sizeof c->before, "%s", text(item, "from"));
            snprintf(c->after, sizeof c->after, "%s", text(item, "to"));
            snprintf(c->because, sizeof c->because, "%s", text(item, "because"));
            if (r->changes == CHUNK && flush(site, r, e) < 0)
                return -1;
        }
    return flush(site, r, e);
}

int qn_result_rows(struct qn_site *site, int64_t derivation, const json_t *report, struct qn_err *e)
{
    struct rows r = {.derivation = derivation, .clear = true};

    r.package = qn_xcalloc(CHUNK, sizeof *r.package);
    r.change = qn_xcalloc(CHUNK, sizeof *r.change);
    int bad = add_packages(site, &r, report, e) < 0 || add_changes(site, &r, report, e) < 0 ? -1 : 0;
    free(r.package);
    free(r.change);
    return bad;
}
