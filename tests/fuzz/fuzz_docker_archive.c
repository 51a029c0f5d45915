/* manifest.json of docker archives. The first byte chooses how the image is named. */
#include "upstream/layout_io.h"

#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"", "nginx", "nginx:latest", "@0", "@1", "@x", "a/b:c"};
    qn_auto_json json_t *root = NULL;
    struct qn_docker_entry entry;
    struct qn_err e;

    if (size == 0)
        return 0;
    if (qn_docker_archive_pick(qn_str_n(data + 1, size - 1), names[data[0] % QN_ARRAY_LEN(names)], &root, &entry, &e) <
        0)
        return 0;
    if (!root || !json_is_array(entry.layers) || json_array_size(entry.layers) > 127 || !entry.config.p)
        abort();
    return 0;
}
