#include "sql.h"

#include "base/mem.h"

#include <stdlib.h>

#define BUCKETS 1024u /* a power of two */

struct qn_lease_entry {
    struct qn_lease_entry *next;
    struct qn_digest digest;
    unsigned count;
    bool doomed;   /* the sweep is removing it now */
    bool recorded; /* held at some time since recording began */
};

struct qn_leases {
    pthread_mutex_t lock;
    pthread_cond_t free_again; /* something is not doomed any more */
    bool recording;
    struct qn_lease_entry *bucket[BUCKETS];
};

struct qn_leases *qn_leases_new(void)
{
    struct qn_leases *l = qn_new(struct qn_leases);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->free_again, NULL);
    return l;
}

void qn_leases_free(struct qn_leases *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct qn_lease_entry *at = l->bucket[i], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    }
    pthread_cond_destroy(&l->free_again);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct qn_lease_entry **place_of(struct qn_leases *l, const struct qn_digest *d)
{
    struct qn_lease_entry **at = &l->bucket[(d->bytes[0] | (unsigned)d->bytes[1] << 8) & (BUCKETS - 1)];
    while (*at && !qn_digest_eq(&(*at)->digest, d))
        at = &(*at)->next;
    return at;
}

static struct qn_lease_entry *need(struct qn_leases *l, const struct qn_digest *d)
{
    struct qn_lease_entry **at = place_of(l, d);
    if (!*at) {
        *at = qn_new(struct qn_lease_entry);
        (*at)->digest = *d;
    }
    return *at;
}

void qn_lease_take(struct qn_index *ix, const struct qn_digest *d, struct qn_lease *out)
{
    struct qn_leases *l = qn_index_leases(ix);

    pthread_mutex_lock(&l->lock);
    struct qn_lease_entry *entry = need(l, d);
    entry->count++; /* before waiting: the entry must not go away meanwhile */
    while (entry->doomed)
        pthread_cond_wait(&l->free_again, &l->lock);
    if (l->recording)
        entry->recorded = true;
    pthread_mutex_unlock(&l->lock);
    *out = (struct qn_lease){ix, entry};
}

void qn_lease_drop(struct qn_lease *lease)
{
    if (!lease->entry)
        return;
    struct qn_leases *l = qn_index_leases(lease->ix);
    pthread_mutex_lock(&l->lock);
    struct qn_lease_entry *entry = lease->entry;
    if (--entry->count == 0 && !entry->recorded && !entry->doomed) {
        struct qn_lease_entry **at = place_of(l, &entry->digest);
        *at = entry->next;
        free(entry);
    }
    pthread_mutex_unlock(&l->lock);
    *lease = (struct qn_lease){0};
}

int qn_leases_record(struct qn_index *ix, struct qn_err *e)
{
    struct qn_leases *l = qn_index_leases(ix);
    int r = 0;

    pthread_mutex_lock(&l->lock);
    if (l->recording)
        r = qn_fail(e, QN_E_BUSY, "a sweep of the storage is under way already");
    else
        l->recording = true;
    for (size_t i = 0; i < BUCKETS && r == 0; i++) {
        for (struct qn_lease_entry *at = l->bucket[i]; at; at = at->next)
            at->recorded = true;
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

void qn_leases_record_end(struct qn_index *ix)
{
    struct qn_leases *l = qn_index_leases(ix);

    pthread_mutex_lock(&l->lock);
    l->recording = false;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct qn_lease_entry **at = &l->bucket[i]; *at;) {
            struct qn_lease_entry *entry = *at;
            entry->recorded = false;
            if (entry->count || entry->doomed) {
                at = &entry->next;
            } else {
                *at = entry->next;
                free(entry);
            }
        }
    }
    pthread_mutex_unlock(&l->lock);
}

void qn_leases_lock(struct qn_index *ix)
{
    pthread_mutex_lock(&qn_index_leases(ix)->lock);
}

void qn_leases_unlock(struct qn_index *ix)
{
    pthread_mutex_unlock(&qn_index_leases(ix)->lock);
}

bool qn_lease_held(struct qn_index *ix, const struct qn_digest *d)
{
    const struct qn_lease_entry *entry = *place_of(qn_index_leases(ix), d);
    return entry && (entry->count || entry->recorded);
}

void qn_lease_doom(struct qn_index *ix, const struct qn_digest *d)
{
    need(qn_index_leases(ix), d)->doomed = true;
}

void qn_leases_undoom(struct qn_index *ix)
{
    struct qn_leases *l = qn_index_leases(ix);

    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct qn_lease_entry **at = &l->bucket[i]; *at;) {
            struct qn_lease_entry *entry = *at;
            bool was = entry->doomed;
            entry->doomed = false;
            /* Who waits for it gets it now: it must count as held for the rest of this sweep. */
            if (was && entry->count && l->recording)
                entry->recorded = true;
            if (was && !entry->count && !entry->recorded) {
                *at = entry->next;
                free(entry);
            } else {
                at = &entry->next;
            }
        }
    }
    pthread_cond_broadcast(&l->free_again);
    pthread_mutex_unlock(&l->lock);
}
