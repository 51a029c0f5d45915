#include "purl.h"

/* Percent-encodes what the purl rules do not allow bare; ":" stays, as the rules say. */
static int put(struct qn_buf *b, struct qn_str s, struct qn_err *e)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                     c == '-' || c == '_' || c == '~' || c == ':';
        char text[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (plain ? qn_buf_put(b, &s.p[i], 1, e) < 0 : qn_buf_put(b, text, 3, e) < 0)
            return -1;
    }
    return 0;
}

int qn_purl_print(const struct qn_purl *p, struct qn_buf *b, struct qn_err *e)
{
    const char *sep = "?";

    if (qn_buf_printf(b, e, "pkg:%s/", p->type) < 0)
        return -1;
    if (p->namespace_.n && (put(b, p->namespace_, e) < 0 || qn_buf_c(b, "/", e) < 0))
        return -1;
    if (put(b, p->name, e) < 0 || (p->version.n && (qn_buf_c(b, "@", e) < 0 || put(b, p->version, e) < 0)))
        return -1;
    if (p->arch.n) {
        if (qn_buf_c(b, "?arch=", e) < 0 || put(b, p->arch, e) < 0)
            return -1;
        sep = "&";
    }
    if (p->epoch.n) {
        if (qn_buf_printf(b, e, "%sepoch=", sep) < 0 || put(b, p->epoch, e) < 0)
            return -1;
        sep = "&";
    }
    if (p->namespace_.n && p->distro_version.n) {
        if (qn_buf_printf(b, e, "%sdistro=", sep) < 0 || put(b, p->namespace_, e) < 0 || qn_buf_c(b, "-", e) < 0 ||
            put(b, p->distro_version, e) < 0)
            return -1;
    }
    return 0;
}
