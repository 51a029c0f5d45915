/* Scripts that run, and settings that hold command lines. */
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
 * usual tools stand in one place only. */
static void dispatch(struct qn_reaching *w, uint32_t node, struct qn_str base)
{
    size_t n, at = qn_names_find(&w->programs, base, &n);

    if (n < 2 || w->programs.at[at].visited++)
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
    return o->tree->node[node].package == o->package &&
           !qn_path_under(o->tree->node[node].path, QN_STR("usr/share/doc"));
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

static void shell_text(struct qn_reaching *w, uint32_t node, struct qn_str text)
{
    const struct qn_image *img = w->img;
    struct qn_str dir = qn_path_dir(img->tree.node[node].path), word;
    struct qn_shell_words words = {.rest = text};
    bool own = !w->tools && img->tree.node[node].package != QN_NO_PACKAGE;

    while (!w->failed && qn_shell_word(&words, &word)) {
        int tool = qn_tool_find(qn_path_base(word));
        if (word.n >= QN_PATH_MAX || keyword(word) || (w->tools && tool >= 0 && qn_tool_class(tool) == QN_TOOL_MANAGER))
            continue;
        qn_reach_word(w, word, QN_WHY_CALLED, node);
        qn_reach_variable(w, word, QN_WHY_CALLED, node);
        beside(w, node, dir, word);
        if (!w->tools)
            dispatch(w, node, qn_path_base(word));
        if (own)
            package_files(w, node, qn_path_base(word));
    }
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
            if (t->node[i].type == QN_FILE && qn_glob(qn_str_c(rows[r].settings), t->node[i].path))
                qn_reach_chain(w, i, QN_WHY_MENTIONED, node);
    }
}
