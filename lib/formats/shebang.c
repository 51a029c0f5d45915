#include "shebang.h"
#include "base/path.h"

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct qn_str trim(struct qn_str s)
{
    while (s.n && blank(s.p[0]))
        s = qn_str_from(s, 1);
    while (s.n && (blank(s.p[s.n - 1]) || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static bool is_assignment(struct qn_str w)
{
    return qn_str_chr(w, '=') > 0;
}

/* Takes one pair of quotes off, as `env -S` does. */
static struct qn_str unquote(struct qn_str w)
{
    if (w.n >= 2 && (w.p[0] == '"' || w.p[0] == '\'') && w.p[w.n - 1] == w.p[0])
        return qn_str_head(qn_str_from(w, 1), w.n - 2);
    return w;
}

/* The program among the words of an env command line: after options and assignments. */
static struct qn_str env_words(struct qn_str words)
{
    struct qn_str w;

    while (qn_str_word(&words, &w)) {
        w = unquote(w);
        if (w.n == 0)
            break;
        if (qn_str_eq_c(w, "-u") || qn_str_eq_c(w, "--unset") || qn_str_eq_c(w, "-C") || qn_str_eq_c(w, "--chdir")) {
            (void)qn_str_word(&words, &w);
            continue;
        }
        if (qn_str_eq_c(w, "-S") || qn_str_eq_c(w, "-vS") || qn_str_eq_c(w, "--split-string"))
            continue;
        if (qn_str_starts(w, QN_STR("-S")))
            return qn_str_from(w, 2);
        if (qn_str_starts(w, QN_STR("--split-string=")))
            return qn_str_from(w, 15);
        if (w.p[0] != '-' && !is_assignment(w))
            return w;
    }
    return QN_STR("");
}

/* What env runs when the kernel passes it one argument: without -S it takes the whole argument for the name. */
static struct qn_str env_program(struct qn_str argument)
{
    bool split = qn_str_starts(argument, QN_STR("-S")) || qn_str_starts(argument, QN_STR("-vS")) ||
                 qn_str_starts(argument, QN_STR("--split-string"));
    if (split)
        return env_words(argument);
    return argument.n && argument.p[0] != '-' && !is_assignment(argument) ? argument : QN_STR("");
}

bool qn_shebang_parse(struct qn_str content, struct qn_shebang *out)
{
    struct qn_shebang s = {QN_STR(""), QN_STR(""), QN_STR("")};

    if (!qn_str_starts(content, QN_STR("#!")))
        return false;
    struct qn_str line = qn_str_from(qn_str_head(content, QN_SHEBANG_MAX), 2);
    ptrdiff_t end = qn_str_chr(line, '\n');
    line = end < 0 ? line : qn_str_head(line, (size_t)end);
    end = qn_str_chr(line, '\0');
    line = trim(end < 0 ? line : qn_str_head(line, (size_t)end));
    size_t n = 0;
    while (n < line.n && !blank(line.p[n]))
        n++;
    if (n == 0)
        return false;
    s.interpreter = qn_str_head(line, n);
    s.argument = trim(qn_str_from(line, n));
    if (qn_str_eq_c(qn_path_base(s.interpreter), "env"))
        s.program = env_program(s.argument);
    *out = s;
    return true;
}
