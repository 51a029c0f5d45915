#include "dynamic.h"

#include "base/path.h"

/* The text from one command to the next: ends at an operator outside of quotes, or where a substitution begins. */
static struct qn_str simple_command(struct qn_str *rest)
{
    char quote = '\0';
    size_t i = 0;

    for (; i < rest->n; i++) {
        char c = rest->p[i];
        if (c == '\\') {
            i++;
        } else if (quote == '\'') {
            quote = c == '\'' ? '\0' : quote;
        } else if (c == '`' || (c == '$' && i + 1 < rest->n && rest->p[i + 1] == '(')) {
            break;
        } else if (quote) {
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '#' && (i == 0 || (unsigned char)rest->p[i - 1] <= ' ')) {
            break;
        } else if (memchr(";|&\n()", c, 6)) {
            break;
        }
    }
    struct qn_str command = qn_str_trim(qn_str_head(*rest, i));
    if (i < rest->n && rest->p[i] == '#') {
        ptrdiff_t eol = qn_str_chr(qn_str_from(*rest, i), '\n');
        i = eol < 0 ? rest->n : i + (size_t)eol;
    }
    *rest = qn_str_from(*rest, i + (i + 1 < rest->n && rest->p[i] == '$' ? 2 : 1));
    return command;
}

static bool one_of(struct qn_str word, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (qn_str_eq_c(word, words[i]))
            return true;
    return false;
}

/* "NAME=..." */
static bool assignment(struct qn_str word)
{
    ptrdiff_t eq = qn_str_chr(word, '=');

    if (eq <= 0)
        return false;
    for (size_t i = 0; i < (size_t)eq; i++) {
        char c = word.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '+' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

/* A word that starts with a variable whose value is not known. */
static bool variable(struct qn_str word)
{
    while (word.n && word.p[0] == '"')
        word = qn_str_from(word, 1);
    if (word.n < 2 || word.p[0] != '$')
        return false;
    char c = word.p[1] == '{' && word.n > 2 ? word.p[2] : word.p[1];
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '1' && c <= '9');
}

static bool dynamic_command(struct qn_str command)
{
    static const char *const before[] = {"then",    "do",     "else", "elif", "if",      "while",
                                         "until",   "!",      "{",    "exec", "command", "nohup",
                                         "builtin", "setsid", "time", "nice", "case_",   NULL};
    static const char *const source[] = {".", "source", NULL};
    struct qn_str word, next, rest = command;

    do {
        if (!qn_str_word(&rest, &word))
            return false;
    } while (one_of(word, before) || assignment(word));
    if (variable(word) || qn_str_eq(word, QN_STR("eval")))
        return true;
    if (one_of(word, source))
        return qn_str_word(&rest, &next) && variable(next);
    if (!qn_is_shell_name(qn_path_base(word)))
        return false;
    while (qn_str_word(&rest, &next) && next.p[0] == '-')
        if (qn_str_find(next, QN_STR("c")) > 0)
            return qn_str_word(&rest, &next) && variable(next);
    return false;
}

bool qn_script_dynamic(struct qn_str text, struct qn_str *what)
{
    while (text.n) {
        struct qn_str command = simple_command(&text);
        if (!dynamic_command(command))
            continue;
        *what = command;
        return true;
    }
    return false;
}

/* Whether every variable that starts a word of the command has a value in the configuration. */
static bool known(const struct qn_image *img, struct qn_str command)
{
    struct qn_str word;

    while (qn_str_word(&command, &word)) {
        if (!variable(word))
            continue;
        size_t at = 0, n;
        while (at < word.n && memchr("\"${", word.p[at], 3))
            at++;
        word = qn_str_from(word, at);
        for (n = 0;
             n < word.n && (word.p[n] == '_' || (word.p[n] | 32) >= 'a' || (word.p[n] >= '0' && word.p[n] <= '9'));)
            n++;
        bool set = false;
        for (size_t i = 0; i < img->config.env.n; i++)
            set = set || (qn_str_starts(img->config.env.v[i], qn_str_head(word, n)) && img->config.env.v[i].n > n &&
                          img->config.env.v[i].p[n] == '=');
        return set;
    }
    return false;
}

/* Shell text among the words that start the image. */
static bool dynamic_argv(const struct qn_image *img, const struct qn_words *argv, struct qn_str *what)
{
    for (size_t i = 1; i < argv->n; i++)
        if (qn_str_chr(argv->v[i], '$') >= 0 && qn_str_eq(argv->v[i - 1], QN_STR("-c")) &&
            qn_script_dynamic(argv->v[i], what) && !known(img, *what))
            return true;
    return false;
}

bool qn_image_dynamic(const struct qn_image *img, struct qn_str *where, struct qn_str *what)
{
    *where = QN_STR("");
    if (dynamic_argv(img, &img->config.entrypoint, what) || dynamic_argv(img, &img->config.cmd, what))
        return true;
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (!qn_image_needed(img, i) || n->type != QN_FILE || !n->data || !n->data->captured)
            continue;
        bool script = n->data->content == QN_SCRIPT && qn_script_shell(&n->data->script);
        bool sourced = n->data->content == QN_TEXT && qn_str_ends(n->path, QN_STR("sh"));
        if ((script || sourced) && qn_script_dynamic(n->data->text, what)) {
            *where = n->path;
            return true;
        }
    }
    return false;
}
