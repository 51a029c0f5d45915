/* Images outside of registries, and one face for all of them: where an image comes from and where it goes.
 * Sources: containers-transports(5), OCI image-spec "image-layout", docker image save format.
 *
 * oci:DIR[:TAG]              a directory with oci-layout, index.json, blobs/
 * oci-archive:FILE[:TAG]     the same as a plain tar (compressed ones are refused: decompress them first)
 * docker-archive:FILE[:REF]  `docker save`: manifest.json, config, layer tars. On reading, the image is presented as an
 *     OCI manifest that is made here (the archive has none, and every destination takes this family); layers keep
 *     their bytes and their media types say how these are compressed, if at all. On writing, an image of either family
 *     becomes manifest.json with RepoTags, its layers are written as they are (docker load and skopeo take compressed
 *     ones). One platform only.
 * docker://HOST/REPO         through registry.h
 *
 * Names inside archives and layouts never become paths: blobs are found by digest (or by the archive's own table) and
 * opened below the layout's directory without following symlinks. Every byte that leaves is verified. Blocking calls;
 * one thread at a time for each object, except blob reads, which may run in parallel. */
#ifndef QN_UPSTREAM_LAYOUT_H
#define QN_UPSTREAM_LAYOUT_H

#include "registry.h"
#include "base/buf.h"
#include "formats/reference.h"

struct qn_item {
    struct qn_digest digest;
    uint64_t size;
    char media_type[QN_REMOTE_MEDIA];
};

struct qn_source {
    const struct qn_source_ops *ops;
    void *self;
};
struct qn_source_ops {
    /* `ref`: a tag, a digest, or "" for the one that the source's spelling named (or its only one). */
    int (*resolve)(void *self, struct qn_str ref, struct qn_item *out, struct qn_err *e);
    /* Appends the manifest's bytes, verified. `media_type` gets what the source says it is. */
    int (*manifest)(void *self, const struct qn_digest *d, struct qn_buf *out, char media_type[QN_REMOTE_MEDIA],
                    struct qn_err *e);
    /* Streams a blob, verified (a wrong digest fails after the last byte). `size` UINT64_MAX: unknown. */
    int (*blob)(void *self, const struct qn_digest *d, uint64_t size, const struct qn_sink *sink, struct qn_err *e);
    void (*free)(void *self);
};
/* Frees; safe on a zeroed one. */
void qn_source_fini(struct qn_source *s);
#define qn_auto_source QN_CLEANUP(qn_source_fini)

struct qn_dest {
    const struct qn_dest_ops *ops;
    void *self;
};
struct qn_dest_ops {
    int (*has_blob)(void *self, const struct qn_digest *d, bool *has, struct qn_err *e);
    /* Stores `size` bytes of `fd` from `offset`, which have the item's digest. */
    int (*put_blob)(void *self, const struct qn_item *item, int fd, uint64_t offset, struct qn_err *e);
    /* Children first. `root` marks the one that the destination's name points at. */
    int (*put_manifest)(void *self, const struct qn_item *item, struct qn_str bytes, bool root, struct qn_err *e);
    /* Makes everything visible; nothing of it is before. */
    int (*finish)(void *self, struct qn_err *e);
    void (*free)(void *self);
};
void qn_dest_fini(struct qn_dest *d);
#define qn_auto_dest QN_CLEANUP(qn_dest_fini)

/* Opens a layout, archive or docker archive. Not for docker://. `manifest_max` 0: 4 MiB. */
int qn_layout_source(const struct qn_location *at, uint64_t manifest_max, struct qn_source *out,
                     struct qn_err *e) QN_MUST_CHECK;
/* Starts one. An existing oci: directory is added to (its other tags stay); files are replaced at finish. */
int qn_layout_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e) QN_MUST_CHECK;
/* A repository of a registry client as source or destination; the client stays the caller's and must outlive it. */
int qn_registry_source(struct qn_registry *r, const char *repo, const char *ref, struct qn_source *out,
                       struct qn_err *e) QN_MUST_CHECK;
int qn_registry_dest(struct qn_registry *r, const char *repo, const char *ref, struct qn_dest *out,
                     struct qn_err *e) QN_MUST_CHECK;

#endif
