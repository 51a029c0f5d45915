/* Jobs: one derivation each, whoever and however many wait for it. A job belongs to nobody: waiters come and go. */
#ifndef QN_SERVICE_JOB_H
#define QN_SERVICE_JOB_H

#include "deny.h"
#include "site.h"

#include "store/rows_derive.h"
#include "store/rows_job.h"

/* What is to be derived: an image manifest or an index, as found at an upstream. */
struct qn_subject {
    struct qn_route route;
    const struct qn_policy *policy;
    struct qn_digest source;
    char media_type[QN_ROW_MEDIA];
    char tag[QN_ROW_TAG];       /* "" when it was asked for by digest */
    char reference[QN_ROW_REF]; /* for people */
};

/* How a derivation stands. */
struct qn_outcome {
    enum qn_state state;     /* QN_STATE_DONE, or why not */
    struct qn_digest digest; /* when done */
    char media_type[QN_ROW_MEDIA];
    uint64_t size;
    bool unchanged; /* digest is the source's own */
    bool backed_off;
    enum qn_denial denial; /* when not done */
    char message[QN_ROW_MESSAGE];
    int64_t retry_at; /* failed: when it may be tried again */
};

/* Looks up what is known of a derivation; false when nothing is, or when its manifest is gone from the store. Quick. */
int qn_outcome_get(struct qn_site *site, const struct qn_subject *s, struct qn_outcome *out, bool *found,
                   struct qn_err *e) QN_MUST_CHECK;
/* Forgets a failed or denied derivation, so that the next pull tries again. */
int qn_outcome_retry(struct qn_site *site, const struct qn_subject *s, struct qn_err *e) QN_MUST_CHECK;

struct qn_job;
/* Joins the job of a subject or starts it. BUSY when limits.queue is reached. Release with qn_job_release(). */
int qn_job_join(struct qn_site *site, const struct qn_subject *s, struct qn_job **out, struct qn_err *e) QN_MUST_CHECK;
void qn_job_release(struct qn_job *job);
/* Arranges for `wake` to be called once when the job ends; false (and nothing arranged) when it has. */
bool qn_job_wait(struct qn_job *job, void (*wake)(void *arg), void *arg);
/* The outcome of an ended job. */
void qn_job_outcome(struct qn_job *job, struct qn_outcome *out);
const char *qn_job_id_of(const struct qn_job *job);
/* Fills stage and bytes of running jobs into a row read from the index. */
void qn_job_live(struct qn_site *site, struct qn_row_job *row);
/* Asks a running or queued job to end; false when there is none of that id. */
bool qn_job_cancel(struct qn_site *site, const char *id);
/* How many jobs are at work, how many wait, and for how many seconds the first of those has. */
void qn_jobs_count(struct qn_site *site, uint64_t *running, uint64_t *queued, uint64_t *oldest);
/* Ends every job; used at shutdown. */
void qn_job_cancel_all(struct qn_site *site);

/* --- inside: the work itself, on a job's thread ------------------------------------------------------------------- */
struct qn_job_run {
    struct qn_site *site;
    const struct qn_subject *subject;
    const atomic_bool *cancel;
    int64_t deadline_ms;
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    void *ctx;
};
/* Derives an image or an index, children included, and publishes. Always fills `out`. */
void qn_harden(const struct qn_job_run *run, struct qn_outcome *out);
/* The same for one image manifest: single-flight across jobs. */
int qn_harden_image(const struct qn_job_run *run, const struct qn_subject *s, struct qn_outcome *out,
                    struct qn_err *e) QN_MUST_CHECK;
int qn_harden_index(const struct qn_job_run *run, const struct qn_subject *s, unsigned depth, struct qn_outcome *out,
                    struct qn_err *e) QN_MUST_CHECK;
/* Plans an image under the subject's policy without making anything: its report says what would be, `question` is
 * answered along with it (worker/handle_image.h). Blocking, on any thread that may. */
struct qn_look {
    const json_t *question; /* NULL: none */
    bool contents;          /* facts for qn_compare() */
};
int qn_look(struct qn_site *site, const struct qn_subject *s, const struct qn_look *look, struct qn_derived *out,
            struct qn_err *e) QN_MUST_CHECK;
/* The environment of qn_compare(). */
void qn_look_env(struct qn_site *site, struct qn_derive_env *out);
/* The key of a subject's derivation. */
void qn_subject_key(const struct qn_site *site, const struct qn_subject *s, struct qn_derivation_key *key);
/* Lets the subject's repository show a result: links, and the report as a referrer of every image of it. Nothing
 * happens while the policy asks for an approval that is not there. */
int qn_publish_links(struct qn_site *site, const struct qn_subject *s, const struct qn_digest *digest, bool original,
                     struct qn_err *e) QN_MUST_CHECK;

#endif
