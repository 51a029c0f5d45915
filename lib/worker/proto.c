#include "proto.h"
#include "base/clock.h"
#include "base/cur.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC    "QNW1"
#define STALL_MS 30000 /* for the rest of a message that has begun */

#define DOWN QN_WAY_DOWN
#define UP   QN_WAY_UP
#define ONCE QN_TIMES_ONCE
#define MANY QN_TIMES_MANY
static const struct qn_message_info table[] = {
#define X(name, number, way, times, size, fds, handler, doing) {number, #name, way, times, size, fds, doing},
#include "messages.def"
#undef X
};
#undef DOWN
#undef UP
#undef ONCE
#undef MANY

/* Rows are numbered for `seen`: the table first, then the extra ones. */
static int row_of(const struct qn_peer *peer, uint16_t number, const struct qn_message_info **info)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(table); i++)
        if (table[i].number == number) {
            *info = &table[i];
            return (int)i;
        }
    for (size_t i = 0; i < peer->extras; i++)
        if (peer->extra[i].number == number) {
            *info = &peer->extra[i];
            return (int)(QN_ARRAY_LEN(table) + i);
        }
    return -1;
}

const struct qn_message_info *qn_message_find(const struct qn_peer *peer, uint16_t number)
{
    const struct qn_message_info *info = NULL;

    return row_of(peer, number, &info) < 0 ? NULL : info;
}

void qn_header_make(uint8_t header[QN_MESSAGE_HEADER], uint16_t number, size_t nfds, uint64_t size)
{
    memcpy(header, MAGIC, 4);
    for (unsigned i = 0; i < 2; i++)
        header[4 + i] = (uint8_t)(number >> (8 * i));
    for (unsigned i = 0; i < 4; i++)
        header[8 + i] = (uint8_t)((uint64_t)nfds >> (8 * i));
    header[6] = header[7] = 0;
    for (unsigned i = 0; i < 8; i++)
        header[12 + i] = (uint8_t)(size >> (8 * i));
}

int qn_header_check(const struct qn_peer *peer, const uint8_t header[QN_MESSAGE_HEADER],
                    const struct qn_message_info **info, uint64_t *size, size_t *nfds, struct qn_err *e)
{
    struct qn_cur c = qn_cur_init(header + 4, QN_MESSAGE_HEADER - 4);
    uint16_t number = (uint16_t)qn_cur_le(&c, 2), reserved = (uint16_t)qn_cur_le(&c, 2);
    uint32_t fds = qn_cur_u32(&c);
    uint64_t n = qn_cur_u64(&c);
    const struct qn_message_info *row = NULL;
    int at = row_of(peer, number, &row);

    if (memcmp(header, MAGIC, 4) != 0 || reserved != 0)
        return qn_fail(e, QN_E_MALFORMED, "message without its mark");
    if (at < 0)
        return qn_fail(e, QN_E_MALFORMED, "message of unknown type %u", number);
    if (row->way != peer->receives)
        return qn_fail(e, QN_E_MALFORMED, "message %s goes the other way", row->name);
    if (row->times == QN_TIMES_ONCE && at < 64 && (peer->seen >> at & 1))
        return qn_fail(e, QN_E_MALFORMED, "message %s came twice", row->name);
    if (n > row->max_size)
        return qn_fail(e, QN_E_MALFORMED, "message %s of %llu bytes, at most %llu", row->name, (unsigned long long)n,
                       (unsigned long long)row->max_size);
    if (fds > row->max_fds)
        return qn_fail(e, QN_E_MALFORMED, "message %s with %u descriptors, at most %u", row->name, fds, row->max_fds);
    *info = row;
    *size = n;
    *nfds = fds;
    return 0;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static int send_all(int fd, const void *p, size_t n, struct qn_err *e)
{
    const uint8_t *at = p;

    while (n) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return qn_fail_errno(e, QN_E_NETWORK, "message: send");
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

int qn_peer_send(struct qn_peer *peer, uint16_t number, struct qn_str payload, const int *fds, size_t nfds,
                 struct qn_err *e)
{
    const struct qn_message_info *info = qn_message_find(peer, number);
    uint8_t header[QN_MESSAGE_HEADER];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * QN_MESSAGE_FDS)];
    } control = {0};

    if (!info || payload.n > info->max_size || nfds > info->max_fds || nfds > QN_MESSAGE_FDS)
        return qn_fail(e, QN_E_BUG, "message %u (%zu bytes, %zu descriptors) is not one that may be sent", number,
                       payload.n, nfds);
    qn_header_make(header, number, nfds, payload.n);
    struct iovec part = {header, sizeof header};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (nfds) {
        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
    }
    ssize_t k;
    do
        k = sendmsg(peer->fd, &m, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
    if (k < 0)
        return qn_fail_errno(e, QN_E_NETWORK, "message %s: send", info->name);
    if (send_all(peer->fd, header + k, sizeof header - (size_t)k, e) < 0)
        return -1;
    return send_all(peer->fd, payload.p, payload.n, e);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static int wait_readable(int fd, int64_t deadline_ms, struct qn_err *e)
{
    for (;;) {
        int64_t left = deadline_ms < 0 ? -1 : QN_MAX(deadline_ms - qn_time_mono_ms(), 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r = poll(&p, 1, (int)QN_MIN(left, 1 << 30));
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return qn_fail_errno(e, QN_E_IO, "message: poll");
        if (r == 0 && left >= 0 && left <= 1 << 30)
            return qn_fail(e, QN_E_TIMEOUT, "no message in time");
    }
}

/* Adds the descriptors that came with some bytes; too many are closed and counted. */
static void take_fds(struct msghdr *m, struct qn_frame *frame, bool *too_many)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (frame->nfds < QN_MESSAGE_FDS) {
                frame->fds[frame->nfds++] = fd;
            } else {
                close(fd);
                *too_many = true;
            }
        }
    }
    if (m->msg_flags & MSG_CTRUNC)
        *too_many = true;
}

/* Receives `n` bytes; descriptors may come with any of them and are counted against the header later. */
static int receive_all(int fd, void *p, size_t n, int64_t deadline_ms, struct qn_frame *frame, struct qn_err *e)
{
    uint8_t *at = p;
    bool too_many = false;

    while (n) {
        union {
            struct cmsghdr align;
            char space[CMSG_SPACE(sizeof(int) * QN_MESSAGE_FDS)];
        } control;
        struct iovec part = {at, n};
        struct msghdr m = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
        if (wait_readable(fd, deadline_ms, e) < 0)
            return -1;
        ssize_t k = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return qn_fail_errno(e, QN_E_NETWORK, "message: receive");
        take_fds(&m, frame, &too_many);
        if (too_many)
            return qn_fail(e, QN_E_MALFORMED, "message with too many descriptors");
        if (k == 0)
            return qn_fail(e, QN_E_NETWORK, "message: the other side is gone");
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

static int stalled(struct qn_err *e)
{
    return e->code == QN_E_TIMEOUT ? qn_fail(e, QN_E_MALFORMED, "message stops in the middle") : -1;
}

static int receive(struct qn_peer *peer, int64_t deadline_ms, struct qn_frame *frame, struct qn_err *e)
{
    uint8_t header[QN_MESSAGE_HEADER];
    uint64_t size;
    size_t nfds;
    char *at;

    if (wait_readable(peer->fd, deadline_ms, e) < 0)
        return -1;
    /* The deadline must not leave half a message behind, and half a message must not block for ever. */
    if (deadline_ms >= 0)
        deadline_ms = QN_MAX(deadline_ms, qn_time_mono_ms() + STALL_MS);
    if (receive_all(peer->fd, header, sizeof header, deadline_ms, frame, e) < 0)
        return stalled(e);
    if (qn_header_check(peer, header, &frame->info, &size, &nfds, e) < 0)
        return -1;
    qn_buf_init(&frame->payload, (size_t)size);
    if (qn_buf_reserve(&frame->payload, (size_t)size, &at, e) < 0)
        return -1;
    if (receive_all(peer->fd, at, (size_t)size, deadline_ms, frame, e) < 0)
        return stalled(e);
    frame->payload.n = (size_t)size;
    at[size] = '\0';
    if (frame->nfds != nfds)
        return qn_fail(e, QN_E_MALFORMED, "message %s came with %zu descriptors instead of %zu", frame->info->name,
                       frame->nfds, nfds);
    int row = row_of(peer, frame->info->number, &frame->info);
    if (row >= 0 && row < 64)
        peer->seen |= 1ull << row;
    return 0;
}

int qn_peer_receive(struct qn_peer *peer, int64_t deadline_ms, struct qn_frame *out, struct qn_err *e)
{
    struct qn_frame frame = {0};

    if (receive(peer, deadline_ms, &frame, e) < 0) {
        qn_frame_fini(&frame);
        return -1;
    }
    *out = frame;
    return 0;
}

void qn_frame_fini(struct qn_frame *frame)
{
    for (size_t i = 0; i < frame->nfds; i++)
        if (frame->fds[i] >= 0)
            close(frame->fds[i]);
    frame->nfds = 0;
    qn_buf_fini(&frame->payload);
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

int qn_err_encode(const struct qn_err *err, struct qn_buf *out, struct qn_err *e)
{
    if (qn_buf_u32(out, (uint32_t)err->code, e) < 0 || qn_buf_u32(out, (uint32_t)err->sys, e) < 0 ||
        qn_buf_u32(out, (uint32_t)err->line, e) < 0)
        return -1;
    return qn_buf_lstr(out, qn_str_n(err->msg, strnlen(err->msg, sizeof err->msg)), e);
}

int qn_err_decode(struct qn_str payload, struct qn_err *out, struct qn_err *e)
{
    struct qn_cur c = qn_cur_init(payload.p, payload.n);
    struct qn_err err = {.file = "worker"};
    uint32_t code = qn_cur_u32(&c), sys = qn_cur_u32(&c), line = qn_cur_u32(&c);
    struct qn_str msg = qn_cur_lstr(&c);

    if (c.bad || c.n || code == 0 || sys > 4096)
        return qn_fail(e, QN_E_MALFORMED, "error message from a worker is not well-formed");
    err.code = (enum qn_code)code;
    if (qn_code_info(err.code) == qn_code_info(QN_E_BUG))
        err.code = QN_E_BUG;
    err.sys = (int)sys;
    err.line = (int)(line & 0xffffff);
    bool utf8 = qn_str_utf8(msg);
    size_t n = QN_MIN(msg.n, sizeof err.msg - 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)msg.p[i];
        err.msg[i] = byte < 0x20 || byte == 0x7f || (!utf8 && byte >= 0x80) ? '?' : (char)byte;
    }
    *out = err;
    return 0;
}
