/* quench harden: one image without a daemon. */
#include "cli.h"
#include "oneshot.h"
#include "present.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VERIFIER_BACKED_OFF 4

enum { OPT_DRY_RUN = QN_OPT_OWN, OPT_REPORT, OPT_FORMAT, OPT_ALLOW_BACK_OFF, OPT_USED_BY };

static const struct option options[] = {QN_ONESHOT_SOURCE_OPTIONS,
                                        QN_ONESHOT_POLICY_OPTIONS,
                                        {"dst-plain-http", no_argument, NULL, QN_OPT_DST_PLAIN},
                                        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
                                        {"report", required_argument, NULL, OPT_REPORT},
                                        {"format", required_argument, NULL, OPT_FORMAT},
                                        {"allow-back-off", no_argument, NULL, OPT_ALLOW_BACK_OFF},
                                        {"used-by", required_argument, NULL, OPT_USED_BY},
                                        {0}};

static const char help[] =
    "\n"
    "SRC and DST are docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG] or\n"
    "docker-archive:FILE[:REF].\n"
    "\n"
    "  -c, --config FILE          configuration (default " QN_DEFAULT_CONFIG ", or built-in values)\n"
    "      --policy NAME          policy of the configuration; default: the first that matches a docker:// SRC\n"
    "      --profile NAME         safe, standard or strict\n"
    "      --use USE              run, or build for a base image\n"
    "      --platform OS/ARCH     of an index; again for more, or \"all\"\n"
    "      --rule NAME=STATE      on, off or report; again for more\n"
    "      --keep GLOB            paths that stay; again for more\n"
    "      --keep-command WORDS   a command line that must work; again for more\n"
    "      --dry-run              write nothing; DST may be left out\n"
    "      --report FILE          reports as a JSON array, one a platform\n"
    "      --format FORMAT        of standard output: text, json or sarif\n"
    "      --work DIR             where a private directory is made (default $TMPDIR, or /tmp)\n"
    "      --allow-back-off       exit 0 although the verifier made a profile back off\n"
    "      --src-plain-http       SRC's registry speaks http\n"
    "      --dst-plain-http       DST's registry speaks http\n"
    "      --quiet                no progress, and no text when all is well\n"
    "\n"
    "exit status: 0 done, 1 failed, 2 usage or configuration, 3 refused, 4 hardened less than the profile asks for\n";

struct harden {
    struct qn_oneshot_options o;
    enum qn_output format;
    const char *report;
    bool dry_run, allow_back_off, help;
};

static int one_option(struct harden *h, int code, struct qn_err *e)
{
    switch (code) {
    case QN_OPT_HELP:
        h->help = true;
        return 0;
    case OPT_DRY_RUN:
        h->dry_run = true;
        return 0;
    case OPT_REPORT:
        h->report = optarg;
        return 0;
    case OPT_FORMAT:
        return qn_output_parse(optarg, &h->format, e);
    case OPT_ALLOW_BACK_OFF:
        h->allow_back_off = true;
        return 0;
    case OPT_USED_BY:
        return qn_fail(e, QN_E_NOT_BUILT, "not built yet: --used-by");
    default:
        return qn_oneshot_option(&h->o, code, optarg, e);
    }
}

/* The file appears whole. */
static int write_report(const char *path, const struct qn_oneshot_result *r, struct qn_err *e)
{
    qn_auto_json json_t *list = qn_present_reports(r);
    qn_auto_free char *tmp = qn_xasprintf("%s.%ld.part", path, (long)getpid());
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 1u << 30);
    if (qn_json_print_pretty(list, &b, e) < 0 || qn_buf_c(&b, "\n", e) < 0)
        return qn_err_wrap(e, "--report");
    qn_auto_close int fd = open(tmp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "--report %s", path);
    int w = qn_fd_write(fd, b.p, b.n, e);
    if (w == 0 && rename(tmp, path) < 0)
        w = qn_fail_errno(e, QN_E_IO, "rename");
    if (w < 0)
        unlink(tmp);
    return w < 0 ? qn_err_wrap(e, "--report %s", path) : 0;
}

static int print(const struct harden *h, const struct qn_oneshot_result *r, struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;

    if (h->format != QN_OUT_TEXT) {
        j = h->format == QN_OUT_JSON ? qn_present_reports(r) : qn_present_sarif(r, h->o.src, false);
        return qn_present_json(j, e);
    }
    for (size_t i = 0; i < r->n && !h->o.quiet; i++) {
        if (i > 0)
            putchar('\n');
        qn_present_hardened(&r->image[i], h->o.src, h->o.dst);
    }
    return qn_present_flush(e);
}

static int run(const struct harden *h)
{
    qn_auto_oneshot_result struct qn_oneshot_result r = {0};
    struct qn_err e;

    if (qn_oneshot_run(&h->o, &r, &e) < 0 || (h->report && write_report(h->report, &r, &e) < 0) ||
        print(h, &r, &e) < 0) {
        qn_err_wrap(&e, "harden");
        return qn_cli_error(&e);
    }
    if (!r.backed_off || h->allow_back_off)
        return 0;
    fprintf(stderr, "quench: harden: %s: hardened less than the profile asks for, because the verifier refused that\n",
            h->o.src);
    return VERIFIER_BACKED_OFF;
}

int qn_cmd_harden(int argc, char **argv)
{
    struct harden h = {.o = {.command = "harden"}, .format = QN_OUT_TEXT};
    struct qn_err e;
    int c;

    opterr = 0; /* one line, in our words */
    while ((c = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
        if (c == '?' || c == ':')
            return qn_cli_usage("harden", "\"%s\": %s", QN_Q(qn_str_c(argv[optind - 1])),
                                c == '?' ? "no such option" : "needs an argument");
        if (one_option(&h, c, &e) < 0) {
            qn_err_wrap(&e, "harden");
            return qn_cli_error(&e);
        }
    }
    if (h.help) {
        printf("usage: quench harden %s\n%s", qn_cli_arguments("harden"), help);
        return 0;
    }
    if (argc - optind < 1 + !h.dry_run)
        return qn_cli_usage("harden", h.dry_run ? "SRC is missing" : "SRC and DST are needed");
    if (argc - optind > 2)
        return qn_cli_usage("harden", "\"%s\" is one argument too many", QN_Q(qn_str_c(argv[optind + 2])));
    h.o.src = argv[optind];
    h.o.dst = h.dry_run ? NULL : argv[optind + 1];
    return run(&h);
}
