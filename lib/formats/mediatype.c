#include "mediatype.h"

#define OCI_LAYER     "application/vnd.oci.image.layer.v1.tar"
#define OCI_FOREIGN   "application/vnd.oci.image.layer.nondistributable.v1.tar"
#define DOCKER_DIFF   "application/vnd.docker.image.rootfs.diff.tar"
#define DOCKER_ALIEN  "application/vnd.docker.image.rootfs.foreign.diff.tar"
#define DOCKER_SCHEMA "application/vnd.docker.distribution.manifest.v1"

static const struct qn_media_type table[] = {
    {QN_MT_OCI_MANIFEST, QN_MEDIA_MANIFEST, QN_FAMILY_OCI, QN_PLAIN},
    {QN_MT_OCI_INDEX, QN_MEDIA_INDEX, QN_FAMILY_OCI, QN_PLAIN},
    {QN_MT_OCI_CONFIG, QN_MEDIA_CONFIG, QN_FAMILY_OCI, QN_PLAIN},
    {QN_MT_OCI_EMPTY, QN_MEDIA_EMPTY, QN_FAMILY_OCI, QN_PLAIN},
    {OCI_LAYER, QN_MEDIA_LAYER, QN_FAMILY_OCI, QN_PLAIN},
    {OCI_LAYER "+gzip", QN_MEDIA_LAYER, QN_FAMILY_OCI, QN_GZIP},
    {OCI_LAYER "+zstd", QN_MEDIA_LAYER, QN_FAMILY_OCI, QN_ZSTD},
    {OCI_FOREIGN, QN_MEDIA_FOREIGN, QN_FAMILY_OCI, QN_PLAIN},
    {OCI_FOREIGN "+gzip", QN_MEDIA_FOREIGN, QN_FAMILY_OCI, QN_GZIP},
    {OCI_FOREIGN "+zstd", QN_MEDIA_FOREIGN, QN_FAMILY_OCI, QN_ZSTD},
    {OCI_LAYER "+encrypted", QN_MEDIA_ENCRYPTED, QN_FAMILY_OCI, QN_PLAIN},
    {OCI_LAYER "+gzip+encrypted", QN_MEDIA_ENCRYPTED, QN_FAMILY_OCI, QN_GZIP},
    {OCI_LAYER "+zstd+encrypted", QN_MEDIA_ENCRYPTED, QN_FAMILY_OCI, QN_ZSTD},
    {QN_MT_DOCKER_MANIFEST, QN_MEDIA_MANIFEST, QN_FAMILY_DOCKER, QN_PLAIN},
    {QN_MT_DOCKER_INDEX, QN_MEDIA_INDEX, QN_FAMILY_DOCKER, QN_PLAIN},
    {QN_MT_DOCKER_CONFIG, QN_MEDIA_CONFIG, QN_FAMILY_DOCKER, QN_PLAIN},
    {DOCKER_DIFF, QN_MEDIA_LAYER, QN_FAMILY_DOCKER, QN_PLAIN},
    {DOCKER_DIFF ".gzip", QN_MEDIA_LAYER, QN_FAMILY_DOCKER, QN_GZIP},
    {DOCKER_DIFF ".zstd", QN_MEDIA_LAYER, QN_FAMILY_DOCKER, QN_ZSTD},
    {DOCKER_ALIEN, QN_MEDIA_FOREIGN, QN_FAMILY_DOCKER, QN_PLAIN},
    {DOCKER_ALIEN ".gzip", QN_MEDIA_FOREIGN, QN_FAMILY_DOCKER, QN_GZIP},
    {DOCKER_SCHEMA "+json", QN_MEDIA_SCHEMA1, QN_FAMILY_DOCKER, QN_PLAIN},
    {DOCKER_SCHEMA "+prettyjws", QN_MEDIA_SCHEMA1, QN_FAMILY_DOCKER, QN_PLAIN},
};

struct qn_str qn_media_type_essence(struct qn_str value)
{
    ptrdiff_t end = qn_str_chr(value, ';');
    return qn_str_trim(end < 0 ? value : qn_str_head(value, (size_t)end));
}

const struct qn_media_type *qn_media_type_find(struct qn_str name)
{
    struct qn_str essence = qn_media_type_essence(name);

    for (size_t i = 0; i < QN_ARRAY_LEN(table); i++)
        if (qn_str_ieq(essence, qn_str_c(table[i].name)))
            return &table[i];
    return NULL;
}

const char *qn_media_type_name(enum qn_media_kind kind, enum qn_media_family family, enum qn_compression compression)
{
    for (size_t i = 0; i < QN_ARRAY_LEN(table); i++)
        if (table[i].kind == kind && table[i].family == family && table[i].compression == compression)
            return table[i].name;
    return NULL;
}
