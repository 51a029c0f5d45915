#include "challenge.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>

/* --- WWW-Authenticate --------------------------------------------------------------------------------------------- */

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(struct qn_str *s)
{
    while (s->n && (*s->p == ' ' || *s->p == '\t'))
        *s = qn_str_from(*s, 1);
}

static struct qn_str take_token(struct qn_str *s)
{
    size_t n = 0;
    while (n < s->n && is_token(s->p[n]))
        n++;
    struct qn_str t = qn_str_head(*s, n);
    *s = qn_str_from(*s, n);
    return t;
}

/* A quoted string's content without its backslashes; LIMIT when it does not fit. */
static int take_quoted(struct qn_str *s, char *out, size_t size, struct qn_err *e)
{
    size_t n = 0;

    *s = qn_str_from(*s, 1);
    for (;;) {
        if (s->n == 0)
            return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: a quoted text does not end");
        char c = *s->p;
        *s = qn_str_from(*s, 1);
        if (c == '"')
            break;
        if (c == '\\') {
            if (s->n == 0)
                return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: a quoted text does not end");
            c = *s->p;
            *s = qn_str_from(*s, 1);
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: control byte in a quoted text");
        if (n + 1 >= size)
            return qn_fail(e, QN_E_LIMIT, "WWW-Authenticate: text of more than %zu bytes", size - 1);
        out[n++] = c;
    }
    out[n] = '\0';
    return 0;
}

static int take_param_value(struct qn_str *s, char *out, size_t size, struct qn_err *e)
{
    skip_blanks(s);
    if (s->n && *s->p == '"')
        return take_quoted(s, out, size, e);
    struct qn_str t = take_token(s);
    if (t.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: a parameter has no value");
    if (!qn_str_copy(t, out, size))
        return qn_fail(e, QN_E_LIMIT, "WWW-Authenticate: text of more than %zu bytes", size - 1);
    return 0;
}

/* "name = value", with the name taken already and `s` at the "=". */
static int take_param(struct qn_str *s, struct qn_str name, struct qn_challenge *c, struct qn_err *e)
{
    char ignored[QN_CHALLENGE_REALM];
    char *out = ignored;
    size_t size = sizeof ignored;

    *s = qn_str_from(*s, 1);
    if (qn_str_ieq(name, QN_STR("realm"))) {
        out = c->realm;
    } else {
        if (qn_str_ieq(name, QN_STR("service")))
            out = c->service;
        else if (qn_str_ieq(name, QN_STR("scope")))
            out = c->scope;
        else if (qn_str_ieq(name, QN_STR("error")))
            out = c->error;
        size = out == ignored ? sizeof ignored : QN_CHALLENGE_TEXT;
    }
    /* The first one counts: a second realm must not be able to override what was checked. */
    if (out != ignored && out[0] != '\0') {
        out = ignored;
        size = sizeof ignored;
    }
    return take_param_value(s, out, size, e);
}

/* token68: what Negotiate and others send instead of parameters. */
static void skip_token68(struct qn_str *s)
{
    while (s->n && *s->p != ',')
        *s = qn_str_from(*s, 1);
}

int qn_challenge_parse(struct qn_str value, struct qn_challenge *out, size_t max, size_t *n, struct qn_err *e)
{
    struct qn_str s = value;
    size_t count = 0;
    struct qn_challenge *now = NULL;

    for (;;) {
        skip_blanks(&s);
        if (s.n == 0)
            break;
        if (*s.p == ',') {
            s = qn_str_from(s, 1);
            continue;
        }
        struct qn_str before = s, name = take_token(&s), after = s;
        if (name.n == 0) {
            /* "abc/def==" behind a scheme of no parameters */
            if (now && now->scheme == QN_SCHEME_OTHER) {
                skip_token68(&s);
                continue;
            }
            return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: unexpected \"%s\"", QN_Q(before));
        }
        if (after.n && !strchr(" \t,=", *after.p)) {
            if (!now || now->scheme != QN_SCHEME_OTHER)
                return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: unexpected \"%s\"", QN_Q(before));
            skip_token68(&s);
            continue;
        }
        skip_blanks(&after);
        if (after.n && *after.p == '=') {
            if (!now)
                return qn_fail(e, QN_E_MALFORMED, "WWW-Authenticate: parameter \"%s\" before any scheme", QN_Q(name));
            struct qn_str value_part = qn_str_from(after, 1);
            if (now->scheme == QN_SCHEME_OTHER && (value_part.n == 0 || *value_part.p == '=' || *value_part.p == ',')) {
                skip_token68(&s);
                continue;
            }
            s = after;
            if (take_param(&s, name, now, e) < 0)
                return -1;
            continue;
        }
        if (count == max)
            return qn_fail(e, QN_E_LIMIT, "WWW-Authenticate: more than %zu challenges", max);
        now = &out[count++];
        *now = (struct qn_challenge){0};
        now->scheme = qn_str_ieq(name, QN_STR("bearer"))  ? QN_SCHEME_BEARER
                      : qn_str_ieq(name, QN_STR("basic")) ? QN_SCHEME_BASIC
                                                          : QN_SCHEME_OTHER;
    }
    *n = count;
    return 0;
}

/* --- where passwords may go --------------------------------------------------------------------------------------- */

static void url_cleanup(CURLU **u)
{
    curl_url_cleanup(*u);
}
static void text_cleanup(char **s)
{
    curl_free(*s);
}
#define auto_url  QN_CLEANUP(url_cleanup)
#define auto_text QN_CLEANUP(text_cleanup)

static int split(const char *url, const char *what, char **scheme, char **host, char **port, struct qn_err *e)
{
    auto_url CURLU *u = curl_url();
    auto_text char *user = NULL;

    if (!u || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return qn_fail(e, QN_E_ADDRESS, "%s \"%s\" is not a URL", what, QN_Q(qn_str_c(url)));
    if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
        return qn_fail(e, QN_E_ADDRESS, "%s \"%s\" holds a user name", what, QN_Q(qn_str_c(url)));
    return 0;
}

/* Below these people register names: domains under them do not belong together. The second labels are what country
 * registries use; the rest are hosts that rent out sub-domains. */
static bool is_public_suffix(struct qn_str domain)
{
    static const char *const second[] = {"ac",  "asn", "biz", "co", "com",  "edu", "gob", "gouv", "gov",
                                         "go",  "gv",  "id",  "in", "info", "ltd", "me",  "mil",  "ne",
                                         "net", "nhs", "nom", "or", "org",  "plc", "res", "sch"};
    static const char *const rented[] = {
        "github.io",    "gitlab.io",  "amazonaws.com", "azurecr.io",  "azurewebsites.net", "cloudfront.net",
        "appspot.com",  "run.app",    "pkg.dev",       "web.app",     "fly.dev",           "herokuapp.com",
        "netlify.app",  "vercel.app", "pages.dev",     "workers.dev", "onrender.com",      "windows.net",
        "cloudapp.net", "azure.com",  "duckdns.org",   "ngrok.io",    "ngrok.app",         "digitaloceanspaces.com",
        "r2.dev"};
    ptrdiff_t dot = qn_str_chr(domain, '.');

    if (dot < 0)
        return true;
    struct qn_str tld = qn_str_from(domain, (size_t)dot + 1);
    for (size_t i = 0; i < QN_ARRAY_LEN(second) && tld.n == 2; i++) {
        if (qn_str_ieq(qn_str_head(domain, (size_t)dot), qn_str_c(second[i])))
            return true;
    }
    for (size_t i = 0; i < QN_ARRAY_LEN(rented); i++) {
        struct qn_str r = qn_str_c(rented[i]);
        if (qn_str_ieq(domain, r))
            return true;
        if (domain.n > r.n && domain.p[domain.n - r.n - 1] == '.' && qn_str_ieq(qn_str_from(domain, domain.n - r.n), r))
            return true;
    }
    return false;
}

static bool is_numeric_host(const char *host)
{
    uint8_t addr[16];
    return host[0] == '[' || inet_pton(AF_INET, host, addr) == 1;
}

static bool same_owner(const char *upstream, const char *realm)
{
    struct qn_str u = qn_str_c(upstream), r = qn_str_c(realm);

    if (qn_str_ieq(u, r))
        return true;
    if (is_numeric_host(upstream) || is_numeric_host(realm))
        return false;
    ptrdiff_t dot = qn_str_chr(u, '.');
    if (dot < 0)
        return false;
    struct qn_str parent = qn_str_from(u, (size_t)dot + 1);
    if (is_public_suffix(parent))
        return false;
    if (qn_str_ieq(r, parent))
        return true;
    return r.n > parent.n + 1 && r.p[r.n - parent.n - 1] == '.' && qn_str_ieq(qn_str_from(r, r.n - parent.n), parent);
}

int qn_realm_check(const char *base_url, const char *realm, const char *const *allowed, size_t n, struct qn_err *e)
{
    auto_text char *bs = NULL, *bh = NULL, *bp = NULL, *rs = NULL, *rh = NULL, *rp = NULL;

    if (split(base_url, "upstream", &bs, &bh, &bp, e) < 0 || split(realm, "token server", &rs, &rh, &rp, e) < 0)
        return -1;
    if (strcmp(rs, "https") != 0) {
        if (strcmp(rs, "http") == 0 && strcmp(bs, "http") == 0 && qn_str_ieq(qn_str_c(bh), qn_str_c(rh)))
            return 0;
        return qn_fail(e, QN_E_ADDRESS, "token server \"%s\" is not https", QN_Q(qn_str_c(realm)));
    }
    if (same_owner(bh, rh))
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (qn_str_ieq(qn_str_c(allowed[i]), qn_str_c(rh)))
            return 0;
    }
    return qn_fail(e, QN_E_ADDRESS, "token server \"%s\" does not belong to the upstream \"%s\"", QN_Q(qn_str_c(realm)),
                   QN_Q(qn_str_c(bh)));
}

/* --- Link --------------------------------------------------------------------------------------------------------- */

/* The end of one link-value: the next comma outside of <> and quotes. */
static size_t link_end(struct qn_str s)
{
    bool angle = false, quoted = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '<') {
            angle = true;
        } else if (c == '>') {
            angle = false;
        } else if (c == ',' && !angle) {
            return i;
        }
    }
    return s.n;
}

static bool rel_is_next(struct qn_str params)
{
    struct qn_str part;

    while (qn_str_next(&params, ';', &part)) {
        ptrdiff_t eq = qn_str_chr(part, '=');
        if (eq < 0 || !qn_str_ieq(qn_str_trim(qn_str_head(part, (size_t)eq)), QN_STR("rel")))
            continue;
        struct qn_str v = qn_str_trim(qn_str_from(part, (size_t)eq + 1)), word;
        if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
            v = qn_str_n(v.p + 1, v.n - 2);
        while (qn_str_word(&v, &word)) {
            if (qn_str_ieq(word, QN_STR("next")))
                return true;
        }
    }
    return false;
}

struct qn_str qn_link_next(struct qn_str value)
{
    while (value.n) {
        size_t end = link_end(value);
        struct qn_str one = qn_str_trim(qn_str_head(value, end));
        value = qn_str_from(value, end + 1);
        ptrdiff_t close = qn_str_chr(one, '>');
        if (one.n == 0 || one.p[0] != '<' || close < 0)
            continue;
        if (rel_is_next(qn_str_from(one, (size_t)close + 1)))
            return qn_str_n(one.p + 1, (size_t)close - 1);
    }
    return (struct qn_str){"", 0};
}
