/* Rules and the options that they see. */
#ifndef QN_HARDEN_RULE_H
#define QN_HARDEN_RULE_H

#include "image/image.h"
#include "base/json.h"

enum qn_rule {
#define X(name, safe, standard, strict, build, checks, summary) QN_RULE_##name,
#include "rules.def"
#undef X
    QN_RULE_COUNT
};

enum qn_rule_state { QN_RULE_OFF = 0, QN_RULE_ON, QN_RULE_REPORT };
enum qn_profile { QN_SAFE = 1, QN_STANDARD, QN_STRICT };
enum qn_use { QN_USE_RUN = 1, QN_USE_BUILD };
enum qn_user_mode { QN_USER_AUTO = 1, QN_USER_KEEP, QN_USER_FIXED };
enum qn_doubt { QN_DOUBT_BACK_OFF = 1, QN_DOUBT_ORIGINAL, QN_DOUBT_DENY };

/* The part of a policy that can change bytes. Views borrow from the JSON that it was read from. */
struct qn_options {
    enum qn_profile profile;
    enum qn_use use;
    enum qn_rule_state rule[QN_RULE_COUNT]; /* effective: profile, use, then the policy's own words */
    bool chosen[QN_RULE_COUNT];             /* the policy names the rule */
    struct qn_keep keep;
    struct qn_str *remove_paths;
    size_t remove_path_count;
    struct qn_str *remove_packages;
    size_t remove_package_count;
    enum qn_user_mode user;
    uint32_t uid, gid; /* QN_USER_FIXED */
    bool low_ports_free;
    enum qn_doubt on_doubt;
    struct qn_arena arena;
};

/* Reads the canonical policy document (contract section 3: use, profile, rules, keep, remove, user, low_ports,
 * on_doubt). Absent members take the built-in values. CONFIG names the member that is wrong; NOT_BUILT a reserved one.
 * Free with qn_options_fini(). */
int qn_options_read(const json_t *policy, struct qn_options *out, struct qn_err *e) QN_MUST_CHECK;
void qn_options_fini(struct qn_options *o);
#define qn_auto_options QN_CLEANUP(qn_options_fini)

/* The options that an image gets: those that were asked for, or of a weaker profile when it cannot be told what the
 * image runs: strict needs scripts whose commands can be read, unless the policy itself switches `unused-files` on.
 * `because` (of `size` bytes) becomes the reason, or "". `out` borrows from `o`: it is not to be freed. */
void qn_options_for(const struct qn_options *o, const struct qn_image *img, struct qn_options *out, char *because,
                    size_t size);
/* Public name ("package-managers"), documentation and checks of a rule. */
const char *qn_rule_name(enum qn_rule rule);
const char *qn_rule_summary(enum qn_rule rule);
const char *qn_rule_checks(enum qn_rule rule);
/* The rule of a public name; -1 when there is none. `reserved` tells whether the name is one that a later version
 * builds. */
int qn_rule_find(struct qn_str name, bool *reserved);

struct qn_plan;
#define X(name, safe, standard, strict, build, checks, summary)                                                        \
    int qn_rule_##name(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan,                 \
                       struct qn_err *e) QN_MUST_CHECK;
#include "rules.def"
#undef X

#endif
