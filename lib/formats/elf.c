#include "elf.h"
#include "base/cur.h"

/* Sizes and numbers of the gABI. */
enum {
    PT_LOAD = 1,
    PT_DYNAMIC = 2,
    PT_INTERP = 3,
    PT_NOTE = 4,
    SHT_PROGBITS = 1,
    SHT_NOTE = 7,
    SHT_DYNSYM = 11,
    SHF_ALLOC = 2,
    SHF_EXECINSTR = 4,
    DT_NEEDED = 1,
    DT_HASH = 4,
    DT_STRTAB = 5,
    DT_SYMTAB = 6,
    DT_STRSZ = 10,
    DT_SONAME = 14,
    DT_RPATH = 15,
    DT_RUNPATH = 29,
};
#define DT_GNU_HASH 0x6ffffef5u
#define DT_FLAGS_1  0x6ffffffbu
#define DF_1_PIE    0x08000000u
#define NAME_MAX_   4096u
#define SYMBOLS_MAX (1u << 20)
#define DYNAMIC_MAX 65536u
#define NOTE_DLOPEN 0x407c0c0au
#define DLOPEN_MAX  256u

/* A segment or section. */
struct part {
    uint32_t name;
    uint32_t type;
    uint64_t flags;
    uint64_t addr;
    uint64_t offset;
    uint64_t size;
    uint64_t align;
};

static struct qn_cur at(const struct qn_elf *f, uint64_t off, uint64_t len)
{
    struct qn_cur all = qn_cur_init(f->bytes.p, f->bytes.n);
    return qn_cur_at(&all, off, len);
}

static uint64_t get(const struct qn_elf *f, struct qn_cur *c, unsigned bytes)
{
    return f->big_endian ? qn_cur_be(c, bytes) : qn_cur_le(c, bytes);
}

static uint32_t get32(const struct qn_elf *f, struct qn_cur *c)
{
    return (uint32_t)get(f, c, 4);
}

/* An address-sized number. */
static uint64_t word(const struct qn_elf *f, struct qn_cur *c)
{
    return get(f, c, f->is64 ? 8 : 4);
}

bool qn_elf_is(struct qn_str head)
{
    return head.n >= 4 && memcmp(head.p, "\177ELF", 4) == 0;
}

static bool segment(const struct qn_elf *f, uint32_t i, struct part *out)
{
    if (i >= f->phnum)
        return false;
    struct qn_cur c = at(f, f->phoff + (uint64_t)i * f->phentsize, f->phentsize);
    struct part s = {.type = get32(f, &c)};
    if (f->is64)
        s.flags = get32(f, &c);
    s.offset = word(f, &c);
    s.addr = word(f, &c);
    (void)word(f, &c);
    s.size = word(f, &c);
    (void)word(f, &c);
    if (!f->is64)
        s.flags = get32(f, &c);
    s.align = word(f, &c);
    *out = s;
    return !c.bad;
}

static bool section(const struct qn_elf *f, uint32_t i, struct part *out)
{
    if (i >= f->shnum)
        return false;
    struct qn_cur c = at(f, f->shoff + (uint64_t)i * f->shentsize, f->shentsize);
    struct part s = {.name = get32(f, &c)};
    s.type = get32(f, &c);
    s.flags = word(f, &c);
    s.addr = word(f, &c);
    s.offset = word(f, &c);
    s.size = word(f, &c);
    (void)get32(f, &c);
    (void)get32(f, &c);
    s.align = word(f, &c);
    *out = s;
    return !c.bad;
}

/* File offset of a virtual address, through the loaded segments; false when it is not in the file. */
static bool offset_of(const struct qn_elf *f, uint64_t addr, uint64_t *off)
{
    struct part s;

    for (uint32_t i = 0; i < f->phnum; i++)
        if (segment(f, i, &s) && s.type == PT_LOAD && addr >= s.addr && addr - s.addr < s.size) {
            *off = s.offset + (addr - s.addr);
            return *off >= s.offset && *off < f->bytes.n;
        }
    return false;
}

/* The NUL-terminated text at an offset, at most `max` bytes with its NUL; "" when it does not end there. */
static struct qn_str text_at(const struct qn_elf *f, uint64_t off, uint64_t max)
{
    if (off >= f->bytes.n)
        return QN_STR("");
    struct qn_str s = qn_str_head(qn_str_from(f->bytes, (size_t)off), (size_t)QN_MIN(max, NAME_MAX_));
    ptrdiff_t end = qn_str_chr(s, '\0');
    return end < 0 ? QN_STR("") : qn_str_head(s, (size_t)end);
}

static struct qn_str dynamic_text(const struct qn_elf *f, uint64_t index)
{
    return index < f->strsz ? text_at(f, f->strtab + index, f->strsz - index) : QN_STR("");
}

static int parse_header(struct qn_elf *f, struct qn_err *e)
{
    if (!qn_elf_is(f->bytes) || f->bytes.n < 20)
        return qn_fail(e, QN_E_MALFORMED, "ELF: no ELF header");
    uint8_t class = (uint8_t)f->bytes.p[4], order = (uint8_t)f->bytes.p[5];
    if ((class != 1 && class != 2) || (order != 1 && order != 2))
        return qn_fail(e, QN_E_MALFORMED, "ELF: class %u, byte order %u", class, order);
    f->is64 = class == 2;
    f->big_endian = order == 2;
    struct qn_cur c = at(f, 16, f->is64 ? 48 : 36);
    f->type = (uint16_t)get(f, &c, 2);
    f->machine = (uint16_t)get(f, &c, 2);
    (void)get32(f, &c);
    (void)word(f, &c);
    f->phoff = word(f, &c);
    f->shoff = word(f, &c);
    f->flags = get32(f, &c);
    (void)get(f, &c, 2);
    f->phentsize = (uint32_t)get(f, &c, 2);
    f->phnum = (uint32_t)get(f, &c, 2);
    f->shentsize = (uint32_t)get(f, &c, 2);
    f->shnum = (uint32_t)get(f, &c, 2);
    f->shstrndx = (uint32_t)get(f, &c, 2);
    return c.bad ? qn_fail(e, QN_E_MALFORMED, "ELF: header cut short") : 0;
}

/* Checks the two header tables; broken section headers count as none, since loaders do not read them. */
static int check_tables(struct qn_elf *f, struct qn_err *e)
{
    uint32_t ph = f->is64 ? 56 : 32, sh = f->is64 ? 64 : 40;

    if (f->phnum > 0 && (f->phentsize < ph || at(f, f->phoff, (uint64_t)f->phnum * f->phentsize).bad))
        return qn_fail(e, QN_E_MALFORMED, "ELF: program headers lie outside the file");
    if (f->shnum > 0 && (f->shentsize < sh || at(f, f->shoff, (uint64_t)f->shnum * f->shentsize).bad))
        f->shnum = 0;
    return 0;
}

static int parse_segments(struct qn_elf *f, struct qn_err *e)
{
    struct part s;

    for (uint32_t i = 0; i < f->phnum; i++) {
        if (!segment(f, i, &s))
            break;
        if (s.type == PT_INTERP) {
            f->interp = text_at(f, s.offset, s.size);
            if (f->interp.n == 0)
                return qn_fail(e, QN_E_MALFORMED, "ELF: segment %u: no interpreter name", i);
        } else if (s.type == PT_DYNAMIC && !f->dynamic) {
            if (at(f, s.offset, s.size).bad)
                return qn_fail(e, QN_E_MALFORMED, "ELF: segment %u: dynamic section lies outside the file", i);
            f->dynamic = true;
            f->dynamic_off = s.offset;
            f->dynamic_size = s.size;
        }
    }
    return 0;
}

/* One entry of the dynamic section; false at its end. */
static bool dynamic(const struct qn_elf *f, size_t i, uint64_t *tag, uint64_t *value)
{
    uint64_t size = f->is64 ? 16 : 8, off = (uint64_t)i * size;

    if (!f->dynamic || i >= DYNAMIC_MAX || off >= f->dynamic_size || f->dynamic_size - off < size)
        return false;
    struct qn_cur c = at(f, f->dynamic_off + off, size);
    *tag = word(f, &c);
    *value = word(f, &c);
    return !c.bad && *tag != 0;
}

struct dynamic_tables {
    uint64_t strtab, symtab, hash, gnu_hash, soname, rpath, runpath;
    bool has_soname, has_rpath, has_runpath;
};

static void read_dynamic(struct qn_elf *f, struct dynamic_tables *d)
{
    uint64_t tag, value;

    for (size_t i = 0; dynamic(f, i, &tag, &value); i++) {
        if (tag == DT_STRTAB)
            d->strtab = value;
        else if (tag == DT_STRSZ)
            f->strsz = value;
        else if (tag == DT_SYMTAB)
            d->symtab = value;
        else if (tag == DT_HASH)
            d->hash = value;
        else if (tag == DT_GNU_HASH)
            d->gnu_hash = value;
        else if (tag == DT_FLAGS_1)
            f->pie = (value & DF_1_PIE) != 0;
        else if (tag == DT_SONAME)
            d->soname = value, d->has_soname = true;
        else if (tag == DT_RPATH)
            d->rpath = value, d->has_rpath = true;
        else if (tag == DT_RUNPATH)
            d->runpath = value, d->has_runpath = true;
    }
}

/* Number of dynamic symbols that may be undefined. The section header says it best; a stripped one leaves the hash
 * tables (undefined symbols stand in front of hashed ones), and where those are empty the usual layout, in which the
 * names follow the symbols. Too many is harmless: reading ends at the file's end. */
static uint32_t count_symbols(const struct qn_elf *f, const struct dynamic_tables *d)
{
    uint64_t off, count = 0, entry = f->is64 ? 24 : 16;
    struct part s;

    for (uint32_t i = 0; i < f->shnum; i++)
        if (section(f, i, &s) && s.type == SHT_DYNSYM && s.offset == f->symtab_off)
            return (uint32_t)QN_MIN(s.size / entry, SYMBOLS_MAX);
    if (d->hash && offset_of(f, d->hash, &off)) {
        struct qn_cur c = at(f, off, 8);
        (void)get32(f, &c);
        count = get32(f, &c);
    }
    if (d->gnu_hash && offset_of(f, d->gnu_hash, &off)) {
        struct qn_cur c = at(f, off, 8);
        (void)get32(f, &c);
        uint64_t first = get32(f, &c);
        count = QN_MAX(count, first);
    }
    if (d->strtab > d->symtab)
        count = QN_MAX(count, (d->strtab - d->symtab) / entry);
    return (uint32_t)QN_MIN(count, SYMBOLS_MAX);
}

static int parse_dynamic(struct qn_elf *f, struct qn_err *e)
{
    struct dynamic_tables d = {0};

    if (!f->dynamic)
        return 0;
    read_dynamic(f, &d);
    if (!d.strtab || !offset_of(f, d.strtab, &f->strtab)) {
        f->strsz = 0;
        return d.has_soname || f->interp.n ? qn_fail(e, QN_E_MALFORMED, "ELF: dynamic names lie outside the file") : 0;
    }
    f->strsz = QN_MIN(f->strsz, f->bytes.n - f->strtab);
    if (d.has_soname)
        f->soname = dynamic_text(f, d.soname);
    if (d.has_rpath)
        f->rpath = dynamic_text(f, d.rpath);
    if (d.has_runpath)
        f->runpath = dynamic_text(f, d.runpath);
    if (d.symtab && offset_of(f, d.symtab, &f->symtab_off))
        f->symbols = count_symbols(f, &d);
    return 0;
}

static const struct {
    const char *name;
    uint32_t bit;
} imports[] = {
    {"system", QN_ELF_SYSTEM},        {"popen", QN_ELF_POPEN},       {"wordexp", QN_ELF_WORDEXP},
    {"execve", QN_ELF_EXEC},          {"execv", QN_ELF_EXEC},        {"execvp", QN_ELF_EXEC},
    {"execvpe", QN_ELF_EXEC},         {"execl", QN_ELF_EXEC},        {"execlp", QN_ELF_EXEC},
    {"execle", QN_ELF_EXEC},          {"execveat", QN_ELF_EXEC},     {"fexecve", QN_ELF_EXEC},
    {"posix_spawn", QN_ELF_EXEC},     {"posix_spawnp", QN_ELF_EXEC}, {"dlopen", QN_ELF_DLOPEN},
    {"dlmopen", QN_ELF_DLOPEN},       {"iconv_open", QN_ELF_ICONV},  {"setuid", QN_ELF_SETUID},
    {"seteuid", QN_ELF_SETUID},       {"setreuid", QN_ELF_SETUID},   {"setresuid", QN_ELF_SETUID},
    {"setgid", QN_ELF_SETUID},        {"setegid", QN_ELF_SETUID},    {"setregid", QN_ELF_SETUID},
    {"setresgid", QN_ELF_SETUID},     {"setgroups", QN_ELF_SETUID},  {"initgroups", QN_ELF_SETUID},
    {"getaddrinfo", QN_ELF_NSS},      {"gethostbyname", QN_ELF_NSS}, {"gethostbyname_r", QN_ELF_NSS},
    {"gethostbyname2_r", QN_ELF_NSS}, {"getnameinfo", QN_ELF_NSS},   {"getpwnam", QN_ELF_NSS},
    {"getpwnam_r", QN_ELF_NSS},       {"getpwuid", QN_ELF_NSS},      {"getpwuid_r", QN_ELF_NSS},
    {"getgrnam", QN_ELF_NSS},         {"getgrnam_r", QN_ELF_NSS},    {"getgrgid", QN_ELF_NSS},
    {"getgrgid_r", QN_ELF_NSS},       {"getservbyname", QN_ELF_NSS}, {"getservbyname_r", QN_ELF_NSS},
    {"chown", QN_ELF_CHOWN},          {"fchown", QN_ELF_CHOWN},      {"lchown", QN_ELF_CHOWN},
    {"fchownat", QN_ELF_CHOWN},       {"setlocale", QN_ELF_LOCALE},  {"newlocale", QN_ELF_LOCALE},
};

static uint32_t import_bit(struct qn_str name)
{
    static const char *const parts[] = {"spawn", "popen", "QProcess", "proc_create", "run_program", "subprocess"};
    uint32_t bits = 0;

    for (size_t i = 0; i < QN_ARRAY_LEN(parts); i++)
        if (name.n > 5 && qn_str_find(name, qn_str_c(parts[i])) >= 0)
            bits = QN_ELF_SPAWN;
    if (name.n < 5 || name.n > 16)
        return bits;
    for (size_t i = 0; i < QN_ARRAY_LEN(imports); i++)
        if (imports[i].name[0] == name.p[0] && qn_str_eq_c(name, imports[i].name))
            return bits | imports[i].bit;
    return bits;
}

int qn_elf_parse(struct qn_str bytes, struct qn_elf *out, struct qn_err *e)
{
    struct qn_elf f = {.bytes = bytes};
    struct qn_str name;
    size_t i = 0;

    f.interp = f.soname = f.rpath = f.runpath = QN_STR("");
    if (parse_header(&f, e) < 0 || check_tables(&f, e) < 0 || parse_segments(&f, e) < 0 || parse_dynamic(&f, e) < 0)
        return -1;
    while (qn_elf_undefined_next(&f, &i, &name))
        f.imports |= import_bit(name);
    size_t first = 0;
    bool executable = f.type == 2 || (f.type == 3 && f.soname.n == 0);
    f.is_static = executable && f.interp.n == 0 && !qn_elf_needed_next(&f, &first, &name) && (f.type == 2 || f.pie);
    *out = f;
    return 0;
}

bool qn_elf_needed_next(const struct qn_elf *f, size_t *i, struct qn_str *name)
{
    uint64_t tag, value;

    while (dynamic(f, *i, &tag, &value)) {
        (*i)++;
        if (tag != DT_NEEDED)
            continue;
        *name = dynamic_text(f, value);
        if (name->n)
            return true;
    }
    return false;
}

bool qn_elf_undefined_next(const struct qn_elf *f, size_t *i, struct qn_str *name)
{
    uint64_t entry = f->is64 ? 24 : 16;

    for (; *i < f->symbols;) {
        struct qn_cur c = at(f, f->symtab_off + (uint64_t)*i * entry, entry);
        if (c.bad)
            return false;
        (*i)++;
        uint32_t index = get32(f, &c);
        (void)qn_cur_take(&c, f->is64 ? 2 : 10);
        if (get(f, &c, 2) != 0 || index == 0)
            continue;
        *name = dynamic_text(f, index);
        if (name->n)
            return true;
    }
    return false;
}

/* The note at `*pos` of a note segment that ends at `end`; moves on. */
static bool note_next(const struct qn_elf *f, uint64_t *pos, uint64_t end, uint64_t align, struct qn_str *desc,
                      bool *dlopen_note)
{
    if (*pos >= end || end - *pos < 12)
        return false;
    struct qn_cur c = at(f, *pos, end - *pos);
    uint64_t namesz = get32(f, &c), descsz = get32(f, &c), type = get32(f, &c);
    uint64_t name_pad = (namesz + 3) & ~3ull, desc_pad = (descsz + align - 1) & ~(align - 1);
    if (align == 8)
        name_pad = ((12 + namesz + 7) & ~7ull) - 12;
    if (c.bad || name_pad > c.n || descsz > c.n - name_pad)
        return false;
    *dlopen_note = type == NOTE_DLOPEN && namesz == 4 && memcmp(c.p, "FDO", 4) == 0;
    *desc = qn_str_n(c.p + name_pad, (size_t)descsz);
    *pos += 12 + name_pad + desc_pad;
    return true;
}

bool qn_elf_dlopen_next(const struct qn_elf *f, size_t *i, struct qn_str *json)
{
    size_t seen = 0;
    struct part s;

    if (*i >= DLOPEN_MAX)
        return false;
    for (uint32_t k = 0; k < f->phnum + f->shnum; k++) {
        bool seg = k < f->phnum;
        if (!(seg ? segment(f, k, &s) : section(f, k - f->phnum, &s)) || s.type != (seg ? PT_NOTE : SHT_NOTE))
            continue;
        /* Allocated note sections were seen through their segments. */
        if (!seg && (f->phnum > 0 && (s.flags & SHF_ALLOC)))
            continue;
        uint64_t pos = s.offset, end;
        if (__builtin_add_overflow(s.offset, s.size, &end) || end > f->bytes.n)
            continue;
        struct qn_str desc;
        bool wanted;
        while (note_next(f, &pos, end, s.align == 8 ? 8 : 4, &desc, &wanted)) {
            if (!wanted || seen++ < *i)
                continue;
            (*i)++;
            ptrdiff_t nul = qn_str_chr(desc, '\0');
            *json = nul < 0 ? desc : qn_str_head(desc, (size_t)nul);
            return true;
        }
    }
    return false;
}

/* Sections of data that are large and hold no texts. */
static bool boring(const struct qn_elf *f, const struct part *s)
{
    static const char *const names[] = {".eh_frame", ".eh_frame_hdr", ".gcc_except_table", ".gopclntab"};
    struct part strings;

    if (!section(f, f->shstrndx, &strings) || s->name >= strings.size)
        return false;
    struct qn_str name = text_at(f, strings.offset + s->name, strings.size - s->name);
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_str_eq_c(name, names[i]))
            return true;
    return false;
}

/* The next range of bytes to look for texts in. */
static bool range_next(const struct qn_elf *f, struct qn_elf_strings *it)
{
    struct part s;
    size_t count = f->shnum ? f->shnum : f->phnum ? f->phnum : 1;

    while (it->range < count) {
        uint32_t i = (uint32_t)it->range++;
        s = (struct part){.size = f->bytes.n};
        if (f->shnum) {
            if (!section(f, i, &s) || s.type != SHT_PROGBITS || !(s.flags & SHF_ALLOC) || (s.flags & SHF_EXECINSTR) ||
                boring(f, &s))
                continue;
        } else if (f->phnum && (!segment(f, i, &s) || s.type != PT_LOAD)) {
            continue;
        }
        if (s.offset >= f->bytes.n)
            continue;
        /* Ranges only move forward, so that overlapping tables cannot multiply the work. */
        uint64_t end = s.offset + QN_MIN(s.size, f->bytes.n - s.offset);
        it->pos = QN_MAX(s.offset, it->end);
        it->end = QN_MAX(end, it->end);
        if (it->pos < it->end)
            return true;
    }
    return false;
}

static bool printable(char c)
{
    return (unsigned char)(c - 0x20) < 0x5f || c == '\t';
}

bool qn_elf_string_next(const struct qn_elf *f, struct qn_elf_strings *it, size_t min, struct qn_str *out)
{
    const char *p = f->bytes.p;

    for (;;) {
        while (it->pos < it->end) {
            uint64_t start = it->pos, i = start;
            while (i < it->end && printable(p[i]))
                i++;
            it->pos = i + 1;
            if (i < it->end && p[i] == '\0' && i - start >= min && i > start && i - start <= NAME_MAX_) {
                *out = qn_str_n(p + start, (size_t)(i - start));
                return true;
            }
        }
        if (!range_next(f, it))
            return false;
    }
}
