#include "image_fixture.h"

#include "common/tree_text.h"

#include "base/fd.h"
#include "formats/deflate.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void tar_of(const char *text, struct qn_buf *out)
{
    struct qn_err e;
    qn_ok(tree_text_tar(qn_str_c(text), out, &e), e);
}

static const struct qn_entry *at(const struct fixture *f, const char *path)
{
    return f->image.tree.node[fixture_node(f, path)].data;
}

START_TEST(kinds_of_content)
{
    auto_fixture f = {0};

    fixture_layer(&f, "bin/app elf\nbin/tool.sh text=#!/bin/sh\\necho\nbin/py text=#! /usr/bin/python3 -u\\n\n"
                      "app/main.py text=import curl\napp/data.bin text=curl\napp/config.json text={}\n"
                      "etc/anything text=word\netc/binary text=a\\0b\nlib/notelf text=\\177ELF\nbroken text=\x7f"
                      "ELFgarbage\nempty text=");
    fixture_image(&f, "");
    ck_assert_int_eq(at(&f, "bin/app")->content, QN_ELF);
    ck_assert_int_eq(at(&f, "bin/tool.sh")->content, QN_SCRIPT);
    ck_assert(at(&f, "bin/tool.sh")->captured);
    qn_is(at(&f, "bin/py")->script.interpreter, "/usr/bin/python3");
    qn_is(at(&f, "bin/py")->script.argument, "-u");
    ck_assert_int_eq(at(&f, "app/main.py")->content, QN_TEXT);
    ck_assert(!at(&f, "app/main.py")->captured);
    ck_assert(qn_mentions_has(&at(&f, "app/main.py")->mentions, qn_tool_find(QN_STR("curl"))));
    ck_assert_int_eq(at(&f, "app/data.bin")->content, QN_OTHER);
    ck_assert_int_eq(at(&f, "app/config.json")->content, QN_TEXT);
    ck_assert_int_eq(at(&f, "etc/anything")->content, QN_TEXT);
    ck_assert(at(&f, "etc/anything")->captured);
    ck_assert_int_eq(at(&f, "etc/binary")->content, QN_OTHER);
    ck_assert(at(&f, "etc/binary")->captured);
    ck_assert_int_eq(at(&f, "lib/notelf")->content, QN_OTHER);
    /* A damaged executable is data, not an error. */
    ck_assert_int_eq(at(&f, "broken")->content, QN_OTHER);
    ck_assert(at(&f, "empty")->captured);
}
END_TEST

START_TEST(what_is_captured)
{
    auto_fixture f = {0};

    fixture_layer(&f, "etc/ssl/big zeros=70000\netc/passwd zeros=70000\nvar/lib/dpkg/info/x.list text=/x\n"
                      "var/lib/dpkg/info/x.postinst text=#!/bin/sh\\n\nvar/lib/dpkg/info/x.shlibs text=x\n"
                      "usr/share/x text=y\nlib/apk/db/installed text=P:x\\nV:1\\n\netc/apk/world text=x\n"
                      "var/lib/dpkg/status text=Package: x\\nVersion: 1\\n\nopt/run.sh text=not marked\n"
                      "etc/elf elf\netc/l => etc/passwd");
    fixture_image(&f, "");
    ck_assert(!at(&f, "etc/ssl/big")->captured);
    ck_assert(at(&f, "etc/passwd")->captured);
    ck_assert(at(&f, "var/lib/dpkg/info/x.list")->captured);
    ck_assert(!at(&f, "var/lib/dpkg/info/x.shlibs")->captured);
    ck_assert(!at(&f, "usr/share/x")->captured);
    ck_assert(at(&f, "lib/apk/db/installed")->captured);
    ck_assert(at(&f, "var/lib/dpkg/status")->captured);
    ck_assert(at(&f, "opt/run.sh")->captured);
    ck_assert(!at(&f, "etc/elf")->captured);
    struct qn_str text;
    ck_assert(qn_image_text(&f.image, QN_STR("/etc/l"), &text));
    ck_assert_uint_eq(text.n, 70000);
}
END_TEST

START_TEST(large_scripts_are_looked_at)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 16u << 20};
    struct qn_err e;

    /* A bundle of an application: too large to keep, not to read. */
    qn_ok(qn_buf_c(&b, "app/cli text=#!/usr/bin/env node\\nspawn('/usr/bin/wget')\\n", &e), e);
    while (b.n < 1500000)
        qn_ok(qn_buf_c(&b, "x = 12345678901234567890;\\n", &e), e);
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    const struct qn_entry *n = at(&f, "app/cli");
    ck_assert_int_eq(n->content, QN_SCRIPT);
    ck_assert(!n->captured);
    qn_is(n->script.program, "node");
    ck_assert(qn_mentions_has(&n->mentions, qn_tool_find(QN_STR("wget"))));
}
END_TEST

static bool says(void (*look)(struct qn_str, struct qn_mentions *), const char *text, const char *tool)
{
    struct qn_mentions m = {{0, 0}};
    look(qn_str_c(text), &m);
    return qn_mentions_has(&m, qn_tool_find(qn_str_c(tool)));
}

static void settings_text(struct qn_str text, struct qn_mentions *m)
{
    qn_mentions_text(text, qn_comments_of(QN_STR("etc/php/php.ini")), m);
}

static void script_text(struct qn_str text, struct qn_mentions *m)
{
    qn_mentions_text(text, qn_comments_of(QN_STR("app/x.js")), m);
}

static void any_text(struct qn_str text, struct qn_mentions *m)
{
    qn_mentions_text(text, qn_comments_of(QN_STR("app/x")), m);
}

START_TEST(mentions)
{
    ck_assert(!says(settings_text, "; chroot(2) is for root\n;curl = x", "chroot"));
    ck_assert(says(any_text, "; chroot x", "chroot"));
    ck_assert(!says(script_text, "  // uses curl", "curl"));
    ck_assert(says(settings_text, "// curl", "curl"));
    ck_assert(!says(any_text, "open('/etc/passwd')", "passwd"));
    ck_assert(says(any_text, "run('/usr/bin/passwd')", "passwd"));
    ck_assert(says(any_text, "run curl now", "curl"));
    ck_assert(says(any_text, "/usr/bin/curl", "curl"));
    ck_assert(says(any_text, "we use curl.", "curl"));
    ck_assert(says(any_text, "a=curl", "curl"));
    ck_assert(says(any_text, "#!/usr/bin/curl\n#curl x\n", "curl"));
    ck_assert(!says(any_text, "# curl is used elsewhere\n  ## curl\n#\tcurl", "curl"));
    ck_assert(!says(any_text, "libcurl curl-config curl_x curl.h", "curl"));
    ck_assert(says(any_text, "apt-get install", "apt-get"));
    ck_assert(!says(any_text, "apt-get install", "apt"));
    /* Everyday words are programs only where they look like it. */
    ck_assert(!says(any_text, "the host is in the init service at mount time", "host"));
    ck_assert(!says(any_text, "the host is in the init service at mount time", "init"));
    ck_assert(!says(any_text, "the host is in the init service at mount time", "mount"));
    ck_assert(says(any_text, "[\"ip\", \"addr\"]", "ip"));
    ck_assert(says(any_text, "exec('ping -c1 x')", "ping"));
    ck_assert(says(any_text, "/sbin/init", "init"));
    ck_assert(says(qn_mentions_string, "/usr/bin/ssh", "ssh"));
    ck_assert(says(qn_mentions_string, "ssh", "ssh"));
    ck_assert(says(qn_mentions_string, "ssh -p 22", "ssh"));
    ck_assert(says(qn_mentions_string, "exec /usr/bin/ssh $@", "ssh"));
    ck_assert(!says(qn_mentions_string, "an ssh key", "ssh"));
    ck_assert(!says(qn_mentions_string, "host", "host"));
    ck_assert(says(qn_mentions_string, "ip addr", "ip"));
    ck_assert(says(qn_mentions_string, "git", "git"));
    ck_assert(says(qn_mentions_blob, "xxnftablescurlzz", "curl"));
    /* Strings of static executables have no ends: short names count too, but not those of package managers. */
    ck_assert(says(qn_mentions_blob, "xxnftyy", "nft"));
    ck_assert(!says(qn_mentions_blob, "adapter", "apt"));
    ck_assert(says(qn_mentions_blob, "run apt now", "apt"));
    ck_assert_int_eq(qn_tool_find(QN_STR("")), -1);
    ck_assert_int_eq(qn_tool_find(QN_STR("cur")), -1);
    ck_assert(qn_is_shell_name(QN_STR("dash")) && !qn_is_shell_name(QN_STR("das")));
}
END_TEST

static int gz_sink(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_buf_put(ctx, p, n, e);
}

START_TEST(compressed_alike)
{
    qn_auto_buf struct qn_buf tar = {.max = 1u << 20}, plain = {0}, gz_facts = {0}, gz = {.max = 1u << 20};
    struct qn_scan_result a, b;
    struct qn_deflate d = {0};
    struct qn_sink sink = {gz_sink, &gz};
    struct qn_err e;

    tar_of("usr/bin/x elf needs=libc.so.6\netc/passwd text=x\\n\nbig zeros=300000\nz elf", &tar);
    qn_ok(qn_deflate_init(&d, QN_GZIP, &e), e);
    qn_ok(qn_deflate_feed(&d, tar.p, tar.n, &sink, &e), e);
    qn_ok(qn_deflate_finish(&d, &sink, &e), e);
    qn_deflate_fini(&d);
    qn_ok(fixture_scan(qn_buf_view(&tar), QN_PLAIN, &QN_LIMITS_DEFAULT, &plain, &a, &e), e);
    qn_ok(fixture_scan(qn_buf_view(&gz), QN_GZIP, &QN_LIMITS_DEFAULT, &gz_facts, &b, &e), e);
    ck_assert(qn_str_eq(qn_buf_view(&plain), qn_buf_view(&gz_facts)));
    ck_assert(a.entries == b.entries && a.tar_size == tar.n && qn_digest_eq(&a.diff_id, &b.diff_id));
}
END_TEST

/* The pieces in which bytes arrive must not matter: windows of the spill file and of the buffer are used in turn. */
START_TEST(any_chunks)
{
    qn_auto_buf struct qn_buf tar = {.max = 4u << 20}, want = {0};
    struct qn_err e;

    tar_of("a elf names=curl import=system\nb zeros=260000\nc text=#!/bin/sh\\nx\nd zeros=1000000\ne elf needs=x\n"
           "etc/f text=word",
           &tar);
    qn_ok(fixture_scan(qn_buf_view(&tar), QN_PLAIN, &QN_LIMITS_DEFAULT, &want, NULL, &e), e);
    for (size_t step = 511; step < 2000000; step = step * 7 + 1) {
        qn_auto_scan struct qn_scan scan = {0};
        qn_auto_close int spill = qn_fd_memfile("spill", &e), facts = qn_fd_memfile("facts", &e);
        qn_auto_buf struct qn_buf got = {.max = 4u << 20}, copy = {.max = 4u << 20};
        struct qn_scan_options opt = {.limits = QN_LIMITS_DEFAULT, .spill = spill, .facts = facts, .diff_id = true};
        struct qn_scan_result r;
        qn_ok(qn_scan_init(&scan, &opt, &e), e);
        for (size_t i = 0; i < tar.n; i += step)
            qn_ok(qn_scan_feed(&scan, tar.p + i, QN_MIN(step, tar.n - i), &e), e);
        qn_ok(qn_scan_finish(&scan, &r, &e), e);
        ck_assert_uint_eq(r.facts_size, want.n);
        ck_assert_int_eq(lseek(facts, 0, SEEK_SET), 0);
        qn_ok(qn_fd_read_all(facts, &got, &e), e);
        ck_assert(qn_str_eq(qn_buf_view(&got), qn_buf_view(&want)));
        /* The spill is the archive. */
        ck_assert_int_eq(lseek(spill, 0, SEEK_SET), 0);
        qn_ok(qn_fd_read_all(spill, &copy, &e), e);
        ck_assert(qn_str_eq(qn_buf_view(&copy), qn_buf_view(&tar)));
    }
}
END_TEST

static void refused(const char *text, const struct qn_limits *limits, enum qn_code code, const char *why)
{
    qn_auto_buf struct qn_buf tar = {.max = 4u << 20};
    struct qn_err e;

    tar_of(text, &tar);
    qn_fails(fixture_scan(qn_buf_view(&tar), QN_PLAIN, limits, NULL, NULL, &e), e, code);
    ck_assert_msg(strstr(e.msg, why), "%s instead of %s", e.msg, why);
}

START_TEST(refusals)
{
    struct qn_limits few = QN_LIMITS_DEFAULT, small = QN_LIMITS_DEFAULT;
    struct qn_err e;

    few.layer_entries = 2;
    small.image_size = 2048;
    refused("!bare\na/../../b text=1", &QN_LIMITS_DEFAULT, QN_E_MALFORMED, "climbs");
    refused("a text=1\nb => ../a", &QN_LIMITS_DEFAULT, QN_E_MALFORMED, "hard link");
    refused("a/.wh. text=", &QN_LIMITS_DEFAULT, QN_E_MALFORMED, "whiteout of nothing");
    refused("a/.wh... text=", &QN_LIMITS_DEFAULT, QN_E_MALFORMED, "whiteout of nothing");
    refused("a text=1\nb text=1\nc text=1", &few, QN_E_LIMIT, "entries");
    refused("a zeros=9000", &small, QN_E_LIMIT, "");
    qn_fails(fixture_scan(QN_STR("not a tar, but longer than a block is not needed"), QN_PLAIN, &QN_LIMITS_DEFAULT,
                          NULL, NULL, &e),
             e, QN_E_MALFORMED);
    qn_fails(fixture_scan(QN_STR("plain"), QN_GZIP, &QN_LIMITS_DEFAULT, NULL, NULL, &e), e, QN_E_MALFORMED);
}
END_TEST

START_TEST(full_disk)
{
    qn_auto_buf struct qn_buf tar = {.max = 4u << 20};
    qn_auto_scan struct qn_scan scan = {0};
    qn_auto_close int facts = -1, full = open("/dev/full", O_RDWR);
    struct qn_err e;

    facts = qn_fd_memfile("facts", &e);
    tar_of("a zeros=600000", &tar);
    struct qn_scan_options opt = {.limits = QN_LIMITS_DEFAULT, .spill = full, .facts = facts};
    qn_ok(qn_scan_init(&scan, &opt, &e), e);
    qn_fails(qn_scan_feed(&scan, tar.p, tar.n, &e), e, QN_E_NO_SPACE);
}
END_TEST

Suite *suite_scan(void)
{
    const TTest *const tests[] = {kinds_of_content, what_is_captured, large_scripts_are_looked_at,
                                  mentions,         compressed_alike, any_chunks,
                                  refusals,         full_disk};
    return qn_suite("scan", tests, QN_ARRAY_LEN(tests));
}
