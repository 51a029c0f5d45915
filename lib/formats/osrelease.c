#include "osrelease.h"

/* Removes shell quoting as os-release(5) describes it: one quoted or bare word. */
static bool unquote(struct qn_str s, char *out, size_t size)
{
    char quote = '\0';
    size_t n = 0;

    s = qn_str_trim(s);
    if (s.n >= 1 && (s.p[0] == '"' || s.p[0] == '\'')) {
        quote = s.p[0];
        if (s.n < 2 || s.p[s.n - 1] != quote)
            return false;
        s = qn_str_head(qn_str_from(s, 1), s.n - 2);
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && quote != '\'' && i + 1 < s.n)
            c = s.p[++i];
        if (c == '\0' || n + 1 >= size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

bool qn_osrelease_get(struct qn_str text, const char *key, char *out, size_t size)
{
    size_t n = strlen(key);
    struct qn_str line, value = QN_STR("");
    bool found = false;

    while (qn_str_next(&text, '\n', &line)) {
        line = qn_str_trim(line);
        if (line.n > n && line.p[n] == '=' && memcmp(line.p, key, n) == 0) {
            value = qn_str_from(line, n + 1);
            found = true;
        }
    }
    if (found && unquote(value, out, size))
        return true;
    out[0] = '\0';
    return false;
}

void qn_osrelease_parse(struct qn_str text, struct qn_osrelease *out)
{
    (void)qn_osrelease_get(text, "ID", out->id, sizeof out->id);
    (void)qn_osrelease_get(text, "ID_LIKE", out->id_like, sizeof out->id_like);
    (void)qn_osrelease_get(text, "NAME", out->name, sizeof out->name);
    (void)qn_osrelease_get(text, "VERSION_ID", out->version_id, sizeof out->version_id);
    (void)qn_osrelease_get(text, "VERSION_CODENAME", out->version_codename, sizeof out->version_codename);
    (void)qn_osrelease_get(text, "VARIANT_ID", out->variant_id, sizeof out->variant_id);
    (void)qn_osrelease_get(text, "PRETTY_NAME", out->pretty_name, sizeof out->pretty_name);
    for (char *c = out->id; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
}
