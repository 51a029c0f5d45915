/* Secrets: each one found lies in the text, behind the one before, and what is struck out is not found again. */
#include "image/secrets.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size), rest = text;
    struct qn_secret s;
    struct qn_err e;
    size_t at = 0;

    while (qn_secret_next(&rest, &s)) {
        size_t begin = (size_t)(s.value.p - text.p);
        if (begin < at || s.value.n == 0 || s.value.n > text.n - begin || s.kind >= QN_SECRET_KINDS)
            abort();
        at = begin + s.value.n;
        if (rest.n != text.n - at)
            abort();
    }
    ptrdiff_t line = qn_str_chr(text, '\n');
    struct qn_str path = qn_str_head(text, line < 0 ? 0 : (size_t)line);
    uint32_t bits = qn_secrets_file(path, qn_str_from(text, path.n + (line >= 0)));
    qn_auto_buf struct qn_buf b = {.max = 4096};
    if (bits >> QN_SECRET_KINDS || qn_secrets_print(bits, &b, &e) < 0 || (b.n == 0) != (bits == 0))
        abort();
    return 0;
}
