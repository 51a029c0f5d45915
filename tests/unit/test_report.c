#include "image_fixture.h"

#include "harden/figures.h"
#include "harden/html.h"
#include "harden/report.h"

static const char *const layer =
    "bin -> usr/bin\nusr/bin/dash 0755 elf import=execve\nusr/bin/sh -> dash\nusr/bin/su 4755 elf\nusr/bin/curl caps "
    "elf\n"
    "usr/bin/python3 elf\nusr/lib/libx.so elf\ntmp/ 0777\napp/run text=#!/bin/sh\\npython3 x\\n\nopt/open 0666 text=1\n"
    "etc/passwd text=root::0:0::/root:/bin/sh\\nu:x:1:1::/:/bin/false\\n\nusr/share/doc/a/copyright text=c\n"
    "usr/share/man/man1/a1 text=1\nusr/share/man/man1/a2 text=1\nusr/share/man/man1/a3 text=1\nusr/share/man/man1/a4 "
    "text=1\n"
    "usr/share/man/man1/a5 text=1\nusr/share/man/man1/a6 text=1\nusr/share/man/man1/a7 text=1\nusr/share/man/man1/a8 "
    "text=1\n"
    "usr/share/man/man1/a9 text=1\nusr/share/man/man1/b1 text=1\nusr/share/man/man1/b2 text=1\nusr/share/man/de/x "
    "text=1\n"
    "usr/share/info/one text=1\n" OS_DEBIAN "var/lib/dpkg/status text=" DPKG_STATUS("dash", "") DPKG_STATUS("curl", "")
        DPKG_STATUS("su",
                    "") "\nvar/lib/dpkg/info/dash.list text=/usr/bin/dash\\n/usr/bin/sh\\n/usr/share/man/man1/a1\\n\n"
                        "var/lib/dpkg/info/curl.list text=/usr/bin/curl\\n\nvar/lib/dpkg/info/su.list "
                        "text=/usr/bin/su\\n/usr/bin/python3\\n\n";
static const char *const config = "'Entrypoint':['/app/run'],'Env':['PATH=/usr/bin:/bin:.','DB_PASSWORD=hunter2']";

static json_t *report(struct fixture *f, const char *policy)
{
    struct qn_err e;

    fixture_make(f, layer, config, policy);
    json_t *r = qn_report_plan(&f->plan, &e);
    ck_assert_msg(r, "%s", e.msg);
    return r;
}

static const char *text(const json_t *j)
{
    const char *s = json_string_value(j);
    return s ? s : "";
}

static json_t *rule(const json_t *r, const char *name)
{
    json_t *o;
    size_t i;
    json_array_foreach (json_object_get(r, "rules"), i, o) {
        if (strcmp(text(json_object_get(o, "rule")), name) == 0)
            return o;
    }
    ck_abort_msg("no rule %s", name);
}

static json_t *by(const json_t *list, const char *key, const char *value)
{
    json_t *o;
    size_t i;
    json_array_foreach (list, i, o) {
        if (strcmp(text(json_object_get(o, key)), value) == 0)
            return o;
    }
    return NULL;
}

START_TEST(keys)
{
    auto_fixture f = {0};
    qn_auto_json json_t *r = report(&f, "");
    static const char *const want[] = {"schema", "platform", "policy",   "before",  "packages",
                                       "rules",  "kept",     "findings", "controls"};
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach (r, key, value) {
        ck_assert_uint_lt(n, QN_ARRAY_LEN(want));
        ck_assert_str_eq(key, want[n++]);
    }
    ck_assert_str_eq(text(json_object_get(r, "schema")), "quench.report.v1");
    ck_assert_str_eq(text(json_object_get(r, "platform")), "linux/amd64");
    json_t *policy = json_object_get(r, "policy");
    ck_assert_str_eq(text(json_object_get(policy, "profile")), "standard");
    ck_assert_str_eq(text(json_object_get(policy, "achieved")), "standard");
    ck_assert_str_eq(text(json_object_get(policy, "use")), "run");
    ck_assert_uint_eq(json_array_size(json_object_get(r, "rules")), QN_RULE_COUNT);
}
END_TEST

START_TEST(figures)
{
    auto_fixture f = {0};
    qn_auto_json json_t *r = report(&f, "");
    static const struct {
        const char *key;
        int value;
    } want[] = {{"compressed_bytes", 0}, {"files", 27},    {"packages", 3}, {"elf", 5},      {"executables", 4},
                {"setuid", 1},           {"file_caps", 1}, {"shells", 1},   {"accounts", 2}, {"world_writable", 2}};
    json_t *before = json_object_get(r, "before");

    for (size_t i = 0; i < QN_ARRAY_LEN(want); i++)
        ck_assert_msg(json_integer_value(json_object_get(before, want[i].key)) == want[i].value, "%s: %d", want[i].key,
                      (int)json_integer_value(json_object_get(before, want[i].key)));
    ck_assert_int_gt((int)json_integer_value(json_object_get(before, "bytes")), 1000);
}
END_TEST

START_TEST(changes)
{
    auto_fixture f = {0};
    qn_auto_json json_t *r = report(&f, LISTS_ONLY);
    json_t *docs = rule(r, "docs"), *list = json_object_get(docs, "changes");

    ck_assert_str_eq(text(json_object_get(docs, "state")), "applied");
    /* A directory of many collapses, a few are told one by one. */
    ck_assert_ptr_nonnull(by(list, "path", "/usr/share/man/** (15)"));
    ck_assert_ptr_nonnull(by(list, "path", "/usr/share/info/one"));
    ck_assert_ptr_null(by(list, "path", "/usr/share/man/man1/a1"));
    json_t *c = by(json_object_get(rule(r, "setuid"), "changes"), "path", "/usr/bin/su");
    ck_assert_str_eq(text(json_object_get(c, "action")), "chmod");
    ck_assert_str_eq(text(json_object_get(c, "from")), "4755");
    ck_assert_str_eq(text(json_object_get(c, "to")), "0755");
    ck_assert_str_eq(text(json_object_get(c, "package")), "su");
    ck_assert(*text(json_object_get(c, "because")));
    c = by(json_object_get(rule(r, "config"), "changes"), "path", "config.Env.PATH");
    ck_assert_str_eq(text(json_object_get(c, "to")), "/usr/bin:/bin");
    ck_assert_str_eq(text(json_array_get(json_object_get(rule(r, "setuid"), "checks"), 0)), "CIS-4.8");
    json_t *packages = json_object_get(r, "packages");
    ck_assert_str_eq(
        text(json_object_get(by(packages, "purl", "pkg:deb/debian/curl@1.0-1?arch=amd64&distro=debian-12"), "state")),
        "removed");
    ck_assert_str_eq(
        text(json_object_get(by(packages, "purl", "pkg:deb/debian/dash@1.0-1?arch=amd64&distro=debian-12"), "state")),
        "partial");
    ck_assert_str_eq(
        text(json_object_get(by(packages, "purl", "pkg:deb/debian/su@1.0-1?arch=amd64&distro=debian-12"), "state")),
        "kept");
}
END_TEST

START_TEST(what_stays)
{
    auto_fixture f = {0}, g = {0};
    qn_auto_json json_t *r = report(&f, "");
    json_t *kept = json_object_get(r, "kept");

    ck_assert_str_eq(text(json_object_get(by(kept, "path", "/usr/bin/dash"), "because")),
                     "it is linked from /usr/bin/sh, because it interprets /app/run, because it is the entrypoint");
    ck_assert_ptr_nonnull(by(kept, "path", "/usr/bin/python3"));
    ck_assert_ptr_null(by(kept, "path", "/usr/bin/curl"));
    ck_assert_ptr_null(by(kept, "path", "/usr/lib/libx.so"));
    qn_auto_json json_t *b = report(&g, "{'use':'build'}");
    ck_assert(strstr(text(json_object_get(by(json_object_get(b, "kept"), "path", "/usr/bin/curl"), "because")),
                     "use: build"));
}
END_TEST

START_TEST(findings_and_controls)
{
    auto_fixture f = {0};
    qn_auto_json json_t *r = report(&f, "{'rules':{'user':'off','setuid':'report'," LISTS_OFF "}}");
    json_t *n = by(json_object_get(r, "findings"), "check", "CIS-DI-0008");

    ck_assert_str_eq(text(json_object_get(n, "where")), "/usr/bin/su");
    ck_assert_str_eq(text(json_object_get(n, "level")), "warn");
    ck_assert(json_is_false(json_object_get(n, "fixed")));
    n = by(json_object_get(r, "findings"), "check", "CIS-DI-0010");
    ck_assert_str_eq(text(json_object_get(n, "where")), "config.Env");
    json_t *controls = json_object_get(r, "controls");
    ck_assert_str_eq(text(json_object_get(by(controls, "id", "4.8"), "status")), "fail");
    ck_assert_str_eq(text(json_object_get(by(controls, "id", "4.10"), "status")), "fail");
    ck_assert_str_eq(text(json_object_get(by(controls, "id", "4.6"), "status")), "fail");
    ck_assert_str_eq(text(json_object_get(by(controls, "id", "4.1.2"), "status")), "fail");
    ck_assert_str_eq(text(json_object_get(by(controls, "id", "4.1.4"), "status")), "fail");
    ck_assert_str_eq(text(json_object_get(by(controls, "id", "4.1.1"), "status")), "manual");
    ck_assert_str_eq(text(json_object_get(rule(r, "setuid"), "state")), "reported");
    ck_assert_str_eq(text(json_object_get(rule(r, "user"), "state")), "off");
    auto_fixture g = {0};
    qn_auto_json json_t *fixed = report(&g, "");
    ck_assert_str_eq(text(json_object_get(by(json_object_get(fixed, "controls"), "id", "4.8"), "status")), "pass");
    ck_assert_str_eq(text(json_object_get(by(json_object_get(fixed, "controls"), "id", "4.1"), "status")), "pass");
    /* A base image keeps root, and nothing says otherwise. */
    auto_fixture base = {0};
    qn_auto_json json_t *kept = report(&base, "{'use':'build'}");
    ck_assert_str_eq(text(json_object_get(by(json_object_get(kept, "controls"), "id", "4.1"), "status")), "fail");
}
END_TEST

START_TEST(no_secrets)
{
    auto_fixture f = {0};
    qn_auto_json json_t *r = report(&f, "");
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_err e;

    qn_ok(qn_json_print(r, &b, &e), e);
    ck_assert_ptr_null(strstr(b.p, "hunter2"));
    ck_assert_ptr_nonnull(strstr(b.p, "DB_PASSWORD"));
}
END_TEST

START_TEST(backed_off)
{
    auto_fixture f = {0};
    struct qn_err e;

    fixture_make(&f,
                 "usr/lib/libapt.so elf\nusr/bin/apt elf\nopt/app elf needs=libapt.so\nusr/lib/liby.so "
                 "elf\nvar/lib/dpkg/status text=" DPKG_STATUS("apt", "")
                     DPKG_STATUS("app", "") "\nvar/lib/dpkg/info/app.list text=/opt/app\\n\n"
                                            "var/lib/dpkg/info/apt.list text=/usr/lib/libapt.so\\n/usr/bin/apt\\n\n",
                 "'Entrypoint':['/opt/none'],'Volumes':{'/x':{}}", "");
    /* What the check takes back shows up beside what stands. */
    qn_auto_json json_t *r = qn_report_plan(&f.plan, &e);
    json_t *managers = rule(r, "package-managers"), *undone = json_object_get(managers, "backed_off");
    ck_assert_str_eq(text(json_object_get(managers, "state")), "applied");
    ck_assert_ptr_nonnull(by(json_object_get(managers, "changes"), "path", "/usr/bin/apt"));
    ck_assert_ptr_null(by(json_object_get(managers, "changes"), "path", "/usr/lib/libapt.so"));
    ck_assert_str_eq(text(json_object_get(by(undone, "path", "/usr/lib/libapt.so"), "because")),
                     "backed off: /opt/app needs it");
    json_t *user = rule(r, "user");
    ck_assert_str_eq(text(json_object_get(user, "state")), "backed-off");
    ck_assert(strstr(text(json_object_get(user, "because")), "VOLUME") ||
              strstr(text(json_object_get(user, "because")), "not in the image"));
}
END_TEST

START_TEST(remove_lists_of_rules_that_are_off)
{
    auto_fixture f = {0};
    struct qn_err e;

    fixture_make(&f, "x/y text=1\n", "", "{'remove':{'paths':['x']},'rules':{'debris':'off','user':'off'}}");
    qn_auto_json json_t *r = qn_report_plan(&f.plan, &e);
    ck_assert_str_eq(text(json_object_get(rule(r, "debris"), "state")), "applied");
    ck_assert_str_eq(text(json_object_get(rule(r, "docs"), "state")), "nothing-to-do");
}
END_TEST

START_TEST(many_changes)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 64u << 20};
    struct qn_err e;

    /* Reasons alternate: nothing collapses, and what is told ends somewhere. */
    for (int i = 0; i < 45000; i++)
        qn_ok(qn_buf_printf(&b, &e, "d/%d text=1\n", i), e);
    fixture_make(&f, b.p, "", ALL_OFF);
    f.plan.rule = QN_RULE_docs;
    for (uint32_t i = 2; i < f.image.tree.count; i++)
        qn_ok(qn_plan_remove(&f.plan, i, i % 2 ? "one" : "other", &e), e);
    qn_auto_json json_t *r = qn_report_plan(&f.plan, &e);
    ck_assert(json_is_true(json_object_get(r, "truncated")));
    ck_assert_uint_eq(json_array_size(json_object_get(rule(r, "docs"), "changes")), 40000);
}
END_TEST

/* The page of a report that holds what strangers would like to write into it. */
START_TEST(page_of_strangers)
{
    static const char evil[] = "\"><script>x</script><!-- ' ` & \xe2\x80\xae"
                               "gnp.exe\xe2\x80\x8f \xe2\x81\xa6 \xe2\x80\xa6 \x1b[31m";
    static const char seen[] = "&#34;&#62;&#60;script&#62;x&#60;/script&#62;&#60;!-- &#39; &#96; &#38; &#65533;gnp.exe"
                               "&#65533; &#65533; \xe2\x80\xa6 &#65533;[31m";
    static const char *const lists[] = {"findings", "kept", "packages", "layers", "controls", "verification"};
    static const char *const keys_of[] = {"check", "path", "purl", "source", "id", "detail"};
    qn_auto_json json_t *reports = json_array(), *report = json_object(), *rules = json_array(), *one = json_object(),
                        *change = json_object();
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    size_t places = 0;
    struct qn_err e;

    json_object_set_new(report, "platform", json_string(evil));
    json_object_set_new(one, "rule", json_string(evil));
    json_object_set_new(one, "because", json_string(evil));
    json_object_set_new(change, "path", json_string(evil));
    json_object_set_new(one, "changes", json_pack("[O]", change));
    json_array_append(rules, one);
    json_object_set(report, "rules", rules);
    for (size_t i = 0; i < QN_ARRAY_LEN(lists); i++)
        json_object_set_new(report, lists[i], json_pack("[{s:s}]", keys_of[i], evil));
    json_array_append(reports, report);
    qn_ok(qn_report_html(reports, &b, &e), e);
    qn_ok(qn_buf_put(&b, "", 1, &e), e);
    ck_assert_ptr_null(strstr(b.p, "<script"));
    ck_assert_ptr_null(strstr(b.p, "<!--"));
    for (const char *at = b.p; (at = strstr(at, seen)); at++)
        places++;
    ck_assert_uint_eq(places, 4 + QN_ARRAY_LEN(lists));
    /* A page that does not fit is an error, not half a page. */
    qn_auto_buf struct qn_buf small = {.max = 1000};
    qn_fails(qn_report_html(reports, &small, &e), e, QN_E_LIMIT);
}
END_TEST

Suite *suite_report(void)
{
    const TTest *const tests[] = {keys,
                                  figures,
                                  changes,
                                  what_stays,
                                  findings_and_controls,
                                  no_secrets,
                                  backed_off,
                                  remove_lists_of_rules_that_are_off,
                                  many_changes,
                                  page_of_strangers};
    return qn_suite("report", tests, QN_ARRAY_LEN(tests));
}
