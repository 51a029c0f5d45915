/* Secrets in files, variables and history: what is one, by the table secrets.def. Pure functions of bytes; values are
 * never printed. */
#ifndef QN_IMAGE_SECRETS_H
#define QN_IMAGE_SECRETS_H

#include "base/buf.h"

#include <stdint.h>

enum qn_secret_kind {
#define KIND(name, text) QN_SECRET_##name,
#include "secrets.def"
#undef KIND
    QN_SECRET_KINDS
};

#define QN_SECRET_BIT(kind) (1u << (kind))
/* A file that is a secret as a whole, not one that holds one: without it, nothing but the secret is gone. */
#define QN_SECRET_FILES (~0u << QN_SECRET_KEY_FILE)

/* A secret in a text. */
struct qn_secret {
    enum qn_secret_kind kind;
    struct qn_str value; /* a view into the text: the token, or the key from BEGIN to END */
};

/* Takes the first secret off the front of `*rest`, which then starts behind it; false when there is none. Values that
 * are there as an example ("EXAMPLE", one letter over and over) are none. */
bool qn_secret_next(struct qn_str *rest, struct qn_secret *out);
/* Bits of what a file holds or is; 0 where the path says that secrets are expected and none (tests, examples,
 * libraries of the system), or the content is no text. */
uint32_t qn_secrets_file(struct qn_str path, struct qn_str bytes);
/* Whether a file's content is worth looking at. */
bool qn_secrets_wanted(struct qn_str path, uint64_t size);
/* "private key, GitHub token": appends the names of the bits. */
int qn_secrets_print(uint32_t bits, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

#endif
