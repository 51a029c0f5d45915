#include "verify.h"

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
    bool all = true;

    for (int i = 0; i < QN_CHECK_COUNT; i++) {
        results[i].ok = true;
        snprintf(results[i].detail, sizeof results[i].detail, "%s", checks[i].summary);
        checks[i].run(v, &results[i]);
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
