#include "unit.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "formats/manifest.h"
#include "formats/tar_write.h"
#include "upstream/layout_io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static struct qn_err e;

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/quench-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
    qn_dir_remove(root);
}

static struct qn_location *at(const char *transport, const char *file, const char *name)
{
    static struct qn_location l[8];
    static int n;
    struct qn_location *out = &l[n++ % 8];
    char text[400];
    snprintf(text, sizeof text, "%s:%s/%s%s%s", transport, root, file, name[0] ? ":" : "", name);
    qn_ok(qn_location_parse(qn_str_c(text), out, &e), e);
    return out;
}

static const char config[] = "{\"architecture\":\"amd64\",\"os\":\"linux\"}";
static const char layer[] = "this stands for a tar";
static char manifest[2000];

static struct qn_item item(const char *bytes, const char *type)
{
    struct qn_item i = {.digest = qn_digest_of(qn_str_c(bytes)), .size = strlen(bytes)};
    snprintf(i.media_type, sizeof i.media_type, "%s", type);
    return i;
}

static void make_manifest(void)
{
    char c[QN_DIGEST_TEXT], l[QN_DIGEST_TEXT];
    struct qn_digest cd = qn_digest_of(qn_str_c(config)), ld = qn_digest_of(qn_str_c(layer));
    snprintf(manifest, sizeof manifest,
             "{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_MANIFEST
             "\",\"config\":{\"mediaType\":\"" QN_MT_OCI_CONFIG
             "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
             "\"digest\":\"%s\",\"size\":%zu}]}",
             qn_digest_text(&cd, c), strlen(config), qn_digest_text(&ld, l), strlen(layer));
}

static int put(struct qn_dest *d, const char *bytes, const char *type)
{
    struct qn_item i = item(bytes, type);
    qn_auto_close int fd = qn_fd_memfile("x", &e);
    qn_ok(qn_fd_write(fd, "??", 2, &e), e);
    qn_ok(qn_fd_write(fd, bytes, strlen(bytes), &e), e);
    return d->ops->put_blob(d->self, &i, fd, 2, &e);
}

static void write_image(struct qn_location *l)
{
    qn_auto_dest struct qn_dest d = {0};
    bool has = true;
    struct qn_item i = item(layer, "x");

    make_manifest();
    qn_ok(qn_layout_dest(l, &d, &e), e);
    qn_ok(d.ops->has_blob(d.self, &i.digest, &has, &e), e);
    qn_ok(put(&d, config, QN_MT_OCI_CONFIG), e);
    qn_ok(put(&d, layer, "application/vnd.oci.image.layer.v1.tar"), e);
    qn_ok(put(&d, layer, "application/vnd.oci.image.layer.v1.tar"), e);
    qn_ok(d.ops->has_blob(d.self, &i.digest, &has, &e), e);
    ck_assert(has);
    i = item(manifest, QN_MT_OCI_MANIFEST);
    qn_ok(d.ops->put_manifest(d.self, &i, qn_str_c(manifest), true, &e), e);
    qn_ok(d.ops->finish(d.self, &e), e);
}

static int to_buf(void *ctx, const void *p, size_t n, struct qn_err *err)
{
    return qn_buf_put(ctx, p, n, err);
}

static void read_image(struct qn_location *l, const char *ref, bool same_manifest)
{
    qn_auto_source struct qn_source s = {0};
    qn_auto_buf struct qn_buf b = {0}, c = {0};
    qn_auto_manifest struct qn_manifest m = {0};
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_item i;
    char type[QN_REMOTE_MEDIA];
    struct qn_sink sink = {to_buf, &c};

    qn_buf_init(&b, 100000);
    qn_buf_init(&c, 100000);
    qn_ok(qn_layout_source(l, 0, &s, &e), e);
    qn_ok(s.ops->resolve(s.self, qn_str_c(ref), &i, &e), e);
    qn_ok(s.ops->manifest(s.self, &i.digest, &b, type, &e), e);
    ck_assert_uint_eq(i.size, b.n);
    if (same_manifest)
        qn_is(qn_buf_view(&b), manifest);
    ck_assert_str_eq(type, i.media_type);
    qn_ok(qn_manifest_parse(qn_buf_view(&b), qn_str_c(type), &limits, &m, &e), e);
    ck_assert_uint_eq(m.layer_count, 1);
    qn_ok(s.ops->blob(s.self, &m.config.digest, m.config.size, &sink, &e), e);
    qn_is(qn_buf_view(&c), config);
    qn_buf_clear(&c);
    qn_ok(s.ops->blob(s.self, &m.layers[0].digest, UINT64_MAX, &sink, &e), e);
    qn_is(qn_buf_view(&c), layer);
    qn_fails(s.ops->blob(s.self, &m.layers[0].digest, 5, &sink, &e), e, QN_E_SIZE_MISMATCH);
    struct qn_digest none = qn_digest_of(QN_STR("none"));
    qn_fails(s.ops->blob(s.self, &none, 5, &sink, &e), e, QN_E_BLOB_UNKNOWN);
    ck_assert_int_lt(s.ops->resolve(s.self, QN_STR("absent"), &i, &e), 0);
}

START_TEST(round_trips)
{
    write_image(at("oci", "dir", "v1"));
    read_image(at("oci", "dir", "v1"), "", true);
    read_image(at("oci", "dir", ""), "v1", true);
    write_image(at("oci", "dir", "v2")); /* beside the first */
    write_image(at("oci", "dir", "v2"));
    read_image(at("oci", "dir", "v1"), "", true);
    read_image(at("oci", "dir", "v2"), "", true);
    qn_auto_source struct qn_source s = {0};
    struct qn_item i;
    qn_ok(qn_layout_source(at("oci", "dir", ""), 0, &s, &e), e);
    qn_fails(s.ops->resolve(s.self, QN_STR(""), &i, &e), e, QN_E_USAGE); /* two of them */
    write_image(at("oci-archive", "a.tar", "v1"));
    read_image(at("oci-archive", "a.tar", "v1"), "", true);
    read_image(at("oci-archive", "a.tar", ""), "", true);
    write_image(at("docker-archive", "d.tar", "nginx"));
    read_image(at("docker-archive", "d.tar", "nginx:latest"), "", false);
    read_image(at("docker-archive", "d.tar", "nginx"), "", false);
    read_image(at("docker-archive", "d.tar", "docker.io/library/nginx"), "", false);
    read_image(at("docker-archive", "d.tar", "@0"), "", false);
    read_image(at("docker-archive", "d.tar", ""), "", false);
    struct qn_source t = {0};
    qn_fails(qn_layout_source(at("docker-archive", "d.tar", "other"), 0, &t, &e), e, QN_E_NOT_FOUND);
    qn_fails(qn_layout_source(at("docker-archive", "d.tar", "@1"), 0, &t, &e), e, QN_E_NOT_FOUND);
}
END_TEST

static void slurp(const char *file, struct qn_buf *b)
{
    qn_auto_free char *path = qn_xasprintf("%s/%s", root, file);
    qn_buf_init(b, 1 << 20);
    qn_ok(qn_file_read(path, b, &e), e);
}

START_TEST(archives_are_deterministic)
{
    qn_auto_buf struct qn_buf a = {0}, b = {0};

    write_image(at("oci-archive", "a.tar", "v1"));
    write_image(at("oci-archive", "b.tar", "v1"));
    slurp("a.tar", &a);
    slurp("b.tar", &b);
    ck_assert_uint_eq(a.n, b.n);
    ck_assert_int_eq(memcmp(a.p, b.p, a.n), 0);
    ck_assert_uint_eq(a.n % 512, 0);
}
END_TEST

START_TEST(unfinished_leaves_nothing)
{
    struct qn_dest d = {0};
    struct qn_item i = item("other bytes", "x");
    char path[128];
    qn_auto_close int fd = qn_fd_memfile("x", &e);

    qn_ok(qn_fd_write(fd, "wrong bytes", 11, &e), e);
    qn_ok(qn_layout_dest(at("oci-archive", "x.tar", ""), &d, &e), e);
    qn_fails(d.ops->put_blob(d.self, &i, fd, 0, &e), e, QN_E_DIGEST_MISMATCH);
    ck_assert_int_lt(d.ops->finish(d.self, &e), 0);
    qn_dest_fini(&d);
    snprintf(path, sizeof path, "%s/x.tar", root);
    ck_assert_int_eq(access(path, F_OK), -1);
    qn_ok(qn_layout_dest(at("oci", "xdir", ""), &d, &e), e);
    qn_fails(d.ops->put_blob(d.self, &i, fd, 0, &e), e, QN_E_DIGEST_MISMATCH);
    qn_fails(d.ops->put_blob(d.self, &i, fd, 5, &e), e, QN_E_MALFORMED); /* the file is shorter */
    qn_fails(d.ops->put_manifest(d.self, &i, QN_STR("{}"), true, &e), e, QN_E_DIGEST_MISMATCH);
    ck_assert_int_lt(d.ops->finish(d.self, &e), 0);
    qn_dest_fini(&d);
    snprintf(path, sizeof path, "%s/xdir/index.json", root);
    ck_assert_int_eq(access(path, F_OK), -1);
    qn_auto_free char *dir = qn_xasprintf("%s/xdir", root);
    snprintf(path, sizeof path, "%s/xdir/blobs/sha256", root);
    ck_assert_int_eq(rmdir(path), 0); /* no temporary files either */
    int before = 0;
    struct stat st;
    ck_assert_int_eq(stat(dir, &st), before);
}
END_TEST

START_TEST(symlinks_lead_nowhere)
{
    qn_auto_source struct qn_source s = {0};
    qn_auto_buf struct qn_buf b = {0};
    struct qn_sink sink = {to_buf, &b};
    struct qn_digest d = qn_digest_of(QN_STR("secret"));
    char path[256], text[QN_DIGEST_TEXT], secret[128];

    qn_buf_init(&b, 1000);
    write_image(at("oci", "dir", "v1"));
    snprintf(secret, sizeof secret, "%s/secret", root);
    FILE *f = fopen(secret, "w");
    fputs("secret", f);
    fclose(f);
    snprintf(path, sizeof path, "%s/dir/blobs/sha256/%s", root, strchr(qn_digest_text(&d, text), ':') + 1);
    ck_assert_int_eq(symlink(secret, path), 0);
    qn_ok(qn_layout_source(at("oci", "dir", "v1"), 0, &s, &e), e);
    ck_assert_int_lt(s.ops->blob(s.self, &d, UINT64_MAX, &sink, &e), 0);
    ck_assert_uint_eq(b.n, 0);
    snprintf(path, sizeof path, "%s/dir/blobs", root);
    snprintf(secret, sizeof secret, "%s/moved", root);
    ck_assert_int_eq(rename(path, secret), 0);
    ck_assert_int_eq(symlink(secret, path), 0);
    struct qn_digest l = qn_digest_of(qn_str_c(layer));
    ck_assert_int_lt(s.ops->blob(s.self, &l, UINT64_MAX, &sink, &e), 0);
}
END_TEST

/* Archives of the test's own making: "name=content" files, "name>target" links. */
static void make_tar(const char *file, const char *const *members)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_free char *path = qn_xasprintf("%s/%s", root, file);

    qn_buf_init(&b, 1 << 20);
    for (; *members; members++) {
        struct qn_str m = qn_str_c(*members);
        ptrdiff_t eq = qn_str_chr(m, '='), gt = qn_str_chr(m, '>');
        bool link = eq < 0;
        struct qn_str rest = qn_str_from(m, (size_t)(link ? gt : eq) + 1);
        struct qn_tar_entry t = {.name = qn_str_head(m, (size_t)(link ? gt : eq)), .mode = 0644};
        t.type = link ? QN_TAR_SYMLINK : QN_TAR_FILE;
        if (link)
            t.link = rest;
        else
            t.size = t.real_size = rest.n;
        qn_ok(qn_tar_write_header(&t, &b, &e), e);
        if (!link) {
            qn_ok(qn_buf_str(&b, rest, &e), e);
            qn_ok(qn_buf_zero(&b, qn_tar_padding(rest.n), &e), e);
        }
    }
    qn_ok(qn_tar_write_end(&b, &e), e);
    qn_auto_close int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    qn_ok(qn_fd_write(fd, b.p, b.n, &e), e);
}

START_TEST(old_docker_archives)
{
    static const char *const members[] = {
        "a.json={\"architecture\":\"amd64\",\"os\":\"linux\"}", "one/layer.tar=this stands for a tar",
        "two/layer.tar>../one/layer.tar",
        "manifest.json=[{\"Config\":\"a.json\",\"RepoTags\":[\"x/y:1\"],\"Layers\":[\"two/layer.tar\"]}]", NULL};
    make_tar("old.tar", members);
    read_image(at("docker-archive", "old.tar", "x/y:1"), "", false);
}
END_TEST

START_TEST(hostile_archives)
{
    struct qn_source s = {0};
    static const struct {
        const char *members[5];
        enum qn_code code;
    } t[] = {
        {{"../evil=x", NULL}, QN_E_MALFORMED},
        {{"a=x", "./a=y", NULL}, QN_E_MALFORMED},
        {{"a=x", NULL}, QN_E_MALFORMED}, /* no manifest.json */
        {{"manifest.json={}", NULL}, QN_E_MALFORMED},
        {{"manifest.json=[]", NULL}, QN_E_NOT_FOUND},
        {{"manifest.json=[{\"Config\":\"/etc/passwd\",\"Layers\":[]}]", NULL}, QN_E_MALFORMED},
        {{"manifest.json=[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]", NULL}, QN_E_MALFORMED},
        {{"c>/etc/passwd", "manifest.json=[{\"Config\":\"c\",\"Layers\":[]}]", NULL}, QN_E_MALFORMED},
        {{"c>d", "d>c", "manifest.json=[{\"Config\":\"c\",\"Layers\":[]}]", NULL}, QN_E_MALFORMED},
        {{"c={}", "manifest.json=[{\"Config\":\"c\",\"Layers\":[\"none\"]}]", NULL}, QN_E_MALFORMED},
        {{"c={}", "manifest.json=[{\"Config\":\"c\",\"Layers\":[7]}]", NULL}, QN_E_MALFORMED},
        {{"c={}", "manifest.json=[{\"Config\":\"c\",\"Layers\":[]},{\"Config\":\"c\",\"Layers\":[]}]", NULL},
         QN_E_USAGE},
        {{"\x1f\x8b=x", NULL}, QN_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < QN_ARRAY_LEN(t); i++) {
        make_tar("h.tar", t[i].members);
        int r = qn_layout_source(at("docker-archive", "h.tar", ""), 0, &s, &e);
        ck_assert_msg(r < 0 && e.code == t[i].code, "%zu: %s", i, r < 0 ? e.msg : "accepted");
    }
    static const char *const no_layout[] = {"index.json={\"manifests\":[]}", NULL};
    make_tar("h.tar", no_layout);
    qn_fails(qn_layout_source(at("oci-archive", "h.tar", ""), 0, &s, &e), e, QN_E_NOT_FOUND);
    qn_fails(qn_layout_source(at("oci-archive", "absent.tar", ""), 0, &s, &e), e, QN_E_IO);
    qn_fails(qn_layout_source(at("oci", "absent", ""), 0, &s, &e), e, QN_E_IO);
    ck_assert_ptr_nonnull(strstr(e.msg, "oci:"));
}
END_TEST

START_TEST(docker_archives_hold_one_platform)
{
    qn_auto_dest struct qn_dest d = {0};
    static const char index[] = "{\"schemaVersion\":2,\"mediaType\":\"" QN_MT_OCI_INDEX "\",\"manifests\":[]}";
    struct qn_item i = item(index, QN_MT_OCI_INDEX);

    qn_ok(qn_layout_dest(at("docker-archive", "i.tar", "x"), &d, &e), e);
    qn_fails(d.ops->put_manifest(d.self, &i, qn_str_c(index), true, &e), e, QN_E_UNSUPPORTED);
}
END_TEST

Suite *suite_layout(void);
Suite *suite_layout(void)
{
    Suite *s = suite_create("layout");
    TCase *c = tcase_create("layout");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, round_trips);
    tcase_add_test(c, archives_are_deterministic);
    tcase_add_test(c, unfinished_leaves_nothing);
    tcase_add_test(c, symlinks_lead_nowhere);
    tcase_add_test(c, old_docker_archives);
    tcase_add_test(c, hostile_archives);
    tcase_add_test(c, docker_archives_hold_one_platform);
    suite_add_tcase(s, c);
    return s;
}
