#include "texts.h"

#include "base/path.h"

#include <stdlib.h>

#define WORD_MAX       48u
#define PATH_TEXT_MAX  255u
#define BYTES_MAX      (1u << 20) /* of the names of one file */
#define LINE_WORDS_MAX 64u
#define RAW_MAX        (4 * QN_TEXT_HINTS_MAX) /* names of one file before repetitions are dropped */
/* What is left to each file of a layer in which others have named very much. */
#define SMALL_HINTS_MAX 4096u
#define SMALL_BYTES_MAX (64u << 10)

static int by_text(const void *a, const void *b)
{
    const struct qn_hint *x = a, *y = b;
    return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind) : qn_str_cmp(x->text, y->text);
}

/* Sorts and drops repetitions. */
static void compact(struct qn_text_names *t)
{
    size_t n = 0;

    if (t->count)
        qsort(t->at, t->count, sizeof *t->at, by_text);
    for (size_t i = 0; i < t->count; i++)
        if (n == 0 || by_text(&t->at[n - 1], &t->at[i]) != 0)
            t->at[n++] = t->at[i];
    t->count = n;
}

static void add(struct qn_text_names *t, enum qn_hint_kind kind, struct qn_str text)
{
    struct qn_err ignored;

    if (!t->cut && t->count == RAW_MAX) {
        compact(t);
        t->cut = t->count > RAW_MAX / 2;
    }
    if (!t->cut && t->copies && qn_arena_str(t->copies, text, &text, &ignored) < 0)
        t->cut = true;
    if (t->cut || qn_grow((void **)&t->at, &t->cap, t->count + 1, sizeof *t->at, RAW_MAX, &ignored) < 0) {
        t->cut = true;
        return;
    }
    t->at[t->count++] = (struct qn_hint){kind, text};
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool name_byte(char c)
{
    return letter(c) || (c >= '0' && c <= '9') || memchr("_.+-@", c, 5) != NULL;
}

static bool program_name(struct qn_str text)
{
    bool path = text.n && text.p[0] == '/';

    if (text.n < 2 || text.n > (path ? PATH_TEXT_MAX : WORD_MAX) || !(letter(text.p[0]) || path))
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!name_byte(text.p[i]) && !(path && text.p[i] == '/'))
            return false;
    return true;
}

static void program(struct qn_text_names *t, struct qn_str word, bool command)
{
    if (!program_name(word))
        return;
    bool shell = qn_is_shell_name(qn_path_base(word));
    /* Names of interpreters are also those of languages: they count as part of a command. */
    if ((shell && !t->own) || (!command && word.p[0] != '/' && qn_is_interpreter_name(word)))
        return;
    add(t, QN_HINT_COMMAND, word);
}

/* "libx.so.1", and of texts that load libraries by name "x" and "libx". */
static void library(struct qn_text_names *t, struct qn_str word)
{
    ptrdiff_t so = qn_str_find(word, QN_STR(".so"));

    if (word.n < 2 || word.n > WORD_MAX || word.p[0] == '/')
        return;
    for (size_t i = 0; i < word.n; i++)
        if (!name_byte(word.p[i]))
            return;
    if (so > 0 || t->libraries)
        add(t, QN_HINT_LIBRARY, word);
}

/* Programs that start what follows them. */
static bool wrapper(struct qn_str word)
{
    static const char *const names[] = {"exec",  "env",    "sudo", "nohup", "time", "nice",
                                        "xargs", "setsid", "then", "do",    "else", "stdbuf"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(word, names[i]))
            return true;
    return false;
}

/* Takes what quotes and brackets enclose off a word; whether an operator stood at its end. */
static bool bare(struct qn_str *word)
{
    bool operator= false;

    while (word->n && memchr("\"'`[({<$!,", word->p[0], 10))
        *word = qn_str_from(*word, 1);
    while (word->n && memchr("\"'`])}>,;|&", word->p[word->n - 1], 11)) {
        operator= operator|| memchr(";|&", word->p[word->n - 1], 3);
        word->n--;
    }
    return operator;
}

/* A command line: the words with which its commands start. `alone` tells whether one word by itself is one. */
static void command_line(struct qn_text_names *t, struct qn_str line, bool alone)
{
    struct qn_str rest = line, word, next;
    bool first = true;

    for (size_t i = 0; i < LINE_WORDS_MAX && qn_str_word(&rest, &word); i++) {
        struct qn_str after = rest;
        bool more = qn_str_word(&after, &next), symbol = memchr(";|&", word.p[0], 3) != NULL;
        bool ends = bare(&word) || (symbol && word.n == 0);
        ptrdiff_t eq = qn_str_chr(word, '=');
        /* "x|y" */
        for (size_t k = word.n; k > 1; k--)
            if (memchr(";|&", word.p[k - 1], 3)) {
                program(t, qn_str_from(word, k), true);
                word = qn_str_head(word, k - 1);
            }
        if (first && word.n && eq < 0)
            program(t, word, more || i > 0 || alone);
        /* "NAME=value x", "a | x", "-c x" */
        first = ends || (first && (eq > 0 || wrapper(word) || (word.n && word.p[0] == '-'))) ||
                qn_str_eq(word, QN_STR("-c")) || wrapper(word);
    }
}

void qn_text_names_string(struct qn_text_names *t, struct qn_str text, bool alone)
{
    command_line(t, text, alone);
    library(t, text);
}

/* What follows a closing quote in a list of arguments: [, "-x"], [, "/path"]. */
static bool arguments_follow(struct qn_str rest)
{
    size_t i = 0;

    while (i < rest.n && i < 64 && memchr(" \t\r\n,[(", rest.p[i], 7))
        i++;
    return i > 0 && i + 1 < rest.n && (rest.p[i] == '"' || rest.p[i] == '\'') && i < 64 &&
           memchr("-/.", rest.p[i + 1], 3) != NULL;
}

/* Everything that stands in quotes on one line; a quote that does not end there is an apostrophe. */
static void quoted(struct qn_text_names *t, struct qn_str text)
{
    size_t i = 0;

    while (i < text.n) {
        char q = text.p[i];
        if (q != '"' && q != '\'' && q != '`') {
            i++;
            continue;
        }
        struct qn_str rest = qn_str_from(text, i + 1);
        size_t n = 0;
        while (n < rest.n && n < 4096 && rest.p[n] != q && rest.p[n] != '\n')
            n += rest.p[n] == '\\' && n + 1 < rest.n ? 2 : 1;
        n = QN_MIN(n, rest.n);
        if (n == rest.n || rest.p[n] != q) {
            i++;
            continue;
        }
        struct qn_str inside = qn_str_trim(qn_str_head(rest, n));
        command_line(t, inside, arguments_follow(qn_str_from(rest, n + 1)));
        library(t, inside);
        i += n + 2;
    }
}

void qn_text_names_code(struct qn_text_names *t, struct qn_str text)
{
    quoted(t, text);
}

/* Values of settings. */
static void settings(struct qn_text_names *t, struct qn_str text)
{
    struct qn_str line;

    while (qn_str_next(&text, '\n', &line)) {
        line = qn_str_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        while (line.n > 1 && line.p[0] == '-' && line.p[1] == ' ')
            line = qn_str_trim(qn_str_from(line, 2));
        command_line(t, line, true);
        for (size_t i = 1; i < line.n; i++) {
            if (line.p[i] != '=' && line.p[i] != ':' && line.p[i] != '>')
                continue;
            command_line(t, qn_str_from(line, i + 1), true);
            break;
        }
    }
}

static bool has(struct qn_str text, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (qn_str_find(text, qn_str_c(words[i])) >= 0)
            return true;
    return false;
}

/* Calls of which the languages say that they run command lines. */
static bool runs_lines(struct qn_str path, struct qn_str text)
{
    static const char *const any[] = {"shell=True",  "shell: true", "os.system(", "popen(",
                                      "shell_exec(", "passthru(",   "proc_open(", "execSync(",
                                      "getoutput(",  "getstatus",   NULL};
    static const char *const lines[] = {"`", "system(", "system \"", "system '", "%x", "qx", "exec \"", "exec '", NULL};
    static const char *const js[] = {"exec(", "execAsync(", NULL};

    if (has(text, any))
        return true;
    if (qn_str_ends(path, QN_STR(".php")))
        return has(text, lines) || has(text, js);
    if (qn_str_find(text, QN_STR("child_process")) >= 0)
        return has(text, js);
    return !qn_str_ends(path, QN_STR("js")) && !qn_str_ends(path, QN_STR(".ts")) && !qn_str_ends(path, QN_STR(".py")) &&
           has(text, lines);
}

/* Whether code starts programs at all, or loads libraries: in what an application uses, names elsewhere are data. */
static bool starts_programs(struct qn_str path, struct qn_str text)
{
    static const char *const calls[] = {"subprocess", "Popen",    "popen",         "os.exec", "os.spawn", "posix_spawn",
                                        "os.system",  "execFile", "child_process", "execa",   "spawn(",   "Open3",
                                        "proc_open",  "execve",   "which(",        "IPC::",   NULL};
    return has(text, calls) || runs_lines(path, text);
}

static bool loads_libraries(struct qn_str text)
{
    static const char *const calls[] = {"find_library", "CDLL",    "LoadLibrary", "dlopen",    "ffi_lib",
                                        "ffi.Library",  "Fiddle.", "FFI::",       "FFI->cdef", NULL};
    return has(text, calls);
}

enum qn_text_kind qn_text_kind(struct qn_str path, bool script)
{
    static const char *const code[] = {".py", ".js", ".mjs", ".cjs", ".ts", ".rb",
                                       ".pl", ".pm", ".php", ".lua", ".tcl"};
    static const char *const names[] = {".conf", ".yaml", ".yml", ".toml",    ".ini",       ".json",
                                        ".cfg",  ".env",  ".xml", ".service", ".properties"};
    static const char *const not_own[] = {"usr/share/**",           "usr/lib/python*/**",   "usr/lib/ruby/**",
                                          "usr/lib/node*/npm/**",   "usr/lib/*/perl*/**",   "var/lib/dpkg/**",
                                          "**/node_modules/npm/**", "**/lib/ruby/[0-9]*/**"};
    struct qn_str base = qn_path_base(path);
    ptrdiff_t python = qn_str_find(path, QN_STR("lib/python"));

    for (size_t i = 0; i < QN_ARRAY_LEN(not_own); i++)
        if (qn_glob(qn_str_c(not_own[i]), path))
            return QN_TEXT_NONE;
    /* The library of the language itself names many a program. */
    if (python >= 0 && qn_str_find(path, QN_STR("-packages/")) < 0)
        return QN_TEXT_NONE;
    for (size_t i = 0; i < QN_ARRAY_LEN(code); i++)
        if (qn_str_ends(base, qn_str_c(code[i])))
            return QN_TEXT_CODE;
    if (script)
        return QN_TEXT_CODE;
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_ends(base, qn_str_c(names[i])))
            return QN_TEXT_SETTINGS;
    return qn_str_starts(base, QN_STR("Procfile")) ? QN_TEXT_SETTINGS : QN_TEXT_NONE;
}

bool qn_text_dependency(struct qn_str path)
{
    static const char *const dirs[] = {"node_modules", "site-packages", "dist-packages",
                                       "vendor",       "gems",          "bower_components"};
    struct qn_str part;

    while (qn_str_next(&path, '/', &part))
        for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
            if (qn_str_eq_c(part, dirs[i]))
                return true;
    return false;
}

/* Sorts, drops repetitions and copies what is left, up to the limits. A layer's names go to one arena: once a quarter
 * of it is used, the rest is shared out in small parts: a layer of tables is short of names then, not of memory. */
int qn_text_names_done(struct qn_text_names *t, struct qn_arena *arena, struct qn_text_facts *out, struct qn_err *e)
{
    bool small = arena->used > arena->limit / 4;
    size_t most = small ? SMALL_HINTS_MAX : QN_TEXT_HINTS_MAX, most_bytes = small ? SMALL_BYTES_MAX : BYTES_MAX;
    size_t bytes = 0, n = 0;

    compact(t);
    while (n < t->count && n < most && bytes + t->at[n].text.n <= most_bytes)
        bytes += t->at[n++].text.n;
    struct qn_hint *copy = qn_arena_alloc(arena, n, sizeof *copy, e);
    if (!copy)
        return -1;
    for (size_t i = 0; i < n; i++) {
        copy[i].kind = t->at[i].kind;
        if (qn_arena_str(arena, t->at[i].text, &copy[i].text, e) < 0)
            return -1;
    }
    *out = (struct qn_text_facts){copy, (uint32_t)n, t->cut || n < t->count};
    return 0;
}

int qn_text_read(struct qn_str path, enum qn_text_kind kind, struct qn_str text, struct qn_arena *arena,
                 struct qn_text_facts *out, struct qn_err *e)
{
    struct qn_text_names t = {.own = !qn_text_dependency(path)};

    if (kind == QN_TEXT_NONE ||
        (!t.own && (kind != QN_TEXT_CODE || (!starts_programs(path, text) && !loads_libraries(text)))))
        return 0;
    if (kind == QN_TEXT_CODE) {
        t.libraries = loads_libraries(text);
        if (t.own && runs_lines(path, text))
            add(&t, QN_HINT_COMMAND, QN_STR("/bin/sh"));
        if (qn_str_find(text, QN_STR("find_library")) >= 0)
            add(&t, QN_HINT_COMMAND, QN_STR("ldconfig"));
    } else {
        settings(&t, text);
    }
    quoted(&t, text);
    int r = qn_text_names_done(&t, arena, out, e);
    free(t.at);
    return r;
}
