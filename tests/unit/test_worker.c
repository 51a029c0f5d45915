#include "test_worker.h"
#include "base/clock.h"
#include "base/cur.h"
#include "base/fd.h"
#include "base/mem.h"
#include "formats/deflate.h"
#include "formats/tar_write.h"
#include "harden/pieces.h"
#include "unit.h"
#include "worker/handle_rewrite.h"
#include "worker/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the workers' side ----------------------------------------------------------------------------------------- */

#define M_DRILL 0xf000
#define M_INPUT 0xf001

static const struct qn_message_info test_rows[] = {
    {M_DRILL, "DRILL", QN_WAY_DOWN, QN_TIMES_ONCE, 4096, 2, "trying to escape"},
    {M_INPUT, "INPUT", QN_WAY_DOWN, QN_TIMES_ONCE, 4096, 1, "summing bytes"},
};

/* Answers errno of what was tried, 0 when it worked. */
static int drill(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                 struct qn_err *e)
{
    int r = 0;

    errno = 0;
    if (qn_str_eq_c(payload, "nothing"))
        return qn_buf_c(reply, "fine", e);
    if (qn_str_eq_c(payload, "open"))
        r = open("/etc/passwd", O_RDONLY);
    else if (qn_str_eq_c(payload, "socket"))
        r = socket(AF_INET, SOCK_STREAM, 0);
    else if (qn_str_eq_c(payload, "exec"))
        r = execl("/bin/true", "true", (char *)NULL);
    else if (qn_str_eq_c(payload, "fork"))
        r = fork();
    else if (qn_str_eq_c(payload, "kill"))
        r = kill(getppid(), 0);
    else if (qn_str_eq_c(payload, "mprotect"))
        r = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
    else if (qn_str_eq_c(payload, "send"))
        r = (int)send(fds[0], "x", 1, 0);
    else if (qn_str_eq_c(payload, "memory")) {
        char *volatile big = malloc(1ull << 30);
        r = big ? 0 : -1;
        free(big);
    } else if (qn_str_eq_c(payload, "loop")) {
        for (volatile unsigned i = 0;; i++)
            continue;
    } else if (qn_str_eq_c(payload, "sleep")) {
        qn_child_note(child, "resting\n\x1b[31m");
        char byte;
        r = (int)read(QN_WORKER_FD, &byte, 1);
    } else if (qn_str_eq_c(payload, "assert")) {
        qn_assert(nfds == 77);
    } else if (qn_str_eq_c(payload, "file")) {
        r = ftruncate(fds[0], 1 << 20) || pwrite(fds[0], "xy", 2, (1 << 20) - 1) != 2;
    } else if (qn_str_eq_c(payload, "fail")) {
        return qn_fail(e, QN_E_UNSUPPORTED, "layer 3: \x01 no such format");
    } else if (qn_str_eq_c(payload, "nomem")) {
        return qn_fail(e, QN_E_NOMEM, "no memory for a tree");
    } else if (qn_str_eq_c(payload, "garbage")) {
        r = (int)write(QN_WORKER_FD, "this is not a message at all, is it?", 36);
    } else if (qn_str_eq_c(payload, "huge")) {
        uint8_t h[QN_MESSAGE_HEADER];
        qn_header_make(h, QN_M_RESULT, 0, 1ull << 40);
        r = (int)write(QN_WORKER_FD, h, sizeof h);
    } else if (qn_str_eq_c(payload, "notes")) {
        for (int i = 0; i < 2000; i++)
            qn_child_note(child, "still here");
    }
    return qn_buf_u32(reply, (uint32_t)(r < 0 ? errno : 0), e);
}

static int sum_input(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                     struct qn_err *e)
{
    struct qn_child_input in;
    uint64_t sum = 0, total = 0;
    uint8_t block[1000];
    size_t got;

    (void)payload;
    if (nfds != 1)
        return qn_fail(e, QN_E_MALFORMED, "one file, please");
    qn_child_input_init(&in, child, fds[0]);
    for (;;) {
        if (qn_child_input_read(&in, block, sizeof block, &got, e) < 0)
            return -1;
        if (got == 0)
            break;
        for (size_t i = 0; i < got; i++)
            sum += block[i];
        total += got;
    }
    if (qn_buf_u64(reply, sum, e) < 0)
        return -1;
    return qn_buf_u64(reply, total, e);
}

const struct qn_handler test_worker_handlers[TEST_WORKER_HANDLERS] = {
    {&test_rows[0], drill},
    {&test_rows[1], sum_input},
};

/* --- the daemon's side ----------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER 1
#else
#define SANITIZER 0
#endif

static const struct qn_worker_options options = {
    .memory = 256u << 20, .cpu_seconds = 20, .file_size = 1u << 20, .extra = test_rows, .extras = 2};

static struct qn_worker *ask(const struct qn_worker_options *o, uint16_t number, const char *what, const int *fds,
                             size_t nfds)
{
    struct qn_worker *w;
    struct qn_err e;

    qn_ok(qn_worker_spawn(o, &w, &e), e);
    qn_ok(qn_worker_request(w, (enum qn_message)number, qn_str_c(what), fds, nfds, &e), e);
    return w;
}

/* Runs a drill; gives the errno that it met, or -1 with the error. */
static int tried(const char *what, const int *fds, size_t nfds, struct qn_err *e)
{
    qn_auto_worker struct qn_worker *w = ask(&options, M_DRILL, what, fds, nfds);
    qn_auto_buf struct qn_buf reply = {.max = 4096};

    *e = (struct qn_err){0};
    if (qn_worker_wait(w, qn_time_mono_ms() + 60000, NULL, &reply, e) < 0)
        return -1;
    ck_assert_uint_eq(reply.n, 4);
    struct qn_cur c = qn_cur_init(reply.p, reply.n);
    return (int)qn_cur_u32(&c);
}

static void killed_for(const char *what, const int *fds, size_t nfds)
{
    struct qn_err e;
    int r = tried(what, fds, nfds, &e);

    ck_assert_msg(r == -1 && e.code == QN_E_WORKER, "%s: %d, %s", what, r, e.msg);
    ck_assert_msg(strstr(e.msg, "worker died: killed by signal 31 (SIGSYS) while trying to escape"), "%s: %s", what,
                  e.msg);
}

START_TEST(a_worker_answers)
{
    qn_auto_worker struct qn_worker *w = ask(&options, M_DRILL, "nothing", NULL, 0);
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    struct qn_err e;

    qn_ok(qn_worker_wait(w, -1, NULL, &reply, &e), e);
    qn_is(qn_buf_view(&reply), "fine");
    ck_assert_int_ge(qn_worker_landlock(w), 0);
}
END_TEST

START_TEST(nothing_opens_from_inside)
{
    struct qn_err e;
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    killed_for("socket", NULL, 0);
    killed_for("exec", NULL, 0);
    killed_for("fork", NULL, 0);
    killed_for("kill", NULL, 0);
    killed_for("mprotect", NULL, 0);
    killed_for("send", pair, 1); /* not even on a socket that it holds */
    if (SANITIZER)
        ck_assert_int_eq(tried("open", NULL, 0, &e), EACCES);
    else
        killed_for("open", NULL, 0);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(memory_is_bounded)
{
    struct qn_err e;

    if (SANITIZER)
        return; /* no RLIMIT_DATA there */
    ck_assert_int_eq(tried("memory", NULL, 0, &e), ENOMEM);
    ck_assert_int_eq(tried("nomem", NULL, 0, &e), -1);
    ck_assert_int_eq(e.code, QN_E_LIMIT);
}
END_TEST

START_TEST(processor_time_is_bounded)
{
    struct qn_worker_options o = options;
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    struct qn_err e;

    o.cpu_seconds = 1;
    qn_auto_worker struct qn_worker *w = ask(&o, M_DRILL, "loop", NULL, 0);
    qn_fails(qn_worker_wait(w, -1, NULL, &reply, &e), e, QN_E_LIMIT);
    ck_assert_str_eq(e.msg, "worker used more than 1 s of processor time while trying to escape");
}
END_TEST

START_TEST(file_size_is_bounded)
{
    struct qn_err e;
    qn_auto_close int fd = qn_fd_memfile("t", &e);

    ck_assert_int_eq(tried("file", &fd, 1, &e), 0);
    uint64_t size;
    qn_ok(qn_fd_size(fd, &size, &e), e);
    ck_assert_uint_eq(size, 1u << 20);
}
END_TEST

static void count_note(void *ctx, struct qn_str text)
{
    unsigned *n = ctx;

    ck_assert(qn_str_utf8(text) && qn_str_chr(text, '\n') < 0 && qn_str_chr(text, '\x1b') < 0);
    ++*n;
}

START_TEST(a_deadline_leaves_the_worker_running)
{
    qn_auto_worker struct qn_worker *w = ask(&options, M_DRILL, "sleep", NULL, 0);
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    unsigned notes = 0;
    struct qn_worker_events events = {count_note, &notes};
    struct qn_err e;

    while (notes == 0)
        qn_fails(qn_worker_wait(w, qn_time_mono_ms() + 50, &events, &reply, &e), e, QN_E_TIMEOUT);
    qn_fails(qn_worker_wait(w, qn_time_mono_ms(), &events, &reply, &e), e, QN_E_TIMEOUT);
    ck_assert_msg(strstr(e.msg, "still trying to escape: resting"), "%s", e.msg);
    qn_ok(qn_worker_progress(w, 1, true, &e), e); /* wakes it up */
    qn_ok(qn_worker_wait(w, -1, &events, &reply, &e), e);
    ck_assert_uint_eq(reply.n, 4);
}
END_TEST

START_TEST(many_notes_do_not_block)
{
    qn_auto_worker struct qn_worker *w = ask(&options, M_DRILL, "notes", NULL, 0);
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    unsigned notes = 0;
    struct qn_worker_events events = {count_note, &notes};
    struct qn_err e;

    for (unsigned i = 1; i < 3000; i++)
        qn_ok(qn_worker_progress(w, i, false, &e), e); /* nobody reads them */
    qn_ok(qn_worker_wait(w, -1, &events, &reply, &e), e);
    ck_assert_uint_eq(notes, 2000);
}
END_TEST

START_TEST(deaths_are_told_apart)
{
    struct qn_err e;

    ck_assert_int_eq(tried("assert", NULL, 0, &e), -1);
    ck_assert_int_eq(e.code, QN_E_WORKER);
    ck_assert_msg(strstr(e.msg, "killed by signal 6 (SIGABRT) while trying to escape"), "%s", e.msg);
    if (!SANITIZER)
        ck_assert_msg(strstr(e.msg, "assertion failed: nfds == 77"), "%s", e.msg);

    ck_assert_int_eq(tried("fail", NULL, 0, &e), -1);
    ck_assert_int_eq(e.code, QN_E_UNSUPPORTED);
    ck_assert_str_eq(e.msg, "layer 3: ? no such format");
}
END_TEST

START_TEST(a_worker_that_breaks_the_protocol_is_dropped)
{
    struct qn_err e;

    ck_assert_int_eq(tried("garbage", NULL, 0, &e), -1);
    ck_assert_int_eq(e.code, QN_E_WORKER);
    ck_assert_msg(strstr(e.msg, "broke the protocol"), "%s", e.msg);
    ck_assert_int_eq(tried("huge", NULL, 0, &e), -1);
    ck_assert_int_eq(e.code, QN_E_WORKER);
    ck_assert_msg(strstr(e.msg, "message RESULT of 1099511627776 bytes"), "%s", e.msg);
}
END_TEST

START_TEST(an_answer_comes_once)
{
    qn_auto_worker struct qn_worker *w = ask(&options, M_DRILL, "nothing", NULL, 0);
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    struct qn_err e;

    qn_ok(qn_worker_wait(w, -1, NULL, &reply, &e), e);
    qn_fails(qn_worker_wait(w, -1, NULL, &reply, &e), e, QN_E_WORKER);
    ck_assert_msg(strstr(e.msg, "exit status 0"), "%s", e.msg);
}
END_TEST

START_TEST(input_grows)
{
    struct qn_err e;
    qn_auto_close int fd = qn_fd_memfile("t", &e);
    qn_auto_worker struct qn_worker *w = ask(&options, M_INPUT, "", &fd, 1);
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    uint64_t sum = 0, off = 0;

    for (unsigned i = 0; i < 300; i++) {
        uint8_t part[700];
        memset(part, (int)i & 0xff, sizeof part);
        for (size_t k = 0; k < sizeof part; k++)
            sum += part[k];
        qn_ok(qn_fd_pwrite(fd, part, sizeof part, off, &e), e);
        off += sizeof part;
        qn_ok(qn_worker_progress(w, off, i == 299, &e), e);
        if (i % 100 == 0)
            qn_fails(qn_worker_wait(w, qn_time_mono_ms() + 20, NULL, &reply, &e), e, QN_E_TIMEOUT);
    }
    qn_ok(qn_worker_wait(w, -1, NULL, &reply, &e), e);
    struct qn_cur c = qn_cur_init(reply.p, reply.n);
    ck_assert_uint_eq(qn_cur_u64(&c), sum);
    ck_assert_uint_eq(qn_cur_u64(&c), off);
}
END_TEST

START_TEST(input_that_is_shorter_than_promised)
{
    struct qn_err e;
    qn_auto_close int fd = qn_fd_memfile("t", &e);
    qn_auto_worker struct qn_worker *w = ask(&options, M_INPUT, "", &fd, 1);
    qn_auto_buf struct qn_buf reply = {.max = 4096};

    qn_ok(qn_worker_progress(w, 100, true, &e), e);
    qn_fails(qn_worker_wait(w, -1, NULL, &reply, &e), e, QN_E_IO);
    ck_assert_str_eq(e.msg, "input ends at 0, 100 bytes were promised");
}
END_TEST

START_TEST(a_pool_keeps_workers_ready)
{
    struct qn_workers *pool;
    struct qn_err e;

    qn_ok(qn_workers_new(&options, 2, &pool, &e), e);
    for (unsigned i = 0; i < 5; i++) {
        qn_auto_worker struct qn_worker *w = NULL;
        qn_auto_buf struct qn_buf reply = {.max = 4096};
        qn_ok(qn_workers_take(pool, &w, &e), e);
        qn_ok(qn_worker_request(w, (enum qn_message)M_DRILL, QN_STR("nothing"), NULL, 0, &e), e);
        qn_ok(qn_worker_wait(w, -1, NULL, &reply, &e), e);
        qn_is(qn_buf_view(&reply), "fine");
    }
    qn_workers_free(pool);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(rewriting_in_a_worker)
{
    struct qn_err e;
    qn_auto_close int source = qn_fd_memfile("s", &e);
    qn_auto_close int out = qn_fd_memfile("o", &e);
    qn_auto_close int list = qn_fd_memfile("l", &e);
    qn_auto_pieces struct qn_pieces pieces = {0};
    qn_auto_buf struct qn_buf reply = {.max = 4096};
    struct qn_rewrite job = {
        .source = source, .source_size = 10, .tar_size = 10, .file = -1, .to = QN_PLAIN, .out = out, .max_out = 1000};
    struct qn_rewritten done;
    struct qn_worker *w;
    struct qn_str encoding;
    char text[32];
    size_t got;

    qn_ok(qn_fd_pwrite(source, "0123456789", 10, 0, &e), e);
    qn_pieces_init(&pieces, 4096);
    qn_ok(qn_pieces_copy(&pieces, 5, 10, &e), e);
    qn_ok(qn_pieces_lit(&pieces, QN_STR("--"), &e), e);
    qn_ok(qn_pieces_copy(&pieces, 0, 3, &e), e);
    qn_ok(qn_pieces_finish(&pieces, &encoding, &e), e);
    qn_ok(qn_fd_pwrite(list, encoding.p, encoding.n, 0, &e), e);
    qn_ok(qn_worker_spawn(&options, &w, &e), e);
    qn_ok(qn_worker_request_rewrite(w, &job, list, &e), e);
    qn_ok(qn_worker_wait(w, -1, NULL, &reply, &e), e);
    qn_worker_free(w);
    qn_ok(qn_rewritten_decode(qn_buf_view(&reply), &done, &e), e);
    ck_assert_uint_eq(done.tar_size, 10);
    ck_assert_uint_eq(done.size, 10);
    struct qn_digest want = qn_digest_of(QN_STR("56789--012"));
    ck_assert(qn_digest_eq(&want, &done.diff_id));
    qn_ok(qn_fd_pread(out, text, sizeof text, 0, &got, &e), e);
    qn_is(qn_str_n(text, got), "56789--012");
    qn_fails(qn_rewritten_decode(QN_STR("short"), &done, &e), e, QN_E_MALFORMED);

    job.from = QN_GZIP;
    qn_ok(qn_worker_spawn(&options, &w, &e), e);
    qn_ok(qn_worker_request_rewrite(w, &job, list, &e), e);
    qn_fails(qn_worker_wait(w, -1, NULL, &reply, &e), e, QN_E_MALFORMED);
    ck_assert_msg(strstr(e.msg, "steps back"), "%s", e.msg);
    qn_worker_free(w);
}
END_TEST

/* --- the protocol itself --------------------------------------------------------------------------------------- */

static int receive_raw(const void *p, size_t n, enum qn_way way, struct qn_err *e)
{
    int pair[2];
    struct qn_frame frame;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(write(pair[1], p, n), (ssize_t)n);
    close(pair[1]);
    struct qn_peer peer = {.fd = pair[0], .receives = way};
    int r = qn_peer_receive(&peer, qn_time_mono_ms() + 1000, &frame, e);
    if (r == 0)
        qn_frame_fini(&frame);
    close(pair[0]);
    return r;
}

START_TEST(frames_that_the_table_does_not_allow)
{
    struct qn_err e;
    uint8_t f[QN_MESSAGE_HEADER + 16] = {0};

    qn_header_make(f, QN_M_PROGRESS, 0, 16);
    qn_ok(receive_raw(f, sizeof f, QN_WAY_DOWN, &e), e);
    qn_fails(receive_raw(f, sizeof f, QN_WAY_UP, &e), e, QN_E_MALFORMED);
    qn_fails(receive_raw(f, 7, QN_WAY_DOWN, &e), e, QN_E_NETWORK);
    qn_fails(receive_raw(f, sizeof f - 1, QN_WAY_DOWN, &e), e, QN_E_NETWORK);
    qn_fails(receive_raw(f, 0, QN_WAY_DOWN, &e), e, QN_E_NETWORK);
    f[0] ^= 1;
    qn_fails(receive_raw(f, sizeof f, QN_WAY_DOWN, &e), e, QN_E_MALFORMED);
    qn_header_make(f, QN_M_PROGRESS, 0, 17);
    qn_fails(receive_raw(f, sizeof f, QN_WAY_DOWN, &e), e, QN_E_MALFORMED);
    qn_header_make(f, QN_M_PROGRESS, 1, 16);
    qn_fails(receive_raw(f, sizeof f, QN_WAY_DOWN, &e), e, QN_E_MALFORMED);
    qn_header_make(f, QN_M_REWRITE, 2, 0); /* announces descriptors that do not come */
    qn_fails(receive_raw(f, QN_MESSAGE_HEADER, QN_WAY_DOWN, &e), e, QN_E_MALFORMED);
    qn_header_make(f, 4242, 0, 0);
    qn_fails(receive_raw(f, QN_MESSAGE_HEADER, QN_WAY_DOWN, &e), e, QN_E_MALFORMED);
    qn_header_make(f, QN_M_NOTE, 0, UINT64_MAX);
    qn_fails(receive_raw(f, sizeof f, QN_WAY_UP, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(once_means_once)
{
    int pair[2];
    struct qn_err e;
    struct qn_frame frame;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct qn_peer a = {.fd = pair[0], .receives = QN_WAY_UP}, b = {.fd = pair[1], .receives = QN_WAY_DOWN};
    for (unsigned i = 0; i < 2; i++) {
        qn_ok(qn_peer_send(&b, QN_M_HELLO, QN_STR("x"), NULL, 0, &e), e);
        qn_ok(qn_peer_send(&b, QN_M_NOTE, QN_STR("y"), NULL, 0, &e), e);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (i == 2) {
            qn_fails(qn_peer_receive(&a, -1, &frame, &e), e, QN_E_MALFORMED);
            break;
        }
        qn_ok(qn_peer_receive(&a, -1, &frame, &e), e);
        qn_is(qn_buf_view(&frame.payload), i == 0 ? "x" : "y");
        qn_frame_fini(&frame);
    }
    qn_fails(qn_peer_receive(&b, qn_time_mono_ms() + 20, &frame, &e), e, QN_E_TIMEOUT);
    qn_fails(qn_peer_send(&a, QN_M_PROGRESS, QN_STR("seventeen bytes!!"), NULL, 0, &e), e, QN_E_BUG);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(descriptors_travel_and_strays_are_closed)
{
    int pair[2];
    struct qn_err e;
    struct qn_frame frame;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct qn_peer a = {.fd = pair[0], .receives = QN_WAY_UP}, b = {.fd = pair[1], .receives = QN_WAY_DOWN};
    qn_auto_close int file = qn_fd_memfile("t", &e);
    int fds[] = {file, file, file};
    qn_ok(qn_fd_pwrite(file, "hello", 5, 0, &e), e);
    qn_ok(qn_peer_send(&a, QN_M_REWRITE, QN_STR("payload"), fds, 3, &e), e);
    qn_ok(qn_peer_receive(&b, -1, &frame, &e), e);
    ck_assert_uint_eq(frame.nfds, 3);
    char text[8];
    size_t got;
    qn_ok(qn_fd_pread(frame.fds[2], text, sizeof text, 0, &got, &e), e);
    qn_is(qn_str_n(text, got), "hello");
    ck_assert_int_eq(fcntl(frame.fds[0], F_GETFD), FD_CLOEXEC);
    int kept = frame.fds[0];
    qn_frame_fini(&frame);
    ck_assert_int_eq(fcntl(kept, F_GETFD), -1);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(errors_travel)
{
    qn_auto_buf struct qn_buf b = {.max = 1024};
    struct qn_err in, out, e;

    (void)qn_fail(&in, QN_E_LIMIT, "entry 3 \"caf\xc3\xa9\": too big");
    qn_ok(qn_err_encode(&in, &b, &e), e);
    qn_ok(qn_err_decode(qn_buf_view(&b), &out, &e), e);
    ck_assert_int_eq(out.code, QN_E_LIMIT);
    ck_assert_str_eq(out.msg, in.msg);
    ck_assert_int_eq(out.line, in.line);
    for (size_t i = 0; i < b.n; i++)
        qn_fails(qn_err_decode(qn_str_head(qn_buf_view(&b), i), &out, &e), e, QN_E_MALFORMED);
    b.p[0] = (char)0xee; /* a code that nobody knows */
    qn_ok(qn_err_decode(qn_buf_view(&b), &out, &e), e);
    ck_assert_int_eq(out.code, QN_E_BUG);
}
END_TEST

Suite *suite_worker(void)
{
    const TTest *const tests[] = {
        a_worker_answers,
        nothing_opens_from_inside,
        memory_is_bounded,
        processor_time_is_bounded,
        file_size_is_bounded,
        a_deadline_leaves_the_worker_running,
        many_notes_do_not_block,
        deaths_are_told_apart,
        a_worker_that_breaks_the_protocol_is_dropped,
        an_answer_comes_once,
        input_grows,
        input_that_is_shorter_than_promised,
        a_pool_keeps_workers_ready,
        rewriting_in_a_worker,
        frames_that_the_table_does_not_allow,
        once_means_once,
        descriptors_travel_and_strays_are_closed,
        errors_travel,
    };
    return qn_suite("worker", tests, QN_ARRAY_LEN(tests));
}
