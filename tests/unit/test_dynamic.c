/* Commands of shell text, and scripts that make up what they run. */
#include "image/dynamic.h"
#include "image/shell_commands.h"
#include "image_fixture.h"

#include <stdlib.h>

/* Words by "|", commands by newlines. */
static void commands_are(const char *text, const char *want)
{
    qn_auto_buf struct qn_buf b = {.max = 65536};
    struct qn_shell_reader r;
    struct qn_shell_command c;
    struct qn_err e;

    qn_shell_reader_init(&r, qn_str_c(text));
    while (qn_shell_command(&r, &c))
        for (size_t i = 0; i < c.words; i++) {
            const char *before = i ? "|" : b.n ? "\n" : "";
            qn_ok(qn_buf_c(&b, before, &e), e);
            qn_ok(qn_buf_str(&b, c.word[i], &e), e);
        }
    qn_ok(qn_buf_c(&b, "", &e), e);
    ck_assert_msg(strcmp(b.p ? b.p : "", want) == 0, "%s: \"%s\" instead of \"%s\"", text, b.p, want);
}

START_TEST(commands)
{
    commands_are("", "");
    commands_are("a b; c", "a|b\nc");
    commands_are("a \\\n b # c\nd", "a|b\nd");
    commands_are("a 'b; c' \"d; e\"", "a|'b; c'|\"d; e\"");
    commands_are("a $(b c) d", "a|$(b c)|d\nb|c");
    commands_are("a \"`b \\\"c`\"", "a|\"`b \\\"c`\"\nb|\\\"c");
    commands_are("a ${b:-c d} \"${e:-\"f g\"}\"", "a|${b:-c d}|\"${e:-\"f g\"}\"");
    commands_are("a > b 2>&1 c <<< d", "a|c");
    commands_are("cat <<A b\n$x y\nA\nc", "cat|b\nc");
    commands_are("cat <<-'E F'\n$x\n\tE F\nc", "cat\nc");
    commands_are("case $a in\n$b|c) d;;\n*) e\nesac; f", "case|$a|in\nd\ne\nesac\nf");
    commands_are("case a in (b) c;; esac", "case|a|in\nc");
    commands_are("if [[ $a && ( $b || c ) ]]; then d; fi", "if|[[|$a|$b|c|]]\nthen|d\nfi");
    commands_are("x=(a $b) c", "x=(a $b)|c");
    commands_are("((a + b)); c $((d * (e))) f", "c|$((d * (e)))|f");
    commands_are("f() { a; }", "f\n{|a\n}");
    commands_are("a |& b && c & d", "a\nb\nc\nd");
    commands_are("diff <(a b) c", "diff|c\na|b");
    /* Damaged text ends. */
    commands_are("a \"b", "a|\"b");
    commands_are("a $(b", "a|$(b");
    commands_are("a '", "a|'");
    commands_are("cat <<E\nb", "cat");
    commands_are("case a in", "case|a|in");
    commands_are("a ${b", "a|${b");
    commands_are("\\", "\\");
}
END_TEST

/* What is nested too deeply is said to be more than can be followed, in a time that the text's length bounds. */
START_TEST(too_deep)
{
    enum { N = 200000 };
    char *text = qn_xcalloc(N + 1, 1);
    struct qn_str what;

    for (size_t i = 0; i + 2 < N; i += 2)
        memcpy(text + i, "$(", 2);
    ck_assert(qn_script_dynamic(NULL, qn_str_c(text), &what));
    memset(text, '(', N);
    ck_assert(!qn_script_dynamic(NULL, qn_str_c(text), &what));
    for (size_t i = 0; i + 6 < N; i += 6)
        memcpy(text + i, "$(a); ", 6);
    (void)qn_script_dynamic(NULL, qn_str_c(text), &what);
    free(text);
}
END_TEST

static const char *const yes[] = {"$CMD x",
                                  "if true; then \"${RUN}\" x; fi",
                                  "eval \"$x\"",
                                  ". \"$f\"",
                                  "source $conf",
                                  "sh -c \"$1\"",
                                  "bash -ec $X",
                                  "X=1 $Y",
                                  "a | $PAGER",
                                  "x=`$CMD arg`",
                                  "x=$($CMD arg)",
                                  "true && $1",
                                  "for f in *; do \"$f\"; done",
                                  "case $x in a) $CMD;; esac",
                                  "X=`cat f`; $X",
                                  "X=a; read -r X; $X",
                                  "eval exec $X",
                                  "cat <<E\n$X\nE\n$Y z",
                                  "x=a; x=$(b); exec \"$x\"",
                                  "redis-$X",
                                  "sh <<E\n$X\nE"};

static const char *const no[] = {"exec \"$@\"",
                                 "exec $@",
                                 "echo $x",
                                 "# $CMD",
                                 "x=$Y",
                                 "cp \"$a\" \"$b\"",
                                 "[ \"$1\" = x ]",
                                 ". /etc/x",
                                 "sh -c 'x'",
                                 "echo '$X; $Y'",
                                 "set -- a $b",
                                 "\"$*\"",
                                 "echo \"a; $b\"",
                                 "case \"$1\" in a) b;; esac",
                                 "$(dirname x)/y",
                                 "test $# -gt 0",
                                 "$0 again",
                                 "exec \"$JAVA_HOME\"/bin/java",
                                 "\"$(dirname \"$0\")/../lib/x\" a",
                                 "CMD=jq\n$CMD -n 1",
                                 "RUN=\"$HOME_\"/bin/java; eval exec \"\\\"$RUN\\\"\" $OPTS",
                                 "args=\"$args $arg\"",
                                 "shift $(($OPTIND - 1))",
                                 "cat <<E\n$X\nE\n",
                                 "case \"$1\" in\n$X) b;;\n\"$Y\") c;; esac",
                                 "[[ $a && $b ]]",
                                 "a=(\"$x\" $y)",
                                 "cmd=(java -jar); cmd+=(\"$1\"); exec \"${cmd[@]}\"",
                                 "P=$(command -v php); \"$P\" x",
                                 "X=; if a; then X=nohup; fi; $X b",
                                 "${CTL:-apachectl} x",
                                 "echo a > \"$f\" 2>&1",
                                 ". \"$DIR\"/env.sh",
                                 "f() { b \"$1\"; }"};

static bool dynamic(const char *text)
{
    struct qn_str what;
    return qn_script_dynamic(NULL, qn_str_c(text), &what);
}

START_TEST(by_its_text)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(yes); i++)
        ck_assert_msg(dynamic(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < QN_ARRAY_LEN(no); i++)
        ck_assert_msg(!dynamic(no[i]), "%s", no[i]);
}
END_TEST

static void image_is(const char *layer, const char *config, const char *where)
{
    auto_fixture f = {0};
    struct qn_str at, what;

    fixture_layer(&f, layer);
    fixture_policy(&f, "");
    fixture_image(&f, config);
    bool found = qn_image_dynamic(&f.image, &at, &what);
    ck_assert_msg(found == (where != NULL), "%s", layer);
    if (where)
        ck_assert_msg(qn_str_eq_c(at, where), "%.*s instead of %s", QN_FMT(at), where);
}

/* What the image holds decides, too: its environment, directories, parts of scripts. */
START_TEST(by_the_image)
{
    static const char *const starts = "'Entrypoint':['/e'],'Env':['RUN=server']";

    image_is("e text=#!/bin/sh\\n$RUN x\\n\n", starts, NULL);
    image_is("e text=#!/bin/sh\\n$OTHER x\\n\n", starts, "e");
    /* The files of a directory: the application's are reached. */
    image_is("e text=#!/bin/sh\\nfor f in /e.d/*; do . \"$f\"; done\\n\ne.d/a.sh text=b\\n\n", starts, NULL);
    image_is(
        "e text=#!/bin/sh\\nfind /e.d/ -type f | sort | while read -r f; do \"$f\"; done\\n\ne.d/a text=#!/bin/sh\\n\n",
        starts, NULL);
    image_is("e text=#!/bin/sh\\nrun() {\\nfor f; do . \"$f\"; done\\n}\\nrun /e.d/*\\n\ne.d/a.sh text=b\\n\n", starts,
             NULL);
    image_is("e text=#!/bin/sh\\nrun() {\\nfor f; do . \"$f\"; done\\n}\\nrun $(cat /list)\\n\n", starts, "e");
    image_is("e text=#!/bin/sh\\ncat /list | while read -r f; do \"$f\"; done\\n\n", starts, "e");
    image_is("e text=#!/bin/sh\\n/opt/x/bin/$1\\n\nopt/x/bin/a text=#!/bin/sh\\n$OTHER\\n\n", starts, "opt/x/bin/a");
    /* A part of a script gives the value, or makes up its own. */
    image_is("e text=#!/bin/sh\\n. \"$HOME/env.sh\"\\n$SERVER x\\n\nopt/env.sh text=SERVER=server\\n\n", starts, NULL);
    image_is("e text=#!/bin/sh\\n. \"$HOME/env.sh\"\\nserver\\n\nopt/env.sh text=$SERVER\\n\n", starts, "opt/env.sh");
}
END_TEST

static void reaches(const char *layer, const char *config, const char *path, bool want)
{
    auto_fixture f = {0};

    fixture_layer(&f, layer);
    fixture_policy(&f, "");
    fixture_image(&f, config);
    ck_assert_msg(fixture_reached(&f, path) == want, "%s: %s", layer, path);
}

#define OWNED(paths) "var/lib/dpkg/status text=" DPKG_STATUS("p", "") "\nvar/lib/dpkg/info/p.list text=" paths "\\n\n"

/* What a script sources is a part of it; a program in a directory that it computes is the one of that name. */
START_TEST(parts)
{
    static const char *const starts = "'Entrypoint':['/e']";

    reaches("e text=#!/bin/sh\\n. /etc/default/x\\n\netc/default/x text=A=1; tool\\n\nusr/bin/tool elf\n" OWNED(
                "/etc/default/x\\n/usr/bin/tool"),
            starts, "usr/bin/tool", true);
    reaches("e text=#!/bin/sh\\n: ${F:=$D/vars}\\n. \"$F\"\\n\netc/x/vars text=tool\\n\nusr/bin/tool elf\n" OWNED(
                "/etc/x/vars\\n/usr/bin/tool"),
            starts, "usr/bin/tool", true);
    reaches("e text=#!/bin/sh\\ncat /etc/default/x\\n\netc/default/x text=A=1; tool\\n\nusr/bin/tool elf\n" OWNED(
                "/etc/default/x\\n/usr/bin/tool"),
            starts, "usr/bin/tool", false);
    reaches("e text=#!/bin/sh\\nexec $J/bin/jvm\\n\nusr/lib/j/bin/jvm elf\n" OWNED("/usr/lib/j/bin/jvm"), starts,
            "usr/lib/j/bin/jvm", true);
    reaches("e text=#!/bin/sh\\nexec /usr/lib/x/bin/$1\\n\nusr/lib/x/bin/a elf\n" OWNED("/usr/lib/x/bin/a"), starts,
            "usr/lib/x/bin/a", true);
    reaches("e text=#!/bin/sh\\nexec /usr/bin/$1\\n\nusr/bin/a elf\n" OWNED("/usr/bin/a"), starts, "usr/bin/a", false);
    /* Words of sentences are no programs; commands are. */
    reaches("e text=#!/bin/sh\\necho for more information\\n\nusr/bin/more elf\n" OWNED("/usr/bin/more"), starts,
            "usr/bin/more", false);
    reaches("e text=#!/bin/sh\\ncat a | more\\n\nusr/bin/more elf\n" OWNED("/usr/bin/more"), starts, "usr/bin/more",
            true);
    reaches("e text=#!/bin/sh\\nif more a; then b; fi\\n\nusr/bin/more elf\n" OWNED("/usr/bin/more"), starts,
            "usr/bin/more", true);
    reaches("e text=#!/usr/bin/python3\\nopen('/etc/passwd')\\n\nusr/bin/passwd elf\n" OWNED("/usr/bin/passwd"), starts,
            "usr/bin/passwd", false);
    reaches("e text=#!/usr/bin/python3\\nrun('/usr/bin/passwd')\\n\nusr/bin/passwd elf\n" OWNED("/usr/bin/passwd"),
            starts, "usr/bin/passwd", true);
    /* Jobs of a package manager's own go with it. */
    reaches("usr/sbin/cron elf\netc/cron.daily/dpkg text=#!/bin/sh\\ntool\\n\nusr/bin/tool elf\nvar/lib/dpkg/status "
            "text=" DPKG_STATUS("dpkg", "") DPKG_STATUS(
                "tool", "") "\nvar/lib/dpkg/info/dpkg.list text=/etc/cron.daily/dpkg\\n\nvar/lib/dpkg/info/tool.list "
                            "text=/usr/bin/tool\\n\n",
            "'Cmd':['cron']", "usr/bin/tool", false);
}
END_TEST

Suite *suite_dynamic(void);
Suite *suite_dynamic(void)
{
    const TTest *const tests[] = {commands, too_deep, by_its_text, by_the_image, parts};
    return qn_suite("dynamic", tests, QN_ARRAY_LEN(tests));
}
