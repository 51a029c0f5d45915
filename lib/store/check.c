/* Whether files and rows agree, and whether files are what their names say. */
#include "gc.h"
#include "rows_content.h"
#include "sql.h"

#include "base/mem.h"

#include <stdlib.h>

#define BATCH 512u

struct entry {
    struct qn_digest digest;
    uint64_t size;
    bool damaged;
};

struct check {
    struct qn_store *store;
    struct qn_index *ix;
    struct entry batch[BATCH];
    size_t n;
    struct qn_check_result result;
};

static int resize_row(struct qn_tx *tx, struct check *c, struct qn_row_blob *row, uint64_t size, struct qn_err *e)
{
    bool ok;

    c->result.resized++;
    if (qn_blob_scrub(c->store, &row->digest, &ok, e) < 0)
        return -1;
    if (!ok)
        return qn_index_blob_del(tx, &row->digest, e);
    row->size = size;
    if (qn_sql_run(tx, NULL, e, "DELETE FROM blob WHERE digest = ?", "d", &row->digest) < 0)
        return -1;
    return qn_index_blob_put(tx, row, e);
}

static int adopt_batch(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct check *c = arg;

    for (size_t i = 0; i < c->n; i++) {
        struct qn_row_blob row;
        bool found;
        if (qn_index_blob_get(tx, &c->batch[i].digest, &row, &found, e) < 0)
            return -1;
        if (found && row.size != c->batch[i].size && resize_row(tx, c, &row, c->batch[i].size, e) < 0)
            return -1;
        if (found)
            continue;
        row = (struct qn_row_blob){.digest = c->batch[i].digest, .size = c->batch[i].size, .origin = QN_ORIGIN_PUSHED};
        if (qn_index_blob_put(tx, &row, e) < 0)
            return -1;
        c->result.adopted++;
    }
    return 0;
}

static int on_file(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed, struct qn_err *e)
{
    struct check *c = arg;
    (void)changed;

    c->result.files++;
    c->batch[c->n++] = (struct entry){.digest = *d, .size = size};
    if (c->n < BATCH)
        return 0;
    int r = qn_index_write(c->ix, adopt_batch, c, e);
    c->n = 0;
    return r;
}

static int drop_missing(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct check *c = arg;

    for (size_t i = 0; i < c->n; i++) {
        uint64_t size;
        struct qn_err why;
        if (qn_blob_stat(c->store, &c->batch[i].digest, &size, &why) == 0 || why.code != QN_E_BLOB_UNKNOWN)
            continue;
        if (qn_index_blob_del(tx, &c->batch[i].digest, e) < 0)
            return -1;
        c->result.missing++;
    }
    return 0;
}

/* Up to BATCH rows after `last`. */
static int read_rows(struct check *c, struct qn_digest *last, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;
    qn_auto_stmt sqlite3_stmt *st = NULL;

    c->n = 0;
    if (qn_index_read(c->ix, &tx, e) < 0 ||
        qn_sql_query(tx, &st, e, "SELECT digest, size FROM blob WHERE digest > ? ORDER BY digest", "d", last) < 0)
        return -1;
    while (c->n < BATCH) {
        bool row;
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        struct entry *at = &c->batch[c->n++];
        *at = (struct entry){.size = qn_col_u64(st, 1)};
        qn_col_digest(st, 0, &at->digest);
    }
    if (c->n)
        *last = c->batch[c->n - 1].digest;
    return 0;
}

static int check_rows(struct check *c, struct qn_err *e)
{
    struct qn_digest last = {0};

    for (;;) {
        if (read_rows(c, &last, e) < 0)
            return -1;
        if (c->n == 0)
            return 0;
        c->result.rows += c->n;
        size_t missing = 0;
        for (size_t i = 0; i < c->n; i++) {
            uint64_t size;
            struct qn_err why;
            if (qn_blob_stat(c->store, &c->batch[i].digest, &size, &why) < 0 && why.code == QN_E_BLOB_UNKNOWN)
                c->batch[missing++] = c->batch[i];
        }
        c->n = missing;
        if (missing && qn_index_write(c->ix, drop_missing, c, e) < 0)
            return -1;
    }
}

int qn_store_check(struct qn_store *s, struct qn_index *ix, struct qn_check_result *out, struct qn_err *e)
{
    qn_auto_free struct check *c = qn_new(struct check);

    c->store = s;
    c->ix = ix;
    /* Not beside a sweep, whose files have no rows for a moment. */
    if (qn_leases_record(ix, e) < 0)
        return -1;
    int r = qn_blob_each(s, on_file, c, e);
    if (r == 0 && c->n)
        r = qn_index_write(ix, adopt_batch, c, e);
    if (r == 0)
        r = check_rows(c, e);
    qn_leases_record_end(ix);
    if (r < 0)
        return qn_err_wrap(e, "checking storage %s", qn_store_root(s));
    *out = c->result;
    return 0;
}

/* --- scrub -------------------------------------------------------------------------------------------------------- */

struct scrub {
    struct qn_store *store;
    struct qn_index *ix;
    const atomic_bool *stop;
    void (*damaged)(void *arg, const struct qn_digest *d);
    void *arg;
    struct qn_scrub_result result;
};

static int forget(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_blob_del(tx, arg, e);
}

static int scrub_one(void *arg, const struct qn_digest *d, uint64_t size, int64_t changed, struct qn_err *e)
{
    struct scrub *s = arg;
    struct qn_digest copy = *d;
    bool ok;
    (void)changed;

    if (s->stop && *s->stop)
        return qn_fail(e, QN_E_CANCELLED, "stopped");
    if (qn_blob_scrub(s->store, d, &ok, e) < 0)
        return e->code == QN_E_BLOB_UNKNOWN ? 0 : -1; /* removed meanwhile */
    s->result.checked++;
    s->result.bytes += size;
    if (ok)
        return 0;
    s->result.damaged++;
    if (s->damaged)
        s->damaged(s->arg, d);
    return qn_index_write(s->ix, forget, &copy, e);
}

int qn_store_scrub(struct qn_store *s, struct qn_index *ix, const atomic_bool *stop,
                   void (*damaged)(void *arg, const struct qn_digest *d), void *arg, struct qn_scrub_result *out,
                   struct qn_err *e)
{
    struct scrub sc = {.store = s, .ix = ix, .stop = stop, .damaged = damaged, .arg = arg};

    if (qn_blob_each(s, scrub_one, &sc, e) < 0 && !(stop && *stop))
        return qn_err_wrap(e, "scrubbing storage %s", qn_store_root(s));
    *out = sc.result;
    return 0;
}
