/* Time: wall clock for people and rows, monotonic clock for deadlines. */
#ifndef QN_BASE_CLOCK_H
#define QN_BASE_CLOCK_H

#include "err.h"
#include "str.h"

#include <stdint.h>

#define QN_TIME_TEXT 32 /* room for "2026-01-02T03:04:05.678Z" */

/* Wall clock in milliseconds or seconds since 1970 (UTC). */
int64_t qn_time_now_ms(void);
int64_t qn_time_now(void);
/* Monotonic milliseconds, for deadlines and durations. */
int64_t qn_time_mono_ms(void);
/* RFC 3339 text in UTC, with milliseconds or in whole seconds. */
void qn_time_format_ms(int64_t ms, char out[QN_TIME_TEXT]);
void qn_time_format(int64_t seconds, char out[QN_TIME_TEXT]);
/* Parses RFC 3339 (RFC 3339 section 5.6: date, "T", time, optional fraction, "Z" or offset) into seconds. */
int qn_time_parse(struct qn_str s, int64_t *seconds, struct qn_err *e) QN_MUST_CHECK;

#endif
