/* Times as texts: without the C library's calendar, which reads the time zone's file. */
#include "base/clock.h"
#include "unit.h"

#include <time.h>

START_TEST(both_ways)
{
    struct qn_err e;
    char text[QN_TIME_TEXT];
    int64_t seconds;

    /* The days around every month's end, and the leap years' rules. */
    for (int year = 1600; year < 2500; year++)
        for (int month = 1; month <= 12; month++) {
            struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = 1, .tm_hour = 23, .tm_sec = 59};
            for (int day = -1; day < 2; day++) {
                int64_t want = (int64_t)timegm(&tm) + day * 86400;
                qn_time_format(want, text);
                qn_ok(qn_time_parse(qn_str_c(text), &seconds, &e), e);
                ck_assert_int_eq(seconds, want);
                time_t t = (time_t)want;
                struct tm back;
                char expect[QN_TIME_TEXT];
                gmtime_r(&t, &back);
                strftime(expect, sizeof expect, "%Y-%m-%dT%H:%M:%SZ", &back);
                ck_assert_str_eq(text, expect);
            }
        }
}
END_TEST

START_TEST(zones_and_fractions)
{
    struct qn_err e;
    int64_t seconds;

    qn_ok(qn_time_parse(QN_STR("2024-02-29T12:00:00.123456789Z"), &seconds, &e), e);
    ck_assert_int_eq(seconds, 1709208000);
    qn_ok(qn_time_parse(QN_STR("2024-02-29T13:30:00+01:30"), &seconds, &e), e);
    ck_assert_int_eq(seconds, 1709208000);
    qn_ok(qn_time_parse(QN_STR("1969-12-31T23:59:59Z"), &seconds, &e), e);
    ck_assert_int_eq(seconds, -1);
}
END_TEST

START_TEST(refused)
{
    static const char *const bad[] = {"",
                                      "2024-02-29",
                                      "2024-13-01T00:00:00Z",
                                      "2024-00-01T00:00:00Z",
                                      "2024-01-00T00:00:00Z",
                                      "2024-01-01T24:00:00Z",
                                      "2024-01-01T00:00:00",
                                      "2024-01-01T00:00:00+1:00"};
    struct qn_err e;
    int64_t seconds;

    for (size_t i = 0; i < QN_ARRAY_LEN(bad); i++)
        qn_fails(qn_time_parse(qn_str_c(bad[i]), &seconds, &e), e, QN_E_MALFORMED);
}
END_TEST

Suite *suite_clock(void);
Suite *suite_clock(void)
{
    const TTest *const tests[] = {both_ways, zones_and_fractions, refused};
    return qn_suite("clock", tests, QN_ARRAY_LEN(tests));
}
