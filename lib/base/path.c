#include "path.h"

int qn_path_clean(struct qn_str name, char buf[QN_PATH_MAX], struct qn_str *out, struct qn_err *e)
{
    size_t n = 0;
    struct qn_str rest = name, part;

    if (qn_str_chr(name, '\0') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "\"%s\": NUL byte in a path", QN_Q(name));
    while (qn_str_next(&rest, '/', &part)) {
        if (part.n == 0 || qn_str_eq(part, QN_STR(".")))
            continue;
        if (qn_str_eq(part, QN_STR("..")))
            return qn_fail(e, QN_E_MALFORMED, "\"%s\": path climbs out with \"..\"", QN_Q(name));
        if (n + part.n + 2 > QN_PATH_MAX)
            return qn_fail(e, QN_E_LIMIT, "\"%s\": path longer than %u bytes", QN_Q(name), QN_PATH_MAX);
        if (n)
            buf[n++] = '/';
        memcpy(buf + n, part.p, part.n);
        n += part.n;
    }
    buf[n] = '\0';
    *out = (struct qn_str){buf, n};
    return 0;
}

bool qn_path_is_clean(struct qn_str name)
{
    size_t start = 0;

    if (qn_str_chr(name, '\0') >= 0)
        return false;
    while (name.n) {
        ptrdiff_t slash = qn_str_chr(qn_str_from(name, start), '/');
        size_t n = slash < 0 ? name.n - start : (size_t)slash;
        struct qn_str part = qn_str_n(name.p + start, n);
        if (n == 0 || qn_str_eq(part, QN_STR(".")) || qn_str_eq(part, QN_STR("..")) ||
            (start ? start - 1 : 0) + n + 2 > QN_PATH_MAX)
            return false;
        if (slash < 0)
            break;
        start += n + 1;
    }
    return true;
}

struct qn_str qn_path_dir(struct qn_str path)
{
    ptrdiff_t at = qn_str_rchr(path, '/');
    return qn_str_head(path, at < 0 ? 0 : (size_t)at);
}

struct qn_str qn_path_base(struct qn_str path)
{
    ptrdiff_t at = qn_str_rchr(path, '/');
    return at < 0 ? path : qn_str_from(path, (size_t)at + 1);
}

int qn_path_cmp(struct qn_str a, struct qn_str b)
{
    size_t n = QN_MIN(a.n, b.n);
    size_t i = 0;

    while (i < n && a.p[i] == b.p[i])
        i++;
    if (i == n)
        return (a.n > b.n) - (a.n < b.n);
    unsigned x = a.p[i] == '/' ? 0 : (unsigned)(unsigned char)a.p[i] + 1;
    unsigned y = b.p[i] == '/' ? 0 : (unsigned)(unsigned char)b.p[i] + 1;
    return x < y ? -1 : 1;
}

/* One wildcard of the pattern that may still be widened. */
struct star {
    size_t pattern; /* where the pattern goes on after it */
    size_t text;    /* how far the text was matched when it was met, plus its widening */
    bool set;
};

/* Whether a text ends as what stands behind the last wildcard of a pattern; the slash of a double star may match
 * nothing. Most patterns of a long table fail here. */
static bool same_end(struct qn_str pattern, struct qn_str text)
{
    for (size_t i = 1; i <= pattern.n; i++) {
        size_t at = pattern.n - i;
        if (pattern.p[at] == '*' || pattern.p[at] == '?' ||
            (pattern.p[at] == '/' && at > 1 && pattern.p[at - 1] == '*' && pattern.p[at - 2] == '*'))
            return true;
        if (i > text.n || pattern.p[at] != text.p[text.n - i])
            return false;
    }
    return pattern.n == text.n;
}

/* The two kinds of star backtrack apart: a "*" that meets "/" gives up in favour of the last "**". That keeps
 * the work at most quadratic in the text, whatever the pattern. */
bool qn_glob(struct qn_str pattern, struct qn_str text)
{
    struct star one = {0}, two = {0};
    size_t p = 0, t = 0;

    if (!same_end(pattern, text))
        return false;
    for (;;) {
        if (p + 1 < pattern.n && pattern.p[p] == '*' && pattern.p[p + 1] == '*') {
            p += 2;
            if (p < pattern.n && pattern.p[p] == '/' && (p == 2 || pattern.p[p - 3] == '/'))
                p++; /* "**" with its slash may match nothing: what follows starts at a component */
            two = (struct star){p, t, true};
            one.set = false;
            continue;
        }
        if (p < pattern.n && pattern.p[p] == '*') {
            one = (struct star){++p, t, true};
            continue;
        }
        if (p == pattern.n && t == text.n)
            return true;
        if (p < pattern.n && t < text.n && (pattern.p[p] == text.p[t] || (pattern.p[p] == '?' && text.p[t] != '/'))) {
            p++;
            t++;
            continue;
        }
        if (one.set && one.text < text.n && text.p[one.text] != '/') {
            p = one.pattern;
            t = ++one.text;
            continue;
        }
        if (!two.set || two.text >= text.n)
            return false;
        one.set = false;
        bool component = two.pattern > 0 && pattern.p[two.pattern - 1] == '/';
        do
            two.text++;
        while (component && two.text < text.n && text.p[two.text - 1] != '/');
        if (component && two.text >= text.n && (two.text == 0 || text.p[two.text - 1] != '/'))
            return false;
        p = two.pattern;
        t = two.text;
    }
}
