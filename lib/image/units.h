/* Package managers of languages (units.def): what belongs to one, and what programs say of them. */
#ifndef QN_IMAGE_UNITS_H
#define QN_IMAGE_UNITS_H

#include "image.h"

enum qn_unit {
    QN_UNIT_NONE = 0,
#define UNIT(id, name, packages) QN_UNIT_##id,
#include "units.def"
#undef UNIT
    QN_UNITS
};

#define QN_UNIT_BIT(unit) (1u << (unit))
/* Beside the units, what a text says of files: it writes some; it asks where it stands itself. */
#define QN_TEXT_WRITES (1u << 30)
#define QN_TEXT_PLACE  (1u << 31)

const char *qn_unit_name(enum qn_unit unit);
/* Whether a package of the distribution is this unit and nothing else. */
bool qn_unit_package(enum qn_unit unit, struct qn_str package);
/* Sets img->unit of every node. */
int qn_image_units(struct qn_image *img, struct qn_err *e) QN_MUST_CHECK;
/* Bits of the units that the text of a program uses: imports of setuptools and pkg_resources (of distutils, which only
 * setuptools still has), and managers whose name stands in quotes or behind "-m ". */
uint32_t qn_units_used(struct qn_str text);
/* QN_TEXT_WRITES by the calls with which languages write files, and QN_TEXT_PLACE. */
uint32_t qn_files_used(struct qn_str text);

#endif
