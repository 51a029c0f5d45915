/* A user that is not root: chosen by evidence, given what it must write, and only where nothing speaks against it.
 * What cannot be made safe stays as it is, with a finding that names the obstacle. */
#include "rule_user.h"

#include "base/num.h"
#include "formats/passwd.h"

/* Programs that only root can use to any effect: whoever calls them expects to be root. */
static const char *const root_tools[] = {
    "chown",   "chgrp",    "gosu",    "su-exec",  "setpriv",  "runuser", "su",     "sudo",   "usermod", "groupmod",
    "useradd", "groupadd", "adduser", "addgroup", "chpasswd", "mount",   "chroot", "setcap", NULL};

/* Calls that an executable's own strings suggest do not count: libraries name them without ever calling them. */
static uint32_t root_tool(const struct qn_image *img)
{
    for (uint32_t i = 1; i < img->tree.count; i++) {
        if (!(img->reach[i].all & QN_WHY_STARTED))
            continue;
        for (size_t k = 0; root_tools[k]; k++)
            if (qn_str_eq_c(qn_path_base(img->tree.node[i].path), root_tools[k]) && (img->tree.node[i].mode & 0111))
                return i;
    }
    return QN_NO_NODE;
}

/* Why the image must stay as it is, or nothing; printed into `why`. */
static bool obstacle(struct qn_plan *p, char *why, size_t size)
{
    const struct qn_image *img = p->img;
    const struct qn_imgconfig *c = &img->config;
    struct qn_str home;

    if (c->volumes.n) {
        snprintf(why, size, "VOLUME %s: what is mounted there belongs to root", QN_Q(c->volumes.v[0]));
        return true;
    }
    uint32_t tool = root_tool(img);
    if (tool != QN_NO_NODE) {
        uint32_t from = img->reach[tool].from;
        snprintf(why, size, "%s calls %s, which needs root",
                 from == QN_NO_NODE ? "the configuration" : QN_Q(img->tree.node[from].path),
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
    if (img->entry != QN_NO_NODE) {
        struct qn_str base = qn_path_base(img->tree.node[img->entry].path);
        if (qn_str_eq(base, QN_STR("systemd")) || qn_str_eq(base, QN_STR("init")) || qn_str_eq(base, QN_STR("sshd")) ||
            qn_str_eq(base, QN_STR("cron")) || qn_str_eq(base, QN_STR("crond")) ||
            qn_str_eq(base, QN_STR("supervisord"))) {
            snprintf(why, size, "%s starts programs for other users", QN_Q(base));
            return true;
        }
    }
    if (img->tree.layer_count == 0) {
        snprintf(why, size, "the image has no layers");
        return true;
    }
    return false;
}

/* passwd and group rows of the user that distroless images use as well. */
static int add_account(struct qn_plan *p, const struct qn_user_choice *u, struct qn_err *e)
{
    char id[16], gid[16];
    struct qn_str text;
    uint32_t node;
    qn_auto_rows struct qn_rows passwd = {0}, group = {0};

    snprintf(id, sizeof id, "%u", u->uid);
    snprintf(gid, sizeof gid, "%u", u->gid);
    const struct qn_str user_row[] = {QN_STR("nonroot"),      QN_STR("x"),       qn_str_c(id),
                                      qn_str_c(gid),          QN_STR("nonroot"), QN_STR("/home/nonroot"),
                                      QN_STR("/sbin/nologin")};
    const struct qn_str group_row[] = {QN_STR("nonroot"), QN_STR("x"), qn_str_c(gid), QN_STR("")};
    static const char *const because = "the user that the image runs as";
    struct qn_addition file = {.type = QN_FILE, .mode = 0644};
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 32u << 20);
    if (qn_plan_path_text(p, QN_STR("etc/passwd"), &node, &text)) {
        if (qn_rows_parse(QN_ROWS_PASSWD, text, &passwd, e) < 0)
            return -1;
        if (!qn_rows_find_id(&passwd, u->uid) &&
            (qn_rows_append(&passwd, user_row, 7, e) < 0 || qn_rows_print(&passwd, &b, e) < 0 ||
             qn_plan_edit(p, node, qn_buf_view(&b), because, e) < 0))
            return -1;
    } else if (node == QN_NO_NODE) {
        file.path = QN_STR("etc/passwd");
        if (qn_buf_printf(&b, e,
                          "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:%u:%u:nonroot:/home/nonroot:/sbin/nologin\n",
                          u->uid, u->gid) < 0)
            return -1;
        file.content = qn_buf_view(&b);
        if (qn_plan_add(p, &file, because, e) < 0)
            return -1;
    }
    qn_buf_clear(&b);
    if (qn_plan_path_text(p, QN_STR("etc/group"), &node, &text)) {
        if (qn_rows_parse(QN_ROWS_GROUP, text, &group, e) < 0)
            return -1;
        if (!qn_rows_find_id(&group, u->gid) &&
            (qn_rows_append(&group, group_row, 4, e) < 0 || qn_rows_print(&group, &b, e) < 0 ||
             qn_plan_edit(p, node, qn_buf_view(&b), because, e) < 0))
            return -1;
    } else if (node == QN_NO_NODE) {
        file.path = QN_STR("etc/group");
        if (qn_buf_printf(&b, e, "root:x:0:\nnonroot:x:%u:\n", u->gid) < 0)
            return -1;
        file.content = qn_buf_view(&b);
        if (qn_plan_add(p, &file, because, e) < 0)
            return -1;
    }
    if (qn_tree_resolve(&p->img->tree, QN_STR("home/nonroot"), true) != QN_NO_NODE)
        return 0;
    struct qn_addition home = {
        .path = QN_STR("home/nonroot"), .type = QN_DIR, .mode = 0700, .uid = u->uid, .gid = u->gid};
    return qn_plan_add(p, &home, "home of the user that the image runs as", e);
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
    if (!u->named && add_account(p, u, e) < 0)
        return -1;
    return qn_plan_finding(p, "CIS-DI-0001", QN_WARN, true, QN_STR("config.User"), e,
                           "the image ran as root (CIS 4.1)");
}

int qn_rule_user(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    char why[512];
    struct qn_user_choice u = {0};

    if (!img->runs_as_root && opt->user != QN_USER_FIXED)
        return 0;
    if (opt->user != QN_USER_FIXED && obstacle(plan, why, sizeof why)) {
        if (qn_plan_finding(plan, "CIS-DI-0001", QN_WARN, false, QN_STR("config.User"), e,
                            "the image runs as root (CIS 4.1) and stays so: %s", why) < 0)
            return -1;
        return qn_plan_back_off(plan, e, "%s", why);
    }
    if (qn_user_choose(plan, &u, e) < 0 || qn_user_state(plan, &u, e) < 0)
        return -1;
    if (!qn_user_access(plan, &u, why, sizeof why)) {
        if (qn_plan_finding(plan, "CIS-DI-0001", QN_WARN, false, QN_STR("config.User"), e,
                            "the image runs as root (CIS 4.1) and stays so: %s", why) < 0)
            return -1;
        return qn_plan_back_off(plan, e, "%s", why);
    }
    return apply(plan, &u, e);
}
