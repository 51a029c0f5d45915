#include "store_dir.h"

#include "base/mem.h"
#include "base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

void qn_blob_name(const struct qn_digest *d, char name[QN_BLOB_NAME], char dir[QN_BLOB_NAME])
{
    char text[QN_DIGEST_TEXT];

    qn_assert(qn_digest_size(d->algorithm) > 0);
    qn_digest_text(d, text);
    const char *hex = strchr(text, ':') + 1;
    snprintf(dir, QN_BLOB_NAME, "%s/%.2s", qn_digest_name(d->algorithm), hex);
    snprintf(name, QN_BLOB_NAME, "%s/%.2s/%s", qn_digest_name(d->algorithm), hex, hex);
}

static int take_lock(struct qn_store *s, struct qn_err *e)
{
    qn_auto_free char *path = qn_xasprintf("%s/lock", s->root);
    char pid[32] = "";
    size_t got = 0;

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return qn_fail_errno(e, QN_E_IO, "locking %s", path);
        struct qn_err ignored;
        if (qn_fd_pread(s->lock_fd, pid, sizeof pid - 1, 0, &got, &ignored) < 0)
            got = 0;
        struct qn_str who = qn_str_trim(qn_str_n(pid, got));
        return qn_fail(e, QN_E_CONFLICT, "storage %s: in use by process %s", s->root, who.n ? QN_Q(who) : "unknown");
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", path);
    return qn_fd_pwrite(s->lock_fd, pid, (size_t)n, 0, e);
}

static int make_dirs(struct qn_store *s, struct qn_err *e)
{
    static const char *const algorithm[] = {"sha256", "sha512"};

    for (size_t a = 0; a < QN_ARRAY_LEN(algorithm); a++) {
        qn_auto_free char *top = qn_xasprintf("%s/blobs/%s", s->root, algorithm[a]);
        if (qn_dir_make(top, 0700, e) < 0)
            return -1;
        qn_auto_close int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return qn_fail_errno(e, QN_E_IO, "%s", top);
        bool made = false;
        for (unsigned i = 0; i < 256; i++) {
            char sub[4];
            snprintf(sub, sizeof sub, "%02x", i);
            if (mkdirat(fd, sub, 0700) == 0)
                made = true;
            else if (errno != EEXIST)
                return qn_fail_errno(e, QN_E_IO, "making %s/%s", top, sub);
        }
        if (made && fsync(fd) < 0)
            return qn_fail_errno(e, QN_E_IO, "%s", top);
    }
    qn_auto_free char *blobs = qn_xasprintf("%s/blobs", s->root);
    return qn_dir_sync(blobs, e) < 0 || qn_dir_sync(s->root, e) < 0 ? -1 : 0;
}

static int open_dirs(struct qn_store *s, struct qn_err *e)
{
    qn_auto_free char *blobs = qn_xasprintf("%s/blobs", s->root);
    struct stat st;

    qn_dir_remove(s->tmp);
    if (qn_dir_make(s->tmp, 0700, e) < 0 || qn_dir_make(s->uploads, 0700, e) < 0 || make_dirs(s, e) < 0)
        return -1;
    s->blobs_fd = open(blobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->tmp_fd = open(s->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->blobs_fd < 0 || s->tmp_fd < 0 || fstat(s->blobs_fd, &st) < 0)
        return qn_fail_errno(e, QN_E_IO, "storage %s", s->root);
    s->dev = st.st_dev;
    return 0;
}

static int set_watermark(struct qn_store *s, struct qn_err *e)
{
    struct qn_store_space space;

    if (s->keep_free)
        return 0;
    if (qn_store_space(s, &space, e) < 0)
        return -1;
    s->keep_free = QN_MIN(space.fs_total / 50, 256ull << 20);
    return 0;
}

int qn_store_open(const char *root, const struct qn_store_options *opt, struct qn_store **out, struct qn_err *e)
{
    struct qn_store *s = qn_new(struct qn_store);

    s->blobs_fd = s->tmp_fd = s->lock_fd = -1;
    s->root = qn_xstrdup(root);
    s->tmp = qn_xasprintf("%s/tmp", root);
    s->uploads = qn_xasprintf("%s/uploads", root);
    pthread_mutex_init(&s->lock, NULL);
    if (opt) {
        s->max_size = opt->max_size;
        s->keep_free = opt->keep_free;
    }
    /* Lock before anything is touched: tmp may be in use by the holder. */
    if (qn_dir_make(root, 0700, e) < 0 || take_lock(s, e) < 0 || open_dirs(s, e) < 0 || set_watermark(s, e) < 0) {
        qn_store_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

void qn_store_close(struct qn_store *s)
{
    if (!s)
        return;
    qn_close_cleanup(&s->blobs_fd);
    qn_close_cleanup(&s->tmp_fd);
    qn_close_cleanup(&s->lock_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->root);
    free(s->tmp);
    free(s->uploads);
    free(s);
}

const char *qn_store_root(const struct qn_store *s)
{
    return s->root;
}

const char *qn_store_tmp(const struct qn_store *s)
{
    return s->tmp;
}

const char *qn_store_uploads(const struct qn_store *s)
{
    return s->uploads;
}

/* --- space -------------------------------------------------------------------------------------------------------- */

int qn_store_space(struct qn_store *s, struct qn_store_space *out, struct qn_err *e)
{
    struct statvfs v;

    if (fstatvfs(s->blobs_fd, &v) < 0)
        return qn_fail_errno(e, QN_E_IO, "free space of %s", s->root);
    pthread_mutex_lock(&s->lock);
    *out = (struct qn_store_space){
        .fs_total = (uint64_t)v.f_blocks * v.f_frsize,
        .fs_free = (uint64_t)v.f_bavail * v.f_frsize,
        .used = s->used,
        .reserved = s->reserved,
        .max_size = s->max_size,
    };
    pthread_mutex_unlock(&s->lock);
    return 0;
}

void qn_store_set_used(struct qn_store *s, uint64_t used)
{
    pthread_mutex_lock(&s->lock);
    s->used = used;
    pthread_mutex_unlock(&s->lock);
}

void qn_store_count(struct qn_store *s, int64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    if (bytes < 0 && (uint64_t)-bytes > s->used)
        s->used = 0;
    else
        s->used += (uint64_t)bytes;
    pthread_mutex_unlock(&s->lock);
}

int qn_store_reserve(struct qn_store *s, uint64_t bytes, struct qn_err *e)
{
    struct qn_store_space space;
    uint64_t promised;
    int r = 0;

    if (qn_store_space(s, &space, e) < 0)
        return -1;
    pthread_mutex_lock(&s->lock);
    if (qn_num_add(s->reserved, bytes, &promised, e) < 0)
        r = -1;
    else if (s->max_size && (promised > s->max_size || s->used > s->max_size - promised))
        r = qn_fail(e, QN_E_NO_SPACE,
                    "storage %s: %llu bytes more would pass storage.max_size (%llu of %llu used, %llu reserved)",
                    s->root, (unsigned long long)bytes, (unsigned long long)s->used, (unsigned long long)s->max_size,
                    (unsigned long long)s->reserved);
    else if (promised > space.fs_free || space.fs_free - promised < s->keep_free)
        r = qn_fail(e, QN_E_NO_SPACE,
                    "storage %s: %llu bytes more do not fit: %llu free, %llu reserved, %llu kept free", s->root,
                    (unsigned long long)bytes, (unsigned long long)space.fs_free, (unsigned long long)s->reserved,
                    (unsigned long long)s->keep_free);
    else
        s->reserved = promised;
    pthread_mutex_unlock(&s->lock);
    return r;
}

void qn_store_release(struct qn_store *s, uint64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    qn_assert(bytes <= s->reserved);
    s->reserved -= bytes;
    pthread_mutex_unlock(&s->lock);
}
