#include "verify.h"

#include "base/num.h"
#include "formats/passwd.h"

#include <stdarg.h>

static const struct {
    const char *name, *summary;
    void (*run)(const struct qn_verify *v, struct qn_verdict *out);
} checks[] = {
#define X(name, summary) {#name, summary, qn_verify_##name},
#include "checks.def"
#undef X
};

void qn_verdict_fail(struct qn_verdict *out, const char *fmt, ...)
{
    va_list ap;

    if (!out->ok)
        return;
    out->ok = false;
    va_start(ap, fmt);
    vsnprintf(out->detail, sizeof out->detail, fmt, ap);
    va_end(ap);
}

/* The group of a row: of passwd for a user, of group for a name. */
static bool row_group(const struct qn_image *img, const char *file, enum qn_rows_kind kind, struct qn_str name,
                      uint32_t *gid)
{
    qn_auto_rows struct qn_rows rows = {0};
    struct qn_str text;
    struct qn_err e;

    if (!qn_image_text(img, qn_str_c(file), &text) || qn_rows_parse(kind, text, &rows, &e) < 0)
        return false;
    const struct qn_row *row = qn_rows_find(&rows, name);
    if (!row && kind == QN_ROWS_PASSWD)
        row = qn_rows_find_id(&rows, img->run_uid);
    return row && qn_row_number(row, kind == QN_ROWS_PASSWD ? QN_PW_GID : QN_GR_GID, gid);
}

uint32_t qn_verify_group(const struct qn_image *img)
{
    struct qn_str user = img->config.user;
    ptrdiff_t colon = qn_str_chr(user, ':');
    struct qn_err e;
    uint32_t gid = 0;
    uint64_t n;

    if (colon < 0)
        return row_group(img, "etc/passwd", QN_ROWS_PASSWD, user, &gid) ? gid : 0;
    struct qn_str group = qn_str_from(user, (size_t)colon + 1);
    if (qn_num_u64(group, 0, UINT32_MAX, &n, &e) == 0)
        return (uint32_t)n;
    return row_group(img, "etc/group", QN_ROWS_GROUP, group, &gid) ? gid : 0;
}

unsigned qn_verify_bits(const struct qn_image *img, uint32_t node, uint32_t gid)
{
    const struct qn_node *n = &img->tree.node[node];

    if (img->runs_as_root)
        return n->type == QN_DIR ? 7 : 6u | ((n->mode & 0111) != 0);
    if (n->uid == img->run_uid)
        return n->mode >> 6 & 7;
    return n->gid == gid ? n->mode >> 3 & 7 : n->mode & 7;
}

uint32_t qn_verify_same(const struct qn_verify *v, uint32_t before)
{
    return qn_tree_find(&v->after->tree, v->before->tree.node[before].path);
}

const char *qn_check_name(enum qn_check check)
{
    return checks[check].name;
}

bool qn_verify_all(const struct qn_verify *v, struct qn_verdict results[QN_CHECK_COUNT])
{
    struct qn_options effective;
    struct qn_verify own = *v;
    char because[512];
    bool all = true;

    qn_options_for(v->opt, v->before, &effective, because, sizeof because);
    own.opt = &effective;
    for (int i = 0; i < QN_CHECK_COUNT; i++) {
        results[i].ok = true;
        snprintf(results[i].detail, sizeof results[i].detail, "%s", checks[i].summary);
        checks[i].run(&own, &results[i]);
        all = all && results[i].ok;
    }
    return all;
}

json_t *qn_verify_json(const struct qn_verdict results[QN_CHECK_COUNT])
{
    json_t *list = json_array();

    for (int i = 0; i < QN_CHECK_COUNT; i++) {
        json_t *o = json_object();
        qn_json_set_c(o, "check", checks[i].name);
        qn_json_set_bool(o, "ok", results[i].ok);
        qn_json_set_c(o, "detail", results[i].detail);
        qn_json_push(list, o);
    }
    return list;
}
