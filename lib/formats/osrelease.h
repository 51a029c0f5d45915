/* os-release files. Source: os-release(5). */
#ifndef QN_FORMATS_OSRELEASE_H
#define QN_FORMATS_OSRELEASE_H

#include "base/str.h"

/* Values without their quotes; "" when absent, unreadable or longer than fits. */
struct qn_osrelease {
    char id[64]; /* "debian", "alpine"; lower case */
    char id_like[128];
    char name[128];
    char version_id[64];
    char version_codename[64];
    char variant_id[64];
    char pretty_name[128];
};

/* Parses; lines that are not assignments are ignored, the last assignment wins. Never fails. */
void qn_osrelease_parse(struct qn_str text, struct qn_osrelease *out);
/* The value of one assignment, unquoted, into `out`; false when absent, badly quoted or too long. */
bool qn_osrelease_get(struct qn_str text, const char *key, char *out, size_t size);

#endif
