/* Configuration for clients: the files of conf/snippets, with this site's addresses. */
#include "server.h"

#include <stdlib.h>

/* The files' bytes, embedded at build time. */
#define X(client, file, type)                                                                                          \
    __asm__(".section .rodata\n.global qn_snippet_" #client "\n.global qn_snippet_" #client "_end\n"                   \
            "qn_snippet_" #client ":\n.incbin \"" file "\"\nqn_snippet_" #client "_end:\n.byte 0\n.previous\n");       \
    extern const char qn_snippet_##client[], qn_snippet_##client##_end[];
#include "snippets.def"
#undef X

static const struct snippet {
    const char *client, *begin, *end, *type;
} snippets[] = {
#define X(client, file, type) {#client, qn_snippet_##client, qn_snippet_##client##_end, type},
#include "snippets.def"
#undef X
};

#define REGISTRY "quench.example.org:5000"
#define MIRROR   "quench.example.org:5001"

static struct qn_str host_of(struct qn_str url)
{
    ptrdiff_t at = qn_str_find(url, QN_STR("://"));

    url = qn_str_from(url, at < 0 ? 0 : (size_t)at + 3);
    ptrdiff_t slash = qn_str_chr(url, '/');
    return slash < 0 ? url : qn_str_head(url, (size_t)slash);
}

/* What stands for the text at `rest`, and how long that is; 0: nothing does. */
static size_t replaced(const struct qn_settings *s, struct qn_str rest, struct qn_str *by)
{
    bool tls = qn_str_starts(s->mirror_url, QN_STR("https:"));

    if (s->mirror_url.n && tls && qn_str_starts(rest, QN_STR("http://" MIRROR))) {
        *by = s->mirror_url;
        return strlen("http://" MIRROR);
    }
    if (s->mirror_url.n && qn_str_starts(rest, QN_STR(MIRROR))) {
        *by = host_of(s->mirror_url);
        return strlen(MIRROR);
    }
    if (s->public_url.n && qn_str_starts(rest, QN_STR(REGISTRY))) {
        *by = host_of(s->public_url);
        return strlen(REGISTRY);
    }
    return 0;
}

/* Lines that hold for plain HTTP only say so. */
static bool only_plain(const struct qn_settings *s, struct qn_str line)
{
    bool tls = qn_str_starts(s->public_url, QN_STR("https:"));

    return tls && (qn_str_starts(qn_str_trim(line), QN_STR("insecure = true")) ||
                   qn_str_starts(qn_str_trim(line), QN_STR("http = true")));
}

static int fill(const struct qn_settings *s, struct qn_str text, struct qn_buf *b, struct qn_err *e)
{
    struct qn_str line, by;

    while (qn_str_next(&text, '\n', &line)) {
        if (only_plain(s, line) || (line.n == 0 && text.n == 0))
            continue;
        for (size_t i = 0; i < line.n;) {
            size_t n = replaced(s, qn_str_from(line, i), &by);
            if (n ? qn_buf_str(b, by, e) < 0 : qn_buf_put(b, line.p + i, 1, e) < 0)
                return -1;
            i += n ? n : 1;
        }
        if (qn_buf_put(b, "\n", 1, e) < 0)
            return -1;
    }
    return 0;
}

void qn_endpoint_snippet(struct qn_exchange *x, struct qn_http_request *r)
{
    qn_auto_buf struct qn_buf b = {0};
    const struct snippet *found = NULL;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(snippets); i++)
        if (qn_str_eq_c(x->arg[0], snippets[i].client))
            found = &snippets[i];
    if (!found) {
        qn_respond_error(r, QN_E_NOT_FOUND,
                         "there is a snippet for docker, containerd, podman, buildkit, k3s, kubernetes");
        return;
    }
    qn_buf_init(&b, 65536);
    if (fill(x->server->site->settings, qn_str_n(found->begin, (size_t)(found->end - found->begin)), &b, &e) < 0) {
        qn_respond_error(r, e.code, e.msg);
        return;
    }
    bool docker = strcmp(found->client, "docker") == 0;
    struct qn_http_field fields[] = {
        {"Content-Type", found->type},
        {"Warning", docker ? "299 - \"docker's graph drivers fall back to Docker Hub: block egress as well\"" : NULL},
        {NULL, NULL}};
    qn_http_respond(r, 200, fields, qn_buf_view(&b));
}
