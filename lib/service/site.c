#include "decide.h"
#include "job.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

#define PULL_THREADS 16
#define PULL_QUEUE   8192
#define PUSH_THREADS 16 /* they wait for disks: many share one commit of the index */
#define PUSH_QUEUE   4096

/* --- what the fetcher needs --------------------------------------------------------------------------------------- */
static int fetch_open(void *ctx, const struct qn_digest *d, uint64_t size, int *fd, struct qn_err *e)
{
    struct qn_site *site = ctx;

    (void)d;
    if (qn_store_reserve(site->store, size, e) < 0)
        return -1;
    *fd = qn_blob_tmpfile(site->store, e);
    if (*fd < 0)
        qn_store_release(site->store, size);
    return *fd < 0 ? -1 : 0;
}

static int put_blob_row(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_blob_put(tx, arg, e);
}

static int fetch_commit(void *ctx, const struct qn_digest *d, int fd, uint64_t size, struct qn_err *e)
{
    struct qn_site *site = ctx;
    struct qn_row_blob row = {.digest = *d, .size = size, .origin = QN_ORIGIN_UPSTREAM};

    if (qn_blob_adopt(site->store, fd, d, size, e) < 0)
        return -1;
    atomic_fetch_add(&site->counters.upstream_bytes, size);
    return qn_index_write(site->index, put_blob_row, &row, e);
}

static void fetch_close(void *ctx, const struct qn_digest *d, uint64_t size)
{
    struct qn_site *site = ctx;
    (void)d;
    qn_store_release(site->store, size);
}

/* --- settings and their upstreams --------------------------------------------------------------------------------- */
struct qn_generation {
    struct qn_generation *next;
    const struct qn_settings *settings;
    struct qn_registry **registry; /* one an upstream */
    struct qn_auth *auth;          /* that was replaced; requests may still hold it */
};

static void generation_free(struct qn_generation *g)
{
    for (size_t i = 0; i < g->settings->upstreams; i++)
        qn_registry_free(g->registry[i]);
    free(g->registry);
    qn_auth_free(g->auth);
    free(g);
}

static int open_registries(struct qn_site *site, const struct qn_settings *s, struct qn_generation **out,
                           struct qn_err *e)
{
    struct qn_generation *g = qn_new(struct qn_generation);

    g->settings = s;
    g->registry = qn_xcalloc(s->upstreams + 1, sizeof *g->registry);
    for (size_t i = 0; i < s->upstreams; i++) {
        const struct qn_upstream_settings *u = &s->upstream[i];
        struct qn_registry_config c = {.name = u->name.p,
                                       .url = u->url.p,
                                       .library_prefix = u->library_prefix,
                                       .allow = u->addresses,
                                       .allows = u->address_count,
                                       .manifest_max = s->limits.manifest_size};
        if (u->username.n)
            c.credentials =
                (struct qn_credentials){.kind = QN_CRED_STATIC, .username = u->username.p, .password = u->password.p};
        else if (u->docker_config.n)
            c.credentials = (struct qn_credentials){.kind = QN_CRED_DOCKER_CONFIG, .path = u->docker_config.p};
        else if (u->command)
            c.credentials = (struct qn_credentials){.kind = QN_CRED_COMMAND, .argv = u->command};
        if (qn_registry_new(site->client, &c, &g->registry[i], e) < 0) {
            generation_free(g);
            return qn_err_wrap(e, "upstream %s", u->name.p);
        }
    }
    *out = g;
    return 0;
}

static void put_in_force(struct qn_site *site, struct qn_generation *g)
{
    pthread_mutex_lock(&site->lock);
    g->next = site->generations;
    site->generations = g;
    atomic_store(&site->settings, g->settings);
    pthread_mutex_unlock(&site->lock);
}

struct qn_registry *qn_site_registry(struct qn_site *site, const struct qn_upstream_settings *u)
{
    struct qn_registry *found = NULL;

    pthread_mutex_lock(&site->lock);
    for (const struct qn_generation *g = site->generations; g && !found; g = g->next)
        for (size_t i = 0; i < g->settings->upstreams; i++)
            if (u == &g->settings->upstream[i])
                found = g->registry[i];
    pthread_mutex_unlock(&site->lock);
    qn_assert(found);
    return found;
}

static int open_auth(struct qn_site *site, const struct qn_settings *s, struct qn_auth **out, struct qn_err *e)
{
    *out = NULL;
    return s->auth ? qn_auth_new(s->htpasswd, qn_store_root(site->store), QN_STR("quench"), out, e) : 0;
}

int qn_site_reload(struct qn_site *site, const struct qn_settings *settings, struct qn_err *e)
{
    const struct qn_settings *old = site->settings;
    bool same = site->auth && (!settings->auth || qn_str_eq(old->htpasswd, settings->htpasswd));
    struct qn_generation *g;
    struct qn_auth *auth = NULL;

    if (same ? settings->auth && qn_auth_reload(site->auth, e) < 0 : open_auth(site, settings, &auth, e) < 0)
        return -1;
    if (open_registries(site, settings, &g, e) < 0) {
        qn_auth_free(auth);
        return -1;
    }
    /* Never taken away: whoever read the settings before may still ask it. */
    if (auth)
        g->auth = atomic_exchange(&site->auth, auth);
    put_in_force(site, g);
    qn_site_changed(site);
    return 0;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */
static int check_store(struct qn_site *site, struct qn_err *e)
{
    struct qn_check_result r;
    struct qn_index_stats stats;
    char text[4][24];

    if (qn_store_check(site->store, site->index, &r, e) < 0 || qn_index_stats(site->index, &stats, e) < 0)
        return -1;
    qn_store_set_used(site->store, stats.bytes);
    if (r.adopted + r.missing + r.resized == 0)
        return 0;
    snprintf(text[0], sizeof text[0], "%llu", (unsigned long long)r.files);
    snprintf(text[1], sizeof text[1], "%llu", (unsigned long long)r.adopted);
    snprintf(text[2], sizeof text[2], "%llu", (unsigned long long)r.missing);
    snprintf(text[3], sizeof text[3], "%llu", (unsigned long long)r.resized);
    qn_log(QN_LOG_WARN, "store and index did not agree; index follows", "files", text[0], "adopted", text[1], "missing",
           text[2], "resized", text[3], NULL);
    return 0;
}

static int start_threads(struct qn_site *site, struct qn_err *e)
{
    const struct qn_settings *s = site->settings;
    struct qn_generation *g;
    struct qn_client_options http = {.per_host = 8, .total = 64};
    struct qn_fetch_ops ops = {fetch_open, fetch_commit, fetch_close, site};
    struct qn_worker_options worker = {
        .memory = s->worker_memory, .cpu_seconds = s->job_time, .file_size = s->limits.image_size + (1ull << 30)};

    if (qn_client_new(&http, &site->client, e) < 0 || open_registries(site, s, &g, e) < 0)
        return -1;
    put_in_force(site, g);
    if (qn_fetcher_new(&ops, 2, &site->fetcher, e) < 0)
        return -1;
    unsigned idle = (unsigned)QN_MIN(s->jobs, (uint64_t)4);
    if (qn_workers_new(&worker, idle, &site->workers, e) < 0)
        return qn_err_wrap(e, "worker processes");
    if (qn_pool_new("pull", PULL_THREADS, PULL_QUEUE, &site->pulls, e) < 0 ||
        qn_pool_new("push", PUSH_THREADS, PUSH_QUEUE, &site->pushes, e) < 0)
        return -1;
    return qn_pool_new("job", (unsigned)s->jobs, (size_t)s->queue + s->jobs + 1, &site->jobs, e);
}

int qn_site_open(const struct qn_settings *settings, struct qn_site **out, struct qn_err *e)
{
    struct qn_site *site = qn_new(struct qn_site);
    struct qn_store_options opt = {.max_size = settings->max_size};
    qn_auto_free char *db = qn_xasprintf("%.*s/quench.db", QN_FMT(settings->root));
    qn_auto_free char *root = qn_xstrndup(settings->root);
    struct qn_auth *auth = NULL;

    site->settings = settings;
    pthread_mutex_init(&site->lock, NULL);
    pthread_cond_init(&site->changed, NULL);
    qn_map_init(&site->pull_map, 1u << 20);
    qn_map_init(&site->job_map, 1u << 20);
    qn_map_init(&site->deriving, 1u << 20);
    qn_engine_text(site->engine);
    if (qn_store_open(root, &opt, &site->store, e) < 0 || qn_index_open(db, &site->index, e) < 0 ||
        check_store(site, e) < 0 || qn_uploads_open(site->store, &site->uploads, e) < 0 ||
        open_auth(site, settings, &auth, e) < 0 || (site->auth = auth, false) ||
        qn_overrides_new(site, &site->overrides, e) < 0 || start_threads(site, e) < 0) {
        qn_site_close(site);
        return -1;
    }
    *out = site;
    return 0;
}

void qn_site_close(struct qn_site *site)
{
    if (!site)
        return;
    atomic_store(&site->stopping, true);
    qn_job_cancel_all(site);
    /* Ending the transfers first wakes every thread that waits for one. */
    if (site->client)
        qn_client_stop(site->client);
    qn_pool_free(site->pushes);
    qn_pool_free(site->jobs);
    qn_pool_free(site->pulls);
    qn_fetcher_free(site->fetcher);
    while (site->generations) {
        struct qn_generation *next = site->generations->next;
        generation_free(site->generations);
        site->generations = next;
    }
    qn_client_free(site->client);
    qn_workers_free(site->workers);
    qn_overrides_free(site->overrides);
    qn_auth_free(site->auth);
    qn_index_close(site->index);
    qn_uploads_close(site->uploads);
    qn_store_close(site->store);
    qn_map_fini(&site->pull_map);
    qn_map_fini(&site->job_map);
    qn_map_fini(&site->deriving);
    pthread_cond_destroy(&site->changed);
    pthread_mutex_destroy(&site->lock);
    free(site);
}
