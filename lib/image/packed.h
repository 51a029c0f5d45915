/* Programs that compiled or packed parts of an application name: classes in jars, Python's bytecode without its source,
 * assemblies of .NET, archives of PHP. Only their texts count, and only where something starts programs at all. */
#ifndef QN_IMAGE_PACKED_H
#define QN_IMAGE_PACKED_H

#include "layer.h"

/* Whether a file is one of those, by its name and its first bytes. */
bool qn_packed(struct qn_str path, struct qn_str head);
/* Fills `out` and `m`. Damaged files say nothing, or what stands before the damage. */
int qn_packed_read(struct qn_str path, struct qn_str bytes, struct qn_arena *arena, struct qn_text_facts *out,
                   struct qn_mentions *m, struct qn_err *e) QN_MUST_CHECK;

#endif
