#include "store_dir.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct names {
    char (*name)[QN_DIGEST_TEXT];
    size_t n, cap;
};

static int name_cmp(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The names are collected first: `fn` may remove files, which readdir would not be sure about. */
static int read_names(int dirfd, const char *where, struct names *out, struct qn_err *e)
{
    DIR *d = fdopendir(dirfd);

    if (!d) {
        close(dirfd);
        return qn_fail_errno(e, QN_E_IO, "%s", where);
    }
    int r = 0;
    for (struct dirent *ent; r == 0 && (ent = readdir(d));) {
        size_t len = strlen(ent->d_name);
        if (len != 64 && len != 128)
            continue;
        void *arr = out->name;
        r = qn_grow(&arr, &out->cap, out->n + 1, sizeof *out->name, SIZE_MAX / sizeof *out->name, e);
        out->name = arr;
        if (r == 0)
            memcpy(out->name[out->n++], ent->d_name, len + 1);
    }
    closedir(d);
    if (out->n)
        qsort(out->name, out->n, sizeof *out->name, name_cmp);
    return r;
}

static int each_in_dir(struct qn_store *s, const char *dir, const struct names *names,
                       int (*fn)(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed,
                                 struct qn_err *e),
                       void *arg, struct qn_err *e)
{
    for (size_t i = 0; i < names->n; i++) {
        char text[QN_DIGEST_TEXT + 16], name[QN_BLOB_NAME], own[QN_BLOB_NAME];
        struct qn_digest d;
        struct qn_err ignored;
        struct stat st;
        snprintf(text, sizeof text, "%.6s:%s", dir, names->name[i]);
        if (qn_digest_parse(qn_str_c(text), &d, &ignored) < 0)
            continue;
        qn_blob_name(&d, name, own);
        if (strcmp(own, dir) != 0 || fstatat(s->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (fn(arg, &d, (uint64_t)st.st_size, (int64_t)st.st_ctime, e) < 0)
            return -1;
    }
    return 0;
}

int qn_blob_each(struct qn_store *s,
                 int (*fn)(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed, struct qn_err *e),
                 void *arg, struct qn_err *e)
{
    for (unsigned i = 0; i < 512; i++) {
        char dir[QN_BLOB_NAME];
        struct names names = {0};
        snprintf(dir, sizeof dir, "%s/%02x", i < 256 ? "sha256" : "sha512", i & 255);
        int fd = openat(s->blobs_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return qn_fail_errno(e, QN_E_IO, "%s/blobs/%s", s->root, dir);
        int r = read_names(fd, dir, &names, e);
        if (r == 0)
            r = each_in_dir(s, dir, &names, fn, arg, e);
        free(names.name);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int hash_file(int fd, uint64_t size, enum qn_digest_algorithm algorithm, struct qn_digest *out, struct qn_err *e)
{
    qn_auto_free char *chunk = qn_xcalloc(1, QN_BLOB_CHUNK);
    qn_auto_hash struct qn_hash h = {0};

    qn_hash_init(&h, algorithm);
    for (uint64_t off = 0; off < size;) {
        size_t got;
        if (qn_fd_pread(fd, chunk, QN_MIN(size - off, QN_BLOB_CHUNK), off, &got, e) < 0)
            return -1;
        if (got == 0)
            break;
        qn_hash_update(&h, chunk, got);
        /* A scrub must not push out of memory what is being served. */
        posix_fadvise(fd, (off_t)off, (off_t)got, POSIX_FADV_DONTNEED);
        off += got;
    }
    *out = qn_hash_final(&h);
    return 0;
}

static int quarantine(struct qn_store *s, const struct qn_digest *d, uint64_t size, struct qn_err *e)
{
    char name[QN_BLOB_NAME], dir[QN_BLOB_NAME], text[QN_DIGEST_TEXT];
    qn_auto_free char *to = qn_xasprintf("quarantine/%s", qn_digest_text(d, text));

    qn_blob_name(d, name, dir);
    if (mkdirat(s->tmp_fd, "quarantine", 0700) < 0 && errno != EEXIST)
        return qn_fail_errno(e, QN_E_IO, "making %s/quarantine", s->tmp);
    if (renameat(s->blobs_fd, name, s->tmp_fd, to) < 0)
        return qn_fail_errno(e, QN_E_IO, "moving damaged blob %s/blobs/%s", s->root, name);
    qn_store_count(s, -(int64_t)size);
    return 0;
}

int qn_blob_scrub(struct qn_store *s, const struct qn_digest *d, bool *ok, struct qn_err *e)
{
    qn_auto_close int fd = -1;
    struct qn_digest have;
    char text[QN_DIGEST_TEXT];
    uint64_t size;

    if (qn_blob_open(s, d, &fd, &size, e) < 0)
        return -1;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (hash_file(fd, size, d->algorithm, &have, e) < 0)
        return qn_err_wrap(e, "scrubbing %s", qn_digest_text(d, text));
    bool same = qn_digest_eq(&have, d);
    if (!same && quarantine(s, d, size, e) < 0)
        return -1;
    *ok = same;
    return 0;
}
