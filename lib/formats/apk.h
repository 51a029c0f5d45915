/* The apk database: lib/apk/db/installed and etc/apk/world. Everything works on text; views borrow it.
 * Source: Alpine wiki "Apk spec"; apk-tools database.c describes the same letters. */
#ifndef QN_FORMATS_APK_H
#define QN_FORMATS_APK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"

/* One package; absent fields are "". */
struct qn_apk_stanza {
    struct qn_str raw;        /* with the blank line after it: the raws of a file add up to the file */
    struct qn_str body;       /* without it */
    struct qn_str checksum;   /* C: */
    struct qn_str name;       /* P: */
    struct qn_str version;    /* V: */
    struct qn_str arch;       /* A: */
    struct qn_str origin;     /* o: */
    struct qn_str license;    /* L: */
    struct qn_str maintainer; /* m: */
    struct qn_str depends;    /* D: */
    struct qn_str provides;   /* p: */
    struct qn_str install_if; /* i: */
    struct qn_str replaces;   /* r: */
};

/* Takes the next package off the front of `*rest`: 1 and `*out` set, 0 at the end, -1 on error. MALFORMED for a line
 * that is not "X:value" and a stanza without P: or V:. */
int qn_apk_next(struct qn_str *rest, struct qn_apk_stanza *out, struct qn_err *e) QN_MUST_CHECK;

/* One entry of a package's file list. */
struct qn_apk_file {
    bool is_dir;          /* F: */
    struct qn_str path;   /* "usr/bin/x"; valid until the next call */
    struct qn_str access; /* a: or M: "UID:GID:MODE"; "" for the default */
    struct qn_str digest; /* Z: "Q1" and base64 of SHA-1; "" for directories */
};
/* Walks the files of a stanza; start with {.rest = stanza.body}. */
struct qn_apk_files {
    struct qn_str rest;
    struct qn_str dir;
    char path[QN_PATH_MAX];
};
/* 1 and `*out` set, 0 at the end, -1 MALFORMED (R: before any F:, paths too long or with ".."). */
int qn_apk_files_next(struct qn_apk_files *it, struct qn_apk_file *out, struct qn_err *e) QN_MUST_CHECK;

/* What stays. A package that is kept asks for each of its files; a directory stays when `dir` says so or one of its
 * own files stays. NULL callbacks keep everything. */
struct qn_apk_keep {
    bool (*package)(void *ctx, const struct qn_apk_stanza *s);
    bool (*file)(void *ctx, const struct qn_apk_stanza *s, struct qn_str path);
    bool (*dir)(void *ctx, const struct qn_apk_stanza *s, struct qn_str path);
    void *ctx;
};
/* Appends what stays, byte for byte: dropped files lose R: and its a: and Z:, dropped directories F: and M:. */
int qn_apk_filter(struct qn_str text, const struct qn_apk_keep *keep, struct qn_buf *out,
                  struct qn_err *e) QN_MUST_CHECK;

/* One word of D:, p: or world. */
struct qn_apk_dep {
    struct qn_str raw;
    struct qn_str
        name;      /* without "!", version and "@repository": "musl", "so:libc.musl-x86_64.so.1", "cmd:sh", "/bin/sh" */
    bool conflict; /* "!name" */
};
/* Takes the next word off the front of `*rest`; false at the end. */
bool qn_apk_dep_next(struct qn_str *rest, struct qn_apk_dep *out);
/* Appends the world file without the words whose name `keep` returns false for; other lines byte for byte. */
int qn_apk_world_filter(struct qn_str text, bool (*keep)(void *ctx, struct qn_str name), void *ctx, struct qn_buf *out,
                        struct qn_err *e) QN_MUST_CHECK;

#endif
