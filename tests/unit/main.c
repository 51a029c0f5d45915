/* Runs every suite: a file test_NAME.c defines `Suite *suite_NAME(void)`. With QN_SHARD=I/N in the environment only
 * every Nth of them, from the Ith (0 is the first) on: several of these processes share the work. */
#include "test_worker.h"
#include "unit.h"

#include "base/num.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define X(name) Suite *suite_##name(void);
#include "suites.h"
#undef X

/* Check forks for every test after reading the last one's assertions: what it frees shall not stay in the way. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8";
}

/* Workers are this program again, as they are the daemon again in earnest. */
int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "worker") == 0)
        return qn_worker_main_with(test_worker_handlers, TEST_WORKER_HANDLERS);
    setlocale(LC_ALL, "C.UTF-8");
    struct qn_str rest = qn_str_c(getenv("QN_SHARD") ? getenv("QN_SHARD") : "0/1"), word;
    uint64_t at = 0, mine = 0, of = 1;
    struct qn_err e;
    if (!qn_str_next(&rest, '/', &word) || qn_num_u64(word, 0, 1000, &mine, &e) < 0 ||
        qn_num_u64(rest, mine + 1, 1001, &of, &e) < 0) {
        fprintf(stderr, "QN_SHARD: not I/N with I below N\n");
        return EXIT_FAILURE;
    }
    SRunner *runner = srunner_create(suite_create("quench"));
#define X(name)                                                                                                        \
    if (at++ % of == mine)                                                                                             \
        srunner_add_suite(runner, suite_##name());
#include "suites.h"
#undef X
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
