/* The cache that ld.so looks libraries up in, etc/ld.so.cache: the format "glibc-ld.so.cache1.1", alone or behind a
 * table of the old format "ld.so-1.7.0", and the old format alone. Source: glibc, sysdeps/generic/dl-cache.h and
 * elf/cache.c. */
#ifndef QN_FORMATS_LDCACHE_H
#define QN_FORMATS_LDCACHE_H

#include "base/buf.h"

/* Appends the cache without the entries whose path `keep` refuses, in their old order, with the strings that they
 * need and no others; generator and hardware capabilities stay. An old table in front of a new one, which no glibc
 * since 2.2 reads, is left out. `*dropped` counts the entries that went; when it is 0, nothing was appended.
 * MALFORMED for what ld.so would not read either. */
int qn_ldcache_filter(struct qn_str file, bool (*keep)(void *ctx, struct qn_str path), void *ctx, struct qn_buf *out,
                      size_t *dropped, struct qn_err *e) QN_MUST_CHECK;

#endif
