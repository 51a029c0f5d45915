/* Compilers, linkers, debuggers, version control, headers and static libraries. Programs that compile when they run
 * (varnish, numba, extension builders) call a compiler by name, which keeps all of it. */
#include "edits.h"

static const char *const packages[] = {"gcc",
                                       "gcc-[0-9]*",
                                       "g++",
                                       "g++-*",
                                       "cpp",
                                       "cpp-*",
                                       "clang",
                                       "clang-*",
                                       "llvm",
                                       "llvm-*",
                                       "lld",
                                       "lld-*",
                                       "binutils",
                                       "binutils-*",
                                       "build-essential",
                                       "build-base",
                                       "make",
                                       "cmake*",
                                       "ninja-build",
                                       "ninja",
                                       "samurai",
                                       "meson",
                                       "autoconf",
                                       "automake",
                                       "automake-*",
                                       "autotools-dev",
                                       "libtool",
                                       "m4",
                                       "bison",
                                       "flex",
                                       "pkg-config",
                                       "pkgconf",
                                       "pkgconf-bin",
                                       "patch",
                                       "gdb",
                                       "gdbserver",
                                       "strace",
                                       "ltrace",
                                       "valgrind",
                                       "linux-perf*",
                                       "perf",
                                       "git",
                                       "git-man",
                                       "git-core",
                                       "mercurial*",
                                       "subversion",
                                       "dpkg-dev",
                                       "fakeroot",
                                       "libfakeroot",
                                       "libc6-dev",
                                       "libc-dev-bin",
                                       "musl-dev",
                                       "linux-libc-dev",
                                       "linux-headers",
                                       "fortify-headers",
                                       "gfortran",
                                       "gfortran-*",
                                       "golang-*-go",
                                       "rustc",
                                       "cargo",
                                       "gcc-c++",
                                       "glibc-devel",
                                       "kernel-headers",
                                       NULL};
/* What tells that something compiles. */
static const char *const builders[] = {"gcc",     "cc",   "c++", "g++",   "c89",   "c99",   "clang",
                                       "clang++", "make", "ld",  "as",    "gmake", "cmake", "ninja",
                                       "tcc",     "cpp",  "go",  "rustc", "cargo", NULL};
static const char *const dirs[] = {"usr/include",         "usr/lib/pkgconfig", "usr/share/pkgconfig",
                                   "usr/lib64/pkgconfig", "usr/share/aclocal", "usr/lib/cmake",
                                   "usr/share/cmake"};

static bool started(const struct qn_image *img, uint32_t node)
{
    return (img->reach[node].all & ~(QN_WHY_BIT(QN_WHY_UNOWNED) | QN_WHY_BIT(QN_WHY_LINK) | QN_WHY_BY_NAME)) != 0;
}

static const char *builder(const struct qn_image *img)
{
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        struct qn_str base = qn_path_base(n->path);
        if (!qn_image_reached(img, i) || n->type == QN_DIR || !(n->mode & 0111) || !started(img, i))
            continue;
        /* "x86_64-linux-gnu-gcc-12" */
        ptrdiff_t gcc = qn_str_find(base, QN_STR("-gcc"));
        for (size_t k = 0; builders[k]; k++)
            if ((qn_str_eq_c(base, builders[k]) || gcc > 0) && qn_rule_in_path(img, i))
                return builders[k];
    }
    return NULL;
}

static bool development_file(struct qn_str path)
{
    struct qn_str base = qn_path_base(path);
    bool library = qn_path_under(path, QN_STR("usr/lib")) || qn_path_under(path, QN_STR("lib")) ||
                   qn_path_under(path, QN_STR("usr/lib64"));

    if (library && qn_str_ends(base, QN_STR(".la")))
        return true;
    if (library && qn_str_ends(base, QN_STR(".a")) && qn_str_starts(base, QN_STR("lib")))
        return true;
    if (library && qn_str_ends(base, QN_STR(".pc")) && qn_str_ends(qn_path_dir(path), QN_STR("/pkgconfig")))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return false;
}

int qn_rule_build_tools(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,
                        struct qn_err *e)
{
    (void)opt;
    if (img->utility)
        return qn_plan_back_off(plan, e, "the image starts a shell and exists for its tools");
    if (img->db.rpm)
        return qn_plan_back_off(plan, e, "an rpm database is there, which could not be kept true");
    const char *name = builder(img);
    if (name)
        return qn_plan_back_off(plan, e, "something that the image runs calls %s", name);
    if (qn_rule_remove_packages(plan, packages, false, "a build tool that nothing in the image calls", e) < 0)
        return -1;
    for (uint32_t i = 1; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (n->type != QN_DIR && n->package != QN_NO_PACKAGE && development_file(n->path) &&
            qn_plan_remove(plan, i, "used for building only", e) < 0)
            return -1;
    }
    return 0;
}
