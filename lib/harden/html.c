#include "html.h"

#include <stdio.h>
#include <string.h>

struct page {
    struct qn_buf *b;
    struct qn_err *e;
    int r; /* -1 after the first failure */
};

static void raw(struct page *p, const char *s)
{
    if (p->r == 0)
        p->r = qn_buf_c(p->b, s, p->e);
}

/* Bytes of a character at `s` that turns the direction of writing (Unicode's bidirectional formatting: U+200E, U+200F,
 * U+202A to U+202E, U+2066 to U+2069); 0 for others. */
static size_t turns(const unsigned char *s)
{
    if (s[0] != 0xe2 || !s[1] || !s[2])
        return 0;
    bool marks = s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae));
    bool isolates = s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9;
    return marks || isolates ? 3 : 0;
}

/* Text of an image: what could be markup or end an attribute becomes a reference; what a reader would not see as it is
 * stored is replaced. */
static void text(struct page *p, const char *s)
{
    for (; p->r == 0 && *s; s++) {
        unsigned char c = (unsigned char)*s;
        size_t hidden = turns((const unsigned char *)s);
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'' || c == '`')
            p->r = qn_buf_printf(p->b, p->e, "&#%u;", c);
        else if (c < 0x20 || c == 0x7f || hidden)
            raw(p, "&#65533;");
        else
            p->r = qn_buf_put(p->b, s, 1, p->e);
        s += hidden ? hidden - 1 : 0;
    }
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void cell(struct page *p, const char *s)
{
    raw(p, "<td>");
    text(p, s);
    raw(p, "</td>");
}

static void number_cell(struct page *p, const json_t *n)
{
    char buf[32] = "";

    if (json_is_integer(n))
        snprintf(buf, sizeof buf, "%lld", (long long)json_integer_value(n));
    raw(p, "<td class=n>");
    text(p, buf);
    raw(p, "</td>");
}

/* A heading, and a table with these columns ("A|B|C"). */
static void table(struct page *p, const char *title, const char *columns)
{
    struct qn_str rest = qn_str_c(columns), column;

    raw(p, "<h3>");
    text(p, title);
    raw(p, "</h3>\n<table><tr>");
    while (qn_str_next(&rest, '|', &column)) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", QN_FMT(column));
        raw(p, "<th>");
        text(p, name);
        raw(p, "</th>");
    }
    raw(p, "</tr>\n");
}

/* Rows of texts: the members named in `keys` ("a|b"). */
static void rows(struct page *p, const json_t *list, const char *keys)
{
    size_t i;
    json_t *item;

    json_array_foreach ((json_t *)(uintptr_t)list, i, item) {
        struct qn_str rest = qn_str_c(keys), key;
        raw(p, "<tr>");
        while (qn_str_next(&rest, '|', &key)) {
            char name[32];
            snprintf(name, sizeof name, "%.*s", QN_FMT(key));
            const json_t *v = json_object_get(item, name);
            cell(p, json_is_true(v) ? "yes" : json_is_false(v) ? "no" : str(item, name));
        }
        raw(p, "</tr>\n");
    }
    raw(p, "</table>\n");
}

static void figures(struct page *p, const json_t *report)
{
    static const char *const names[][2] = {{"compressed_bytes", "compressed bytes"},
                                           {"bytes", "bytes"},
                                           {"files", "files"},
                                           {"packages", "packages"},
                                           {"elf", "ELF executables and libraries"},
                                           {"executables", "executables in PATH"},
                                           {"setuid", "setuid and setgid files"},
                                           {"file_caps", "files with capabilities"},
                                           {"shells", "shells"},
                                           {"world_writable", "world-writable files"},
                                           {"accounts", "accounts"}};

    table(p, "Figures", "|before|after");
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++) {
        raw(p, "<tr>");
        cell(p, names[i][1]);
        number_cell(p, json_object_get(json_object_get(report, "before"), names[i][0]));
        number_cell(p, json_object_get(json_object_get(report, "after"), names[i][0]));
        raw(p, "</tr>\n");
    }
    raw(p, "</table>\n");
}

static void rules(struct page *p, const json_t *report)
{
    size_t i;
    json_t *rule;

    raw(p, "<h3>Rules</h3>\n");
    json_array_foreach (json_object_get(report, "rules"), i, rule) {
        const json_t *changes = json_object_get(rule, "changes");
        char count[32];
        snprintf(count, sizeof count, " (%zu)", json_array_size(changes));
        raw(p, "<details><summary><b>");
        text(p, str(rule, "rule"));
        raw(p, "</b> ");
        text(p, str(rule, "state"));
        text(p, json_array_size(changes) ? count : "");
        raw(p, "</summary>\n<p>");
        text(p, str(rule, "because"));
        raw(p, "</p>\n");
        if (json_array_size(changes)) {
            raw(p, "<table><tr><th>action</th><th>path</th><th>package</th><th>from</th><th>to</th>"
                   "<th>because</th></tr>\n");
            rows(p, changes, "action|path|package|from|to|because");
        }
        raw(p, "</details>\n");
    }
}

static void section(struct page *p, const json_t *report)
{
    const json_t *policy = json_object_get(report, "policy");

    raw(p, "<section><h2>");
    text(p, str(report, "platform"));
    raw(p, "</h2>\n<dl><dt>source</dt><dd><code>");
    text(p, str(json_object_get(report, "source"), "digest"));
    raw(p, "</code></dd><dt>hardened</dt><dd><code>");
    text(p, str(json_object_get(report, "hardened"), "digest"));
    raw(p, "</code></dd><dt>policy</dt><dd>");
    text(p, str(policy, "name"));
    raw(p, " <code>");
    text(p, str(policy, "digest"));
    raw(p, "</code>, profile ");
    text(p, str(policy, "profile"));
    raw(p, ", achieved ");
    text(p, str(policy, "achieved"));
    raw(p, " ");
    text(p, str(policy, "because"));
    raw(p, "</dd><dt>engine</dt><dd><code>");
    text(p, str(report, "engine"));
    raw(p, "</code></dd></dl>\n");
    figures(p, report);
    table(p, "Findings", "check|level|fixed|where|detail");
    rows(p, json_object_get(report, "findings"), "check|level|fixed|where|detail");
    rules(p, report);
    table(p, "What stays, and why", "path|because");
    rows(p, json_object_get(report, "kept"), "path|because");
    table(p, "Packages", "package|state");
    rows(p, json_object_get(report, "packages"), "purl|state");
    table(p, "Layers", "source|hardened|state");
    rows(p, json_object_get(report, "layers"), "source|hardened|state");
    table(p, "Controls", "framework|id|status");
    rows(p, json_object_get(report, "controls"), "framework|id|status");
    table(p, "Verification", "check|ok|detail");
    rows(p, json_object_get(report, "verification"), "check|ok|detail");
    if (json_is_true(json_object_get(report, "truncated")))
        raw(p, "<p><b>The report was too long and is cut.</b></p>\n");
    raw(p, "</section>\n");
}

int qn_report_html(const json_t *reports, struct qn_buf *out, struct qn_err *e)
{
    struct page p = {out, e, 0};
    size_t i;
    json_t *report;

    raw(&p, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>Quench report</title>\n<style>"
            "body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
            "table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}"
            "th,td{text-align:left;vertical-align:top;padding:.2rem .6rem;border-bottom:1px solid #ddd;"
            "overflow-wrap:anywhere}td.n{text-align:right;font-variant-numeric:tabular-nums}"
            "code{font-size:.9em;overflow-wrap:anywhere}dt{font-weight:600}dd{margin:0 0 .4rem}"
            "summary{cursor:pointer;padding:.15rem 0}@media print{details{display:block}}"
            "</style></head>\n<body><h1>Quench report</h1>\n");
    json_array_foreach ((json_t *)(uintptr_t)reports, i, report)
        section(&p, report);
    raw(&p, "</body></html>\n");
    return p.r;
}
