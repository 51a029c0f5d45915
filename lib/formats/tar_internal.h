/* Inside the tar scanner: the state that tar_read.c, tar_entry.c and tar_sparse.c share. */
#ifndef QN_FORMATS_TAR_INTERNAL_H
#define QN_FORMATS_TAR_INTERNAL_H

#include "base/buf.h"
#include "tar_read.h"

#define QN_TAR_EXT_MAX      (1u << 20) /* bytes of one extension header, of the global records, of a sparse map */
#define QN_TAR_SEGMENTS_MAX (1u << 16)

/* Fields of a header block: offset and length. POSIX ustar, GNU, star. */
#define QN_TAR_F_NAME     0, 100
#define QN_TAR_F_MODE     100, 8
#define QN_TAR_F_UID      108, 8
#define QN_TAR_F_GID      116, 8
#define QN_TAR_F_SIZE     124, 12
#define QN_TAR_F_MTIME    136, 12
#define QN_TAR_F_CHKSUM   148, 8
#define QN_TAR_F_TYPE     156
#define QN_TAR_F_LINK     157, 100
#define QN_TAR_F_MAGIC    257, 8
#define QN_TAR_F_UNAME    265, 32
#define QN_TAR_F_GNAME    297, 32
#define QN_TAR_F_DEVMAJOR 329, 8
#define QN_TAR_F_DEVMINOR 337, 8
#define QN_TAR_F_PREFIX   345, 155
#define QN_TAR_F_STAR     345, 131 /* prefix in star archives */
#define QN_TAR_F_ATIME    345, 12  /* GNU */
#define QN_TAR_F_CTIME    357, 12  /* GNU */
#define QN_TAR_F_REALSIZE 483, 12  /* GNU sparse */

enum qn_tar_flavour { QN_TAR_V7, QN_TAR_USTAR, QN_TAR_STAR, QN_TAR_GNU };

enum qn_tar_step {
    QN_TAR_AT_HEADER,
    QN_TAR_AT_EXT, /* payload of L, K, x, g */
    QN_TAR_AT_EXT_PAD,
    QN_TAR_AT_SPARSE, /* GNU sparse extension blocks */
    QN_TAR_AT_MAP,    /* pax 1.0 sparse map in front of the data */
    QN_TAR_AT_DATA,
    QN_TAR_AT_PAD,
    QN_TAR_AT_ZERO, /* one zero block was seen */
    QN_TAR_AT_END,
};

struct qn_tar_read_state {
    struct qn_tar_events events;
    uint64_t max_entries, max_file;
    enum qn_tar_step step;
    uint64_t off; /* bytes consumed */
    uint8_t block[QN_TAR_BLOCK];
    size_t have;   /* bytes of it */
    uint64_t left; /* bytes of payload or data still to come */
    uint32_t pad;  /* padding behind them */
    uint64_t entries;
    uint64_t end_off; /* behind the last entry */
    /* Extension headers in front of the entry to come. */
    bool ext;
    uint64_t ext_off;
    char ext_type; /* of the payload being read */
    bool has_name, has_link, has_pax;
    struct qn_buf name, link, pax, payload;
    struct qn_buf global;
    /* The entry. */
    uint8_t header[QN_TAR_BLOCK];
    struct qn_tar_entry entry;
    struct qn_buf joined; /* prefix and name */
    struct qn_tar_segment *segment;
    size_t segment_cap;
    bool map_in_data; /* pax 1.0 */
    struct qn_buf map;
    uint64_t map_lines; /* newlines in it */
};

/* Number from a header field: octal text or base-256 (which may be negative). MALFORMED otherwise, naming `what`. */
int qn_tar_number(const uint8_t *block, size_t off, size_t n, const char *what, int64_t *out,
                  struct qn_err *e) QN_MUST_CHECK;
/* A text field up to its first NUL. */
struct qn_str qn_tar_text(const uint8_t *block, size_t off, size_t n);
enum qn_tar_flavour qn_tar_flavour(const uint8_t *block);
/* MALFORMED unless the header's checksum is right. */
int qn_tar_checksum(const uint8_t *block, struct qn_err *e) QN_MUST_CHECK;

/* Fills st->entry from st->header and the extension headers, sparse maps in records or header included. Offsets are
 * not set. */
int qn_tar_entry_build(struct qn_tar_read_state *st, struct qn_err *e) QN_MUST_CHECK;
/* Checks pax text: every record well-formed, and what global ones may not hold. */
int qn_tar_pax_check(struct qn_str pax, bool global, struct qn_err *e) QN_MUST_CHECK;

/* Sparse files. Decides from pax records or the header's type; sets real_size and what of the map is known. */
int qn_tar_sparse_begin(struct qn_tar_read_state *st, struct qn_err *e) QN_MUST_CHECK;
/* Whether more GNU extension blocks follow the last one read (the header at first). */
bool qn_tar_sparse_more(const struct qn_tar_read_state *st, const uint8_t *block, bool header);
/* Takes a GNU extension block. */
int qn_tar_sparse_block(struct qn_tar_read_state *st, const uint8_t *block, struct qn_err *e) QN_MUST_CHECK;
/* Takes a block of a map in the data; `*done` when the map is complete. */
int qn_tar_sparse_map(struct qn_tar_read_state *st, const uint8_t *block, bool *done, struct qn_err *e) QN_MUST_CHECK;
/* Checks the complete map against size and real_size and puts it into the entry. */
int qn_tar_sparse_end(struct qn_tar_read_state *st, struct qn_err *e) QN_MUST_CHECK;

#endif
