/* Byte-preserving tar scanner, push style: feed the uncompressed archive in pieces of any size; entries come out
 * through callbacks with the offsets of all their parts, so that a rewriter can copy, cut and replace exactly.
 *
 * Understood: v7, ustar with prefix, star, GNU (long names 'L' and 'K', base-256 numbers, sparse 'S' with extension
 * headers), pax 'x' (path, linkpath, size, uid, gid, mtime, uname, gname, SCHILY.xattr.*, GNU.sparse 0.0, 0.1
 * and 1.0) and 'g'. A header's checksum may be the signed or the unsigned sum.
 *
 * pax global records that would change entries (path, linkpath, size, uid, gid, SCHILY.xattr.*, GNU.sparse.*)
 * are refused: GNU tar applies them, Go and libarchive do not. Others are shown (`pax_global`), not applied.
 * Links, devices, directories and FIFOs have no data, whatever their size field says (as in Go).
 * Bytes between entries that belong to none (global headers, odd zero padding) are in [end_off, next ext_off).
 *
 * Refused, with the entry's number and name in the message: bad checksums, fields that are not numbers, negative or
 * absurd sizes, ids beyond 32 bits, NUL in names, names over 4096 bytes, pax records whose lengths lie, extension
 * headers over 1 MiB, two extension headers of a kind for one entry, unknown types, more entries than the limit,
 * an archive that stops in the middle, one zero block followed by more entries, anything but zeros after the end. */
#ifndef QN_FORMATS_TAR_READ_H
#define QN_FORMATS_TAR_READ_H

#include "base/err.h"
#include "base/limits.h"
#include "tar.h"

/* What the scanner reports. Each returns 0, or -1 with `e` filled, which ends the scan. */
struct qn_tar_events {
    int (*entry)(void *ctx, const struct qn_tar_entry *entry, struct qn_err *e);
    /* The data as it stands in the archive (of a sparse file: its segments), in pieces; NULL when not wanted. */
    int (*data)(void *ctx, const void *p, size_t n, struct qn_err *e);
    /* After the entry's last byte of padding; NULL when not wanted. */
    int (*entry_end)(void *ctx, struct qn_err *e);
    void *ctx;
};

/* How the archive ended. */
enum qn_tar_ending {
    QN_TAR_END_TWO,  /* two zero blocks or more, as it should be */
    QN_TAR_END_ONE,  /* a single zero block */
    QN_TAR_END_NONE, /* directly behind the last entry */
};

struct qn_tar_summary {
    enum qn_tar_ending ending;
    uint64_t entries;
    uint64_t end_off; /* where the end marker starts: behind the last entry */
    uint64_t size;    /* of the whole archive */
};

struct qn_tar_read {
    struct qn_tar_read_state *state;
};

/* Starts a scan; of `limits`, image_size (bytes of one file, also of a sparse one) and layer_entries count.
 * The views in an entry live until its entry_end (or the next entry) is reported. */
int qn_tar_read_init(struct qn_tar_read *self, const struct qn_limits *limits, const struct qn_tar_events *events,
                     struct qn_err *e) QN_MUST_CHECK;
/* Scans `n` more bytes. MALFORMED, UNSUPPORTED, LIMIT or what a callback failed with; then only fini. */
int qn_tar_read_feed(struct qn_tar_read *self, const void *p, size_t n, struct qn_err *e) QN_MUST_CHECK;
/* Says that no more bytes come: MALFORMED when the archive stops in the middle of something. */
int qn_tar_read_finish(struct qn_tar_read *self, struct qn_tar_summary *out, struct qn_err *e) QN_MUST_CHECK;
void qn_tar_read_fini(struct qn_tar_read *self);
#define qn_auto_tar_read QN_CLEANUP(qn_tar_read_fini)

#endif
