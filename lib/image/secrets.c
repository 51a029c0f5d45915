#include "secrets.h"

#include "base/path.h"

#define FILE_MAX  (4u << 20)
#define SNIFF     4096u
#define BLOCK_MAX (64u << 10)
#define KEY_LEAST 64u /* characters of base64 in a key */

enum chars { UPPER = 1, ALNUM, WORD };

static const struct token {
    enum qn_secret_kind kind;
    struct qn_str prefix;
    enum chars chars;
    size_t least;
} tokens[] = {
#define TOKEN(kind, prefix, chars, least) {QN_SECRET_##kind, {(prefix), sizeof(prefix) - 1}, chars, least},
#include "secrets.def"
#undef TOKEN
};

static const struct {
    enum qn_secret_kind kind;
    const char *name, *text;
} files[] = {
#define FILE_ROW(kind, name, text) {QN_SECRET_##kind, name, text},
#include "secrets.def"
#undef FILE_ROW
};

static bool upper(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
    return upper(c) || (c >= 'a' && c <= 'z');
}

static bool in_class(char c, enum chars chars)
{
    return chars == UPPER ? upper(c) : alnum(c) || (chars == WORD && (c == '_' || c == '-' || c == '.'));
}

/* What documentation writes where a token goes: few different characters, or a word that says so. */
static bool example(struct qn_str s)
{
    uint8_t seen[256] = {0};
    unsigned different = 0;

    for (size_t i = 0; i < s.n; i++) {
        different += !seen[(unsigned char)s.p[i]];
        seen[(unsigned char)s.p[i]] = 1;
    }
    return different < 6 || qn_str_find(s, QN_STR("EXAMPLE")) >= 0 || qn_str_find(s, QN_STR("example")) >= 0;
}

static bool find_token(const struct token *t, struct qn_str text, struct qn_str *value)
{
    size_t from = 0;

    for (ptrdiff_t at; (at = qn_str_find(qn_str_from(text, from), t->prefix)) >= 0;) {
        size_t begin = from + (size_t)at, end = begin + t->prefix.n;
        char before = begin ? text.p[begin - 1] : ' ';
        while (end < text.n && in_class(text.p[end], t->chars))
            end++;
        struct qn_str body = qn_str_n(text.p + begin + t->prefix.n, end - begin - t->prefix.n);
        /* Keys of a fixed length end where it does. */
        bool longer = t->chars == UPPER && (body.n > t->least || (end < text.n && in_class(text.p[end], WORD)));
        from = begin + t->prefix.n;
        if (body.n < t->least || longer || alnum(before) || before == '_' || example(body))
            continue;
        *value = qn_str_n(text.p + begin, end - begin);
        return true;
    }
    return false;
}

/* A PEM block of a private key: the label's line, then base64 (headers in between count as they come), then the end.
 * Line ends may be written as "\n", in JSON and in variables. */
static bool find_key(struct qn_str text, struct qn_str *value)
{
    size_t from = 0;

    for (ptrdiff_t at; (at = qn_str_find(qn_str_from(text, from), QN_STR("-----BEGIN "))) >= 0;) {
        size_t begin = from + (size_t)at;
        from = begin + 11;
        struct qn_str rest = qn_str_head(qn_str_from(text, from), BLOCK_MAX), label;
        ptrdiff_t dashes = qn_str_find(rest, QN_STR("-----"));
        if (dashes < 0 || dashes > 64)
            continue;
        label = qn_str_head(rest, (size_t)dashes);
        rest = qn_str_from(rest, (size_t)dashes + 5);
        ptrdiff_t end = qn_str_find(rest, QN_STR("-----END "));
        if (qn_str_find(label, QN_STR("PRIVATE KEY")) < 0 || end < 0)
            continue;
        size_t letters = 0;
        for (size_t i = 0; i < (size_t)end; i++)
            letters += alnum(rest.p[i]) || rest.p[i] == '+' || rest.p[i] == '/';
        if (letters < KEY_LEAST || example(qn_str_head(rest, (size_t)end)))
            continue;
        struct qn_str tail = qn_str_from(rest, (size_t)end + 9);
        ptrdiff_t close = qn_str_find(tail, QN_STR("-----"));
        const char *stop = close >= 0 && close <= 64 ? tail.p + close + 5 : tail.p;
        *value = qn_str_n(text.p + begin, (size_t)(stop - (text.p + begin)));
        return true;
    }
    return false;
}

bool qn_secret_next(struct qn_str *rest, struct qn_secret *out)
{
    struct qn_secret first = {.kind = QN_SECRET_KINDS};
    struct qn_str value;

    if (find_key(*rest, &value))
        first = (struct qn_secret){QN_SECRET_PRIVATE_KEY, value};
    for (size_t i = 0; i < QN_ARRAY_LEN(tokens); i++)
        if (find_token(&tokens[i], *rest, &value) &&
            (first.kind == QN_SECRET_KINDS || (uintptr_t)value.p < (uintptr_t)first.value.p))
            first = (struct qn_secret){tokens[i].kind, value};
    if (first.kind == QN_SECRET_KINDS)
        return false;
    *out = first;
    *rest = qn_str_from(*rest, (size_t)(first.value.p - rest->p) + first.value.n);
    return true;
}

/* Where secrets are there for show, or are the system's own test data. */
static bool expected(struct qn_str path)
{
    static const char *const system[] = {"usr/share",    "usr/include",  "usr/lib", "usr/lib64",
                                         "usr/libexec",  "usr/local/go", "lib",     "lib64",
                                         "var/lib/dpkg", "proc",         "sys"};
    static const char *const globs[] = {"usr/local/lib/python*/**", "usr/local/lib/ruby/**", "usr/lib/gems/**",
                                        "opt/yarn-v*/**",           "**/*.dist-info/**",     "**/*.egg-info/**",
                                        "**/node_modules/**"};
    static const char *const names[] = {"test",      "tests",    "testdata", "testing", "test-data",  "test_data",
                                        "__tests__", "fixtures", "spec",     "example", "examples",   "vendor",
                                        "locale",    "locales",  "docs",     "doc",     "__pycache__"};
    struct qn_str rest = path, part;

    for (size_t i = 0; i < QN_ARRAY_LEN(system); i++)
        if (qn_path_under(path, qn_str_c(system[i])))
            return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(globs); i++)
        if (qn_glob(qn_str_c(globs[i]), path))
            return true;
    while (qn_str_next(&rest, '/', &part)) {
        for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
            if (qn_str_eq_c(part, names[i]))
                return true;
        if (qn_str_starts(part, QN_STR("test_")) || qn_str_starts(part, QN_STR("test-")) ||
            qn_str_find(part, QN_STR("_test.")) >= 0 || qn_str_find(part, QN_STR("-test.")) >= 0 ||
            qn_str_find(part, QN_STR(".test.")) >= 0 || qn_str_find(part, QN_STR("example")) >= 0)
            return true;
    }
    return qn_str_ends(path, QN_STR(".md")) || qn_str_ends(path, QN_STR(".rst"));
}

/* A value in NAME=VALUE that refers to a variable is none. */
static bool has_text(struct qn_str bytes, struct qn_str text)
{
    ptrdiff_t at;

    if (text.n == 0)
        return bytes.n > 0;
    while ((at = qn_str_find(bytes, text)) >= 0) {
        bytes = qn_str_from(bytes, (size_t)at + text.n);
        if (text.p[text.n - 1] != '=' || !qn_str_starts(bytes, QN_STR("$")))
            return true;
    }
    return false;
}

static uint32_t by_name(struct qn_str path, struct qn_str bytes, bool asked)
{
    struct qn_str base = qn_path_base(path);
    uint32_t bits = 0;

    for (size_t i = 0; i < QN_ARRAY_LEN(files); i++) {
        struct qn_str name = qn_str_c(files[i].name);
        if (qn_glob(name, qn_str_chr(name, '/') < 0 ? base : path) &&
            (asked || has_text(bytes, qn_str_c(files[i].text))))
            bits |= QN_SECRET_BIT(files[i].kind);
    }
    return qn_str_ends(base, QN_STR(".pub")) ? 0 : bits;
}

/* Whether a text is a key, or a certificate with its key, and nothing else. */
static bool key_file(struct qn_str path, struct qn_str bytes)
{
    struct qn_str text = qn_str_trim(bytes);

    return qn_str_starts(text, QN_STR("-----BEGIN ")) || qn_str_ends(path, QN_STR(".pem")) ||
           qn_str_ends(path, QN_STR(".key"));
}

static bool plain_name(struct qn_str path)
{
    struct qn_str base = qn_path_base(path);
    ptrdiff_t dot = qn_str_rchr(base, '.');
    struct qn_str suffix = qn_str_from(base, dot < 0 ? base.n : (size_t)dot);

    return dot <= 0 || qn_str_eq(suffix, QN_STR(".txt")) || qn_str_eq(suffix, QN_STR(".token")) ||
           qn_str_eq(suffix, QN_STR(".secret"));
}

uint32_t qn_secrets_file(struct qn_str path, struct qn_str bytes)
{
    uint32_t bits = by_name(path, bytes, false);
    struct qn_str value;

    if (bytes.n > FILE_MAX || expected(path) || qn_str_chr(qn_str_head(bytes, SNIFF), '\0') >= 0)
        return bits;
    if (find_key(bytes, &value))
        bits |= QN_SECRET_BIT(QN_SECRET_PRIVATE_KEY) | (key_file(path, bytes) ? QN_SECRET_BIT(QN_SECRET_KEY_FILE) : 0);
    for (size_t i = 0; i < QN_ARRAY_LEN(tokens); i++)
        if (!(bits & QN_SECRET_BIT(tokens[i].kind)) && find_token(&tokens[i], bytes, &value)) {
            bits |= QN_SECRET_BIT(tokens[i].kind);
            /* A file that is little else than a token, and by its name nothing else. */
            if (plain_name(path) && value.n >= qn_str_trim(bytes).n / 2 && qn_str_chr(qn_str_trim(bytes), '\n') < 0)
                bits |= QN_SECRET_BIT(QN_SECRET_KEY_FILE);
        }
    if ((bits & QN_SECRET_BIT(QN_SECRET_PRIVATE_KEY)) && qn_str_ends(path, QN_STR(".json")) &&
        qn_str_find(bytes, QN_STR("\"service_account\"")) >= 0)
        bits |= QN_SECRET_BIT(QN_SECRET_GOOGLE) | QN_SECRET_BIT(QN_SECRET_KEY_FILE);
    return bits;
}

bool qn_secrets_wanted(struct qn_str path, uint64_t size)
{
    return size > 0 && size <= FILE_MAX && (!expected(path) || by_name(path, QN_STR(""), true) != 0);
}

int qn_secrets_print(uint32_t bits, struct qn_buf *b, struct qn_err *e)
{
    static const char *const names[] = {
#define KIND(name, text) text,
#include "secrets.def"
#undef KIND
    };
    bool any = false;

    /* What a file is says what it holds. */
    if (bits & (QN_SECRET_FILES & ~QN_SECRET_BIT(QN_SECRET_KEY_FILE)))
        bits &= QN_SECRET_FILES;
    else if (bits & ~QN_SECRET_FILES)
        bits &= ~QN_SECRET_FILES;
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (bits & QN_SECRET_BIT(i)) {
            if (qn_buf_printf(b, e, "%s%s", any ? ", " : "", names[i]) < 0)
                return -1;
            any = true;
        }
    return 0;
}
