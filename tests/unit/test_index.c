#include "index_fixture.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/rows_content.h"
#include "store/rows_job.h"
#include "store/rows_tag.h"
#include "store/sql.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DO(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            return -1;                                                                                                 \
    } while (0)

static int put_blob(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    return qn_index_blob_put(tx, arg, err);
}

START_TEST(blobs)
{
    struct qn_row_blob row = {.digest = dig("a"), .size = 10, .origin = QN_ORIGIN_UPSTREAM}, got;
    struct qn_tx *tx;
    uint64_t bytes, n;
    bool found;

    qn_ok(qn_index_write(ix, put_blob, &row, &e), e);
    row.origin = QN_ORIGIN_PUSHED; /* less public: does not replace */
    qn_ok(qn_index_write(ix, put_blob, &row, &e), e);
    row.origin = QN_ORIGIN_FACTS;
    qn_ok(qn_index_write(ix, put_blob, &row, &e), e);
    row.digest = dig("b");
    row.size = 5;
    qn_ok(qn_index_write(ix, put_blob, &row, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    struct qn_digest a = dig("a"), c = dig("c");
    qn_ok(qn_index_blob_get(tx, &a, &got, &found, &e), e);
    ck_assert(found);
    ck_assert_int_eq(got.origin, QN_ORIGIN_UPSTREAM);
    ck_assert_uint_eq(got.size, 10);
    ck_assert_int_eq(got.last_day, qn_time_now() / 86400);
    qn_ok(qn_index_blob_get(tx, &c, &got, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_used(tx, &bytes, &n, &e), e);
    ck_assert_uint_eq(bytes, 15);
    ck_assert_uint_eq(n, 2);
    qn_index_read_end(&tx);
    row.size = UINT64_MAX;
    row.digest = dig("c");
    qn_fails(qn_index_write(ix, put_blob, &row, &e), e, QN_E_LIMIT);
}
END_TEST

static int add_then_fail(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_blob row = {.digest = dig("undone"), .size = 1, .origin = QN_ORIGIN_MADE};
    (void)arg;
    if (qn_index_blob_put(tx, &row, err) < 0)
        return -1;
    return qn_fail(err, QN_E_CANCELLED, "changed my mind");
}

START_TEST(a_failed_write_is_undone)
{
    struct qn_row_blob got;
    bool found;
    struct qn_digest d = dig("undone");

    qn_fails(qn_index_write(ix, add_then_fail, NULL, &e), e, QN_E_CANCELLED);
    qn_auto_read struct qn_tx *tx = NULL;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_blob_get(tx, &d, &got, &found, &e), e);
    ck_assert(!found);
}
END_TEST

struct posted {
    struct qn_row_blob row;
    _Atomic int *done;
};
static int put_posted(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct posted *p = arg;
    return qn_index_blob_put(tx, &p->row, err);
}
static void posted_done(void *arg, const struct qn_err *failed)
{
    struct posted *p = arg;
    ck_assert_ptr_null(failed);
    ++*p->done;
}
static void *writer(void *arg)
{
    int id = *(int *)arg;
    for (int i = 0; i < 50; i++) {
        char name[32];
        struct qn_err err;
        snprintf(name, sizeof name, "%d/%d", id, i);
        struct qn_row_blob row = {.digest = dig(name), .size = 1, .origin = QN_ORIGIN_MADE};
        if (i % 7 == 3) {
            if (qn_index_write(ix, add_then_fail, NULL, &err) == 0)
                return arg;
        }
        if (qn_index_write(ix, put_blob, &row, &err) < 0)
            return arg;
    }
    return NULL;
}

START_TEST(writes_are_grouped)
{
    pthread_t t[8];
    int id[8];
    _Atomic int done = 0;
    struct posted posted[100];
    struct qn_index_stats st;

    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "posted %d", i);
        posted[i] = (struct posted){{.digest = dig(name), .size = 1, .origin = QN_ORIGIN_MADE}, &done};
        qn_ok(qn_index_post(ix, put_posted, &posted[i], posted_done, &e), e);
    }
    for (int i = 0; i < 8; i++) {
        id[i] = i;
        pthread_create(&t[i], NULL, writer, &id[i]);
    }
    for (int i = 0; i < 8; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        ck_assert_ptr_null(bad);
    }
    ck_assert_int_eq(done, 100);
    qn_ok(qn_index_stats(ix, &st, &e), e);
    ck_assert_uint_eq(st.blobs, 500);
    ck_assert_uint_eq(st.writes, 100 + 8 * 57);
    ck_assert_uint_lt(st.commits, st.writes);
}
END_TEST

START_TEST(readers_see_snapshots)
{
    struct qn_row_blob row = {.digest = dig("a"), .size = 10, .origin = QN_ORIGIN_MADE}, got;
    struct qn_tx *before, *after;
    bool found;

    qn_ok(qn_index_read(ix, &before, &e), e);
    qn_ok(qn_index_blob_get(before, &row.digest, &got, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_write(ix, put_blob, &row, &e), e);
    qn_ok(qn_index_blob_get(before, &row.digest, &got, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_read(ix, &after, &e), e);
    qn_ok(qn_index_blob_get(after, &row.digest, &got, &found, &e), e);
    ck_assert(found);
    qn_index_read_end(&after);
    qn_index_read_end(&before);
    qn_ok(qn_index_read(ix, &before, &e), e);
    qn_ok(qn_index_blob_get(before, &row.digest, &got, &found, &e), e);
    ck_assert(found);
    qn_index_read_end(&before);
}
END_TEST

static void key_of(struct qn_derivation_key *k, const char *source)
{
    *k = (struct qn_derivation_key){.source = dig(source), .policy = dig("policy")};
    snprintf(k->platform, sizeof k->platform, "linux/amd64");
    snprintf(k->engine, sizeof k->engine, "0.1.0+zlib");
}
struct derive {
    const char *source;
    struct qn_row_derivation row;
    bool made;
};
static int derive_open(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct derive *d = arg;
    struct qn_derivation_key k;
    key_of(&k, d->source);
    return qn_index_derivation_open(tx, &k, "default", "docker.io/library/nginx:1", &d->row, &d->made, err);
}
static int derive_run(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct derive *d = arg;
    struct qn_row_job job = {.derivation = d->row.id, .state = QN_STATE_RUNNING, .attempts = 1};
    d->row.state = QN_STATE_RUNNING;
    d->row.attempts++;
    DO(qn_index_derivation_set(tx, &d->row, err));
    qn_job_id(ix, job.id);
    DO(qn_index_job_put(tx, &job, err));
    job.state = QN_STATE_QUEUED;
    qn_job_id(ix, job.id);
    return qn_index_job_put(tx, &job, err);
}
static bool count_job(void *arg, const struct qn_row_job *row)
{
    ck_assert_int_eq(row->state, QN_STATE_FAILED);
    ck_assert_int_gt(row->finished, 0);
    ++*(int *)arg;
    return true;
}

START_TEST(deaths_are_counted)
{
    struct derive a = {.source = "a"};
    char before[QN_JOB_ID], after[QN_JOB_ID];
    int jobs = 0;

    qn_ok(qn_index_write(ix, derive_open, &a, &e), e);
    for (unsigned death = 1; death <= 3; death++) {
        qn_ok(qn_index_write(ix, derive_run, &a, &e), e);
        qn_job_id(ix, before);
        qn_index_close(ix); /* with a row left "running": as a death leaves it */
        qn_ok(qn_index_open(path, &ix, &e), e);
        qn_job_id(ix, after);
        ck_assert_str_lt(before, after);
        qn_ok(qn_index_write(ix, derive_open, &a, &e), e);
        ck_assert_uint_eq(a.row.deaths, death);
        ck_assert_uint_eq(a.row.attempts, death);
        ck_assert_int_eq(a.row.state, death < 3 ? QN_STATE_FAILED : QN_STATE_DENIED);
        ck_assert_str_eq(a.row.reason, "hardening-failed");
    }
    qn_auto_read struct qn_tx *tx = NULL;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_jobs(tx, QN_STATE_FAILED, "", 10, count_job, &jobs, &e), e);
    ck_assert_int_eq(jobs, 6);
    jobs = 0;
    qn_ok(qn_index_jobs(tx, QN_STATE_RUNNING, "", 10, count_job, &jobs, &e), e);
    qn_ok(qn_index_jobs(tx, QN_STATE_QUEUED, "", 10, count_job, &jobs, &e), e);
    ck_assert_int_eq(jobs, 0);
}
END_TEST

START_TEST(job_ids_rise)
{
    char last[QN_JOB_ID] = "", id[QN_JOB_ID];
    for (int i = 0; i < 70000; i++) {
        qn_job_id(ix, id);
        ck_assert_str_lt(last, id);
        memcpy(last, id, sizeof id);
    }
}
END_TEST

static void raw(const char *sql)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    char *msg = NULL;
    sqlite3_exec(db, sql, NULL, NULL, &msg);
    ck_assert_msg(!msg, "%s", msg ? msg : "");
    sqlite3_close(db);
}

START_TEST(old_versions_are_brought_up_to_date)
{
    struct qn_row_hold h;
    struct qn_row_tag t;
    struct qn_tx *tx;
    bool found;

    qn_index_close(ix);
    ix = NULL;
    unlink(path);
    qn_auto_free char *v1 = qn_xstrndup(qn_schema_text(1));
    ck_assert_ptr_null(strstr(v1, "CREATE TABLE hold"));
    raw(v1);
    raw("PRAGMA user_version = 1; INSERT INTO repo VALUES (1, 'r/a', 0);"
        "INSERT INTO tag VALUES (1, 'latest', x'', '', 0, 7, '')");
    qn_ok(qn_index_open(path, &ix, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_tag_get(tx, "r/a", "latest", &t, &found, &e), e);
    ck_assert(found && t.checked == 7);
    qn_ok(qn_index_hold_get(tx, "r/a", "latest", &h, &found, &e), e);
    ck_assert(!found);
    qn_index_read_end(&tx);
    qn_index_close(ix);
    ix = NULL;
    raw("PRAGMA user_version = 99");
    qn_fails(qn_index_open(path, &ix, &e), e, QN_E_CONFIG);
    ck_assert_ptr_null(ix);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is not a database ", f);
    fclose(f);
    qn_fails(qn_index_open(path, &ix, &e), e, QN_E_IO);
    ck_assert_msg(strstr(e.msg, path), "%s", e.msg);
}
END_TEST

Suite *suite_index(void);
Suite *suite_index(void)
{
    Suite *s = suite_create("index");
    TCase *c = tcase_create("index");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, blobs);
    tcase_add_test(c, a_failed_write_is_undone);
    tcase_add_test(c, writes_are_grouped);
    tcase_add_test(c, readers_see_snapshots);
    tcase_add_test(c, deaths_are_counted);
    tcase_add_test(c, job_ids_rise);
    tcase_add_test(c, old_versions_are_brought_up_to_date);
    suite_add_tcase(s, c);
    return s;
}
