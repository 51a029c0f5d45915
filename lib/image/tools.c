#include "tools.h"

#include "base/compiler.h"
#include "base/err.h"

static const struct {
    struct qn_str name;
    enum qn_tool_class class;
} tools[] = {
#define X(name, class) {{name, sizeof(name) - 1}, QN_TOOL_##class},
#include "tools.def"
#undef X
};

_Static_assert(QN_ARRAY_LEN(tools) <= 128, "qn_mentions has 128 bits");

int qn_tool_count(void)
{
    return (int)QN_ARRAY_LEN(tools);
}

struct qn_str qn_tool_name(int row)
{
    qn_assert(row >= 0 && row < qn_tool_count());
    return tools[row].name;
}

enum qn_tool_class qn_tool_class(int row)
{
    qn_assert(row >= 0 && row < qn_tool_count());
    return tools[row].class;
}

int qn_tool_find(struct qn_str base)
{
    for (int i = 0; i < qn_tool_count(); i++)
        if (tools[i].name.n == base.n && tools[i].name.p[0] == (base.n ? base.p[0] : 0) &&
            qn_str_eq(tools[i].name, base))
            return i;
    return -1;
}

bool qn_is_shell_name(struct qn_str base)
{
    static const char *const names[] = {"sh",   "bash", "dash", "ash",  "zsh",   "ksh",
                                        "mksh", "csh",  "tcsh", "fish", "rbash", "busybox"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(base, names[i]))
            return true;
    return false;
}

bool qn_is_interpreter_name(struct qn_str base)
{
    static const char *const names[] = {"perl", "python", "python2", "python3", "ruby", "php",  "node",
                                        "awk",  "sed",    "lua",     "tclsh",   "make", "java", "wish"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(base, names[i]))
            return true;
    return qn_is_shell_name(base);
}

static bool word_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c >= 0x80;
}

/* Names that are also everyday words, or of time zones ("apt"); those behind the NULL only in texts, in an executable's
 * strings they are commands. */
static bool everyday(struct qn_str name, bool text)
{
    static const char *const words[] = {"host",  "route",  "bridge", "ip",   "ss",   "tc",   "nc",
                                        "ftp",   "arp",    "apt",    NULL,   "ping", "init", "service",
                                        "mount", "passwd", "su",     "cron", "git",  "dig"};
    for (size_t i = 0; i < QN_ARRAY_LEN(words) && (words[i] || text); i++)
        if (words[i] && qn_str_eq_c(name, words[i]))
            return true;
    return false;
}

/* Lengths of the names that start with a byte, as bits: most words are none of them at a glance. */
static void tool_lengths(uint32_t out[256])
{
    memset(out, 0, 256 * sizeof *out);
    for (size_t i = 0; i < QN_ARRAY_LEN(tools); i++)
        out[(unsigned char)tools[i].name.p[0]] |= 1u << tools[i].name.n;
}

static void whole_words(struct qn_str text, const uint32_t lengths[256], bool every, struct qn_mentions *m)
{
    for (size_t i = 0; i < text.n;) {
        size_t start = i;
        while (i < text.n && word_byte((unsigned char)text.p[i]))
            i++;
        size_t n = i - start;
        while (n > 0 && text.p[start + n - 1] == '.') /* the end of a sentence */
            n--;
        if (n >= 2 && n <= 20 && (lengths[(unsigned char)text.p[start]] >> n & 1)) {
            struct qn_str word = qn_str_n(text.p + start, n);
            int row = qn_tool_find(word);
            /* "/etc/passwd" is no program. */
            bool place = start > 3 && text.p[start - 1] == '/' && memcmp(text.p + start - 4, "bin", 3) == 0;
            bool quoted = start > 0 && (place || memchr("\"'`=", text.p[start - 1], 4));
            if (row >= 0 && (every || quoted || !everyday(word, true)))
                qn_mentions_set(m, row);
        }
        if (i == start)
            i++;
    }
}

unsigned qn_comments_of(struct qn_str path)
{
    static const struct {
        const char *suffix;
        unsigned comments;
    } rows[] = {{".ini", QN_COMMENT_SEMICOLON},    {".cfg", QN_COMMENT_SEMICOLON}, {".conf", QN_COMMENT_SEMICOLON},
                {".js", QN_COMMENT_SLASHES},       {".mjs", QN_COMMENT_SLASHES},   {".cjs", QN_COMMENT_SLASHES},
                {".ts", QN_COMMENT_SLASHES},       {".php", QN_COMMENT_SLASHES},   {".java", QN_COMMENT_SLASHES},
                {".groovy", QN_COMMENT_SLASHES},   {".lua", QN_COMMENT_DASHES},    {".sql", QN_COMMENT_DASHES},
                {".service", QN_COMMENT_SEMICOLON}};
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++)
        if (qn_str_ends(path, qn_str_c(rows[i].suffix)))
            return rows[i].comments;
    return 0;
}

/* "# the server reads this" calls nothing; "#!/bin/sh", "#define" and "#Port 22" are no such lines. */
static bool comment(struct qn_str line, unsigned kinds)
{
    line = qn_str_trim(line);
    if (((kinds & QN_COMMENT_SEMICOLON) && line.n && line.p[0] == ';') ||
        ((kinds & QN_COMMENT_SLASHES) && qn_str_starts(line, QN_STR("//"))) ||
        ((kinds & QN_COMMENT_DASHES) && qn_str_starts(line, QN_STR("--"))))
        return true;
    while (line.n > 1 && line.p[0] == '#' && line.p[1] == '#')
        line = qn_str_from(line, 1);
    return line.n && line.p[0] == '#' && (line.n == 1 || line.p[1] == ' ' || line.p[1] == '\t');
}

void qn_mentions_text(struct qn_str text, unsigned comments, struct qn_mentions *m)
{
    uint32_t lengths[256];
    struct qn_str line;

    tool_lengths(lengths);
    while (qn_str_next(&text, '\n', &line))
        if (!comment(line, comments))
            whole_words(line, lengths, false, m);
}

void qn_mentions_string(struct qn_str text, struct qn_mentions *m)
{
    ptrdiff_t blank = qn_str_chr(text, ' ');
    struct qn_str first = blank < 0 ? text : qn_str_head(text, (size_t)blank);
    ptrdiff_t slash = qn_str_rchr(first, '/');
    int row = qn_tool_find(slash < 0 ? first : qn_str_from(first, (size_t)slash + 1));

    if (row >= 0 && (blank >= 0 || slash >= 0 || !everyday(first, false)))
        qn_mentions_set(m, row);
    /* "exec /usr/bin/ssh", "sh -c curl ..." */
    if (blank >= 0 && qn_str_find(text, QN_STR("bin/")) >= 0) {
        uint32_t lengths[256];
        tool_lengths(lengths);
        whole_words(text, lengths, false, m);
    }
}

void qn_mentions_blob(struct qn_str bytes, struct qn_mentions *m)
{
    uint32_t lengths[256];

    tool_lengths(lengths);
    whole_words(bytes, lengths, true, m);
    for (int i = 0; i < qn_tool_count(); i++)
        if ((tools[i].name.n >= 4 || tools[i].class != QN_TOOL_MANAGER) && !qn_mentions_has(m, i) &&
            qn_str_find(bytes, tools[i].name) >= 0)
            qn_mentions_set(m, i);
}
