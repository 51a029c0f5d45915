/* What the image's shell scripts say they write, by redirections and by the few commands that scripts write with. A
 * line that forgives its failure ("|| true") does not count. Where it cannot be told what a script of the image's own
 * writes, it is taken for something that the user could not. */
#include "rule_user.h"

#include "shell_value.h"

static bool runtime_path(struct qn_str path)
{
    static const char *const dirs[] = {"/dev", "/proc", "/tmp", "/var/tmp"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}

/* Whether the user could create or write what the path names; a directory that is there needs nothing. */
static bool writable(const struct qn_plan *p, const struct qn_user_choice *u, struct qn_str path)
{
    const struct qn_tree *t = &p->img->tree;

    if (path.n < 2 || path.p[0] != '/' || runtime_path(path))
        return true;
    uint32_t n = qn_tree_resolve(t, path, true);
    if (n != QN_NO_NODE)
        return t->node[n].type == QN_DIR || (qn_user_bits(p, u, n) & 2);
    /* The nearest directory that is there must take new names. */
    while (n == QN_NO_NODE && path.n) {
        path = qn_path_dir(path);
        n = qn_tree_resolve(t, path, true);
    }
    return n != QN_NO_NODE && t->node[n].type == QN_DIR && (qn_user_bits(p, u, n) & 3) == 3;
}

/* What is judged: a script or a command line. */
struct judge {
    const struct qn_plan *p;
    const struct qn_user_choice *u;
    struct qn_script shell;
    bool own;       /* the image's own: what cannot be told counts as well */
    char what[512]; /* what the user could not write */
    bool unknown;   /* because nobody can tell where that is */
};

/* Whether the user may write what the word at the start of `at` names; remembers it where not. */
static bool may_write(struct judge *j, struct qn_str at)
{
    char path[512];
    enum qn_value_kind kind = qn_value_word(&j->shell, at, path, sizeof path);

    if (kind == QN_VALUE_OTHER || (kind == QN_VALUE_UNKNOWN && !j->own))
        return true;
    if (kind == QN_VALUE_PATH && writable(j->p, j->u, qn_str_c(path)))
        return true;
    j->unknown = kind == QN_VALUE_UNKNOWN;
    struct qn_str word = at;
    (void)qn_str_word(&at, &word);
    snprintf(j->what, sizeof j->what, "%s", j->unknown ? QN_Q(word) : path);
    return false;
}

/* Whether the user may write where the line's redirections lead. What stands in quotes is text. */
static bool redirections(struct judge *j, struct qn_str line)
{
    char quote = '\0';

    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        if (c == '\\' && quote != '\'')
            i++;
        else if (quote ? c == quote : c == '"' || c == '\'')
            quote = quote ? '\0' : c;
        if (c != '>' || quote)
            continue;
        while (i + 1 < line.n && (line.p[i + 1] == '>' || line.p[i + 1] == '|'))
            i++;
        if (!may_write(j, qn_str_from(line, i + 1)))
            return false;
    }
    return true;
}

enum operands { NONE = 0, ALL, LAST };

static enum operands written_by(struct qn_str command, struct qn_str line)
{
    static const char *const all[] = {"mkdir", "touch", "tee", "rm"}, *const last[] = {"cp", "mv", "ln", "install"};

    for (size_t i = 0; i < QN_ARRAY_LEN(all); i++)
        if (qn_str_eq_c(command, all[i]))
            return ALL;
    for (size_t i = 0; i < QN_ARRAY_LEN(last); i++)
        if (qn_str_eq_c(command, last[i]))
            return LAST;
    return qn_str_eq(command, QN_STR("sed")) && qn_str_find(line, QN_STR(" -i")) >= 0 ? LAST : NONE;
}

/* Reads one word that is no redirection, and what is behind it up to the end of the line. */
static bool next_word(struct qn_str *rest, struct qn_str *word, struct qn_str *at)
{
    while (qn_str_word(rest, word)) {
        *at = qn_str_n(word->p, word->n + (size_t)(rest->p - word->p) - word->n + rest->n);
        ptrdiff_t arrow = qn_str_chr(*word, '>');
        arrow = arrow < 0 ? qn_str_chr(*word, '<') : arrow;
        if (arrow < 0)
            return true;
        struct qn_str target;
        if ((size_t)arrow + 1 == word->n && !qn_str_word(rest, &target))
            return false;
    }
    return false;
}

/* The same for the commands of the line, and for questions whether something can be written. */
static bool commands(struct judge *j, struct qn_str line)
{
    struct qn_str rest = line, word, at, last = QN_STR("");
    enum operands kind = NONE;

    while (next_word(&rest, &word, &at)) {
        bool separator = memchr(";&|", word.p[0], 3) != NULL, ends = word.p[word.n - 1] == ';';
        bool operand = kind != NONE && !separator && word.p[0] != '-';
        if (qn_str_eq(word, QN_STR("-w")) && !may_write(j, rest))
            return false;
        if (kind == NONE && !separator)
            kind = written_by(word, line);
        if (operand && kind == ALL && !may_write(j, at))
            return false;
        if (operand)
            last = at;
        if (!separator && !ends)
            continue;
        if (kind == LAST && !may_write(j, last))
            return false;
        kind = NONE;
        last = QN_STR("");
    }
    return kind != LAST || may_write(j, last);
}

static bool forgives(struct qn_str line)
{
    return qn_str_find(line, QN_STR("|| true")) >= 0 || qn_str_find(line, QN_STR("|| :")) >= 0 ||
           (line.n && line.p[0] == '#');
}

static bool lines(struct judge *j, struct qn_str text)
{
    struct qn_str line;

    j->shell = (struct qn_script){.config = &j->p->img->config, .text = text};
    while (qn_str_next(&text, '\n', &line)) {
        line = qn_str_trim(line);
        if (!forgives(line) && !(redirections(j, line) && commands(j, line)))
            return false;
    }
    return true;
}

static bool shell_script(const struct qn_node *n)
{
    return n->data && n->data->content == QN_SCRIPT && qn_script_shell(&n->data->script);
}

/* Whether a script that the image runs names the directory: it runs what lies there ("/docker-entrypoint.d"). */
static bool named_by_script(const struct qn_image *img, struct qn_str dir)
{
    struct qn_str text;

    for (uint32_t i = 1; i < img->tree.count; i++)
        if ((img->reach[i].all & QN_WHY_STARTED) && shell_script(&img->tree.node[i]) && qn_node_text(img, i, &text))
            for (ptrdiff_t at; (at = qn_str_find(text, dir)) > 0; text = qn_str_from(text, (size_t)at + 1))
                if (text.p[at - 1] == '/')
                    return true;
    return false;
}

/* Whether the image runs the script, for all that can be told. `dir` and `named` remember the last directory. */
static bool runs(const struct qn_image *img, uint32_t node, uint32_t *dir, bool *named)
{
    const struct qn_node *n = &img->tree.node[node];

    if (img->reach[node].all & QN_WHY_STARTED)
        return true;
    if (n->package != QN_NO_PACKAGE || n->parent == 0 || n->parent == QN_NO_NODE || !qn_image_reached(img, node))
        return false;
    if (*dir != n->parent) {
        *dir = n->parent;
        *named = named_by_script(img, img->tree.node[n->parent].path);
    }
    return *named;
}

static bool refuse(const struct judge *j, const char *who, char *why, size_t size)
{
    if (j->unknown)
        snprintf(why, size, "%s writes %s, and what that is cannot be told", who, j->what);
    else
        snprintf(why, size, "%s writes %s, which uid %u could not", who, j->what, j->u->uid);
    return false;
}

bool qn_user_writes(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size)
{
    const struct qn_image *img = p->img;
    const struct qn_words *lists[] = {&img->config.entrypoint, &img->config.cmd};
    struct judge j = {.p = p, .u = u, .own = true};
    char who[256];
    uint32_t dir = QN_NO_NODE;
    bool named = false;

    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            if (!lines(&j, lists[k]->v[i]))
                return refuse(&j, "its command", why, size);
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        struct qn_str text;
        if (p->fate[i].removed || !shell_script(n) || !qn_node_text(img, i, &text) || !runs(img, i, &dir, &named))
            continue;
        j.own = n->package == QN_NO_PACKAGE;
        snprintf(who, sizeof who, "/%s", QN_Q(n->path));
        if (!lines(&j, text))
            return refuse(&j, who, why, size);
    }
    return true;
}
