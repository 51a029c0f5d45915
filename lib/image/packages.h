/* Inside of reading packages: what the databases' readers share. Private to this room. */
#ifndef QN_IMAGE_PACKAGES_H
#define QN_IMAGE_PACKAGES_H

#include "image.h"

struct qn_package_list {
    struct qn_package *at;
    size_t count, cap;
};

/* Adds a package, with its package URL. `epoch` is "" but for rpm. */
int qn_package_list_add(struct qn_image *img, struct qn_package_list *list, struct qn_package p, struct qn_str epoch,
                        struct qn_err *e) QN_MUST_CHECK;
/* Makes a package the owner of a path (without a leading slash), if it is payload. */
void qn_package_own(struct qn_image *img, struct qn_str path, uint32_t package);

/* Finds the rpm database: sets img->db.rpm_sqlite and img->db.rpm. */
void qn_rpm_find(struct qn_image *img);
/* Reads it. One that cannot be read sets img->db.rpm, which makes every rule leave its packages alone. */
int qn_rpm_read(struct qn_image *img, struct qn_package_list *list, struct qn_err *e) QN_MUST_CHECK;
/* The files of one of its packages. */
int qn_rpm_own(struct qn_image *img, uint32_t package, struct qn_err *e) QN_MUST_CHECK;

#endif
