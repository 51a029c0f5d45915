/* Layer index: what a scan learns of one layer, as entries sorted by path, and its file form ("facts").
 *
 * The facts file is written by one worker and read by others, so its reader trusts nothing. It holds, in this order:
 * captured file contents, the entries in path order, a trailer of fixed size. It is a pure function of the layer's
 * bytes and QN_FACTS_VERSION, and is cached by the layer's digest. */
#ifndef QN_IMAGE_LAYER_H
#define QN_IMAGE_LAYER_H

#include "tools.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sink.h"
#include "formats/digest.h"
#include "formats/tar.h"

#include <stdint.h>

/* Changes whenever the scanner learns something new, so that cached facts of an older engine are not used. */
#define QN_FACTS_VERSION 6u

enum qn_entry_type {
    QN_FILE = 1,
    QN_HARDLINK,
    QN_SYMLINK,
    QN_CHAR,
    QN_BLOCK,
    QN_DIR,
    QN_FIFO,
    QN_WHITEOUT, /* `path` is what is hidden */
    QN_OPAQUE    /* `path` is the directory whose lower children are hidden */
};

/* PACKED: compiled or packed code of an application, whose texts name programs (packed.h). */
enum qn_content { QN_OTHER = 0, QN_ELF, QN_SCRIPT, QN_TEXT, QN_PACKED };

/* Names that an executable imports, as bits of qn_elf_facts.imports. */
enum {
    QN_IMPORT_SHELL = 1,  /* system, popen, wordexp: runs command lines through sh */
    QN_IMPORT_EXEC = 2,   /* execve and its family, posix_spawn */
    QN_IMPORT_DLOPEN = 4, /* loads libraries by name */
    QN_IMPORT_SETUID = 8, /* setuid, setresuid, setgroups ... */
    QN_IMPORT_CHOWN = 16, /* chown, lchown, fchown ... */
    QN_IMPORT_ICONV = 32, /* iconv_open: converts between character sets */
    QN_IMPORT_GO = 128,   /* Go's os/exec: texts have no ends, so that shells cannot be told */
    QN_IMPORT_SPAWN = 64  /* a library's function that starts programs */
};

/* What the texts of an executable hint at (hints.h says which texts count). */
enum qn_hint_kind {
    QN_HINT_PATH = 1, /* an absolute path */
    QN_HINT_PREFIX,   /* text that may start with one: texts of static executables have no ends */
    QN_HINT_LIBRARY,  /* a library's file name, for dlopen */
    QN_HINT_COMMAND,  /* first word of a command line, of a program that runs command lines */
    QN_HINT_WORD      /* a text that may be a program's name, of a program that starts others */
};

struct qn_hint {
    enum qn_hint_kind kind;
    struct qn_str text;
};
#define QN_HINTS_MAX 16384u /* of one file */

struct qn_elf_facts {
    uint8_t class; /* 1: 32 bit, 2: 64 bit */
    uint8_t data;  /* 1: little, 2: big endian */
    uint16_t machine;
    uint16_t type;  /* ET_EXEC, ET_DYN ... */
    bool is_static; /* no dynamic section */
    uint32_t imports;
    struct qn_str interp, soname, rpath, runpath;
    const struct qn_str *needed;
    uint32_t needed_count;
    const struct qn_hint *hint; /* sorted by kind and text, each once */
    uint32_t hint_count;
    bool hints_cut; /* there were more */
    bool paths_cut; /* of other kinds than words, too: what the file refers to is not known */
};

/* Programs and libraries that a text of an application may name (texts.h). */
struct qn_text_facts {
    const struct qn_hint *hint; /* QN_HINT_COMMAND and QN_HINT_LIBRARY; sorted by kind and text, each once */
    uint32_t hint_count;
    bool hints_cut; /* there were more */
};
#define QN_TEXT_HINTS_MAX 65536u /* of one file */

struct qn_script_facts {
    struct qn_str interpreter; /* "/bin/sh", "/usr/bin/env" */
    struct qn_str argument;    /* the rest of the first line */
    struct qn_str program;     /* what env starts ("python3"), or empty */
};

struct qn_entry {
    struct qn_str path; /* canonical: no leading slash; "" is the root */
    struct qn_str link; /* symlink: target as it stands; hard link: canonical path */
    struct qn_str uname, gname;
    struct qn_str hash; /* SHA-256 of a file's stored content, when the scan was asked for it; else empty */
    struct qn_str pax;  /* extension records to keep when the header is written anew ("LEN KEY=VALUE\n"...) */
    enum qn_entry_type type;
    enum qn_content content;
    uint32_t mode; /* 07777 */
    uint32_t uid, gid;
    uint32_t dev_major, dev_minor;
    uint64_t size; /* bytes of content */
    int64_t mtime;
    uint32_t mtime_nsec;
    bool sparse;                          /* content is stored as runs of data; `size` counts the gaps too */
    bool caps;                            /* carries security.capability */
    uint32_t seq;                         /* position in the archive */
    uint64_t begin, data, end;            /* in the uncompressed tar: first header, content, end with padding */
    const struct qn_tar_segment *segment; /* the runs of a sparse file */
    uint32_t segments;
    struct qn_str text; /* captured content, or empty */
    bool captured;      /* `text` is the whole content */
    uint32_t secrets;   /* QN_SECRET_BIT of what it holds or is (secrets.h) */
    uint32_t units;     /* QN_UNIT_BIT of what a program's text uses (units.h) */
    struct qn_mentions mentions;
    struct qn_elf_facts elf;       /* content is QN_ELF */
    struct qn_script_facts script; /* content is QN_SCRIPT */
    struct qn_text_facts named;    /* content is QN_SCRIPT, QN_TEXT or QN_PACKED */
};

struct qn_layer_index {
    struct qn_entry *entry; /* sorted by path; equal paths in archive order */
    size_t count;
    uint64_t size;            /* bytes of the uncompressed tar */
    uint64_t tail;            /* where the end marker starts: what follows the last entry */
    struct qn_digest diff_id; /* of the uncompressed tar, or none if the scan did not compute it */
};

/* Encodes `index` behind the `text_bytes` of captured contents that the caller already wrote to the same file:
 * qn_entry.text.p is then ignored and `text_at[i]` is the offset of entry i's captured content. Appends to `out`. */
int qn_layer_encode(const struct qn_layer_index *index, const uint64_t *text_at, uint64_t text_bytes,
                    const struct qn_sink *out, struct qn_err *e) QN_MUST_CHECK;

/* Decodes a facts file. The index borrows `file` and allocates from `arena`. MALFORMED for anything out of bounds,
 * out of order, or of another version: entries are sorted, their numbers are those of their places in the archive, and
 * there they do not overlap. */
int qn_layer_decode(struct qn_str file, struct qn_arena *arena, struct qn_layer_index *out,
                    struct qn_err *e) QN_MUST_CHECK;

/* Whether a script is shell text: a shell interprets it, or a program that is told a shell to start
 * ("#!/usr/bin/with-contenv bash"), or something that splits lines into words as shells do. */
bool qn_script_shell(const struct qn_script_facts *script);

/* Order of entries: path, then archive position. */
int qn_entry_cmp(const void *a, const void *b);

#endif
