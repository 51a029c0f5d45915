#include "hints.h"

#include "base/json.h"

#include <stdlib.h>

#define PATH_TEXT_MAX   255u
#define PREFIX_TEXT_MAX 96u
#define WORD_MAX        32u
#define HINT_BYTES_MAX  (512u << 10)
#define BLOB_MAX        (64u << 20)
/* Words are many and say little: they have a share of their own, so that they never push out paths and libraries. */
#define WORDS_MAX      (QN_HINTS_MAX / 2)
#define WORD_BYTES_MAX (HINT_BYTES_MAX / 2)

struct hints {
    struct qn_hint *at;
    size_t count, cap, words;
    size_t bytes, word_bytes;
    bool cut, full; /* words were left out; other things, too */
};

static void add(struct hints *h, enum qn_hint_kind kind, struct qn_str text)
{
    struct qn_err ignored;

    /* Twice in a row is common; the rest is sorted out at the end. */
    if (h->count && h->at[h->count - 1].kind == kind && qn_str_eq(h->at[h->count - 1].text, text))
        return;
    bool word = kind == QN_HINT_WORD;
    if (word ? h->words == WORDS_MAX || h->word_bytes + text.n > WORD_BYTES_MAX
             : h->count - h->words == QN_HINTS_MAX - WORDS_MAX || h->bytes + text.n > HINT_BYTES_MAX - WORD_BYTES_MAX) {
        h->cut = true;
        h->full = h->full || !word;
        return;
    }
    if (qn_grow((void **)&h->at, &h->cap, h->count + 1, sizeof *h->at, QN_HINTS_MAX, &ignored) < 0) {
        h->cut = h->full = true;
        return;
    }
    *(word ? &h->word_bytes : &h->bytes) += text.n;
    h->words += word;
    h->at[h->count++] = (struct qn_hint){kind, text};
}

static int by_text(const void *a, const void *b)
{
    const struct qn_hint *x = a, *y = b;
    return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind) : qn_str_cmp(x->text, y->text);
}

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || memchr("_.+-@~", c, 6) != NULL;
}

/* Where packages install to. */
static bool package_place(struct qn_str path)
{
    static const char *const tops[] = {"/usr/",  "/lib/", "/lib64/", "/lib32/", "/bin/",
                                       "/sbin/", "/etc/", "/opt/",   "/var/",   "/srv/"};
    for (size_t i = 0; i < QN_ARRAY_LEN(tops); i++)
        if (qn_str_starts(path, qn_str_c(tops[i])))
            return true;
    return false;
}

/* Every path in a text. One that goes on with something to be filled in counts up to its last directory. */
static void paths(struct hints *h, struct qn_str text)
{
    size_t i = 0;

    while (i < text.n) {
        const char *slash = memchr(text.p + i, '/', text.n - i);
        if (!slash)
            return;
        size_t start = (size_t)(slash - text.p), n = start;
        while (n < text.n && (name_byte(text.p[n]) || text.p[n] == '/'))
            n++;
        i = n > start ? n : start + 1;
        struct qn_str path = qn_str_n(text.p + start, n - start);
        if ((start > 0 && name_byte(text.p[start - 1])) || path.n > PATH_TEXT_MAX || !package_place(path))
            continue;
        if (n < text.n && (text.p[n] == '%' || text.p[n] == '$' || text.p[n] == '*'))
            path = qn_str_head(path, (size_t)qn_str_rchr(path, '/'));
        while (path.n && (path.p[path.n - 1] == '/' || path.p[path.n - 1] == '.'))
            path.n--;
        if (package_place(path))
            add(h, QN_HINT_PATH, path);
    }
}

/* "x.so", "x.so.1.2", maybe with directories in front. */
static bool library_name(struct qn_str text)
{
    ptrdiff_t at = qn_str_find(text, QN_STR(".so"));

    if (at <= 0 || text.n > PATH_TEXT_MAX)
        return false;
    for (size_t i = (size_t)at + 3; i < text.n; i++)
        if (text.p[i] != '.' && (text.p[i] < '0' || text.p[i] > '9'))
            return false;
    for (size_t i = 0; i < (size_t)at; i++)
        if (!name_byte(text.p[i]) && text.p[i] != '/')
            return false;
    return true;
}

static bool program_name(struct qn_str text, bool path)
{
    if (text.n < 2 || text.n > (path ? PATH_TEXT_MAX : WORD_MAX) ||
        !((text.p[0] >= 'a' && text.p[0] <= 'z') || (path && text.p[0] == '/')))
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!name_byte(text.p[i]) && !(path && text.p[i] == '/'))
            return false;
    return true;
}

/* Names that start sentences as often as commands: they count before an option, a path or something filled in. */
bool qn_hints_sentence(struct qn_str word)
{
    static const char *const words[] = {
        "test", "time", "file", "more",  "from",  "who",    "users",  "last",  "sort", "link",    "split", "join",
        "find", "head", "kill", "id",    "cut",   "paste",  "size",   "touch", "wait", "mount",   "which", "write",
        "wall", "look", "date", "reset", "clear", "expand", "column", "dir",   "as",   "install", "host",  "login"};
    for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
        if (qn_str_eq_c(word, words[i]))
            return true;
    return false;
}

/* The first word of every simple command of a line. */
static void commands(struct hints *h, struct qn_str line)
{
    struct qn_str rest = line, word, next;
    bool first = true;

    while (qn_str_word(&rest, &word)) {
        bool ends = word.n && memchr(";|&", word.p[word.n - 1], 3);
        struct qn_str after = rest, behind = word;
        /* "x|y" */
        for (size_t k = word.n; !ends && k > 1; k--)
            if (memchr(";|&", word.p[k - 1], 3) && program_name(behind = qn_str_from(word, k), true)) {
                add(h, QN_HINT_COMMAND, behind);
                break;
            }
        bool more = qn_str_word(&after, &next);
        if (first && more && program_name(word, true) && !qn_str_eq(word, QN_STR("exec")) &&
            (memchr("-/%\"'<>$.", next.p[0], 9) || (name_byte(next.p[0]) && !qn_hints_sentence(word))))
            add(h, QN_HINT_COMMAND, word);
        /* "exec x", "a | x", "a && x" */
        first = ends || (first && qn_str_eq(word, QN_STR("exec")));
    }
}

static void one(struct hints *h, struct qn_str text, uint32_t imports)
{
    bool shell = imports & QN_IMPORT_SHELL, starts = imports & (QN_IMPORT_SHELL | QN_IMPORT_EXEC);

    if (library_name(text))
        add(h, QN_HINT_LIBRARY, text);
    else if (starts && program_name(text, false))
        add(h, QN_HINT_WORD, text);
    else if ((shell || (starts && qn_str_starts(text, QN_STR("exec ")))) && qn_str_chr(text, ' ') > 0)
        commands(h, text); /* "exec x" is for a shell, whoever starts that */
    paths(h, text);
}

/* Go's programs start others through os/exec; texts stand in them without ends, so that of the tools that programs
 * usually start each whose name occurs may be meant. */
static bool go_words(struct hints *h, struct qn_str bytes)
{
    static const char *const tools[] = {
        "tar",      "gzip",      "gunzip",    "bzip2",  "unzip",   "zip",    "zstd", "base64", "sha256sum",
        "md5sum",   "diff",      "patch",     "bash",   "openssl", "gpg",    "cat",  "cp",     "mv",
        "rm",       "ls",        "mkdir",     "chmod",  "chown",   "find",   "grep", "sed",    "awk",
        "sort",     "head",      "tail",      "sleep",  "env",     "ps",     "kill", "df",     "lsof",
        "hostname", "getent",    "uname",     "id",     "cut",     "tr",     "jq",   "nginx",  "ffmpeg",
        "convert",  "gs",        "make",      "gcc",    "python3", "node",   "java", "psql",   "pg_dump",
        "mysql",    "redis-cli", "systemctl", "sysctl", "mount",   "umount", "ldd",  "tee",    "xargs"};
    if (qn_str_find(bytes, QN_STR("os/exec.(*Cmd)")) < 0)
        return false;
    for (size_t i = 0; i < QN_ARRAY_LEN(tools); i++) {
        struct qn_str name = qn_str_c(tools[i]);
        if (qn_str_find(bytes, name) >= 0)
            add(h, QN_HINT_WORD, name);
    }
    return true;
}

/* Paths in the bytes of a static executable, which do not end where their text does. */
static void blob(struct hints *h, struct qn_str bytes)
{
    size_t i = 0;

    while (i < bytes.n && !h->full) {
        const char *slash = memchr(bytes.p + i, '/', bytes.n - i);
        if (!slash)
            return;
        struct qn_str rest = qn_str_from(bytes, (size_t)(slash - bytes.p));
        i = (size_t)(slash - bytes.p) + 1;
        if (!package_place(qn_str_head(rest, 8)))
            continue;
        size_t n = 0;
        while (n < rest.n && n < PREFIX_TEXT_MAX && (name_byte(rest.p[n]) || rest.p[n] == '/'))
            n++;
        if (package_place(qn_str_head(rest, n)))
            add(h, QN_HINT_PREFIX, qn_str_head(rest, n));
        i += n > 1 ? n - 1 : 0;
    }
}

/* Sonames of the notes: [{"soname": ["libx.so.1", ...], ...}, ...] (systemd.io "ELF dlopen() metadata"). */
static int notes(struct hints *h, const struct qn_elf *f, struct qn_arena *arena, struct qn_err *e)
{
    struct qn_str text, name;
    size_t at = 0;

    while (qn_elf_dlopen_next(f, &at, &text)) {
        qn_auto_json json_t *list = NULL;
        json_t *row, *soname;
        struct qn_err ignored;
        size_t i, k;
        if (qn_json_parse(text, 65536, &list, &ignored) < 0)
            continue;
        json_array_foreach (list, i, row)
            json_array_foreach (json_object_get(row, "soname"), k, soname) {
                struct qn_str s = qn_str_n(json_string_value(soname), json_string_length(soname));
                if (!json_is_string(soname) || !library_name(s))
                    continue;
                if (qn_arena_str(arena, s, &name, e) < 0)
                    return -1;
                add(h, QN_HINT_LIBRARY, name);
            }
    }
    return 0;
}

/* Sorts, drops repetitions and copies what is left. */
static int store(struct hints *h, struct qn_elf_facts *out, struct qn_arena *arena, struct qn_err *e)
{
    size_t n = 0;

    if (h->count)
        qsort(h->at, h->count, sizeof *h->at, by_text);
    for (size_t i = 0; i < h->count; i++)
        if (n == 0 || by_text(&h->at[n - 1], &h->at[i]) != 0)
            h->at[n++] = h->at[i];
    struct qn_hint *copy = qn_arena_alloc(arena, n, sizeof *copy, e);
    if (!copy)
        return -1;
    for (size_t i = 0; i < n; i++) {
        copy[i].kind = h->at[i].kind;
        if (qn_arena_str(arena, h->at[i].text, &copy[i].text, e) < 0)
            return -1;
    }
    out->hint = copy;
    out->hint_count = (uint32_t)n;
    out->hints_cut = h->cut;
    out->paths_cut = h->full;
    return 0;
}

int qn_hints_read(const struct qn_elf *f, struct qn_elf_facts *out, struct qn_arena *arena, struct qn_err *e)
{
    struct hints h = {0};
    struct qn_elf_strings it = {0};
    struct qn_str s;

    int r = notes(&h, f, arena, e);
    while (r == 0 && !h.full && qn_elf_string_next(f, &it, 3, &s))
        one(&h, s, out->imports);
    if (r == 0 && f->is_static)
        blob(&h, qn_str_head(f->bytes, BLOB_MAX));
    /* Executables, not libraries. */
    if (r == 0 && (f->is_static || f->interp.n) && go_words(&h, qn_str_head(f->bytes, BLOB_MAX)))
        out->imports |= QN_IMPORT_EXEC | QN_IMPORT_GO;
    if (r == 0)
        r = store(&h, out, arena, e);
    free(h.at);
    return r;
}
