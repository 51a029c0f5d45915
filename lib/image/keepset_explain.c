/* The chain of reasons of what is kept, for people. */
#include "keepset.h"

#define HOPS 10

static const char *node_text(enum qn_kept_why why)
{
    static const char *const texts[] = {
        [QN_KEPT_NOT] = "nothing needs it",
        [QN_KEPT_REACHED] = "it is reached",
        [QN_KEPT_UNOWNED] = "it belongs to the application (no package owns it)",
        [QN_KEPT_LINK] = "it is linked from",
        [QN_KEPT_NEEDED] = "it is needed by",
        [QN_KEPT_INTERPRETER] = "it interprets",
        [QN_KEPT_NAMED] = "it is named by",
        [QN_KEPT_DIRECTORY] = "its directory is named by",
        [QN_KEPT_COMMAND] = "it is run by",
        [QN_KEPT_SHELL] = "command lines are run by",
        [QN_KEPT_SETTING] = "it is configured in",
        [QN_KEPT_FAMILY] = "it goes with",
        [QN_KEPT_FLOOR] = "scripts take it for granted, and there is the shell",
        [QN_KEPT_MEMBER] = "it is part of package",
        [QN_KEPT_OWNER] = "it owns",
        [QN_KEPT_DEPENDS] = "it is a dependency of package",
        [QN_KEPT_TREE] = "it has modules for",
        [QN_KEPT_CHOSEN] = "it was installed on purpose",
        [QN_KEPT_ALWAYS] = "every program expects it",
    };
    return texts[why];
}

/* Whether `from` of a reason is a package. */
static bool of_package(enum qn_kept_why why)
{
    return why == QN_KEPT_MEMBER || why == QN_KEPT_DEPENDS;
}

static int explain(const struct qn_image *img, const struct qn_keepset *ks, bool package, uint32_t at, struct qn_buf *b,
                   struct qn_err *e)
{
    for (unsigned hop = 0; hop < HOPS; hop++) {
        struct qn_kept k = package ? ks->package[at] : ks->node[at];
        if (hop && qn_buf_c(b, ", because ", e) < 0)
            return -1;
        if (k.why == QN_KEPT_REACHED)
            return qn_image_explain(img, at, b, e);
        if (qn_buf_c(b, node_text(k.why), e) < 0)
            return -1;
        package = of_package(k.why);
        if (k.why == QN_KEPT_NOT || k.from == QN_NO_NODE)
            return 0;
        int r = package ? qn_buf_printf(b, e, " %s", QN_Q(img->package[k.from].name))
                        : qn_buf_printf(b, e, " /%s", QN_Q(img->tree.node[k.from].path));
        if (r < 0)
            return -1;
        at = k.from;
        /* The directory of PAM's settings stands for itself. */
        if (!package && img->tree.node[at].type == QN_DIR)
            return 0;
    }
    return qn_buf_c(b, ", and so on", e);
}

int qn_keepset_explain(const struct qn_image *img, const struct qn_keepset *ks, uint32_t node, struct qn_buf *b,
                       struct qn_err *e)
{
    if (ks->node[node].why == QN_KEPT_REACHED || qn_image_reached(img, node))
        return qn_image_explain(img, node, b, e);
    return explain(img, ks, false, node, b, e);
}

int qn_keepset_explain_package(const struct qn_image *img, const struct qn_keepset *ks, uint32_t package,
                               struct qn_buf *b, struct qn_err *e)
{
    return explain(img, ks, true, package, b, e);
}
