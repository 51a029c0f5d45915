#include "dynamic.h"
#include "shell_commands.h"

#include "base/path.h"

#include <stdlib.h>

#define VALUES_MAX 1024u
#define DEPTH_MAX  6u
#define EVAL_MAX   4096u

/* A value that a script gives a variable. */
struct value {
    struct qn_str name;
    struct qn_str text; /* a word as it stands there; a path whose files are the values */
    /* MORE: behind what the variable holds already. ARGUMENTS: of every call of the function of this name. */
    enum { WORD, MORE, UNKNOWN, FILES, ARGUMENTS } kind;
};

struct script {
    const struct qn_image *img;
    struct qn_str text;
    struct value *value;
    size_t values, cap;
    bool full;    /* there were more */
    bool sources; /* it reads other texts as parts of itself */
};

static bool one_of(struct qn_str word, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (qn_str_eq_c(word, words[i]))
            return true;
    return false;
}

static bool name_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static size_t name_length(struct qn_str s)
{
    size_t n = 0;
    while (n < s.n && name_byte(s.p[n], n == 0))
        n++;
    return n;
}

/* "NAME=...", "NAME+=...", "NAME[x]=...": what stands behind the sign. */
static bool assignment(struct qn_str word, struct qn_str *name, struct qn_str *value)
{
    size_t n = name_length(word), i = n;

    if (n == 0)
        return false;
    if (i < word.n && word.p[i] == '[') {
        ptrdiff_t close = qn_str_chr(qn_str_from(word, i), ']');
        if (close < 0)
            return false;
        i += (size_t)close + 1;
    }
    i += i < word.n && word.p[i] == '+';
    if (i >= word.n || word.p[i] != '=')
        return false;
    *name = qn_str_head(word, n);
    *value = qn_str_from(word, i + 1);
    return true;
}

/* --- values ------------------------------------------------------------------------------------------------------- */
static void note(struct script *s, struct qn_str name, struct qn_str text, int kind)
{
    struct qn_err ignored;

    if (name.n == 0 || name_length(name) != name.n)
        return;
    if (qn_grow((void **)&s->value, &s->cap, s->values + 1, sizeof *s->value, VALUES_MAX, &ignored) < 0) {
        s->full = true;
        return;
    }
    s->value[s->values++] = (struct value){name, text, kind};
}

/* "${NAME:=value}" and "${NAME=value}". */
static void note_defaults(struct script *s, struct qn_str word)
{
    for (ptrdiff_t at; (at = qn_str_find(word, QN_STR("${"))) >= 0;) {
        word = qn_str_from(word, (size_t)at + 2);
        size_t n = name_length(word), i = n;
        i += i < word.n && word.p[i] == ':';
        if (n == 0 || i >= word.n || word.p[i] != '=')
            continue;
        struct qn_str rest = qn_str_from(word, i + 1);
        ptrdiff_t close = qn_str_rchr(rest, '}');
        note(s, qn_str_head(word, n), close < 0 ? rest : qn_str_head(rest, (size_t)close), WORD);
    }
}

/* What `find DIR ...` or `ls DIR` lists: its directory. */
static struct qn_str listed_directory(const struct qn_shell_command *c)
{
    static const char *const lists[] = {"find", "/usr/bin/find", "ls", NULL};

    for (size_t i = 0; i + 1 < c->words; i++)
        if (one_of(c->word[i], lists)) {
            for (size_t k = i + 1; k < c->words; k++)
                if (c->word[k].p[0] != '-')
                    return c->word[k];
            break;
        }
    return QN_STR("");
}

/* The function in whose body a word stands ("name() {" to a line that starts with "}"), or "". */
static struct qn_str function_around(struct qn_str text, struct qn_str word)
{
    struct qn_str rest = text, line, name = QN_STR("");

    while (qn_str_next(&rest, '\n', &line) && line.p <= word.p) {
        size_t n = name_length(line);
        if (n && qn_str_starts(qn_str_trim(qn_str_from(line, n)), QN_STR("()")))
            name = qn_str_head(line, n);
        else if (line.n && line.p[0] == '}')
            name = QN_STR("");
    }
    return name;
}

/* Values that a command gives: assignments before it or of export and the like, loops, read. `source` is what the
 * pipeline that it stands in starts with. */
static void note_command(struct script *s, const struct qn_shell_command *c, struct qn_str source)
{
    static const char *const declares[] = {"export", "local", "declare", "readonly", "typeset", NULL};
    static const char *const reads[] = {"read", "mapfile", "readarray", "getopts", "select", NULL};
    struct qn_str name, value;
    bool open = true, reading = false;

    for (size_t i = 0; i < c->words; i++) {
        struct qn_str word = c->word[i];
        note_defaults(s, word);
        bool list = i + 3 < c->words && !qn_str_eq(c->word[i + 3], QN_STR("\"$@\""));
        if (qn_str_eq(word, QN_STR("for")) && list && qn_str_eq(c->word[i + 2], QN_STR("in"))) {
            for (size_t k = i + 3; k < c->words; k++)
                note(s, c->word[i + 1], c->word[k], qn_str_chr(c->word[k], '*') >= 0 ? FILES : WORD);
            return;
        }
        /* "for x" takes the arguments: those that a function is called with, or what the image was started with. */
        if (qn_str_eq(word, QN_STR("for")) && i + 1 < c->words)
            note(s, c->word[i + 1], function_around(s->text, word), ARGUMENTS);
        if (reading && word.p[0] != '-')
            note(s, word, source, source.n ? FILES : UNKNOWN);
        if (qn_str_eq(word, QN_STR("-v")) && i + 1 < c->words)
            note(s, c->word[i + 1], QN_STR(""), UNKNOWN); /* printf -v */
        reading = reading || one_of(word, reads);
        if (assignment(word, &name, &value) && open)
            note(s, name, value, value.p[-2] == '+' ? MORE : WORD);
        open = open && (assignment(word, &name, &value) || one_of(word, declares) || word.p[0] == '-' ||
                        name_length(word) == word.n);
    }
}

static void note_all(struct script *s, struct qn_str text)
{
    static const char *const source_words[] = {".", "source", NULL};
    struct qn_shell_reader r;
    struct qn_shell_command c;
    struct qn_str source = QN_STR("");

    qn_shell_reader_init(&r, text);
    while (qn_shell_command(&r, &c)) {
        for (size_t i = 0; i < c.words; i++)
            s->sources = s->sources || one_of(c.word[i], source_words);
        if (!c.piped)
            source = QN_STR("");
        note_command(s, &c, c.piped ? source : QN_STR(""));
        if (!c.piped)
            source = listed_directory(&c);
    }
    s->full = s->full || r.lost;
}

/* Values that parts give: which script reads which part is not told apart. */
static void note_parts(struct script *s)
{
    for (uint32_t i = 1; s->img && s->sources && i < s->img->tree.count; i++) {
        const struct qn_entry *data = s->img->tree.node[i].data;
        if ((s->img->reach[i].all & QN_WHY_SOURCED) && data && data->captured && data->text.p != s->text.p)
            note_all(s, data->text);
    }
}

/* --- what can be told -------------------------------------------------------------------------------------------- */
static bool told(const struct script *s, struct qn_str word, unsigned depth);

static struct qn_str bare(struct qn_str word)
{
    word = qn_str_trim(word);
    while (word.n && (word.p[0] == '"' || word.p[0] == '\'' || word.p[0] == '\\'))
        word = qn_str_from(word, 1);
    while (word.n && (word.p[word.n - 1] == '"' || word.p[word.n - 1] == '\''))
        word.n--;
    return word;
}

/* Every file below a directory is reached; text that is no program does not matter. `path` is a directory, or one with
 * a pattern behind it. */
static bool files_told(const struct script *s, struct qn_str path)
{
    path = bare(path);
    if (!s->img || path.n == 0 || path.p[0] != '/' || qn_str_chr(path, '$') >= 0 || qn_str_chr(path, '`') >= 0)
        return false;
    ptrdiff_t star = qn_str_chr(path, '*');
    if (star >= 0)
        path = qn_str_head(path, (size_t)qn_str_rchr(qn_str_head(path, (size_t)star), '/'));
    const struct qn_tree *t = &s->img->tree;
    uint32_t dir = qn_tree_resolve(t, path, true);
    /* The root, and directories of programs, are no place for parts of a script. */
    if (path.n < 2 || (dir != QN_NO_NODE && t->node[dir].parent == QN_NO_NODE))
        return false;
    for (uint32_t i = dir; dir != QN_NO_NODE && i < qn_tree_end(t, dir); i++) {
        const struct qn_node *n = &t->node[i];
        bool part = n->type == QN_FILE && ((n->mode & 0111) || qn_str_ends(n->path, QN_STR("sh")));
        if (part && !qn_image_reached(s->img, i))
            return false;
    }
    return true;
}

/* The words of every call of a function; without one, what the image is started with is known. */
static bool arguments_told(const struct script *s, struct qn_str function, unsigned depth)
{
    struct qn_shell_reader r;
    struct qn_shell_command c;

    if (function.n == 0)
        return true;
    qn_shell_reader_init(&r, s->text);
    while (qn_shell_command(&r, &c))
        for (size_t i = 0, call = 0; i < c.words; i++) {
            bool glob = qn_str_chr(c.word[i], '*') >= 0;
            if (call && !(glob ? files_told(s, c.word[i]) : told(s, c.word[i], depth)))
                return false;
            call += qn_str_eq(c.word[i], function);
        }
    return true;
}

static bool environment(const struct script *s, struct qn_str name)
{
    for (size_t i = 0; s->img && i < s->img->config.env.n; i++) {
        struct qn_str var = s->img->config.env.v[i];
        if (qn_str_starts(var, name) && var.n > name.n && var.p[name.n] == '=')
            return true;
    }
    return false;
}

/* Whether all values of a variable can be told; `*empty` whether one of them is nothing, or a word that starts what
 * follows it. */
static bool variable_told(const struct script *s, struct qn_str name, bool fallback, unsigned depth, bool *empty)
{
    static const char *const nothing[] = {"", "nohup", "exec", "env", "nice", "time", "setsid", "sudo", NULL};
    bool any = false, nothing_yet = false, more_told = true;

    if (s->full || depth == 0)
        return false;
    for (size_t i = 0; i < s->values; i++) {
        const struct value *v = &s->value[i];
        struct qn_str text = bare(v->text), own;
        if (!qn_str_eq(v->name, name))
            continue;
        if (v->kind == MORE) {
            more_told = more_told && told(s, v->text, depth - 1);
            continue;
        }
        any = true;
        nothing_yet = nothing_yet || text.n == 0 || qn_str_eq(text, QN_STR("()"));
        /* "PATH_=${PATH_:-x}" and the like say nothing new of themselves. */
        own = qn_str_from(text, text.n > 1 && text.p[0] == '$' && text.p[1] == '{' ? 2 : 1);
        bool self = text.n && text.p[0] == '$' && name_length(own) == name.n && qn_str_starts(own, name);
        if (v->kind == UNKNOWN || (v->kind == ARGUMENTS && !arguments_told(s, v->text, depth - 1)) ||
            (v->kind == FILES && !files_told(s, v->text)) || (v->kind == WORD && !self && !told(s, v->text, depth - 1)))
            return false;
        *empty = *empty || one_of(text, nothing);
    }
    return (any || fallback || environment(s, name)) && (more_told || !nothing_yet);
}

/* "$(command -v x)", "`which x`": a name that stands there. */
static bool looked_up(struct qn_str inside)
{
    static const char *const silent[] = {"mkdir", "rm", "cp", "mv", "ln", "touch", "true", "chmod", "chown", "[", NULL};
    static const char *const lookups[] = {"command", "which", "type", "readlink", "realpath", NULL};
    struct qn_str rest = inside, word;

    if (!qn_str_word(&rest, &word))
        return false;
    if (one_of(word, silent)) /* they print nothing that could run */
        return true;
    if (!one_of(word, lookups))
        return false;
    while (qn_str_word(&rest, &word))
        if (word.p[0] != '-')
            return qn_str_chr(word, '$') < 0;
    return false;
}

/* A word that is one expansion and nothing else: "$X", "${X}", "${X:-y}", "$(command -v x)". */
static bool expansion_told(const struct script *s, struct qn_str word, unsigned depth, bool *empty)
{
    static const char *const own[] = {"@", "*", "0", "BASH_SOURCE", "BASH", "SHELL", NULL};
    struct qn_str inside = qn_str_from(word, 1);

    if (word.p[0] == '`' || (inside.n && inside.p[0] == '('))
        return looked_up(qn_str_from(inside, word.p[0] != '`'));
    bool brace = inside.n && inside.p[0] == '{';
    inside = qn_str_from(inside, brace);
    if (inside.n && one_of(qn_str_head(inside, 1), own))
        return true;
    size_t n = name_length(inside);
    struct qn_str name = qn_str_head(inside, n), rest = qn_str_from(inside, n);
    if (n == 0)
        return false;
    if (one_of(name, own))
        return true;
    if (!brace)
        return rest.n == 0 && variable_told(s, name, false, depth, empty);
    rest = rest.n && rest.p[rest.n - 1] == '}' ? qn_str_head(rest, rest.n - 1) : rest;
    if (rest.n == 0 || qn_str_eq(rest, QN_STR("[@]")) || qn_str_eq(rest, QN_STR("[*]")) ||
        qn_str_eq(rest, QN_STR("[0]")))
        return variable_told(s, name, false, depth, empty);
    size_t skip = rest.p[0] == ':' ? 2 : 1;
    if (skip > rest.n || (rest.p[skip - 1] != '-' && rest.p[skip - 1] != '='))
        return rest.p[0] == '+' || (rest.n > 1 && rest.p[0] == ':' && rest.p[1] == '+')
                   ? told(s, qn_str_from(rest, rest.p[0] == ':' ? 2 : 1), depth - 1)
                   : false;
    return told(s, qn_str_from(rest, skip), depth - 1) && variable_told(s, name, true, depth, empty);
}

static bool plain(struct qn_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (memchr("$`*?[", s.p[i], 5))
            return false;
    return true;
}

static bool word_told(const struct script *s, struct qn_str word, unsigned depth, bool *empty)
{
    word = bare(word);
    if (word.n && word.p[0] == '(') { /* an array: its first word is the command */
        struct qn_str rest = qn_str_from(word, 1), first;
        return !qn_str_word(&rest, &first) || told(s, qn_str_trim(first), depth - 1);
    }
    if (plain(word))
        return true;
    if (depth == 0)
        return false;
    /* "$X/bin/java", "$(dirname "$0")/x": whatever is called so is reached. */
    ptrdiff_t slash = qn_str_rchr(word, '/');
    struct qn_str tail = qn_str_from(word, (size_t)(slash + 1)), first = word;
    if (slash > 0 && tail.n && plain(tail) && qn_str_chr(tail, '}') < 0 && qn_str_chr(tail, ')') < 0)
        return true;
    /* "/usr/lib/x/bin/$NAME": what lies there. */
    ptrdiff_t dollar = qn_str_chr(word, '$');
    if (word.p[0] == '/' && dollar > 2 && word.p[dollar - 1] == '/' && slash == dollar - 1)
        return files_told(s, qn_str_head(word, (size_t)dollar));
    /* A command line in a variable: its first word. */
    struct qn_str rest = word;
    bool brace = word.n > 1 && word.p[0] == '$' && memchr("{(", word.p[1], 2);
    if (!brace && word.p[0] != '`' && qn_str_word(&rest, &first) && first.n < word.n)
        return word_told(s, first, depth - 1, empty);
    return (word.p[0] == '$' || word.p[0] == '`') && expansion_told(s, word, depth, empty);
}

static bool told(const struct script *s, struct qn_str word, unsigned depth)
{
    bool empty = false;
    return depth > 0 && word_told(s, word, depth, &empty);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */
static bool command_told(const struct script *s, const struct qn_shell_command *c, bool evaluated);

/* What eval is given, read once more. */
static bool eval_told(const struct script *s, const struct qn_shell_command *c, size_t from)
{
    char line[EVAL_MAX], *at = line;
    struct qn_shell_reader r;
    struct qn_shell_command inner;

    for (size_t i = from; i < c->words; i++) {
        struct qn_str out;
        size_t left = sizeof line - (size_t)(at - line);
        if (left < 2 || !qn_shell_unquote(c->word[i], at, left - 1, &out))
            return false;
        at += out.n;
        *at++ = ' ';
    }
    if (c->words == QN_COMMAND_WORDS)
        return false;
    qn_shell_reader_init(&r, qn_str_n(line, (size_t)(at - line)));
    while (qn_shell_command(&r, &inner))
        if (!command_told(s, &inner, true))
            return false;
    return !r.lost;
}

/* The first word that is no keyword, assignment or program that starts what follows; c->words when there is none. */
static size_t command_word(const struct qn_shell_command *c)
{
    static const char *const before[] = {"then", "do",   "else",   "elif",    "if",    "while",   "until",
                                         "!",    "{",    "exec",   "command", "nohup", "builtin", "setsid",
                                         "time", "nice", "coproc", "env",     "xargs", NULL};
    struct qn_str name, value;
    size_t i = 0;
    bool options = false;

    for (; i < c->words; i++) {
        bool starts = one_of(c->word[i], before);
        if (options && c->word[i].p[0] == '-') {
            if (qn_str_eq(c->word[i], QN_STR("-v")) || qn_str_eq(c->word[i], QN_STR("-V")))
                return c->words; /* "command -v x" asks, and starts nothing */
            i += qn_str_eq(c->word[i], QN_STR("-a")) || qn_str_eq(c->word[i], QN_STR("-n"));
            continue;
        }
        if (!starts && !assignment(c->word[i], &name, &value))
            break;
        options = options || starts;
    }
    return i;
}

/* The words of "sh -c WORDS", or of a script that a shell reads from a here-document. */
static bool shell_told(const struct script *s, const struct qn_shell_command *c, size_t i)
{
    for (size_t k = i + 1; k < c->words && c->word[k].p[0] == '-'; k++)
        if (qn_str_find(c->word[k], QN_STR("c")) > 0 && k + 1 < c->words) {
            struct qn_str line = c->word[k + 1];
            bool whole = line.n > 1 && (line.p[0] == '"' || line.p[0] == '$') && qn_str_chr(line, ' ') < 0;
            return !whole || told(s, line, DEPTH_MAX);
        }
    return qn_str_chr(c->reads, '$') < 0 && qn_str_chr(c->reads, '`') < 0;
}

static bool command_told(const struct script *s, const struct qn_shell_command *c, bool evaluated)
{
    static const char *const source[] = {".", "source", NULL};
    static const char *const list[] = {"for", "case", "select", "function", "[", "[[", "test", "echo", NULL};
    size_t i = command_word(c);
    bool empty = false;

    if (i == c->words || one_of(c->word[i], list))
        return true;
    if (qn_str_eq(c->word[i], QN_STR("eval")))
        return i + 1 == c->words || (!evaluated && eval_told(s, c, i + 1));
    if (one_of(c->word[i], source))
        return i + 1 == c->words || told(s, c->word[i + 1], DEPTH_MAX);
    if (qn_is_shell_name(qn_path_base(c->word[i])))
        return shell_told(s, c, i);
    /* "$NAME=value" gives a value and runs nothing. */
    if (evaluated && c->word[i].p[0] == '$' && qn_str_chr(c->word[i], '=') > 0)
        return true;
    while (i < c->words) {
        empty = false;
        if (!word_told(s, c->word[i], DEPTH_MAX, &empty))
            return false;
        if (!empty)
            return true;
        i++;
    }
    return true;
}

bool qn_script_dynamic(const struct qn_image *img, struct qn_str text, struct qn_str *what)
{
    struct script s = {.img = img, .text = text};
    struct qn_shell_reader r;
    struct qn_shell_command c;
    bool dynamic = false;

    note_all(&s, text);
    note_parts(&s);
    qn_shell_reader_init(&r, text);
    while (!dynamic && qn_shell_command(&r, &c)) {
        dynamic = !command_told(&s, &c, false);
        *what = c.text;
    }
    if (!dynamic && r.lost) {
        *what = QN_STR("more than can be followed");
        dynamic = true;
    }
    free(s.value);
    return dynamic;
}

/* Shell text among the words that start the image. */
static bool dynamic_argv(const struct qn_image *img, const struct qn_words *argv, struct qn_str *what)
{
    for (size_t i = 1; i < argv->n; i++)
        if (qn_str_chr(argv->v[i], '$') >= 0 && qn_str_eq(argv->v[i - 1], QN_STR("-c")) &&
            qn_script_dynamic(img, argv->v[i], what))
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
        bool sourced =
            n->data->content == QN_TEXT && (qn_str_ends(n->path, QN_STR("sh")) || (img->reach[i].all & QN_WHY_SOURCED));
        if ((script || sourced) && qn_script_dynamic(img, n->data->text, what)) {
            *where = n->path;
            return true;
        }
    }
    return false;
}
