/* The closed table of media types of manifests, indexes, configs and layers.
 * Sources: OCI image-spec media-types.md; Docker "Image Manifest V 2, Schema 2". */
#ifndef QN_FORMATS_MEDIATYPE_H
#define QN_FORMATS_MEDIATYPE_H

#include "base/str.h"
#include "compression.h"

enum qn_media_kind {
    QN_MEDIA_MANIFEST = 1,
    QN_MEDIA_INDEX,
    QN_MEDIA_CONFIG,    /* of an image */
    QN_MEDIA_LAYER,     /* of an image */
    QN_MEDIA_FOREIGN,   /* a layer that is not distributable ("foreign") */
    QN_MEDIA_ENCRYPTED, /* an encrypted layer */
    QN_MEDIA_SCHEMA1,   /* Docker's signed and unsigned schema 1 manifests */
    QN_MEDIA_EMPTY,     /* OCI's empty JSON object */
};
enum qn_media_family { QN_FAMILY_OCI = 1, QN_FAMILY_DOCKER };

struct qn_media_type {
    const char *name;
    enum qn_media_kind kind;
    enum qn_media_family family;
    enum qn_compression compression; /* layers only */
};

/* The row of a media type, or NULL. Parameters ("; charset=...") and blanks around are ignored, case as well
 * (RFC 9110 section 8.3.1). */
const struct qn_media_type *qn_media_type_find(struct qn_str name);
/* The media type of kind, family and compression, or NULL when there is none. */
const char *qn_media_type_name(enum qn_media_kind kind, enum qn_media_family family, enum qn_compression compression);
/* The part of a Content-Type value before its parameters, trimmed. */
struct qn_str qn_media_type_essence(struct qn_str value);

#define QN_MT_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define QN_MT_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define QN_MT_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define QN_MT_OCI_EMPTY       "application/vnd.oci.empty.v1+json"
#define QN_MT_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define QN_MT_DOCKER_INDEX    "application/vnd.docker.distribution.manifest.list.v2+json"
#define QN_MT_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"

#endif
