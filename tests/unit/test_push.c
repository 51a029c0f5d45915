/* Pushes against a site: what a collection that runs at the same time may take, conditions, other people's blobs. */
#include "settings_common.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "service/push.h"
#include "store/rows_tag.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char root[64];
static struct qn_settings settings;
static struct qn_site *site;
static struct qn_err e;

static void setup(void)
{
    qn_auto_free char *yaml = NULL;

    snprintf(root, sizeof root, "/tmp/quench-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    yaml = qn_xasprintf("storage: {root: %s}\nlimits: {jobs: 1}\nlocal: [{name: apps}, {name: sparse, sparse: on}]\n"
                        "auth: {rules: [{who: ['*'], actions: [push]}]}\n",
                        root);
    settings_load(yaml, &settings);
    qn_ok(qn_site_open(&settings, &site, &e), e);
}

static void teardown(void)
{
    qn_site_close(site);
    qn_settings_fini(&settings);
    qn_dir_remove(root);
}

/* --- one push after the other ------------------------------------------------------------------------------------- */
static struct qn_push_request *request(enum qn_push_kind kind, const char *repo)
{
    struct qn_push_request *rq = qn_new(struct qn_push_request);
    struct qn_err err;

    rq->kind = kind;
    rq->bytes = QN_STR("");
    qn_ok(qn_route(&settings, false, qn_str_c(repo), QN_STR(""), &rq->route, &err), err);
    return rq;
}

/* Runs it; QN_OK, or what it failed with. Takes `rq`. */
static enum qn_code run(struct qn_push_request *rq, bool *mounted, size_t *missing)
{
    struct qn_push *p;
    struct qn_err err;
    const struct qn_push_result *r;

    qn_ok(qn_push_start(site, rq, &p, &err), err);
    free(rq);
    while (!(r = qn_push_result(p)))
        usleep(200);
    if (mounted)
        *mounted = r->mounted;
    if (missing)
        *missing = json_array_size(r->missing);
    enum qn_code code = r->failed ? r->err.code : QN_OK;
    qn_push_release(p);
    return code;
}

static enum qn_code push_blob(const char *repo, const char *text)
{
    struct qn_push_request *rq = request(QN_PUSH_BLOB, repo);
    struct qn_upload_writer w;
    struct qn_err err;

    rq->digest = qn_digest_of(qn_str_c(text));
    qn_ok(qn_upload_start(site->uploads, repo, QN_DIGEST_NONE, rq->upload, &err), err);
    if (qn_upload_write_begin(site->uploads, repo, rq->upload, 0, 0, QN_DIGEST_NONE, &w, &err) < 0) {
        free(rq);
        return err.code;
    }
    qn_ok(qn_upload_write(&w, text, strlen(text), &err), err);
    qn_upload_write_end(&w);
    return run(rq, NULL, NULL);
}

#define TYPE "application/vnd.test"
static char *manifest_of(const char *layer)
{
    char a[QN_DIGEST_TEXT], b[QN_DIGEST_TEXT];
    struct qn_digest config = qn_digest_of(QN_STR("{}")), d = qn_digest_of(qn_str_c(layer));

    return qn_xasprintf(
        "{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_MANIFEST "\",\"config\":{\"mediaType\":\"" TYPE
        "\",\"digest\":\"%s\",\"size\":2},\"layers\":[{\"mediaType\":\"" TYPE "\",\"digest\":\"%s\",\"size\":%zu}]}",
        qn_digest_text(&config, a), qn_digest_text(&d, b), strlen(layer));
}

static enum qn_code push_manifest(const char *repo, const char *text, const char *tag, size_t *missing)
{
    struct qn_push_request *rq = request(QN_PUSH_MANIFEST, repo);

    rq->bytes = qn_str_c(text);
    snprintf(rq->tag[rq->tags++], QN_ROW_TAG, "%s", tag);
    return run(rq, NULL, missing);
}

static bool linked(const char *repo, enum qn_link_kind kind, const char *text)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_row_link link;
    struct qn_digest d = qn_digest_of(qn_str_c(text));
    struct qn_err err;
    bool found;

    qn_ok(qn_index_read(site->index, &tx, &err), err);
    qn_ok(qn_index_link_get(tx, repo, kind, &d, &link, &found, &err), err);
    return found;
}

START_TEST(what_a_manifest_names)
{
    qn_auto_free char *text = manifest_of("layer");
    size_t missing;

    ck_assert_int_eq(push_manifest("apps/a", text, "v1", &missing), QN_E_MANIFEST_BLOB);
    ck_assert_uint_eq(missing, 2);
    ck_assert_int_eq(push_blob("apps/a", "{}"), QN_OK);
    ck_assert_int_eq(push_blob("apps/b", "layer"), QN_OK); /* in another repository, it is not here */
    ck_assert_int_eq(push_manifest("apps/a", text, "v1", &missing), QN_E_MANIFEST_BLOB);
    ck_assert_uint_eq(missing, 1);
    ck_assert(!linked("apps/a", QN_LINK_MANIFEST, text) && !linked("apps/a", QN_LINK_BLOB, "layer"));
    ck_assert_int_eq(push_manifest("sparse/a", text, "v1", &missing), QN_OK);
    ck_assert(linked("sparse/a", QN_LINK_MANIFEST, text) && !linked("sparse/a", QN_LINK_BLOB, "layer"));
    ck_assert_int_eq(push_blob("apps/a", "layer"), QN_OK);
    ck_assert_int_eq(push_manifest("apps/a", text, "v1", &missing), QN_OK);
    ck_assert_int_eq(push_manifest("apps/a", "{}", "v2", &missing), QN_E_MALFORMED);
}
END_TEST

START_TEST(mounting)
{
    bool mounted;
    struct qn_digest d = qn_digest_of(QN_STR("layer"));

    ck_assert_int_eq(push_blob("apps/a", "layer"), QN_OK);
    static const struct {
        const char *from;
        bool works;
    } rows[] = {{"apps/none", false}, {"apps/a", true}};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        struct qn_push_request *rq = request(QN_PUSH_MOUNT, "apps/b");
        rq->digest = d;
        snprintf(rq->from, sizeof rq->from, "%s", rows[i].from);
        ck_assert_int_eq(run(rq, &mounted, NULL), QN_OK);
        ck_assert_int_eq(mounted, rows[i].works);
        ck_assert_int_eq(linked("apps/b", QN_LINK_BLOB, "layer"), rows[i].works);
    }
    /* A row whose file is gone is no source. */
    qn_ok(qn_blob_remove(site->store, &d, &e), e);
    struct qn_push_request *rq = request(QN_PUSH_MOUNT, "apps/c");
    rq->digest = d;
    snprintf(rq->from, sizeof rq->from, "apps/a");
    ck_assert_int_eq(run(rq, &mounted, NULL), QN_OK);
    ck_assert(!mounted && !linked("apps/c", QN_LINK_BLOB, "layer"));
}
END_TEST

START_TEST(whose_bytes_may_be_used)
{
    struct qn_route local, other, upstream;
    struct qn_digest d = qn_digest_of(QN_STR("layer"));
    bool usable;

    ck_assert_int_eq(push_blob("apps/a", "layer"), QN_OK);
    qn_ok(qn_route(&settings, false, QN_STR("apps/a"), QN_STR(""), &local, &e), e);
    qn_ok(qn_route(&settings, false, QN_STR("apps/b"), QN_STR(""), &other, &e), e);
    qn_ok(qn_route(&settings, false, QN_STR("docker.io/x"), QN_STR(""), &upstream, &e), e);
    qn_ok(qn_site_usable(site, &local, QN_LINK_BLOB, &d, &usable, &e), e);
    ck_assert(usable);
    qn_ok(qn_site_usable(site, &local, QN_LINK_MANIFEST, &d, &usable, &e), e);
    ck_assert(!usable);
    qn_ok(qn_site_usable(site, &other, QN_LINK_BLOB, &d, &usable, &e), e);
    ck_assert(!usable);
    qn_ok(qn_site_usable(site, &upstream, QN_LINK_BLOB, &d, &usable, &e), e);
    ck_assert(!usable);
    qn_fails(qn_site_need_blob(site, &other, &d, 5, &e), e, QN_E_BLOB_UNKNOWN);
}
END_TEST

/* --- pushes against a collection ---------------------------------------------------------------------------------- */
struct pusher {
    pthread_t thread;
    unsigned number, pushed, again;
    atomic_bool *stop;
};

static void push_surely(const char *repo, const char *text)
{
    enum qn_code code;

    do
        code = push_blob(repo, text);
    while (code == QN_E_UPLOAD_UNKNOWN || code == QN_E_CONFLICT); /* the upload counted as forgotten, or just does */
    ck_assert_int_eq(code, QN_OK);
}

/* Blobs, then their manifest. A loose blob may be taken in between, since for this collection every window is over:
 * then the manifest is refused, and the blob pushed again. What was accepted is whole, and stays. */
static void *push_images(void *arg)
{
    struct pusher *p = arg;
    char repo[32], layer[64], tag[16];
    struct qn_err err;
    uint64_t size;

    snprintf(repo, sizeof repo, "apps/p%u", p->number);
    for (unsigned n = 0; !atomic_load(p->stop); n++) {
        snprintf(layer, sizeof layer, "layer %u of %u", n % 8, p->number % 2); /* two push the same */
        snprintf(tag, sizeof tag, "t%u", n % 8);
        qn_auto_free char *text = manifest_of(layer);
        enum qn_code code = QN_E_MANIFEST_BLOB;
        while (code == QN_E_MANIFEST_BLOB) {
            push_surely(repo, "{}");
            push_surely(repo, layer);
            code = push_manifest(repo, text, tag, NULL);
            p->again += code == QN_E_MANIFEST_BLOB;
        }
        ck_assert_int_eq(code, QN_OK);
        struct qn_digest parts[] = {qn_digest_of(QN_STR("{}")), qn_digest_of(qn_str_c(layer)),
                                    qn_digest_of(qn_str_c(text))};
        for (size_t i = 0; i < QN_ARRAY_LEN(parts); i++)
            qn_ok(qn_blob_stat(site->store, &parts[i], &size, &err), err);
        ck_assert(linked(repo, QN_LINK_BLOB, layer) && linked(repo, QN_LINK_MANIFEST, text));
        if (n % 3 == 0) {
            struct qn_push_request *rq = request(QN_PUSH_DELETE_MANIFEST, repo);
            rq->digest = parts[2];
            ck_assert_int_eq(run(rq, NULL, NULL), QN_OK);
        }
        p->pushed++;
    }
    return NULL;
}

START_TEST(collections_take_nothing_that_was_accepted)
{
    atomic_bool stop = false;
    struct pusher p[3];
    struct qn_gc_options opt = {.upload_ttl = 86400, .grace = 1, .uploads = site->uploads};
    struct qn_gc_result r;
    struct qn_check_result c;
    uint64_t removed = 0;

    for (unsigned i = 0; i < QN_ARRAY_LEN(p); i++) {
        p[i] = (struct pusher){.number = i, .stop = &stop};
        ck_assert_int_eq(pthread_create(&p[i].thread, NULL, push_images, &p[i]), 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        opt.now = qn_time_now() + 100 * 86400; /* everything is old */
        qn_ok(qn_gc(site->store, site->index, &opt, &r, &e), e);
        removed += r.removed;
        usleep(5000);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < QN_ARRAY_LEN(p); i++) {
        pthread_join(p[i].thread, NULL);
        ck_assert_uint_gt(p[i].pushed, 0);
    }
    ck_assert_uint_gt(removed, 0);
    qn_ok(qn_store_check(site->store, site->index, &c, &e), e);
    ck_assert_uint_eq(c.missing, 0);
}
END_TEST

Suite *suite_push(void)
{
    const TTest *const tests[] = {what_a_manifest_names, mounting, whose_bytes_may_be_used,
                                  collections_take_nothing_that_was_accepted};
    Suite *s = suite_create("push");
    TCase *c = tcase_create("push");

    tcase_set_timeout(c, 240);
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < QN_ARRAY_LEN(tests); i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}
