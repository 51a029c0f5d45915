/* PLAN: one image from the facts of its layers. fds: bundle of facts, file for the piece lists. */
#include "handle_common.h"

#include "base/fd.h"
#include "harden/emit.h"
#include "harden/explain.h"
#include "harden/report.h"
#include "harden/verify.h"

#define PIECES_MAX (256u << 20)

static int emit_layer(const struct qn_plan *p, uint32_t layer, int out, uint64_t *at, json_t *list, struct qn_err *e)
{
    qn_auto_pieces struct qn_pieces pieces = {0};
    struct qn_str encoding = {"", 0};
    bool touched;
    uint64_t entries;
    char text[QN_DIGEST_TEXT];
    json_t *o = json_object(), *extent = json_array();

    qn_json_push(list, o);
    qn_json_set(o, "pieces", extent);
    qn_pieces_init(&pieces, PIECES_MAX);
    if (qn_plan_emit(p, layer, &pieces, &touched, &entries, e) < 0 || qn_pieces_finish(&pieces, &encoding, e) < 0)
        return -1;
    qn_json_set_bool(o, "touched", touched);
    qn_json_set_int(o, "entries", (int64_t)entries);
    if (!touched)
        encoding.n = 0;
    struct qn_digest edits = qn_pieces_digest(encoding, NULL);
    qn_json_set_c(o, "edits", qn_digest_text(&edits, text));
    qn_json_push(extent, json_integer((json_int_t)*at));
    qn_json_push(extent, json_integer((json_int_t)encoding.n));
    if (qn_fd_pwrite(out, encoding.p, encoding.n, *at, e) < 0)
        return qn_err_wrap(e, "piece list");
    *at += encoding.n;
    return 0;
}

static int answer(const struct qn_plan *p, json_t *said, int out, struct qn_buf *reply, struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();
    qn_auto_buf struct qn_buf config = {0};
    json_t *layers = json_array();
    uint64_t at = 0;
    bool empty = qn_plan_empty(p);

    qn_json_set(o, "layers", layers);
    if (said)
        qn_json_set(o, "answer", json_incref(said));
    for (uint32_t i = 0; i < p->img->tree.layer_count; i++)
        if (emit_layer(p, i, out, &at, layers, e) < 0)
            return -1;
    for (size_t i = 0; i < json_array_size(layers); i++)
        empty = empty && !json_is_true(json_object_get(json_array_get(layers, i), "touched"));
    qn_json_set_bool(o, "empty", empty);
    qn_buf_init(&config, 64u << 20);
    if (qn_json_print(p->config, &config, e) < 0)
        return -1;
    qn_json_set_str(o, "config", qn_buf_view(&config));
    json_t *report = qn_report_plan(p, e);
    if (!report)
        return -1;
    qn_json_set(o, "report", report);
    return qn_json_print(o, reply, e);
}

static json_t *verify_alone(const struct qn_plan *p)
{
    struct qn_verify v = {.before = p->img, .after = p->img, .opt = p->opt, .alone = true};
    struct qn_verdict results[QN_CHECK_COUNT];
    json_t *o = json_object();

    qn_json_set_bool(o, "ok", qn_verify_all(&v, results));
    qn_json_set(o, "verification", qn_verify_json(results));
    return o;
}

/* The answer to what was asked along with the plan; NULL without an error when nothing was. */
static int answer_question(const struct qn_plan *p, const json_t *question, json_t **out, struct qn_err *e)
{
    struct qn_str what;

    if (qn_json_str_opt(question, "explain", &what, e) < 0)
        return -1;
    if (json_is_true(json_object_get(question, "verify")))
        *out = verify_alone(p);
    else if (what.n && !(*out = qn_explain(p, what, e)))
        return -1;
    return 0;
}

int qn_handle_plan(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                   struct qn_err *e)
{
    qn_auto_json json_t *request = NULL, *said = NULL;
    qn_auto_mapped struct qn_mapped bundle = {0};
    qn_auto_options struct qn_options opt = {0};
    qn_auto_handled struct qn_handled_image h = {0};
    qn_auto_plan struct qn_plan plan = {0};
    struct qn_limits limits;

    if (nfds != 2)
        return qn_fail(e, QN_E_MALFORMED, "plan: %zu files instead of 2", nfds);
    if (qn_json_parse(payload, 32u << 20, &request, e) < 0 || qn_handle_limits(request, &limits, e) < 0 ||
        qn_options_read(json_object_get(request, "policy"), &opt, e) < 0 ||
        qn_fd_map(fds[0], UINT32_MAX, &bundle, e) < 0)
        return qn_err_wrap(e, "plan");
    qn_child_note(child, "building the image tree");
    if (qn_handle_image(request, qn_str_n(bundle.p, bundle.n), &limits, &opt.keep, &h, e) < 0)
        return -1;
    qn_child_note(child, "running the rules");
    const json_t *question = json_object_get(request, "question");
    if (qn_plan_make(&h.image, &opt, &plan, e) < 0 || (question && answer_question(&plan, question, &said, e) < 0))
        return -1;
    return answer(&plan, said, fds[1], reply, e);
}
