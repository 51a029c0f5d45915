/* The installed database of apk and its world file. */
#include "formats/apk.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool some(void *ctx, const struct qn_apk_stanza *s, struct qn_str path)
{
    (void)ctx;
    return path.n % 2 == 0 && s->name.n > 0;
}

static bool every(void *ctx, struct qn_str name)
{
    (void)ctx;
    return name.n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;
    const struct qn_apk_keep keep_all = {0}, keep_some = {.file = some, .dir = some};
    struct qn_str rest = text;
    struct qn_apk_stanza s;
    struct qn_apk_file f;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, size * 2 + 64);
    if (qn_apk_filter(text, &keep_all, &b, &e) == 0 && !qn_str_eq(qn_buf_view(&b), text))
        abort();
    qn_buf_clear(&b);
    if (qn_apk_filter(text, &keep_some, &b, &e) == 0 && b.n > size)
        abort();
    while (qn_apk_next(&rest, &s, &e) > 0) {
        struct qn_apk_files it = {.rest = s.body};
        while (qn_apk_files_next(&it, &f, &e) > 0)
            if (f.path.n > size + 1)
                abort();
    }
    qn_buf_clear(&b);
    if (qn_apk_world_filter(text, every, NULL, &b, &e) < 0 || !qn_str_eq(qn_buf_view(&b), text))
        abort();
    return 0;
}
