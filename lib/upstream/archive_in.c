/* The table of members of a tar file. */
#include "layout_io.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "formats/tar_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1u << 18)

static int on_entry(void *ctx, const struct qn_tar_entry *entry, struct qn_err *e)
{
    struct qn_archive *a = ctx;
    char buf[QN_PATH_MAX];
    struct qn_str name;
    void *arr = a->member;

    if ((entry->type != QN_TAR_FILE || entry->sparse) && entry->type != QN_TAR_SYMLINK)
        return 0;
    if (qn_path_clean(entry->name, buf, &name, e) < 0)
        return -1;
    if (qn_grow(&arr, &a->cap, a->n + 1, sizeof *a->member, QN_ARCHIVE_MEMBERS_MAX, e) < 0)
        return qn_err_wrap(e, "members of the archive");
    a->member = arr;
    a->member[a->n++] = (struct qn_member){
        .name = qn_xstrndup(name),
        .link = entry->type == QN_TAR_SYMLINK ? qn_xstrndup(entry->link) : NULL,
        .off = entry->data_off,
        .size = entry->size,
    };
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct qn_member *)a)->name, ((const struct qn_member *)b)->name);
}

static int sort_members(struct qn_archive *a, struct qn_err *e)
{
    if (a->n)
        qsort(a->member, a->n, sizeof *a->member, by_name);
    for (size_t i = 1; i < a->n; i++) {
        if (strcmp(a->member[i - 1].name, a->member[i].name) == 0)
            return qn_fail(e, QN_E_MALFORMED, "two members are named \"%s\"", QN_Q(qn_str_c(a->member[i].name)));
    }
    return 0;
}

static int scan(struct qn_archive *a, struct qn_err *e)
{
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_tar_events events = {.entry = on_entry, .ctx = a};
    qn_auto_tar_read struct qn_tar_read t = {0};
    qn_auto_free char *chunk = qn_xcalloc(1, CHUNK);
    struct qn_tar_summary summary;

    limits.image_size = INT64_MAX;
    limits.layer_entries = QN_ARCHIVE_MEMBERS_MAX;
    if (qn_tar_read_init(&t, &limits, &events, e) < 0)
        return -1;
    for (uint64_t at = 0;;) {
        size_t got;
        if (qn_fd_pread(a->fd, chunk, CHUNK, at, &got, e) < 0)
            return -1;
        if (at == 0 && ((got >= 2 && memcmp(chunk, "\x1f\x8b", 2) == 0) ||
                        (got >= 4 && memcmp(chunk, "\x28\xb5\x2f\xfd", 4) == 0) ||
                        (got >= 6 && memcmp(chunk,
                                            "\xfd"
                                            "7zXZ\0",
                                            6) == 0)))
            return qn_fail(e, QN_E_UNSUPPORTED, "the archive is compressed; decompress it first");
        if (got == 0)
            break;
        if (qn_tar_read_feed(&t, chunk, got, e) < 0)
            return -1;
        at += got;
    }
    return qn_tar_read_finish(&t, &summary, e);
}

int qn_archive_open(const char *path, struct qn_archive *out, struct qn_err *e)
{
    struct qn_archive a = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat st;
    int r = 0;

    if (a.fd < 0 || fstat(a.fd, &st) < 0)
        r = qn_fail_errno(e, QN_E_IO, "open");
    else if (!S_ISREG(st.st_mode))
        r = qn_fail(e, QN_E_IO, "not a regular file");
    if (r == 0)
        r = scan(&a, e);
    if (r == 0)
        r = sort_members(&a, e);
    if (r < 0) {
        qn_archive_fini(&a);
        return -1;
    }
    *out = a;
    return 0;
}

void qn_archive_fini(struct qn_archive *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->member[i].name);
        free(a->member[i].link);
    }
    free(a->member);
    if (a->fd > 0)
        close(a->fd);
    *a = (struct qn_archive){.fd = -1};
}

static const struct qn_member *find(const struct qn_archive *a, struct qn_str name)
{
    size_t lo = 0, hi = a->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = qn_str_cmp(qn_str_c(a->member[mid].name), name);
        if (c == 0)
            return &a->member[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* "../OTHER/layer.tar" beside "ID/layer.tar": old docker save links equal layers. Only text: nothing is opened. */
static bool beside(struct qn_str name, struct qn_str link, char out[QN_PATH_MAX], struct qn_str *target)
{
    qn_auto_free char *text = NULL;
    struct qn_str dir = qn_path_dir(name);
    struct qn_err ignored;

    while (qn_str_starts(link, QN_STR("../"))) {
        if (dir.n == 0)
            return false;
        dir = qn_path_dir(dir);
        link = qn_str_from(link, 3);
    }
    text = qn_xasprintf("%.*s/%.*s", QN_FMT(dir), QN_FMT(link));
    char *buf = out;
    return qn_path_clean(qn_str_c(text), buf, target, &ignored) == 0;
}

bool qn_archive_find(const struct qn_archive *a, struct qn_str name, struct qn_span *out)
{
    char buf[QN_PATH_MAX], link_buf[QN_PATH_MAX];
    struct qn_str clean, target;
    struct qn_err ignored;

    if (qn_path_clean(name, buf, &clean, &ignored) < 0)
        return false;
    const struct qn_member *m = find(a, clean);
    if (m && m->link)
        m = beside(clean, qn_str_c(m->link), link_buf, &target) ? find(a, target) : NULL;
    if (!m || m->link)
        return false;
    *out = (struct qn_span){a->fd, m->off, m->size};
    return true;
}
