/* Image manifests and indexes, OCI and Docker schema 2, read from bytes.
 * Sources: OCI image-spec manifest.md, image-index.md; Docker "Image Manifest V 2, Schema 2". */
#ifndef QN_FORMATS_MANIFEST_H
#define QN_FORMATS_MANIFEST_H

#include "base/limits.h"
#include "descriptor.h"
#include "mediatype.h"

#define QN_MANIFEST_LAYERS_MAX   127 /* what docker's overlay2 can mount */
#define QN_MANIFEST_CHILDREN_MAX 64
#define QN_MANIFEST_KEPT_MAX     16384

struct qn_manifest {
    enum qn_media_kind kind; /* QN_MEDIA_MANIFEST or QN_MEDIA_INDEX */
    enum qn_media_family family;
    const char *media_type;       /* canonical spelling, static storage */
    struct qn_descriptor config;  /* manifests */
    struct qn_descriptor *layers; /* manifests */
    size_t layer_count;
    struct qn_descriptor *manifests; /* indexes */
    size_t manifest_count;
    bool has_subject;
    struct qn_descriptor subject;
    struct qn_str artifact_type; /* "" when absent */
    json_t *annotations;         /* borrowed from root; NULL when absent */
    json_t *root;                /* owned; everything above borrows from it */
};

/* Parses a manifest or an index. `content_type` is what the sender declared (a Content-Type header or the media type
 * of the descriptor that led here); empty or a generic type (application/json, application/octet-stream, text/plain)
 * for none. Pure; any thread.
 * MALFORMED: bad JSON, both `manifests` and `layers`, a `mediaType` that disagrees with the declared one or with the
 * shape, more than QN_MANIFEST_CHILDREN_MAX children or QN_MANIFEST_LAYERS_MAX layers, bad descriptors.
 * UNSUPPORTED: schema 1, unknown media types. LIMIT: more than limits->manifest_size bytes.
 * `out` is freed with qn_manifest_fini(). */
int qn_manifest_parse(struct qn_str bytes, struct qn_str content_type, const struct qn_limits *limits,
                      struct qn_manifest *out, struct qn_err *e) QN_MUST_CHECK;
/* The same for what is kept and shown but not hardened (artifacts, indexes of them): up to QN_MANIFEST_KEPT_MAX layers
 * or children. */
int qn_manifest_parse_kept(struct qn_str bytes, struct qn_str content_type, const struct qn_limits *limits,
                           struct qn_manifest *out, struct qn_err *e) QN_MUST_CHECK;
/* Frees; safe on a zeroed manifest. */
void qn_manifest_fini(struct qn_manifest *m);
#define qn_auto_manifest QN_CLEANUP(qn_manifest_fini)

/* Whether a manifest is a container image: its config has an image's media type and there is no artifactType other
 * than that one, and at least one layer of an image. False for indexes. */
bool qn_manifest_is_image(const struct qn_manifest *m);
/* Whether an index entry is an attestation about a sibling (BuildKit: annotation vnd.docker.reference.type). */
bool qn_manifest_is_attestation(const struct qn_descriptor *d);
/* The sibling that an attestation entry describes (vnd.docker.reference.digest); false when there is none. */
bool qn_manifest_attested(const struct qn_descriptor *d, struct qn_digest *out);

#endif
