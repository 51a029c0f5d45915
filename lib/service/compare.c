/* Two images side by side. */
#include "derive_int.h"

#include "base/clock.h"

#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX (32u << 20)

struct qn_derived_facts *qn_derive_facts(struct qn_derivation *d)
{
    struct qn_derived_facts *f = qn_new(struct qn_derived_facts);
    struct qn_str config = qn_buf_view(&d->config);

    f->bundle = d->bundle;
    d->bundle = -1;
    f->count = d->count;
    f->extent = qn_xcalloc(d->count, sizeof *f->extent);
    if (d->count)
        memcpy(f->extent, d->extent, d->count * sizeof *f->extent);
    f->config = qn_str_n(qn_xstrndup(config), config.n);
    return f;
}

void qn_derived_facts_free(struct qn_derived_facts *f)
{
    if (!f)
        return;
    if (f->bundle >= 0)
        close(f->bundle);
    free(f->extent);
    free((void *)(uintptr_t)f->config.p);
    free(f);
}

int qn_compare(const struct qn_derive_env *env, const struct qn_derived_facts *before,
               const struct qn_derived_facts *after, json_t **out, struct qn_err *e)
{
    qn_auto_worker struct qn_worker *w = NULL;
    qn_auto_buf struct qn_buf reply = {0};
    const int bundles[2] = {before->bundle, after->bundle};
    const struct qn_image_ref images[2] = {{before->config, before->extent, before->count},
                                           {after->config, after->extent, after->count}};

    qn_buf_init(&reply, ANSWER_MAX);
    if (qn_workers_take(env->workers, &w, e) < 0 ||
        qn_worker_request_compare(w, bundles, images, &env->limits, e) < 0 ||
        qn_worker_wait(w, env->deadline_ms, NULL, &reply, e) < 0 ||
        qn_json_parse(qn_buf_view(&reply), ANSWER_MAX, out, e) < 0)
        return qn_err_wrap(e, "compare");
    return 0;
}
