/* The plan: what the rules want changed, each change with its rule and its reason, and what becomes of each node.
 *
 * A change can be refused when it is proposed (the path is reached: "protected") or undone afterwards (the check of
 * the whole plan found that something kept needs it: "backed off"). Both are remembered for the report. */
#ifndef QN_HARDEN_PLAN_H
#define QN_HARDEN_PLAN_H

#include "rule.h"

#include "image/keepset.h"

enum qn_action { QN_REMOVE = 1, QN_CHMOD, QN_CHOWN, QN_EDIT, QN_ADD, QN_UNCAP, QN_CONFIG };
/* "remove", "chmod", ... as the report says it. */
const char *qn_action_name(enum qn_action action);

struct qn_change {
    enum qn_action action;
    enum qn_rule rule;
    uint32_t node; /* QN_NO_NODE for additions and configuration */
    struct qn_str path;
    struct qn_str from, to, because;
    bool undone; /* backed off; `because` then says why */
};

/* Something for people to know. `check` is a Dockle or CIS code. */
enum qn_level { QN_INFO = 1, QN_WARN, QN_FATAL };
struct qn_finding {
    const char *check;
    enum qn_level level;
    bool fixed;
    struct qn_str where, detail;
};

/* A file or directory that the image did not have. */
struct qn_addition {
    struct qn_str path;
    enum qn_entry_type type; /* QN_FILE or QN_DIR */
    uint32_t mode, uid, gid;
    struct qn_str content;
};

/* What becomes of a node. */
struct qn_fate {
    uint32_t removed;   /* change + 1, or 0 */
    uint8_t reported;   /* rule + 1 that would have removed it, were it not for reporting only; or 0 */
    uint32_t mode, uid; /* as planned so far */
    uint32_t changed;   /* first change of mode, owner, caps or content + 1, or 0 */
    bool uncap;         /* security.capability goes */
    bool protected;     /* a removal was undone: no further one */
    bool edited;
    struct qn_str content; /* when edited */
};

struct qn_rule_result {
    bool ran;
    uint32_t changes;   /* that stand */
    uint32_t protected; /* proposals that reached files refused */
    uint32_t undone;
    struct qn_str because; /* why it backed off as a whole, or "" */
};

struct qn_plan {
    const struct qn_image *img;
    const struct qn_options *opt;   /* as they are for this image */
    const struct qn_options *asked; /* as the policy has them */
    struct qn_str lowered;          /* why the profile is weaker than asked for, or "" */
    struct qn_fate *fate;           /* one per node */
    struct qn_change *change;
    size_t changes, change_cap;
    struct qn_finding *finding;
    size_t findings, finding_cap;
    struct qn_addition *addition;
    size_t additions, addition_cap;
    struct qn_rule_result result[QN_RULE_COUNT];
    json_t *config; /* the new configuration; owned */
    bool config_changed;
    bool hidden;  /* entries go that no container sees */
    bool clamped; /* no entry of any layer is later than `latest` */
    int64_t latest;
    enum qn_rule rule;         /* that runs now */
    bool reporting;            /* it may only report */
    bool *package_gone;        /* one per package, from qn_plan_databases() on: no payload is left */
    struct qn_keepset keepset; /* once `kept` */
    bool kept;
    struct qn_arena arena;
};

/* Runs every rule, then the checks with their back-offs, then the package database edits. The plan borrows image and
 * options. Free with qn_plan_fini(). */
int qn_plan_make(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *out,
                 struct qn_err *e) QN_MUST_CHECK;
void qn_plan_fini(struct qn_plan *p);
#define qn_auto_plan QN_CLEANUP(qn_plan_fini)
/* Whether anything at all is changed. */
bool qn_plan_empty(const struct qn_plan *p);

/* --- for rules: propose changes; a reason is required. In a rule that may only report, nothing is changed. -------- */
/* Removes one node that is not a directory. */
int qn_plan_remove(struct qn_plan *p, uint32_t node, const char *because, struct qn_err *e) QN_MUST_CHECK;
/* Removes what is below a node, and the node; directories go when everything in them goes. `keep` (may be NULL) tells
 * which nodes stay. */
int qn_plan_remove_tree(struct qn_plan *p, uint32_t node, const char *because,
                        bool (*keep)(const struct qn_image *img, uint32_t node), struct qn_err *e) QN_MUST_CHECK;
/* Records that an entry which an upper layer hides goes: the emitter knows which (secrets_gone.h). */
int qn_plan_remove_hidden(struct qn_plan *p, struct qn_str path, const char *because, struct qn_err *e) QN_MUST_CHECK;
/* No entry of any layer, of which `late` are, is later than `latest` (seconds since 1970). */
int qn_plan_clamp(struct qn_plan *p, int64_t latest, size_t late, struct qn_err *e) QN_MUST_CHECK;
/* A directory that no layer lists keeps what runtimes give it: mode and owner of such a node cannot change. */
int qn_plan_chmod(struct qn_plan *p, uint32_t node, uint32_t mode, const char *because, struct qn_err *e) QN_MUST_CHECK;
int qn_plan_chown(struct qn_plan *p, uint32_t node, uint32_t uid, const char *because, struct qn_err *e) QN_MUST_CHECK;
int qn_plan_uncap(struct qn_plan *p, uint32_t node, const char *because, struct qn_err *e) QN_MUST_CHECK;
/* Replaces the content of a captured file; `content` is copied. */
int qn_plan_edit(struct qn_plan *p, uint32_t node, struct qn_str content, const char *because,
                 struct qn_err *e) QN_MUST_CHECK;
/* Adds a file or directory unless something is there already, or something that is no directory stands above. Links in
 * the directory above are followed. */
int qn_plan_add(struct qn_plan *p, const struct qn_addition *a, const char *because, struct qn_err *e) QN_MUST_CHECK;
/* Records a change of the configuration that the rule makes in p->config itself; call it first: it returns 1 when the
 * rule may go on and change it, 0 when it may only report. */
int qn_plan_config(struct qn_plan *p, const char *key, struct qn_str from, struct qn_str to, const char *because,
                   struct qn_err *e) QN_MUST_CHECK;
int qn_plan_finding(struct qn_plan *p, const char *check, enum qn_level level, bool fixed, struct qn_str where,
                    struct qn_err *e, const char *fmt, ...) QN_PRINTF(7, 8) QN_MUST_CHECK;
/* The rule as a whole does nothing, and says why. */
int qn_plan_back_off(struct qn_plan *p, struct qn_err *e, const char *fmt, ...) QN_PRINTF(3, 4) QN_MUST_CHECK;

/* --- what the plan says so far ------------------------------------------------------------------------------------ */
static inline bool qn_plan_kept(const struct qn_plan *p, uint32_t node)
{
    return p->fate[node].removed == 0;
}
/* Content as planned: the edit, or what the image holds; false when neither was captured. */
bool qn_plan_text(const struct qn_plan *p, uint32_t node, struct qn_str *text);
/* The same by path. */
bool qn_plan_path_text(const struct qn_plan *p, struct qn_str path, uint32_t *node, struct qn_str *text);
/* Whether the policy's keep.paths protects a path. */
bool qn_plan_policy_keeps(const struct qn_plan *p, struct qn_str path);

/* The keep-set of the image without what the plan removed so far, made when a rule first asks: what comes later does
 * not change it. */
int qn_plan_keepset(struct qn_plan *p, const struct qn_keepset **out, struct qn_err *e) QN_MUST_CHECK;

/* --- stages of qn_plan_make(), apart for tests -------------------------------------------------------------------- */
/* Undoes what would break something that stays. */
int qn_plan_check(struct qn_plan *p, struct qn_err *e) QN_MUST_CHECK;
/* Makes dpkg and apk databases say what is left. */
int qn_plan_databases(struct qn_plan *p, struct qn_err *e) QN_MUST_CHECK;

enum qn_package_state { QN_PACKAGE_KEPT = 1, QN_PACKAGE_PARTIAL, QN_PACKAGE_REMOVED };
/* What is left of a package. Documentation, copyright and locale files do not count as payload. */
enum qn_package_state qn_plan_package_state(const struct qn_plan *p, uint32_t package);

#endif
