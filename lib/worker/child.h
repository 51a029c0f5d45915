/* The worker's side: locks itself up, takes one request, answers once, exits. */
#ifndef QN_WORKER_CHILD_H
#define QN_WORKER_CHILD_H

#include "base/buf.h"
#include "base/err.h"
#include "proto.h"

#define QN_WORKER_FD 3 /* where a worker finds its socket */

struct qn_child {
    struct qn_peer peer;
};

/* A request's handler. `fds` are the request's descriptors (closed afterwards by the caller); the result goes to
 * `reply`. Runs inside the jail. */
struct qn_handler {
    const struct qn_message_info *info;
    int (*run)(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
               struct qn_err *e);
};

/* `quench worker`: never called by hand. Returns the exit status. */
int qn_worker_main(void);
/* The same with more requests than messages.def has: for tests. */
int qn_worker_main_with(const struct qn_handler *extra, size_t extras);

/* Tells the daemon what is going on ("entry 1200"); at most 256 bytes. A daemon that is gone is no error. */
void qn_child_note(struct qn_child *child, const char *text);

/* A file that is still being written by the daemon: reading blocks at the end of what is there until the daemon says
 * that there is more (PROGRESS). One a request. */
struct qn_child_input {
    struct qn_child *child;
    int fd;
    uint64_t off;       /* next byte to read */
    uint64_t available; /* bytes that are there */
    bool end;           /* no more will come */
};
void qn_child_input_init(struct qn_child_input *self, struct qn_child *child, int fd);
/* Reads up to `n` bytes, at least one; `*got` is 0 only at the end. CANCELLED when the daemon is gone, IO when the file
 * is shorter than was said. */
int qn_child_input_read(struct qn_child_input *self, void *p, size_t n, size_t *got, struct qn_err *e) QN_MUST_CHECK;

/* Handlers, one a file handle_NAME.c. Further ones are declared here when their rows are added. */
int qn_handle_rewrite(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                      struct qn_err *e) QN_MUST_CHECK;
int qn_handle_scan(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                   struct qn_err *e) QN_MUST_CHECK;
int qn_handle_plan(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                   struct qn_err *e) QN_MUST_CHECK;
int qn_handle_verify(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                     struct qn_err *e) QN_MUST_CHECK;
int qn_handle_compare(struct qn_child *child, struct qn_str payload, const int *fds, size_t nfds, struct qn_buf *reply,
                      struct qn_err *e) QN_MUST_CHECK;

#endif
