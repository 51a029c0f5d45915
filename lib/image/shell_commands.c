#include "shell_commands.h"

#define NEST_MAX 48u
#define ARRAY    '\1' /* closed by ")" as well, but no commands stand in it */

static char peek(const struct qn_shell_reader *r, size_t ahead)
{
    return r->at + ahead < r->text.n ? r->text.p[r->at + ahead] : '\0';
}

static void later(struct qn_shell_reader *r, struct qn_str text)
{
    if (text.n == 0)
        return;
    if (r->todos == QN_SHELL_TEXTS) {
        r->lost = true;
        return;
    }
    r->todo[r->todos++] = text;
}

/* Where the reader stands inside of a word: what closes it. */
struct nest {
    char close[NEST_MAX]; /* '"', '}', ')', '`', or ARRAY */
    size_t n;
    size_t substitutions; /* of ')' and '`' among them */
    size_t begin;         /* of the outermost substitution's inside */
};

static void enter(struct qn_shell_reader *r, struct nest *s, char close, size_t skip)
{
    r->at += skip;
    if (s->n == NEST_MAX) {
        r->lost = true;
        return;
    }
    s->close[s->n++] = close;
    if ((close == ')' || close == '`') && s->substitutions++ == 0)
        s->begin = r->at;
}

static void leave(struct qn_shell_reader *r, struct nest *s)
{
    char close = s->close[--s->n];

    if ((close == ')' || close == '`') && --s->substitutions == 0)
        later(r, qn_str_n(r->text.p + s->begin, r->at - s->begin));
    r->at++;
}

/* "$((" or "((", of `skip` bytes, up to the matching "))". */
static void arithmetic(struct qn_shell_reader *r, size_t skip)
{
    size_t depth = 2;

    r->at += skip;
    while (r->at < r->text.n && depth) {
        char c = r->text.p[r->at++];
        depth += c == '(';
        depth -= c == ')';
    }
}

static void single_quoted(struct qn_shell_reader *r)
{
    ptrdiff_t end = qn_str_chr(qn_str_from(r->text, r->at + 1), '\'');
    r->at = end < 0 ? r->text.n : r->at + (size_t)end + 2;
}

/* One step inside of quotes, braces or substitutions. */
static void nested_step(struct qn_shell_reader *r, struct nest *s)
{
    char c = peek(r, 0), top = s->close[s->n - 1];

    if (c == '\\')
        r->at += 2;
    else if (c == (top == ARRAY ? ')' : top))
        leave(r, s);
    else if (c == '$' && peek(r, 1) == '(' && peek(r, 2) == '(')
        arithmetic(r, 3);
    else if (c == '$' && peek(r, 1) == '(')
        enter(r, s, ')', 2);
    else if (c == '$' && peek(r, 1) == '{')
        enter(r, s, '}', 2);
    else if (c == '`')
        enter(r, s, '`', 1);
    else if (c == '"')
        enter(r, s, '"', 1);
    else if (c == '\'' && top != '"' && !(top == '}' && s->n > 1 && s->close[s->n - 2] == '"'))
        single_quoted(r);
    else if (c == '(' && top == ')')
        enter(r, s, ')', 1);
    else
        r->at++;
}

/* Whether a byte ends a word outside of quotes. */
static bool ends_word(char c)
{
    return (unsigned char)c <= ' ' || memchr(";&|()<>", c, 7) != NULL;
}

/* Reads the word at the reader's place. */
static struct qn_str read_word(struct qn_shell_reader *r)
{
    struct nest s = {.n = 0};
    size_t start = r->at;

    while (r->at < r->text.n && !r->lost) {
        char c = peek(r, 0);
        if (s.n)
            nested_step(r, &s);
        else if (c == '(' && r->at > start && r->text.p[r->at - 1] == '=')
            enter(r, &s, ARRAY, 1);
        else if (ends_word(c))
            break;
        else if (c == '\\')
            r->at += 2;
        else if (c == '\'')
            single_quoted(r);
        else if (c == '"')
            enter(r, &s, '"', 1);
        else if (c == '`')
            enter(r, &s, '`', 1);
        else if (c == '$' && peek(r, 1) == '(' && peek(r, 2) == '(')
            arithmetic(r, 3);
        else if (c == '$' && (peek(r, 1) == '(' || peek(r, 1) == '{'))
            enter(r, &s, peek(r, 1) == '(' ? ')' : '}', 2);
        else
            r->at++;
    }
    r->at = QN_MIN(r->at, r->text.n);
    return qn_str_n(r->text.p + start, r->at - start);
}

static void skip_blanks(struct qn_shell_reader *r)
{
    for (;;) {
        char c = peek(r, 0);
        if (c == '\\' && peek(r, 1) == '\n')
            r->at += 2;
        else if (r->at < r->text.n && (c == ' ' || c == '\t' || c == '\r'))
            r->at++;
        else
            return;
    }
}

/* The bodies of here-documents, behind the end of a line; `body` becomes the first. */
static void here_documents(struct qn_shell_reader *r, struct qn_str *body)
{
    char plain[256];
    struct qn_str line, end;

    for (size_t i = 0; i < r->ends; i++) {
        struct qn_str rest = qn_str_from(r->text, QN_MIN(r->at, r->text.n)), start = rest;
        size_t n = 0;
        if (!qn_shell_unquote(r->end[i], plain, sizeof plain, &end))
            r->lost = true;
        while (qn_str_next(&rest, '\n', &line)) {
            struct qn_str bare = line;
            while (bare.n && bare.p[0] == '\t')
                bare = qn_str_from(bare, 1);
            if (qn_str_eq(bare, end))
                break;
            n = start.n - rest.n;
        }
        if (i == 0)
            *body = qn_str_head(start, n);
        r->at = r->text.n - rest.n;
    }
    r->ends = 0;
}

/* A redirection: its operator and its target. */
static void redirection(struct qn_shell_reader *r)
{
    bool here = peek(r, 0) == '<' && peek(r, 1) == '<' && peek(r, 2) != '<';

    if ((peek(r, 0) == '<' || peek(r, 0) == '>') && peek(r, 1) == '(') {
        (void)read_word(r); /* nothing: "(" ends it */
        struct nest s = {.n = 0};
        enter(r, &s, ')', 2);
        while (s.n && r->at < r->text.n && !r->lost)
            nested_step(r, &s);
        return;
    }
    while (r->at < r->text.n && memchr("<>&|-", peek(r, 0), 5))
        r->at++;
    skip_blanks(r);
    if (r->at < r->text.n && !ends_word(peek(r, 0))) {
        struct qn_str target = read_word(r);
        if (here && r->ends < QN_ARRAY_LEN(r->end))
            r->end[r->ends++] = target;
    }
}

/* Patterns of a case: up to their ")". */
static void patterns(struct qn_shell_reader *r)
{
    while (r->at < r->text.n && r->pattern && !r->lost) {
        skip_blanks(r);
        char c = peek(r, 0);
        if (c == ')')
            r->pattern = false;
        if (c == '#') {
            ptrdiff_t eol = qn_str_chr(qn_str_from(r->text, r->at), '\n');
            r->at = eol < 0 ? r->text.n : r->at + (size_t)eol;
        } else if (ends_word(c)) {
            r->at++;
        } else if (qn_str_eq(read_word(r), QN_STR("esac"))) {
            r->pattern = false;
            r->cases -= r->cases > 0;
        }
    }
}

/* An operator that ends a command. */
static void operator_(struct qn_shell_reader *r, struct qn_str *body)
{
    char c = peek(r, 0), next = peek(r, 1);

    r->at++;
    if (c == '\n' && r->ends)
        here_documents(r, body);
    r->piped = c == '|' && next != '|';
    if (c == ';' && (next == ';' || next == '&') && r->cases) {
        r->at += peek(r, 1) == '&' ? 2 : 1;
        r->pattern = true;
    } else if ((c == '|' || c == '&') && (next == c || next == '&')) {
        r->at++;
    }
}

static void add(struct qn_shell_command *out, struct qn_str word)
{
    if (out->words < QN_COMMAND_WORDS)
        out->word[out->words++] = word;
    struct qn_str first = out->word[0];
    out->text = qn_str_n(first.p, (size_t)(word.p + word.n - first.p));
}

static bool number(struct qn_str word)
{
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] < '0' || word.p[i] > '9')
            return false;
    return word.n > 0;
}

/* Notes what a word means for what follows. */
static void keyword(struct qn_shell_reader *r, const struct qn_shell_command *c, struct qn_str word)
{
    if (c->words >= 3 && qn_str_eq(c->word[c->words - 3], QN_STR("case")) && qn_str_eq(word, QN_STR("in"))) {
        r->cases++;
        r->pattern = true;
    }
    if (c->words == 1 && qn_str_eq(word, QN_STR("esac")))
        r->cases -= r->cases > 0;
}

/* Reads one command; it may be empty. */
static void read_command(struct qn_shell_reader *r, struct qn_shell_command *out)
{
    bool test = false;

    *out = (struct qn_shell_command){.piped = r->piped};
    while (r->at < r->text.n && !r->lost) {
        skip_blanks(r);
        char c = peek(r, 0);
        if (r->at >= r->text.n)
            break;
        if (c == '#') {
            ptrdiff_t eol = qn_str_chr(qn_str_from(r->text, r->at), '\n');
            r->at = eol < 0 ? r->text.n : r->at + (size_t)eol;
        } else if (c == '(' && peek(r, 1) == '(' && out->words == 0) {
            arithmetic(r, 2);
        } else if ((c == '<' || c == '>' || (c == '&' && peek(r, 1) == '>')) && !test) {
            redirection(r);
        } else if (ends_word(c) && !test) {
            operator_(r, &out->reads);
            return;
        } else if (ends_word(c)) {
            r->at++;
        } else {
            struct qn_str word = read_word(r);
            bool fd = number(word) && (peek(r, 0) == '<' || peek(r, 0) == '>');
            if (!fd)
                add(out, word);
            test = (test || qn_str_eq(word, QN_STR("[["))) && !qn_str_eq(word, QN_STR("]]"));
            keyword(r, out, word);
            if (r->pattern)
                return;
        }
    }
}

void qn_shell_reader_init(struct qn_shell_reader *self, struct qn_str text)
{
    *self = (struct qn_shell_reader){.text = text};
}

bool qn_shell_command(struct qn_shell_reader *self, struct qn_shell_command *out)
{
    for (;;) {
        while (self->at < self->text.n && !self->lost) {
            if (self->pattern)
                patterns(self);
            read_command(self, out);
            if (out->words)
                return true;
        }
        if (self->todos == 0 || self->lost)
            return false;
        self->text = self->todo[--self->todos];
        self->at = self->cases = 0;
        self->ends = 0;
        self->pattern = self->piped = false;
    }
}

bool qn_shell_unquote(struct qn_str word, char *buf, size_t size, struct qn_str *out)
{
    size_t n = 0;
    char quote = '\0';

    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        bool escape =
            c == '\\' && quote != '\'' && i + 1 < word.n && (!quote || memchr("$`\"\\\n", word.p[i + 1], 5) != NULL);
        if (escape)
            c = word.p[++i];
        else if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? '\0' : c;
            continue;
        }
        if (n == size)
            return false;
        buf[n++] = c;
    }
    *out = qn_str_n(buf, n);
    return true;
}
