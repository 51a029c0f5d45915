/* Connections: the table by descriptor, caps per client, deadlines of headers and bodies. */
#include "base/clock.h"
#include "base/mem.h"
#include "http_int.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/un.h>

#define LINGER_MS     5000
#define RATE_GRACE_MS 30000 /* a body may be as slow as it likes for so long */
#define RATE_MIN      256   /* and must then come or go with so many bytes a second on average */

/* --- clients, under the lock -------------------------------------------------------------------------------------- */

/* IPv4 addresses as mapped IPv6 ones; of IPv6 the network. False for other families. */
static bool client_key(const struct sockaddr *peer, uint8_t key[16])
{
    memset(key, 0, 16);
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)peer;
        key[10] = key[11] = 0xff;
        memcpy(key + 12, &in->sin_addr, 4);
        return true;
    }
    if (peer->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)peer;
    memcpy(key, &in6->sin6_addr, IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) ? 16 : 8);
    return true;
}

static struct qn_client **client_bucket(struct qn_http *h, const uint8_t key[16])
{
    uint64_t hash = h->seed;

    for (unsigned i = 0; i < 16; i++)
        hash = (hash ^ key[i]) * 0x100000001b3u;
    return &h->client[(hash >> 32) % CLIENT_BUCKETS];
}

/* Counts one more connection of a client; NULL when it has as many as it may. */
static struct qn_client *client_take(struct qn_http *h, const uint8_t key[16])
{
    struct qn_client **bucket = client_bucket(h, key), *c = *bucket;

    while (c && memcmp(c->key, key, 16) != 0)
        c = c->next;
    if (!c) {
        c = qn_new(struct qn_client);
        memcpy(c->key, key, 16);
        c->next = *bucket;
        *bucket = c;
    }
    if (c->count >= h->options.per_client)
        return NULL;
    c->count++;
    return c;
}

static void client_give(struct qn_http *h, struct qn_client *c)
{
    if (!c || --c->count > 0)
        return;
    struct qn_client **at = client_bucket(h, c->key);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    free(c);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void peer_text(struct qn_conn *c, const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)peer;
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], c->peer, sizeof c->peer);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, c->peer, sizeof c->peer);
    } else if (peer->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, c->peer, sizeof c->peer);
    } else {
        memcpy(c->peer, "unix", 5);
    }
}

/* Takes a connection out of table, list and counts; under the lock. */
static void unlink_conn(struct qn_conn *c)
{
    struct qn_http *h = c->h;

    if (c->prev)
        c->prev->next = c->next;
    else
        h->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (h->table[c->fd] == c)
        h->table[c->fd] = NULL;
    client_give(h, c->client);
    atomic_fetch_sub(&h->stats.connections, 1);
}

static void destroy(struct qn_conn *c)
{
    if (c->roomy)
        atomic_fetch_sub(&c->h->roomy, 1);
    free(c->cn);
    free(c);
}

static void link_conn(struct qn_http *h, struct qn_conn *c)
{
    if ((size_t)c->fd >= h->table_size) {
        size_t size = QN_MAX((size_t)c->fd + 1, h->table_size * 2);
        struct qn_conn **grown = qn_xcalloc(size, sizeof *grown);
        if (h->table_size)
            memcpy(grown, h->table, h->table_size * sizeof *grown);
        free(h->table);
        h->table = grown;
        h->table_size = size;
    }
    /* The library closed a socket without a word (no memory): its number is used again. */
    struct qn_conn *stale = h->table[c->fd];
    if (stale) {
        unlink_conn(stale);
        destroy(stale);
    }
    h->table[c->fd] = c;
    c->generation = ++h->generation;
    c->next = h->conns;
    if (c->next)
        c->next->prev = c;
    h->conns = c;
    atomic_fetch_add(&h->stats.connections, 1);
    atomic_fetch_add(&h->stats.accepted, 1);
}

struct qn_conn *qn_conn_new(struct qn_http *h, int fd, const struct qn_listener *l, const struct sockaddr *peer,
                            socklen_t n)
{
    struct qn_conn *c = qn_new(struct qn_conn);
    struct ucred cred;
    socklen_t len = sizeof cred;
    uint8_t key[16];

    c->h = h;
    c->fd = fd;
    c->listener = l->option;
    c->local = l->local;
    c->uid = (uid_t)-1;
    c->accepted = qn_time_mono_ms();
    c->deadline = c->accepted + h->options.header_ms;
    peer_text(c, peer);
    if (l->local && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
        c->uid = cred.uid;
        c->pid = cred.pid;
    }
    c->trusted = !l->local && h->app.trusted && h->app.trusted(h->app.ctx, peer, n);
    pthread_mutex_lock(&h->lock);
    if (!c->trusted && client_key(peer, key)) {
        c->client = client_take(h, key);
        if (!c->client) {
            pthread_mutex_unlock(&h->lock);
            atomic_fetch_add(&h->stats.refused, 1);
            destroy(c);
            return NULL;
        }
    }
    link_conn(h, c);
    pthread_mutex_unlock(&h->lock);
    return c;
}

void qn_conn_free(struct qn_conn *c)
{
    struct qn_http *h = c->h;

    pthread_mutex_lock(&h->lock);
    unlink_conn(c);
    pthread_mutex_unlock(&h->lock);
    destroy(c);
}

void qn_conn_linger(struct qn_conn *c)
{
    struct qn_http *h = c->h;
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return;
    pthread_mutex_lock(&h->lock);
    bool room = h->lingering < LINGER_MAX;
    if (room) {
        h->linger[h->lingering].fd = fd;
        h->linger[h->lingering++].until = qn_time_mono_ms() + LINGER_MS;
    }
    pthread_mutex_unlock(&h->lock);
    if (!room)
        close(fd);
}

/* Under the lock. */
static void close_lingering(struct qn_http *h, int64_t now)
{
    for (size_t i = 0; i < h->lingering;) {
        if (h->linger[i].until > now) {
            i++;
            continue;
        }
        close(h->linger[i].fd);
        h->linger[i] = h->linger[--h->lingering];
    }
}

void qn_http_conns_drop(struct qn_http *h)
{
    close_lingering(h, INT64_MAX);
    while (h->conns) {
        struct qn_conn *c = h->conns;
        unlink_conn(c);
        destroy(c);
    }
}

struct qn_conn *qn_conn_of_fd(struct qn_http *h, int fd)
{
    pthread_mutex_lock(&h->lock);
    struct qn_conn *c = fd >= 0 && (size_t)fd < h->table_size ? h->table[fd] : NULL;
    if (c)
        c->started = true;
    pthread_mutex_unlock(&h->lock);
    return c;
}

void qn_conn_rate_start(struct qn_conn *c)
{
    atomic_store_explicit(&c->rate_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&c->rate_since, qn_time_mono_ms(), memory_order_relaxed);
}

void qn_conn_rate_stop(struct qn_conn *c)
{
    atomic_store_explicit(&c->rate_since, 0, memory_order_relaxed);
    atomic_store_explicit(&c->rate_acked, 0, memory_order_relaxed);
}

void qn_conn_progress(struct qn_conn *c, uint64_t bytes)
{
    atomic_fetch_add_explicit(&c->rate_bytes, bytes, memory_order_relaxed);
}

/* Bytes that the other side has received, as the kernel counts them; 0 when it does not. */
static uint64_t acked(const struct qn_conn *c)
{
    struct tcp_info info;
    socklen_t n = sizeof info;

    memset(&info, 0, sizeof info);
    if (c->local || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
        n < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked)
        return 0;
    return info.tcpi_bytes_acked + 1;
}

bool qn_conn_meter(struct qn_conn *c)
{
    if (c->local || c->h->listen[c->listener].tls)
        return false;
    uint64_t now = acked(c);
    atomic_store_explicit(&c->rate_acked, now, memory_order_relaxed);
    return now != 0;
}

/* Whether a body comes or goes too slowly. */
static bool too_slow(const struct qn_conn *c, int64_t now)
{
    int64_t since = atomic_load_explicit(&c->rate_since, memory_order_relaxed);

    if (since == 0 || now - since <= RATE_GRACE_MS)
        return false;
    uint64_t seconds = (uint64_t)(now - since - RATE_GRACE_MS) / 1000;
    uint64_t bytes = atomic_load_explicit(&c->rate_bytes, memory_order_relaxed);
    uint64_t start = atomic_load_explicit(&c->rate_acked, memory_order_relaxed);
    if (start) {
        uint64_t count = acked(c);
        bytes += count > start ? count - start : 0;
    }
    return bytes < seconds * RATE_MIN;
}

void qn_conn_reap(struct qn_http *h, int64_t now)
{
    bool draining = atomic_load(&h->draining);

    pthread_mutex_lock(&h->lock);
    close_lingering(h, now);
    for (struct qn_conn *c = h->conns, *next; c; c = next) {
        next = c->next;
        bool late = now > atomic_load_explicit(&c->deadline, memory_order_relaxed);
        if (!c->started) {
            /* Its socket may be gone, and its number somebody else's. */
            if (now > c->accepted + 60000) {
                unlink_conn(c);
                destroy(c);
            }
            continue;
        }
        if (late || ((!c->waker || c->waker->sending) && too_slow(c, now))) {
            atomic_fetch_add(&h->stats.timed_out, 1);
            atomic_store(&c->deadline, NO_DEADLINE);
            qn_conn_rate_stop(c);
            shutdown(c->fd, SHUT_RDWR);
        } else if (draining && !atomic_load(&c->busy)) {
            shutdown(c->fd, SHUT_RD);
        }
    }
    pthread_mutex_unlock(&h->lock);
}
