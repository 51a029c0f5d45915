/* rpm databases of the SQLite kind: headers, logs, packages, and what is left of them. */
#include "formats/rpmdb.h"
#include "formats/rpmheader.h"
#include "image_fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- making ------------------------------------------------------------------------------------------------------- */
struct made {
    struct qn_buf index, store;
    uint32_t entries;
};

static void be(struct qn_buf *b, uint32_t v)
{
    struct qn_err e;
    for (int i = 24; i >= 0; i -= 8)
        qn_ok(qn_buf_u8(b, (uint8_t)(v >> i), &e), e);
}

static void entry(struct made *m, uint32_t tag, uint32_t type, uint32_t count)
{
    be(&m->index, tag);
    be(&m->index, type);
    be(&m->index, (uint32_t)m->store.n);
    be(&m->index, count);
    m->entries++;
}

static void text(struct made *m, uint32_t tag, const char *value)
{
    struct qn_err e;
    entry(m, tag, 6, 1);
    qn_ok(qn_buf_put(&m->store, value, strlen(value) + 1, &e), e);
}

/* Texts between commas. */
static void texts(struct made *m, uint32_t tag, const char *list)
{
    struct qn_str rest = qn_str_c(list), one;
    struct qn_err e;
    uint32_t n = 0;
    for (struct qn_str r = rest; qn_str_next(&r, ',', &one);)
        n++;
    entry(m, tag, 8, n);
    while (qn_str_next(&rest, ',', &one))
        qn_ok(qn_buf_str(&m->store, one, &e) < 0 ? -1 : qn_buf_u8(&m->store, 0, &e), e);
}

static void numbers(struct made *m, uint32_t tag, const uint32_t *list, uint32_t n)
{
    struct qn_err e;
    while (m->store.n % 4)
        qn_ok(qn_buf_u8(&m->store, 0, &e), e);
    entry(m, tag, 4, n);
    for (uint32_t i = 0; i < n; i++)
        be(&m->store, list[i]);
}

static void header(struct made *m, struct qn_buf *out)
{
    struct qn_err e;
    be(out, m->entries);
    be(out, (uint32_t)m->store.n);
    qn_ok(qn_buf_str(out, qn_buf_view(&m->index), &e), e);
    qn_ok(qn_buf_str(out, qn_buf_view(&m->store), &e), e);
    qn_buf_fini(&m->index);
    qn_buf_fini(&m->store);
}

#define MADE                                                                                                           \
    {                                                                                                                  \
        .index = {.max = 65536}, .store = {.max = 65536 }                                                              \
    }

static void nginx(struct qn_buf *out)
{
    struct made m = MADE;
    text(&m, QN_RPM_NAME, "nginx");
    text(&m, QN_RPM_VERSION, "1.20");
    text(&m, QN_RPM_RELEASE, "14.el9");
    numbers(&m, QN_RPM_EPOCH, (const uint32_t[]){2}, 1);
    text(&m, QN_RPM_ARCH, "x86_64");
    text(&m, QN_RPM_SOURCE, "nginx-core-1.20-14.el9.src.rpm");
    texts(&m, QN_RPM_PROVIDES, "webserver,nginx");
    texts(&m, QN_RPM_REQUIRES, "/bin/sh,coreutils,libc.so.6()(64bit),rpmlib(X),(a(x86-64) >= 1 or b if c)");
    numbers(&m, QN_RPM_REQUIRE_FLAGS, (const uint32_t[]){0, 1u << 10, 1u << 14, 1u << 24, 0}, 5);
    texts(&m, QN_RPM_BASENAMES, "nginx,LICENSE");
    texts(&m, QN_RPM_DIRNAMES, "/usr/sbin/,/usr/share/licenses/nginx/");
    numbers(&m, QN_RPM_DIR_INDEXES, (const uint32_t[]){0, 1}, 2);
    header(&m, out);
}

static void tool(struct qn_buf *out)
{
    struct made m = MADE;
    text(&m, QN_RPM_NAME, "secretive-tool");
    text(&m, QN_RPM_VERSION, "1");
    text(&m, QN_RPM_RELEASE, "1");
    text(&m, QN_RPM_ARCH, "noarch");
    texts(&m, QN_RPM_OLD_FILENAMES, "/usr/bin/tool,/usr/share/licenses/tool");
    header(&m, out);
}

static void sql(sqlite3 *db, const char *text)
{
    ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text, sqlite3_errmsg(db));
}

static void row(sqlite3 *db, int number, const struct qn_buf *blob, const char *name)
{
    sqlite3_stmt *st;
    char text[200];
    ck_assert_int_eq(sqlite3_prepare_v2(db, "INSERT INTO Packages VALUES(?,?)", -1, &st, NULL), SQLITE_OK);
    sqlite3_bind_int(st, 1, number);
    sqlite3_bind_blob(st, 2, blob->p, (int)blob->n, SQLITE_TRANSIENT);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_DONE);
    sqlite3_finalize(st);
    snprintf(text, sizeof text, "INSERT INTO Name VALUES('%s',%d,0)", name, number);
    sql(db, text);
}

static void fill(sqlite3 *db)
{
    struct qn_buf a = {.max = 65536}, b = {.max = 65536};
    nginx(&a);
    tool(&b);
    sql(db, "CREATE TABLE Packages(hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)");
    sql(db, "CREATE TABLE Name(key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)");
    sql(db, "CREATE INDEX Name_key_idx ON Name(key ASC); CREATE INDEX Name_hnum_idx ON Name(hnum ASC)");
    row(db, 1, &a, "nginx");
    row(db, 7, &b, "secretive-tool");
    qn_buf_fini(&a);
    qn_buf_fini(&b);
}

static void database(struct qn_buf *out)
{
    sqlite3 *db;
    sqlite3_int64 n;
    struct qn_err e;
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    fill(db);
    unsigned char *p = sqlite3_serialize(db, "main", &n, 0);
    qn_ok(qn_buf_put(out, p, (size_t)n, &e), e);
    sqlite3_free(p);
    sqlite3_close(db);
}

static void layer_bytes(struct qn_buf *layer, const char *path, const struct qn_buf *bytes)
{
    struct qn_err e;
    qn_ok(qn_buf_printf(layer, &e, "%s bytes=", path), e);
    for (size_t i = 0; i < bytes->n; i++)
        qn_ok(qn_buf_printf(layer, &e, "%%%02X", (unsigned char)bytes->p[i]), e);
    qn_ok(qn_buf_c(layer, "\n", &e), e);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */
START_TEST(headers)
{
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_rpm_header h;
    struct qn_err e;
    struct qn_str s;
    uint32_t n;

    nginx(&b);
    qn_ok(qn_rpm_header_parse(qn_buf_view(&b), &h, &e), e);
    qn_is(qn_rpm_string(&h, QN_RPM_NAME), "nginx");
    qn_is(qn_rpm_string(&h, 9999), "");
    ck_assert(qn_rpm_number(&h, QN_RPM_EPOCH, 0, &n) && n == 2);
    ck_assert(!qn_rpm_number(&h, QN_RPM_EPOCH, 1, &n) && !qn_rpm_number(&h, QN_RPM_NAME, 0, &n));
    struct qn_rpm_strings it = qn_rpm_strings(&h, QN_RPM_BASENAMES);
    ck_assert(qn_rpm_strings_next(&it, &s));
    qn_is(s, "nginx");
    ck_assert(qn_rpm_strings_next(&it, &s) && !qn_rpm_strings_next(&it, &s));
    for (size_t i = 0; i < b.n; i++)
        qn_fails(qn_rpm_header_parse(qn_str_head(qn_buf_view(&b), i), &h, &e), e, QN_E_MALFORMED);
    b.p[8 + 11] = 127; /* the first text's place */
    b.p[8 + 10] = 127;
    qn_fails(qn_rpm_header_parse(qn_buf_view(&b), &h, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(packages)
{
    qn_auto_buf struct qn_buf db = {.max = 1u << 20}, layer = {.max = 8u << 20};
    auto_fixture f = {0};
    struct qn_err e;

    database(&db);
    qn_ok(qn_buf_c(&layer,
                   "usr/sbin/nginx elf\nusr/bin/tool elf\nusr/share/licenses/nginx/LICENSE text=l\n"
                   "var/lib/rpm -> ../../usr/lib/sysimage/rpm\nusr/lib/os-release text=ID=rhel\\nVERSION_ID=9\\n\n",
                   &e),
          e);
    layer_bytes(&layer, "usr/lib/sysimage/rpm/rpmdb.sqlite", &db);
    fixture_layer(&f, layer.p);
    fixture_image(&f, "");
    ck_assert(!f.image.db.rpm);
    ck_assert_uint_eq(f.image.package_count, 2);
    const struct qn_package *p = &f.image.package[0];
    qn_is(p->purl, "pkg:rpm/rhel/nginx@1.20-14.el9?arch=x86_64&epoch=2&distro=rhel-9");
    qn_is(p->source, "nginx-core");
    qn_is(p->source_version, "1.20-14.el9");
    static const char *const needs[] = {"/bin/sh", "libc.so.6()(64bit)", "a(x86-64)", "b", "c"};
    ck_assert_uint_eq(p->depend_count, QN_ARRAY_LEN(needs));
    for (size_t i = 0; i < QN_ARRAY_LEN(needs); i++)
        qn_is(p->depends[i].name, needs[i]);
    ck_assert_uint_eq(p->depends[2].group, p->depends[3].group);
    ck_assert_uint_eq(p->provide_count, 2);
    ck_assert_str_eq(fixture_owner(&f, "usr/sbin/nginx"), "nginx");
    ck_assert_str_eq(fixture_owner(&f, "usr/share/licenses/nginx/LICENSE"), "nginx");
    ck_assert_str_eq(fixture_owner(&f, "usr/bin/tool"), "secretive-tool");
    ck_assert_uint_eq(f.image.package[1].number, 7);
}
END_TEST

START_TEST(what_is_left)
{
    qn_auto_buf struct qn_buf db = {.max = 1u << 20}, layer = {.max = 8u << 20}, second = {.max = 1u << 20};
    qn_auto_rpmdb struct qn_rpmdb after = {0};
    auto_fixture f = {0};
    struct qn_str head;
    struct qn_err e;
    uint32_t number;

    database(&db);
    qn_ok(qn_buf_c(&layer,
                   "usr/sbin/nginx elf\nusr/bin/tool elf\nvar/lib/rpm/rpmdb.sqlite-shm text=x\n"
                   "var/lib/rpmmanifest/container-manifest-2 "
                   "text=nginx\\t1\\nsecretive-tool\\t2\\nother\\t3\\n\n",
                   &e),
          e);
    layer_bytes(&layer, "var/lib/rpm/rpmdb.sqlite", &db);
    fixture_make(&f, layer.p, "", ALL_OFF);
    fixture_remove(&f, QN_RULE_caches, "usr/bin/tool");
    qn_ok(qn_plan_check(&f.plan, &e), e);
    qn_ok(qn_plan_databases(&f.plan, &e), e);
    struct qn_str text = fixture_text(&f, "var/lib/rpm/rpmdb.sqlite");
    ck_assert(qn_str_find(text, QN_STR("secretive")) < 0);
    qn_ok(qn_rpmdb_open(text, QN_STR(""), &after, &e), e);
    ck_assert_int_eq(qn_rpmdb_next(&after, &number, &head, &e), 1);
    ck_assert_uint_eq(number, 1);
    ck_assert_int_eq(qn_rpmdb_next(&after, &number, &head, &e), 0);
    qn_is(fixture_text(&f, "var/lib/rpmmanifest/container-manifest-2"), "nginx\t1\nother\t3\n");
    ck_assert(fixture_removed(&f, "var/lib/rpm/rpmdb.sqlite-shm"));
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_caches, "var/lib/rpm/rpmdb.sqlite"));
    /* The same bytes when it is done again. */
    qn_auto_rpmdb struct qn_rpmdb again = {0};
    qn_ok(qn_rpmdb_open(qn_buf_view(&db), QN_STR(""), &again, &e), e);
    qn_ok(qn_rpmdb_remove(&again, 7, &e), e);
    qn_ok(qn_rpmdb_print(&again, &second, &e), e);
    ck_assert(qn_str_eq(qn_buf_view(&second), text));
    fixture_verified(&f);
}
END_TEST

static void read_file(const char *dir, const char *name, struct qn_buf *out)
{
    char path[256], chunk[4096];
    struct qn_err e;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        qn_ok(qn_buf_put(out, chunk, n, &e), e);
    fclose(f);
}

START_TEST(logs)
{
    qn_auto_buf struct qn_buf file = {.max = 1u << 20}, wal = {.max = 1u << 20}, merged = {.max = 1u << 20};
    qn_auto_rpmdb struct qn_rpmdb d = {0};
    char dir[] = "/tmp/qn-rpm-XXXXXX", path[128];
    struct qn_str head;
    struct qn_err e;
    sqlite3 *db;
    uint32_t number;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/db", dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sql(db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE x(y)");
    fill(db);
    read_file(dir, "db", &file);
    read_file(dir, "db-wal", &wal);
    sqlite3_close(db);
    unlink(path);
    rmdir(dir);
    /* Without its log it has no packages. */
    ck_assert_int_ne(qn_rpmdb_open(qn_buf_view(&file), QN_STR(""), &d, &e), 0);
    qn_ok(qn_rpmdb_open(qn_buf_view(&file), qn_buf_view(&wal), &d, &e), e);
    ck_assert_int_eq(qn_rpmdb_next(&d, &number, &head, &e), 1);
    ck_assert_int_eq(qn_rpmdb_next(&d, &number, &head, &e), 1);
    ck_assert_int_eq(qn_rpmdb_next(&d, &number, &head, &e), 0);
    /* A log that breaks off, or was changed, counts up to its last good commit. */
    for (size_t n = 0; n < wal.n; n += 97) {
        qn_buf_clear(&merged);
        qn_ok(qn_sqlite_merge(qn_buf_view(&file), qn_str_head(qn_buf_view(&wal), n), &merged, &e), e);
    }
    wal.p[60] ^= 1;
    qn_buf_clear(&merged);
    qn_ok(qn_sqlite_merge(qn_buf_view(&file), qn_buf_view(&wal), &merged, &e), e);
    ck_assert(qn_str_eq(qn_buf_view(&merged), qn_buf_view(&file)));
}
END_TEST

START_TEST(what_cannot_be_read)
{
    static const char *const layers[] = {"var/lib/rpm/rpmdb.sqlite text=nonsense\n", "var/lib/rpm/Packages text=x\n",
                                         "usr/lib/sysimage/rpm/Packages.db text=x\n",
                                         "var/lib/rpmmanifest/container-manifest-2 text=x\n"};
    for (size_t i = 0; i < QN_ARRAY_LEN(layers); i++) {
        auto_fixture f = {0};
        qn_auto_free char *text = qn_xasprintf("%susr/bin/rpm elf\netc/yum.conf text=x\n", layers[i]);
        fixture_make(&f, text, "", "");
        ck_assert(f.image.db.rpm);
        ck_assert_uint_eq(f.image.package_count, 0);
        ck_assert(!fixture_removed(&f, "usr/bin/rpm") && !fixture_removed(&f, "etc/yum.conf"));
        ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-4.3", "rpm"));
        fixture_verified(&f);
    }
    /* Cut anywhere, it is an error or a database, nothing worse. */
    qn_auto_buf struct qn_buf db = {.max = 1u << 20};
    database(&db);
    for (size_t n = 0; n < db.n; n += 509) {
        qn_auto_rpmdb struct qn_rpmdb d = {0};
        struct qn_str head;
        struct qn_err e;
        uint32_t number;
        if (qn_rpmdb_open(qn_str_head(qn_buf_view(&db), n), QN_STR(""), &d, &e) == 0)
            while (qn_rpmdb_next(&d, &number, &head, &e) > 0)
                continue;
    }
}
END_TEST

START_TEST(managers)
{
    qn_auto_buf struct qn_buf db = {.max = 1u << 20}, layer = {.max = 8u << 20};
    auto_fixture f = {0};
    struct qn_err e;

    database(&db);
    qn_ok(qn_buf_c(&layer,
                   "usr/sbin/nginx elf\nusr/bin/tool elf\netc/yum.repos.d/x.repo text=x\netc/dnf/dnf.conf text=x\n"
                   "usr/lib/rpm/macros text=x\nvar/lib/dnf/history.sqlite text=x\nvar/lib/rpm/.rpm.lock text=\n",
                   &e),
          e);
    layer_bytes(&layer, "var/lib/rpm/rpmdb.sqlite", &db);
    fixture_make(&f, layer.p, "'Cmd':['nginx']", "");
    ck_assert(fixture_removed(&f, "etc/yum.repos.d") && fixture_removed(&f, "etc/dnf/dnf.conf") &&
              fixture_removed(&f, "usr/lib/rpm") && fixture_removed(&f, "var/lib/dnf") &&
              fixture_removed(&f, "var/lib/rpm/.rpm.lock"));
    ck_assert(!fixture_removed(&f, "var/lib/rpm/rpmdb.sqlite"));
    fixture_verified(&f);
}
END_TEST

Suite *suite_rpm(void)
{
    const TTest *const tests[] = {headers, packages, what_is_left, logs, what_cannot_be_read, managers};
    return qn_suite("rpm", tests, QN_ARRAY_LEN(tests));
}
