/* config and user. */
#include "harden/report.h"
#include "image_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define APP     "app/run text=#!/bin/sh\\nexec true\\n\nusr/bin/sh elf\nbin -> usr/bin\n"
#define STARTS  "'Entrypoint':['/app/run']"
#define NO_USER "{'rules':{'user':'off'}}"

static void path_becomes(const char *before, const char *after, const char *layer)
{
    auto_fixture f = {0};
    char config[512], want[512];

    snprintf(config, sizeof config, STARTS ",'WorkingDir':'/app','Env':['A=1','PATH=%s']", before);
    snprintf(want, sizeof want, "[\"A=1\",\"PATH=%s\"]", after);
    fixture_make(&f, layer, config, NO_USER);
    ck_assert_str_eq(fixture_config(&f, "Env"), want);
    fixture_verified(&f);
}

START_TEST(search_path)
{
    static const char *const layer = APP "opt/open/ 0777\nopt/used/ 0777\nopt/used/tool elf\nusr/local/bin/\n";

    path_becomes("/usr/bin:/bin", "/usr/bin:/bin", layer);
    path_becomes("/usr/bin:.", "/usr/bin", layer);
    path_becomes("/usr/bin::/bin", "/usr/bin:/bin", layer);
    path_becomes("/usr/bin:", "/usr/bin", layer);
    path_becomes("bin:/usr/bin", "/usr/bin", layer);
    path_becomes("/opt/open:/usr/bin", "/usr/bin", layer);
    /* What the image starts something from stays. */
    path_becomes("/opt/used:/usr/bin", "/opt/used:/usr/bin", layer);
    path_becomes("node_modules/.bin:/usr/bin", "node_modules/.bin:/usr/bin",
                 APP "app/node_modules/.bin/x text=#!/bin/sh\\n\n");
    path_becomes(".:/usr/bin", ".:/usr/bin", APP "app/helper elf\napp/more text=#!/bin/sh\\nhelper\n");
    path_becomes(":", ":", layer);
}
END_TEST

START_TEST(configuration)
{
    auto_fixture f = {0}, g = {0}, h = {0};
    static const char *const config =
        STARTS ",'WorkingDir':'app','OnBuild':['RUN "
               "x'],'Labels':{'a':'b','io.containerd.x':'1','containerd.io/restart.status':'r'},"
               "'Env':['DB_PASSWORD=hunter2','API_TOKEN=t','TOKENIZERS_PARALLELISM=1','PASSWORD_FILE=/"
               "x','my_secret=1','SECRET_KEYS=',"
               "'GITHUB_TOKENS=x','PATH=/usr/bin:.']";

    fixture_make(&f, APP, config, NO_USER);
    ck_assert_str_eq(fixture_config(&f, "WorkingDir"), "\"/app\"");
    ck_assert_str_eq(fixture_config(&f, "OnBuild"), "");
    ck_assert_str_eq(fixture_config(&f, "Labels"), "{\"a\":\"b\"}");
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0006", "HEALTHCHECK"));
    static const char *const secret[] = {"DB_PASSWORD", "API_TOKEN", "my_secret", "GITHUB_TOKENS"};
    static const char *const plain[] = {"TOKENIZERS", "PASSWORD_FILE", "SECRET_KEYS"};
    for (size_t i = 0; i < QN_ARRAY_LEN(secret); i++)
        ck_assert_msg(fixture_finding(&f, "CIS-DI-0010", secret[i]) != NULL, "%s", secret[i]);
    for (size_t i = 0; i < QN_ARRAY_LEN(plain); i++)
        ck_assert_msg(fixture_finding(&f, "CIS-DI-0010", plain[i]) == NULL, "%s", plain[i]);
    ck_assert_ptr_null(fixture_finding(&f, "CIS-DI-0010", "hunter2"));
    fixture_verified(&f);
    fixture_make(&g, APP, config, "{'use':'build'}");
    ck_assert_str_eq(fixture_config(&g, "OnBuild"), "[\"RUN x\"]");
    fixture_make(&h, APP, config, "{'rules':{'config':'report','user':'off'}}");
    ck_assert_str_eq(fixture_config(&h, "WorkingDir"), "\"app\"");
    ck_assert_ptr_nonnull(fixture_change(&h, QN_RULE_config, "config.WorkingDir"));
    ck_assert(qn_plan_empty(&h.plan));
}
END_TEST

START_TEST(health_check)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, APP, STARTS ",'Healthcheck':{'Test':['NONE']}", NO_USER);
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0006", "HEALTHCHECK"));
    fixture_make(&g, APP, STARTS ",'Healthcheck':{'Test':['CMD','/app/run']}", NO_USER);
    ck_assert_ptr_null(fixture_finding(&g, "CIS-DI-0006", "HEALTHCHECK"));
}
END_TEST

START_TEST(no_config_at_all)
{
    auto_fixture f = {0};

    fixture_make(&f, "usr/share/man/x text=1\na text=1\n", "", "");
    ck_assert(f.plan.result[QN_RULE_user].because.n);
    fixture_verified(&f);
}
END_TEST

/* --- user --------------------------------------------------------------------------------------------------------- */
#define PASSWD                                                                                                         \
    "etc/passwd "                                                                                                      \
    "text=root:x:0:0:root:/root:/bin/sh\\nwww-data:x:33:33::/var/www:/bin/false\\nredis:x:101:102::/var/lib/redis:/"   \
    "bin/false\\n\n"                                                                                                   \
    "etc/group text=root:x:0:\\nwww-data:x:33:\\nredis:x:102:\\n\n"

static void user_becomes(const char *layer, const char *config, const char *policy, const char *want)
{
    auto_fixture f = {0};

    fixture_make(&f, layer, config, policy);
    ck_assert_msg(strcmp(fixture_config(&f, "User"), want) == 0, "%s instead of %s: %.*s", fixture_config(&f, "User"),
                  want, QN_FMT(f.plan.result[QN_RULE_user].because));
    fixture_verified(&f);
}

START_TEST(chosen)
{
    user_becomes(APP PASSWD, STARTS, "", "\"65532:65532\"");
    user_becomes(APP, STARTS, "", "\"65532:65532\"");
    user_becomes(APP PASSWD "var/lib/redis/ 0750 uid=101 gid=102\nusr/bin/redis-server elf\n", "'Cmd':['redis-server']",
                 "", "\"101:102\"");
    user_becomes(APP PASSWD "usr/sbin/nginx elf\netc/nginx/nginx.conf text=user www-data;\\nlisten 8080;\\n\n",
                 "'Cmd':['nginx']", "", "\"33:33\"");
    user_becomes(APP PASSWD "usr/bin/memcached elf\n", "'Cmd':['memcached','-u','www-data']", "", "\"33:33\"");
    user_becomes(APP PASSWD, STARTS, "{'user':'1234:5'}", "\"1234:5\"");
    user_becomes(APP PASSWD, STARTS, "{'user':'33'}", "\"33:33\"");
    user_becomes(APP PASSWD, STARTS ",'User':'5000'", "{'user':'33:33'}", "\"33:33\"");
    user_becomes(APP PASSWD, STARTS ",'User':'5000'", "", "\"5000\"");
    user_becomes(APP PASSWD, STARTS ",'User':'root'", "", "\"65532:65532\"");
    user_becomes(APP PASSWD, STARTS, "{'user':'keep'}", "");
    user_becomes(APP PASSWD, STARTS, "{'profile':'safe'}", "");
    user_becomes(APP PASSWD, STARTS, "{'use':'build'}", "");
    user_becomes(APP PASSWD, STARTS, "{'user':'keep','rules':{'user':'on'}}", "\"65532:65532\"");
}
END_TEST

START_TEST(accounts_are_added)
{
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_make(&f, APP PASSWD, STARTS, "{'rules':{'accounts':'off'}}");
    ck_assert(qn_str_ends(fixture_text(&f, "etc/passwd"),
                          QN_STR("nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")));
    ck_assert(qn_str_ends(fixture_text(&f, "etc/group"), QN_STR("nonroot:x:65532:\n")));
    ck_assert_uint_eq(f.plan.additions, 1);
    auto_fixture after = {0};
    fixture_after(&f, &after, NULL);
    ck_assert_uint_eq(after.image.tree.node[fixture_node(&after, "home/nonroot")].uid, 65532);
    ck_assert_uint_eq(after.image.tree.node[fixture_node(&after, "home/nonroot")].mode, 0700);
    ck_assert(!after.image.runs_as_root && after.image.run_uid == 65532);
    /* No passwd at all. */
    fixture_make(&g, APP "etc/x text=1\n", STARTS, "");
    auto_fixture after_g = {0};
    fixture_after(&g, &after_g, NULL);
    struct qn_str text;
    ck_assert(qn_image_text(&after_g.image, QN_STR("etc/passwd"), &text));
    qn_is(text, "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n");
    /* The name is somebody else's. */
    fixture_make(&h, APP "etc/passwd text=nonroot:x:1000:1000::/:/bin/false\\n\netc/group text=x:x:65532:\\n\n", STARTS,
                 "");
    ck_assert(qn_str_ends(fixture_text(&h, "etc/passwd"),
                          QN_STR("\nuid65532:x:65532:65532:uid65532:/home/uid65532:/sbin/nologin\n")));
    qn_is(fixture_text(&h, "etc/group"), "x:x:65532:\n");
    fixture_verified(&h);
    /* Homes behind a link: the link stays one. */
    fixture_make(&i, APP "home -> var/homes\nvar/homes/\n", STARTS, "");
    auto_fixture after_i = {0};
    fixture_after(&i, &after_i, NULL);
    ck_assert_int_eq(after_i.image.tree.node[fixture_node(&after_i, "home")].type, QN_SYMLINK);
    ck_assert(fixture_has(&after_i, "var/homes/nonroot"));
    fixture_verified(&i);
}
END_TEST

START_TEST(passwd_that_was_not_read)
{
    auto_fixture f = {0};

    fixture_make(&f, APP "etc/passwd sparse=100000 text=x\netc/group text=root:x:0:\\n\n", STARTS, "");
    ck_assert_str_eq(fixture_config(&f, "User"), "\"65532:65532\"");
    ck_assert(!f.plan.fate[fixture_node(&f, "etc/passwd")].edited);
    fixture_verified(&f);
}
END_TEST

static void stays_root(const char *layer, const char *config, const char *why)
{
    auto_fixture f = {0};

    fixture_make(&f, layer, config, "");
    ck_assert_msg(strcmp(fixture_config(&f, "User"), "") == 0, "%s: user %s", why, fixture_config(&f, "User"));
    const struct qn_finding *n = fixture_finding(&f, "CIS-DI-0001", why);
    ck_assert_msg(n && !n->fixed, "%s: %.*s", why, QN_FMT(f.plan.result[QN_RULE_user].because));
    fixture_verified(&f);
}

START_TEST(obstacles)
{
    stays_root(APP "data/\n", STARTS ",'Volumes':{'/data':{}}", "VOLUME");
    stays_root(APP "usr/bin/chown elf\napp/x text=#!/bin/sh\\nchown -R app /data\n", STARTS, "calls chown");
    stays_root(APP "usr/bin/gosu elf\n", "'Entrypoint':['gosu','app','/app/run']", "the configuration calls gosu");
    stays_root(APP, STARTS ",'ExposedPorts':{'80/tcp':{}}", "port 80");
    stays_root(APP, STARTS ",'ExposedPorts':{'443-445/tcp':{}}", "port 443");
    stays_root(APP "usr/sbin/nginx elf\netc/nginx/nginx.conf text=server { listen 80; }\\nlisten 0.0.0.0:81;\\n\n",
               "'Cmd':['nginx']", "port 81");
    stays_root(APP "usr/bin/app elf\n", "'Cmd':['app','--port','53']", "port 53");
    stays_root(APP "usr/bin/app elf\n", "'Cmd':['app','--listen=:25']", "port 25");
    stays_root(APP, STARTS ",'Env':['PORT=80']", "port 80");
    stays_root(APP, STARTS ",'Env':['HOME=/root']", "HOME");
    stays_root(APP "usr/sbin/cron elf\n", "'Cmd':['cron']", "cron");
    stays_root(APP "etc/secret 0600 text=x\n", STARTS, "/etc/secret");
    stays_root(APP "usr/x/ 0700\nusr/x/tool elf\n", STARTS, "/usr/x");
    stays_root(APP, "", "says not what it starts");
    stays_root(APP, "'Cmd':['/gone']", "not in the image");
    stays_root(APP "usr/bin/fusermount 4755 elf\napp/x text=#!/bin/sh\\nfusermount x\n", STARTS, "fusermount");
    stays_root(APP "usr/bin/mount elf\napp/x.py text=run(['mount', '/x'])\n", STARTS, "calls mount");
}
END_TEST

/* What only root could write. */
START_TEST(scripts_that_write)
{
    static const char *const write[] = {"echo x > /etc/app.conf",
                                        "echo x >>/etc/app.conf",
                                        "cat a | tee /etc/app.conf",
                                        "cp /a \"/etc/app.conf\"",
                                        "mkdir -p /opt/new",
                                        "sed -i s/a/b/ /etc/c",
                                        "ln -sf /a /usr/b",
                                        "touch /srv/x",
                                        "if true; then mv a /etc/b; fi",
                                        "x; rm -f /etc/c",
                                        "echo > \"/etc/conf.d/$NAME\"",
                                        "install -m 600 a /etc/x",
                                        "echo x > $FILE",
                                        "echo x > \"$1\"",
                                        "d=/etc\\necho x > $d/c",
                                        "d=\"${D:-/etc/conf.d}\"\\nmkdir -p \"$(dirname \"$d/$f\")\"",
                                        ": ${D:=/etc/d}\\ncp a \"$D\" 2> /dev/null",
                                        "[ -w /etc/c ] || exit 0",
                                        "if test -w \"${D:-/opt}/x\"; then true; fi"};
    static const char *const harmless[] = {
        "echo x > /dev/null", "echo x >/tmp/y",           "echo x > /data/y",
        "mkdir -p /opt",      "cp /etc/c /tmp",           "echo x > /etc/app || true",
        "# echo > /etc/x",    "sed s/a/b/ /etc/c",        "echo x >&2",
        "cat < /etc/c",       "test -e /etc/c",           "f=/data/f; echo x > $f",
        "touch /data/x",      "ls /etc >/dev/null 2>&1",  "t=$(mktemp)\\necho > $t",
        "awk '$1 > $2' x",    "echo > ${TMPDIR:-/var}/x", "mkdir -p ${D-/data}/x",
        "echo \"a > $b\""};
    for (size_t i = 0; i < QN_ARRAY_LEN(write) + QN_ARRAY_LEN(harmless); i++) {
        bool writes = i < QN_ARRAY_LEN(write);
        const char *line = writes ? write[i] : harmless[i - QN_ARRAY_LEN(write)];
        auto_fixture f = {0};
        char *layer = NULL;
        ck_assert_int_gt(asprintf(&layer,
                                  "etc/c text=1\nopt/\nsrv/\ndata/ 0777\ntmp/ 1777\nusr/bin/sh elf\nbin -> usr/bin\n"
                                  "run text=#!/bin/sh\\n%s\\nexec true\\n\n",
                                  line),
                         0);
        fixture_make(&f, layer, "'Entrypoint':['/run']", "");
        free(layer);
        ck_assert_msg((fixture_config(&f, "User")[0] == '\0') == writes, "%s: %.*s", line,
                      QN_FMT(f.plan.result[QN_RULE_user].because));
        fixture_verified(&f);
    }
    auto_fixture f = {0};
    fixture_make(&f, APP, "'Cmd':['sh','-c','echo $X > /etc/x && exec app']", "");
    ck_assert_str_eq(fixture_config(&f, "User"), "");
}
END_TEST

/* What lies in a directory that the entrypoint runs through, and what only lies about. */
START_TEST(scripts_in_directories)
{
    auto_fixture parts = {0}, about = {0};
    static const char *const layer = "etc/c text=1\nusr/bin/sh elf\nbin -> usr/bin\n"
                                     "run text=#!/bin/sh\\nfor f in /entry.d/*.sh; do $f; done\\nexec true\\n\n";
    char *with = NULL, *without = NULL;
    ck_assert_int_gt(asprintf(&with, "%s%s", layer, "entry.d/x.sh text=#!/bin/sh\\necho x > /etc/c\n"), 0);
    ck_assert_int_gt(asprintf(&without, "%s%s", layer, "other.d/x.sh text=#!/bin/sh\\necho x > /etc/c\n"), 0);
    fixture_make(&parts, with, "'Entrypoint':['/run']", "");
    ck_assert_str_eq(fixture_config(&parts, "User"), "");
    fixture_make(&about, without, "'Entrypoint':['/run']", "");
    ck_assert_str_eq(fixture_config(&about, "User"), "\"65532:65532\"");
    free(with);
    free(without);
}
END_TEST

START_TEST(state)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 APP PASSWD
                 "app/data/x text=1\nvar/lib/redis/dump text=1\nvar/lib/redis/ uid=0\nusr/bin/redis-server elf\n"
                 "var/log/redis/\nvar/cache/other/\nvar/lib/dpkg/x text=1\ndata/\nroot/x text=1\netc/x text=1\n"
                 "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\n",
                 "'Cmd':['redis-server'],'WorkingDir':'/app'", "");
    uint32_t u = 65532;
    ck_assert_uint_eq(fixture_uid(&f, "app/data/x"), u);
    ck_assert_uint_eq(fixture_uid(&f, "app/data"), u);
    ck_assert_uint_eq(fixture_uid(&f, "var/lib/redis/dump"), u);
    ck_assert_uint_eq(fixture_uid(&f, "var/log/redis"), u);
    ck_assert_uint_eq(fixture_uid(&f, "data"), u);
    ck_assert_uint_eq(fixture_uid(&f, "var/lib/dpkg"), 0);
    ck_assert_uint_eq(fixture_uid(&f, "root/x"), 0);
    ck_assert_uint_eq(fixture_uid(&f, "etc/x"), 0);
    ck_assert_uint_eq(fixture_uid(&f, "usr/bin"), 0);
    fixture_verified(&f);
}
END_TEST

/* What only the application knows it writes. */
START_TEST(own_state)
{
    static const char *const layer = APP
        "srv/notes/\nsrv/keep/\nsrv/keep/x.json text=1\nsrv/keep/x.py text=1\nopt/tool/\nopt/tool/bin/\n"
        "opt/tool/bin/t elf\nopt/tool/bin/t.cfg text=1\nopt/tool/node_modules/\nopt/tool/a.db text=1\nopt/tool/go elf\n"
        "usr/local/bin/\nusr/local/share/x/\nvar/www/html/\nhome/a/ uid=7\nhome/b/\nmedia/pics/\netc/own/\n";
    static const struct {
        const char *path;
        uint32_t uid;
    } row[] = {{"srv/notes", 65532},     {"srv/keep", 0},           {"srv/keep/x.json", 65532},
               {"srv/keep/x.py", 0},     {"opt/tool", 0},           {"opt/tool/bin", 0},
               {"opt/tool/bin/t", 0},    {"opt/tool/bin/t.cfg", 0}, {"opt/tool/node_modules", 0},
               {"opt/tool/a.db", 65532}, {"opt/tool/go", 0},        {"usr/local/bin", 0},
               {"usr/local/share/x", 0}, {"var/www/html", 65532},   {"home/a", 7},
               {"home/b", 65532},        {"media/pics", 65532},     {"etc/own", 0}};
    auto_fixture f = {0};

    fixture_make(&f, layer, STARTS, "");
    ck_assert_str_eq(fixture_config(&f, "User"), "\"65532:65532\"");
    for (size_t i = 0; i < QN_ARRAY_LEN(row); i++)
        ck_assert_msg(fixture_uid(&f, row[i].path) == row[i].uid, "%s", row[i].path);
    fixture_verified(&f);
}
END_TEST

/* Where the application starts, it may make files; its code stays root's there, too, and elsewhere so does what holds
 * code. Code that writes beside itself in such a place keeps the image as it is. */
START_TEST(code_stays)
{
    static const char *const layer =
        "app/main.py text=open('x', 'w')\\n\napp/run text=#!/bin/sh\\nexec true\\n\napp/data/\napp/data/x text=1\n"
        "app/lib2/\napp/lib2/b.py text=import x\\n\napp/lib2/t.html text=t\napp/lib2/c.log text=t\nusr/bin/sh elf\n"
        "bin -> usr/bin\nvar/www/html/\nvar/www/html/i.php text=x\nvar/www/html/up/\n";
    static const struct {
        const char *path;
        uint32_t uid;
    } row[] = {{"app", 65532},       {"app/main.py", 0},        {"app/run", 0},
               {"app/data", 65532},  {"app/data/x", 65532},     {"app/lib2", 0},
               {"app/lib2/b.py", 0}, {"app/lib2/t.html", 0},    {"app/lib2/c.log", 65532},
               {"var/www/html", 0},  {"var/www/html/i.php", 0}, {"var/www/html/up", 65532}};
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, layer, STARTS ",'WorkingDir':'/app'", "");
    ck_assert_str_eq(fixture_config(&f, "User"), "\"65532:65532\"");
    for (size_t i = 0; i < QN_ARRAY_LEN(row); i++)
        ck_assert_msg(fixture_uid(&f, row[i].path) == row[i].uid, "%s", row[i].path);
    fixture_verified(&f);
    static const char *const beside = "opt/x/a.py text=p = dirname(__file__)\\nopen(p + '/y', 'w')\\n\n" APP;
    fixture_make(&g, beside, STARTS, "");
    ck_assert_str_eq(fixture_config(&g, "User"), "");
    ck_assert_ptr_nonnull(fixture_finding(&g, "CIS-DI-0001", "/opt/x/a.py writes files"));
    fixture_make(&h, beside, STARTS ",'WorkingDir':'/opt/x'", "");
    ck_assert_str_eq(fixture_config(&h, "User"), "\"65532:65532\"");
    ck_assert_uint_eq(fixture_uid(&h, "opt/x/a.py"), 0);
}
END_TEST

START_TEST(pid_files)
{
    auto_fixture f = {0};

    fixture_make(
        &f,
        APP PASSWD
        "run/\nvar/run -> /run\nusr/sbin/nginx elf\netc/nginx/nginx.conf text=user www-data;\\npid /run/nginx.pid;\\n\n"
        "var/log/nginx/\n",
        "'Cmd':['nginx']", "");
    ck_assert_uint_eq(fixture_uid(&f, "run"), 33);
    ck_assert_uint_eq(fixture_uid(&f, "var/log/nginx"), 33);
    fixture_verified(&f);
}
END_TEST

/* What others could write before is the user's afterwards, and closed: doing it again changes nothing. */
START_TEST(writable_things_become_the_users)
{
    static const char *const layer = APP "var/www/cfg.php 0666 text=x\nvar/www/up/ 0777\nvar/www/their 0666 uid=33 "
                                         "text=x\napp/key.json 0644 text=-----BEGIN PRIVATE KEY-----\\n\n"
                                         "usr/sbin/httpd elf import=setuid\n";
    auto_fixture f = {0};

    fixture_make(&f, layer, "'Cmd':['httpd'],'WorkingDir':'/app'", "");
    ck_assert_str_eq(fixture_config(&f, "User"), "\"65532:65532\"");
    ck_assert_uint_eq(fixture_uid(&f, "var/www/cfg.php"), 65532);
    ck_assert_uint_eq(fixture_mode(&f, "var/www/cfg.php"), 0664);
    ck_assert_uint_eq(fixture_uid(&f, "var/www/their"), 65532);
    ck_assert_uint_eq(fixture_mode(&f, "var/www/up"), 01777);
    fixture_verified(&f);
}
END_TEST

START_TEST(fixed_user_who_cannot)
{
    auto_fixture f = {0};

    fixture_make(&f, APP "app/secret 0600 uid=7 text=x\n", STARTS ",'User':'7'", "{'user':'8:8'}");
    ck_assert_str_eq(fixture_config(&f, "User"), "\"7\"");
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0001", "its user stays"));
    fixture_verified(&f);
}
END_TEST

START_TEST(reported)
{
    auto_fixture f = {0};

    fixture_make(&f, APP PASSWD "app/data/x text=1\n", STARTS ",'WorkingDir':'/app'", "{'rules':{'user':'report'}}");
    ck_assert_str_eq(fixture_config(&f, "User"), "");
    ck_assert_uint_eq(fixture_uid(&f, "app/data/x"), 0);
    ck_assert_uint_eq(f.plan.additions, 0);
    ck_assert_ptr_nonnull(fixture_change(&f, QN_RULE_user, "config.User"));
    ck_assert(!fixture_finding(&f, "CIS-DI-0001", "ran as root")->fixed);
    fixture_verified(&f);
}
END_TEST

/* Directories that no layer lists have no owner that could change: what the application writes there it could not. */
START_TEST(directories_of_nobody)
{
    auto_fixture f = {0};

    fixture_make(&f, "!bare\nusr/bin/sh elf\nbin -> usr/bin\napp/run text=#!/bin/sh\\n\napp/sub/x text=1\n",
                 STARTS ",'WorkingDir':'/app'", "");
    ck_assert_str_eq(fixture_config(&f, "User"), "");
    ck_assert_uint_eq(fixture_uid(&f, "app/sub/x"), 0);
    ck_assert(strstr(f.plan.result[QN_RULE_user].because.p, "/app"));
    fixture_verified(&f);
}
END_TEST

static void control_is(const struct fixture *f, const char *id, const char *want)
{
    struct qn_err e;
    json_t *report = qn_report_plan(&f->plan, &e), *item;
    size_t i;
    bool found = false;

    ck_assert_ptr_nonnull(report);
    json_array_foreach (json_object_get(report, "controls"), i, item)
        if (strcmp(json_string_value(json_object_get(item, "id")), id) == 0) {
            ck_assert_str_eq(json_string_value(json_object_get(item, "status")), want);
            found = true;
        }
    ck_assert_msg(found, "%s", id);
    json_decref(report);
}

/* What the history says of how the image was made. */
START_TEST(made_by)
{
    static const char bad[] =
        STARTS "},'history':[{'created_by':'/bin/sh -c #(nop) ADD file:1 in / '},"
               "{'created_by':'RUN /bin/sh -c apt-get update # buildkit'},"
               "{'created_by':'ADD x.tar /x # buildkit'},{'created_by':'/bin/sh -c #(nop) ADD file:2 in /y'},"
               "{'created_by':'/bin/sh -c apk update'}],'x':{";
    static const char good[] =
        STARTS "},'history':[{'created_by':'/bin/sh -c #(nop) ADD file:1 in / '},"
               "{'created_by':'RUN apt-get update && apt-get install -y ADD-ons'},"
               "{'created_by':'COPY x /x # buildkit'},{'created_by':'RUN git submodule update; apk add x'},"
               "{'created_by':'RUN echo ADD'}],'x':{";
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, APP, bad, NO_USER);
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0007", "entry 1"));
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0009", "entry 2"));
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0009", "entry 3"));
    ck_assert_ptr_nonnull(fixture_finding(&f, "CIS-DI-0007", "entry 4"));
    ck_assert_ptr_null(fixture_finding(&f, "CIS-DI-0009", "entry 0"));
    control_is(&f, "4.7", "fail");
    control_is(&f, "4.9", "fail");
    fixture_make(&g, APP, good, NO_USER);
    ck_assert_ptr_null(fixture_finding(&g, "CIS-DI-0007", ""));
    ck_assert_ptr_null(fixture_finding(&g, "CIS-DI-0009", ""));
    control_is(&g, "4.7", "pass");
    control_is(&g, "4.9", "pass");
    control_is(&g, "4.3", "pass");
    /* Without a history nobody can tell; a profile that keeps packages leaves more than is needed. */
    fixture_make(&h, APP, STARTS, "{'profile':'safe'}");
    control_is(&h, "4.7", "manual");
    control_is(&h, "4.3", "partial");
}
END_TEST

Suite *suite_rules_config(void)
{
    const TTest *const tests[] = {search_path,
                                  configuration,
                                  health_check,
                                  no_config_at_all,
                                  chosen,
                                  accounts_are_added,
                                  passwd_that_was_not_read,
                                  obstacles,
                                  scripts_that_write,
                                  scripts_in_directories,
                                  state,
                                  own_state,
                                  code_stays,
                                  pid_files,
                                  writable_things_become_the_users,
                                  fixed_user_who_cannot,
                                  reported,
                                  directories_of_nobody,
                                  made_by};
    return qn_suite("rules_config", tests, QN_ARRAY_LEN(tests));
}
