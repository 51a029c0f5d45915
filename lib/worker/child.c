#include "child.h"
#include "base/cur.h"
#include "base/fd.h"
#include "base/json.h"
#include "formats/digest.h"
#include "formats/rpmdb.h"
#include "jail.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
    uint16_t number;
    int (*run)(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
               struct qn_err *e);
} handlers[] = {
#define X(name, number, way, times, size, fds, handler, doing) {number, handler},
#include "messages.def"
#undef X
};

/* --- what handlers use -------------------------------------------------------------------------------------------- */

void qn_child_note(struct qn_child *child, const char *text)
{
    struct qn_err ignored;

    if (qn_peer_send(&child->peer, QN_M_NOTE, qn_str_n(text, strnlen(text, 256)), NULL, 0, &ignored) < 0)
        return;
}

void qn_child_input_init(struct qn_child_input *self, struct qn_child *child, int fd)
{
    *self = (struct qn_child_input){.child = child, .fd = fd};
}

static int wait_for_progress(struct qn_child_input *self, struct qn_err *e)
{
    qn_auto_frame struct qn_frame frame = {0};

    if (qn_peer_receive(&self->child->peer, -1, &frame, e) < 0)
        return e->code == QN_E_NETWORK ? qn_fail(e, QN_E_CANCELLED, "the daemon is gone") : -1;
    struct qn_cur c = qn_cur_init(frame.payload.p, frame.payload.n);
    uint64_t available = qn_cur_u64(&c), end = qn_cur_u64(&c);
    if (frame.info->number != QN_M_PROGRESS || c.bad || c.n || end > 1 || available < self->available)
        return qn_fail(e, QN_E_MALFORMED, "message %s where progress was due", frame.info->name);
    self->available = available;
    self->end = end;
    return 0;
}

int qn_child_input_read(struct qn_child_input *self, void *p, size_t n, size_t *got, struct qn_err *e)
{
    while (self->off == self->available && !self->end)
        if (wait_for_progress(self, e) < 0)
            return -1;
    size_t want = (size_t)QN_MIN((uint64_t)n, self->available - self->off);
    *got = 0;
    if (want == 0)
        return 0;
    if (qn_fd_pread(self->fd, p, want, self->off, got, e) < 0)
        return qn_err_wrap(e, "input");
    if (*got < want)
        return qn_fail(e, QN_E_IO, "input ends at %llu, %llu bytes were promised",
                       (unsigned long long)(self->off + *got), (unsigned long long)self->available);
    self->off += *got;
    return 0;
}

/* --- life of a worker --------------------------------------------------------------------------------------------- */

/* Whatever opens files or asks for random numbers when first used is used once before the doors close. */
static void warm_up(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    json_object_seed(0);
    (void)qn_digest_of(QN_STR("quench"));
    qn_rpmdb_warm_up();
    tzset(); /* gmtime() and timegm() look for a time zone once */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "1000", 4) != 4)
            (void)fd; /* only a preference: the limits hold without it */
        close(fd);
    }
}

/* The daemon's first bytes are its limits: memory, processor seconds, file size. */
static int read_limits(struct qn_jail *jail, struct qn_err *e)
{
    uint8_t raw[24];
    size_t got;

    if (qn_fd_read(QN_WORKER_FD, raw, sizeof raw, &got, e) < 0)
        return -1;
    struct qn_cur c = qn_cur_init(raw, got);
    *jail = (struct qn_jail){.memory = qn_cur_u64(&c), .cpu_seconds = qn_cur_u64(&c), .file_size = qn_cur_u64(&c)};
    return c.bad ? qn_fail(e, QN_E_NETWORK, "the daemon is gone") : 0;
}

static int say_hello(struct qn_child *child, const struct qn_jail_state *state, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 64};

    if (qn_buf_u32(&b, (uint32_t)state->landlock_abi, e) < 0 || qn_buf_u32(&b, state->sanitizer, e) < 0)
        return -1;
    return qn_peer_send(&child->peer, QN_M_HELLO, qn_buf_view(&b), NULL, 0, e);
}

static int handle(struct qn_child *child, const struct qn_frame *frame, const struct qn_handler *extra, size_t extras,
                  struct qn_buf *reply, struct qn_err *e)
{
    struct qn_str payload = qn_buf_view(&frame->payload);

    for (size_t i = 0; i < QN_ARRAY_LEN(handlers); i++)
        if (handlers[i].run && handlers[i].number == frame->info->number)
            return handlers[i].run(child, payload, frame->fds, frame->nfds, reply, e);
    for (size_t i = 0; i < extras; i++)
        if (extra[i].info->number == frame->info->number)
            return extra[i].run(child, payload, frame->fds, frame->nfds, reply, e);
    return qn_fail(e, QN_E_MALFORMED, "message %s is not a request", frame->info->name);
}

static int answer_error(struct qn_child *child, const struct qn_err *failure, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 1024};

    if (qn_err_encode(failure, &b, e) < 0)
        return -1;
    return qn_peer_send(&child->peer, QN_M_ERROR, qn_buf_view(&b), NULL, 0, e);
}

static int serve(struct qn_child *child, const struct qn_handler *extra, size_t extras, struct qn_err *e)
{
    qn_auto_frame struct qn_frame frame = {0};
    qn_auto_buf struct qn_buf reply = {.max = qn_message_find(&child->peer, QN_M_RESULT)->max_size};
    struct qn_err failure = {0};

    if (qn_peer_receive(&child->peer, -1, &frame, e) < 0) {
        failure = *e;
        /* A daemon that is gone, or never had work: a quiet end. */
        return failure.code == QN_E_NETWORK ? 0 : answer_error(child, &failure, e);
    }
    if (handle(child, &frame, extra, extras, &reply, &failure) < 0)
        return answer_error(child, &failure, e);
    return qn_peer_send(&child->peer, QN_M_RESULT, qn_buf_view(&reply), NULL, 0, e);
}

int qn_worker_main_with(const struct qn_handler *extra, size_t extras)
{
    struct qn_message_info rows[16];
    struct qn_child child = {.peer = {.fd = QN_WORKER_FD, .receives = QN_WAY_DOWN, .extra = rows, .extras = extras}};
    struct qn_jail jail;
    struct qn_jail_state state;
    struct qn_err e;

    qn_assert(extras <= QN_ARRAY_LEN(rows));
    for (size_t i = 0; i < extras; i++)
        rows[i] = *extra[i].info;
    /* Too large a file is an error of write(), not a signal. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    warm_up();
    if (read_limits(&jail, &e) < 0 || qn_jail_enter(&jail, QN_WORKER_FD, &state, &e) < 0) {
        fprintf(stderr, "quench worker: %s\n", e.msg);
        _exit(1);
    }
    int r = say_hello(&child, &state, &e);
    if (r == 0)
        r = serve(&child, extra, extras, &e);
    /* Without exit handlers: they belong to a process that may open files. */
    _exit(r == 0 ? 0 : 1);
}

int qn_worker_main(void)
{
    return qn_worker_main_with(NULL, 0);
}
