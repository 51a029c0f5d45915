/* What the handlers for images share, inside the worker. */
#ifndef QN_WORKER_HANDLE_COMMON_H
#define QN_WORKER_HANDLE_COMMON_H

#include "child.h"

#include "harden/rule.h"

/* The limits of a request. */
int qn_handle_limits(const json_t *request, struct qn_limits *out, struct qn_err *e) QN_MUST_CHECK;

/* An image decoded from a mapped bundle: `object` has "facts" (extents) and "config". Free with the fini. */
struct qn_handled_image {
    struct qn_arena arena;
    struct qn_layer_index *layer;
    size_t count;
    struct qn_image image;
};
int qn_handle_image(const json_t *object, struct qn_str bundle, const struct qn_limits *limits,
                    const struct qn_keep *keep, struct qn_handled_image *out, struct qn_err *e) QN_MUST_CHECK;
void qn_handled_image_fini(struct qn_handled_image *h);
#define qn_auto_handled QN_CLEANUP(qn_handled_image_fini)

#endif
