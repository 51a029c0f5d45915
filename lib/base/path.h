/* Paths inside images, and globs over paths and references. Pure text: nothing touches a file system. */
#ifndef QN_BASE_PATH_H
#define QN_BASE_PATH_H

#include "err.h"
#include "str.h"

#define QN_PATH_MAX 4096u

/* Brings the name of a tar entry into canonical form in `out` (QN_PATH_MAX bytes): no leading "/" or "./",
 * no empty or "." component, no trailing "/"; the root is "". MALFORMED for "..", NUL bytes and names that
 * are too long. `out` borrows `buf`. */
int qn_path_clean(struct qn_str name, char buf[QN_PATH_MAX], struct qn_str *out, struct qn_err *e) QN_MUST_CHECK;
/* Whether a name is in canonical form already: qn_path_clean() would give it back. */
bool qn_path_is_clean(struct qn_str name);
/* The part before the last "/", or "" for a top-level name. */
struct qn_str qn_path_dir(struct qn_str path);
/* The part after the last "/". */
struct qn_str qn_path_base(struct qn_str path);
/* Whether `path` is `dir` or lies below it; every path lies below "". */
static inline bool qn_path_under(struct qn_str path, struct qn_str dir)
{
    if (dir.n == 0)
        return true;
    return path.n >= dir.n && path.p[0] == dir.p[0] && (path.n == dir.n || path.p[dir.n] == '/') &&
           memcmp(path.p, dir.p, dir.n) == 0;
}
/* Order of canonical paths in which a directory stands directly before what is below it ('/' sorts first). */
int qn_path_cmp(struct qn_str a, struct qn_str b);
/* Glob match over the whole text: "?" one byte but "/", "*" any run without "/", "**" any run,
 * "**" followed by "/" also nothing; every other byte is itself. Linear in practice, bounded in time. */
bool qn_glob(struct qn_str pattern, struct qn_str text);

#endif
