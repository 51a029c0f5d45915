#include "oneshot_args.h"
#include "cli.h"

#include <stdio.h>

enum { OPT_FORMAT = QN_OPT_OWN, OPT_JSON };

static const struct option options[] = {QN_ONESHOT_SOURCE_OPTIONS,
                                        QN_ONESHOT_POLICY_OPTIONS,
                                        {"format", required_argument, NULL, OPT_FORMAT},
                                        {"json", no_argument, NULL, OPT_JSON},
                                        {0}};

static const char help[] =
    "\n"
    "Images are docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF].\n"
    "\n"
    "  -c, --config FILE          configuration (default " QN_DEFAULT_CONFIG ", or built-in values)\n"
    "      --policy NAME          policy of the configuration; default: the first that matches a docker:// image\n"
    "      --profile NAME         safe, standard or strict\n"
    "      --use USE              run, or build for a base image\n"
    "      --platform OS/ARCH     of an index; again for more, or \"all\"\n"
    "      --rule NAME=STATE      on, off or report; again for more\n"
    "      --keep GLOB            paths that stay; again for more\n"
    "      --keep-command WORDS   a command line that must work; again for more\n"
    "      --format FORMAT        text, json or sarif\n"
    "      --json                 the same as --format json\n"
    "      --work DIR             where a private directory is made (default $TMPDIR, or /tmp)\n"
    "      --src-plain-http       the registry speaks http\n"
    "      --quiet                no progress\n";

static int one(struct qn_oneshot_args *a, int code, bool *wants_help, struct qn_err *e)
{
    switch (code) {
    case QN_OPT_HELP:
        *wants_help = true;
        return 0;
    case OPT_FORMAT:
        return qn_output_parse(optarg, &a->format, e);
    case OPT_JSON:
        a->format = QN_OUT_JSON;
        return 0;
    default:
        return qn_oneshot_option(&a->o, code, optarg, e);
    }
}

int qn_oneshot_args(struct qn_oneshot_args *a, const char *command, const char *const *names, size_t n,
                    const char *tail, int argc, char **argv)
{
    bool wants_help = false;
    struct qn_err e;
    int c;

    *a = (struct qn_oneshot_args){.o = {.command = command, .plan_only = true}, .format = QN_OUT_TEXT};
    opterr = 0; /* one line, in our words */
    while ((c = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
        if (c == '?' || c == ':')
            return qn_cli_usage(command, "\"%s\": %s", QN_Q(qn_str_c(argv[optind - 1])),
                                c == '?' ? "no such option" : "needs an argument");
        if (one(a, c, &wants_help, &e) < 0) {
            qn_err_wrap(&e, "%s", command);
            return qn_cli_error(&e);
        }
    }
    if (wants_help) {
        printf("usage: quench %s %s\n%s%s", command, qn_cli_arguments(command), help, tail);
        return 0;
    }
    size_t given = (size_t)(argc - optind);
    if (given < n)
        return qn_cli_usage(command, "%s is missing", names[given]);
    if (given > n)
        return qn_cli_usage(command, "\"%s\" is one argument too many", QN_Q(qn_str_c(argv[optind + (int)n])));
    for (size_t i = 0; i < n; i++)
        a->positional[i] = argv[optind + (int)i];
    a->o.src = a->positional[0];
    return -1;
}
