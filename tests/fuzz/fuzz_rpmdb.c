/* An rpm database and its log: the first four bytes say where the log begins. What is printed can be read again. */
#include "formats/rpmdb.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_auto_rpmdb struct qn_rpmdb d = {0}, again = {0};
    qn_auto_buf struct qn_buf b = {.max = 96u << 20};
    struct qn_str header;
    struct qn_err e;
    uint32_t number, last = 0;
    int r;

    if (size < 4)
        return 0;
    size_t split = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16;
    struct qn_str rest = qn_str_n(data + 4, size - 4);
    if (qn_rpmdb_open(qn_str_head(rest, split), qn_str_from(rest, split), &d, &e) < 0)
        return 0;
    while ((r = qn_rpmdb_next(&d, &number, &header, &e)) > 0) {
        if (number <= last || (header.n && !header.p))
            abort();
        last = number;
    }
    if (r < 0 || last == 0 || qn_rpmdb_remove(&d, last, &e) < 0 || qn_rpmdb_print(&d, &b, &e) < 0)
        return 0;
    if (qn_rpmdb_open(qn_buf_view(&b), QN_STR(""), &again, &e) < 0)
        abort();
    return 0;
}
