/* COMPARE: two images side by side. fds: a bundle of facts each. */
#include "handle_common.h"

#include "base/fd.h"
#include "harden/compare.h"

int qn_handle_compare(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                      struct qn_err *e)
{
    static const char *const names[] = {"before", "after"};
    qn_auto_json json_t *request = NULL, *o = NULL;
    qn_auto_mapped struct qn_mapped first = {0}, second = {0};
    qn_auto_handled struct qn_handled_image before = {0}, after = {0};
    struct qn_limits limits;

    if (nfds != 2)
        return qn_fail(e, QN_E_MALFORMED, "compare: %zu files instead of 2", nfds);
    if (qn_json_parse(payload, 64u << 20, &request, e) < 0 || qn_handle_limits(request, &limits, e) < 0 ||
        qn_fd_map(fds[0], UINT32_MAX, &first, e) < 0 || qn_fd_map(fds[1], UINT32_MAX, &second, e) < 0)
        return qn_err_wrap(e, "compare");
    qn_child_note(child, "reading both images");
    if (qn_handle_image(json_object_get(request, names[0]), qn_str_n(first.p, first.n), &limits, NULL, &before, e) <
            0 ||
        qn_handle_image(json_object_get(request, names[1]), qn_str_n(second.p, second.n), &limits, NULL, &after, e) < 0)
        return -1;
    o = qn_compare_images(&before.image, &after.image);
    return qn_json_print(o, reply, e);
}
