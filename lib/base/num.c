#include "num.h"

int qn_num_add(uint64_t a, uint64_t b, uint64_t *out, struct qn_err *e)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return qn_fail(e, QN_E_LIMIT, "sum overflows 64 bits");
    *out = sum;
    return 0;
}

int qn_num_mul(uint64_t a, uint64_t b, uint64_t *out, struct qn_err *e)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return qn_fail(e, QN_E_LIMIT, "product overflows 64 bits");
    *out = product;
    return 0;
}

/* Reads digits of `base`; false when there is none, a foreign byte, or an overflow. */
static bool digits(struct qn_str s, unsigned base, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v))
            return false;
    }
    *out = v;
    return true;
}

int qn_num_u64(struct qn_str s, uint64_t min, uint64_t max, uint64_t *out, struct qn_err *e)
{
    uint64_t v;
    if (!digits(s, 10, &v))
        return qn_fail(e, QN_E_BAD_NUMBER, "\"%s\": not a number", QN_Q(s));
    if (v < min || v > max)
        return qn_fail(e, QN_E_BAD_NUMBER, "%llu: not between %llu and %llu", (unsigned long long)v,
                       (unsigned long long)min, (unsigned long long)max);
    *out = v;
    return 0;
}

int qn_num_i64(struct qn_str s, int64_t min, int64_t max, int64_t *out, struct qn_err *e)
{
    uint64_t v;
    bool negative = s.n && s.p[0] == '-';

    if (!digits(negative ? qn_str_from(s, 1) : s, 10, &v) || v > (uint64_t)INT64_MAX)
        return qn_fail(e, QN_E_BAD_NUMBER, "\"%s\": not a number", QN_Q(s));
    int64_t n = negative ? -(int64_t)v : (int64_t)v;
    if (n < min || n > max)
        return qn_fail(e, QN_E_BAD_NUMBER, "%lld: not between %lld and %lld", (long long)n, (long long)min,
                       (long long)max);
    *out = n;
    return 0;
}

int qn_num_octal(struct qn_str s, uint64_t max, uint64_t *out, struct qn_err *e)
{
    uint64_t v;
    if (!digits(s, 8, &v) || v > max)
        return qn_fail(e, QN_E_BAD_NUMBER, "\"%s\": not an octal number in range", QN_Q(s));
    *out = v;
    return 0;
}

/* A decimal number and one of the units of a table. */
struct unit {
    const char *name;
    uint64_t factor;
};

static int with_unit(struct qn_str s, const struct unit *units, size_t count, uint64_t *out, struct qn_err *e)
{
    size_t i = 0;
    uint64_t v;

    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    if (!digits(qn_str_head(s, i), 10, &v))
        return qn_fail(e, QN_E_BAD_NUMBER, "\"%s\": not a number with a unit", QN_Q(s));
    struct qn_str name = qn_str_from(s, i);
    for (size_t u = 0; u < count; u++)
        if (qn_str_eq_c(name, units[u].name) && (units[u].factor != 0 || v == 0)) {
            uint64_t product;
            if (__builtin_mul_overflow(v, units[u].factor, &product))
                return qn_fail(e, QN_E_BAD_NUMBER, "\"%s\": too large", QN_Q(s));
            *out = product;
            return 0;
        }
    return qn_fail(e, QN_E_BAD_NUMBER, "\"%s\": unknown unit", QN_Q(s));
}

int qn_num_size(struct qn_str s, uint64_t *out, struct qn_err *e)
{
    static const struct unit units[] = {
        {"", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};
    return with_unit(s, units, QN_ARRAY_LEN(units), out, e);
}

int qn_num_duration(struct qn_str s, uint64_t *out, struct qn_err *e)
{
    static const struct unit units[] = {{"", 0}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    return with_unit(s, units, QN_ARRAY_LEN(units), out, e);
}

int qn_num_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
