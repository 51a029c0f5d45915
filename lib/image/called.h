/* Who names a file that nothing is known to start. */
#ifndef QN_IMAGE_CALLED_H
#define QN_IMAGE_CALLED_H

#include "image.h"

/* Whether a text has the name outside of comments: lines that start with "#". */
bool qn_text_names(struct qn_str text, struct qn_str name);
/* Whether a captured text (reached, below etc, or that no package owns; package databases aside) or a reached
 * executable has the last component of the node's path: what it says of its directory cannot be told. */
bool qn_image_named(const struct qn_image *img, uint32_t node);
/* Whether something may start a program: a reason to be reached beyond that no package owns it, or a name somewhere. */
bool qn_image_started(const struct qn_image *img, uint32_t node);

#endif
