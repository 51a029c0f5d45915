/* Answers of the admin API for people. */
#include "ctl.h"
#include "present.h"

#include "base/mem.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 16
#define CELL_MAX    4096

/* --- cells -------------------------------------------------------------------------------------------------------- */
static void append(char *out, size_t *n, const char *s)
{
    while (*s && *n + 1 < CELL_MAX)
        out[(*n)++] = *s++;
    out[*n] = '\0';
}

static void value_text(const json_t *v, char *out, size_t *n)
{
    char number[32];
    const char *key;
    size_t i;
    json_t *item;

    if (json_is_string(v)) {
        append(out, n, json_string_value(v));
    } else if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        append(out, n, number);
    } else if (json_is_boolean(v)) {
        append(out, n, json_is_true(v) ? "yes" : "no");
    } else if (json_is_array(v)) {
        json_array_foreach ((json_t *)(uintptr_t)v, i, item) {
            append(out, n, i ? ", " : "");
            value_text(item, out, n);
        }
    } else if (json_is_object(v)) {
        json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
            append(out, n, *n ? " " : "");
            append(out, n, key);
            append(out, n, "=");
            value_text(item, out, n);
        }
    }
}

/* Characters, as far as a terminal takes one column for each. */
static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static size_t terminal_width(void)
{
    struct winsize w;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : SIZE_MAX;
}

/* A digest that is cut is still one that people recognise; other cells end where the line does. */
static void print_cell(const char *cell, size_t width, bool last)
{
    char cut[CELL_MAX];
    size_t n = 0;

    for (const char *c = cell; *c && n < width;) {
        size_t k = 1;
        while (((unsigned char)c[k] & 0xc0) == 0x80)
            k++;
        memcpy(cut + (c - cell), c, k);
        c += k;
        n++;
        cut[c - cell] = '\0';
    }
    if (n == 0)
        cut[0] = '\0';
    qn_present_safe(cut);
    for (; !last && n < width; n++)
        putchar(' ');
    if (!last)
        fputs("  ", stdout);
}

void qn_ctl_table(const json_t *list, const char *columns)
{
    struct qn_str rest = qn_str_c(columns), word;
    char name[COLUMNS_MAX][32];
    size_t count = 0, rows = json_array_size(list), width[COLUMNS_MAX] = {0}, left = terminal_width();

    while (count < COLUMNS_MAX && qn_str_word(&rest, &word)) {
        snprintf(name[count], sizeof name[count], "%.*s", QN_FMT(word));
        width[count] = strlen(name[count]);
        count++;
    }
    char *cells = qn_xcalloc(rows * count + 1, CELL_MAX);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < count; c++) {
            char *cell = cells + (r * count + c) * CELL_MAX;
            size_t n = 0;
            value_text(json_object_get(json_array_get(list, r), name[c]), cell, &n);
            width[c] = QN_MAX(width[c], width_of(cell));
        }
    for (size_t c = 0; c < count; c++) {
        width[c] = QN_MIN(width[c], left);
        left = left == SIZE_MAX ? left : left - QN_MIN(left, width[c] + 2);
    }
    for (size_t c = 0; c < count; c++) {
        for (char *k = name[c]; *k; k++)
            *k = (char)(*k == '_' ? ' ' : *k >= 'a' && *k <= 'z' ? *k - 32 : *k);
        print_cell(name[c], width[c], c + 1 == count);
    }
    putchar('\n');
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < count; c++)
            print_cell(cells + (r * count + c) * CELL_MAX, width[c], c + 1 == count);
        putchar('\n');
    }
    free(cells);
}

/* --- objects ------------------------------------------------------------------------------------------------------ */
static bool is_plain(const json_t *v)
{
    size_t i;
    json_t *item;

    json_array_foreach ((json_t *)(uintptr_t)v, i, item)
        if (json_is_object(item) || json_is_array(item))
            return false;
    return !json_is_object(v) || json_object_size(v) == 0;
}

void qn_ctl_members(const json_t *o, int indent)
{
    const char *key;
    json_t *v, *item;
    size_t i;

    json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
        char cell[CELL_MAX] = "";
        size_t n = 0;
        if (indent < 8 && !is_plain(v)) {
            printf("%*s", 2 * indent, "");
            qn_present_safe(key);
            puts(":");
            if (json_is_object(v))
                qn_ctl_members(v, indent + 1);
            json_array_foreach (v, i, item) {
                printf("%*s-\n", 2 * indent + 2, "");
                qn_ctl_members(item, indent + 2);
            }
            continue;
        }
        value_text(v, cell, &n);
        printf("%*s%s:%*s", 2 * indent, "", key, (int)QN_MAX(1, 14 - (int)strlen(key)), "");
        qn_present_safe(cell);
        putchar('\n');
    }
}

/* --- reports ------------------------------------------------------------------------------------------------------ */
static void one_report(const json_t *report)
{
    json_t *figures = json_array(), *open = json_array(), *rules = json_array(), *v, *item;
    const char *key;
    size_t i;

    json_object_foreach (json_object_get(report, "before"), key, v) {
        json_t *row = json_object();
        qn_json_set_c(row, "figure", key);
        qn_json_set(row, "before", json_incref(v));
        qn_json_set(row, "after", json_incref(json_object_get(json_object_get(report, "after"), key)));
        qn_json_push(figures, row);
    }
    json_array_foreach (json_object_get(report, "rules"), i, item) {
        json_t *row = json_object();
        qn_json_set(row, "rule", json_incref(json_object_get(item, "rule")));
        qn_json_set(row, "state", json_incref(json_object_get(item, "state")));
        qn_json_set_int(row, "changes", (json_int_t)json_array_size(json_object_get(item, "changes")));
        qn_json_set(row, "because", json_incref(json_object_get(item, "because")));
        qn_json_push(rules, row);
    }
    json_array_foreach (json_object_get(report, "findings"), i, item)
        if (!json_is_true(json_object_get(item, "fixed")))
            qn_json_push(open, json_incref(item));
    printf("%s, policy %s\n\n", json_string_value(json_object_get(report, "platform")),
           json_string_value(json_object_get(json_object_get(report, "policy"), "name")));
    qn_ctl_table(figures, "figure before after");
    putchar('\n');
    qn_ctl_table(rules, "rule state changes because");
    puts("\nopen findings:");
    qn_ctl_table(open, "check level where detail");
    json_decref(figures);
    json_decref(rules);
    json_decref(open);
}

void qn_ctl_report(const json_t *report)
{
    size_t i;
    json_t *item;

    if (!json_is_array(report)) {
        one_report(report);
        return;
    }
    json_array_foreach ((json_t *)(uintptr_t)report, i, item) {
        if (i)
            putchar('\n');
        one_report(item);
    }
}
