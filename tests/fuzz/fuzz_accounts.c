/* passwd files, os-release, "#!" lines. */
#include "formats/osrelease.h"
#include "formats/passwd.h"
#include "formats/shebang.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;

    struct qn_osrelease o;
    struct qn_shebang s;

    qn_osrelease_parse(text, &o);
    if (qn_shebang_parse(text, &s) && s.interpreter.n == 0)
        abort();
    for (int kind = QN_ROWS_PASSWD; kind <= QN_ROWS_GSHADOW; kind++) {
        qn_auto_rows struct qn_rows r = {0};
        qn_auto_buf struct qn_buf b = {0};
        qn_buf_init(&b, size * 2 + 64);
        if (qn_rows_parse((enum qn_rows_kind)kind, text, &r, &e) < 0)
            continue;
        /* Untouched files come out byte for byte. */
        if (qn_rows_print(&r, &b, &e) < 0 || !qn_str_eq(qn_buf_view(&b), text))
            abort();
        struct qn_row *row = qn_rows_find(&r, QN_STR("root"));
        if (row && qn_rows_set(&r, row, 1, QN_STR("*"), &e) == 0) {
            qn_rows_drop(&r, row);
            if (qn_rows_print(&r, &b, &e) < 0)
                return 0;
        }
    }
    return 0;
}
