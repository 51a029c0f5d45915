#include "range.h"
#include "base/num.h"

static bool number(struct qn_str s, uint64_t *out)
{
    struct qn_err e;
    return qn_num_u64(s, 0, UINT64_MAX, out, &e) == 0;
}

enum qn_range qn_range_parse(struct qn_str header, uint64_t size, uint64_t *first, uint64_t *last)
{
    uint64_t a = 0, b = 0;

    header = qn_str_trim(header);
    if (header.n < 6 || !qn_str_ieq(qn_str_head(header, 6), QN_STR("bytes=")))
        return QN_RANGE_NONE;
    struct qn_str spec = qn_str_trim(qn_str_from(header, 6));
    ptrdiff_t dash = qn_str_chr(spec, '-');
    if (dash < 0)
        return QN_RANGE_NONE;
    struct qn_str from = qn_str_head(spec, (size_t)dash), to = qn_str_from(spec, (size_t)dash + 1);
    if (from.n == 0) {
        if (!number(to, &b))
            return QN_RANGE_NONE;
        if (b == 0 || size == 0)
            return QN_RANGE_BAD;
        *first = size - QN_MIN(b, size);
        *last = size - 1;
        return QN_RANGE_PART;
    }
    if (!number(from, &a) || (to.n > 0 && !number(to, &b)))
        return QN_RANGE_NONE;
    if (a >= size || (to.n > 0 && b < a))
        return QN_RANGE_BAD;
    *first = a;
    *last = to.n > 0 ? QN_MIN(b, size - 1) : size - 1;
    return QN_RANGE_PART;
}

bool qn_range_content(struct qn_str header, uint64_t *first, uint64_t *last)
{
    struct qn_str spec = qn_str_trim(header), ends;

    if (qn_str_starts(spec, QN_STR("bytes "))) {
        struct qn_str rest = qn_str_from(spec, 6);
        if (!qn_str_next(&rest, '/', &ends) || rest.n == 0)
            return false;
        spec = ends;
    }
    ptrdiff_t dash = qn_str_chr(spec, '-');
    return dash > 0 && number(qn_str_head(spec, (size_t)dash), first) &&
           number(qn_str_from(spec, (size_t)dash + 1), last) && *first <= *last && *last < UINT64_MAX;
}
