/* Constants of Java class files. Source: The Java Virtual Machine Specification, chapter 4. */
#ifndef QN_FORMATS_CLASSFILE_H
#define QN_FORMATS_CLASSFILE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum qn_class_constant {
    QN_CLASS_UTF8 = 1,   /* names of classes and methods, and texts */
    QN_CLASS_STRING = 8, /* a text of the program */
};

struct qn_classfile {
    struct qn_str bytes;
    size_t at;
    uint32_t next, count; /* numbers of constants */
};

/* Whether the bytes start like a class file. */
bool qn_classfile_open(struct qn_str bytes, struct qn_classfile *out);
/* The next constant of the two kinds: the text of a UTF8 constant, or the number of the one that is a string's text.
 * False at the end, or where the file is damaged. */
bool qn_classfile_next(struct qn_classfile *c, enum qn_class_constant *kind, uint32_t *number, struct qn_str *text,
                       uint32_t *string);

#endif
