/* Inside of a pull. */
#ifndef QN_SERVICE_PULL_INT_H
#define QN_SERVICE_PULL_INT_H

#include "pull.h"

struct qn_pull_waiter {
    struct qn_pull_waiter *next;
    bool resolved; /* is content with knowing the source */
    void (*wake)(void *arg);
    void *arg;
};

struct qn_pull {
    struct qn_site *site;
    struct qn_pull_request rq;
    char key[QN_ROW_REPO + QN_DIGEST_TEXT + QN_DIGEST_TEXT + 16];
    unsigned refs; /* under site->lock, like the next five */
    bool resolved, done;
    enum qn_media_kind kind;
    enum qn_media_family family;
    struct qn_pull_waiter *waiters;
    struct qn_job *job;
    struct qn_subject subject; /* QN_PULL_TAG: of its thread alone until done */
    const char *warning;
    int64_t fresh_until;
    struct qn_answer answer;
};

/* The source is known: wakes those who are content with that. */
void qn_pull_resolved(struct qn_pull *p, const char *media_type);
/* Ends the pull with p->answer filled. */
void qn_pull_finish(struct qn_pull *p);
void qn_pull_deny(struct qn_pull *p, enum qn_denial d, const char *message);
void qn_pull_deny_err(struct qn_pull *p, const struct qn_err *why);
/* Serves a manifest of the store. */
void qn_pull_serve(struct qn_pull *p, const struct qn_digest *d, const char *media_type, uint64_t size, bool hardened);

/* The work, on a pull thread; each ends in qn_pull_finish, now or when a job ends. */
void qn_pull_tag(struct qn_pull *p);
void qn_pull_digest(struct qn_pull *p);
void qn_pull_blob(struct qn_pull *p);
void qn_pull_tags(struct qn_pull *p);
void qn_pull_referrers(struct qn_pull *p);
/* Keeps upstream's bytes as they are and lets the repository show them. */
int qn_pull_pass(struct qn_pull *p, const struct qn_digest *d, enum qn_link_how how, char media_type[QN_ROW_MEDIA],
                 uint64_t *size, bool *image, struct qn_err *e) QN_MUST_CHECK;

#endif
