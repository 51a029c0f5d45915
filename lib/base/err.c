#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum qn_code code;
    struct qn_code_info info;
} code_table[] = {
#define X(name, number, http, oci, exit_status, retry, summary)                                                        \
    {QN_E_##name, {#name, http, oci, exit_status, retry, summary}},
#include "errors.def"
#undef X
};

const struct qn_code_info *qn_code_info(enum qn_code code)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(code_table); i++)
        if (code_table[i].code == code)
            return &code_table[i].info;
    return &code_table[0].info;
}

int qn_err_set(struct qn_err *e, enum qn_code code, int sys, const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    if (sys == ENOSPC || sys == EDQUOT)
        code = QN_E_NO_SPACE;
    else if (sys == ENOMEM)
        code = QN_E_NOMEM;
    e->code = code;
    e->sys = sys;
    e->file = file;
    e->line = line;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if (sys != 0 && (size_t)n < sizeof e->msg - 1) {
        char text[128];
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %s", strerror_r(sys, text, sizeof text));
    }
    return -1;
}

int qn_err_wrap(struct qn_err *e, const char *fmt, ...)
{
    char old[sizeof e->msg];
    va_list ap;

    memcpy(old, e->msg, sizeof old);
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n < sizeof e->msg - 1)
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %s", old);
    return -1;
}

void qn_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "quench: bug: assertion failed: %s (%s:%d)\n", cond, file, line);
    abort();
}
