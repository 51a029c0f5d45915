#include "map.h"

#include <stdlib.h>
#include <sys/random.h>

struct qn_map_slot {
    struct qn_str key;
    uint64_t hash;
    void *value; /* NULL: never used, unless `dead` */
    bool dead;
};

void qn_map_init(struct qn_map *m, size_t max)
{
    *m = (struct qn_map){.max = max};
    if (getrandom(&m->seed, sizeof m->seed, GRND_NONBLOCK) != (ssize_t)sizeof m->seed)
        m->seed = 0x9e3779b97f4a7c15ull;
}

void qn_map_fini(struct qn_map *m)
{
    free(m->slot);
    m->slot = NULL;
    m->cap = m->used = m->n = 0;
}

/* Keyed multiply-xor hash: the random seed keeps foreign names from being chosen to collide. */
static uint64_t hash_key(uint64_t seed, struct qn_str key)
{
    uint64_t h = seed ^ (key.n * 0x9e3779b97f4a7c15ull);
    size_t i = 0;

    for (; key.n - i >= 8; i += 8) {
        uint64_t w;
        memcpy(&w, key.p + i, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }
    for (; i < key.n; i++)
        h = (h ^ (unsigned char)key.p[i]) * 0xc4ceb9fe1a85ec53ull;
    h ^= h >> 29;
    h = (h ^ seed) * 0xff51afd7ed558ccdull;
    return h ^ (h >> 32);
}

static struct qn_map_slot *find(const struct qn_map *m, struct qn_str key, uint64_t hash)
{
    if (m->cap == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct qn_map_slot *s = &m->slot[i];
        if (!s->value && !s->dead)
            return NULL;
        if (s->value && s->hash == hash && qn_str_eq(s->key, key))
            return s;
    }
}

void *qn_map_get(const struct qn_map *m, struct qn_str key)
{
    struct qn_map_slot *s = find(m, key, hash_key(m->seed, key));
    return s ? s->value : NULL;
}

static void insert_fresh(struct qn_map *m, struct qn_str key, uint64_t hash, void *value)
{
    size_t i = hash & (m->cap - 1);
    while (m->slot[i].value)
        i = (i + 1) & (m->cap - 1);
    if (!m->slot[i].dead)
        m->used++;
    m->slot[i] = (struct qn_map_slot){key, hash, value, false};
    m->n++;
}

static int rehash(struct qn_map *m, struct qn_err *e)
{
    struct qn_map old = *m;
    size_t cap = 16;

    while (cap < (m->n + 1) * 2)
        cap *= 2;
    struct qn_map_slot *slot = calloc(cap, sizeof *slot);
    if (!slot)
        return qn_fail(e, QN_E_NOMEM, "no memory for a map of %zu keys", m->n);
    m->slot = slot;
    m->cap = cap;
    m->used = m->n = 0;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].value)
            insert_fresh(m, old.slot[i].key, old.slot[i].hash, old.slot[i].value);
    free(old.slot);
    return 0;
}

int qn_map_put(struct qn_map *m, struct qn_str key, void *value, struct qn_err *e)
{
    uint64_t hash = hash_key(m->seed, key);
    struct qn_map_slot *s = find(m, key, hash);

    qn_assert(value);
    if (s) {
        s->value = value;
        return 0;
    }
    if (m->n >= m->max)
        return qn_fail(e, QN_E_LIMIT, "more than %zu keys", m->max);
    if ((m->used + 1) * 4 > m->cap * 3 && rehash(m, e) < 0)
        return -1;
    insert_fresh(m, key, hash, value);
    return 0;
}

void *qn_map_del(struct qn_map *m, struct qn_str key)
{
    struct qn_map_slot *s = find(m, key, hash_key(m->seed, key));
    if (!s)
        return NULL;
    void *value = s->value;
    s->value = NULL;
    s->dead = true;
    m->n--;
    return value;
}
