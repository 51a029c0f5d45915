/* Scripts that run, and settings that hold command lines. */
#include "keepset.h"
#include "reach_int.h"
#include "words.h"

#include "base/path.h"

static bool shell(struct qn_str path)
{
    return qn_is_shell_name(qn_path_base(path));
}

/* Names beside a script: what it sources or calls by its own directory ("$(dirname "$0")/lib/x.sh"). */
static void beside(struct qn_reaching *w, uint32_t node, struct qn_str dir, struct qn_str word)
{
    const struct qn_tree *t = &w->img->tree;

    for (int whole = 0; whole < 2; whole++) {
        struct qn_str name = whole ? word : qn_path_base(word);
        while (name.n && name.p[0] == '/')
            name = qn_str_from(name, 1);
        uint32_t n = name.n ? qn_tree_resolve_at(t, dir, name, false) : QN_NO_NODE;
        if (n != QN_NO_NODE && t->node[n].type == QN_FILE)
            qn_reach_chain(w, n, QN_WHY_CALLED, node);
    }
}

/* Programs that a wrapper picks among by name: usr/bin/psql runs usr/lib/postgresql/15/bin/psql. The names of the
 * usual tools stand in one place only; behind a variable's directory ("$JAVA_HOME/bin/java"), that one is meant. */
static void dispatch(struct qn_reaching *w, uint32_t node, struct qn_str base, bool computed)
{
    size_t n, at = qn_names_find(&w->programs, base, &n);

    if (n < (computed ? 1 : 2) || w->programs.at[at].visited++)
        return;
    for (size_t i = at; i < at + n; i++)
        qn_reach_chain(w, w->programs.at[i].node, QN_WHY_CALLED, node);
}

struct ownership {
    const struct qn_tree *tree;
    uint32_t package;
};

static bool owned(const void *ctx, uint32_t node)
{
    const struct ownership *o = ctx;
    /* What starts a service is called by its whole path, if at all: its name is the program's. */
    static const char *const dirs[] = {"usr/share/doc",     "etc/init.d",  "etc/logrotate.d",
                                       "usr/lib/systemd",   "lib/systemd", "etc/default",
                                       "usr/share/lintian", "etc/pam.d",   "usr/share/bash-completion"};

    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(o->tree->node[node].path, qn_str_c(dirs[i])))
            return false;
    return o->tree->node[node].package == o->package;
}

/* Files of the script's own package that it names, with or without a path. */
static void package_files(struct qn_reaching *w, uint32_t node, struct qn_str base)
{
    struct ownership o = {&w->img->tree, w->img->tree.node[node].package};
    struct qn_names *own = &w->own[o.package];
    size_t n;

    if (!own->at && qn_names_make(o.tree, owned, &o, &w->img->arena, own, &w->err) < 0) {
        w->failed = true;
        return;
    }
    size_t at = qn_names_find(own, base, &n);
    /* A script does not call itself; whom the first leaves out, the second has. */
    if (n == 0 || base.n < 3 || own->at[at].visited == UINT32_MAX || own->at[at].visited == node)
        return;
    own->at[at].visited = own->at[at].visited ? UINT32_MAX : node;
    for (size_t i = at; i < at + n; i++)
        if (own->at[i].node != node)
            qn_reach_chain(w, own->at[i].node, QN_WHY_CALLED, node);
}

/* Words that every script has; they are no names of files. */
static bool keyword(struct qn_str word)
{
    static const char *const words[] = {"then",   "else", "elif", "fi",   "for",   "while", "until",  "do",
                                        "done",   "case", "esac", "in",   "if",    "set",   "export", "local",
                                        "return", "exit", "echo", "test", "shift", "read",  "eval",   "exec"};
    for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
        if (qn_str_eq_c(word, words[i]))
            return true;
    return false;
}

/* What a script sources: texts of this name, wherever a variable says they are; a path that stands there whole is that
 * one. */
static void sourced(struct qn_reaching *w, uint32_t node, struct qn_str word, bool computed)
{
    const struct qn_tree *t = &w->img->tree;
    size_t n, at = qn_names_find(&w->sources, qn_path_base(word), &n);
    uint32_t whole = !computed && word.n && word.p[0] == '/' ? qn_tree_resolve(t, word, true) : QN_NO_NODE;

    for (size_t i = at; i < at + n; i++) {
        uint32_t to = w->sources.at[i].node;
        if ((whole != QN_NO_NODE && to != whole) || to == node || (w->img->reach[to].all & QN_WHY_SOURCED))
            continue;
        qn_reach_chain(w, to, QN_WHY_CALLED, node);
        w->img->reach[to].all |= QN_WHY_SOURCED;
        w->source[w->source_count++] = to;
    }
}

#define SOURCED_NAMES 8u

/* Variables whose values a script sources. */
struct sourced_names {
    struct qn_str at[SOURCED_NAMES];
    size_t n;
};

static bool add_name(struct sourced_names *names, struct qn_str name)
{
    for (size_t i = 0; i < names->n; i++)
        if (qn_str_eq(names->at[i], name))
            return false;
    if (names->n == SOURCED_NAMES || name.n == 0)
        return false;
    names->at[names->n++] = name;
    return true;
}

/* What stands behind "NAME=", "NAME:=" or "NAME:-" of those variables is sourced; where it is a variable, so are that
 * one's values. */
static void sourced_values(struct qn_reaching *w, uint32_t node, struct qn_str text, struct sourced_names *names)
{
    for (bool again = true; again;) {
        struct qn_shell_words words = {.rest = text};
        struct qn_str word, name = QN_STR("");
        again = false;
        while (qn_shell_word(&words, &word)) {
            for (size_t i = 0; name.n && i < names->n; i++) {
                if (!qn_str_eq(name, names->at[i]))
                    continue;
                sourced(w, node, word, word.p > text.p && qn_str_chr(QN_STR("${}"), word.p[-1]) >= 0);
                again = add_name(names, word) || again;
            }
            size_t n = word.n;
            while (n && (word.p[n - 1] == ':' || word.p[n - 1] == '+'))
                n--;
            name = words.rest.n && (words.rest.p[0] == '=' || n < word.n) ? qn_str_head(word, n) : QN_STR("");
        }
    }
}

/* "/usr/lib/x/bin/$NAME": whatever lies there may be meant. Directories that packages share hold more than a script's
 * parts. */
static void whole_directory(struct qn_reaching *w, uint32_t node, struct qn_str word)
{
    const struct qn_tree *t = &w->img->tree;
    static const char *const shared[] = {"bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin"};
    uint32_t dir = word.n > 2 && word.p[0] == '/' ? qn_tree_resolve(t, word, true) : QN_NO_NODE;

    if (dir == QN_NO_NODE || dir == 0 || t->node[dir].type != QN_DIR || t->node[dir].parent == 0)
        return;
    for (size_t i = 0; i < QN_ARRAY_LEN(shared); i++)
        if (qn_str_eq_c(t->node[dir].path, shared[i]))
            return;
    for (uint32_t i = dir + 1, end = qn_tree_end(t, dir); i < end; i++)
        if (t->node[i].parent == dir && t->node[i].type != QN_DIR && (t->node[i].mode & 0111))
            qn_reach_chain(w, i, QN_WHY_CALLED, node);
}

/* Sees the words of a script for what it sources: what stands behind "." or "source", up to the next blank. */
struct sourcing {
    struct sourced_names names;
    struct qn_str before; /* the word before, while what is sourced goes on */
    bool on;
};

static void source_word(struct qn_reaching *w, uint32_t node, struct qn_str text, struct qn_str word,
                        struct sourcing *s)
{
    bool first = s->on && (qn_str_eq(s->before, QN_STR(".")) || qn_str_eq(s->before, QN_STR("source")));
    bool apart = false;

    for (const char *p = s->before.p + s->before.n; s->on && p < word.p; p++)
        apart = apart || (unsigned char)*p <= ' ';
    if (s->on && (first || !apart)) {
        bool variable = word.p > text.p && qn_str_chr(QN_STR("${"), word.p[-1]) >= 0;
        sourced(w, node, word, variable || !first);
        if (variable)
            (void)add_name(&s->names, word);
    }
    s->on = (s->on && (first || !apart)) || qn_str_eq(word, QN_STR(".")) || qn_str_eq(word, QN_STR("source"));
    s->before = word;
}

static void shell_text(struct qn_reaching *w, uint32_t node, struct qn_str text)
{
    const struct qn_image *img = w->img;
    struct qn_str dir = qn_path_dir(img->tree.node[node].path), word;
    struct qn_shell_words words = {.rest = text};
    struct sourcing sourcing = {.on = false};
    bool own = !w->tools && img->tree.node[node].package != QN_NO_PACKAGE;

    while (!w->failed && qn_shell_word(&words, &word)) {
        int tool = qn_tool_find(qn_path_base(word));
        if (!w->tools)
            source_word(w, node, text, word, &sourcing);
        if (word.n >= QN_PATH_MAX || keyword(word) || qn_shell_spoken(text, word) ||
            (w->tools && tool >= 0 && qn_tool_class(tool) == QN_TOOL_MANAGER))
            continue;
        qn_reach_word(w, word, QN_WHY_CALLED, node);
        qn_reach_variable(w, word, QN_WHY_CALLED, node);
        beside(w, node, dir, word);
        if (word.p[word.n - 1] == '/' && words.rest.n && words.rest.p[0] == '$')
            whole_directory(w, node, word);
        if (!w->tools)
            dispatch(w, node, qn_path_base(word), qn_str_chr(word, '/') > 0);
        if (own)
            package_files(w, node, qn_path_base(word));
    }
    if (sourcing.names.n)
        sourced_values(w, node, text, &sourcing.names);
}

void qn_reach_sourced(struct qn_reaching *w, uint32_t node)
{
    shell_text(w, node, w->img->tree.node[node].data->text);
}

void qn_reach_script(struct qn_reaching *w, uint32_t node, const struct qn_entry *data)
{
    qn_reach_word(w, data->script.interpreter, QN_WHY_INTERPRETER, node);
    if (data->script.program.n)
        qn_reach_word(w, data->script.program, QN_WHY_INTERPRETER, node);
    /* "#!/usr/bin/with-contenv bash" */
    if (!data->script.program.n)
        qn_reach_line(w, data->script.argument, QN_WHY_INTERPRETER, node);
    qn_reach_mentions(w, node, &data->mentions, false);
    qn_reach_named(w, node, &data->named);
    if (qn_script_shell(&data->script))
        shell_text(w, node, data->text);
}

/* Libraries whose name starts so: "vips", "libvips", "vips-42" and "libvips.so.42" of a text that loads libraries. */
static void named_library(struct qn_reaching *w, uint32_t node, struct qn_str word)
{
    char name[80];
    size_t lo = 0, hi = w->libraries.count;
    bool whole = qn_str_find(word, QN_STR(".so")) > 0;
    ptrdiff_t dash = whole ? -1 : qn_str_rchr(word, '-');

    if (dash > 0 && (size_t)dash + 1 < word.n && word.p[dash + 1] >= '0' && word.p[dash + 1] <= '9')
        word = qn_str_head(word, (size_t)dash);
    int n = snprintf(name, sizeof name, "%s%.*s%s", qn_str_starts(word, QN_STR("lib")) ? "" : "lib", (int)word.n,
                     word.p, whole ? "" : ".so");
    if (n < 0 || (size_t)n >= sizeof name)
        return;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (qn_str_cmp(w->libraries.at[mid].base, qn_str_c(name)) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < w->libraries.count && qn_str_starts(w->libraries.at[lo].base, qn_str_c(name)); lo++)
        qn_reach_chain(w, w->libraries.at[lo].node, QN_WHY_MENTIONED, node);
}

/* Names of compilers are everyday words; what says so is looked at in scripts only. */
static bool builder(struct qn_str word)
{
    static const char *const names[] = {"as", "ld", "cc", "go", "make", "gcc", "g++", "cpp", "c++", "cmake", "clang"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(word, names[i]))
            return true;
    return false;
}

void qn_reach_named(struct qn_reaching *w, uint32_t node, const struct qn_text_facts *named)
{
    const struct qn_tree *t = &w->img->tree;

    for (uint32_t i = 0; i < named->hint_count && !w->tools; i++) {
        struct qn_str word = named->hint[i].text, base = qn_path_base(word);
        if (named->hint[i].kind == QN_HINT_LIBRARY) {
            named_library(w, node, word);
            continue;
        }
        /* What is known of tools is in the mentions. */
        if (qn_tool_find(base) >= 0 || builder(base))
            continue;
        uint32_t to = qn_image_command(w->img, word);
        /* What uses managers of languages is looked at by units.h. */
        if (to != QN_NO_NODE && t->node[to].type == QN_FILE && (t->node[to].mode & 0111) && !w->img->unit[to])
            qn_reach_word(w, word, QN_WHY_CALLED, node);
    }
}

/* "command=/usr/sbin/nginx -g 'daemon off;'" of supervisord, "ExecStart=..." of units, "web: gunicorn x" of Procfiles
 * and the like: the value after the key, or nothing. */
static struct qn_str command_line(struct qn_str line)
{
    static const char *const keys[] = {"command",    "ExecStart",     "ExecStartPre", "ExecStartPost",
                                       "ExecReload", "exec",          "run",          "program",
                                       "server",     "start program", "directory",    "stop program"};
    line = qn_str_trim(line);
    ptrdiff_t at = qn_str_chr(line, '=');
    if (at <= 0 || line.p[0] == '#' || line.p[0] == ';')
        return QN_STR("");
    struct qn_str key = qn_str_trim(qn_str_head(line, (size_t)at));
    for (size_t i = 0; i < QN_ARRAY_LEN(keys); i++)
        if (qn_str_eq_c(key, keys[i]))
            return qn_str_from(line, (size_t)at + 1);
    return QN_STR("");
}

/* Files all of whose words may be command lines. */
static bool crontab(struct qn_str path)
{
    return qn_str_eq(path, QN_STR("etc/crontab")) || qn_str_find(path, QN_STR("/cron")) > 0 ||
           qn_str_ends(path, QN_STR("/Procfile")) || qn_str_eq(path, QN_STR("etc/inittab"));
}

void qn_reach_text(struct qn_reaching *w, uint32_t node, const struct qn_entry *data)
{
    struct qn_str path = w->img->tree.node[node].path, text = data->text, line;

    qn_reach_mentions(w, node, &data->mentions, false);
    qn_reach_named(w, node, &data->named);
    if (!data->captured)
        return;
    if (qn_str_ends(path, QN_STR("sh"))) {
        shell_text(w, node, text);
        return;
    }
    bool every = crontab(path);
    while (qn_str_next(&text, '\n', &line)) {
        struct qn_str command = every ? line : command_line(line);
        if (command.n && !(every && line.p[0] == '#'))
            qn_reach_line(w, command, QN_WHY_CALLED, node);
    }
}

static bool starts_logins(struct qn_str base)
{
    static const char *const names[] = {"sshd", "su",    "login",      "runuser", "sudo",  "dropbear",
                                        "cron", "crond", "in.telnetd", "ttyd",    "tmate", "getty"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(base, names[i]))
            return true;
    return false;
}

/* The shells of those who may log in: the last field of passwd. */
static void login_shells(struct qn_reaching *w, uint32_t node)
{
    struct qn_str text, line;

    if (w->logins)
        return;
    w->logins = true;
    if (!qn_image_text(w->img, QN_STR("etc/passwd"), &text))
        return;
    while (qn_str_next(&text, '\n', &line)) {
        ptrdiff_t colon = qn_str_rchr(line, ':');
        struct qn_str path = qn_str_trim(qn_str_from(line, (size_t)(colon + 1)));
        if (colon > 0 && shell(path))
            qn_reach_word(w, path, QN_WHY_SHELL, node);
    }
}

/* Jobs by which package managers and tools look after a system: they go with those. */
static bool upkeep(const struct qn_image *img, uint32_t node)
{
    uint32_t package = img->tree.node[node].package;

    if (package == QN_NO_PACKAGE)
        return false;
    enum qn_package_class class = qn_package_class(img->package[package].name);
    return class == QN_CLASS_MANAGER || class == QN_CLASS_TOOLBOX;
}

void qn_reach_program(struct qn_reaching *w, uint32_t node)
{
    static const struct {
        const char *program, *settings;
    } rows[] = {
#define X(program, settings) {program, settings},
#include "reads.def"
#undef X
    };
    const struct qn_tree *t = &w->img->tree;
    struct qn_str base = qn_path_base(t->node[node].path);

    _Static_assert(QN_ARRAY_LEN(rows) <= QN_ARRAY_LEN(w->settings), "a flag for each row");
    if (w->tools)
        return;
    if (starts_logins(base))
        login_shells(w, node);
    for (size_t r = 0; r < QN_ARRAY_LEN(rows); r++) {
        if (w->settings[r] || !qn_str_eq_c(base, rows[r].program))
            continue;
        w->settings[r] = true;
        for (uint32_t i = 1; i < t->count; i++)
            if (t->node[i].type == QN_FILE && !upkeep(w->img, i) &&
                qn_glob(qn_str_c(rows[r].settings), t->node[i].path))
                qn_reach_chain(w, i, QN_WHY_MENTIONED, node);
    }
}
