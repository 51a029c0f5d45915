/* The command line: commands (commands.def) and what they share. */
#ifndef QN_DAEMON_CLI_H
#define QN_DAEMON_CLI_H

#include "service/settings.h"

#include <getopt.h>

#define QN_DEFAULT_CONFIG "/etc/quench/quench.yaml"

/* Prints "quench: WHAT: WHERE: WHY" and gives the exit status of the error's code. */
int qn_cli_error(const struct qn_err *err);
/* Prints a usage error for a command; gives 2. */
int qn_cli_usage(const char *command, const char *fmt, ...) QN_PRINTF(2, 3);
/* Reads the configuration: `path`, or the default file, or (when that does not exist) the built-in defaults. */
int qn_cli_config(const char *path, struct qn_settings *out, struct qn_err *e) QN_MUST_CHECK;
/* The same without interpreting it: the effective document. The caller owns it. */
int qn_cli_effective(const char *path, json_t **out, struct qn_err *e) QN_MUST_CHECK;
/* The usage text of a command. */
const char *qn_cli_arguments(const char *command);

#define X(name, arguments, summary) int qn_cmd_##name(int argc, char **argv);
#include "commands.def"
#undef X

#endif
