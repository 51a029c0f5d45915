#include "reference.h"
#include "base/num.h"

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

/* Length of the separator at the front of `s` that may stand between two runs of a component: one ".", one or two
 * "_", any number of "-". */
static size_t separator(struct qn_str s)
{
    if (s.p[0] == '.')
        return 1;
    if (s.p[0] == '_')
        return s.n > 1 && s.p[1] == '_' ? 2 : 1;
    size_t n = 0;
    while (n < s.n && s.p[n] == '-')
        n++;
    return n;
}

static bool component_valid(struct qn_str s)
{
    if (s.n == 0 || !lower_or_digit(s.p[0]))
        return false;
    while (s.n) {
        if (lower_or_digit(s.p[0])) {
            s = qn_str_from(s, 1);
            continue;
        }
        size_t n = separator(s);
        s = qn_str_from(s, n);
        if (n == 0 || s.n == 0 || !lower_or_digit(s.p[0]))
            return false;
    }
    return true;
}

bool qn_reference_repository_valid(struct qn_str s)
{
    struct qn_str part;

    if (s.n == 0 || s.n > QN_NAME_MAX || s.p[s.n - 1] == '/')
        return false;
    while (qn_str_next(&s, '/', &part))
        if (!component_valid(part))
            return false;
    return true;
}

bool qn_reference_tag_valid(struct qn_str s)
{
    if (s.n == 0 || s.n > QN_TAG_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!alnum(c) && c != '_' && (i == 0 || (c != '.' && c != '-')))
            return false;
    }
    return true;
}

static bool port_valid(struct qn_str s)
{
    struct qn_err e;
    uint64_t port;
    return qn_num_u64(s, 1, 65535, &port, &e) == 0;
}

static bool ipv6_valid(struct qn_str s)
{
    if (s.n < 2 || s.n > 45)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != ':' && c != '.')
            return false;
    }
    return qn_str_chr(s, ':') >= 0;
}

static bool dns_valid(struct qn_str s)
{
    struct qn_str label;

    if (s.n == 0 || s.p[s.n - 1] == '.')
        return false;
    while (qn_str_next(&s, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!alnum(label.p[i]) && label.p[i] != '-')
                return false;
    }
    return true;
}

bool qn_reference_host_valid(struct qn_str s)
{
    if (s.n == 0 || s.n > QN_NAME_MAX)
        return false;
    if (s.p[0] == '[') {
        ptrdiff_t end = qn_str_chr(s, ']');
        if (end < 0 || !ipv6_valid(qn_str_from(qn_str_head(s, (size_t)end), 1)))
            return false;
        struct qn_str rest = qn_str_from(s, (size_t)end + 1);
        return rest.n == 0 || (rest.p[0] == ':' && port_valid(qn_str_from(rest, 1)));
    }
    ptrdiff_t colon = qn_str_chr(s, ':');
    if (colon < 0)
        return dns_valid(s);
    return dns_valid(qn_str_head(s, (size_t)colon)) && port_valid(qn_str_from(s, (size_t)colon + 1));
}

/* docker's rule for telling a host from the first component of a repository. */
static bool looks_like_host(struct qn_str first)
{
    if (qn_str_eq_c(first, "localhost"))
        return true;
    for (size_t i = 0; i < first.n; i++)
        if (first.p[i] == '.' || first.p[i] == ':' || (first.p[i] >= 'A' && first.p[i] <= 'Z'))
            return true;
    return false;
}

/* Splits "[HOST/]REPOSITORY" into `r`. */
static int parse_name(struct qn_str whole, struct qn_str name, struct qn_reference *r, struct qn_err *e)
{
    ptrdiff_t slash = qn_str_chr(name, '/');

    if (slash > 0 && looks_like_host(qn_str_head(name, (size_t)slash))) {
        struct qn_str host = qn_str_head(name, (size_t)slash);
        if (!qn_reference_host_valid(host) || !qn_str_copy(host, r->host, sizeof r->host))
            return qn_fail(e, QN_E_NAME_INVALID, "reference \"%s\": \"%s\" is not a host", QN_Q(whole), QN_Q(host));
        name = qn_str_from(name, (size_t)slash + 1);
    }
    if (!qn_reference_repository_valid(name) || !qn_str_copy(name, r->repository, sizeof r->repository))
        return qn_fail(e, QN_E_NAME_INVALID, "reference \"%s\": \"%s\" is not a repository name", QN_Q(whole),
                       QN_Q(name));
    return 0;
}

int qn_reference_parse(struct qn_str s, struct qn_reference *out, struct qn_err *e)
{
    struct qn_reference r = {.host = ""};
    struct qn_str name = s;

    ptrdiff_t at = qn_str_chr(name, '@');
    if (at >= 0) {
        if (qn_digest_parse(qn_str_from(name, (size_t)at + 1), &r.digest, e) < 0)
            return qn_err_wrap(e, "reference \"%s\"", QN_Q(s));
        name = qn_str_head(name, (size_t)at);
    }
    ptrdiff_t colon = qn_str_rchr(name, ':');
    if (colon >= 0 && colon > qn_str_rchr(name, '/')) {
        struct qn_str tag = qn_str_from(name, (size_t)colon + 1);
        if (!qn_reference_tag_valid(tag) || !qn_str_copy(tag, r.tag, sizeof r.tag))
            return qn_fail(e, QN_E_NAME_INVALID, "reference \"%s\": \"%s\" is not a tag", QN_Q(s), QN_Q(tag));
        name = qn_str_head(name, (size_t)colon);
    }
    if (parse_name(s, name, &r, e) < 0)
        return -1;
    *out = r;
    return 0;
}

int qn_reference_print(const struct qn_reference *r, struct qn_buf *b, struct qn_err *e)
{
    char digest[QN_DIGEST_TEXT];

    if (qn_buf_printf(b, e, "%s%s%s%s%s", r->host, *r->host ? "/" : "", r->repository, *r->tag ? ":" : "", r->tag) < 0)
        return -1;
    if (r->digest.algorithm == QN_DIGEST_NONE)
        return 0;
    return qn_buf_printf(b, e, "@%s", qn_digest_text(&r->digest, digest));
}

static const struct {
    const char *name;
    enum qn_transport transport;
} transports[] = {
    {"docker", QN_TRANSPORT_DOCKER},
    {"oci", QN_TRANSPORT_OCI},
    {"oci-archive", QN_TRANSPORT_OCI_ARCHIVE},
    {"docker-archive", QN_TRANSPORT_DOCKER_ARCHIVE},
};

const char *qn_transport_name(enum qn_transport t)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(transports); i++)
        if (transports[i].transport == t)
            return transports[i].name;
    return "";
}

static int parse_docker(struct qn_str s, struct qn_str rest, struct qn_location *l, struct qn_err *e)
{
    struct qn_reference *r = &l->reference;

    if (!qn_str_starts(rest, QN_STR("//")))
        return qn_fail(e, QN_E_USAGE, "\"%s\": docker: is followed by //", QN_Q(s));
    if (qn_reference_parse(qn_str_from(rest, 2), r, e) < 0)
        return -1;
    if (!*r->host) {
        memcpy(r->host, "docker.io", sizeof "docker.io");
        size_t n = strlen(r->repository);
        if (!strchr(r->repository, '/')) {
            if (n + 8 > QN_NAME_MAX)
                return qn_fail(e, QN_E_NAME_INVALID, "\"%s\": name too long", QN_Q(s));
            memmove(r->repository + 8, r->repository, n + 1);
            memcpy(r->repository, "library/", 8);
        }
    }
    if (!*r->tag && r->digest.algorithm == QN_DIGEST_NONE)
        memcpy(r->tag, "latest", sizeof "latest");
    return 0;
}

static int parse_file(struct qn_str s, struct qn_str rest, struct qn_location *l, struct qn_err *e)
{
    ptrdiff_t colon = qn_str_chr(rest, ':');
    struct qn_str path = colon < 0 ? rest : qn_str_head(rest, (size_t)colon);
    struct qn_str name = colon < 0 ? QN_STR("") : qn_str_from(rest, (size_t)colon + 1);

    if (path.n == 0 || !qn_str_copy(path, l->path, sizeof l->path))
        return qn_fail(e, QN_E_USAGE, "\"%s\": a path is missing or too long", QN_Q(s));
    if ((colon >= 0 && name.n == 0) || !qn_str_copy(name, l->name, sizeof l->name))
        return qn_fail(e, QN_E_USAGE, "\"%s\": the name after the path is empty or too long", QN_Q(s));
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f)
            return qn_fail(e, QN_E_USAGE, "\"%s\": blank or control byte in the name after the path", QN_Q(s));
    if (l->transport == QN_TRANSPORT_DOCKER_ARCHIVE && name.n && name.p[0] != '@') {
        struct qn_reference r;
        return qn_reference_parse(name, &r, e);
    }
    return 0;
}

int qn_location_parse(struct qn_str s, struct qn_location *out, struct qn_err *e)
{
    ptrdiff_t colon = qn_str_chr(s, ':');
    struct qn_str name = colon < 0 ? QN_STR("") : qn_str_head(s, (size_t)colon);
    struct qn_str rest = colon < 0 ? QN_STR("") : qn_str_from(s, (size_t)colon + 1);

    memset(out, 0, sizeof *out);
    if (qn_str_eq_c(name, "docker-daemon"))
        return qn_fail(e, QN_E_NOT_BUILT, "not built yet: docker-daemon:");
    for (size_t i = 0; i < QN_ARRAY_LEN(transports); i++) {
        if (!qn_str_eq_c(name, transports[i].name))
            continue;
        out->transport = transports[i].transport;
        return out->transport == QN_TRANSPORT_DOCKER ? parse_docker(s, rest, out, e) : parse_file(s, rest, out, e);
    }
    return qn_fail(e, QN_E_USAGE,
                   "\"%s\": not an image location; write docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], "
                   "oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]",
                   QN_Q(s));
}
