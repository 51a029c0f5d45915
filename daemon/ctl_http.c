/* The admin API over TCP or its unix socket. */
#include "cli.h"
#include "ctl.h"

#include "base/fd.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)

/* --- where it is -------------------------------------------------------------------------------------------------- */
/* The first unix socket among the admin listeners of the configuration. */
static char *configured_socket(const char *config, struct qn_err *e)
{
    struct qn_settings s = {0};
    char *found = NULL;

    if (qn_cli_config(config, &s, e) < 0)
        return NULL;
    for (size_t i = 0; i < s.admin.n && !found; i++) {
        struct qn_str a = s.admin.v[i];
        if (qn_str_starts(a, QN_STR("unix:ROOT/")))
            found = qn_xasprintf("%.*s/%.*s", QN_FMT(s.root), QN_FMT(qn_str_from(a, 10)));
        else if (qn_str_starts(a, QN_STR("unix:")))
            found = qn_xstrndup(qn_str_from(a, 5));
    }
    qn_settings_fini(&s);
    if (!found)
        qn_fail(e, QN_E_CONFIG, "no unix socket among the admin listeners: give --url");
    return found;
}

static int read_token(const char *file, struct qn_ctl_client *c, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    const char *given = getenv("QUENCH_TOKEN");

    if (!file) {
        c->token = given && *given ? qn_xstrdup(given) : NULL;
        return 0;
    }
    qn_buf_init(&b, 4096);
    if (qn_file_read(file, &b, e) < 0)
        return qn_err_wrap(e, "--token-file");
    c->token = qn_xstrndup(qn_str_trim(qn_buf_view(&b)));
    return 0;
}

int qn_ctl_open(const char *url, const char *token_file, const char *config, struct qn_ctl_client *out,
                struct qn_err *e)
{
    struct qn_ctl_client c = {.curl = NULL};
    const char *named = getenv("QUENCH_URL");

    url = url ? url : named && *named ? named : NULL;
    if (!url)
        c.socket = configured_socket(config, e);
    else if (strncmp(url, "unix:", 5) == 0)
        c.socket = qn_xstrdup(url + 5);
    if (!url && !c.socket)
        return -1;
    c.url = qn_xstrdup(c.socket ? "http://localhost" : url);
    while (strlen(c.url) && c.url[strlen(c.url) - 1] == '/')
        c.url[strlen(c.url) - 1] = '\0';
    c.curl = curl_easy_init();
    qn_assert(c.curl);
    if (read_token(token_file, &c, e) < 0) {
        qn_ctl_close(&c);
        return -1;
    }
    *out = c;
    return 0;
}

void qn_ctl_close(struct qn_ctl_client *c)
{
    if (c->curl)
        curl_easy_cleanup(c->curl);
    if (c->token)
        explicit_bzero(c->token, strlen(c->token));
    free(c->url);
    free(c->socket);
    free(c->token);
    *c = (struct qn_ctl_client){0};
}

char *qn_ctl_escape(const char *s)
{
    char *out = qn_xcalloc(1, strlen(s) * 3 + 1), *at = out;

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~/:@", c))
            *at++ = (char)c;
        else
            at += snprintf(at, 4, "%%%02X", c);
    }
    return out;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */
static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct qn_err e;
    return qn_buf_put(arg, p, size * n, &e) < 0 ? 0 : size * n;
}

/* The daemon's own sentence (RFC 9457), with a code that gives the right exit status. */
static int refused(long status, struct qn_str body, struct qn_err *e)
{
    qn_auto_json json_t *problem = NULL;
    struct qn_str detail = QN_STR("");
    struct qn_err ignored;

    if (qn_json_parse(body, ANSWER_MAX, &problem, &ignored) == 0)
        (void)!qn_json_str_opt(problem, "detail", &detail, &ignored);
    enum qn_code code = status == 400   ? QN_E_USAGE
                        : status == 401 ? QN_E_UNAUTHORIZED
                        : status == 403 ? QN_E_DENIED
                        : status == 404 ? QN_E_NOT_FOUND
                        : status == 409 ? QN_E_CONFLICT
                                        : QN_E_NETWORK;
    if (detail.n)
        return qn_fail(e, code, "%s", QN_Q(detail));
    return qn_fail(e, code, "the daemon answered with status %ld", status);
}

static struct curl_slist *headers_of(const struct qn_ctl_client *c, const char *body, const char *accept)
{
    struct curl_slist *list = NULL;

    if (c->token) {
        qn_auto_free char *line = qn_xasprintf("Authorization: Bearer %s", c->token);
        list = curl_slist_append(list, line);
        explicit_bzero(line, strlen(line));
    }
    if (body)
        list = curl_slist_append(list, "Content-Type: application/json");
    if (accept) {
        qn_auto_free char *line = qn_xasprintf("Accept: %s", accept);
        list = curl_slist_append(list, line);
    }
    return list;
}

int qn_ctl_call(struct qn_ctl_client *c, const char *method, const char *path, const char *body, const char *accept,
                char **out, struct qn_err *e)
{
    qn_auto_free char *url = qn_xasprintf("%s%s", c->url, path);
    struct curl_slist *headers = headers_of(c, body, accept);
    qn_auto_buf struct qn_buf b = {0};
    long status = 0;

    qn_buf_init(&b, ANSWER_MAX);
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &b);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (c->socket)
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    if (body)
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    CURLcode rc = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return qn_fail(e, QN_E_NETWORK, "%s: %s", c->socket ? c->socket : c->url, curl_easy_strerror(rc));
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return refused(status, qn_buf_view(&b), e);
    if (qn_buf_put(&b, "", 1, e) < 0)
        return -1;
    *out = qn_buf_steal(&b);
    return 0;
}

int qn_ctl_json(struct qn_ctl_client *c, const char *method, const char *path, const char *body, json_t **out,
                struct qn_err *e)
{
    qn_auto_free char *text = NULL;

    *out = NULL;
    if (qn_ctl_call(c, method, path, body, NULL, &text, e) < 0)
        return -1;
    if (!*text)
        return 0;
    return qn_json_parse(qn_str_c(text), ANSWER_MAX, out, e) < 0 ? qn_err_wrap(e, "the daemon's answer") : 0;
}
