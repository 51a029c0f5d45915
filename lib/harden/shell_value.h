/* What a word of a shell script stands for, as far as reading can tell: quotes, variables that the script or the
 * configuration sets, defaults of ${NAME:-...}, $(dirname ...) and $(mktemp). Nothing is run. */
#ifndef QN_HARDEN_SHELL_VALUE_H
#define QN_HARDEN_SHELL_VALUE_H

#include "formats/imgconfig.h"

struct qn_script {
    const struct qn_imgconfig *config;
    struct qn_str text; /* the script: where assignments are looked for */
};

enum qn_value_kind {
    QN_VALUE_OTHER = 0, /* no absolute path */
    QN_VALUE_PATH,      /* an absolute path; what cannot be told of its later parts is "_" */
    QN_VALUE_UNKNOWN    /* it begins with something that cannot be told */
};

/* The word at the start of `at`, up to where a shell would end it; its text is written to `out`, cut to fit. */
enum qn_value_kind qn_value_word(const struct qn_script *sh, struct qn_str at, char *out, size_t size);

#endif
