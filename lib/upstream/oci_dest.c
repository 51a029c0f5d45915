/* oci: and oci-archive: as destinations. */
#include "layout_io.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "formats/mediatype.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_MAX (4u << 20)
#define REF_NAME  "org.opencontainers.image.ref.name"

struct oci {
    char path[QN_PATH_MAX], name[QN_NAME_MAX * 2];
    struct qn_tar_out tar; /* archive only */
    struct qn_item root;
    bool has_root;
    unsigned tmp; /* number of the last temporary name */
};

/* --- index.json --------------------------------------------------------------------------------------------------- */

static bool replaced(const json_t *j, const struct qn_item *item, const char *name)
{
    char text[QN_DIGEST_TEXT];
    const char *ref = json_string_value(json_object_get(json_object_get(j, "annotations"), REF_NAME));
    const char *digest = json_string_value(json_object_get(j, "digest"));

    if (name[0])
        return ref && strcmp(ref, name) == 0;
    return !ref && digest && strcmp(digest, qn_digest_text(&item->digest, text)) == 0;
}

int qn_oci_index_add(const json_t *old, const struct qn_item *item, const char *name, struct qn_buf *out,
                     struct qn_err *e)
{
    qn_auto_json json_t *index = json_object();
    json_t *list = json_array(), *one, *mine = json_object();
    const json_t *before = json_object_get(old, "manifests");
    char text[QN_DIGEST_TEXT];
    size_t i;

    qn_json_set_int(index, "schemaVersion", 2);
    qn_json_set_c(index, "mediaType", QN_MT_OCI_INDEX);
    json_array_foreach (before, i, one) {
        if (!replaced(one, item, name))
            qn_json_push(list, json_incref(one));
    }
    qn_json_set_c(mine, "mediaType", item->media_type);
    qn_json_set_c(mine, "digest", qn_digest_text(&item->digest, text));
    qn_json_set_int(mine, "size", (int64_t)item->size);
    if (name[0]) {
        json_t *annotations = json_object();
        qn_json_set_c(annotations, REF_NAME, name);
        qn_json_set(mine, "annotations", annotations);
    }
    qn_json_push(list, mine);
    qn_json_set(index, "manifests", list);
    return qn_json_print(index, out, e);
}

/* --- a directory -------------------------------------------------------------------------------------------------- */

static void blob_path(const struct oci *o, const struct qn_digest *d, char *out, size_t size)
{
    char text[QN_DIGEST_TEXT];
    const char *hex = strchr(qn_digest_text(d, text), ':') + 1;
    snprintf(out, size, "%s/blobs/%s/%s", o->path, qn_digest_name(d->algorithm), hex);
}

static int fd_sink(void *ctx, const void *p, size_t n, struct qn_err *e)
{
    return qn_fd_write(*(int *)ctx, p, n, e);
}

/* A new file that appears whole. `span` NULL: from `bytes`. */
static int write_file(struct oci *o, const char *path, const struct qn_span *span, const struct qn_digest *d,
                      struct qn_str bytes, struct qn_err *e)
{
    qn_auto_free char *tmp = qn_xasprintf("%s/.quench-%ld-%u", o->path, (long)getpid(), ++o->tmp);
    qn_auto_close int fd = open(tmp, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    struct qn_sink sink = {fd_sink, &fd};
    int r = 0;

    if (fd < 0)
        return qn_fail_errno(e, QN_E_IO, "%s", tmp);
    r = span ? qn_span_stream(span, d, &sink, e) : qn_fd_write(fd, bytes.p, bytes.n, e);
    if (r == 0 && fsync(fd) < 0)
        r = qn_fail_errno(e, QN_E_IO, "%s", tmp);
    if (r == 0 && rename(tmp, path) < 0)
        r = qn_fail_errno(e, QN_E_IO, "%s", path);
    if (r < 0)
        unlink(tmp);
    return r;
}

static int dir_has(void *self, const struct qn_digest *d, bool *has, struct qn_err *e)
{
    char path[QN_PATH_MAX + 256];
    struct stat st;

    (void)e;
    blob_path(self, d, path, sizeof path);
    *has = lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    return 0;
}

static int dir_put(void *self, const struct qn_item *item, int fd, uint64_t offset, struct qn_err *e)
{
    char path[QN_PATH_MAX + 256];
    struct qn_span span = {fd, offset, item->size};

    blob_path(self, &item->digest, path, sizeof path);
    return write_file(self, path, &span, &item->digest, QN_STR(""), e);
}

static int check_bytes(const struct qn_item *item, struct qn_str bytes, struct qn_err *e)
{
    struct qn_hash h;
    char a[QN_DIGEST_TEXT], b[QN_DIGEST_TEXT];

    qn_hash_init(&h, item->digest.algorithm);
    qn_hash_update(&h, bytes.p, bytes.n);
    struct qn_digest have = qn_hash_final(&h);
    if (!qn_digest_eq(&have, &item->digest))
        return qn_fail(e, QN_E_DIGEST_MISMATCH, "manifest %s: content has %s", qn_digest_text(&item->digest, a),
                       qn_digest_text(&have, b));
    if (bytes.n != item->size)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "manifest %s: %zu bytes", qn_digest_text(&item->digest, a), bytes.n);
    return 0;
}

static int dir_manifest(void *self, const struct qn_item *item, struct qn_str bytes, bool root, struct qn_err *e)
{
    struct oci *o = self;
    char path[QN_PATH_MAX + 256];

    blob_path(o, &item->digest, path, sizeof path);
    if (check_bytes(item, bytes, e) < 0 || write_file(o, path, NULL, NULL, bytes, e) < 0)
        return -1;
    if (root) {
        o->root = *item;
        o->has_root = true;
    }
    return 0;
}

static int dir_finish(void *self, struct qn_err *e)
{
    struct oci *o = self;
    qn_auto_free char *index = qn_xasprintf("%s/index.json", o->path);
    qn_auto_free char *layout = qn_xasprintf("%s/oci-layout", o->path);
    qn_auto_buf struct qn_buf old = {0}, text = {0};
    qn_auto_json json_t *j = NULL;

    qn_buf_init(&old, INDEX_MAX);
    qn_buf_init(&text, INDEX_MAX + 65536);
    if (!o->has_root)
        return qn_fail(e, QN_E_BUG, "%s: finished without an image", o->path);
    if (access(index, F_OK) == 0) {
        if (qn_file_read(index, &old, e) < 0)
            return -1;
        if (qn_json_parse(qn_buf_view(&old), INDEX_MAX, &j, e) < 0)
            return qn_err_wrap(e, "%s", index);
    }
    if (qn_oci_index_add(j, &o->root, o->name, &text, e) < 0 ||
        write_file(o, layout, NULL, NULL, QN_STR(QN_OCI_LAYOUT), e) < 0 ||
        write_file(o, index, NULL, NULL, qn_buf_view(&text), e) < 0)
        return -1;
    return qn_dir_sync(o->path, e);
}

static void oci_free(void *self)
{
    struct oci *o = self;
    qn_tar_out_fini(&o->tar);
    free(o);
}

static struct oci *oci_new(const struct qn_location *at)
{
    struct oci *o = qn_new(struct oci);
    o->tar.fd = -1;
    snprintf(o->path, sizeof o->path, "%s", at->path);
    snprintf(o->name, sizeof o->name, "%s", at->name);
    return o;
}

int qn_oci_dir_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e)
{
    static const struct qn_dest_ops ops = {dir_has, dir_put, dir_manifest, dir_finish, oci_free};
    qn_auto_free char *a = qn_xasprintf("%s/blobs/sha256", at->path);
    qn_auto_free char *b = qn_xasprintf("%s/blobs/sha512", at->path);
    qn_auto_free char *index = qn_xasprintf("%s/index.json", at->path);
    qn_auto_free char *layout = qn_xasprintf("%s/oci-layout", at->path);

    /* A directory of something else must not be filled with blobs. */
    if (access(index, F_OK) == 0 && access(layout, F_OK) != 0)
        return qn_fail(e, QN_E_CONFLICT, "has an index.json but no oci-layout");
    if (qn_dir_make(a, 0755, e) < 0 || qn_dir_make(b, 0755, e) < 0)
        return -1;
    *out = (struct qn_dest){&ops, oci_new(at)};
    return 0;
}

/* --- an archive --------------------------------------------------------------------------------------------------- */

static void member_name(const struct qn_digest *d, char out[QN_DIGEST_TEXT + 16])
{
    char text[QN_DIGEST_TEXT];
    const char *hex = strchr(qn_digest_text(d, text), ':') + 1;
    snprintf(out, QN_DIGEST_TEXT + 16, "blobs/%s/%s", qn_digest_name(d->algorithm), hex);
}

static int tar_has(void *self, const struct qn_digest *d, bool *has, struct qn_err *e)
{
    (void)e;
    *has = qn_tar_out_has(&((struct oci *)self)->tar, d);
    return 0;
}

static int tar_put(void *self, const struct qn_item *item, int fd, uint64_t offset, struct qn_err *e)
{
    struct oci *o = self;
    char name[QN_DIGEST_TEXT + 16];
    struct qn_span span = {fd, offset, item->size};

    member_name(&item->digest, name);
    return qn_tar_out_blob(&o->tar, name, &item->digest, &span, e);
}

static int tar_manifest(void *self, const struct qn_item *item, struct qn_str bytes, bool root, struct qn_err *e)
{
    struct oci *o = self;
    char name[QN_DIGEST_TEXT + 16];

    member_name(&item->digest, name);
    if (check_bytes(item, bytes, e) < 0)
        return -1;
    if (!qn_tar_out_has(&o->tar, &item->digest)) {
        void *arr = o->tar.have;
        if (qn_grow(&arr, &o->tar.cap, o->tar.n + 1, sizeof *o->tar.have, QN_ARCHIVE_MEMBERS_MAX, e) < 0)
            return -1;
        o->tar.have = arr;
        if (qn_tar_out_bytes(&o->tar, name, bytes, e) < 0)
            return -1;
        o->tar.have[o->tar.n++] = item->digest;
    }
    if (root) {
        o->root = *item;
        o->has_root = true;
    }
    return 0;
}

static int tar_finish(void *self, struct qn_err *e)
{
    struct oci *o = self;
    qn_auto_buf struct qn_buf text = {0};

    qn_buf_init(&text, 65536);
    if (!o->has_root)
        return qn_fail(e, QN_E_BUG, "%s: finished without an image", o->path);
    if (qn_oci_index_add(NULL, &o->root, o->name, &text, e) < 0 ||
        qn_tar_out_bytes(&o->tar, "index.json", qn_buf_view(&text), e) < 0 ||
        qn_tar_out_bytes(&o->tar, "oci-layout", QN_STR(QN_OCI_LAYOUT), e) < 0)
        return -1;
    return qn_tar_out_finish(&o->tar, e);
}

int qn_oci_archive_dest(const struct qn_location *at, struct qn_dest *out, struct qn_err *e)
{
    static const struct qn_dest_ops ops = {tar_has, tar_put, tar_manifest, tar_finish, oci_free};
    struct oci *o = oci_new(at);

    if (qn_tar_out_open(at->path, &o->tar, e) < 0 || qn_tar_out_dir(&o->tar, "blobs/", e) < 0 ||
        qn_tar_out_dir(&o->tar, "blobs/sha256/", e) < 0) {
        oci_free(o);
        return -1;
    }
    *out = (struct qn_dest){&ops, o};
    return 0;
}
