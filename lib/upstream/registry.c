#include "registry_op.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "formats/reference.h"
#include "client_call.h"

#include <stdio.h>
#include <stdlib.h>

static char *copy_opt(const char *s)
{
    return s ? qn_xstrdup(s) : NULL;
}

static void copy_config(struct qn_registry *r, const struct qn_registry_config *c)
{
    size_t n = 0;

    r->name = qn_xstrdup(c->name);
    r->library_prefix = c->library_prefix;
    r->cred = c->credentials;
    r->cred.username = copy_opt(c->credentials.username);
    r->cred.password = copy_opt(c->credentials.password);
    r->cred.path = copy_opt(c->credentials.path);
    while (c->credentials.argv && c->credentials.argv[n])
        n++;
    char **argv = qn_xcalloc(n + 1, sizeof *argv);
    for (size_t i = 0; i < n; i++)
        argv[i] = qn_xstrdup(c->credentials.argv[i]);
    r->cred.argv = (const char *const *)argv;
    r->allow = qn_xcalloc(c->allows + 1, sizeof *r->allow);
    if (c->allows)
        memcpy(r->allow, c->allow, c->allows * sizeof *r->allow);
    r->allows = c->allows;
    r->realm = qn_xcalloc(c->n_realms + 1, sizeof *r->realm);
    r->realms = c->n_realms;
    for (size_t i = 0; i < c->n_realms; i++)
        r->realm[i] = qn_xstrdup(c->realms[i]);
    r->manifest_max = c->manifest_max ? c->manifest_max : 4u << 20;
    r->attempts = c->attempts ? c->attempts : 5;
    r->backoff_ms = c->backoff_ms ? c->backoff_ms : 500;
}

int qn_registry_new(struct qn_client *h, const struct qn_registry_config *config, struct qn_registry **out,
                    struct qn_err *e)
{
    QN_CLEANUP(qn_origin_fini) struct qn_origin origin = {0};

    if (qn_origin_of(config->url, true, &origin, e) < 0) {
        e->code = QN_E_CONFIG;
        return qn_err_wrap(e, "upstream %s", config->name);
    }
    struct qn_registry *r = qn_new(struct qn_registry);
    pthread_mutex_init(&r->lock, NULL);
    r->http = h;
    r->plain_http = strcmp(origin.scheme, "http") == 0;
    r->status.limit = r->status.remaining = r->status.window = -1;
    struct qn_str url = qn_str_c(config->url);
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    r->url = qn_xstrndup(url);
    copy_config(r, config);
    if (config->credentials.kind == QN_CRED_COMMAND && qn_pool_new("qn-login", 1, 1024, &r->pool, e) < 0) {
        qn_registry_free(r);
        return -1;
    }
    *out = r;
    return 0;
}

static void wipe(const char *s)
{
    char *own = (char *)(uintptr_t)s;
    if (own)
        explicit_bzero(own, strlen(own));
    free(own);
}

void qn_registry_free(struct qn_registry *r)
{
    if (!r)
        return;
    qn_assert(!r->blobs);
    qn_pool_free(r->pool);
    qn_tokens_free(r);
    wipe(r->basic);
    qn_login_fini(&r->login);
    wipe(r->cred.username);
    wipe(r->cred.password);
    free((char *)(uintptr_t)r->cred.path);
    for (size_t i = 0; r->cred.argv[i]; i++)
        wipe(r->cred.argv[i]);
    free((void *)(uintptr_t)r->cred.argv);
    for (size_t i = 0; i < r->realms; i++)
        free(r->realm[i]);
    free(r->realm);
    free(r->allow);
    free(r->name);
    free(r->url);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

const char *qn_registry_name(const struct qn_registry *r)
{
    return r->name;
}

void qn_registry_status(struct qn_registry *r, struct qn_registry_status *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->status;
    pthread_mutex_unlock(&r->lock);
}

int qn_registry_repo(const struct qn_registry *r, struct qn_str repo, char out[256], struct qn_err *e)
{
    bool prefix = r->library_prefix && qn_str_chr(repo, '/') < 0;

    if (!qn_reference_repository_valid(repo) || repo.n + (prefix ? 8 : 0) > 255)
        return qn_fail(e, QN_E_NAME_INVALID, "upstream %s: \"%s\" is not a repository name", r->name, QN_Q(repo));
    snprintf(out, 256, "%s%.*s", prefix ? "library/" : "", QN_FMT(repo));
    return 0;
}

/* --- what upstream's answers say ---------------------------------------------------------------------------------- */

/* The first error of {"errors": [{"code": .., "message": ..}]}, quoted; "" when there is none. */
static void body_says(const struct qn_client_response *resp, char out[200], struct qn_str *code, char code_buf[64])
{
    qn_auto_json json_t *j = NULL;
    struct qn_err ignored;

    out[0] = code_buf[0] = '\0';
    *code = (struct qn_str){"", 0};
    if (resp->body.n == 0 || qn_json_parse(resp->body, QN_CLIENT_ERROR_BODY, &j, &ignored) < 0)
        return;
    const json_t *first = json_array_get(json_object_get(j, "errors"), 0);
    const char *c = json_string_value(json_object_get(first, "code"));
    const char *m = json_string_value(json_object_get(first, "message"));
    if (c)
        snprintf(code_buf, 64, "%s", QN_Q(qn_str_c(c)));
    *code = qn_str_c(code_buf);
    if (c || m)
        snprintf(out, 200, ": %s%s%s", code_buf, c && m ? " " : "", m ? QN_Q(qn_str_c(m)) : "");
}

int qn_status_fail(struct qn_registry *r, const struct qn_client_response *resp, const char *what, enum qn_code missing,
                   struct qn_err *e)
{
    char says[200], code_buf[64];
    struct qn_str code;
    enum qn_code c = QN_E_NETWORK;

    body_says(resp, says, &code, code_buf);
    if (resp->status == 404)
        c = qn_str_eq_c(code, "NAME_UNKNOWN") ? QN_E_NAME_UNKNOWN : missing;
    else if (resp->status == 401 || resp->status == 403)
        c = QN_E_UPSTREAM_DENIED;
    else if (resp->status == 429)
        c = QN_E_RATE_LIMITED;
    /* Artifactory and Nexus report their own limits as unknown manifests. */
    if (resp->status == 404 && qn_str_eq_c(code, "TOOMANYREQUESTS"))
        c = QN_E_RATE_LIMITED;
    return qn_fail(e, c, "upstream %s: %s: status %d%s", r->name, what, resp->status, says);
}
