/* ld.so.cache: what is filtered is a cache again, with the entries that were kept. */
#include "formats/ldcache.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t asked, kept;
    bool all;
    uint64_t sum;
};

static bool some(void *ctx, struct qn_str path)
{
    struct seen *s = ctx;
    bool keep = s->all || (path.n + s->asked) % 3 != 0;

    s->asked++;
    s->kept += keep;
    for (size_t i = 0; keep && i < path.n; i++)
        s->sum = s->sum * 31 + (unsigned char)path.p[i];
    return keep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen first = {0}, second = {.all = true};
    qn_auto_buf struct qn_buf b = {0}, none = {0};
    struct qn_err e;
    size_t dropped;

    qn_buf_init(&b, size * 64 + 4096);
    if (qn_ldcache_filter(qn_str_n(data, size), some, &first, &b, &dropped, &e) < 0) {
        if (b.n != 0)
            abort();
        return 0;
    }
    if (dropped != first.asked - first.kept || (dropped == 0 && b.n != 0))
        abort();
    if (dropped == 0)
        return 0;
    if (qn_ldcache_filter(qn_buf_view(&b), some, &second, &none, &dropped, &e) < 0 || dropped != 0 ||
        second.asked != first.kept || second.sum != first.sum)
        abort();
    return 0;
}
