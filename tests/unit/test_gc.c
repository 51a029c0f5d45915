#include "unit.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/gc.h"
#include "store/rows_content.h"
#include "store/rows_derive.h"
#include "store/rows_tag.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400ll

static char root[64], path[96];
static struct qn_store *store;
static struct qn_index *ix;
static struct qn_err e;
static int64_t now;

static void open_both(void)
{
    qn_ok(qn_store_open(root, NULL, &store, &e), e);
    qn_ok(qn_index_open(path, &ix, &e), e);
}

static void close_both(void)
{
    qn_index_close(ix);
    qn_store_close(store);
    ix = NULL;
    store = NULL;
}

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/quench-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(path, sizeof path, "%s/quench.db", root);
    now = qn_time_now();
    open_both();
}

static void teardown(void)
{
    close_both();
    qn_dir_remove(root);
}

static struct qn_digest dig(const char *s)
{
    return qn_digest_of(qn_str_c(s));
}

/* What a test wants in the store, in one line each: "upstream 30 m1 cfg1 l1 l2" is a blob (a manifest when children
 * follow) of an origin, last used and added that many days ago. */
struct line {
    const char *origin;
    int64_t days;
    const char *name;
    const char *child[4];
};

static int put_line(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    const struct line *l = arg;
    struct qn_row_blob b = {
        .digest = dig(l->name), .size = strlen(l->name), .added = now - l->days * DAY, .last_day = now / DAY - l->days};
    b.origin = !strcmp(l->origin, "upstream") ? QN_ORIGIN_UPSTREAM
               : !strcmp(l->origin, "made")   ? QN_ORIGIN_MADE
               : !strcmp(l->origin, "pushed") ? QN_ORIGIN_PUSHED
                                              : QN_ORIGIN_FACTS;
    struct qn_row_manifest m = {.digest = b.digest, .size = b.size};
    struct qn_row_edge edges[4];
    size_t n = 0;
    for (; n < 4 && l->child[n]; n++)
        edges[n] = (struct qn_row_edge){dig(l->child[n]), QN_EDGE_LAYER};
    if (qn_index_blob_put(tx, &b, err) < 0)
        return -1;
    return n ? qn_index_manifest_put(tx, &m, edges, n, err) : 0;
}

static void have(struct line l)
{
    struct qn_digest d;
    qn_ok(qn_blob_put(store, qn_str_c(l.name), &d, &e), e);
    qn_ok(qn_index_write(ix, put_line, &l, &e), e);
}

static bool row_is_there(const char *name)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_row_blob b;
    struct qn_digest d = dig(name);
    bool found;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_blob_get(tx, &d, &b, &found, &e), e);
    return found;
}

static bool file_is_there(const char *name)
{
    struct qn_digest d = dig(name);
    uint64_t size;
    struct qn_err err;
    return qn_blob_stat(store, &d, &size, &err) == 0;
}

static void expect(const char *names, bool there)
{
    struct qn_str rest = qn_str_c(names), w;
    while (qn_str_word(&rest, &w)) {
        qn_auto_free char *name = qn_xstrndup(w);
        ck_assert_msg(row_is_there(name) == there, "row of %s is %s", name, there ? "gone" : "still there");
        ck_assert_msg(file_is_there(name) == there, "file of %s is %s", name, there ? "gone" : "still there");
    }
}

static struct qn_gc_result collect(uint64_t max_size)
{
    struct qn_gc_options opt = {
        .now = now, .keep_sources = 7 * DAY, .keep_derivations = 90 * DAY, .upload_ttl = DAY, .max_size = max_size};
    struct qn_gc_result r;
    qn_ok(qn_gc(store, ix, &opt, &r, &e), e);
    return r;
}

struct derived {
    const char *source, *hardened, *report;
    int64_t days;
};
static int put_derived(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    const struct derived *d = arg;
    struct qn_derivation_key k = {.source = dig(d->source), .policy = dig("p"), .platform = "linux/amd64"};
    struct qn_row_derivation row;
    bool made;
    if (qn_index_derivation_open(tx, &k, "default", "r", &row, &made, err) < 0)
        return -1;
    row.state = QN_STATE_DONE;
    row.hardened = dig(d->hardened);
    row.report = dig(d->report);
    row.made = now - d->days * DAY;
    return qn_index_derivation_set(tx, &row, err);
}
static int put_served(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_served s = {.repo = "docker.io/x", .tag = "latest", .source = dig("s"), .served = dig(arg)};
    return qn_index_served_put(tx, &s, err);
}
static int put_pin(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_pin p = {.digest = dig(arg), .kind = QN_PIN_PIN};
    return qn_index_pin_put(tx, &p, err);
}
static int put_link(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_link l = {.repo = "docker.io/x", .digest = dig(arg), .kind = QN_LINK_BLOB, .how = QN_HOW_ORIGINAL};
    return qn_index_link_put(tx, &l, err);
}
static int push(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_link l = {.repo = "apps/x", .how = QN_HOW_PUSHED, .kind = QN_LINK_MANIFEST, .digest = dig("pm")};
    (void)arg;
    if (qn_index_repo_put(tx, "apps/x", true, err) < 0 || qn_index_link_put(tx, &l, err) < 0)
        return -1;
    l.kind = QN_LINK_BLOB;
    l.digest = dig("loose-new");
    if (qn_index_link_put(tx, &l, err) < 0)
        return -1;
    l.digest = dig("loose-old");
    l.added = now - 3 * DAY;
    return qn_index_link_put(tx, &l, err);
}
static int put_referrer(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_referrer r = {.subject = dig("hm"), .digest = dig(arg)};
    return qn_index_referrer_put(tx, "docker.io/x", &r, err);
}
static bool link_is_there(const char *name)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_row_link l;
    struct qn_digest d = dig(name);
    bool found;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_link_get(tx, "docker.io/x", QN_LINK_BLOB, &d, &l, &found, &e), e);
    return found;
}

START_TEST(windows)
{
    have((struct line){"upstream", 2, "sm-young", {"sl-old"}});
    have((struct line){"upstream", 30, "sm-old", {"sl2-old", "shared"}});
    have((struct line){"upstream", 30, "sl-old", {0}});
    have((struct line){"upstream", 30, "sl2-old", {0}});
    have((struct line){"upstream", 30, "shared", {0}});
    have((struct line){"made", 30, "hm", {"hl", "shared"}});
    have((struct line){"made", 30, "hl", {0}});
    have((struct line){"made", 30, "report", {0}});
    have((struct line){"made", 30, "report-manifest", {"report-config"}});
    have((struct line){"made", 30, "report-config", {0}});
    have((struct line){"made", 100, "hm-old", {"hl-old"}});
    have((struct line){"made", 100, "hl-old", {0}});
    have((struct line){"made", 0, "just-made", {0}});
    have((struct line){"facts", 30, "facts-old", {0}});
    have((struct line){"facts", 3, "facts-young", {0}});
    struct derived d = {"sm-old", "hm", "report", 30}, old = {"sx", "hm-old", "none", 100};
    qn_ok(qn_index_write(ix, put_derived, &d, &e), e);
    qn_ok(qn_index_write(ix, put_derived, &old, &e), e);
    char rm[] = "report-manifest", ls[] = "sl2-old", lh[] = "hl-old";
    qn_ok(qn_index_write(ix, put_referrer, rm, &e), e);
    qn_ok(qn_index_write(ix, put_link, ls, &e), e);
    qn_ok(qn_index_write(ix, put_link, lh, &e), e);
    struct qn_gc_result r = collect(0);
    expect("sm-young sl-old shared hm hl report report-manifest report-config just-made facts-young", true);
    expect("sm-old sl2-old hm-old hl-old facts-old", false);
    ck_assert_uint_eq(r.removed, 5);
    ck_assert_uint_eq(r.kept, 10);
    ck_assert(!r.still_full);
    ck_assert(link_is_there("sl2-old")); /* can be fetched again */
    ck_assert(!link_is_there("hl-old"));
    struct qn_row_derivation row;
    bool found;
    qn_auto_read struct qn_tx *tx = NULL;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_derivation_by_id(tx, 2, &row, &found, &e), e);
    ck_assert(!found); /* will be made again */
    qn_ok(qn_index_derivation_by_id(tx, 1, &row, &found, &e), e);
    ck_assert(found);
}
END_TEST

START_TEST(tagged_pinned_pushed)
{
    char tagged[] = "tm", pinned[] = "pin";
    have((struct line){"made", 400, "tm", {"tl"}});
    have((struct line){"made", 400, "tl", {0}});
    have((struct line){"made", 400, "pin", {"pl"}});
    have((struct line){"upstream", 400, "pl", {0}});
    have((struct line){"pushed", 400, "pm", {"pushed-layer"}});
    have((struct line){"pushed", 400, "pushed-layer", {0}});
    have((struct line){"pushed", 400, "loose-old", {0}});
    have((struct line){"pushed", 2, "loose-new", {0}});
    qn_ok(qn_index_write(ix, put_served, tagged, &e), e);
    qn_ok(qn_index_write(ix, put_pin, pinned, &e), e);
    qn_ok(qn_index_write(ix, push, NULL, &e), e);
    struct qn_gc_result r = collect(1);
    expect("tm tl pin pl pm pushed-layer loose-new", true);
    expect("loose-old", false);
    ck_assert(r.still_full);
    char moved[] = "other";
    have((struct line){"made", 400, "other", {"tl"}});
    qn_ok(qn_index_write(ix, put_served, moved, &e), e);
    collect(0);
    expect("other tl", true);
    expect("tm", false);
}
END_TEST

/* One link of a local repository. */
struct shown {
    const char *repo, *name;
    enum qn_link_kind kind;
    enum qn_link_how how;
    int64_t days;
};
static int put_shown(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    const struct shown *s = arg;
    struct qn_row_link l = {.digest = dig(s->name), .kind = s->kind, .how = s->how, .added = now - s->days * DAY};
    snprintf(l.repo, sizeof l.repo, "%s", s->repo);
    return qn_index_repo_put(tx, s->repo, true, err) < 0 ? -1 : qn_index_link_put(tx, &l, err);
}
static bool shows(const char *repo, enum qn_link_kind kind, const char *name)
{
    qn_auto_read struct qn_tx *tx = NULL;
    struct qn_row_link l;
    struct qn_digest d = dig(name);
    bool found;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_link_get(tx, repo, kind, &d, &l, &found, &e), e);
    return found;
}

START_TEST(what_local_repositories_show)
{
    struct shown links[] = {{"apps/a", "m", QN_LINK_MANIFEST, QN_HOW_PUSHED, 400},
                            {"apps/a", "layer", QN_LINK_BLOB, QN_HOW_PUSHED, 400},
                            {"apps/b", "layer", QN_LINK_BLOB, QN_HOW_PUSHED, 400},
                            {"apps/c", "layer", QN_LINK_BLOB, QN_HOW_PUSHED, 0},
                            {"apps/a", "was-hardened", QN_LINK_MANIFEST, QN_HOW_HARDENED, 400},
                            {"apps/a", "asked-for", QN_LINK_BLOB, QN_HOW_PUSHED, 400},
                            {"apps/a", "from-upstream", QN_LINK_BLOB, QN_HOW_PUSHED, 400}};

    have((struct line){"pushed", 400, "m", {"layer"}});
    have((struct line){"pushed", 400, "layer", {0}});
    have((struct line){"made", 400, "was-hardened", {"layer"}});
    have((struct line){"pushed", 400, "asked-for", {0}});
    have((struct line){"upstream", 400, "from-upstream", {0}});
    for (size_t i = 0; i < QN_ARRAY_LEN(links); i++)
        qn_ok(qn_index_write(ix, put_shown, &links[i], &e), e);
    struct qn_digest asked = dig("asked-for");
    qn_index_touch(ix, &asked);
    collect(0);
    expect("m layer asked-for", true);
    expect("was-hardened from-upstream", false);
    /* A repository shows what one of its own manifests names, and what came a moment ago. */
    ck_assert(shows("apps/a", QN_LINK_BLOB, "layer") && shows("apps/c", QN_LINK_BLOB, "layer"));
    ck_assert(!shows("apps/b", QN_LINK_BLOB, "layer") && !shows("apps/a", QN_LINK_BLOB, "from-upstream"));
    /* Pushed again, it counts as new. */
    struct shown again = {"apps/d", "loose", QN_LINK_BLOB, QN_HOW_PUSHED, 400};
    have((struct line){"pushed", 400, "loose", {0}});
    qn_ok(qn_index_write(ix, put_shown, &again, &e), e);
    again.days = 0;
    qn_ok(qn_index_write(ix, put_shown, &again, &e), e);
    collect(0);
    ck_assert(shows("apps/d", QN_LINK_BLOB, "loose"));
    expect("loose", true);
}
END_TEST

START_TEST(pressure_takes_facts_only)
{
    have((struct line){"facts", 1, "facts-a", {0}});
    have((struct line){"facts", 2, "facts-b-used-earlier", {0}});
    have((struct line){"upstream", 1, "source-inside-its-window", {0}});
    struct qn_gc_result r = collect(10);
    expect("facts-a facts-b-used-earlier", false);
    expect("source-inside-its-window", true);
    ck_assert(r.still_full);
    have((struct line){"facts", 1, "facts-a", {0}});
    have((struct line){"facts", 2, "facts-b-used-earlier", {0}});
    r = collect(1000);
    ck_assert_uint_eq(r.removed, 0);
}
END_TEST

START_TEST(leases_protect)
{
    struct qn_lease held, child;
    struct qn_digest d = dig("manifest"), c = dig("leased");

    have((struct line){"made", 400, "manifest", {"layer"}});
    have((struct line){"made", 400, "layer", {0}});
    have((struct line){"made", 400, "leased", {0}});
    have((struct line){"made", 400, "free", {0}});
    qn_lease_take(ix, &d, &held);
    qn_lease_take(ix, &c, &child);
    collect(0);
    expect("manifest layer leased", true); /* also what hangs below a leased manifest */
    expect("free", false);
    qn_lease_drop(&held);
    qn_lease_drop(&child);
    qn_lease_drop(&child);
    collect(0);
    expect("manifest layer leased", false);
}
END_TEST

struct racing {
    _Atomic bool stop;
    unsigned published;
};

static int publish(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    return put_line(tx, arg, err);
}

/* What a job does: lease, look, make when absent, publish, release. A published manifest must be whole. */
static void *publisher(void *arg)
{
    struct racing *r = arg;
    unsigned n = 0;
    while (!r->stop) {
        char name[32], layer[32];
        struct qn_lease lm, ll;
        struct qn_digest dm, dl, d;
        struct qn_err err;
        snprintf(name, sizeof name, "race-m%u", n % 10);
        snprintf(layer, sizeof layer, "race-l%u", n % 10);
        n++;
        dm = dig(name);
        dl = dig(layer);
        qn_lease_take(ix, &dm, &lm);
        qn_lease_take(ix, &dl, &ll);
        if (qn_blob_put(store, qn_str_c(layer), &d, &err) < 0 || qn_blob_put(store, qn_str_c(name), &d, &err) < 0)
            return arg;
        struct line a = {"made", 400, layer, {0}}, b = {"made", 400, name, {layer}};
        if (qn_index_write(ix, publish, &a, &err) < 0 || qn_index_write(ix, publish, &b, &err) < 0)
            return arg;
        /* While the leases are held, files are there. */
        if (!file_is_there(name) || !file_is_there(layer))
            return arg;
        qn_lease_drop(&lm);
        qn_lease_drop(&ll);
        r->published++;
    }
    return NULL;
}

START_TEST(sweep_against_publishers)
{
    pthread_t t[2];
    struct racing r[2] = {0};
    uint64_t removed = 0;
    void *bad;

    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, publisher, &r[i]);
    for (int i = 0; i < 40; i++)
        removed += collect(0).removed;
    for (int i = 0; i < 2; i++) {
        r[i].stop = true;
        pthread_join(t[i], &bad);
        ck_assert_ptr_null(bad);
        ck_assert_uint_gt(r[i].published, 0);
    }
    ck_assert_uint_gt(removed, 0);
    struct qn_check_result c;
    qn_ok(qn_store_check(store, ix, &c, &e), e);
    ck_assert_uint_eq(c.missing, 0);
    ck_assert_uint_eq(c.adopted, 0);
}
END_TEST

START_TEST(old_uploads_go)
{
    char old[128], young[128];
    snprintf(old, sizeof old, "%s/old", qn_store_uploads(store));
    snprintf(young, sizeof young, "%s/young", qn_store_uploads(store));
    close(open(old, O_CREAT | O_WRONLY, 0600));
    close(open(young, O_CREAT | O_WRONLY, 0600));
    struct timespec past[2] = {{now - 2 * DAY, 0}, {now - 2 * DAY, 0}};
    ck_assert_int_eq(utimensat(AT_FDCWD, old, past, 0), 0);
    collect(0);
    ck_assert_int_eq(access(old, F_OK), -1);
    ck_assert_int_eq(access(young, F_OK), 0);
}
END_TEST

START_TEST(check_makes_rows_follow_files)
{
    struct qn_digest d, gone = dig("gone"), grown = dig("grown");
    struct qn_check_result r;
    char text[QN_DIGEST_TEXT], file[256];

    have((struct line){"made", 1, "fine", {0}});
    have((struct line){"made", 1, "gone", {0}});
    have((struct line){"made", 1, "grown", {0}});
    qn_ok(qn_blob_remove(store, &gone, &e), e);
    qn_ok(qn_blob_put(store, QN_STR("nobody knows me"), &d, &e), e);
    const char *hex = strchr(qn_digest_text(&grown, text), ':') + 1;
    snprintf(file, sizeof file, "%s/blobs/sha256/%.2s/%s", root, hex, hex);
    ck_assert_int_eq(chmod(file, 0644), 0);
    ck_assert_int_eq(truncate(file, 3), 0);
    qn_ok(qn_store_check(store, ix, &r, &e), e);
    ck_assert_uint_eq(r.files, 3);
    ck_assert_uint_eq(r.adopted, 1);
    ck_assert_uint_eq(r.missing, 1);
    ck_assert_uint_eq(r.resized, 1);
    ck_assert(row_is_there("nobody knows me"));
    ck_assert(!row_is_there("gone"));
    expect("fine", true);
    expect("grown", false);
    qn_ok(qn_store_check(store, ix, &r, &e), e);
    ck_assert_uint_eq(r.adopted + r.missing + r.resized, 0);
}
END_TEST

START_TEST(scrub_forgets_damage)
{
    struct qn_digest bad = dig("bad");
    struct qn_scrub_result r;
    char text[QN_DIGEST_TEXT], file[256];

    have((struct line){"made", 1, "good", {0}});
    have((struct line){"made", 1, "bad", {0}});
    const char *hex = strchr(qn_digest_text(&bad, text), ':') + 1;
    snprintf(file, sizeof file, "%s/blobs/sha256/%.2s/%s", root, hex, hex);
    ck_assert_int_eq(chmod(file, 0644), 0);
    int fd = open(file, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "B", 1, 0), 1);
    close(fd);
    qn_ok(qn_store_scrub(store, ix, NULL, NULL, NULL, &r, &e), e);
    ck_assert_uint_eq(r.checked, 2);
    ck_assert_uint_eq(r.damaged, 1);
    expect("good", true);
    expect("bad", false);
}
END_TEST

/* A child writes blobs and rows as fast as it can until it is killed. */
static void write_for_ever(unsigned seed)
{
    store = NULL;
    if (qn_store_open(root, NULL, &store, &e) < 0 || qn_index_open(path, &ix, &e) < 0)
        _exit(1);
    for (unsigned i = 0;; i++) {
        char name[64];
        struct qn_digest d;
        snprintf(name, sizeof name, "killed %u %u", seed, i);
        struct line l = {"made", 0, name, {0}};
        if (qn_blob_put(store, qn_str_c(name), &d, &e) < 0 || qn_index_write(ix, put_line, &l, &e) < 0)
            _exit(1);
    }
}

static int whole(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed, struct qn_err *err)
{
    bool ok;
    (void)size, (void)changed;
    if (qn_blob_scrub(store, d, &ok, err) < 0)
        return -1;
    ck_assert(ok);
    ++*(uint64_t *)arg;
    return 0;
}

START_TEST(killed_at_any_moment)
{
    uint64_t total = 0;

    close_both();
    for (unsigned i = 0; i < 12; i++) {
        pid_t pid = fork();
        if (pid == 0)
            write_for_ever(i);
        struct timespec t = {0, 40000000l + (long)i * 17000000l};
        nanosleep(&t, NULL);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status), "the child failed by itself");
        open_both();
        struct qn_check_result r;
        qn_ok(qn_store_check(store, ix, &r, &e), e);
        ck_assert_uint_eq(r.missing, 0); /* the index never leads */
        ck_assert_uint_le(r.adopted, 1);
        total = 0;
        qn_ok(qn_blob_each(store, whole, &total, &e), e);
        ck_assert_uint_eq(total, r.files);
        close_both();
    }
    ck_assert_uint_gt(total, 12);
}
END_TEST

Suite *suite_gc(void);
Suite *suite_gc(void)
{
    Suite *s = suite_create("gc");
    TCase *c = tcase_create("gc");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, windows);
    tcase_add_test(c, tagged_pinned_pushed);
    tcase_add_test(c, pressure_takes_facts_only);
    tcase_add_test(c, leases_protect);
    tcase_add_test(c, sweep_against_publishers);
    tcase_add_test(c, old_uploads_go);
    tcase_add_test(c, what_local_repositories_show);
    tcase_add_test(c, check_makes_rows_follow_files);
    tcase_add_test(c, scrub_forgets_damage);
    tcase_add_test(c, killed_at_any_moment);
    suite_add_tcase(s, c);
    return s;
}
