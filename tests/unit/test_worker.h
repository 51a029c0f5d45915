/* Requests that only the unit tests' workers answer. */
#ifndef QN_TESTS_UNIT_TEST_WORKER_H
#define QN_TESTS_UNIT_TEST_WORKER_H

#include "worker/child.h"

#define TEST_WORKER_HANDLERS 2

extern const struct qn_handler test_worker_handlers[TEST_WORKER_HANDLERS];

#endif
