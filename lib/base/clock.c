#include "clock.h"
#include "num.h"

#include <stdio.h>
#include <time.h>

static int64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t qn_time_now_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t qn_time_now(void)
{
    return qn_time_now_ms() / 1000;
}

int64_t qn_time_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

/* Days from 1970-01-01 in the Gregorian calendar. timegm(3) and gmtime(3) would read the
 * time zone's file, which no worker may. */
static int64_t days(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t past = year - 1;
    int64_t n = year == 0 ? -366 : past * 365 + past / 4 - past / 100 + past / 400;

    return n - 719162 + before[month - 1] + (leap && month > 2) + day - 1;
}

void qn_time_format(int64_t seconds, char out[QN_TIME_TEXT])
{
    int64_t day = seconds / 86400 - (seconds % 86400 < 0), rest = seconds - day * 86400;
    int year, month = 12;

    if (seconds < days(1, 1, 1) * 86400 || seconds >= days(9999, 12, 31) * 86400)
        day = rest = 0;
    /* Close from below, then year by year. */
    year = (int)((day + 719162) / 366) + 1;
    while (days(year + 1, 1, 1) <= day)
        year++;
    while (days(year, month, 1) > day)
        month--;
    snprintf(out, QN_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, (int)(day - days(year, month, 1)) + 1,
             (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
}

void qn_time_format_ms(int64_t ms, char out[QN_TIME_TEXT])
{
    qn_time_format(ms / 1000, out);
    size_t n = strlen(out);
    snprintf(out + n - 1, QN_TIME_TEXT - n + 1, ".%03dZ", (int)(ms % 1000));
}

/* Two digits at an offset, within [0, max]; false otherwise. */
static bool two(struct qn_str s, size_t at, int max, int *out)
{
    struct qn_err e;
    uint64_t v;
    if (at + 2 > s.n || qn_num_u64(qn_str_head(qn_str_from(s, at), 2), 0, (uint64_t)max, &v, &e) < 0)
        return false;
    *out = (int)v;
    return true;
}

static bool zone(struct qn_str s, int64_t *offset)
{
    int h, m;

    if (qn_str_ieq(s, QN_STR("Z"))) {
        *offset = 0;
        return true;
    }
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' || !two(s, 1, 23, &h) || !two(s, 4, 59, &m))
        return false;
    *offset = (s.p[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return true;
}

int qn_time_parse(struct qn_str s, int64_t *seconds, struct qn_err *e)
{
    int century, year, month, day, hour, minute, second;
    int64_t offset;
    size_t i = 19;

    bool shape = s.n >= 20 && s.p[4] == '-' && s.p[7] == '-' && (s.p[10] == 'T' || s.p[10] == 't') && s.p[13] == ':' &&
                 s.p[16] == ':';
    if (!shape || !two(s, 0, 99, &century) || !two(s, 2, 99, &year) || !two(s, 5, 12, &month) || !two(s, 8, 31, &day) ||
        !two(s, 11, 23, &hour) || !two(s, 14, 59, &minute) || !two(s, 17, 60, &second))
        return qn_fail(e, QN_E_MALFORMED, "\"%s\": not an RFC 3339 time", QN_Q(s));
    if (s.p[i] == '.')
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9';)
            i++;
    if (!zone(qn_str_from(s, i), &offset) || month == 0 || day == 0)
        return qn_fail(e, QN_E_MALFORMED, "\"%s\": not an RFC 3339 time", QN_Q(s));
    *seconds = days(century * 100 + year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    return 0;
}
