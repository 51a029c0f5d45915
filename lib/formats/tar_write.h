/* Tar headers out of entries: ustar when everything fits exactly, else one pax extension header with only the
 * records that are needed. A pure function of the entry: no clock, no host, no order that could vary. */
#ifndef QN_FORMATS_TAR_WRITE_H
#define QN_FORMATS_TAR_WRITE_H

#include "base/buf.h"
#include "base/err.h"
#include "tar.h"

/* What qn_tar_entry_edit() changes. A zeroed edit changes nothing (but plain expansion of sparse files). */
struct qn_tar_edit {
    bool set_mode, set_uid, set_gid, set_size, set_mtime;
    uint16_t mode;
    uint32_t uid, gid;
    uint64_t size;             /* new length of the file; its data comes from the caller */
    int64_t mtime;             /* whole seconds */
    const struct qn_str *drop; /* keys of pax records that go ("SCHILY.xattr.security.capability"); with a "*" at */
    size_t drops;              /* the end, all keys that start so */
};

/* Appends the header sequence (extension header if needed, header) of a plain entry. Size is `real_size`: sparse
 * files become plain ones, their data is the caller's business (qn_pieces_entry_data()). Records of `entry->pax` that
 * fields of the entry do not already say (SCHILY.xattr.*, others unknown) are kept in their order; those of
 * GNU.sparse and the fields are made anew where needed. MALFORMED for names with NUL or over 4096 bytes. */
int qn_tar_write_header(const struct qn_tar_entry *entry, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;
/* The same with changes: the whole replacement for [ext_off, data_off) of the entry. */
int qn_tar_entry_edit(const struct qn_tar_entry *entry, const struct qn_tar_edit *edit, struct qn_buf *out,
                      struct qn_err *e) QN_MUST_CHECK;
/* Zero bytes that pad `size` bytes of data to a block: 0..511. */
unsigned qn_tar_padding(uint64_t size);
/* Appends the end of an archive: two zero blocks. */
int qn_tar_write_end(struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;

#endif
