/* The server: start, drain, stop. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "http_send.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define POOL_SMALL   (8u << 10)   /* connection memory, all of it touched by a request: headers of 6 KiB fit */
#define POOL_UPLOADS (256u << 10) /* uploads are read in pieces of this size */
#define RETIRE_MS    60000
#define TLS_PRIORITY "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1:%SERVER_PRECEDENCE"

const char *qn_http_library(void)
{
    return MHD_get_version();
}

bool qn_http_library_usable(const char *version)
{
    struct qn_str rest = qn_str_c(version), part;
    uint64_t v = 0;
    struct qn_err e;

    for (unsigned i = 0; i < 4; i++) {
        uint64_t n = 0;
        if (qn_str_next(&rest, '.', &part) && qn_num_u64(part, 0, 255, &n, &e) < 0)
            return false;
        v = v << 8 | n;
    }
    return v < 0x00094d01u || v > 0x01000900u;
}

static int check_version(struct qn_err *e)
{
    if (!qn_http_library_usable(MHD_get_version()))
        return qn_fail(e, QN_E_UNSUPPORTED,
                       "libmicrohttpd %s crashes on crafted requests: use 0.9.75, 0.9.76 or at least 1.0.10",
                       MHD_get_version());
    return 0;
}

static struct MHD_Daemon *start_daemon(struct qn_http *h, unsigned group)
{
    const struct qn_http_options *o = &h->options;
    bool tls = group & 1, uploads = group & 2;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITY},
        {o->tls_client_ca ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, (void *)(uintptr_t)o->tls_client_ca},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

    /* Every daemon could end up with all connections; the acceptor keeps the total. */
    return MHD_start_daemon(tls ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, qn_http_on_request, h,
                            MHD_OPTION_URI_LOG_CALLBACK, qn_http_on_uri, h, MHD_OPTION_UNESCAPE_CALLBACK,
                            qn_http_keep_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED, qn_http_on_completed, h,
                            MHD_OPTION_NOTIFY_CONNECTION, qn_http_on_connection, h, MHD_OPTION_CONNECTION_LIMIT,
                            o->connections + 1, MHD_OPTION_CONNECTION_TIMEOUT, o->idle_s, MHD_OPTION_STRICT_FOR_CLIENT,
                            1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(uploads ? POOL_UPLOADS : POOL_SMALL),
                            MHD_OPTION_ARRAY, tls ? tls_options : none, MHD_OPTION_END);
}

static void stop_daemons(struct MHD_Daemon **daemon, unsigned n)
{
    for (unsigned i = 0; daemon && i < n; i++)
        if (daemon[i])
            MHD_stop_daemon(daemon[i]);
    free(daemon);
}

static int make_daemons(struct qn_http *h, unsigned group, struct MHD_Daemon ***out, struct qn_err *e)
{
    struct MHD_Daemon **daemon;

    if ((group & 1) && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return qn_fail(e, QN_E_UNSUPPORTED, "libmicrohttpd was built without TLS");
    if ((group & 1) && (!h->options.tls_cert || !h->options.tls_key))
        return qn_fail(e, QN_E_CONFIG, "listen: TLS without certificate and key");
    daemon = qn_xcalloc(h->worker_count, sizeof(struct MHD_Daemon *));
    for (unsigned i = 0; i < h->worker_count; i++) {
        daemon[i] = start_daemon(h, group);
        if (!daemon[i]) {
            stop_daemons(daemon, h->worker_count);
            return qn_fail(e, QN_E_CONFIG, "cannot start the HTTP server%s",
                           group & 1 ? " (are certificate and key PEM, and do they fit?)" : "");
        }
    }
    *out = daemon;
    return 0;
}

static int start_group(struct qn_http *h, unsigned group, struct qn_err *e)
{
    return h->group[group].daemon ? 0 : make_daemons(h, group, &h->group[group].daemon, e);
}

static unsigned connections_of(struct MHD_Daemon **daemon, unsigned n)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < n; i++) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon[i], MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        sum += info ? info->num_connections : 1;
    }
    return sum;
}

/* Replaced daemons whose last connection is over; not at once: the acceptor may just be giving one to them. */
static void stop_idle(struct qn_http *h, struct qn_workers *group)
{
    for (struct qn_workers **at = &group->older; *at;) {
        struct qn_workers *old = *at;
        if (qn_time_mono_ms() < old->replaced + RETIRE_MS || connections_of(old->daemon, h->worker_count) > 0) {
            at = &old->older;
            continue;
        }
        *at = old->older;
        stop_daemons(old->daemon, h->worker_count);
        free(old);
    }
}

static void replace(struct qn_http *h, unsigned group, struct MHD_Daemon **fresh)
{
    struct qn_workers *old = qn_new(struct qn_workers), *g = &h->group[group];

    pthread_mutex_lock(&h->lock);
    old->replaced = qn_time_mono_ms();
    old->daemon = g->daemon;
    old->older = g->older;
    g->daemon = fresh;
    g->older = old;
    pthread_mutex_unlock(&h->lock);
    stop_idle(h, g);
}

int qn_http_retls(struct qn_http *h, const char *cert, const char *key, const char *client_ca, struct qn_err *e)
{
    struct MHD_Daemon **fresh[4] = {NULL};
    struct qn_http_options *o = &h->options, before = *o;
    int r = 0;

    o->tls_cert = cert;
    o->tls_key = key;
    o->tls_client_ca = client_ca;
    for (unsigned g = 1; g < QN_ARRAY_LEN(h->group) && r == 0; g += 2)
        if (h->group[g].daemon)
            r = make_daemons(h, g, &fresh[g], e);
    if (r < 0)
        *o = before;
    else
        atomic_store(&h->asks_clients, client_ca != NULL);
    for (unsigned g = 1; g < QN_ARRAY_LEN(h->group); g += 2) {
        if (r == 0 && fresh[g])
            replace(h, g, fresh[g]);
        else
            stop_daemons(fresh[g], h->worker_count);
    }
    return r;
}

static int watch(int epoll, int fd, uint64_t data, struct qn_err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = data};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? qn_fail_errno(e, QN_E_IO, "epoll") : 0;
}

static int start_threads(struct qn_http *h, struct qn_err *e)
{
    sigset_t all, old;

    h->accept_epoll = epoll_create1(EPOLL_CLOEXEC);
    h->control_epoll = epoll_create1(EPOLL_CLOEXEC);
    h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->accept_epoll < 0 || h->control_epoll < 0 || h->stop_fd < 0 || h->control_fd < 0)
        return qn_fail_errno(e, QN_E_IO, "HTTP server");
    if (watch(h->accept_epoll, h->stop_fd, UINT64_MAX, e) < 0 ||
        watch(h->control_epoll, h->control_fd, (uint32_t)h->control_fd, e) < 0)
        return -1;
    for (size_t i = 0; i < h->listener_count; i++)
        if (watch(h->accept_epoll, h->listener[i].fd, i, e) < 0)
            return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    h->control_runs = pthread_create(&h->control, NULL, qn_http_control, h) == 0;
    h->acceptor_runs = h->control_runs && pthread_create(&h->acceptor, NULL, qn_http_acceptor, h) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!h->acceptor_runs)
        return qn_fail(e, QN_E_NOMEM, "HTTP server: cannot start its threads");
    pthread_setname_np(h->control, "http-control");
    pthread_setname_np(h->acceptor, "http-accept");
    return 0;
}

static void set_defaults(struct qn_http *h, const struct qn_http_options *options)
{
    struct qn_http_options *o = &h->options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *o = *options;
    h->worker_count = o->workers ? o->workers : (unsigned)QN_MAX(cores, 2);
    o->io_threads = o->io_threads ? o->io_threads : 4;
    o->connections = o->connections ? o->connections : 4096;
    o->per_client = o->per_client ? o->per_client : 256;
    o->header_ms = o->header_ms ? o->header_ms : 10000;
    o->idle_s = o->idle_s ? o->idle_s : 30;
    h->listen = qn_xcalloc(o->listen_count + 1, sizeof *h->listen);
    for (size_t i = 0; i < o->listen_count; i++) {
        h->listen[i] = o->listen[i];
        qn_assert(h->listen[i].kind >= 0 && h->listen[i].kind < QN_HTTP_KINDS);
    }
    o->listen = h->listen;
}

static int start(struct qn_http *h, struct qn_err *e)
{
    if (check_version(e) < 0 || qn_pool_new("http-io", h->options.io_threads, 1024, &h->io, e) < 0 ||
        qn_sender_new(h->worker_count, &h->sender, e) < 0 || qn_http_listen_open(h, e) < 0)
        return -1;
    for (size_t i = 0; i < h->listener_count; i++) {
        unsigned group = qn_http_group(h, &h->listener[i]);
        if (start_group(h, group, e) < 0 || start_group(h, group & ~2u, e) < 0)
            return -1;
    }
    return start_threads(h, e);
}

int qn_http_new(const struct qn_http_options *options, const struct qn_http_app *app, struct qn_http **out,
                struct qn_err *e)
{
    struct qn_http *h = qn_new(struct qn_http);

    atomic_init(&h->refs, 1);
    pthread_mutex_init(&h->lock, NULL);
    h->accept_epoll = h->control_epoll = h->stop_fd = h->control_fd = -1;
    h->app = *app;
    if (getrandom(&h->seed, sizeof h->seed, 0) != (ssize_t)sizeof h->seed)
        h->seed = (uint64_t)qn_time_now_ms();
    set_defaults(h, options);
    atomic_init(&h->asks_clients, options->tls_client_ca != NULL);
    if (start(h, e) < 0) {
        qn_http_free(h);
        return -1;
    }
    *out = h;
    return 0;
}

unsigned qn_http_port(const struct qn_http *h, size_t i)
{
    for (size_t k = 0; k < h->listener_count; k++)
        if (h->listener[k].option == i)
            return h->listener[k].port;
    return 0;
}

static void stop_acceptor(struct qn_http *h)
{
    uint64_t one = 1;

    if (!h->acceptor_runs)
        return;
    ssize_t n = write(h->stop_fd, &one, sizeof one);
    (void)n;
    pthread_join(h->acceptor, NULL);
    h->acceptor_runs = false;
}

bool qn_http_drain(struct qn_http *h, unsigned ms)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t end = qn_time_mono_ms() + ms;

    stop_acceptor(h);
    qn_http_listen_close(h);
    atomic_store(&h->draining, true);
    while (atomic_load(&h->stats.connections) > 0 && qn_time_mono_ms() < end)
        nanosleep(&pause, NULL);
    return atomic_load(&h->stats.connections) == 0;
}

void qn_http_free(struct qn_http *h)
{
    if (!h)
        return;
    stop_acceptor(h);
    atomic_store(&h->stopping, true);
    if (h->control_runs) {
        qn_http_control_kick(h);
        pthread_join(h->control, NULL);
    }
    qn_http_wake_all(h);
    for (unsigned g = 0; g < QN_ARRAY_LEN(h->group); g++) {
        stop_daemons(h->group[g].daemon, h->worker_count);
        for (struct qn_workers *old = h->group[g].older, *next; old; old = next) {
            next = old->older;
            stop_daemons(old->daemon, h->worker_count);
            free(old);
        }
    }
    qn_sender_free(h->sender);
    /* I/O threads may still hold wakers, which are void by now. */
    qn_pool_free(h->io);
    qn_http_listen_close(h);
    int fds[] = {h->accept_epoll, h->control_epoll, h->stop_fd, h->control_fd};
    for (size_t i = 0; i < QN_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(h->listen);
    qn_http_conns_drop(h);
    qn_http_unref(h);
}

void qn_http_counters(const struct qn_http *h, struct qn_http_counters *out)
{
    const struct qn_http_stats *s = &h->stats;

    for (unsigned k = 0; k < QN_HTTP_KINDS; k++)
        for (unsigned c = 0; c < 6; c++)
            out->requests[k][c] = atomic_load(&s->requests[k][c]);
    out->connections = atomic_load(&s->connections);
    out->accepted = atomic_load(&s->accepted);
    out->refused = atomic_load(&s->refused);
    out->rejected = atomic_load(&s->rejected);
    out->timed_out = atomic_load(&s->timed_out);
    out->parked = atomic_load(&s->parked);
    out->bytes_in = atomic_load(&s->bytes_in);
    out->bytes_out = atomic_load(&s->bytes_out);
}
