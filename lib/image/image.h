/* An image as the rules see it: merged tree, configuration, packages and what is reached. Immutable once built. */
#ifndef QN_IMAGE_IMAGE_H
#define QN_IMAGE_IMAGE_H

#include "lookup.h"

#include "base/limits.h"
#include "formats/imgconfig.h"
#include "formats/osrelease.h"

enum qn_package_kind { QN_PACKAGE_DEB = 1, QN_PACKAGE_APK, QN_PACKAGE_RPM };

/* Whether somebody asked for a package or it came along with one. */
enum qn_intent { QN_INTENT_UNKNOWN = 0, QN_INTENT_AUTO, QN_INTENT_CHOSEN };

/* One name that a package needs at run time: of a package, of something that packages provide
 * ("so:libc.musl-x86_64.so.1", "libc.so.6()(64bit)"), or a path ("/bin/sh"). Alternatives stand behind one another and
 * have the same group; each of them that is installed counts. */
struct qn_depend {
    struct qn_str name;
    uint32_t group;
};

struct qn_package {
    enum qn_package_kind kind;
    struct qn_str name, version, arch, source, source_version;
    struct qn_str purl; /* package-url specification, with arch and distro */
    struct qn_str raw;  /* its stanza or header in the database */
    uint32_t number;    /* of its row in an rpm database */
    uint32_t database;  /* node of the file that holds the stanza */
    bool essential;     /* Essential: yes, or Priority required or important */
    uint32_t order;     /* place in qn_image.by_name */
    struct qn_depend *depends;
    uint32_t depend_count;
    struct qn_str *provides; /* names besides its own */
    uint32_t provide_count;
    enum qn_intent intent;
    uint32_t *file; /* payload: nodes that are not directories, in path order */
    uint32_t files;
};

/* Where the package databases of an image are; QN_NO_NODE when there is none. */
struct qn_databases {
    uint32_t dpkg_status;   /* var/lib/dpkg/status */
    uint32_t dpkg_status_d; /* var/lib/dpkg/status.d (distroless) */
    uint32_t apk_installed; /* lib/apk/db/installed or usr/lib/apk/db/installed */
    uint32_t rpm_sqlite;    /* rpmdb.sqlite in one of rpm's places, whose packages are read */
    bool rpm; /* an rpm database of another kind is there, or one that cannot be read: it stays as it is */
};

/* A name and a package that has or provides it. */
struct qn_provider {
    struct qn_str name;
    uint32_t package;
};

/* Why something is reached. */
enum qn_why {
    QN_WHY_NONE = 0,
    QN_WHY_ENTRYPOINT,
    QN_WHY_CMD,
    QN_WHY_HEALTHCHECK,
    QN_WHY_ENVIRONMENT, /* LD_PRELOAD, and paths in other variables */
    QN_WHY_PRELOAD,     /* etc/ld.so.preload */
    QN_WHY_UNOWNED,     /* part of the application: no package owns it */
    QN_WHY_UTILITY,     /* the image exists to offer its tools */
    QN_WHY_POLICY,      /* keep.paths, keep.packages */
    QN_WHY_COMMAND,     /* keep.commands */
    QN_WHY_LINK,        /* a reached name leads here */
    QN_WHY_INTERPRETER, /* of a script, or the loader of an executable */
    QN_WHY_NEEDED,      /* shared library */
    QN_WHY_CALLED,      /* a word of a reached script */
    QN_WHY_MENTIONED,   /* a reached script or a text of the application names it */
    QN_WHY_STRINGS,     /* a reached executable names it: weaker, its libraries' texts are full of names */
    QN_WHY_SHELL        /* a reached executable runs command lines */
};

/* `why` and `from` are the first reason that was found, for people; decisions look at `all`, which does not depend on
 * the order in which reasons were found. What only the tools of a utility image need has the bit of QN_WHY_UTILITY
 * and no other. */
struct qn_reach {
    enum qn_why why;
    uint32_t from; /* node, or QN_NO_NODE for roots */
    uint32_t all;  /* bits 1 << why, and QN_WHY_BY_NAME */
};
#define QN_WHY_BIT(why) (1u << (why))
/* Something names it without a path: it is found through PATH. */
#define QN_WHY_BY_NAME (1u << 31)
/* A reached shell script reads it as part of itself. */
#define QN_WHY_SOURCED (1u << 30)
/* Reasons that mean: something that the image runs starts this program. */
#define QN_WHY_STARTED                                                                                                 \
    (QN_WHY_BIT(QN_WHY_ENTRYPOINT) | QN_WHY_BIT(QN_WHY_CMD) | QN_WHY_BIT(QN_WHY_HEALTHCHECK) |                         \
     QN_WHY_BIT(QN_WHY_COMMAND) | QN_WHY_BIT(QN_WHY_CALLED) | QN_WHY_BIT(QN_WHY_MENTIONED))

struct qn_keep {
    const struct qn_str *paths;
    size_t path_count;
    const struct qn_str *packages;
    size_t package_count;
    const struct qn_str *commands;
    size_t command_count;
};

#define QN_LIBRARY_TABLES 11

struct qn_image {
    struct qn_tree tree;
    struct qn_imgconfig config;
    struct qn_package *package;
    size_t package_count;
    struct qn_package **by_name;  /* sorted by name, architecture, place in the database */
    struct qn_provider *provider; /* sorted by name and package */
    size_t provider_count;
    struct qn_databases db;
    struct qn_osrelease os;
    struct qn_lookup command;                    /* the programs of PATH */
    bool *searched;                              /* one per node: a directory that PATH names */
    struct qn_lookup library[QN_LIBRARY_TABLES]; /* the system's libraries, by machine (library.c) */
    uint8_t *unit;          /* one per node: the language's package manager that it belongs to (units.h), or 0 */
    struct qn_reach *reach; /* one per node */
    uint32_t entry;         /* what the image starts, or QN_NO_NODE */
    bool utility;           /* it starts an interactive shell */
    bool runs_as_root;      /* config.User is empty, root or uid 0 */
    uint32_t run_uid;       /* of config.User; 0 when it cannot be told */
    struct qn_arena arena;
};

/* Builds the image of decoded layers (lowest first, borrowed) and a configuration's bytes. `keep` may be NULL.
 * MALFORMED for databases that do not parse, naming file and line. Free with qn_image_fini(). */
int qn_image_build(const struct qn_layer_index *layers, size_t count, struct qn_str config,
                   const struct qn_limits *limits, const struct qn_keep *keep, struct qn_image *out,
                   struct qn_err *e) QN_MUST_CHECK;
void qn_image_fini(struct qn_image *img);
#define qn_auto_image QN_CLEANUP(qn_image_fini)

/* The captured content of the file at a path (links followed); false when missing, not captured or not a file. */
bool qn_image_text(const struct qn_image *img, struct qn_str path, struct qn_str *text);
/* The captured content of a node; false when it has none. */
bool qn_node_text(const struct qn_image *img, uint32_t node, struct qn_str *text);
/* Finds the first package of a name and architecture ("" for any), or QN_NO_PACKAGE. */
uint32_t qn_image_package(const struct qn_image *img, struct qn_str name, struct qn_str arch);
/* The next package of the same name, or QN_NO_PACKAGE. */
uint32_t qn_image_package_next(const struct qn_image *img, uint32_t package);
static inline bool qn_image_reached(const struct qn_image *img, uint32_t node)
{
    return img->reach[node].why != QN_WHY_NONE;
}
/* Whether a file is documentation, a licence or a translation: a package of which only such is left is gone. */
bool qn_image_documentation(struct qn_str path);
/* Whether it is reached for another reason than that the image exists for its tools. */
static inline bool qn_image_needed(const struct qn_image *img, uint32_t node)
{
    return (img->reach[node].all & ~QN_WHY_BIT(QN_WHY_UTILITY)) != 0;
}
/* "usr/sbin/nginx is needed: entrypoint" ... the chain of reasons of a reached node, printed into `b`. */
int qn_image_explain(const struct qn_image *img, uint32_t node, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;
/* The executable file that a command name means: a path, or a name looked up in the image's PATH. */
uint32_t qn_image_command(const struct qn_image *img, struct qn_str word);
/* The same, but the name itself: it may be a link to the file. */
uint32_t qn_image_command_name(const struct qn_image *img, struct qn_str word);
/* The library that an ELF file's DT_NEEDED or a dlopen name means, as ld.so(8) and musl look it up, or QN_NO_NODE.
 * `file` is the node whose RUNPATH, RPATH and class count. */
uint32_t qn_image_library(const struct qn_image *img, uint32_t file, struct qn_str name);
/* The name under which the loader finds it: the file itself or a link to it. */
uint32_t qn_image_library_name(const struct qn_image *img, uint32_t file, struct qn_str name);

/* Stages of qn_image_build(), apart for tests. */
int qn_image_packages(struct qn_image *img, struct qn_err *e) QN_MUST_CHECK;
/* Tables for qn_image_command() and qn_image_library(): img->command, img->searched and img->library. */
int qn_image_commands(struct qn_image *img, struct qn_err *e) QN_MUST_CHECK;
int qn_image_libraries(struct qn_image *img, struct qn_err *e) QN_MUST_CHECK;
int qn_image_reach(struct qn_image *img, const struct qn_keep *keep, struct qn_err *e) QN_MUST_CHECK;

#endif
