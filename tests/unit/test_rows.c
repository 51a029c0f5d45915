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

static int put_image(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_manifest m = {.digest = dig("m"), .size = 3, .config = dig("cfg")};
    struct qn_row_blob b = {.digest = dig("m"), .size = 3, .origin = QN_ORIGIN_MADE};
    struct qn_row_edge edges[] = {{dig("cfg"), QN_EDGE_CONFIG}, {dig("l1"), QN_EDGE_LAYER}, {dig("l1"), QN_EDGE_LAYER}};
    struct qn_row_link link = {.digest = dig("m"), .kind = QN_LINK_MANIFEST, .how = QN_HOW_HARDENED};
    (void)arg;
    snprintf(m.media_type, sizeof m.media_type, "application/vnd.oci.image.manifest.v1+json");
    snprintf(link.repo, sizeof link.repo, "docker.io/library/nginx");
    DO(qn_index_blob_put(tx, &b, err));
    DO(qn_index_manifest_put(tx, &m, edges, 3, err));
    DO(qn_index_link_put(tx, &link, err));
    link.how = QN_HOW_PASSTHROUGH;
    DO(qn_index_link_put(tx, &link, err));
    snprintf(link.repo, sizeof link.repo, "apps/x");
    DO(qn_index_repo_put(tx, "apps/x", true, err));
    return qn_index_link_put(tx, &link, err);
}

static bool count_repo(void *arg, const char *repo, bool local)
{
    int *n = arg;
    ck_assert_int_eq(local, strcmp(repo, "apps/x") == 0);
    ++*n;
    return true;
}
static bool count_link(void *arg, const struct qn_row_link *row)
{
    int *n = arg;
    ck_assert_int_eq(row->how, *n == 0 ? QN_HOW_PASSTHROUGH : QN_HOW_HARDENED);
    ++*n;
    return true;
}

static int delete_m(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_digest m = dig("m");
    bool found;
    (void)arg;
    DO(qn_index_link_del(tx, "apps/x", QN_LINK_MANIFEST, &m, &found, err));
    ck_assert(found);
    DO(qn_index_link_del(tx, "apps/x", QN_LINK_MANIFEST, &m, &found, err));
    ck_assert(!found);
    return qn_index_blob_del(tx, &m, err);
}

START_TEST(manifests_and_links)
{
    struct qn_row_manifest m;
    struct qn_row_link link;
    struct qn_row_edge *edges;
    struct qn_digest *parents;
    struct qn_digest d = dig("m"), l1 = dig("l1");
    size_t n;
    int count = 0;
    bool found;

    qn_ok(qn_index_write(ix, put_image, NULL, &e), e);
    qn_ok(qn_index_write(ix, put_image, NULL, &e), e);
    struct qn_tx *tx;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_manifest_get(tx, &d, &m, &found, &e), e);
    ck_assert(found);
    ck_assert_str_eq(m.media_type, "application/vnd.oci.image.manifest.v1+json");
    ck_assert_int_eq(m.subject.algorithm, QN_DIGEST_NONE);
    qn_ok(qn_index_children(tx, &d, &edges, &n, &e), e);
    ck_assert_uint_eq(n, 2);
    free(edges);
    qn_ok(qn_index_parents(tx, &l1, 10, &parents, &n, &e), e);
    ck_assert_uint_eq(n, 1);
    ck_assert(qn_digest_eq(parents, &d));
    free(parents);
    qn_ok(qn_index_link_get(tx, "docker.io/library/nginx", QN_LINK_MANIFEST, &d, &link, &found, &e), e);
    ck_assert(found);
    ck_assert_int_eq(link.how, QN_HOW_HARDENED); /* a weaker reason does not replace a stronger one */
    qn_ok(qn_index_link_get(tx, "docker.io/library/nginx", QN_LINK_BLOB, &d, &link, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_link_get(tx, "docker.io/library/other", QN_LINK_MANIFEST, &d, &link, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_repos(tx, "", 10, count_repo, &count, &e), e);
    ck_assert_int_eq(count, 2);
    qn_ok(qn_index_repos(tx, "apps/x", 10, count_repo, &count, &e), e);
    ck_assert_int_eq(count, 3);
    count = 0;
    qn_ok(qn_index_links_of(tx, &d, "", 10, count_link, &count, &e), e);
    ck_assert_int_eq(count, 2);
    qn_index_read_end(&tx);
    qn_ok(qn_index_write(ix, delete_m, NULL, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_manifest_get(tx, &d, &m, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_link_get(tx, "docker.io/library/nginx", QN_LINK_MANIFEST, &d, &link, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_parents(tx, &l1, 10, &parents, &n, &e), e);
    ck_assert_uint_eq(n, 0);
    free(parents);
    qn_index_read_end(&tx);
}
END_TEST

static int put_tags(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_tag t = {.digest = dig("m"), .size = 3, .checked = 1000};
    bool found;
    (void)arg;
    snprintf(t.repo, sizeof t.repo, "r/a");
    for (int i = 0; i < 5; i++) {
        snprintf(t.tag, sizeof t.tag, "t%d", i);
        if (i == 3)
            t.digest = (struct qn_digest){0}; /* upstream: no such tag */
        DO(qn_index_tag_put(tx, &t, err));
        t.digest = dig("m");
    }
    DO(qn_index_tag_del(tx, "r/a", "t4", &found, err));
    ck_assert(found);
    return 0;
}
static bool name_tag(void *arg, const struct qn_row_tag *row)
{
    char *names = arg;
    snprintf(names + strlen(names), 8, "%s", row->tag);
    return strlen(names) < 6;
}

static int serve(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_served s = {.policy = dig("policy"), .source = dig("s"), .served = dig(arg), .from = 50};
    snprintf(s.repo, sizeof s.repo, "r/a");
    snprintf(s.tag, sizeof s.tag, "latest");
    snprintf(s.platforms, sizeof s.platforms, "linux/amd64");
    return qn_index_served_put(tx, &s, err);
}
static bool count_served(void *arg, const struct qn_row_served *row)
{
    int *n = arg;
    ck_assert_int_eq(row->to == 0, *n == 0); /* newest first, and only that one is current */
    ++*n;
    return true;
}

START_TEST(tags)
{
    struct qn_row_tag t;
    struct qn_row_served s;
    char names[32] = "";
    char one[] = "one", two[] = "two";
    bool found;
    int n = 0;
    struct qn_digest m = dig("m"), policy = dig("policy"), d2 = dig("two");
    struct qn_tx *tx;

    qn_ok(qn_index_write(ix, put_tags, NULL, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_tag_get(tx, "r/a", "t1", &t, &found, &e), e);
    ck_assert(found && t.checked == 1000 && qn_digest_eq(&t.digest, &m));
    qn_ok(qn_index_tag_get(tx, "r/a", "t3", &t, &found, &e), e);
    ck_assert(found && t.digest.algorithm == QN_DIGEST_NONE);
    qn_ok(qn_index_tag_get(tx, "r/b", "t1", &t, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_tags(tx, "r/a", "", 100, name_tag, names, &e), e);
    ck_assert_str_eq(names, "t0t1t2");
    names[0] = 0;
    qn_ok(qn_index_tags(tx, "r/a", "t0", 1, name_tag, names, &e), e);
    ck_assert_str_eq(names, "t1");
    names[0] = 0;
    qn_ok(qn_index_tags_of(tx, "r/a", &m, 2, name_tag, names, &e), e);
    ck_assert_str_eq(names, "t0t1");
    qn_index_read_end(&tx);
    qn_ok(qn_index_write(ix, serve, one, &e), e);
    qn_ok(qn_index_write(ix, serve, one, &e), e);
    qn_ok(qn_index_write(ix, serve, two, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_served_get(tx, "r/a", "latest", &policy, "linux/amd64", &s, &found, &e), e);
    ck_assert(found && qn_digest_eq(&s.served, &d2));
    qn_ok(qn_index_served_get(tx, "r/a", "latest", &policy, "linux/arm64", &s, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_served_latest(tx, "r/a", "latest", &s, &found, &e), e);
    ck_assert(found && qn_digest_eq(&s.served, &d2));
    qn_ok(qn_index_served_list(tx, "r/a", "", 0, 100, count_served, &n, &e), e);
    ck_assert_int_eq(n, 2);
    n = 0;
    qn_ok(qn_index_served_of(tx, &d2, 100, count_served, &n, &e), e);
    ck_assert_int_eq(n, 1);
    qn_index_read_end(&tx);
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
static int derive_done(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct derive *d = arg;
    d->row.state = QN_STATE_DONE;
    d->row.hardened = dig("hardened");
    d->row.deaths = 0;
    d->row.made = qn_time_now();
    return qn_index_derivation_set(tx, &d->row, err);
}
static bool count_derivation(void *arg, const struct qn_row_derivation *row)
{
    (void)row;
    ++*(int *)arg;
    return true;
}
START_TEST(derivations)
{
    struct derive a = {.source = "a"}, b = {.source = "b"};
    struct qn_row_derivation row;
    struct qn_digest h = dig("hardened");
    bool found;
    int n = 0;
    struct qn_tx *tx;

    qn_ok(qn_index_write(ix, derive_open, &a, &e), e);
    ck_assert(a.made && a.row.state == QN_STATE_QUEUED);
    ck_assert_str_eq(a.row.policy_name, "default");
    int64_t id = a.row.id;
    qn_ok(qn_index_write(ix, derive_open, &a, &e), e);
    ck_assert(!a.made && a.row.id == id);
    qn_ok(qn_index_write(ix, derive_open, &b, &e), e);
    qn_ok(qn_index_write(ix, derive_done, &a, &e), e);
    qn_index_touch(ix, &h);
    qn_ok(qn_index_flush(ix, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_derivation_by_id(tx, id, &row, &found, &e), e);
    ck_assert(found && row.state == QN_STATE_DONE && row.last_served > 0);
    qn_ok(qn_index_derivations_of(tx, &h, 10, count_derivation, &n, &e), e);
    ck_assert_int_eq(n, 1);
    qn_ok(qn_index_derivations_from(tx, &row.key.source, 10, count_derivation, &n, &e), e);
    ck_assert_int_eq(n, 2);
    n = 0;
    qn_ok(qn_index_derivation_list(tx, (enum qn_state)0, 0, 10, count_derivation, &n, &e), e);
    ck_assert_int_eq(n, 2);
    n = 0;
    qn_ok(qn_index_derivation_list(tx, QN_STATE_QUEUED, 0, 10, count_derivation, &n, &e), e);
    ck_assert_int_eq(n, 1);
    qn_index_read_end(&tx);
    a.row.id = 999;
    qn_fails(qn_index_write(ix, derive_done, &a, &e), e, QN_E_NOT_FOUND);
    ck_assert_str_eq(qn_state_name(QN_STATE_DENIED), "denied");
    ck_assert_int_eq(qn_state_parse(QN_STR("failed")), QN_STATE_FAILED);
    ck_assert_int_eq(qn_state_parse(QN_STR("")), 0);
}
END_TEST

static int put_rest(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    static struct qn_row_denial den;
    (void)arg;
    den = (struct qn_row_denial){.digest = dig("den"), .config = dig("dencfg"), .body_size = 4, .body = "body"};
    snprintf(den.repo, sizeof den.repo, "r/a");
    snprintf(den.message, sizeof den.message, "no");
    den.expires = qn_time_now() + 100;
    DO(qn_index_denial_put(tx, &den, err));
    den.expires = qn_time_now() + 50; /* the later one wins */
    DO(qn_index_denial_put(tx, &den, err));
    den.digest = dig("old");
    den.expires = 5;
    DO(qn_index_denial_put(tx, &den, err));
    struct qn_row_pin pin = {.digest = dig("m"), .kind = QN_PIN_APPROVED};
    DO(qn_index_pin_put(tx, &pin, err));
    pin.kind = QN_PIN_REJECTED;
    DO(qn_index_pin_put(tx, &pin, err));
    struct qn_row_referrer r = {.subject = dig("m"), .digest = dig("r1"), .size = 9};
    snprintf(r.artifact_type, sizeof r.artifact_type, "application/x");
    char json[] = "{\"a\":\"b\"}";
    r.annotations = json;
    DO(qn_index_referrer_put(tx, "r/a", &r, err));
    r.annotations = NULL;
    r.digest = dig("r2");
    snprintf(r.artifact_type, sizeof r.artifact_type, "application/y");
    DO(qn_index_referrer_put(tx, "r/a", &r, err));
    struct qn_row_facts f = {.layer = dig("l"), .version = "1", .facts = dig("f"), .facts_size = 7};
    DO(qn_index_facts_put(tx, &f, err));
    struct qn_row_rewrite w = {
        .layer = dig("l"), .edits = dig("ed"), .codec = "gzip", .hardened = dig("hl"), .size = 5};
    DO(qn_index_rewrite_put(tx, &w, err));
    struct qn_row_hold h = {.repo = "r/a", .tag = "t", .source = dig("s"), .who = "ops"};
    return qn_index_hold_put(tx, &h, err);
}
static bool count_referrer(void *arg, const struct qn_row_referrer *row)
{
    if (row->annotations)
        ck_assert_str_eq(row->annotations, "{\"a\":\"b\"}");
    ++*(int *)arg;
    return true;
}

START_TEST(the_other_rows)
{
    static struct qn_row_denial den;
    struct qn_row_pin pin;
    struct qn_row_facts f;
    struct qn_row_rewrite w;
    struct qn_row_hold h;
    struct qn_digest d = dig("den"), c = dig("dencfg"), old = dig("old"), m = dig("m"), l = dig("l"), ed = dig("ed");
    struct qn_tx *tx;
    bool found;
    int n = 0;

    qn_ok(qn_index_write(ix, put_rest, NULL, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_denial_get(tx, "r/a", &d, &den, &found, &e), e);
    ck_assert(found && den.body_size == 4 && memcmp(den.body, "body", 4) == 0 && den.expires > qn_time_now() + 60);
    qn_ok(qn_index_denial_get(tx, "r/a", &c, &den, &found, &e), e);
    ck_assert(found && qn_digest_eq(&den.digest, &d));
    qn_ok(qn_index_denial_get(tx, "r/b", &d, &den, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_denial_get(tx, "r/a", &old, &den, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_pin_get(tx, &m, QN_PIN_REJECTED, "", &pin, &found, &e), e);
    ck_assert(found);
    qn_ok(qn_index_pin_get(tx, &m, QN_PIN_APPROVED, "", &pin, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_referrers(tx, "r/a", &m, NULL, NULL, 10, count_referrer, &n, &e), e);
    ck_assert_int_eq(n, 2);
    qn_ok(qn_index_referrers(tx, "r/a", &m, "application/y", NULL, 10, count_referrer, &n, &e), e);
    ck_assert_int_eq(n, 3);
    qn_ok(qn_index_referrers(tx, "r/b", &m, NULL, NULL, 10, count_referrer, &n, &e), e);
    ck_assert_int_eq(n, 3);
    qn_ok(qn_index_facts_get(tx, &l, "1", &f, &found, &e), e);
    ck_assert(found && f.facts_size == 7);
    qn_ok(qn_index_facts_get(tx, &l, "2", &f, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_rewrite_get(tx, &l, &ed, "gzip", &w, &found, &e), e);
    ck_assert(found && w.size == 5);
    qn_ok(qn_index_rewrite_get(tx, &l, &ed, "zstd", &w, &found, &e), e);
    ck_assert(!found);
    qn_ok(qn_index_hold_get(tx, "r/a", "t", &h, &found, &e), e);
    ck_assert(found);
    ck_assert_str_eq(h.who, "ops");
    qn_index_read_end(&tx);
}
END_TEST

Suite *suite_rows(void);
Suite *suite_rows(void)
{
    Suite *s = suite_create("rows");
    TCase *c = tcase_create("rows");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, manifests_and_links);
    tcase_add_test(c, tags);
    tcase_add_test(c, derivations);
    tcase_add_test(c, the_other_rows);
    suite_add_tcase(s, c);
    return s;
}
