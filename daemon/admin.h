/* What the handlers of the admin API share. */
#ifndef QN_DAEMON_ADMIN_H
#define QN_DAEMON_ADMIN_H

#include "server.h"

#include "service/decide.h"

/* --- JSON --------------------------------------------------------------------------------------------------------- */
/* Times and digests as members; left out when there is none. */
void qn_set_time(json_t *o, const char *key, int64_t seconds);
void qn_set_ms(json_t *o, const char *key, int64_t ms);
void qn_set_digest(json_t *o, const char *key, const struct qn_digest *d);
void qn_set_text(json_t *o, const char *key, const char *text);

json_t *qn_image_json(const struct qn_row_derivation *row);
json_t *qn_approval_json(const struct qn_row_approval *row);
json_t *qn_hold_json(const struct qn_row_hold *row);
json_t *qn_override_json(const struct qn_row_override *row);

/* --- lists -------------------------------------------------------------------------------------------------------- */
struct qn_page {
    uint64_t limit;
    int64_t after; /* 0: the first page */
};
/* limit and after of a request, which were checked before. */
void qn_page_read(const struct qn_http_request *r, struct qn_page *out);
/* {name: list, "after": ...}; takes `list`. `after` is the `id` of the last item when the page is full. */
json_t *qn_page_json(const char *name, json_t *list, uint64_t limit);
/* A query parameter as text in `out`; false when it is absent or too long. */
bool qn_query_text(const struct qn_http_request *r, const char *key, char *out, size_t size);

/* --- references --------------------------------------------------------------------------------------------------- */
/* [build/]UPSTREAM/REPOSITORY[:TAG|@DIGEST] as clients of the registry listener write it. Without both, the tag is
 * "latest". `digest` is none without one. */
int qn_admin_reference(struct qn_site *site, struct qn_str ref, struct qn_subject *s, struct qn_digest *digest,
                       struct qn_err *e) QN_MUST_CHECK;

/* --- work that may wait ------------------------------------------------------------------------------------------- */
/* A request that is worked on by a thread that may block; it outlives its request if that goes away. */
struct qn_work {
    struct qn_server *server;
    struct qn_actor actor;
    const char *arg;     /* the part of the path that the pattern leaves open; "" for none */
    const json_t *body;  /* may be NULL */
    const json_t *query; /* key -> text */
    const char *accept;  /* the request's Accept; "" for none */
    json_t *out;         /* the answer; owned */
    char *text;          /* or this; heap */
    const char *type;    /* of `text`; static */
};
/* Runs `work` once on such a thread, parking the request, and answers with what it made or its error. Handlers call it
 * and return. */
void qn_exchange_work(struct qn_exchange *x, struct qn_http_request *r,
                      int (*work)(struct qn_work *w, struct qn_err *e));
/* A text of the query, or NULL. */
const char *qn_work_query(const struct qn_work *w, const char *key);
/* A text of the body, or "". */
const char *qn_work_text(const struct qn_work *w, const char *key);

/* Reports of an image, or of every image of an index, appended to `list`; blocking. NOT_FOUND when there is none. */
int qn_gather_reports(struct qn_site *site, const struct qn_digest *d, json_t *list, struct qn_err *e) QN_MUST_CHECK;

#endif
