#include "secrets_gone.h"
#include "edits.h"

#include "image/called.h"
#include "image/secrets.h"

#define ALWAYS (QN_SECRET_BIT(QN_SECRET_HOST_KEY) | QN_SECRET_BIT(QN_SECRET_GIT_CREDENTIALS))

static const char *const servers[] = {"sshd", "dropbear", NULL};
static const char *const makers[] = {"ssh-keygen", "dropbearkey", NULL};

static bool kept_by_policy(const struct qn_options *opt, struct qn_str path)
{
    for (size_t i = 0; i < opt->keep.path_count; i++) {
        struct qn_str glob = opt->keep.paths[i];
        if (glob.n && glob.p[0] == '/')
            glob = qn_str_from(glob, 1);
        if (qn_glob(glob, path))
            return true;
    }
    return false;
}

const char *qn_secret_stays(const struct qn_image *img, const struct qn_options *opt, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];
    uint32_t bits = n->data ? n->data->secrets : 0;
    bool always = bits & ALWAYS;

    if (!always && opt->profile != QN_STRICT)
        return "the profile does not remove it";
    if (!(bits & QN_SECRET_FILES))
        return "the file holds other things too: take it out of the image and give it to the container";
    if (n->package != QN_NO_PACKAGE)
        return "a package brings it";
    if (qn_image_reached(img, node))
        return "something that the image runs names it";
    if (kept_by_policy(opt, n->path))
        return "the policy keeps it";
    if ((bits & QN_SECRET_BIT(QN_SECRET_HOST_KEY)) && qn_rule_any_reached(img, servers) &&
        !qn_rule_any_reached(img, makers))
        return "the server would not start without it, and nothing makes a new one";
    if (!always && qn_image_named(img, node))
        return "a configuration names it";
    return NULL;
}

bool qn_secret_goes(const struct qn_image *img, const struct qn_options *opt, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];

    return n->type == QN_FILE && n->data && n->data->secrets && !qn_secret_stays(img, opt, node);
}

bool qn_secret_hidden(const struct qn_image *img, size_t layer, const struct qn_entry *entry)
{
    if (entry->type != QN_FILE && entry->type != QN_HARDLINK)
        return false;
    const struct qn_entry *data = qn_layer_data(&img->tree.layer[layer], entry);
    return data && data->secrets && !qn_tree_visible(&img->tree, entry);
}
