/* config.User: a name must be in passwd or group, a number needs nothing. */
#include "verify.h"

#include "base/num.h"
#include "formats/passwd.h"

static bool known(const struct qn_image *img, const char *file, enum qn_rows_kind kind, struct qn_str name)
{
    qn_auto_rows struct qn_rows rows = {0};
    struct qn_str text;
    struct qn_err e;
    uint64_t n;

    if (name.n == 0 || qn_num_u64(name, 0, UINT32_MAX, &n, &e) == 0)
        return true;
    return qn_image_text(img, qn_str_c(file), &text) && qn_rows_parse(kind, text, &rows, &e) == 0 &&
           qn_rows_find(&rows, name) != NULL;
}

void qn_verify_users(const struct qn_verify *v, struct qn_verdict *out)
{
    struct qn_str user = v->after->config.user, group = QN_STR("");
    ptrdiff_t colon = qn_str_chr(user, ':');

    if (colon >= 0) {
        group = qn_str_from(user, (size_t)colon + 1);
        user = qn_str_head(user, (size_t)colon);
    }
    if (!known(v->after, "etc/passwd", QN_ROWS_PASSWD, user) &&
        (v->alone || known(v->before, "etc/passwd", QN_ROWS_PASSWD, user)))
        qn_verdict_fail(out, "user \"%s\" is in no passwd file", QN_Q(user));
    if (!known(v->after, "etc/group", QN_ROWS_GROUP, group) &&
        (v->alone || known(v->before, "etc/group", QN_ROWS_GROUP, group)))
        qn_verdict_fail(out, "group \"%s\" is in no group file", QN_Q(group));
}
