#include "handle_rewrite.h"
#include "base/cur.h"
#include "base/fd.h"
#include "child.h"

#define PIECES_MAX (1ull << 30) /* bytes of a piece list; mapped, not read */

/* Descriptors in a request: source, output, piece list and, when pieces need it, the file to insert from. */
enum { FD_SOURCE, FD_OUT, FD_PIECES, FD_FILE };

int qn_worker_request_rewrite(struct qn_worker *w, const struct qn_rewrite *job, int pieces_fd, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 256};
    int fds[] = {[FD_SOURCE] = job->source, [FD_OUT] = job->out, [FD_PIECES] = pieces_fd, [FD_FILE] = job->file};

    if (qn_buf_u8(&b, (uint8_t)job->from, e) < 0 || qn_buf_u8(&b, (uint8_t)job->to, e) < 0 ||
        qn_buf_u64(&b, job->source_size, e) < 0 || qn_buf_u64(&b, job->tar_size, e) < 0 ||
        qn_buf_u64(&b, job->max_out, e) < 0)
        return -1;
    return qn_worker_request(w, QN_M_REWRITE, qn_buf_view(&b), fds, job->file >= 0 ? 4 : 3, e);
}

static int decode(struct qn_str payload, const int *fds, size_t nfds, struct qn_rewrite *job, struct qn_err *e)
{
    struct qn_cur c = qn_cur_init(payload.p, payload.n);
    uint8_t from = qn_cur_u8(&c), to = qn_cur_u8(&c);

    job->source_size = qn_cur_u64(&c);
    job->tar_size = qn_cur_u64(&c);
    job->max_out = qn_cur_u64(&c);
    if (c.bad || c.n || from > QN_ZSTD || to > QN_ZSTD || nfds < 3 || nfds > 4)
        return qn_fail(e, QN_E_MALFORMED, "rewrite request is not well-formed");
    job->from = (enum qn_compression)from;
    job->to = (enum qn_compression)to;
    job->source = fds[FD_SOURCE];
    job->out = fds[FD_OUT];
    job->file = nfds == 4 ? fds[FD_FILE] : -1;
    return 0;
}

int qn_handle_rewrite(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                      struct qn_err *e)
{
    struct qn_rewrite job;
    struct qn_rewritten result;
    qn_auto_mapped struct qn_mapped pieces = {0};

    (void)child;
    if (decode(payload, fds, nfds, &job, e) < 0)
        return -1;
    if (qn_fd_map(fds[FD_PIECES], PIECES_MAX, &pieces, e) < 0)
        return qn_err_wrap(e, "piece list");
    job.pieces = qn_str_n(pieces.n ? (const char *)pieces.p : "", pieces.n);
    if (qn_rewrite(&job, &result, e) < 0)
        return -1;
    if (qn_buf_put(reply, result.diff_id.bytes, 32, e) < 0 || qn_buf_u64(reply, result.tar_size, e) < 0)
        return -1;
    return qn_buf_u64(reply, result.size, e);
}

int qn_rewritten_decode(struct qn_str reply, struct qn_rewritten *out, struct qn_err *e)
{
    struct qn_cur c = qn_cur_init(reply.p, reply.n);
    struct qn_rewritten r = {.diff_id = {.algorithm = QN_SHA256}};
    const uint8_t *digest = qn_cur_take(&c, 32);

    if (digest)
        memcpy(r.diff_id.bytes, digest, 32);
    r.tar_size = qn_cur_u64(&c);
    r.size = qn_cur_u64(&c);
    if (c.bad || c.n)
        return qn_fail(e, QN_E_MALFORMED, "answer of a rewrite is not well-formed");
    *out = r;
    return 0;
}
