/* Deterministic tar files, replaced in one step. */
#include "layout_io.h"

#include "base/fd.h"
#include "base/mem.h"
#include "formats/tar_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int qn_tar_out_open(const char *path, struct qn_tar_out *out, struct qn_err *e)
{
    struct qn_tar_out t = {.path = qn_xstrdup(path), .tmp = qn_xasprintf("%s.XXXXXX", path)};

    t.fd = mkostemp(t.tmp, O_CLOEXEC);
    if (t.fd < 0) {
        int r = qn_fail_errno(e, QN_E_IO, "%s", t.tmp);
        free(t.path);
        free(t.tmp);
        return r;
    }
    *out = t;
    return 0;
}

void qn_tar_out_fini(struct qn_tar_out *t)
{
    if (t->fd > 0) {
        close(t->fd);
        unlink(t->tmp);
    }
    free(t->path);
    free(t->tmp);
    free(t->have);
    *t = (struct qn_tar_out){.fd = -1};
}

static int write_header(struct qn_tar_out *t, const char *name, enum qn_tar_type type, uint64_t size, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_tar_entry entry = {
        .name = qn_str_c(name),
        .type = type,
        .mode = type == QN_TAR_DIR ? 0755 : 0644,
        .size = size,
        .real_size = size,
    };

    qn_buf_init(&b, 65536);
    if (qn_tar_write_header(&entry, &b, e) < 0)
        return -1;
    return qn_fd_write(t->fd, b.p, b.n, e);
}

static int pad(struct qn_tar_out *t, uint64_t size, struct qn_err *e)
{
    static const char zero[QN_TAR_BLOCK];
    return qn_fd_write(t->fd, zero, qn_tar_padding(size), e);
}

static int fd_sink(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_fd_write(*(int *)ctx, p, n, e);
}

int qn_tar_out_dir(struct qn_tar_out *t, const char *name, struct qn_err *e)
{
    return write_header(t, name, QN_TAR_DIR, 0, e);
}

int qn_tar_out_bytes(struct qn_tar_out *t, const char *name, struct qn_str bytes, struct qn_err *e)
{
    t->broken = true;
    if (write_header(t, name, QN_TAR_FILE, bytes.n, e) < 0 || qn_fd_write(t->fd, bytes.p, bytes.n, e) < 0 ||
        pad(t, bytes.n, e) < 0)
        return qn_err_wrap(e, "%s", t->tmp);
    t->broken = false;
    return 0;
}

bool qn_tar_out_has(const struct qn_tar_out *t, const struct qn_digest *d)
{
    for (size_t i = 0; i < t->n; i++) {
        if (qn_digest_eq(&t->have[i], d))
            return true;
    }
    return false;
}

int qn_tar_out_blob(struct qn_tar_out *t, const char *name, const struct qn_digest *d, const struct qn_span *from,
                    struct qn_err *e)
{
    struct qn_sink sink = {fd_sink, &t->fd};
    void *arr = t->have;

    if (qn_tar_out_has(t, d))
        return 0;
    if (qn_grow(&arr, &t->cap, t->n + 1, sizeof *t->have, QN_ARCHIVE_MEMBERS_MAX, e) < 0)
        return -1;
    t->have = arr;
    t->broken = true;
    if (write_header(t, name, QN_TAR_FILE, from->size, e) < 0 || qn_span_stream(from, d, &sink, e) < 0 ||
        pad(t, from->size, e) < 0)
        return qn_err_wrap(e, "%s", t->tmp);
    t->broken = false;
    t->have[t->n++] = *d;
    return 0;
}

int qn_tar_out_finish(struct qn_tar_out *t, struct qn_err *e)
{
    qn_auto_buf struct qn_buf end = {0};
    mode_t mask = umask(0);

    umask(mask);
    qn_buf_init(&end, 65536);
    if (t->broken)
        return qn_fail(e, QN_E_IO, "%s: a member is incomplete", t->path);
    if (qn_tar_write_end(&end, e) < 0 || qn_fd_write(t->fd, end.p, end.n, e) < 0)
        return -1;
    if (fchmod(t->fd, 0666 & ~mask) < 0 || fsync(t->fd) < 0 || rename(t->tmp, t->path) < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", t->path);
    close(t->fd);
    t->fd = -1;
    return 0;
}
