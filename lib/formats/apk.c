#include "apk.h"

static struct qn_str take_line(struct qn_str *rest)
{
    ptrdiff_t end = qn_str_chr(*rest, '\n');
    struct qn_str line = end < 0 ? *rest : qn_str_head(*rest, (size_t)end + 1);
    *rest = qn_str_from(*rest, line.n);
    return line;
}

static struct qn_str chomp(struct qn_str line)
{
    if (line.n && line.p[line.n - 1] == '\n')
        line.n--;
    return line;
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct qn_str *field_of(struct qn_apk_stanza *s, char c)
{
    switch (c) {
    case 'C':
        return &s->checksum;
    case 'P':
        return &s->name;
    case 'V':
        return &s->version;
    case 'A':
        return &s->arch;
    case 'o':
        return &s->origin;
    case 'L':
        return &s->license;
    case 'm':
        return &s->maintainer;
    case 'D':
        return &s->depends;
    case 'p':
        return &s->provides;
    case 'i':
        return &s->install_if;
    case 'r':
        return &s->replaces;
    default:
        return NULL;
    }
}

static int parse_body(struct qn_apk_stanza *s, struct qn_err *e)
{
    struct qn_str rest = s->body;
    bool files = false;

    for (size_t number = 1; rest.n; number++) {
        struct qn_str line = chomp(take_line(&rest));
        if (line.n < 2 || line.p[1] != ':' || !letter(line.p[0]))
            return qn_fail(e, QN_E_MALFORMED, "apk: package \"%s\", line %zu: not \"X:value\"", QN_Q(s->name), number);
        /* "r:" and others may be package fields only before the file list. */
        files |= line.p[0] == 'F';
        struct qn_str *value = files ? NULL : field_of(s, line.p[0]);
        if (value)
            *value = qn_str_from(line, 2);
    }
    if (s->name.n == 0 || s->version.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "apk: a package has no name or version: \"%s\"",
                       QN_Q(qn_str_head(s->body, 60)));
    return 0;
}

int qn_apk_next(struct qn_str *rest, struct qn_apk_stanza *out, struct qn_err *e)
{
    const struct qn_str none = QN_STR("");
    struct qn_apk_stanza s = {*rest, *rest, none, none, none, none, none, none, none, none, none, none, none};
    struct qn_str after = *rest;
    size_t before = 0, body = 0;

    while (after.n && after.p[0] == '\n') {
        (void)take_line(&after);
        before++;
    }
    while (after.n && after.p[0] != '\n')
        body += take_line(&after).n;
    if (body == 0)
        return 0;
    while (after.n && after.p[0] == '\n')
        (void)take_line(&after);
    s.raw = qn_str_head(*rest, rest->n - after.n);
    s.body = qn_str_head(qn_str_from(*rest, before), body);
    if (parse_body(&s, e) < 0)
        return -1;
    *rest = after;
    *out = s;
    return 1;
}

/* Joins directory and name into it->path. */
static int join(struct qn_apk_files *it, struct qn_str name, struct qn_str *out, struct qn_err *e)
{
    char text[QN_PATH_MAX];
    size_t n = it->dir.n + 1 + name.n;

    if (n >= sizeof text)
        return qn_fail(e, QN_E_MALFORMED, "apk: file name too long");
    memcpy(text, it->dir.p, it->dir.n);
    text[it->dir.n] = '/';
    memcpy(text + it->dir.n + 1, name.p, name.n);
    if (qn_path_clean(qn_str_n(text, n), it->path, out, e) < 0)
        return qn_err_wrap(e, "apk");
    return 0;
}

int qn_apk_files_next(struct qn_apk_files *it, struct qn_apk_file *out, struct qn_err *e)
{
    struct qn_apk_file f = {false, QN_STR(""), QN_STR(""), QN_STR("")};
    bool have = false;

    while (it->rest.n) {
        struct qn_str before = it->rest, line = chomp(take_line(&it->rest));
        char c = line.n >= 2 && line.p[1] == ':' ? line.p[0] : '\0';
        struct qn_str value = qn_str_from(line, 2);
        if (c == 'F' || c == 'R') {
            if (have) {
                it->rest = before;
                break;
            }
            have = true;
            f.is_dir = c == 'F';
            if (c == 'F')
                it->dir = value;
            else if (!it->dir.p)
                return qn_fail(e, QN_E_MALFORMED, "apk: a file before any directory");
            if (join(it, c == 'F' ? QN_STR("") : value, &f.path, e) < 0)
                return -1;
        } else if (have && (c == 'a' || c == 'M')) {
            f.access = value;
        } else if (have && c == 'Z') {
            f.digest = value;
        }
    }
    if (have)
        *out = f;
    return have;
}

/* A directory of the list while it is filtered: its own lines wait until it is known whether something stays. */
struct block {
    struct qn_str own;    /* F: and what follows it up to the first R: */
    struct qn_str path;   /* in the iterator */
    struct qn_buf *files; /* R: groups that stay */
    bool active;
};

static int flush(struct block *k, const struct qn_apk_keep *keep, const struct qn_apk_stanza *s, struct qn_buf *out,
                 struct qn_err *e)
{
    char buf[QN_PATH_MAX];
    struct qn_str path;

    if (!k->active)
        return 0;
    k->active = false;
    if (qn_path_clean(k->path, buf, &path, e) < 0)
        return qn_err_wrap(e, "apk: package \"%s\"", QN_Q(s->name));
    if (k->files->n == 0 && keep->dir && !keep->dir(keep->ctx, s, path))
        return 0;
    return qn_buf_str(out, k->own, e) < 0 || qn_buf_str(out, qn_buf_view(k->files), e) < 0 ? -1 : 0;
}

/* The lines at the front of `rest` that belong to an F: or R: line: everything up to the next one. */
static struct qn_str take_group(struct qn_str *rest)
{
    struct qn_str start = *rest;

    (void)take_line(rest);
    while (rest->n >= 2 && rest->p[0] != '\n' && !((rest->p[0] == 'F' || rest->p[0] == 'R') && rest->p[1] == ':'))
        (void)take_line(rest);
    return qn_str_head(start, start.n - rest->n);
}

static int filter_file(struct block *k, struct qn_str group, const struct qn_apk_keep *keep,
                       const struct qn_apk_stanza *s, struct qn_err *e)
{
    struct qn_str lines = group, path;
    struct qn_str name = qn_str_from(chomp(take_line(&lines)), 2);
    struct qn_apk_files it = {.dir = k->path};

    if (!k->active)
        return qn_fail(e, QN_E_MALFORMED, "apk: package \"%s\": a file before any directory", QN_Q(s->name));
    if (join(&it, name, &path, e) < 0)
        return -1;
    if (keep->file && !keep->file(keep->ctx, s, path))
        return 0;
    return qn_buf_str(k->files, group, e);
}

static int filter_files(const struct qn_apk_stanza *s, struct qn_str rest, const struct qn_apk_keep *keep,
                        struct qn_buf *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf files = {0};
    struct block k = {.files = &files};

    qn_buf_init(&files, s->raw.n);
    while (rest.n && rest.p[0] != '\n') {
        struct qn_str group = take_group(&rest);
        if (group.p[0] == 'R') {
            if (filter_file(&k, group, keep, s, e) < 0)
                return -1;
            continue;
        }
        if (flush(&k, keep, s, out, e) < 0)
            return -1;
        struct qn_str lines = group;
        k.own = group;
        k.path = qn_str_from(chomp(take_line(&lines)), 2);
        k.active = true;
        qn_buf_clear(&files);
    }
    return flush(&k, keep, s, out, e) < 0 ? -1 : qn_buf_str(out, rest, e);
}

static int filter_stanza(const struct qn_apk_stanza *s, const struct qn_apk_keep *keep, struct qn_buf *out,
                         struct qn_err *e)
{
    struct qn_str rest = s->raw, start = rest;

    /* Blank lines in front, then the package's own fields. */
    while (rest.n && rest.p[0] == '\n')
        (void)take_line(&rest);
    while (rest.n && rest.p[0] != '\n' && !qn_str_starts(rest, QN_STR("F:")) && !qn_str_starts(rest, QN_STR("R:")))
        (void)take_line(&rest);
    if (qn_buf_str(out, qn_str_head(start, start.n - rest.n), e) < 0)
        return -1;
    return filter_files(s, rest, keep, out, e);
}

int qn_apk_filter(struct qn_str text, const struct qn_apk_keep *keep, struct qn_buf *out, struct qn_err *e)
{
    struct qn_apk_stanza s;
    int r;

    while ((r = qn_apk_next(&text, &s, e)) > 0) {
        if (keep->package && !keep->package(keep->ctx, &s))
            continue;
        if (filter_stanza(&s, keep, out, e) < 0)
            return -1;
    }
    return r < 0 ? -1 : qn_buf_str(out, text, e);
}

bool qn_apk_dep_next(struct qn_str *rest, struct qn_apk_dep *out)
{
    struct qn_apk_dep d = {.conflict = false};

    while (qn_str_word(rest, &d.raw)) {
        d.conflict = d.raw.p[0] == '!';
        struct qn_str name = qn_str_from(d.raw, d.conflict ? 1 : 0);
        size_t n = 0;
        while (n < name.n && !strchr("<>=~@", name.p[n]))
            n++;
        d.name = qn_str_head(name, n);
        if (d.name.n == 0)
            continue;
        *out = d;
        return true;
    }
    return false;
}

static int world_line(struct qn_str line, bool (*keep)(void *ctx, struct qn_str name), void *ctx, struct qn_buf *out,
                      struct qn_err *e)
{
    qn_auto_buf struct qn_buf kept = {0};
    struct qn_str rest = line;
    struct qn_apk_dep d;
    bool dropped = false;

    qn_buf_init(&kept, line.n + 1);
    while (qn_apk_dep_next(&rest, &d)) {
        if (!keep(ctx, d.name)) {
            dropped = true;
            continue;
        }
        if ((kept.n && qn_buf_c(&kept, " ", e) < 0) || qn_buf_str(&kept, d.raw, e) < 0)
            return -1;
    }
    if (!dropped)
        return qn_buf_str(out, line, e);
    if (kept.n == 0)
        return 0;
    return qn_buf_str(out, qn_buf_view(&kept), e) < 0 || qn_buf_c(out, "\n", e) < 0 ? -1 : 0;
}

int qn_apk_world_filter(struct qn_str text, bool (*keep)(void *ctx, struct qn_str name), void *ctx, struct qn_buf *out,
                        struct qn_err *e)
{
    while (text.n)
        if (world_line(take_line(&text), keep, ctx, out, e) < 0)
            return -1;
    return 0;
}
