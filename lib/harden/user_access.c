/* What speaks against a user: ports below 1024, files that only root can read. */
#include "rule_user.h"

#include "base/num.h"

/* The number at the end of "80", "*:80", "0.0.0.0:80", "[::]:80", "80/tcp", the first of "80-90"; 0 when there is
 * none. */
static uint32_t port_of(struct qn_str word)
{
    struct qn_err e;
    uint64_t n;
    ptrdiff_t slash = qn_str_chr(word, '/'), dash;

    if (slash >= 0)
        word = qn_str_head(word, (size_t)slash);
    if ((dash = qn_str_chr(word, '-')) > 0)
        word = qn_str_head(word, (size_t)dash);
    while (word.n && (word.p[word.n - 1] == ';' || word.p[word.n - 1] == ',' || word.p[word.n - 1] == '"'))
        word.n--;
    ptrdiff_t colon = qn_str_rchr(word, ':');
    if (colon >= 0)
        word = qn_str_from(word, (size_t)colon + 1);
    return qn_num_u64(word, 1, 65535, &n, &e) == 0 ? (uint32_t)n : 0;
}

static bool low(uint32_t port)
{
    return port > 0 && port < 1024;
}

/* Directives "listen 80", "Listen 0.0.0.0:80", "bind *:80" in one configuration file. */
static uint32_t listens(struct qn_str text)
{
    struct qn_str line, word;

    while (qn_str_next(&text, '\n', &line)) {
        if (!qn_str_word(&line, &word))
            continue;
        if (!qn_str_ieq(word, QN_STR("listen")) && !qn_str_eq(word, QN_STR("bind")) &&
            !qn_str_eq(word, QN_STR("port")) && !qn_str_eq(word, QN_STR("Port")))
            continue;
        if (qn_str_word(&line, &word) && low(port_of(word)))
            return port_of(word);
    }
    return 0;
}

/* What lies below etc/NAME belongs to what runs when a program of that name is reached. */
static bool config_in_use(const struct qn_image *img, struct qn_str path)
{
    struct qn_str rest = path, first, name;

    /* What waits to be enabled, and examples, are not read. */
    if (qn_str_find(path, QN_STR("-available/")) >= 0 || qn_str_ends(path, QN_STR(".default")) ||
        qn_str_ends(path, QN_STR(".sample")) || qn_str_ends(path, QN_STR(".example")))
        return false;
    if (!qn_str_next(&rest, '/', &first) || !qn_str_eq(first, QN_STR("etc")) || !qn_str_next(&rest, '/', &name) ||
        !rest.n)
        return false;
    static const char *const dirs[] = {"usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++) {
        uint32_t n = qn_tree_resolve_at(&img->tree, qn_str_c(dirs[i]), name, true);
        if (n != QN_NO_NODE && qn_image_reached(img, n))
            return true;
    }
    return false;
}

uint32_t qn_user_low_port(const struct qn_image *img)
{
    const struct qn_imgconfig *c = &img->config;
    const struct qn_words *lists[] = {&c->entrypoint, &c->cmd};
    const struct qn_tree *t = &img->tree;
    struct qn_str text, value;

    for (size_t i = 0; i < c->exposed_ports.n; i++)
        if (low(port_of(c->exposed_ports.v[i])))
            return port_of(c->exposed_ports.v[i]);
    if (qn_imgconfig_env(c, "PORT", &value) && low(port_of(value)))
        return port_of(value);
    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            struct qn_str w = lists[k]->v[i];
            bool after =
                i > 0 &&
                (qn_str_eq(lists[k]->v[i - 1], QN_STR("--port")) || qn_str_eq(lists[k]->v[i - 1], QN_STR("--bind")) ||
                 qn_str_eq(lists[k]->v[i - 1], QN_STR("--listen")) || qn_str_eq(lists[k]->v[i - 1], QN_STR("-p")));
            bool address = qn_str_chr(w, ':') >= 0 && qn_str_chr(w, '/') < 0;
            ptrdiff_t eq = qn_str_chr(w, '=');
            if (qn_str_starts(w, QN_STR("--")) && eq >= 0 && low(port_of(qn_str_from(w, (size_t)eq + 1))))
                return port_of(qn_str_from(w, (size_t)eq + 1));
            if ((after || address) && low(port_of(w)))
                return port_of(w);
        }
    for (uint32_t i = 1; i < t->count; i++)
        if (t->node[i].type == QN_FILE && config_in_use(img, t->node[i].path) && qn_node_text(img, i, &text) &&
            listens(text))
            return listens(text);
    return 0;
}

/* Files that only the system's own tools read, as root. */
static bool roots_own(struct qn_str path)
{
    static const char *const globs[] = {"etc/shadow*",
                                        "etc/gshadow*",
                                        "etc/.pwd.lock",
                                        "etc/security/opasswd",
                                        "var/lib/dpkg/**",
                                        "var/lib/apt/**",
                                        "var/cache/**",
                                        "var/log/**",
                                        "var/lib/systemd/**",
                                        "var/lib/pam/**",
                                        "root/.bashrc",
                                        "root/.profile",
                                        "root/.bash_logout",
                                        "root/.cache/**",
                                        "root/.gnupg/**",
                                        "root/.ssh/**",
                                        "root/.wget-hsts",
                                        "root/.*history",
                                        "root/.config/**",
                                        "root/.local/**",
                                        "var/spool/cron/**",
                                        "var/lib/private/**",
                                        "etc/sudoers*",
                                        "etc/sudoers.d/**",
                                        "etc/ssl/private/ssl-cert-snakeoil.key",
                                        "lib/apk/**",
                                        "etc/cron*/**",
                                        "dev/**",
                                        "proc/**",
                                        "sys/**"};
    for (size_t i = 0; i < QN_ARRAY_LEN(globs); i++)
        if (qn_glob(qn_str_c(globs[i]), path))
            return true;
    return false;
}

unsigned qn_user_bits(const struct qn_plan *p, const struct qn_user_choice *u, uint32_t node)
{
    const struct qn_node *n = &p->img->tree.node[node];
    uint32_t mode = p->fate[node].mode;
    uint32_t uid = u->state[node] && p->fate[node].uid == 0 ? u->uid : p->fate[node].uid;

    if (uid == u->uid)
        return mode >> 6 & 7;
    return n->gid == u->gid ? mode >> 3 & 7 : mode & 7;
}

/* The nearest directory above that the user may not traverse, or QN_NO_NODE. */
static uint32_t closed_above(const struct qn_plan *p, const struct qn_user_choice *u, uint32_t node)
{
    for (uint32_t d = p->img->tree.node[node].parent; d != QN_NO_NODE; d = p->img->tree.node[d].parent)
        if (!(qn_user_bits(p, u, d) & 1))
            return d;
    return QN_NO_NODE;
}

bool qn_user_access(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size)
{
    const struct qn_image *img = p->img;
    const struct qn_tree *t = &img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        bool counts = qn_image_reached(img, i) || (n->package == QN_NO_PACKAGE && n->type == QN_FILE);
        if (!counts || p->fate[i].removed || !n->entry || (n->type != QN_FILE && n->type != QN_DIR) ||
            (roots_own(n->path) && !qn_image_reached(img, i)))
            continue;
        unsigned have = qn_user_bits(p, u, i), want = n->type == QN_DIR ? 5 : 4;
        /* A program that only root may run is not the application's unless it is started. */
        if (n->type == QN_FILE && (n->mode & 0100) && n->data && n->data->content != QN_OTHER)
            want = qn_image_reached(img, i) ? 5 : 4;
        if (n->data && n->data->content == QN_ELF && (have & 1))
            want &= ~4u; /* running does not need reading */
        uint32_t closed = closed_above(p, u, i);
        if ((have & want) == want && closed == QN_NO_NODE)
            continue;
        if (closed != QN_NO_NODE)
            snprintf(why, size, "/%s lies below /%s, which only root may enter", QN_Q(n->path),
                     QN_Q(t->node[closed].path));
        else
            snprintf(why, size, "/%s (mode %04o) could not be used by uid %u", QN_Q(n->path), p->fate[i].mode, u->uid);
        return false;
    }
    return true;
}
