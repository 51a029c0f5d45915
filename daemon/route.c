/* From path and method to an endpoint. */
#include "server.h"

#include <stdio.h>

#define R (1u << QN_LISTEN_REGISTRY)
#define M (1u << QN_LISTEN_MIRROR)
#define A (1u << QN_LISTEN_ADMIN)
#define P (1u << QN_LISTEN_METRICS)

#define API_BODY 65536u

static const struct qn_endpoint endpoints[] = {
#define X(pattern, listeners, methods, handler, body, role, summary)                                                   \
    {pattern, listeners, methods, qn_endpoint_##handler, body, role, summary, #handler, "", "", ""},
#include "routes.def"
#undef X
#define X(pattern, methods, handler, role, query, in, out, summary)                                                    \
    {pattern, A, methods, qn_endpoint_##handler, sizeof in > 1 ? API_BODY : 0, role, summary, #handler, query, in, out},
#include "api.def"
#undef X
};

const struct qn_endpoint *qn_endpoints(size_t *n)
{
    *n = QN_ARRAY_LEN(endpoints);
    return endpoints;
}

/* Matches a path against a pattern from the right, since <name> takes whatever is left over. */
static bool match(struct qn_str pattern, struct qn_str path, struct qn_str arg[3])
{
    ptrdiff_t name = qn_str_find(pattern, QN_STR("<name>"));
    size_t args = 0;

    if (name >= 0) {
        struct qn_str head = qn_str_head(pattern, (size_t)name), tail = qn_str_from(pattern, (size_t)name + 6);
        struct qn_str fixed = tail, open = QN_STR("");
        ptrdiff_t lt = qn_str_chr(tail, '<');
        if (!qn_str_starts(path, head))
            return false;
        path = qn_str_from(path, head.n);
        if (lt >= 0) {
            ptrdiff_t slash = qn_str_rchr(path, '/');
            fixed = qn_str_head(tail, (size_t)lt);
            if (slash < 0)
                return false;
            open = qn_str_from(path, (size_t)slash + 1);
            path = qn_str_head(path, (size_t)slash + 1);
            if (open.n == 0)
                return false;
        }
        if (path.n <= fixed.n || !qn_str_ends(path, fixed))
            return false;
        arg[0] = qn_str_head(path, path.n - fixed.n);
        arg[1] = open;
        return true;
    }
    for (;;) {
        struct qn_str want, have;
        bool more_want = qn_str_next(&pattern, '/', &want), more_have = qn_str_next(&path, '/', &have);
        if (!more_want || !more_have)
            return more_want == more_have;
        if (want.n && want.p[0] == '<' && have.n && args < 3)
            arg[args++] = have;
        else if (!qn_str_eq(want, have))
            return false;
    }
}

static bool method_in(const char *methods, struct qn_str method)
{
    struct qn_str rest = qn_str_c(methods), word;
    while (qn_str_word(&rest, &word))
        if (qn_str_eq(word, method))
            return true;
    return false;
}

const struct qn_endpoint *qn_endpoint_find(int listener, struct qn_str method, struct qn_str path, struct qn_str arg[3],
                                           bool *other)
{
    *other = false;
    for (size_t i = 0; i < QN_ARRAY_LEN(endpoints); i++) {
        const struct qn_endpoint *p = &endpoints[i];
        struct qn_str a[3] = {{"", 0}, {"", 0}, {"", 0}};
        if (!(p->listeners & 1u << listener) || !match(qn_str_c(p->pattern), path, a))
            continue;
        *other = true;
        if (!method_in(p->methods, method))
            continue;
        memcpy(arg, a, sizeof a);
        return p;
    }
    return NULL;
}

void qn_endpoint_methods(int listener, struct qn_str path, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < QN_ARRAY_LEN(endpoints); i++) {
        struct qn_str a[3] = {{"", 0}, {"", 0}, {"", 0}}, rest = qn_str_c(endpoints[i].methods), word;
        if (!(endpoints[i].listeners & 1u << listener) || !match(qn_str_c(endpoints[i].pattern), path, a))
            continue;
        while (qn_str_word(&rest, &word) && n + word.n + 3 < size)
            n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? ", " : "", QN_FMT(word));
    }
}
