#include "present.h"

#include "base/mem.h"
#include "base/num.h"
#include "formats/imgconfig.h"
#include "harden/sarif.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int qn_output_parse(const char *text, enum qn_output *out, struct qn_err *e)
{
    static const char *const names[] = {"text", "json", "sarif"};

    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum qn_output)(i + 1);
            return 0;
        }
    return qn_fail(e, QN_E_USAGE, "--format \"%s\": is none of text, json, sarif", QN_Q(qn_str_c(text)));
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */
static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static int64_t figure(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* Control characters (C0, DEL, and C1 as UTF-8 has them) must not reach a terminal. */
void qn_present_safe(const char *s)
{
    for (const unsigned char *c = (const unsigned char *)s; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            putchar('?');
        else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c++;
        else
            putchar(*c);
    }
}

void qn_present_coloured(enum qn_colour c, const char *s, int width)
{
    const char *off = getenv("NO_COLOR");

    if (isatty(STDOUT_FILENO) && !(off && *off))
        printf("\033[%dm%-*s\033[0m", c, width, s);
    else
        printf("%-*s", width, s);
}

static void size_text(int64_t bytes, char out[32])
{
    if (bytes >= 1 << 20)
        snprintf(out, 32, "%.1f MiB", (double)bytes / (1 << 20));
    else if (bytes >= 1 << 10)
        snprintf(out, 32, "%.1f KiB", (double)bytes / (1 << 10));
    else
        snprintf(out, 32, "%lld B", (long long)bytes);
}

/* How many changes a row stands for: "/usr/share/doc/xyz/..." collapse to one with their number behind. */
static size_t weight(const json_t *change)
{
    struct qn_str path = qn_str_c(text(change, "path"));
    ptrdiff_t open = qn_str_rchr(path, '(');
    uint64_t n;
    struct qn_err ignored;

    if (open < 4 || !qn_str_ends(path, QN_STR(")")) || qn_str_find(path, QN_STR("/** (")) != open - 4 ||
        qn_num_u64(qn_str_n(path.p + open + 1, path.n - (size_t)open - 2), 1, UINT32_MAX, &n, &ignored) < 0)
        return 1;
    return (size_t)n;
}

static size_t changes(const json_t *rule)
{
    json_t *row;
    size_t i, n = 0;

    json_array_foreach (json_object_get(rule, "changes"), i, row) {
        n += weight(row);
    }
    return n;
}

static const struct {
    const char *key, *name;
    bool size;
} figures[] = {{"files", "files", false},
               {"bytes", "bytes", true},
               {"compressed_bytes", "compressed", true},
               {"packages", "packages", false},
               {"elf", "ELF files", false},
               {"executables", "executables", false},
               {"setuid", "setuid", false},
               {"file_caps", "file capabilities", false},
               {"shells", "shells", false},
               {"world_writable", "world-writable", false},
               {"accounts", "accounts", false}};

static void figure_text(size_t i, int64_t v, char out[32])
{
    if (figures[i].size)
        size_text(v, out);
    else
        snprintf(out, 32, "%lld", (long long)v);
}

/* --- image configurations ----------------------------------------------------------------------------------------- */
static int parse_config(const char *config, struct qn_imgconfig *out)
{
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_err ignored;

    limits.manifest_size = UINT32_MAX; /* it was parsed before, within the real limit */
    return qn_imgconfig_parse(qn_str_c(config), &limits, out, &ignored);
}

static void user_text(const char *config, char *out, size_t size)
{
    qn_auto_imgconfig struct qn_imgconfig c = {0};

    if (parse_config(config, &c) < 0)
        snprintf(out, size, "?");
    else
        snprintf(out, size, "%.*s", QN_FMT(c.user.n ? c.user : QN_STR("root")));
}

static json_t *words(const struct qn_words *w)
{
    json_t *list = json_array();
    for (size_t i = 0; i < w->n; i++)
        qn_json_push(list, qn_json_string(w->v[i]));
    return list;
}

/* Names of variables alone: values may be secrets. */
static json_t *names(const struct qn_words *w)
{
    json_t *list = json_array();

    for (size_t i = 0; i < w->n; i++) {
        ptrdiff_t eq = qn_str_chr(w->v[i], '=');
        qn_json_push(list, qn_json_string(qn_str_head(w->v[i], eq < 0 ? w->v[i].n : (size_t)eq)));
    }
    return list;
}

static json_t *image_json(const char *config)
{
    qn_auto_imgconfig struct qn_imgconfig c = {0};
    json_t *o = json_object();

    if (parse_config(config, &c) < 0)
        return o;
    qn_json_set(o, "entrypoint", words(&c.entrypoint));
    qn_json_set(o, "cmd", words(&c.cmd));
    qn_json_set_str(o, "user", c.user);
    qn_json_set_str(o, "working_dir", c.working_dir);
    qn_json_set(o, "env", names(&c.env));
    qn_json_set(o, "exposed_ports", words(&c.exposed_ports));
    qn_json_set(o, "volumes", words(&c.volumes));
    qn_json_set(o, "healthcheck", words(&c.healthcheck));
    qn_json_set_str(o, "stop_signal", c.stop_signal);
    return o;
}

static void print_words(const char *label, const json_t *list)
{
    json_t *word;
    size_t i;

    if (json_array_size(list) == 0)
        return;
    printf("  %-12s", label);
    json_array_foreach (list, i, word) {
        const char *s = json_string_value(word);
        bool blank = !s || !*s || strpbrk(s, " \t\n\"'") != NULL;
        fputs(blank ? " '" : " ", stdout);
        qn_present_safe(s ? s : "");
        if (blank)
            putchar('\'');
    }
    putchar('\n');
}

/* --- for machines ------------------------------------------------------------------------------------------------- */
json_t *qn_present_reports(const struct qn_oneshot_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++)
        qn_json_push(list, json_incref(r->image[i].report));
    return list;
}

json_t *qn_present_inspected(const struct qn_oneshot_image *image)
{
    static const char *const same[] = {"platform", "source", "engine", "packages", "findings", "kept", "rules"};
    json_t *o = json_object(), *layers = json_array(), *row;
    size_t i;

    qn_json_set_c(o, "schema", "quench.inspect.v1");
    for (i = 0; i < QN_ARRAY_LEN(same); i++)
        if (json_object_get(image->report, same[i]))
            qn_json_set(o, same[i], json_incref(json_object_get(image->report, same[i])));
    qn_json_set(o, "figures", json_incref(json_object_get(image->report, "before")));
    qn_json_set(o, "image", image_json(image->before));
    json_array_foreach (json_object_get(image->report, "layers"), i, row) {
        qn_json_push(layers, json_incref(json_object_get(row, "source")));
    }
    qn_json_set(o, "layers", layers);
    return o;
}

json_t *qn_present_sarif(const struct qn_oneshot_result *r, const char *src, bool as_is)
{
    const json_t **list = qn_xcalloc(r->n, sizeof *list);

    for (size_t i = 0; i < r->n; i++)
        list[i] = r->image[i].report;
    json_t *j = qn_sarif_make(list, r->n, src, as_is);
    free(list);
    return j;
}

int qn_present_flush(struct qn_err *e)
{
    return fflush(stdout) == 0 ? 0 : qn_fail(e, QN_E_IO, "writing to standard output failed");
}

int qn_present_json(const json_t *j, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 1u << 30);
    if (qn_json_print_pretty(j, &b, e) < 0)
        return -1;
    if (fwrite(b.p, 1, b.n, stdout) != b.n || putchar('\n') < 0 || fflush(stdout) != 0)
        return qn_fail(e, QN_E_IO, "writing to standard output failed");
    return 0;
}

size_t qn_present_count(const struct qn_oneshot_result *r, const char *level)
{
    static const char *const order[] = {"info", "warn", "fatal"};
    size_t from = 0, n = 0, k;
    json_t *row;

    while (from < QN_ARRAY_LEN(order) && strcmp(order[from], level) != 0)
        from++;
    for (size_t i = 0; i < r->n; i++)
        json_array_foreach (json_object_get(r->image[i].report, "findings"), k, row) {
            for (size_t l = from; l < QN_ARRAY_LEN(order); l++)
                n += strcmp(text(row, "level"), order[l]) == 0;
        }
    return n;
}

/* --- for people --------------------------------------------------------------------------------------------------- */
static void print_findings(const json_t *report, bool open_only)
{
    json_t *row;
    size_t i, n = 0;

    json_array_foreach (json_object_get(report, "findings"), i, row) {
        bool fixed = json_is_true(json_object_get(row, "fixed"));
        if (fixed && open_only)
            continue;
        if (n++ == 0)
            printf("\n  %s\n", open_only ? "findings that stay open" : "findings");
        const char *level = text(row, "level");
        fputs("  ", stdout);
        qn_present_coloured(fixed ? QN_GREEN : strcmp(level, "fatal") == 0 ? QN_RED : QN_YELLOW, level, 5);
        printf("  %-13s  ", text(row, "check"));
        qn_present_safe(text(row, "where"));
        fputs(": ", stdout);
        qn_present_safe(text(row, "detail"));
        fputs(fixed ? " (harden takes it away)\n" : "\n", stdout);
    }
    if (n == 0)
        printf("\n  %s\n", open_only ? "no finding stays open" : "no findings");
}

static void print_rules(const json_t *report, bool planned)
{
    json_t *row;
    size_t i;

    if (planned)
        printf("\n  what harden would do\n");
    else
        putchar('\n');
    printf("  %-17s %-14s %8s  %s\n", "rule", "state", "changes", "because");
    json_array_foreach (json_object_get(report, "rules"), i, row) {
        const char *state = text(row, "state");
        printf("  %-17s ", text(row, "rule"));
        qn_present_coloured(strcmp(state, "backed-off") == 0 ? QN_RED
                            : strcmp(state, "applied") == 0  ? QN_GREEN
                                                             : QN_YELLOW,
                            state, 14);
        printf(" %8zu  ", changes(row));
        qn_present_safe(text(row, "because"));
        putchar('\n');
    }
}

static void print_figures(const struct qn_oneshot_image *image)
{
    const json_t *before = json_object_get(image->report, "before"), *after = json_object_get(image->report, "after");
    char a[32], b[32], user[2][200];

    printf("\n  %-18s %14s %14s\n", "", "before", "after");
    for (size_t i = 0; i < QN_ARRAY_LEN(figures); i++) {
        int64_t x = figure(before, figures[i].key), y = figure(after, figures[i].key);
        figure_text(i, x, a);
        figure_text(i, y, b);
        printf("  %-18s %14s %14s", figures[i].name, a, b);
        if (x > 0 && x != y)
            printf("  %+.0f %%", 100.0 * (double)(y - x) / (double)x);
        putchar('\n');
    }
    user_text(image->before, user[0], sizeof user[0]);
    user_text(image->after ? image->after : image->before, user[1], sizeof user[1]);
    printf("  %-18s %14s %14s\n", "user", QN_Q(qn_str_c(user[0])), QN_Q(qn_str_c(user[1])));
}

void qn_present_hardened(const struct qn_oneshot_image *image, const char *src, const char *dst)
{
    const json_t *report = image->report, *policy = json_object_get(report, "policy");

    printf("%s  %s\n", image->platform, src);
    if (dst)
        printf("  to        %s\n", dst);
    printf("  source    %s\n  hardened  %s%s\n", text(json_object_get(report, "source"), "digest"),
           text(json_object_get(report, "hardened"), "digest"), image->unchanged ? " (unchanged)" : "");
    printf("  policy    %s, profile %s, use %s\n", text(policy, "name"), text(policy, "achieved"), text(policy, "use"));
    if (image->backed_off) {
        printf("  backed off from profile %s: ", text(policy, "profile"));
        qn_present_safe(text(policy, "because"));
        putchar('\n');
    }
    print_figures(image);
    print_rules(report, false);
    print_findings(report, true);
}

void qn_present_inspection(const struct qn_oneshot_image *image, const char *src)
{
    const json_t *report = image->report, *before = json_object_get(report, "before");
    qn_auto_json json_t *config = image_json(image->before);
    char v[200];
    json_t *row;
    size_t i;

    printf("%s  %s\n  %-13s%s\n", image->platform, src, "digest", text(json_object_get(report, "source"), "digest"));
    print_words("entrypoint", json_object_get(config, "entrypoint"));
    print_words("command", json_object_get(config, "cmd"));
    user_text(image->before, v, sizeof v);
    printf("  %-13s%s\n", "user", QN_Q(qn_str_c(v)));
    if (*text(config, "working_dir"))
        printf("  %-13s%s\n", "directory", QN_Q(qn_str_c(text(config, "working_dir"))));
    print_words("ports", json_object_get(config, "exposed_ports"));
    print_words("volumes", json_object_get(config, "volumes"));
    print_words("environment", json_object_get(config, "env"));
    printf("\n  %-18s %14zu\n", "layers", json_array_size(json_object_get(report, "layers")));
    for (i = 0; i < QN_ARRAY_LEN(figures); i++) {
        figure_text(i, figure(before, figures[i].key), v);
        printf("  %-18s %14s\n", figures[i].name, v);
    }
    print_findings(report, false);
    if (json_array_size(json_object_get(report, "kept")) > 0)
        printf("\n  what harden would keep, and why\n");
    json_array_foreach (json_object_get(report, "kept"), i, row) {
        fputs("  ", stdout);
        qn_present_safe(text(row, "path"));
        fputs(": ", stdout);
        qn_present_safe(text(row, "because"));
        putchar('\n');
    }
    print_rules(report, true);
}
