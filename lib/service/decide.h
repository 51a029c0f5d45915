/* Decisions of people: approvals, pins, held tags, overrides, purges. Each is written together with its entry in the
 * audit log, in one transaction, and makes answers in memory void. All of these block. */
#ifndef QN_SERVICE_DECIDE_H
#define QN_SERVICE_DECIDE_H

#include "site.h"

#include "store/rows_admin.h"
#include "store/rows_tag.h"

/* Who acts. */
struct qn_actor {
    const char *who;     /* the token's name */
    const char *request; /* id of the request */
};

/* --- approvals ---------------------------------------------------------------------------------------------------- */
/* Approves or rejects a digest in one repository, or (`repo` NULL) in each that has it waiting, decided or served. An
 * approved image can be pulled from then on; a rejected one cannot, by digest either. NOT_FOUND when no repository
 * has it. */
int qn_decide_approval(struct qn_site *site, const struct qn_actor *actor, const struct qn_digest *d, const char *repo,
                       enum qn_approval_state state, const char *comment, struct qn_err *e) QN_MUST_CHECK;
struct qn_subject;
struct qn_outcome;
/* Records that a finished result of a tag waits for approval, unless that is known; `row` (may be NULL) is how it
 * stands. */
int qn_approval_open(struct qn_site *site, const struct qn_subject *s, const struct qn_outcome *o,
                     struct qn_row_approval *row, struct qn_err *e) QN_MUST_CHECK;
/* Whether a repository may show a digest under a policy that asks for approval: itself or an index that holds it is
 * approved. `state` is what stands nearest; 0 when nothing is known. */
int qn_approval_of(struct qn_site *site, const char *repo, const struct qn_digest *d, enum qn_approval_state *state,
                   struct qn_err *e) QN_MUST_CHECK;

/* Protects an image from eviction, or no longer. NOT_FOUND when it is none that was made here. */
int qn_decide_pin(struct qn_site *site, const struct qn_actor *actor, const struct qn_digest *d, bool pinned,
                  const char *comment, struct qn_err *e) QN_MUST_CHECK;
/* Forgets every derivation with this result, what tags served of it, and what repositories show of it. CONFLICT while
 * it is pinned, approved or held. `*n`: derivations. */
int qn_decide_purge(struct qn_site *site, const struct qn_actor *actor, const struct qn_digest *d, int64_t *n,
                    struct qn_err *e) QN_MUST_CHECK;

/* --- held tags ---------------------------------------------------------------------------------------------------- */
/* Keeps a tag at what it serves now. NOT_FOUND when it served nothing yet. `out` (may be NULL) is how it is held. */
int qn_decide_freeze(struct qn_site *site, const struct qn_actor *actor, const char *repo, const char *tag,
                     const char *comment, struct qn_row_hold *out, struct qn_err *e) QN_MUST_CHECK;
/* Goes back to a digest that the tag served (none: to the one before what it serves now) and keeps it there. */
int qn_decide_rollback(struct qn_site *site, const struct qn_actor *actor, const char *repo, const char *tag,
                       const struct qn_digest *to, const char *comment, struct qn_row_hold *out,
                       struct qn_err *e) QN_MUST_CHECK;
/* Lets it move again. CONFLICT when it is not held. */
int qn_decide_thaw(struct qn_site *site, const struct qn_actor *actor, const char *repo, const char *tag,
                   const char *comment, struct qn_err *e) QN_MUST_CHECK;

/* --- overrides ---------------------------------------------------------------------------------------------------- */
#define QN_OVERRIDES_MAX 100 /* in force at a time */
struct qn_overrides;
int qn_overrides_new(struct qn_site *site, struct qn_overrides **out, struct qn_err *e) QN_MUST_CHECK;
void qn_overrides_free(struct qn_overrides *o); /* NULL is fine */
/* Puts one in force; `row` gets its id. USAGE for rules that no policy takes, CONFLICT beyond QN_OVERRIDES_MAX. */
int qn_decide_override(struct qn_site *site, const struct qn_actor *actor, struct qn_row_override *row,
                       struct qn_err *e) QN_MUST_CHECK;
/* Ends one before its time. NOT_FOUND when it is not in force. */
int qn_decide_override_end(struct qn_site *site, const struct qn_actor *actor, int64_t id,
                           struct qn_err *e) QN_MUST_CHECK;
/* The override that changes the policy of a reference now; false when none does. */
bool qn_override_of(struct qn_site *site, struct qn_str repository, struct qn_str tag, struct qn_row_override *out);

/* Any other entry in the audit log. `detail` (may be NULL) is borrowed. */
int qn_audit(struct qn_site *site, const struct qn_actor *actor, const char *action, const char *subject,
             const json_t *detail, struct qn_err *e) QN_MUST_CHECK;

#endif
