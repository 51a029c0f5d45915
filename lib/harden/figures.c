#include "figures.h"

#include "base/path.h"
#include "formats/passwd.h"

static uint64_t count_accounts(const struct qn_image *img)
{
    qn_auto_rows struct qn_rows rows = {0};
    struct qn_str text;
    struct qn_err e;
    uint64_t n = 0;

    if (!qn_image_text(img, QN_STR("etc/passwd"), &text) || qn_rows_parse(QN_ROWS_PASSWD, text, &rows, &e) < 0)
        return 0;
    for (size_t i = 0; i < rows.n; i++)
        n += rows.row[i].fields > 0;
    return n;
}

void qn_figures_count(const struct qn_image *img, struct qn_figures *out)
{
    struct qn_figures f = {.packages = img->package_count, .accounts = count_accounts(img)};

    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (n->type == QN_DIR && n->entry && (n->mode & 02) && !(n->mode & 01000))
            f.world_writable++;
        if (n->type != QN_FILE)
            continue;
        bool searched = img->searched[n->parent];
        f.files++;
        f.bytes += n->data ? n->data->size : 0;
        f.elf += n->data && n->data->content == QN_ELF;
        f.executables += searched && (n->mode & 0111);
        f.setuid += (n->mode & 06000) != 0;
        f.file_caps += n->data && n->data->caps;
        f.world_writable += (n->mode & 02) != 0;
        f.shells += (n->mode & 0111) && searched && qn_is_shell_name(qn_path_base(n->path));
    }
    *out = f;
}

json_t *qn_figures_json(const struct qn_figures *f, uint64_t compressed_bytes)
{
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {{"compressed_bytes", compressed_bytes},
                {"bytes", f->bytes},
                {"files", f->files},
                {"packages", f->packages},
                {"elf", f->elf},
                {"executables", f->executables},
                {"setuid", f->setuid},
                {"file_caps", f->file_caps},
                {"shells", f->shells},
                {"world_writable", f->world_writable},
                {"accounts", f->accounts}};
    json_t *o = json_object();

    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++)
        qn_json_set_int(o, rows[i].key, (int64_t)rows[i].value);
    return o;
}
