/* A user that is not root: chosen by evidence, given what it must write, and only where nothing speaks against it.
 * What cannot be made safe stays as it is, with a finding that names the obstacle. */
#include "rule_user.h"

#include "base/num.h"
#include "formats/passwd.h"

/* Programs that only root can use to any effect, or that are setuid where they are: whoever calls them expects to be
 * root, or to become it. By name, since the rule "setuid" takes the bits of an image that runs as root. */
static const char *const root_tools[] = {
    "chown",   "chgrp",    "gosu",    "su-exec",   "setpriv",   "runuser",      "su",       "sudo",       "doas",
    "usermod", "groupmod", "useradd", "groupadd",  "adduser",   "addgroup",     "chpasswd", "mount",      "umount",
    "chroot",  "setcap",   "passwd",  "chsh",      "chfn",      "newgrp",       "gpasswd",  "fusermount", "fusermount3",
    "pkexec",  "bwrap",    "crontab", "newuidmap", "newgidmap", "s6-setuidgid", NULL};

/* A program that something calls and that means: the caller is root, or becomes it. Calls that an executable's own
 * strings suggest do not count: libraries name them without ever calling them. */
static uint32_t root_tool(const struct qn_image *img)
{
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (!(img->reach[i].all & QN_WHY_STARTED) || n->type == QN_DIR || !(n->mode & 0111))
            continue;
        for (size_t k = 0; root_tools[k]; k++)
            if (qn_str_eq_c(qn_path_base(n->path), root_tools[k]))
                return i;
    }
    return QN_NO_NODE;
}

/* What the image starts, or that nobody can tell. */
static bool obscure(const struct qn_image *img, char *why, size_t size)
{
    const struct qn_imgconfig *c = &img->config;

    if (c->entrypoint.n + c->cmd.n == 0)
        snprintf(why, size, "it says not what it starts");
    else if (img->entry == QN_NO_NODE)
        snprintf(why, size, "what it starts is not in the image");
    else
        return false;
    return true;
}

/* Why the image must stay as it is, or nothing; printed into `why`. */
static bool obstacle(struct qn_plan *p, char *why, size_t size)
{
    const struct qn_image *img = p->img;
    const struct qn_imgconfig *c = &img->config;
    struct qn_str home;

    if (obscure(img, why, size))
        return true;
    if (c->volumes.n) {
        snprintf(why, size, "VOLUME %s: what is mounted there belongs to root", QN_Q(c->volumes.v[0]));
        return true;
    }
    uint32_t tool = root_tool(img);
    if (tool != QN_NO_NODE) {
        struct qn_reach r = img->reach[tool];
        bool first = (QN_WHY_STARTED & QN_WHY_BIT(r.why)) != 0;
        snprintf(why, size, "%s%s calls %s, which needs root", first && r.from != QN_NO_NODE ? "/" : "",
                 !first                 ? "something in it"
                 : r.from == QN_NO_NODE ? "the configuration"
                                        : QN_Q(img->tree.node[r.from].path),
                 QN_Q(qn_path_base(img->tree.node[tool].path)));
        return true;
    }
    uint32_t port = p->opt->low_ports_free ? 0 : qn_user_low_port(img);
    if (port) {
        snprintf(why, size, "it listens on port %u, below 1024", port);
        return true;
    }
    if (qn_imgconfig_env(c, "HOME", &home) && qn_str_starts(home, QN_STR("/root"))) {
        snprintf(why, size, "HOME is %s", QN_Q(home));
        return true;
    }
    static const char *const servers[] = {"systemd", "init", "sshd", "cron", "crond", "supervisord", "runsvdir"};
    struct qn_str base = qn_path_base(img->tree.node[img->entry].path);
    for (size_t i = 0; i < QN_ARRAY_LEN(servers); i++)
        if (qn_str_eq_c(base, servers[i])) {
            snprintf(why, size, "%s starts programs for other users", servers[i]);
            return true;
        }
    return false;
}

struct account {
    char name[32], uid[16], gid[16], home[48];
};

/* "nonroot", as distroless images call it; where that name stands for another number, the number. */
static void name_account(struct qn_plan *p, const struct qn_user_choice *u, struct account *a)
{
    static const char *const files[] = {"etc/passwd", "etc/group"};

    snprintf(a->name, sizeof a->name, "nonroot");
    snprintf(a->uid, sizeof a->uid, "%u", u->uid);
    snprintf(a->gid, sizeof a->gid, "%u", u->gid);
    for (size_t i = 0; i < QN_ARRAY_LEN(files); i++) {
        qn_auto_rows struct qn_rows rows = {0};
        struct qn_str text;
        struct qn_err e;
        uint32_t node;
        if (qn_plan_path_text(p, qn_str_c(files[i]), &node, &text) &&
            qn_rows_parse(i ? QN_ROWS_GROUP : QN_ROWS_PASSWD, text, &rows, &e) == 0 &&
            qn_rows_find(&rows, QN_STR("nonroot")))
            snprintf(a->name, sizeof a->name, "uid%u", u->uid);
    }
    snprintf(a->home, sizeof a->home, "/home/%s", a->name);
}

/* Appends a row to passwd or group unless the number has one; makes the file where there is none. */
static int add_row(struct qn_plan *p, const char *path, enum qn_rows_kind kind, uint32_t id,
                   const struct qn_str *fields, unsigned n, const char *initial, struct qn_err *e)
{
    static const char *const because = "the user that the image runs as";
    qn_auto_rows struct qn_rows rows = {0};
    qn_auto_buf struct qn_buf b = {.max = 32u << 20};
    struct qn_str text = qn_str_c(initial);
    uint32_t node;

    bool there = qn_plan_path_text(p, qn_str_c(path), &node, &text);
    if (!there && node != QN_NO_NODE)
        return 0; /* not read: the number works without a name */
    if (qn_rows_parse(kind, text, &rows, e) < 0)
        return qn_err_wrap(e, "/%s", path);
    if (qn_rows_find_id(&rows, id))
        return 0;
    if (qn_rows_append(&rows, fields, n, e) < 0 || qn_rows_print(&rows, &b, e) < 0)
        return -1;
    const struct qn_addition file = {.path = qn_str_c(path), .type = QN_FILE, .mode = 0644, .content = qn_buf_view(&b)};
    return there ? qn_plan_edit(p, node, qn_buf_view(&b), because, e) : qn_plan_add(p, &file, because, e);
}

/* passwd and group rows, and a home, of a user that the image does not know. */
static int add_account(struct qn_plan *p, const struct qn_user_choice *u, struct qn_err *e)
{
    struct account a;

    name_account(p, u, &a);
    const struct qn_str user[] = {qn_str_c(a.name), QN_STR("x"),      qn_str_c(a.uid),        qn_str_c(a.gid),
                                  qn_str_c(a.name), qn_str_c(a.home), QN_STR("/sbin/nologin")};
    const struct qn_str group[] = {qn_str_c(a.name), QN_STR("x"), qn_str_c(a.gid), QN_STR("")};
    if (add_row(p, "etc/passwd", QN_ROWS_PASSWD, u->uid, user, 7, "root:x:0:0:root:/root:/sbin/nologin\n", e) < 0 ||
        add_row(p, "etc/group", QN_ROWS_GROUP, u->gid, group, 4, "root:x:0:\n", e) < 0)
        return -1;
    struct qn_str home = qn_str_c(a.home + 1);
    if (qn_tree_resolve(&p->img->tree, home, true) != QN_NO_NODE)
        return 0;
    const struct qn_addition dir = {.path = home, .type = QN_DIR, .mode = 0700, .uid = u->uid, .gid = u->gid};
    return qn_plan_add(p, &dir, "home of the user that the image runs as", e);
}

static int apply(struct qn_plan *p, const struct qn_user_choice *u, struct qn_err *e)
{
    char text[32];
    json_t *config = json_object_get(p->config, "config");

    snprintf(text, sizeof text, "%u:%u", u->uid, u->gid);
    int go = qn_plan_config(p, "config.User", p->img->config.user, qn_str_c(text), u->because, e);
    if (go < 0)
        return -1;
    if (go && !json_is_object(config)) {
        config = json_object();
        qn_json_set(p->config, "config", config);
        config = json_object_get(p->config, "config");
    }
    if (go)
        qn_json_set_c(config, "User", text);
    for (uint32_t i = 1; i < p->img->tree.count; i++)
        if (u->state[i] && p->fate[i].uid == 0 &&
            qn_plan_chown(p, i, u->uid, "state that the image's user must write", e) < 0)
            return -1;
    if ((!u->named && add_account(p, u, e) < 0) || qn_rule_permissions_for(p, u->uid, e) < 0)
        return -1;
    if (!p->img->runs_as_root)
        return 0;
    return qn_plan_finding(p, "CIS-DI-0001", QN_WARN, true, QN_STR("config.User"), e,
                           "the image ran as root (CIS 4.1)");
}

static int stays(struct qn_plan *p, const char *why, struct qn_err *e)
{
    const char *what = p->img->runs_as_root ? "the image runs as root (CIS 4.1) and stays so" : "its user stays";

    if (qn_plan_finding(p, "CIS-DI-0001", QN_WARN, false, QN_STR("config.User"), e, "%s: %s", what, why) < 0)
        return -1;
    return qn_plan_back_off(p, e, "%s", why);
}

int qn_rule_user(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    char why[512], fixed[32];
    struct qn_user_choice u = {0};

    snprintf(fixed, sizeof fixed, "%u:%u", opt->uid, opt->gid);
    if (opt->user == QN_USER_FIXED ? qn_str_eq_c(img->config.user, fixed) : !img->runs_as_root)
        return 0;
    if (opt->user != QN_USER_FIXED && obstacle(plan, why, sizeof why))
        return stays(plan, why, e);
    if (qn_user_choose(plan, &u, e) < 0 || qn_user_state(plan, &u, e) < 0)
        return -1;
    if (!qn_user_listed(plan, why, sizeof why) || !qn_user_access(plan, &u, why, sizeof why) ||
        !qn_user_writes(plan, &u, why, sizeof why) || !qn_user_beside(plan, &u, why, sizeof why))
        return stays(plan, why, e);
    return apply(plan, &u, e);
}
