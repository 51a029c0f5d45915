/* Scripts that make up the names of what they run: for them no static look is enough. */
#ifndef QN_IMAGE_DYNAMIC_H
#define QN_IMAGE_DYNAMIC_H

#include "image.h"

/* Whether shell text runs, sources or evaluates something whose name cannot be told from the text: a command that is a
 * variable ("$CMD"), eval, sh -c. It can be told when
 *  - the last part of a path stands there ("$JAVA_HOME/bin/java"): whatever is called so is reached;
 *  - every value that the text gives the variable can be told, or the image's environment has one;
 *  - the values are the files of a directory that the text names, and all of them are reached;
 *  - it is what the script was started with ("$@", "$*"), or the script itself ("$0").
 * `img` may be NULL: then no environment and no directories are known. `what` becomes the words, a view of the text. */
bool qn_script_dynamic(const struct qn_image *img, struct qn_str text, struct qn_str *what);
/* Whether what the configuration starts is so, with a variable that it does not set, or a reached shell script. `where`
 * becomes the script's path, or "" for the configuration. */
bool qn_image_dynamic(const struct qn_image *img, struct qn_str *where, struct qn_str *what);

#endif
