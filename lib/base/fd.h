/* File descriptors: whole reads and writes, private temporary files, durable directories. */
#ifndef QN_BASE_FD_H
#define QN_BASE_FD_H

#include "buf.h"
#include "err.h"

#include <stdint.h>
#include <sys/types.h>

/* Cleanup helper: `qn_auto_close int fd = open(...);` keeps errno. */
void qn_close_cleanup(int *fd);
#define qn_auto_close QN_CLEANUP(qn_close_cleanup)

/* Writes all `n` bytes; handles short writes and EINTR. */
int qn_fd_write(int fd, const void *p, size_t n, struct qn_err *e) QN_MUST_CHECK;
int qn_fd_pwrite(int fd, const void *p, size_t n, uint64_t off, struct qn_err *e) QN_MUST_CHECK;
/* Reads up to `n` bytes, fewer only at the end of the file; `*got` says how many. */
int qn_fd_read(int fd, void *p, size_t n, size_t *got, struct qn_err *e) QN_MUST_CHECK;
int qn_fd_pread(int fd, void *p, size_t n, uint64_t off, size_t *got, struct qn_err *e) QN_MUST_CHECK;
/* Reads from the current position to the end into `b`; LIMIT beyond its ceiling. */
int qn_fd_read_all(int fd, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* Reads a whole regular file by path into `b` (initialised by the caller); errors name the path. */
int qn_file_read(const char *path, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* Size of an open regular file. */
int qn_fd_size(int fd, uint64_t *size, struct qn_err *e) QN_MUST_CHECK;
/* An unnamed file in `dir` (O_TMPFILE), readable and writable, close-on-exec; -1 on failure. */
int qn_fd_tmpfile(const char *dir, struct qn_err *e) QN_MUST_CHECK;
/* An anonymous memory file (memfd), close-on-exec; -1 on failure. */
int qn_fd_memfile(const char *name, struct qn_err *e) QN_MUST_CHECK;
/* fsync of a directory given by path. */
int qn_dir_sync(const char *path, struct qn_err *e) QN_MUST_CHECK;
/* mkdir -p with `mode` for new directories; an existing directory is fine. */
int qn_dir_make(const char *path, mode_t mode, struct qn_err *e) QN_MUST_CHECK;
/* Removes a directory tree made by us (symlinks are not followed); missing is fine. Best effort. */
void qn_dir_remove(const char *path);

/* A read-only mapping of a whole file. */
struct qn_mapped {
    const uint8_t *p; /* NULL when empty */
    size_t n;
};
int qn_fd_map(int fd, uint64_t max, struct qn_mapped *m, struct qn_err *e) QN_MUST_CHECK;
void qn_mapped_fini(struct qn_mapped *m);
#define qn_auto_mapped QN_CLEANUP(qn_mapped_fini)

#endif
