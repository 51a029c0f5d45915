/* How long the engine takes once the facts of an image's layers are known. For engine_times.py:
 *
 *     engine LAYOUT MANIFEST-HEX PROFILE ROUNDS
 *
 * hardens an image of an OCI layout as the daemon does, with processes for every stage; all that is remembered between
 * derivations is in memory. After the first time nothing is left to do but to plan and to verify: that is measured,
 * starts of processes included. Then the same is done inside of this process, phase by phase. Prints one JSON object;
 * times are milliseconds. */
#include "base/fd.h"
#include "base/num.h"
#include "harden/emit.h"
#include "harden/report.h"
#include "harden/verify.h"
#include "service/derive.h"
#include "worker/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KNOWN_MAX 1024

/* What a derivation remembers of a layer, or of a rewritten one by source and edits. */
struct known {
    struct qn_digest layer, edits; /* `edits` is none for facts */
    int fd;
    uint64_t size, tar_size;
    struct qn_derive_layer made;
};

struct bench {
    const char *layout;
    struct known *known; /* of KNOWN_MAX */
    size_t count;
    double plan, verify, since; /* of this round */
    double *stage;              /* which of the two runs, or NULL */
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu_ms(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static _Noreturn void die(const struct qn_err *e)
{
    fprintf(stderr, "engine: %s\n", e->msg);
    exit(1);
}

/* --- source and memory of the derivation -------------------------------------------------------------------------- */
static int blob_open(const struct bench *b, const struct qn_digest *d, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT], path[4096];

    snprintf(path, sizeof path, "%s/blobs/sha256/%s", b->layout, qn_digest_text(d, text) + 7);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? qn_fail_errno(e, QN_E_IO, "opening %s", path) : fd;
}

static int give_layer(void *ctx, const struct qn_descriptor *d, int *fd,
                      int (*opened)(void *arg, int fd, struct qn_err *e),
                      int (*progress)(void *arg, uint64_t available, struct qn_err *e), void *arg, struct qn_err *e)
{
    *fd = blob_open(ctx, &d->digest, e);
    return *fd < 0 || opened(arg, *fd, e) < 0 || progress(arg, d->size, e) < 0 ? -1 : 0;
}

static int give_blob(void *ctx, const struct qn_descriptor *d, struct qn_buf *out, struct qn_err *e)
{
    qn_auto_close int fd = blob_open(ctx, &d->digest, e);
    return fd < 0 ? -1 : qn_fd_read_all(fd, out, e);
}

static struct known *find(struct bench *b, const struct qn_digest *layer, const struct qn_digest *edits)
{
    for (size_t i = 0; i < b->count; i++)
        if (qn_digest_eq(&b->known[i].layer, layer) &&
            (edits ? qn_digest_eq(&b->known[i].edits, edits) : b->known[i].edits.algorithm == QN_DIGEST_NONE))
            return &b->known[i];
    return NULL;
}

static int add(struct bench *b, struct known k, struct qn_err *e)
{
    if (b->count == KNOWN_MAX)
        return qn_fail(e, QN_E_LIMIT, "more than %d layers", KNOWN_MAX);
    b->known[b->count++] = k;
    return 0;
}

static int facts_get(void *ctx, const struct qn_digest *layer, int *fd, uint64_t *size, uint64_t *tar_size,
                     struct qn_err *e)
{
    const struct known *k = find(ctx, layer, NULL);

    *fd = -1;
    if (!k)
        return 0;
    *size = k->size;
    *tar_size = k->tar_size;
    *fd = fcntl(k->fd, F_DUPFD_CLOEXEC, 3);
    return *fd < 0 ? qn_fail_errno(e, QN_E_IO, "facts") : 0;
}

static int facts_put(void *ctx, const struct qn_digest *layer, uint64_t layer_size, int fd, uint64_t size,
                     uint64_t tar_size, struct qn_err *e)
{
    struct known k = {.layer = *layer, .size = size, .tar_size = tar_size, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)};

    (void)layer_size;
    return k.fd < 0 ? qn_fail_errno(e, QN_E_IO, "facts") : add(ctx, k, e);
}

static int rewrite_get(void *ctx, const struct qn_digest *layer, const struct qn_digest *edits, bool *found,
                       struct qn_derive_layer *out, struct qn_err *e)
{
    const struct known *k = find(ctx, layer, edits);

    (void)e;
    *found = k != NULL;
    if (k)
        *out = k->made;
    return 0;
}

static int rewrite_put(void *ctx, const struct qn_digest *source, const struct qn_digest *edits, int fd,
                       const struct qn_derive_layer *layer, struct qn_err *e)
{
    (void)fd;
    return add(ctx, (struct known){.layer = *source, .edits = *edits, .made = *layer, .fd = -1}, e);
}

/* --- the derivation ----------------------------------------------------------------------------------------------- */
static void stage_ends(struct bench *b)
{
    double now = now_ms();

    if (b->stage)
        *b->stage += now - b->since;
    b->stage = NULL;
    b->since = now;
}

static void staged(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    struct bench *b = ctx;

    (void)done;
    (void)total;
    stage_ends(b);
    if (strcmp(stage, "plan") == 0)
        b->stage = &b->plan;
    else if (strcmp(stage, "verify") == 0)
        b->stage = &b->verify;
}

static void derive(struct bench *b, struct qn_workers *workers, const json_t *document, struct qn_str manifest,
                   struct qn_derived *out)
{
    struct qn_derive_env env = {
        .workers = workers,
        .tmp = "/tmp",
        .limits = QN_LIMITS_DEFAULT,
        .spill = 32ull << 30,
        .parallel = 1,
        .deadline_ms = -1,
        .engine = "bench",
        .cache = {facts_get, facts_put, rewrite_get, rewrite_put, b},
        .progress = {staged, b},
    };
    struct qn_derive_source source = {give_layer, give_blob, b};
    struct qn_derive_policy policy = {"bench", "sha256:0", document};
    struct qn_err e;

    b->plan = b->verify = 0;
    b->stage = NULL;
    if (qn_derive(&env, &source, &policy, manifest, QN_STR(""), out, &e) < 0)
        die(&e);
    stage_ends(b);
}

static void push(json_t *o, const char *key, double ms)
{
    if (!json_object_get(o, key))
        qn_json_set(o, key, json_array());
    qn_json_push(json_object_get(o, key), json_real(ms));
}

/* --- phase by phase ----------------------------------------------------------------------------------------------- */

/* An image as a worker has it. */
struct loaded {
    struct qn_manifest manifest;
    struct qn_buf config;
    struct qn_mapped *facts;
    struct qn_layer_index *layer;
    struct qn_arena arena;
    struct qn_image image;
};

static void load_begin(struct bench *b, struct qn_str manifest, struct qn_str config, struct loaded *l)
{
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_err e;

    qn_buf_init(&l->config, limits.manifest_size * 2);
    if (qn_manifest_parse(manifest, QN_STR(""), &limits, &l->manifest, &e) < 0 ||
        (config.n ? qn_buf_put(&l->config, config.p, config.n, &e)
                  : give_blob(b, &l->manifest.config, &l->config, &e)) < 0)
        die(&e);
    l->facts = qn_xcalloc(l->manifest.layer_count, sizeof *l->facts);
    l->layer = qn_xcalloc(l->manifest.layer_count, sizeof *l->layer);
    for (size_t i = 0; i < l->manifest.layer_count; i++) {
        const struct known *k = find(b, &l->manifest.layers[i].digest, NULL);
        if (!k || qn_fd_map(k->fd, UINT32_MAX, &l->facts[i], &e) < 0)
            die(k ? &e : &(struct qn_err){.msg = "no facts"});
    }
}

static void load(struct loaded *l, json_t *phases)
{
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_err e;
    double start = now_ms();

    qn_arena_init(&l->arena, 768u << 20);
    for (size_t i = 0; i < l->manifest.layer_count; i++)
        if (qn_layer_decode(qn_str_n((const char *)l->facts[i].p, l->facts[i].n), &l->arena, &l->layer[i], &e) < 0)
            die(&e);
    push(phases, "facts", now_ms() - start);
    start = now_ms();
    if (qn_image_build(l->layer, l->manifest.layer_count, qn_buf_view(&l->config), &limits, NULL, &l->image, &e) < 0)
        die(&e);
    push(phases, "image", now_ms() - start);
}

static void unload(struct loaded *l)
{
    qn_image_fini(&l->image);
    qn_arena_fini(&l->arena);
}

static void load_end(struct loaded *l)
{
    for (size_t i = 0; i < l->manifest.layer_count; i++)
        qn_mapped_fini(&l->facts[i]);
    free(l->facts);
    free(l->layer);
    qn_manifest_fini(&l->manifest);
    qn_buf_fini(&l->config);
}

static void plan_phases(const struct qn_image *img, const struct qn_options *opt, json_t *phases)
{
    qn_auto_plan struct qn_plan plan = {0};
    qn_auto_json json_t *report = NULL;
    struct qn_err e;
    double start = now_ms();

    if (qn_plan_make(img, opt, &plan, &e) < 0)
        die(&e);
    push(phases, "plan", now_ms() - start);
    struct qn_keepset_input in = {.level = plan.opt->profile == QN_STRICT ? QN_KEEP_FILES : QN_KEEP_PACKAGES};
    qn_auto_keepset struct qn_keepset ks = {0};
    start = now_ms();
    if (qn_keepset_make(img, &in, &ks, &e) < 0)
        die(&e);
    push(phases, "keep-set", now_ms() - start);
    start = now_ms();
    for (uint32_t i = 0; i < img->tree.layer_count; i++) {
        qn_auto_pieces struct qn_pieces pieces = {0};
        struct qn_str encoding;
        bool touched;
        uint64_t entries;
        qn_pieces_init(&pieces, 256u << 20);
        if (qn_plan_emit(&plan, i, &pieces, &touched, &entries, &e) < 0 || qn_pieces_finish(&pieces, &encoding, &e) < 0)
            die(&e);
    }
    push(phases, "pieces", now_ms() - start);
    start = now_ms();
    if (!(report = qn_report_plan(&plan, &e)))
        die(&e);
    push(phases, "report", now_ms() - start);
}

static void verify_phases(const struct loaded *before, const struct loaded *after, const struct qn_options *opt,
                          json_t *phases)
{
    struct qn_verify v = {.before = &before->image, .after = &after->image, .opt = opt};
    struct qn_verdict results[QN_CHECK_COUNT], again = {.ok = true};
    double start = now_ms();

    (void)qn_verify_all(&v, results);
    push(phases, "checks", now_ms() - start);
    start = now_ms();
    qn_verify_stable(&v, &again);
    push(phases, "stable", now_ms() - start);
}

static void describe(const struct loaded *l, json_t *o)
{
    const struct qn_tree *t = &l->image.tree;
    uint64_t facts = 0, files = 0;

    for (size_t i = 0; i < l->manifest.layer_count; i++)
        facts += l->facts[i].n;
    for (size_t i = 0; i < t->count; i++)
        files += t->node[i].type == QN_FILE;
    qn_json_set_int(o, "files", (int64_t)files);
    qn_json_set_int(o, "nodes", (int64_t)t->count);
    qn_json_set_int(o, "packages", (int64_t)l->image.package_count);
    qn_json_set_int(o, "facts", (int64_t)facts);
}

static void inside(struct bench *b, const json_t *document, struct qn_str manifest, const struct qn_derived *made,
                   uint64_t rounds, json_t *out)
{
    qn_auto_options struct qn_options opt = {0};
    struct loaded before = {0}, after = {0};
    json_t *phases = json_object();
    struct qn_err e;

    qn_json_set(out, "phases", phases);
    if (qn_options_read(document, &opt, &e) < 0)
        die(&e);
    load_begin(b, manifest, QN_STR(""), &before);
    load_begin(b, qn_str_n(made->manifest, made->manifest_size),
               made->config ? qn_str_n(made->config, made->config_size) : QN_STR(""), &after);
    for (uint64_t i = 0; i < rounds; i++) {
        load(&before, phases);
        load(&after, phases);
        plan_phases(&before.image, &opt, phases);
        verify_phases(&before, &after, &opt, phases);
        if (i == 0)
            describe(&before, out);
        unload(&before);
        unload(&after);
    }
    load_end(&before);
    load_end(&after);
}

int main(int argc, char **argv)
{
    struct bench b = {.layout = argv[1], .known = qn_xcalloc(KNOWN_MAX, sizeof *b.known)};
    struct qn_worker_options options = {.memory = 1ull << 30, .cpu_seconds = 600, .file_size = 32ull << 30};
    struct qn_workers *workers;
    struct qn_digest digest = {.algorithm = QN_DIGEST_NONE};
    qn_auto_buf struct qn_buf manifest = {0};
    qn_auto_json json_t *document = json_object(), *out = json_object();
    qn_auto_derived struct qn_derived made = {0};
    uint64_t rounds;
    struct qn_err e;

    if (argc == 2 && strcmp(argv[1], "worker") == 0)
        return qn_worker_main();
    if (argc != 5)
        return 2;
    qn_auto_free char *name = qn_xasprintf("sha256:%s", argv[2]);
    qn_buf_init(&manifest, 4u << 20);
    qn_json_set_c(document, "profile", argv[3]);
    if (qn_num_u64(qn_str_c(argv[4]), 1, 1000, &rounds, &e) < 0 || qn_digest_parse(qn_str_c(name), &digest, &e) < 0 ||
        give_blob(&b, &(struct qn_descriptor){.digest = digest}, &manifest, &e) < 0 ||
        qn_workers_new(&options, 0, &workers, &e) < 0)
        die(&e);
    derive(&b, workers, document, qn_buf_view(&manifest), &made);
    for (uint64_t i = 0; i < rounds; i++) {
        qn_auto_derived struct qn_derived again = {0};
        double ours = cpu_ms(RUSAGE_SELF), theirs = cpu_ms(RUSAGE_CHILDREN);
        derive(&b, workers, document, qn_buf_view(&manifest), &again);
        push(out, "plan", b.plan);
        push(out, "verify", b.verify);
        push(out, "cpu", cpu_ms(RUSAGE_SELF) + cpu_ms(RUSAGE_CHILDREN) - ours - theirs);
        if (!qn_digest_eq(&again.digest, &made.digest))
            die(&(struct qn_err){.msg = "another result the second time"});
    }
    inside(&b, document, qn_buf_view(&manifest), &made, rounds, out);
    qn_workers_free(workers);
    free(b.known);
    json_dumpf(out, stdout, JSON_COMPACT);
    return 0;
}
