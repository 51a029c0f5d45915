/* What the commands that only look answer: explain, compare, the verifier alone. */
#include "harden/compare.h"
#include "harden/explain.h"
#include "image_fixture.h"

static const char system_layer[] = "var/lib/dpkg/status text=" DPKG_STATUS(
    "app", "") "\n"
               "var/lib/dpkg/info/app.list text=/usr/bin/app\\n/usr/share/man/man1/app.1\\n/usr/lib/libapp.so.1\\n\n"
               "usr/share/man/man1/app.1 text=manual\n"
               "usr/lib/libapp.so.1 elf\n"
               "usr/bin/app elf needs=libapp.so.1\n"
               "usr/bin/su 4755 elf\n"
               "bin -> usr/bin\n";

static const char *get(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static json_t *explain(struct fixture *f, const char *what)
{
    struct qn_err e;
    json_t *o = qn_explain(&f->plan, qn_str_c(what), &e);
    ck_assert_msg(o != NULL, "%s: %s", what, e.msg);
    return o;
}

START_TEST(explains_paths)
{
    auto_fixture f = {0};
    struct qn_err e;

    fixture_make(&f, system_layer, "'Cmd':['app']", "");
    qn_auto_json json_t *app = explain(&f, "/bin/app"), *lib = explain(&f, "/usr/lib/libapp.so.1");
    qn_auto_json json_t *man = explain(&f, "/usr/share/man/man1/app.1"), *su = explain(&f, "su");
    qn_auto_json json_t *dir = explain(&f, "/usr");
    /* Through the link, to where the file is. */
    ck_assert_str_eq(get(app, "path"), "/usr/bin/app");
    ck_assert_str_eq(get(app, "state"), "kept");
    ck_assert_str_eq(get(app, "package"), "app");
    ck_assert(strstr(get(app, "because"), "command"));
    /* The chain leads from the library over the program to the command. */
    ck_assert(strstr(get(lib, "reason"), "/usr/bin/app") && strstr(get(lib, "reason"), "command"));
    ck_assert_str_eq(get(man, "state"), "removed");
    ck_assert_str_eq(get(man, "rule"), "docs");
    ck_assert_uint_eq(json_array_size(json_object_get(man, "changes")), 1);
    ck_assert_str_ne(get(su, "state"), "kept");
    ck_assert_str_eq(get(dir, "type"), "directory");
    ck_assert_int_gt(json_integer_value(json_object_get(dir, "below_removed")), 0);
    ck_assert_ptr_null(qn_explain(&f.plan, QN_STR("/no/such"), &e));
    ck_assert_int_eq(e.code, QN_E_NOT_FOUND);
    ck_assert_ptr_null(qn_explain(&f.plan, QN_STR("nothing"), &e));
    ck_assert_int_eq(e.code, QN_E_NOT_FOUND);
}
END_TEST

START_TEST(explains_packages)
{
    auto_fixture f = {0};

    fixture_make(&f, system_layer, "'Cmd':['app']", "");
    qn_auto_json json_t *o = explain(&f, "app");
    ck_assert_str_eq(get(o, "kind"), "package");
    ck_assert_str_eq(get(o, "state"), "partial");
    ck_assert_int_eq(json_integer_value(json_object_get(o, "files")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "removed")), 1);
    ck_assert(strstr(get(o, "because"), "/usr/bin/app") || strstr(get(o, "because"), "libapp"));
    ck_assert_uint_eq(json_array_size(json_object_get(o, "paths")), 2);
}
END_TEST

/* The row of a path, or NULL. */
static const json_t *row(const json_t *diff, const char *list, const char *key, const char *value)
{
    json_t *r;
    size_t i;

    json_array_foreach (json_object_get(diff, list), i, r) {
        if (strcmp(get(r, key), value) == 0)
            return r;
    }
    return NULL;
}

START_TEST(compares)
{
    auto_fixture a = {0}, b = {0};

    fixture_layer(&a, system_layer);
    fixture_policy(&a, "");
    fixture_image(&a, "'Cmd':['app'],'Env':['PATH=/usr/bin','TOKEN=one']");
    fixture_layer(&b, system_layer);
    fixture_layer(&b, "usr/bin/.wh.su text=\n"
                      "usr/share/man/man1/app.1 0600 text=another manual\n"
                      "new text=x\n"
                      "bin -> usr/sbin\n"
                      "var/lib/dpkg/status text=Package: app\\nStatus: install ok installed\\nArchitecture: "
                      "amd64\\nVersion: 2\\n\\n\n");
    fixture_policy(&b, "");
    fixture_image(&b, "'Cmd':['app'],'User':'5','Env':['PATH=/usr/bin','TOKEN=two']");
    qn_auto_json json_t *same = qn_compare_images(&a.image, &a.image), *d = qn_compare_images(&a.image, &b.image);
    ck_assert(json_is_true(json_object_get(same, "equal")));
    ck_assert(json_is_false(json_object_get(d, "equal")));
    ck_assert_str_eq(get(row(d, "files", "path", "/usr/bin/su"), "change"), "removed");
    ck_assert_str_eq(get(row(d, "files", "path", "/new"), "change"), "added");
    const json_t *man = row(d, "files", "path", "/usr/share/man/man1/app.1"), *link = row(d, "files", "path", "/bin");
    ck_assert_str_eq(get(man, "change"), "changed");
    ck_assert(strstr(get(man, "from"), "0644") && strstr(get(man, "to"), "0600"));
    ck_assert(strstr(get(link, "to"), "usr/sbin"));
    ck_assert_ptr_null(row(d, "files", "path", "/usr/bin/app"));
    const json_t *package = row(d, "packages", "package", "app");
    ck_assert(strcmp(get(package, "from"), "1.0-1") == 0 && strcmp(get(package, "to"), "2") == 0);
    ck_assert_str_eq(get(row(d, "config", "key", "User"), "to"), "5");
    /* That it changed, not what it is. */
    const json_t *token = row(d, "config", "key", "Env.TOKEN");
    ck_assert_ptr_nonnull(token);
    ck_assert(!strstr(get(token, "from"), "one\"") && strcmp(get(token, "to"), "two") != 0);
    ck_assert_ptr_null(row(d, "config", "key", "Env.PATH"));
}
END_TEST

static bool alone(const char *layer, const char *config, enum qn_check check)
{
    auto_fixture f = {0};
    struct qn_verdict results[QN_CHECK_COUNT];

    fixture_layer(&f, layer);
    fixture_policy(&f, "");
    fixture_image(&f, config);
    struct qn_verify v = {.before = &f.image, .after = &f.image, .opt = &f.opt, .alone = true};
    (void)qn_verify_all(&v, results);
    return results[check].ok;
}

START_TEST(verifies_alone)
{
    ck_assert(alone("app elf needs=liba.so interp=/ld\nld elf\nlib64/liba.so elf\n", "'Cmd':['/app']", QN_CHECK_needs));
    ck_assert(!alone("app elf needs=liba.so\n", "'Cmd':['/app']", QN_CHECK_needs));
    ck_assert(alone("app elf\n", "'Cmd':['/app']", QN_CHECK_entrypoint));
    ck_assert(!alone("app elf\n", "'Cmd':['/other']", QN_CHECK_entrypoint));
    ck_assert(!alone("app 0700 elf\n", "'Cmd':['/app'],'User':'7'", QN_CHECK_entrypoint));
    ck_assert(!alone("run text=#!/bin/sh\\n\n", "'Cmd':['/run']", QN_CHECK_interpreters));
    ck_assert(!alone("app elf\n", "'Cmd':['/app'],'User':'who'", QN_CHECK_users));
    ck_assert(alone("app elf\n", "'Cmd':['/app'],'User':'7'", QN_CHECK_users));
    ck_assert(!alone("bin/su 4755 elf\napp elf\n", "'Cmd':['/app']", QN_CHECK_privileges));
    ck_assert(!alone("usr/share/man/man1/x.1 text=x\napp elf\n", "'Cmd':['/app']", QN_CHECK_stable));
    ck_assert(!alone("h => nowhere\napp elf\n", "'Cmd':['/app']", QN_CHECK_tar));
}
END_TEST

Suite *suite_look(void);
Suite *suite_look(void)
{
    const TTest *const tests[] = {explains_paths, explains_packages, compares, verifies_alone};
    return qn_suite("look", tests, QN_ARRAY_LEN(tests));
}
