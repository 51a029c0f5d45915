/* VERIFY: source and result side by side. fds: bundle of facts. */
#include "handle_common.h"

#include "base/fd.h"
#include "harden/figures.h"
#include "harden/verify.h"

int qn_handle_verify(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                     struct qn_err *e)
{
    qn_auto_json json_t *request = NULL, *o = json_object();
    qn_auto_mapped struct qn_mapped bundle = {0};
    qn_auto_options struct qn_options opt = {0};
    qn_auto_handled struct qn_handled_image before = {0}, after = {0};
    struct qn_verdict results[QN_CHECK_COUNT];
    struct qn_limits limits;
    struct qn_figures figures;

    if (nfds != 1)
        return qn_fail(e, QN_E_MALFORMED, "verify: %zu files instead of 1", nfds);
    if (qn_json_parse(payload, 64u << 20, &request, e) < 0 || qn_handle_limits(request, &limits, e) < 0 ||
        qn_options_read(json_object_get(request, "policy"), &opt, e) < 0 ||
        qn_fd_map(fds[0], UINT32_MAX, &bundle, e) < 0)
        return qn_err_wrap(e, "verify");
    struct qn_str bytes = qn_str_n(bundle.p, bundle.n);
    qn_child_note(child, "reading source and result");
    if (qn_handle_image(json_object_get(request, "before"), bytes, &limits, &opt.keep, &before, e) < 0 ||
        qn_handle_image(json_object_get(request, "after"), bytes, &limits, &opt.keep, &after, e) < 0)
        return -1;
    struct qn_verify v = {.before = &before.image, .after = &after.image, .opt = &opt};
    qn_child_note(child, "checking the result");
    qn_json_set_bool(o, "ok", qn_verify_all(&v, results));
    qn_json_set(o, "verification", qn_verify_json(results));
    qn_figures_count(&after.image, &figures);
    qn_json_set(o, "after", qn_figures_json(&figures, 0));
    return qn_json_print(o, reply, e);
}
