/* Approvals, pins, purges, and the audit log's entries. */
#include "decide_int.h"

#include "base/clock.h"
#include "job.h"

#include <stdio.h>
#include <stdlib.h>

/* --- audit -------------------------------------------------------------------------------------------------------- */
static int put_entry(struct qn_tx *tx, const struct qn_actor *actor, const char *action, const char *subject,
                     const json_t *detail, struct qn_err *e)
{
    struct qn_row_audit row = {.id = 0};
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, sizeof row.detail - 1);
    if (detail && qn_json_print(detail, &b, e) < 0)
        return qn_err_wrap(e, "audit entry");
    snprintf(row.who, sizeof row.who, "%s", actor->who);
    snprintf(row.request, sizeof row.request, "%s", actor->request);
    snprintf(row.action, sizeof row.action, "%s", action);
    snprintf(row.subject, sizeof row.subject, "%s", subject);
    snprintf(row.detail, sizeof row.detail, "%.*s", QN_FMT(qn_buf_view(&b)));
    return qn_index_audit_put(tx, &row, e);
}

int qn_audit_put(struct qn_tx *tx, const struct qn_actor *actor, const char *action, const char *subject,
                 const char *const *pairs, struct qn_err *e)
{
    qn_auto_json json_t *detail = json_object();

    for (size_t i = 0; pairs[i]; i += 2)
        if (pairs[i + 1] && *pairs[i + 1])
            qn_json_set_c(detail, pairs[i], pairs[i + 1]);
    return put_entry(tx, actor, action, subject, detail, e);
}

struct entry {
    const struct qn_actor *actor;
    const char *action, *subject;
    const json_t *detail;
};

static int put_any(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    const struct entry *n = arg;
    return put_entry(tx, n->actor, n->action, n->subject, n->detail, e);
}

int qn_audit(struct qn_site *site, const struct qn_actor *actor, const char *action, const char *subject,
             const json_t *detail, struct qn_err *e)
{
    struct entry n = {actor, action, subject, detail};
    return qn_index_write(site->index, put_any, &n, e);
}

/* --- approvals ---------------------------------------------------------------------------------------------------- */
struct approval_job {
    struct qn_site *site;
    const struct qn_actor *actor;
    const struct qn_digest *digest;
    const char *repo; /* NULL: every one */
    enum qn_approval_state state;
    const char *comment;
    struct qn_row_approval *row; /* heap: what is concerned */
    size_t n, cap;
};

static bool add_row(struct approval_job *j, const struct qn_row_approval *row)
{
    void *list = j->row;
    struct qn_err e;

    if (j->repo && strcmp(j->repo, row->repo) != 0)
        return true;
    for (size_t i = 0; i < j->n; i++)
        if (strcmp(j->row[i].repo, row->repo) == 0 && strcmp(j->row[i].tag, row->tag) == 0)
            return true;
    if (qn_grow(&list, &j->cap, j->n + 1, sizeof *j->row, 1000, &e) < 0)
        return false;
    j->row = list;
    j->row[j->n++] = *row;
    return true;
}

static bool see_approval(void *arg, const struct qn_row_approval *row)
{
    return add_row(arg, row);
}

/* What was served before anybody was asked can be decided as well. */
static bool see_served(void *arg, const struct qn_row_served *row)
{
    struct approval_job *j = arg;
    struct qn_row_approval a = {.source = row->source, .digest = row->served};

    snprintf(a.repo, sizeof a.repo, "%s", row->repo);
    snprintf(a.tag, sizeof a.tag, "%s", row->tag);
    snprintf(a.media_type, sizeof a.media_type, "%s", row->media_type);
    return add_row(j, &a);
}

static int decide_repo(struct qn_tx *tx, const struct approval_job *j, const char *repo, struct qn_err *e)
{
    struct qn_row_pin pin = {.digest = *j->digest,
                             .kind = j->state == QN_APPROVAL_APPROVED ? QN_PIN_APPROVED : QN_PIN_REJECTED};
    char digest[QN_DIGEST_TEXT];
    const char *pairs[] = {"repository", repo, "comment", j->comment, NULL};
    int changed;

    snprintf(pin.repo, sizeof pin.repo, "%s", repo);
    snprintf(pin.who, sizeof pin.who, "%s", j->actor->who);
    snprintf(pin.comment, sizeof pin.comment, "%s", j->comment);
    if (qn_index_approval_decide(tx, repo, j->digest, j->state, j->actor->who, j->comment, &changed, e) < 0 ||
        qn_index_pin_put(tx, &pin, e) < 0)
        return -1;
    if (j->state == QN_APPROVAL_REJECTED && qn_index_unlink_tree(tx, repo, j->digest, e) < 0)
        return -1;
    return qn_audit_put(tx, j->actor, j->state == QN_APPROVAL_APPROVED ? "approve" : "reject",
                        qn_digest_text(j->digest, digest), pairs, e);
}

static int decide(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct approval_job *j = arg;

    for (size_t i = 0; i < j->n; i++) {
        bool done = false;
        if (qn_index_approval_open(tx, &j->row[i], NULL, e) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            done = done || strcmp(j->row[k].repo, j->row[i].repo) == 0;
        if (!done && decide_repo(tx, j, j->row[i].repo, e) < 0)
            return -1;
        /* Another tag of the same repository, opened after the decision: it follows. */
        if (done && qn_index_approval_decide(tx, j->row[i].repo, j->digest, j->state, j->actor->who, j->comment,
                                             &(int){0}, e) < 0)
            return -1;
    }
    return 0;
}

/* Lets the repository show what was approved. */
static int show(struct qn_site *site, const struct qn_row_approval *row, struct qn_err *e)
{
    struct qn_subject s = {.source = row->source};

    if (qn_route(site->settings, false, qn_str_c(row->repo), QN_STR(""), &s.route, e) < 0)
        return 0; /* of an upstream that is not configured any more */
    s.policy = qn_site_policy(site, qn_str_c(s.route.name), qn_str_c(row->tag));
    snprintf(s.media_type, sizeof s.media_type, "%s", row->media_type);
    return qn_publish_links(site, &s, &row->digest, false, e);
}

int qn_decide_approval(struct qn_site *site, const struct qn_actor *actor, const struct qn_digest *d, const char *repo,
                       enum qn_approval_state state, const char *comment, struct qn_err *e)
{
    struct approval_job j = {
        .site = site, .actor = actor, .digest = d, .repo = repo, .state = state, .comment = comment};
    int r;

    {
        qn_auto_read struct qn_tx *tx = NULL;
        r = qn_index_read(site->index, &tx, e) < 0 || qn_index_approvals_of(tx, d, 1000, see_approval, &j, e) < 0 ||
                    qn_index_served_of(tx, d, 1000, see_served, &j, e) < 0
                ? -1
                : 0;
    }
    if (r == 0 && j.n == 0)
        r = qn_fail(e, QN_E_NOT_FOUND, "%s of that digest waits%s%s", repo ? "nothing" : "no image", repo ? " in " : "",
                    repo ? repo : "");
    if (r == 0)
        r = qn_index_write(site->index, decide, &j, e);
    for (size_t i = 0; r == 0 && state == QN_APPROVAL_APPROVED && i < j.n; i++)
        r = show(site, &j.row[i], e);
    free(j.row);
    qn_site_changed(site);
    return r;
}

static int open_approval(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct qn_row_approval *row = arg;
    return qn_index_approval_open(tx, row, row, e);
}

int qn_approval_open(struct qn_site *site, const struct qn_subject *s, const struct qn_outcome *o,
                     struct qn_row_approval *row, struct qn_err *e)
{
    struct qn_row_approval a = {.source = s->source, .digest = o->digest, .size = o->size};

    snprintf(a.repo, sizeof a.repo, "%s", s->route.repo);
    snprintf(a.tag, sizeof a.tag, "%s", s->tag);
    snprintf(a.media_type, sizeof a.media_type, "%s", o->media_type);
    snprintf(a.policy, sizeof a.policy, "%s", s->policy->name.p);
    if (qn_index_write(site->index, open_approval, &a, e) < 0)
        return -1;
    if (row)
        *row = a;
    return 0;
}

int qn_approval_of(struct qn_site *site, const char *repo, const struct qn_digest *d, enum qn_approval_state *state,
                   struct qn_err *e)
{
    struct qn_row_approval row;
    struct qn_digest *parent = NULL;
    size_t n = 0;
    bool found;

    qn_auto_read struct qn_tx *tx = NULL;
    if (qn_index_read(site->index, &tx, e) < 0 || qn_index_approval_get(tx, repo, d, &row, &found, e) < 0)
        return -1;
    *state = found ? row.state : 0;
    if (*state == QN_APPROVAL_APPROVED)
        return 0;
    if (qn_index_parents(tx, d, 64, &parent, &n, e) < 0)
        return -1;
    int r = 0;
    for (size_t i = 0; r == 0 && i < n && *state != QN_APPROVAL_APPROVED; i++) {
        r = qn_index_approval_get(tx, repo, &parent[i], &row, &found, e);
        if (r == 0 && found && (*state == 0 || row.state == QN_APPROVAL_APPROVED))
            *state = row.state;
    }
    free(parent);
    return r;
}

/* --- pins --------------------------------------------------------------------------------------------------------- */
struct pin_job {
    const struct qn_actor *actor;
    struct qn_row_pin row;
    bool pinned;
};

static int write_pin(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct pin_job *j = arg;
    char digest[QN_DIGEST_TEXT];
    const char *pairs[] = {"comment", j->row.comment, NULL};
    bool found;

    if (j->pinned ? qn_index_pin_put(tx, &j->row, e) < 0
                  : qn_index_pin_del(tx, &j->row.digest, QN_PIN_PIN, "", &found, e) < 0)
        return -1;
    return qn_audit_put(tx, j->actor, j->pinned ? "pin" : "unpin", qn_digest_text(&j->row.digest, digest), pairs, e);
}

int qn_decide_pin(struct qn_site *site, const struct qn_actor *actor, const struct qn_digest *d, bool pinned,
                  const char *comment, struct qn_err *e)
{
    struct pin_job j = {.actor = actor, .row = {.digest = *d, .kind = QN_PIN_PIN}, .pinned = pinned};
    struct qn_row_manifest m;
    bool found = false;

    snprintf(j.row.who, sizeof j.row.who, "%s", actor->who);
    snprintf(j.row.comment, sizeof j.row.comment, "%s", comment);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_manifest_get(tx, d, &m, &found, e) < 0)
            return -1;
    }
    if (!found)
        return qn_fail(e, QN_E_NOT_FOUND, "no image of that digest is here");
    return qn_index_write(site->index, write_pin, &j, e);
}

/* --- purges ------------------------------------------------------------------------------------------------------- */
struct purge_job {
    const struct qn_actor *actor;
    const struct qn_digest *digest;
    int64_t id[1000];
    char repo[64][QN_ROW_REPO];
    size_t ids, repos;
};

static bool see_derivation(void *arg, const struct qn_row_derivation *row)
{
    struct purge_job *j = arg;
    j->id[j->ids++] = row->id;
    return j->ids < QN_ARRAY_LEN(j->id);
}

static bool see_link(void *arg, const struct qn_row_link *row)
{
    struct purge_job *j = arg;
    if (row->kind == QN_LINK_MANIFEST)
        snprintf(j->repo[j->repos++], QN_ROW_REPO, "%s", row->repo);
    return j->repos < QN_ARRAY_LEN(j->repo);
}

static int purge(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct purge_job *j = arg;
    char digest[QN_DIGEST_TEXT];
    const char *pairs[] = {NULL};
    bool kept;

    if (qn_index_protected(tx, j->digest, &kept, e) < 0 ||
        qn_index_derivations_of(tx, j->digest, QN_ARRAY_LEN(j->id), see_derivation, j, e) < 0)
        return -1;
    if (kept)
        return qn_fail(e, QN_E_CONFLICT, "the image is pinned, approved, or a tag is held at it");
    if (j->ids == 0)
        return qn_fail(e, QN_E_NOT_FOUND, "no image of that digest was made here");
    do {
        j->repos = 0;
        if (qn_index_links_of(tx, j->digest, "", QN_ARRAY_LEN(j->repo), see_link, j, e) < 0)
            return -1;
        for (size_t i = 0; i < j->repos; i++)
            if (qn_index_unlink_tree(tx, j->repo[i], j->digest, e) < 0)
                return -1;
    } while (j->repos == QN_ARRAY_LEN(j->repo));
    for (size_t i = 0; i < j->ids; i++)
        if (qn_index_derivation_del(tx, j->id[i], e) < 0)
            return -1;
    if (qn_index_unserve(tx, j->digest, e) < 0)
        return -1;
    return qn_audit_put(tx, j->actor, "purge", qn_digest_text(j->digest, digest), pairs, e);
}

int qn_decide_purge(struct qn_site *site, const struct qn_actor *actor, const struct qn_digest *d, int64_t *n,
                    struct qn_err *e)
{
    struct purge_job *j = qn_new(struct purge_job);

    j->actor = actor;
    j->digest = d;
    int r = qn_index_write(site->index, purge, j, e);
    *n = (int64_t)j->ids;
    free(j);
    qn_site_changed(site);
    return r;
}
