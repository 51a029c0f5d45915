/* Dependencies on paths: of a toolbox that program alone stays, which shell stays is decided by who needs one. What
 * other rules left of a package; tools for who logs in. */
#include "image_fixture.h"

START_TEST(programs_of_a_toolbox)
{
    auto_fixture f = {0};

    fixture_make(
        &f,
        "opt/app elf\nusr/share/app/data text=x\nusr/bin/env elf\nusr/bin/ls elf\nusr/libexec/coreutils/x text=x\n"
        "bin/bash elf\nusr/share/bash-data text=x\netc/apk/world text=app\\n\nlib/apk/db/installed text="
        "P:app\\nV:1\\nA:x86_64\\nD:/usr/bin/env /bin/bash\\nF:usr/share/app\\nR:data\\n\\n"
        "P:coreutils\\nV:1\\nA:x86_64\\nF:usr/bin\\nR:env\\nR:ls\\nF:usr/libexec/coreutils\\nR:x\\n\\n"
        "P:bash\\nV:1\\nA:x86_64\\nF:bin\\nR:bash\\nF:usr/share\\nR:bash-data\\n\\n\n",
        "'Entrypoint':['/opt/app']", "");
    ck_assert(!fixture_removed(&f, "usr/share/app/data") && !fixture_removed(&f, "usr/bin/env"));
    ck_assert(fixture_removed(&f, "usr/bin/ls"));
    ck_assert(fixture_removed(&f, "bin/bash") && fixture_removed(&f, "usr/share/bash-data"));
    /* Hardened again, it stays as it is: what names the program is still there, and so is the program. */
    fixture_verified(&f);
}
END_TEST

#define LIST(name, files) "var/lib/dpkg/info/" name ".list text=" files "\\n\n"

/* A chosen package of which its licence is left depends on nothing: the next time it is not even listed. */
START_TEST(licences_need_nothing)
{
    auto_fixture f = {0};

    fixture_make(&f,
                 "opt/app elf\nusr/bin/gdb elf\nusr/share/doc/gdb/copyright text=c\nusr/lib/libgdbparts.so.1 elf\n"
                 "usr/share/meta/x text=x\nusr/share/doc/meta/copyright text=c\nvar/lib/dpkg/status text=" DPKG_STATUS(
                     "gdb", "Depends: gdbparts\\n") DPKG_STATUS("gdbparts", "") DPKG_STATUS("all", "Depends: meta\\n")
                     DPKG_STATUS("meta", "") "\n" LIST("gdb", "/usr/bin/gdb\\n/usr/share/doc/gdb/copyright")
                         LIST("gdbparts", "/usr/lib/libgdbparts.so.1") LIST("all", "/usr/share/doc/meta/copyright")
                             LIST("meta", "/usr/share/meta/x") "var/lib/apt/extended_states text=Package: "
                                                               "gdbparts\\nAuto-Installed: 1\\n\\nPackage: meta\\n"
                                                               "Auto-Installed: 1\\n\\n\n",
                 "'Entrypoint':['/opt/app']", "");
    ck_assert(fixture_removed(&f, "usr/bin/gdb") && fixture_removed(&f, "usr/lib/libgdbparts.so.1"));
    ck_assert(!fixture_removed(&f, "usr/share/doc/gdb/copyright"));
    /* A package that never had anything else exists for its dependencies. */
    ck_assert(!fixture_removed(&f, "usr/share/meta/x"));
    fixture_verified(&f);
}
END_TEST

START_TEST(tools_for_logins)
{
    auto_fixture f = {0}, g = {0};
    static const char layer[] =
        "usr/sbin/sshd elf\nusr/bin/dash elf\nusr/bin/sh -> dash\nbin -> usr/bin\nusr/bin/cat elf\nusr/bin/dd elf\n"
        "srv/run text=#!/bin/sh\\nexec true\\n\n"
        "etc/passwd text=root:x:0:0::/root:/bin/sh\\n\nvar/lib/dpkg/status text=" DPKG_STATUS("openssh-server", "")
            DPKG_STATUS("dash", "") DPKG_STATUS("coreutils", "") "\n" LIST("openssh-server", "/usr/sbin/sshd")
                LIST("dash", "/usr/bin/dash\\n/usr/bin/sh") LIST("coreutils", "/usr/bin/cat\\n/usr/bin/dd");

    fixture_make(&f, layer, "'Cmd':['/usr/sbin/sshd','-D']", "{'profile':'strict'}");
    ck_assert(!fixture_removed(&f, "usr/bin/dash") && !fixture_removed(&f, "usr/bin/cat"));
    ck_assert(fixture_removed(&f, "usr/bin/dd"));
    fixture_verified(&f);
    fixture_make(&g, layer, "'Cmd':['/srv/run']", "{'profile':'strict'}");
    ck_assert(!fixture_removed(&g, "usr/bin/dash") && fixture_removed(&g, "usr/bin/cat"));
    fixture_verified(&g);
}
END_TEST

/* A compiler that runs links: with what stands beside the headers that it reads. */
START_TEST(libraries_for_linkers)
{
    auto_fixture f = {0}, g = {0};
    static const char layer[] =
        "usr/bin/gcc elf\nusr/bin/ld elf\nusr/include/x.h text=x\nusr/lib/libx.so text=GROUP ( libx.so.1 "
        ")\nusr/bin/app "
        "elf\nvar/lib/dpkg/status text=" DPKG_STATUS("gcc", "") DPKG_STATUS("x-dev", "")
            DPKG_STATUS("app", "") "\n" LIST("gcc", "/usr/bin/gcc\\n/usr/bin/ld")
                LIST("x-dev", "/usr/include/x.h\\n/usr/lib/libx.so") LIST("app", "/usr/bin/app");

    fixture_make(&f, layer, "'Cmd':['gcc','x.c']", "{'profile':'strict'}");
    ck_assert(!fixture_removed(&f, "usr/include/x.h") && !fixture_removed(&f, "usr/lib/libx.so"));
    fixture_verified(&f);
    fixture_make(&g, layer, "'Cmd':['app']", "{'profile':'strict'}");
    ck_assert(fixture_removed(&g, "usr/bin/gcc") && fixture_removed(&g, "usr/lib/libx.so"));
    fixture_verified(&g);
}
END_TEST

Suite *suite_keep_paths(void)
{
    const TTest *const tests[] = {programs_of_a_toolbox, licences_need_nothing, tools_for_logins,
                                  libraries_for_linkers};
    return qn_suite("keep_paths", tests, QN_ARRAY_LEN(tests));
}
