/* Listening sockets and the thread that accepts on them. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "http_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG    1024
#define ROOMY_MAX  128u /* connections with large buffers: each keeps all of them while it lives */
#define BATCH      64   /* connections accepted in a row on one socket */
#define PAUSE_MS   50   /* between looks when no more connections are allowed */
#define FIRST_FD   3    /* sd_listen_fds(3) */
#define PASSED_MAX 64

static struct qn_listener *add(struct qn_http *h, unsigned option, int fd)
{
    struct qn_err e;
    size_t cap = h->listener_count;

    int r = qn_grow((void **)&h->listener, &cap, h->listener_count + 1, sizeof *h->listener, 1024, &e);
    if (r < 0)
        return NULL;
    struct qn_listener *l = &h->listener[h->listener_count++];
    *l = (struct qn_listener){.fd = fd, .option = option};
    return l;
}

static int open_unix(struct qn_http *h, unsigned option, struct qn_str path, struct qn_err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;

    if (path.n == 0 || !qn_str_copy(path, un.sun_path, sizeof un.sun_path))
        return qn_fail(e, QN_E_CONFIG, "listen: \"unix:%s\": path is empty or over %zu bytes", QN_Q(path),
                       sizeof un.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_CONFIG, "listen: unix:%s", un.sun_path);
    /* A socket that nobody answers on was left behind. */
    if (lstat(un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && connect(fd, (struct sockaddr *)&un, sizeof un) < 0 &&
        errno == ECONNREFUSED)
        unlink(un.sun_path);
    if (bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || chmod(un.sun_path, 0660) < 0 || listen(fd, BACKLOG) < 0) {
        qn_fail_errno(e, QN_E_CONFIG, "listen: unix:%s", un.sun_path);
        close(fd);
        return -1;
    }
    struct qn_listener *l = add(h, option, fd);
    qn_assert(l);
    l->local = true;
    l->unlink = qn_xstrdup(un.sun_path);
    return 0;
}

static int open_tcp(struct qn_http *h, unsigned option, const struct addrinfo *ai, const char *address,
                    struct qn_err *e)
{
    int one = 1, zero = 0;
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;

    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_CONFIG, "listen: %s", address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &n) < 0) {
        qn_fail_errno(e, QN_E_CONFIG, "listen: %s", address);
        close(fd);
        return -1;
    }
    struct qn_listener *l = add(h, option, fd);
    qn_assert(l);
    l->port = bound.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&bound)->sin6_port)
                                          : ntohs(((struct sockaddr_in *)(void *)&bound)->sin_port);
    return 0;
}

static int open_host(struct qn_http *h, unsigned option, const char *address, struct qn_err *e)
{
    struct qn_str s = qn_str_c(address), host;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list;
    ptrdiff_t colon = qn_str_rchr(s, ':');
    char name[256];
    uint64_t port;

    if (colon <= 0 || qn_num_u64(qn_str_from(s, (size_t)colon + 1), 0, 65535, &port, e) < 0)
        return qn_fail(e, QN_E_CONFIG, "listen: \"%s\": write HOST:PORT, [::]:PORT, unix:PATH or systemd:NAME",
                       QN_Q(s));
    host = qn_str_head(s, (size_t)colon);
    if (host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = qn_str_head(qn_str_from(host, 1), host.n - 2);
    else if (qn_str_chr(host, ':') >= 0)
        return qn_fail(e, QN_E_CONFIG, "listen: \"%s\": IPv6 addresses are written in brackets", QN_Q(s));
    if (!qn_str_copy(host, name, sizeof name))
        return qn_fail(e, QN_E_CONFIG, "listen: \"%s\": host is too long", QN_Q(s));
    int r = getaddrinfo(name, address + colon + 1, &hints, &list);
    if (r != 0)
        return qn_fail(e, QN_E_CONFIG, "listen: %s: %s", address, gai_strerror(r));
    r = open_tcp(h, option, list, address, e);
    freeaddrinfo(list);
    return r;
}

/* Takes the sockets that systemd passed under a name (sd_listen_fds_with_names(3)). */
static int open_systemd(struct qn_http *h, unsigned option, struct qn_str name, struct qn_err *e)
{
    struct qn_str pid = qn_str_c(getenv("LISTEN_PID")), names = qn_str_c(getenv("LISTEN_FDNAMES")), one;
    uint64_t count, owner;
    bool found = false;

    if (qn_num_u64(pid, 1, INT32_MAX, &owner, e) < 0 || (pid_t)owner != getpid() ||
        qn_num_u64(qn_str_c(getenv("LISTEN_FDS")), 0, PASSED_MAX, &count, e) < 0)
        return qn_fail(e, QN_E_CONFIG, "listen: systemd:%s: no sockets were passed", QN_Q(name));
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)count; fd++) {
        struct sockaddr_storage bound;
        socklen_t n = sizeof bound;
        int listens = 0;
        socklen_t m = sizeof listens;
        if (!qn_str_next(&names, ':', &one))
            one = QN_STR("unknown");
        if (!qn_str_eq(one, name))
            continue;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &m) < 0 || !listens ||
            getsockname(fd, (struct sockaddr *)&bound, &n) < 0)
            return qn_fail(e, QN_E_CONFIG, "listen: systemd:%s: descriptor %d is not a listening socket", QN_Q(name),
                           fd);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        struct qn_listener *l = add(h, option, fd);
        qn_assert(l);
        l->local = bound.ss_family == AF_UNIX;
        found = true;
    }
    return found ? 0 : qn_fail(e, QN_E_CONFIG, "listen: systemd:%s: no socket of that name was passed", QN_Q(name));
}

int qn_http_listen_open(struct qn_http *h, struct qn_err *e)
{
    for (unsigned i = 0; i < h->options.listen_count; i++) {
        struct qn_str a = qn_str_c(h->listen[i].address);
        int r;
        if (qn_str_starts(a, QN_STR("unix:")))
            r = open_unix(h, i, qn_str_from(a, 5), e);
        else if (qn_str_starts(a, QN_STR("systemd:")))
            r = open_systemd(h, i, qn_str_from(a, 8), e);
        else
            r = open_host(h, i, h->listen[i].address, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

void qn_http_listen_close(struct qn_http *h)
{
    for (size_t i = 0; i < h->listener_count; i++) {
        if (h->listener[i].fd >= 0)
            close(h->listener[i].fd);
        if (h->listener[i].unlink)
            unlink(h->listener[i].unlink);
        free(h->listener[i].unlink);
    }
    free(h->listener);
    h->listener = NULL;
    h->listener_count = 0;
}

/* --- acceptor ----------------------------------------------------------------------------------------------------- */

unsigned qn_http_group(const struct qn_http *h, const struct qn_listener *l)
{
    const struct qn_http_listen *o = &h->listen[l->option];

    return (o->tls && !l->local ? 1u : 0u) | (o->uploads ? 2u : 0u);
}

/* Gives a socket to the next daemon of its group, which owns it from then on. */
static void hand_over(struct qn_http *h, const struct qn_listener *l, int fd, const struct sockaddr *peer, socklen_t n)
{
    unsigned number = qn_http_group(h, l);
    int one = 1;

    struct qn_conn *c = qn_conn_new(h, fd, l, peer, n);
    if (!c) {
        close(fd);
        return;
    }
    if (!l->local) {
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (number & 2u && atomic_fetch_add(&h->roomy, 1) >= ROOMY_MAX) {
        atomic_fetch_sub(&h->roomy, 1);
        number &= ~2u;
    }
    c->roomy = number & 2u;
    struct qn_workers *group = &h->group[number];
    pthread_mutex_lock(&h->lock);
    struct MHD_Daemon *d = group->daemon[group->next++ % h->worker_count];
    pthread_mutex_unlock(&h->lock);
    if (MHD_add_connection(d, fd, peer, n) != MHD_YES)
        qn_conn_free(c);
}

/* True when the acceptor should rest: no more connections are allowed, or no descriptors are left. */
static bool accept_some(struct qn_http *h, const struct qn_listener *l)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof peer;
        if (atomic_load(&h->stats.connections) >= h->options.connections)
            return true;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        if (l->local) {
            peer.ss_family = AF_UNIX;
            n = sizeof(struct sockaddr_un);
        }
        hand_over(h, l, fd, (struct sockaddr *)&peer, n);
    }
    return false;
}

void *qn_http_acceptor(void *arg)
{
    struct qn_http *h = arg;
    struct epoll_event ev[16];
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000l};

    for (;;) {
        bool rest = false;
        int n = epoll_wait(h->accept_epoll, ev, QN_ARRAY_LEN(ev), -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 == UINT64_MAX)
                return NULL;
            rest |= accept_some(h, &h->listener[ev[i].data.u64]);
        }
        if (rest)
            nanosleep(&pause, NULL);
    }
}
