/* Image configurations. */
#include "formats/imgconfig.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;

    const struct qn_limits limits = QN_LIMITS_DEFAULT;
    qn_auto_imgconfig struct qn_imgconfig c = {0};

    if (qn_imgconfig_parse(text, &limits, &c, &e) == 0) {
        if (qn_imgconfig_check_layers(&c, c.diff_id_count + 1, &e) == 0)
            abort();
        if (qn_imgconfig_path(&c).n > size)
            return 0;
        for (size_t i = 0; i < c.history_count; i++)
            if (c.history[i].created_by.n > size)
                abort();
    }
    return 0;
}
