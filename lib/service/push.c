#include "push_int.h"

#include "base/log.h"
#include "store/rows_tag.h"

#include <stdlib.h>

/* --- blobs -------------------------------------------------------------------------------------------------------- */
struct blob_job {
    const struct qn_push *p;
    struct qn_row_blob blob;
    bool found; /* of a mount: it is still in the store */
};

static int link_blob(struct qn_tx *tx, const struct qn_push *p, struct qn_err *e)
{
    struct qn_row_link row = {.digest = p->rq.digest, .kind = QN_LINK_BLOB, .how = QN_HOW_PUSHED};

    snprintf(row.repo, sizeof row.repo, "%s", p->rq.route.repo);
    return qn_index_repo_put(tx, row.repo, true, e) < 0 ? -1 : qn_index_link_put(tx, &row, e);
}

static int put_blob(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct blob_job *j = arg;
    return qn_index_blob_put(tx, &j->blob, e) < 0 ? -1 : link_blob(tx, j->p, e);
}

int qn_push_blob(struct qn_push *p, struct qn_err *e)
{
    struct blob_job j = {.p = p, .blob = {.digest = p->rq.digest, .origin = QN_ORIGIN_PUSHED}};
    qn_auto_lease struct qn_lease lease = {0};

    qn_lease_take(p->site->index, &p->rq.digest, &lease);
    if (qn_upload_commit(p->site->uploads, p->rq.route.repo, p->rq.upload, &p->rq.digest, &j.blob.size, e) < 0)
        return -1;
    return qn_index_write(p->site->index, put_blob, &j, e);
}

static int mount_blob(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct blob_job *j = arg;
    struct qn_row_link link;
    bool linked;

    /* Looked at here, so that a delete in between counts. */
    if (qn_index_blob_get(tx, &j->p->rq.digest, &j->blob, &j->found, e) < 0 ||
        qn_index_link_get(tx, j->p->rq.from, QN_LINK_BLOB, &j->p->rq.digest, &link, &linked, e) < 0)
        return -1;
    j->found = j->found && linked;
    return j->found ? link_blob(tx, j->p, e) : 0;
}

int qn_push_mount(struct qn_push *p, struct qn_err *e)
{
    struct blob_job j = {.p = p};
    qn_auto_lease struct qn_lease lease = {0};
    uint64_t size;
    struct qn_err missing;

    qn_lease_take(p->site->index, &p->rq.digest, &lease);
    if (qn_blob_stat(p->site->store, &p->rq.digest, &size, &missing) < 0)
        return 0;
    if (qn_index_write(p->site->index, mount_blob, &j, e) < 0)
        return -1;
    p->result.mounted = j.found;
    if (j.found)
        qn_index_touch(p->site->index, &p->rq.digest);
    return 0;
}

/* --- deleting ----------------------------------------------------------------------------------------------------- */
struct delete_job {
    const struct qn_push_request *rq;
    bool found;
};

static int names_one(const struct qn_push_condition *c, const struct qn_digest *d)
{
    for (size_t i = 0; i < c->digests; i++)
        if (qn_digest_eq(&c->digest[i], d))
            return true;
    return false;
}

int qn_push_check(struct qn_tx *tx, const char *repo, const char *tag, const struct qn_push_condition *c,
                  struct qn_err *e)
{
    struct qn_row_tag now;
    struct qn_row_served served;
    bool found, serves;

    if (!c->given)
        return 0;
    if (qn_index_tag_get(tx, repo, tag, &now, &found, e) < 0 ||
        qn_index_served_latest(tx, repo, tag, &served, &serves, e) < 0)
        return -1;
    bool fits = found && (c->any || names_one(c, &now.digest) || (serves && names_one(c, &served.served)));
    if (fits != c->none)
        return 0;
    return qn_fail(e, QN_E_PRECONDITION, "%s:%s: %s", repo, tag,
                   c->none ? "is there already (If-None-Match)" : "is not what If-Match names");
}

static int refuse_held(const char *repo, const char *tag, struct qn_err *e)
{
    return qn_fail(e, QN_E_DENIED, "%s:%s was frozen or rolled back: thaw it first", repo, tag);
}

static int delete_tag(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct delete_job *j = arg;
    const char *repo = j->rq->route.repo, *tag = j->rq->tag[0];
    struct qn_row_hold hold;
    bool held;

    if (qn_index_hold_get(tx, repo, tag, &hold, &held, e) < 0)
        return -1;
    if (held)
        return refuse_held(repo, tag, e);
    if (qn_push_check(tx, repo, tag, &j->rq->condition, e) < 0 || qn_index_tag_del(tx, repo, tag, &j->found, e) < 0)
        return -1;
    return qn_index_served_end(tx, repo, tag, e);
}

int qn_push_delete_tag(struct qn_push *p, struct qn_err *e)
{
    struct delete_job j = {.rq = &p->rq};

    if (qn_index_write(p->site->index, delete_tag, &j, e) < 0)
        return -1;
    return j.found ? 0 : qn_fail(e, QN_E_MANIFEST_UNKNOWN, "%s:%s: manifest unknown", p->rq.route.repo, p->rq.tag[0]);
}

static int delete_manifest(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct delete_job *j = arg;
    const char *repo = j->rq->route.repo;
    const struct qn_digest *d = &j->rq->digest;
    char tag[QN_ROW_TAG];
    bool held;

    if (qn_index_hold_of(tx, repo, d, tag, &held, e) < 0)
        return -1;
    if (held)
        return refuse_held(repo, tag, e);
    if (qn_index_link_del(tx, repo, QN_LINK_MANIFEST, d, &j->found, e) < 0)
        return -1;
    if (!j->found)
        return 0;
    return qn_index_untag(tx, repo, d, e) < 0 ? -1 : qn_index_referrer_del(tx, repo, d, e);
}

int qn_push_delete_manifest(struct qn_push *p, struct qn_err *e)
{
    struct delete_job j = {.rq = &p->rq};
    char text[QN_DIGEST_TEXT];

    if (qn_index_write(p->site->index, delete_manifest, &j, e) < 0)
        return -1;
    return j.found ? 0
                   : qn_fail(e, QN_E_MANIFEST_UNKNOWN, "%s@%s: manifest unknown", p->rq.route.repo,
                             qn_digest_text(&p->rq.digest, text));
}

static int delete_blob(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct delete_job *j = arg;
    return qn_index_link_del(tx, j->rq->route.repo, QN_LINK_BLOB, &j->rq->digest, &j->found, e);
}

int qn_push_delete_blob(struct qn_push *p, struct qn_err *e)
{
    struct delete_job j = {.rq = &p->rq};

    if (qn_index_write(p->site->index, delete_blob, &j, e) < 0)
        return -1;
    return j.found ? 0 : qn_fail(e, QN_E_BLOB_UNKNOWN, "blob unknown to this repository");
}

/* --- running ------------------------------------------------------------------------------------------------------ */
static int work(struct qn_push *p, struct qn_err *e)
{
    switch (p->rq.kind) {
    case QN_PUSH_BLOB:
        return qn_push_blob(p, e);
    case QN_PUSH_CANCEL:
        return qn_upload_cancel(p->site->uploads, p->rq.route.repo, p->rq.upload, e);
    case QN_PUSH_MOUNT:
        return qn_push_mount(p, e);
    case QN_PUSH_MANIFEST:
        return qn_push_manifest(p, e);
    case QN_PUSH_DELETE_TAG:
        return qn_push_delete_tag(p, e);
    case QN_PUSH_DELETE_MANIFEST:
        return qn_push_delete_manifest(p, e);
    case QN_PUSH_DELETE_BLOB:
        return qn_push_delete_blob(p, e);
    default:
        return qn_fail(e, QN_E_BUG, "push of kind %d", (int)p->rq.kind);
    }
}

static void run(void *arg)
{
    struct qn_push *p = arg;
    struct qn_push_result *r = &p->result;

    r->digest = p->rq.digest;
    r->failed = work(p, &r->err) < 0;
    if (r->failed && (r->err.code == QN_E_IO || r->err.code == QN_E_BUG || r->err.code == QN_E_NOMEM))
        qn_log_err(QN_LOG_ERROR, "push failed", &r->err, "repo", p->rq.route.repo, NULL);
    pthread_mutex_lock(&p->site->lock);
    p->done = true;
    void (*wake)(void *) = p->wake;
    void *waiter = p->arg;
    pthread_mutex_unlock(&p->site->lock);
    if (wake)
        wake(waiter);
    qn_push_release(p);
}

int qn_push_start(struct qn_site *site, const struct qn_push_request *rq, struct qn_push **out, struct qn_err *e)
{
    struct qn_push *p = qn_new(struct qn_push);

    p->site = site;
    p->rq = *rq;
    p->rq.bytes = qn_str_n(qn_xstrndup(rq->bytes), rq->bytes.n);
    p->refs = 2; /* the caller's and the work's */
    if (qn_pool_add(site->pushes, run, p, e) < 0) {
        p->refs = 1;
        qn_push_release(p);
        return -1;
    }
    *out = p;
    return 0;
}

void qn_push_release(struct qn_push *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->site->lock);
    bool last = --p->refs == 0;
    pthread_mutex_unlock(&p->site->lock);
    if (!last)
        return;
    json_decref(p->result.missing);
    free((char *)(uintptr_t)p->rq.bytes.p);
    free(p);
}

bool qn_push_wait(struct qn_push *p, void (*wake)(void *arg), void *arg)
{
    void (*before)(void *) = NULL;
    void *waiter = NULL;

    pthread_mutex_lock(&p->site->lock);
    bool waits = !p->done;
    if (waits) {
        before = p->wake;
        waiter = p->arg;
        p->wake = wake;
        p->arg = arg;
    }
    pthread_mutex_unlock(&p->site->lock);
    if (before)
        before(waiter);
    return waits;
}

const struct qn_push_result *qn_push_result(struct qn_push *p)
{
    pthread_mutex_lock(&p->site->lock);
    bool done = p->done;
    pthread_mutex_unlock(&p->site->lock);
    return done ? &p->result : NULL;
}
