/* etc/ld.so.preload: what it names is loaded into every program. Entries that are missing, or that no package brings,
 * are what somebody put there who should not have. */
#include "edits.h"

/* Why an entry should not be there, or NULL. A name without a path is looked up by the loader; it is let be. */
static const char *wrong(const struct qn_image *img, struct qn_str entry)
{
    uint32_t n = qn_tree_resolve(&img->tree, entry, true);

    if (qn_str_chr(entry, '/') < 0)
        return NULL;
    if (n == QN_NO_NODE || img->tree.node[n].type != QN_FILE)
        return "it is missing";
    return img->package_count > 0 && img->tree.node[n].package == QN_NO_PACKAGE ? "no package brings it" : NULL;
}

/* Where comments are allowed, they start with "#"; entries are separated by blanks and colons. */
static int filter(struct qn_plan *p, struct qn_str text, struct qn_buf *out, bool *any, struct qn_err *e)
{
    struct qn_str line, entry;

    *any = false;
    while (qn_str_next(&text, '\n', &line)) {
        ptrdiff_t comment = qn_str_chr(line, '#');
        struct qn_str rest = comment < 0 ? line : qn_str_head(line, (size_t)comment), part;
        while (qn_str_word(&rest, &part))
            while (qn_str_next(&part, ':', &entry)) {
                const char *why = entry.n ? wrong(p->img, entry) : NULL;
                *any = *any || why;
                if (why && qn_plan_finding(p, "NIST-SI-7", QN_FATAL, !p->reporting, QN_STR("etc/ld.so.preload"), e,
                                           "\"%s\" is loaded into every program, and %s", QN_Q(entry), why) < 0)
                    return -1;
                if (!why && entry.n && (qn_buf_str(out, entry, e) < 0 || qn_buf_c(out, "\n", e) < 0))
                    return -1;
            }
    }
    return 0;
}

int qn_rule_preload(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    struct qn_str text;
    uint32_t node;
    bool any;

    (void)img;
    (void)opt;
    qn_buf_init(&b, 4u << 20);
    if (!qn_plan_path_text(plan, QN_STR("etc/ld.so.preload"), &node, &text))
        return 0;
    if (filter(plan, text, &b, &any, e) < 0)
        return -1;
    return !any ? 0
                : qn_plan_edit(plan, node, qn_buf_view(&b), "entries that are missing or that no package brings", e);
}
