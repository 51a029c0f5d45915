/* quench: one binary, one command at a time. */
#include "cli.h"

#include "worker/child.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>

static const struct {
    const char *id;
    const char *arguments, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
#define X(name, arguments, summary) {#name, arguments, summary, qn_cmd_##name},
#include "commands.def"
#undef X
};

/* Commands of the contract that a later version brings. */
static const char *const reserved[] = {"advisories", "pin", "gc", "scrub"};

static bool named(const char *id, const char *name)
{
    for (; *id && *name; id++, name++)
        if (*name != (*id == '_' ? '-' : *id))
            return false;
    return *id == *name;
}

static int help(int status)
{
    FILE *out = status ? stderr : stdout;

    fputs("quench hands out hardened container images.\n\nusage:\n", out);
    for (size_t i = 0; i < QN_ARRAY_LEN(commands); i++) {
        char name[32];
        snprintf(name, sizeof name, "%s", commands[i].id);
        for (char *c = name; *c; c++)
            if (*c == '_')
                *c = '-';
        fprintf(out, "  quench %-13s %-35s %s\n", name, commands[i].arguments, commands[i].summary);
    }
    fputs("\n`quench COMMAND --help` tells more.\n", out);
    return status;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return qn_worker_main();
    setlocale(LC_ALL, "C.UTF-8");
    if (argc < 2)
        return help(2);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(0);
    if (strcmp(argv[1], "--version") == 0)
        return qn_cmd_version(argc - 1, argv + 1);
    for (size_t i = 0; i < QN_ARRAY_LEN(commands); i++)
        if (named(commands[i].id, argv[1]))
            return commands[i].run(argc - 1, argv + 1);
    for (size_t i = 0; i < QN_ARRAY_LEN(reserved); i++)
        if (strcmp(reserved[i], argv[1]) == 0) {
            fprintf(stderr, "quench: not built yet: quench %s\n", argv[1]);
            return 2;
        }
    fprintf(stderr, "quench: there is no command \"%s\"; try quench --help\n", QN_Q(qn_str_c(argv[1])));
    return 2;
}
