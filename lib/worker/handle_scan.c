/* SCAN: one layer, as it arrives. fds: blob, spill, facts. */
#include "handle_common.h"

#include "formats/inflate.h"
#include "image/scan.h"

#define CHUNK (64u << 10)

/* Reads until the first bytes tell the compression; they are the start of the chunk that is fed first. */
static int sniff(struct qn_child_input *in, char *chunk, size_t *n, struct qn_err *e)
{
    *n = 0;
    while (*n < QN_COMPRESSION_SNIFF) {
        size_t got;
        if (qn_child_input_read(in, chunk + *n, CHUNK - *n, &got, e) < 0)
            return -1;
        if (got == 0)
            break;
        *n += got;
    }
    return 0;
}

static int answer(const struct qn_scan_result *r, enum qn_compression compression, struct qn_buf *reply,
                  struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();
    char text[QN_DIGEST_TEXT];

    qn_json_set_int(o, "compression", compression);
    qn_json_set_int(o, "entries", (int64_t)r->entries);
    qn_json_set_int(o, "tar_size", (int64_t)r->tar_size);
    qn_json_set_int(o, "facts_size", (int64_t)r->facts_size);
    if (r->diff_id.algorithm != QN_DIGEST_NONE)
        qn_json_set_c(o, "diff_id", qn_digest_text(&r->diff_id, text));
    return qn_json_print(o, reply, e);
}

static int scan_all(struct qn_scan *scan, struct qn_child_input *in, char *chunk, size_t n, struct qn_err *e)
{
    while (n > 0) {
        if (qn_scan_feed(scan, chunk, n, e) < 0 || qn_child_input_read(in, chunk, CHUNK, &n, e) < 0)
            return -1;
    }
    return 0;
}

int qn_handle_scan(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                   struct qn_err *e)
{
    qn_auto_json json_t *request = NULL;
    qn_auto_scan struct qn_scan scan = {0};
    qn_auto_free char *chunk = qn_xcalloc(CHUNK, 1);
    struct qn_child_input in;
    struct qn_scan_options opt = {0};
    struct qn_scan_result result;
    size_t n;

    if (nfds != 3)
        return qn_fail(e, QN_E_MALFORMED, "scan: %zu files instead of 3", nfds);
    if (qn_json_parse(payload, 65536, &request, e) < 0 || qn_handle_limits(request, &opt.limits, e) < 0)
        return qn_err_wrap(e, "scan");
    qn_child_input_init(&in, child, fds[0]);
    opt.spill = fds[1];
    opt.facts = fds[2];
    opt.diff_id = json_is_true(json_object_get(request, "diff_id"));
    opt.contents = json_is_true(json_object_get(request, "contents"));
    if (sniff(&in, chunk, &n, e) < 0)
        return -1;
    opt.compression = qn_compression_detect(qn_str_n(chunk, n));
    if (qn_scan_init(&scan, &opt, e) < 0 || scan_all(&scan, &in, chunk, n, e) < 0 ||
        qn_scan_finish(&scan, &result, e) < 0)
        return -1;
    return answer(&result, opt.compression, reply, e);
}
