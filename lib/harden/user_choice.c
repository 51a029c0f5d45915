/* Who runs it, and what it writes. */
#include "rule_user.h"

#include "base/num.h"
#include "formats/passwd.h"

#define NONROOT 65532u

static bool account(struct qn_plan *p, struct qn_str name, uint32_t *uid, uint32_t *gid)
{
    qn_auto_rows struct qn_rows rows = {0};
    struct qn_str text;
    struct qn_err e;
    uint32_t node;

    if (name.n == 0 || !qn_plan_path_text(p, QN_STR("etc/passwd"), &node, &text) ||
        qn_rows_parse(QN_ROWS_PASSWD, text, &rows, &e) < 0)
        return false;
    const struct qn_row *row = qn_rows_find(&rows, name);
    return row && qn_row_number(row, QN_PW_UID, uid) && qn_row_number(row, QN_PW_GID, gid) && *uid != 0;
}

static bool account_of(struct qn_plan *p, uint32_t uid, uint32_t *gid)
{
    qn_auto_rows struct qn_rows rows = {0};
    struct qn_str text;
    struct qn_err e;
    uint32_t node;

    if (!qn_plan_path_text(p, QN_STR("etc/passwd"), &node, &text) || qn_rows_parse(QN_ROWS_PASSWD, text, &rows, &e) < 0)
        return false;
    const struct qn_row *row = qn_rows_find_id(&rows, uid);
    return row && qn_row_number(row, QN_PW_GID, gid);
}

#define MAX_SERVICES 64

/* Base names of the programs that the image starts: what entrypoint and command name, and what scripts on the way
 * call. */
struct services {
    struct qn_str name[MAX_SERVICES];
    size_t n;
};

static void add_service(struct services *s, struct qn_str name)
{
    for (size_t i = 0; i < s->n; i++)
        if (qn_str_eq(s->name[i], name))
            return;
    if (s->n < MAX_SERVICES && name.n >= 3)
        s->name[s->n++] = name;
}

static void find_services(const struct qn_image *img, struct services *s)
{
    s->n = 0;
    if (img->entry != QN_NO_NODE)
        add_service(s, qn_path_base(img->tree.node[img->entry].path));
    for (uint32_t i = 1; i < img->tree.count; i++) {
        bool started = img->reach[i].all & (QN_WHY_BIT(QN_WHY_ENTRYPOINT) | QN_WHY_BIT(QN_WHY_CMD) |
                                            QN_WHY_BIT(QN_WHY_CALLED) | QN_WHY_BIT(QN_WHY_COMMAND));
        const struct qn_node *n = &img->tree.node[i];
        bool tool = n->package != QN_NO_PACKAGE && img->package[n->package].essential;
        if (started && !tool && n->type != QN_DIR && (n->mode & 0111))
            add_service(s, qn_path_base(n->path));
    }
}

/* "redis" and "redis-server", "mysql" and "mysqld", "postgresql" and "postgres" mean the same service. */
static bool same_service(struct qn_str a, struct qn_str b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n])
        n++;
    return n >= 3 && (n >= 5 || n == a.n || n == b.n);
}

/* `user NAME;` of nginx. */
static struct qn_str nginx_user(const struct qn_image *img)
{
    struct qn_str text, line, word;

    if (!qn_image_text(img, QN_STR("etc/nginx/nginx.conf"), &text))
        return QN_STR("");
    while (qn_str_next(&text, '\n', &line))
        if (qn_str_word(&line, &word) && qn_str_eq(word, QN_STR("user")) && qn_str_word(&line, &word)) {
            while (word.n && word.p[word.n - 1] == ';')
                word.n--;
            return word;
        }
    return QN_STR("");
}

/* -u NAME, --user NAME, --user=NAME in what the image starts. */
static struct qn_str argv_user(const struct qn_image *img)
{
    const struct qn_words *lists[] = {&img->config.entrypoint, &img->config.cmd};

    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            struct qn_str w = lists[k]->v[i];
            bool flag = qn_str_eq(w, QN_STR("-u")) || qn_str_eq(w, QN_STR("--user"));
            if (flag && i + 1 < lists[k]->n)
                return lists[k]->v[i + 1];
            if (qn_str_starts(w, QN_STR("--user=")))
                return qn_str_from(w, 7);
        }
    return QN_STR("");
}

static bool any_service(const struct services *s, struct qn_str name)
{
    for (size_t i = 0; i < s->n; i++)
        if (same_service(name, s->name[i]))
            return true;
    return false;
}

static const char *const state_roots[] = {"var/lib", "var/cache", "var/log", "var/spool", "run", "var/run"};

/* The one account that owns the service's directories; 0 when none or several do. */
static uint32_t state_owner(const struct qn_image *img, const struct services *s)
{
    const struct qn_tree *t = &img->tree;
    uint32_t owner = 0;

    for (size_t k = 0; k < QN_ARRAY_LEN(state_roots); k++) {
        uint32_t root = qn_tree_resolve(t, qn_str_c(state_roots[k]), true);
        for (uint32_t i = root == QN_NO_NODE ? (uint32_t)t->count : root + 1,
                      end = root == QN_NO_NODE ? 0 : qn_tree_end(t, root);
             i < end; i = qn_tree_end(t, i)) {
            const struct qn_node *n = &t->node[i];
            if (n->type != QN_DIR || n->uid == 0 || !any_service(s, qn_path_base(n->path)))
                continue;
            if (owner && owner != n->uid)
                return 0;
            owner = n->uid;
        }
    }
    return owner;
}

int qn_user_choose(struct qn_plan *p, struct qn_user_choice *u, struct qn_err *e)
{
    const struct qn_image *img = p->img;
    struct qn_str drop = {"", 0};
    struct services services;

    (void)e;
    find_services(img, &services);
    if (p->opt->user == QN_USER_FIXED) {
        uint32_t gid;
        *u = (struct qn_user_choice){.uid = p->opt->uid, .gid = p->opt->gid, .because = "the policy names this user"};
        u->named = account_of(p, u->uid, &gid);
        return 0;
    }
    if (any_service(&services, QN_STR("nginx")))
        drop = nginx_user(img);
    if (drop.n == 0)
        drop = argv_user(img);
    if (account(p, drop, &u->uid, &u->gid)) {
        u->named = true;
        u->because = "the service drops its privileges to this user";
        return 0;
    }
    uint32_t owner = state_owner(img, &services);
    if (owner && account_of(p, owner, &u->gid)) {
        u->uid = owner;
        u->named = true;
        u->because = "this user owns the service's state";
        return 0;
    }
    uint32_t gid;
    u->uid = u->gid = NONROOT;
    u->named = account_of(p, NONROOT, &gid);
    if (u->named)
        u->gid = gid;
    u->because = "nothing in the image needs root";
    return 0;
}

static void mark(struct qn_plan *p, struct qn_user_choice *u, uint32_t node, bool below)
{
    if (node == QN_NO_NODE || node == 0)
        return;
    for (uint32_t i = node, end = below ? qn_tree_end(&p->img->tree, node) : node + 1; i < end; i++)
        if (p->img->tree.node[i].entry && (p->img->tree.node[i].type == QN_DIR || p->img->tree.node[i].type == QN_FILE))
            u->state[i] = true;
}

/* Directories that belong to the system, whose owner never changes. */
static bool system_dir(struct qn_str path)
{
    static const char *const roots[] = {"usr",    "etc",  "bin", "sbin", "lib",   "lib64", "lib32",
                                        "libx32", "boot", "dev", "proc", "sys",   "root",  "home",
                                        "run",    "tmp",  "var", "mnt",  "media", "opt",   "srv"};
    struct qn_str first = path, rest = path;
    (void)qn_str_next(&rest, '/', &first);
    for (size_t i = 0; i < QN_ARRAY_LEN(roots); i++)
        if (qn_str_eq_c(first, roots[i]))
            return true;
    return false;
}

/* Whether text says that a file is made directly in /run: "/run/nginx.pid". */
static bool says_run(struct qn_str text)
{
    for (ptrdiff_t at; (at = qn_str_find(text, QN_STR("/run/"))) >= 0;) {
        text = qn_str_from(text, (size_t)at + 5);
        size_t n = 0;
        while (n < text.n && (unsigned char)text.p[n] > ' ' && !memchr(";\"'#:,)", text.p[n], 7))
            n++;
        struct qn_str name = qn_str_head(text, n);
        if (name.n && qn_str_chr(name, '/') < 0)
            return true;
    }
    return false;
}

static bool pid_in_run(const struct qn_image *img, const struct services *s)
{
    const struct qn_tree *t = &img->tree;
    const struct qn_words *lists[] = {&img->config.entrypoint, &img->config.cmd};
    uint32_t etc = qn_tree_find(t, QN_STR("etc"));
    struct qn_str text;

    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            if (says_run(lists[k]->v[i]))
                return true;
    if (etc == QN_NO_NODE)
        return false;
    for (uint32_t i = etc + 1, end = qn_tree_end(t, etc); i < end; i++) {
        struct qn_str rest = qn_str_from(t->node[i].path, 4), first;
        if (qn_str_next(&rest, '/', &first) && any_service(s, first) && qn_node_text(img, i, &text) && says_run(text))
            return true;
    }
    return false;
}

/* Directories that the system's own tools keep below the roots of state. */
static bool system_state(struct qn_str base)
{
    static const char *const names[] = {"apt",
                                        "dpkg",
                                        "systemd",
                                        "pam",
                                        "misc",
                                        "python",
                                        "ucf",
                                        "debconf",
                                        "private",
                                        "dbus",
                                        "polkit-1",
                                        "rpm",
                                        "dnf",
                                        "yum",
                                        "apk",
                                        "man",
                                        "man-db",
                                        "ldconfig",
                                        "journal",
                                        "cron",
                                        "lock",
                                        "alternatives",
                                        "ca-certificates",
                                        "fontconfig",
                                        "initramfs-tools",
                                        "locale",
                                        "shells.state",
                                        "xml-core",
                                        "sgml-base",
                                        "selinux",
                                        "usb_modeswitch",
                                        "vim",
                                        "emacsen-common",
                                        "ispell",
                                        "dictionaries-common",
                                        "mail",
                                        "sudo",
                                        "user",
                                        "mount",
                                        "udev",
                                        "lsb"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(base, names[i]))
            return true;
    return false;
}

int qn_user_state(struct qn_plan *p, struct qn_user_choice *u, struct qn_err *e)
{
    const struct qn_image *img = p->img;
    const struct qn_tree *t = &img->tree;
    struct services services;

    find_services(img, &services);
    u->state = qn_arena_alloc(&p->arena, t->count, sizeof *u->state, e);
    if (!u->state)
        return -1;
    /* Below var, where it starts is where its state is; elsewhere its code may be there as well (user_own.c). */
    uint32_t work = qn_tree_resolve(t, img->config.working_dir, true);
    if (work != QN_NO_NODE && work != 0) {
        struct qn_str path = t->node[work].path;
        bool own = !system_dir(path) || qn_path_under(path, QN_STR("opt")) || qn_path_under(path, QN_STR("srv")) ||
                   qn_path_under(path, QN_STR("usr/src")) || qn_path_under(path, QN_STR("var"));
        if (own && qn_str_chr(path, '/') >= 0)
            mark(p, u, work, qn_path_under(path, QN_STR("var")) && !qn_path_under(path, QN_STR("var/www")));
        else if (!system_dir(path))
            mark(p, u, work, false);
    }
    for (size_t k = 0; k < QN_ARRAY_LEN(state_roots); k++) {
        uint32_t root = qn_tree_resolve(t, qn_str_c(state_roots[k]), true);
        if (root == QN_NO_NODE)
            continue;
        for (uint32_t i = root + 1, end = qn_tree_end(t, root); i < end; i = qn_tree_end(t, i))
            if (any_service(&services, qn_path_base(t->node[i].path)) ||
                (t->node[i].type == QN_DIR && !system_state(qn_path_base(t->node[i].path))))
                mark(p, u, i, true);
    }
    /* Files and directories that anybody could write were meant to be written. */
    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        /* An owner who may less than others would lose by it. */
        bool owner_too = (n->mode & 07 & ~(n->mode >> 6)) == 0;
        if (n->entry && (n->type == QN_FILE || n->type == QN_DIR) && (n->mode & 02) && !(n->mode & 01000) &&
            owner_too && n->package == QN_NO_PACKAGE)
            mark(p, u, i, false);
    }
    if (qn_user_own(p, u, e) < 0)
        return -1;
    if (pid_in_run(img, &services))
        mark(p, u, qn_tree_resolve(t, QN_STR("run"), true), false);
    return 0;
}
