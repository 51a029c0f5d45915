/* ELF files. */
#include "formats/elf.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;
    struct qn_elf_strings it = {0};
    struct qn_elf f;
    struct qn_str s;
    size_t at, total = 0;

    if (qn_elf_parse(text, &f, &e) < 0)
        return 0;
    for (at = 0; qn_elf_needed_next(&f, &at, &s);)
        total += s.n;
    for (at = 0; qn_elf_undefined_next(&f, &at, &s);)
        total += s.n;
    for (at = 0; qn_elf_dlopen_next(&f, &at, &s);)
        total += s.n;
    size_t texts = 0;
    while (qn_elf_string_next(&f, &it, 4, &s))
        texts += s.n;
    if (texts > size || f.interp.n > size)
        abort();
    (void)total;
    return 0;
}
