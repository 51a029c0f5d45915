#include "shell_value.h"

#include "base/path.h"

#include <stdio.h>
#include <string.h>

enum { MOST_DEPTH = 4, MOST_TEXT = 512, MOST_NAME = 64 };

struct word {
    char text[MOST_TEXT];
    size_t n;
    bool unknown; /* it begins with something that cannot be told */
};

static void put(struct word *w, const char *p, size_t n)
{
    n = n < sizeof w->text - 1 - w->n ? n : sizeof w->text - 1 - w->n;
    memcpy(w->text + w->n, p, n);
    w->n += n;
    w->text[w->n] = '\0';
}

static void put_unknown(struct word *w)
{
    if (w->n == 0)
        w->unknown = true;
    put(w, "_", 1);
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t expand(const struct qn_script *sh, struct qn_str at, int depth, struct word *w);

/* What an assignment of the text gives the name: the first one that says something. */
static bool assigned(const struct qn_script *sh, struct qn_str name, int depth, struct word *out)
{
    struct qn_str rest = sh->text;

    for (ptrdiff_t at; (at = qn_str_find(rest, name)) >= 0;) {
        size_t i = (size_t)at, end = i + name.n;
        bool starts = i == 0 || !(name_char(rest.p[i - 1]) || strchr("$-./\\\"'", rest.p[i - 1]));
        struct qn_str value = qn_str_from(rest, end);
        bool sets = value.n && value.p[0] == '=' && !(value.n > 1 && value.p[1] == '=');
        bool defaults = i && rest.p[i - 1] == '{' && qn_str_starts(value, QN_STR(":="));
        rest = value;
        if (!starts || !(sets || defaults))
            continue;
        struct word w = {.n = 0};
        expand(sh, qn_str_from(value, defaults ? 2 : 1), depth + 1, &w);
        if (w.unknown || w.n == 0)
            continue;
        *out = w;
        return true;
    }
    return false;
}

/* The value of a variable. Directories that every user has to write count as /tmp. */
static bool variable(const struct qn_script *sh, struct qn_str name, int depth, struct word *out)
{
    char text[MOST_NAME];
    struct qn_str value;

    if (name.n == 0 || !qn_str_copy(name, text, sizeof text))
        return false;
    if (qn_str_eq(name, QN_STR("TMPDIR")) || qn_str_eq(name, QN_STR("HOME"))) {
        put(out, "/tmp", 4);
        return true;
    }
    if (qn_imgconfig_env(sh->config, text, &value)) {
        put(out, value.p, value.n);
        return true;
    }
    return depth < MOST_DEPTH && assigned(sh, name, depth, out);
}

/* Where the bracket that `at` begins with is closed: the number of bytes with both. */
static size_t enclosed(struct qn_str at, char open, char close)
{
    size_t depth = 0;

    for (size_t i = 0; i < at.n; i++) {
        depth += at.p[i] == open;
        depth -= at.p[i] == close;
        if (depth == 0)
            return i + 1;
    }
    return at.n;
}

/* ${...}, without the dollar sign. */
static void braces(const struct qn_script *sh, struct qn_str in, int depth, struct word *w)
{
    size_t n = 0;
    struct word value = {.n = 0};

    while (n < in.n && name_char(in.p[n]))
        n++;
    struct qn_str op = qn_str_from(in, n);
    bool colon = op.n && op.p[0] == ':', alone = op.n == 0;
    op = qn_str_from(op, colon ? 1 : 0);
    bool defaults = op.n && strchr("-=", op.p[0]), demands = op.n && op.p[0] == '?';

    if ((alone || defaults || demands) && variable(sh, qn_str_head(in, n), depth, &value))
        put(w, value.text, value.n);
    else if (defaults && depth < MOST_DEPTH) {
        expand(sh, qn_str_from(op, 1), depth + 1, &value);
        if (value.unknown)
            put_unknown(w);
        else
            put(w, value.text, value.n);
    } else
        put_unknown(w);
}

/* $(...), without dollar sign and parentheses. */
static void command(const struct qn_script *sh, struct qn_str in, int depth, struct word *w)
{
    struct qn_str rest = in, name;

    if (!qn_str_word(&rest, &name) || depth >= MOST_DEPTH) {
        put_unknown(w);
    } else if (qn_str_eq(name, QN_STR("mktemp"))) {
        put(w, "/tmp/_", 6);
    } else if (qn_str_eq(name, QN_STR("dirname"))) {
        struct word value = {.n = 0};
        expand(sh, qn_str_trim(rest), depth + 1, &value);
        struct qn_str dir = value.unknown ? QN_STR("") : qn_path_dir(qn_str_n(value.text, value.n));
        if (value.unknown)
            put_unknown(w);
        else
            put(w, dir.p, dir.n);
    } else {
        put_unknown(w);
    }
}

/* What a dollar sign begins; gives the bytes that it takes. */
static size_t dollar(const struct qn_script *sh, struct qn_str at, int depth, struct word *w)
{
    struct qn_str in = qn_str_from(at, 1);
    struct word value = {.n = 0};
    size_t n = 0;

    if (in.n && (in.p[0] == '{' || in.p[0] == '(')) {
        char close = in.p[0] == '{' ? '}' : ')';
        n = enclosed(in, in.p[0], close);
        struct qn_str inner = qn_str_head(qn_str_from(in, 1), n >= 2 ? n - 2 : 0);
        if (close == '}')
            braces(sh, inner, depth, w);
        else
            command(sh, inner, depth, w);
        return n + 1;
    }
    while (n < in.n && name_char(in.p[n]))
        n++;
    if (variable(sh, qn_str_head(in, n), depth, &value))
        put(w, value.text, value.n);
    else
        put_unknown(w);
    return (n ? n : 1) + 1;
}

/* Appends the word at the start of `at`; gives the bytes that it takes. */
static size_t expand(const struct qn_script *sh, struct qn_str at, int depth, struct word *w)
{
    char quote = '\0';
    size_t i = 0;

    while (i < at.n) {
        char c = at.p[i];
        if (c == '\n' || (!quote && ((unsigned char)c <= ' ' || strchr(";&|<>()", c))))
            break;
        if (c == quote) {
            quote = '\0';
        } else if (!quote && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == '$' && quote != '\'') {
            i += dollar(sh, qn_str_from(at, i), depth, w);
            continue;
        } else if (c == '`' && quote != '\'') {
            put_unknown(w);
            break;
        } else {
            i += c == '\\' && quote != '\'' && i + 1 < at.n && at.p[i + 1] != '\n';
            put(w, at.p + i, 1);
        }
        i++;
    }
    return i;
}

enum qn_value_kind qn_value_word(const struct qn_script *sh, struct qn_str at, char *out, size_t size)
{
    struct word w = {.n = 0};

    while (at.n && (at.p[0] == ' ' || at.p[0] == '\t'))
        at = qn_str_from(at, 1);
    expand(sh, at, 0, &w);
    snprintf(out, size, "%s", w.text);
    if (w.unknown)
        return QN_VALUE_UNKNOWN;
    if (w.n && w.text[0] == '~')
        snprintf(out, size, "/tmp");
    return w.n && (w.text[0] == '/' || w.text[0] == '~') ? QN_VALUE_PATH : QN_VALUE_OTHER;
}
