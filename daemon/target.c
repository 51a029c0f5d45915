#include "target.h"

#include "base/num.h"

/* Decodes into `*at`, which moves on. In paths only harmless bytes may be written encoded. */
static int decode(struct qn_str s, bool query, char **at, struct qn_str *out, struct qn_err *e)
{
    char *start = *at;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? qn_num_hex(s.p[i + 1]) : -1, low = i + 2 < s.n ? qn_num_hex(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return qn_fail(e, QN_E_MALFORMED, "request target: \"%%\" without two hexadecimal digits");
            c = (unsigned char)(high << 4 | low);
            i += 2;
            if (c < 0x20 || c == 0x7f || (!query && (c > 0x7e || c == '/' || c == '%' || c == '\\')))
                return qn_fail(e, QN_E_MALFORMED, "request target: %%%02x is not allowed here", c);
        } else if (c == '+' && query) {
            c = ' ';
        }
        *(*at)++ = (char)c;
    }
    *out = qn_str_n(start, (size_t)(*at - start));
    if (query && !qn_str_utf8(*out))
        return qn_fail(e, QN_E_MALFORMED, "request target: query is not UTF-8");
    return 0;
}

static int check_path(struct qn_str path, struct qn_err *e)
{
    struct qn_str rest = qn_str_from(path, 1), part;

    while (qn_str_next(&rest, '/', &part))
        if (part.n == 0 || qn_str_eq_c(part, ".") || qn_str_eq_c(part, ".."))
            return qn_fail(e, QN_E_MALFORMED, "request target: empty or dot component in the path");
    return 0;
}

static int parse_path(struct qn_str raw, char **at, struct qn_target *t, struct qn_err *e)
{
    bool v2 = qn_str_eq_c(raw, "/v2") || qn_str_starts(raw, QN_STR("/v2/"));

    if (v2 && qn_str_chr(raw, '%') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "request target: \"%%\" is not allowed below /v2");
    if (decode(raw, false, at, &t->path, e) < 0 || check_path(t->path, e) < 0)
        return -1;
    /* "/%762" must not reach what "/v2" guards by another spelling. */
    if (!v2 && (qn_str_eq_c(t->path, "/v2") || qn_str_starts(t->path, QN_STR("/v2/"))))
        return qn_fail(e, QN_E_MALFORMED, "request target: \"%%\" is not allowed below /v2");
    return 0;
}

static int parse_query(struct qn_str raw, char **at, struct qn_target *t, struct qn_err *e)
{
    struct qn_str pair, old;

    while (qn_str_next(&raw, '&', &pair)) {
        if (pair.n == 0)
            continue;
        if (t->query_count == QN_QUERY_MAX)
            return qn_fail(e, QN_E_MALFORMED, "request target: more than %u query keys", QN_QUERY_MAX);
        struct qn_query *q = &t->query[t->query_count];
        ptrdiff_t equals = qn_str_chr(pair, '=');
        struct qn_str key = equals < 0 ? pair : qn_str_head(pair, (size_t)equals);
        struct qn_str value = equals < 0 ? QN_STR("") : qn_str_from(pair, (size_t)equals + 1);
        if (decode(key, true, at, &q->key, e) < 0 || decode(value, true, at, &q->value, e) < 0)
            return -1;
        for (unsigned i = 0; i < t->query_count; i++) {
            old = t->query[i].key;
            if (qn_str_eq(old, q->key) && !qn_str_eq(old, QN_STR("tag")) && !qn_str_eq(old, QN_STR("scope")))
                return qn_fail(e, QN_E_MALFORMED, "request target: query key \"%s\" appears twice", QN_Q(old));
        }
        t->query_count++;
    }
    return 0;
}

int qn_target_parse(struct qn_str raw, char *storage, struct qn_target *out, struct qn_err *e)
{
    char *at = storage;

    out->query_count = 0;
    if (raw.n == 0 || raw.n > QN_TARGET_MAX)
        return qn_fail(e, QN_E_MALFORMED, "request target: %zu bytes", raw.n);
    for (size_t i = 0; i < raw.n; i++)
        if (raw.p[i] <= 0x20 || raw.p[i] == 0x7f || raw.p[i] == '#' || raw.p[i] == '\\')
            return qn_fail(e, QN_E_MALFORMED, "request target: byte 0x%02x", (unsigned char)raw.p[i]);
    if (raw.p[0] != '/') {
        /* Absolute form: the authority has to be there, the Host header decides. */
        ptrdiff_t scheme = qn_str_find(raw, QN_STR("://"));
        if (scheme <= 0 || !(qn_str_ieq(qn_str_head(raw, (size_t)scheme), QN_STR("http")) ||
                             qn_str_ieq(qn_str_head(raw, (size_t)scheme), QN_STR("https"))))
            return qn_fail(e, QN_E_MALFORMED, "request target: neither a path nor a URL");
        raw = qn_str_from(raw, (size_t)scheme + 3);
        ptrdiff_t slash = qn_str_chr(raw, '/');
        if (slash <= 0)
            return qn_fail(e, QN_E_MALFORMED, "request target: URL without authority or path");
        raw = qn_str_from(raw, (size_t)slash);
    }
    ptrdiff_t mark = qn_str_chr(raw, '?');
    if (parse_path(mark < 0 ? raw : qn_str_head(raw, (size_t)mark), &at, out, e) < 0)
        return -1;
    return mark < 0 ? 0 : parse_query(qn_str_from(raw, (size_t)mark + 1), &at, out, e);
}

bool qn_target_query(const struct qn_target *t, const char *key, struct qn_str *value)
{
    for (unsigned i = 0; i < t->query_count; i++)
        if (qn_str_eq_c(t->query[i].key, key)) {
            *value = t->query[i].value;
            return true;
        }
    return false;
}

void qn_target_query_each(const struct qn_target *t, const char *key, bool (*each)(void *arg, struct qn_str value),
                          void *arg)
{
    for (unsigned i = 0; i < t->query_count; i++)
        if (qn_str_eq_c(t->query[i].key, key) && !each(arg, t->query[i].value))
            return;
}
