/* What the rules on unused packages, files and shells share. */
#ifndef QN_HARDEN_UNUSED_H
#define QN_HARDEN_UNUSED_H

#include "edits.h"

/* Whether these rules leave a node alone whatever the keep-set says: it is no package's, it identifies the
 * distribution, licenses something, is the loader's or a trust store's, or shapes the top of the file system. */
bool qn_unused_never(const struct qn_image *img, uint32_t node);
/* Whether it is a shell in a bin directory, which the rule "shells" decides on. */
bool qn_unused_shell(const struct qn_image *img, uint32_t node);
/* What such a rule starts with: 1 with the keep-set; 0 when there is nothing to do (no packages), or when the keep-set
 * cannot be trusted for this image and the rule backed off, saying why; -1 on error. */
int qn_unused_begin(struct qn_plan *plan, const struct qn_keepset **out, struct qn_err *e) QN_MUST_CHECK;

/* Whether a link leads to a directory in which something is kept: it is a way to that. */
bool qn_unused_way(const struct qn_image *img, const struct qn_keepset *ks, uint32_t node);

#endif
