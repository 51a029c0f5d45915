/* Numbers, sizes and durations from text: no strtol, no scanf, no silent overflow. */
#ifndef QN_BASE_NUM_H
#define QN_BASE_NUM_H

#include "err.h"
#include "str.h"

#include <stdint.h>

/* Decimal digits only, in [min, max]; BAD_NUMBER otherwise. */
int qn_num_u64(struct qn_str s, uint64_t min, uint64_t max, uint64_t *out, struct qn_err *e) QN_MUST_CHECK;
/* Optional '-' and decimal digits. */
int qn_num_i64(struct qn_str s, int64_t min, int64_t max, int64_t *out, struct qn_err *e) QN_MUST_CHECK;
/* Octal digits only. */
int qn_num_octal(struct qn_str s, uint64_t max, uint64_t *out, struct qn_err *e) QN_MUST_CHECK;
/* "10GiB": a decimal number and nothing, KiB, MiB, GiB or TiB; in bytes. */
int qn_num_size(struct qn_str s, uint64_t *out, struct qn_err *e) QN_MUST_CHECK;
/* "90d": a decimal number and s, m, h or d; in seconds. A bare 0 is allowed. */
int qn_num_duration(struct qn_str s, uint64_t *out, struct qn_err *e) QN_MUST_CHECK;
/* Sum and product that fail with LIMIT instead of wrapping. */
int qn_num_add(uint64_t a, uint64_t b, uint64_t *out, struct qn_err *e) QN_MUST_CHECK;
int qn_num_mul(uint64_t a, uint64_t b, uint64_t *out, struct qn_err *e) QN_MUST_CHECK;

/* Value of a hexadecimal digit; -1 for other characters. */
int qn_num_hex(char c);

#endif
