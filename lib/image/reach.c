/* What runs, or may run: roots from the configuration, the application's own files and the policy, expanded file by
 * file through links, loaders, libraries, interpreters and the words of scripts. The result is a set: the order of
 * the work list changes which of several reasons is printed, never what is reached. Nodes are taken in path order
 * from each root, so the printed reasons are the same on every machine. */
#include "hints.h"
#include "reach_int.h"
#include "secrets.h"
#include "words.h"

#include "base/path.h"

#include <stdlib.h>

/* Marks a node; the first reason stays, the others are noted. */
static void reach(struct qn_reaching *w, uint32_t node, enum qn_why why, uint32_t from)
{
    if (node == QN_NO_NODE)
        return;
    struct qn_reach *r = &w->img->reach[node];
    r->all |= QN_WHY_BIT(w->tools ? QN_WHY_UTILITY : why);
    if (r->why != QN_WHY_NONE)
        return;
    r->why = why;
    r->from = from;
    w->queue[w->count++] = node;
}

/* Marks a name and, when it is a link, every name on the way to where it leads. */
void qn_reach_chain(struct qn_reaching *w, uint32_t node, enum qn_why why, uint32_t from)
{
    for (unsigned hop = 0; node != QN_NO_NODE && hop < 40; hop++) {
        reach(w, node, why, from);
        const struct qn_node *n = &w->img->tree.node[node];
        if (n->type != QN_SYMLINK)
            return;
        from = node;
        why = QN_WHY_LINK;
        node = qn_tree_resolve_at(&w->img->tree, qn_path_dir(n->path), n->entry->link, false);
    }
}

/* A word that something runs: a path that exists, or a command of the PATH. */
void qn_reach_word(struct qn_reaching *w, struct qn_str word, enum qn_why why, uint32_t from)
{
    uint32_t n = qn_image_command_name(w->img, word);

    if (n == QN_NO_NODE || w->img->tree.node[n].type == QN_DIR)
        return;
    if (!w->tools && qn_str_chr(word, '/') < 0)
        w->img->reach[n].all |= QN_WHY_BY_NAME;
    qn_reach_chain(w, n, why, from);
}

void qn_reach_variable(struct qn_reaching *w, struct qn_str name, enum qn_why why, uint32_t from)
{
    const struct qn_imgconfig *c = &w->img->config;
    struct qn_str word;

    for (size_t i = 0; i < c->env.n && !w->tools; i++) {
        struct qn_str var = c->env.v[i];
        if (!qn_str_starts(var, name) || var.n == name.n || var.p[name.n] != '=' || qn_str_eq(name, QN_STR("PATH")))
            continue;
        struct qn_shell_words words = {.rest = qn_str_from(var, name.n + 1)};
        while (qn_shell_word(&words, &word))
            qn_reach_word(w, word, why, from);
    }
}

/* Every word of a command line that names something. */
void qn_reach_line(struct qn_reaching *w, struct qn_str line, enum qn_why why, uint32_t from)
{
    struct qn_shell_words words = {.rest = line};
    struct qn_str word;
    while (qn_shell_word(&words, &word)) {
        qn_reach_word(w, word, why, from);
        qn_reach_variable(w, word, why, from);
    }
}

static bool is_shell(struct qn_str path)
{
    return qn_is_shell_name(qn_path_base(path));
}

/* The words of an argument vector: the program, paths, and the text of "-c TEXT". */
static void reach_argv(struct qn_reaching *w, const struct qn_words *argv, size_t from, enum qn_why why)
{
    for (size_t i = from; i < argv->n; i++) {
        qn_reach_word(w, argv->v[i], why, QN_NO_NODE);
        /* Also "--config=/etc/x". */
        if (qn_str_chr(argv->v[i], ' ') >= 0 || qn_str_chr(argv->v[i], '/') >= 0 ||
            (i > 0 && qn_str_eq(argv->v[i - 1], QN_STR("-c"))))
            qn_reach_line(w, argv->v[i], why, QN_NO_NODE);
    }
}

/* Libraries that are loaded first: paths or names, separated by blanks and colons (ld.so(8)). A name is looked up as
 * for the first dynamic executable. */
static void reach_preload(struct qn_reaching *w, struct qn_str list, enum qn_why why)
{
    const struct qn_tree *t = &w->img->tree;
    struct qn_str line, part, entry;
    uint32_t any = 1;

    while (any < t->count && !(t->node[any].type == QN_FILE && t->node[any].data &&
                               t->node[any].data->content == QN_ELF && t->node[any].data->elf.interp.n))
        any++;
    while (qn_str_next(&list, '\n', &line)) {
        ptrdiff_t comment = qn_str_chr(line, '#');
        struct qn_str rest = comment < 0 ? line : qn_str_head(line, (size_t)comment);
        while (qn_str_word(&rest, &part))
            while (qn_str_next(&part, ':', &entry)) {
                if (qn_str_chr(entry, '/') >= 0)
                    qn_reach_word(w, entry, why, QN_NO_NODE);
                else if (entry.n && any < t->count)
                    qn_reach_chain(w, qn_image_library_name(w->img, any, entry), why, QN_NO_NODE);
            }
    }
}

/* Paths in the values of variables: directories stay, files are what somebody reads or starts. */
static void reach_environment(struct qn_reaching *w)
{
    const struct qn_imgconfig *c = &w->img->config;
    struct qn_str value, part;

    for (size_t i = 0; i < c->env.n; i++) {
        ptrdiff_t eq = qn_str_chr(c->env.v[i], '=');
        value = qn_str_from(c->env.v[i], (size_t)eq + 1);
        if (eq <= 0 || qn_str_eq(qn_str_head(c->env.v[i], (size_t)eq), QN_STR("PATH")))
            continue;
        while (qn_str_next(&value, ':', &part)) {
            uint32_t n = part.n > 1 && part.p[0] == '/' ? qn_tree_resolve(&w->img->tree, part, false) : QN_NO_NODE;
            if (n != QN_NO_NODE)
                qn_reach_chain(w, n, QN_WHY_ENVIRONMENT, QN_NO_NODE);
        }
    }
    if (qn_imgconfig_env(c, "LD_PRELOAD", &value))
        reach_preload(w, value, QN_WHY_ENVIRONMENT);
}

static void reach_config(struct qn_reaching *w)
{
    struct qn_image *img = w->img;
    const struct qn_imgconfig *c = &img->config;
    struct qn_str value;

    reach_argv(w, &c->entrypoint, 0, QN_WHY_ENTRYPOINT);
    reach_argv(w, &c->cmd, 0, QN_WHY_CMD);
    if (c->healthcheck.n > 1 && qn_str_eq(c->healthcheck.v[0], QN_STR("CMD-SHELL"))) {
        const struct qn_words *shell = &c->shell;
        qn_reach_word(w, shell->n ? shell->v[0] : QN_STR("/bin/sh"), QN_WHY_HEALTHCHECK, QN_NO_NODE);
        qn_reach_line(w, c->healthcheck.v[1], QN_WHY_HEALTHCHECK, QN_NO_NODE);
    } else if (c->healthcheck.n > 1) {
        reach_argv(w, &c->healthcheck, 1, QN_WHY_HEALTHCHECK);
    }
    reach(w, qn_tree_resolve(&img->tree, c->working_dir, true), QN_WHY_ENTRYPOINT, QN_NO_NODE);
    for (size_t i = 0; i < c->volumes.n; i++)
        reach(w, qn_tree_resolve(&img->tree, c->volumes.v[i], true), QN_WHY_ENTRYPOINT, QN_NO_NODE);
    reach_environment(w);
    if (qn_image_text(img, QN_STR("etc/ld.so.preload"), &value))
        reach_preload(w, value, QN_WHY_PRELOAD);
    const struct qn_words *start = c->entrypoint.n ? &c->entrypoint : &c->cmd;
    img->entry = start->n ? qn_image_command(img, start->v[0]) : QN_NO_NODE;
    img->utility = start->n && c->entrypoint.n + c->cmd.n == 1 && is_shell(start->v[0]);
}

/* Where unowned texts are the system's own leftovers, not the application. */
static bool system_text(struct qn_str path)
{
    static const char *const dirs[] = {"var",
                                       "tmp",
                                       "usr/share",
                                       "etc/apt",
                                       "etc/dpkg",
                                       "etc/apk",
                                       "etc/yum",
                                       "etc/yum.repos.d",
                                       "etc/dnf",
                                       "etc/tdnf",
                                       "etc/zypp",
                                       "etc/rpm",
                                       "etc/rhsm",
                                       "etc/pki",
                                       "etc/ssl",
                                       "etc/alternatives",
                                       "etc/pam.d",
                                       "etc/skel",
                                       "etc/init.d",
                                       "etc/logrotate.d",
                                       "etc/profile.d",
                                       "etc/default",
                                       "etc/cron.d",
                                       "etc/cron.daily",
                                       "etc/security",
                                       "etc/ca-certificates",
                                       "etc/ld.so.conf.d",
                                       "root"};
    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    return qn_str_eq(qn_path_dir(path), QN_STR("etc"));
}

/* Where everything is the system's when no database says what is. */
static bool system_place(struct qn_str path)
{
    return qn_path_under(path, QN_STR("etc")) || qn_path_under(path, QN_STR("usr")) ||
           qn_path_under(path, QN_STR("lib"));
}

/* What the making of the image left behind, databases of packages among it: not the application, whatever it holds. */
static bool leftover(struct qn_str path)
{
    static const char *const dirs[] = {"tmp", "var/tmp", "var/lib/dpkg", "var/cache", "lib/apk", "usr/lib/apk"};
    static const char *const inside[] = {".git",    ".hg",       ".svn",  ".bzr",    ".github",
                                         ".gitlab", ".circleci", ".idea", ".vscode", "__MACOSX"};
    /* Recipes name tools that are meant for elsewhere. */
    static const char *const files[] = {".gitlab-ci.yml",       ".travis.yml", ".drone.yml",   "docker-compose*.yml",
                                        "docker-compose*.yaml", "compose.yml", "compose.yaml", "Dockerfile*"};
    struct qn_str part, base = qn_path_base(path);

    for (size_t i = 0; i < QN_ARRAY_LEN(dirs); i++)
        if (qn_path_under(path, qn_str_c(dirs[i])))
            return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(files); i++)
        if (qn_glob(qn_str_c(files[i]), base))
            return true;
    while (qn_str_next(&path, '/', &part))
        for (size_t i = 0; i < QN_ARRAY_LEN(inside); i++)
            if (qn_str_eq_c(part, inside[i]))
                return true;
    return false;
}

/* The library that comes with an interpreter, wherever it was built: it can call many tools, of which its programs use
 * hardly any, and those name them. What was added to it (site-packages, gems) is the application's. */
static bool interpreter_library(struct qn_str path)
{
    static const char *const trees[] = {"**/lib/python2*/**",  "**/lib/python3*/**", "**/lib/ruby/2*/**",
                                        "**/lib/ruby/3*/**",   "**/lib/ruby/4*/**",  "**/lib/perl5/5*/**",
                                        "**/share/perl/5*/**", "**/lib/tcl8*/**"};
    static const char *const added[] = {"**/site-packages/**", "**/dist-packages/**", "**/site_perl/**"};

    for (size_t i = 0; i < QN_ARRAY_LEN(added); i++)
        if (qn_glob(qn_str_c(added[i]), path))
            return false;
    for (size_t i = 0; i < QN_ARRAY_LEN(trees); i++)
        if (qn_glob(qn_str_c(trees[i]), path))
            return true;
    return false;
}

/* Executables, scripts and configuration that no package owns are the application, tools by name excepted: those need
 * a reason. What was left in a temporary directory is not. */
static void reach_unowned(struct qn_reaching *w)
{
    struct qn_image *img = w->img;

    for (uint32_t i = 0; i < img->tree.count; i++) {
        const struct qn_node *n = &img->tree.node[i];
        if (n->package != QN_NO_PACKAGE || n->type != QN_FILE || !n->data || n->data->content == QN_OTHER)
            continue;
        int tool = qn_tool_find(qn_path_base(n->path));
        bool named = tool >= 0 && (qn_tool_class(tool) == QN_TOOL_NETWORK || qn_tool_class(tool) == QN_TOOL_MANAGER);
        bool text = (n->data->content == QN_TEXT &&
                     (system_text(n->path) || (img->package_count == 0 && system_place(n->path)))) ||
                    (n->data->content != QN_ELF && interpreter_library(n->path));
        /* Nor are credentials and managers of languages, unless something names them. */
        if (!named && !img->unit[i] && !text && !leftover(n->path) && !(n->data->secrets & QN_SECRET_FILES))
            reach(w, i, QN_WHY_UNOWNED, QN_NO_NODE);
    }
}

/* An image that starts an interactive shell exists for its tools. */
static void reach_utility(struct qn_reaching *w)
{
    struct qn_str path = qn_imgconfig_path(&w->img->config), dir;

    if (!w->img->utility)
        return;
    while (qn_str_next(&path, ':', &dir)) {
        uint32_t d = qn_tree_resolve(&w->img->tree, dir, true);
        if (d == QN_NO_NODE)
            continue;
        for (uint32_t i = d + 1, end = qn_tree_end(&w->img->tree, d); i < end; i++) {
            int tool = qn_tool_find(qn_path_base(w->img->tree.node[i].path));
            if (tool < 0 || qn_tool_class(tool) != QN_TOOL_MANAGER)
                qn_reach_chain(w, i, QN_WHY_UTILITY, QN_NO_NODE);
        }
    }
}

static void reach_policy(struct qn_reaching *w, const struct qn_keep *keep)
{
    struct qn_image *img = w->img;

    for (uint32_t i = 0; i < img->tree.count; i++) {
        struct qn_str path = img->tree.node[i].path;
        for (size_t k = 0; k < keep->path_count; k++) {
            struct qn_str glob = keep->paths[k];
            if (glob.n && glob.p[0] == '/')
                glob = qn_str_from(glob, 1);
            if (qn_glob(glob, path))
                qn_reach_chain(w, i, QN_WHY_POLICY, QN_NO_NODE);
        }
    }
    for (size_t k = 0; k < keep->package_count; k++)
        for (size_t p = 0; p < img->package_count; p++)
            if (qn_glob(keep->packages[k], img->package[p].name))
                for (uint32_t f = 0; f < img->package[p].files; f++)
                    qn_reach_chain(w, img->package[p].file[f], QN_WHY_POLICY, QN_NO_NODE);
    for (size_t k = 0; k < keep->command_count; k++)
        qn_reach_line(w, keep->commands[k], QN_WHY_COMMAND, QN_NO_NODE);
}

void qn_reach_mentions(struct qn_reaching *w, uint32_t node, const struct qn_mentions *m, bool elf)
{
    for (int i = 0; i < qn_tool_count(); i++) {
        enum qn_tool_class class = qn_tool_class(i);
        /* Libraries name system calls like chown and functions like init without meaning the programs. Package
         * managers are the one kind of tool that a utility image still loses: what its own maintenance scripts say
         * about them does not count. */
        bool noise =
            (elf && (class == QN_TOOL_PRIVILEGE || class == QN_TOOL_SERVICE)) || (w->tools && class == QN_TOOL_MANAGER);
        if (qn_mentions_has(m, i) && !noise)
            qn_reach_word(w, qn_tool_name(i), elf ? QN_WHY_STRINGS : QN_WHY_MENTIONED, node);
    }
}

/* One program under many names: its strings are the list of them, not what it calls. */
static bool multi_call(struct qn_str path, bool is_static, const struct qn_mentions *m)
{
    struct qn_str base = qn_path_base(path);
    int network = 0;

    if (qn_str_starts(base, QN_STR("busybox")) || qn_str_eq(base, QN_STR("toybox")))
        return true;
    for (int i = 0; i < qn_tool_count(); i++)
        network += qn_mentions_has(m, i) && qn_tool_class(i) == QN_TOOL_NETWORK;
    return !is_static && network >= 10;
}

/* Command lines in an executable that hands them to a shell. The tools of the table are told by their mentions, which
 * know everyday words; shells list what they can do. */
static void command_lines(struct qn_reaching *w, uint32_t node, const struct qn_elf_facts *f)
{
    if (is_shell(w->img->tree.node[node].path))
        return;
    for (uint32_t i = 0; i < f->hint_count; i++)
        if (f->hint[i].kind == QN_HINT_COMMAND && qn_tool_find(qn_path_base(f->hint[i].text)) < 0 &&
            !is_shell(f->hint[i].text))
            qn_reach_word(w, f->hint[i].text, QN_WHY_STRINGS, node);
}

/* Programs that the application's own executables start by name: packages' programs are told by what those depend on.
 * Everyday words are texts, but in Go's programs, where a list of tools was looked for. */
static void own_words(struct qn_reaching *w, uint32_t node, const struct qn_elf_facts *f)
{
    bool go = f->imports & QN_IMPORT_GO;

    if (go)
        qn_reach_word(w, QN_STR("/bin/sh"), QN_WHY_SHELL, node);
    for (uint32_t i = 0; i < f->hint_count; i++)
        if (f->hint[i].kind == QN_HINT_WORD && qn_tool_find(f->hint[i].text) < 0 &&
            (go || !qn_hints_sentence(f->hint[i].text)))
            qn_reach_word(w, f->hint[i].text, QN_WHY_STRINGS, node);
}

static void expand_elf(struct qn_reaching *w, uint32_t node, const struct qn_entry *data)
{
    const struct qn_image *img = w->img;
    const struct qn_elf_facts *f = &data->elf;

    if (f->interp.n)
        qn_reach_chain(w, qn_tree_resolve(&img->tree, f->interp, false), QN_WHY_INTERPRETER, node);
    for (uint32_t i = 0; i < f->needed_count; i++)
        qn_reach_chain(w, qn_image_library_name(img, node, f->needed[i]), QN_WHY_NEEDED, node);
    if (f->imports & QN_IMPORT_SHELL)
        qn_reach_word(w, QN_STR("/bin/sh"), QN_WHY_SHELL, node);
    bool starts = f->imports & (QN_IMPORT_SHELL | QN_IMPORT_EXEC);
    bool table = multi_call(img->tree.node[node].path, f->is_static, &data->mentions);
    /* A C library names many programs that only its callers could start. */
    qn_reach_program(w, node);
    if ((starts || f->is_static) && !table && !qn_str_starts(f->soname, QN_STR("libc.")))
        qn_reach_mentions(w, node, &data->mentions, true);
    if (!table && !w->tools && !qn_str_starts(f->soname, QN_STR("libc.")))
        command_lines(w, node, f);
    if (starts && !table && !w->tools && img->tree.node[node].package == QN_NO_PACKAGE && img->package_count > 0 &&
        f->soname.n == 0 && !is_shell(img->tree.node[node].path))
        own_words(w, node, f);
}

static bool library_file(const void *tree, uint32_t node)
{
    const struct qn_node *n = &((const struct qn_tree *)tree)->node[node];
    return (n->type == QN_FILE || n->type == QN_SYMLINK) && qn_str_starts(qn_path_base(n->path), QN_STR("lib")) &&
           qn_str_find(n->path, QN_STR(".so")) > 0;
}

static void expand(struct qn_reaching *w, uint32_t node)
{
    const struct qn_node *n = &w->img->tree.node[node];

    if (n->type == QN_SYMLINK) {
        qn_reach_chain(w, node, QN_WHY_LINK, node);
        return;
    }
    if (n->type != QN_FILE || !n->data)
        return;
    if (n->data->content == QN_ELF)
        expand_elf(w, node, n->data);
    else if (n->data->content == QN_SCRIPT)
        qn_reach_script(w, node, n->data);
    else if (n->data->content == QN_TEXT || n->data->content == QN_PACKED)
        qn_reach_text(w, node, n->data);
}

static bool source_file(const void *tree, uint32_t node)
{
    const struct qn_node *n = &((const struct qn_tree *)tree)->node[node];
    return n->type == QN_FILE && n->data && n->data->captured && n->data->text.n &&
           (n->data->content == QN_TEXT || n->data->content == QN_SCRIPT);
}

/* Until nothing is left to look at. */
static void expand_all(struct qn_reaching *w)
{
    while (w->head < w->count || w->source_head < w->source_count)
        if (w->head < w->count)
            expand(w, w->queue[w->head++]);
        else
            qn_reach_sourced(w, w->source[w->source_head++]);
}

int qn_image_reach(struct qn_image *img, const struct qn_keep *keep, struct qn_err *e)
{
    struct qn_reaching w = {.img = img};

    img->reach = qn_arena_alloc(&img->arena, img->tree.count, sizeof *img->reach, e);
    w.queue = qn_arena_alloc(&img->arena, img->tree.count, sizeof *w.queue, e);
    w.source = qn_arena_alloc(&img->arena, img->tree.count, sizeof *w.source, e);
    if (!img->reach || !w.queue || !w.source ||
        qn_names_make(&img->tree, qn_names_program, &img->tree, &img->arena, &w.programs, e) < 0 ||
        qn_names_make(&img->tree, library_file, &img->tree, &img->arena, &w.libraries, e) < 0 ||
        qn_names_make(&img->tree, source_file, &img->tree, &img->arena, &w.sources, e) < 0)
        return -1;
    w.own = qn_arena_alloc(&img->arena, img->package_count, sizeof *w.own, e);
    if (!w.own)
        return -1;
    reach_config(&w);
    if (keep)
        reach_policy(&w, keep);
    reach_unowned(&w);
    expand_all(&w);
    w.tools = true;
    reach_utility(&w);
    expand_all(&w);
    if (w.failed)
        *e = w.err;
    return w.failed ? -1 : 0;
}

static const char *why_text(enum qn_why why)
{
    static const char *const texts[] = {
        [QN_WHY_NONE] = "nothing needs it",
        [QN_WHY_ENTRYPOINT] = "it is the entrypoint",
        [QN_WHY_CMD] = "it is in the command",
        [QN_WHY_HEALTHCHECK] = "the health check runs it",
        [QN_WHY_ENVIRONMENT] = "an environment variable names it",
        [QN_WHY_PRELOAD] = "/etc/ld.so.preload names it",
        [QN_WHY_UNOWNED] = "it belongs to the application (no package owns it)",
        [QN_WHY_UTILITY] = "the image starts a shell and exists for its tools",
        [QN_WHY_POLICY] = "the policy keeps it",
        [QN_WHY_COMMAND] = "a command that the policy keeps runs it",
        [QN_WHY_LINK] = "it is linked from",
        [QN_WHY_INTERPRETER] = "it interprets",
        [QN_WHY_NEEDED] = "it is needed by",
        [QN_WHY_CALLED] = "it is called by",
        [QN_WHY_MENTIONED] = "it is mentioned by",
        [QN_WHY_STRINGS] = "it is mentioned by",
        [QN_WHY_SHELL] = "command lines are run by",
    };
    return texts[why];
}

int qn_image_explain(const struct qn_image *img, uint32_t node, struct qn_buf *b, struct qn_err *e)
{
    for (unsigned hop = 0; hop < 8; hop++) {
        struct qn_reach r = img->reach[node];
        if (qn_buf_printf(b, e, "%s%s", hop ? ", because " : "", why_text(r.why)) < 0)
            return -1;
        if (r.why == QN_WHY_NONE || r.from == QN_NO_NODE)
            return 0;
        if (qn_buf_printf(b, e, " /%s", QN_Q(img->tree.node[r.from].path)) < 0)
            return -1;
        node = r.from;
    }
    return qn_buf_c(b, ", and so on", e);
}
