#include "dpkg.h"

#define STANZA_LINES_MAX 100000u

/* Takes the next line, newline included, off the front. */
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

static bool is_blank(struct qn_str line)
{
    return qn_str_trim(line).n == 0;
}

static struct qn_str *field_of(struct qn_dpkg_stanza *s, struct qn_str name)
{
    const struct {
        const char *name;
        struct qn_str *value;
    } known[] = {
        {"Package", &s->package},
        {"Version", &s->version},
        {"Architecture", &s->architecture},
        {"Status", &s->status},
        {"Multi-Arch", &s->multi_arch},
        {"Depends", &s->depends},
        {"Pre-Depends", &s->pre_depends},
        {"Recommends", &s->recommends},
        {"Provides", &s->provides},
        {"Essential", &s->essential},
        {"Priority", &s->priority},
        {"Section", &s->section},
        {"Source", &s->source},
        {"Maintainer", &s->maintainer},
        {"Conffiles", &s->conffiles},
        {"Auto-Installed", &s->auto_installed},
    };
    for (size_t i = 0; i < QN_ARRAY_LEN(known); i++)
        if (qn_str_ieq(name, qn_str_c(known[i].name)))
            return known[i].value;
    return NULL;
}

/* Field names: printable ASCII without blank and colon (Policy 5.1). */
static bool name_valid(struct qn_str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] == 0x7f)
            return false;
    return name.n > 0 && name.p[0] != '-' && name.p[0] != '#';
}

static int parse_field(struct qn_str line, size_t number, struct qn_dpkg_stanza *s, struct qn_str **current,
                       struct qn_err *e)
{
    ptrdiff_t colon = qn_str_chr(line, ':');

    if (colon <= 0 || !name_valid(qn_str_head(line, (size_t)colon)))
        return qn_fail(e, QN_E_MALFORMED, "dpkg: stanza \"%s\", line %zu: not a field", QN_Q(s->package), number);
    struct qn_str name = qn_str_head(line, (size_t)colon);
    *current = field_of(s, name);
    if (!*current)
        return 0;
    if ((*current)->p)
        return qn_fail(e, QN_E_MALFORMED, "dpkg: stanza \"%s\", line %zu: field %s appears twice", QN_Q(s->package),
                       number, QN_Q(name));
    **current = qn_str_trim(qn_str_from(line, (size_t)colon + 1));
    return 0;
}

static void default_fields(struct qn_dpkg_stanza *s)
{
    struct qn_str *all[] = {&s->package,    &s->version,    &s->architecture, &s->status,
                            &s->multi_arch, &s->depends,    &s->provides,     &s->pre_depends,
                            &s->recommends, &s->essential,  &s->priority,     &s->section,
                            &s->source,     &s->maintainer, &s->conffiles,    &s->auto_installed};
    for (size_t i = 0; i < QN_ARRAY_LEN(all); i++)
        if (!all[i]->p)
            *all[i] = QN_STR("");
}

/* Cuts the next stanza, with blank lines around it, off the front. */
static struct qn_str cut_stanza(struct qn_str *rest)
{
    struct qn_str start = *rest;
    bool any = false, ended = false;

    while (rest->n) {
        struct qn_str before = *rest;
        bool blank = is_blank(take_line(rest));
        if (ended && !blank) {
            *rest = before;
            break;
        }
        any |= !blank;
        ended = any && blank;
    }
    return any ? qn_str_head(start, start.n - rest->n) : qn_str_head(start, 0);
}

static int parse_stanza(struct qn_dpkg_stanza *s, struct qn_err *e)
{
    struct qn_str rest = s->raw, *current = NULL;
    bool any = false;

    for (size_t number = 1; rest.n; number++) {
        struct qn_str line = chomp(take_line(&rest));
        if (is_blank(line))
            continue;
        if (number > STANZA_LINES_MAX)
            return qn_fail(e, QN_E_LIMIT, "dpkg: stanza \"%s\": more than %u lines", QN_Q(s->package),
                           STANZA_LINES_MAX);
        if (line.p[0] != ' ' && line.p[0] != '\t') {
            any = true;
            if (parse_field(line, number, s, &current, e) < 0)
                return -1;
        } else if (!any) {
            return qn_fail(e, QN_E_MALFORMED, "dpkg: line %zu: continuation without a field", number);
        } else if (current) {
            current->n = (size_t)(line.p + line.n - current->p);
        }
    }
    if (s->package.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "dpkg: a stanza has no Package: \"%s\"", QN_Q(qn_str_head(s->raw, 60)));
    return 0;
}

int qn_dpkg_next(struct qn_str *rest, struct qn_dpkg_stanza *out, struct qn_err *e)
{
    struct qn_str after = *rest;
    struct qn_dpkg_stanza s = {.raw = cut_stanza(&after)};

    if (s.raw.n == 0)
        return 0;
    if (parse_stanza(&s, e) < 0)
        return -1;
    default_fields(&s);
    *rest = after;
    *out = s;
    return 1;
}

bool qn_dpkg_is_installed(const struct qn_dpkg_stanza *s)
{
    struct qn_str rest = s->status, want, flag, state;

    if (!qn_str_word(&rest, &want))
        return true;
    return qn_str_word(&rest, &flag) && qn_str_word(&rest, &state) && !qn_str_eq_c(state, "not-installed") &&
           !qn_str_eq_c(state, "config-files");
}

void qn_dpkg_source(const struct qn_dpkg_stanza *s, struct qn_str *name, struct qn_str *version)
{
    *name = s->package;
    *version = s->version;
    if (s->source.n == 0)
        return;
    ptrdiff_t open = qn_str_chr(s->source, '(');
    *name = open < 0 ? s->source : qn_str_trim(qn_str_head(s->source, (size_t)open));
    if (open < 0)
        return;
    struct qn_str inside = qn_str_from(s->source, (size_t)open + 1);
    ptrdiff_t close = qn_str_chr(inside, ')');
    if (close >= 0)
        *version = qn_str_trim(qn_str_head(inside, (size_t)close));
}

int qn_dpkg_filter(struct qn_str text, bool (*keep)(void *ctx, const struct qn_dpkg_stanza *s), void *ctx,
                   struct qn_buf *out, struct qn_err *e)
{
    struct qn_dpkg_stanza s;
    int r;

    while ((r = qn_dpkg_next(&text, &s, e)) > 0)
        if (keep(ctx, &s) && qn_buf_str(out, s.raw, e) < 0)
            return -1;
    /* Blank lines alone at the end are not a stanza. */
    return r < 0 ? -1 : qn_buf_str(out, text, e);
}

bool qn_dpkg_dep_group(struct qn_str *rest, struct qn_str *group)
{
    while (qn_str_next(rest, ',', group)) {
        *group = qn_str_trim(*group);
        if (group->n)
            return true;
    }
    return false;
}

/* "(>= 1.2)" at the front of `s`, which is what follows a package's name. */
static void parse_version(struct qn_str s, struct qn_dpkg_dep *d)
{
    ptrdiff_t open = qn_str_chr(s, '('), close = qn_str_chr(s, ')');

    if (open < 0 || close < open)
        return;
    struct qn_str inside = qn_str_trim(qn_str_head(qn_str_from(s, (size_t)open + 1), (size_t)(close - open - 1)));
    size_t n = 0;
    while (n < inside.n && (inside.p[n] == '<' || inside.p[n] == '>' || inside.p[n] == '='))
        n++;
    d->relation = qn_str_head(inside, n);
    d->version = qn_str_trim(qn_str_from(inside, n));
}

bool qn_dpkg_dep_next(struct qn_str *group, struct qn_dpkg_dep *out)
{
    struct qn_str part;

    while (qn_str_next(group, '|', &part)) {
        struct qn_dpkg_dep d = {QN_STR(""), QN_STR(""), QN_STR(""), QN_STR("")};
        size_t n = 0;
        part = qn_str_trim(part);
        while (n < part.n && !strchr(" \t\r\n(<[", part.p[n]))
            n++;
        d.name = qn_str_head(part, n);
        parse_version(qn_str_from(part, n), &d);
        ptrdiff_t colon = qn_str_chr(d.name, ':');
        if (colon >= 0) {
            d.arch = qn_str_from(d.name, (size_t)colon + 1);
            d.name = qn_str_head(d.name, (size_t)colon);
        }
        if (d.name.n == 0)
            continue;
        *out = d;
        return true;
    }
    return false;
}
