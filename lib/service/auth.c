#include "auth.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/pool.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX    (1u << 20)
#define USERS_MAX   10000u
#define THREADS     2
#define WAITING_MAX 64
#define SLOTS       4096u       /* remembered passwords; a power of two */
#define RIGHT_FOR   (12 * 3600) /* seconds; a changed file ends it at once */
#define WRONG_FOR   10
#define KEY_BYTES   32

struct user {
    struct qn_str name;
    const char *hash;
};

/* The file as read at one time. */
struct users {
    struct qn_arena arena;
    struct user *user;
    size_t n;
    const char *dummy; /* checked for names that are not there: as costly as the costliest entry */
};

struct slot {
    unsigned char key[32];
    bool right;
    int64_t until;
    uint64_t generation;
};

struct qn_auth {
    char *path; /* NULL: no users */
    char *service;
    unsigned char key[KEY_BYTES];  /* of tokens */
    unsigned char salt[KEY_BYTES]; /* of the slots; this process's alone */
    struct qn_pool *pool;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of what follows */
    struct users *users;
    struct timespec mtime;
    uint64_t generation;
    struct slot slot[SLOTS];
};

/* --- the file ----------------------------------------------------------------------------------------------------- */
static void users_free(struct users *u)
{
    if (!u)
        return;
    qn_arena_fini(&u->arena);
    free(u);
}

/* "$2y$10$" and 53 characters. */
static bool is_bcrypt(struct qn_str hash)
{
    return hash.n == 60 && hash.p[0] == '$' && hash.p[1] == '2' && qn_str_chr(QN_STR("aby"), hash.p[2]) >= 0 &&
           hash.p[3] == '$' && hash.p[4] >= '0' && hash.p[4] <= '3' && hash.p[5] >= '0' && hash.p[5] <= '9' &&
           hash.p[6] == '$';
}

static int read_line(struct users *u, const char *path, unsigned line, struct qn_str text, size_t *cap,
                     struct qn_err *e)
{
    ptrdiff_t colon = qn_str_chr(text, ':');
    void *list = u->user;

    if (colon <= 0 || (size_t)colon > QN_AUTH_USER || !is_bcrypt(qn_str_from(text, (size_t)colon + 1)))
        return qn_fail(e, QN_E_CONFIG, "%s:%u: not NAME:HASH with a bcrypt hash (htpasswd -B)", path, line);
    struct qn_str name = qn_str_head(text, (size_t)colon);
    for (size_t i = 0; i < u->n; i++)
        if (qn_str_eq(u->user[i].name, name))
            return qn_fail(e, QN_E_CONFIG, "%s:%u: \"%s\" is there already", path, line, QN_Q(name));
    if (qn_str_eq(name, QN_STR("*")) || qn_str_starts(name, QN_STR("cn:")))
        return qn_fail(e, QN_E_CONFIG, "%s:%u: \"%s\" cannot be a user's name", path, line, QN_Q(name));
    int r = qn_grow(&list, cap, u->n + 1, sizeof *u->user, USERS_MAX, e);
    u->user = list;
    if (r < 0)
        return qn_err_wrap(e, "%s:%u", path, line);
    struct user *at = &u->user[u->n];
    struct qn_str hash;
    if (qn_arena_str(&u->arena, qn_str_from(text, (size_t)colon + 1), &hash, e) < 0 ||
        qn_arena_str(&u->arena, name, &at->name, e) < 0)
        return -1;
    at->hash = hash.p;
    u->n++;
    if (!u->dummy || memcmp(hash.p + 4, u->dummy + 4, 2) > 0)
        u->dummy = hash.p;
    return 0;
}

static int read_users(const char *path, struct users **out, struct timespec *mtime, struct qn_err *e)
{
    qn_auto_buf struct qn_buf text = {0};
    struct users *u = qn_new(struct users);
    struct qn_str rest, line;
    struct stat st;
    size_t cap = 0;
    int r = 0;

    qn_arena_init(&u->arena, FILE_MAX * 2);
    qn_buf_init(&text, FILE_MAX);
    if (stat(path, &st) < 0)
        r = qn_fail_errno(e, QN_E_CONFIG, "auth.htpasswd: %s", path);
    else if (qn_file_read(path, &text, e) < 0)
        r = qn_err_wrap(e, "auth.htpasswd");
    rest = qn_buf_view(&text);
    for (unsigned n = 1; r == 0 && qn_str_next(&rest, '\n', &line); n++) {
        line = qn_str_trim(line);
        if (line.n && line.p[0] != '#')
            r = read_line(u, path, n, line, &cap, e);
    }
    struct user *list = u->user;
    u->user = NULL;
    if (r == 0 && list) {
        u->user = qn_arena_alloc(&u->arena, u->n, sizeof *u->user, e);
        r = u->user ? 0 : -1;
    }
    if (u->user)
        memcpy(u->user, list, u->n * sizeof *list);
    free(list);
    explicit_bzero(text.p, text.n);
    if (r < 0) {
        e->code = QN_E_CONFIG;
        users_free(u);
        return -1;
    }
    *mtime = st.st_mtim;
    *out = u;
    return 0;
}

int qn_auth_reload(struct qn_auth *a, struct qn_err *e)
{
    struct users *fresh;
    struct timespec mtime;

    if (!a->path)
        return 0;
    if (read_users(a->path, &fresh, &mtime, e) < 0)
        return -1;
    pthread_mutex_lock(&a->lock);
    struct users *old = a->users;
    a->users = fresh;
    a->mtime = mtime;
    a->generation++;
    pthread_mutex_unlock(&a->lock);
    users_free(old);
    return 0;
}

/* On a thread that may wait: somebody may have changed the file. */
static void follow_file(struct qn_auth *a)
{
    struct stat st;
    struct qn_err e;

    pthread_mutex_lock(&a->lock);
    struct timespec known = a->mtime;
    pthread_mutex_unlock(&a->lock);
    if (stat(a->path, &st) == 0 && (st.st_mtim.tv_sec != known.tv_sec || st.st_mtim.tv_nsec != known.tv_nsec))
        (void)!qn_auth_reload(a, &e);
}

/* --- passwords ---------------------------------------------------------------------------------------------------- */
static void slot_key(const struct qn_auth *a, struct qn_str user, struct qn_str password, unsigned char out[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint64_t n = user.n;

    qn_assert(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    EVP_DigestUpdate(ctx, a->salt, sizeof a->salt);
    EVP_DigestUpdate(ctx, &n, sizeof n);
    EVP_DigestUpdate(ctx, user.p, user.n);
    EVP_DigestUpdate(ctx, password.p, password.n);
    EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
}

static struct slot *slot_of(struct qn_auth *a, const unsigned char key[32])
{
    return &a->slot[(key[0] | (unsigned)key[1] << 8) & (SLOTS - 1)];
}

enum qn_known qn_auth_known(struct qn_auth *a, struct qn_str user, struct qn_str password)
{
    unsigned char key[32];
    enum qn_known known = QN_KNOWN_NOT;

    if (!a->path || user.n == 0 || user.n > QN_AUTH_USER || password.n > QN_AUTH_PASSWORD)
        return QN_KNOWN_WRONG;
    slot_key(a, user, password, key);
    pthread_mutex_lock(&a->lock);
    const struct slot *s = slot_of(a, key);
    if (s->generation == a->generation && s->until > qn_time_mono_ms() / 1000 &&
        CRYPTO_memcmp(s->key, key, sizeof key) == 0)
        known = s->right ? QN_KNOWN_RIGHT : QN_KNOWN_WRONG;
    pthread_mutex_unlock(&a->lock);
    return known;
}

struct check {
    struct qn_auth *auth;
    char *user, *password;
    void (*wake)(void *arg);
    void *arg;
};

static void check_free(struct check *c)
{
    if (c->password)
        explicit_bzero(c->password, strlen(c->password));
    free(c->user);
    free(c->password);
    free(c);
}

/* The hash to compare with, copied; whether the user exists. */
static bool hash_of(struct qn_auth *a, const char *user, char out[64], uint64_t *generation)
{
    bool found = false;

    pthread_mutex_lock(&a->lock);
    const char *hash = a->users->dummy;
    for (size_t i = 0; i < a->users->n; i++)
        if (qn_str_eq_c(a->users->user[i].name, user)) {
            hash = a->users->user[i].hash;
            found = true;
        }
    snprintf(out, 64, "%s", hash ? hash : "");
    *generation = a->generation;
    pthread_mutex_unlock(&a->lock);
    return found;
}

static void check(void *arg)
{
    struct check *c = arg;
    struct qn_auth *a = c->auth;
    struct qn_str user = qn_str_c(c->user), password = qn_str_c(c->password);
    struct crypt_data *data = qn_new(struct crypt_data);
    unsigned char key[32];
    char hash[64];
    uint64_t generation;

    if (!atomic_load(&a->stopping))
        follow_file(a);
    if (!atomic_load(&a->stopping) && qn_auth_known(a, user, password) == QN_KNOWN_NOT) {
        bool exists = hash_of(a, c->user, hash, &generation);
        const char *made = hash[0] ? crypt_r(c->password, hash, data) : NULL;
        bool right = made && strlen(made) == strlen(hash) && CRYPTO_memcmp(made, hash, strlen(hash)) == 0 && exists;
        slot_key(a, user, password, key);
        pthread_mutex_lock(&a->lock);
        struct slot *s = slot_of(a, key);
        memcpy(s->key, key, sizeof key);
        s->right = right;
        s->until = qn_time_mono_ms() / 1000 + (right ? RIGHT_FOR : WRONG_FOR);
        s->generation = generation;
        pthread_mutex_unlock(&a->lock);
    }
    explicit_bzero(data, sizeof *data);
    free(data);
    c->wake(c->arg);
    check_free(c);
}

int qn_auth_check(struct qn_auth *a, struct qn_str user, struct qn_str password, void (*wake)(void *arg), void *arg,
                  struct qn_err *e)
{
    struct check *c = qn_new(struct check);

    *c = (struct check){a, qn_xstrndup(user), qn_xstrndup(password), wake, arg};
    if (qn_pool_add(a->pool, check, c, e) < 0) {
        check_free(c);
        return -1;
    }
    return 0;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */
/* ROOT/token.key: made once, so that tokens outlive a restart. */
static int token_key(struct qn_auth *a, const char *root, struct qn_err *e)
{
    qn_auto_free char *path = qn_xasprintf("%s/token.key", root);
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 256);
    if (access(path, F_OK) == 0) {
        if (qn_file_read(path, &b, e) < 0)
            return -1;
        if (b.n != KEY_BYTES)
            return qn_fail(e, QN_E_CONFIG, "%s: is not a key; remove the file and a new one is made", path);
        memcpy(a->key, b.p, KEY_BYTES);
        explicit_bzero(b.p, b.n);
        return 0;
    }
    if (RAND_bytes(a->key, KEY_BYTES) != 1)
        return qn_fail(e, QN_E_IO, "random numbers");
    qn_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", path);
    return qn_fd_write(fd, a->key, KEY_BYTES, e) < 0 ? qn_err_wrap(e, "%s", path) : 0;
}

int qn_auth_new(struct qn_str htpasswd, const char *root, struct qn_str service, struct qn_auth **out, struct qn_err *e)
{
    struct qn_auth *a = qn_new(struct qn_auth);

    pthread_mutex_init(&a->lock, NULL);
    a->generation = 1;
    a->path = htpasswd.n ? qn_xstrndup(htpasswd) : NULL;
    a->service = qn_xstrndup(service);
    if (RAND_bytes(a->salt, sizeof a->salt) != 1) {
        qn_auth_free(a);
        return qn_fail(e, QN_E_IO, "random numbers");
    }
    if (token_key(a, root, e) < 0 || qn_auth_reload(a, e) < 0 ||
        qn_pool_new("password", THREADS, WAITING_MAX, &a->pool, e) < 0) {
        qn_auth_free(a);
        return -1;
    }
    *out = a;
    return 0;
}

void qn_auth_free(struct qn_auth *a)
{
    if (!a)
        return;
    atomic_store(&a->stopping, true);
    qn_pool_free(a->pool);
    users_free(a->users);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a->service);
    explicit_bzero(a->key, sizeof a->key);
    free(a);
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */
/* base64url of {"alg":"HS256","typ":"JWT"}: the only header there is, so that no token chooses how it is checked. */
#define HEADER "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
#define ISSUER "quench"

/* base64url without padding (RFC 4648 section 5). */
static char *url_encode(const void *p, size_t n)
{
    char *out = qn_xcalloc(1, (n / 3 + 1) * 4 + 1);

    EVP_EncodeBlock((unsigned char *)out, p, (int)n);
    for (char *c = out; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    out[strcspn(out, "=")] = '\0';
    return out;
}

/* NULL for what is not base64url; `*n` bytes otherwise. */
static unsigned char *url_decode(struct qn_str s, size_t *n)
{
    size_t padded = (s.n + 3) / 4 * 4;

    if (s.n == 0 || s.n % 4 == 1 || s.n > QN_TOKEN_MAX)
        return NULL;
    qn_auto_free char *text = qn_xcalloc(1, padded + 1);
    for (size_t i = 0; i < padded; i++) {
        char c = i < s.n ? s.p[i] : '=';
        if (i < s.n && (c == '+' || c == '/' || c == '='))
            return NULL;
        text[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    unsigned char *out = qn_xcalloc(1, padded + 1);
    int got = EVP_DecodeBlock(out, (unsigned char *)text, (int)padded);
    if (got < (int)(padded - s.n)) {
        free(out);
        return NULL;
    }
    *n = (size_t)got - (padded - s.n);
    return out;
}

static void sign(const struct qn_auth *a, struct qn_str text, unsigned char out[32])
{
    unsigned n = 32;
    qn_assert(HMAC(EVP_sha256(), a->key, KEY_BYTES, (const unsigned char *)text.p, text.n, out, &n) && n == 32);
}

char *qn_token_make(const struct qn_auth *a, const char *user, const json_t *access, int64_t now)
{
    qn_auto_json json_t *claims = json_object();
    qn_auto_buf struct qn_buf b = {0};
    unsigned char mac[32];
    struct qn_err e;

    qn_json_set_c(claims, "iss", ISSUER);
    qn_json_set_c(claims, "sub", user);
    qn_json_set_c(claims, "aud", a->service);
    qn_json_set_int(claims, "iat", now);
    qn_json_set_int(claims, "nbf", now - 60);
    qn_json_set_int(claims, "exp", now + QN_TOKEN_SECONDS);
    qn_json_set(claims, "access", json_deep_copy(access));
    qn_buf_init(&b, QN_TOKEN_MAX / 2);
    if (qn_json_print(claims, &b, &e) < 0)
        return NULL;
    qn_auto_free char *payload = url_encode(b.p, b.n);
    qn_auto_free char *text = qn_xasprintf(HEADER ".%s", payload);
    sign(a, qn_str_c(text), mac);
    qn_auto_free char *signature = url_encode(mac, sizeof mac);
    return qn_xasprintf("%s.%s", text, signature);
}

static int read_claims(const struct qn_auth *a, struct qn_str token, json_t **out, struct qn_err *e)
{
    ptrdiff_t dot = qn_str_rchr(token, '.');
    unsigned char mac[32];
    size_t m = 0;

    if (token.n > QN_TOKEN_MAX || dot < 0 || !qn_str_starts(token, QN_STR(HEADER ".")) ||
        (size_t)dot < strlen(HEADER) + 2)
        return qn_fail(e, QN_E_UNAUTHORIZED, "not a token of this registry");
    struct qn_str text = qn_str_head(token, (size_t)dot);
    struct qn_str given = qn_str_from(token, (size_t)dot + 1);
    sign(a, text, mac);
    /* Compared as text: the bits that base64 leaves over must be right as well. */
    qn_auto_free char *right = url_encode(mac, sizeof mac);
    if (given.n != strlen(right) || CRYPTO_memcmp(given.p, right, given.n) != 0)
        return qn_fail(e, QN_E_UNAUTHORIZED, "the token's signature is wrong");
    qn_auto_free unsigned char *claims = url_decode(qn_str_from(text, strlen(HEADER) + 1), &m);
    if (!claims || qn_json_parse(qn_str_n((const char *)claims, m), QN_TOKEN_MAX, out, e) < 0)
        return qn_fail(e, QN_E_UNAUTHORIZED, "the token is damaged");
    return 0;
}

int qn_token_read(const struct qn_auth *a, struct qn_str token, int64_t now, char *user, json_t **access,
                  struct qn_err *e)
{
    qn_auto_json json_t *claims = NULL;
    struct qn_str sub, aud;
    int64_t from, until;

    if (read_claims(a, token, &claims, e) < 0)
        return -1;
    if (qn_json_str(claims, "sub", &sub, e) < 0 || qn_json_str(claims, "aud", &aud, e) < 0 ||
        qn_json_int(claims, "nbf", 0, INT64_MAX, &from, e) < 0 ||
        qn_json_int(claims, "exp", 0, INT64_MAX, &until, e) < 0 || !qn_str_eq_c(aud, a->service) ||
        sub.n > QN_AUTH_USER + 3)
        return qn_fail(e, QN_E_UNAUTHORIZED, "the token is for something else");
    if (now < from || now >= until)
        return qn_fail(e, QN_E_UNAUTHORIZED, "the token has expired");
    snprintf(user, QN_AUTH_USER + 4, "%.*s", QN_FMT(sub));
    *access = json_incref(json_object_get(claims, "access"));
    return 0;
}

bool qn_token_covers(const json_t *access, struct qn_str name, const char *action)
{
    size_t i, k;
    json_t *item, *word;

    json_array_foreach ((json_t *)(uintptr_t)access, i, item) {
        const char *type = json_string_value(json_object_get(item, "type"));
        const char *its = json_string_value(json_object_get(item, "name"));
        if (!type || !its || strcmp(type, "repository") != 0 || !qn_str_eq_c(name, its))
            continue;
        json_array_foreach (json_object_get(item, "actions"), k, word)
            if (json_string_value(word) && strcmp(json_string_value(word), action) == 0)
                return true;
    }
    return false;
}
