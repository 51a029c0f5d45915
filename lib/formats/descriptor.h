/* Content descriptors and platforms. Sources: OCI image-spec descriptor.md, image-index.md "platform". */
#ifndef QN_FORMATS_DESCRIPTOR_H
#define QN_FORMATS_DESCRIPTOR_H

#include "base/err.h"
#include "base/str.h"
#include "digest.h"

#include <jansson.h>
#include <stdint.h>

/* Views borrow from the JSON or the text that was parsed (some point at constants). */
struct qn_platform {
    struct qn_str os;
    struct qn_str architecture;
    struct qn_str variant;    /* "" for none */
    struct qn_str os_version; /* "" for none */
};

#define QN_PLATFORM_TEXT 200

/* Parses "OS/ARCH[/VARIANT]" as people write it; aliases (x86_64, aarch64, armhf, i386 ...) become Go's names.
 * USAGE for anything else. */
int qn_platform_parse(struct qn_str s, struct qn_platform *out, struct qn_err *e) QN_MUST_CHECK;
/* Whether an image for `have` is what `want` asks for: os and architecture are equal, and the variant is, where none
 * counts as v8 for arm64, v1 for amd64 and v7 for arm. os.version is compared when `want` has one. */
bool qn_platform_match(const struct qn_platform *want, const struct qn_platform *have);
/* Prints "OS/ARCH[/VARIANT]" (cut to size); returns `out`. */
char *qn_platform_text(const struct qn_platform *p, char out[QN_PLATFORM_TEXT]);
/* The platform of an object with os, architecture, variant, os.version (an index entry's `platform`, or an image
 * config). Absent members give "". MALFORMED for wrong types or texts over 64 bytes (os.version: 128). */
int qn_platform_from_json(const json_t *obj, struct qn_platform *out, struct qn_err *e) QN_MUST_CHECK;

/* A descriptor; views and `json`, `annotations` borrow from the document, which must outlive it. */
struct qn_descriptor {
    struct qn_str media_type; /* "" when the member is absent */
    struct qn_digest digest;
    uint64_t size;
    bool has_platform;
    struct qn_platform platform;
    struct qn_str artifact_type; /* "" when absent */
    json_t *annotations;         /* an object, or NULL */
    json_t *json;                /* the descriptor itself */
};

/* Parses one descriptor. MALFORMED: not an object, digest or size missing or wrong, size negative, annotations that
 * are not an object of strings, media types over 255 bytes, member names that differ only by case. `where` names the
 * place for errors: "layers[3]". */
int qn_descriptor_parse(json_t *j, const char *where, struct qn_descriptor *out, struct qn_err *e) QN_MUST_CHECK;
/* The value of an annotation, or the empty view. */
struct qn_str qn_descriptor_annotation(const struct qn_descriptor *d, const char *key);

#endif
