/* With the rule on: no secret is left in a layer that a container does not see, none that the profile removes, and in
 * strict none in the history. */
#include "secrets_gone.h"
#include "verify.h"

#include "image/secrets.h"

static void layers(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_tree *t = &v->after->tree;

    for (size_t l = 0; l < t->layer_count; l++)
        for (size_t i = 0; i < t->layer[l].count && out->ok; i++)
            if (qn_secret_hidden(v->after, l, &t->layer[l].entry[i]))
                qn_verdict_fail(out, "/%s is a secret that a lower layer still holds", QN_Q(t->layer[l].entry[i].path));
}

void qn_verify_secrets(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_imgconfig *c = &v->after->config;
    struct qn_secret s;
    unsigned kept = 0;

    if (v->opt->rule[QN_RULE_secrets] != QN_RULE_ON)
        return;
    layers(v, out);
    for (uint32_t i = 1; i < v->after->tree.count && out->ok; i++) {
        const struct qn_node *n = &v->after->tree.node[i];
        uint32_t before = qn_tree_find(&v->before->tree, n->path);
        kept += n->type == QN_FILE && n->data && n->data->secrets;
        if (before != QN_NO_NODE && qn_secret_goes(v->after, v->opt, i) && qn_secret_goes(v->before, v->opt, before))
            qn_verdict_fail(out, "/%s is a secret that nothing needs", QN_Q(n->path));
    }
    for (size_t i = 0; v->opt->profile == QN_STRICT && i < c->history_count && out->ok; i++) {
        struct qn_str rest = c->history[i].created_by;
        if (qn_secret_next(&rest, &s))
            qn_verdict_fail(out, "entry %zu of the history holds a secret", i);
    }
    if (out->ok && kept)
        snprintf(out->detail, sizeof out->detail, "%u files with secrets are left, each of them reported", kept);
}
