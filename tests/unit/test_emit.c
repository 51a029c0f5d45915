/* New layers from plans: what is copied, what is written anew, and that the result is what was planned. */
#include "image_fixture.h"

#include "common/tree_text.h"
#include "harden/emit.h"

#include <stdlib.h>

/* Builds and plans with nothing on; changes are then made by hand. */
static void prepare(struct fixture *f, const char *lower, const char *upper)
{
    fixture_layer(f, lower);
    if (upper)
        fixture_layer(f, upper);
    fixture_policy(f, ALL_OFF);
    fixture_image(f, "");
    fixture_plan(f);
    f->plan.rule = QN_RULE_caches;
}

/* The result's layer as text: "PATH[kind]" with what a test looks at. */
static const char *entries(struct fixture *f, size_t layer)
{
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_str copy;
    struct qn_err e;
    const struct qn_layer_index *ix = &f->layer[layer];

    for (uint32_t seq = 0; seq < ix->count; seq++)
        for (size_t i = 0; i < ix->count; i++) {
            const struct qn_entry *n = &ix->entry[i];
            if (n->seq != seq)
                continue;
            static const char kinds[] = "?fhlcbdpwo";
            qn_ok(qn_buf_printf(&b, &e, "%s%.*s %c%s%.*s", b.n ? ", " : "", QN_FMT(n->path), kinds[n->type],
                                n->link.n ? " " : "", QN_FMT(n->link)),
                  e);
        }
    qn_ok(qn_arena_str(&f->arena, qn_buf_view(&b), &copy, &e), e);
    return copy.p ? copy.p : "";
}

static const struct qn_entry *entry(const struct fixture *f, size_t layer, const char *path)
{
    for (size_t i = 0; i < f->layer[layer].count; i++)
        if (qn_str_eq_c(f->layer[layer].entry[i].path, path))
            return &f->layer[layer].entry[i];
    ck_abort_msg("layer %zu has no %s", layer, path);
}

/* The bytes of a file in the new archive. */
static struct qn_str content(const struct fixture *f, size_t layer, const char *path)
{
    const struct qn_entry *n = entry(f, layer, path);
    ck_assert_msg(n->type == QN_FILE && !n->sparse, "%s is no plain file", path);
    return qn_str_n(f->tar[layer].p + n->data, (size_t)n->size);
}

START_TEST(nothing_to_do)
{
    auto_fixture f = {0}, after = {0};
    unsigned touched;

    prepare(&f, "a text=1\nb => a\nd/ 0700\ns sparse=5000 text=x\n", "a/.wh.x\nc char 1:3\n");
    fixture_after(&f, &after, &touched);
    ck_assert_uint_eq(touched, 0);
    /* Verbatim, the end of the archive included. */
    ck_assert(qn_str_eq(qn_buf_view(&after.tar[0]), qn_buf_view(&f.tar[0])));
}
END_TEST

START_TEST(only_layers_that_change)
{
    auto_fixture f = {0}, after = {0};
    unsigned touched;

    prepare(&f, "a text=1\nb text=2\n", "c text=3\n");
    fixture_remove(&f, QN_RULE_caches, "a");
    fixture_after(&f, &after, &touched);
    ck_assert_uint_eq(touched, 1);
    ck_assert_str_eq(entries(&after, 0), "b f");
    ck_assert(qn_str_eq(qn_buf_view(&after.tar[1]), qn_buf_view(&f.tar[1])));
}
END_TEST

START_TEST(a_layer_of_nothing)
{
    auto_fixture f = {0}, after = {0};

    prepare(&f, "a text=1\n", "b text=2\n");
    fixture_remove(&f, QN_RULE_caches, "b");
    fixture_after(&f, &after, NULL);
    ck_assert_uint_eq(after.layers, 1);
}
END_TEST

START_TEST(modes_and_owners)
{
    auto_fixture f = {0}, after = {0};
    struct qn_err e;

    prepare(&f, "a 4755 uid=7 gid=8 mtime=1700000000 text=abc\nd/ 0777\nd/x text=1\n", NULL);
    qn_ok(qn_plan_chmod(&f.plan, fixture_node(&f, "a"), 0755, "test", &e), e);
    qn_ok(qn_plan_chown(&f.plan, fixture_node(&f, "d"), 3000000, "test", &e), e);
    fixture_after(&f, &after, NULL);
    const struct qn_entry *a = entry(&after, 0, "a"), *d = entry(&after, 0, "d");
    ck_assert(a->mode == 0755 && a->uid == 7 && a->gid == 8 && a->mtime == 1700000000);
    qn_is(content(&after, 0, "a"), "abc");
    ck_assert(d->uid == 3000000 && d->mode == 0777 && d->type == QN_DIR);
    ck_assert_str_eq(entries(&after, 0), "a f, d d, d/x f");
}
END_TEST

START_TEST(edits)
{
    auto_fixture f = {0}, after = {0};
    struct qn_err e;

    prepare(&f, "etc/passwd 0640 gid=5 text=old\netc/b text=1\n", "etc/b text=22\n");
    qn_ok(qn_plan_edit(&f.plan, fixture_node(&f, "etc/passwd"), QN_STR("new content"), "test", &e), e);
    qn_ok(qn_plan_edit(&f.plan, fixture_node(&f, "etc/b"), QN_STR(""), "test", &e), e);
    fixture_after(&f, &after, NULL);
    qn_is(content(&after, 0, "etc/passwd"), "new content");
    ck_assert(entry(&after, 0, "etc/passwd")->mode == 0640 && entry(&after, 0, "etc/passwd")->gid == 5);
    qn_is(content(&after, 0, "etc/b"), "1");
    qn_is(content(&after, 1, "etc/b"), "");
}
END_TEST

START_TEST(hard_links)
{
    auto_fixture f = {0}, after = {0};

    /* The name that holds the data goes: the first name that stays takes it, the others lead there. */
    prepare(&f, "a 0755 text=data\nb 0711 => a\nc => b\nd => a\nz text=1\n", NULL);
    fixture_remove(&f, QN_RULE_caches, "a");
    fixture_after(&f, &after, NULL);
    ck_assert_str_eq(entries(&after, 0), "b f, c h b, d h b, z f");
    qn_is(content(&after, 0, "b"), "data");
    ck_assert_uint_eq(entry(&after, 0, "b")->mode, 0711);
    auto_fixture g = {0}, after_g = {0};
    prepare(&g, "a 0755 text=data\nb => a\nc => b\nz text=1\n", NULL);
    fixture_remove(&g, QN_RULE_caches, "a");
    fixture_remove(&g, QN_RULE_caches, "b");
    fixture_after(&g, &after_g, NULL);
    ck_assert_str_eq(entries(&after_g, 0), "c f, z f");
    qn_is(content(&after_g, 0, "c"), "data");
    /* A link that leads to a link that goes leads to the data. */
    auto_fixture h = {0}, after_h = {0};
    prepare(&h, "a 0755 text=data\nb => a\nc => b\n", NULL);
    fixture_remove(&h, QN_RULE_caches, "b");
    fixture_after(&h, &after_h, NULL);
    ck_assert_str_eq(entries(&after_h, 0), "a f, c h a");
    auto_fixture i = {0}, after_i = {0};
    prepare(&i, "a 0755 text=data\nb => a\n", NULL);
    fixture_remove(&i, QN_RULE_caches, "a");
    fixture_remove(&i, QN_RULE_caches, "b");
    fixture_after(&i, &after_i, NULL);
    ck_assert_uint_eq(after_i.layers, 0);
}
END_TEST

START_TEST(edited_hard_links)
{
    auto_fixture f = {0}, after = {0};
    struct qn_err e;

    prepare(&f, "etc/a text=data\netc/b => etc/a\netc/c => etc/b\n", NULL);
    qn_ok(qn_plan_edit(&f.plan, fixture_node(&f, "etc/a"), QN_STR("new"), "test", &e), e);
    fixture_after(&f, &after, NULL);
    qn_is(content(&after, 0, "etc/a"), "new");
    qn_is(content(&after, 0, "etc/b"), "data");
    qn_is(entry(&after, 0, "etc/c")->link, "etc/b");
    auto_fixture g = {0}, after_g = {0};
    prepare(&g, "etc/a text=data\netc/b => etc/a\netc/c => etc/b\n", NULL);
    qn_ok(qn_plan_edit(&g.plan, fixture_node(&g, "etc/b"), QN_STR("new"), "test", &e), e);
    fixture_after(&g, &after_g, NULL);
    qn_is(content(&after_g, 0, "etc/a"), "data");
    qn_is(content(&after_g, 0, "etc/b"), "new");
    qn_is(entry(&after_g, 0, "etc/c")->link, "etc/a");
}
END_TEST

START_TEST(capabilities)
{
    auto_fixture f = {0}, after = {0};
    struct qn_err e;

    prepare(&f, "a caps elf\nb => a\n", NULL);
    qn_ok(qn_plan_uncap(&f.plan, fixture_node(&f, "a"), "test", &e), e);
    fixture_after(&f, &after, NULL);
    ck_assert(!entry(&after, 0, "a")->caps);
    ck_assert_int_eq(entry(&after, 0, "a")->content, QN_ELF);
    /* A name that takes the data over loses them as well, or keeps them as well. */
    for (int uncap = 0; uncap < 2; uncap++) {
        auto_fixture g = {0}, after_g = {0};
        prepare(&g, "a caps text=data\nb => a\n", NULL);
        fixture_remove(&g, QN_RULE_caches, "a");
        if (uncap)
            qn_ok(qn_plan_uncap(&g.plan, fixture_node(&g, "b"), "test", &e), e);
        fixture_after(&g, &after_g, NULL);
        ck_assert_int_eq(entry(&after_g, 0, "b")->type, QN_FILE);
        ck_assert(entry(&after_g, 0, "b")->caps == !uncap);
    }
}
END_TEST

START_TEST(sparse_files)
{
    auto_fixture f = {0}, after = {0};
    struct qn_err e;
    char want[5000] = {0};

    memcpy(want + 512, "data", 4);
    prepare(&f, "a 4755 sparse=5000 text=data\nb => a\nz text=1\n", NULL);
    qn_ok(qn_plan_chmod(&f.plan, fixture_node(&f, "a"), 0755, "test", &e), e);
    fixture_after(&f, &after, NULL);
    /* Written anew, it is a plain file of the same content. */
    ck_assert(qn_str_eq(content(&after, 0, "a"), qn_str_n(want, sizeof want)));
    ck_assert_uint_eq(entry(&after, 0, "a")->mode, 0755);
    auto_fixture g = {0}, after_g = {0};
    prepare(&g, "a 4755 sparse=5000 text=data\nb => a\nz text=1\n", NULL);
    fixture_remove(&g, QN_RULE_caches, "a");
    fixture_after(&g, &after_g, NULL);
    ck_assert(qn_str_eq(content(&after_g, 0, "b"), qn_str_n(want, sizeof want)));
    ck_assert_str_eq(entries(&after_g, 0), "b f, z f");
}
END_TEST

START_TEST(hidden_entries)
{
    auto_fixture f = {0}, after = {0};

    /* What a removed path was in lower layers goes too, and so does what its directory hid. */
    prepare(&f, "d/\nd/x text=lower\nd/secret text=s\nother text=1\n", "d/x text=upper\nd/.wh.secret text=\n");
    fixture_remove(&f, QN_RULE_caches, "d");
    fixture_after(&f, &after, NULL);
    ck_assert_uint_eq(after.layers, 1);
    ck_assert_str_eq(entries(&after, 0), "other f");
    ck_assert(!fixture_has(&after, "d"));
    /* A file over a directory: with the file, what it hid would come back. */
    auto_fixture g = {0}, after_g = {0};
    prepare(&g, "d/\nd/x text=lower\nother text=1\n", "d text=file\n");
    fixture_remove(&g, QN_RULE_caches, "d");
    fixture_after(&g, &after_g, NULL);
    ck_assert_str_eq(entries(&after_g, 0), "other f");
    /* What stays keeps its marks. */
    auto_fixture h = {0}, after_h = {0};
    prepare(&h, "d/\nd/x text=lower\nd/y text=1\n", "d/\nd/.wh.x text=\nz text=1\n");
    fixture_remove(&h, QN_RULE_caches, "z");
    fixture_after(&h, &after_h, NULL);
    ck_assert_str_eq(entries(&after_h, 1), "d d, d/x w");
    auto_fixture i = {0}, after_i = {0};
    prepare(&i, "d/\nd/x text=lower\ne/x text=1\n", "d/\nd/.wh..wh..opq text=\nd/new text=1\n");
    fixture_remove(&i, QN_RULE_caches, "d");
    fixture_after(&i, &after_i, NULL);
    ck_assert_uint_eq(after_i.layers, 1);
    ck_assert_str_eq(entries(&after_i, 0), "e d, e/x f");
}
END_TEST

START_TEST(hidden_setuid)
{
    auto_fixture f = {0}, after = {0};

    fixture_layer(&f, "a 4755 elf\nb 4755 => a\nc 4755 elf\n");
    fixture_layer(&f, ".wh.c text=\n");
    fixture_policy(&f, "{'rules':{'user':'off'}}");
    fixture_image(&f, "");
    fixture_plan(&f);
    fixture_after(&f, &after, NULL);
    ck_assert_uint_eq(entry(&after, 0, "c")->mode, 0755);
    ck_assert_uint_eq(entry(&after, 0, "a")->mode, 0755);
    ck_assert_uint_eq(entry(&after, 0, "b")->mode, 0755);
}
END_TEST

START_TEST(device_whiteouts)
{
    auto_fixture f = {0}, after = {0}, g = {0};
    unsigned touched;

    fixture_layer(&f, "d/x text=1\nd/y text=1\n");
    fixture_layer(&f, "d/x char 0:0\nd/y => d/x\n");
    fixture_policy(&f, "{'rules':{'user':'off'}}");
    fixture_image(&f, "");
    fixture_plan(&f);
    fixture_after(&f, &after, &touched);
    ck_assert_uint_eq(touched, 2);
    ck_assert_str_eq(entries(&after, 1), "d d, d/x w, d/y w");
    ck_assert(fixture_finding(&f, "NIST-CM-7", "d/x") != NULL);
    fixture_verified(&f);
    prepare(&g, "d/x text=1\n", "d/x char 0:0\n");
    auto_fixture after_g = {0};
    fixture_after(&g, &after_g, &touched);
    ck_assert_uint_eq(touched, 0);
}
END_TEST

START_TEST(additions)
{
    auto_fixture f = {0}, after = {0};
    struct qn_err e;

    prepare(&f, "home/ 0750 uid=9 gid=8 mtime=1600000000\netc/x text=1\nlnk -> var/real\nvar/real/\ngone -> nowhere\n",
            "z text=1\n");
    const struct qn_addition add[] = {
        {.path = QN_STR("home/nonroot"), .type = QN_DIR, .mode = 0700, .uid = 5, .gid = 6},
        {.path = QN_STR("new/deep/file"), .type = QN_FILE, .mode = 0644, .content = QN_STR("hello")},
        {.path = QN_STR("new/deep/other"), .type = QN_FILE, .mode = 0600, .content = QN_STR("")},
        {.path = QN_STR("lnk/in"), .type = QN_FILE, .mode = 0644, .content = QN_STR("x")},
        {.path = QN_STR("etc/x/below/a/file"), .type = QN_FILE, .mode = 0644, .content = QN_STR("no")},
        {.path = QN_STR("gone/below/nothing"), .type = QN_FILE, .mode = 0644, .content = QN_STR("no")},
        {.path = QN_STR("etc/x"), .type = QN_FILE, .mode = 0644, .content = QN_STR("not this one")}};
    for (size_t i = 0; i < QN_ARRAY_LEN(add); i++)
        qn_ok(qn_plan_add(&f.plan, &add[i], "test", &e), e);
    unsigned touched;
    fixture_after(&f, &after, &touched);
    ck_assert_uint_eq(touched, 2);
    /* Every directory above stands in the layer, as it is below. */
    ck_assert_str_eq(entries(&after, 1),
                     "z f, home d, home/nonroot d, new d, new/deep d, new/deep/file f, new/deep/other f, var d, "
                     "var/real d, var/real/in f");
    const struct qn_entry *home = entry(&after, 1, "home");
    ck_assert(home->mode == 0750 && home->uid == 9 && home->gid == 8 && home->mtime == 1600000000);
    qn_is(content(&after, 1, "new/deep/file"), "hello");
    ck_assert_int_eq(after.image.tree.node[fixture_node(&after, "lnk")].type, QN_SYMLINK);
}
END_TEST

START_TEST(odd_archives)
{
    auto_fixture f = {0}, after = {0};
    qn_auto_buf struct qn_buf tar = {.max = 1u << 20};
    struct qn_err e;

    /* No end marker at all: a changed archive gets one. */
    qn_ok(tree_text_tar(QN_STR("a text=1\nb text=2\n"), &tar, &e), e);
    fixture_layer_tar(&f, qn_str_n(tar.p, tar.n - 1024));
    fixture_policy(&f, ALL_OFF);
    fixture_image(&f, "");
    fixture_plan(&f);
    fixture_remove(&f, QN_RULE_caches, "a");
    fixture_after(&f, &after, NULL);
    ck_assert_uint_eq(after.layer[0].size, after.layer[0].tail + 1024);
    ck_assert_str_eq(entries(&after, 0), "b f");
    /* Two entries of one name. */
    auto_fixture g = {0}, after_g = {0};
    prepare(&g, "a 4755 text=1\na 0755 text=22\nb text=1\n", NULL);
    fixture_remove(&g, QN_RULE_caches, "a");
    fixture_after(&g, &after_g, NULL);
    ck_assert_str_eq(entries(&after_g, 0), "b f");
}
END_TEST

START_TEST(long_and_odd_names)
{
    auto_fixture f = {0}, after = {0};
    qn_auto_buf struct qn_buf b = {.max = 1u << 20}, path = {.max = 1u << 20};
    struct qn_err e;

    while (path.n < 300)
        qn_ok(qn_buf_c(&path, path.n ? "/0123456789abcdef" : "0123456789abcdef", &e), e);
    qn_ok(qn_buf_printf(&b, &e, "%s 4755 text=1\nb%%FFc%%0Ad 4755 text=2\nl 0755 => %s\n", path.p, path.p), e);
    prepare(&f, b.p, NULL);
    qn_ok(qn_plan_chmod(&f.plan, fixture_node(&f, path.p), 0755, "test", &e), e);
    qn_ok(qn_plan_chmod(&f.plan,
                        fixture_node(&f, "b\xff"
                                         "c\nd"),
                        0755, "test", &e),
          e);
    fixture_after(&f, &after, NULL);
    ck_assert_uint_eq(entry(&after, 0, path.p)->mode, 0755);
    ck_assert_uint_eq(entry(&after, 0,
                            "b\xff"
                            "c\nd")
                          ->mode,
                      0755);
    ck_assert_ptr_nonnull(after.image.tree.node[fixture_node(&after, "l")].data);
}
END_TEST

/* The same plan gives the same bytes. */
START_TEST(deterministic)
{
    qn_auto_buf struct qn_buf first = {.max = 1u << 20};
    struct qn_err e;

    for (int i = 0; i < 3; i++) {
        auto_fixture f = {0}, after = {0};
        fixture_make(&f,
                     "usr/bin/a 4755 elf\nusr/share/man/x text=1\nusr/share/doc/x/y text=1\napp/run "
                     "text=#!/bin/sh\\n\nbin/sh elf\n"
                     "etc/passwd text=root::0:0::/:/bin/sh\\n\napp/data/x text=1\n",
                     "'Entrypoint':['/app/run'],'WorkingDir':'/app'", "");
        fixture_after(&f, &after, NULL);
        if (i == 0)
            qn_ok(qn_buf_put(&first, after.tar[0].p, after.tar[0].n, &e), e);
        ck_assert(qn_str_eq(qn_buf_view(&first), qn_buf_view(&after.tar[0])));
    }
}
END_TEST

Suite *suite_emit(void)
{
    const TTest *const tests[] = {
        nothing_to_do, only_layers_that_change, a_layer_of_nothing, modes_and_owners, edits,
        hard_links,    edited_hard_links,       capabilities,       sparse_files,     hidden_entries,
        hidden_setuid, device_whiteouts,        additions,          odd_archives,     long_and_odd_names,
        deterministic};
    return qn_suite("emit", tests, QN_ARRAY_LEN(tests));
}
