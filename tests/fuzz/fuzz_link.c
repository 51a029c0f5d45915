/* Link header values. */
#include "upstream/challenge.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str s = qn_str_n(data, size), next = qn_link_next(s);

    /* What it gives lies inside of what it was given. */
    if (next.n > 0 &&
        ((uintptr_t)next.p < (uintptr_t)s.p || next.n > size || (uintptr_t)next.p - (uintptr_t)s.p > size - next.n))
        abort();
    return 0;
}
