/* Results in a repository: what may be pulled there, and the report as a referrer. */
#include "decide.h"
#include "job.h"

#include <stdlib.h>

#define REPORT_TYPE "application/vnd.quench.report.v1+json"

static json_t *descriptor(const char *media_type, const struct qn_digest *d, uint64_t size)
{
    char text[QN_DIGEST_TEXT];
    json_t *o = json_object();

    qn_json_set_c(o, "mediaType", media_type);
    qn_json_set_c(o, "digest", qn_digest_text(d, text));
    qn_json_set_int(o, "size", (int64_t)size);
    return o;
}

/* The manifest that attaches a report to an image: a function of both alone. */
static int report_manifest(const struct qn_row_derivation *row, uint64_t report_size, struct qn_buf *out,
                           struct qn_err *e)
{
    qn_auto_json json_t *root = json_object();
    struct qn_digest empty = qn_digest_of(QN_STR("{}"));
    json_t *layers = json_array();

    qn_json_set_int(root, "schemaVersion", 2);
    qn_json_set_c(root, "mediaType", QN_MT_OCI_MANIFEST);
    qn_json_set_c(root, "artifactType", REPORT_TYPE);
    qn_json_set(root, "config", descriptor(QN_MT_OCI_EMPTY, &empty, 2));
    qn_json_push(layers, descriptor(REPORT_TYPE, &row->report, report_size));
    qn_json_set(root, "layers", layers);
    qn_json_set(root, "subject", descriptor(row->media_type, &row->hardened, row->size));
    return qn_json_print(root, out, e);
}

struct referrer_job {
    const char *repo;
    struct qn_row_referrer row;
    struct qn_row_blob empty;
};

static int put_referrer(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct referrer_job *j = arg;
    return qn_index_blob_put(tx, &j->empty, e) < 0 ? -1 : qn_index_referrer_put(tx, j->repo, &j->row, e);
}

static int attach_report(struct qn_site *site, const char *repo, const struct qn_row_derivation *row, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    struct referrer_job j = {.repo = repo};
    uint64_t size;

    qn_buf_init(&b, 65536);
    if (row->report.algorithm == QN_DIGEST_NONE || qn_blob_stat(site->store, &row->report, &size, e) < 0)
        return 0; /* no report, or evicted: nothing to attach */
    j.empty = (struct qn_row_blob){.size = 2, .origin = QN_ORIGIN_MADE};
    if (report_manifest(row, size, &b, e) < 0 || qn_blob_put(site->store, QN_STR("{}"), &j.empty.digest, e) < 0 ||
        qn_site_put_manifest(site, qn_buf_view(&b), QN_MT_OCI_MANIFEST, QN_ORIGIN_MADE, &j.row.digest, e) < 0)
        return -1;
    j.row.subject = row->hardened;
    j.row.size = b.n;
    snprintf(j.row.media_type, sizeof j.row.media_type, "%s", QN_MT_OCI_MANIFEST);
    snprintf(j.row.artifact_type, sizeof j.row.artifact_type, "%s", REPORT_TYPE);
    if (qn_site_link(site, repo, &j.row.digest, QN_HOW_REPORT, e) < 0)
        return -1;
    return qn_index_write(site->index, put_referrer, &j, e);
}

struct newest {
    struct qn_digest policy;
    struct qn_row_derivation row;
    bool found;
};

/* Of several policies that lead to the same digest, the one that was asked for. */
static bool pick(void *arg, const struct qn_row_derivation *row)
{
    struct newest *n = arg;

    if (row->report.algorithm == QN_DIGEST_NONE || (n->found && !qn_digest_eq(&row->key.policy, &n->policy)))
        return true;
    n->row = *row;
    n->found = true;
    return !qn_digest_eq(&row->key.policy, &n->policy);
}

/* The report of one image, and of every image below an index. */
static int attach_reports(struct qn_site *site, const struct qn_subject *s, const struct qn_digest *d, unsigned depth,
                          struct qn_err *e)
{
    struct newest n = {.found = false};
    struct qn_row_edge *edge = NULL;
    size_t edges = 0;
    struct qn_derivation_key key;
    int r = 0;

    qn_subject_key(site, s, &key);
    n.policy = key.policy;
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_derivations_of(tx, d, 64, pick, &n, e) < 0 ||
            qn_index_children(tx, d, &edge, &edges, e) < 0)
            return -1;
    }
    if (n.found)
        r = attach_report(site, s->route.repo, &n.row, e);
    for (size_t i = 0; r == 0 && depth > 0 && i < edges; i++)
        if (edge[i].kind == QN_EDGE_MANIFEST)
            r = attach_reports(site, s, &edge[i].child, depth - 1, e);
    free(edge);
    return r;
}

int qn_publish_links(struct qn_site *site, const struct qn_subject *s, const struct qn_digest *digest, bool original,
                     struct qn_err *e)
{
    enum qn_approval_state state = QN_APPROVAL_APPROVED;

    /* What waits for approval is not to be had by digest either. */
    if (s->policy->manual && qn_approval_of(site, s->route.repo, digest, &state, e) < 0)
        return -1;
    if (state != QN_APPROVAL_APPROVED)
        return 0;
    if (qn_site_prove(site, &s->route, &s->source, e) < 0)
        return -1;
    if (qn_site_link(site, s->route.repo, digest, original ? QN_HOW_ORIGINAL : QN_HOW_HARDENED, e) < 0)
        return -1;
    return s->policy->public_report ? attach_reports(site, s, digest, 3, e) : 0;
}
