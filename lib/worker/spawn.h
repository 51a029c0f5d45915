/* The daemon's side: workers as processes (`quench worker`, re-executed from /proc/self/exe with posix_spawn).
 * Each takes one request and exits. A struct qn_worker belongs to one thread at a time; the pool to any. */
#ifndef QN_WORKER_SPAWN_H
#define QN_WORKER_SPAWN_H

#include "base/buf.h"
#include "base/err.h"
#include "proto.h"

#include <stdint.h>

struct qn_worker_options {
    uint64_t memory;       /* bytes, RLIMIT_DATA; 0: no limit */
    uint64_t cpu_seconds;  /* 0: no limit */
    uint64_t file_size;    /* most bytes of a file that it writes; 0: no limit */
    bool sandbox_required; /* a worker without Landlock is refused (UNSUPPORTED) before it gets a request */
    const struct qn_message_info *extra; /* for tests */
    size_t extras;
};

struct qn_worker;

/* What a worker reports while it works; called in qn_worker_wait(). */
struct qn_worker_events {
    void (*note)(void *ctx, struct qn_str text); /* printable; what it is doing now */
    void *ctx;
};

/* Starts a worker; it locks itself up while the caller goes on. IO or NOMEM. */
int qn_worker_spawn(const struct qn_worker_options *options, struct qn_worker **out, struct qn_err *e) QN_MUST_CHECK;
/* Gives it its one request. `fds` stay the caller's and may be closed afterwards. WORKER when it is dead,
 * UNSUPPORTED when its sandbox is not what is required. */
int qn_worker_request(struct qn_worker *w, enum qn_message request, struct qn_str payload, const int *fds, size_t nfds,
                      struct qn_err *e) QN_MUST_CHECK;
/* Says how much of a growing input is there (bytes from its start; never less than before) and whether that is
 * all. Every request that reads through qn_child_input needs it, at least once with `end`. Never blocks:
 * what the socket does not take is kept and sent later; a dead worker shows in qn_worker_wait(). */
int qn_worker_progress(struct qn_worker *w, uint64_t available, bool end, struct qn_err *e) QN_MUST_CHECK;
/* Waits for the answer until `deadline_ms` (monotonic; -1: for ever) and appends it to `reply`. Fails with the
 * worker's own error; WORKER "worker died: killed by signal 31 (SIGSYS) while rewriting a layer: NOTE"; LIMIT when
 * it used up its processor time or its memory; TIMEOUT when the deadline came first: the worker goes on and may be
 * waited for again. */
int qn_worker_wait(struct qn_worker *w, int64_t deadline_ms, const struct qn_worker_events *events,
                   struct qn_buf *reply, struct qn_err *e) QN_MUST_CHECK;
/* Readable when qn_worker_wait() has something to do. */
int qn_worker_fd(const struct qn_worker *w);
/* Landlock ABI of the worker's jail, 0 for none; -1 before its hello was read (which qn_worker_request() does). */
int qn_worker_landlock(const struct qn_worker *w);
/* Kills the process if it still runs, reaps it, frees. NULL is fine. */
void qn_worker_free(struct qn_worker *w);
void qn_worker_cleanup(struct qn_worker **w);
#define qn_auto_worker QN_CLEANUP(qn_worker_cleanup)

/* Workers that were started before they are needed. */
struct qn_workers;
/* Starts `idle` workers (0..64). */
int qn_workers_new(const struct qn_worker_options *options, unsigned idle, struct qn_workers **out,
                   struct qn_err *e) QN_MUST_CHECK;
/* Gives an idle worker, or a new one when none is ready, and starts its replacement. Any thread. */
int qn_workers_take(struct qn_workers *self, struct qn_worker **out, struct qn_err *e) QN_MUST_CHECK;
/* Ends the idle ones; those taken are their takers'. NULL is fine. */
void qn_workers_free(struct qn_workers *self);

#endif
