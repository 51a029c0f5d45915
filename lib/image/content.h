/* What a scan looks for inside a file. Pure functions of bytes. */
#ifndef QN_IMAGE_CONTENT_H
#define QN_IMAGE_CONTENT_H

#include "layer.h"

/* How many bytes of a file's content the facts must hold (databases, configuration, scripts), or 0. `head` is the
 * start of the content, at least 4 bytes unless the file is shorter. A longer file is not captured. */
uint64_t qn_content_capture(struct qn_str path, uint64_t size, struct qn_str head);
/* Whether the content is to be looked at as a whole: executables and texts. */
bool qn_content_wanted(struct qn_str path, uint64_t size, struct qn_str head);
/* Fills content, elf or script, and mentions of `n` from the whole content. Lists go to `arena`. A damaged ELF file
 * is QN_OTHER, not an error: the image may hold it as data. */
int qn_content_read(struct qn_str bytes, struct qn_entry *n, struct qn_arena *arena, struct qn_err *e) QN_MUST_CHECK;

#endif
