#include "route.h"

#include "base/path.h"

/* ns=HOST[:PORT]: case does not count, nor does the port that the scheme implies. */
static struct qn_str without_default_port(struct qn_str host)
{
    if (qn_str_ends(host, QN_STR(":443")))
        return qn_str_head(host, host.n - 4);
    if (qn_str_ends(host, QN_STR(":80")))
        return qn_str_head(host, host.n - 3);
    return host;
}

/* An upstream may also be named in ns by the host (and port) of its URL. */
static const struct qn_upstream_settings *by_namespace(const struct qn_settings *s, struct qn_str ns)
{
    const struct qn_upstream_settings *u = qn_settings_upstream(s, ns);

    if (!u)
        u = qn_settings_upstream(s, without_default_port(ns));
    for (size_t i = 0; !u && i < s->upstreams; i++) {
        struct qn_str url = s->upstream[i].url;
        ptrdiff_t at = qn_str_find(url, QN_STR("://"));
        struct qn_str host = qn_str_from(url, at < 0 ? 0 : (size_t)at + 3);
        ptrdiff_t slash = qn_str_chr(host, '/');
        if (slash >= 0)
            host = qn_str_head(host, (size_t)slash);
        if (qn_str_ieq(host, ns) || qn_str_ieq(without_default_port(host), without_default_port(ns)))
            u = &s->upstream[i];
    }
    return u;
}

static bool allowed(const struct qn_upstream_settings *u, struct qn_str remote)
{
    for (size_t i = 0; i < u->allow.n; i++)
        if (qn_glob(u->allow.v[i], remote))
            return true;
    return u->allow.n == 0;
}

static int finish(const struct qn_upstream_settings *u, struct qn_str rest, bool build, struct qn_route *out,
                  struct qn_err *e)
{
    bool prefix = u->library_prefix && qn_str_chr(rest, '/') < 0;

    if (rest.n == 0 || !qn_reference_repository_valid(rest))
        return qn_fail(e, QN_E_NAME_INVALID, "\"%s\" is not a repository name", QN_Q(rest));
    *out = (struct qn_route){.upstream = u, .build = build};
    int n = snprintf(out->remote, sizeof out->remote, "%s%.*s", prefix ? "library/" : "", QN_FMT(rest));
    if (n < 0 || (size_t)n >= sizeof out->remote)
        return qn_fail(e, QN_E_NAME_INVALID, "\"%s\": repository name is too long", QN_Q(rest));
    snprintf(out->name, sizeof out->name, "%.*s/%s", QN_FMT(u->name), out->remote);
    snprintf(out->repo, sizeof out->repo, "%s%s", build ? "build/" : "", out->name);
    if (!allowed(u, qn_str_c(out->remote)))
        return qn_fail(e, QN_E_DENIED, "%s: not among the repositories that may be pulled from this upstream",
                       out->name);
    return 0;
}

static int finish_local(const struct qn_local_settings *l, struct qn_str name, struct qn_str below,
                        struct qn_route *out, struct qn_err *e)
{
    if (!qn_reference_repository_valid(name) || below.n == 0)
        return qn_fail(e, QN_E_NAME_INVALID, "\"%s\" is not a repository name of the form %s/REPOSITORY", QN_Q(name),
                       l->name.p);
    *out = (struct qn_route){.local = l};
    snprintf(out->remote, sizeof out->remote, "%.*s", QN_FMT(below));
    snprintf(out->name, sizeof out->name, "%.*s", QN_FMT(name));
    snprintf(out->repo, sizeof out->repo, "%.*s", QN_FMT(name));
    return 0;
}

int qn_route(const struct qn_settings *s, bool mirror, struct qn_str name, struct qn_str ns, struct qn_route *out,
             struct qn_err *e)
{
    struct qn_str rest = name, first;
    const struct qn_upstream_settings *u = NULL, *by_ns = NULL;
    bool build = false;

    if (name.n == 0 || name.n > QN_NAME_MAX)
        return qn_fail(e, QN_E_NAME_INVALID, "\"%s\" is not a repository name", QN_Q(name));
    if (qn_str_starts(rest, QN_STR("build/"))) {
        struct qn_str after = qn_str_from(rest, 6), upstream = after;
        ptrdiff_t slash = qn_str_chr(after, '/');
        if (slash > 0)
            upstream = qn_str_head(after, (size_t)slash);
        build = qn_settings_upstream(s, upstream) != NULL || (mirror && ns.n);
        if (build)
            rest = after;
    }
    struct qn_str below = rest;
    bool more = qn_str_next(&below, '/', &first) && below.n;
    if (more)
        u = qn_settings_upstream(s, first);
    const struct qn_local_settings *local = mirror || u ? NULL : qn_settings_local(s, first);
    if (mirror && ns.n) {
        by_ns = by_namespace(s, ns);
        if (u && by_ns != u)
            return qn_fail(e, QN_E_NAME_INVALID, "the path names %s, ns names \"%s\"", u->name.p, QN_Q(ns));
        if (!u && !by_ns)
            return qn_fail(e, QN_E_NAME_UNKNOWN, "ns=\"%s\": no such upstream is configured", QN_Q(ns));
    }
    if (u)
        return finish(u, below, build, out, e);
    if (local && !build)
        return finish_local(local, name, below, out, e);
    if (by_ns)
        return finish(by_ns, rest, build, out, e);
    if (mirror && s->default_upstream.n) {
        u = qn_settings_upstream(s, s->default_upstream);
        if (u)
            return finish(u, rest, build, out, e);
    }
    return qn_fail(e, QN_E_NAME_UNKNOWN,
                   "\"%s\": the first component names no upstream or local name that is configured", QN_Q(name));
}
