#include "derive_int.h"

#include "base/clock.h"
#include "base/fd.h"
#include "formats/deflate.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

void qn_engine_text(char out[256])
{
    struct qn_err e;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 200);
    if (qn_codec_engine(&b, &e) < 0)
        qn_buf_clear(&b);
    snprintf(out, 256, "%s+%s,sqlite-%s", QN_VERSION, b.p ? b.p : "", sqlite3_libversion());
}

int qn_derive_tmp(struct qn_derivation *d, struct qn_err *e)
{
    return qn_fd_tmpfile(d->env->tmp, e);
}

static int stopped(const struct qn_derivation *d, struct qn_err *e)
{
    if (d->env->cancel && atomic_load(d->env->cancel))
        return qn_fail(e, QN_E_CANCELLED, "cancelled");
    if (d->env->deadline_ms >= 0 && qn_time_mono_ms() > d->env->deadline_ms)
        return qn_fail(e, QN_E_TIMEOUT, "took longer than limits.job_time");
    return 0;
}

int qn_derive_wait(struct qn_derivation *d, struct qn_worker *w, struct qn_buf *reply, struct qn_err *e)
{
    for (;;) {
        if (stopped(d, e) < 0)
            return -1;
        /* Short waits, so that a cancelled job ends soon. */
        if (qn_worker_wait(w, qn_time_mono_ms() + 500, NULL, reply, e) == 0)
            return 0;
        if (e->code != QN_E_TIMEOUT)
            return -1;
    }
}

int qn_derive_at_layer(const struct qn_derivation *d, size_t i, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];
    return qn_err_wrap(e, "layer %zu %s", i, qn_digest_text(&d->layer[i].descriptor->digest, text));
}

/* --- layers in parallel ------------------------------------------------------------------------------------------- */
struct team {
    struct qn_derivation *d;
    int (*work)(struct qn_derivation *d, size_t i, struct qn_err *e);
};

static void *member(void *arg)
{
    struct team *team = arg;
    struct qn_derivation *d = team->d;

    for (;;) {
        struct qn_err e;
        pthread_mutex_lock(&d->lock);
        size_t i = d->failed ? d->count : d->next++;
        pthread_mutex_unlock(&d->lock);
        if (i >= d->count)
            return NULL;
        if (team->work(d, i, &e) == 0)
            continue;
        pthread_mutex_lock(&d->lock);
        if (!d->failed)
            d->err = e;
        d->failed = true;
        pthread_mutex_unlock(&d->lock);
        return NULL;
    }
}

int qn_derive_each(struct qn_derivation *d, const char *stage,
                   int (*work)(struct qn_derivation *d, size_t i, struct qn_err *e), struct qn_err *e)
{
    struct team team = {d, work};
    pthread_t thread[16];
    unsigned n = (unsigned)QN_MIN(QN_MIN((size_t)d->env->parallel, d->count), QN_ARRAY_LEN(thread)), started = 0;

    d->next = 0;
    d->failed = false;
    d->stage = stage;
    /* This thread is one of the team. */
    while (started + 1 < n && pthread_create(&thread[started], NULL, member, &team) == 0)
        started++;
    member(&team);
    for (unsigned i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    if (!d->failed)
        return 0;
    *e = d->err;
    return -1;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */
static void derivation_fini(struct qn_derivation *d)
{
    for (size_t i = 0; i < d->count; i++) {
        qn_close_cleanup(&d->layer[i].blob);
        qn_close_cleanup(&d->layer[i].spill);
        qn_close_cleanup(&d->layer[i].facts);
        qn_close_cleanup(&d->layer[i].made_facts);
    }
    free(d->layer);
    free(d->extent);
    qn_close_cleanup(&d->bundle);
    qn_close_cleanup(&d->pieces);
    qn_buf_fini(&d->config);
    qn_buf_fini(&d->new_config);
    json_decref(d->plan);
    json_decref(d->document);
    json_decref(d->verification);
    json_decref(d->after);
    qn_manifest_fini(&d->manifest);
    pthread_mutex_destroy(&d->lock);
}

static int begin(struct qn_derivation *d, struct qn_str media_type, struct qn_err *e)
{
    if (qn_manifest_parse(d->bytes, media_type, &d->env->limits, &d->manifest, e) < 0)
        return -1;
    if (!qn_manifest_is_image(&d->manifest))
        return qn_fail(e, QN_E_UNSUPPORTED, "not an image manifest");
    for (size_t i = 0; i < d->manifest.layer_count; i++) {
        const struct qn_media_type *t = qn_media_type_find(d->manifest.layers[i].media_type);
        if (!t || (t->kind != QN_MEDIA_LAYER && t->kind != QN_MEDIA_FOREIGN))
            return qn_fail(e, QN_E_UNSUPPORTED, "layer %zu has media type \"%s\"", i,
                           QN_Q(d->manifest.layers[i].media_type));
        d->total += d->manifest.layers[i].size;
    }
    d->count = d->manifest.layer_count;
    d->layer = qn_xcalloc(d->count, sizeof *d->layer);
    d->extent = qn_xcalloc(2 * d->count, sizeof *d->extent);
    for (size_t i = 0; i < d->count; i++) {
        struct qn_work_layer *l = &d->layer[i];
        l->descriptor = &d->manifest.layers[i];
        l->blob = l->spill = l->facts = l->made_facts = -1;
    }
    d->digest = qn_digest_of(d->bytes);
    char text[QN_DIGEST_TEXT];
    return d->source->blob(d->source->ctx, &d->manifest.config, &d->config, e) < 0
               ? qn_err_wrap(e, "config %s", qn_digest_text(&d->manifest.config.digest, text))
               : 0;
}

static void forget_results(struct qn_derivation *d)
{
    for (size_t i = 0; i < d->count; i++) {
        qn_close_cleanup(&d->layer[i].made_facts);
        d->layer[i].state = QN_LAYER_UNCHANGED;
    }
    d->rewritten = 0;
    qn_close_cleanup(&d->pieces);
    qn_buf_clear(&d->new_config);
    json_decref(d->plan);
    json_decref(d->verification);
    json_decref(d->after);
    d->plan = d->verification = d->after = NULL;
}

/* Plan, rewrite and verify once, with the policy document as it is now. */
static int attempt(struct qn_derivation *d, bool *empty, struct qn_err *e)
{
    forget_results(d);
    if (qn_derive_plan(d, e) < 0)
        return -1;
    *empty = json_is_true(json_object_get(d->plan, "empty"));
    if (*empty) {
        d->verified = true;
        return 0;
    }
    if (qn_derive_each(d, "rewrite", qn_derive_rewrite, e) < 0 || qn_derive_config(d, e) < 0)
        return -1;
    return qn_derive_verify(d, e);
}

/* The next weaker document: a profile lower; false when there is none. */
static bool weaken(struct qn_derivation *d)
{
    const char *profile = json_string_value(json_object_get(d->document, "profile"));

    if (!profile || strcmp(profile, "standard") == 0)
        qn_json_set_c(d->document, "profile", "safe");
    else if (strcmp(profile, "strict") == 0)
        qn_json_set_c(d->document, "profile", "standard");
    else
        return false;
    return true;
}

static const char *first_failure(const struct qn_derivation *d)
{
    size_t i;
    json_t *row;

    json_array_foreach (d->verification, i, row) {
        if (!json_is_true(json_object_get(row, "ok")))
            return json_string_value(json_object_get(row, "detail"));
    }
    return "the verifier refused it";
}

/* Nothing of the last plan came true: its report must not say so. */
static void given_up(json_t *report, const char *why)
{
    json_t *row;
    size_t i;

    qn_json_set_c(json_object_get(report, "policy"), "achieved", "none");
    json_array_foreach (json_object_get(report, "rules"), i, row) {
        const char *state = json_string_value(json_object_get(row, "state"));
        if (!state || strcmp(state, "applied") != 0)
            continue;
        qn_json_set_c(row, "state", "backed-off");
        qn_json_set_c(row, "because", why);
        qn_json_set(row, "backed_off", json_incref(json_object_get(row, "changes")));
        qn_json_set(row, "changes", json_array());
    }
    json_array_foreach (json_object_get(report, "packages"), i, row) {
        qn_json_set_c(row, "state", "kept");
    }
    json_array_foreach (json_object_get(report, "findings"), i, row) {
        qn_json_set_bool(row, "fixed", false);
    }
}

static int run(struct qn_derivation *d, struct qn_derived *out, struct qn_err *e)
{
    const char *doubt = json_string_value(json_object_get(d->document, "on_doubt"));
    bool empty, backed_off = false;
    char why[256] = "";

    if (qn_derive_each(d, "fetch", qn_derive_scan, e) < 0)
        return -1;
    if (d->env->plan_only) {
        if (qn_derive_plan(d, e) < 0 || qn_derive_unchanged(d, out, e) < 0)
            return -1;
        out->answer = json_incref(json_object_get(d->plan, "answer"));
        if (d->env->contents)
            out->facts = qn_derive_facts(d);
        return 0;
    }
    for (;;) {
        if (attempt(d, &empty, e) < 0)
            return -1;
        if (d->verified)
            break;
        if (!backed_off)
            snprintf(why, sizeof why, "%s", first_failure(d));
        backed_off = true;
        if (doubt && strcmp(doubt, "deny") == 0)
            return qn_fail(e, QN_E_VERIFY, "the result does not hold: %s", why);
        if ((doubt && strcmp(doubt, "original") == 0) || !weaken(d)) {
            empty = true;
            break;
        }
    }
    out->backed_off = backed_off;
    if (backed_off) {
        json_t *report = json_object_get(d->plan, "report"), *policy = json_object_get(report, "policy");
        const char *asked = json_string_value(json_object_get(d->policy->document, "profile"));
        qn_json_set_c(policy, "profile", asked ? asked : "standard");
        qn_json_set_c(policy, "because", why);
        if (!d->verified)
            given_up(report, why);
    }
    return empty ? qn_derive_unchanged(d, out, e) : qn_derive_assemble(d, out, e);
}

int qn_derive(const struct qn_derive_env *env, const struct qn_derive_source *source,
              const struct qn_derive_policy *policy, struct qn_str bytes, struct qn_str media_type,
              struct qn_derived *out, struct qn_err *e)
{
    struct qn_derivation d = {
        .env = env, .source = source, .policy = policy, .bytes = bytes, .bundle = -1, .pieces = -1};
    struct qn_derived result = {0};

    pthread_mutex_init(&d.lock, NULL);
    qn_buf_init(&d.config, env->limits.manifest_size);
    qn_buf_init(&d.new_config, env->limits.manifest_size * 2);
    d.document = json_deep_copy(policy->document);
    int r = d.document ? begin(&d, media_type, e) : qn_fail(e, QN_E_NOMEM, "policy");
    if (r == 0)
        r = run(&d, &result, e);
    derivation_fini(&d);
    if (r < 0) {
        qn_derived_fini(&result);
        return -1;
    }
    *out = result;
    return 0;
}

void qn_derived_fini(struct qn_derived *d)
{
    free(d->manifest);
    free(d->config);
    free(d->new_layers);
    json_decref(d->report);
    json_decref(d->answer);
    qn_derived_facts_free(d->facts);
    *d = (struct qn_derived){0};
}
