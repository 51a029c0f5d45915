#include "cli.h"
#include "bind.h"

#include "base/fd.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name, *arguments;
} table[] = {
#define X(name, arguments, summary) {#name, arguments},
#include "commands.def"
#undef X
};

const char *qn_cli_arguments(const char *command)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(table); i++) {
        const char *a = table[i].name, *b = command;
        while (*a && *b && *b == (*a == '_' ? '-' : *a)) {
            a++;
            b++;
        }
        if (*a == *b)
            return table[i].arguments;
    }
    return "";
}

int qn_cli_error(const struct qn_err *err)
{
    fprintf(stderr, "quench: %s\n", err->msg);
    return qn_code_info(err->code)->exit_status;
}

int qn_cli_usage(const char *command, const char *fmt, ...)
{
    va_list ap;

    fputs("quench: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: quench %s %s\n", command, qn_cli_arguments(command));
    return 2;
}

int qn_cli_effective(const char *path, json_t **out, struct qn_err *e)
{
    qn_auto_arena struct qn_arena arena = {0};
    qn_auto_buf struct qn_buf text = {0};
    struct qn_yaml *root;
    bool implied = !path;

    qn_arena_init(&arena, 16u << 20);
    qn_buf_init(&text, 1u << 20);
    if (implied)
        path = QN_DEFAULT_CONFIG;
    if ((!implied || access(path, F_OK) == 0) && qn_file_read(path, &text, e) < 0) {
        e->code = QN_E_CONFIG;
        return -1;
    }
    if (qn_yaml_parse(path, qn_buf_view(&text), &arena, &root, e) < 0)
        return -1;
    return qn_config_bind(path, root, out, e);
}

int qn_cli_config(const char *path, struct qn_settings *out, struct qn_err *e)
{
    json_t *effective;

    if (qn_cli_effective(path, &effective, e) < 0)
        return -1;
    if (qn_settings_read(effective, out, e) < 0)
        return qn_err_wrap(e, "%s", path ? path : QN_DEFAULT_CONFIG);
    return 0;
}
