#include "groups.h"

#include "base/mem.h"

#include <stdlib.h>

void qn_groups_init(struct qn_groups *g, const struct qn_image *img,
                    bool (*needed)(const struct qn_image *img, uint32_t node))
{
    const struct qn_tree *t = &img->tree;
    size_t total = 0;

    g->img = img;
    g->base = qn_xcalloc(t->layer_count + 1, sizeof *g->base);
    for (size_t i = 0; i < t->layer_count; i++) {
        g->base[i] = total;
        total += t->layer[i].count;
    }
    g->needed = qn_xcalloc(total + 1, sizeof *g->needed);
    for (uint32_t i = 1; i < t->count; i++)
        if (t->node[i].data && needed(img, i))
            g->needed[g->base[t->node[i].layer] + t->node[i].data->seq] = true;
}

void qn_groups_fini(struct qn_groups *g)
{
    free(g->needed);
    free(g->base);
    *g = (struct qn_groups){0};
}

bool qn_groups_node(const struct qn_groups *g, uint32_t node)
{
    const struct qn_node *n = &g->img->tree.node[node];
    return n->data ? g->needed[g->base[n->layer] + n->data->seq] : qn_image_needed(g->img, node);
}

bool qn_groups_entry(const struct qn_groups *g, size_t layer, const struct qn_entry *entry)
{
    const struct qn_entry *data = qn_layer_data(&g->img->tree.layer[layer], entry);
    return data && g->needed[g->base[layer] + data->seq];
}
