#include "upload.h"
#include "store_dir.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID_TEXT    36u
#define ID_TEXT      (UUID_TEXT + 1 + 32)
#define RESERVE_STEP (16ull << 20)
#define HASH_CHUNK   (1u << 20)
#define ROOM_SECONDS 600
#define WRITE_BACK   (16ull << 20)

struct qn_upload {
    struct qn_upload *next, **at; /* under uploads->lock, like refs */
    unsigned refs;                /* the table's and one a user */
    char id[QN_UPLOAD_ID];
    pthread_mutex_t lock; /* of what follows */
    int fd;               /* -1 while nobody writes */
    uint64_t size, reserved;
    uint64_t hashed; /* how far `hash` is; used only when that is all */
    struct qn_hash hash;
    int64_t last; /* seconds: when it was written to last */
    uint64_t ticket;
    bool busy;    /* the holder of `ticket` writes */
    bool closing; /* being committed */
    bool gone;
};

struct qn_uploads {
    struct qn_store *store;
    int dir;
    pthread_mutex_t lock;
    struct qn_map map; /* id -> upload */
    struct qn_upload *first;
    size_t n;
};

/* --- ids ---------------------------------------------------------------------------------------------------------- */
/* The second half of an id: a digest of the repository, so that it leads nowhere in another one. */
static void tail_of(const char *repo, char out[33])
{
    struct qn_digest d = qn_digest_of(qn_str_c(repo));
    for (unsigned i = 0; i < 16; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", d.bytes[i]);
}

static int make_id(const char *repo, char id[QN_UPLOAD_ID], struct qn_err *e)
{
    unsigned char r[16];
    char tail[33];

    if (RAND_bytes(r, sizeof r) != 1)
        return qn_fail(e, QN_E_IO, "random numbers");
    tail_of(repo, tail);
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    snprintf(id, QN_UPLOAD_ID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x-%s", r[0], r[1],
             r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15], tail);
    return 0;
}

static bool is_id(const char *s)
{
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f') || s[i] == '-'))
            return false;
    return n == ID_TEXT && s[UUID_TEXT] == '-';
}

/* --- the table ---------------------------------------------------------------------------------------------------- */
static void unref(struct qn_uploads *u, struct qn_upload *up)
{
    pthread_mutex_lock(&u->lock);
    bool last = --up->refs == 0;
    pthread_mutex_unlock(&u->lock);
    if (!last)
        return;
    if (up->fd >= 0)
        close(up->fd);
    qn_hash_fini(&up->hash);
    qn_store_release(u->store, up->reserved);
    pthread_mutex_destroy(&up->lock);
    free(up);
}

static struct qn_upload *make(const char *id)
{
    struct qn_upload *up = qn_new(struct qn_upload);

    pthread_mutex_init(&up->lock, NULL);
    snprintf(up->id, sizeof up->id, "%s", id);
    up->refs = 1;
    up->fd = -1;
    return up;
}

static int enlist(struct qn_uploads *u, struct qn_upload *up, struct qn_err *e)
{
    int r;

    pthread_mutex_lock(&u->lock);
    if (u->n >= QN_UPLOADS_MAX)
        r = qn_fail(e, QN_E_BUSY, "%zu uploads are under way already", u->n);
    else
        r = qn_map_put(&u->map, qn_str_c(up->id), up, e);
    if (r == 0) {
        up->next = u->first;
        up->at = &u->first;
        if (up->next)
            up->next->at = &up->next;
        u->first = up;
        u->n++;
    }
    pthread_mutex_unlock(&u->lock);
    return r;
}

/* Takes it off the table; its file is gone or not ours any more. The caller has a reference and not the lock. */
static void delist(struct qn_uploads *u, struct qn_upload *up)
{
    pthread_mutex_lock(&u->lock);
    bool listed = qn_map_del(&u->map, qn_str_c(up->id)) != NULL;
    if (listed) {
        *up->at = up->next;
        if (up->next)
            up->next->at = up->at;
        u->n--;
        up->refs--;
    }
    pthread_mutex_unlock(&u->lock);
}

static int unknown(struct qn_err *e)
{
    return qn_fail(e, QN_E_UPLOAD_UNKNOWN, "upload unknown to this repository");
}

/* With a reference. */
static int find(struct qn_uploads *u, const char *repo, const char *id, struct qn_upload **out, struct qn_err *e)
{
    char tail[33];

    tail_of(repo, tail);
    if (!is_id(id) || strcmp(id + UUID_TEXT + 1, tail) != 0)
        return unknown(e);
    pthread_mutex_lock(&u->lock);
    struct qn_upload *up = qn_map_get(&u->map, qn_str_c(id));
    if (up)
        up->refs++;
    pthread_mutex_unlock(&u->lock);
    if (!up)
        return unknown(e);
    *out = up;
    return 0;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
/* A file with a second name was committed just before a crash: it is a blob, and must never be written to again. */
static void adopt(struct qn_uploads *u, const char *name)
{
    struct stat st;
    struct qn_err e;

    if (fstatat(u->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return;
    if (!is_id(name) || st.st_nlink != 1) {
        unlinkat(u->dir, name, 0);
        return;
    }
    struct qn_upload *up = make(name);
    up->size = (uint64_t)st.st_size;
    up->last = st.st_mtime;
    if (qn_store_reserve(u->store, up->size, &e) == 0)
        up->reserved = up->size;
    if (enlist(u, up, &e) < 0) {
        unlinkat(u->dir, name, 0);
        unref(u, up);
    }
}

int qn_uploads_open(struct qn_store *s, struct qn_uploads **out, struct qn_err *e)
{
    DIR *d = opendir(qn_store_uploads(s));

    if (!d)
        return qn_fail_errno(e, QN_E_IO, "%s", qn_store_uploads(s));
    struct qn_uploads *u = qn_new(struct qn_uploads);
    u->store = s;
    u->dir = fcntl(dirfd(d), F_DUPFD_CLOEXEC, 0);
    pthread_mutex_init(&u->lock, NULL);
    qn_map_init(&u->map, QN_UPLOADS_MAX);
    for (struct dirent *ent; u->dir >= 0 && (ent = readdir(d));)
        adopt(u, ent->d_name);
    closedir(d);
    if (u->dir < 0) {
        qn_uploads_close(u);
        return qn_fail_errno(e, QN_E_IO, "%s", qn_store_uploads(s));
    }
    *out = u;
    return 0;
}

void qn_uploads_close(struct qn_uploads *u)
{
    if (!u)
        return;
    while (u->first) {
        struct qn_upload *up = u->first;
        pthread_mutex_lock(&u->lock);
        up->refs++;
        pthread_mutex_unlock(&u->lock);
        delist(u, up);
        unref(u, up);
    }
    qn_close_cleanup(&u->dir);
    qn_map_fini(&u->map);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

static void drop(struct qn_uploads *u, struct qn_upload *up);
static struct qn_upload *next_old(struct qn_uploads *u, int64_t before);

/* When the table is full: those who started and left must not keep everybody else out. */
static void make_room(struct qn_uploads *u)
{
    pthread_mutex_lock(&u->lock);
    bool full = u->n >= QN_UPLOADS_MAX;
    pthread_mutex_unlock(&u->lock);
    struct qn_upload *up = full ? next_old(u, qn_time_now() - ROOM_SECONDS) : NULL;
    if (up) {
        drop(u, up);
        unref(u, up);
    }
}

int qn_upload_start(struct qn_uploads *u, const char *repo, enum qn_digest_algorithm algorithm, char id[QN_UPLOAD_ID],
                    struct qn_err *e)
{
    if (make_id(repo, id, e) < 0)
        return -1;
    make_room(u);
    qn_auto_close int fd = openat(u->dir, id, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s/%s", qn_store_uploads(u->store), id);
    struct qn_upload *up = make(id);
    up->last = qn_time_now();
    qn_hash_init(&up->hash, algorithm == QN_DIGEST_NONE ? QN_SHA256 : algorithm);
    if (enlist(u, up, e) < 0) {
        unlinkat(u->dir, id, 0);
        unref(u, up);
        return -1;
    }
    return 0;
}

int qn_upload_size(struct qn_uploads *u, const char *repo, const char *id, uint64_t *size, struct qn_err *e)
{
    struct qn_upload *up;

    if (find(u, repo, id, &up, e) < 0)
        return -1;
    pthread_mutex_lock(&up->lock);
    bool gone = up->gone;
    *size = up->size;
    pthread_mutex_unlock(&up->lock);
    unref(u, up);
    return gone ? unknown(e) : 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
static int open_file(struct qn_uploads *u, struct qn_upload *up, struct qn_err *e)
{
    struct stat st;

    if (up->fd >= 0)
        return 0;
    qn_auto_close int fd = openat(u->dir, up->id, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return unknown(e);
    if (fd < 0 || fstat(fd, &st) < 0)
        return qn_fail_errno(e, QN_E_IO, "%s/%s", qn_store_uploads(u->store), up->id);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || (uint64_t)st.st_size < up->size)
        return qn_fail(e, QN_E_IO, "%s/%s: was changed", qn_store_uploads(u->store), up->id);
    if ((uint64_t)st.st_size > up->size && ftruncate(fd, (off_t)up->size) < 0)
        return qn_fail_errno(e, QN_E_IO, "%s/%s", qn_store_uploads(u->store), up->id);
    up->fd = qn_steal_fd(fd);
    return 0;
}

/* Makes the reservation cover `need` bytes. */
static int reserve(struct qn_uploads *u, struct qn_upload *up, uint64_t need, uint64_t step, struct qn_err *e)
{
    if (need <= up->reserved)
        return 0;
    uint64_t more = need - up->reserved;
    if (more < step && qn_store_reserve(u->store, step, e) == 0) {
        up->reserved += step;
        return 0;
    }
    if (qn_store_reserve(u->store, more, e) < 0)
        return -1;
    up->reserved += more;
    return 0;
}

/* Gives back what was reserved for bytes that did not come. */
static void settle(struct qn_uploads *u, struct qn_upload *up)
{
    if (up->reserved > up->size) {
        qn_store_release(u->store, up->reserved - up->size);
        up->reserved = up->size;
    }
}

static int may_write(struct qn_upload *up, uint64_t offset, struct qn_err *e)
{
    if (up->gone)
        return unknown(e);
    if (up->closing || (up->busy && offset == QN_UPLOAD_END))
        return qn_fail(e, QN_E_CONFLICT, "another request is at work on this upload");
    if (offset != QN_UPLOAD_END && offset != up->size)
        return qn_fail(e, QN_E_RANGE, "the upload ends at %llu, these bytes belong at %llu",
                       (unsigned long long)up->size, (unsigned long long)offset);
    return 0;
}

int qn_upload_write_begin(struct qn_uploads *u, const char *repo, const char *id, uint64_t offset, uint64_t expect,
                          enum qn_digest_algorithm algorithm, struct qn_upload_writer *out, struct qn_err *e)
{
    struct qn_upload *up;
    uint64_t whole = 0;

    if (find(u, repo, id, &up, e) < 0)
        return -1;
    pthread_mutex_lock(&up->lock);
    int r = may_write(up, offset, e);
    if (r == 0 &&
        (qn_num_add(up->size, expect, &whole, e) < 0 || reserve(u, up, whole, 0, e) < 0 || open_file(u, up, e) < 0))
        r = -1;
    if (r == 0) {
        if (up->size == 0 && (!up->hash.ctx || (algorithm != QN_DIGEST_NONE && up->hash.algorithm != algorithm))) {
            qn_hash_fini(&up->hash);
            qn_hash_init(&up->hash, algorithm == QN_DIGEST_NONE ? QN_SHA256 : algorithm);
            up->hashed = 0;
        }
        up->busy = true;
        *out = (struct qn_upload_writer){u, up, ++up->ticket, up->size};
    } else if (!up->busy) {
        settle(u, up);
    }
    pthread_mutex_unlock(&up->lock);
    if (r < 0)
        unref(u, up);
    return r;
}

int qn_upload_write(struct qn_upload_writer *w, const void *p, size_t n, struct qn_err *e)
{
    struct qn_upload *up = w->upload;
    uint64_t end;
    int r = 0;

    pthread_mutex_lock(&up->lock);
    if (up->gone || up->ticket != w->ticket)
        r = qn_fail(e, QN_E_CONFLICT, "another request goes on with this upload");
    else if (qn_num_add(up->size, n, &end, e) < 0 || reserve(w->uploads, up, end, RESERVE_STEP, e) < 0)
        r = -1;
    else if (qn_fd_pwrite(up->fd, p, n, up->size, e) < 0) {
        /* What a restart finds must be what was counted. */
        r = ftruncate(up->fd, (off_t)up->size) < 0 ? -1 : qn_err_wrap(e, "upload");
    } else {
        if (up->hash.ctx && up->hashed == up->size) {
            qn_hash_update(&up->hash, p, n);
            up->hashed = end;
        }
        /* The disk begins with what is there, so that the end has little left to wait for. */
        if (end / WRITE_BACK > up->size / WRITE_BACK)
            (void)sync_file_range(up->fd, (off_t)(end / WRITE_BACK - 1) * (off_t)WRITE_BACK, (off_t)WRITE_BACK,
                                  SYNC_FILE_RANGE_WRITE);
        up->size = end;
    }
    pthread_mutex_unlock(&up->lock);
    return r;
}

void qn_upload_write_end(struct qn_upload_writer *w)
{
    struct qn_upload *up = w->upload;

    if (!up)
        return;
    pthread_mutex_lock(&up->lock);
    if (up->ticket == w->ticket && !up->gone) {
        up->busy = false;
        up->last = qn_time_now();
        qn_close_cleanup(&up->fd);
        settle(w->uploads, up);
    }
    pthread_mutex_unlock(&up->lock);
    unref(w->uploads, up);
    *w = (struct qn_upload_writer){0};
}

/* --- ending ------------------------------------------------------------------------------------------------------- */
static int hash_file(int fd, uint64_t size, enum qn_digest_algorithm algorithm, struct qn_digest *out, struct qn_err *e)
{
    qn_auto_hash struct qn_hash h = {0};
    qn_auto_free char *chunk = qn_xcalloc(1, HASH_CHUNK);

    qn_hash_init(&h, algorithm);
    for (uint64_t at = 0; at < size;) {
        size_t got;
        if (qn_fd_pread(fd, chunk, (size_t)QN_MIN(size - at, (uint64_t)HASH_CHUNK), at, &got, e) < 0)
            return -1;
        if (got == 0)
            return qn_fail(e, QN_E_IO, "upload: the file is shorter than it was");
        qn_hash_update(&h, chunk, got);
        at += got;
    }
    *out = qn_hash_final(&h);
    return 0;
}

/* Only the caller touches it: it is closing. */
static int finish(struct qn_uploads *u, struct qn_upload *up, const struct qn_digest *want, struct qn_err *e)
{
    struct qn_digest have;
    char a[QN_DIGEST_TEXT], b[QN_DIGEST_TEXT];

    if (open_file(u, up, e) < 0)
        return -1;
    if (up->hash.ctx && up->hash.algorithm == want->algorithm && up->hashed == up->size)
        have = qn_hash_final(&up->hash);
    else if (hash_file(up->fd, up->size, want->algorithm, &have, e) < 0)
        return -1;
    if (!qn_digest_eq(&have, want))
        return qn_fail(e, QN_E_DIGEST_INVALID, "%s was announced, the content has %s", qn_digest_text(want, a),
                       qn_digest_text(&have, b));
    return qn_blob_place(u->store, up->fd, want, up->size, e);
}

/* The last of an upload: no name, no bytes that are accounted for. */
static void drop(struct qn_uploads *u, struct qn_upload *up)
{
    unlinkat(u->dir, up->id, 0);
    pthread_mutex_lock(&up->lock);
    up->gone = true;
    up->busy = false;
    qn_close_cleanup(&up->fd);
    qn_store_release(u->store, up->reserved);
    up->reserved = 0;
    pthread_mutex_unlock(&up->lock);
    delist(u, up);
}

int qn_upload_commit(struct qn_uploads *u, const char *repo, const char *id, const struct qn_digest *digest,
                     uint64_t *size, struct qn_err *e)
{
    struct qn_upload *up;
    int r = 0;

    if (find(u, repo, id, &up, e) < 0)
        return -1;
    pthread_mutex_lock(&up->lock);
    if (up->gone)
        r = unknown(e);
    else if (up->busy || up->closing)
        r = qn_fail(e, QN_E_CONFLICT, "another request is at work on this upload");
    else
        up->closing = true;
    pthread_mutex_unlock(&up->lock);
    if (r == 0) {
        *size = up->size;
        r = finish(u, up, digest, e);
        if (r == 0 || e->code == QN_E_DIGEST_INVALID)
            drop(u, up);
        pthread_mutex_lock(&up->lock);
        up->closing = false;
        qn_close_cleanup(&up->fd);
        pthread_mutex_unlock(&up->lock);
    }
    unref(u, up);
    return r;
}

int qn_upload_cancel(struct qn_uploads *u, const char *repo, const char *id, struct qn_err *e)
{
    struct qn_upload *up;
    int r = 0;

    if (find(u, repo, id, &up, e) < 0)
        return -1;
    pthread_mutex_lock(&up->lock);
    if (up->gone)
        r = unknown(e);
    else if (up->closing)
        r = qn_fail(e, QN_E_CONFLICT, "the upload is being completed");
    else
        up->closing = true;
    up->ticket++; /* whoever writes is told */
    pthread_mutex_unlock(&up->lock);
    if (r == 0)
        drop(u, up);
    unref(u, up);
    return r;
}

/* One that is old enough, with a reference and claimed; NULL when there is none. */
static struct qn_upload *next_old(struct qn_uploads *u, int64_t before)
{
    struct qn_upload *found = NULL;

    pthread_mutex_lock(&u->lock);
    for (struct qn_upload *up = u->first; up && !found; up = up->next) {
        pthread_mutex_lock(&up->lock);
        if (!up->busy && !up->closing && !up->gone && up->last < before) {
            up->closing = true;
            up->refs++;
            found = up;
        }
        pthread_mutex_unlock(&up->lock);
    }
    pthread_mutex_unlock(&u->lock);
    return found;
}

size_t qn_uploads_expire(struct qn_uploads *u, int64_t before)
{
    struct qn_upload *up;
    size_t n = 0;

    while ((up = next_old(u, before))) {
        drop(u, up);
        unref(u, up);
        n++;
    }
    return n;
}

void qn_uploads_count(struct qn_uploads *u, size_t *n, uint64_t *bytes)
{
    *bytes = 0;
    pthread_mutex_lock(&u->lock);
    *n = u->n;
    for (struct qn_upload *up = u->first; up; up = up->next) {
        pthread_mutex_lock(&up->lock);
        *bytes += up->size;
        pthread_mutex_unlock(&up->lock);
    }
    pthread_mutex_unlock(&u->lock);
}
