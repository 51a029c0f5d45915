#include "worker/child.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "worker") == 0)
        return qn_worker_main();
    return 0;
}
