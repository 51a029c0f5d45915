#include "layout_io.h"

#include "base/fd.h"
#include "base/mem.h"

#include <stdlib.h>

#define CHUNK (1u << 18)

static int mem_sink(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_buf_put(ctx, p, n, e);
}

static int hash_span(const struct qn_span *s, const struct qn_sink *sink, enum qn_digest_algorithm algorithm,
                     struct qn_digest *out, struct qn_err *e)
{
    qn_auto_free char *chunk = qn_xcalloc(1, CHUNK);
    qn_auto_hash struct qn_hash h = {0};

    qn_hash_init(&h, algorithm);
    for (uint64_t at = 0; at < s->size;) {
        size_t got;
        if (qn_fd_pread(s->fd, chunk, (size_t)QN_MIN(s->size - at, (uint64_t)CHUNK), s->off + at, &got, e) < 0)
            return -1;
        if (got == 0)
            return qn_fail(e, QN_E_MALFORMED, "the file ends %llu bytes early", (unsigned long long)(s->size - at));
        qn_hash_update(&h, chunk, got);
        if (sink && qn_sink_write(sink, chunk, got, e) < 0)
            return -1;
        at += got;
    }
    *out = qn_hash_final(&h);
    return 0;
}

int qn_span_stream(const struct qn_span *s, const struct qn_digest *d, const struct qn_sink *sink, struct qn_err *e)
{
    struct qn_digest have;
    char want_text[QN_DIGEST_TEXT], have_text[QN_DIGEST_TEXT];

    if (hash_span(s, sink, d->algorithm, &have, e) < 0)
        return qn_err_wrap(e, "%s", qn_digest_text(d, want_text));
    if (!qn_digest_eq(&have, d))
        return qn_fail(e, QN_E_DIGEST_MISMATCH, "%s: content has %s", qn_digest_text(d, want_text),
                       qn_digest_text(&have, have_text));
    return 0;
}

int qn_span_read(const struct qn_span *s, const struct qn_digest *d, uint64_t max, struct qn_buf *out, struct qn_err *e)
{
    struct qn_sink sink = {mem_sink, out};
    struct qn_digest ignored;

    if (s->size > max)
        return qn_fail(e, QN_E_LIMIT, "%llu bytes, at most %llu", (unsigned long long)s->size, (unsigned long long)max);
    if (!d)
        return hash_span(s, &sink, QN_SHA256, &ignored, e);
    return qn_span_stream(s, d, &sink, e);
}

int qn_span_digest(const struct qn_span *s, struct qn_digest *out, struct qn_err *e)
{
    return hash_span(s, NULL, QN_SHA256, out, e);
}

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

void qn_source_fini(struct qn_source *s)
{
    if (s->ops)
        s->ops->free(s->self);
    *s = (struct qn_source){0};
}

void qn_dest_fini(struct qn_dest *d)
{
    if (d->ops)
        d->ops->free(d->self);
    *d = (struct qn_dest){0};
}

int qn_layout_source(const struct qn_location *at, uint64_t manifest_max, struct qn_source *out, struct qn_err *e)
{
    int r = -1;

    manifest_max = manifest_max ? manifest_max : 4u << 20;
    if (at->transport == QN_TRANSPORT_OCI || at->transport == QN_TRANSPORT_OCI_ARCHIVE)
        r = qn_oci_source(at, manifest_max, out, e);
    else if (at->transport == QN_TRANSPORT_DOCKER_ARCHIVE)
        r = qn_docker_archive_source(at, manifest_max, out, e);
    else
        return qn_fail(e, QN_E_BUG, "%s: is not a layout", qn_transport_name(at->transport));
    return r < 0 ? qn_err_wrap(e, "%s:%s", qn_transport_name(at->transport), at->path) : 0;
}

int qn_layout_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e)
{
    int r = -1;

    if (at->transport == QN_TRANSPORT_OCI)
        r = qn_oci_dir_dest(at, out, e);
    else if (at->transport == QN_TRANSPORT_OCI_ARCHIVE)
        r = qn_oci_archive_dest(at, out, e);
    else if (at->transport == QN_TRANSPORT_DOCKER_ARCHIVE)
        r = qn_docker_archive_dest(at, out, e);
    else
        return qn_fail(e, QN_E_BUG, "%s: is not a layout", qn_transport_name(at->transport));
    return r < 0 ? qn_err_wrap(e, "%s:%s", qn_transport_name(at->transport), at->path) : 0;
}
