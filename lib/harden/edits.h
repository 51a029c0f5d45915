/* Small helpers that several rules use. */
#ifndef QN_HARDEN_EDITS_H
#define QN_HARDEN_EDITS_H

#include "plan.h"

#include "base/path.h"

/* Removes what a path names (links in it are followed, so that "lib/x" means usr/lib/x where /usr is merged), with
 * everything below it; a missing path is fine. */
int qn_rule_remove_path(struct qn_plan *p, const char *path, const char *because,
                        bool (*keep)(const struct qn_image *img, uint32_t node), struct qn_err *e) QN_MUST_CHECK;
/* The same for what is below it: the directory itself stays. */
int qn_rule_empty_path(struct qn_plan *p, const char *path, const char *because,
                       bool (*keep)(const struct qn_image *img, uint32_t node), struct qn_err *e) QN_MUST_CHECK;
/* Whether any program of these base names (NULL-terminated) is reached. */
bool qn_rule_any_reached(const struct qn_image *img, const char *const *names);
/* Whether a node lies in a directory of the image's PATH, or in one that is usually there. */
bool qn_rule_in_path(const struct qn_image *img, uint32_t node);
/* Keeps directories: for rules that empty a tree but leave its shape. */
bool qn_rule_keep_dirs(const struct qn_image *img, uint32_t node);
/* Copyright files, licences, and links to the directory that has one (Debian Policy 12.5): they stay, whatever goes. */
bool qn_rule_licence(const struct qn_image *img, uint32_t node);
/* Removes every file of a package but licences, which stay even when nothing else does. */
int qn_rule_remove_package(struct qn_plan *p, uint32_t package, const char *because, struct qn_err *e) QN_MUST_CHECK;
/* Removes every file of the packages whose name fits one of the globs, unless one of a package's files is reached;
 * `partly`: then the others go still. */
int qn_rule_remove_packages(struct qn_plan *p, const char *const *globs, bool partly, const char *because,
                            struct qn_err *e) QN_MUST_CHECK;
/* What the rule "permissions" has to do once the image runs as `uid`, which another rule decides after it ran. */
int qn_rule_permissions_for(struct qn_plan *plan, uint32_t uid, struct qn_err *e) QN_MUST_CHECK;
/* Whether something that the image starts as root may go on as somebody else: a tool for that, or a server that can.
 * Below strict, any program of the application counts: what its sources call is not known. */
bool qn_rule_drops_privileges(const struct qn_image *img, enum qn_profile profile);

#endif
