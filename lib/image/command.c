/* Which program a command's name means. */
#include "image.h"

static bool file(const void *tree, uint32_t to, uint32_t *kind)
{
    (void)kind;
    return ((const struct qn_tree *)tree)->node[to].type == QN_FILE;
}

int qn_image_commands(struct qn_image *img, struct qn_err *e)
{
    struct qn_str path = qn_imgconfig_path(&img->config), dir;
    qn_auto_dirs struct qn_dirs dirs = {0};

    img->searched = qn_arena_alloc(&img->arena, img->tree.count, sizeof *img->searched, e);
    if (!img->searched)
        return -1;
    qn_dirs_init(&dirs, &img->tree);
    /* Relative elements, and empty ones, start at the working directory. */
    while (qn_str_next(&path, ':', &dir)) {
        qn_dirs_add(&dirs, qn_tree_resolve_at(&img->tree, img->config.working_dir, dir, true));
        uint32_t n = dir.n ? qn_tree_resolve(&img->tree, dir, true) : QN_NO_NODE;
        if (n != QN_NO_NODE)
            img->searched[n] = true;
    }
    return qn_lookup_make(&dirs, file, &img->tree, &img->arena, &img->command, e);
}

uint32_t qn_image_command_name(const struct qn_image *img, struct qn_str word)
{
    if (word.n == 0 || word.n >= QN_PATH_MAX)
        return QN_NO_NODE;
    if (qn_str_chr(word, '/') >= 0)
        return qn_tree_resolve_at(&img->tree, img->config.working_dir, word, false);
    const struct qn_found *found = qn_lookup_find(&img->command, &img->tree, word, 0);
    return found ? found->node : QN_NO_NODE;
}

uint32_t qn_image_command(const struct qn_image *img, struct qn_str word)
{
    uint32_t n = qn_image_command_name(img, word);
    return n == QN_NO_NODE ? n : qn_tree_resolve(&img->tree, img->tree.node[n].path, true);
}
