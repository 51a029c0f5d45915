/* ZIP archives (.jar, .war), by their central directory. Source: PKWARE APPNOTE 6.3.10. */
#ifndef QN_FORMATS_ZIP_H
#define QN_FORMATS_ZIP_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct qn_zip {
    struct qn_str bytes;
    size_t at, end; /* of the directory's entries that are still to be read */
};

struct qn_zip_entry {
    struct qn_str name;
    struct qn_str stored; /* its bytes in the archive */
    uint16_t method;      /* 0 stored, 8 deflated */
    uint64_t size;        /* as the directory says */
};

/* Finds the directory; bytes in front of the archive (a start script) are allowed for. MALFORMED when there is none. */
int qn_zip_open(struct qn_str bytes, struct qn_zip *out, struct qn_err *e) QN_MUST_CHECK;
/* The next entry; false at the end, or where the directory is damaged. Entries whose bytes are not in the archive, and
 * those of more than 4 GiB, have none. */
bool qn_zip_next(struct qn_zip *z, struct qn_zip_entry *out);
/* The content of an entry into `buf`; how many bytes it has. -1 when it is damaged, encrypted, or does not fit. */
int64_t qn_zip_read(const struct qn_zip_entry *entry, char *buf, size_t size);

#endif
