/* Accounts and groups that distributions make for services which are not there. */
#ifndef QN_HARDEN_ACCOUNTS_UNUSED_H
#define QN_HARDEN_ACCOUNTS_UNUSED_H

#include "plan.h"

#include "formats/passwd.h"

/* Drops their rows from passwd and shadow (either may be NULL), and edits group, gshadow, subuid and subgid in the
 * plan. root, nobody, the image's user and group, owners of what stays, and names that a script or a configuration has
 * stay. */
int qn_accounts_drop_unused(struct qn_plan *p, struct qn_rows *passwd, struct qn_rows *shadow,
                            struct qn_err *e) QN_MUST_CHECK;

#endif
