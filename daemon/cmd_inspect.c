/* quench inspect: what an image is made of, without changing it. */
#include "cli.h"
#include "oneshot.h"
#include "present.h"

#include <stdio.h>

#define GATE_CLOSED 3

enum { OPT_FORMAT = QN_OPT_OWN, OPT_JSON, OPT_FAIL_ON };

static const struct option options[] = {QN_ONESHOT_SOURCE_OPTIONS,
                                        {"format", required_argument, NULL, OPT_FORMAT},
                                        {"json", no_argument, NULL, OPT_JSON},
                                        {"fail-on", required_argument, NULL, OPT_FAIL_ON},
                                        {0}};

static const char help[] =
    "\n"
    "SRC is docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF].\n"
    "\n"
    "  -c, --config FILE          configuration (default " QN_DEFAULT_CONFIG ", or built-in values)\n"
    "      --policy NAME          policy that \"would\" means; default: the first that matches a docker:// SRC\n"
    "      --platform OS/ARCH     of an index; again for more, or \"all\"\n"
    "      --format FORMAT        text, json or sarif\n"
    "      --json                 the same as --format json: an array, one object a platform\n"
    "      --fail-on LEVEL        exit 3 when there is a finding of info, warn or fatal, or worse\n"
    "      --work DIR             where a private directory is made (default $TMPDIR, or /tmp)\n"
    "      --src-plain-http       SRC's registry speaks http\n"
    "      --quiet                no progress\n"
    "\n"
    "exit status: 0 done, 1 failed, 2 usage or configuration, 3 --fail-on found something\n";

struct inspect {
    struct qn_oneshot_options o;
    enum qn_output format;
    const char *fail_on;
    bool help;
};

static int one_option(struct inspect *t, int code, struct qn_err *e)
{
    switch (code) {
    case QN_OPT_HELP:
        t->help = true;
        return 0;
    case OPT_FORMAT:
        return qn_output_parse(optarg, &t->format, e);
    case OPT_JSON:
        t->format = QN_OUT_JSON;
        return 0;
    case OPT_FAIL_ON:
        t->fail_on = optarg;
        if (strcmp(optarg, "info") == 0 || strcmp(optarg, "warn") == 0 || strcmp(optarg, "fatal") == 0)
            return 0;
        return qn_fail(e, QN_E_USAGE, "--fail-on \"%s\": is none of info, warn, fatal", QN_Q(qn_str_c(optarg)));
    default:
        return qn_oneshot_option(&t->o, code, optarg, e);
    }
}

static int print(const struct inspect *t, const struct qn_oneshot_result *r, struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;

    if (t->format == QN_OUT_TEXT) {
        for (size_t i = 0; i < r->n; i++) {
            if (i > 0)
                putchar('\n');
            qn_present_inspection(&r->image[i], t->o.src);
        }
        return qn_present_flush(e);
    }
    if (t->format == QN_OUT_SARIF) {
        j = qn_present_sarif(r, t->o.src, true);
    } else {
        j = json_array();
        for (size_t i = 0; i < r->n; i++)
            qn_json_push(j, qn_present_inspected(&r->image[i]));
    }
    return qn_present_json(j, e);
}

static int run(const struct inspect *t)
{
    qn_auto_oneshot_result struct qn_oneshot_result r = {0};
    struct qn_err e;

    if (qn_oneshot_run(&t->o, &r, &e) < 0 || print(t, &r, &e) < 0) {
        qn_err_wrap(&e, "inspect");
        return qn_cli_error(&e);
    }
    size_t n = t->fail_on ? qn_present_count(&r, t->fail_on) : 0;
    if (n == 0)
        return 0;
    fprintf(stderr, "quench: inspect: %s: %zu findings of level %s or above\n", t->o.src, n, t->fail_on);
    return GATE_CLOSED;
}

int qn_cmd_inspect(int argc, char **argv)
{
    struct inspect t = {.o = {.command = "inspect", .plan_only = true, .every_rule = true}, .format = QN_OUT_TEXT};
    struct qn_err e;
    int c;

    opterr = 0; /* one line, in our words */
    while ((c = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
        if (c == '?' || c == ':')
            return qn_cli_usage("inspect", "\"%s\": %s", QN_Q(qn_str_c(argv[optind - 1])),
                                c == '?' ? "no such option" : "needs an argument");
        if (one_option(&t, c, &e) < 0) {
            qn_err_wrap(&e, "inspect");
            return qn_cli_error(&e);
        }
    }
    if (t.help) {
        printf("usage: quench inspect %s\n%s", qn_cli_arguments("inspect"), help);
        return 0;
    }
    if (argc - optind < 1)
        return qn_cli_usage("inspect", "SRC is missing");
    if (argc - optind > 1)
        return qn_cli_usage("inspect", "\"%s\" is one argument too many", QN_Q(qn_str_c(argv[optind + 1])));
    t.o.src = argv[optind];
    return run(&t);
}
