/* Scripts that are reached in the source and still there have the interpreter that they name. */
#include "verify.h"

void qn_verify_interpreters(const struct qn_verify *v, struct qn_verdict *out)
{
    const struct qn_image *b = v->before;

    for (uint32_t i = 1; i < b->tree.count && out->ok; i++) {
        const struct qn_node *n = &b->tree.node[i];
        if (!qn_image_reached(b, i) || n->type != QN_FILE || !n->data || n->data->content != QN_SCRIPT)
            continue;
        uint32_t now = qn_verify_same(v, i);
        if (now == QN_NO_NODE) {
            qn_verdict_fail(out, "reached script /%s is gone", QN_Q(n->path));
            continue;
        }
        struct qn_str interpreter = n->data->script.interpreter;
        if ((v->alone || qn_tree_resolve(&b->tree, interpreter, true) != QN_NO_NODE) &&
            qn_tree_resolve(&v->after->tree, interpreter, true) == QN_NO_NODE)
            qn_verdict_fail(out, "/%s: its interpreter %s is missing", QN_Q(n->path), QN_Q(interpreter));
        struct qn_str program = n->data->script.program;
        if (program.n && (v->alone || qn_image_command(b, program) != QN_NO_NODE) &&
            qn_image_command(v->after, program) == QN_NO_NODE)
            qn_verdict_fail(out, "/%s: its interpreter %s is missing", QN_Q(n->path), QN_Q(program));
    }
}
