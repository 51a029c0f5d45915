/* What the files of api.h share. */
#ifndef QN_DAEMON_API_INT_H
#define QN_DAEMON_API_INT_H

#include "api.h"

#define QN_REF_MAX 390

/* A row of api_types.def; NULL past the end. */
struct qn_api_type {
    const char *name, *members, *summary;
};
const struct qn_api_type *qn_api_type_at(size_t i);
/* The members of a document; NULL when there is none of that name. */
const char *qn_api_members_of(struct qn_str name);

/* A row of api_query.def, which there must be. */
struct qn_api_param {
    const char *id, *name, *type, *summary;
};
const struct qn_api_param *qn_api_param(struct qn_str id);

/* "NAME:TYPE" with or without "?" at the end; false at the end of the members. */
struct qn_api_member {
    struct qn_str name, type;
    bool optional;
};
bool qn_api_next_member(struct qn_str *rest, struct qn_api_member *m);
/* "+A,B": at least one of these members must be there. The names, or empty. */
struct qn_str qn_api_alternatives(const char *members);
/* LOW..HIGH behind the slash of a type; false when there is none. `base` is what stands before. */
bool qn_api_bounds(struct qn_str type, struct qn_str *base, uint64_t *low, uint64_t *high);

#endif
