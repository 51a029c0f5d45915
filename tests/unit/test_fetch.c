#include "unit.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/num.h"
#include "mock_http.h"
#include "upstream/fetch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE 3000000

static struct qn_client *client;
static struct qn_registry *reg;
static struct qn_fetcher *fetcher;
static struct mock m;
static struct qn_err e;
static struct qn_cidr loopback;
static char *blob;
static struct qn_digest digest;
static struct {
    bool wrong;       /* a wrong byte near the end */
    int pause_ms;     /* between pieces */
    atomic_bool hold; /* stop in the middle */
    atomic_int cuts;
    bool commit_fails;
    atomic_int opened, committed, closed;
} how;

static bool answer(struct mock *mock, const struct mock_request *req, int fd)
{
    char head[200];
    uint64_t from = 0;
    (void)mock;

    while (how.hold && strncmp(req->path, "/v2/good/", 9) != 0)
        poll(NULL, 0, 5);
    if (strncmp(req->path, "/v2/good/", 9) != 0)
        return mock_text(fd, 404, "", "{}");
    struct qn_str r = qn_str_c(req->range);
    if (r.n && qn_num_u64(qn_str_head(qn_str_from(r, 6), r.n - 7), 0, SIZE, &from, &e) < 0)
        return false;
    snprintf(head, sizeof head, "HTTP/1.1 %d OK\r\nContent-Length: %u\r\nContent-Range: bytes %u-%u/%u\r\n\r\n",
             from ? 206 : 200, SIZE - (unsigned)from, (unsigned)from, SIZE - 1, SIZE);
    mock_send(fd, head, strlen(head));
    for (size_t at = from; at < SIZE;) {
        size_t n = QN_MIN(SIZE - at, (size_t)100000);
        qn_auto_free char *piece = qn_xcalloc(1, n);
        memcpy(piece, blob + at, n);
        if (how.wrong && at + n == SIZE)
            piece[0]++;
        if (!mock_send(fd, piece, n))
            return false;
        at += n;
        if (how.cuts > 0 && at > SIZE / 2) {
            how.cuts--;
            return false;
        }
        while (how.hold && at > SIZE / 2)
            poll(NULL, 0, 5);
        poll(NULL, 0, how.pause_ms);
    }
    return true;
}

static int op_open(void *ctx, const struct qn_digest *d, uint64_t size, int *fd, struct qn_err *err)
{
    (void)ctx, (void)d, (void)size;
    *fd = qn_fd_tmpfile("/tmp", err);
    if (*fd < 0)
        return -1;
    how.opened++;
    return 0;
}
static int op_commit(void *ctx, const struct qn_digest *d, int fd, uint64_t size, struct qn_err *err)
{
    uint64_t have;
    (void)ctx, (void)d;
    ck_assert_int_eq(qn_fd_size(fd, &have, err), 0);
    ck_assert_uint_eq(have, size);
    if (how.commit_fails)
        return qn_fail(err, QN_E_NO_SPACE, "no room");
    how.committed++;
    return 0;
}
static void op_close(void *ctx, const struct qn_digest *d, uint64_t size)
{
    (void)ctx, (void)d, (void)size;
    how.closed++;
}

static void setup(void)
{
    struct qn_fetch_ops ops = {op_open, op_commit, op_close, NULL};
    char url[64];

    memset(&how, 0, sizeof how);
    blob = qn_xcalloc(1, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        blob[i] = (char)(i * 31 + i / 257);
    digest = qn_digest_of(qn_str_n(blob, SIZE));
    mock_start(&m, answer, NULL);
    qn_ok(qn_cidr_parse(QN_STR("127.0.0.0/8"), &loopback, &e), e);
    qn_ok(qn_client_new(NULL, &client, &e), e);
    struct qn_registry_config c = {
        .name = "up", .url = mock_url(&m, url), .allow = &loopback, .allows = 1, .attempts = 3, .backoff_ms = 5};
    qn_ok(qn_registry_new(client, &c, &reg, &e), e);
    qn_ok(qn_fetcher_new(&ops, 0, &fetcher, &e), e);
}

static void teardown(void)
{
    how.hold = false;
    qn_client_stop(client);
    qn_fetcher_free(fetcher);
    qn_registry_free(reg);
    qn_client_free(client);
    mock_stop(&m);
    ck_assert_int_eq(how.opened, how.closed);
    free(blob);
}

static struct qn_fetch *start(const char *repo)
{
    struct qn_fetch *f;
    qn_ok(qn_fetch_start(fetcher, reg, qn_str_c(repo), &digest, SIZE, NULL, &f, &e), e);
    return f;
}

/* Reads a download as a client would; 0 when every byte came and was right, -1 when it failed. */
static int read_all(struct qn_fetch *f, uint64_t *seen)
{
    char piece[16384];
    struct qn_err err;

    for (uint64_t at = 0; at < SIZE;) {
        struct qn_fetch_state st;
        size_t n;
        *seen = at;
        if (qn_fetch_wait(f, at, 20000, &err) < 0)
            return -1;
        qn_fetch_state(f, &st);
        ck_assert(st.complete || st.avail < SIZE);
        uint64_t want = QN_MIN(st.avail - at, sizeof piece);
        /* It may have failed since. */
        int fd = qn_fetch_fd(f);
        if (fd < 0)
            return -1;
        ck_assert_int_eq(qn_fd_pread(fd, piece, want, at, &n, &err), 0);
        ck_assert_uint_eq(n, want);
        if (memcmp(piece, blob + at, n) != 0 && !how.wrong)
            return -1;
        at += n;
        *seen = at;
    }
    return 0;
}

static void *reader(void *arg)
{
    struct qn_fetch *f = arg;
    uint64_t seen;
    int r = read_all(f, &seen);
    qn_fetch_release(f);
    return r == 0 ? NULL : arg;
}

START_TEST(one_download_for_fifty)
{
    pthread_t t[50];
    void *bad;

    how.hold = true;
    how.cuts = 1;
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(pthread_create(&t[i], NULL, reader, start("good")), 0);
        if (i == 25)
            poll(NULL, 0, 20);
    }
    how.hold = false;
    for (int i = 0; i < 50; i++) {
        pthread_join(t[i], &bad);
        ck_assert_ptr_null(bad);
    }
    ck_assert_int_eq(mock_count(&m, "GET"), 2); /* one, and its resumption */
    ck_assert_int_eq(how.opened, 1);
}
END_TEST

START_TEST(the_last_byte_waits_for_the_digest)
{
    uint64_t seen;
    struct qn_fetch_state st;

    how.wrong = true;
    struct qn_fetch *f = start("good");
    ck_assert_int_eq(read_all(f, &seen), -1);
    ck_assert_uint_lt(seen, SIZE); /* nobody got a whole wrong blob */
    qn_fetch_state(f, &st);
    ck_assert(st.failed && !st.complete && !st.committed);
    ck_assert_int_eq(st.err.code, QN_E_DIGEST_MISMATCH);
    qn_fails(qn_fetch_wait_committed(f, 1000, &e), e, QN_E_DIGEST_MISMATCH);
    ck_assert_int_eq(how.committed, 0);
    qn_fetch_release(f);
    ck_assert_ptr_null(qn_fetch_join(fetcher, &digest, NULL));
    how.wrong = false; /* nothing of it is remembered */
    f = start("good");
    ck_assert_int_eq(read_all(f, &seen), 0);
    qn_fetch_release(f);
}
END_TEST

START_TEST(readers_may_leave)
{
    how.pause_ms = 2;
    for (int i = 0; i < 5; i++)
        qn_fetch_release(start("good"));
    for (int i = 0; how.closed == 0 && i < 2000; i++)
        poll(NULL, 0, 5);
    ck_assert_int_eq(how.committed, 1);
    ck_assert_int_eq(mock_count(&m, "GET"), 1);
}
END_TEST

START_TEST(another_source_helps)
{
    struct qn_fetch *f, *g;
    uint64_t seen;

    how.hold = true;
    f = start("missing");
    g = start("good");
    how.hold = false;
    ck_assert_ptr_eq(f, g);
    ck_assert_int_eq(read_all(f, &seen), 0);
    qn_ok(qn_fetch_wait_committed(f, 5000, &e), e);
    qn_fetch_release(f);
    qn_fetch_release(g);
    f = start("missing");
    qn_fails(qn_fetch_wait(f, 0, 5000, &e), e, QN_E_BLOB_UNKNOWN);
    ck_assert_int_eq(qn_fetch_fd(f), -1);
    qn_fetch_release(f);
}
END_TEST

START_TEST(scopes_do_not_mix)
{
    struct qn_fetch *f = start("good"), *g, *h;

    how.hold = true;
    qn_ok(qn_fetch_start(fetcher, reg, QN_STR("good"), &digest, SIZE, "tenant", &g, &e), e);
    ck_assert_ptr_ne(f, g);
    ck_assert_ptr_null(qn_fetch_join(fetcher, &digest, "other"));
    h = qn_fetch_join(fetcher, &digest, "tenant");
    ck_assert_ptr_eq(h, g);
    qn_fetch_release(h);
    qn_fails(qn_fetch_start(fetcher, reg, QN_STR("good"), &digest, 5, NULL, &h, &e), e, QN_E_SIZE_MISMATCH);
    qn_fails(qn_fetch_start(fetcher, reg, QN_STR("../bad"), &digest, 5, "x", &h, &e), e, QN_E_NAME_INVALID);
    how.hold = false;
    qn_ok(qn_fetch_wait_committed(f, 10000, &e), e);
    qn_ok(qn_fetch_wait_committed(g, 10000, &e), e);
    qn_fetch_release(f);
    qn_fetch_release(g);
}
END_TEST

START_TEST(a_failed_commit_is_told)
{
    struct qn_fetch_state st;
    uint64_t seen;

    how.commit_fails = true;
    struct qn_fetch *f = start("good");
    ck_assert_int_eq(read_all(f, &seen), 0); /* readers get their bytes all the same */
    qn_fails(qn_fetch_wait_committed(f, 5000, &e), e, QN_E_NO_SPACE);
    qn_fetch_state(f, &st);
    ck_assert(st.complete && st.failed);
    qn_fetch_release(f);
}
END_TEST

struct woken {
    struct qn_fetch_waiter w;
    atomic_int n;
};
static void wake(void *arg)
{
    ((struct woken *)arg)->n++;
}

START_TEST(wakes_once)
{
    struct woken w[3] = {0};

    how.hold = true;
    struct qn_fetch *f = start("good");
    for (int i = 0; i < 3; i++)
        w[i].w = (struct qn_fetch_waiter){.wake = wake, .arg = &w[i]};
    w[1].w.beyond = SIZE - 1; /* never more than that before the end */
    w[2].w.committed = true;
    for (int i = 0; i < 3; i++)
        ck_assert(qn_fetch_wait_async(f, &w[i].w) || i == 0);
    qn_ok(qn_fetch_wait(f, SIZE / 2 - 200000, 10000, &e), e);
    poll(NULL, 0, 50);
    ck_assert_int_le(w[0].n, 1);
    ck_assert_int_eq(w[1].n, 0);
    ck_assert(qn_fetch_unwait(f, &w[1].w));
    ck_assert(!qn_fetch_unwait(f, &w[1].w));
    ck_assert(!qn_fetch_unwait(f, &w[0].w));
    how.hold = false;
    qn_ok(qn_fetch_wait_committed(f, 10000, &e), e);
    for (int i = 0; w[2].n == 0 && i < 1000; i++)
        poll(NULL, 0, 5);
    ck_assert_int_eq(w[1].n, 0);
    ck_assert_int_eq(w[2].n, 1);
    ck_assert(!qn_fetch_wait_async(f, &w[2].w));
    qn_fetch_release(f);
}
END_TEST

START_TEST(stopping_ends_it)
{
    how.hold = true;
    struct qn_fetch *f = start("good");
    qn_ok(qn_fetch_wait(f, 1000, 10000, &e), e);
    qn_fails(qn_fetch_wait(f, SIZE - 2, 50, &e), e, QN_E_TIMEOUT);
    qn_client_stop(client);
    qn_fails(qn_fetch_wait(f, SIZE - 2, 5000, &e), e, QN_E_CANCELLED);
    qn_fetch_release(f);
}
END_TEST

Suite *suite_fetch(void);
Suite *suite_fetch(void)
{
    Suite *s = suite_create("fetch");
    TCase *c = tcase_create("fetch");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, one_download_for_fifty);
    tcase_add_test(c, the_last_byte_waits_for_the_digest);
    tcase_add_test(c, readers_may_leave);
    tcase_add_test(c, another_source_helps);
    tcase_add_test(c, scopes_do_not_mix);
    tcase_add_test(c, a_failed_commit_is_told);
    tcase_add_test(c, wakes_once);
    tcase_add_test(c, stopping_ends_it);
    suite_add_tcase(s, c);
    return s;
}
