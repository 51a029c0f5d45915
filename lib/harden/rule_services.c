/* Jobs, units and init scripts: in a container nothing runs them unless cron, an init or `service` is there. */
#include "edits.h"

static const struct {
    const char *path, *because;
} cron[] = {
    {"etc/cron.d", "cron job"},      {"etc/cron.hourly", "cron job"},  {"etc/cron.daily", "cron job"},
    {"etc/cron.weekly", "cron job"}, {"etc/cron.monthly", "cron job"}, {"etc/cron.yearly", "cron job"},
    {"etc/crontab", "cron job"},     {"var/spool/cron", "cron job"},   {"etc/anacrontab", "cron job"},
    {"etc/periodic", "cron job"},
};
static const struct {
    const char *path, *because;
} init[] = {
    {"etc/init.d", "init script"},
    {"etc/init", "init script"},
    {"etc/rc0.d", "init script"},
    {"etc/rc1.d", "init script"},
    {"etc/rc2.d", "init script"},
    {"etc/rc3.d", "init script"},
    {"etc/rc4.d", "init script"},
    {"etc/rc5.d", "init script"},
    {"etc/rc6.d", "init script"},
    {"etc/rcS.d", "init script"},
    {"etc/conf.d", "configuration of init scripts"},
    {"etc/runlevels", "init script"},
};
static const struct {
    const char *path, *because;
} units[] = {
    {"usr/lib/systemd/system", "systemd unit"},
    {"usr/lib/systemd/user", "systemd unit"},
    {"lib/systemd/system", "systemd unit"},
    {"etc/systemd", "systemd configuration"},
    {"usr/lib/systemd/system-preset", "systemd unit"},
    {"usr/lib/tmpfiles.d", "systemd configuration"},
    {"etc/tmpfiles.d", "systemd configuration"},
    {"usr/lib/sysusers.d", "systemd configuration"},
    {"var/lib/systemd", "state of systemd"},
};

static bool named_in_config(const struct qn_image *img, struct qn_str what)
{
    const struct qn_words *lists[] = {&img->config.entrypoint, &img->config.cmd, &img->config.healthcheck};
    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            if (qn_str_find(lists[k]->v[i], what) >= 0)
                return true;
    return false;
}

/* A shell that starts as a login shell reads /etc/profile and /etc/profile.d. */
static bool login_shell(const struct qn_image *img)
{
    if (img->utility || named_in_config(img, QN_STR("-l")) || named_in_config(img, QN_STR("profile")))
        return true;
    for (uint32_t i = 1; i < img->tree.count; i++) {
        struct qn_str text;
        const struct qn_node *n = &img->tree.node[i];
        if (!qn_image_reached(img, i) || !n->data || n->data->content != QN_SCRIPT || !qn_node_text(img, i, &text))
            continue;
        if (qn_str_find(text, QN_STR("profile")) >= 0 || qn_str_find(text, QN_STR("--login")) >= 0 ||
            qn_str_find(text, QN_STR("sh -l")) >= 0)
            return true;
    }
    return false;
}

/* Only what a package put there: a script of the application's may be sourced by hand. */
static bool not_packaged(const struct qn_image *img, uint32_t node)
{
    return img->tree.node[node].type == QN_DIR || img->tree.node[node].package == QN_NO_PACKAGE;
}

#define REMOVE_ALL(table)                                                                                              \
    for (size_t i = 0; i < QN_ARRAY_LEN(table); i++)                                                                   \
        if (qn_rule_remove_path(plan, table[i].path, table[i].because, NULL, e) < 0)                                   \
    return -1

int qn_rule_services(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    static const char *const crons[] = {"cron", "crond", "anacron", "supercronic", "run-parts", "fcron", NULL};
    static const char *const inits[] = {"init", "systemd", "openrc", "openrc-init", "runit", NULL};
    static const char *const service[] = {"service",           "invoke-rc.d",      "rc-service",       "systemctl",
                                          "start-stop-daemon", "systemd-tmpfiles", "systemd-sysusers", NULL};
    static const char *const rotate[] = {"logrotate", NULL};

    (void)opt;
    bool boots = qn_rule_any_reached(img, inits) && !img->utility;
    bool crond = boots || (qn_rule_any_reached(img, crons) && !img->utility);
    if (boots)
        return qn_plan_back_off(plan, e, "the image starts an init, which runs units and init scripts");
    if (!crond) {
        REMOVE_ALL(cron);
    }
    if (!qn_rule_any_reached(img, service) || img->utility) {
        REMOVE_ALL(init);
        REMOVE_ALL(units);
    }
    if (!crond && !qn_rule_any_reached(img, rotate) &&
        qn_rule_remove_path(plan, "etc/logrotate.d", "nothing rotates logs", NULL, e) < 0)
        return -1;
    if (qn_rule_remove_path(plan, "etc/update-motd.d", "message for logins", NULL, e) < 0 ||
        qn_rule_remove_path(plan, "etc/motd", "message for logins", NULL, e) < 0)
        return -1;
    if (!login_shell(img) &&
        qn_rule_remove_path(plan, "etc/profile.d", "nothing starts a login shell", not_packaged, e) < 0)
        return -1;
    return 0;
}
