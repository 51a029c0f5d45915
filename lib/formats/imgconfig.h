/* Image configurations, OCI and Docker. Source: OCI image-spec config.md; Docker image specification v1.2. */
#ifndef QN_FORMATS_IMGCONFIG_H
#define QN_FORMATS_IMGCONFIG_H

#include "base/limits.h"
#include "base/mem.h"
#include "descriptor.h"

/* A list of texts. `set` tells an absent or null member from an empty list. */
struct qn_words {
    struct qn_str *v;
    size_t n;
    bool set;
};

struct qn_history {
    struct qn_str created;
    struct qn_str created_by;
    bool empty_layer;
};

/* A parsed configuration. Everything borrows from `root` or lives in `arena`. Unknown members stay in `root`, which
 * may be edited and printed; after an edit the views are stale. */
struct qn_imgconfig {
    struct qn_platform platform;
    struct qn_str created;
    struct qn_str user;
    struct qn_words entrypoint;
    struct qn_words cmd;
    struct qn_words env;
    struct qn_str working_dir;
    struct qn_words volumes;       /* member names of config.Volumes, in document order */
    struct qn_words exposed_ports; /* "80/tcp", as above */
    json_t *labels;                /* borrowed object, or NULL */
    struct qn_words healthcheck;   /* config.Healthcheck.Test: "NONE", "CMD", "CMD-SHELL" and words */
    struct qn_str stop_signal;
    struct qn_words shell;
    struct qn_words on_build;
    struct qn_digest *diff_ids;
    size_t diff_id_count;
    struct qn_history *history;
    size_t history_count;
    json_t *config; /* borrowed `config` object, or NULL */
    json_t *root;   /* owned */
    struct qn_arena arena;
};

/* Parses a configuration. MALFORMED: bad JSON, wrong types, member names that differ from known ones only by case,
 * rootfs.type other than "layers", bad digests. LIMIT beyond limits->manifest_size. Free with qn_imgconfig_fini(). */
int qn_imgconfig_parse(struct qn_str bytes, const struct qn_limits *limits, struct qn_imgconfig *out,
                       struct qn_err *e) QN_MUST_CHECK;
/* Frees; safe on a zeroed configuration. */
void qn_imgconfig_fini(struct qn_imgconfig *c);
#define qn_auto_imgconfig QN_CLEANUP(qn_imgconfig_fini)

/* Checks that the configuration fits a manifest of `layers` layers: as many diff_ids, and, when there is a history,
 * as many entries that are not empty_layer. MALFORMED otherwise. */
int qn_imgconfig_check_layers(const struct qn_imgconfig *c, size_t layers, struct qn_err *e) QN_MUST_CHECK;
/* The value of an environment variable (the last one wins, as in runtimes); false when it is not set. */
bool qn_imgconfig_env(const struct qn_imgconfig *c, const char *name, struct qn_str *value);
/* PATH of the environment, or what runtimes put there when it is not set. */
struct qn_str qn_imgconfig_path(const struct qn_imgconfig *c);

#define QN_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#endif
