/* Archives by others: what libarchive reads, the scanner reads alike, and the writer writes again. */
#include "base/fd.h"
#include "tar_common.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the oracle ------------------------------------------------------------------------------------------------ */

static struct qn_digest oracle_content(struct archive *a)
{
    struct qn_hash h;
    const void *p;
    size_t n;
    la_int64_t off;
    uint64_t at = 0;

    qn_hash_init(&h, QN_SHA256);
    for (;;) {
        int r = archive_read_data_block(a, &p, &n, &off);
        if (r == ARCHIVE_OK || r == ARCHIVE_EOF)
            for (; at < (uint64_t)off; at++)
                qn_hash_update(&h, "", 1);
        if (r != ARCHIVE_OK) {
            ck_assert_int_eq(r, ARCHIVE_EOF);
            return qn_hash_final(&h);
        }
        qn_hash_update(&h, p, n);
        at += n;
    }
}

static void same_as_oracle(const struct item *it, struct archive *a, struct archive_entry *ae)
{
    static const unsigned types[] = {AE_IFREG, AE_IFREG, AE_IFLNK, AE_IFCHR, AE_IFBLK, AE_IFDIR, AE_IFIFO};
    const char *hard = archive_entry_hardlink(ae), *soft = archive_entry_symlink(ae);

    qn_is(it->entry.name, archive_entry_pathname(ae));
    ck_assert_msg((hard != NULL) == (it->entry.type == QN_TAR_HARDLINK), "%s", archive_entry_pathname(ae));
    if (hard)
        qn_is(it->entry.link, hard);
    else
        ck_assert_uint_eq(archive_entry_filetype(ae), types[it->entry.type]);
    if (soft)
        qn_is(it->entry.link, soft);
    ck_assert_uint_eq(it->entry.mode, archive_entry_mode(ae) & 07777);
    ck_assert_int_eq(it->entry.uid, archive_entry_uid(ae));
    ck_assert_int_eq(it->entry.gid, archive_entry_gid(ae));
    ck_assert_int_eq(it->entry.mtime, archive_entry_mtime(ae));
    ck_assert_int_eq(it->entry.mtime_nsec, archive_entry_mtime_nsec(ae));
    qn_is(it->entry.uname, archive_entry_uname(ae) ? archive_entry_uname(ae) : "");
    qn_is(it->entry.gname, archive_entry_gname(ae) ? archive_entry_gname(ae) : "");
    if (it->entry.type == QN_TAR_CHAR || it->entry.type == QN_TAR_BLOCKDEV) {
        ck_assert_uint_eq(it->entry.devmajor, archive_entry_rdevmajor(ae));
        ck_assert_uint_eq(it->entry.devminor, archive_entry_rdevminor(ae));
    }
    if (it->entry.type == QN_TAR_FILE) {
        ck_assert_int_eq((int64_t)it->entry.real_size, archive_entry_size(ae));
        struct qn_digest want = oracle_content(a);
        ck_assert_msg(qn_digest_eq(&want, &it->content), "content of %s", archive_entry_pathname(ae));
    }
}

/* Everything that libarchive reads, the scanner reads alike, however the bytes are cut. */
static void check_against_oracle(struct qn_str tar, struct list *l)
{
    struct archive *a = archive_read_new();
    struct archive_entry *ae;
    struct qn_err e;
    size_t i = 0;

    qn_ok(scan(tar, l, &e), e);
    archive_read_support_format_tar(a);
    ck_assert_int_eq(archive_read_open_memory(a, tar.p, tar.n), ARCHIVE_OK);
    while (archive_read_next_header(a, &ae) == ARCHIVE_OK) {
        ck_assert_uint_lt(i, l->n);
        same_as_oracle(&l->item[i++], a, ae);
    }
    ck_assert_uint_eq(i, l->n);
    ck_assert_uint_eq(l->summary.entries, l->n);
    ck_assert_uint_eq(l->summary.size, tar.n);
    archive_read_free(a);

    static const size_t steps[] = {1, 100, 511, 513, 10000};
    for (size_t k = 0; k < QN_ARRAY_LEN(steps); k++) {
        auto_list struct list again = {0};
        qn_ok(scan_with(tar, steps[k], &QN_LIMITS_DEFAULT, &again, &e), e);
        ck_assert_uint_eq(again.n, l->n);
        for (i = 0; i < l->n; i++)
            same_item(&again.item[i], &l->item[i]);
    }
}

/* Every entry written anew, with its data: the same entries again. */
static void check_round_trip(struct qn_str tar, const struct list *l)
{
    qn_auto_buf struct qn_buf out = {.max = BIG};
    auto_list struct list again = {0};
    struct qn_err e;

    for (size_t i = 0; i < l->n; i++) {
        const struct qn_tar_entry *entry = &l->item[i].entry;
        uint64_t at = 0;
        const char *data = tar.p + entry->data_off;
        qn_ok(qn_tar_write_header(entry, &out, &e), e);
        ck_assert_uint_eq(out.n % 512, 0);
        for (size_t k = 0; k < entry->segments; k++) {
            struct qn_tar_segment s = entry->segment[k];
            qn_ok(qn_buf_zero(&out, s.off - at, &e), e);
            qn_ok(qn_buf_put(&out, data, s.len, &e), e);
            data += s.len;
            at = s.off + s.len;
        }
        if (entry->sparse)
            qn_ok(qn_buf_zero(&out, entry->real_size - at, &e), e);
        else
            qn_ok(qn_buf_put(&out, data, entry->size, &e), e);
        qn_ok(qn_buf_zero(&out, qn_tar_padding(entry->real_size), &e), e);
    }
    qn_ok(qn_tar_write_end(&out, &e), e);
    check_against_oracle(qn_buf_view(&out), &again);
    ck_assert_uint_eq(again.n, l->n);
    for (size_t i = 0; i < l->n; i++) {
        same_item(&again.item[i], &l->item[i]);
        struct qn_str rest = l->item[i].entry.pax, key, value, kept;
        while (qn_pax_next(&rest, &key, &value) == 1)
            if (qn_str_starts(key, QN_STR("SCHILY.xattr."))) {
                ck_assert(qn_pax_get(again.item[i].entry.pax, key, &kept));
                ck_assert(qn_str_eq(kept, value));
            }
    }
}

/* --- archives by GNU tar --------------------------------------------------------------------------------------- */

static void run_tar(const char *const *argv)
{
    pid_t pid;
    int status;

    ck_assert_int_eq(posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static void make_file(const char *dir, const char *name, const char *content, off_t hole)
{
    qn_auto_free char *path = qn_xasprintf("%s/%s", dir, name);
    struct qn_err e;
    qn_auto_close int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0640);

    ck_assert_int_ge(fd, 0);
    qn_ok(qn_fd_write(fd, content, strlen(content), &e), e);
    for (unsigned i = 1; i <= 40 && hole; i++)
        qn_ok(qn_fd_pwrite(fd, content, strlen(content), (uint64_t)hole * i, &e), e);
    if (hole)
        ck_assert_int_eq(ftruncate(fd, hole * 41 + 123), 0);
}

static void make_tree(const char *dir, bool fifos, bool long_names, bool sparse)
{
    char name[128], *link = qn_xasprintf("%s/link", dir), *hard = qn_xasprintf("%s/hard", dir);
    char *target = qn_xasprintf("%s/plain", dir), *fifo = qn_xasprintf("%s/fifo", dir);

    make_file(dir, "plain", "hello, world\n", 0);
    make_file(dir, "empty", "", 0);
    make_file(dir, "na\xc3\xafve", "utf-8", 0);
    ck_assert_int_eq(symlink("plain", link), 0);
    ck_assert_int_eq(link[0] ? linkat(AT_FDCWD, target, AT_FDCWD, hard, 0) : 0, 0);
    if (fifos)
        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_int_eq(chmod(target, 04755), 0);
    if (long_names) {
        memset(name, 'n', 120);
        name[120] = '\0';
        make_file(dir, name, "long", 0);
        free(link);
        link = qn_xasprintf("%s/longlink", dir);
        qn_auto_free char *far = qn_xasprintf("%s/%s", name, name);
        ck_assert_int_eq(symlink(far, link), 0);
    }
    if (sparse)
        make_file(dir, "sparse", "island", 65536);
    free(link);
    free(hard);
    free(target);
    free(fifo);
}

static void gnu_tar(const char *format, bool long_names, bool sparse, const char *extra)
{
    char dir[] = "/tmp/quench-tar.XXXXXX";
    qn_auto_buf struct qn_buf tar = {.max = BIG};
    auto_list struct list l = {0};
    struct qn_err e;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    make_tree(dir, !strstr(format, "v7"), long_names, sparse);
    qn_auto_free char *out = qn_xasprintf("%s.tar", dir);
    const char *argv[] = {"tar", "-C", dir, "-cf", out, format, "--numeric-owner", ".", sparse ? "--sparse" : NULL,
                          NULL,  NULL};
    if (extra)
        argv[sparse ? 9 : 8] = extra;
    run_tar(argv);
    qn_dir_remove(dir);
    qn_ok(qn_file_read(out, &tar, &e), e);
    unlink(out);
    check_against_oracle(qn_buf_view(&tar), &l);
    ck_assert_uint_ge(l.n, 6u);
    ck_assert_int_eq(l.summary.ending, QN_TAR_END_TWO);
    if (sparse) {
        size_t n = 0;
        for (size_t i = 0; i < l.n; i++)
            n += l.item[i].entry.sparse;
        ck_assert_uint_eq(n, 1);
    }
    check_round_trip(qn_buf_view(&tar), &l);
}

START_TEST(by_gnu_tar)
{
    gnu_tar("--format=gnu", true, false, NULL);
    gnu_tar("--format=oldgnu", true, false, NULL);
    gnu_tar("--format=pax", true, false, NULL);
    gnu_tar("--format=ustar", false, false, NULL);
    gnu_tar("--format=v7", false, false, NULL);
    gnu_tar("--format=pax", false, false, "--pax-option=comment=global");
}
END_TEST

START_TEST(sparse_by_gnu_tar)
{
    gnu_tar("--format=gnu", false, true, NULL);
    gnu_tar("--format=oldgnu", false, true, NULL);
    gnu_tar("--format=pax", false, true, "--sparse-version=0.0");
    gnu_tar("--format=pax", false, true, "--sparse-version=0.1");
    gnu_tar("--format=pax", false, true, "--sparse-version=1.0");
}
END_TEST

/* --- archives by libarchive ------------------------------------------------------------------------------------ */

static void add(struct archive *a, const char *name, unsigned type, const char *link, int64_t mtime, long nsec)
{
    struct archive_entry *ae = archive_entry_new();
    char content[700];

    memset(content, 'c', sizeof content);
    archive_entry_set_pathname(ae, name);
    archive_entry_set_filetype(ae, type);
    archive_entry_set_perm(ae, 02751);
    archive_entry_set_uid(ae, 70000);
    archive_entry_set_gid(ae, 12);
    archive_entry_set_uname(ae, "somebody");
    archive_entry_set_mtime(ae, mtime, nsec);
    if (type == AE_IFREG && !link)
        archive_entry_set_size(ae, sizeof content);
    if (link && type == AE_IFLNK)
        archive_entry_set_symlink(ae, link);
    else if (link)
        archive_entry_set_hardlink(ae, link);
    if (type == AE_IFCHR) {
        archive_entry_set_rdevmajor(ae, 10);
        archive_entry_set_rdevminor(ae, 229);
    }
    if (strstr(name, "xattr"))
        archive_entry_xattr_add_entry(ae, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    ck_assert_int_eq(archive_write_header(a, ae), ARCHIVE_OK);
    if (type == AE_IFREG && !link)
        ck_assert_int_eq(archive_write_data(a, content, sizeof content), (long)sizeof content);
    archive_entry_free(ae);
}

START_TEST(by_libarchive)
{
    static const int formats[] = {ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED,
                                  ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FORMAT_TAR_USTAR};
    qn_auto_free char *space = qn_xcalloc(1, BIG);

    for (size_t i = 0; i < QN_ARRAY_LEN(formats); i++) {
        auto_list struct list l = {0};
        struct archive *a = archive_write_new();
        size_t n;
        bool pax = i < 2;
        ck_assert_int_eq(archive_write_set_format(a, formats[i]), ARCHIVE_OK);
        ck_assert_int_eq(archive_write_open_memory(a, space, BIG, &n), ARCHIVE_OK);
        add(a, "dir/", AE_IFDIR, NULL, 1700000000, 0);
        add(a, "dir/file", AE_IFREG, NULL, 1700000001, pax ? 123456789 : 0);
        add(a, "dir/again", AE_IFREG, "dir/file", 1, 0);
        add(a, "dev", AE_IFCHR, NULL, 1, 0);
        add(a, "link", AE_IFLNK, "dir/file", 1, 0);
        add(a, "a-directory-with-a-name-of-more-than-fifty-bytes-in-it/and-a-file-with-a-name-of-about-the-same-len",
            AE_IFREG, NULL, 2, 0);
        if (pax) {
            add(a, "xattr", AE_IFREG, NULL, 7, 500000000);
            add(a, "old", AE_IFREG, NULL, -1000, 0);
        }
        ck_assert_int_eq(archive_write_close(a), ARCHIVE_OK);
        archive_write_free(a);
        check_against_oracle(qn_str_n(space, n), &l);
        check_round_trip(qn_str_n(space, n), &l);
    }
}
END_TEST

Suite *suite_tar(void)
{
    const TTest *const tests[] = {by_gnu_tar, sparse_by_gnu_tar, by_libarchive};
    return qn_suite("tar", tests, QN_ARRAY_LEN(tests));
}
