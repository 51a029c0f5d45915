/* quench check-config: the configuration as it is in force, with the documentation of every key. */
#include "cli.h"
#include "bind.h"

#include <stdio.h>

int qn_cmd_check_config(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *path = NULL;
    struct qn_settings settings = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_err e;
    int c;

    qn_buf_init(&b, 4u << 20);
    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (c == 'h') {
            printf("usage: quench check-config %s\n", qn_cli_arguments("check-config"));
            return 0;
        }
        if (c != 'c')
            return qn_cli_usage("check-config", "wrong option");
        path = optarg;
    }
    if (optind < argc)
        return qn_cli_usage("check-config", "\"%s\" is one argument too many", QN_Q(qn_str_c(argv[optind])));
    if (qn_cli_config(path, &settings, &e) < 0)
        return qn_cli_error(&e);
    int r = qn_config_print(settings.effective, &b, &e);
    qn_settings_fini(&settings);
    if (r < 0)
        return qn_cli_error(&e);
    fwrite(b.p, 1, b.n, stdout);
    return 0;
}
