#include "image_fixture.h"

#include "image/words.h"

#include <stdlib.h>

#define LIBC                                                                                                           \
    "lib64/ld-linux-x86-64.so.2 elf soname=ld-linux-x86-64.so.2\nusr/lib/libc.so.6 elf soname=libc.so.6\nlib -> "      \
    "usr/lib\n"
#define TOOLS                                                                                                          \
    "usr/bin/curl elf\nusr/bin/wget elf\nusr/bin/ssh elf\nusr/sbin/ip elf\nusr/bin/chown elf\nusr/bin/apt-get elf\n"   \
    "usr/bin/git elf\n"
/* A database that owns them, so that they are not the application. */
#define OWNER(paths) "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\nvar/lib/dpkg/info/p.list text=" paths "\\n\n"
#define OWNED_TOOLS                                                                                                    \
    "/usr/bin/curl\\n/usr/bin/wget\\n/usr/bin/ssh\\n/usr/sbin/ip\\n/usr/bin/chown\\n/usr/bin/apt-get\\n/usr/bin/"      \
    "git\\n"                                                                                                           \
    "/usr/bin/dash\\n/usr/bin/sh\\n/usr/lib/libc.so.6\\n/usr/bin/env\\n/usr/bin/python3"

static void build(struct fixture *f, const char *layer, const char *config)
{
    fixture_layer(f, layer);
    fixture_image(f, config);
}

static void reaches(const char *layer, const char *config, const char *path, bool want)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_err e;

    build(&f, layer, config);
    qn_ok(qn_image_explain(&f.image, fixture_node(&f, path), &b, &e), e);
    ck_assert_msg(fixture_reached(&f, path) == want, "%s with %s: %s", path, config, b.p);
}

#define SYSTEM                                                                                                         \
    LIBC TOOLS                                                                                                         \
        "bin -> usr/bin\nusr/bin/dash elf needs=libc.so.6\nusr/bin/sh -> dash\nusr/bin/env elf\n" OWNER(OWNED_TOOLS)

START_TEST(entrypoints)
{
    reaches(SYSTEM, "'Entrypoint':['/usr/bin/curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Entrypoint':['/usr/bin/curl']", "usr/bin/wget", false);
    reaches(SYSTEM, "'Cmd':['curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Cmd':['/bin/curl','x']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Entrypoint':['/bin/sh'],'Cmd':['curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Entrypoint':['/bin/sh','-c','exec curl $URL']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Cmd':['/bin/sh','-c','curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Cmd':['sh','-c','x=1;(curl)']", "usr/bin/sh", true);
    reaches(SYSTEM, "'Cmd':['sh','-c','x']", "usr/bin/dash", true);
    reaches(SYSTEM, "'Cmd':['sh','-c','x']", "usr/lib/libc.so.6", true);
    reaches(SYSTEM, "'Cmd':['sh','-c','x']", "lib64/ld-linux-x86-64.so.2", true);
    reaches(SYSTEM, "'Cmd':['./bin/curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Cmd':['bin/curl'],'WorkingDir':'/usr'", "usr/bin/curl", true);
    reaches(SYSTEM, "'Cmd':['curl'],'Env':['PATH=/nowhere']", "usr/bin/curl", false);
    reaches(SYSTEM, "'Cmd':['ip'],'Env':['PATH=/usr/sbin']", "usr/sbin/ip", true);
    reaches(SYSTEM, "'Cmd':['x','--with=/usr/bin/curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Cmd':['tini','--','/usr/bin/curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "", "usr/bin/curl", false);
}
END_TEST

START_TEST(health_checks)
{
    reaches(SYSTEM, "'Healthcheck':{'Test':['CMD','curl','-f']}", "usr/bin/curl", true);
    reaches(SYSTEM, "'Healthcheck':{'Test':['CMD-SHELL','wget -q || exit 1']}", "usr/bin/wget", true);
    reaches(SYSTEM, "'Healthcheck':{'Test':['CMD-SHELL','wget -q || exit 1']}", "usr/bin/dash", true);
    reaches(SYSTEM, "'Healthcheck':{'Test':['CMD-SHELL','x']},'Shell':['/usr/bin/curl']", "usr/bin/curl", true);
    reaches(SYSTEM, "'Healthcheck':{'Test':['NONE']}", "usr/bin/curl", false);
    reaches(SYSTEM, "'Healthcheck':{}", "usr/bin/curl", false);
}
END_TEST

START_TEST(scripts)
{
    static const char *const config = "'Entrypoint':['/e']";

    reaches(SYSTEM "e text=#!/bin/sh\\nexec curl \"$@\"\n", config, "usr/bin/curl", true);
    reaches(SYSTEM "e text=#!/bin/sh\\nexec curl \"$@\"\n", config, "usr/bin/dash", true);
    reaches(SYSTEM "e text=#!/bin/sh\\n# curl would do\\ntrue\n", config, "usr/bin/wget", false);
    reaches(SYSTEM "e text=#!/bin/sh\\n/usr/sbin/ip addr\n", config, "usr/sbin/ip", true);
    reaches(SYSTEM "e text=#!/bin/sh\\nif [ $# -eq 0 ]; then chown x y; fi\n", config, "usr/bin/chown", true);
    reaches(SYSTEM "e text=#!/bin/sh\\n: ${T:-/usr/bin/wget}\n", config, "usr/bin/wget", true);
    reaches(SYSTEM "e text=#!/bin/sh\\n. /opt/lib.sh\nopt/lib.sh text=wget x\n", config, "usr/bin/wget", true);
    reaches(SYSTEM "e text=#!/usr/bin/env sh\\nwget\n", config, "usr/bin/wget", true);
    reaches(SYSTEM "e text=#!/usr/bin/env sh\\nwget\n", config, "usr/bin/env", true);
    reaches(SYSTEM "usr/bin/python3 elf\ne text=#!/usr/bin/env -S python3 -u\\nrun('curl')\n", config,
            "usr/bin/python3", true);
    reaches(SYSTEM "usr/bin/python3 elf\ne text=#!/usr/bin/python3\\nrun(['curl'])\n", config, "usr/bin/curl", true);
    reaches(SYSTEM "usr/bin/python3 elf\ne text=#!/usr/bin/python3\\n# the host and its init\n", config, "usr/sbin/ip",
            false);
    /* Names beside a script. */
    reaches(SYSTEM "opt/x/run text=#!/bin/sh\\n. \"$(dirname \"$0\")/common\"\nopt/x/common text=wget\n"
                   "opt/x/sub/more zeros=3\n",
            "'Cmd':['/opt/x/run']", "opt/x/common", true);
    reaches(SYSTEM "opt/x/run text=#!/bin/sh\\ncat \"${0%/*}/sub/more\"\nopt/x/sub/more zeros=3\n",
            "'Cmd':['/opt/x/run']", "opt/x/sub/more", true);
}
END_TEST

START_TEST(the_application)
{
    /* Nobody owns it: it is why the image is there. */
    reaches(SYSTEM "app/server elf needs=libc.so.6 import=execve names=wget\n", "", "app/server", true);
    reaches(SYSTEM "app/server elf needs=libc.so.6 import=execve names=wget\n", "", "usr/bin/wget", true);
    reaches(SYSTEM "app/server elf needs=libc.so.6 names=wget\n", "", "usr/bin/wget", false);
    reaches(SYSTEM "app/server elf import=system\n", "", "usr/bin/dash", true);
    reaches(SYSTEM "app/server static names=x%20curl%20y\n", "", "usr/bin/curl", true);
    reaches(SYSTEM "app/x.js text=spawn('/usr/bin/ssh')\n", "", "usr/bin/ssh", true);
    /* Programs that call others for the application. */
    reaches(SYSTEM "app/x.js text=spawn('git', ['clone'])\n", "", "usr/bin/git", true);
    /* Tools by name, and leftovers, need a reason. */
    reaches(SYSTEM "usr/local/bin/rsync elf\n", "", "usr/local/bin/rsync", false);
    reaches(SYSTEM "tmp/build elf\n", "", "tmp/build", false);
    reaches(SYSTEM "app/.git/hooks/post text=#!/bin/sh\\nwget\n", "", "app/.git/hooks/post", false);
    reaches(SYSTEM "app/.git/hooks/post text=#!/bin/sh\\nwget\n", "", "usr/bin/wget", false);
    reaches(SYSTEM "app/docker-compose.yml text=cmd: [wget, x]\n", "", "usr/bin/wget", false);
    reaches(SYSTEM "usr/share/x/notes.json text=wget\n", "", "usr/bin/wget", false);
    reaches(SYSTEM "etc/app/conf text=command=/usr/bin/wget\n", "", "usr/bin/wget", true);
}
END_TEST

/* An interpreter's own library names tools that its programs need not; what was added to it counts. */
START_TEST(interpreters_libraries)
{
    auto_fixture f = {0};

    fixture_layer(
        &f, "usr/bin/curl elf\nusr/bin/rsync elf\nusr/bin/socat elf\nbin -> usr/bin\n"
            "var/lib/dpkg/status text=" DPKG_STATUS(
                "tools", "") "\n"
                             "var/lib/dpkg/info/tools.list text=/usr/bin/curl\\n/usr/bin/rsync\\n/usr/bin/socat\\n\n"
                             "usr/local/lib/python3.11/webtool.py text=run('curl x')\\n\n"
                             "usr/local/lib/ruby/3.2.0/x.rb text=system('rsync x')\\n\n"
                             "usr/local/lib/python3.11/site-packages/p.py text=subprocess.run('socat x')\\n\n"
                             "usr/local/bin/python3 elf\napp/a.py text=x\\n\n");
    fixture_image(&f, "'Cmd':['python3','/app/a.py']");
    ck_assert(!fixture_reached(&f, "usr/bin/curl") && !fixture_reached(&f, "usr/bin/rsync"));
    ck_assert(fixture_reached(&f, "usr/bin/socat"));
}
END_TEST

/* Command lines that a program hands to a shell, itself or through exec. */
START_TEST(command_lines)
{
#define COMPILES(words)                                                                                                \
    "usr/bin/cc elf\nusr/sbin/cached elf " words "\nvar/lib/dpkg/status text=" DPKG_STATUS(                            \
        "p", "") "\nvar/lib/dpkg/info/p.list text=/usr/bin/cc\\n/usr/sbin/cached\\n\n"
    reaches(COMPILES("import=execl names=exec%20cc%20-o%20%25o"), "'Cmd':['cached']", "usr/bin/cc", true);
    reaches(COMPILES("import=popen names=cc%20-o%20x"), "'Cmd':['cached']", "usr/bin/cc", true);
    reaches(COMPILES("import=execl names=cc%20-o%20x"), "'Cmd':['cached']", "usr/bin/cc", false);
    reaches(COMPILES("names=exec%20cc%20-o%20x"), "'Cmd':['cached']", "usr/bin/cc", false);
}
END_TEST

START_TEST(busybox)
{
    static const char *const alpine =
        "bin/busybox elf needs=libc.musl-x86_64.so.1 interp=/lib/ld-musl-x86_64.so.1 import=execve,setuid "
        "names=wget,nc,telnet,ftpget,ip,ping,arp,route,traceroute,netstat\nbin/sh -> /bin/busybox\n"
        "usr/bin/wget -> /bin/busybox\nsbin/init -> /bin/busybox\nlib/ld-musl-x86_64.so.1 elf "
        "soname=libc.musl-x86_64.so.1\n"
        "lib/libc.musl-x86_64.so.1 -> ld-musl-x86_64.so.1\nbin/chown -> /bin/busybox\n"
        "lib/apk/db/installed "
        "text=P:busybox\\nV:1\\nA:x86_64\\nF:bin\\nR:busybox\\nF:lib\\nR:ld-musl-x86_64.so.1\\n\\n\n";

    reaches(alpine, "'Cmd':['/bin/sh','-c','app']", "bin/sh", true);
    reaches(alpine, "'Cmd':['/bin/sh','-c','app']", "bin/busybox", true);
    reaches(alpine, "'Cmd':['/bin/sh','-c','app']", "lib/ld-musl-x86_64.so.1", true);
    reaches(alpine, "'Cmd':['/bin/sh','-c','app']", "lib/libc.musl-x86_64.so.1", true);
    /* Its table of names is not a list of what it calls. */
    reaches(alpine, "'Cmd':['/bin/sh','-c','app']", "usr/bin/wget", false);
    reaches(alpine, "'Cmd':['/bin/sh','-c','wget x']", "usr/bin/wget", true);
    reaches(alpine, "'Cmd':['/bin/sh','-c','app']", "sbin/init", false);
}
END_TEST

START_TEST(utility_images)
{
    auto_fixture f = {0};

    build(&f,
          LIBC TOOLS "bin -> usr/bin\nusr/bin/dash elf needs=libc.so.6\nusr/bin/sh -> dash\n"
                     "usr/bin/deb text=#!/bin/sh\\napt-get x\n" OWNER(OWNED_TOOLS "\\n/usr/bin/deb"),
          "'Cmd':['sh']");
    ck_assert(f.image.utility);
    ck_assert(fixture_reached(&f, "usr/bin/curl") && !qn_image_needed(&f.image, fixture_node(&f, "usr/bin/curl")));
    /* Package managers go even there, whatever maintenance scripts say. */
    ck_assert(fixture_reached(&f, "usr/bin/deb") && !fixture_reached(&f, "usr/bin/apt-get"));
    ck_assert(qn_image_needed(&f.image, fixture_node(&f, "usr/bin/dash")));
    auto_fixture g = {0};
    build(&g, SYSTEM, "'Cmd':['sh','-c','x']");
    ck_assert(!g.image.utility);
    ck_assert(!fixture_reached(&g, "usr/bin/curl"));
}
END_TEST

START_TEST(environment)
{
    reaches(SYSTEM "opt/lib/pre.so elf needs=libc.so.6\n", "'Env':['LD_PRELOAD=/opt/lib/pre.so']", "opt/lib/pre.so",
            true);
    reaches(SYSTEM "etc/ld.so.preload text=/usr/bin/wget\n", "", "usr/bin/wget", true);
    reaches(SYSTEM "tmp/state/\n", "'Env':['STATE=/tmp/state']", "tmp/state", true);
    reaches(SYSTEM "tmp/a/\ntmp/b/\n", "'Env':['DIRS=/tmp/a:/tmp/b']", "tmp/b", true);
    reaches(SYSTEM, "'Env':['PATH=/usr/bin']", "usr/bin", false);
    reaches(SYSTEM "srv/\n", "'WorkingDir':'/srv'", "srv", true);
    reaches(SYSTEM "data/\n", "'Volumes':{'/data':{}}", "data", true);
}
END_TEST

START_TEST(keep)
{
    auto_fixture f = {0};

    fixture_layer(&f, SYSTEM "srv/x zeros=1\nsrv/l -> x\n");
    fixture_policy(
        &f, "{'keep':{'paths':['/usr/bin/wg*','srv/l'],'commands':['sh -c \\'curl x\\''],'packages':['nothing']}}");
    fixture_image(&f, "");
    ck_assert(fixture_reached(&f, "usr/bin/wget") && fixture_reached(&f, "usr/bin/curl"));
    ck_assert(fixture_reached(&f, "usr/bin/dash") && fixture_reached(&f, "srv/x"));
    ck_assert(!fixture_reached(&f, "usr/bin/ssh"));
    auto_fixture g = {0};
    fixture_layer(&g, SYSTEM);
    fixture_policy(&g, "{'keep':{'packages':['p*']}}");
    fixture_image(&g, "");
    ck_assert(fixture_reached(&g, "usr/bin/ssh"));
}
END_TEST

START_TEST(explained)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_err e;

    build(&f, SYSTEM "e text=#!/bin/sh\\ncurl\n", "'Entrypoint':['/e']");
    qn_ok(qn_image_explain(&f.image, fixture_node(&f, "usr/lib/libc.so.6"), &b, &e), e);
    ck_assert_str_eq(b.p,
                     "it is needed by /usr/bin/dash, because it is linked from /usr/bin/sh, because it interprets /e, "
                     "because it is the entrypoint");
    qn_buf_clear(&b);
    qn_ok(qn_image_explain(&f.image, fixture_node(&f, "usr/bin/ssh"), &b, &e), e);
    ck_assert_str_eq(b.p, "nothing needs it");
}
END_TEST

/* The same files in another order of the archive, and with every node's neighbours changed by renaming, reach the same
 * set, for the same reasons. */
START_TEST(order_does_not_matter)
{
    static const char *const lines[] = {
        "bin -> usr/bin",
        "usr/bin/dash elf needs=libc.so.6",
        "usr/bin/sh -> dash",
        "usr/bin/curl elf needs=libcurl.so.4",
        "usr/lib/libcurl.so.4 -> libcurl.so.4.8",
        "usr/lib/libcurl.so.4.8 elf soname=libcurl.so.4 needs=libc.so.6 import=execve names=ssh",
        "usr/lib/libc.so.6 elf soname=libc.so.6",
        "lib64/ld-linux-x86-64.so.2 elf",
        "usr/bin/ssh elf import=system",
        "usr/bin/chown elf",
        "usr/sbin/su elf",
        "opt/a text=#!/bin/sh\\n/opt/b",
        "opt/b text=#!/bin/sh\\nchown x",
        "opt/c elf import=execve names=chown",
        "z/app.py text=call('/usr/sbin/su')",
        "a/cli elf needs=libcurl.so.4"};
    auto_fixture first = {0};
    unsigned seed = 7;

    for (int round = 0; round < 20; round++) {
        auto_fixture f = {0};
        const char *shuffled[QN_ARRAY_LEN(lines)];
        qn_auto_buf struct qn_buf b = {.max = 65536};
        struct qn_err e;
        memcpy(shuffled, lines, sizeof lines);
        for (size_t i = QN_ARRAY_LEN(lines); round && i > 1; i--) {
            seed = seed * 1103515245 + 12345;
            size_t k = seed / 65536 % i;
            const char *swap = shuffled[k];
            shuffled[k] = shuffled[i - 1];
            shuffled[i - 1] = swap;
        }
        for (size_t i = 0; i < QN_ARRAY_LEN(lines); i++)
            qn_ok(qn_buf_printf(&b, &e, "%s\n", shuffled[i]), e);
        struct fixture *g = round ? &f : &first;
        fixture_layer(g, b.p);
        fixture_policy(g, "{'keep':{'paths':['usr/bin/ch*'],'commands':['su']}}");
        fixture_image(g,
                      round % 2 ? "'Cmd':['curl'],'Entrypoint':['/opt/a']" : "'Entrypoint':['/opt/a'],'Cmd':['curl']");
        ck_assert_uint_eq(g->image.tree.count, first.image.tree.count);
        for (size_t i = 0; i < g->image.tree.count; i++) {
            const struct qn_reach *x = &first.image.reach[i], *y = &g->image.reach[i];
            ck_assert_msg(x->all == y->all && x->why == y->why && x->from == y->from, "%.*s: %x %d instead of %x %d",
                          QN_FMT(first.image.tree.node[i].path), y->all, y->why, x->all, x->why);
        }
    }
    /* Kept by the policy first, and still called by a script. */
    ck_assert(first.image.reach[fixture_node(&first, "usr/bin/chown")].all & QN_WHY_BIT(QN_WHY_CALLED));
}
END_TEST

START_TEST(commands)
{
    auto_fixture f = {0};

    build(&f, SYSTEM "usr/local/bin/curl/\n", "'Env':['PATH=/usr/local/bin:/usr/bin']");
    /* A directory of that name is no program. */
    ck_assert_uint_eq(qn_image_command(&f.image, QN_STR("curl")), fixture_node(&f, "usr/bin/curl"));
    ck_assert_uint_eq(qn_image_command(&f.image, QN_STR("sh")), fixture_node(&f, "usr/bin/dash"));
    ck_assert_uint_eq(qn_image_command(&f.image, QN_STR("none")), QN_NO_NODE);
    ck_assert_uint_eq(qn_image_command(&f.image, QN_STR("")), QN_NO_NODE);
}
END_TEST

START_TEST(users)
{
    static const struct {
        const char *user;
        bool root;
        uint32_t uid;
    } rows[] = {{"", true, 0},          {"root", true, 0},       {"0", true, 0},
                {"0:5", true, 0},       {"toor", true, 0},       {"app", false, 1000},
                {"app:x", false, 1000}, {"4711:0", false, 4711}, {"who", false, 0}};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        auto_fixture f = {0};
        char config[64];
        fixture_layer(&f, "etc/passwd text=root:x:0:0::/:\\ntoor:x:0:0::/:\\napp:x:1000:1000::/:\\n");
        snprintf(config, sizeof config, "'User':'%s'", rows[i].user);
        fixture_image(&f, config);
        ck_assert_msg(f.image.runs_as_root == rows[i].root && f.image.run_uid == rows[i].uid, "%s", rows[i].user);
    }
}
END_TEST

static void words_are(const char *text, const char *want)
{
    struct qn_shell_words it = {.rest = qn_str_c(text)};
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_str w;
    struct qn_err e;

    while (qn_shell_word(&it, &w))
        qn_ok(qn_buf_printf(&b, &e, "%s%.*s", b.n ? "|" : "", QN_FMT(w)), e);
    ck_assert_msg(strcmp(b.p ? b.p : "", want) == 0, "%s: %s instead of %s", text, b.p, want);
}

/* What the application's own executables start by name; those of packages are told otherwise. */
START_TEST(own_executables)
{
    static const char *const starts = "'Cmd':['/app/x']";

    reaches("app/x elf import=execvp names=tool\nusr/bin/tool elf\n" OWNER("/usr/bin/tool"), starts, "usr/bin/tool",
            true);
    reaches("app/x elf names=tool\nusr/bin/tool elf\n" OWNER("/usr/bin/tool"), starts, "usr/bin/tool", false);
    reaches("app/x elf import=execvp names=sort\nusr/bin/sort elf\n" OWNER("/usr/bin/sort"), starts, "usr/bin/sort",
            false);
    reaches("app/x elf import=execvp names=tool\nusr/bin/tool elf\n" OWNER("/app/x\\n/usr/bin/tool"), starts,
            "usr/bin/tool", false);
}
END_TEST

START_TEST(words)
{
    words_are("", "");
    words_are("a b\tc\nd", "a|b|c|d");
    words_are("a;b&&c||d>e<f(g){h}`i`", "a|b|c|d|e|f|g|h|i");
    words_are("x=\"$(dirname \"$0\")/y\"", "x|dirname|0|/y");
    words_are("${A:-/usr/bin/b}", "/usr/bin/b");
    words_are("${A:-}", "A:-");
    words_are("a # b\nc", "a|c");
    words_are("#!/bin/sh\na", "a");
    words_are("a#b", "a#b");
    words_are("if [ $# -gt 0 ]; then b; fi", "if|[|#|-gt|0|]|then|b|fi");
    words_are("${#A} b", "#A|b");
    words_are("echo 'a # b'; c", "echo|a|#|b|c");
    words_are("echo \"a # b\"; c", "echo|a|#|b|c");
    words_are("echo \"a \\\" # b\"; c # d", "echo|a|#|b|c");
    words_are("echo 'don'\\''t # x' c", "echo|don|t|#|x|c");
    words_are("a;#b\nc", "a|c");
    words_are("a\\\n b", "a|b");
}
END_TEST

Suite *suite_reach(void)
{
    const TTest *const tests[] = {
        entrypoints,     health_checks, scripts, the_application, interpreters_libraries, command_lines, busybox,
        utility_images,  environment,   keep,    explained,       order_does_not_matter,  commands,      users,
        own_executables, words};
    return qn_suite("reach", tests, QN_ARRAY_LEN(tests));
}
