/* What the rules on unused packages, files and shells share. */
#ifndef QN_HARDEN_UNUSED_H
#define QN_HARDEN_UNUSED_H

#include "edits.h"

/* Whether these rules leave a node alone whatever the keep-set says: it is no package's, it identifies the
 * distribution, licenses something, is the loader's or a trust store's, or shapes the top of the file system. */
bool qn_unused_never(const struct qn_image *img, uint32_t node);
/* Whether it is a shell in a bin directory, which the rule "shells" decides on. */
bool qn_unused_shell(const struct qn_image *img, uint32_t node);
/* Whether the keep-set cannot be trusted for this image; the rule then backs off and says why. */
bool qn_unused_doubt(const struct qn_image *img, const char **because);

#endif
