/* What packages depend on, provide, and whether somebody asked for them. */
#ifndef QN_IMAGE_DEPENDS_H
#define QN_IMAGE_DEPENDS_H

#include "image.h"

#include "formats/apk.h"
#include "formats/dpkg.h"

/* Fill depends and provides of `p` from a stanza. Lists go to `arena`. LIMIT for more than 65536 names. */
int qn_depends_deb(struct qn_arena *arena, const struct qn_dpkg_stanza *s, struct qn_package *p,
                   struct qn_err *e) QN_MUST_CHECK;
int qn_depends_apk(struct qn_arena *arena, const struct qn_apk_stanza *s, struct qn_package *p,
                   struct qn_err *e) QN_MUST_CHECK;
/* Makes img->provider from the packages' names and provides. */
int qn_depends_index(struct qn_image *img, struct qn_err *e) QN_MUST_CHECK;
/* Sets the intent of dpkg packages from apt's extended_states and of apk packages from etc/apk/world; without those
 * files it stays unknown. Needs the index. */
int qn_depends_intent(struct qn_image *img, struct qn_err *e) QN_MUST_CHECK;
/* The first place in img->provider with this name; `*count` is how many there are. */
size_t qn_depends_find(const struct qn_image *img, struct qn_str name, size_t *count);

#endif
