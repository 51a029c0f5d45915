/* Package managers, their libraries, configuration and keyrings. The package database stays: scanners read it, and the
 * plan's last stage makes it say what is left. */
#include "edits.h"

static const char *const deb_packages[] = {"apt",
                                           "apt-utils",
                                           "libapt-*",
                                           "aptitude",
                                           "aptitude-common",
                                           "dpkg",
                                           "dselect",
                                           "debian-archive-keyring",
                                           "ubuntu-keyring",
                                           "gpgv",
                                           "python3-apt",
                                           "python-apt-common",
                                           "unattended-upgrades",
                                           "apt-transport-https",
                                           "apt-listchanges",
                                           "software-properties-common",
                                           NULL};
static const char *const apk_packages[] = {"apk-tools", "apk-tools-static", "alpine-keys", "libapk*", NULL};

static const char *const rpm_packages[] = {"rpm",
                                           "rpm-libs",
                                           "*-rpm-macros",
                                           "*-rpm-config",
                                           "rpm-build-libs",
                                           "rpm-build",
                                           "rpm-devel",
                                           "rpm-sign-libs",
                                           "rpm-plugin-*",
                                           "rpm-python*",
                                           "python3-rpm",
                                           "librpm*",
                                           "dnf",
                                           "dnf-data",
                                           "dnf5*",
                                           "libdnf*",
                                           "dnf-plugins-core",
                                           "dnf-plugin-*",
                                           "python3-dnf*",
                                           "python3-libdnf*",
                                           "python3-hawkey",
                                           "yum",
                                           "yum-utils",
                                           "yum-plugin-*",
                                           "microdnf",
                                           "tdnf*",
                                           "zypper",
                                           "zypper-*",
                                           "libzypp*",
                                           "libsolv*",
                                           "python3-solv",
                                           "librepo",
                                           "python3-librepo",
                                           "libcomps",
                                           "python3-libcomps",
                                           "libmodulemd*",
                                           "createrepo_c*",
                                           "subscription-manager*",
                                           "python3-subscription-manager*",
                                           "libdnf-plugin-*",
                                           "*-repos",
                                           "*-repos-*",
                                           "*-gpg-keys",
                                           "mariner-repos*",
                                           "azurelinux-repos*",
                                           "epel-release",
                                           NULL};

static const struct {
    const char *path, *because;
} rpm_data[] = {
    {"etc/yum", "configuration of yum"},
    {"etc/yum.conf", "configuration of yum"},
    {"etc/yum.repos.d", "configuration of yum"},
    {"etc/dnf", "configuration of dnf"},
    {"etc/tdnf", "configuration of tdnf"},
    {"etc/zypp", "configuration of zypper"},
    {"etc/rpm", "configuration of rpm"},
    {"etc/pki/rpm-gpg", "keyring of rpm"},
    {"etc/rhsm", "configuration of subscription-manager"},
    {"etc/pki/entitlement", "credentials of subscription-manager"},
    {"usr/lib/rpm", "scripts and macros of rpm"},
    {"usr/lib/zypp", "data of zypper"},
    {"var/lib/dnf", "state of dnf"},
    {"var/lib/yum", "state of yum"},
    {"var/lib/zypp", "state of zypper"},
    {"var/lib/rhsm", "state of subscription-manager"},
    {"var/cache/dnf", "cache of dnf"},
    {"var/cache/yum", "cache of yum"},
    {"var/cache/tdnf", "cache of tdnf"},
    {"var/cache/zypp", "cache of zypper"},
    {"var/cache/libdnf5", "cache of dnf"},
    {"usr/lib/sysimage/libdnf5", "state of dnf"},
    {"var/lib/rpm/.rpm.lock", "lock of rpm"},
    {"usr/lib/sysimage/rpm/.rpm.lock", "lock of rpm"},
    {"var/lib/rpm-state", "state of rpm"},
};

static const struct {
    const char *path, *because;
} deb_data[] = {
    {"etc/apt", "configuration of apt"},
    {"var/lib/apt", "state of apt"},
    {"var/cache/apt", "cache of apt"},
    {"usr/lib/apt", "methods of apt"},
    {"etc/dpkg", "configuration of dpkg"},
    {"var/lib/dpkg/triggers", "state of dpkg"},
    {"var/lib/dpkg/updates", "state of dpkg"},
    {"var/lib/dpkg/parts", "state of dpkg"},
    {"var/lib/dpkg/methods", "state of dpkg"},
    {"var/lib/dpkg/lock", "lock of dpkg"},
    {"var/lib/dpkg/lock-frontend", "lock of dpkg"},
    {"var/lib/dpkg/triggers/Lock", "lock of dpkg"},
    {"var/lib/dpkg/cmethopt", "state of dselect"},
};
static const struct {
    const char *path, *because;
} apk_data[] = {
    {"etc/apk/keys", "keyring of apk"},
    {"usr/share/apk", "data of apk"},
    {"etc/apk/repositories", "configuration of apk"},
    {"etc/apk/protected_paths.d", "configuration of apk"},
    {"var/cache/apk", "cache of apk"},
    {"lib/apk/exec", "scripts of apk"},
    {"lib/apk/db/scripts.tar", "maintainer scripts"},
    {"lib/apk/db/scripts.tar.gz", "maintainer scripts"},
    {"lib/apk/db/triggers", "state of apk"},
    {"lib/apk/db/lock", "lock of apk"},
    {"usr/lib/apk/db/scripts.tar", "maintainer scripts"},
    {"usr/lib/apk/db/triggers", "state of apk"},
    {"usr/lib/apk/db/lock", "lock of apk"},
};

/* What stands in info/ beside the lists and checksums that say what a package owns. */
static int maintainer_scripts(struct qn_plan *p, struct qn_err *e)
{
    static const char *const kept[] = {".list", ".md5sums", ".conffiles"};
    const struct qn_tree *t = &p->img->tree;
    uint32_t info = qn_tree_resolve(t, QN_STR("var/lib/dpkg/info"), true);

    if (info == QN_NO_NODE)
        return 0;
    for (uint32_t i = info + 1, end = qn_tree_end(t, info); i < end; i++) {
        /* "format" says how multi-arch lists are named. */
        bool stays = qn_str_eq(qn_path_base(t->node[i].path), QN_STR("format"));
        for (size_t k = 0; k < QN_ARRAY_LEN(kept); k++)
            stays = stays || qn_str_ends(t->node[i].path, qn_str_c(kept[k]));
        if (!stays && t->node[i].type != QN_DIR &&
            qn_plan_remove(p, i, "maintainer script or data that only dpkg reads", e) < 0)
            return -1;
    }
    return 0;
}

static int debian(const struct qn_image *img, struct qn_plan *plan, struct qn_err *e)
{
    static const char *const managers[] = {"apt",      "apt-get",     "aptitude",          "dpkg",
                                           "dpkg-deb", "dpkg-divert", "dpkg-statoverride", NULL};
    static const char *const alternatives[] = {"update-alternatives", NULL};

    if (img->db.dpkg_status == QN_NO_NODE && img->db.dpkg_status_d == QN_NO_NODE)
        return 0;
    if (qn_rule_any_reached(img, managers))
        return qn_plan_back_off(plan, e, "something that the image runs calls apt or dpkg");
    if (qn_rule_remove_packages(plan, deb_packages, true, "package manager", e) < 0 || maintainer_scripts(plan, e) < 0)
        return -1;
    for (size_t i = 0; i < QN_ARRAY_LEN(deb_data); i++)
        if (qn_rule_remove_path(plan, deb_data[i].path, deb_data[i].because, NULL, e) < 0)
            return -1;
    if (!qn_rule_any_reached(img, alternatives) &&
        qn_rule_remove_path(plan, "var/lib/dpkg/alternatives", "state of update-alternatives", NULL, e) < 0)
        return -1;
    return 0;
}

static int alpine(const struct qn_image *img, struct qn_plan *plan, struct qn_err *e)
{
    static const char *const managers[] = {"apk", NULL};

    if (img->db.apk_installed == QN_NO_NODE)
        return 0;
    if (qn_rule_any_reached(img, managers))
        return qn_plan_back_off(plan, e, "something that the image runs calls apk");
    if (qn_rule_remove_packages(plan, apk_packages, true, "package manager", e) < 0)
        return -1;
    for (size_t i = 0; i < QN_ARRAY_LEN(apk_data); i++)
        if (qn_rule_remove_path(plan, apk_data[i].path, apk_data[i].because, NULL, e) < 0)
            return -1;
    return 0;
}

static int redhat(const struct qn_image *img, struct qn_plan *plan, struct qn_err *e)
{
    static const char *const managers[] = {"rpm", "dnf", "dnf5", "dnf-3", "yum", "tdnf", "microdnf", "zypper", NULL};

    if (img->db.rpm) {
        if (qn_plan_finding(plan, "CIS-4.3", QN_WARN, false, QN_STR("var/lib/rpm"), e,
                            "rpm, dnf and yum stay: only rpm databases of the SQLite kind are edited") < 0)
            return -1;
        return qn_plan_back_off(plan, e, "an rpm database is there, which could not be kept true");
    }
    if (img->db.rpm_sqlite == QN_NO_NODE)
        return 0;
    if (qn_rule_any_reached(img, managers))
        return qn_plan_back_off(plan, e, "something that the image runs calls rpm, dnf, yum or zypper");
    if (qn_rule_remove_packages(plan, rpm_packages, true, "package manager", e) < 0)
        return -1;
    for (size_t i = 0; i < QN_ARRAY_LEN(rpm_data); i++)
        if (qn_rule_remove_path(plan, rpm_data[i].path, rpm_data[i].because, NULL, e) < 0)
            return -1;
    return 0;
}

int qn_rule_package_managers(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                             struct qn_err *e)
{
    (void)opt;
    if (redhat(img, plan, e) < 0)
        return -1;
    if (img->db.rpm)
        return 0;
    return debian(img, plan, e) < 0 ? -1 : alpine(img, plan, e);
}
