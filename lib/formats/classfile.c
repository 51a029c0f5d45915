#include "classfile.h"

static uint32_t be(const char *p, unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

bool qn_classfile_open(struct qn_str bytes, struct qn_classfile *out)
{
    if (bytes.n < 10 || be(bytes.p, 4) != 0xcafebabeu)
        return false;
    *out = (struct qn_classfile){bytes, 10, 1, be(bytes.p + 8, 2)};
    return true;
}

/* Bytes behind the tag of a constant, but of UTF8; 0 for an unknown tag. */
static size_t size_of(unsigned tag)
{
    static const uint8_t sizes[] = {[3] = 4,  [4] = 4,  [5] = 8,  [6] = 8,  [7] = 2,  [8] = 2,  [9] = 4,  [10] = 4,
                                    [11] = 4, [12] = 4, [15] = 3, [16] = 2, [17] = 4, [18] = 4, [19] = 2, [20] = 2};
    return tag < sizeof sizes ? sizes[tag] : 0;
}

bool qn_classfile_next(struct qn_classfile *c, enum qn_class_constant *kind, uint32_t *number, struct qn_str *text,
                       uint32_t *string)
{
    while (c->next < c->count && c->bytes.n - c->at >= 3) {
        unsigned tag = (unsigned char)c->bytes.p[c->at];
        size_t n = tag == QN_CLASS_UTF8 ? 2 + (size_t)be(c->bytes.p + c->at + 1, 2) : size_of(tag);
        if (n == 0 || n > c->bytes.n - c->at - 1)
            return false;
        const char *p = c->bytes.p + c->at + 1;
        c->at += 1 + n;
        *number = c->next;
        c->next += tag == 5 || tag == 6 ? 2 : 1; /* long and double take two numbers */
        if (tag != QN_CLASS_UTF8 && tag != QN_CLASS_STRING)
            continue;
        *kind = (enum qn_class_constant)tag;
        *text = tag == QN_CLASS_UTF8 ? qn_str_n(p + 2, n - 2) : QN_STR("");
        *string = tag == QN_CLASS_STRING ? be(p, 2) : 0;
        return true;
    }
    return false;
}
