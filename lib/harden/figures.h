/* The counts of an image that the report shows before and after (contract section 6). */
#ifndef QN_HARDEN_FIGURES_H
#define QN_HARDEN_FIGURES_H

#include "image/image.h"
#include "base/json.h"

struct qn_figures {
    uint64_t bytes, files, packages, elf, executables, setuid, file_caps, shells, world_writable, accounts;
};

/* Counts the merged view: regular files by path. */
void qn_figures_count(const struct qn_image *img, struct qn_figures *out);
/* As the report's object, with compressed_bytes first. */
json_t *qn_figures_json(const struct qn_figures *f, uint64_t compressed_bytes);

#endif
