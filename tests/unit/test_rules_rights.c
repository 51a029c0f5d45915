/* setuid, file-caps, permissions, accounts. */
#include "image_fixture.h"

#include <stdio.h>

#define APP          "app/run text=#!/bin/sh\\nexec true\\n\nusr/bin/sh elf\nbin -> usr/bin\n"
#define STARTS       "'Entrypoint':['/app/run']"
#define OWNED(paths) "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\nvar/lib/dpkg/info/p.list text=" paths "\\n\n"

static void mode_is(const struct fixture *f, const char *path, uint32_t want)
{
    ck_assert_msg(fixture_mode(f, path) == want, "%s: %04o instead of %04o", path, fixture_mode(f, path), want);
}

START_TEST(setuid)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 APP
                 "usr/bin/su 4755 elf\nusr/bin/wall 2755 elf\nusr/bin/both 6755 elf\nvar/mail/ 2775\n"
                 "usr/bin/su2 4755 => usr/bin/su\n" OWNED("/usr/bin/su\\n/usr/bin/wall\\n/usr/bin/both\\n/usr/bin/su2"),
                 STARTS, LISTS_ONLY);
    mode_is(&f, "usr/bin/su", 0755);
    mode_is(&f, "usr/bin/su2", 0755);
    mode_is(&f, "usr/bin/wall", 0755);
    mode_is(&f, "usr/bin/both", 0755);
    mode_is(&f, "var/mail", 02775);
    ck_assert(fixture_finding(&f, "CIS-DI-0008", "usr/bin/su")->fixed);
    fixture_verified(&f);
}
END_TEST

START_TEST(setuid_that_is_needed)
{
    auto_fixture f = {0}, g = {0};
    static const char *const layer = APP
        "usr/bin/sudo 4755 elf\nusr/bin/su 4755 elf\nusr/bin/zz 4755 => usr/bin/sudo\napp/up text=#!/bin/sh\\nsudo x\n"
        "etc/passwd text=root:x:0:0::/:\\n\n" OWNED("/usr/bin/sudo\\n/usr/bin/su\\n/usr/bin/zz");

    fixture_make(&f, layer, STARTS ",'User':'1000'", LISTS_ONLY);
    /* Somebody who is not root calls it, under one of its names. */
    mode_is(&f, "usr/bin/sudo", 04755);
    mode_is(&f, "usr/bin/zz", 04755);
    mode_is(&f, "usr/bin/su", 0755);
    ck_assert(!fixture_finding(&f, "CIS-DI-0008", "usr/bin/sudo")->fixed);
    fixture_verified(&f);
    fixture_make(&g, layer, STARTS, "");
    mode_is(&g, "usr/bin/sudo", 0755);
    fixture_verified(&g);
}
END_TEST

START_TEST(setuid_in_lower_layers)
{
    auto_fixture f = {0}, after = {0};

    fixture_layer(&f, APP "usr/bin/su 4755 elf\nusr/bin/mount 4755 elf\n");
    fixture_layer(&f, "usr/bin/su 0755 elf\nusr/bin/.wh.mount text=\n");
    fixture_policy(&f, "");
    fixture_image(&f, STARTS);
    fixture_plan(&f);
    fixture_after(&f, &after, NULL);
    for (size_t l = 0; l < after.layers; l++)
        for (size_t i = 0; i < after.layer[l].count; i++)
            ck_assert_uint_eq(after.layer[l].entry[i].mode & 06000, 0);
    fixture_verified(&f);
}
END_TEST

START_TEST(file_capabilities)
{
    auto_fixture f = {0}, g = {0}, h = {0};
    static const char *const layer =
        APP "usr/bin/raw caps elf\nusr/sbin/server caps elf\nusr/bin/raw2 => usr/bin/raw\n" OWNED(
            "/usr/bin/raw\\n/usr/sbin/server\\n/usr/bin/raw2");

    fixture_make(&f, layer, "'Cmd':['server']", "");
    ck_assert(f.plan.fate[fixture_node(&f, "usr/bin/raw")].uncap);
    ck_assert(!f.plan.fate[fixture_node(&f, "usr/sbin/server")].uncap);
    fixture_verified(&f);
    /* Under its other name it is needed: the file is one. */
    fixture_make(&g, layer, "'Cmd':['sh','-c','raw2 x']", "");
    ck_assert(!g.plan.fate[fixture_node(&g, "usr/bin/raw")].uncap);
    fixture_verified(&g);
    fixture_make(&h, layer, "'Cmd':['server']", "{'profile':'safe'}");
    ck_assert(!h.plan.fate[fixture_node(&h, "usr/bin/raw")].uncap);
    ck_assert_ptr_nonnull(fixture_change(&h, QN_RULE_file_caps, "usr/bin/raw"));
    fixture_verified(&h);
}
END_TEST

/* That no package owns a program is no reason, in strict, to think that something starts it. */
START_TEST(capabilities_that_nothing_uses)
{
    auto_fixture f = {0}, g = {0}, h = {0};
    static const char layer[] = APP "opt/t/raw-tool caps elf\n";

    fixture_make(&f, layer, STARTS, "{'profile':'strict'}");
    ck_assert(f.plan.fate[fixture_node(&f, "opt/t/raw-tool")].uncap);
    fixture_verified(&f);
    fixture_make(&g, layer, STARTS, "");
    ck_assert(!g.plan.fate[fixture_node(&g, "opt/t/raw-tool")].uncap);
    fixture_make(&h, APP "opt/t/raw-tool caps elf\netc/t/run.conf text=# raw-tool\\nhelper = raw-tool\\n\n", STARTS,
                 "{'profile':'strict'}");
    ck_assert(!h.plan.fate[fixture_node(&h, "opt/t/raw-tool")].uncap);
    fixture_verified(&h);
}
END_TEST

START_TEST(capabilities_behind_a_hidden_name)
{
    auto_fixture f = {0}, after = {0};

    fixture_layer(&f, APP "usr/bin/raw caps elf\nusr/bin/raw2 => usr/bin/raw\n");
    fixture_layer(&f, "usr/bin/.wh.raw text=\n");
    fixture_policy(&f, "");
    fixture_image(&f, "'Cmd':['sh','-c','raw2 x']");
    fixture_plan(&f);
    fixture_after(&f, &after, NULL);
    ck_assert(after.image.tree.node[fixture_node(&after, "usr/bin/raw2")].data->caps);
    fixture_verified(&f);
}
END_TEST

#define WRITABLE                                                                                                       \
    APP "app/data.db 0666 text=x\napp/prog 0777 elf\nusr/lib/pkg 0666 text=x\napp/cache/ 0777\ntmp/ 0777\nrun/ 0777\n" \
        "app/own.db 0666 uid=1000 text=x\nvar/lib/pkg/ 0777\n" OWNED("/usr/lib/pkg\\n/usr/bin/sh\\n/var/lib/pkg")

START_TEST(world_writable)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, WRITABLE, STARTS, "{'rules':{'user':'off'}}");
    mode_is(&f, "app/data.db", 0664);
    mode_is(&f, "app/prog", 0775);
    mode_is(&f, "usr/lib/pkg", 0664);
    mode_is(&f, "app/cache", 01777);
    mode_is(&f, "tmp", 01777);
    ck_assert_uint_eq(fixture_uid(&f, "app/data.db"), 0);
    ck_assert(fixture_finding(&f, "CIS-4.8", "app/data.db")->fixed);
    fixture_verified(&f);
    fixture_make(&g, WRITABLE, STARTS, "{'profile':'safe','rules':{'user':'off'}}");
    mode_is(&g, "app/cache", 0777);
    mode_is(&g, "tmp", 01777);
    mode_is(&g, "run", 01777);
    ck_assert(!fixture_finding(&g, "NIST-AC-3", "app/cache")->fixed);
    fixture_verified(&g);
}
END_TEST

/* Who writes by the bit that goes becomes the owner. */
START_TEST(world_writable_for_a_user)
{
    auto_fixture f = {0};

    fixture_make(&f, WRITABLE, STARTS ",'User':'1000'", "");
    mode_is(&f, "app/data.db", 0664);
    ck_assert_uint_eq(fixture_uid(&f, "app/data.db"), 1000);
    ck_assert_uint_eq(fixture_uid(&f, "app/own.db"), 1000);
    mode_is(&f, "app/own.db", 0664);
    ck_assert_uint_eq(fixture_uid(&f, "usr/lib/pkg"), 0);
    ck_assert_uint_eq(fixture_uid(&f, "app/cache"), 1000);
    mode_is(&f, "app/cache", 01777);
    fixture_verified(&f);
}
END_TEST

/* A server that starts as root and goes on as somebody else: nobody can tell whom its data then belongs to. */
START_TEST(world_writable_for_who_knows_whom)
{
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_make(&f, WRITABLE "usr/sbin/httpd elf import=setuid\nvar/lib/dpkg/info/x.list text=/usr/sbin/httpd\\n\n",
                 "'Cmd':['httpd'],'ExposedPorts':{'80/tcp':{}}", "");
    mode_is(&f, "app/data.db", 0666);
    mode_is(&f, "app/cache", 0777);
    mode_is(&f, "app/prog", 0775);
    mode_is(&f, "usr/lib/pkg", 0664);
    mode_is(&f, "tmp", 01777);
    ck_assert(!fixture_finding(&f, "CIS-4.8", "app/data.db")->fixed);
    fixture_verified(&f);
    fixture_make(&g, WRITABLE "usr/bin/gosu elf\napp/drop text=#!/bin/sh\\nexec gosu www x\n",
                 "'Entrypoint':['/app/drop']", "");
    mode_is(&g, "app/data.db", 0666);
    fixture_verified(&g);
    /* In strict, a program that nothing names starts nothing. */
    fixture_make(&h, WRITABLE "opt/tools/helper-x elf interp=/lib/ld.so import=setuid\n", STARTS,
                 "{'profile':'strict','rules':{'user':'off'}}");
    mode_is(&h, "app/data.db", 0664);
    fixture_verified(&h);
    fixture_make(
        &i, WRITABLE "opt/tools/helper-x elf interp=/lib/ld.so import=setuid\netc/a/run.conf text=helper-x -d\\n\n",
        STARTS, "{'profile':'strict','rules':{'user':'off'}}");
    mode_is(&i, "app/data.db", 0666);
}
END_TEST

#define KEY "-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----\\n"

START_TEST(keys)
{
    auto_fixture f = {0}, g = {0};
    static const char *const layer =
        APP "etc/app/tls.key 0644 text=" KEY "\nroot/.ssh/id_rsa 0644 text=x\nroot/.ssh/id_rsa.pub 0644 text=x\n"
            "etc/ssh/ssh_host_ed25519_key 0640 text=x\netc/ssl/private/x 0644 text=x\nroot/.netrc 0644 text=x\n"
            "usr/bin/mkkey 0755 text=#!/bin/sh\\ncat <<E\\n" KEY
            "E\\n\netc/app/doc 0644 text=a -----BEGIN PRIVATE KEY-----\\n\n"
            "etc/app/cert.pem 0644 text=-----BEGIN CERTIFICATE-----\\n\n";

    fixture_make(&f, layer, STARTS, "{'rules':{'user':'off'}}");
    mode_is(&f, "etc/app/tls.key", 0640);
    mode_is(&f, "root/.ssh/id_rsa", 0640);
    mode_is(&f, "root/.ssh/id_rsa.pub", 0644);
    mode_is(&f, "etc/ssh/ssh_host_ed25519_key", 0640);
    mode_is(&f, "etc/ssl/private/x", 0640);
    mode_is(&f, "root/.netrc", 0640);
    /* What handles keys is none. */
    mode_is(&f, "usr/bin/mkkey", 0755);
    mode_is(&f, "etc/app/doc", 0644);
    mode_is(&f, "etc/app/cert.pem", 0644);
    ck_assert(fixture_finding(&f, "CIS-4.10", "tls.key")->fixed);
    fixture_verified(&f);
    fixture_make(&g, layer, STARTS ",'User':'1000'", "");
    mode_is(&g, "etc/app/tls.key", 0644);
    ck_assert(!fixture_finding(&g, "CIS-4.10", "tls.key")->fixed);
    fixture_verified(&g);
}
END_TEST

START_TEST(shadow)
{
    auto_fixture f = {0};

    fixture_make(&f, APP "etc/shadow 0666 gid=42 text=root:*:1::::::\\n\netc/gshadow 0777 text=root:*::\\n\n", STARTS,
                 "");
    mode_is(&f, "etc/shadow", 0640);
    mode_is(&f, "etc/gshadow", 0640);
    fixture_verified(&f);
}
END_TEST

START_TEST(passwords)
{
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(
        &f,
        APP
        "etc/passwd text=root::0:0:root:/root:/bin/sh\\napp:x:10:10::/:\\nx:$1$a$b:11:11::/:/bin/sh\\n# comment\\n\n"
        "etc/shadow text=root::1::::::\\napp:!:1::::::\\nx:$6$abc$def:1::::::\\n\n",
        STARTS, "{'profile':'safe','rules':{'user':'off'}}");
    qn_is(fixture_text(&f, "etc/passwd"),
          "root:*:0:0:root:/root:/bin/sh\napp:x:10:10::/:\nx:*:11:11::/:/bin/sh\n# comment\n");
    qn_is(fixture_text(&f, "etc/shadow"), "root:*:1::::::\napp:!:1::::::\nx:*:1::::::\n");
    ck_assert_int_eq(fixture_finding(&f, "DKL-LI-0001", "root")->level, QN_FATAL);
    fixture_verified(&f);
    /* A login service needs the passwords that are there, never empty ones. */
    fixture_make(&g,
                 APP "usr/sbin/sshd elf\netc/passwd text=root:x:0:0::/:/bin/sh\\n\n"
                     "etc/shadow text=root:$6$abc$def:1::::::\\nempty::1::::::\\n\n",
                 "'Cmd':['/usr/sbin/sshd','-D']", "");
    qn_is(fixture_text(&g, "etc/shadow"), "root:$6$abc$def:1::::::\nempty:*:1::::::\n");
    qn_is(fixture_text(&g, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
    const struct qn_finding *n = fixture_finding(&g, "NIST-IA-5", "root");
    ck_assert(n && !n->fixed);
    ck_assert_ptr_null(strstr(n->detail.p, "$6$"));
    fixture_verified(&g);
    /* No shadow file: "x" points to nothing, and nobody gets in by it. */
    fixture_make(&h, APP "etc/passwd text=root:x:0:0::/:/bin/sh\\n\n", STARTS, "{'rules':{'user':'off'}}");
    qn_is(fixture_text(&h, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
    fixture_verified(&h);
}
END_TEST

START_TEST(second_roots)
{
    auto_fixture f = {0}, g = {0};

    fixture_make(&f,
                 APP "etc/passwd "
                     "text=root:x:0:0::/root:/bin/sh\\ntoor:x:0:0::/root:/bin/sh\\nroot:x:0:0::/:/bin/sh\\nu:x:1:1::/:/"
                     "bin/false\\n\n"
                     "etc/shadow text=root:*:::::::\\ntoor:*:::::::\\n\n",
                 STARTS, "{'rules':{'user':'off'}}");
    qn_is(fixture_text(&f, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nu:x:1:1::/:/bin/false\n");
    qn_is(fixture_text(&f, "etc/shadow"), "root:*:::::::\n");
    ck_assert(fixture_finding(&f, "NIST-AC-2", "toor")->fixed);
    fixture_verified(&f);
    /* An image whose root has another name keeps it. */
    fixture_make(&g, APP "etc/passwd text=admin:x:0:0::/root:/bin/false\\nother:x:0:0::/:/bin/false\\n\n", STARTS,
                 "{'rules':{'user':'off'}}");
    qn_is(fixture_text(&g, "etc/passwd"), "admin:x:0:0::/root:/bin/false\n");
    fixture_verified(&g);
}
END_TEST

#define SHELLS                                                                                                         \
    "etc/passwd "                                                                                                      \
    "text=root:x:0:0::/root:/bin/bash\\napp:x:10:10::/:/bin/sh\\nrun:x:11:11::/:/bin/sh\\nnone:x:12:12::/:/bin/"       \
    "false\\nempty:x:13:13::/:\\n\n"

START_TEST(login_shells)
{
    auto_fixture f = {0}, g = {0}, h = {0}, i = {0};

    fixture_make(&f, APP "usr/sbin/nologin elf\n" SHELLS, STARTS ",'User':'run'", "");
    qn_is(fixture_text(&f, "etc/passwd"),
          "root:x:0:0::/root:/bin/bash\napp:x:10:10::/:/usr/sbin/nologin\nrun:x:11:11::/:/bin/sh\n"
          "none:x:12:12::/:/bin/false\nempty:x:13:13::/:/usr/sbin/nologin\n");
    fixture_verified(&f);
    /* su starts shells. */
    fixture_make(&g, APP "usr/bin/su elf\napp/x text=#!/bin/sh\\nsu app -c x\n" SHELLS, STARTS, "");
    ck_assert(!g.plan.fate[fixture_node(&g, "etc/passwd")].edited);
    fixture_verified(&g);
    fixture_make(&h, APP SHELLS, STARTS, "{'profile':'safe','rules':{'user':'off'}}");
    ck_assert(!h.plan.fate[fixture_node(&h, "etc/passwd")].edited);
    fixture_make(&i, APP SHELLS, STARTS, "{'use':'build'}");
    ck_assert(!i.plan.fate[fixture_node(&i, "etc/passwd")].edited);
}
END_TEST

START_TEST(unused_accounts)
{
    static const char *const layer =
        APP "etc/passwd "
            "text=root:x:0:0::/:/bin/false\\ngames:x:5:60::/:/bin/false\\nmail:x:8:8::/:/bin/false\\nnews:x:9:9::/:/"
            "bin/false\\n"
            "www-data:x:33:33::/:/bin/false\\n\netc/shadow text=games:*:::::::\\nmail:*:::::::\\n\nvar/mail/ uid=8\n"
            "app/x text=#!/bin/sh\\nchown-not news:news y\n";
    auto_fixture f = {0}, g = {0};

    fixture_make(&f, layer, STARTS, "{'profile':'strict','rules':{'user':'off'}}");
    qn_is(fixture_text(&f, "etc/passwd"),
          "root:x:0:0::/:/bin/false\nmail:x:8:8::/:/bin/false\nnews:x:9:9::/:/bin/false\n"
          "www-data:x:33:33::/:/bin/false\n");
    qn_is(fixture_text(&f, "etc/shadow"), "mail:*:::::::\n");
    fixture_verified(&f);
    fixture_make(&g, layer, STARTS, "{'rules':{'user':'off'}}");
    ck_assert(!g.plan.fate[fixture_node(&g, "etc/passwd")].edited);
}
END_TEST

START_TEST(unused_groups_and_ranges)
{
    static const char *const layer = APP
        "etc/passwd text=root:x:0:0::/:/bin/false\\nnobody:x:65534:65534::/:/bin/false\\napp:x:10:10::/:/bin/"
        "false\\nsshd:x:101:102::/:/bin/false\\nmessagebus:x:103:104::/:/bin/false\\ngames:x:5:60::/:/bin/false\\n\n"
        "etc/group text=root:x:0:\\nnogroup:x:65534:\\nadm:x:4:app,games\\naudio:x:29:games\\nvideo:x:44:\\n"
        "games:x:60:\\nmine:x:77:\\ntape:x:26:\\nmessagebus:x:104:\\n\n"
        "etc/gshadow text=root:*::\\naudio:!::games\\ngames:!::\\nmine:!::\\n\n"
        "etc/subuid text=app:100000:65536\\nold:165536:65536\\ngames:1:2\\n5:1:2\\n\n"
        "etc/conf text=Group tape\\nbin=/usr/games/x\\n\ndev2/v gid=44 text=x\nusr/sbin/sshd elf\n"
        "usr/lib/x/dbus-daemon elf\n";
    auto_fixture f = {0};

    fixture_make(&f, layer, STARTS ",'User':'app:mine'", "{'profile':'strict'}");
    /* sshd is there; a bus is not where one would be started from. */
    qn_is(fixture_text(&f, "etc/passwd"),
          "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\napp:x:10:10::/:/bin/false\n"
          "sshd:x:101:102::/:/bin/false\n");
    qn_is(fixture_text(&f, "etc/group"),
          "root:x:0:\nnogroup:x:65534:\nadm:x:4:app,games\nvideo:x:44:\nmine:x:77:\ntape:x:26:\n");
    qn_is(fixture_text(&f, "etc/gshadow"), "root:*::\nmine:!::\n");
    qn_is(fixture_text(&f, "etc/subuid"), "app:100000:65536\n5:1:2\n");
    fixture_verified(&f);
}
END_TEST

START_TEST(backups_and_odd_files)
{
    auto_fixture f = {0}, g = {0}, h = {0};

    fixture_make(&f, APP "etc/passwd- text=x\netc/shadow- text=x\netc/gshadow- text=x\netc/subuid- text=x\n", STARTS,
                 "");
    ck_assert(fixture_removed(&f, "etc/passwd-") && fixture_removed(&f, "etc/shadow-") &&
              fixture_removed(&f, "etc/subuid-"));
    fixture_verified(&f);
    /* Lines that are no rows, and a file that was not read. */
    fixture_make(&g, APP "etc/passwd text=\\n:\\nroot\\n+::::::\\nx:y\\n\n", STARTS, "{'rules':{'user':'off'}}");
    fixture_verified(&g);
    fixture_make(&h, APP "etc/passwd sparse=5000 text=root::0:0\n", STARTS, "");
    fixture_verified(&h);
}
END_TEST

START_TEST(accounts_reported)
{
    auto_fixture f = {0};

    fixture_make(&f, APP "etc/passwd text=root::0:0:root:/root:/bin/sh\\n\n", STARTS,
                 "{'rules':{'accounts':'report','user':'off'}}");
    ck_assert(!f.plan.fate[fixture_node(&f, "etc/passwd")].edited);
    ck_assert(!fixture_finding(&f, "DKL-LI-0001", "root")->fixed);
    fixture_verified(&f);
}
END_TEST

Suite *suite_rules_rights(void)
{
    const TTest *const tests[] = {setuid,
                                  setuid_that_is_needed,
                                  setuid_in_lower_layers,
                                  file_capabilities,
                                  capabilities_that_nothing_uses,
                                  capabilities_behind_a_hidden_name,
                                  world_writable,
                                  world_writable_for_a_user,
                                  world_writable_for_who_knows_whom,
                                  keys,
                                  shadow,
                                  passwords,
                                  second_roots,
                                  login_shells,
                                  unused_accounts,
                                  unused_groups_and_ranges,
                                  backups_and_odd_files,
                                  accounts_reported};
    return qn_suite("rules_rights", tests, QN_ARRAY_LEN(tests));
}
