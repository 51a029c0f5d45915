/* quench diff: what changed between two images. Exit statuses are those of diff(1). */
#include "cli.h"
#include "oneshot_args.h"

#define SAME      0
#define DIFFERENT 1
#define TROUBLE   2

static const char tail[] =
    "\n"
    "Files are compared by content, mode, owner and time in the merged view; values of variables are not shown.\n"
    "\n"
    "exit status: 0 equal, 1 different, 2 failed\n";

/* The image of a result for a platform, or NULL. */
static const struct qn_oneshot_image *of_platform(const struct qn_oneshot_result *r, const char *platform)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->image[i].platform, platform) == 0)
            return &r->image[i];
    return NULL;
}

static int compare(const struct qn_oneshot_args *a, const struct qn_oneshot_result *x,
                   const struct qn_oneshot_result *y, bool *equal, struct qn_err *e)
{
    qn_auto_json json_t *list = json_array();

    *equal = true;
    for (size_t i = 0; i < x->n; i++) {
        const struct qn_oneshot_image *one = &x->image[i], *other = of_platform(y, one->platform);
        json_t *o;
        if (!other)
            return qn_fail(e, QN_E_NOT_FOUND, "%s: there is no image for %s", a->positional[1], one->platform);
        if (qn_oneshot_compare(&a->o, one, other, &o, e) < 0)
            return -1;
        qn_json_set_c(o, "platform", one->platform);
        *equal = *equal && json_is_true(json_object_get(o, "equal"));
        if (a->format == QN_OUT_TEXT)
            qn_present_diff(o, x->n > 1);
        qn_json_push(list, o);
    }
    for (size_t i = 0; i < y->n; i++)
        if (!of_platform(x, y->image[i].platform))
            return qn_fail(e, QN_E_NOT_FOUND, "%s: there is no image for %s", a->positional[0], y->image[i].platform);
    return a->format == QN_OUT_TEXT ? qn_present_flush(e) : qn_present_json(list, e);
}

int qn_cmd_diff(int argc, char **argv)
{
    static const char *const names[] = {"SRC-A", "SRC-B"};
    qn_auto_oneshot_result struct qn_oneshot_result x = {0}, y = {0};
    struct qn_oneshot_args a;
    struct qn_err e;
    bool equal;

    int status = qn_oneshot_args(&a, "diff", names, 2, tail, argc, argv);
    if (status >= 0)
        return status;
    if (a.format == QN_OUT_SARIF)
        return qn_cli_usage("diff", "--format sarif: a difference is no list of findings; text or json");
    a.o.contents = true;
    int r = qn_oneshot_run(&a.o, &x, &e);
    a.o.src = a.positional[1];
    if (r == 0)
        r = qn_oneshot_run(&a.o, &y, &e);
    if (r < 0 || compare(&a, &x, &y, &equal, &e) < 0) {
        qn_err_wrap(&e, "diff");
        (void)qn_cli_error(&e);
        return TROUBLE;
    }
    return equal ? SAME : DIFFERENT;
}
