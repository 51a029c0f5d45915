#include "spawn.h"
#include "base/clock.h"
#include "base/cur.h"
#include "base/fd.h"
#include "base/mem.h"
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO_MS      20000 /* for a worker to start and lock itself up */
#define IDLE_MAX      64
#define PROGRESS_SIZE (QN_MESSAGE_HEADER + 16)

struct qn_worker {
    struct qn_peer peer;
    pid_t pid;  /* 0 once reaped */
    int status; /* of waitpid, then */
    int errors; /* what it wrote to its standard error: a memory file; -1 when inherited */
    bool sandbox_required;
    int landlock; /* -1 before the hello */
    uint64_t cpu_seconds, memory;
    const struct qn_message_info *request; /* NULL before */
    char note[257];
    /* The newest progress; older ones that the socket did not take need not be sent. */
    uint8_t progress[PROGRESS_SIZE];
    size_t progress_left; /* bytes of it not yet sent, at the end of the array */
    uint64_t available;
    struct qn_worker *next; /* in the pool */
};

/* --- starting ----------------------------------------------------------------------------------------------------- */

static bool sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

static int file_actions(posix_spawn_file_actions_t *a, int socket, int errors)
{
    int r = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDWR, 0);

    if (r == 0)
        r = posix_spawn_file_actions_adddup2(a, 0, 1);
    if (r == 0 && errors >= 0)
        r = posix_spawn_file_actions_adddup2(a, errors, 2);
    /* Descriptors 0 to 2 are open in every daemon, so the socket is 3 or above; dup2 clears close-on-exec, even onto
     * itself. */
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(a, socket, QN_WORKER_FD);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(a, QN_WORKER_FD + 1);
    return r;
}

static int attributes(posix_spawnattr_t *a)
{
    sigset_t none, all;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;

    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_setflags(a, flags);
    if (r == 0)
        r = posix_spawnattr_setsigmask(a, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(a, &all);
    /* A terminal's interrupt is for the daemon, which then ends its workers itself. */
    return r == 0 ? posix_spawnattr_setpgroup(a, 0) : r;
}

/* posix_spawn, because fork in a process with threads may leave locks taken. */
static int start(int socket, int errors, pid_t *pid, struct qn_err *e)
{
    static char name[] = "quench", verb[] = "worker", locale[] = "LC_ALL=C.UTF-8",
                asan[] = "ASAN_OPTIONS=detect_leaks=0:color=never";
    char *const argv[] = {name, verb, NULL};
    char *const env[] = {locale, sanitizer() ? asan : NULL, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;

    int r = posix_spawn_file_actions_init(&actions);
    if (r == 0 && (r = posix_spawnattr_init(&attr)) == 0) {
        r = file_actions(&actions, socket, errors);
        if (r == 0)
            r = attributes(&attr);
        if (r == 0)
            r = posix_spawn(pid, "/proc/self/exe", &actions, &attr, argv, env);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&actions);
    }
    if (r == 0)
        return 0;
    errno = r;
    return qn_fail_errno(e, QN_E_IO, "starting a worker");
}

static int send_limits(int fd, const struct qn_worker_options *options, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 64};

    if (qn_buf_u64(&b, options->memory, e) < 0 || qn_buf_u64(&b, options->cpu_seconds, e) < 0 ||
        qn_buf_u64(&b, options->file_size, e) < 0)
        return -1;
    return qn_fd_write(fd, b.p, b.n, e);
}

int qn_worker_spawn(const struct qn_worker_options *options, struct qn_worker **out, struct qn_err *e)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return qn_fail_errno(e, QN_E_IO, "starting a worker: socketpair");
    qn_auto_close int ours = pair[0];
    qn_auto_close int theirs = pair[1];
    qn_auto_close int errors = sanitizer() ? -1 : qn_fd_memfile("quench-worker", e);
    if (errors < 0 && !sanitizer())
        return -1;
    /* Before the start, so that a write into a closed socket cannot happen. */
    if (send_limits(ours, options, e) < 0 || start(theirs, errors, &pid, e) < 0)
        return -1;
    struct qn_worker *w = qn_new(struct qn_worker);
    w->peer = (struct qn_peer){
        .fd = qn_steal_fd(ours), .receives = QN_WAY_UP, .extra = options->extra, .extras = options->extras};
    w->pid = pid;
    w->errors = qn_steal_fd(errors);
    w->sandbox_required = options->sandbox_required;
    w->cpu_seconds = options->cpu_seconds;
    w->memory = options->memory;
    w->landlock = -1;
    *out = w;
    return 0;
}

/* --- dying -------------------------------------------------------------------------------------------------------- */

static void reap(struct qn_worker *w)
{
    if (w->pid == 0)
        return;
    while (waitpid(w->pid, &w->status, 0) < 0 && errno == EINTR)
        continue;
    w->pid = 0;
}

void qn_worker_free(struct qn_worker *w)
{
    if (!w)
        return;
    if (w->pid)
        kill(w->pid, SIGKILL);
    reap(w);
    close(w->peer.fd);
    if (w->errors >= 0)
        close(w->errors);
    free(w);
}

void qn_worker_cleanup(struct qn_worker **w)
{
    qn_worker_free(*w);
    *w = NULL;
}

/* Its last words, such as a failed assertion. */
static void last_words(const struct qn_worker *w, char *out, size_t size)
{
    uint64_t length = 0;
    char raw[160];
    size_t got = 0;
    struct qn_err ignored;

    out[0] = '\0';
    if (w->errors < 0 || qn_fd_size(w->errors, &length, &ignored) < 0 || length == 0)
        return;
    uint64_t from = length > sizeof raw ? length - sizeof raw : 0;
    if (qn_fd_pread(w->errors, raw, sizeof raw, from, &got, &ignored) < 0)
        return;
    snprintf(out, size, ": %s", QN_Q(qn_str_trim(qn_str_n(raw, got))));
}

/* The socket closed without an answer: tells how the process ended. */
static int died(struct qn_worker *w, struct qn_err *e)
{
    char how[96], said[192];
    const char *doing = w->request ? w->request->doing : "starting";

    /* What it is or was doing is of no use any more. */
    if (w->pid)
        kill(w->pid, SIGKILL);
    reap(w);
    last_words(w, said, sizeof said);
    if (WIFSIGNALED(w->status) && WTERMSIG(w->status) == SIGXCPU)
        return qn_fail(e, QN_E_LIMIT, "worker used more than %llu s of processor time while %s%s%s",
                       (unsigned long long)w->cpu_seconds, doing, w->note[0] ? ": " : "", w->note);
    if (WIFSIGNALED(w->status)) {
        const char *name = sigabbrev_np(WTERMSIG(w->status));
        snprintf(how, sizeof how, "killed by signal %d (SIG%s)", WTERMSIG(w->status), name ? name : "?");
    } else {
        snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(w->status));
    }
    return qn_fail(e, QN_E_WORKER, "worker died: %s while %s%s%s%s", how, doing, w->note[0] ? ": " : "", w->note, said);
}

/* A worker that breaks the protocol is not worth talking to. */
static int misbehaved(struct qn_worker *w, struct qn_err *e)
{
    struct qn_err cause = *e;

    if (cause.code == QN_E_NETWORK)
        return died(w, e);
    if (w->pid)
        kill(w->pid, SIGKILL);
    reap(w);
    return qn_fail(e, QN_E_WORKER, "worker broke the protocol while %s: %s",
                   w->request ? w->request->doing : "starting", cause.msg);
}

/* --- talking ------------------------------------------------------------------------------------------------------ */

static int read_hello(struct qn_worker *w, struct qn_err *e)
{
    qn_auto_frame struct qn_frame frame = {0};

    if (qn_peer_receive(&w->peer, qn_time_mono_ms() + HELLO_MS, &frame, e) < 0)
        return misbehaved(w, e);
    struct qn_cur c = qn_cur_init(frame.payload.p, frame.payload.n);
    uint32_t abi = qn_cur_u32(&c);
    (void)qn_cur_u32(&c);
    if (frame.info->number != QN_M_HELLO || c.bad || c.n || abi > 1000) {
        (void)qn_fail(e, QN_E_MALFORMED, "message %s instead of a hello", frame.info->name);
        return misbehaved(w, e);
    }
    w->landlock = (int)abi;
    return 0;
}

int qn_worker_request(struct qn_worker *w, enum qn_message request, struct qn_str payload, const int *fds, size_t nfds,
                      struct qn_err *e)
{
    qn_assert(!w->request);
    if (w->landlock < 0 && read_hello(w, e) < 0)
        return -1;
    if (w->landlock == 0 && w->sandbox_required)
        return qn_fail(e, QN_E_UNSUPPORTED, "this kernel has no Landlock and the sandbox is required");
    w->request = qn_message_find(&w->peer, (uint16_t)request);
    qn_assert(w->request);
    if (qn_peer_send(&w->peer, (uint16_t)request, payload, fds, nfds, e) < 0)
        return e->code == QN_E_NETWORK ? died(w, e) : -1;
    return 0;
}

/* Sends what the socket takes; a dead worker is found by whoever waits for the answer. */
static void push_progress(struct qn_worker *w)
{
    while (w->progress_left) {
        ssize_t k = send(w->peer.fd, w->progress + PROGRESS_SIZE - w->progress_left, w->progress_left,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && errno != EAGAIN)
            w->progress_left = 0;
        if (k <= 0)
            return;
        w->progress_left -= (size_t)k;
    }
}

int qn_worker_progress(struct qn_worker *w, uint64_t available, bool end, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 16};

    qn_assert(w->request && available >= w->available);
    w->available = available;
    /* Half a message must be completed first. */
    push_progress(w);
    if (w->progress_left && w->progress_left < PROGRESS_SIZE && !end)
        return 0;
    while (w->progress_left && w->progress_left < PROGRESS_SIZE) {
        struct pollfd p = {.fd = w->peer.fd, .events = POLLOUT};
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return qn_fail_errno(e, QN_E_IO, "worker: poll");
        push_progress(w);
    }
    if (qn_buf_u64(&b, available, e) < 0 || qn_buf_u64(&b, end, e) < 0)
        return -1;
    qn_header_make(w->progress, QN_M_PROGRESS, 0, b.n);
    memcpy(w->progress + QN_MESSAGE_HEADER, b.p, b.n);
    w->progress_left = PROGRESS_SIZE;
    push_progress(w);
    return 0;
}

static void take_note(struct qn_worker *w, struct qn_str text, const struct qn_worker_events *events)
{
    snprintf(w->note, sizeof w->note, "%s", QN_Q(text));
    if (events && events->note)
        events->note(events->ctx, qn_str_c(w->note));
}

/* Waits until the worker says something, sending on what it can take meanwhile. */
static int wait_for_word(struct qn_worker *w, int64_t deadline_ms, struct qn_err *e)
{
    for (;;) {
        int64_t left = deadline_ms < 0 ? 1000 : QN_MAX(deadline_ms - qn_time_mono_ms(), 0);
        struct pollfd p = {.fd = w->peer.fd, .events = (short)(POLLIN | (w->progress_left ? POLLOUT : 0))};
        int r = poll(&p, 1, (int)QN_MIN(left, 1000));
        if (r < 0 && errno != EINTR)
            return qn_fail_errno(e, QN_E_IO, "worker: poll");
        if (r > 0 && (p.revents & (POLLIN | POLLHUP | POLLERR)))
            return 0;
        push_progress(w);
        if (r == 0 && deadline_ms >= 0 && left == 0)
            return qn_fail(e, QN_E_TIMEOUT, "worker is still %s%s%s", w->request->doing, w->note[0] ? ": " : "",
                           w->note);
    }
}

static int take_error(struct qn_worker *w, struct qn_str payload, struct qn_err *e)
{
    struct qn_err theirs;

    if (qn_err_decode(payload, &theirs, e) < 0)
        return misbehaved(w, e);
    /* Its memory is what it was given, not what the machine has: trying again does not help. */
    if (theirs.code == QN_E_NOMEM && w->memory)
        return qn_fail(e, QN_E_LIMIT, "worker needs more than %llu bytes of memory while %s: %s",
                       (unsigned long long)w->memory, w->request->doing, theirs.msg);
    *e = theirs;
    return -1;
}

int qn_worker_wait(struct qn_worker *w, int64_t deadline_ms, const struct qn_worker_events *events,
                   struct qn_buf *reply, struct qn_err *e)
{
    qn_assert(w->request);
    for (;;) {
        qn_auto_frame struct qn_frame frame = {0};
        if (wait_for_word(w, deadline_ms, e) < 0)
            return -1;
        if (qn_peer_receive(&w->peer, deadline_ms, &frame, e) < 0)
            return misbehaved(w, e);
        switch (frame.info->number) {
        case QN_M_NOTE:
            take_note(w, qn_buf_view(&frame.payload), events);
            break;
        case QN_M_RESULT:
            return qn_buf_str(reply, qn_buf_view(&frame.payload), e);
        case QN_M_ERROR:
            return take_error(w, qn_buf_view(&frame.payload), e);
        default:
            (void)qn_fail(e, QN_E_MALFORMED, "message %s out of place", frame.info->name);
            return misbehaved(w, e);
        }
    }
}

int qn_worker_fd(const struct qn_worker *w)
{
    return w->peer.fd;
}

int qn_worker_landlock(const struct qn_worker *w)
{
    return w->landlock;
}

/* --- the pool ----------------------------------------------------------------------------------------------------- */

struct qn_workers {
    pthread_mutex_t lock;
    struct qn_worker_options options;
    struct qn_worker *idle;
    unsigned n, want;
};

static void push_idle(struct qn_workers *self, struct qn_worker *w)
{
    pthread_mutex_lock(&self->lock);
    w->next = self->idle;
    self->idle = w;
    self->n++;
    pthread_mutex_unlock(&self->lock);
}

static struct qn_worker *pop_idle(struct qn_workers *self, unsigned *left)
{
    pthread_mutex_lock(&self->lock);
    struct qn_worker *w = self->idle;
    if (w) {
        self->idle = w->next;
        self->n--;
        w->next = NULL;
    }
    *left = self->n;
    pthread_mutex_unlock(&self->lock);
    return w;
}

int qn_workers_new(const struct qn_worker_options *options, unsigned idle, struct qn_workers **out, struct qn_err *e)
{
    struct qn_workers *self = qn_new(struct qn_workers);

    pthread_mutex_init(&self->lock, NULL);
    self->options = *options;
    self->want = QN_MIN(idle, IDLE_MAX);
    for (unsigned i = 0; i < self->want; i++) {
        struct qn_worker *w;
        if (qn_worker_spawn(options, &w, e) < 0) {
            qn_workers_free(self);
            return -1;
        }
        push_idle(self, w);
    }
    *out = self;
    return 0;
}

/* Whether an idle worker's process ended (somebody killed it, or its start failed). */
static bool is_gone(const struct qn_worker *w)
{
    struct pollfd p = {.fd = w->peer.fd, .events = 0};

    return poll(&p, 1, 0) > 0;
}

int qn_workers_take(struct qn_workers *self, struct qn_worker **out, struct qn_err *e)
{
    struct qn_err ignored;
    struct qn_worker *w, *fresh;
    unsigned left;

    while ((w = pop_idle(self, &left)) && is_gone(w))
        qn_worker_free(w);
    if (!w && qn_worker_spawn(&self->options, &w, e) < 0)
        return -1;
    /* The next one is tried for now; if it cannot start, whoever needs it will see why. */
    if (left < self->want && qn_worker_spawn(&self->options, &fresh, &ignored) == 0)
        push_idle(self, fresh);
    *out = w;
    return 0;
}

void qn_workers_free(struct qn_workers *self)
{
    struct qn_worker *w;
    unsigned left;

    if (!self)
        return;
    while ((w = pop_idle(self, &left)))
        qn_worker_free(w);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
