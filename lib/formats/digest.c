#include "digest.h"

#include <openssl/evp.h>
#include <stdio.h>

size_t qn_digest_size(enum qn_digest_algorithm algorithm)
{
    return algorithm == QN_SHA256 ? 32 : algorithm == QN_SHA512 ? 64 : 0;
}

const char *qn_digest_name(enum qn_digest_algorithm algorithm)
{
    return algorithm == QN_SHA256 ? "sha256" : algorithm == QN_SHA512 ? "sha512" : "";
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int qn_digest_parse(struct qn_str s, struct qn_digest *out, struct qn_err *e)
{
    struct qn_digest d = {QN_DIGEST_NONE, {0}};

    if (qn_str_starts(s, QN_STR("sha256:")))
        d.algorithm = QN_SHA256;
    else if (qn_str_starts(s, QN_STR("sha512:")))
        d.algorithm = QN_SHA512;
    size_t size = qn_digest_size(d.algorithm);
    if (size == 0 || s.n != 7 + 2 * size)
        return qn_fail(e, QN_E_DIGEST_INVALID, "\"%s\": not a sha256 or sha512 digest", QN_Q(s));
    for (size_t i = 0; i < size; i++) {
        int high = hex(s.p[7 + 2 * i]), low = hex(s.p[8 + 2 * i]);
        if (high < 0 || low < 0)
            return qn_fail(e, QN_E_DIGEST_INVALID, "\"%s\": not lower-case hexadecimal", QN_Q(s));
        d.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = d;
    return 0;
}

char *qn_digest_text(const struct qn_digest *d, char out[QN_DIGEST_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = (size_t)snprintf(out, QN_DIGEST_TEXT, "%s:", qn_digest_name(d->algorithm));

    for (size_t i = 0; i < qn_digest_size(d->algorithm); i++) {
        out[n++] = digits[d->bytes[i] >> 4];
        out[n++] = digits[d->bytes[i] & 15];
    }
    out[n] = '\0';
    return out;
}

int qn_digest_cmp(const struct qn_digest *a, const struct qn_digest *b)
{
    if (a->algorithm != b->algorithm)
        return a->algorithm < b->algorithm ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool qn_digest_eq(const struct qn_digest *a, const struct qn_digest *b)
{
    return qn_digest_cmp(a, b) == 0;
}

struct qn_digest qn_digest_with(enum qn_digest_algorithm algorithm, struct qn_str bytes)
{
    struct qn_hash h;
    qn_hash_init(&h, algorithm);
    qn_hash_update(&h, bytes.p, bytes.n);
    return qn_hash_final(&h);
}

struct qn_digest qn_digest_of(struct qn_str bytes)
{
    return qn_digest_with(QN_SHA256, bytes);
}

enum qn_digest_algorithm qn_digest_algorithm_find(struct qn_str name)
{
    for (enum qn_digest_algorithm a = QN_SHA256; a <= QN_SHA512; a++)
        if (qn_str_eq_c(name, qn_digest_name(a)))
            return a;
    return QN_DIGEST_NONE;
}

void qn_hash_init(struct qn_hash *h, enum qn_digest_algorithm algorithm)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = algorithm == QN_SHA512 ? EVP_sha512() : EVP_sha256();

    qn_assert(ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1);
    *h = (struct qn_hash){ctx, algorithm};
}

void qn_hash_update(struct qn_hash *h, const void *p, size_t n)
{
    qn_assert(EVP_DigestUpdate(h->ctx, p, n) == 1);
}

struct qn_digest qn_hash_final(struct qn_hash *h)
{
    struct qn_digest d = {h->algorithm, {0}};
    qn_assert(EVP_DigestFinal_ex(h->ctx, d.bytes, NULL) == 1);
    qn_hash_fini(h);
    return d;
}

void qn_hash_fini(struct qn_hash *h)
{
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
}
