/* The parts of the rule "user": who, where it writes, what speaks against it. */
#ifndef QN_HARDEN_RULE_USER_H
#define QN_HARDEN_RULE_USER_H

#include "edits.h"

struct qn_user_choice {
    uint32_t uid, gid;
    bool named;          /* passwd has it already */
    const char *because; /* the evidence */
    bool *state;         /* one per node: changes owner; in the plan's arena */
};

/* Chooses: the policy's user, the target of a privilege drop, the owner of the service's state, else 65532. */
int qn_user_choose(struct qn_plan *p, struct qn_user_choice *u, struct qn_err *e) QN_MUST_CHECK;
/* Marks what the user must be able to write. */
int qn_user_state(struct qn_plan *p, struct qn_user_choice *u, struct qn_err *e) QN_MUST_CHECK;
/* Marks directories and data that the application brought along; a part of qn_user_state(). */
int qn_user_own(struct qn_plan *p, struct qn_user_choice *u, struct qn_err *e) QN_MUST_CHECK;
/* Whether none of the application's code writes files beside itself, in a directory that stays root's; if not, why. */
bool qn_user_beside(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size);
/* Whether the directories of the application's data are in a layer, so that they can become the user's; if not, why. */
bool qn_user_listed(const struct qn_plan *p, char *why, size_t size);
/* Whether the user can read, run and traverse what root could of everything reached or unowned; if not, why. */
bool qn_user_access(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size);
/* The same for writing: whether the user can write what the shell scripts that the image runs say they write; unless
 * they say so in words that only a shell understands. */
bool qn_user_writes(const struct qn_plan *p, const struct qn_user_choice *u, char *why, size_t size);
/* Permission bits (4 read, 2 write, 1 run or traverse) that the user has on a node as planned. */
unsigned qn_user_bits(const struct qn_plan *p, const struct qn_user_choice *u, uint32_t node);
/* A port below 1024 that the image exposes, or that its configuration listens on; 0 for none. */
uint32_t qn_user_low_port(const struct qn_image *img);

#endif
