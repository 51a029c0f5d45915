/* Pulls: what a request for a manifest, a blob or a list comes to when it cannot be answered at once. Any number of
 * requests share one pull; it is worked on by threads that may wait and by jobs, never by a request's own thread. */
#ifndef QN_SERVICE_PULL_H
#define QN_SERVICE_PULL_H

#include "job.h"

enum qn_pull_kind { QN_PULL_TAG = 1, QN_PULL_DIGEST, QN_PULL_BLOB, QN_PULL_TAGS, QN_PULL_REFERRERS };

struct qn_pull_request {
    enum qn_pull_kind kind;
    struct qn_route route;
    const struct qn_policy *policy;
    char tag[QN_ROW_TAG];    /* QN_PULL_TAG */
    struct qn_digest digest; /* QN_PULL_DIGEST, QN_PULL_BLOB, QN_PULL_REFERRERS; of a local tag: none is looked up */
    bool head;               /* asked with HEAD: starts no job while something can be served without one */
};

enum qn_answer_kind { QN_ANSWER_NONE = 0, QN_ANSWER_MANIFEST, QN_ANSWER_BLOB, QN_ANSWER_TEXT, QN_ANSWER_DENIED };

/* What a pull came to; immutable once it is done, and alive as long as the pull. */
struct qn_answer {
    enum qn_answer_kind kind;
    struct qn_digest digest; /* of the manifest or blob to serve */
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    struct qn_digest source; /* of the image that it stands for; none where there is none */
    bool hardened;           /* it went through a policy that enforces */
    const char *warning;     /* static; NULL for none */
    int64_t fresh_until;     /* seconds: how long a tag's answer may be reused without asking again */
    struct qn_fetch *fetch;  /* QN_ANSWER_BLOB still under way; released with the pull */
    char *text;              /* QN_ANSWER_TEXT: a JSON document */
    size_t text_size;
    enum qn_denial denial; /* QN_ANSWER_DENIED */
    char message[QN_ROW_MESSAGE];
    int64_t retry_at; /* 0: not worth it */
};

struct qn_pull;
/* Joins the pull of a request or starts it; BUSY when too many are under way. Release with qn_pull_release(). */
int qn_pull_join(struct qn_site *site, const struct qn_pull_request *rq, struct qn_pull **out,
                 struct qn_err *e) QN_MUST_CHECK;
void qn_pull_release(struct qn_pull *p);
/* Arranges for `wake` to be called once, when the pull knows what the tag's source is (`resolved`: kind and family are
 * known), or when it is done. False, and nothing arranged, when that is so already. */
bool qn_pull_wait(struct qn_pull *p, bool resolved, void (*wake)(void *arg), void *arg);
/* Kind and family of the source once resolved; false before. */
bool qn_pull_source(struct qn_pull *p, enum qn_media_kind *kind, enum qn_media_family *family);
/* The answer when done, or NULL. */
const struct qn_answer *qn_pull_answer(struct qn_pull *p);
/* The id of the job that it waits for; "" for none. */
void qn_pull_job(struct qn_pull *p, char out[QN_JOB_ID]);

#endif
