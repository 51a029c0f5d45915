/* A tar entry, as tar_read.h gives it and tar_write.h takes it.
 * Sources: POSIX.1-2017 pax "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format",
 * "Storing Sparse Files". Where readers disagree, what Go's archive/tar does counts, because the container
 * runtimes use it; what would mean one thing there and another elsewhere is refused. */
#ifndef QN_FORMATS_TAR_H
#define QN_FORMATS_TAR_H

#include "base/str.h"

#include <stdint.h>

#define QN_TAR_BLOCK 512u

enum qn_tar_type {
    QN_TAR_FILE, /* also contiguous ('7') and sparse files */
    QN_TAR_HARDLINK,
    QN_TAR_SYMLINK,
    QN_TAR_CHAR,
    QN_TAR_BLOCKDEV,
    QN_TAR_DIR,
    QN_TAR_FIFO,
};

/* One run of data of a sparse file; the gaps are zeros. */
struct qn_tar_segment {
    uint64_t off; /* in the file */
    uint64_t len; /* the runs follow each other in the archive's data without gaps */
};

struct qn_tar_entry {
    uint64_t index;     /* 0 for the first entry; extension headers do not count */
    struct qn_str name; /* after pax and GNU long name; not normalised, free of NUL, at most QN_PATH_MAX */
    struct qn_str link; /* target of a hard or symbolic link, else "" */
    enum qn_tar_type type;
    uint16_t mode; /* & 07777 */
    uint32_t uid, gid;
    struct qn_str uname, gname;
    int64_t mtime;               /* seconds since 1970, rounded down */
    uint32_t mtime_nsec;         /* 0..999999999, added to mtime */
    uint32_t devmajor, devminor; /* char and block only, else 0 */
    uint64_t size;               /* bytes of data in the archive, without padding; 0 for everything but files */
    uint64_t real_size;          /* length of the file: `size` unless sparse */
    bool sparse;
    const struct qn_tar_segment *segment; /* ascending; together `size` bytes; the file ends at real_size */
    size_t segments;
    struct qn_str pax;        /* the entry's own pax records as they stand in the archive ("LEN KEY=VALUE\n"...) */
    struct qn_str pax_global; /* pax global records so far, concatenated; see tar_read.h: they never change an entry */
    /* Offsets in the uncompressed archive; ext_off <= hdr_off < data_off <= end_off, multiples of 512 all. */
    uint64_t ext_off;  /* first extension header of this entry; hdr_off when it has none */
    uint64_t hdr_off;  /* its own header */
    uint64_t data_off; /* its data, behind sparse headers and a sparse map */
    uint64_t end_off;  /* behind the padding */
};

/* Takes the next record off raw pax text. Returns 1, 0 at the end, -1 when the text is not well-formed. */
int qn_pax_next(struct qn_str *rest, struct qn_str *key, struct qn_str *value);
/* The last record with that key in raw pax text; false when there is none. */
bool qn_pax_get(struct qn_str pax, struct qn_str key, struct qn_str *value);

#endif
