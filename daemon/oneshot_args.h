/* Arguments of the commands that only look at images: explain, diff, verify. */
#ifndef QN_DAEMON_ONESHOT_ARGS_H
#define QN_DAEMON_ONESHOT_ARGS_H

#include "oneshot.h"
#include "present.h"

struct qn_oneshot_args {
    struct qn_oneshot_options o;
    enum qn_output format;
    const char *positional[2];
};

/* Reads options and exactly `n` positional arguments, whose names `names` has. -1 to go on, else the exit status:
 * usage errors are printed, and so is the help, which ends with `tail`. */
int qn_oneshot_args(struct qn_oneshot_args *a, const char *command, const char *const *names, size_t n,
                    const char *tail, int argc, char **argv);

#endif
