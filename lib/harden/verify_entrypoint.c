/* What the image starts resolves to the same file, which its user may run. */
#include "verify.h"

static bool may_run(const struct qn_image *img, uint32_t node)
{
    return qn_verify_bits(img, node, qn_verify_group(img)) & 1;
}

static void one(const struct qn_verify *v, const struct qn_words *words, const char *what, struct qn_verdict *out)
{
    if (words->n == 0)
        return;
    uint32_t old = qn_image_command(v->before, words->v[0]);
    if (old == QN_NO_NODE && !v->alone)
        return; /* did not start before either */
    uint32_t now = qn_image_command(v->after, words->v[0]);
    if (now == QN_NO_NODE)
        qn_verdict_fail(out, "%s \"%s\" is missing", what, QN_Q(words->v[0]));
    else if (!qn_str_eq(v->before->tree.node[old].path, v->after->tree.node[now].path))
        qn_verdict_fail(out, "%s \"%s\" would be another file: /%s", what, QN_Q(words->v[0]),
                        QN_Q(v->after->tree.node[now].path));
    else if ((v->alone || may_run(v->before, old)) && !may_run(v->after, now))
        qn_verdict_fail(out, "%s /%s may not be run by uid %u", what, QN_Q(v->after->tree.node[now].path),
                        v->after->run_uid);
}

void qn_verify_entrypoint(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_imgconfig *c = &v->after->config;
    struct qn_words health = c->healthcheck;

    one(v, &c->entrypoint, "entrypoint", out);
    one(v, &c->cmd, "command", out);
    if (health.n > 1 && qn_str_eq(health.v[0], QN_STR("CMD"))) {
        health.v++;
        health.n--;
        one(v, &health, "health check", out);
    }
    if (out->ok && v->after->entry != QN_NO_NODE)
        snprintf(out->detail, sizeof out->detail, "/%s", QN_Q(v->after->tree.node[v->after->entry].path));
}
