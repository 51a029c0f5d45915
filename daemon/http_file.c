/* Answers that are read piece by piece: files, files that still grow, the application's sources; their ranges. */
#include "base/clock.h"
#include "base/mem.h"
#include "http_send.h"
#include "range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK   (128u << 10) /* what the library asks for at a time */
#define SMALL   (64u << 10)  /* files that are answered from memory */
#define LARGE   (2u << 20)   /* worth a connection of its own */
#define PAGE_IN (1u << 20)   /* what an I/O thread brings into memory ahead of a reader */
#ifdef __NR_cachestat
#define CACHESTAT __NR_cachestat
#else
#define CACHESTAT 451 /* the same on every architecture */
#endif
#define STALL_MS 120000 /* how long a reader waits for a disk */

/* --- streams: one response over a source -------------------------------------------------------------------------- */

struct stream {
    struct qn_http_request *r; /* valid while the library reads */
    struct qn_http_source source;
    uint64_t base; /* offset in the content of the first byte of the response */
};

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct stream *s = cls;
    struct qn_http_request *r = s->r;

    if (r->gone || atomic_load(&r->h->stopping))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    r->parked = false;
    ssize_t n = s->source.read(s->source.ctx, r, s->base + pos, buf, max);
    if (n > 0) {
        r->bytes_out += (uint64_t)n;
        qn_conn_progress(r->conn, (uint64_t)n);
        return n;
    }
    if (n == QN_HTTP_AGAIN)
        return r->parked ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
    return n == QN_HTTP_END ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void stream_free(void *cls)
{
    struct stream *s = cls;

    s->source.free(s->source.ctx);
    free(s);
}

static ssize_t file_read(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n);
static int file_resident(const void *ctx, uint64_t base, uint64_t size);

/* A response that the kernel sends without a copy, or NULL: for a file that is in memory as a whole, or that is being
 * written now, so that nobody waits for a disk. Takes the source unless it gives NULL. */
static struct MHD_Response *kernel_response(struct qn_http_request *r, uint64_t base, uint64_t size,
                                            const struct qn_http_source *source)
{
    bool file = source->read == file_read, own = size > LARGE && qn_send_possible(r);
    struct MHD_Response *response = NULL;

    if (size == QN_HTTP_UNKNOWN || size <= SMALL)
        return NULL;
    if (file && (own || qn_conn_meter(r->conn))) {
        int fd = file_resident(source->ctx, base, size);
        if (fd >= 0 && own) {
            response = qn_send_file(r, fd, base, size);
        } else if (fd >= 0) {
            r->answer_size = size;
            response = MHD_create_response_from_fd_at_offset64(size, fd, base);
        }
    } else if (own && source->read == qn_growing_read) {
        response = qn_send_growing(r, source->ctx, base, size);
    }
    if (response)
        source->free(source->ctx);
    return response;
}

/* A response for part [base, base + size) of a source, which it takes. */
static struct MHD_Response *part_response(struct qn_http_request *r, uint64_t base, uint64_t size,
                                          const struct qn_http_source *source)
{
    bool unknown = size == QN_HTTP_UNKNOWN;
    struct MHD_Response *response = kernel_response(r, base, size, source);

    if (response)
        return response;
    struct stream *s = qn_new(struct stream);
    s->r = r;
    s->source = *source;
    s->base = base;
    return MHD_create_response_from_callback(
        unknown ? MHD_SIZE_UNKNOWN : size, unknown ? BLOCK : (size_t)QN_MIN(size, BLOCK), stream_read, s, stream_free);
}

/* Part [base, base + size) of a source; takes the source. */
static void answer_stream(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                          const char *content_range, uint64_t base, uint64_t size, const struct qn_http_source *source)
{
    struct MHD_Response *response = part_response(r, base, size, source);

    qn_assert(response);
    qn_http_add_fields(r, response, fields, false);
    if (size != QN_HTTP_UNKNOWN)
        MHD_add_response_header(response, "Accept-Ranges", "bytes");
    if (content_range)
        MHD_add_response_header(response, "Content-Range", content_range);
    qn_http_answer(r, status, response);
}

/* Whether a Range header counts: If-Range, when there is one, names the present entity tag (strong comparison). */
static bool range_wanted(const struct qn_http_request *r, const char *etag, struct qn_str *range)
{
    struct qn_str condition;

    if (r->method != QN_HTTP_GET || !qn_http_header(r, "Range", range))
        return false;
    return !qn_http_header(r, "If-Range", &condition) || (etag && qn_str_eq_c(qn_str_trim(condition), etag));
}

void qn_http_respond_source(struct qn_http_request *r, unsigned status, const struct qn_http_field *fields,
                            uint64_t size, const struct qn_http_source *source)
{
    const char *etag = qn_http_field_get(fields, "ETag");
    uint64_t first = 0, last = 0;
    struct qn_str range;
    char text[96];

    if (status == MHD_HTTP_OK && etag && (r->method == QN_HTTP_GET || r->method == QN_HTTP_HEAD) &&
        qn_http_none_match(r, qn_str_c(etag))) {
        source->free(source->ctx);
        qn_http_answer_empty(r, MHD_HTTP_NOT_MODIFIED, fields);
        return;
    }
    if (size == 0) {
        source->free(source->ctx);
        qn_http_answer_empty(r, status, fields);
        return;
    }
    if (status != MHD_HTTP_OK || size == QN_HTTP_UNKNOWN || !range_wanted(r, etag, &range)) {
        answer_stream(r, status, fields, NULL, 0, size, source);
        return;
    }
    switch (qn_range_parse(range, size, &first, &last)) {
    case QN_RANGE_PART:
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                 (unsigned long long)size);
        answer_stream(r, MHD_HTTP_PARTIAL_CONTENT, fields, text, first, last - first + 1, source);
        return;
    case QN_RANGE_BAD:
        source->free(source->ctx);
        snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)size);
        qn_http_answer_empty(r, MHD_HTTP_RANGE_NOT_SATISFIABLE,
                             (const struct qn_http_field[]){{"Content-Range", text}, {NULL, NULL}});
        return;
    case QN_RANGE_NONE:
    default:
        answer_stream(r, MHD_HTTP_OK, fields, NULL, 0, size, source);
        return;
    }
}

/* --- files -------------------------------------------------------------------------------------------------------- */

struct file {
    _Atomic unsigned refs; /* the stream's and one while an I/O thread reads */
    struct qn_http *h;
    int fd;
    bool waited; /* the last read at this place has waited for an I/O thread */
};

static void file_free(void *ctx)
{
    struct file *f = ctx;

    if (atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    close(f->fd);
    free(f);
}

struct page_in {
    struct file *f;
    struct qn_http_waker *waker;
    uint64_t off;
};

/* I/O thread: reads ahead of a reader, so that the page cache has it. */
static void page_in(void *arg)
{
    struct page_in *p = arg;
    char scratch[32768];

    for (uint64_t done = 0; done < PAGE_IN; done += sizeof scratch) {
        ssize_t n = pread(p->f->fd, scratch, sizeof scratch, (off_t)(p->off + done));
        if (n < (ssize_t)sizeof scratch)
            break;
    }
    qn_http_wake(p->waker);
    file_free(p->f);
    free(p);
}

/* Parks the request until an I/O thread has brought the place into memory; false when none can. */
static bool wait_for_disk(struct file *f, struct qn_http_request *r, uint64_t off)
{
    struct page_in *p = qn_new(struct page_in);
    struct qn_err e;

    *p = (struct page_in){f, qn_http_park(r, qn_time_mono_ms() + STALL_MS), off};
    if (!p->waker) {
        free(p);
        return false;
    }
    atomic_fetch_add(&f->refs, 1);
    if (qn_pool_add(f->h->io, page_in, p, &e) == 0)
        return true;
    qn_http_wake(p->waker);
    atomic_fetch_sub(&f->refs, 1);
    free(p);
    return true;
}

static ssize_t file_read(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n)
{
    struct file *f = ctx;
    struct iovec iov = {buf, n};

    ssize_t got = preadv2(f->fd, &iov, 1, (off_t)off, RWF_NOWAIT);
    if (got < 0 && errno == EAGAIN && !f->waited) {
        f->waited = true;
        return wait_for_disk(f, r, off) ? QN_HTTP_AGAIN : QN_HTTP_ABORT;
    }
    /* Not supported here, or thrown out of memory again: read it, so that there is progress. */
    if (got < 0)
        got = pread(f->fd, buf, n, (off_t)off);
    f->waited = false;
    return got > 0 ? got : QN_HTTP_ABORT;
}

/* Whether the whole part is in memory: then a descriptor of its own, else -1. cachestat(2) is there since Linux 6.5. */
static int file_resident(const void *ctx, uint64_t base, uint64_t size)
{
    const struct file *f = ctx;
    const struct {
        uint64_t off, len;
    } range = {base, size};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } st;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t pages = (base + size - 1) / page - base / page + 1;

    if (syscall(CACHESTAT, f->fd, &range, &st, 0u) != 0 || st.cached < pages)
        return -1;
    return fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
}

/* A small file that is in memory: one packet instead of two. */
static bool respond_small(struct qn_http_request *r, const struct qn_http_field *fields, int fd, size_t size)
{
    char *buf = malloc(size);
    struct iovec iov = {buf, size};

    if (!buf || preadv2(fd, &iov, 1, 0, RWF_NOWAIT) != (ssize_t)size) {
        free(buf);
        return false;
    }
    close(fd);
    struct MHD_Response *response = MHD_create_response_from_buffer(size, buf, MHD_RESPMEM_MUST_FREE);
    qn_assert(response);
    qn_http_add_fields(r, response, fields, false);
    MHD_add_response_header(response, "Accept-Ranges", "bytes");
    r->answer_size = size;
    qn_http_answer(r, MHD_HTTP_OK, response);
    return true;
}

void qn_http_respond_file(struct qn_http_request *r, const struct qn_http_field *fields, int fd, uint64_t size)
{
    const char *etag = qn_http_field_get(fields, "ETag");
    struct qn_str ignored;
    bool plain = r->method == QN_HTTP_GET && !qn_http_header(r, "Range", &ignored) &&
                 !(etag && qn_http_none_match(r, qn_str_c(etag)));

    if (plain && size > 0 && size <= SMALL && respond_small(r, fields, fd, (size_t)size))
        return;
    struct file *f = qn_new(struct file);
    atomic_init(&f->refs, 1);
    f->h = r->h;
    f->fd = fd;
    qn_http_respond_source(r, MHD_HTTP_OK, fields, size, &(struct qn_http_source){file_read, file_free, f});
}
