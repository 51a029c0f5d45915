/* Network clients: what an intruder looks for first. They stay where a script, a health check or the application
 * names them. */
#include "edits.h"

/* Packages that are such tools and nothing else. */
static const char *const packages[] = {"curl",
                                       "wget",
                                       "netcat-openbsd",
                                       "netcat-traditional",
                                       "ncat",
                                       "telnet",
                                       "inetutils-telnet",
                                       "ftp",
                                       "tnftp",
                                       "tftp*",
                                       "openssh-client",
                                       "openssh-client-*",
                                       "openssh-keygen",
                                       "rsync",
                                       "socat",
                                       "nmap",
                                       "nmap-common",
                                       "tcpdump",
                                       "tshark",
                                       "dnsutils",
                                       "bind9-dnsutils",
                                       "bind9-host",
                                       "bind-tools",
                                       "iputils*",
                                       "inetutils-ping",
                                       "iproute2*",
                                       "net-tools",
                                       "traceroute",
                                       "mtr*",
                                       "iperf3",
                                       "lftp",
                                       "aria2",
                                       "busybox-extras",
                                       "iptables",
                                       "nftables",
                                       "curl-minimal",
                                       "wget2*",
                                       "nmap-ncat",
                                       "bind-utils",
                                       "openssh-clients",
                                       "iproute",
                                       "iproute-tc",
                                       NULL};

int qn_rule_network_tools(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                          struct qn_err *e)
{
    const struct qn_tree *t = &img->tree;

    (void)opt;
    if (img->utility)
        return qn_plan_back_off(plan, e, "the image starts a shell and exists for its tools");
    if (img->db.rpm)
        return qn_plan_back_off(plan, e, "an rpm database is there, which could not be kept true");
    if (qn_rule_remove_packages(plan, packages, false, "network tool that nothing in the image calls", e) < 0)
        return -1;
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        if (n->type != QN_FILE && n->type != QN_SYMLINK)
            continue;
        int tool = qn_tool_find(qn_path_base(n->path));
        if (tool >= 0 && qn_tool_class(tool) == QN_TOOL_NETWORK && qn_rule_in_path(img, i) &&
            qn_plan_remove(plan, i, "network tool that nothing in the image calls", e) < 0)
            return -1;
    }
    return 0;
}
