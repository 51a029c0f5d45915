/* Whatever is reached, and the user of the source could read, run and get to, the user of the result can. */
#include "verify.h"

/* Bits left when every directory above can be entered, else none. */
static unsigned reachable(const struct qn_image *img, uint32_t node, uint32_t gid)
{
    for (uint32_t d = img->tree.node[node].parent; d != QN_NO_NODE; d = img->tree.node[d].parent)
        if (!(qn_verify_bits(img, d, gid) & 1))
            return 0;
    return qn_verify_bits(img, node, gid);
}

void qn_verify_access(const struct qn_verify *v, struct qn_verdict *out)
{
    uint32_t gid_before = qn_verify_group(v->before), gid_after = qn_verify_group(v->after);

    for (uint32_t i = 1; i < v->before->tree.count && out->ok; i++) {
        const struct qn_node *n = &v->before->tree.node[i];
        if (!qn_image_reached(v->before, i) || n->type != QN_FILE || !n->entry)
            continue;
        if (v->alone && (!n->data || (n->data->content != QN_ELF && n->data->content != QN_SCRIPT)))
            continue; /* whether it has to be read is not known */
        uint32_t now = qn_verify_same(v, i);
        if (now == QN_NO_NODE)
            continue; /* another check's business */
        unsigned had = v->alone ? 7 : reachable(v->before, i, gid_before), has = reachable(v->after, now, gid_after);
        /* Executables are run, not read; writing is the state directories' business. */
        unsigned want = n->data && n->data->content == QN_ELF && (n->mode & 0111) ? 1 : 5;
        if (v->alone && !(n->mode & 0111))
            want = 4; /* a library, or what a shell sources */
        if (had & want & ~has)
            qn_verdict_fail(out, "/%s (mode %04o, uid %u) is out of reach of uid %u", QN_Q(n->path),
                            v->after->tree.node[now].mode, v->after->tree.node[now].uid, v->after->run_uid);
    }
}
