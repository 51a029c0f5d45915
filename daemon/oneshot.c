#include "oneshot_int.h"
#include "cli.h"

#include "base/fd.h"
#include "upstream/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* --- options ------------------------------------------------------------------------------------------------------ */
static int push(struct qn_oneshot_list *list, const char *arg, const char *name, struct qn_err *e)
{
    if (list->n == QN_ONESHOT_LIST_MAX)
        return qn_fail(e, QN_E_USAGE, "--%s: at most %d times", name, QN_ONESHOT_LIST_MAX);
    list->v[list->n++] = arg;
    return 0;
}

int qn_oneshot_option(struct qn_oneshot_options *o, int code, const char *arg, struct qn_err *e)
{
    const char **text = code == QN_OPT_CONFIG    ? &o->config
                        : code == QN_OPT_POLICY  ? &o->policy
                        : code == QN_OPT_PROFILE ? &o->profile
                        : code == QN_OPT_USE     ? &o->use
                        : code == QN_OPT_WORK    ? &o->work
                                                 : NULL;
    bool *flag = code == QN_OPT_QUIET       ? &o->quiet
                 : code == QN_OPT_SRC_PLAIN ? &o->src_plain_http
                 : code == QN_OPT_DST_PLAIN ? &o->dst_plain_http
                                            : NULL;
    if (text)
        *text = arg;
    else if (flag)
        *flag = true;
    else if (code == QN_OPT_PLATFORM)
        return push(&o->platform, arg, "platform", e);
    else if (code == QN_OPT_RULE)
        return push(&o->rule, arg, "rule", e);
    else if (code == QN_OPT_KEEP)
        return push(&o->keep, arg, "keep", e);
    else if (code == QN_OPT_KEEP_COMMAND)
        return push(&o->keep_command, arg, "keep-command", e);
    else
        return qn_fail(e, QN_E_USAGE, "wrong option");
    return 0;
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

/* A thread that ends the work in order when a signal asks for it: transfers, workers, then the private directory. */
struct watch {
    struct qn_oneshot *o;
    sigset_t set, before;
    int signals, stop;
    pthread_t thread;
};

static void *watching(void *arg)
{
    struct watch *w = arg;
    bool again = false;

    for (;;) {
        struct pollfd p[2] = {{w->signals, POLLIN, 0}, {w->stop, POLLIN, 0}};
        struct signalfd_siginfo info;
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[1].revents)
            return NULL;
        if (!p[0].revents || read(w->signals, &info, sizeof info) != (ssize_t)sizeof info)
            continue;
        if (again) {
            rmdir(w->o->work);
            _exit(1);
        }
        again = true;
        atomic_store(&w->o->cancel, true);
        if (w->o->client)
            qn_client_stop(w->o->client);
    }
}

static int watch_start(struct watch *w, struct qn_err *e)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};

    sigemptyset(&w->set);
    for (size_t i = 0; i < QN_ARRAY_LEN(wanted); i++) {
        struct sigaction now;
        /* nohup and the like: what is ignored stays ignored. */
        if (sigaction(wanted[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&w->set, wanted[i]);
    }
    /* Blocked before any thread starts, so that every thread leaves them to the descriptor. */
    pthread_sigmask(SIG_BLOCK, &w->set, &w->before);
    w->signals = signalfd(-1, &w->set, SFD_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC);
    return w->signals < 0 || w->stop < 0 ? qn_fail_errno(e, QN_E_IO, "signalfd") : 0;
}

static void watch_end(struct watch *w, bool started)
{
    uint64_t one = 1;

    if (started && write(w->stop, &one, sizeof one) == (ssize_t)sizeof one)
        pthread_join(w->thread, NULL);
    if (w->signals >= 0)
        close(w->signals);
    if (w->stop >= 0)
        close(w->stop);
    pthread_sigmask(SIG_SETMASK, &w->before, NULL);
}

/* --- the private directory ---------------------------------------------------------------------------------------- */

/* The daemon empties its own tmp when it starts, and takes what it finds for its own. */
static int not_the_root(const struct qn_oneshot *o, const char *parent, struct qn_err *e)
{
    char root[QN_PATH_MAX], here[QN_PATH_MAX], text[QN_PATH_MAX];

    if (!qn_str_copy(o->settings.root, text, sizeof text) || !realpath(text, root) || !realpath(parent, here))
        return 0;
    return qn_path_under(qn_str_c(here), qn_str_c(root))
               ? qn_fail(e, QN_E_USAGE, "--work \"%s\": lies in the daemon's storage.root", QN_Q(qn_str_c(parent)))
               : 0;
}

static int make_work(struct qn_oneshot *o, struct qn_err *e)
{
    const char *tmp = getenv("TMPDIR");
    const char *parent = o->opt->work ? o->opt->work : tmp && *tmp ? tmp : "/tmp";

    if (o->opt->work && not_the_root(o, parent, e) < 0)
        return -1;
    int n = snprintf(o->work, sizeof o->work, "%s/quench-XXXXXX", parent);
    if (n < 0 || (size_t)n >= sizeof o->work)
        return qn_fail(e, QN_E_USAGE, "--work: the path is too long");
    if (mkdtemp(o->work))
        return 0;
    o->work[0] = '\0';
    return qn_fail_errno(e, QN_E_IO, "making a private directory in \"%s\"", QN_Q(qn_str_c(parent)));
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

/* A layer is a few open files; an image may have 127. */
static void raise_files(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

static int start_workers(struct qn_oneshot *o, struct qn_err *e)
{
    struct qn_worker_options options = {.memory = o->settings.worker_memory,
                                        .cpu_seconds = o->settings.job_time,
                                        .file_size = o->settings.limits.image_size + (1ull << 30)};
    return qn_workers_new(&options, 2, &o->workers, e) < 0 ? qn_err_wrap(e, "worker processes") : 0;
}

static int watched(struct qn_oneshot *o, struct qn_err *e)
{
    struct watch w = {.o = o, .signals = -1, .stop = -1};
    bool started = false;
    int r = watch_start(&w, e);

    if (r == 0)
        r = qn_oneshot_places(o, e);
    if (r == 0)
        r = qn_oneshot_policy(o, e);
    if (r == 0)
        r = make_work(o, e);
    if (r == 0 && pthread_create(&w.thread, NULL, watching, &w) != 0)
        r = qn_fail(e, QN_E_NOMEM, "thread");
    else
        started = r == 0;
    if (r == 0)
        r = start_workers(o, e);
    if (r == 0)
        r = qn_oneshot_source(o, e);
    if (r == 0)
        r = qn_oneshot_all(o, e);
    watch_end(&w, started);
    return r;
}

int qn_oneshot_run(const struct qn_oneshot_options *opt, struct qn_oneshot_result *out, struct qn_err *e)
{
    struct qn_oneshot o = {.opt = opt};

    raise_files();
    if (qn_cli_config(opt->config, &o.settings, e) < 0)
        return -1;
    pthread_mutex_init(&o.lock, NULL);
    qn_progress_init(&o.progress, opt->quiet);
    int r = watched(&o, e);
    /* Whatever a signal made fail first: that it was the signal is what people want to know. */
    if (r < 0 && atomic_load(&o.cancel))
        qn_fail(e, QN_E_CANCELLED, "%s: cancelled by a signal", opt->src);
    qn_progress_fini(&o.progress);
    qn_oneshot_drop(&o);
    free(o.held);
    qn_dest_fini(&o.dest);
    qn_source_fini(&o.source);
    if (o.client)
        qn_client_stop(o.client);
    qn_registry_free(o.from_registry);
    qn_registry_free(o.to_registry);
    qn_client_free(o.client);
    qn_workers_free(o.workers);
    if (o.work[0])
        rmdir(o.work);
    json_decref(o.policy);
    pthread_mutex_destroy(&o.lock);
    qn_settings_fini(&o.settings);
    if (r == 0)
        *out = o.result;
    else
        qn_oneshot_result_fini(&o.result);
    return r;
}

void qn_oneshot_result_fini(struct qn_oneshot_result *r)
{
    for (size_t i = 0; i < r->n; i++) {
        json_decref(r->image[i].report);
        json_decref(r->image[i].answer);
        qn_derived_facts_free(r->image[i].facts);
        free(r->image[i].before);
        free(r->image[i].after);
    }
    free(r->image);
    *r = (struct qn_oneshot_result){0};
}

int qn_oneshot_compare(const struct qn_oneshot_options *opt, const struct qn_oneshot_image *a,
                       const struct qn_oneshot_image *b, json_t **out, struct qn_err *e)
{
    struct qn_oneshot o = {.opt = opt};

    if (qn_cli_config(opt->config, &o.settings, e) < 0)
        return -1;
    int r = start_workers(&o, e);
    if (r == 0) {
        struct qn_derive_env env = {.workers = o.workers, .limits = o.settings.limits, .deadline_ms = -1};
        r = qn_compare(&env, a->facts, b->facts, out, e);
    }
    qn_workers_free(o.workers);
    qn_settings_fini(&o.settings);
    return r;
}
