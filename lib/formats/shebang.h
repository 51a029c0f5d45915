/* "#!" lines of scripts. Sources: execve(2) "Interpreter scripts"; env(1) of GNU coreutils and busybox. */
#ifndef QN_FORMATS_SHEBANG_H
#define QN_FORMATS_SHEBANG_H

#include "base/str.h"

#define QN_SHEBANG_MAX 255u /* bytes of the line that the kernel looks at */

struct qn_shebang {
    struct qn_str interpreter; /* as written, a path in practice */
    struct qn_str argument;    /* the rest of the line as the kernel passes it: one argument; "" for none */
    struct qn_str program;     /* what `env` runs ("python3"); "" when the interpreter is not env, or unclear */
};

/* Parses the first line of a file's content; false when it is not a script. Views borrow `content`. */
bool qn_shebang_parse(struct qn_str content, struct qn_shebang *out);

#endif
