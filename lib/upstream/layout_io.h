/* Pieces that layouts and archives share; private to this room. */
#ifndef QN_UPSTREAM_LAYOUT_IO_H
#define QN_UPSTREAM_LAYOUT_IO_H

#include "layout.h"

#include <jansson.h>

#define QN_ARCHIVE_MEMBERS_MAX 100000u

/* A run of bytes in an open file. */
struct qn_span {
    int fd; /* borrowed */
    uint64_t off, size;
};
/* Streams it into a sink while hashing; DIGEST_MISMATCH after the last byte. */
int qn_span_stream(const struct qn_span *s, const struct qn_digest *d, const struct qn_sink *sink,
                   struct qn_err *e) QN_MUST_CHECK;
/* Appends it to a buffer; `d` NULL: not verified. LIMIT beyond `max`. */
int qn_span_read(const struct qn_span *s, const struct qn_digest *d, uint64_t max, struct qn_buf *out,
                 struct qn_err *e) QN_MUST_CHECK;
/* SHA-256 of it. */
int qn_span_digest(const struct qn_span *s, struct qn_digest *out, struct qn_err *e) QN_MUST_CHECK;

/* The members of a plain tar file, by name; blobs are read in place. */
struct qn_member {
    char *name; /* canonical: no "./", no trailing "/" */
    char *link; /* target of a symbolic link, or NULL */
    uint64_t off, size;
};
struct qn_archive {
    int fd;
    struct qn_member *member; /* sorted by name */
    size_t n, cap;
};
/* Reads the table of a tar file. UNSUPPORTED for compressed archives; MALFORMED for two members of a name, names with
 * "..", and what tar_read.h refuses. Everything but files and symbolic links is ignored. */
int qn_archive_open(const char *path, struct qn_archive *out, struct qn_err *e) QN_MUST_CHECK;
/* Safe on a zeroed one whose fd is -1 or 0. */
void qn_archive_fini(struct qn_archive *a);
/* The bytes of a file; one symbolic link to another member is followed. False when there is none. */
bool qn_archive_find(const struct qn_archive *a, struct qn_str name, struct qn_span *out);

/* A tar file that is being written, deterministically: no times, no owners, order as added. */
struct qn_tar_out {
    int fd;
    char *path, *tmp;
    bool broken; /* a member is incomplete */
    struct qn_digest *have;
    size_t n, cap;
};
int qn_tar_out_open(const char *path, struct qn_tar_out *out, struct qn_err *e) QN_MUST_CHECK;
/* Removes what is unfinished. */
void qn_tar_out_fini(struct qn_tar_out *t);
int qn_tar_out_dir(struct qn_tar_out *t, const char *name, struct qn_err *e) QN_MUST_CHECK;
int qn_tar_out_bytes(struct qn_tar_out *t, const char *name, struct qn_str bytes, struct qn_err *e) QN_MUST_CHECK;
/* A blob, verified while it is copied, unless it is in there already. */
int qn_tar_out_blob(struct qn_tar_out *t, const char *name, const struct qn_digest *d, const struct qn_span *from,
                    struct qn_err *e) QN_MUST_CHECK;
bool qn_tar_out_has(const struct qn_tar_out *t, const struct qn_digest *d);
/* End marker, durable, renamed into place. */
int qn_tar_out_finish(struct qn_tar_out *t, struct qn_err *e) QN_MUST_CHECK;

/* What each file format provides. */
int qn_oci_source(const struct qn_location *at, uint64_t manifest_max, struct qn_source *out,
                  struct qn_err *e) QN_MUST_CHECK;
int qn_docker_archive_source(const struct qn_location *at, uint64_t manifest_max, struct qn_source *out,
                             struct qn_err *e) QN_MUST_CHECK;
int qn_oci_dir_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e) QN_MUST_CHECK;
int qn_oci_archive_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e) QN_MUST_CHECK;
int qn_docker_archive_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e) QN_MUST_CHECK;

/* index.json with one more descriptor: others of the same ref.name (or, without a name, of the same digest) go.
 * `old` may be NULL. Takes nothing, gives a new text in `out`. */
int qn_oci_index_add(const json_t *old, const struct qn_item *item, const char *name, struct qn_buf *out,
                     struct qn_err *e) QN_MUST_CHECK;
#define QN_OCI_LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

/* --- docker archives ---------------------------------------------------------------------------------------------- */
/* One element of manifest.json; views borrow from the document. */
struct qn_docker_entry {
    struct qn_str config;
    json_t *tags;   /* array of strings, or NULL */
    json_t *layers; /* array of strings */
};
/* Picks the image `name` ("" for the only one, "@N" for the Nth) out of manifest.json. Pure. USAGE when the choice is
 * not clear, NOT_FOUND, MALFORMED. `*root` is the parsed document. */
int qn_docker_archive_pick(struct qn_str text, const char *name, json_t **root, struct qn_docker_entry *out,
                           struct qn_err *e) QN_MUST_CHECK;

#endif
