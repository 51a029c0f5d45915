/* Settings from YAML text, for tests. */
#ifndef QN_TESTS_UNIT_SETTINGS_COMMON_H
#define QN_TESTS_UNIT_SETTINGS_COMMON_H

#include "daemon/bind.h"
#include "service/settings.h"
#include "unit.h"

static inline int settings_try(const char *yaml, struct qn_settings *out, struct qn_err *e)
{
    qn_auto_arena struct qn_arena arena = {0};
    struct qn_yaml *root;
    json_t *effective;

    qn_arena_init(&arena, 16u << 20);
    if (qn_yaml_parse("test.yaml", qn_str_c(yaml), &arena, &root, e) < 0 ||
        qn_config_bind("test.yaml", root, &effective, e) < 0)
        return -1;
    return qn_settings_read(effective, out, e);
}

static inline void settings_load(const char *yaml, struct qn_settings *out)
{
    struct qn_err e;
    qn_ok(settings_try(yaml, out, &e), e);
}

#define auto_settings QN_CLEANUP(qn_settings_fini) struct qn_settings

#endif
