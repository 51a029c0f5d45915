/* Words of shell text: they lie inside the text, in order, and none is empty. */
#include "image/tools.h"
#include "image/words.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_shell_words it = {.rest = qn_str_n(data, size)};
    const char *at = (const char *)data;
    struct qn_mentions m = {{0, 0}};
    struct qn_str word;

    while (qn_shell_word(&it, &word)) {
        if (word.n == 0 || word.p < at || word.p + word.n > (const char *)data + size)
            abort();
        at = word.p + word.n;
    }
    qn_mentions_text(qn_str_n(data, size), (unsigned)size % 8, &m);
    qn_mentions_string(qn_str_n(data, size), &m);
    qn_mentions_blob(qn_str_n(data, size), &m);
    return 0;
}
