#include "registry_op.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "client_call.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX 65536u
#define CONFIG_MAX (1u << 20)

char *qn_basic_header(const char *username, const char *password)
{
    qn_auto_free char *plain = qn_xasprintf("%s:%s", username ? username : "", password);
    size_t n = strlen(plain);
    char *out = qn_xcalloc(1, 6 + (n / 3 + 1) * 4 + 1);

    memcpy(out, "Basic ", 6);
    EVP_EncodeBlock((unsigned char *)out + 6, (const unsigned char *)plain, (int)n);
    explicit_bzero(plain, n);
    return out;
}

int qn_basic_decode(struct qn_str base64, struct qn_login *out, struct qn_err *e)
{
    size_t pad = 0;

    if (base64.n == 0 || base64.n % 4 != 0 || base64.n > OUTPUT_MAX)
        return qn_fail(e, QN_E_MALFORMED, "\"auth\" is not base64");
    while (pad < 2 && base64.p[base64.n - 1 - pad] == '=')
        pad++;
    qn_auto_free char *plain = qn_xcalloc(1, base64.n + 1);
    int n = EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)base64.p, (int)base64.n);
    if (n < (int)pad)
        return qn_fail(e, QN_E_MALFORMED, "\"auth\" is not base64");
    struct qn_str text = qn_str_n(plain, (size_t)n - pad);
    ptrdiff_t colon = qn_str_chr(text, ':');
    if (colon < 0 || qn_str_chr(text, '\0') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "\"auth\" is not USER:PASSWORD");
    out->username = qn_xstrndup(qn_str_head(text, (size_t)colon));
    out->password = qn_xstrndup(qn_str_from(text, (size_t)colon + 1));
    explicit_bzero(plain, base64.n);
    return 0;
}

/* --- a command ---------------------------------------------------------------------------------------------------- */

int qn_credentials_parse(struct qn_str text, const char *username, struct qn_login *out, struct qn_err *e)
{
    struct qn_str user, password, line;

    text = qn_str_trim(text);
    if (text.n && text.p[0] == '{') {
        qn_auto_json json_t *j = NULL;
        if (qn_json_parse(text, OUTPUT_MAX, &j, e) < 0)
            return -1;
        bool helper = json_object_get(j, "Secret") != NULL;
        if (qn_json_str(j, helper ? "Username" : "username", &user, e) < 0 ||
            qn_json_str(j, helper ? "Secret" : "password", &password, e) < 0)
            return -1;
        /* docker-credential helpers say so that the secret is an identity token. */
        if (helper && qn_str_eq_c(user, "<token>"))
            out->identity = qn_xstrndup(password);
        else
            out->username = qn_xstrndup(user);
        if (!out->identity)
            out->password = qn_xstrndup(password);
        return 0;
    }
    user = qn_str_c(username);
    if (!qn_str_next(&text, '\n', &line) || line.n == 0)
        return qn_fail(e, QN_E_MALFORMED, "it printed nothing");
    line = qn_str_trim(line);
    text = qn_str_trim(text);
    if (text.n) {
        user = line;
        line = text;
    } else if (!username) {
        return qn_fail(e, QN_E_MALFORMED, "it printed one line, a user name and a password are needed");
    }
    if (qn_str_chr(line, '\n') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "it printed more than two lines");
    out->username = qn_xstrndup(user);
    out->password = qn_xstrndup(line);
    return 0;
}

/* A program that prints credentials. */
struct program {
    const char *const *argv;
    int input;            /* its standard input; -1: none */
    unsigned timeout;     /* seconds; 0: 10 */
    const char *username; /* for programs that print a password alone; may be NULL */
};

static int spawn(const struct program *p, int out_fd, pid_t *pid, struct qn_err *e)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;

    posix_spawn_file_actions_init(&files);
    if (p->input >= 0)
        posix_spawn_file_actions_adddup2(&files, p->input, STDIN_FILENO);
    else
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out_fd, STDOUT_FILENO);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawnp(pid, p->argv[0], &files, &attr, (char *const *)(uintptr_t)p->argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (rc != 0)
        return qn_err_set(e, QN_E_CONFIG, rc, __FILE__, __LINE__, "%s: %s", p->argv[0], strerror(rc));
    return 0;
}

static int read_until(int fd, int64_t deadline, struct qn_buf *b, struct qn_err *e)
{
    for (;;) {
        char chunk[4096];
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left = deadline - qn_time_mono_ms();
        if (left <= 0)
            return qn_fail(e, QN_E_TIMEOUT, "it takes too long");
        int n = poll(&p, 1, (int)left);
        if (n < 0 && errno != EINTR)
            return qn_fail_errno(e, QN_E_IO, "poll");
        if (n <= 0)
            continue;
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno != EINTR)
            return qn_fail_errno(e, QN_E_IO, "reading its output");
        if (got == 0)
            return 0;
        int r = got > 0 ? qn_buf_put(b, chunk, (size_t)got, e) : 0;
        explicit_bzero(chunk, sizeof chunk);
        if (r < 0)
            return -1;
    }
}

/* Closing its output is not leaving: the deadline counts for both. */
static int reap(pid_t pid, int64_t deadline, int *status, struct qn_err *e)
{
    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid)
            return 0;
        if (got < 0 && errno != EINTR)
            return qn_fail_errno(e, QN_E_IO, "waiting for it");
        if (qn_time_mono_ms() >= deadline)
            return qn_fail(e, QN_E_TIMEOUT, "it takes too long");
        poll(NULL, 0, 10);
    }
}

static int run(const struct program *p, struct qn_login *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    int ends[2], status = 0;
    pid_t pid;
    int64_t deadline = qn_time_mono_ms() + (int64_t)(p->timeout ? p->timeout : 10) * 1000;

    qn_buf_init(&b, OUTPUT_MAX);
    if (!p->argv[0])
        return qn_fail(e, QN_E_CONFIG, "an empty command");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return qn_fail_errno(e, QN_E_IO, "pipe");
    qn_auto_close int in = ends[0], child = ends[1];
    if (spawn(p, child, &pid, e) < 0)
        return -1;
    qn_close_cleanup(&child);
    int rc = read_until(in, deadline, &b, e);
    if (rc == 0)
        rc = reap(pid, deadline, &status, e);
    if (rc < 0) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        return qn_err_wrap(e, "%s", p->argv[0]);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return qn_fail(e, QN_E_CONFIG, "%s: %s %d", p->argv[0], WIFEXITED(status) ? "exit status" : "ended by signal",
                       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    rc = qn_credentials_parse(qn_buf_view(&b), p->username, out, e);
    if (b.p)
        explicit_bzero(b.p, b.n);
    return rc < 0 ? qn_err_wrap(e, "%s", p->argv[0]) : 0;
}

static int from_command(const struct qn_registry *r, struct qn_login *out, struct qn_err *e)
{
    struct program p = {r->cred.argv, -1, r->cred.timeout, r->cred.username};
    return run(&p, out, e);
}

/* --- docker's config.json ----------------------------------------------------------------------------------------- */

static json_t *find_auth(const struct qn_registry *r, json_t *auths)
{
    QN_CLEANUP(qn_origin_fini) struct qn_origin o = {0};
    struct qn_err ignored;
    char key[600];
    json_t *found = json_object_get(auths, r->name);

    if (!found && strcmp(r->name, "docker.io") == 0)
        found = json_object_get(auths, "https://index.docker.io/v1/");
    if (!found)
        found = json_object_get(auths, r->url);
    if (!found && qn_origin_of(r->url, true, &o, &ignored) == 0) {
        found = json_object_get(auths, o.host);
        snprintf(key, sizeof key, "%s:%s", o.host, o.port);
        if (!found)
            found = json_object_get(auths, key);
    }
    return found;
}

/* The helper that keeps a registry's password, and the name that it knows the registry by; NULL: none is named. */
static const char *find_helper(const struct qn_registry *r, const json_t *config, const char **server)
{
    json_t *each = json_object_get(config, "credHelpers");
    const char *name = json_string_value(json_object_get(each, r->name));

    *server = r->name;
    if (strcmp(r->name, "docker.io") == 0) {
        *server = "https://index.docker.io/v1/";
        if (!name)
            name = json_string_value(json_object_get(each, *server));
    }
    return name ? name : json_string_value(json_object_get(config, "credsStore"));
}

/* Runs docker-credential-NAME as docker does (docker-credential-helpers, "get"): the server goes in, JSON comes out. */
static int from_helper(const char *name, const char *server, struct qn_login *out, struct qn_err *e)
{
    qn_auto_free char *command = qn_xasprintf("docker-credential-%s", name);
    const char *const argv[] = {command, "get", NULL};
    int ends[2];

    for (const char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
            return qn_fail(e, QN_E_CONFIG, "credential helper \"%s\": not a name", QN_Q(qn_str_c(name)));
    if (pipe2(ends, O_CLOEXEC) < 0)
        return qn_fail_errno(e, QN_E_IO, "pipe");
    qn_auto_close int read_end = ends[0], write_end = ends[1];
    if (qn_fd_write(write_end, server, strlen(server), e) < 0) /* fits into the pipe */
        return -1;
    qn_close_cleanup(&write_end);
    struct program p = {argv, read_end, 0, NULL};
    return run(&p, out, e);
}

static int from_docker_config(const struct qn_registry *r, struct qn_login *out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_json json_t *j = NULL;
    json_t *auths;
    struct qn_str auth, user, password, identity;

    qn_buf_init(&b, CONFIG_MAX);
    if (qn_file_read(r->cred.path, &b, e) < 0)
        return -1;
    if (qn_json_parse(qn_buf_view(&b), CONFIG_MAX, &j, e) < 0 || qn_json_object_opt(j, "auths", &auths, e) < 0)
        return qn_err_wrap(e, "%s", r->cred.path);
    json_t *entry = find_auth(r, auths);
    if (json_object_size(entry) == 0) { /* docker leaves an empty one where a helper keeps the password */
        const char *server, *helper = find_helper(r, j, &server);
        return helper ? from_helper(helper, server, out, e) : 0; /* 0: anonymous */
    }
    if (qn_json_str_opt(entry, "auth", &auth, e) < 0 || qn_json_str_opt(entry, "username", &user, e) < 0 ||
        qn_json_str_opt(entry, "password", &password, e) < 0 ||
        qn_json_str_opt(entry, "identitytoken", &identity, e) < 0)
        return qn_err_wrap(e, "%s", r->cred.path);
    if (auth.n && qn_basic_decode(auth, out, e) < 0)
        return qn_err_wrap(e, "%s", r->cred.path);
    if (!out->password && password.n) {
        out->username = qn_xstrndup(user);
        out->password = qn_xstrndup(password);
    }
    if (identity.n)
        out->identity = qn_xstrndup(identity);
    explicit_bzero(b.p, b.n);
    return 0;
}

int qn_credentials_get(const struct qn_registry *r, struct qn_login *out, struct qn_err *e)
{
    QN_CLEANUP(qn_login_fini) struct qn_login l = {0};
    int rc = 0;

    if (r->cred.kind == QN_CRED_STATIC) {
        l.username = qn_xstrdup(r->cred.username ? r->cred.username : "");
        l.password = qn_xstrdup(r->cred.password ? r->cred.password : "");
    } else if (r->cred.kind == QN_CRED_DOCKER_CONFIG) {
        rc = from_docker_config(r, &l, e);
    } else if (r->cred.kind == QN_CRED_COMMAND) {
        rc = from_command(r, &l, e);
    }
    if (rc == 0) {
        *out = l;
        l = (struct qn_login){0};
    }
    return rc;
}
