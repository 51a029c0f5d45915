/* Request targets and ranges. */
#include "daemon/range.h"
#include "daemon/target.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str raw = qn_str_n(data, size);
    char *storage = malloc(size + 1);
    struct qn_target t;
    struct qn_err e;
    uint64_t first, last;

    if (!storage)
        return 0;
    if (qn_target_parse(raw, storage, &t, &e) == 0) {
        /* Whatever spelling was used: no path leaves its directory or hides a byte. */
        if (t.path.n == 0 || t.path.p[0] != '/' || qn_str_find(t.path, QN_STR("/../")) >= 0 ||
            qn_str_find(t.path, QN_STR("//")) >= 0 || qn_str_ends(t.path, QN_STR("/..")) ||
            qn_str_chr(t.path, '\0') >= 0)
            abort();
    }
    if (qn_range_parse(raw, 1000, &first, &last) == QN_RANGE_PART && (first > last || last >= 1000))
        abort();
    if (qn_range_content(raw, &first, &last) && (first > last || last - first == UINT64_MAX))
        abort();
    free(storage);
    return 0;
}
