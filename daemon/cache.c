/* Small answers kept in memory: manifests, configs, lists. When it is full it starts anew: what is asked for often is
 * back at once. */
#include "server.h"

#include "base/clock.h"

#include <stdlib.h>

struct entry {
    struct entry *next;
    char *key;
    struct qn_http_shared *shared;
    int64_t expires;
};

struct qn_cache {
    pthread_mutex_t lock;
    struct qn_map map;
    struct entry *all;
    size_t bytes, max_bytes;
    uint64_t generation; /* of every entry */
};

struct qn_cache *qn_cache_new(size_t max_bytes)
{
    struct qn_cache *c = qn_new(struct qn_cache);

    pthread_mutex_init(&c->lock, NULL);
    qn_map_init(&c->map, 65536);
    c->max_bytes = max_bytes;
    return c;
}

static void clear_locked(struct qn_cache *c)
{
    while (c->all) {
        struct entry *next = c->all->next;
        qn_http_shared_unref(c->all->shared);
        free(c->all->key);
        free(c->all);
        c->all = next;
    }
    qn_map_fini(&c->map);
    qn_map_init(&c->map, 65536);
    c->bytes = 0;
}

void qn_cache_clear(struct qn_cache *c)
{
    pthread_mutex_lock(&c->lock);
    clear_locked(c);
    pthread_mutex_unlock(&c->lock);
}

void qn_cache_free(struct qn_cache *c)
{
    if (!c)
        return;
    clear_locked(c);
    qn_map_fini(&c->map);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct qn_http_shared *qn_cache_get(struct qn_cache *c, uint64_t generation, const char *key)
{
    struct qn_http_shared *s = NULL;

    pthread_mutex_lock(&c->lock);
    struct entry *en = generation == c->generation ? qn_map_get(&c->map, qn_str_c(key)) : NULL;
    if (en && en->shared && en->expires > qn_time_now())
        s = qn_http_shared_ref(en->shared);
    pthread_mutex_unlock(&c->lock);
    return s;
}

void qn_cache_put(struct qn_cache *c, uint64_t generation, const char *key, struct qn_http_shared *s, size_t bytes,
                  int64_t expires)
{
    struct qn_err e;

    if (expires <= qn_time_now() || bytes > c->max_bytes / 8)
        return;
    pthread_mutex_lock(&c->lock);
    if (generation < c->generation) { /* found under what was decided otherwise since */
        pthread_mutex_unlock(&c->lock);
        return;
    }
    if (generation > c->generation || c->bytes + bytes > c->max_bytes || c->map.n >= 60000)
        clear_locked(c);
    c->generation = generation;
    struct entry *en = qn_map_get(&c->map, qn_str_c(key));
    if (!en) {
        en = qn_new(struct entry);
        en->key = qn_xstrdup(key);
        if (qn_map_put(&c->map, qn_str_c(en->key), en, &e) < 0) {
            free(en->key);
            free(en);
            pthread_mutex_unlock(&c->lock);
            return;
        }
        en->next = c->all;
        c->all = en;
    }
    qn_http_shared_unref(en->shared);
    en->shared = qn_http_shared_ref(s);
    en->expires = expires;
    c->bytes += bytes;
    pthread_mutex_unlock(&c->lock);
}
