/* What every unit test includes. */
#ifndef QN_TESTS_UNIT_H
#define QN_TESTS_UNIT_H

#include "base/err.h"
#include "base/str.h"

#include <check.h>

/* The call must succeed; prints the error otherwise. `e` is the error object that it was given. */
#define qn_ok(call, e)                                                                                                 \
    do {                                                                                                               \
        int qn_ok_r_ = (call);                                                                                         \
        ck_assert_msg(qn_ok_r_ == 0, "%s: %s", #call, (e).msg);                                                        \
    } while (0)
/* The call must fail with a code. */
#define qn_fails(call, e, want)                                                                                        \
    do {                                                                                                               \
        int qn_fails_r_ = (call);                                                                                      \
        ck_assert_msg(qn_fails_r_ != 0, "%s: should have failed", #call);                                              \
        ck_assert_msg((e).code == (want), "%s: %s instead of %s (%s)", #call, qn_code_info((e).code)->name,            \
                      qn_code_info(want)->name, (e).msg);                                                              \
    } while (0)
/* A view equals a C string. */
#define qn_is(view, text)                                                                                              \
    do {                                                                                                               \
        struct qn_str qn_is_v_ = (view);                                                                               \
        ck_assert_msg(qn_str_eq_c(qn_is_v_, (text)), "%s: \"%.*s\" instead of \"%s\"", #view, (int)qn_is_v_.n,         \
                      qn_is_v_.p, (text));                                                                             \
    } while (0)

/* A suite of one test case from a list of tests. */
static inline Suite *qn_suite(const char *name, const TTest *const *tests, size_t n)
{
    Suite *s = suite_create(name);
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, 120);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}

#endif
