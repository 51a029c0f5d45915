/* The parts of qn_plan_databases(): each makes one kind of database say what is left. They run when every removal is
 * settled and p->package_gone is known. */
#ifndef QN_HARDEN_DATABASES_H
#define QN_HARDEN_DATABASES_H

#include "plan.h"

/* etc/ld.so.cache names no library that went; a cache that ld.so would not read stays as it is. */
int qn_database_ldcache(struct qn_plan *p, struct qn_err *e) QN_MUST_CHECK;
/* The rpm database, its log and the list that images without rpm have. */
int qn_database_rpm(struct qn_plan *p, struct qn_err *e) QN_MUST_CHECK;
/* Bills of materials in the image: entries of packages that are gone, and documents about them. */
int qn_database_sbom(struct qn_plan *p, struct qn_err *e) QN_MUST_CHECK;

#endif
