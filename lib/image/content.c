#include "content.h"
#include "hints.h"
#include "packed.h"
#include "secrets.h"
#include "texts.h"
#include "units.h"

#include "base/path.h"
#include "formats/elf.h"
#include "formats/shebang.h"

#define SCRIPT_MAX   (1u << 20)  /* kept whole */
#define TEXT_MAX     (16u << 20) /* looked at: bundles of an application are larger than what people write */
#define PACKED_MAX   (1u << 30)
#define DATABASE_MAX (64u << 20)
#define ELF_MAX      (1u << 30)

/* Paths whose content rules and database edits need, and how large it may be. */
static const struct {
    const char *glob;
    uint64_t max;
} captured[] = {
    {"etc/passwd*", 16u << 20},
    {"etc/group*", 16u << 20},
    {"etc/shadow*", 16u << 20},
    {"etc/gshadow*", 16u << 20},
    {"etc/ld.so.*", 1u << 20},
    {"etc/ld.so.conf.d/*", 1u << 20},
    {"etc/ld-musl-*.path", 64u << 10},
    {"etc/**", 64u << 10},
    {"usr/lib/os-release", 64u << 10},
    {"var/lib/dpkg/status", DATABASE_MAX},
    {"var/lib/dpkg/status.d/*", 4u << 20},
    {"var/lib/dpkg/available", DATABASE_MAX},
    {"var/lib/dpkg/diversions", 4u << 20},
    {"var/lib/dpkg/statoverride", 4u << 20},
    {"var/lib/dpkg/info/*.list", 32u << 20},
    {"var/lib/dpkg/info/*.md5sums", 32u << 20},
    {"var/lib/dpkg/info/*.conffiles", 4u << 20},
    {"var/lib/apt/extended_states", 8u << 20},
    {"lib/apk/db/installed", DATABASE_MAX},
    {"usr/lib/apk/db/installed", DATABASE_MAX},
    {"etc/apk/world", 1u << 20},
    {"var/lib/rpm/rpmdb.sqlite*", DATABASE_MAX},
    {"usr/lib/sysimage/rpm/rpmdb.sqlite*", DATABASE_MAX},
    {"usr/share/rpm/rpmdb.sqlite*", DATABASE_MAX},
    {"var/lib/rpmmanifest/container-manifest-2", 16u << 20},
    {"**/*.spdx.json", 16u << 20},
    {"**/*.cdx.json", 16u << 20},
    {"opt/bitnami/**/*.spdx", 16u << 20},
    {"var/lib/db/sbom/**", 16u << 20},
};

static bool is_elf(struct qn_str head)
{
    return head.n >= 4 && memcmp(head.p, "\177ELF", 4) == 0;
}

static bool is_script(struct qn_str head)
{
    return head.n >= 2 && head.p[0] == '#' && head.p[1] == '!';
}

/* Files of an application that are not marked as scripts but may name programs. */
static bool text_name(struct qn_str path)
{
    static const char *const suffix[] = {".sh",   ".py",  ".js",   ".mjs", ".cjs",  ".ts",   ".rb",
                                         ".pl",   ".php", ".lua",  ".tcl", ".conf", ".yaml", ".yml",
                                         ".toml", ".ini", ".json", ".cfg", ".env",  ".xml",  ".properties"};
    struct qn_str base = qn_path_base(path);
    for (size_t i = 0; i < QN_ARRAY_LEN(suffix); i++)
        if (qn_str_ends(base, qn_str_c(suffix[i])))
            return true;
    return qn_path_under(path, QN_STR("etc")) || qn_str_starts(base, QN_STR("Procfile"));
}

uint64_t qn_content_capture(struct qn_str path, uint64_t size, struct qn_str head)
{
    if (is_elf(head))
        return 0;
    for (size_t i = 0; i < QN_ARRAY_LEN(captured); i++)
        if (qn_glob(qn_str_c(captured[i].glob), path))
            return size <= captured[i].max ? size : 0;
    if (is_script(head) || qn_str_ends(path, QN_STR(".sh")))
        return size <= SCRIPT_MAX ? size : 0;
    return 0;
}

bool qn_content_wanted(struct qn_str path, uint64_t size, struct qn_str head)
{
    if (is_elf(head))
        return size <= ELF_MAX;
    if (qn_packed(path, head))
        return size <= PACKED_MAX;
    if (is_script(head))
        return size <= TEXT_MAX;
    return qn_content_capture(path, size, head) > 0 || (size <= TEXT_MAX && text_name(path)) ||
           qn_secrets_wanted(path, size);
}

static uint32_t imports(const struct qn_elf *f)
{
    uint32_t bits = 0;

    if (f->imports & (QN_ELF_SYSTEM | QN_ELF_POPEN | QN_ELF_WORDEXP))
        bits |= QN_IMPORT_SHELL;
    if (f->imports & QN_ELF_EXEC)
        bits |= QN_IMPORT_EXEC;
    if (f->imports & QN_ELF_DLOPEN)
        bits |= QN_IMPORT_DLOPEN;
    if (f->imports & QN_ELF_SETUID)
        bits |= QN_IMPORT_SETUID;
    if (f->imports & QN_ELF_CHOWN)
        bits |= QN_IMPORT_CHOWN;
    if (f->imports & QN_ELF_ICONV)
        bits |= QN_IMPORT_ICONV;
    if (f->imports & QN_ELF_SPAWN)
        bits |= QN_IMPORT_SPAWN;
    return bits;
}

static int copy(struct qn_arena *a, struct qn_str s, struct qn_str *out, struct qn_err *e)
{
    return qn_arena_str(a, s, out, e);
}

static int read_needed(const struct qn_elf *f, struct qn_elf_facts *out, struct qn_arena *arena, struct qn_err *e)
{
    struct qn_str name;
    size_t at = 0;
    uint32_t count = 0;

    while (count < 1024 && qn_elf_needed_next(f, &at, &name))
        count++;
    struct qn_str *needed = qn_arena_alloc(arena, count, sizeof *needed, e);
    if (!needed)
        return -1;
    at = 0;
    for (uint32_t i = 0; i < count && qn_elf_needed_next(f, &at, &name); i++)
        if (copy(arena, name, &needed[i], e) < 0)
            return -1;
    out->needed = needed;
    out->needed_count = count;
    return 0;
}

/* Programs that an executable names: only worth looking for when it can start some. A static one does not import the
 * functions that say so; Go leaves their names in its symbol table. */
static void elf_mentions(const struct qn_elf *f, struct qn_mentions *m)
{
    if (f->is_static) {
        qn_mentions_blob(qn_str_head(f->bytes, 64u << 20), m);
        return;
    }
    if (!(f->imports & (QN_ELF_SYSTEM | QN_ELF_POPEN | QN_ELF_WORDEXP | QN_ELF_EXEC)))
        return;
    struct qn_elf_strings it = {0};
    struct qn_str s;
    while (qn_elf_string_next(f, &it, 2, &s))
        qn_mentions_string(s, m);
}

static int read_elf(struct qn_str bytes, struct qn_entry *n, struct qn_arena *arena, struct qn_err *e)
{
    struct qn_elf f;
    struct qn_err ignored;

    if (qn_elf_parse(bytes, &f, &ignored) < 0 || (f.type != 2 && f.type != 3))
        return 0;
    struct qn_elf_facts *out = &n->elf;
    *out = (struct qn_elf_facts){.class = f.is64 ? 2 : 1,
                                 .data = f.big_endian ? 2 : 1,
                                 .machine = f.machine,
                                 .type = f.type,
                                 .is_static = f.is_static,
                                 .imports = imports(&f)};
    if (copy(arena, f.interp, &out->interp, e) < 0 || copy(arena, f.soname, &out->soname, e) < 0 ||
        copy(arena, f.rpath, &out->rpath, e) < 0 || copy(arena, f.runpath, &out->runpath, e) < 0 ||
        read_needed(&f, out, arena, e) < 0 || qn_hints_read(&f, out, arena, e) < 0)
        return -1;
    elf_mentions(&f, &n->mentions);
    n->content = QN_ELF;
    return 0;
}

/* Where an application keeps its code. */
static bool own_code(struct qn_str path)
{
    static const char *const system[] = {"usr", "etc", "lib", "var/lib", "var/cache", "bin", "sbin"};

    if (qn_path_under(path, QN_STR("usr/src")))
        return true;
    for (size_t i = 0; i < QN_ARRAY_LEN(system); i++)
        if (qn_path_under(path, qn_str_c(system[i])))
            return false;
    return !qn_text_dependency(path);
}

int qn_content_read(struct qn_str bytes, struct qn_entry *n, struct qn_arena *arena, struct qn_err *e)
{
    struct qn_shebang bang;

    if (is_elf(bytes))
        return read_elf(bytes, n, arena, e);
    n->secrets = qn_secrets_file(n->path, bytes);
    bool packed = qn_packed(n->path, bytes);
    if (packed && !is_script(bytes)) {
        n->content = QN_PACKED;
        return qn_packed_read(n->path, bytes, arena, &n->named, &n->mentions, e);
    }
    if (is_script(bytes) && qn_shebang_parse(bytes, &bang)) {
        n->content = QN_SCRIPT;
        if (copy(arena, bang.interpreter, &n->script.interpreter, e) < 0 ||
            copy(arena, bang.argument, &n->script.argument, e) < 0 ||
            copy(arena, bang.program, &n->script.program, e) < 0)
            return -1;
        /* An archive behind a script that starts it. */
        if (packed)
            return qn_packed_read(n->path, bytes, arena, &n->named, &n->mentions, e);
        qn_mentions_text(bytes, qn_comments_of(n->path), &n->mentions);
        n->units = qn_units_used(bytes) | (own_code(n->path) ? qn_files_used(bytes) : 0);
        return qn_script_shell(&n->script)
                   ? 0
                   : qn_text_read(n->path, qn_text_kind(n->path, true), bytes, arena, &n->named, e);
    }
    if (qn_str_chr(bytes, '\0') < 0 && (text_name(n->path) || n->captured)) {
        n->content = QN_TEXT;
        qn_mentions_text(bytes, qn_comments_of(n->path), &n->mentions);
        n->units = qn_units_used(bytes) | (own_code(n->path) ? qn_files_used(bytes) : 0);
        return qn_text_read(n->path, qn_text_kind(n->path, false), bytes, arena, &n->named, e);
    }
    return 0;
}
