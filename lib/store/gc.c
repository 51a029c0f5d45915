/* Mark on a snapshot of its own, sweep in small write transactions. What is referenced between the two is safe because
 * whoever refers to something holds a lease on it, and leases are remembered from before the snapshot on. */
#include "gc.h"
#include "rows_content.h"
#include "rows_job.h"
#include "sql.h"
#include "store_dir.h"

#include "base/clock.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH     128
#define GRACE     3600
#define UP_MAX    2000 /* manifests above one candidate; more: it stays until they are gone */
#define JOBS_KEEP 30 * 86400ll

struct candidate {
    struct qn_digest digest;
    uint64_t size;
    bool doomed;
};

struct gc {
    struct qn_store *store;
    struct qn_index *ix;
    struct qn_gc_options opt;
    int64_t now;
    struct qn_tx mark; /* handle with the temporary tables */
    struct candidate batch[BATCH];
    size_t n;
    struct qn_gc_result result;
};

static bool stopped(const struct gc *g)
{
    return g->opt.stop && *g->opt.stop;
}

static int64_t ago(const struct gc *g, uint64_t seconds)
{
    return seconds > (uint64_t)g->now ? 0 : g->now - (int64_t)seconds;
}

static int mark_run(struct gc *g, const char *sql, int64_t a, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row = true;

    /* Not qn_sql_run: this handle reads the index and writes only tables of its own. */
    if (qn_sql_query(&g->mark, &st, e, sql, strchr(sql, '?') ? "i" : "", a) < 0)
        return -1;
    while (row) {
        if (qn_sql_step(&g->mark, st, &row, e) < 0)
            return -1;
    }
    return 0;
}

static int seed(struct gc *g, struct qn_err *e)
{
    if (mark_run(g, "INSERT OR IGNORE INTO keep SELECT digest FROM pin WHERE kind IN (1, 2)", 0, e) < 0 ||
        mark_run(g, "INSERT OR IGNORE INTO keep SELECT served FROM served WHERE until = 0", 0, e) < 0 ||
        mark_run(g, "INSERT OR IGNORE INTO keep SELECT source FROM hold UNION SELECT served FROM hold", 0, e) < 0 ||
        mark_run(g, "INSERT OR IGNORE INTO keep SELECT source FROM derivation WHERE state IN (1, 2)", 0, e) < 0)
        return -1;
    if (mark_run(g,
                 "INSERT OR IGNORE INTO keep SELECT hardened FROM derivation WHERE state = 3"
                 " AND max(made, last_served) >= ?1"
                 " UNION SELECT report FROM derivation WHERE state = 3 AND max(made, last_served) >= ?1",
                 ago(g, g->opt.keep_derivations), e) < 0)
        return -1;
    /* What people pushed: manifests stay until they are deleted, loose blobs until the upload window ends. */
    if (mark_run(g,
                 "INSERT OR IGNORE INTO keep SELECT link.digest FROM link JOIN repo ON repo.id = link.repo"
                 " WHERE repo.local = 1 AND link.kind = 1 AND link.how = 6",
                 0, e) < 0 ||
        mark_run(g,
                 "INSERT OR IGNORE INTO keep SELECT link.digest FROM link JOIN repo ON repo.id = link.repo"
                 " WHERE repo.local = 1 AND link.kind = 2 AND link.added >= ?",
                 ago(g, g->opt.upload_ttl), e) < 0 ||
        mark_run(g, "INSERT OR IGNORE INTO keep SELECT digest FROM blob WHERE origin IN (1, 3) AND last_day >= ?",
                 ago(g, g->opt.upload_ttl) / 86400, e) < 0)
        return -1;
    if (mark_run(g, "INSERT OR IGNORE INTO keep SELECT digest FROM blob WHERE origin IN (1, 4) AND last_day >= ?",
                 ago(g, g->opt.keep_sources) / 86400, e) < 0)
        return -1;
    return mark_run(g, "INSERT OR IGNORE INTO keep SELECT digest FROM blob WHERE added >= ?",
                    ago(g, g->opt.grace ? g->opt.grace : GRACE), e);
}

static int mark(struct gc *g, struct qn_err *e)
{
    if (qn_sql_open(qn_index_path(g->ix), false, &g->mark, e) < 0)
        return -1;
    if (qn_sql_exec(
            &g->mark,
            "PRAGMA temp_store = FILE; CREATE TEMP TABLE keep (digest BLOB PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TEMP TABLE candidate (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL);"
            "BEGIN",
            e) < 0 ||
        seed(g, e) < 0)
        return -1;
    if (mark_run(g,
                 "INSERT OR IGNORE INTO keep WITH RECURSIVE walk (d) AS (SELECT digest FROM keep"
                 " UNION SELECT edge.child FROM walk JOIN edge ON edge.parent = walk.d"
                 " UNION SELECT referrer.digest FROM walk JOIN referrer ON referrer.subject = walk.d)"
                 " SELECT d FROM walk",
                 0, e) < 0)
        return -1;
    /* Manifests first: then little hangs above the layers when their turn comes. */
    if (mark_run(g,
                 "INSERT INTO candidate (digest, size) SELECT blob.digest, blob.size FROM blob"
                 " LEFT JOIN manifest ON manifest.digest = blob.digest"
                 " WHERE NOT EXISTS (SELECT 1 FROM keep WHERE keep.digest = blob.digest)"
                 " ORDER BY manifest.digest IS NULL, blob.digest",
                 0, e) < 0)
        return -1;
    /* The snapshot ends here: it would hold the log back during the sweep. */
    return qn_sql_exec(&g->mark, "COMMIT", e);
}

/* Layer facts that are not young, longest unused first. */
static int mark_facts(struct gc *g, struct qn_err *e)
{
    if (qn_sql_exec(&g->mark, "DELETE FROM candidate", e) < 0)
        return -1;
    return mark_run(g,
                    "INSERT INTO candidate (digest, size) SELECT digest, size FROM blob WHERE origin = 4 AND added < ?"
                    " AND NOT EXISTS (SELECT 1 FROM edge WHERE child = blob.digest) ORDER BY last_day, added",
                    ago(g, g->opt.grace ? g->opt.grace : GRACE), e);
}

/* --- sweep -------------------------------------------------------------------------------------------------------- */

static int held_above(struct qn_tx *tx, const struct qn_digest *d, bool *held, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    size_t seen = 0;

    *held = false;
    if (qn_sql_query(tx, &st, e,
                     "WITH RECURSIVE up (d) AS (SELECT ?1 UNION SELECT edge.parent FROM up JOIN edge ON edge.child = "
                     "up.d) SELECT d FROM up",
                     "d", d) < 0)
        return -1;
    for (bool row = true; !*held;) {
        struct qn_digest at;
        if (qn_sql_step(tx, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        qn_col_digest(st, 0, &at);
        *held = ++seen > UP_MAX || qn_lease_held(tx->ix, &at);
    }
    return 0;
}

static int sweep_rows(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct gc *g = arg;
    int r = 0;

    qn_leases_lock(g->ix);
    for (size_t i = 0; i < g->n && r == 0; i++) {
        bool held = false;
        r = held_above(tx, &g->batch[i].digest, &held, e);
        if (r == 0 && !held) {
            qn_lease_doom(g->ix, &g->batch[i].digest);
            g->batch[i].doomed = true;
            r = qn_index_blob_del(tx, &g->batch[i].digest, e);
        }
    }
    qn_leases_unlock(g->ix);
    return r;
}

static int sweep_batch(struct gc *g, struct qn_err *e)
{
    int r = qn_index_write(g->ix, sweep_rows, g, e);

    /* Rows first: a crash here leaves files without rows, which the next check adopts. */
    for (size_t i = 0; i < g->n && r == 0; i++) {
        if (!g->batch[i].doomed)
            continue;
        r = qn_blob_remove(g->store, &g->batch[i].digest, e);
        g->result.removed++;
        g->result.freed += g->batch[i].size;
    }
    qn_leases_undoom(g->ix);
    return r;
}

static int next_batch(struct gc *g, int64_t *seq, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    g->n = 0;
    if (qn_sql_query(&g->mark, &st, e, "SELECT seq, digest, size FROM candidate WHERE seq > ? ORDER BY seq", "i",
                     *seq) < 0)
        return -1;
    while (g->n < BATCH) {
        bool row;
        if (qn_sql_step(&g->mark, st, &row, e) < 0)
            return -1;
        if (!row)
            break;
        struct candidate *c = &g->batch[g->n++];
        *c = (struct candidate){0};
        *seq = qn_col_i64(st, 0);
        qn_col_digest(st, 1, &c->digest);
        c->size = qn_col_u64(st, 2);
    }
    return 0;
}

static int used_now(struct gc *g, uint64_t *bytes, uint64_t *blobs, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(g->ix, &tx, e) < 0)
        return -1;
    return qn_index_used(tx, bytes, blobs, e);
}

/* Sweeps the candidates in order; with `goal`, only until the store is that small. */
static int sweep(struct gc *g, uint64_t goal, struct qn_err *e)
{
    uint64_t bytes, blobs;

    for (int64_t seq = 0; !stopped(g);) {
        if (goal) {
            if (used_now(g, &bytes, &blobs, e) < 0)
                return -1;
            if (bytes <= goal)
                return 0;
        }
        if (next_batch(g, &seq, e) < 0)
            return -1;
        if (g->n == 0)
            return 0;
        if (sweep_batch(g, e) < 0)
            return -1;
    }
    return 0;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static int prune_rows(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    const struct gc *g = arg;

    if (qn_sql_run(tx, NULL, e, "DELETE FROM denial WHERE expires < ?", "i", g->now) < 0)
        return -1;
    /* A local repository shows a blob as long as a manifest of its own names it; others may keep the bytes longer. */
    if (qn_sql_run(tx, NULL, e,
                   "DELETE FROM link WHERE kind = 2 AND added < ? AND repo IN (SELECT id FROM repo WHERE local = 1)"
                   " AND NOT EXISTS (SELECT 1 FROM edge JOIN link AS above ON above.repo = link.repo"
                   " AND above.digest = edge.parent AND above.kind = 1 WHERE edge.child = link.digest)",
                   "i", ago(g, g->opt.upload_ttl)) < 0)
        return -1;
    return qn_index_jobs_prune(tx, (g->now - JOBS_KEEP) * 1000, e);
}

static int prune_uploads(struct gc *g, struct qn_err *e)
{
    if (g->opt.uploads) {
        (void)qn_uploads_expire(g->opt.uploads, ago(g, g->opt.upload_ttl));
        return 0;
    }
    DIR *d = opendir(qn_store_uploads(g->store));
    if (!d)
        return qn_fail_errno(e, QN_E_IO, "%s", qn_store_uploads(g->store));
    for (struct dirent *ent; (ent = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            (int64_t)st.st_mtime < ago(g, g->opt.upload_ttl))
            unlinkat(dirfd(d), ent->d_name, 0);
    }
    closedir(d);
    return 0;
}

static int collect(struct gc *g, struct qn_err *e)
{
    if (qn_index_flush(g->ix, e) < 0 || mark(g, e) < 0 || sweep(g, 0, e) < 0)
        return -1;
    if (used_now(g, &g->result.kept_bytes, &g->result.kept, e) < 0)
        return -1;
    if (g->opt.max_size && g->result.kept_bytes > g->opt.max_size && !stopped(g)) {
        if (mark_facts(g, e) < 0 || sweep(g, g->opt.max_size, e) < 0 ||
            used_now(g, &g->result.kept_bytes, &g->result.kept, e) < 0)
            return -1;
    }
    g->result.still_full = g->opt.max_size && g->result.kept_bytes > g->opt.max_size;
    if (qn_index_write(g->ix, prune_rows, g, e) < 0)
        return -1;
    return prune_uploads(g, e);
}

int qn_gc(struct qn_store *s, struct qn_index *ix, const struct qn_gc_options *opt, struct qn_gc_result *out,
          struct qn_err *e)
{
    struct gc *g = qn_new(struct gc);

    g->store = s;
    g->ix = ix;
    g->opt = *opt;
    g->now = opt->now ? opt->now : qn_time_now();
    if (qn_leases_record(ix, e) < 0) {
        free(g);
        return -1;
    }
    int r = collect(g, e);
    qn_leases_record_end(ix);
    qn_sql_close(&g->mark);
    if (r == 0)
        *out = g->result;
    else
        qn_err_wrap(e, "garbage collection");
    free(g);
    return r;
}
