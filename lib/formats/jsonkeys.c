#include "jsonkeys.h"
#include "base/str.h"

#include <stdint.h>

int qn_json_exact_keys(const json_t *obj, const char *const *keys, const char *where, struct qn_err *e)
{
    const char *key;
    json_t *value;

    if (!json_is_object(obj))
        return 0;
    json_object_foreach ((json_t *)(uintptr_t)obj, key, value) {
        (void)value;
        for (size_t i = 0; keys[i]; i++)
            if (strcmp(key, keys[i]) != 0 && qn_str_ieq(qn_str_c(key), qn_str_c(keys[i])))
                return qn_fail(e, QN_E_MALFORMED, "%s: member \"%s\" differs from \"%s\" only in case", where,
                               QN_Q(qn_str_c(key)), keys[i]);
    }
    return 0;
}
