/* `quench ctl`: a client of the admin API, driven by ctl.def. */
#ifndef QN_DAEMON_CTL_H
#define QN_DAEMON_CTL_H

#include "base/err.h"
#include "base/json.h"

#include <stdio.h>

/* --- talking to the daemon (ctl_http.c) --------------------------------------------------------------------------- */
struct qn_ctl_client {
    void *curl;
    char *url;    /* without a slash at the end; "http://localhost" on a unix socket */
    char *socket; /* NULL: TCP */
    char *token;  /* NULL: none */
};
/* `url` may be NULL: QUENCH_URL, or the unix socket of the configuration at `config` (NULL: the default file).
 * "unix:PATH" is a socket. `token_file` may be NULL: QUENCH_TOKEN. */
int qn_ctl_open(const char *url, const char *token_file, const char *config, struct qn_ctl_client *out,
                struct qn_err *e) QN_MUST_CHECK;
void qn_ctl_close(struct qn_ctl_client *c);
/* One request; `path` is below the address, `body` (JSON text) and `accept` may be NULL. `*out` is heap, with a NUL.
 * An answer that is no success is an error with the daemon's sentence: its code says what the daemon said. */
int qn_ctl_call(struct qn_ctl_client *c, const char *method, const char *path, const char *body, const char *accept,
                char **out, struct qn_err *e) QN_MUST_CHECK;
/* The same, parsed; `*out` is owned by the caller, NULL for an empty answer. */
int qn_ctl_json(struct qn_ctl_client *c, const char *method, const char *path, const char *body, json_t **out,
                struct qn_err *e) QN_MUST_CHECK;
/* Percent-encodes all but unreserved characters and '/', ':', '@'; heap. */
char *qn_ctl_escape(const char *s);

/* --- showing (ctl_show.c) ----------------------------------------------------------------------------------------- */
/* A table of the list's items: columns "a b c"; cells of a terminal are cut to fit. Text of others is made safe. */
void qn_ctl_table(const json_t *list, const char *columns);
/* Members of an object, one a line; nested ones indented. */
void qn_ctl_members(const json_t *o, int indent);
/* Before and after, rules, open findings of a report. */
void qn_ctl_report(const json_t *report);

/* --- what is more than a request (ctl_special.c); each gives the exit status -------------------------------------- */
struct qn_ctl_run {
    struct qn_ctl_client *client;
    const char *const *arg; /* positional, from 1 */
    const json_t *options;  /* name -> text */
    bool json;
};
/* Until a reference is ready or a job has ended: 0 done, 1 failed or too late, 3 refused. */
int qn_ctl_wait(const struct qn_ctl_run *r);
/* The whole audit log, oldest first: every hash is what its entry and the one before make. 0, or 1 naming the entry. */
int qn_ctl_verify(const struct qn_ctl_run *r);

#endif
