/* Uploads: ids, offsets, who writes, restarts, expiry, what is accounted for. */
#include "unit.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/upload.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static struct qn_store *store;
static struct qn_uploads *uploads;
static struct qn_err e;

static void reopen(uint64_t max_size)
{
    struct qn_store_options opt = {.max_size = max_size};

    qn_uploads_close(uploads);
    uploads = NULL;
    qn_store_close(store);
    qn_ok(qn_store_open(root, &opt, &store, &e), e);
    qn_ok(qn_uploads_open(store, &uploads, &e), e);
}

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/quench-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    store = NULL;
    uploads = NULL;
    reopen(0);
}

static void teardown(void)
{
    qn_uploads_close(uploads);
    qn_store_close(store);
    qn_dir_remove(root);
}

static size_t files(void)
{
    DIR *d = opendir(qn_store_uploads(store));
    size_t n = 0;
    for (struct dirent *ent; (ent = readdir(d));)
        n += ent->d_name[0] != '.';
    closedir(d);
    return n;
}

/* What is promised to writers, and what blobs take. */
static void space(uint64_t reserved, uint64_t used)
{
    struct qn_store_space s;
    qn_ok(qn_store_space(store, &s, &e), e);
    ck_assert_uint_eq(s.reserved, reserved);
    ck_assert_uint_eq(s.used, used);
}

static void add(const char *id, uint64_t offset, const char *text)
{
    struct qn_upload_writer w;
    qn_ok(qn_upload_write_begin(uploads, "apps/x", id, offset, 0, QN_DIGEST_NONE, &w, &e), e);
    qn_ok(qn_upload_write(&w, text, strlen(text), &e), e);
    qn_upload_write_end(&w);
}

static int commit(const char *id, enum qn_digest_algorithm a, const char *text)
{
    struct qn_digest d = qn_digest_with(a, qn_str_c(text));
    uint64_t size;
    int r = qn_upload_commit(uploads, "apps/x", id, &d, &size, &e);
    if (r == 0) {
        qn_auto_buf struct qn_buf b = {0};
        qn_buf_init(&b, 1u << 20);
        ck_assert_uint_eq(size, strlen(text));
        qn_ok(qn_blob_read(store, &d, &b, &e), e);
        qn_is(qn_buf_view(&b), text);
    }
    return r;
}

START_TEST(pieces_become_a_blob)
{
    char id[QN_UPLOAD_ID], other[QN_UPLOAD_ID];
    uint64_t size;
    struct qn_upload_writer w;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, other, &e), e);
    ck_assert_str_ne(id, other);
    qn_ok(qn_upload_size(uploads, "apps/x", id, &size, &e), e);
    ck_assert_uint_eq(size, 0);
    add(id, 0, "hello ");
    add(id, 6, "wor");
    add(id, QN_UPLOAD_END, "ld");
    qn_ok(qn_upload_size(uploads, "apps/x", id, &size, &e), e);
    ck_assert_uint_eq(size, 11);
    space(11, 0);
    qn_fails(qn_upload_write_begin(uploads, "apps/x", id, 6, 0, QN_DIGEST_NONE, &w, &e), e, QN_E_RANGE);
    qn_fails(qn_upload_write_begin(uploads, "apps/x", id, 12, 0, QN_DIGEST_NONE, &w, &e), e, QN_E_RANGE);
    qn_ok(commit(id, QN_SHA256, "hello world"), e);
    space(0, 11);
    qn_fails(qn_upload_size(uploads, "apps/x", id, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    /* The same bytes again are no second blob. */
    add(other, 0, "hello world");
    qn_ok(commit(other, QN_SHA256, "hello world"), e);
    space(0, 11);
    ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(ids)
{
    char id[QN_UPLOAD_ID], wrong[QN_UPLOAD_ID];
    uint64_t size;
    struct qn_upload_writer w;
    static const char *const bad[] = {"", ".", "..", "../lock", "x", "00000000-0000-4000-8000-000000000000"};

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    ck_assert_uint_eq(strlen(id), 69);
    /* It leads nowhere in another repository. */
    qn_fails(qn_upload_size(uploads, "apps/y", id, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    qn_fails(qn_upload_write_begin(uploads, "apps/y", id, 0, 0, QN_DIGEST_NONE, &w, &e), e, QN_E_UPLOAD_UNKNOWN);
    qn_fails(qn_upload_cancel(uploads, "apps/y", id, &e), e, QN_E_UPLOAD_UNKNOWN);
    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        qn_fails(qn_upload_size(uploads, "apps/x", bad[i], &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    snprintf(wrong, sizeof wrong, "%s", id);
    wrong[0] = wrong[0] == '0' ? '1' : '0';
    qn_fails(qn_upload_size(uploads, "apps/x", wrong, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    qn_ok(qn_upload_cancel(uploads, "apps/x", id, &e), e);
    qn_fails(qn_upload_cancel(uploads, "apps/x", id, &e), e, QN_E_UPLOAD_UNKNOWN);
    ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(algorithms)
{
    char id[QN_UPLOAD_ID];
    struct qn_upload_writer w;

    /* Known from the start, known with the first byte, known at the end alone. */
    qn_ok(qn_upload_start(uploads, "apps/x", QN_SHA512, id, &e), e);
    add(id, 0, "one");
    qn_ok(commit(id, QN_SHA512, "one"), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    qn_ok(qn_upload_write_begin(uploads, "apps/x", id, 0, 3, QN_SHA512, &w, &e), e);
    qn_ok(qn_upload_write(&w, "two", 3, &e), e);
    qn_upload_write_end(&w);
    qn_ok(commit(id, QN_SHA512, "two"), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_SHA256, id, &e), e);
    add(id, 0, "three");
    qn_ok(commit(id, QN_SHA512, "three"), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_SHA256, id, &e), e);
    qn_ok(commit(id, QN_SHA512, ""), e);
}
END_TEST

START_TEST(wrong_content_is_dropped)
{
    char id[QN_UPLOAD_ID];
    uint64_t size;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    add(id, 0, "good");
    qn_fails(commit(id, QN_SHA256, "evil"), e, QN_E_DIGEST_INVALID);
    qn_fails(qn_upload_size(uploads, "apps/x", id, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    struct qn_digest d = qn_digest_of(QN_STR("evil"));
    qn_fails(qn_blob_stat(store, &d, &size, &e), e, QN_E_BLOB_UNKNOWN);
    space(0, 0);
    ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(one_writer_at_a_time)
{
    char id[QN_UPLOAD_ID];
    struct qn_upload_writer first, second;
    uint64_t size;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    qn_ok(qn_upload_write_begin(uploads, "apps/x", id, 0, 0, QN_DIGEST_NONE, &first, &e), e);
    qn_ok(qn_upload_write(&first, "abc", 3, &e), e);
    /* Who does not say where his bytes belong has to wait; so has the end. */
    qn_fails(qn_upload_write_begin(uploads, "apps/x", id, QN_UPLOAD_END, 0, QN_DIGEST_NONE, &second, &e), e,
             QN_E_CONFLICT);
    qn_fails(commit(id, QN_SHA256, "abc"), e, QN_E_CONFLICT);
    /* Who does takes over: the other connection may be dead. */
    qn_ok(qn_upload_write_begin(uploads, "apps/x", id, 3, 0, QN_DIGEST_NONE, &second, &e), e);
    qn_fails(qn_upload_write(&first, "xxx", 3, &e), e, QN_E_CONFLICT);
    qn_ok(qn_upload_write(&second, "def", 3, &e), e);
    qn_upload_write_end(&first); /* too late to end the other's writing */
    qn_ok(qn_upload_write(&second, "g", 1, &e), e);
    qn_upload_write_end(&second);
    qn_upload_write_end(&second);
    qn_ok(commit(id, QN_SHA256, "abcdefg"), e);
    /* Giving up ends a writer as well. */
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    qn_ok(qn_upload_write_begin(uploads, "apps/x", id, 0, 0, QN_DIGEST_NONE, &first, &e), e);
    qn_ok(qn_upload_write(&first, "abc", 3, &e), e);
    qn_ok(qn_upload_cancel(uploads, "apps/x", id, &e), e);
    qn_fails(qn_upload_write(&first, "d", 1, &e), e, QN_E_CONFLICT);
    qn_upload_write_end(&first);
    qn_fails(qn_upload_size(uploads, "apps/x", id, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    space(0, 7);
}
END_TEST

START_TEST(restarts)
{
    char id[QN_UPLOAD_ID], done[QN_UPLOAD_ID], path[256], leftover[256];
    uint64_t size;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    add(id, 0, "before ");
    reopen(0);
    qn_ok(qn_upload_size(uploads, "apps/x", id, &size, &e), e);
    ck_assert_uint_eq(size, 7);
    space(7, 0);
    add(id, 7, "after");
    qn_ok(commit(id, QN_SHA256, "before after"), e);
    /* A crash between the two names of a finished blob: what is left in uploads must never be written to. */
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, done, &e), e);
    snprintf(path, sizeof path, "%s/%s", qn_store_uploads(store), done);
    snprintf(leftover, sizeof leftover, "%s/blob", root);
    ck_assert_int_eq(link(path, leftover), 0);
    snprintf(path, sizeof path, "%s/what", qn_store_uploads(store));
    ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    reopen(0);
    qn_fails(qn_upload_size(uploads, "apps/x", done, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    ck_assert_uint_eq(files(), 0);
    ck_assert_int_eq(access(leftover, F_OK), 0);
}
END_TEST

START_TEST(a_file_that_was_changed)
{
    char id[QN_UPLOAD_ID], path[256];
    struct qn_upload_writer w;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    add(id, 0, "abc");
    snprintf(path, sizeof path, "%s/%s", qn_store_uploads(store), id);
    /* Longer: a write that was cut; what was not counted goes. Shorter, or with another name: not ours any more. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    ck_assert_int_eq(write(fd, "junk", 4), 4);
    close(fd);
    add(id, 3, "def");
    qn_ok(commit(id, QN_SHA256, "abcdef"), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    add(id, 0, "abc");
    snprintf(path, sizeof path, "%s/%s", qn_store_uploads(store), id);
    ck_assert_int_eq(truncate(path, 1), 0);
    qn_fails(qn_upload_write_begin(uploads, "apps/x", id, 3, 0, QN_DIGEST_NONE, &w, &e), e, QN_E_IO);
    ck_assert_int_eq(unlink(path), 0);
    qn_fails(commit(id, QN_SHA256, "abc"), e, QN_E_UPLOAD_UNKNOWN);
}
END_TEST

START_TEST(old_ones_expire)
{
    char old[QN_UPLOAD_ID], busy[QN_UPLOAD_ID], path[256];
    struct qn_upload_writer w;
    uint64_t size, bytes;
    size_t n;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, old, &e), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, busy, &e), e);
    add(old, 0, "abc");
    ck_assert_uint_eq(qn_uploads_expire(uploads, qn_time_now() - 60), 0);
    qn_ok(qn_upload_write_begin(uploads, "apps/x", busy, 0, 0, QN_DIGEST_NONE, &w, &e), e);
    ck_assert_uint_eq(qn_uploads_expire(uploads, qn_time_now() + 60), 1);
    qn_fails(qn_upload_size(uploads, "apps/x", old, &size, &e), e, QN_E_UPLOAD_UNKNOWN);
    qn_ok(qn_upload_write(&w, "x", 1, &e), e);
    qn_upload_write_end(&w);
    /* After a restart its file tells how old it is. */
    snprintf(path, sizeof path, "%s/%s", qn_store_uploads(store), busy);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    reopen(0);
    qn_uploads_count(uploads, &n, &bytes);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(bytes, 1);
    ck_assert_uint_eq(qn_uploads_expire(uploads, 2000), 1);
    space(0, 0);
    ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(too_many)
{
    char id[QN_UPLOAD_ID], path[256];
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    uint64_t bytes;
    size_t n;

    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    snprintf(path, sizeof path, "%s/%s", qn_store_uploads(store), id);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    reopen(0);
    for (unsigned i = 1; i < QN_UPLOADS_MAX; i++)
        qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e); /* the old one made room */
    ck_assert_int_ne(access(path, F_OK), 0);
    qn_fails(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e, QN_E_BUSY);
    qn_uploads_count(uploads, &n, &bytes);
    ck_assert_uint_eq(n, QN_UPLOADS_MAX);
    ck_assert_uint_eq(files(), QN_UPLOADS_MAX);
}
END_TEST

START_TEST(full_storage)
{
    char id[QN_UPLOAD_ID];
    struct qn_upload_writer w;
    uint64_t size;

    reopen(100);
    qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &e), e);
    qn_fails(qn_upload_write_begin(uploads, "apps/x", id, 0, 101, QN_DIGEST_NONE, &w, &e), e, QN_E_NO_SPACE);
    space(0, 0);
    qn_fails(qn_upload_write_begin(uploads, "apps/x", id, 0, UINT64_MAX, QN_DIGEST_NONE, &w, &e), e, QN_E_NO_SPACE);
    /* Without a length it shows as bytes come; those that fitted stay. */
    qn_auto_free char *half = qn_xcalloc(1, 60);
    qn_ok(qn_upload_write_begin(uploads, "apps/x", id, 0, 0, QN_DIGEST_NONE, &w, &e), e);
    qn_ok(qn_upload_write(&w, half, 60, &e), e);
    qn_fails(qn_upload_write(&w, half, 60, &e), e, QN_E_NO_SPACE);
    qn_upload_write_end(&w);
    qn_ok(qn_upload_size(uploads, "apps/x", id, &size, &e), e);
    ck_assert_uint_eq(size, 60);
    space(60, 0);
    qn_ok(qn_upload_cancel(uploads, "apps/x", id, &e), e);
    space(0, 0);
}
END_TEST

#define THREADS 4
static void *push_same(void *arg)
{
    char text[20000];
    struct qn_err err;

    (void)arg;
    memset(text, 'q', sizeof text);
    struct qn_digest d = qn_digest_of(qn_str_n(text, sizeof text));
    for (unsigned i = 0; i < 25; i++) {
        char id[QN_UPLOAD_ID];
        struct qn_upload_writer w;
        uint64_t size;
        qn_ok(qn_upload_start(uploads, "apps/x", QN_DIGEST_NONE, id, &err), err);
        qn_ok(qn_upload_write_begin(uploads, "apps/x", id, 0, 0, QN_DIGEST_NONE, &w, &err), err);
        qn_ok(qn_upload_write(&w, text, sizeof text, &err), err);
        qn_upload_write_end(&w);
        qn_ok(qn_upload_commit(uploads, "apps/x", id, &d, &size, &err), err);
    }
    return NULL;
}

START_TEST(many_push_the_same)
{
    pthread_t t[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, push_same, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    space(0, 20000);
    ck_assert_uint_eq(files(), 0);
}
END_TEST

Suite *suite_upload(void)
{
    const TTest *const tests[] = {pieces_become_a_blob,
                                  ids,
                                  algorithms,
                                  wrong_content_is_dropped,
                                  one_writer_at_a_time,
                                  restarts,
                                  a_file_that_was_changed,
                                  old_ones_expire,
                                  full_storage,
                                  too_many,
                                  many_push_the_same};
    Suite *s = suite_create("upload");
    TCase *c = tcase_create("upload");

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < QN_ARRAY_LEN(tests); i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}
