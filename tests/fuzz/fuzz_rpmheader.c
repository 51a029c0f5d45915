/* Headers of rpm databases. */
#include "formats/rpmheader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t tags[] = {QN_RPM_NAME,     QN_RPM_EPOCH,         QN_RPM_PROVIDES,
                                    QN_RPM_REQUIRES, QN_RPM_BASENAMES,     QN_RPM_DIRNAMES,
                                    QN_RPM_ARCH,     QN_RPM_REQUIRE_FLAGS, QN_RPM_DIR_INDEXES};
    struct qn_rpm_header h;
    struct qn_err e;
    uint32_t n;

    if (qn_rpm_header_parse(qn_str_n(data, size), &h, &e) < 0)
        return 0;
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        struct qn_rpm_strings it = qn_rpm_strings(&h, tags[i]);
        struct qn_str s;
        uint32_t left = it.left, got = 0;
        while (qn_rpm_strings_next(&it, &s))
            got++;
        /* What was checked is there. */
        if (got != left)
            abort();
        for (uint32_t k = 0; k < 4; k++)
            (void)qn_rpm_number(&h, tags[i], k, &n);
    }
    return 0;
}
