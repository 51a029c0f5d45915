/* quench verify: the static verifier alone. */
#include "cli.h"
#include "oneshot_args.h"

#include <stdio.h>

#define REFUSED 3

static const char tail[] =
    "\n"
    "Checks an image as it is: what it starts is there and has its libraries, interpreters and users; databases and\n"
    "files agree; runtimes unpack its layers alike; the policy would leave it as it is.\n"
    "\n"
    "exit status: 0 all is well, 1 failed, 2 usage or configuration, 3 a check refuses the image\n";

static int print(const struct qn_oneshot_args *a, const struct qn_oneshot_result *r, struct qn_err *e)
{
    qn_auto_json json_t *list = json_array(), *sarif = NULL;

    for (size_t i = 0; i < r->n; i++) {
        json_t *o = json_copy(r->image[i].answer);
        qn_json_set_c(o, "platform", r->image[i].platform);
        qn_json_set(o, "source", json_incref(json_object_get(r->image[i].report, "source")));
        qn_json_push(list, o);
        if (a->format == QN_OUT_TEXT)
            qn_present_verification(&r->image[i], a->o.src);
    }
    if (a->format == QN_OUT_TEXT)
        return qn_present_flush(e);
    if (a->format == QN_OUT_SARIF)
        sarif = qn_present_sarif_checks(list, a->o.src);
    return qn_present_json(sarif ? sarif : list, e);
}

int qn_cmd_verify(int argc, char **argv)
{
    static const char *const names[] = {"SRC"};
    qn_auto_oneshot_result struct qn_oneshot_result r = {0};
    qn_auto_json json_t *question = json_object();
    struct qn_oneshot_args a;
    struct qn_err e;
    bool ok = true;

    int status = qn_oneshot_args(&a, "verify", names, 1, tail, argc, argv);
    if (status >= 0)
        return status;
    qn_json_set_bool(question, "verify", true);
    a.o.question = question;
    if (qn_oneshot_run(&a.o, &r, &e) < 0 || print(&a, &r, &e) < 0) {
        qn_err_wrap(&e, "verify");
        return qn_cli_error(&e);
    }
    for (size_t i = 0; i < r.n; i++)
        ok = ok && json_is_true(json_object_get(r.image[i].answer, "ok"));
    if (!ok)
        fprintf(stderr, "quench: verify: %s: refused\n", a.o.src);
    return ok ? 0 : REFUSED;
}
