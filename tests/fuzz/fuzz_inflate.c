/* Decompression: the first byte says of what, and how it is cut. ISA-L and zlib must agree on every stream that both
 * accept, and a verdict may not depend on the cuts. */
#include "base/compiler.h"
#include "formats/digest.h"
#include "formats/inflate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_OUT (1u << 20)

static int to_hash(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    (void)e;
    if (n == 0 || n > 128u << 10)
        abort();
    qn_hash_update(ctx, p, n);
    return 0;
}

static int run(enum qn_compression c, bool zlib, struct qn_str in, size_t step, struct qn_digest *out)
{
    qn_auto_inflate struct qn_inflate z = {0};
    struct qn_hash h;
    struct qn_sink sink = {to_hash, &h};
    struct qn_err e;
    int r = 0;

    if (qn_inflate_init(&z, c, MAX_OUT, 0, &e) < 0)
        abort();
    if (zlib && qn_inflate_use_zlib(&z, &e) < 0)
        abort();
    qn_hash_init(&h, QN_SHA256);
    for (size_t i = 0; i < in.n && r == 0; i += step)
        r = qn_inflate_feed(&z, in.p + i, QN_MIN(step, in.n - i), &sink, &e);
    if (r == 0 && z.in != in.n)
        abort();
    if (r == 0)
        r = qn_inflate_finish(&z, &e);
    if (z.out > MAX_OUT || (r < 0 && (e.code == QN_OK || e.msg[0] == '\0')))
        abort();
    *out = qn_hash_final(&h);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_digest whole, cut, other;

    if (size == 0)
        return 0;
    enum qn_compression c = (enum qn_compression)(data[0] % 3);
    size_t step = (size_t)(data[0] / 3) + 1;
    struct qn_str in = qn_str_n(data + 1, size - 1);
    (void)qn_compression_detect(in);
    int r = run(c, false, in, in.n + 1, &whole);
    int r_cut = run(c, false, in, step, &cut);
    if (r != r_cut || (r == 0 && !qn_digest_eq(&whole, &cut)))
        abort();
    if (c == QN_GZIP && run(c, true, in, step, &other) == 0 && r == 0 && !qn_digest_eq(&whole, &other))
        abort();
    return 0;
}
