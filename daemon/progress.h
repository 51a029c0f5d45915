/* One line on standard error that says how far the work is, rewritten in place. Only a terminal gets it. */
#ifndef QN_DAEMON_PROGRESS_H
#define QN_DAEMON_PROGRESS_H

#include "base/compiler.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct qn_progress {
    bool on;
    pthread_mutex_t lock; /* of the rest */
    char what[256];       /* the platform at work */
    unsigned layers, complete;
    int64_t last; /* monotonic ms of the last drawing */
    bool drawn;
};

/* `quiet` switches it off. */
void qn_progress_init(struct qn_progress *p, bool quiet);
/* Clears the line. */
void qn_progress_fini(struct qn_progress *p);
/* Begins one image of `layers` layers. */
void qn_progress_image(struct qn_progress *p, const char *what, unsigned layers);
/* One layer more is here. */
void qn_progress_layer(struct qn_progress *p);
/* Draws, at most ten times a second. Bytes; `total` 0: unknown. Any thread. */
void qn_progress_show(struct qn_progress *p, const char *stage, uint64_t done, uint64_t total);

#endif
