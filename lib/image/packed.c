#include "packed.h"
#include "texts.h"

#include "base/path.h"
#include "formats/classfile.h"
#include "formats/zip.h"

#include <stdlib.h>

#define CLASS_MAX   (2u << 20)   /* a class */
#define INNER_MAX   (128u << 20) /* an archive inside of an archive */
#define TOTAL_MAX   (512u << 20) /* of everything that one file unpacks to */
#define ENTRIES_MAX 200000u
#define COPIES_MAX  (32u << 20)
#define STRING_MAX  1024u

struct packed {
    struct qn_text_names names;
    struct qn_mentions *m;
    char *unpacked;          /* CLASS_MAX bytes */
    struct qn_str *constant; /* 65536 */
    uint64_t total;
    size_t entries;
    bool starts; /* some part starts programs */
    bool collect;
};

static bool any_suffix(struct qn_str path, const char *const *suffix)
{
    for (size_t i = 0; suffix[i]; i++)
        if (qn_str_ends(path, qn_str_c(suffix[i])))
            return true;
    return false;
}

static bool jar(struct qn_str path)
{
    static const char *const suffix[] = {".jar", ".war", ".ear", ".par", ".hpi", ".jpi", NULL};
    return any_suffix(path, suffix);
}

static bool assembly(struct qn_str path)
{
    struct qn_str base = qn_path_base(path);
    return (qn_str_ends(path, QN_STR(".dll")) || qn_str_ends(path, QN_STR(".exe"))) &&
           !qn_str_starts(base, QN_STR("System.")) && !qn_str_starts(base, QN_STR("Microsoft."));
}

bool qn_packed(struct qn_str path, struct qn_str head)
{
    /* What a package manager installs for all is nothing that the application says. */
    if (qn_path_under(path, QN_STR("usr/share")) || qn_path_under(path, QN_STR("usr/lib")))
        return false;
    if (jar(path))
        return head.n >= 2 && (memcmp(head.p, "PK", 2) == 0 || memcmp(head.p, "#!", 2) == 0);
    if (qn_str_ends(path, QN_STR(".class")))
        return head.n >= 4 && memcmp(head.p, "\xca\xfe\xba\xbe", 4) == 0;
    /* In __pycache__ the source stands beside it, or it is not used. */
    if (qn_str_ends(path, QN_STR(".pyc")))
        return qn_str_find(path, QN_STR("__pycache__/")) < 0;
    if (assembly(path))
        return head.n >= 2 && memcmp(head.p, "MZ", 2) == 0;
    return qn_str_ends(path, QN_STR(".phar"));
}

static void note(struct packed *p, struct qn_str text, bool alone)
{
    if (text.n < 2 || text.n > STRING_MAX)
        return;
    qn_mentions_string(text, p->m);
    qn_text_names_string(&p->names, text, alone);
}

/* --- Java --------------------------------------------------------------------------------------------------------- */
/* Whether the names in a class say that it starts programs; whether it loads libraries. */
static bool class_starts(struct packed *p, struct qn_str bytes)
{
    static const char *const names[] = {"ProcessBuilder", "ProcessExecutor",      "commons/exec",
                                        "sys/process",    "ProcessGroovyMethods", "zt/exec"};
    struct qn_classfile c;
    enum qn_class_constant kind;
    uint32_t number, string;
    struct qn_str text;
    bool runtime = false, exec = false, starts = false;

    if (!qn_classfile_open(bytes, &c))
        return false;
    while (qn_classfile_next(&c, &kind, &number, &text, &string)) {
        for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
            starts = starts || qn_str_find(text, qn_str_c(names[i])) >= 0;
        runtime = runtime || qn_str_eq(text, QN_STR("java/lang/Runtime"));
        exec = exec || qn_str_eq(text, QN_STR("exec"));
        p->names.libraries =
            p->names.libraries || qn_str_eq(text, QN_STR("loadLibrary")) || qn_str_starts(text, QN_STR("com/sun/jna/"));
    }
    return starts || (runtime && exec);
}

static void class_strings(struct packed *p, struct qn_str bytes, bool alone)
{
    struct qn_classfile c, again;
    enum qn_class_constant kind;
    uint32_t number, string;
    struct qn_str text;

    if (!qn_classfile_open(bytes, &c))
        return;
    memset(p->constant, 0, 65536 * sizeof *p->constant);
    again = c;
    while (qn_classfile_next(&c, &kind, &number, &text, &string))
        if (kind == QN_CLASS_UTF8 && number < 65536)
            p->constant[number] = text;
    while (qn_classfile_next(&again, &kind, &number, &text, &string))
        if (kind == QN_CLASS_STRING && p->constant[string].n)
            note(p, p->constant[string], alone);
}

static void class_file(struct packed *p, struct qn_str bytes)
{
    bool starts = class_starts(p, bytes);

    p->starts = p->starts || starts;
    if (p->collect)
        class_strings(p, bytes, starts);
}

/* Room for what an archive unpacks to. */
static bool room(struct packed *p, uint64_t size)
{
    p->total += size;
    if (p->total <= TOTAL_MAX && p->entries++ < ENTRIES_MAX)
        return true;
    p->names.cut = true;
    return false;
}

static void classes(struct packed *p, struct qn_str bytes)
{
    struct qn_zip zip;
    struct qn_zip_entry entry;
    struct qn_err ignored;

    if (qn_zip_open(bytes, &zip, &ignored) < 0)
        return;
    while (!p->names.cut && qn_zip_next(&zip, &entry)) {
        if (!qn_str_ends(entry.name, QN_STR(".class")) || !room(p, entry.size))
            continue;
        int64_t n = qn_zip_read(&entry, p->unpacked, CLASS_MAX);
        if (n > 0)
            class_file(p, qn_str_n(p->unpacked, (size_t)n));
    }
}

/* Classes that start programs make every text of their archive count. */
static void archive(struct packed *p, struct qn_str bytes)
{
    p->starts = p->collect = p->names.libraries = false;
    classes(p, bytes);
    p->collect = p->starts || p->names.libraries;
    if (p->collect)
        classes(p, bytes);
}

/* Archives inside of an archive are what the application uses. */
static void java(struct packed *p, struct qn_str bytes)
{
    struct qn_zip zip;
    struct qn_zip_entry entry;
    struct qn_err ignored;

    archive(p, bytes);
    if (qn_zip_open(bytes, &zip, &ignored) < 0)
        return;
    p->names.own = false;
    while (!p->names.cut && qn_zip_next(&zip, &entry)) {
        if (!jar(entry.name) || entry.size == 0 || entry.size > INNER_MAX || !room(p, entry.size))
            continue;
        qn_auto_free char *inner = malloc((size_t)entry.size);
        int64_t n = inner ? qn_zip_read(&entry, inner, (size_t)entry.size) : -1;
        if (n > 0)
            archive(p, qn_str_n(inner, (size_t)n));
    }
}

/* --- others ------------------------------------------------------------------------------------------------------- */
static bool has(struct qn_str bytes, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (qn_str_find(bytes, qn_str_c(words[i])) >= 0)
            return true;
    return false;
}

static bool printable(char c)
{
    return c >= ' ' && c <= '~';
}

/* Short texts of Python's marshal format: a type, a length of one byte, the text. */
static void python(struct packed *p, struct qn_str bytes)
{
    static const char *const starts[] = {"subprocess", "popen", "os.system", "system", "execv", "spawn", NULL};
    static const char types[] = {'\x7a', '\x5a', '\xfa', '\xda'};

    if (!has(bytes, starts))
        return;
    for (size_t i = 0; i + 2 < bytes.n; i++) {
        size_t n = (unsigned char)bytes.p[i + 1], k = 0;
        if (!memchr(types, bytes.p[i], sizeof types) || n < 2 || n > bytes.n - i - 2)
            continue;
        while (k < n && printable(bytes.p[i + 2 + k]))
            k++;
        if (k == n)
            note(p, qn_str_n(bytes.p + i + 2, n), true);
    }
}

/* Texts of an assembly are of 16 bits a character. */
static void dotnet(struct packed *p, struct qn_str bytes)
{
    static const char *const starts[] = {"ProcessStartInfo", "System.Diagnostics.Process", NULL};
    char text[STRING_MAX];
    size_t n = 0;

    if (!has(bytes, starts))
        return;
    for (size_t i = 0; i + 1 < bytes.n;) {
        if (n < sizeof text && printable(bytes.p[i]) && bytes.p[i + 1] == '\0') {
            text[n++] = bytes.p[i];
            i += 2;
            continue;
        }
        note(p, qn_str_n(text, n), true);
        i += n ? 0 : 1;
        n = 0;
    }
}

int qn_packed_read(struct qn_str path, struct qn_str bytes, struct qn_arena *arena, struct qn_text_facts *out,
                   struct qn_mentions *m, struct qn_err *e)
{
    struct qn_arena copies;
    struct packed p = {.m = m, .names = {.own = !qn_text_dependency(path), .copies = &copies}};

    qn_arena_init(&copies, COPIES_MAX);
    p.unpacked = qn_xcalloc(CLASS_MAX, 1);
    p.constant = qn_xcalloc(65536, sizeof *p.constant);
    if (jar(path)) {
        java(&p, bytes);
    } else if (qn_str_ends(path, QN_STR(".class"))) {
        p.collect = true;
        class_file(&p, bytes);
    } else if (qn_str_ends(path, QN_STR(".pyc"))) {
        python(&p, bytes);
    } else if (assembly(path)) {
        dotnet(&p, bytes);
    } else {
        qn_mentions_text(bytes, QN_COMMENT_SLASHES, m);
        qn_text_names_code(&p.names, bytes);
    }
    int r = qn_text_names_done(&p.names, arena, out, e);
    free(p.names.at);
    free(p.unpacked);
    free(p.constant);
    qn_arena_fini(&copies);
    return r;
}
