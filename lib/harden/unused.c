#include "edits.h"
#include "unused.h"

/* Globs over whole paths. */
static const char *const never[] = {"etc/os-release",
                                    "usr/lib/os-release",
                                    "etc/*-release",
                                    "etc/*_version",
                                    "etc/issue*",
                                    "usr/share/doc/*/copyright",
                                    "usr/share/common-licenses/**",
                                    "usr/share/licenses/**",
                                    "etc/passwd*",
                                    "etc/group*",
                                    "etc/shadow*",
                                    "etc/gshadow*",
                                    "etc/subuid*",
                                    "etc/subgid*",
                                    "etc/nsswitch.conf",
                                    "etc/host.conf",
                                    "etc/hosts",
                                    "etc/hostname",
                                    "etc/resolv.conf",
                                    "etc/gai.conf",
                                    "etc/services",
                                    "etc/protocols",
                                    "etc/rpc",
                                    "etc/networks",
                                    "etc/mime.types",
                                    "etc/localtime",
                                    "etc/timezone",
                                    "etc/shells",
                                    "etc/profile",
                                    "etc/environment",
                                    "etc/ld.so.*",
                                    "etc/ld.so.conf.d/*",
                                    "etc/ld-musl-*",
                                    "etc/ssl/**",
                                    "etc/pki/**",
                                    "etc/ca-certificates*",
                                    "etc/ca-certificates/**",
                                    "etc/apk/**",
                                    "etc/dpkg/**",
                                    "usr/share/ca-certificates/**",
                                    "usr/share/pki/**",
                                    "usr/share/zoneinfo/**",
                                    "lib/terminfo/**",
                                    "etc/terminfo/**",
                                    "usr/share/terminfo/**",
                                    "usr/share/misc/**",
                                    "usr/share/mime/**",
                                    "var/lib/dpkg/**",
                                    "var/lib/rpm/**",
                                    "usr/lib/sysimage/**",
                                    "lib/apk/**",
                                    "usr/lib/apk/**"};
/* Globs over base names. */
static const char *const loaders[] = {"ld-linux*",   "ld-musl-*",  "ld64.so*",        "ld.so.*",
                                      "ld-2.*.so",   "ld-*.so.?",  "libc.so.*",       "libc-2.*",
                                      "libc.musl-*", "libnss_*",   "libgcc_s.so*",    "libresolv.so*",
                                      "libm.so.6",   "libdl.so.2", "libpthread.so.0", "librt.so.1"};

bool qn_unused_never(const struct qn_image *img, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];
    struct qn_str base = qn_path_base(n->path);

    if (n->type == QN_DIR || n->package == QN_NO_PACKAGE || qn_path_dir(n->path).n == 0)
        return true;
    if (qn_rule_licence(img, node))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(never); i++)
        if (never[i][0] == n->path.p[0] && never[i][1] == n->path.p[1] && qn_glob(qn_str_c(never[i]), n->path))
            return true;
    for (size_t i = 0; base.n && base.p[0] == 'l' && i < QN_ARRAY_LEN(loaders); i++)
        if (qn_glob(qn_str_c(loaders[i]), base))
            return true;
    return false;
}

bool qn_unused_way(const struct qn_image *img, const struct qn_keepset *ks, uint32_t node)
{
    const struct qn_tree *t = &img->tree;
    uint32_t to = t->node[node].type == QN_SYMLINK ? qn_tree_resolve(t, t->node[node].path, true) : QN_NO_NODE;

    if (to == QN_NO_NODE || t->node[to].type != QN_DIR)
        return false;
    for (uint32_t i = to + 1, end = qn_tree_end(t, to); i < end; i++)
        if (qn_keepset_has(ks, i))
            return true;
    return to == 0;
}

bool qn_unused_shell(const struct qn_image *img, uint32_t node)
{
    return qn_is_shell_name(qn_path_base(img->tree.node[node].path)) && qn_rule_in_path(img, node);
}

/* Something that runs refers to more than was noted of it. */
static bool cut(const struct qn_image *img)
{
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (n->type == QN_FILE && n->data && (n->data->elf.paths_cut || n->data->named.hints_cut) &&
            qn_image_needed(img, i))
            return true;
    }
    return false;
}

/* Whether the keep-set cannot be trusted for this image, and why. */
static bool doubt(const struct qn_image *img, const char **because)
{
    *because = NULL;
    if (img->db.rpm)
        *because = "an rpm database is there, which could not be kept true";
    else if (img->entry == QN_NO_NODE && img->config.entrypoint.n + img->config.cmd.n > 0)
        *because = "what the image starts is not in it: what that needs is not known";
    else if (cut(img))
        *because = "something that runs names more files and programs than can be kept in mind";
    return *because != NULL;
}

int qn_unused_begin(struct qn_plan *plan, const struct qn_keepset **out, struct qn_err *e)
{
    const char *because;

    if (plan->img->package_count == 0)
        return 0;
    if (doubt(plan->img, &because))
        return qn_plan_back_off(plan, e, "%s", because);
    return qn_plan_keepset(plan, out, e) < 0 ? -1 : 1;
}
