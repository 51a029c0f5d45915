#include "image_fixture.h"

#include "base/fd.h"
#include "base/path.h"
#include "common/tree_text.h"
#include "harden/emit.h"
#include "harden/rewrite.h"

#include <stdlib.h>
#include <unistd.h>

void fixture_fini(struct fixture *f)
{
    qn_plan_fini(&f->plan);
    qn_image_fini(&f->image);
    qn_options_fini(&f->opt);
    json_decref(f->policy);
    qn_buf_fini(&f->config);
    for (size_t i = 0; i < FIXTURE_LAYERS; i++) {
        qn_buf_fini(&f->tar[i]);
        qn_buf_fini(&f->facts[i]);
    }
    qn_arena_fini(&f->arena);
}

static int mem_file(struct qn_str content)
{
    struct qn_err e;
    int fd = qn_fd_memfile("test", &e);

    ck_assert_msg(fd >= 0, "%s", e.msg);
    qn_ok(qn_fd_pwrite(fd, content.p, content.n, 0, &e), e);
    return fd;
}

static void read_file(int fd, struct qn_buf *out)
{
    struct qn_err e;

    qn_buf_init(out, 256u << 20);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    qn_ok(qn_fd_read_all(fd, out, &e), e);
}

int fixture_scan(struct qn_str tar, enum qn_compression compression, const struct qn_limits *limits,
                 struct qn_buf *facts, struct qn_scan_result *result, struct qn_err *e)
{
    qn_auto_close int spill = mem_file(QN_STR("")), out = mem_file(QN_STR("")), in = mem_file(tar);
    struct qn_scan_options opt = {
        .compression = compression, .limits = *limits, .spill = spill, .facts = out, .diff_id = true};
    struct qn_scan_result r;

    if (qn_scan_file(&opt, in, &r, e) < 0)
        return -1;
    if (facts)
        read_file(out, facts);
    if (result)
        *result = r;
    return 0;
}

void fixture_layer_tar(struct fixture *f, struct qn_str tar)
{
    struct qn_err e;
    size_t i = f->layers++;

    ck_assert_uint_lt(i, FIXTURE_LAYERS);
    if (f->arena.limit == 0)
        qn_arena_init(&f->arena, 256u << 20);
    qn_buf_init(&f->tar[i], 256u << 20);
    qn_ok(qn_buf_str(&f->tar[i], tar, &e), e);
    qn_ok(fixture_scan(tar, QN_PLAIN, &QN_LIMITS_DEFAULT, &f->facts[i], NULL, &e), e);
    qn_ok(qn_layer_decode(qn_buf_view(&f->facts[i]), &f->arena, &f->layer[i], &e), e);
}

void fixture_layer(struct fixture *f, const char *text)
{
    qn_auto_buf struct qn_buf tar = {.max = 256u << 20};
    struct qn_err e;

    qn_ok(tree_text_tar(qn_str_c(text), &tar, &e), e);
    fixture_layer_tar(f, qn_buf_view(&tar));
}

/* JSON with " for '. */
static char *quotes(const char *text)
{
    char *copy = qn_xstrdup(text);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

void fixture_policy(struct fixture *f, const char *policy)
{
    struct qn_err e;
    qn_auto_free char *text = quotes(*policy ? policy : "{}");

    qn_ok(qn_json_parse(qn_str_c(text), 1u << 20, &f->policy, &e), e);
    qn_ok(qn_options_read(f->policy, &f->opt, &e), e);
}

int fixture_try_image(struct fixture *f, const char *config, struct qn_err *e)
{
    qn_auto_free char *text = quotes(config);

    qn_buf_init(&f->config, 1u << 20);
    qn_ok(qn_buf_printf(
              &f->config, e,
              "{\"created\":\"2024-01-01T00:00:00Z\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{%s},"
              "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
              text),
          *e);
    for (size_t i = 0; i < f->layers; i++) {
        char digest[QN_DIGEST_TEXT];
        qn_ok(qn_buf_printf(&f->config, e, "%s\"%s\"", i ? "," : "", qn_digest_text(&f->layer[i].diff_id, digest)), *e);
    }
    qn_ok(qn_buf_c(&f->config, "]}}", e), *e);
    return qn_image_build(f->layer, f->layers, qn_buf_view(&f->config), &QN_LIMITS_DEFAULT, &f->opt.keep, &f->image, e);
}

void fixture_image(struct fixture *f, const char *config)
{
    struct qn_err e;
    qn_ok(fixture_try_image(f, config, &e), e);
}

void fixture_plan(struct fixture *f)
{
    struct qn_err e;
    qn_ok(qn_plan_make(&f->image, &f->opt, &f->plan, &e), e);
}

void fixture_make(struct fixture *f, const char *layer, const char *config, const char *policy)
{
    fixture_layer(f, layer);
    fixture_policy(f, policy);
    fixture_image(f, config);
    fixture_plan(f);
}

/* --- the result --------------------------------------------------------------------------------------------------- */
static void rewrite(const struct fixture *f, size_t i, struct qn_str pieces, struct qn_buf *out)
{
    qn_auto_close int source = mem_file(qn_buf_view(&f->tar[i])), made = mem_file(QN_STR(""));
    struct qn_rewrite job = {.source = source,
                             .from = QN_PLAIN,
                             .source_size = f->tar[i].n,
                             .tar_size = f->tar[i].n,
                             .file = -1,
                             .pieces = pieces,
                             .to = QN_PLAIN,
                             .out = made,
                             .max_out = 256u << 20};
    struct qn_rewritten r;
    struct qn_err e;

    qn_ok(qn_rewrite(&job, &r, &e), e);
    read_file(made, out);
}

void fixture_after(const struct fixture *f, struct fixture *after, unsigned *touched)
{
    json_t *diff_ids = json_array();
    qn_auto_json json_t *root = json_deep_copy(f->plan.config);
    unsigned bits = 0;
    struct qn_err e;

    for (uint32_t i = 0; i < f->layers; i++) {
        qn_auto_pieces struct qn_pieces pieces = {0};
        qn_auto_buf struct qn_buf tar = {0};
        struct qn_str encoding;
        bool changed;
        uint64_t entries;
        char digest[QN_DIGEST_TEXT];
        qn_pieces_init(&pieces, 256u << 20);
        qn_ok(qn_plan_emit(&f->plan, i, &pieces, &changed, &entries, &e), e);
        qn_ok(qn_pieces_finish(&pieces, &encoding, &e), e);
        rewrite(f, i, encoding, &tar);
        ck_assert_msg(changed == !qn_str_eq(qn_buf_view(&tar), qn_buf_view(&f->tar[i])), "layer %u: touched is %d", i,
                      changed);
        bits |= changed ? 1u << i : 0;
        if (changed && entries == 0)
            continue;
        fixture_layer_tar(after, qn_buf_view(&tar));
        qn_json_push(diff_ids, qn_json_string_c(qn_digest_text(&after->layer[after->layers - 1].diff_id, digest)));
    }
    qn_json_set(json_object_get(root, "rootfs"), "diff_ids", diff_ids);
    qn_buf_init(&after->config, 1u << 20);
    qn_ok(qn_json_print(root, &after->config, &e), e);
    after->policy = json_incref(f->policy);
    qn_ok(qn_options_read(after->policy, &after->opt, &e), e);
    qn_ok(qn_image_build(after->layer, after->layers, qn_buf_view(&after->config), &QN_LIMITS_DEFAULT, &after->opt.keep,
                         &after->image, &e),
          e);
    if (touched)
        *touched = bits;
}

void fixture_verified(const struct fixture *f)
{
    auto_fixture after = {0};
    struct qn_verdict results[QN_CHECK_COUNT];

    fixture_after(f, &after, NULL);
    struct qn_verify v = {.before = &f->image, .after = &after.image, .opt = &f->opt};
    qn_verify_all(&v, results);
    for (int i = 0; i < QN_CHECK_COUNT; i++)
        ck_assert_msg(results[i].ok, "%s: %s", qn_check_name((enum qn_check)i), results[i].detail);
}

struct qn_verdict fixture_check(const struct fixture *before, const struct fixture *after, enum qn_check check)
{
    struct qn_verdict results[QN_CHECK_COUNT];
    struct qn_verify v = {.before = &before->image, .after = &after->image, .opt = &before->opt};

    qn_verify_all(&v, results);
    return results[check];
}

/* --- looking ------------------------------------------------------------------------------------------------------ */
uint32_t fixture_node(const struct fixture *f, const char *path)
{
    uint32_t n = qn_tree_find(&f->image.tree, qn_str_c(path));
    ck_assert_msg(n != QN_NO_NODE, "there is no %s", path);
    return n;
}

bool fixture_has(const struct fixture *f, const char *path)
{
    return qn_tree_find(&f->image.tree, qn_str_c(path)) != QN_NO_NODE;
}

bool fixture_reached(const struct fixture *f, const char *path)
{
    return qn_image_reached(&f->image, fixture_node(f, path));
}

bool fixture_removed(const struct fixture *f, const char *path)
{
    return f->plan.fate[fixture_node(f, path)].removed != 0;
}

uint32_t fixture_mode(const struct fixture *f, const char *path)
{
    return f->plan.fate[fixture_node(f, path)].mode;
}

uint32_t fixture_uid(const struct fixture *f, const char *path)
{
    return f->plan.fate[fixture_node(f, path)].uid;
}

struct qn_str fixture_text(const struct fixture *f, const char *path)
{
    struct qn_str text;
    ck_assert_msg(qn_plan_text(&f->plan, fixture_node(f, path), &text), "%s: no text", path);
    return text;
}

const char *fixture_owner(const struct fixture *f, const char *path)
{
    static char name[256];
    uint32_t p = f->image.tree.node[fixture_node(f, path)].package;

    if (p == QN_NO_PACKAGE)
        return "";
    ck_assert(qn_str_copy(f->image.package[p].name, name, sizeof name));
    return name;
}

const struct qn_change *fixture_change(const struct fixture *f, enum qn_rule rule, const char *path)
{
    for (size_t i = f->plan.changes; i-- > 0;)
        if (f->plan.change[i].rule == rule && qn_str_eq_c(f->plan.change[i].path, path))
            return &f->plan.change[i];
    return NULL;
}

const struct qn_finding *fixture_finding(const struct fixture *f, const char *check, const char *what)
{
    for (size_t i = f->plan.findings; i-- > 0;) {
        const struct qn_finding *n = &f->plan.finding[i];
        if (strcmp(n->check, check) == 0 &&
            (qn_str_find(n->where, qn_str_c(what)) >= 0 || qn_str_find(n->detail, qn_str_c(what)) >= 0))
            return n;
    }
    return NULL;
}

const char *fixture_config(struct fixture *f, const char *member)
{
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    json_t *value = json_object_get(json_object_get(f->plan.config, "config"), member);
    struct qn_str copy;
    struct qn_err e;

    if (!value)
        return "";
    qn_ok(qn_json_print(value, &b, &e), e);
    qn_ok(qn_arena_str(&f->arena, qn_buf_view(&b), &copy, &e), e);
    return copy.p;
}

void fixture_remove(struct fixture *f, enum qn_rule rule, const char *path)
{
    struct qn_err e;

    f->plan.rule = rule;
    f->plan.reporting = false;
    qn_ok(qn_plan_remove_tree(&f->plan, fixture_node(f, path), "test", NULL, &e), e);
}
