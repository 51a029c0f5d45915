#include "image_fixture.h"

#include "base/path.h"
#include "image/endings.h"
#include "image/names.h"

static void is(const struct fixture *f, uint32_t node, const char *want)
{
    if (!want) {
        ck_assert_uint_eq(node, QN_NO_NODE);
        return;
    }
    ck_assert_uint_ne(node, QN_NO_NODE);
    qn_is(f->image.tree.node[node].path, want);
}

/* Names that differ behind their eighth byte, and those that end before it. */
START_TEST(children)
{
    auto_fixture f = {0};
    const struct qn_tree *t = &f.image.tree;

    fixture_layer(&f, "d/a text=\nd/abcdefgh text=\nd/abcdefghi text=\nd/abcdefghij text=\nd/abcdefg text=\n"
                      "d/abcdefghi.x/y text=\nd/%FF%FE text=\nd/Z text=\nz text=");
    fixture_image(&f, "");
    uint32_t d = fixture_node(&f, "d");
    is(&f, qn_tree_child(t, d, QN_STR("a")), "d/a");
    is(&f, qn_tree_child(t, d, QN_STR("abcdefg")), "d/abcdefg");
    is(&f, qn_tree_child(t, d, QN_STR("abcdefgh")), "d/abcdefgh");
    is(&f, qn_tree_child(t, d, QN_STR("abcdefghi")), "d/abcdefghi");
    is(&f, qn_tree_child(t, d, QN_STR("abcdefghij")), "d/abcdefghij");
    is(&f, qn_tree_child(t, d, QN_STR("abcdefghi.x")), "d/abcdefghi.x");
    is(&f, qn_tree_child(t, d, QN_STR("\xff\xfe")), "d/\xff\xfe");
    is(&f, qn_tree_child(t, d, QN_STR("abcdef")), NULL);
    is(&f, qn_tree_child(t, d, QN_STR("abcdefghik")), NULL);
    is(&f, qn_tree_child(t, d, QN_STR("")), NULL);
    is(&f, qn_tree_child(t, d, QN_STR("z")), NULL);
    is(&f, qn_tree_child(t, 0, QN_STR("z")), "z");
    is(&f, qn_tree_child(t, fixture_node(&f, "z"), QN_STR("a")), NULL);
    is(&f, qn_tree_find(t, QN_STR("d/abcdefghi.x/y")), "d/abcdefghi.x/y");
    is(&f, qn_tree_find(t, QN_STR("d//a")), NULL);
    is(&f, qn_tree_find(t, QN_STR("d/")), NULL);
    is(&f, qn_tree_find(t, QN_STR("/d")), NULL);
    is(&f, qn_tree_find(t, QN_STR("")), "");
}
END_TEST

/* Every node is found by its name in the directory above, and subtrees end where they end, layers merged. */
START_TEST(every_node)
{
    auto_fixture f = {0};
    const struct qn_tree *t = &f.image.tree;

    fixture_layer(&f, "a/b/c text=\na/b.d text=\na-b text=\nx/y/z text=\nx/y2 -> y\nold/f text=");
    fixture_layer(&f, "a/b/c2 text=\n.wh.old\nnew/g text=\nx/y/.wh..wh..opq\nx/y/n text=");
    fixture_image(&f, "");
    for (uint32_t i = 1; i < t->count; i++) {
        struct qn_str path = t->node[i].path;
        ck_assert_uint_eq(qn_tree_child(t, t->node[i].parent, qn_path_base(path)), i);
        ck_assert_uint_eq(qn_tree_find(t, path), i);
        for (uint32_t k = i + 1; k < t->count; k++)
            ck_assert(qn_path_under(t->node[k].path, path) == (k < qn_tree_end(t, i)));
    }
    ck_assert_uint_eq(qn_tree_end(t, 0), t->count);
}
END_TEST

/* The first directory of PATH with a file of that name, however often it is named; links count if they lead to one. */
START_TEST(commands)
{
    auto_fixture f = {0};
    const struct qn_image *img = &f.image;

    fixture_layer(&f, "usr/bin/tool text=1\nusr/local/bin/tool -> ../lib\nusr/local/lib text=2\nopt/dir/tool/x text=3\n"
                      "usr/bin/only text=\nwork/rel/here text=\nusr/local/bin/gone -> /nothing\nusr/bin/gone text=\n"
                      "rel/there text=");
    fixture_image(&f, "'WorkingDir':'/work','Env':['PATH=/opt/dir:/usr/local/bin:/usr/bin:/opt/dir:rel::/usr/bin']");
    is(&f, qn_image_command_name(img, QN_STR("tool")), "usr/local/bin/tool");
    is(&f, qn_image_command(img, QN_STR("tool")), "usr/local/lib");
    is(&f, qn_image_command_name(img, QN_STR("only")), "usr/bin/only");
    is(&f, qn_image_command_name(img, QN_STR("here")), "work/rel/here");
    is(&f, qn_image_command_name(img, QN_STR("gone")), "usr/bin/gone");
    is(&f, qn_image_command_name(img, QN_STR("there")), NULL);
    is(&f, qn_image_command_name(img, QN_STR("dir")), NULL);
    is(&f, qn_image_command_name(img, QN_STR(".")), NULL);
    is(&f, qn_image_command_name(img, QN_STR("..")), NULL);
    is(&f, qn_image_command_name(img, QN_STR("")), NULL);
    is(&f, qn_image_command_name(img, QN_STR("rel/here")), "work/rel/here");
    is(&f, qn_image_command_name(img, QN_STR("/usr/bin/tool")), "usr/bin/tool");
    ck_assert(img->searched[fixture_node(&f, "usr/bin")]);
    ck_assert(!img->searched[fixture_node(&f, "usr")]);
}
END_TEST

/* Settings name directories in an order that counts, twice, and for other machines. */
START_TEST(libraries)
{
    auto_fixture f = {0};
    const struct qn_image *img = &f.image;

    fixture_layer(&f, "usr/bin/a elf\nusr/bin/arm elf machine=183\nusr/bin/small elf class=32\n"
                      "etc/ld.so.conf text=/opt/two\\n#/opt/no\\n/opt/one\\n/opt/two\nopt/one/libx.so elf\n"
                      "opt/two/libx.so elf machine=183\nopt/one/liby.so elf\nopt/two/liby.so elf\nopt/no/libz.so elf\n"
                      "opt/two/libw.so elf class=32\nopt/one/libw.so elf");
    fixture_image(&f, "");
    uint32_t a = fixture_node(&f, "usr/bin/a"), arm = fixture_node(&f, "usr/bin/arm");
    is(&f, qn_image_library_name(img, a, QN_STR("libx.so")), "opt/one/libx.so");
    is(&f, qn_image_library_name(img, arm, QN_STR("libx.so")), "opt/two/libx.so");
    is(&f, qn_image_library_name(img, a, QN_STR("liby.so")), "opt/two/liby.so");
    is(&f, qn_image_library_name(img, arm, QN_STR("liby.so")), NULL);
    is(&f, qn_image_library_name(img, a, QN_STR("libz.so")), NULL);
    is(&f, qn_image_library_name(img, a, QN_STR("libw.so")), "opt/one/libw.so");
    is(&f, qn_image_library_name(img, fixture_node(&f, "usr/bin/small"), QN_STR("libw.so")), "opt/two/libw.so");
}
END_TEST

/* What databases name: the same as looking the path up, in any order. */
START_TEST(listed)
{
    static const char *const paths[] = {"usr/lib/a", "lib/a",  "lib/b", "lib/nothing", "usr/lib/b",    "lib",
                                        "usr",       "no/dir", "no",    "lib/sub/c",   "lib/sub/d",    "usr/lib/sub/c",
                                        "lib/.",     "lib/..", "lib/",  "lib//a",      "./usr/lib/a",  "/usr/lib/a",
                                        "loop/a",    "",       "lib/a", "usr/lib/l",   "lib/../lib/a", "lib/.hidden"};
    auto_fixture f = {0};
    const struct qn_tree *t = &f.image.tree;
    struct qn_near near = {.known = false};

    fixture_layer(&f, "usr/lib/a text=\nlib -> usr/lib\nusr/lib/b text=\nusr/lib/sub/c text=\nloop -> loop\n"
                      "usr/lib/l -> a\nusr/lib/.hidden text=");
    fixture_image(&f, "");
    for (size_t i = 0; i < QN_ARRAY_LEN(paths); i++) {
        struct qn_str path = qn_str_c(paths[i]);
        uint32_t want = qn_tree_find(t, path);
        if (want == QN_NO_NODE)
            want = qn_tree_resolve(t, path, false);
        ck_assert_msg(qn_tree_listed(t, path, &near) == want, "%s", paths[i]);
    }
}
END_TEST

static bool module(const void *tree, uint32_t node)
{
    return qn_str_ends(((const struct qn_tree *)tree)->node[node].path, QN_STR(".so"));
}

/* Each node once, whoever names it; a name without a slash is a whole one. */
START_TEST(endings)
{
    auto_fixture f = {0};
    struct qn_endings x = {0};
    struct qn_err e;
    uint32_t n;

    fixture_layer(&f, "a/x.so text=\nb/x.so text=\nb/lx.so text=\nx.so text=\na/ab/y.so text=\nb/y.so text=\nz text=");
    fixture_image(&f, "");
    qn_ok(qn_endings_make(&f.image.tree, module, &f.image.tree, &f.image.arena, &x, &e), e);
    ck_assert_uint_eq(x.count, 6);
    ck_assert(!qn_endings_take(&x, QN_STR("z"), &n) && !qn_endings_take(&x, QN_STR("c/x.so"), &n));
    ck_assert(qn_endings_take(&x, QN_STR("b/x.so"), &n));
    is(&f, n, "b/x.so");
    ck_assert(!qn_endings_take(&x, QN_STR("b/x.so"), &n));
    ck_assert(qn_endings_take(&x, QN_STR("x.so"), &n) && n != fixture_node(&f, "b/lx.so"));
    ck_assert(qn_endings_take(&x, QN_STR("x.so"), &n) && n != fixture_node(&f, "b/lx.so"));
    ck_assert(!qn_endings_take(&x, QN_STR("x.so"), &n));
    /* With a slash it is how the path ends, as before. */
    ck_assert(qn_endings_take(&x, QN_STR("b/y.so"), &n) && qn_endings_take(&x, QN_STR("b/y.so"), &n));
    ck_assert(!qn_endings_take(&x, QN_STR("y.so"), &n));
    ck_assert(qn_endings_take(&x, QN_STR("lx.so"), &n));
    is(&f, n, "b/lx.so");
}
END_TEST

START_TEST(names_by_package)
{
    auto_fixture f = {0};
    struct qn_names names = {0};
    struct qn_err e;
    size_t n;

    fixture_layer(&f, "p/bin/t 755 text=\nq/bin/t 755 text=\nr/bin/t 755 text=\nr/bin/u 755 text=\ns/bin/t 644 text=");
    fixture_image(&f, "");
    f.image.tree.node[fixture_node(&f, "q/bin/t")].package = 3;
    f.image.tree.node[fixture_node(&f, "p/bin/t")].package = 7;
    f.image.tree.node[fixture_node(&f, "r/bin/t")].package = 3;
    qn_ok(qn_names_make(&f.image.tree, qn_names_program, &f.image.tree, &f.image.arena, &names, &e), e);
    (void)qn_names_find(&names, QN_STR("t"), &n);
    ck_assert_uint_eq(n, 3);
    qn_names_by_package(&names, &f.image.tree);
    size_t at = qn_names_find_of(&names, QN_STR("t"), 3, &n);
    ck_assert_uint_eq(n, 2);
    is(&f, names.at[at].node, "q/bin/t");
    is(&f, names.at[at + 1].node, "r/bin/t");
    at = qn_names_find_of(&names, QN_STR("t"), 7, &n);
    ck_assert_uint_eq(n, 1);
    is(&f, names.at[at].node, "p/bin/t");
    (void)qn_names_find_of(&names, QN_STR("t"), 4, &n);
    ck_assert_uint_eq(n, 0);
    (void)qn_names_find_of(&names, QN_STR("u"), 3, &n);
    ck_assert_uint_eq(n, 0);
    f.image.tree.node[fixture_node(&f, "q/bin/t")].package = QN_NO_PACKAGE;
    f.image.tree.node[fixture_node(&f, "p/bin/t")].package = QN_NO_PACKAGE;
    f.image.tree.node[fixture_node(&f, "r/bin/t")].package = QN_NO_PACKAGE;
}
END_TEST

START_TEST(clean_names)
{
    static const char *const names[] = {"",      "a",  "a/b",  "/a",  "a/",    "a//b", "./a",  "a/.",
                                        "a/./b", "..", "a/..", "...", "a/...", ".a",   "a/.b", "/"};
    char buf[QN_PATH_MAX], longest[QN_PATH_MAX + 2];
    struct qn_str out;
    struct qn_err e;

    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++) {
        struct qn_str name = qn_str_c(names[i]);
        bool same = qn_path_clean(name, buf, &out, &e) == 0 && qn_str_eq(out, name);
        ck_assert_msg(qn_path_is_clean(name) == same, "%s", names[i]);
    }
    memset(longest, 'a', sizeof longest);
    for (size_t n = QN_PATH_MAX - 3; n <= QN_PATH_MAX + 1; n++)
        for (int slash = 0; slash < 2; slash++) {
            longest[100] = slash ? '/' : 'a';
            struct qn_str name = qn_str_n(longest, n);
            bool same = qn_path_clean(name, buf, &out, &e) == 0;
            ck_assert_msg(qn_path_is_clean(name) == same, "%zu bytes", n);
        }
    ck_assert(!qn_path_is_clean(QN_STR("a\0b")));
}
END_TEST

START_TEST(globs)
{
    static const struct {
        const char *pattern, *text;
        bool fits;
    } rows[] = {
        {"**/bin/pip", "bin/pip", true},
        {"**/bin/pip", "usr/bin/pip", true},
        {"**/bin/pip", "xbin/pip", false},
        {"**/bin/pip", "bin/pip3", false},
        {"a**/b", "ab", false},
        {"a**/b", "a/b", true},
        {"a**/b", "ax/y/b", true},
        {"*.so", "x.so", true},
        {"*.so", "d/x.so", false},
        {"**.so", "d/x.so", true},
        {"lib?.so", "libz.so", true},
        {"lib?.so", "lib/.so", false},
        {"*/x", "a/x", true},
        {"*/x", "x", false},
        {"**/", "a/", true},
        {"**", "", true},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"ab", "b", false},
        {"b", "ab", false},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"a/**/c", "a/c", true},
        {"a/**/c", "a/b/b/c", true},
        {"a/**/c", "ac", false},
        {"x*y*z", "xyyz", true},
        {"x*y*z", "xyz/z", false},
        {"?", "/", false},
        {"a?", "a", false},
    };
    for (size_t i = 0; i < QN_ARRAY_LEN(rows); i++)
        ck_assert_msg(qn_glob(qn_str_c(rows[i].pattern), qn_str_c(rows[i].text)) == rows[i].fits, "%s on %s",
                      rows[i].pattern, rows[i].text);
}
END_TEST

Suite *suite_lookup(void)
{
    const TTest *const tests[] = {children, every_node,       commands,    libraries, listed,
                                  endings,  names_by_package, clean_names, globs};
    return qn_suite("lookup", tests, QN_ARRAY_LEN(tests));
}
