/* oci: and oci-archive: as sources. Source: OCI image-spec, image-layout.md. */
#include "layout_io.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "formats/mediatype.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INDEX_MAX (4u << 20)
#define REF_NAME  "org.opencontainers.image.ref.name"

struct oci {
    int dir; /* -1 for an archive */
    struct qn_archive archive;
    json_t *index;
    uint64_t manifest_max;
    char name[QN_NAME_MAX * 2];
};

static void oci_free(void *self)
{
    struct oci *o = self;
    if (o->dir >= 0)
        close(o->dir);
    qn_archive_fini(&o->archive);
    json_decref(o->index);
    free(o);
}

/* Opens a file of the layout by the parts of its name, none of which may be a symbolic link. */
static int open_below(int dir, const char *a, const char *b, const char *c)
{
    qn_auto_close int first = openat(dir, a, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (b ? O_DIRECTORY : 0));
    if (first < 0 || !b)
        return qn_steal_fd(first);
    qn_auto_close int second = openat(first, b, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_DIRECTORY);
    if (second < 0)
        return -1;
    return openat(second, c, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

/* Gives a span; `*own` is a descriptor to close, or -1. */
static int open_named(struct oci *o, const char *a, const char *b, const char *c, struct qn_span *out, int *own,
                      struct qn_err *e)
{
    *own = -1;
    if (o->dir < 0) {
        qn_auto_free char *name = b ? qn_xasprintf("%s/%s/%s", a, b, c) : qn_xstrdup(a);
        if (qn_archive_find(&o->archive, qn_str_c(name), out))
            return 0;
        return qn_fail(e, QN_E_NOT_FOUND, "the archive has no %s", name);
    }
    qn_auto_close int fd = open_below(o->dir, a, b, c);
    if (fd < 0)
        return qn_err_set(e, errno == ENOENT ? QN_E_NOT_FOUND : QN_E_IO, errno, __FILE__, __LINE__, "%s%s%s: %s", a,
                          b ? "/.../" : "", b ? c : "", strerror(errno));
    uint64_t size;
    if (qn_fd_size(fd, &size, e) < 0)
        return -1;
    *own = qn_steal_fd(fd);
    *out = (struct qn_span){*own, 0, size};
    return 0;
}

static int open_blob(struct oci *o, const struct qn_digest *d, struct qn_span *out, int *own, struct qn_err *e)
{
    char text[QN_DIGEST_TEXT];
    const char *hex = strchr(qn_digest_text(d, text), ':') + 1;

    if (open_named(o, "blobs", qn_digest_name(d->algorithm), hex, out, own, e) == 0)
        return 0;
    if (e->code == QN_E_NOT_FOUND)
        e->code = QN_E_BLOB_UNKNOWN;
    return -1;
}

static int read_json(struct oci *o, const char *name, json_t **out, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_close int own = -1;
    struct qn_span s;

    qn_buf_init(&b, INDEX_MAX);
    if (open_named(o, name, NULL, NULL, &s, &own, e) < 0 || qn_span_read(&s, NULL, INDEX_MAX, &b, e) < 0 ||
        qn_json_parse(qn_buf_view(&b), INDEX_MAX, out, e) < 0)
        return qn_err_wrap(e, "%s", name);
    return 0;
}

static int item_of(const json_t *j, struct qn_item *out, struct qn_err *e)
{
    struct qn_str digest, type;
    int64_t size;

    if (qn_json_str(j, "digest", &digest, e) < 0 || qn_digest_parse(digest, &out->digest, e) < 0 ||
        qn_json_int(j, "size", 0, INT64_MAX, &size, e) < 0 || qn_json_str_opt(j, "mediaType", &type, e) < 0)
        return -1;
    out->size = (uint64_t)size;
    if (!qn_str_copy(type, out->media_type, sizeof out->media_type))
        return qn_fail(e, QN_E_MALFORMED, "media type of %zu bytes", type.n);
    return 0;
}

static bool is_named(const json_t *j, struct qn_str name, bool is_digest)
{
    const json_t *text =
        is_digest ? json_object_get(j, "digest") : json_object_get(json_object_get(j, "annotations"), REF_NAME);
    return json_is_string(text) && qn_str_eq(name, qn_str_n(json_string_value(text), json_string_length(text)));
}

static int resolve(void *self, struct qn_str ref, struct qn_item *out, struct qn_err *e)
{
    struct oci *o = self;
    json_t *list = json_object_get(o->index, "manifests"), *one, *found = NULL;
    size_t i, hits = 0;

    if (ref.n == 0)
        ref = qn_str_c(o->name);
    bool is_digest = qn_str_starts(ref, QN_STR("sha256:")) || qn_str_starts(ref, QN_STR("sha512:"));
    json_array_foreach (list, i, one) {
        if (ref.n > 0 && !is_named(one, ref, is_digest))
            continue;
        found = one;
        hits++;
    }
    if (hits == 0)
        return qn_fail(e, QN_E_NOT_FOUND, "index.json has no image%s%s", ref.n ? " named " : "", QN_Q(ref));
    if (hits > 1 && !is_digest)
        return qn_fail(e, QN_E_USAGE, "index.json has %zu images%s%s: name one (PATH:TAG)", hits,
                       ref.n ? " named " : "", QN_Q(ref));
    if (item_of(found, out, e) < 0)
        return qn_err_wrap(e, "index.json");
    return 0;
}

static int manifest(void *self, const struct qn_digest *d, struct qn_buf *out, char media_type[QN_REMOTE_MEDIA],
                    struct qn_err *e)
{
    struct oci *o = self;
    qn_auto_close int own = -1;
    qn_auto_json json_t *j = NULL;
    struct qn_span s;
    struct qn_str type;
    struct qn_err ignored;
    size_t before = out->n;

    if (open_blob(o, d, &s, &own, e) < 0 || qn_span_read(&s, d, o->manifest_max, out, e) < 0)
        return -1;
    media_type[0] = '\0';
    if (qn_json_parse(qn_str_from(qn_buf_view(out), before), (size_t)o->manifest_max, &j, &ignored) == 0 &&
        qn_json_str_opt(j, "mediaType", &type, &ignored) == 0 && type.n &&
        qn_str_copy(type, media_type, QN_REMOTE_MEDIA))
        return 0;
    /* The member is optional: what leads here says what it is. */
    json_t *list = json_object_get(o->index, "manifests"), *one;
    size_t i;
    json_array_foreach (list, i, one) {
        struct qn_item item;
        if (item_of(one, &item, &ignored) == 0 && qn_digest_eq(&item.digest, d))
            snprintf(media_type, QN_REMOTE_MEDIA, "%s", item.media_type);
    }
    return 0;
}

static int blob(void *self, const struct qn_digest *d, uint64_t size, const struct qn_sink *sink, struct qn_err *e)
{
    qn_auto_close int own = -1;
    struct qn_span s;
    char text[QN_DIGEST_TEXT];

    if (open_blob(self, d, &s, &own, e) < 0)
        return -1;
    if (size != UINT64_MAX && s.size != size)
        return qn_fail(e, QN_E_SIZE_MISMATCH, "%s: %llu bytes instead of the %llu of its descriptor",
                       qn_digest_text(d, text), (unsigned long long)s.size, (unsigned long long)size);
    return qn_span_stream(&s, d, sink, e);
}

static int check_layout(struct oci *o, struct qn_err *e)
{
    qn_auto_json json_t *j = NULL;
    struct qn_str version;
    json_t *list;

    if (read_json(o, "oci-layout", &j, e) < 0 || qn_json_str(j, "imageLayoutVersion", &version, e) < 0)
        return -1;
    if (!qn_str_starts(version, QN_STR("1.")))
        return qn_fail(e, QN_E_UNSUPPORTED, "oci-layout: version \"%s\"", QN_Q(version));
    if (read_json(o, "index.json", &o->index, e) < 0)
        return -1;
    if (qn_json_array_opt(o->index, "manifests", &list, e) < 0 || !list)
        return qn_fail(e, QN_E_MALFORMED, "index.json: no list of manifests");
    return 0;
}

int qn_oci_source(const struct qn_location *at, uint64_t manifest_max, struct qn_source *out, struct qn_err *e)
{
    static const struct qn_source_ops ops = {resolve, manifest, blob, oci_free};
    struct oci *o = qn_new(struct oci);
    int r = 0;

    o->dir = -1;
    o->archive.fd = -1;
    o->manifest_max = manifest_max;
    snprintf(o->name, sizeof o->name, "%s", at->name);
    if (at->transport == QN_TRANSPORT_OCI_ARCHIVE) {
        r = qn_archive_open(at->path, &o->archive, e);
    } else {
        o->dir = open(at->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (o->dir < 0)
            r = qn_fail_errno(e, QN_E_IO, "open");
    }
    if (r < 0 || check_layout(o, e) < 0) {
        oci_free(o);
        return -1;
    }
    *out = (struct qn_source){&ops, o};
    return 0;
}
