#include "client_call.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define EXTRA_PER_HOST 8u /* connections for small requests beside the downloads */

struct later {
    struct later *next;
    int64_t at; /* monotonic ms */
    void (*fn)(void *ctx, bool stopping);
    void *ctx;
};

struct qn_client {
    CURLM *multi;
    pthread_t thread;
    bool started;
    unsigned per_host;
    long connect_timeout, stall_timeout, stall_rate;
    char *user_agent, *ca_file;
    pthread_mutex_t lock; /* of what follows */
    struct qn_call *queue, **queue_end;
    struct later *later;
    uint64_t *cancel; /* ids to be cancelled */
    size_t cancels, cancel_cap;
    uint64_t last_id;
    bool stopping;
    /* the thread's own */
    struct qn_call *running, *waiting;
};

bool qn_client_on_thread(const struct qn_client *h)
{
    return h->started && pthread_equal(pthread_self(), h->thread);
}

/* --- queue -------------------------------------------------------------------------------------------------------- */

int qn_client_start(struct qn_client *h, const struct qn_client_request *req, uint64_t *id, struct qn_err *e)
{
    struct qn_call *c = qn_call_new(req);

    c->user_agent = h->user_agent;
    c->ca_file = h->ca_file;
    c->connect_timeout = h->connect_timeout;
    c->stall_timeout = h->stall_timeout;
    c->stall_rate = h->stall_rate;
    pthread_mutex_lock(&h->lock);
    if (h->stopping) {
        pthread_mutex_unlock(&h->lock);
        qn_call_free(c);
        return qn_fail(e, QN_E_CANCELLED, "the HTTP client is stopping");
    }
    c->id = ++h->last_id;
    if (id)
        *id = c->id;
    *h->queue_end = c;
    h->queue_end = &c->next;
    pthread_mutex_unlock(&h->lock);
    curl_multi_wakeup(h->multi);
    return 0;
}

void qn_client_cancel(struct qn_client *h, uint64_t id)
{
    struct qn_err ignored;

    pthread_mutex_lock(&h->lock);
    void *arr = h->cancel;
    if (!h->stopping && qn_grow(&arr, &h->cancel_cap, h->cancels + 1, sizeof *h->cancel, 1u << 20, &ignored) == 0) {
        h->cancel = arr;
        h->cancel[h->cancels++] = id;
    }
    pthread_mutex_unlock(&h->lock);
    curl_multi_wakeup(h->multi);
}

int qn_client_later(struct qn_client *h, unsigned ms, void (*fn)(void *ctx, bool stopping), void *ctx, struct qn_err *e)
{
    struct later *l = qn_new(struct later);

    *l = (struct later){NULL, qn_time_mono_ms() + ms, fn, ctx};
    pthread_mutex_lock(&h->lock);
    if (h->stopping) {
        pthread_mutex_unlock(&h->lock);
        free(l);
        return qn_fail(e, QN_E_CANCELLED, "the HTTP client is stopping");
    }
    l->next = h->later;
    h->later = l;
    pthread_mutex_unlock(&h->lock);
    curl_multi_wakeup(h->multi);
    return 0;
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void finish(struct qn_call *c, const struct qn_err *failed)
{
    qn_call_done(c, failed);
    qn_call_free(c);
}

static void begin(struct qn_client *h, struct qn_call *c)
{
    struct qn_err e;

    if (qn_call_prepare(c, &e) < 0) {
        finish(c, &e);
        return;
    }
    if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK) {
        qn_fail(&e, QN_E_NOMEM, "no memory for a request");
        finish(c, &e);
        return;
    }
    c->next = h->running;
    h->running = c;
}

static void unlink_call(struct qn_call **list, struct qn_call *c)
{
    while (*list != c)
        list = &(*list)->next;
    *list = c->next;
    c->next = NULL;
}

/* Downloads to one host are limited here and not by libcurl, so that manifests need not wait behind layers. */
static bool may_begin(struct qn_client *h, struct qn_call *c)
{
    unsigned n = 0;
    struct qn_err ignored;

    if (!c->req.sink)
        return true;
    if (!c->now.host) {
        if (qn_origin_of(c->url, c->req.plain_http, &c->now, &ignored) < 0)
            return true; /* fails in a moment, with its message */
        if (qn_origin_of(c->url, c->req.plain_http, &c->first, &ignored) < 0)
            return true;
    }
    for (struct qn_call *r = h->running; r; r = r->next) {
        if (r->req.sink && qn_origin_eq(&r->now, &c->now))
            n++;
    }
    return n < h->per_host;
}

static void begin_waiting(struct qn_client *h)
{
    for (struct qn_call **at = &h->waiting; *at;) {
        struct qn_call *c = *at;
        if (!may_begin(h, c)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = NULL;
        begin(h, c);
        at = &h->waiting; /* callbacks may have changed the list */
    }
}

static void take_queue(struct qn_client *h)
{
    pthread_mutex_lock(&h->lock);
    struct qn_call *list = h->queue;
    h->queue = NULL;
    h->queue_end = &h->queue;
    pthread_mutex_unlock(&h->lock);
    struct qn_call **end = &h->waiting;
    while (*end)
        end = &(*end)->next;
    *end = list;
}

static void cancel_call(struct qn_client *h, struct qn_call **list, struct qn_call *c)
{
    struct qn_err e;

    unlink_call(list, c);
    if (c->easy)
        curl_multi_remove_handle(h->multi, c->easy);
    qn_fail(&e, QN_E_CANCELLED, "%s: cancelled", c->now.host ? c->now.host : "request");
    finish(c, &e);
}

static struct qn_call *find(struct qn_call *list, uint64_t id)
{
    while (list && list->id != id)
        list = list->next;
    return list;
}

static void take_cancels(struct qn_client *h)
{
    pthread_mutex_lock(&h->lock);
    qn_auto_free uint64_t *ids = qn_steal(h->cancel);
    size_t n = h->cancels;
    h->cancels = h->cancel_cap = 0;
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < n; i++) {
        struct qn_call *c = find(h->running, ids[i]);
        if (c)
            cancel_call(h, &h->running, c);
        else if ((c = find(h->waiting, ids[i])))
            cancel_call(h, &h->waiting, c);
    }
}

/* Runs what is due; gives the milliseconds until the next is. */
static int run_later(struct qn_client *h)
{
    for (;;) {
        int64_t now = qn_time_mono_ms(), wait = 1000;
        struct later *due = NULL;
        pthread_mutex_lock(&h->lock);
        for (struct later **at = &h->later; *at; at = &(*at)->next) {
            if ((*at)->at <= now || h->stopping) {
                due = *at;
                *at = due->next;
                break;
            }
            wait = QN_MIN(wait, (*at)->at - now);
        }
        bool stopping = h->stopping;
        pthread_mutex_unlock(&h->lock);
        if (!due)
            return (int)wait;
        due->fn(due->ctx, stopping);
        free(due);
    }
}

static void finish_transfer(struct qn_client *h, CURL *easy, CURLcode rc)
{
    struct qn_call *c = NULL;
    struct qn_err e;
    bool again = false;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&c);
    unlink_call(&h->running, c);
    int r = qn_call_result(c, rc, &e);
    curl_multi_remove_handle(h->multi, easy);
    if (r == 0)
        r = qn_call_redirect(c, &again, &e);
    if (r == 0 && again)
        begin(h, c);
    else
        finish(c, r < 0 ? &e : NULL);
}

static bool is_stopping(struct qn_client *h)
{
    pthread_mutex_lock(&h->lock);
    bool stopping = h->stopping;
    pthread_mutex_unlock(&h->lock);
    return stopping;
}

static void *client_main(void *arg)
{
    struct qn_client *h = arg;
    int running, left, wait = 0;

    while (!is_stopping(h)) {
        curl_multi_poll(h->multi, NULL, 0, wait, NULL);
        take_queue(h);
        take_cancels(h);
        begin_waiting(h);
        curl_multi_perform(h->multi, &running);
        for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));) {
            if (m->msg == CURLMSG_DONE)
                finish_transfer(h, m->easy_handle, m->data.result);
        }
        wait = run_later(h);
        if (h->waiting)
            begin_waiting(h);
    }
    take_queue(h);
    while (h->running)
        cancel_call(h, &h->running, h->running);
    while (h->waiting)
        cancel_call(h, &h->waiting, h->waiting);
    run_later(h);
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int qn_client_new(const struct qn_client_options *opt, struct qn_client **out, struct qn_err *e)
{
    struct qn_client_options o = opt ? *opt : (struct qn_client_options){0};
    sigset_t all, old;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return qn_fail(e, QN_E_NOMEM, "libcurl does not start");
    struct qn_client *h = qn_new(struct qn_client);
    h->queue_end = &h->queue;
    h->per_host = o.per_host ? o.per_host : 8;
    h->connect_timeout = o.connect_timeout ? (long)o.connect_timeout : 10;
    h->stall_timeout = o.stall_timeout ? (long)o.stall_timeout : 30;
    h->stall_rate = o.stall_rate ? (long)o.stall_rate : 64;
    h->user_agent = qn_xstrdup(o.user_agent ? o.user_agent : "quench/" QN_VERSION);
    h->ca_file = o.ca_file ? qn_xstrdup(o.ca_file) : NULL;
    pthread_mutex_init(&h->lock, NULL);
    h->multi = curl_multi_init();
    if (!h->multi) {
        qn_client_free(h);
        return qn_fail(e, QN_E_NOMEM, "libcurl does not start");
    }
    long total = o.total ? (long)o.total : 64;
    curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)(h->per_host + EXTRA_PER_HOST));
    curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, total);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, total);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&h->thread, NULL, client_main, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        qn_client_free(h);
        return qn_err_set(e, QN_E_NOMEM, r, __FILE__, __LINE__, "starting the HTTP client's thread");
    }
    pthread_setname_np(h->thread, "qn-http");
    h->started = true;
    *out = h;
    return 0;
}

void qn_client_stop(struct qn_client *h)
{
    if (!h->started)
        return;
    qn_assert(!qn_client_on_thread(h));
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    curl_multi_wakeup(h->multi);
    pthread_join(h->thread, NULL);
    h->started = false;
}

void qn_client_free(struct qn_client *h)
{
    if (!h)
        return;
    qn_client_stop(h);
    curl_multi_cleanup(h->multi);
    pthread_mutex_destroy(&h->lock);
    free(h->cancel);
    free(h->user_agent);
    free(h->ca_file);
    free(h);
    curl_global_cleanup();
}
