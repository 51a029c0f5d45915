/* quench serve: the daemon, in the foreground. */
#include "cli.h"
#include "notify.h"
#include "server.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/upkeep.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS      30000u
#define COLLECT_EVERY 3600 /* seconds */

/* One descriptor a connection and a few a transfer: the soft limit is what a shell happened to have. */
static void raise_files(uint64_t connections)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    rlim_t want = (rlim_t)(connections * 2 + 1024);
    if (r.rlim_cur >= want)
        return;
    r.rlim_cur = QN_MIN(want, r.rlim_max);
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

/* --- new settings ------------------------------------------------------------------------------------------------- */
/* Settings that were in force once: pulls and jobs hold on to those that they began under, so all of them live until
 * the end. */
struct reloads {
    struct qn_settings *settings;
    struct reloads *next;
};

static const json_t *value_at(const json_t *config, const char *path)
{
    struct qn_str rest = qn_str_c(path), word;

    while (config && qn_str_next(&rest, '.', &word)) {
        qn_auto_free char *key = qn_xstrndup(word);
        config = json_object_get(config, key);
    }
    return config;
}

/* What only a start can change is said, and stays. */
static void tell_fixed(const struct qn_settings *old, const struct qn_settings *fresh)
{
    static const char *const fixed[] = {
        "listen.registry",  "listen.mirror",      "listen.admin",      "metrics.listen", "storage.root",
        "storage.max_size", "limits.connections", "limits.per_client", "limits.jobs",    "limits.worker_memory"};

    for (size_t i = 0; i < QN_ARRAY_LEN(fixed); i++)
        if (!json_equal((json_t *)(uintptr_t)value_at(old->effective, fixed[i]),
                        (json_t *)(uintptr_t)value_at(fresh->effective, fixed[i])))
            qn_log(QN_LOG_WARN, "this changes with the next start only", "key", fixed[i], NULL);
    if ((old->tls_cert.n == 0) != (fresh->tls_cert.n == 0))
        qn_log(QN_LOG_WARN, "this changes with the next start only", "key", "listen.tls", NULL);
}

static void setup_log(const struct qn_settings *s)
{
    qn_log_setup((enum qn_log_level)s->log_level, s->log_json ? QN_LOG_JSON : QN_LOG_TEXT);
}

static void reload(struct qn_server *s, const char *path, struct reloads **all)
{
    struct qn_settings *fresh = qn_new(struct qn_settings);
    const struct qn_settings *old = s->site->settings;
    char now[32];
    struct qn_err e;

    snprintf(now, sizeof now, "MONOTONIC_USEC=%lld", (long long)qn_time_mono_ms() * 1000);
    qn_notify("RELOADING=1");
    qn_notify(now);
    if (qn_cli_config(path, fresh, &e) < 0) {
        free(fresh);
        qn_log_err(QN_LOG_ERROR, "configuration not read again; the old one stays", &e, NULL);
    } else if (qn_server_reload(s, fresh, &e) < 0) {
        qn_settings_fini(fresh);
        free(fresh);
        qn_log_err(QN_LOG_ERROR, "configuration not put in force; the old one stays", &e, NULL);
    } else {
        struct reloads *r = qn_new(struct reloads);
        *r = (struct reloads){fresh, *all};
        *all = r;
        setup_log(fresh);
        tell_fixed(old, fresh);
        qn_log(QN_LOG_INFO, "configuration read again", NULL);
    }
    qn_notify("READY=1");
}

/* --- running ------------------------------------------------------------------------------------------------------ */
static void collect(struct qn_server *s)
{
    char id[QN_JOB_ID];
    struct qn_err e;

    if (qn_upkeep_start(s->site, QN_UPKEEP_GC, id, &e) < 0)
        qn_log_err(QN_LOG_WARN, "collection not started", &e, NULL);
}

/* Until SIGTERM or SIGINT. SIGHUP reads the configuration again; storage is collected now and then. */
static void run(struct qn_server *s, int signals, const char *path, struct reloads **all)
{
    int64_t next = qn_time_now() + COLLECT_EVERY;

    for (;;) {
        struct pollfd p = {signals, POLLIN, 0};
        struct signalfd_siginfo info = {.ssi_signo = 0};
        int64_t left = next - qn_time_now();
        int n = poll(&p, 1, left > 0 ? (int)QN_MIN(left * 1000, (int64_t)60000) : 0);
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0 && read(signals, &info, sizeof info) == (ssize_t)sizeof info && info.ssi_signo != SIGHUP)
            break;
        if (info.ssi_signo == SIGHUP)
            reload(s, path, all);
        if (qn_time_now() < next)
            continue;
        collect(s);
        next = qn_time_now() + COLLECT_EVERY;
    }
}

static int serve(const struct qn_settings *settings, const char *path, int signals, struct qn_err *e)
{
    struct reloads *all = NULL;
    struct qn_site *site;
    struct qn_server *server;

    if (qn_site_open(settings, &site, e) < 0)
        return -1;
    if (qn_server_new(site, &server, e) < 0) {
        qn_site_close(site);
        return -1;
    }
    qn_log(QN_LOG_INFO, "ready", "engine", site->engine, NULL);
    qn_notify("READY=1");
    run(server, signals, path, &all);
    qn_log(QN_LOG_INFO, "stopping", NULL);
    qn_notify("STOPPING=1");
    qn_server_stop(server, DRAIN_MS);
    qn_server_free(server);
    qn_site_close(site);
    while (all) {
        struct reloads *next = all->next;
        qn_settings_fini(all->settings);
        free(all->settings);
        free(all);
        all = next;
    }
    qn_log(QN_LOG_INFO, "stopped", NULL);
    return 0;
}

int qn_cmd_serve(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *path = NULL;
    struct qn_settings settings = {0};
    struct qn_err e;
    sigset_t set;
    int c;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (c == 'h') {
            printf("usage: quench serve %s\n", qn_cli_arguments("serve"));
            return 0;
        }
        if (c != 'c')
            return qn_cli_usage("serve", "wrong option");
        path = optarg;
    }
    if (optind < argc)
        return qn_cli_usage("serve", "\"%s\" is one argument too many", QN_Q(qn_str_c(argv[optind])));
    if (qn_cli_config(path, &settings, &e) < 0)
        return qn_cli_error(&e);
    setup_log(&settings);
    raise_files(settings.connections);
    /* Blocked before any thread starts, so that all of them leave these signals to the descriptor. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0) {
        qn_fail_errno(&e, QN_E_IO, "signalfd");
        return qn_cli_error(&e);
    }
    int status = serve(&settings, path, signals, &e) < 0 ? qn_cli_error(&e) : 0;
    close(signals);
    qn_settings_fini(&settings);
    return status;
}
