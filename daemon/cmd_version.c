/* quench version */
#include "cli.h"

#include "http.h"
#include "service/derive.h"

#include <stdio.h>

int qn_cmd_version(int argc, char **argv)
{
    char engine[256];

    (void)argv;
    if (argc > 1 && strcmp(argv[1], "--help") != 0)
        return qn_cli_usage("version", "version takes no arguments");
    qn_engine_text(engine);
    printf("quench %s\nengine %s\nlibmicrohttpd %s\n", QN_VERSION, engine, qn_http_library());
    return 0;
}
