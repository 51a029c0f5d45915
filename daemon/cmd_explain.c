/* quench explain: why a path or a package is kept or removed. */
#include "cli.h"
#include "oneshot_args.h"

static const char tail[] =
    "\n"
    "PATH is absolute; a word without a slash is a package, or a command of the image's PATH.\n"
    "\n"
    "exit status: 0 done, 1 failed (there is no such path or package), 2 usage or configuration\n";

static int print(const struct qn_oneshot_args *a, const struct qn_oneshot_result *r, struct qn_err *e)
{
    qn_auto_json json_t *list = json_array();

    for (size_t i = 0; i < r->n; i++) {
        if (a->format == QN_OUT_TEXT) {
            qn_present_explanation(&r->image[i], r->n > 1);
            continue;
        }
        json_t *o = json_copy(r->image[i].answer);
        qn_json_set_c(o, "platform", r->image[i].platform);
        qn_json_push(list, o);
    }
    return a->format == QN_OUT_TEXT ? qn_present_flush(e) : qn_present_json(list, e);
}

int qn_cmd_explain(int argc, char **argv)
{
    static const char *const names[] = {"SRC", "PATH or PACKAGE"};
    qn_auto_oneshot_result struct qn_oneshot_result r = {0};
    qn_auto_json json_t *question = json_object();
    struct qn_oneshot_args a;
    struct qn_err e;

    int status = qn_oneshot_args(&a, "explain", names, 2, tail, argc, argv);
    if (status >= 0)
        return status;
    if (a.format == QN_OUT_SARIF)
        return qn_cli_usage("explain", "--format sarif: an explanation is no list of findings; text or json");
    if (!*a.positional[1])
        return qn_cli_usage("explain", "PATH or PACKAGE is empty");
    qn_json_set_c(question, "explain", a.positional[1]);
    a.o.question = question;
    if (qn_oneshot_run(&a.o, &r, &e) < 0 || print(&a, &r, &e) < 0) {
        qn_err_wrap(&e, "explain");
        return qn_cli_error(&e);
    }
    return 0;
}
