/* Content digests: "ALGORITHM:HEX" outside, algorithm and bytes inside.
 * Source: OCI image-spec, descriptor.md "Digests". */
#ifndef QN_FORMATS_DIGEST_H
#define QN_FORMATS_DIGEST_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum qn_digest_algorithm { QN_DIGEST_NONE = 0, QN_SHA256 = 1, QN_SHA512 = 2 };

#define QN_DIGEST_TEXT 136 /* room for "sha512:" and 128 hex digits and NUL */

struct qn_digest {
    enum qn_digest_algorithm algorithm;
    uint8_t bytes[64]; /* the first 32 for sha256; the rest is zero */
};

/* Number of bytes of an algorithm's digest (32, 64; 0 for none). */
size_t qn_digest_size(enum qn_digest_algorithm algorithm);
/* "sha256", "sha512"; "" for none. */
const char *qn_digest_name(enum qn_digest_algorithm algorithm);
/* Parses exactly "sha256:" + 64 or "sha512:" + 128 lower-case hex digits; DIGEST_INVALID otherwise. */
int qn_digest_parse(struct qn_str s, struct qn_digest *out, struct qn_err *e) QN_MUST_CHECK;
/* Prints "ALGORITHM:HEX"; returns `out`. */
char *qn_digest_text(const struct qn_digest *d, char out[QN_DIGEST_TEXT]);
bool qn_digest_eq(const struct qn_digest *a, const struct qn_digest *b);
/* Total order: algorithm, then bytes. */
int qn_digest_cmp(const struct qn_digest *a, const struct qn_digest *b);
/* SHA-256 of bytes in memory. */
struct qn_digest qn_digest_of(struct qn_str bytes);
/* The same with another algorithm. */
struct qn_digest qn_digest_with(enum qn_digest_algorithm algorithm, struct qn_str bytes);
/* The algorithm of a name ("sha256", "sha512"); QN_DIGEST_NONE for any other. */
enum qn_digest_algorithm qn_digest_algorithm_find(struct qn_str name);

/* A running hash. */
struct qn_hash {
    void *ctx; /* EVP_MD_CTX */
    enum qn_digest_algorithm algorithm;
};
/* Starts a hash; aborts only when there is no memory. */
void qn_hash_init(struct qn_hash *h, enum qn_digest_algorithm algorithm);
void qn_hash_update(struct qn_hash *h, const void *p, size_t n);
/* Gives the digest and frees the state. */
struct qn_digest qn_hash_final(struct qn_hash *h);
/* Frees without a result; safe on a zeroed or finished hash. */
void qn_hash_fini(struct qn_hash *h);
#define qn_auto_hash QN_CLEANUP(qn_hash_fini)

#endif
