/* Hash map from byte strings to pointers. Keys are borrowed: they must outlive the map.
 * There is no iteration, so that no result can depend on hash order; keep an array beside it for that. */
#ifndef QN_BASE_MAP_H
#define QN_BASE_MAP_H

#include "err.h"
#include "str.h"

#include <stdint.h>

struct qn_map {
    struct qn_map_slot *slot;
    size_t cap;  /* power of two, or 0 */
    size_t used; /* slots ever used, removed ones included */
    size_t n;    /* live keys */
    size_t max;  /* ceiling of n */
    uint64_t seed;
};

/* Starts an empty map of at most `max` keys; the hash is keyed with random bytes. */
void qn_map_init(struct qn_map *m, size_t max);
void qn_map_fini(struct qn_map *m);
#define qn_auto_map QN_CLEANUP(qn_map_fini)
/* The value of a key, or NULL. */
void *qn_map_get(const struct qn_map *m, struct qn_str key);
/* Sets the value (not NULL) of a key, replacing an older one. */
int qn_map_put(struct qn_map *m, struct qn_str key, void *value, struct qn_err *e) QN_MUST_CHECK;
/* Removes a key and gives its value, or NULL. */
void *qn_map_del(struct qn_map *m, struct qn_str key);

#endif
