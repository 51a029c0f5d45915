/* Held tags: frozen, or rolled back to something that they served before. */
#include "decide_int.h"

#include "base/clock.h"

#include <stdio.h>

enum how { FREEZE, ROLLBACK };

struct hold_job {
    const struct qn_actor *actor;
    enum how how;
    struct qn_digest to; /* ROLLBACK: none, the one before */
    struct qn_row_hold hold;
    struct qn_row_served now, found;
    bool has_now, has_found;
};

/* History comes newest first: what is served now, and the newest row that was something else. */
static bool see(void *arg, const struct qn_row_served *row)
{
    struct hold_job *j = arg;

    if (!j->has_now) {
        j->now = *row;
        j->has_now = true;
    }
    bool wanted = j->to.algorithm != QN_DIGEST_NONE ? qn_digest_eq(&row->served, &j->to)
                                                    : !qn_digest_eq(&row->served, &j->now.served);
    if (wanted && !j->has_found) {
        j->found = *row;
        j->has_found = true;
    }
    return j->how == ROLLBACK && !j->has_found;
}

static int choose(struct qn_tx *tx, struct hold_job *j, struct qn_err *e)
{
    struct qn_row_hold held;
    bool found;

    if (qn_index_served_list(tx, j->hold.repo, j->hold.tag, 0, 10000, see, j, e) < 0 ||
        qn_index_hold_get(tx, j->hold.repo, j->hold.tag, &held, &found, e) < 0)
        return -1;
    if (!j->has_now)
        return qn_fail(e, QN_E_NOT_FOUND, "%s:%s has served nothing yet", j->hold.repo, j->hold.tag);
    if (j->how == FREEZE) {
        j->hold.source = found ? held.source : j->now.source;
        j->hold.served = found ? held.served : j->now.served;
        return 0;
    }
    if (!j->has_found)
        return j->to.algorithm == QN_DIGEST_NONE
                   ? qn_fail(e, QN_E_CONFLICT, "%s:%s never served anything else", j->hold.repo, j->hold.tag)
                   : qn_fail(e, QN_E_NOT_FOUND, "%s:%s never served that digest", j->hold.repo, j->hold.tag);
    j->hold.source = j->found.source;
    j->hold.served = j->found.served;
    return 0;
}

static int hold(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct hold_job *j = arg;
    char digest[QN_DIGEST_TEXT];
    qn_auto_free char *ref = qn_xasprintf("%s:%s", j->hold.repo, j->hold.tag);

    j->has_now = j->has_found = false;
    if (choose(tx, j, e) < 0)
        return -1;
    const char *pairs[] = {"digest", qn_digest_text(&j->hold.served, digest), "comment", j->hold.comment, NULL};
    if (qn_index_hold_put(tx, &j->hold, e) < 0)
        return -1;
    return qn_audit_put(tx, j->actor, j->how == FREEZE ? "freeze" : "rollback", ref, pairs, e);
}

static int run(struct qn_site *site, struct hold_job *j, const char *repo, const char *tag, const char *comment,
               struct qn_row_hold *out, struct qn_err *e)
{
    uint64_t size;

    j->hold.at = qn_time_now();
    snprintf(j->hold.repo, sizeof j->hold.repo, "%s", repo);
    snprintf(j->hold.tag, sizeof j->hold.tag, "%s", tag);
    snprintf(j->hold.who, sizeof j->hold.who, "%s", j->actor->who);
    snprintf(j->hold.comment, sizeof j->hold.comment, "%s", comment);
    if (j->to.algorithm != QN_DIGEST_NONE && qn_blob_stat(site->store, &j->to, &size, e) < 0)
        return qn_fail(e, QN_E_NOT_FOUND, "that digest is not in the store any more");
    if (qn_index_write(site->index, hold, j, e) < 0)
        return -1;
    qn_site_changed(site);
    if (out)
        *out = j->hold;
    return 0;
}

int qn_decide_freeze(struct qn_site *site, const struct qn_actor *actor, const char *repo, const char *tag,
                     const char *comment, struct qn_row_hold *out, struct qn_err *e)
{
    struct hold_job j = {.actor = actor, .how = FREEZE};
    return run(site, &j, repo, tag, comment, out, e);
}

int qn_decide_rollback(struct qn_site *site, const struct qn_actor *actor, const char *repo, const char *tag,
                       const struct qn_digest *to, const char *comment, struct qn_row_hold *out, struct qn_err *e)
{
    struct hold_job j = {.actor = actor, .how = ROLLBACK, .to = *to};
    return run(site, &j, repo, tag, comment, out, e);
}

struct thaw_job {
    const struct qn_actor *actor;
    const char *repo, *tag, *comment;
};

static int thaw(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct thaw_job *j = arg;
    qn_auto_free char *ref = qn_xasprintf("%s:%s", j->repo, j->tag);
    const char *pairs[] = {"comment", j->comment, NULL};
    bool found;

    if (qn_index_hold_del(tx, j->repo, j->tag, &found, e) < 0)
        return -1;
    if (!found)
        return qn_fail(e, QN_E_CONFLICT, "%s is not held", ref);
    return qn_audit_put(tx, j->actor, "thaw", ref, pairs, e);
}

int qn_decide_thaw(struct qn_site *site, const struct qn_actor *actor, const char *repo, const char *tag,
                   const char *comment, struct qn_err *e)
{
    struct thaw_job j = {actor, repo, tag, comment};

    if (qn_index_write(site->index, thaw, &j, e) < 0)
        return -1;
    qn_site_changed(site);
    return 0;
}
