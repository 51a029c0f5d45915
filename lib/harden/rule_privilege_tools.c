/* Programs that change who somebody is, or what is mounted where: of no use to a service that does not call them. */
#include "edits.h"

static const char *const tools[] = {
    "su",      "sudo",     "sudoedit",  "visudo",    "doas",       "pkexec",      "mount",     "umount",
    "passwd",  "chsh",     "chfn",      "chage",     "gpasswd",    "newgrp",      "sg",        "login",
    "sulogin", "expiry",   "newuidmap", "newgidmap", "runuser",    "chpasswd",    "chgpasswd", "vipw",
    "vigr",    "newusers", "unshare",   "nsenter",   "pivot_root", "switch_root", "swapon",    "swapoff",
    "losetup", "capsh",    "setcap",    "getpcaps",  "fusermount", "fusermount3", "ntfs-3g",   NULL};

int qn_rule_privilege_tools(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                            struct qn_err *e)
{
    (void)opt;
    if (img->utility)
        return qn_plan_back_off(plan, e, "the image starts a shell and exists for its tools");
    if (img->db.rpm)
        return qn_plan_back_off(plan, e, "an rpm database is there, which could not be kept true");
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        struct qn_str base = qn_path_base(n->path);
        bool tool = false;
        for (size_t k = 0; tools[k]; k++)
            tool = tool || qn_str_eq_c(base, tools[k]);
        if (tool && (n->type == QN_FILE || n->type == QN_SYMLINK) && qn_rule_in_path(img, i) &&
            qn_plan_remove(plan, i, "changes users, rights or mounts, and nothing in the image calls it", e) < 0)
            return -1;
    }
    return 0;
}
