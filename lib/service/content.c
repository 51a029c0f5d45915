/* Content of the site: getting it from upstream, keeping it, and letting repositories show it. */
#include "site.h"

#include "base/clock.h"

#include <stdlib.h>

#define FETCH_STALL_MS 600000u

int qn_site_read(struct qn_site *site, const struct qn_digest *d, struct qn_buf *out, struct qn_err *e)
{
    return qn_blob_read(site->store, d, out, e);
}

/* --- whose bytes they are ----------------------------------------------------------------------------------------- */
static int not_here(const struct qn_route *route, enum qn_code code, const struct qn_digest *d, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];
    return qn_fail(e, code, "%s: %s is not in this repository", route->repo, qn_digest_text(d, text));
}

int qn_site_usable(struct qn_site *site, const struct qn_route *route, enum qn_link_kind kind,
                   const struct qn_digest *d, bool *usable, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_row_link link;
    struct qn_row_blob blob;
    bool found;

    if (qn_index_read(site->index, &tx, e) < 0 || qn_index_link_get(tx, route->repo, kind, d, &link, usable, e) < 0)
        return -1;
    if (*usable || route->local)
        return 0;
    if (qn_index_blob_get(tx, d, &blob, &found, e) < 0)
        return -1;
    *usable = !found || blob.origin == QN_ORIGIN_UPSTREAM;
    return 0;
}

static int prove(struct qn_site *site, const struct qn_route *route, const struct qn_digest *d, unsigned depth,
                 struct qn_err *e);

/* What is not in the store at all is nobody's: it will be fetched when it is asked for. */
static int prove_edge(struct qn_site *site, const struct qn_route *route, const struct qn_row_edge *edge,
                      unsigned depth, struct qn_err *e)
{
    struct qn_row_blob blob;
    bool found, usable;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_blob_get(tx, &edge->child, &blob, &found, e) < 0)
            return -1;
    }
    if (!found)
        return 0;
    if (edge->kind == QN_EDGE_MANIFEST)
        return depth > 0 ? prove(site, route, &edge->child, depth - 1, e) : 0;
    if (qn_site_usable(site, route, QN_LINK_BLOB, &edge->child, &usable, e) < 0)
        return -1;
    return usable ? 0 : qn_site_need_blob(site, route, &edge->child, blob.size, e);
}

static int prove(struct qn_site *site, const struct qn_route *route, const struct qn_digest *d, unsigned depth,
                 struct qn_err *e)
{
    struct qn_row_edge *edge = NULL;
    size_t n = 0;
    bool usable;
    int r = 0;

    if (qn_site_usable(site, route, QN_LINK_MANIFEST, d, &usable, e) < 0)
        return -1;
    if (!usable) {
        char media_type[QN_ROW_MEDIA];
        qn_auto_buf struct qn_buf b = {0};
        qn_buf_init(&b, site->settings->limits.manifest_size);
        if (qn_site_need_manifest(site, route, d, &b, media_type, e) < 0)
            return -1;
    }
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_children(tx, d, &edge, &n, e) < 0)
            return -1;
    }
    for (size_t i = 0; r == 0 && i < n; i++)
        r = prove_edge(site, route, &edge[i], depth, e);
    free(edge);
    return r;
}

int qn_site_prove(struct qn_site *site, const struct qn_route *route, const struct qn_digest *manifest,
                  struct qn_err *e)
{
    return prove(site, route, manifest, 3, e);
}

/* --- what upstreams have ------------------------------------------------------------------------------------------ */
int qn_site_need_blob(struct qn_site *site, const struct qn_route *route, const struct qn_digest *d, uint64_t size,
                      struct qn_err *e)
{
    uint64_t have;
    struct qn_fetch *f;
    bool usable;

    if (qn_site_usable(site, route, QN_LINK_BLOB, d, &usable, e) < 0)
        return -1;
    if (usable && qn_blob_stat(site->store, d, &have, e) == 0)
        return 0;
    if (route->local)
        return not_here(route, QN_E_BLOB_UNKNOWN, d, e);
    if (qn_fetch_start(site->fetcher, qn_site_registry(site, route->upstream), qn_str_c(route->remote), d, size,
                       route->upstream->name.p, &f, e) < 0)
        return -1;
    int r = qn_fetch_wait_committed(f, FETCH_STALL_MS, e);
    qn_fetch_release(f);
    return r;
}

int qn_manifest_rows_write(struct qn_tx *tx, const struct qn_manifest_rows *rows, struct qn_err *e)
{
    if (qn_index_blob_put(tx, &rows->blob, e) < 0)
        return -1;
    return qn_index_manifest_put(tx, &rows->manifest, rows->edge, rows->edges, e);
}

static int write_manifest(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_manifest_rows_write(tx, arg, e);
}

void qn_manifest_rows_fini(struct qn_manifest_rows *rows)
{
    free(rows->edge);
    *rows = (struct qn_manifest_rows){.edge = NULL};
}

void qn_manifest_rows_of(const struct qn_manifest *m, const struct qn_digest *d, uint64_t size, enum qn_origin origin,
                         struct qn_manifest_rows *rows)
{
    *rows = (struct qn_manifest_rows){.blob = {.digest = *d, .size = size, .origin = origin},
                                      .manifest = {.digest = *d, .size = size}};
    snprintf(rows->manifest.media_type, sizeof rows->manifest.media_type, "%s", m->media_type);
    rows->edge = qn_xcalloc(m->layer_count + m->manifest_count + 1, sizeof *rows->edge);
    if (m->kind == QN_MEDIA_MANIFEST) {
        rows->manifest.config = m->config.digest;
        rows->edge[rows->edges++] = (struct qn_row_edge){m->config.digest, QN_EDGE_CONFIG};
    }
    for (size_t i = 0; i < m->layer_count; i++)
        rows->edge[rows->edges++] = (struct qn_row_edge){m->layers[i].digest, QN_EDGE_LAYER};
    for (size_t i = 0; i < m->manifest_count; i++)
        rows->edge[rows->edges++] = (struct qn_row_edge){m->manifests[i].digest, QN_EDGE_MANIFEST};
    if (m->has_subject)
        rows->manifest.subject = m->subject.digest;
    snprintf(rows->manifest.artifact_type, sizeof rows->manifest.artifact_type, "%.*s", QN_FMT(m->artifact_type));
}

int qn_site_put_manifest(struct qn_site *site, struct qn_str bytes, const char *media_type, enum qn_origin origin,
                         struct qn_digest *out, struct qn_err *e)
{
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_manifest_rows rows;

    if (qn_manifest_parse_kept(bytes, qn_str_c(media_type), &site->settings->limits, &m, e) < 0)
        return -1;
    if (qn_blob_put(site->store, bytes, out, e) < 0)
        return -1;
    qn_manifest_rows_of(&m, out, bytes.n, origin, &rows);
    int r = qn_index_write(site->index, write_manifest, &rows, e);
    qn_manifest_rows_fini(&rows);
    return r;
}

int qn_site_need_manifest(struct qn_site *site, const struct qn_route *route, const struct qn_digest *d,
                          struct qn_buf *out, char media_type[QN_ROW_MEDIA], struct qn_err *e)
{
    struct qn_row_manifest row;
    struct qn_remote_manifest remote;
    struct qn_digest stored;
    char text[QN_DIGEST_TEXT];
    bool found = false, usable;

    if (qn_site_usable(site, route, QN_LINK_MANIFEST, d, &usable, e) < 0)
        return -1;
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_manifest_get(tx, d, &row, &found, e) < 0)
            return -1;
    }
    if (usable && found && qn_site_read(site, d, out, e) == 0) {
        snprintf(media_type, QN_ROW_MEDIA, "%s", row.media_type);
        return 0;
    }
    if (route->local)
        return not_here(route, QN_E_MANIFEST_UNKNOWN, d, e);
    atomic_fetch_add(&site->counters.upstream_manifests, 1);
    if (qn_registry_manifest(qn_site_registry(site, route->upstream), qn_str_c(route->remote),
                             qn_str_c(qn_digest_text(d, text)), &remote, e) < 0)
        return -1;
    snprintf(media_type, QN_ROW_MEDIA, "%s", remote.media_type);
    int r = qn_buf_str(out, remote.bytes, e);
    if (r == 0)
        r = qn_site_put_manifest(site, remote.bytes, remote.media_type, QN_ORIGIN_UPSTREAM, &stored, e);
    free((char *)(uintptr_t)remote.bytes.p);
    return r;
}

/* --- links -------------------------------------------------------------------------------------------------------- */
struct link_job {
    const char *repo;
    const struct qn_digest *root;
    enum qn_link_how how;
};

static int link_one(struct qn_tx *tx, const char *repo, const struct qn_digest *d, enum qn_link_kind kind,
                    enum qn_link_how how, const char *media_type, struct qn_err *e)
{
    struct qn_row_link row = {.digest = *d, .kind = kind, .how = how};

    snprintf(row.repo, sizeof row.repo, "%s", repo);
    snprintf(row.media_type, sizeof row.media_type, "%s", media_type);
    return qn_index_link_put(tx, &row, e);
}

/* A manifest and what it names; of an index also what its children name (nesting is bounded to 3). */
static int link_manifest(struct qn_tx *tx, const struct link_job *j, const struct qn_digest *d, unsigned depth,
                         struct qn_err *e)
{
    struct qn_row_manifest row;
    struct qn_row_edge *edge = NULL;
    size_t n = 0;
    bool found;
    int r = 0;

    if (qn_index_manifest_get(tx, d, &row, &found, e) < 0)
        return -1;
    if (link_one(tx, j->repo, d, QN_LINK_MANIFEST, j->how, found ? row.media_type : "", e) < 0)
        return -1;
    if (!found || qn_index_children(tx, d, &edge, &n, e) < 0)
        return found ? -1 : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (edge[i].kind == QN_EDGE_MANIFEST)
            r = depth > 0 ? link_manifest(tx, j, &edge[i].child, depth - 1, e) : 0;
        else if (edge[i].kind == QN_EDGE_CONFIG || edge[i].kind == QN_EDGE_LAYER)
            r = link_one(tx, j->repo, &edge[i].child, QN_LINK_BLOB, j->how, "", e);
    }
    free(edge);
    return r;
}

static int link_tree(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct link_job *j = arg;
    return link_manifest(tx, j, j->root, 3, e);
}

int qn_site_link(struct qn_site *site, const char *repo, const struct qn_digest *manifest, enum qn_link_how how,
                 struct qn_err *e)
{
    struct link_job j = {repo, manifest, how};
    return qn_index_write(site->index, link_tree, &j, e);
}
