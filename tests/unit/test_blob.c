#include "unit.h"

#include "base/fd.h"
#include "base/mem.h"
#include "store/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64];
static struct qn_store *store;
static struct qn_err e;

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/quench-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    qn_ok(qn_store_open(root, NULL, &store, &e), e);
}

static void teardown(void)
{
    qn_store_close(store);
    store = NULL;
    qn_dir_remove(root);
}

static void path_of(const struct qn_digest *d, char out[256])
{
    char text[QN_DIGEST_TEXT];
    qn_digest_text(d, text);
    const char *hex = strchr(text, ':') + 1;
    snprintf(out, 256, "%s/blobs/%s/%.2s/%s", root, qn_digest_name(d->algorithm), hex, hex);
}

static int count_tmp(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "%s/tmp", root);
    int n = 0;
    struct stat st;
    ck_assert_int_eq(stat(cmd, &st), 0);
    n = (int)st.st_nlink;
    return n;
}

static void read_back(const struct qn_digest *d, const char *want)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_buf_init(&b, 1 << 20);
    qn_ok(qn_blob_read(store, d, &b, &e), e);
    qn_is(qn_buf_view(&b), want);
}

START_TEST(put_and_read)
{
    struct qn_digest d, again;
    char path[256];
    struct stat st;

    qn_ok(qn_blob_put(store, QN_STR("hello"), &d, &e), e);
    path_of(&d, path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0444);
    read_back(&d, "hello");
    qn_ok(qn_blob_put(store, QN_STR("hello"), &again, &e), e);
    ck_assert(qn_digest_eq(&d, &again));
    struct qn_store_space space;
    qn_ok(qn_store_space(store, &space, &e), e);
    ck_assert_uint_eq(space.used, 5);
    ck_assert_uint_eq(space.reserved, 0);
    int fd;
    uint64_t size;
    qn_ok(qn_blob_open(store, &d, &fd, &size, &e), e);
    ck_assert_uint_eq(size, 5);
    qn_ok(qn_blob_remove(store, &d, &e), e);
    qn_ok(qn_blob_remove(store, &d, &e), e);
    char c[6] = "";
    ck_assert_int_eq(read(fd, c, 5), 5); /* an open descriptor goes on working */
    close(fd);
    qn_fails(qn_blob_open(store, &d, &fd, &size, &e), e, QN_E_BLOB_UNKNOWN);
    qn_fails(qn_blob_stat(store, &d, &size, &e), e, QN_E_BLOB_UNKNOWN);
    qn_ok(qn_store_space(store, &space, &e), e);
    ck_assert_uint_eq(space.used, 0);
}
END_TEST

START_TEST(sha512_has_its_own_place)
{
    struct qn_blob_writer w;
    struct qn_digest d;
    char path[256];

    qn_ok(qn_blob_begin(store, QN_SHA512, 0, &w, &e), e);
    qn_ok(qn_blob_write(&w, "abc", 3, &e), e);
    qn_ok(qn_blob_commit(&w, NULL, UINT64_MAX, &d, &e), e);
    path_of(&d, path);
    ck_assert_ptr_nonnull(strstr(path, "/blobs/sha512/dd/ddaf35a1"));
    ck_assert_int_eq(access(path, R_OK), 0);
    read_back(&d, "abc");
}
END_TEST

START_TEST(wrong_content_leaves_nothing)
{
    struct qn_blob_writer w;
    struct qn_digest want = qn_digest_of(QN_STR("right"));
    uint64_t size;
    int before = count_tmp();

    qn_ok(qn_blob_begin(store, QN_SHA256, 100, &w, &e), e);
    qn_ok(qn_blob_write(&w, "wrong", 5, &e), e);
    qn_fails(qn_blob_commit(&w, &want, 5, NULL, &e), e, QN_E_DIGEST_MISMATCH);
    qn_fails(qn_blob_stat(store, &want, &size, &e), e, QN_E_BLOB_UNKNOWN);
    qn_ok(qn_blob_begin(store, QN_SHA256, 100, &w, &e), e);
    qn_ok(qn_blob_write(&w, "right", 5, &e), e);
    qn_fails(qn_blob_commit(&w, &want, 6, NULL, &e), e, QN_E_SIZE_MISMATCH);
    qn_blob_abort(&w); /* safe on a finished writer */
    qn_ok(qn_blob_begin(store, QN_SHA256, 100, &w, &e), e);
    qn_blob_abort(&w);
    struct qn_store_space space;
    qn_ok(qn_store_space(store, &space, &e), e);
    ck_assert_uint_eq(space.reserved, 0);
    ck_assert_uint_eq(space.used, 0);
    ck_assert_int_eq(count_tmp(), before);
}
END_TEST

START_TEST(adopts_files)
{
    struct qn_digest d = qn_digest_of(QN_STR("from a worker"));
    int fd = qn_blob_tmpfile(store, &e);

    qn_ok(qn_fd_write(fd, "from a worker", 13, &e), e);
    qn_fails(qn_blob_adopt(store, fd, &d, 12, &e), e, QN_E_SIZE_MISMATCH);
    qn_ok(qn_blob_adopt(store, fd, &d, 13, &e), e);
    qn_ok(qn_blob_adopt(store, fd, &d, 13, &e), e);
    close(fd);
    read_back(&d, "from a worker");
    /* A memory file is copied, and hashed on the way. */
    fd = qn_fd_memfile("x", &e);
    qn_ok(qn_fd_write(fd, "mem", 3, &e), e);
    qn_fails(qn_blob_adopt(store, fd, &d, 3, &e), e, QN_E_DIGEST_MISMATCH);
    d = qn_digest_of(QN_STR("mem"));
    qn_ok(qn_blob_adopt(store, fd, &d, 3, &e), e);
    close(fd);
    read_back(&d, "mem");
}
END_TEST

START_TEST(a_truncated_file_is_healed)
{
    struct qn_digest d;
    char path[256];

    qn_ok(qn_blob_put(store, QN_STR("whole content"), &d, &e), e);
    path_of(&d, path);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(truncate(path, 4), 0);
    qn_auto_buf struct qn_buf b = {0};
    qn_buf_init(&b, 100);
    qn_fails(qn_blob_read(store, &d, &b, &e), e, QN_E_DIGEST_MISMATCH);
    qn_ok(qn_blob_put(store, QN_STR("whole content"), &d, &e), e);
    read_back(&d, "whole content");
}
END_TEST

START_TEST(symlinks_are_not_blobs)
{
    struct qn_digest d = qn_digest_of(QN_STR("secret"));
    char path[256], target[128];
    int fd;
    uint64_t size;

    snprintf(target, sizeof target, "%s/secret", root);
    fd = open(target, O_CREAT | O_WRONLY, 0600);
    qn_ok(qn_fd_write(fd, "secret", 6, &e), e);
    close(fd);
    path_of(&d, path);
    ck_assert_int_eq(symlink(target, path), 0);
    ck_assert_int_eq(qn_blob_open(store, &d, &fd, &size, &e), -1);
    ck_assert_int_eq(qn_blob_stat(store, &d, &size, &e), -1);
}
END_TEST

static int collect(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed, struct qn_err *err)
{
    struct qn_digest *last = arg;
    ck_assert_int_lt(qn_digest_cmp(last, d), 0);
    *last = *d;
    last[1].bytes[0]++;
    ck_assert_uint_gt(size, 0);
    ck_assert_int_gt(changed, 0);
    return last[1].bytes[0] == 5 ? qn_fail(err, QN_E_CANCELLED, "enough") : 0;
}

START_TEST(walks_in_order)
{
    struct qn_digest d, last[2] = {0};
    char text[16], path[256];

    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "blob %d", i);
        qn_ok(qn_blob_put(store, qn_str_c(text), &d, &e), e);
    }
    path_of(&d, path);
    path[strlen(path) - 1] = 'X'; /* not a digest */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    qn_ok(qn_blob_each(store, collect, last, &e), e);
    ck_assert_int_eq(last[1].bytes[0], 4);
    memset(last, 0, sizeof last);
    qn_ok(qn_blob_put(store, QN_STR("blob 5"), &d, &e), e);
    qn_fails(qn_blob_each(store, collect, last, &e), e, QN_E_CANCELLED);
}
END_TEST

START_TEST(scrub_moves_damage_away)
{
    struct qn_digest d;
    char path[256], moved[256], text[QN_DIGEST_TEXT];
    bool ok = false;
    uint64_t size;

    qn_ok(qn_blob_put(store, QN_STR("precious"), &d, &e), e);
    qn_ok(qn_blob_scrub(store, &d, &ok, &e), e);
    ck_assert(ok);
    path_of(&d, path);
    ck_assert_int_eq(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "X", 1, 3), 1);
    close(fd);
    qn_ok(qn_blob_scrub(store, &d, &ok, &e), e);
    ck_assert(!ok);
    qn_fails(qn_blob_stat(store, &d, &size, &e), e, QN_E_BLOB_UNKNOWN);
    snprintf(moved, sizeof moved, "%s/tmp/quarantine/%s", root, qn_digest_text(&d, text));
    ck_assert_int_eq(access(moved, R_OK), 0);
    qn_fails(qn_blob_scrub(store, &d, &ok, &e), e, QN_E_BLOB_UNKNOWN);
}
END_TEST

START_TEST(space_is_promised_once)
{
    struct qn_store_options opt = {.max_size = 1000, .keep_free = 1};
    struct qn_digest d;

    qn_store_close(store);
    qn_ok(qn_store_open(root, &opt, &store, &e), e);
    qn_store_set_used(store, 500);
    qn_ok(qn_store_reserve(store, 400, &e), e);
    qn_fails(qn_store_reserve(store, 101, &e), e, QN_E_NO_SPACE);
    qn_ok(qn_store_reserve(store, 100, &e), e);
    qn_store_release(store, 400);
    qn_ok(qn_store_reserve(store, 400, &e), e);
    qn_fails(qn_store_reserve(store, UINT64_MAX, &e), e, QN_E_LIMIT);
    qn_fails(qn_blob_put(store, QN_STR("x"), &d, &e), e, QN_E_NO_SPACE);
    qn_store_release(store, 500);
    qn_store_close(store);
    opt = (struct qn_store_options){.keep_free = UINT64_MAX / 2};
    qn_ok(qn_store_open(root, &opt, &store, &e), e);
    qn_fails(qn_store_reserve(store, 1, &e), e, QN_E_NO_SPACE);
}
END_TEST

START_TEST(one_process_only)
{
    struct qn_store *second;
    char tmp[128], pid[32];

    snprintf(tmp, sizeof tmp, "%s/tmp/left-over", root);
    close(open(tmp, O_CREAT | O_WRONLY, 0600));
    qn_fails(qn_store_open(root, NULL, &second, &e), e, QN_E_CONFLICT);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    ck_assert_msg(strstr(e.msg, pid), "%s", e.msg);
    ck_assert_int_eq(access(tmp, F_OK), 0); /* the loser touched nothing */
    qn_store_close(store);
    qn_ok(qn_store_open(root, NULL, &store, &e), e);
    ck_assert_int_eq(access(tmp, F_OK), -1);
}
END_TEST

static void *same_blob(void *arg)
{
    struct qn_err err;
    struct qn_blob_writer w;
    char chunk[4096];
    memset(chunk, 'a', sizeof chunk);
    for (int i = 0; i < 20; i++) {
        chunk[0] = (char)('a' + i);
        if (qn_blob_begin(store, QN_SHA256, 4096, &w, &err) < 0 || qn_blob_write(&w, chunk, sizeof chunk, &err) < 0 ||
            qn_blob_commit(&w, NULL, 4096, NULL, &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            return arg;
        }
    }
    return NULL;
}

START_TEST(many_threads_same_bytes)
{
    pthread_t t[8];
    void *bad;
    struct qn_store_space space;

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, same_blob, root), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], &bad);
        ck_assert_ptr_null(bad);
    }
    qn_ok(qn_store_space(store, &space, &e), e);
    ck_assert_uint_eq(space.used, 20 * 4096);
    ck_assert_uint_eq(space.reserved, 0);
}
END_TEST

Suite *suite_blob(void);
Suite *suite_blob(void)
{
    Suite *s = suite_create("blob");
    TCase *c = tcase_create("blob");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, put_and_read);
    tcase_add_test(c, sha512_has_its_own_place);
    tcase_add_test(c, wrong_content_leaves_nothing);
    tcase_add_test(c, adopts_files);
    tcase_add_test(c, a_truncated_file_is_healed);
    tcase_add_test(c, symlinks_are_not_blobs);
    tcase_add_test(c, walks_in_order);
    tcase_add_test(c, scrub_moves_damage_away);
    tcase_add_test(c, space_is_promised_once);
    tcase_add_test(c, one_process_only);
    tcase_add_test(c, many_threads_same_bytes);
    suite_add_tcase(s, c);
    return s;
}
