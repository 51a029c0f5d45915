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

/* Until SIGTERM or SIGINT; storage is collected now and then. */
static void run(struct qn_server *s, int signals)
{
    int64_t next = qn_time_now() + COLLECT_EVERY;

    for (;;) {
        struct pollfd p = {signals, POLLIN, 0};
        int64_t left = next - qn_time_now();
        int n = poll(&p, 1, left > 0 ? (int)QN_MIN(left * 1000, (int64_t)60000) : 0);
        if (n > 0)
            break;
        if (n < 0 && errno != EINTR)
            break;
        if (qn_time_now() < next)
            continue;
        qn_upkeep_run(s->site, QN_UPKEEP_GC);
        next = qn_time_now() + COLLECT_EVERY;
    }
}

static int serve(const struct qn_settings *settings, int signals, struct qn_err *e)
{
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
    run(server, signals);
    qn_log(QN_LOG_INFO, "stopping", NULL);
    qn_notify("STOPPING=1");
    qn_server_stop(server, DRAIN_MS);
    qn_server_free(server);
    qn_site_close(site);
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
    qn_log_setup((enum qn_log_level)settings.log_level, settings.log_json ? QN_LOG_JSON : QN_LOG_TEXT);
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
    int status = serve(&settings, signals, &e) < 0 ? qn_cli_error(&e) : 0;
    close(signals);
    qn_settings_fini(&settings);
    return status;
}
