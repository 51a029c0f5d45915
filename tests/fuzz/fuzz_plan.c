/* Small images as text through everything that hardening is: scan, plan, emit, rewrite, scan again, verify. Nothing of
 * it fails, every check is content, and doing it again changes nothing. The first byte chooses the policy; layers are
 * separated by a line "%"; "!cmd WORDS", "!user NAME", "!work DIR", "!env NAME=VALUE" make the configuration. */
#include "base/fd.h"
#include "common/tree_text.h"
#include "harden/emit.h"
#include "harden/report.h"
#include "harden/rewrite.h"
#include "harden/verify.h"
#include "image/scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LAYERS 3

struct side {
    struct qn_arena arena;
    struct qn_buf tar[LAYERS], facts[LAYERS];
    struct qn_layer_index layer[LAYERS];
    size_t layers;
    struct qn_image image;
};

static void side_fini(struct side *s)
{
    qn_image_fini(&s->image);
    for (size_t i = 0; i < LAYERS; i++) {
        qn_buf_fini(&s->tar[i]);
        qn_buf_fini(&s->facts[i]);
    }
    qn_arena_fini(&s->arena);
}

static void broken(const char *what, const struct qn_err *e)
{
    fprintf(stderr, "%s: %s\n", what, e->msg);
    abort();
}

static int mem_file(struct qn_str content)
{
    struct qn_err e;
    int fd = qn_fd_memfile("fuzz", &e);

    if (fd < 0 || qn_fd_pwrite(fd, content.p, content.n, 0, &e) < 0)
        abort();
    return fd;
}

static void read_file(int fd, struct qn_buf *out)
{
    struct qn_err e;

    qn_buf_init(out, 64u << 20);
    if (lseek(fd, 0, SEEK_SET) != 0 || qn_fd_read_all(fd, out, &e) < 0)
        abort();
}

/* Scans s->tar[s->layers] as the next layer; false when it is refused. */
static bool add_layer(struct side *s, struct qn_err *e)
{
    size_t i = s->layers;
    qn_auto_close int spill = mem_file(QN_STR("")), facts = mem_file(QN_STR("")),
                      in = mem_file(qn_buf_view(&s->tar[i]));
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_scan_result r;

    limits.image_size = 16u << 20;
    limits.layer_entries = 2000;
    const struct qn_scan_options opt = {.limits = limits, .spill = spill, .facts = facts, .diff_id = true};
    if (qn_scan_file(&opt, in, &r, e) < 0)
        return false;
    read_file(facts, &s->facts[i]);
    if (qn_layer_decode(qn_buf_view(&s->facts[i]), &s->arena, &s->layer[i], e) < 0)
        broken("facts", e);
    s->layers++;
    return true;
}

/* The directives of the text as config.config. */
static json_t *configuration(struct qn_str text)
{
    json_t *config = json_object(), *env = json_array();
    struct qn_str line, key, word;

    while (qn_str_next(&text, '\n', &line)) {
        if (!qn_str_starts(line, QN_STR("!")) || !qn_str_word(&line, &key))
            continue;
        if (qn_str_eq(key, QN_STR("!cmd"))) {
            json_t *words = json_array();
            while (qn_str_word(&line, &word))
                qn_json_push(words, qn_json_string(word));
            qn_json_set(config, "Cmd", words);
        } else if (qn_str_word(&line, &word)) {
            if (qn_str_eq(key, QN_STR("!user")))
                qn_json_set_str(config, "User", word);
            else if (qn_str_eq(key, QN_STR("!work")))
                qn_json_set_str(config, "WorkingDir", word);
            else if (qn_str_eq(key, QN_STR("!env")))
                qn_json_push(env, qn_json_string(word));
        }
    }
    qn_json_set(config, "Env", env);
    return config;
}

/* Builds the image of a side's layers; `root` is a whole configuration, whose diff_ids are set. */
static bool build(struct side *s, json_t *root, const struct qn_options *opt, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    json_t *rootfs = json_object(), *ids = json_array();
    char text[QN_DIGEST_TEXT];

    for (size_t i = 0; i < s->layers; i++)
        qn_json_push(ids, qn_json_string_c(qn_digest_text(&s->layer[i].diff_id, text)));
    qn_json_set_c(rootfs, "type", "layers");
    qn_json_set(rootfs, "diff_ids", ids);
    qn_json_set(root, "rootfs", rootfs);
    return qn_json_print(root, &b, e) == 0 &&
           qn_image_build(s->layer, s->layers, qn_buf_view(&b), &limits, &opt->keep, &s->image, e) == 0;
}

static bool read_source(struct qn_str text, struct side *s, const struct qn_options *opt)
{
    qn_auto_json json_t *root = json_object();
    struct qn_err e;

    qn_json_set_c(root, "architecture", "amd64");
    qn_json_set_c(root, "os", "linux");
    qn_json_set(root, "config", configuration(text));
    qn_arena_init(&s->arena, 256u << 20);
    while (s->layers < LAYERS && text.n) {
        ptrdiff_t cut = qn_str_find(text, QN_STR("\n%\n"));
        struct qn_str part = cut < 0 ? text : qn_str_head(text, (size_t)cut + 1);
        qn_buf_init(&s->tar[s->layers], 8u << 20);
        if (tree_text_tar(part, &s->tar[s->layers], &e) < 0 || !add_layer(s, &e))
            return false;
        text = cut < 0 ? QN_STR("") : qn_str_from(text, (size_t)cut + 3);
    }
    return build(s, root, opt, &e);
}

static void rewrite(const struct side *s, size_t i, struct qn_str pieces, struct qn_buf *out)
{
    qn_auto_close int source = mem_file(qn_buf_view(&s->tar[i])), made = mem_file(QN_STR(""));
    const struct qn_rewrite job = {.source = source,
                                   .from = QN_PLAIN,
                                   .source_size = s->tar[i].n,
                                   .tar_size = s->tar[i].n,
                                   .file = -1,
                                   .pieces = pieces,
                                   .to = QN_PLAIN,
                                   .out = made,
                                   .max_out = 64u << 20};
    struct qn_rewritten r;
    struct qn_err e;

    if (qn_rewrite(&job, &r, &e) < 0)
        broken("rewrite", &e);
    read_file(made, out);
}

static void carry_out(const struct side *s, const struct qn_plan *p, struct side *after)
{
    struct qn_err e;

    qn_arena_init(&after->arena, 256u << 20);
    for (uint32_t i = 0; i < s->layers; i++) {
        qn_auto_pieces struct qn_pieces pieces = {0};
        struct qn_str encoding = {"", 0};
        bool touched;
        uint64_t entries;
        qn_pieces_init(&pieces, 64u << 20);
        if (qn_plan_emit(p, i, &pieces, &touched, &entries, &e) < 0 || qn_pieces_finish(&pieces, &encoding, &e) < 0)
            broken("emit", &e);
        if (touched && entries == 0)
            continue;
        rewrite(s, i, encoding, &after->tar[after->layers]);
        if (!add_layer(after, &e))
            broken("scan of the result", &e);
    }
    qn_auto_json json_t *root = json_deep_copy(p->config);
    if (!build(after, root, p->opt, &e))
        broken("image of the result", &e);
}

static void check(const struct side *before, const struct side *after, const struct qn_options *opt)
{
    struct qn_verdict results[QN_CHECK_COUNT];
    const struct qn_verify v = {.before = &before->image, .after = &after->image, .opt = opt};

    if (qn_verify_all(&v, results))
        return;
    for (int i = 0; i < QN_CHECK_COUNT; i++)
        if (!results[i].ok)
            fprintf(stderr, "%s: %s\n", qn_check_name((enum qn_check)i), results[i].detail);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const policies[] = {"{}",
                                           "{\"profile\":\"strict\"}",
                                           "{\"profile\":\"safe\"}",
                                           "{\"use\":\"build\"}",
                                           "{\"user\":\"7:8\",\"low_ports\":\"free\"}",
                                           "{\"remove\":{\"paths\":[\"opt/**\",\"usr/lib/*\"],\"packages\":[\"p*\"]}}",
                                           "{\"keep\":{\"paths\":[\"usr/**\"],\"commands\":[\"x\"]}}"};
    qn_auto_options struct qn_options opt = {0};
    qn_auto_plan struct qn_plan plan = {0};
    QN_CLEANUP(side_fini) struct side before = {.layers = 0}, after = {.layers = 0};
    struct qn_err e;

    if (size < 1 || size > 4096)
        return 0;
    qn_auto_json json_t *policy = json_loads(policies[data[0] % QN_ARRAY_LEN(policies)], 0, NULL);
    if (qn_options_read(policy, &opt, &e) < 0)
        abort();
    if (!read_source(qn_str_n(data + 1, size - 1), &before, &opt))
        return 0;
    if (qn_plan_make(&before.image, &opt, &plan, &e) < 0)
        return 0; /* account files that do not parse and the like */
    carry_out(&before, &plan, &after);
    qn_auto_json json_t *report = qn_report_plan(&plan, &e);
    if (!report)
        broken("report", &e);
    check(&before, &after, &opt);
    return 0;
}
