/* A package's header as rpm databases hold it: numbers, texts and lists of texts by tag. Source: rpm,
 * docs/manual/format_header.md, include/rpm/rpmtag.h and rpmds.h. */
#ifndef QN_FORMATS_RPMHEADER_H
#define QN_FORMATS_RPMHEADER_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum {
    QN_RPM_NAME = 1000,
    QN_RPM_VERSION = 1001,
    QN_RPM_RELEASE = 1002,
    QN_RPM_EPOCH = 1003,
    QN_RPM_ARCH = 1022,
    QN_RPM_OLD_FILENAMES = 1027,
    QN_RPM_SOURCE = 1044,
    QN_RPM_PROVIDES = 1047,
    QN_RPM_REQUIRE_FLAGS = 1048,
    QN_RPM_REQUIRES = 1049,
    QN_RPM_DIR_INDEXES = 1116,
    QN_RPM_BASENAMES = 1117,
    QN_RPM_DIRNAMES = 1118
};

/* Of QN_RPM_REQUIRE_FLAGS: needed while a package is installed or removed; asked of rpm itself. */
#define QN_RPM_SCRIPTS ((1u << 5) | (1u << 7) | (1u << 9) | (1u << 10) | (1u << 11) | (1u << 12) | (1u << 13))
#define QN_RPM_RPMLIB  (1u << 24)

struct qn_rpm_header {
    struct qn_str index, store;
};

/* Texts of a list, one after the other. */
struct qn_rpm_strings {
    struct qn_str rest;
    uint32_t left;
};

/* Reads the blob of a row of "Packages": counts, index and store, without the magic that files have. Everything that
 * the index says is checked. MALFORMED otherwise; views borrow the blob. */
int qn_rpm_header_parse(struct qn_str blob, struct qn_rpm_header *out, struct qn_err *e) QN_MUST_CHECK;
/* The text of a tag, the first one of a list; "" when it is not there. */
struct qn_str qn_rpm_string(const struct qn_rpm_header *h, uint32_t tag);
/* The list of a tag; empty when it is not there. */
struct qn_rpm_strings qn_rpm_strings(const struct qn_rpm_header *h, uint32_t tag);
bool qn_rpm_strings_next(struct qn_rpm_strings *self, struct qn_str *out);
/* Number `i` of a tag of 32-bit numbers; false when there is none. */
bool qn_rpm_number(const struct qn_rpm_header *h, uint32_t tag, uint32_t i, uint32_t *out);

#endif
