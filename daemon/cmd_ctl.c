/* quench ctl: the admin API from a shell. */
#include "cli.h"
#include "ctl.h"
#include "present.h"

#include "base/mem.h"

#include <stdlib.h>

static const struct command {
    const char *words, *arguments, *options, *method, *path, *query, *body, *show, *summary;
} commands[] = {
#define X(words, arguments, options, method, path, query, body, show, summary)                                         \
    {words, arguments, options, method, path, query, body, show, summary},
#include "ctl.def"
#undef X
};

static const struct option_row {
    const char *id, *option, *argument, *summary;
} rows[] = {
#define X(id, option, argument, summary) {#id, option, argument, summary},
#include "ctl_options.def"
#undef X
};

#define ARGUMENTS_MAX 4

struct invocation {
    const struct command *command;
    const char *arg[ARGUMENTS_MAX]; /* from 1 */
    size_t args;
    json_t *options; /* id -> text, or for rules an object */
    const char *url, *token_file, *config;
    bool json;
};

/* --- help --------------------------------------------------------------------------------------------------------- */
static bool takes(const struct command *c, const char *id)
{
    struct qn_str rest = qn_str_c(c->options), word;

    while (qn_str_word(&rest, &word))
        if (qn_str_eq_c(word, id))
            return true;
    return false;
}

static int help(void)
{
    puts("usage: quench ctl [-c FILE] [--url URL] [--token-file FILE] [--json] COMMAND [ARGUMENT...] [OPTION...]\n");
    for (size_t i = 0; i < QN_ARRAY_LEN(commands); i++)
        printf("  %-14s %-14s %s\n", commands[i].words, commands[i].arguments, commands[i].summary);
    puts("\nThe address is --url, $QUENCH_URL, or the unix socket of the configuration; the token is in --token-file "
         "or\n"
         "$QUENCH_TOKEN (the unix socket needs none). `quench ctl COMMAND --help` tells a command's options.\n\n"
         "exit status: 0 done, 1 failed, 2 usage, 3 refused by policy or by the token's role");
    return 0;
}

static int help_command(const struct command *c)
{
    printf("usage: quench ctl %s %s%s\n\n%s\n", c->words, c->arguments, c->options[0] ? " [OPTION...]" : "",
           c->summary);
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++)
        if (takes(c, rows[i].id)) {
            qn_auto_free char *left =
                qn_xasprintf("--%s%s%s", rows[i].option, rows[i].argument[0] ? " " : "", rows[i].argument);
            printf("  %-22s %s\n", left, rows[i].summary);
        }
    puts("  --json                 the daemon's answer as it is");
    return 0;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */
/* The command of one or two words at argv; how many they were. */
static const struct command *find(int argc, char **argv, int *used)
{
    const struct command *found = NULL;

    for (size_t i = 0; i < QN_ARRAY_LEN(commands); i++) {
        const char *words = commands[i].words, *blank = strchr(words, ' ');
        size_t n = blank ? (size_t)(blank - words) : strlen(words);
        if (argc < 1 || strlen(argv[0]) != n || strncmp(argv[0], words, n) != 0)
            continue;
        if (blank && argc > 1 && strcmp(argv[1], blank + 1) == 0) {
            *used = 2;
            return &commands[i];
        }
        if (!blank) {
            *used = 1;
            found = &commands[i];
        }
    }
    return found;
}

/* "NAME=STATE" into the object of rules. */
static int add_rule(json_t *options, const char *value)
{
    const char *eq = strchr(value, '=');
    json_t *rules = json_object_get(options, "rules");

    if (!eq || eq == value)
        return -1;
    if (!rules) {
        qn_json_set(options, "rules", json_object());
        rules = json_object_get(options, "rules");
    }
    qn_auto_free char *name = qn_xstrndup(qn_str_n(value, (size_t)(eq - value)));
    qn_json_set_c(rules, name, eq + 1);
    return 0;
}

/* One option of the command at argv[0]; how many words it took, or 0: none of its. */
static int take_option(struct invocation *v, int argc, char **argv)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].option);
        if (!takes(v->command, rows[i].id) || strncmp(argv[0] + 2, rows[i].option, n) != 0 ||
            (argv[0][n + 2] != '\0' && argv[0][n + 2] != '='))
            continue;
        bool inside = argv[0][n + 2] == '=';
        if (!rows[i].argument[0]) {
            qn_json_set_c(v->options, rows[i].id, "true");
            return inside ? 0 : 1;
        }
        if (!inside && argc < 2)
            return 0;
        const char *value = inside ? argv[0] + n + 3 : argv[1];
        if (strcmp(rows[i].id, "rules") == 0) {
            if (add_rule(v->options, value) < 0)
                return 0;
        } else {
            qn_json_set_c(v->options, rows[i].id, value);
        }
        return inside ? 1 : 2;
    }
    return 0;
}

static const struct {
    const char *option;
    size_t place;
} globals[] = {{"--url", offsetof(struct invocation, url)},
               {"--token-file", offsetof(struct invocation, token_file)},
               {"--config", offsetof(struct invocation, config)},
               {"-c", offsetof(struct invocation, config)}};

static int take_global(struct invocation *v, int argc, char **argv)
{
    if (strcmp(argv[0], "--json") == 0) {
        v->json = true;
        return 1;
    }
    for (size_t i = 0; i < QN_ARRAY_LEN(globals); i++)
        if (strcmp(argv[0], globals[i].option) == 0 && argc > 1) {
            *(const char **)(void *)((char *)v + globals[i].place) = argv[1];
            return 2;
        }
    return 0;
}

static size_t wanted(const char *arguments, bool all)
{
    struct qn_str rest = qn_str_c(arguments), word;
    size_t n = 0;

    while (qn_str_word(&rest, &word))
        n += all || !qn_str_starts(word, QN_STR("["));
    return n;
}

/* The rest of the line; -1 to go on, or an exit status. */
static int parse(struct invocation *v, int argc, char **argv)
{
    for (int i = 0; i < argc;) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return v->command ? help_command(v->command) : help();
        int used = argv[i][0] == '-' ? take_global(v, argc - i, argv + i) : 0;
        if (used == 0 && !v->command && argv[i][0] != '-') {
            v->command = find(argc - i, argv + i, &used);
            if (!v->command)
                return qn_cli_usage("ctl", "there is no command \"%s\"; try quench ctl --help",
                                    QN_Q(qn_str_c(argv[i])));
        } else if (used == 0 && v->command && strncmp(argv[i], "--", 2) == 0) {
            used = take_option(v, argc - i, argv + i);
        } else if (used == 0 && v->command && argv[i][0] != '-' && v->args + 1 < ARGUMENTS_MAX) {
            v->arg[++v->args] = argv[i];
            used = 1;
        }
        if (used == 0)
            return qn_cli_usage("ctl", "\"%s\": no such option here, or it needs another argument",
                                QN_Q(qn_str_c(argv[i])));
        i += used;
    }
    if (!v->command)
        return help() + 2;
    if (v->args < wanted(v->command->arguments, false) || v->args > wanted(v->command->arguments, true))
        return qn_cli_usage("ctl", "%s needs %s", v->command->words,
                            v->command->arguments[0] ? v->command->arguments : "no arguments");
    return -1;
}

/* --- the request -------------------------------------------------------------------------------------------------- */
/* The value that "NAME", "NAME={N}" or "NAME=:JSON" stands for; NULL when it is not given. The caller owns it. */
static json_t *value_of(const struct invocation *v, struct qn_str spec, struct qn_str *name)
{
    ptrdiff_t eq = qn_str_chr(spec, '=');
    struct qn_err e;
    json_t *literal;

    *name = eq < 0 ? spec : qn_str_head(spec, (size_t)eq);
    if (eq < 0) {
        qn_auto_free char *key = qn_xstrndup(*name);
        return json_incref(json_object_get(v->options, key));
    }
    struct qn_str value = qn_str_from(spec, (size_t)eq + 1);
    if (value.p[0] == ':') {
        /* A document is an object or a list: a word in a list of one. */
        qn_auto_free char *text = qn_xasprintf("[%.*s]", QN_FMT(qn_str_from(value, 1)));
        if (qn_json_parse(qn_str_c(text), 256, &literal, &e) < 0)
            return NULL;
        json_t *word = json_incref(json_array_get(literal, 0));
        json_decref(literal);
        return word;
    }
    size_t n = (size_t)(value.p[1] - '0');
    return n <= v->args && v->arg[n] ? qn_json_string_c(v->arg[n]) : NULL;
}

static char *path_of(const struct invocation *v)
{
    struct qn_str rest = qn_str_c(v->command->query), spec, name;
    const char *hole = strchr(v->command->path, '{');
    qn_auto_free char *arg = qn_ctl_escape(hole ? v->arg[hole[1] - '0'] : "");
    char *path = hole ? qn_xasprintf("/api/v1%.*s%s%s", (int)(hole - v->command->path), v->command->path, arg, hole + 3)
                      : qn_xasprintf("/api/v1%s", v->command->path);
    char separator = '?';

    while (qn_str_word(&rest, &spec)) {
        qn_auto_json json_t *value = value_of(v, spec, &name);
        if (!value)
            continue;
        qn_auto_free char *escaped = qn_ctl_escape(json_string_value(value)), *old = path;
        path = qn_xasprintf("%s%c%.*s=%s", old, separator, QN_FMT(name), escaped);
        separator = '&';
    }
    return path;
}

static char *body_of(const struct invocation *v)
{
    struct qn_str rest = qn_str_c(v->command->body), spec, name;

    if (!v->command->body[0])
        return NULL;
    qn_auto_json json_t *body = json_object();
    while (qn_str_word(&rest, &spec)) {
        json_t *value = value_of(v, spec, &name);
        qn_auto_free char *key = qn_xstrndup(name);
        if (value)
            qn_json_set(body, key, value);
    }
    return json_dumps(body, JSON_COMPACT);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */
static void show_table(const json_t *answer, const char *show)
{
    const char *colon = strchr(show, ':'), *after = json_string_value(json_object_get(answer, "after"));
    qn_auto_free char *key = qn_xstrndup(qn_str_n(show, (size_t)(colon - show)));

    qn_ctl_table(json_object_get(answer, key), colon + 1);
    if (after)
        fprintf(stderr, "there are more: --after %s\n", after);
}

static void show_diff(const json_t *answer)
{
    if (json_object_get(answer, "files")) {
        qn_present_diff(answer, false);
        return;
    }
    show_table(answer, "changes: policy action rule path from to because");
}

static void show_answer(const struct command *c, const json_t *answer)
{
    if (strchr(c->show, ':'))
        show_table(answer, c->show);
    else if (strcmp(c->show, "report") == 0)
        qn_ctl_report(answer);
    else if (strcmp(c->show, "diff") == 0)
        show_diff(answer);
    else
        qn_ctl_members(strcmp(c->show, "answer") == 0 ? json_object_get(answer, "answer") : answer, 0);
}

/* What the daemon is asked to answer with; "" when the format is none of its. */
static const char *accept_of(const struct invocation *v)
{
    const char *format = json_string_value(json_object_get(v->options, "format"));

    if (!format || strcmp(format, "json") == 0)
        return NULL;
    return strcmp(format, "html") == 0 ? "text/html" : strcmp(format, "sarif") == 0 ? "application/sarif+json" : "";
}

static int request(const struct invocation *v, struct qn_ctl_client *client)
{
    qn_auto_free char *path = path_of(v), *body = body_of(v), *out = NULL;
    const char *accept = accept_of(v);
    qn_auto_json json_t *answer = NULL;
    struct qn_err e;

    if (accept && !*accept)
        return qn_cli_usage("ctl", "--format: json, sarif or html");
    if (qn_ctl_call(client, v->command->method, path, body, accept, &out, &e) < 0) {
        qn_err_wrap(&e, "ctl %s", v->command->words);
        return qn_cli_error(&e);
    }
    bool as_it_is = v->json || accept || json_object_get(v->options, "format") || strcmp(v->command->show, "text") == 0;
    if (as_it_is || qn_json_parse(qn_str_c(out), 64u << 20, &answer, &e) < 0)
        printf("%s%s", out, *out && out[strlen(out) - 1] != '\n' ? "\n" : "");
    else
        show_answer(v->command, answer);
    return qn_present_flush(&e) < 0 ? qn_cli_error(&e) : 0;
}

int qn_cmd_ctl(int argc, char **argv)
{
    struct invocation v = {.options = json_object()};
    struct qn_ctl_client client = {.curl = NULL};
    struct qn_err e;

    int status = parse(&v, argc - 1, argv + 1);
    if (status >= 0) {
        json_decref(v.options);
        return status;
    }
    struct qn_ctl_run run = {&client, v.arg, v.options, v.json};
    if (qn_ctl_open(v.url, v.token_file, v.config, &client, &e) < 0) {
        qn_err_wrap(&e, "ctl");
        status = qn_cli_error(&e);
    } else if (strcmp(v.command->show, "wait") == 0) {
        status = qn_ctl_wait(&run);
    } else if (strcmp(v.command->show, "verify") == 0) {
        status = qn_ctl_verify(&run);
    } else {
        status = request(&v, &client);
    }
    qn_ctl_close(&client);
    json_decref(v.options);
    return status;
}
