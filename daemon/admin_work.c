/* Requests of the admin API that may wait: for the index's disk, for a worker process. */
#include "admin.h"

#include "base/log.h"

#include <stdlib.h>

struct running {
    struct qn_work work; /* first: what handlers see */
    pthread_mutex_t lock;
    unsigned refs;
    bool done;
    int (*run)(struct qn_work *w, struct qn_err *e);
    int result;
    struct qn_err err;
    struct qn_http_waker *waker;
    char who[QN_ROW_NAME], request[64], arg[QN_DIGEST_TEXT + 64], accept[256];
    json_t *body, *query;
};

void qn_work_release(struct qn_work *w)
{
    struct running *k = (struct running *)w;

    if (!w)
        return;
    pthread_mutex_lock(&k->lock);
    bool last = --k->refs == 0;
    pthread_mutex_unlock(&k->lock);
    if (!last)
        return;
    json_decref(k->body);
    json_decref(k->query);
    json_decref(k->work.out);
    free(k->work.text);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static void run(void *arg)
{
    struct running *k = arg;

    qn_log_request(k->request);
    int r = k->run(&k->work, &k->err);
    qn_log_request(NULL);
    pthread_mutex_lock(&k->lock);
    k->result = r;
    k->done = true;
    struct qn_http_waker *w = qn_steal(k->waker);
    pthread_mutex_unlock(&k->lock);
    if (w)
        qn_http_wake(w);
    qn_work_release(&k->work);
}

struct copy {
    const struct qn_http_request *r;
    json_t *query;
};

static bool copy_key(void *arg, struct qn_str key)
{
    struct copy *c = arg;
    qn_auto_free char *name = qn_xstrndup(key);
    struct qn_str value;

    if (qn_http_query(c->r, name, &value))
        qn_json_set_str(c->query, name, value);
    return true;
}

static struct running *start(struct qn_exchange *x, struct qn_http_request *r,
                             int (*work)(struct qn_work *w, struct qn_err *e))
{
    struct running *k = qn_new(struct running);
    struct copy c = {r, json_object()};
    struct qn_str accept = QN_STR("");

    pthread_mutex_init(&k->lock, NULL);
    k->refs = 2;
    k->run = work;
    k->body = qn_steal(x->body);
    qn_http_query_keys(r, copy_key, &c);
    k->query = c.query;
    snprintf(k->who, sizeof k->who, "%s", x->actor);
    snprintf(k->request, sizeof k->request, "%s", qn_http_id(r));
    snprintf(k->arg, sizeof k->arg, "%.*s", QN_FMT(x->arg[0]));
    (void)qn_http_header(r, "Accept", &accept);
    snprintf(k->accept, sizeof k->accept, "%.*s", (int)QN_MIN(accept.n, sizeof k->accept - 1), accept.p);
    k->work = (struct qn_work){.server = x->server,
                               .actor = {k->who, k->request},
                               .arg = k->arg,
                               .accept = k->accept,
                               .body = k->body,
                               .query = k->query};
    if (qn_pool_add(x->server->admin, run, k, &k->err) < 0) {
        k->refs = 1;
        k->done = true;
        k->result = -1;
    }
    return k;
}

/* "200 NAME" of the table. */
static unsigned status_of(const struct qn_endpoint *p)
{
    return (unsigned)((p->out[0] - '0') * 100 + (p->out[1] - '0') * 10 + (p->out[2] - '0'));
}

void qn_exchange_work(struct qn_exchange *x, struct qn_http_request *r,
                      int (*work)(struct qn_work *w, struct qn_err *e))
{
    struct running *k = (struct running *)x->work;

    if (!k) {
        k = start(x, r, work);
        x->work = &k->work;
    }
    pthread_mutex_lock(&k->lock);
    bool done = k->done;
    if (!done)
        k->waker = qn_http_park(r, INT64_MAX);
    pthread_mutex_unlock(&k->lock);
    if (!done)
        return;
    if (k->result < 0) {
        if (k->err.code == QN_E_BUG || k->err.code == QN_E_IO)
            qn_log_err(QN_LOG_ERROR, "request failed", &k->err, NULL);
        qn_respond_error(r, k->err.code, k->err.msg);
        return;
    }
    if (k->work.text) {
        struct qn_http_field fields[] = {{"Content-Type", k->work.type},
                                         {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"},
                                         {"X-Content-Type-Options", "nosniff"},
                                         {NULL, NULL}};
        qn_http_respond(r, status_of(x->endpoint), fields, qn_str_c(k->work.text));
        return;
    }
    qn_http_respond_json(r, status_of(x->endpoint), NULL, qn_steal(k->work.out));
}

const char *qn_work_query(const struct qn_work *w, const char *key)
{
    return json_string_value(json_object_get(w->query, key));
}

const char *qn_work_text(const struct qn_work *w, const char *key)
{
    const char *s = json_string_value(json_object_get(w->body, key));
    return s ? s : "";
}
