/* Messages between the daemon and its workers: frames on a stream socket, file descriptors beside them.
 *
 * A frame is a 20-byte header (magic "QNW1", type, number of descriptors, 64-bit length; little-endian) and the
 * payload. Descriptors travel with the header. Both sides check type, direction, size and number of descriptors
 * against messages.def before they look at a payload; the daemon trusts a worker with nothing. */
#ifndef QN_WORKER_PROTO_H
#define QN_WORKER_PROTO_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum qn_message {
#define X(name, number, way, times, size, fds, handler, doing) QN_M_##name = number,
#include "messages.def"
#undef X
};

enum qn_way { QN_WAY_DOWN = 1, QN_WAY_UP = 2 };
enum qn_times { QN_TIMES_ONCE = 1, QN_TIMES_MANY = 2 };

#define QN_MESSAGE_FDS    8  /* most descriptors of any message */
#define QN_MESSAGE_HEADER 20 /* bytes of a frame's header */

struct qn_message_info {
    uint16_t number;
    const char *name; /* "REWRITE" */
    enum qn_way way;
    enum qn_times times;
    uint64_t max_size;
    unsigned max_fds;
    const char *doing; /* "rewriting a layer" */
};

/* One side of a connection. */
struct qn_peer {
    int fd;
    enum qn_way receives;                /* QN_WAY_DOWN in the worker */
    const struct qn_message_info *extra; /* rows beside messages.def, for tests; NULL */
    size_t extras;
    uint64_t seen; /* ONCE messages that came already, one bit a row */
};

/* A received message; owns its descriptors and payload. */
struct qn_frame {
    const struct qn_message_info *info;
    struct qn_buf payload;
    int fds[QN_MESSAGE_FDS];
    size_t nfds;
};

/* The row of a message number, or NULL. */
const struct qn_message_info *qn_message_find(const struct qn_peer *peer, uint16_t number);
/* Sends a whole message; blocks. NETWORK when the other side is gone (no SIGPIPE). */
int qn_peer_send(struct qn_peer *peer, uint16_t number, struct qn_str payload, const int *fds, size_t nfds,
                 struct qn_err *e) QN_MUST_CHECK;
/* Receives a whole message; blocks at most until `deadline_ms` (monotonic; -1: for ever), TIMEOUT then, with nothing
 * consumed; a message that has begun gets 30 s. NETWORK at the end of the stream; MALFORMED for what the table
 * does not allow: unknown type, wrong way, seen twice, too long, too many descriptors. */
int qn_peer_receive(struct qn_peer *peer, int64_t deadline_ms, struct qn_frame *out, struct qn_err *e) QN_MUST_CHECK;
void qn_frame_fini(struct qn_frame *frame);
#define qn_auto_frame QN_CLEANUP(qn_frame_fini)

/* Checks a header against the table: what qn_peer_receive() does with the first 20 bytes. */
int qn_header_check(const struct qn_peer *peer, const uint8_t header[QN_MESSAGE_HEADER],
                    const struct qn_message_info **info, uint64_t *size, size_t *nfds, struct qn_err *e) QN_MUST_CHECK;
/* Writes a header. */
void qn_header_make(uint8_t header[QN_MESSAGE_HEADER], uint16_t number, size_t nfds, uint64_t size);

/* An error object as payload, and back; text from a worker is cut and made printable. */
int qn_err_encode(const struct qn_err *err, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;
int qn_err_decode(struct qn_str payload, struct qn_err *out, struct qn_err *e) QN_MUST_CHECK;

#endif
