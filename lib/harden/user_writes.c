/* What the image's shell scripts say they write, by redirections and by the few commands that scripts write with. A
 * line that forgives its failure ("|| true") does not count. What variables hold cannot be told. */
#include "rule_user.h"

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

static bool ends_path(char c)
{
    return (unsigned char)c <= ' ' || memchr(";&|<>(){}`$\"'\\,", c, 15) != NULL;
}

/* The absolute path at the start of the text, up to what a shell would not take literally; a part of a name before a
 * variable goes. */
static struct qn_str literal_path(struct qn_str s)
{
    size_t n = 0;

    while (s.n && ((unsigned char)s.p[0] <= ' ' || s.p[0] == '"' || s.p[0] == '\''))
        s = qn_str_from(s, 1);
    if (s.n == 0 || s.p[0] != '/')
        return QN_STR("");
    while (n < s.n && !ends_path(s.p[n]))
        n++;
    struct qn_str path = qn_str_head(s, n);
    return n < s.n && (s.p[n] == '$' || s.p[n] == '`') ? qn_path_dir(path) : path;
}

/* The first path that a redirection of the line writes and the user could not. */
static struct qn_str redirected(const struct qn_plan *p, const struct qn_user_choice *u, struct qn_str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] != '>')
            continue;
        while (i + 1 < line.n && (line.p[i + 1] == '>' || line.p[i + 1] == '|'))
            i++;
        struct qn_str path = literal_path(qn_str_from(line, i + 1));
        if (!writable(p, u, path))
            return path;
    }
    return QN_STR("");
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

/* The same for the commands of the line. */
static struct qn_str operated(const struct qn_plan *p, const struct qn_user_choice *u, struct qn_str line)
{
    struct qn_str rest = line, word, last = QN_STR("");
    enum operands kind = NONE;

    while (qn_str_word(&rest, &word)) {
        bool separator = memchr(";&|", word.p[0], 3) != NULL, ends = word.p[word.n - 1] == ';';
        struct qn_str path = kind == NONE || separator ? QN_STR("") : literal_path(word);
        if (kind == NONE && !separator)
            kind = written_by(word, line);
        if (path.n && kind == ALL && !writable(p, u, path))
            return path;
        if (path.n)
            last = path;
        if (!separator && !ends)
            continue;
        if (kind == LAST && !writable(p, u, last))
            return last;
        kind = NONE;
        last = QN_STR("");
    }
    return kind == LAST && !writable(p, u, last) ? last : QN_STR("");
}

static bool forgives(struct qn_str line)
{
    return qn_str_find(line, QN_STR("|| true")) >= 0 || qn_str_find(line, QN_STR("|| :")) >= 0 ||
           (line.n && line.p[0] == '#');
}

/* The first path that a line of the text writes and the user could not, or "". */
static struct qn_str refused(const struct qn_plan *p, const struct qn_user_choice *u, struct qn_str text)
{
    struct qn_str line;

    while (qn_str_next(&text, '\n', &line)) {
        line = qn_str_trim(line);
        if (forgives(line))
            continue;
        struct qn_str path = redirected(p, u, line);
        path = path.n ? path : operated(p, u, line);
        if (path.n)
            return path;
    }
    return QN_STR("");
}

static bool shell_script(const struct qn_node *n)
{
    return n->data && n->data->content == QN_SCRIPT &&
           (qn_is_shell_name(qn_path_base(n->data->script.interpreter)) ||
            qn_is_shell_name(qn_path_base(n->data->script.program)));
}

bool qn_user_writes(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size)
{
    const struct qn_image *img = p->img;
    const struct qn_words *lists[] = {&img->config.entrypoint, &img->config.cmd};

    for (size_t k = 0; k < QN_ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            struct qn_str path = refused(p, u, lists[k]->v[i]);
            if (path.n) {
                snprintf(why, size, "its command writes %s, which uid %u could not", QN_Q(path), u->uid);
                return false;
            }
        }
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        struct qn_str text;
        if (!(img->reach[i].all & QN_WHY_STARTED) || p->fate[i].removed || !shell_script(n) ||
            !qn_node_text(img, i, &text))
            continue;
        struct qn_str path = refused(p, u, text);
        if (path.n) {
            snprintf(why, size, "/%s writes %s, which uid %u could not", QN_Q(n->path), QN_Q(path), u->uid);
            return false;
        }
    }
    return true;
}
