/* Files that anybody may write, shared directories without the sticky bit, keys that anybody may read. */
#include "rule_common.h"

static bool temporary(struct qn_str path)
{
    static const char *const dirs[] = {"tmp", "var/tmp", "run", "var/run", "run/lock", "var/lock", "dev"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}

static bool key_file(const struct qn_plan *p, uint32_t node)
{
    struct qn_str path = p->img->tree.node[node].path, base = qn_path_base(path), text;

    if (qn_str_starts(base, QN_STR("id_")) && !qn_str_ends(base, QN_STR(".pub")) &&
        qn_str_ends(qn_path_dir(path), QN_STR(".ssh")))
        return true;
    if (qn_str_starts(base, QN_STR("ssh_host_")) && qn_str_ends(base, QN_STR("_key")))
        return true;
    if (qn_path_under(path, QN_STR("etc/ssl/private")) || qn_str_eq(base, QN_STR(".netrc")) ||
        qn_str_eq(base, QN_STR(".pgpass")))
        return true;
    return qn_plan_text(p, node, &text) && qn_str_find(text, QN_STR("PRIVATE KEY-----")) >= 0;
}

/* Whether whoever the image runs as would still get at the file. */
static bool reader_left(const struct qn_image *img, uint32_t node)
{
    return img->runs_as_root || img->tree.node[node].uid == img->run_uid;
}

static int writable_file(const struct qn_image *img, struct qn_plan *plan, uint32_t i, struct qn_err *e)
{
    const struct qn_node *n = &img->tree.node[i];

    /* The user that writes it by that bit becomes its owner: the only way to take the bit and keep the function. */
    if (!reader_left(img, i) && n->package == QN_NO_PACKAGE &&
        qn_plan_chown(plan, i, img->run_uid, "its user keeps write access when others lose it", e) < 0)
        return -1;
    if (qn_plan_chmod(plan, i, plan->fate[i].mode & ~02u, "anybody could write it", e) < 0)
        return -1;
    return qn_plan_finding(plan, "CIS-4.8", QN_WARN, true, n->path, e, "world-writable file");
}

static int shared_dir(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, uint32_t i,
                      struct qn_err *e)
{
    const struct qn_node *n = &img->tree.node[i];
    bool fix = opt->profile != QN_SAFE || temporary(n->path);

    if (fix &&
        qn_plan_chmod(plan, i, plan->fate[i].mode | 01000u, "in a shared directory, only owners may delete", e) < 0)
        return -1;
    return qn_plan_finding(plan, "NIST-AC-3", QN_WARN, fix, n->path, e, "world-writable directory without sticky bit");
}

static int key(const struct qn_image *img, struct qn_plan *plan, uint32_t i, struct qn_err *e)
{
    const struct qn_node *n = &img->tree.node[i];

    if (!reader_left(img, i))
        return qn_plan_finding(plan, "CIS-4.10", QN_WARN, false, n->path, e,
                               "key that anybody may read, and that the image's user may need to");
    if (qn_plan_chmod(plan, i, plan->fate[i].mode & ~07u, "a key is not for everybody", e) < 0)
        return -1;
    return qn_plan_finding(plan, "CIS-4.10", QN_WARN, true, n->path, e, "key that anybody may read");
}

int qn_rule_permissions(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                        struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        uint32_t mode = plan->fate[i].mode;
        int r = 0;
        if (plan->fate[i].removed || !n->entry)
            continue;
        bool shadow = qn_str_eq(n->path, QN_STR("etc/shadow")) || qn_str_eq(n->path, QN_STR("etc/gshadow"));
        if (n->type == QN_FILE && shadow && (mode & ~0640u))
            r = qn_plan_chmod(plan, i, mode & 0640, "password hashes are for root alone", e);
        else if (n->type == QN_FILE && (mode & 02))
            r = writable_file(img, plan, i, e);
        else if (n->type == QN_DIR && (mode & 02) && !(mode & 01000))
            r = shared_dir(img, opt, plan, i, e);
        if (r == 0 && n->type == QN_FILE && !shadow && (plan->fate[i].mode & 07) && key_file(plan, i))
            r = key(img, plan, i, e);
        if (r < 0)
            return -1;
    }
    return 0;
}
