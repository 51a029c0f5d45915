/* Scripts that make up the names of what they run: for them no static look is enough. */
#ifndef QN_IMAGE_DYNAMIC_H
#define QN_IMAGE_DYNAMIC_H

#include "image.h"

/* Whether shell text has a variable where a command's name stands ("$CMD", "$HOME/bin/x"), eval, sourcing of a
 * variable, or sh -c with one. The arguments that the script was started with ("$@", "$*") are known and do not count.
 * `what` becomes the words, a view of the text. */
bool qn_script_dynamic(struct qn_str text, struct qn_str *what);
/* Whether what the configuration starts is so, with a variable that it does not set, or a reached shell script. `where`
 * becomes the script's path, or "" for the configuration. */
bool qn_image_dynamic(const struct qn_image *img, struct qn_str *where, struct qn_str *what);

#endif
