#include "accounts_unused.h"
#include "edits.h"

#include "base/num.h"

/* Accounts of the distributions' own, and the programs that they are for (separated by blanks). */
static const struct {
    const char *name, *programs;
} stock_users[] = {
    {"bin", ""},
    {"sys", ""},
    {"sync", ""},
    {"games", ""},
    {"man", "man mandb"},
    {"lp", "lpd cupsd"},
    {"mail", "sendmail exim4 postfix dovecot"},
    {"news", "innd"},
    {"uucp", "uucico"},
    {"proxy", "squid"},
    {"backup", ""},
    {"list", "mailman"},
    {"irc", "ircd ngircd"},
    {"gnats", ""},
    {"ftp", "vsftpd proftpd pure-ftpd"},
    {"operator", ""},
    {"halt", ""},
    {"shutdown", ""},
    {"adm", ""},
    {"squid", "squid"},
    {"xfs", "xfs"},
    {"guest", ""},
    {"smmsp", "sendmail"},
    {"postmaster", ""},
    {"cyrus", "cyrmaster"},
    {"vpopmail", ""},
    {"at", "atd"},
    {"svn", "svnserve"},
    {"toor", ""},
    {"_apt", "apt apt-get"},
    {"messagebus", "dbus-daemon"},
    {"dbus", "dbus-daemon"},
    {"sshd", "sshd"},
    {"systemd-network", "systemd systemd-networkd"},
    {"systemd-resolve", "systemd systemd-resolved"},
    {"systemd-timesync", "systemd systemd-timesyncd"},
    {"systemd-coredump", "systemd systemd-coredump"},
    {"systemd-oom", "systemd systemd-oomd"},
    {"polkitd", "polkitd"},
    {"tss", "tcsd"},
    {"uuidd", "uuidd"},
    {"tcpdump", "tcpdump"},
};
static const char *const stock_groups[] = {"adm",
                                           "lp",
                                           "mail",
                                           "news",
                                           "uucp",
                                           "man",
                                           "proxy",
                                           "kmem",
                                           "dialout",
                                           "fax",
                                           "voice",
                                           "cdrom",
                                           "floppy",
                                           "tape",
                                           "sudo",
                                           "audio",
                                           "dip",
                                           "backup",
                                           "operator",
                                           "list",
                                           "irc",
                                           "src",
                                           "gnats",
                                           "utmp",
                                           "video",
                                           "sasl",
                                           "plugdev",
                                           "games",
                                           "bin",
                                           "sys",
                                           "wheel",
                                           "lock",
                                           "ftp",
                                           "input",
                                           "sgx",
                                           "render",
                                           "kvm",
                                           "cdrw",
                                           "usb",
                                           "squid",
                                           "xfs",
                                           "ntp",
                                           "smmsp",
                                           "locate",
                                           "abuild",
                                           "utempter",
                                           "ping",
                                           "vpopmail",
                                           "postmaster",
                                           "floppy",
                                           "_ssh",
                                           "crontab",
                                           "sshd",
                                           "messagebus",
                                           "dbus",
                                           "polkitd",
                                           "tss",
                                           "uuidd",
                                           "tcpdump",
                                           "_apt",
                                           "systemd-network",
                                           "systemd-resolve",
                                           "systemd-timesync",
                                           "systemd-journal",
                                           "systemd-coredump",
                                           "netdev"};

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '/';
}

/* Files that list accounts, and databases, say nothing about their use. */
static bool is_list(struct qn_str path)
{
    static const char *const globs[] = {"etc/passwd*", "etc/group*",     "etc/shadow*",   "etc/gshadow*", "etc/subuid*",
                                        "etc/subgid*", "etc/aliases",    "etc/protocols", "etc/services", "var/lib/**",
                                        "lib/apk/**",  "usr/lib/apk/**", "etc/ld.so.*"};
    for (size_t i = 0; i < QN_ARRAY_LEN(globs); i++)
        if (qn_glob(qn_str_c(globs[i]), path))
            return true;
    return false;
}

/* Which names of the two tables stand somewhere as words of their own, not as parts of paths. */
struct names {
    bool user[QN_ARRAY_LEN(stock_users)], group[QN_ARRAY_LEN(stock_groups)];
    uint32_t lengths[256]; /* of the names that start with a byte, as bits */
};

static void expect(struct names *w, const char *name)
{
    size_t n = strlen(name);

    qn_assert(n > 0 && n < 32);
    w->lengths[(unsigned char)name[0]] |= 1u << n;
}

static void note_word(struct names *w, struct qn_str word)
{
    if (word.n == 0 || word.n >= 32 || !(w->lengths[(unsigned char)word.p[0]] >> word.n & 1))
        return;
    for (size_t i = 0; i < QN_ARRAY_LEN(stock_users); i++)
        w->user[i] = w->user[i] || qn_str_eq_c(word, stock_users[i].name);
    for (size_t i = 0; i < QN_ARRAY_LEN(stock_groups); i++)
        w->group[i] = w->group[i] || qn_str_eq_c(word, stock_groups[i]);
}

static void note_words(struct names *w, struct qn_str text)
{
    for (size_t i = 0, start; i < text.n; i++) {
        for (start = i; i < text.n && name_byte(text.p[i]); i++)
            continue;
        note_word(w, qn_str_n(text.p + start, i - start));
    }
}

/* What scripts and configurations that stay say, and the image's configuration. */
static void note_names(const struct qn_plan *p, struct names *w)
{
    const struct qn_imgconfig *c = &p->img->config;
    const struct qn_words *lists[] = {&c->entrypoint, &c->cmd, &c->env, &c->healthcheck};
    struct qn_str text;

    for (size_t i = 0; i < QN_ARRAY_LEN(stock_users); i++)
        expect(w, stock_users[i].name);
    for (size_t i = 0; i < QN_ARRAY_LEN(stock_groups); i++)
        expect(w, stock_groups[i]);
    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            note_words(w, lists[k]->v[i]);
    for (size_t i = 0; i < p->opt->keep.command_count; i++)
        note_words(w, p->opt->keep.commands[i]);
    for (uint32_t i = 1; i < p->img->tree.count; i++)
        if (qn_node_text(p->img, i, &text) && qn_plan_kept(p, i) && !is_list(p->img->tree.node[i].path))
            note_words(w, text);
}

static bool owns(const struct qn_plan *p, uint32_t id, bool group)
{
    for (uint32_t i = 1; i < p->img->tree.count; i++)
        if (qn_plan_kept(p, i) && p->img->tree.node[i].entry &&
            (group ? p->img->tree.node[i].gid : p->fate[i].uid) == id)
            return true;
    return false;
}

/* The user or the group of the image's configuration, by name or number. */
static bool configured(const struct qn_image *img, struct qn_str name, uint32_t id, bool group)
{
    struct qn_str rest = img->config.user, user = rest, part;
    struct qn_err e;
    uint64_t n;
    ptrdiff_t colon = qn_str_chr(rest, ':');

    user = colon < 0 ? rest : qn_str_head(rest, (size_t)colon);
    part = group ? qn_str_from(rest, colon < 0 ? rest.n : (size_t)colon + 1) : user;
    return part.n && (qn_str_eq(part, name) || (qn_num_u64(part, 0, UINT32_MAX, &n, &e) == 0 && n == id));
}

/* Whether a program of the list is there and stays. */
static bool has_program(const struct qn_plan *p, const char *programs)
{
    static const char *const dirs[] = {"usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin",
                                       "sbin",     "bin",     "usr/lib/systemd"};
    struct qn_str rest = qn_str_c(programs), word;
    char path[QN_PATH_MAX];

    while (qn_str_word(&rest, &word))
        for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++) {
            snprintf(path, sizeof path, "%s/%.*s", dirs[i], QN_FMT(word));
            uint32_t n = qn_tree_resolve(&p->img->tree, qn_str_c(path), true);
            if (n != QN_NO_NODE && qn_plan_kept(p, n))
                return true;
        }
    return false;
}

static int drop_users(struct qn_plan *p, const struct names *w, struct qn_rows *passwd, struct qn_rows *shadow,
                      struct qn_err *e)
{
    for (size_t k = 0; passwd && k < QN_ARRAY_LEN(stock_users); k++) {
        struct qn_str name = qn_str_c(stock_users[k].name);
        struct qn_row *row = qn_rows_find(passwd, name);
        uint32_t uid;
        if (!row || !qn_row_number(row, QN_PW_UID, &uid) || uid == 0 || configured(p->img, name, uid, false) ||
            w->user[k] || owns(p, uid, false) || has_program(p, stock_users[k].programs))
            continue;
        struct qn_row *secret = shadow ? qn_rows_find(shadow, name) : NULL;
        if (secret)
            qn_rows_drop(shadow, secret);
        qn_rows_drop(passwd, row);
        if (qn_plan_finding(p, "NIST-AC-2", QN_INFO, true, QN_STR("etc/passwd"), e, "unused account \"%s\"",
                            stock_users[k].name) < 0)
            return -1;
    }
    return 0;
}

/* A group is in use as somebody's first one, or by a member that stays. */
static bool has_members(const struct qn_rows *passwd, const struct qn_row *row, uint32_t gid)
{
    struct qn_str list = row->fields > QN_GR_MEMBERS ? row->field[QN_GR_MEMBERS] : QN_STR(""), member;
    uint32_t first;

    for (size_t i = 0; passwd && i < passwd->n; i++)
        if (!passwd->row[i].dropped && qn_row_number(&passwd->row[i], QN_PW_GID, &first) && first == gid)
            return true;
    while (qn_str_next(&list, ',', &member))
        if (member.n && passwd && qn_rows_find(passwd, qn_str_trim(member)))
            return true;
    return false;
}

static int save(struct qn_plan *p, const struct qn_rows *rows, uint32_t node, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 32u << 20};

    if (!rows->changed)
        return 0;
    return qn_rows_print(rows, &b, e) < 0 ? -1
                                          : qn_plan_edit(p, node, qn_buf_view(&b), "rows that nothing uses dropped", e);
}

static int drop_groups(struct qn_plan *p, const struct names *w, const struct qn_rows *passwd, struct qn_err *e)
{
    qn_auto_rows struct qn_rows group = {0}, secret = {0};
    uint32_t node, secret_node;
    struct qn_str text;

    if (!qn_plan_path_text(p, QN_STR("etc/group"), &node, &text))
        return 0;
    if (qn_rows_parse(QN_ROWS_GROUP, text, &group, e) < 0)
        return qn_err_wrap(e, "/etc/group");
    bool has_secret = qn_plan_path_text(p, QN_STR("etc/gshadow"), &secret_node, &text);
    if (has_secret && qn_rows_parse(QN_ROWS_GSHADOW, text, &secret, e) < 0)
        return qn_err_wrap(e, "/etc/gshadow");
    for (size_t k = 0; k < QN_ARRAY_LEN(stock_groups); k++) {
        struct qn_str name = qn_str_c(stock_groups[k]);
        struct qn_row *row = qn_rows_find(&group, name);
        uint32_t gid;
        if (!row || !qn_row_number(row, QN_GR_GID, &gid) || gid == 0 || configured(p->img, name, gid, true) ||
            w->group[k] || has_members(passwd, row, gid) || owns(p, gid, true))
            continue;
        qn_rows_drop(&group, row);
        struct qn_row *hidden = has_secret ? qn_rows_find(&secret, name) : NULL;
        if (hidden)
            qn_rows_drop(&secret, hidden);
    }
    if (save(p, &group, node, e) < 0)
        return -1;
    return has_secret ? save(p, &secret, secret_node, e) : 0;
}

/* Ranges of ids for users that are not there. */
static int drop_ranges(struct qn_plan *p, const char *path, const struct qn_rows *passwd, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 16u << 20};
    struct qn_str text, rest;
    uint32_t node;
    bool any = false;

    if (!passwd || !qn_plan_path_text(p, qn_str_c(path), &node, &text))
        return 0;
    for (rest = text; rest.n;) {
        ptrdiff_t end = qn_str_chr(rest, '\n'), colon;
        struct qn_str line = qn_str_head(rest, end < 0 ? rest.n : (size_t)end + 1);
        rest = qn_str_from(rest, line.n);
        colon = qn_str_chr(line, ':');
        struct qn_str name = qn_str_head(line, colon < 0 ? 0 : (size_t)colon);
        bool number = name.n && name.p[0] >= '0' && name.p[0] <= '9';
        bool drop = name.n && !number && !qn_rows_find(passwd, name);
        any = any || drop;
        if (!drop && qn_buf_str(&b, line, e) < 0)
            return -1;
    }
    return any ? qn_plan_edit(p, node, qn_buf_view(&b), "ranges of accounts that are not there", e) : 0;
}

int qn_accounts_drop_unused(struct qn_plan *p, struct qn_rows *passwd, struct qn_rows *shadow, struct qn_err *e)
{
    struct names w = {.lengths = {0}};

    note_names(p, &w);
    if (drop_users(p, &w, passwd, shadow, e) < 0 || drop_groups(p, &w, passwd, e) < 0 ||
        drop_ranges(p, "etc/subuid", passwd, e) < 0)
        return -1;
    return drop_ranges(p, "etc/subgid", passwd, e);
}
