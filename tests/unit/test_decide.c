/* Rows about decisions, and what the service makes of them. */
#include "index_fixture.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "service/auth.h"
#include "store/rows_admin.h"
#include "store/rows_search.h"
#include "store/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- approvals ---------------------------------------------------------------------------------------------------- */
static int open_row(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct qn_row_approval *row = arg;
    return qn_index_approval_open(tx, row, row, err);
}

struct decision {
    const char *digest;
    enum qn_approval_state state;
    int changed;
};

static int decide(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    struct decision *d = arg;
    struct qn_digest digest = dig(d->digest);
    return qn_index_approval_decide(tx, "up.test/a", &digest, d->state, "ops", "because", &d->changed, err);
}

static struct qn_row_approval waiting(const char *tag, const char *digest)
{
    struct qn_row_approval row = {.source = dig("source"), .digest = dig(digest), .size = 7};

    snprintf(row.repo, sizeof row.repo, "up.test/a");
    snprintf(row.tag, sizeof row.tag, "%s", tag);
    qn_ok(qn_index_write(ix, open_row, &row, &e), e);
    return row;
}

static struct qn_row_approval current(const char *tag, bool *found)
{
    struct qn_row_approval row = {.id = 0};
    qn_auto_read struct qn_tx *tx = NULL;

    qn_ok(qn_index_read(ix, &tx, &e), e);
    qn_ok(qn_index_approval_current(tx, "up.test/a", tag, &row, found, &e), e);
    return row;
}

START_TEST(the_newest_approval_counts)
{
    struct decision one = {"one", QN_APPROVAL_APPROVED, 0}, two = {"two", QN_APPROVAL_APPROVED, 0};
    struct qn_digest d1 = dig("one"), d2 = dig("two");
    bool found;

    ck_assert_int_eq(waiting("v1", "one").state, QN_APPROVAL_WAITING);
    ck_assert_int_eq(waiting("v1", "two").state, QN_APPROVAL_WAITING);
    (void)current("v1", &found);
    ck_assert(!found);
    qn_ok(qn_index_write(ix, decide, &two, &e), e);
    qn_ok(qn_index_write(ix, decide, &one, &e), e); /* decided later, within the same second */
    struct qn_row_approval now = current("v1", &found);
    ck_assert(found && qn_digest_eq(&now.digest, &d1));
    /* Another tag with the same digest follows the decision that stands. */
    struct qn_row_approval other = waiting("v2", "one");
    ck_assert_int_eq(other.state, QN_APPROVAL_APPROVED);
    ck_assert_str_eq(other.who, "ops");
    one.state = QN_APPROVAL_REJECTED;
    qn_ok(qn_index_write(ix, decide, &one, &e), e);
    ck_assert_int_eq(one.changed, 2);
    now = current("v1", &found);
    ck_assert(found && qn_digest_eq(&now.digest, &d2));
    (void)current("v2", &found);
    ck_assert(!found);
    ck_assert_int_eq(waiting("v1", "one").state, QN_APPROVAL_REJECTED); /* opened again: nothing changes */
}
END_TEST

/* --- the audit log ------------------------------------------------------------------------------------------------ */
static int put_entry(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    return qn_index_audit_put(tx, arg, err);
}

struct seen {
    struct qn_row_audit *row; /* 8 of them, heap */
    size_t n;
};

static bool see(void *arg, const struct qn_row_audit *row)
{
    struct seen *s = arg;
    s->row[s->n++] = *row;
    return s->n < 8;
}

static int prune(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    return qn_index_audit_prune(tx, *(int64_t *)arg, err);
}

START_TEST(entries_hang_together)
{
    struct seen all = {.n = 0}, later = {.n = 0}, left = {.n = 0};
    all.row = qn_xcalloc(8, sizeof *all.row);
    later.row = qn_xcalloc(8, sizeof *later.row);
    left.row = qn_xcalloc(8, sizeof *left.row);
    struct qn_digest made;
    int64_t before = 400;

    for (int i = 0; i < 4; i++) {
        struct qn_row_audit row = {.at = 100 * (i + 1)};
        snprintf(row.who, sizeof row.who, "ops");
        snprintf(row.action, sizeof row.action, "%s", i % 2 ? "approve" : "reject");
        snprintf(row.subject, sizeof row.subject, "s%d", i);
        qn_ok(qn_index_write(ix, put_entry, &row, &e), e);
        ck_assert_int_eq(row.id, i + 1);
    }
    qn_auto_read struct qn_tx *tx = NULL;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    struct qn_audit_filter f = {.forward = true};
    qn_ok(qn_index_audit(tx, &f, 8, see, &all, &e), e);
    ck_assert_uint_eq(all.n, 4);
    for (size_t i = 0; i < all.n; i++) {
        ck_assert(i == 0 || qn_digest_eq(&all.row[i].previous, &all.row[i - 1].hash));
        qn_audit_hash(&all.row[i], &made);
        ck_assert(qn_digest_eq(&made, &all.row[i].hash));
    }
    all.row[1].who[0] = 'O';
    qn_audit_hash(&all.row[1], &made);
    ck_assert(!qn_digest_eq(&made, &all.row[1].hash));
    f.before = 2;
    qn_ok(qn_index_audit(tx, &f, 8, see, &later, &e), e);
    ck_assert_uint_eq(later.n, 2);
    ck_assert(qn_digest_eq(&later.row[0].previous, &all.row[1].hash));
    later.n = 0;
    f = (struct qn_audit_filter){.action = "approve"};
    qn_ok(qn_index_audit(tx, &f, 8, see, &later, &e), e);
    ck_assert_uint_eq(later.n, 2);
    ck_assert_int_eq(later.row[0].id, 4);
    qn_index_read_end(&tx);
    qn_ok(qn_index_write(ix, prune, &before, &e), e);
    qn_ok(qn_index_read(ix, &tx, &e), e);
    f = (struct qn_audit_filter){.forward = true};
    qn_ok(qn_index_audit(tx, &f, 8, see, &left, &e), e);
    ck_assert_uint_eq(left.n, 1);
    ck_assert_int_eq(left.row[0].id, 4);
    free(all.row);
    free(later.row);
    free(left.row);
}
END_TEST

/* --- packages ----------------------------------------------------------------------------------------------------- */
static int put_packages(struct qn_tx *tx, void *arg, struct qn_err *err)
{
    static const char *const purls[] = {"pkg:deb/debian/a@1",      "pkg:deb/debian/a@1?arch=amd64",
                                        "pkg:deb/debian/a@1.2",    "pkg:deb/debian/ab@1",
                                        "pkg:deb/debian/a-b@1",    "pkg:npm/%40s/a@1",
                                        "pkg:deb/debian/removed@1"};
    struct qn_derivation_key key = {.source = dig("s"), .policy = dig("p")};
    struct qn_row_derivation row;
    bool made;

    (void)arg;
    if (qn_index_derivation_open(tx, &key, "default", "up.test/a:v1", &row, &made, err) < 0)
        return -1;
    row.state = QN_STATE_DONE;
    row.hardened = dig("h");
    if (qn_index_derivation_set(tx, &row, err) < 0)
        return -1;
    for (size_t i = 0; i < QN_ARRAY_LEN(purls); i++) {
        struct qn_row_package p = {.derivation = row.id};
        snprintf(p.purl, sizeof p.purl, "%s", purls[i]);
        snprintf(p.state, sizeof p.state, "%s", strstr(purls[i], "removed") ? "removed" : "kept");
        if (qn_index_package_put(tx, &p, err) < 0)
            return -1;
    }
    return 0;
}

static bool count(void *arg, const struct qn_found_package *row)
{
    ck_assert_str_eq(row->reference, "up.test/a:v1");
    ++*(int *)arg;
    return true;
}

START_TEST(packages_by_name_and_version)
{
    static const struct {
        const char *purl;
        int n;
    } want[] = {{"pkg:deb/debian/a", 3},       {"pkg:deb/debian/a@1", 2}, {"pkg:deb/debian/a@1?arch=amd64", 1},
                {"pkg:deb/debian/a@1.2", 1},   {"pkg:deb/debian", 0},     {"pkg:npm/%40s/a", 1},
                {"pkg:deb/debian/removed", 0}, {"pkg:deb/debian/a@2", 0}};

    qn_ok(qn_index_write(ix, put_packages, NULL, &e), e);
    qn_auto_read struct qn_tx *tx = NULL;
    qn_ok(qn_index_read(ix, &tx, &e), e);
    for (size_t i = 0; i < QN_ARRAY_LEN(want); i++) {
        int n = 0;
        qn_ok(qn_index_packages(tx, want[i].purl, "", 0, 100, count, &n, &e), e);
        ck_assert_msg(n == want[i].n, "%s: %d, not %d", want[i].purl, n, want[i].n);
    }
}
END_TEST

/* --- tokens ------------------------------------------------------------------------------------------------------- */
START_TEST(tokens_are_for_a_while)
{
    struct qn_auth *a, *b;
    char user[QN_AUTH_USER + 8];
    qn_auto_json json_t *access = NULL, *got = NULL;
    char other[64];

    snprintf(other, sizeof other, "%s/other", root);
    qn_ok(qn_dir_make(other, 0700, &e), e);
    qn_ok(qn_auth_new(QN_STR(""), root, QN_STR("quench"), &a, &e), e);
    qn_ok(qn_auth_new(QN_STR(""), other, QN_STR("quench"), &b, &e), e);
    access = json_pack("[{s:s,s:s,s:[s]}]", "type", "repository", "name", "apps/x", "actions", "pull");
    qn_auto_free char *token = qn_token_make(a, "ci", access, 1000);
    ck_assert_ptr_nonnull(token);
    qn_ok(qn_token_read(a, qn_str_c(token), 1000 + QN_TOKEN_SECONDS - 1, user, &got, &e), e);
    ck_assert_str_eq(user, "ci");
    ck_assert(qn_token_covers(got, QN_STR("apps/x"), "pull"));
    ck_assert(!qn_token_covers(got, QN_STR("apps/x"), "push"));
    ck_assert(!qn_token_covers(got, QN_STR("apps/xy"), "pull"));
    json_t *none = NULL;
    qn_fails(qn_token_read(a, qn_str_c(token), 1000 + QN_TOKEN_SECONDS, user, &none, &e), e, QN_E_UNAUTHORIZED);
    qn_fails(qn_token_read(a, qn_str_c(token), 100, user, &none, &e), e, QN_E_UNAUTHORIZED);
    qn_fails(qn_token_read(b, qn_str_c(token), 1000, user, &none, &e), e, QN_E_UNAUTHORIZED);
    for (size_t i = 0; i < strlen(token); i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        qn_fails(qn_token_read(a, qn_str_c(token), 1000, user, &none, &e), e, QN_E_UNAUTHORIZED);
        token[i] = kept;
    }
    for (size_t n = 0; n < strlen(token); n++)
        qn_fails(qn_token_read(a, qn_str_n(token, n), 1000, user, &none, &e), e, QN_E_UNAUTHORIZED);
    qn_auth_free(b);
    qn_auth_free(a);
    /* The key stays in the directory: a restart forgets nobody. */
    qn_ok(qn_auth_new(QN_STR(""), root, QN_STR("quench"), &a, &e), e);
    json_decref(got);
    qn_ok(qn_token_read(a, qn_str_c(token), 1000, user, &got, &e), e);
    qn_auth_free(a);
}
END_TEST

Suite *suite_decide(void);
Suite *suite_decide(void)
{
    Suite *s = suite_create("decide");
    TCase *c = tcase_create("decide");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, the_newest_approval_counts);
    tcase_add_test(c, entries_hang_together);
    tcase_add_test(c, packages_by_name_and_version);
    tcase_add_test(c, tokens_are_for_a_while);
    suite_add_tcase(s, c);
    return s;
}
