/* The dpkg database: status files and what lies in info/. Everything works on text; views borrow it.
 * Sources: deb-control(5), dpkg(1) "FILES", dpkg-divert(1), dpkg-statoverride(1), Debian Policy chapters 5 and 7. */
#ifndef QN_FORMATS_DPKG_H
#define QN_FORMATS_DPKG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* One stanza; absent fields are "". Values keep the newlines and leading blanks of continuation lines. */
struct qn_dpkg_stanza {
    struct qn_str raw; /* with the blank lines after it: the raws of a file add up to the file */
    struct qn_str package;
    struct qn_str version;
    struct qn_str architecture;
    struct qn_str status;
    struct qn_str multi_arch;
    struct qn_str depends;
    struct qn_str pre_depends;
    struct qn_str recommends;
    struct qn_str provides;
    struct qn_str essential;
    struct qn_str priority;
    struct qn_str section;
    struct qn_str source;
    struct qn_str maintainer;
    struct qn_str conffiles;
    struct qn_str auto_installed; /* extended_states only: "1" or "0" */
};

/* Takes the next stanza off the front of `*rest`: 1 and `*out` set, 0 at the end, -1 on error. Works for status,
 * available, status.d/NAME and extended_states. MALFORMED (with the line number within the stanza) for a line that is
 * neither "Field: value" nor a continuation, a known field that appears twice, and a stanza without Package. */
int qn_dpkg_next(struct qn_str *rest, struct qn_dpkg_stanza *out, struct qn_err *e) QN_MUST_CHECK;
/* Whether the files of the package are there (any state but not-installed and config-files; no Status: yes). */
bool qn_dpkg_is_installed(const struct qn_dpkg_stanza *s);
/* Source package: "Source: name (version)", else the package's own name and version. */
void qn_dpkg_source(const struct qn_dpkg_stanza *s, struct qn_str *name, struct qn_str *version);
/* Appends the stanzas for which `keep` returns true, byte for byte. */
int qn_dpkg_filter(struct qn_str text, bool (*keep)(void *ctx, const struct qn_dpkg_stanza *s), void *ctx,
                   struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;

/* One package of a dependency field. */
struct qn_dpkg_dep {
    struct qn_str name;
    struct qn_str arch;     /* after ":" ("any", "amd64"); "" for none */
    struct qn_str relation; /* ">=", "=", "<<" ...; "" for none */
    struct qn_str version;  /* "" for none */
};
/* Takes the next comma-separated group ("a (>= 1) | b") off the front of `*rest`; false at the end. */
bool qn_dpkg_dep_group(struct qn_str *rest, struct qn_str *group);
/* Takes the next alternative off the front of a group; false at the end. Alternatives without a name are skipped. */
bool qn_dpkg_dep_next(struct qn_str *group, struct qn_dpkg_dep *out);

/* The iterators below take the next entry off the front of `*rest`; false at the end. Paths come without the leading
 * "/", the root as "". Broken lines are skipped. */
/* info/NAME.list */
bool qn_dpkg_list_next(struct qn_str *rest, struct qn_str *path);
/* info/NAME.md5sums: "HASH  PATH" */
bool qn_dpkg_md5_next(struct qn_str *rest, struct qn_str *hash, struct qn_str *path);
/* info/NAME.conffiles, and the Conffiles field (" PATH HASH [obsolete]"). */
bool qn_dpkg_conffile_next(struct qn_str *rest, struct qn_str *path);

struct qn_dpkg_diversion {
    struct qn_str raw; /* the three lines */
    struct qn_str from;
    struct qn_str to;
    struct qn_str package; /* ":" when the administrator made it */
};
/* diversions: three lines an entry. An entry that is cut short is skipped. */
bool qn_dpkg_diversion_next(struct qn_str *rest, struct qn_dpkg_diversion *out);

struct qn_dpkg_statoverride {
    struct qn_str raw; /* the line with its newline */
    struct qn_str user;
    struct qn_str group;
    struct qn_str mode; /* octal text */
    struct qn_str path;
};
bool qn_dpkg_statoverride_next(struct qn_str *rest, struct qn_dpkg_statoverride *out);

enum qn_dpkg_file { QN_DPKG_LIST = 1, QN_DPKG_MD5SUMS, QN_DPKG_CONFFILES, QN_DPKG_STATOVERRIDE };
/* Appends the lines whose path `keep` returns true for, byte for byte; broken lines stay. Paths as above. */
int qn_dpkg_filter_paths(enum qn_dpkg_file file, struct qn_str text, bool (*keep)(void *ctx, struct qn_str path),
                         void *ctx, struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;
/* Appends the diversions that `keep` returns true for, byte for byte. */
int qn_dpkg_filter_diversions(struct qn_str text, bool (*keep)(void *ctx, const struct qn_dpkg_diversion *d), void *ctx,
                              struct qn_buf *out, struct qn_err *e) QN_MUST_CHECK;

#endif
