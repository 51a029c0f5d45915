#include "publish.h"

#include "base/clock.h"
#include "base/fd.h"
#include "image/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* --- attempts ----------------------------------------------------------------------------------------------------- */
struct begin_job {
    struct qn_derivation_key key;
    const struct qn_subject *s;
    struct qn_row_derivation row;
};

static int begin(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct begin_job *b = arg;
    bool made;

    if (qn_index_derivation_open(tx, &b->key, b->s->policy->name.p, b->s->reference, &b->row, &made, e) < 0)
        return -1;
    b->row.state = QN_STATE_RUNNING;
    b->row.attempts++;
    return qn_index_derivation_set(tx, &b->row, e);
}

int qn_derivation_begin(struct qn_site *site, const struct qn_subject *s, struct qn_row_derivation *row,
                        struct qn_err *e)
{
    struct begin_job b = {.s = s};

    qn_subject_key(site, s, &b.key);
    if (qn_index_write(site->index, begin, &b, e) < 0)
        return -1;
    *row = b.row;
    return 0;
}

static int set_row(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_derivation_set(tx, arg, e);
}

/* Back-off of transient failures: 30 s, doubled each time, at most 10 minutes. */
static int64_t retry_time(uint32_t attempts)
{
    int64_t wait = 30;
    for (uint32_t i = 1; i < attempts && wait < 600; i++)
        wait *= 2;
    return qn_time_now() + QN_MIN(wait, (int64_t)600);
}

int qn_derivation_failed(struct qn_site *site, struct qn_row_derivation *row, const struct qn_err *why,
                         struct qn_outcome *out, struct qn_err *e)
{
    enum qn_denial denial = why->code == QN_E_DENIED ? QN_DENY_PLATFORM : qn_denial_of(why);
    bool crashed_before = strcmp(row->reason, "worker-died") == 0;
    bool for_good = denial == QN_DENY_MALFORMED || denial == QN_DENY_PLATFORM || why->code == QN_E_VERIFY ||
                    (why->code == QN_E_WORKER && crashed_before);

    /* What upstream sent may be right the next time. */
    if (why->code == QN_E_DIGEST_MISMATCH || why->code == QN_E_SIZE_MISMATCH)
        for_good = false;
    row->deaths = 0;
    row->state = why->code == QN_E_CANCELLED ? QN_STATE_CANCELLED : for_good ? QN_STATE_DENIED : QN_STATE_FAILED;
    row->retry_at = row->state == QN_STATE_FAILED ? retry_time(row->attempts) : 0;
    snprintf(row->reason, sizeof row->reason, "%s",
             why->code == QN_E_WORKER && !for_good ? "worker-died" : qn_denial_name(denial));
    snprintf(row->message, sizeof row->message, "%s", why->msg);
    *out = (struct qn_outcome){.state = row->state, .denial = denial, .retry_at = row->retry_at};
    snprintf(out->message, sizeof out->message, "%s", why->msg);
    return qn_index_write(site->index, set_row, row, e);
}

/* --- results ------------------------------------------------------------------------------------------------------ */
struct done_job {
    struct qn_row_derivation *row;
    struct qn_row_blob blob[3];
    size_t blobs;
};

static int done(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct done_job *j = arg;

    for (size_t i = 0; i < j->blobs; i++)
        if (qn_index_blob_put(tx, &j->blob[i], e) < 0)
            return -1;
    return qn_index_derivation_set(tx, j->row, e);
}

static void mark_done(struct qn_row_derivation *row, const struct qn_digest *d, const char *media_type, uint64_t size,
                      bool backed_off)
{
    row->state = QN_STATE_DONE;
    row->hardened = *d;
    row->size = size;
    row->made = qn_time_now();
    row->last_served = row->made;
    row->deaths = 0;
    row->retry_at = 0;
    snprintf(row->media_type, sizeof row->media_type, "%s", media_type);
    snprintf(row->reason, sizeof row->reason, "%s", backed_off ? "backed-off" : "");
    row->message[0] = '\0';
}

static void count_back_offs(struct qn_site *site, const json_t *report)
{
    const json_t *policy = json_object_get(report, "policy");
    size_t i;
    json_t *rule;

    if (!json_equal(json_object_get(policy, "profile"), json_object_get(policy, "achieved")))
        atomic_fetch_add(&site->counters.profile_lowered, 1);
    json_array_foreach (json_object_get(report, "rules"), i, rule) {
        const char *state = json_string_value(json_object_get(rule, "state"));
        const char *name = json_string_value(json_object_get(rule, "rule"));
        bool reserved;
        int r = name ? qn_rule_find(qn_str_c(name), &reserved) : -1;
        if (r >= 0 && state && strcmp(state, "backed-off") == 0)
            atomic_fetch_add(&site->counters.backed_off[r], 1);
    }
}

int qn_derivation_done(struct qn_site *site, const struct qn_subject *s, struct qn_row_derivation *row,
                       const struct qn_derived *d, struct qn_err *e)
{
    struct done_job j = {.row = row};
    qn_auto_buf struct qn_buf report = {0};
    struct qn_digest digest;

    (void)s;
    qn_buf_init(&report, 16u << 20);
    if (qn_json_print(d->report, &report, e) < 0)
        return qn_err_wrap(e, "report");
    if (qn_blob_put(site->store, qn_buf_view(&report), &row->report, e) < 0)
        return -1;
    j.blob[j.blobs++] = (struct qn_row_blob){.digest = row->report, .size = report.n, .origin = QN_ORIGIN_MADE};
    if (!d->unchanged) {
        if (qn_blob_put(site->store, qn_str_n(d->config, d->config_size), &digest, e) < 0)
            return -1;
        j.blob[j.blobs++] = (struct qn_row_blob){.digest = digest, .size = d->config_size, .origin = QN_ORIGIN_MADE};
        if (qn_site_put_manifest(site, qn_str_n(d->manifest, d->manifest_size), d->media_type, QN_ORIGIN_MADE, &digest,
                                 e) < 0)
            return -1;
    }
    count_back_offs(site, d->report);
    if (qn_result_rows(site, row->id, d->report, e) < 0)
        return qn_err_wrap(e, "rows of the report");
    mark_done(row, &d->digest, d->media_type, d->manifest_size, d->backed_off);
    return qn_index_write(site->index, done, &j, e);
}

int qn_derivation_done_index(struct qn_site *site, struct qn_row_derivation *row, struct qn_str bytes,
                             const char *media_type, bool backed_off, struct qn_err *e)
{
    struct done_job j = {.row = row};
    struct qn_digest digest;

    if (qn_site_put_manifest(site, bytes, media_type, QN_ORIGIN_MADE, &digest, e) < 0)
        return -1;
    mark_done(row, &digest, media_type, bytes.n, backed_off);
    return qn_index_write(site->index, done, &j, e);
}

/* --- remembered layers -------------------------------------------------------------------------------------------- */
static const char facts_version[] = "facts-6";
_Static_assert(QN_FACTS_VERSION == 6u, "facts_version names the version");

static int facts_get(void *ctx, const struct qn_digest *layer, int *fd, uint64_t *size, uint64_t *tar_size,
                     struct qn_err *e)
{
    struct qn_site *site = ctx;
    struct qn_row_facts row;
    struct qn_err missing;
    bool found;

    *fd = -1;
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_facts_get(tx, layer, facts_version, &row, &found, e) < 0)
            return -1;
    }
    if (!found || qn_blob_open(site->store, &row.facts, fd, size, &missing) < 0)
        return 0;
    *tar_size = row.uncompressed;
    qn_index_touch(site->index, &row.facts);
    atomic_fetch_add(&site->counters.layers_reused, 1);
    return 0;
}

struct facts_job {
    struct qn_row_blob blob;
    struct qn_row_facts facts;
};

static int facts_rows(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct facts_job *j = arg;
    return qn_index_blob_put(tx, &j->blob, e) < 0 ? -1 : qn_index_facts_put(tx, &j->facts, e);
}

static int hash_fd(int fd, uint64_t size, struct qn_digest *out, struct qn_err *e)
{
    qn_auto_hash struct qn_hash h = {0};
    char chunk[32768];

    qn_hash_init(&h, QN_SHA256);
    for (uint64_t at = 0; at < size;) {
        size_t got;
        if (qn_fd_pread(fd, chunk, (size_t)QN_MIN(size - at, (uint64_t)sizeof chunk), at, &got, e) < 0)
            return -1;
        if (got == 0)
            return qn_fail(e, QN_E_IO, "file is shorter than it should be");
        qn_hash_update(&h, chunk, got);
        at += got;
    }
    *out = qn_hash_final(&h);
    return 0;
}

static int facts_put(void *ctx, const struct qn_digest *layer, uint64_t layer_size, int fd, uint64_t size,
                     uint64_t tar_size, struct qn_err *e)
{
    struct qn_site *site = ctx;
    struct facts_job j = {.facts = {.layer = *layer, .facts_size = size, .size = layer_size, .uncompressed = tar_size}};

    snprintf(j.facts.version, sizeof j.facts.version, "%s", facts_version);
    atomic_fetch_add(&site->counters.layers_scanned, 1);
    if (hash_fd(fd, size, &j.facts.facts, e) < 0 || qn_blob_adopt(site->store, fd, &j.facts.facts, size, e) < 0)
        return -1;
    j.blob = (struct qn_row_blob){.digest = j.facts.facts, .size = size, .origin = QN_ORIGIN_FACTS};
    return qn_index_write(site->index, facts_rows, &j, e);
}

/* What is made with other codecs is another layer. */
static void codec_of(const struct qn_site *site, char out[QN_ROW_NAME])
{
    const char *plus = strchr(site->engine, '+');
    snprintf(out, QN_ROW_NAME, "%s", plus ? plus + 1 : site->engine);
}

static int rewrite_get(void *ctx, const struct qn_digest *layer, const struct qn_digest *edits, bool *found,
                       struct qn_derive_layer *out, struct qn_err *e)
{
    struct qn_site *site = ctx;
    struct qn_row_rewrite row;
    struct qn_err missing;
    char codec[QN_ROW_NAME];
    uint64_t size;

    codec_of(site, codec);
    {
        qn_auto_read struct qn_tx *tx = NULL;
        if (qn_index_read(site->index, &tx, e) < 0 || qn_index_rewrite_get(tx, layer, edits, codec, &row, found, e) < 0)
            return -1;
    }
    *found = *found && qn_blob_stat(site->store, &row.hardened, &size, &missing) == 0 && size == row.size;
    if (*found)
        *out = (struct qn_derive_layer){row.hardened, row.size, row.diff_id, row.uncompressed};
    return 0;
}

struct rewrite_job {
    struct qn_row_blob blob;
    struct qn_row_rewrite rewrite;
};

static int rewrite_rows(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct rewrite_job *j = arg;
    return qn_index_blob_put(tx, &j->blob, e) < 0 ? -1 : qn_index_rewrite_put(tx, &j->rewrite, e);
}

static int rewrite_put(void *ctx, const struct qn_digest *source, const struct qn_digest *edits, int fd,
                       const struct qn_derive_layer *layer, struct qn_err *e)
{
    struct qn_site *site = ctx;
    struct rewrite_job j = {.blob = {.digest = layer->digest, .size = layer->size, .origin = QN_ORIGIN_MADE},
                            .rewrite = {.layer = *source,
                                        .edits = *edits,
                                        .hardened = layer->digest,
                                        .diff_id = layer->diff_id,
                                        .size = layer->size,
                                        .uncompressed = layer->tar_size}};

    codec_of(site, j.rewrite.codec);
    atomic_fetch_add(&site->counters.layers_rewritten, 1);
    if (qn_blob_adopt(site->store, fd, &layer->digest, layer->size, e) < 0)
        return -1;
    return qn_index_write(site->index, rewrite_rows, &j, e);
}

void qn_derive_store_cache(struct qn_site *site, struct qn_derive_cache *out)
{
    *out = (struct qn_derive_cache){facts_get, facts_put, rewrite_get, rewrite_put, site};
}
