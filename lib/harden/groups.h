/* Hard links: one file under several names. What one name needs, all of them must keep. */
#ifndef QN_HARDEN_GROUPS_H
#define QN_HARDEN_GROUPS_H

#include "image/image.h"

struct qn_groups {
    const struct qn_image *img;
    bool *needed; /* by layer and place in its archive: some visible name of this data is needed */
    size_t *base; /* where a layer starts in it */
};

/* Looks at every name of data. Free with qn_groups_fini(). */
void qn_groups_init(struct qn_groups *g, const struct qn_image *img,
                    bool (*needed)(const struct qn_image *img, uint32_t node));
void qn_groups_fini(struct qn_groups *g);
#define qn_auto_groups QN_CLEANUP(qn_groups_fini)
/* Whether a visible name of a node's data is needed. */
bool qn_groups_node(const struct qn_groups *g, uint32_t node);
/* The same for an entry of a layer, visible or not. */
bool qn_groups_entry(const struct qn_groups *g, size_t layer, const struct qn_entry *entry);

#endif
