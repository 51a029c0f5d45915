/* Files that anybody may write, shared directories without the sticky bit, keys that anybody may read. */
#include "edits.h"

static bool temporary(struct qn_str path)
{
    static const char *const dirs[] = {"tmp", "var/tmp", "run", "var/run", "run/lock", "var/lock", "dev"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}

/* A key, not a script that handles keys: the line stands by itself. */
static bool key_text(struct qn_str text)
{
    struct qn_str line;

    while (qn_str_next(&text, '\n', &line))
        if (qn_str_starts(line, QN_STR("-----BEGIN ")) && qn_str_find(line, QN_STR("PRIVATE KEY-----")) >= 0)
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
    const struct qn_entry *data = p->img->tree.node[node].data;
    return data && data->content == QN_TEXT && qn_plan_text(p, node, &text) && key_text(text);
}

/* On whose behalf the image's files are looked at. */
struct who {
    bool root;
    uint32_t uid;
    bool drops; /* it starts as root and may go on as somebody else */
    bool quiet; /* no new findings: they were made before */
};

static int finding(struct qn_plan *p, const struct who *w, const char *check, bool fixed, uint32_t i, const char *what,
                   struct qn_err *e)
{
    struct qn_str path = p->img->tree.node[i].path;

    if (!w->quiet)
        return qn_plan_finding(p, check, QN_WARN, fixed, path, e, "%s", what);
    /* What was found before is put right now. */
    for (size_t k = 0; k < p->findings && fixed; k++)
        if (strcmp(p->finding[k].check, check) == 0 && qn_str_eq(p->finding[k].where, path))
            p->finding[k].fixed = true;
    return 0;
}

/* Whether whoever the image runs as would still get at the file. */
static bool reader_left(const struct qn_plan *p, const struct who *w, uint32_t i)
{
    return w->root || p->fate[i].uid == w->uid;
}

/* Whether the file or directory may be what a process writes that started as root and went on as somebody else: whom it
 * then belongs to cannot be told. Programs and what packages own are not written. */
static bool unknown_writer(const struct qn_plan *p, const struct who *w, uint32_t i)
{
    const struct qn_node *n = &p->img->tree.node[i];
    bool data = n->type == QN_DIR || !n->data || (n->data->content != QN_ELF && n->data->content != QN_SCRIPT);

    return w->drops && data && n->package == QN_NO_PACKAGE;
}

/* Whether an owner may all that others may: one who may less would lose by becoming it. */
static bool owner_may_too(const struct qn_plan *p, uint32_t i)
{
    uint32_t mode = p->fate[i].mode;
    return (mode & 07 & ~(mode >> 6)) == 0;
}

/* The user that writes by the bits of others becomes the owner: the only way to take the bits and keep the function. */
static int give(struct qn_plan *p, const struct who *w, uint32_t i, struct qn_err *e)
{
    if (reader_left(p, w, i) || p->img->tree.node[i].package != QN_NO_PACKAGE)
        return 0;
    return qn_plan_chown(p, i, w->uid, "its user keeps write access when others lose it", e);
}

static int writable_file(struct qn_plan *p, const struct who *w, uint32_t i, struct qn_err *e)
{
    if (unknown_writer(p, w, i) || (!reader_left(p, w, i) && !owner_may_too(p, i)))
        return finding(p, w, "CIS-4.8", false, i,
                       "world-writable file, and somebody who is not its owner may have to write it", e);
    if (give(p, w, i, e) < 0 || qn_plan_chmod(p, i, p->fate[i].mode & ~02u, "anybody could write it", e) < 0)
        return -1;
    return finding(p, w, "CIS-4.8", true, i, "world-writable file", e);
}

static int shared_dir(struct qn_plan *p, const struct who *w, uint32_t i, struct qn_err *e)
{
    bool tmp = temporary(p->img->tree.node[i].path);
    bool fix = tmp || (p->opt->profile != QN_SAFE && !unknown_writer(p, w, i) &&
                       (reader_left(p, w, i) || owner_may_too(p, i)));

    if (fix && ((!tmp && give(p, w, i, e) < 0) ||
                qn_plan_chmod(p, i, p->fate[i].mode | 01000u, "in a shared directory, only owners may delete", e) < 0))
        return -1;
    return finding(p, w, "NIST-AC-3", fix, i, "world-writable directory without sticky bit", e);
}

static int key(struct qn_plan *p, const struct who *w, uint32_t i, struct qn_err *e)
{
    if (!reader_left(p, w, i) || unknown_writer(p, w, i))
        return finding(p, w, "CIS-4.10", false, i, "key that anybody may read, and that the image's user may need to",
                       e);
    if (qn_plan_chmod(p, i, p->fate[i].mode & ~07u, "a key is not for everybody", e) < 0)
        return -1;
    return finding(p, w, "CIS-4.10", true, i, "key that anybody may read", e);
}

static int run(struct qn_plan *p, const struct who *w, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        uint32_t mode = p->fate[i].mode;
        int r = 0;
        if (p->fate[i].removed || !n->entry)
            continue;
        bool runs = n->data && (n->data->content == QN_ELF || n->data->content == QN_SCRIPT);
        bool shadow = !runs && (qn_str_eq(n->path, QN_STR("etc/shadow")) || qn_str_eq(n->path, QN_STR("etc/gshadow")));
        if (n->type == QN_FILE && shadow && (mode & ~0640u))
            r = qn_plan_chmod(p, i, mode & 0640, "password hashes are for root alone", e);
        else if (n->type == QN_FILE && (mode & 02))
            r = writable_file(p, w, i, e);
        else if (n->type == QN_DIR && (mode & 02) && !(mode & 01000))
            r = shared_dir(p, w, i, e);
        if (r == 0 && n->type == QN_FILE && !shadow && (p->fate[i].mode & 07) && key_file(p, i))
            r = key(p, w, i, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

int qn_rule_permissions(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                        struct qn_err *e)
{
    const struct who who = {.root = img->runs_as_root,
                            .uid = img->run_uid,
                            .drops = img->runs_as_root && qn_rule_drops_privileges(img, opt->profile)};

    return run(plan, &who, e);
}

int qn_rule_permissions_for(struct qn_plan *plan, uint32_t uid, struct qn_err *e)
{
    const struct who who = {.uid = uid, .quiet = true};

    return plan->opt->rule[QN_RULE_permissions] == QN_RULE_ON ? run(plan, &who, e) : 0;
}
