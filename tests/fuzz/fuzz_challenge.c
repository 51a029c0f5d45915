/* WWW-Authenticate header values, and the realm in them as an address for passwords. */
#include "upstream/challenge.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct qn_challenge c[QN_CHALLENGES_MAX];
    struct qn_err e;
    size_t n = 0;

    if (qn_challenge_parse(qn_str_n(data, size), c, QN_CHALLENGES_MAX, &n, &e) < 0)
        return 0;
    if (n > QN_CHALLENGES_MAX)
        abort();
    for (size_t i = 0; i < n; i++) {
        /* Whatever the realm looks like: nothing but https, and nothing outside of the owner's domain. */
        if (qn_realm_check("https://registry.example.org", c[i].realm, NULL, 0, &e) == 0 &&
            !(qn_str_ieq(qn_str_head(qn_str_c(c[i].realm), 8), QN_STR("https://"))))
            abort();
    }
    return 0;
}
