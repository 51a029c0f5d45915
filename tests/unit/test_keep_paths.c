/* Dependencies on paths: of a toolbox that program alone stays, which shell stays is decided by who needs one. */
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

Suite *suite_keep_paths(void)
{
    const TTest *const tests[] = {programs_of_a_toolbox};
    return qn_suite("keep_paths", tests, QN_ARRAY_LEN(tests));
}
