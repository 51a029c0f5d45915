#include "store_dir.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int tmp_open(struct qn_store *s, struct qn_err *e)
{
    int fd = openat(s->tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR)
        return qn_fail_errno(e, QN_E_IO, "temporary file in %s", s->tmp);
    return qn_fd_tmpfile(s->tmp, e);
}

int qn_blob_tmpfile(struct qn_store *s, struct qn_err *e)
{
    return tmp_open(s, e);
}

int qn_blob_begin(struct qn_store *s, enum qn_digest_algorithm algorithm, uint64_t reserve, struct qn_blob_writer *out,
                  struct qn_err *e)
{
    struct qn_blob_writer w = {.store = s, .reserved = reserve};

    if (reserve && qn_store_reserve(s, reserve, e) < 0)
        return -1;
    w.fd = tmp_open(s, e);
    if (w.fd < 0) {
        qn_store_release(s, reserve);
        return -1;
    }
    qn_hash_init(&w.hash, algorithm);
    *out = w;
    return 0;
}

int qn_blob_write(struct qn_blob_writer *w, const void *p, size_t n, struct qn_err *e)
{
    if (qn_fd_write(w->fd, p, n, e) < 0)
        return qn_err_wrap(e, "blob in %s", w->store->tmp);
    qn_hash_update(&w->hash, p, n);
    w->size += n;
    return 0;
}

static int writer_sink(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_blob_write(ctx, p, n, e);
}

struct qn_sink qn_blob_writer_sink(struct qn_blob_writer *w)
{
    return (struct qn_sink){writer_sink, w};
}

void qn_blob_abort(struct qn_blob_writer *w)
{
    if (!w->store)
        return;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    qn_hash_fini(&w->hash);
    qn_store_release(w->store, w->reserved);
    w->reserved = 0;
    w->store = NULL;
}

/* An existing file of the right size is the same content; of another size it is damage, which the new bytes heal. */
static int exists_whole(struct qn_store *s, const char *name, uint64_t size)
{
    struct stat st;
    if (fstatat(s->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

static int link_once(struct qn_store *s, int fd, const char *name, uint64_t size, bool *added)
{
    char self[64];

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    for (int i = 0; i < 3; i++) {
        if (linkat(AT_FDCWD, self, s->blobs_fd, name, AT_SYMLINK_FOLLOW) == 0) {
            *added = true;
            return 0;
        }
        if (errno != EEXIST)
            return -1;
        if (exists_whole(s, name, size))
            return 0;
        unlinkat(s->blobs_fd, name, 0);
    }
    return -1;
}

static int sync_dir(struct qn_store *s, const char *dir, struct qn_err *e)
{
    qn_auto_close int fd = openat(s->blobs_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return qn_fail_errno(e, QN_E_IO, "making directory %s/blobs/%s durable", s->root, dir);
    return 0;
}

int qn_blob_place(struct qn_store *s, int fd, const struct qn_digest *d, uint64_t size, struct qn_err *e)
{
    char name[QN_BLOB_NAME], dir[QN_BLOB_NAME];
    bool added = false;

    qn_blob_name(d, name, dir);
    if (fdatasync(fd) < 0)
        return qn_fail_errno(e, QN_E_IO, "making blob %s durable", name);
    if (fchmod(fd, 0444) < 0)
        return qn_fail_errno(e, QN_E_IO, "mode of blob %s", name);
    if (link_once(s, fd, name, size, &added) < 0)
        return qn_fail_errno(e, QN_E_IO, "linking blob %s/blobs/%s", s->root, name);
    /* Also when somebody else linked it: his fsync may not have happened yet. */
    if (sync_dir(s, dir, e) < 0)
        return -1;
    if (added)
        qn_store_count(s, (int64_t)size);
    return 0;
}

/* Copies a file of another file system (or one that cannot be linked) into a fresh temporary file. */
static int copy_in(struct qn_store *s, int from, const struct qn_digest *d, uint64_t size, struct qn_err *e)
{
    qn_auto_blob struct qn_blob_writer w = {0};
    qn_auto_free char *chunk = qn_xcalloc(1, QN_BLOB_CHUNK);
    uint64_t off = 0;

    if (qn_blob_begin(s, d->algorithm, 0, &w, e) < 0)
        return -1;
    while (off < size) {
        size_t got;
        if (qn_fd_pread(from, chunk, QN_MIN(size - off, QN_BLOB_CHUNK), off, &got, e) < 0)
            return -1;
        if (got == 0)
            break;
        if (qn_blob_write(&w, chunk, got, e) < 0)
            return -1;
        off += got;
    }
    return qn_blob_commit(&w, d, size, NULL, e);
}

int qn_blob_adopt(struct qn_store *s, int fd, const struct qn_digest *d, uint64_t size, struct qn_err *e)
{
    struct stat st;
    char text[QN_DIGEST_TEXT];

    if (fstat(fd, &st) < 0)
        return qn_fail_errno(e, QN_E_IO, "blob %s", qn_digest_text(d, text));
    if ((uint64_t)st.st_size != size)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "blob %s: file of %lld bytes instead of %llu", qn_digest_text(d, text),
                       (long long)st.st_size, (unsigned long long)size);
    /* O_TMPFILE files have no name; a file that lost its name cannot get one again, and neither has a link count. */
    if (st.st_dev != s->dev || st.st_nlink != 0)
        return copy_in(s, fd, d, size, e);
    if (qn_blob_place(s, fd, d, size, e) == 0)
        return 0;
    if (e->sys == ENOENT || e->sys == EXDEV || e->sys == EPERM)
        return copy_in(s, fd, d, size, e);
    return -1;
}

/* Where O_TMPFILE does not exist: write under a name in tmp, and rename into place. */
static int place_named(struct qn_store *s, int fd, const struct qn_digest *d, uint64_t size, struct qn_err *e)
{
    qn_auto_free char *tmp = qn_xasprintf("%s/link.XXXXXX", s->tmp);
    qn_auto_free char *chunk = qn_xcalloc(1, QN_BLOB_CHUNK);
    qn_auto_close int out = mkostemp(tmp, O_CLOEXEC);
    char name[QN_BLOB_NAME], dir[QN_BLOB_NAME];
    int r = 0;

    if (out < 0)
        return qn_fail_errno(e, QN_E_IO, "temporary file in %s", s->tmp);
    for (uint64_t off = 0; r == 0 && off < size;) {
        size_t got;
        r = qn_fd_pread(fd, chunk, QN_MIN(size - off, QN_BLOB_CHUNK), off, &got, e);
        if (r == 0)
            r = qn_fd_write(out, chunk, got, e);
        if (r == 0 && got == 0)
            r = qn_fail(e, QN_E_IO, "temporary file in %s: shorter than it was", s->tmp);
        off += got;
    }
    qn_blob_name(d, name, dir);
    if (r == 0 && (fdatasync(out) < 0 || fchmod(out, 0444) < 0))
        r = qn_fail_errno(e, QN_E_IO, "%s", tmp);
    bool old = r == 0 && exists_whole(s, name, size);
    if (r == 0 && !old && renameat(AT_FDCWD, tmp, s->blobs_fd, name) < 0)
        r = qn_fail_errno(e, QN_E_IO, "renaming %s to %s/blobs/%s", tmp, s->root, name);
    if (r < 0 || old)
        unlink(tmp);
    if (r < 0)
        return -1;
    if (sync_dir(s, dir, e) < 0)
        return -1;
    if (!old)
        qn_store_count(s, (int64_t)size);
    return 0;
}

int qn_blob_commit(struct qn_blob_writer *w, const struct qn_digest *expect, uint64_t size, struct qn_digest *out,
                   struct qn_err *e)
{
    qn_auto_blob struct qn_blob_writer own = *w;
    char want[QN_DIGEST_TEXT], have[QN_DIGEST_TEXT];

    *w = (struct qn_blob_writer){.fd = -1};
    struct qn_digest d = qn_hash_final(&own.hash);
    if (size != UINT64_MAX && own.size != size)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "blob %s: %llu bytes instead of %llu", qn_digest_text(&d, have),
                       (unsigned long long)own.size, (unsigned long long)size);
    if (expect && !qn_digest_eq(expect, &d))
        return qn_fail(e, QN_E_DIGEST_MISMATCH, "blob %s: content has %s", qn_digest_text(expect, want),
                       qn_digest_text(&d, have));
    if (qn_blob_place(own.store, own.fd, &d, own.size, e) < 0 &&
        !(e->sys == ENOENT && place_named(own.store, own.fd, &d, own.size, e) == 0))
        return -1;
    if (out)
        *out = d;
    return 0;
}

int qn_blob_put_as(struct qn_store *s, struct qn_str bytes, const struct qn_digest *d, struct qn_err *e)
{
    qn_auto_blob struct qn_blob_writer w = {0};
    uint64_t size;
    struct qn_err ignored;

    if (qn_blob_stat(s, d, &size, &ignored) == 0 && size == bytes.n) {
        char name[QN_BLOB_NAME], dir[QN_BLOB_NAME];
        qn_blob_name(d, name, dir);
        return sync_dir(s, dir, e);
    }
    if (qn_blob_begin(s, d->algorithm, bytes.n, &w, e) < 0 || qn_blob_write(&w, bytes.p, bytes.n, e) < 0)
        return -1;
    return qn_blob_commit(&w, d, bytes.n, NULL, e);
}

int qn_blob_put(struct qn_store *s, struct qn_str bytes, struct qn_digest *out, struct qn_err *e)
{
    struct qn_digest d = qn_digest_of(bytes);

    if (qn_blob_put_as(s, bytes, &d, e) < 0)
        return -1;
    *out = d;
    return 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

int qn_blob_open(struct qn_store *s, const struct qn_digest *d, int *fd, uint64_t *size, struct qn_err *e)
{
    char name[QN_BLOB_NAME], dir[QN_BLOB_NAME];
    struct stat st;

    qn_blob_name(d, name, dir);
    qn_auto_close int f = openat(s->blobs_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
    if (f < 0 && errno == EPERM)
        f = openat(s->blobs_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (f < 0 && errno == ENOENT)
        return qn_err_set(e, QN_E_BLOB_UNKNOWN, ENOENT, __FILE__, __LINE__, "blob %s: not in the store", name);
    if (f < 0 || fstat(f, &st) < 0)
        return qn_fail_errno(e, QN_E_IO, "blob %s/blobs/%s", s->root, name);
    if (!S_ISREG(st.st_mode))
        return qn_fail(e, QN_E_IO, "blob %s/blobs/%s: not a regular file", s->root, name);
    *size = (uint64_t)st.st_size;
    *fd = qn_steal_fd(f);
    return 0;
}

int qn_blob_stat(struct qn_store *s, const struct qn_digest *d, uint64_t *size, struct qn_err *e)
{
    char name[QN_BLOB_NAME], dir[QN_BLOB_NAME];
    struct stat st;

    qn_blob_name(d, name, dir);
    if (fstatat(s->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT)
            return qn_err_set(e, QN_E_BLOB_UNKNOWN, ENOENT, __FILE__, __LINE__, "blob %s: not in the store", name);
        return qn_fail_errno(e, QN_E_IO, "blob %s/blobs/%s", s->root, name);
    }
    if (!S_ISREG(st.st_mode))
        return qn_fail(e, QN_E_IO, "blob %s/blobs/%s: not a regular file", s->root, name);
    *size = (uint64_t)st.st_size;
    return 0;
}

int qn_blob_read(struct qn_store *s, const struct qn_digest *d, struct qn_buf *b, struct qn_err *e)
{
    qn_auto_close int fd = -1;
    qn_auto_hash struct qn_hash h = {0};
    char text[QN_DIGEST_TEXT], *at;
    uint64_t size;
    size_t got;

    if (qn_blob_open(s, d, &fd, &size, e) < 0)
        return -1;
    if (size > b->max)
        return qn_fail(e, QN_E_LIMIT, "blob %s: %llu bytes, at most %zu", qn_digest_text(d, text),
                       (unsigned long long)size, b->max);
    if (qn_buf_reserve(b, (size_t)size, &at, e) < 0 || qn_fd_pread(fd, at, (size_t)size, 0, &got, e) < 0)
        return qn_err_wrap(e, "blob %s", qn_digest_text(d, text));
    qn_hash_init(&h, d->algorithm);
    qn_hash_update(&h, at, got);
    struct qn_digest have = qn_hash_final(&h);
    if (!qn_digest_eq(&have, d))
        return qn_fail(e, QN_E_DIGEST_MISMATCH, "blob %s: the stored file is damaged", qn_digest_text(d, text));
    b->n += got;
    b->p[b->n] = '\0';
    return 0;
}

int qn_blob_remove(struct qn_store *s, const struct qn_digest *d, struct qn_err *e)
{
    char name[QN_BLOB_NAME], dir[QN_BLOB_NAME];
    struct stat st;
    bool known = false;

    qn_blob_name(d, name, dir);
    known = fstatat(s->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (unlinkat(s->blobs_fd, name, 0) < 0) {
        if (errno == ENOENT)
            return 0;
        return qn_fail_errno(e, QN_E_IO, "removing blob %s/blobs/%s", s->root, name);
    }
    if (known)
        qn_store_count(s, -(int64_t)st.st_size);
    return 0;
}
