/* One image hardened or inspected without a daemon: what `quench harden` and `quench inspect` share. Bytes go from a
 * source (registry, layout, archive) through the same derivation that the daemon runs into a destination; in between
 * they are unnamed files below a private directory, which is gone afterwards whatever happens. */
#ifndef QN_DAEMON_ONESHOT_H
#define QN_DAEMON_ONESHOT_H

#include "base/json.h"
#include "formats/descriptor.h"

#include <getopt.h>

#define QN_ONESHOT_LIST_MAX 256

/* An option that may be given again and again; the words belong to argv. */
struct qn_oneshot_list {
    const char *v[QN_ONESHOT_LIST_MAX];
    size_t n;
};

struct qn_oneshot_options {
    const char *command; /* "harden": for messages */
    const char *config, *policy, *profile, *use, *work;
    struct qn_oneshot_list platform, rule, keep, keep_command;
    bool src_plain_http, dst_plain_http, quiet;
    bool plan_only;         /* look, do not rewrite */
    bool every_rule;        /* rules that are off report what they would do */
    const json_t *question; /* with plan_only: see service/derive.h */
    bool contents;          /* likewise */
    const char *src;        /* required */
    const char *dst;        /* NULL: nothing is written */
};

/* Codes of the long options that both commands have, for getopt_long's `val`. */
enum qn_oneshot_code {
    QN_OPT_CONFIG = 'c',
    QN_OPT_HELP = 'h',
    QN_OPT_POLICY = 256,
    QN_OPT_PROFILE,
    QN_OPT_USE,
    QN_OPT_PLATFORM,
    QN_OPT_RULE,
    QN_OPT_KEEP,
    QN_OPT_KEEP_COMMAND,
    QN_OPT_WORK,
    QN_OPT_QUIET,
    QN_OPT_SRC_PLAIN,
    QN_OPT_DST_PLAIN,
    QN_OPT_OWN /* a command's own codes start here */
};
/* Rows of getopt_long's table: what commands share that look at a source, and what changes its policy. */
#define QN_ONESHOT_SOURCE_OPTIONS                                                                                      \
    {"config", required_argument, NULL, QN_OPT_CONFIG}, {"help", no_argument, NULL, QN_OPT_HELP},                      \
        {"policy", required_argument, NULL, QN_OPT_POLICY}, {"platform", required_argument, NULL, QN_OPT_PLATFORM},    \
        {"work", required_argument, NULL, QN_OPT_WORK}, {"quiet", no_argument, NULL, QN_OPT_QUIET},                    \
    {                                                                                                                  \
        "src-plain-http", no_argument, NULL, QN_OPT_SRC_PLAIN                                                          \
    }
#define QN_ONESHOT_POLICY_OPTIONS                                                                                      \
    {"profile", required_argument, NULL, QN_OPT_PROFILE}, {"use", required_argument, NULL, QN_OPT_USE},                \
        {"rule", required_argument, NULL, QN_OPT_RULE}, {"keep", required_argument, NULL, QN_OPT_KEEP},                \
    {                                                                                                                  \
        "keep-command", required_argument, NULL, QN_OPT_KEEP_COMMAND                                                   \
    }
/* Takes in one of the shared options; USAGE when a list is too long, or the code is none of them. */
int qn_oneshot_option(struct qn_oneshot_options *o, int code, const char *arg, struct qn_err *e) QN_MUST_CHECK;

/* One platform. */
struct qn_oneshot_image {
    char platform[QN_PLATFORM_TEXT];
    json_t *report;       /* contract section 6 */
    char *before, *after; /* image configurations; `after` NULL when nothing changed */
    bool unchanged, backed_off;
    json_t *answer;                 /* to the question */
    struct qn_derived_facts *facts; /* with `contents` */
};

struct qn_oneshot_result {
    struct qn_oneshot_image *image;
    size_t n;
    struct qn_digest digest; /* of what the destination's name points at; would point at without one */
    bool backed_off;
};

/* Compares images of two runs with `contents`: harden/compare.h; the caller owns the document. */
int qn_oneshot_compare(const struct qn_oneshot_options *o, const struct qn_oneshot_image *a,
                       const struct qn_oneshot_image *b, json_t **out, struct qn_err *e) QN_MUST_CHECK;

/* Does it all; blocking. Messages name the reference, platform, layer and digest. Besides what a derivation can fail
 * with: USAGE and CONFIG for wrong options, NOT_FOUND when no image is for the platforms asked for, CANCELLED after
 * SIGINT, SIGTERM or SIGHUP. Free with qn_oneshot_result_fini(). */
int qn_oneshot_run(const struct qn_oneshot_options *o, struct qn_oneshot_result *out, struct qn_err *e) QN_MUST_CHECK;
void qn_oneshot_result_fini(struct qn_oneshot_result *r);
#define qn_auto_oneshot_result QN_CLEANUP(qn_oneshot_result_fini)

#endif
