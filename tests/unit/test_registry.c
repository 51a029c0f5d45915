#include "unit.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/num.h"
#include "mock_http.h"
#include "upstream/layout.h"
#include "upstream/registry_op.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct qn_client *client;
static struct qn_registry *reg;
static struct mock m, tokens;
static struct qn_err e;
static struct qn_cidr loopback;
static char base[64];

/* How the fake registry behaves; set by each test before its first request. */
static struct {
    bool need_token;   /* every request needs "Bearer good" */
    bool need_basic;   /* ... or "Basic dXNlcjpwYXNz" (user:pass) */
    bool ping_only;    /* challenges only at /v2/ */
    const char *realm; /* NULL: the token mock */
    atomic_int cuts;   /* so many blob answers are cut in the middle */
    bool ignore_range;
    bool wrong_bytes;
    bool no_head;
    bool no_referrers;
    atomic_int failures; /* so many answers of 503 */
    atomic_int limited;  /* so many answers of 429 */
    const char *token;   /* what the token server gives; "good" */
} how;

static const char manifest[] = "{\"schemaVersion\":2}";
static char blob[300000];
static struct qn_digest blob_digest, manifest_digest;
static char blob_text[QN_DIGEST_TEXT], manifest_text[QN_DIGEST_TEXT];

static bool answer_token(struct mock *t, const struct mock_request *req, int fd)
{
    char body[200];
    (void)t;
    if (strncmp(req->path, "/redirect", 9) == 0)
        return mock_text(fd, 302, "Location: /token\r\n", "");
    if (how.need_basic && strcmp(req->authorization, "Basic dXNlcjpwYXNz") != 0 && strcmp(req->method, "POST") != 0)
        return mock_text(fd, 401, "", "{}");
    snprintf(body, sizeof body, "{\"token\":\"%s\",\"expires_in\":300}", how.token ? how.token : "good");
    return mock_text(fd, 200, "", body);
}

static bool challenge(int fd, const struct mock_request *req)
{
    char header[300];
    if (how.ping_only && strcmp(req->path, "/v2/") != 0)
        return mock_text(fd, 401, "", "");
    if (!how.need_token)
        return mock_text(fd, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
    if (how.realm)
        snprintf(header, sizeof header, "WWW-Authenticate: Bearer realm=\"%s\",service=\"s\"\r\n", how.realm);
    else
        snprintf(header, sizeof header,
                 "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%d/token\",service=\"fake registry\"\r\n",
                 tokens.port);
    return mock_text(fd, 401, header, "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"log in\"}]}");
}

static size_t read_from(const char *range)
{
    struct qn_str s = qn_str_from(qn_str_c(range), 6);
    uint64_t from = 0;
    struct qn_err err;
    ck_assert_int_eq(qn_num_u64(qn_str_head(s, s.n - 1), 0, sizeof blob, &from, &err), 0);
    return (size_t)from;
}

static bool answer_blob(const struct mock_request *req, int fd)
{
    char header[300];
    size_t from = 0;
    char *own = blob;

    if (req->range[0] && !how.ignore_range)
        from = read_from(req->range);
    size_t n = sizeof blob - from;
    qn_auto_free char *wrong = NULL;
    if (how.wrong_bytes) {
        wrong = qn_xcalloc(1, sizeof blob);
        memcpy(wrong, blob, sizeof blob);
        wrong[1000]++;
        own = wrong;
    }
    snprintf(header, sizeof header, "HTTP/1.1 %d OK\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%zu/%zu\r\n\r\n",
             from ? 206 : 200, n, from, sizeof blob - 1, sizeof blob);
    mock_send(fd, header, strlen(header));
    if (how.cuts > 0) {
        how.cuts--;
        mock_send(fd, own + from, QN_MIN(n, (size_t)70000));
        return false;
    }
    return mock_send(fd, own + from, n);
}

static bool answer_manifest(const struct mock_request *req, int fd, const char *ref)
{
    char header[300];
    if (strcmp(ref, "huge") == 0) {
        qn_auto_free char *big = qn_xcalloc(1, 5u << 20);
        return mock_reply(fd, 200, "Content-Type: application/json\r\n", big, 5u << 20);
    }
    if (strncmp(ref, "sha256-", 7) == 0)
        return mock_text(fd, 200, "", "{\"schemaVersion\":2,\"manifests\":[{\"size\":3}]}");
    if (strcmp(ref, "latest") != 0 && strcmp(ref, manifest_text) != 0 && strcmp(ref, "lying") != 0)
        return mock_text(fd, 404, "",
                         "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"no \\u001b[31m such\"}]}");
    if (how.no_head && strcmp(req->method, "HEAD") == 0)
        return mock_text(fd, 405, "", "");
    snprintf(header, sizeof header,
             "Content-Type: application/vnd.oci.image.manifest.v1+json; charset=utf-8\r\nETag: \"tag\"\r\n"
             "Docker-Content-Digest: %s\r\nRateLimit-Limit: 100;w=21600\r\nRateLimit-Remaining: 76;w=21600\r\n",
             strcmp(ref, "lying") == 0 ? blob_text : manifest_text);
    if (strcmp(req->method, "HEAD") == 0) {
        char head[600];
        int n =
            snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n", strlen(manifest), header);
        return mock_send(fd, head, (size_t)n);
    }
    return mock_text(fd, 200, header, manifest);
}

static bool answer_rest(const struct mock_request *req, int fd)
{
    char header[300];
    if (strncmp(req->path, "/v2/library/nginx/tags/list", 27) == 0) {
        if (strstr(req->path, "?next=token2"))
            return mock_text(fd, 200, "", "{\"name\":\"x\",\"tags\":[\"c\"]}");
        return mock_text(fd, 200, "Link: <http://evil.example/v2/x/tags/list?next=token2>; rel=\"next\"\r\n",
                         "{\"name\":\"x\",\"tags\":[\"a\",\"b\",\"bad tag\",7]}");
    }
    if (strstr(req->path, "/referrers/") && !how.no_referrers)
        return strstr(req->path, "?p=2")
                   ? mock_text(fd, 200, "Content-Type: application/vnd.oci.image.index.v1+json\r\n",
                               "{\"schemaVersion\":2,\"manifests\":[{\"size\":2}]}")
                   : mock_text(fd, 200,
                               "Content-Type: application/vnd.oci.image.index.v1+json\r\nLink: <?p=2>; rel=next\r\n",
                               "{\"schemaVersion\":2,\"manifests\":[{\"size\":1}]}");
    if (strcmp(req->method, "POST") == 0 && strstr(req->path, "/blobs/uploads/")) {
        snprintf(header, sizeof header, "Location: /upload/1?state=x\r\n");
        return mock_text(fd, 202, header, "");
    }
    if (strcmp(req->method, "PUT") == 0)
        return mock_text(fd, req->body_n ? 201 : 400, "", "");
    return mock_text(fd, 404, "", "{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}");
}

static bool answer(struct mock *mock, const struct mock_request *req, int fd)
{
    const char *at;
    (void)mock;
    if (how.failures > 0) {
        how.failures--;
        return mock_text(fd, 503, "", "busy");
    }
    if (how.limited > 0) {
        how.limited--;
        return mock_text(fd, 429, "Retry-After: 1\r\n", "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\"}]}");
    }
    if (how.need_token && strcmp(req->authorization, "Bearer good") != 0)
        return challenge(fd, req);
    if (how.need_basic && !how.need_token && strcmp(req->authorization, "Basic dXNlcjpwYXNz") != 0)
        return challenge(fd, req);
    if ((at = strstr(req->path, "/manifests/")) && strcmp(req->method, "PUT") != 0)
        return answer_manifest(req, fd, at + 11);
    if ((at = strstr(req->path, "/blobs/")) && strcmp(at + 7, blob_text) == 0) {
        if (strcmp(req->method, "HEAD") == 0)
            return mock_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", 43);
        return answer_blob(req, fd);
    }
    return answer_rest(req, fd);
}

static struct qn_registry *make(struct qn_credentials cred)
{
    struct qn_registry *r;
    struct qn_registry_config c = {.name = "docker.io",
                                   .url = mock_url(&m, base),
                                   .library_prefix = true,
                                   .credentials = cred,
                                   .allow = &loopback,
                                   .allows = 1,
                                   .attempts = 3,
                                   .backoff_ms = 5};
    qn_ok(qn_registry_new(client, &c, &r, &e), e);
    return r;
}

static void setup(void)
{
    memset(&how, 0, sizeof how);
    for (size_t i = 0; i < sizeof blob; i++)
        blob[i] = (char)(i * 7 + i / 251);
    blob_digest = qn_digest_of(qn_str_n(blob, sizeof blob));
    manifest_digest = qn_digest_of(qn_str_c(manifest));
    qn_digest_text(&blob_digest, blob_text);
    qn_digest_text(&manifest_digest, manifest_text);
    mock_start(&m, answer, NULL);
    mock_start(&tokens, answer_token, NULL);
    qn_ok(qn_cidr_parse(QN_STR("127.0.0.0/8"), &loopback, &e), e);
    qn_ok(qn_client_new(NULL, &client, &e), e);
    reg = make((struct qn_credentials){0});
}

static void teardown(void)
{
    qn_client_stop(client);
    qn_registry_free(reg);
    qn_client_free(client);
    mock_stop(&m);
    mock_stop(&tokens);
}

static const struct qn_str repo = {"nginx", 5};

START_TEST(manifests)
{
    struct qn_remote_manifest r;
    struct qn_registry_status st;

    qn_ok(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e);
    ck_assert(qn_digest_eq(&r.digest, &manifest_digest));
    ck_assert_uint_eq(r.size, strlen(manifest));
    ck_assert_str_eq(r.media_type, "application/vnd.oci.image.manifest.v1+json");
    ck_assert_str_eq(r.etag, "\"tag\"");
    ck_assert_int_eq(mock_count(&m, "HEAD /v2/library/nginx/manifests/latest"), 1);
    ck_assert_int_eq(mock_count(&m, "GET"), 0);
    qn_ok(qn_registry_manifest(reg, repo, qn_str_c(manifest_text), &r, &e), e);
    qn_is(r.bytes, manifest);
    free((char *)(uintptr_t)r.bytes.p);
    qn_registry_status(reg, &st);
    ck_assert_int_eq(st.limit, 100);
    ck_assert_int_eq(st.remaining, 76);
    ck_assert_int_eq(st.window, 21600);
    ck_assert_int_gt(st.last_ok, 0);
    qn_fails(qn_registry_resolve(reg, repo, QN_STR("absent"), &r, &e), e, QN_E_MANIFEST_UNKNOWN);
    ck_assert_ptr_null(strchr(e.msg, 27)); /* what upstream says is quoted */
    qn_fails(qn_registry_manifest(reg, repo, QN_STR("huge"), &r, &e), e, QN_E_LIMIT);
    qn_fails(qn_registry_manifest(reg, repo, QN_STR("lying"), &r, &e), e, QN_E_DIGEST_MISMATCH);
    qn_fails(qn_registry_manifest(reg, QN_STR("a/../b"), QN_STR("x"), &r, &e), e, QN_E_NAME_INVALID);
    qn_fails(qn_registry_manifest(reg, repo, QN_STR("../x"), &r, &e), e, QN_E_NAME_INVALID);
    qn_fails(qn_registry_manifest(reg, repo, QN_STR("sha256:zz"), &r, &e), e, QN_E_DIGEST_INVALID);
    how.no_head = true;
    qn_ok(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e);
    ck_assert(qn_digest_eq(&r.digest, &manifest_digest));
    free((char *)(uintptr_t)r.bytes.p);
}
END_TEST

START_TEST(repeats_and_limits)
{
    struct qn_remote_manifest r;
    struct qn_registry_status st;

    how.failures = 2;
    qn_ok(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e);
    ck_assert_int_eq(mock_count(&m, "HEAD"), 3);
    how.failures = 100;
    qn_fails(qn_registry_manifest(reg, repo, QN_STR("latest"), &r, &e), e, QN_E_NETWORK);
    qn_registry_status(reg, &st);
    ck_assert_uint_ge(st.failures, 3);
    ck_assert_str_eq(st.last_error, "status 503");
    how.failures = 0;
    how.limited = 1;
    qn_fails(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e, QN_E_RATE_LIMITED);
    qn_registry_status(reg, &st);
    ck_assert_int_gt(st.retry_at, 0);
    ck_assert_uint_eq(st.failures, 0);
}
END_TEST

START_TEST(token_flow)
{
    struct qn_remote_manifest r;

    how.need_token = true;
    qn_ok(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e);
    ck_assert_int_eq(
        mock_count(&tokens, "GET /token?service=fake%20registry&scope=repository%3Alibrary%2Fnginx%3Apull"), 1);
    ck_assert_str_eq(tokens.log[0].authorization, ""); /* nobody's */
    qn_ok(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e);
    ck_assert_int_eq(mock_count(&tokens, ""), 1); /* kept */
    qn_fails(qn_registry_resolve(reg, QN_STR("a/b"), QN_STR("absent"), &r, &e), e, QN_E_MANIFEST_UNKNOWN);
    ck_assert_int_eq(mock_count(&tokens, ""), 2); /* another scope, another token */
    how.token = "bad";
    qn_fails(qn_registry_resolve(reg, QN_STR("c/d"), QN_STR("latest"), &r, &e), e, QN_E_UPSTREAM_DENIED);
    ck_assert_int_lt(mock_count(&tokens, ""), 8); /* gives up */
    how.token = "two\\nlines";
    qn_fails(qn_registry_resolve(reg, QN_STR("e/f"), QN_STR("latest"), &r, &e), e, QN_E_NETWORK);
    how.token = NULL;
    how.ping_only = true;
    qn_ok(qn_registry_resolve(reg, QN_STR("g/h"), QN_STR("latest"), &r, &e), e);
    ck_assert_int_eq(mock_count(&m, "GET /v2/"),
                     1 + mock_count(&m, "GET /v2/c/d") + mock_count(&m, "GET /v2/a/b") + mock_count(&m, "GET /v2/e/f"));
}
END_TEST

START_TEST(tokens_stay_with_their_owner)
{
    static const char *const realms[] = {"http://127.0.0.9:%d/token",    "https://127.0.0.1:%d/token",
                                         "http://evil.example:%d/token", "http://user@127.0.0.1:%d/token",
                                         "file:///etc/passwd?%d",        "http://127.0.0.1:%d/redirect"};
    struct qn_remote_manifest r;
    char realm[100];
    struct qn_registry *own =
        make((struct qn_credentials){.kind = QN_CRED_STATIC, .username = "user", .password = "pass"});

    how.need_token = true;
    for (size_t i = 0; i < QN_ARRAY_LEN(realms); i++) {
        snprintf(realm, sizeof realm, realms[i], tokens.port);
        how.realm = realm;
        ck_assert_msg(qn_registry_resolve(own, repo, QN_STR("latest"), &r, &e) < 0, "%s", realm);
        ck_assert_int_eq(mock_count(&tokens, "GET /token"), 0);
    }
    ck_assert_int_eq(mock_count(&tokens, "GET /redirect"), 1); /* asked, but its redirect is not followed */
    how.realm = NULL;
    how.need_basic = true;
    qn_ok(qn_registry_resolve(own, repo, QN_STR("latest"), &r, &e), e);
    ck_assert_str_eq(tokens.log[tokens.logged - 1].authorization, "Basic dXNlcjpwYXNz");
    for (int i = 0; i < m.logged; i++)
        ck_assert_ptr_null(strstr(m.log[i].authorization, "Basic")); /* the password goes to the token server alone */
    qn_registry_free(own);
    qn_fails(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e, QN_E_UPSTREAM_DENIED);
}
END_TEST

START_TEST(basic_and_credentials)
{
    struct qn_remote_manifest r;
    char path[] = "/tmp/quench-test.XXXXXX";
    const char *sh[] = {"sh", "-c", "printf 'user\\npass\\n'", NULL}, *slow[] = {"sh", "-c", "sleep 20", NULL};
    const char *json[] = {"sh", "-c", "echo '{\"Username\":\"user\",\"Secret\":\"pass\"}'", NULL};
    const char *bad[] = {"sh", "-c", "exit 3", NULL}, *none[] = {"/nonexistent/x", NULL};
    int fd = mkstemp(path);
    static const char config[] = "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"dXNlcjpwYXNz\"}}}";
    struct qn_credentials good[] = {{.kind = QN_CRED_STATIC, .username = "user", .password = "pass"},
                                    {.kind = QN_CRED_DOCKER_CONFIG, .path = path},
                                    {.kind = QN_CRED_COMMAND, .argv = sh},
                                    {.kind = QN_CRED_COMMAND, .argv = json}};

    qn_ok(qn_fd_write(fd, config, strlen(config), &e), e);
    close(fd);
    how.need_basic = true;
    for (size_t i = 0; i < QN_ARRAY_LEN(good); i++) {
        struct qn_registry *own = make(good[i]);
        qn_ok(qn_registry_resolve(own, repo, QN_STR("latest"), &r, &e), e);
        int n = mock_count(&m, "");
        qn_ok(qn_registry_resolve(own, repo, QN_STR("latest"), &r, &e), e);
        ck_assert_int_eq(mock_count(&m, ""), n + 1); /* sent at once from now on */
        qn_registry_free(own);
    }
    qn_fails(qn_registry_resolve(reg, repo, QN_STR("latest"), &r, &e), e, QN_E_UPSTREAM_DENIED);
    struct {
        struct qn_credentials c;
        enum qn_code code;
    } fail[] = {{{.kind = QN_CRED_STATIC, .username = "user", .password = "wrong"}, QN_E_UPSTREAM_DENIED},
                {{.kind = QN_CRED_COMMAND, .argv = slow, .timeout = 1}, QN_E_TIMEOUT},
                {{.kind = QN_CRED_COMMAND, .argv = bad}, QN_E_CONFIG},
                {{.kind = QN_CRED_COMMAND, .argv = none}, QN_E_CONFIG},
                {{.kind = QN_CRED_DOCKER_CONFIG, .path = "/nonexistent"}, QN_E_IO}};
    for (size_t i = 0; i < QN_ARRAY_LEN(fail); i++) {
        struct qn_registry *own = make(fail[i].c);
        qn_fails(qn_registry_resolve(own, repo, QN_STR("latest"), &r, &e), e, fail[i].code);
        ck_assert_ptr_null(strstr(e.msg, "wrong"));
        qn_registry_free(own);
    }
    unlink(path);
}
END_TEST

START_TEST(credential_texts)
{
    struct qn_login l = {0};

    qn_ok(qn_credentials_parse(QN_STR("  pw \n"), "AWS", &l, &e), e);
    ck_assert_str_eq(l.username, "AWS");
    ck_assert_str_eq(l.password, "pw");
    qn_login_fini(&l);
    qn_ok(qn_credentials_parse(QN_STR("{\"Username\":\"<token>\",\"Secret\":\"idt\"}"), NULL, &l, &e), e);
    ck_assert_str_eq(l.identity, "idt");
    ck_assert_ptr_null(l.password);
    qn_login_fini(&l);
    qn_fails(qn_credentials_parse(QN_STR(""), NULL, &l, &e), e, QN_E_MALFORMED);
    qn_fails(qn_credentials_parse(QN_STR("only"), NULL, &l, &e), e, QN_E_MALFORMED);
    qn_fails(qn_credentials_parse(QN_STR("a\nb\nc"), NULL, &l, &e), e, QN_E_MALFORMED);
    qn_fails(qn_basic_decode(QN_STR("!!!!"), &l, &e), e, QN_E_MALFORMED);
    qn_fails(qn_basic_decode(QN_STR("dXNlcg=="), &l, &e), e, QN_E_MALFORMED);
    qn_fails(qn_basic_decode(QN_STR("===="), &l, &e), e, QN_E_MALFORMED);
    qn_fails(qn_basic_decode(QN_STR(""), &l, &e), e, QN_E_MALFORMED);
    qn_ok(qn_basic_decode(QN_STR("dTo="), &l, &e), e);
    ck_assert_str_eq(l.username, "u");
    ck_assert_str_eq(l.password, "");
    qn_login_fini(&l);
}
END_TEST

static char got[sizeof blob + 10];
static size_t got_n;
static int keep(void *ctx, const void *p, size_t n, struct qn_err *err)
{
    (void)ctx;
    if (got_n + n > sizeof got)
        return qn_fail(err, QN_E_LIMIT, "too much");
    memcpy(got + got_n, p, n);
    got_n += n;
    return 0;
}
static int full(void *ctx, const void *p, size_t n, struct qn_err *err)
{
    (void)ctx, (void)p, (void)n;
    return qn_fail(err, QN_E_NO_SPACE, "full");
}

static int pull(uint64_t size)
{
    struct qn_sink s = {keep, NULL};
    got_n = 0;
    return qn_registry_blob(reg, repo, &blob_digest, size, &s, &e);
}

START_TEST(blobs)
{
    struct qn_sink f = {full, NULL};
    struct qn_digest other = qn_digest_of(QN_STR("x"));

    qn_ok(pull(sizeof blob), e);
    ck_assert_uint_eq(got_n, sizeof blob);
    ck_assert_int_eq(memcmp(got, blob, sizeof blob), 0);
    qn_ok(pull(UINT64_MAX), e);
    how.cuts = 3; /* each attempt gets further: resumed three times */
    qn_ok(pull(sizeof blob), e);
    ck_assert_int_eq(memcmp(got, blob, sizeof blob), 0);
    ck_assert_int_eq(how.cuts, 0);
    ck_assert_str_eq(m.log[m.logged - 1].range, "bytes=210000-");
    how.ignore_range = true;
    how.cuts = 1;
    qn_ok(pull(sizeof blob), e);
    ck_assert_uint_eq(got_n, sizeof blob);
    ck_assert_int_eq(memcmp(got, blob, sizeof blob), 0);
    how.cuts = 100; /* no progress any more */
    qn_fails(pull(sizeof blob), e, QN_E_NETWORK);
    how.cuts = 0;
    how.ignore_range = false;
    how.failures = 2;
    qn_ok(pull(sizeof blob), e);
    how.limited = 1;
    qn_ok(pull(sizeof blob), e);
    qn_fails(pull(sizeof blob - 1), e, QN_E_SIZE_MISMATCH);
    qn_fails(pull(sizeof blob + 1), e, QN_E_SIZE_MISMATCH);
    how.wrong_bytes = true;
    qn_fails(pull(sizeof blob), e, QN_E_DIGEST_MISMATCH);
    how.wrong_bytes = false;
    qn_fails(qn_registry_blob(reg, repo, &blob_digest, sizeof blob, &f, &e), e, QN_E_NO_SPACE);
    qn_fails(qn_registry_blob(reg, repo, &other, 1, &f, &e), e, QN_E_NAME_UNKNOWN);
}
END_TEST

START_TEST(lists)
{
    struct qn_remote_tags t;
    char *json;
    size_t n;

    qn_ok(qn_registry_tags(reg, repo, "", 0, &t, &e), e);
    ck_assert_uint_eq(t.n, 2); /* what is no tag is left out */
    ck_assert_str_eq(t.tag[1], "b");
    ck_assert_str_eq(t.next, "next=token2");
    char next[QN_REMOTE_PAGE];
    memcpy(next, t.next, sizeof next);
    qn_remote_tags_fini(&t);
    qn_ok(qn_registry_tags(reg, repo, next, 0, &t, &e), e);
    ck_assert_uint_eq(t.n, 1);
    ck_assert_str_eq(t.next, "");
    qn_remote_tags_fini(&t);
    qn_fails(qn_registry_tags(reg, QN_STR("no/such"), "", 5, &t, &e), e, QN_E_NAME_UNKNOWN);
    qn_ok(qn_registry_referrers(reg, repo, &manifest_digest, &json, &n, &e), e);
    ck_assert_ptr_nonnull(strstr(json, "{\"size\":1},{\"size\":2}"));
    free(json);
    how.no_referrers = true;
    qn_ok(qn_registry_referrers(reg, repo, &manifest_digest, &json, &n, &e), e);
    ck_assert_ptr_nonnull(strstr(json, "{\"size\":3}"));
    free(json);
}
END_TEST

START_TEST(pushes)
{
    bool has;
    struct qn_digest other = qn_digest_of(QN_STR("other"));
    FILE *f = tmpfile();

    fputs("xxother", f);
    fflush(f);
    how.need_token = true;
    qn_ok(qn_registry_has_blob(reg, repo, &blob_digest, &has, &e), e);
    ck_assert(has);
    qn_ok(qn_registry_has_blob(reg, repo, &other, &has, &e), e);
    ck_assert(!has);
    qn_ok(qn_registry_put_blob(reg, repo, &other, fileno(f), 2, 5, &e), e);
    ck_assert_int_eq(mock_count(&m, "PUT /upload/1?state=x&digest=sha256:"), 1);
    qn_ok(qn_registry_put_manifest(reg, repo, QN_STR("v1"), "application/x", QN_STR("{}"), &e), e);
    ck_assert_int_eq(mock_count(&m, "PUT /v2/library/nginx/manifests/v1"), 1);
    ck_assert_str_eq(m.log[m.logged - 1].content_type, "application/x");
    ck_assert_int_eq(mock_count(&tokens, ""), 1); /* pull,push */
    ck_assert_ptr_nonnull(strstr(tokens.log[0].path, "pull%2Cpush"));
    fclose(f);
}
END_TEST

START_TEST(behind_the_common_face)
{
    qn_auto_source struct qn_source src = {0};
    qn_auto_dest struct qn_dest dst = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_item i;
    struct qn_sink s = {keep, NULL};
    char type[QN_REMOTE_MEDIA];

    qn_buf_init(&b, 10000);
    qn_ok(qn_registry_source(reg, "nginx", "latest", &src, &e), e);
    qn_ok(src.ops->resolve(src.self, QN_STR(""), &i, &e), e);
    qn_ok(src.ops->manifest(src.self, &i.digest, &b, type, &e), e);
    qn_is(qn_buf_view(&b), manifest);
    ck_assert_str_eq(type, i.media_type);
    got_n = 0;
    qn_ok(src.ops->blob(src.self, &blob_digest, sizeof blob, &s, &e), e);
    ck_assert_uint_eq(got_n, sizeof blob);
    qn_fails(qn_registry_dest(reg, "nginx", "sha256:x", &dst, &e), e, QN_E_USAGE);
    qn_ok(qn_registry_dest(reg, "nginx", "v2", &dst, &e), e);
    qn_ok(dst.ops->put_manifest(dst.self, &i, qn_buf_view(&b), false, &e), e);
    qn_ok(dst.ops->put_manifest(dst.self, &i, qn_buf_view(&b), true, &e), e);
    ck_assert_int_eq(mock_count(&m, "PUT /v2/library/nginx/manifests/sha256:"), 1);
    ck_assert_int_eq(mock_count(&m, "PUT /v2/library/nginx/manifests/v2"), 1);
    qn_ok(dst.ops->finish(dst.self, &e), e);
}
END_TEST

Suite *suite_registry(void);
Suite *suite_registry(void)
{
    Suite *s = suite_create("registry");
    TCase *c = tcase_create("registry");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, manifests);
    tcase_add_test(c, repeats_and_limits);
    tcase_add_test(c, token_flow);
    tcase_add_test(c, tokens_stay_with_their_owner);
    tcase_add_test(c, basic_and_credentials);
    tcase_add_test(c, credential_texts);
    tcase_add_test(c, blobs);
    tcase_add_test(c, lists);
    tcase_add_test(c, pushes);
    tcase_add_test(c, behind_the_common_face);
    suite_add_tcase(s, c);
    return s;
}
