#include "called.h"

#include "base/path.h"

bool qn_text_names(struct qn_str text, struct qn_str name)
{
    struct qn_str line;

    if (name.n == 0 || qn_str_find(text, name) < 0)
        return false;
    while (qn_str_next(&text, '\n', &line)) {
        line = qn_str_trim(line);
        if (!(line.n && line.p[0] == '#') && qn_str_find(line, name) >= 0)
            return true;
    }
    return false;
}

/* Texts that say something about what the image does. */
static bool speaks(const struct qn_image *img, uint32_t node)
{
    const struct qn_node *n = &img->tree.node[node];

    if (qn_path_under(n->path, QN_STR("var/lib/dpkg")) || qn_path_under(n->path, QN_STR("lib/apk/db")) ||
        qn_path_under(n->path, QN_STR("usr/lib/apk/db")))
        return false;
    return qn_image_reached(img, node) || n->package == QN_NO_PACKAGE || qn_path_under(n->path, QN_STR("etc"));
}

/* Whether a text in an executable is the name, with or without a path or arguments. */
static bool hinted(const struct qn_elf_facts *f, struct qn_str name)
{
    for (uint32_t i = 0; i < f->hint_count; i++)
        if (qn_str_find(f->hint[i].text, name) >= 0)
            return true;
    return f->hints_cut;
}

bool qn_image_named(const struct qn_image *img, uint32_t node)
{
    struct qn_str base = qn_path_base(img->tree.node[node].path), text;

    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (i == node || n->type != QN_FILE || !n->data || n->data == img->tree.node[node].data)
            continue;
        if (qn_node_text(img, i, &text) && speaks(img, i) && qn_text_names(text, base))
            return true;
        if (n->data->content == QN_ELF && qn_image_reached(img, i) && hinted(&n->data->elf, base))
            return true;
    }
    return false;
}

bool qn_image_started(const struct qn_image *img, uint32_t node)
{
    uint32_t alone = QN_WHY_BIT(QN_WHY_UNOWNED) | QN_WHY_BIT(QN_WHY_UTILITY);

    return (img->reach[node].all & ~alone) || (qn_image_reached(img, node) && qn_image_named(img, node));
}
