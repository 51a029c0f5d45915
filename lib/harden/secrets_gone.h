/* Which secrets the rule "secrets" takes away: asked by the rule, by the emitter for what upper layers hide, and by the
 * verifier of the result. */
#ifndef QN_HARDEN_SECRETS_GONE_H
#define QN_HARDEN_SECRETS_GONE_H

#include "plan.h"

/* Whether the profile removes a file that is there for the reason of its being a secret; what is reached, owned by a
 * package, named by a text that stays or kept by the policy stays all the same. */
bool qn_secret_goes(const struct qn_image *img, const struct qn_options *opt, uint32_t node);
/* Why a file that holds a secret stays, or NULL. */
const char *qn_secret_stays(const struct qn_image *img, const struct qn_options *opt, uint32_t node);
/* Whether an entry of a layer is a file with a secret that no container sees: its bytes could still be downloaded. */
bool qn_secret_hidden(const struct qn_image *img, size_t layer, const struct qn_entry *entry);

#endif
