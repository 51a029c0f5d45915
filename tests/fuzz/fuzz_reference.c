/* References, locations and platforms. */
#include "formats/descriptor.h"
#include "formats/reference.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;

    struct qn_reference r, again;
    struct qn_location l;
    struct qn_platform p;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 4096);
    if (qn_reference_parse(text, &r, &e) == 0) {
        /* What was parsed prints to text that parses to the same. */
        if (qn_reference_print(&r, &b, &e) < 0 || qn_reference_parse(qn_buf_view(&b), &again, &e) < 0 ||
            strcmp(r.repository, again.repository) != 0 || strcmp(r.host, again.host) != 0 ||
            strcmp(r.tag, again.tag) != 0)
            abort();
    }
    if (qn_location_parse(text, &l, &e) == 0 && l.transport == QN_TRANSPORT_DOCKER && l.reference.host[0] == 0)
        abort();
    if (qn_platform_parse(text, &p, &e) == 0 && !qn_platform_match(&p, &p))
        abort();
    return 0;
}
