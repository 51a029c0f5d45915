#include "tools.h"

#include "base/compiler.h"
#include "base/err.h"

static const struct {
    struct qn_str name;
    enum qn_tool_class class;
} tools[] = {
#define X(name, class) {{name, sizeof(name) - 1}, QN_TOOL_##class},
#include "tools.def"
#undef X
};

_Static_assert(QN_ARRAY_LEN(tools) <= 128, "qn_mentions has 128 bits");

int qn_tool_count(void)
{
    return (int)QN_ARRAY_LEN(tools);
}

struct qn_str qn_tool_name(int row)
{
    qn_assert(row >= 0 && row < qn_tool_count());
    return tools[row].name;
}

enum qn_tool_class qn_tool_class(int row)
{
    qn_assert(row >= 0 && row < qn_tool_count());
    return tools[row].class;
}

int qn_tool_find(struct qn_str base)
{
    for (int i = 0; i < qn_tool_count(); i++)
        if (tools[i].name.n == base.n && tools[i].name.p[0] == (base.n ? base.p[0] : 0) &&
            qn_str_eq(tools[i].name, base))
            return i;
    return -1;
}

static bool word_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c >= 0x80;
}

void qn_mentions_text(struct qn_str text, struct qn_mentions *m)
{
    for (size_t i = 0; i < text.n;) {
        size_t start = i;
        while (i < text.n && word_byte((unsigned char)text.p[i]))
            i++;
        size_t n = i - start;
        while (n > 0 && text.p[start + n - 1] == '.') /* the end of a sentence */
            n--;
        if (n >= 2 && n <= 20) {
            int row = qn_tool_find(qn_str_n(text.p + start, n));
            if (row >= 0)
                qn_mentions_set(m, row);
        }
        if (i == start)
            i++;
    }
}

static bool everyday(struct qn_str name)
{
    static const char *const words[] = {"host", "route", "bridge", "ip", "ss", "tc", "nc", "ftp", "arp"};
    for (size_t i = 0; i < QN_ARRAY_LEN(words); i++)
        if (qn_str_eq_c(name, words[i]))
            return true;
    return false;
}

void qn_mentions_string(struct qn_str text, struct qn_mentions *m)
{
    ptrdiff_t blank = qn_str_chr(text, ' ');
    struct qn_str first = blank < 0 ? text : qn_str_head(text, (size_t)blank);
    ptrdiff_t slash = qn_str_rchr(first, '/');
    int row = qn_tool_find(slash < 0 ? first : qn_str_from(first, (size_t)slash + 1));

    if (row >= 0 && (blank >= 0 || slash >= 0 || !everyday(first)))
        qn_mentions_set(m, row);
    /* "exec /usr/bin/ssh", "sh -c curl ..." */
    if (blank >= 0 && qn_str_find(text, QN_STR("bin/")) >= 0)
        qn_mentions_text(text, m);
}

void qn_mentions_blob(struct qn_str bytes, struct qn_mentions *m)
{
    qn_mentions_text(bytes, m);
    for (int i = 0; i < qn_tool_count(); i++)
        if (tools[i].name.n >= 4 && !qn_mentions_has(m, i) && qn_str_find(bytes, tools[i].name) >= 0)
            qn_mentions_set(m, i);
}
