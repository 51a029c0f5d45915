#include "rows_derive.h"
#include "sql.h"

#include "base/clock.h"

#include <stdio.h>

static const char *const state_names[] = {"", "queued", "running", "done", "failed", "denied", "cancelled"};

const char *qn_state_name(enum qn_state state)
{
    return (unsigned)state < QN_ARRAY_LEN(state_names) ? state_names[state] : "";
}

enum qn_state qn_state_parse(struct qn_str name)
{
    for (size_t i = 1; i < QN_ARRAY_LEN(state_names); i++) {
        if (qn_str_eq_c(name, state_names[i]))
            return (enum qn_state)i;
    }
    return (enum qn_state)0;
}

#define COLUMNS                                                                                                        \
    "SELECT id, source, platform, policy, engine, patch, state, hardened, media_type, size, report, reason, message,"  \
    " policy_name, reference, attempts, deaths, retry_at, created, made, last_served FROM derivation "

static void read_row(sqlite3_stmt *st, struct qn_row_derivation *out)
{
    out->id = qn_col_i64(st, 0);
    qn_col_digest(st, 1, &out->key.source);
    qn_col_text(st, 2, out->key.platform, sizeof out->key.platform);
    qn_col_digest(st, 3, &out->key.policy);
    qn_col_text(st, 4, out->key.engine, sizeof out->key.engine);
    qn_col_digest(st, 5, &out->key.patch);
    out->state = (enum qn_state)qn_col_i64(st, 6);
    qn_col_digest(st, 7, &out->hardened);
    qn_col_text(st, 8, out->media_type, sizeof out->media_type);
    out->size = qn_col_u64(st, 9);
    qn_col_digest(st, 10, &out->report);
    qn_col_text(st, 11, out->reason, sizeof out->reason);
    qn_col_text(st, 12, out->message, sizeof out->message);
    qn_col_text(st, 13, out->policy_name, sizeof out->policy_name);
    qn_col_text(st, 14, out->reference, sizeof out->reference);
    out->attempts = (uint32_t)qn_col_u64(st, 15);
    out->deaths = (uint32_t)qn_col_u64(st, 16);
    out->retry_at = qn_col_i64(st, 17);
    out->created = qn_col_i64(st, 18);
    out->made = qn_col_i64(st, 19);
    out->last_served = qn_col_i64(st, 20);
}

static int one(struct qn_tx *tx, sqlite3_stmt *st, struct qn_row_derivation *out, bool *found, struct qn_err *e)
{
    bool row;

    if (qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    if (row)
        read_row(st, out);
    *found = row;
    return 0;
}

static int walk(struct qn_tx *tx, sqlite3_stmt *st, size_t max,
                bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg, struct qn_err *e)
{
    for (bool found; max > 0; max--) {
        struct qn_row_derivation row;
        if (one(tx, st, &row, &found, e) < 0)
            return -1;
        if (!found || !fn(arg, &row))
            break;
    }
    return 0;
}

int qn_index_derivation_open(struct qn_tx *tx, const struct qn_derivation_key *key, const char *policy_name,
                             const char *reference, struct qn_row_derivation *out, bool *made, struct qn_err *e)
{
    int changes;
    bool found;

    if (qn_sql_run(tx, &changes, e,
                   "INSERT OR IGNORE INTO derivation (source, platform, policy, engine, patch, state, hardened,"
                   " media_type, size, report, reason, message, policy_name, reference, attempts, deaths, retry_at,"
                   " created, made, last_served)"
                   " VALUES (?, ?, ?, ?, ?, 1, x'', '', 0, x'', '', '', ?, ?, 0, 0, 0, ?, 0, 0)",
                   "dtdtdtti", &key->source, key->platform, &key->policy, key->engine, &key->patch,
                   policy_name ? policy_name : "", reference ? reference : "", qn_time_now()) < 0 ||
        qn_index_derivation_get(tx, key, out, &found, e) < 0)
        return -1;
    qn_assert(found);
    *made = changes > 0;
    return 0;
}

int qn_index_derivation_get(struct qn_tx *tx, const struct qn_derivation_key *key, struct qn_row_derivation *out,
                            bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e,
                     COLUMNS "WHERE source = ? AND platform = ? AND policy = ? AND engine = ? AND patch = ?", "dtdtd",
                     &key->source, key->platform, &key->policy, key->engine, &key->patch) < 0)
        return -1;
    return one(tx, st, out, found, e);
}

int qn_index_derivation_by_id(struct qn_tx *tx, int64_t id, struct qn_row_derivation *out, bool *found,
                              struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, COLUMNS "WHERE id = ?", "i", id) < 0)
        return -1;
    return one(tx, st, out, found, e);
}

int qn_index_derivation_set(struct qn_tx *tx, const struct qn_row_derivation *row, struct qn_err *e)
{
    int changes;

    if (qn_sql_run(tx, &changes, e,
                   "UPDATE derivation SET state = ?, hardened = ?, media_type = ?, size = ?, report = ?, reason = ?,"
                   " message = ?, policy_name = ?, reference = ?, attempts = ?, deaths = ?, retry_at = ?, made = ?,"
                   " last_served = ? WHERE id = ?",
                   "idtudttttiiiiii", (int64_t)row->state, &row->hardened, row->media_type, row->size, &row->report,
                   row->reason, row->message, row->policy_name, row->reference, (int64_t)row->attempts,
                   (int64_t)row->deaths, row->retry_at, row->made, row->last_served, row->id) < 0)
        return -1;
    if (changes == 0)
        return qn_fail(e, QN_E_NOT_FOUND, "index: derivation %lld is gone", (long long)row->id);
    return 0;
}

int qn_index_derivations_of(struct qn_tx *tx, const struct qn_digest *hardened, size_t max,
                            bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, COLUMNS "WHERE hardened = ? AND length(hardened) > 0 AND state = 3 ORDER BY id DESC",
                     "d", hardened) < 0)
        return -1;
    return walk(tx, st, max, fn, arg, e);
}

int qn_index_derivations_from(struct qn_tx *tx, const struct qn_digest *source, size_t max,
                              bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, COLUMNS "WHERE source = ? AND state = 3 ORDER BY id DESC", "d", source) < 0)
        return -1;
    return walk(tx, st, max, fn, arg, e);
}

int qn_index_derivation_list(struct qn_tx *tx, enum qn_state state, int64_t before, size_t max,
                             bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    before = before > 0 ? before : INT64_MAX;
    if (state ? qn_sql_query(tx, &st, e, COLUMNS "WHERE state = ? AND id < ? ORDER BY id DESC", "ii", (int64_t)state,
                             before) < 0
              : qn_sql_query(tx, &st, e, COLUMNS "WHERE id < ? ORDER BY id DESC", "i", before) < 0)
        return -1;
    return walk(tx, st, max, fn, arg, e);
}

int qn_index_derivations_for(struct qn_tx *tx, const char *reference, enum qn_state state, int64_t before, size_t max,
                             bool (*fn)(void *arg, const struct qn_row_derivation *row), void *arg, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;

    if (qn_sql_query(tx, &st, e, COLUMNS "WHERE reference = ?1 AND id < ?2 AND (?3 = 0 OR state = ?3) ORDER BY id DESC",
                     "tii", reference, before > 0 ? before : INT64_MAX, (int64_t)state) < 0)
        return -1;
    return walk(tx, st, max, fn, arg, e);
}

int qn_index_derivation_del(struct qn_tx *tx, int64_t id, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e, "DELETE FROM derivation WHERE id = ?", "i", id);
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

int qn_index_facts_put(struct qn_tx *tx, const struct qn_row_facts *row, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO facts (layer, version, facts, facts_size, diff_id, size, uncompressed)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "dtduduu", &row->layer, row->version, &row->facts, row->facts_size, &row->diff_id, row->size,
                      row->uncompressed);
}

int qn_index_facts_get(struct qn_tx *tx, const struct qn_digest *layer, const char *version, struct qn_row_facts *out,
                       bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT facts, facts_size, diff_id, size, uncompressed FROM facts WHERE layer = ? AND version = ?",
                     "dt", layer, version) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    out->layer = *layer;
    snprintf(out->version, sizeof out->version, "%s", version);
    qn_col_digest(st, 0, &out->facts);
    out->facts_size = qn_col_u64(st, 1);
    qn_col_digest(st, 2, &out->diff_id);
    out->size = qn_col_u64(st, 3);
    out->uncompressed = qn_col_u64(st, 4);
    return 0;
}

int qn_index_rewrite_put(struct qn_tx *tx, const struct qn_row_rewrite *row, struct qn_err *e)
{
    return qn_sql_run(tx, NULL, e,
                      "INSERT OR REPLACE INTO rewrite (layer, edits, codec, hardened, diff_id, size, uncompressed,"
                      " media_type) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                      "ddtdduut", &row->layer, &row->edits, row->codec, &row->hardened, &row->diff_id, row->size,
                      row->uncompressed, row->media_type);
}

int qn_index_rewrite_get(struct qn_tx *tx, const struct qn_digest *layer, const struct qn_digest *edits,
                         const char *codec, struct qn_row_rewrite *out, bool *found, struct qn_err *e)
{
    qn_auto_stmt sqlite3_stmt *st = NULL;
    bool row;

    if (qn_sql_query(tx, &st, e,
                     "SELECT hardened, diff_id, size, uncompressed, media_type FROM rewrite"
                     " WHERE layer = ? AND edits = ? AND codec = ?",
                     "ddt", layer, edits, codec) < 0 ||
        qn_sql_step(tx, st, &row, e) < 0)
        return -1;
    *found = row;
    if (!row)
        return 0;
    out->layer = *layer;
    out->edits = *edits;
    snprintf(out->codec, sizeof out->codec, "%s", codec);
    qn_col_digest(st, 0, &out->hardened);
    qn_col_digest(st, 1, &out->diff_id);
    out->size = qn_col_u64(st, 2);
    out->uncompressed = qn_col_u64(st, 3);
    qn_col_text(st, 4, out->media_type, sizeof out->media_type);
    return 0;
}
