#include "handle_image.h"

static json_t *limits_json(const struct qn_limits *l)
{
    json_t *o = json_object();
    qn_json_set_int(o, "image_size", (int64_t)l->image_size);
    qn_json_set_int(o, "layer_ratio", (int64_t)l->layer_ratio);
    qn_json_set_int(o, "layer_entries", (int64_t)l->layer_entries);
    qn_json_set_int(o, "manifest_size", (int64_t)l->manifest_size);
    return o;
}

static json_t *extents_json(const struct qn_extent *x, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *pair = json_array();
        qn_json_push(pair, json_integer((json_int_t)x[i].off));
        qn_json_push(pair, json_integer((json_int_t)x[i].len));
        qn_json_push(list, pair);
    }
    return list;
}

static int send(struct qn_worker *w, enum qn_message m, const json_t *payload, const int *fds, size_t n,
                struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 32u << 20);
    if (qn_json_print(payload, &b, e) < 0)
        return -1;
    return qn_worker_request(w, m, qn_buf_view(&b), fds, n, e);
}

int qn_worker_request_scan(struct qn_worker *w, int layer, int spill, int facts, const struct qn_limits *limits,
                           unsigned what, struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();
    const int fds[] = {layer, spill, facts};

    qn_json_set(o, "limits", limits_json(limits));
    qn_json_set_bool(o, "diff_id", what & QN_SCAN_DIFF_ID);
    qn_json_set_bool(o, "contents", what & QN_SCAN_CONTENTS);
    return send(w, QN_M_SCAN, o, fds, QN_ARRAY_LEN(fds), e);
}

int qn_scan_reply_read(struct qn_str reply, struct qn_scan_reply *out, struct qn_err *e)
{
    qn_auto_json json_t *o = NULL;
    struct qn_scan_reply r = {0};
    int64_t compression, entries, tar_size, facts_size;
    struct qn_str diff_id;

    if (qn_json_parse(reply, 65536, &o, e) < 0 ||
        qn_json_int(o, "compression", QN_PLAIN, QN_ZSTD, &compression, e) < 0 ||
        qn_json_int(o, "entries", 0, INT64_MAX, &entries, e) < 0 ||
        qn_json_int(o, "tar_size", 0, INT64_MAX, &tar_size, e) < 0 ||
        qn_json_int(o, "facts_size", 0, INT64_MAX, &facts_size, e) < 0 ||
        qn_json_str_opt(o, "diff_id", &diff_id, e) < 0)
        return qn_err_wrap(e, "answer of a scan");
    r.compression = (enum qn_compression)compression;
    r.entries = (uint64_t)entries;
    r.tar_size = (uint64_t)tar_size;
    r.facts_size = (uint64_t)facts_size;
    if (diff_id.n && qn_digest_parse(diff_id, &r.diff_id, e) < 0)
        return qn_err_wrap(e, "answer of a scan");
    *out = r;
    return 0;
}

int qn_worker_request_plan(struct qn_worker *w, int bundle, const struct qn_extent *layers, size_t count,
                           struct qn_str config, const json_t *policy, const json_t *question, int pieces,
                           const struct qn_limits *limits, struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();
    const int fds[] = {bundle, pieces};

    qn_json_set(o, "limits", limits_json(limits));
    qn_json_set(o, "policy", json_deep_copy(policy));
    qn_json_set(o, "facts", extents_json(layers, count));
    qn_json_set_str(o, "config", config);
    if (question)
        qn_json_set(o, "question", json_deep_copy(question));
    return send(w, QN_M_PLAN, o, fds, QN_ARRAY_LEN(fds), e);
}

static json_t *image_json(const struct qn_image_ref *r)
{
    json_t *o = json_object();
    qn_json_set(o, "facts", extents_json(r->layers, r->count));
    qn_json_set_str(o, "config", r->config);
    return o;
}

int qn_worker_request_verify(struct qn_worker *w, int bundle, const struct qn_image_ref *before,
                             const struct qn_image_ref *after, const json_t *policy, const struct qn_limits *limits,
                             struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();
    const int fds[] = {bundle};

    qn_json_set(o, "limits", limits_json(limits));
    qn_json_set(o, "policy", json_deep_copy(policy));
    qn_json_set(o, "before", image_json(before));
    qn_json_set(o, "after", image_json(after));
    return send(w, QN_M_VERIFY, o, fds, QN_ARRAY_LEN(fds), e);
}

int qn_worker_request_compare(struct qn_worker *w, const int bundle[2], const struct qn_image_ref image[2],
                              const struct qn_limits *limits, struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();

    qn_json_set(o, "limits", limits_json(limits));
    qn_json_set(o, "before", image_json(&image[0]));
    qn_json_set(o, "after", image_json(&image[1]));
    return send(w, QN_M_COMPARE, o, bundle, 2, e);
}
