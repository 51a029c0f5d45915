/* The configuration file: what is accepted prints, and what is printed means the same. */
#include "daemon/bind.h"
#include "service/settings.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_text(struct qn_str text, json_t **out)
{
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_yaml *root;
    struct qn_err e;

    qn_arena_init(&arena, 64u << 20);
    if (qn_yaml_parse("fuzz", text, &arena, &root, &e) < 0)
        return -1;
    return qn_config_bind("fuzz", root, out, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_auto_json json_t *j = NULL, *again = NULL;
    qn_auto_buf struct qn_buf b = {.max = 4u << 20};
    struct qn_settings settings;
    struct qn_err e;

    /* Secrets are printed as asterisks, and files of secrets are not for a fuzzer to read. */
    if (qn_str_find(qn_str_n(data, size), QN_STR("file:")) >= 0 || read_text(qn_str_n(data, size), &j) < 0)
        return 0;
    if (qn_config_print(j, &b, &e) < 0)
        abort();
    if (qn_str_find(qn_buf_view(&b), QN_STR("\"***\"")) < 0 &&
        (read_text(qn_buf_view(&b), &again) < 0 || !json_equal(j, again)))
        abort();
    if (qn_settings_read(json_incref(j), &settings, &e) == 0)
        qn_settings_fini(&settings);
    return 0;
}
