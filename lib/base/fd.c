#include "fd.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void qn_close_cleanup(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
        *fd = -1;
    }
}

int qn_fd_write(int fd, const void *p, size_t n, struct qn_err *e)
{
    const char *at = p;

    while (n) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return qn_fail_errno(e, QN_E_IO, "write");
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

int qn_fd_pwrite(int fd, const void *p, size_t n, uint64_t off, struct qn_err *e)
{
    const char *at = p;

    while (n) {
        ssize_t k = pwrite(fd, at, n, (off_t)off);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return qn_fail_errno(e, QN_E_IO, "write");
        at += k;
        off += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

int qn_fd_read(int fd, void *p, size_t n, size_t *got, struct qn_err *e)
{
    size_t done = 0;

    while (done < n) {
        ssize_t k = read(fd, (char *)p + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return qn_fail_errno(e, QN_E_IO, "read");
        if (k == 0)
            break;
        done += (size_t)k;
    }
    *got = done;
    return 0;
}

int qn_fd_pread(int fd, void *p, size_t n, uint64_t off, size_t *got, struct qn_err *e)
{
    size_t done = 0;

    while (done < n) {
        ssize_t k = pread(fd, (char *)p + done, n - done, (off_t)(off + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return qn_fail_errno(e, QN_E_IO, "read");
        if (k == 0)
            break;
        done += (size_t)k;
    }
    *got = done;
    return 0;
}

int qn_fd_read_all(int fd, struct qn_buf *b, struct qn_err *e)
{
    for (;;) {
        char chunk[16384];
        size_t got;
        if (qn_fd_read(fd, chunk, sizeof chunk, &got, e) < 0)
            return -1;
        if (qn_buf_put(b, chunk, got, e) < 0)
            return -1;
        if (got < sizeof chunk)
            return 0;
    }
}

int qn_file_read(const char *path, struct qn_buf *b, struct qn_err *e)
{
    qn_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", path);
    if (qn_fd_read_all(fd, b, e) < 0)
        return qn_err_wrap(e, "%s", path);
    return 0;
}

int qn_fd_size(int fd, uint64_t *size, struct qn_err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return qn_fail_errno(e, QN_E_IO, "fstat");
    *size = (uint64_t)st.st_size;
    return 0;
}

int qn_fd_tmpfile(const char *dir, struct qn_err *e)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR)
        return qn_fail_errno(e, QN_E_IO, "temporary file in %s", dir);
    /* A file system without O_TMPFILE: a named file that loses its name at once. */
    qn_auto_free char *name = qn_xasprintf("%s/quench.XXXXXX", dir);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "temporary file in %s", dir);
    unlink(name);
    return fd;
}

int qn_fd_memfile(const char *name, struct qn_err *e)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "memory file %s", name);
    return fd;
}

int qn_dir_sync(const char *path, struct qn_err *e)
{
    qn_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", path);
    if (fsync(fd) < 0)
        return qn_fail_errno(e, QN_E_IO, "fsync %s", path);
    return 0;
}

int qn_dir_make(const char *path, mode_t mode, struct qn_err *e)
{
    qn_auto_free char *copy = qn_xstrdup(path);

    for (char *at = copy + 1;; at++) {
        bool last = *at == '\0';
        if (*at != '/' && !last)
            continue;
        *at = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return qn_fail_errno(e, QN_E_IO, "directory %s", copy);
        if (last)
            break;
        *at = '/';
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return qn_fail_errno(e, QN_E_IO, "directory %s", path);
    if (!S_ISDIR(st.st_mode))
        return qn_fail(e, QN_E_IO, "%s: not a directory", path);
    return 0;
}

/* Bounded depth: the trees that we make ourselves are shallow. */
static void remove_at(int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || depth == 0)
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return;
    }
    for (struct dirent *ent; (ent = readdir(d));)
        if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
            remove_at(fd, ent->d_name, depth - 1);
    closedir(d);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void qn_dir_remove(const char *path)
{
    remove_at(AT_FDCWD, path, 16);
}

int qn_fd_map(int fd, uint64_t max, struct qn_mapped *m, struct qn_err *e)
{
    uint64_t size;

    if (qn_fd_size(fd, &size, e) < 0)
        return -1;
    if (size > max || size > SIZE_MAX)
        return qn_fail(e, QN_E_LIMIT, "file of %llu bytes, at most %llu", (unsigned long long)size,
                       (unsigned long long)max);
    *m = (struct qn_mapped){NULL, 0};
    if (size == 0)
        return 0;
    void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return qn_fail_errno(e, QN_E_IO, "mmap");
    *m = (struct qn_mapped){p, (size_t)size};
    return 0;
}

void qn_mapped_fini(struct qn_mapped *m)
{
    if (m->p)
        munmap((void *)(uintptr_t)m->p, m->n);
    *m = (struct qn_mapped){NULL, 0};
}
