#include "image_fixture.h"

#include "base/path.h"

#include <stdio.h>

/* The merged view as text: "PATH TYPE[/MODE]" a line, in order; "*" behind directories that no layer lists. */
static const char *view(struct fixture *f)
{
    static const char kinds[] = {
        [QN_FILE] = 'f', [QN_SYMLINK] = 'l', [QN_CHAR] = 'c', [QN_BLOCK] = 'b', [QN_DIR] = 'd', [QN_FIFO] = 'p'};
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_err e;
    struct qn_str copy;

    for (size_t i = 1; i < f->image.tree.count; i++) {
        const struct qn_node *n = &f->image.tree.node[i];
        qn_ok(qn_buf_printf(&b, &e, "%s%.*s %c%s", i > 1 ? " " : "", QN_FMT(n->path), kinds[n->type],
                            n->entry ? "" : "*"),
              e);
    }
    qn_ok(qn_arena_str(&f->arena, qn_buf_view(&b), &copy, &e), e);
    return copy.p;
}

static void merged(const char *lower, const char *upper, const char *want)
{
    auto_fixture f = {0};
    char text[4096];

    snprintf(text, sizeof text, "!bare\n%s", lower);
    fixture_layer(&f, text);
    snprintf(text, sizeof text, "!bare\n%s", upper);
    fixture_layer(&f, text);
    fixture_image(&f, "");
    ck_assert_msg(strcmp(view(&f), want) == 0, "\"%s\" instead of \"%s\"", view(&f), want);
}

START_TEST(replacing)
{
    merged("a text=1\nb text=2", "a text=33", "a f b f");
    merged("a/\na/x text=1", "a text=2", "a f");
    merged("a text=1", "a/\na/x text=2", "a d a/x f");
    merged("a/ 0755\na/x text=1", "a/ 0700\na/y text=2", "a d a/x f a/y f");
    merged("a -> b\nb/\nb/x text=1", "a text=1", "a f b d b/x f");
    merged("a/\na/b/\na/b/c text=1", "a/b text=2", "a d a/b f");
    merged("a char 1:3", "a block 8:0", "a b");
}
END_TEST

START_TEST(attributes)
{
    auto_fixture f = {0};

    fixture_layer(&f, "tmp/ 1777 uid=5\ntmp/x text=1\netc/ 0700");
    fixture_layer(&f, "!bare\ntmp/y text=1\netc/ 0750 gid=3");
    fixture_image(&f, "");
    const struct qn_node *n = f.image.tree.node;
    /* A layer that does not list the directory leaves it as it was. */
    ck_assert_uint_eq(n[fixture_node(&f, "tmp")].mode, 01777);
    ck_assert_uint_eq(n[fixture_node(&f, "tmp")].uid, 5);
    ck_assert_uint_eq(n[fixture_node(&f, "tmp")].layer, 0);
    ck_assert_uint_eq(n[fixture_node(&f, "etc")].mode, 0750);
    ck_assert_uint_eq(n[fixture_node(&f, "etc")].gid, 3);
    ck_assert_uint_eq(n[fixture_node(&f, "etc")].layer, 1);
}
END_TEST

START_TEST(whiteouts)
{
    merged("a text=1\nb text=2", ".wh.a", "b f");
    merged("d/\nd/a text=1\nd/b text=2", "d/\nd/.wh.a", "d d d/b f");
    merged("d/\nd/e/\nd/e/f text=1\nx text=1", ".wh.d", "x f");
    /* It hides lower layers only, wherever it stands in its own. */
    merged("a text=1", ".wh.a\na text=2", "a f");
    merged("a text=1", "a text=2\n.wh.a", "a f");
    merged("d/\nd/old text=1", ".wh.d\nd/\nd/new text=1", "d d d/new f");
    merged("d/\nd/old text=1", "d/\nd/new text=1\n.wh.d", "d d d/new f");
    merged("a text=1", ".wh.nothing", "a f");
    merged("a text=1", "x/y/.wh.nothing", "a f");
    merged("a text=1", "a/.wh.b", "a f");
    /* Names that only start alike. */
    merged("d/\nd/x text=1\nd-e text=1\nd.f text=1", ".wh.d", "d-e f d.f f");
}
END_TEST

START_TEST(opaque)
{
    merged("d/\nd/a text=1\nd/s/\nd/s/b text=1", "d/\nd/.wh..wh..opq\nd/new text=1", "d d d/new f");
    merged("d/\nd/a text=1", "d/\nd/new text=1\nd/.wh..wh..opq", "d d d/new f");
    merged("d/\nd/a text=1", "d/.wh..wh..opq", "d d");
    merged("d/\nd/a text=1\ne text=1", ".wh..wh..opq", "");
    merged("d/\nd/s/\nd/s/a text=1", "d/\nd/.wh..wh..opq\nd/s/\nd/s/new text=1", "d d d/s d d/s/new f");
    merged("a text=1", "a/.wh..wh..opq", "a f");
    /* Other AUFS names are ordinary. */
    merged("a text=1", ".wh..wh.plnk text=1", ".wh..wh.plnk f a f");
}
END_TEST

START_TEST(below_what_is_no_directory)
{
    merged("lnk -> dir\ndir/\ndir/x text=1", "lnk/w text=1", "dir d dir/x f lnk d* lnk/w f");
    merged("a text=1", "a/b/c text=1", "a d* a/b d* a/b/c f");
}
END_TEST

START_TEST(missing_parents)
{
    merged("a/b/c text=1", "a/d text=1", "a d* a/b d* a/b/c f a/d f");
    /* A mark beside an entry is no reason to think that its directory was listed. */
    merged("a text=1", "a/b/.wh.x\na/b/y text=1", "a d* a/b d* a/b/y f");
    merged("a/\na/b/\na/b/x text=1", "a/b/.wh.x\na/b/y text=1\na/c/.wh.z", "a d a/b d a/b/y f");
    merged("x text=1", "a/b/.wh.x\na/b/.wh.y\na/bb/y text=1", "a d* a/bb d* a/bb/y f x f");
    merged("x text=1", "a/.wh..wh..opq\na/y text=1", "a d* a/y f x f");
    /* A whiteout of the directory and an entry below it in one layer. */
    merged("a/\na/old text=1", ".wh.a\na/new text=1", "a d* a/new f");
}
END_TEST

START_TEST(devices)
{
    /* Character device 0:0 is overlayfs' own whiteout. */
    merged("a text=1\nb text=1", "a char 0:0", "b f");
    merged("d/\nd/x text=1", "d char 0:0", "");
    merged("a text=1\nb text=1\nc text=1", "a char 0:0\nb => a", "c f");
    merged("a text=1", "a char 0:1", "a c");
    merged("a text=1", "a block 0:0", "a b");
}
END_TEST

START_TEST(duplicates)
{
    merged("x text=1", "a text=1\na text=22", "a f x f");
    merged("x text=1", "a text=1\na/\na/b text=2", "a d a/b f x f");
    auto_fixture f = {0};
    fixture_layer(&f, "a 0600 text=1\na 0640 text=22\na 0644 text=333");
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.tree.node[fixture_node(&f, "a")].data->size, 3);
}
END_TEST

START_TEST(hard_links)
{
    auto_fixture f = {0};

    fixture_layer(&f, "a 0755 text=one\nb => a\nc => b");
    fixture_layer(&f, ".wh.a");
    fixture_image(&f, "");
    const struct qn_node *n = f.image.tree.node;
    ck_assert(!fixture_has(&f, "a"));
    /* The other names keep the data that stands under the hidden one. */
    ck_assert_uint_eq(n[fixture_node(&f, "b")].data->size, 3);
    ck_assert_uint_eq(n[fixture_node(&f, "c")].data->size, 3);
    ck_assert_int_eq(n[fixture_node(&f, "c")].type, QN_FILE);
}
END_TEST

/* docker and containerd refuse a hard link to nothing, to a lower layer, to what comes behind it, to itself, to a
 * directory; so is the image. */
START_TEST(hard_link_to_nothing)
{
    static const char *const layers[] = {"d => nothing", "e => below",     "b => a\na text=1",
                                         "c => c",       "d => e\ne => d", "d/\ne => d"};

    for (size_t i = 0; i < QN_ARRAY_LEN(layers); i++) {
        auto_fixture f = {0};
        struct qn_err e;
        fixture_layer(&f, "below text=1");
        fixture_layer(&f, layers[i]);
        fixture_policy(&f, "");
        fixture_image(&f, "");
        ck_assert_int_eq(qn_plan_make(&f.image, &f.opt, &f.plan, &e), -1);
        ck_assert_int_eq(e.code, QN_E_MALFORMED);
        ck_assert_msg(strstr(e.msg, "layer 1: hard link") != NULL, "%s", e.msg);
    }
}
END_TEST

START_TEST(hard_link_takes_the_last_of_its_name)
{
    auto_fixture f = {0};

    fixture_layer(&f, "a text=1\na text=22\nb => a\na text=333");
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.tree.node[fixture_node(&f, "b")].data->size, 2);
}
END_TEST

static void resolves(const struct fixture *f, const char *path, bool follow, const char *want)
{
    uint32_t n = qn_tree_resolve(&f->image.tree, qn_str_c(path), follow);

    if (!want) {
        ck_assert_msg(n == QN_NO_NODE, "%s is there", path);
        return;
    }
    ck_assert_msg(n != QN_NO_NODE, "%s is not there", path);
    ck_assert_msg(qn_str_eq_c(f->image.tree.node[n].path, want), "%s is %.*s instead of %s", path,
                  QN_FMT(f->image.tree.node[n].path), want);
}

START_TEST(lookups)
{
    auto_fixture f = {0};

    fixture_layer(
        &f, "usr/bin/dash elf\nbin -> usr/bin\nusr/bin/sh -> dash\nabs -> /usr/bin/sh\nup -> ../../usr/bin/sh\n"
            "usr/lib/deep/l -> ../../bin/sh\nloop1 -> loop2\nloop2 -> loop1\nself -> self\ndangling -> /no/where\n"
            "chain -> bin\nempty text=\ndir%20x/f text=1\nthrough -> bin/sh");
    fixture_image(&f, "");
    resolves(&f, "/bin/sh", true, "usr/bin/dash");
    resolves(&f, "bin/sh", false, "usr/bin/sh");
    resolves(&f, "/bin", false, "bin");
    resolves(&f, "/bin/", false, "usr/bin");
    resolves(&f, "/bin/.", false, "usr/bin");
    resolves(&f, "/", true, "");
    resolves(&f, "", true, "");
    resolves(&f, "//usr///bin/./sh", true, "usr/bin/dash");
    resolves(&f, "/abs", true, "usr/bin/dash");
    resolves(&f, "/up", true, "usr/bin/dash");
    resolves(&f, "/usr/lib/deep/l", true, "usr/bin/dash");
    resolves(&f, "/through", true, "usr/bin/dash");
    resolves(&f, "/chain/sh", true, "usr/bin/dash");
    resolves(&f, "/../../../usr/bin/dash", true, "usr/bin/dash");
    resolves(&f, "/loop1", true, NULL);
    resolves(&f, "/loop1", false, "loop1");
    resolves(&f, "/self/x", false, NULL);
    resolves(&f, "/dangling", true, NULL);
    resolves(&f, "/dangling", false, "dangling");
    resolves(&f, "/nothing", true, NULL);
    resolves(&f, "/dir x/f", true, "dir x/f");
    uint32_t n = qn_tree_resolve_at(&f.image.tree, QN_STR("usr/bin"), QN_STR("sh"), true);
    qn_is(f.image.tree.node[n].path, "usr/bin/dash");
    n = qn_tree_resolve_at(&f.image.tree, QN_STR("/usr/lib/"), QN_STR("../bin/dash"), true);
    qn_is(f.image.tree.node[n].path, "usr/bin/dash");
    ck_assert_uint_eq(qn_tree_resolve(&f.image.tree, qn_str_n("bin\0sh", 6), true), QN_NO_NODE);
}
END_TEST

START_TEST(long_walks)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 1u << 20};
    struct qn_err e;

    /* 40 links are followed, 41 are not; targets that would grow without end do not fit. */
    for (int i = 0; i < 41; i++)
        qn_ok(qn_buf_printf(&b, &e, "l%d -> l%d\n", i, i + 1), e);
    qn_ok(qn_buf_c(&b, "l41 text=end\ngrow -> grow/grow/grow/grow/grow/grow/grow/grow\n", &e), e);
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    resolves(&f, "l1", true, "l41");
    resolves(&f, "l0", true, NULL);
    resolves(&f, "grow", true, NULL);
    qn_auto_buf struct qn_buf path = {.max = 1u << 20};
    while (path.n < 5000)
        qn_ok(qn_buf_c(&path, "/very/long", &e), e);
    resolves(&f, path.p, true, NULL);
}
END_TEST

START_TEST(targets)
{
    auto_fixture f = {0};
    char buf[4096];
    struct qn_str out;

    fixture_layer(&f, "a/l -> ../gone/x\nloop -> loop\nlog -> /dev/stdout\nfile text=1");
    fixture_image(&f, "");
    ck_assert(qn_tree_target(&f.image.tree, fixture_node(&f, "a/l"), buf, &out));
    qn_is(out, "gone/x");
    ck_assert(qn_tree_target(&f.image.tree, fixture_node(&f, "log"), buf, &out));
    qn_is(out, "dev/stdout");
    ck_assert(!qn_tree_target(&f.image.tree, fixture_node(&f, "loop"), buf, &out));
    ck_assert(!qn_tree_target(&f.image.tree, fixture_node(&f, "file"), buf, &out));
}
END_TEST

START_TEST(structure)
{
    auto_fixture f = {0};

    fixture_layer(&f, "a/b/c text=1\na/b-c text=1\na-b/x text=1\na.b text=1");
    fixture_image(&f, "");
    const struct qn_tree *t = &f.image.tree;
    /* A directory stands directly before what is below it, whatever bytes its neighbours' names have. */
    uint32_t a = fixture_node(&f, "a");
    ck_assert_uint_eq(qn_tree_end(t, a) - a, 4);
    ck_assert_uint_eq(qn_tree_end(t, 0), t->count);
    ck_assert_uint_eq(t->node[fixture_node(&f, "a/b/c")].parent, fixture_node(&f, "a/b"));
    ck_assert_uint_eq(t->node[fixture_node(&f, "a/b-c")].parent, a);
    ck_assert_uint_eq(t->node[a].parent, 0);
    ck_assert_uint_eq(t->node[0].parent, QN_NO_NODE);
    for (size_t i = 1; i < t->count; i++)
        ck_assert_int_lt(qn_path_cmp(t->node[i - 1].path, t->node[i].path), 0);
    ck_assert(qn_tree_visible(t, t->node[a].entry));
}
END_TEST

START_TEST(the_root)
{
    auto_fixture f = {0}, g = {0}, h = {0}, none = {0};
    struct qn_err e;

    fixture_layer(&f, "./ 0700 uid=3\na text=1");
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.tree.node[0].mode, 0700);
    ck_assert_uint_eq(f.image.tree.node[0].uid, 3);
    fixture_layer(&g, "!bare\n. -> elsewhere\na text=1");
    qn_fails(fixture_try_image(&g, "", &e), e, QN_E_MALFORMED);
    fixture_layer(&h, "!bare\n. char 0:0\na text=1\n");
    qn_fails(fixture_try_image(&h, "", &e), e, QN_E_MALFORMED);
    fixture_image(&none, "");
    ck_assert_uint_eq(none.image.tree.count, 1);
}
END_TEST

START_TEST(many_hard_links_to_many_duplicates)
{
    auto_fixture f = {0};
    qn_auto_buf struct qn_buf b = {.max = 64u << 20};
    struct qn_err e;

    /* Quadratic work here would take minutes. */
    for (int i = 0; i < 20000; i++)
        qn_ok(qn_buf_printf(&b, &e, "a text=1\nb%d => a\n", i), e);
    fixture_layer(&f, b.p);
    fixture_image(&f, "");
    ck_assert_uint_eq(f.image.tree.count, 20002);
    ck_assert_ptr_nonnull(f.image.tree.node[fixture_node(&f, "b19999")].data);
}
END_TEST

Suite *suite_tree(void)
{
    const TTest *const tests[] = {replacing,
                                  attributes,
                                  whiteouts,
                                  opaque,
                                  below_what_is_no_directory,
                                  missing_parents,
                                  devices,
                                  duplicates,
                                  hard_links,
                                  hard_link_to_nothing,
                                  hard_link_takes_the_last_of_its_name,
                                  lookups,
                                  long_walks,
                                  targets,
                                  structure,
                                  the_root,
                                  many_hard_links_to_many_duplicates};
    return qn_suite("tree", tests, QN_ARRAY_LEN(tests));
}
