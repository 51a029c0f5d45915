/* Messages as a hostile peer may send them: the first byte says which side reads. */
#include "base/compiler.h"
#include "worker/proto.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_frame(struct qn_frame *frame, const struct qn_peer *peer)
{
    struct qn_err err, e;

    if (frame->info->way != peer->receives || frame->payload.n > frame->info->max_size || frame->nfds)
        abort();
    if (frame->info->number == QN_M_ERROR && qn_err_decode(qn_buf_view(&frame->payload), &err, &e) == 0)
        for (const char *c = err.msg; *c; c++)
            if ((unsigned char)*c < 0x20)
                abort();
    qn_frame_fini(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    struct qn_frame frame;
    struct qn_err e;

    if (size == 0 || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    struct qn_peer peer = {.fd = pair[0], .receives = data[0] & 1 ? QN_WAY_DOWN : QN_WAY_UP};
    if (write(pair[1], data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    close(pair[1]);
    while (qn_peer_receive(&peer, -1, &frame, &e) == 0)
        read_frame(&frame, &peer);
    if (e.code != QN_E_NETWORK && e.code != QN_E_MALFORMED && e.code != QN_E_NOMEM)
        abort();
    close(pair[0]);
    return 0;
}
