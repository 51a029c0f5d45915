/* Compiled and packed code: the first byte picks what it is taken for. What is noted are names. */
#include "image/packed.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"app/a.jar", "app/A.class", "app/a.pyc", "app/a.dll", "app/a.phar"};
    struct qn_arena arena;
    struct qn_text_facts out = {0};
    struct qn_mentions m = {{0, 0}};
    struct qn_err e;

    if (size == 0)
        return 0;
    qn_arena_init(&arena, 4u << 20);
    struct qn_str path = qn_str_c(paths[data[0] % QN_ARRAY_LEN(paths)]);
    (void)qn_packed(path, qn_str_n(data + 1, size - 1));
    if (qn_packed_read(path, qn_str_n(data + 1, size - 1), &arena, &out, &m, &e) == 0)
        for (uint32_t i = 0; i < out.hint_count; i++)
            if (out.hint[i].text.n == 0 || out.hint[i].text.n > 255)
                abort();
    qn_arena_fini(&arena);
    return 0;
}
