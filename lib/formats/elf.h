/* ELF executables and libraries, read from memory: both classes, both byte orders, bounded, nothing copied.
 * Sources: gABI "Object Files", "Program Loading and Dynamic Linking"; glibc elf.h for GNU extensions; the UAPI
 * group's "ELF dlopen() metadata" note. */
#ifndef QN_FORMATS_ELF_H
#define QN_FORMATS_ELF_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

/* Functions whose import tells what a program may do. */
enum qn_elf_import {
    QN_ELF_SYSTEM = 1u << 0,  /* system */
    QN_ELF_POPEN = 1u << 1,   /* popen */
    QN_ELF_WORDEXP = 1u << 2, /* wordexp */
    QN_ELF_EXEC = 1u << 3,    /* exec family, posix_spawn */
    QN_ELF_DLOPEN = 1u << 4,  /* dlopen, dlmopen */
    QN_ELF_ICONV = 1u << 5,   /* iconv_open */
    QN_ELF_SETUID = 1u << 6,  /* setuid family */
    QN_ELF_NSS = 1u << 7,     /* getaddrinfo, getpwnam and other users of the name service switch */
    QN_ELF_CHOWN = 1u << 8,   /* chown family */
    QN_ELF_LOCALE = 1u << 9,  /* setlocale, newlocale */
    QN_ELF_SPAWN = 1u << 10,  /* a function of some library that starts programs, by its name: g_spawn_async ... */
};

/* A parsed file. Views borrow the bytes. Absent texts are "". */
struct qn_elf {
    struct qn_str bytes;
    bool is64;
    bool big_endian;
    uint16_t type;    /* 2 executable, 3 shared object or PIE, 1 relocatable, 4 core */
    uint16_t machine; /* 62 x86-64, 183 AArch64, ... */
    uint32_t flags;   /* e_flags: ABI of ARM, MIPS, RISC-V, PowerPC */
    bool dynamic;     /* has a dynamic section */
    bool is_static;   /* executable without interpreter and without needed libraries (static-pie included) */
    bool pie;         /* DF_1_PIE */
    struct qn_str interp;
    struct qn_str soname;
    struct qn_str rpath; /* ignored by the loader when there is a RUNPATH */
    struct qn_str runpath;
    uint32_t imports; /* QN_ELF_* of undefined dynamic symbols */
    /* For the iterators: */
    uint64_t phoff, shoff, dynamic_off, dynamic_size, strtab, strsz, symtab_off;
    uint32_t phnum, shnum, shstrndx, phentsize, shentsize, symbols;
};

/* Whether the content starts like an ELF file (4 bytes are enough). */
bool qn_elf_is(struct qn_str head);
/* Parses headers, dynamic section and dynamic symbols. MALFORMED when a table that is needed lies outside; missing
 * section headers are fine. Touches only those tables. Pure; any thread. */
int qn_elf_parse(struct qn_str bytes, struct qn_elf *out, struct qn_err *e) QN_MUST_CHECK;

/* Iterators: start with `size_t at = 0`; false at the end. Names that lie outside are skipped. */
/* DT_NEEDED, in order. */
bool qn_elf_needed_next(const struct qn_elf *f, size_t *at, struct qn_str *name);
/* Names of undefined dynamic symbols. */
bool qn_elf_undefined_next(const struct qn_elf *f, size_t *at, struct qn_str *name);
/* JSON texts of .note.dlopen (owner "FDO", type 0x407c0c0a), not checked for being JSON. */
bool qn_elf_dlopen_next(const struct qn_elf *f, size_t *at, struct qn_str *json);

/* Walks NUL-terminated runs of printable bytes (0x20 to 0x7e, tab) in the data that is loaded but not executable;
 * the whole file when it has neither section nor program headers. Start with zeros. */
struct qn_elf_strings {
    size_t range; /* number of the section or segment */
    uint64_t pos; /* offset in the file */
    uint64_t end;
};
/* The next run of `min` to 4096 bytes; false at the end. */
bool qn_elf_string_next(const struct qn_elf *f, struct qn_elf_strings *it, size_t min, struct qn_str *out);

#endif
