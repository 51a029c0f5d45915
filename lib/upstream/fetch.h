/* One download for any number of readers. The body goes into an unnamed file while it is hashed; readers follow the
 * file. The last byte is withheld until the digest matched, so that nobody can complete a wrong blob. A fetch goes on
 * when its readers leave. Cut connections resume (registry.h). */
#ifndef QN_UPSTREAM_FETCH_H
#define QN_UPSTREAM_FETCH_H

#include "registry.h"

/* What the owner of the blobs does for a fetch. This floor does not know the store. */
struct qn_fetch_ops {
    /* An unnamed file for `size` bytes (and a promise of space). HTTP client's or caller's thread: quick. */
    int (*open)(void *ctx, const struct qn_digest *d, uint64_t size, int *fd, struct qn_err *e);
    /* Takes over a complete, verified file: makes it durable under its name, writes its row. The fd is borrowed. Runs
     * on a commit thread. */
    int (*commit)(void *ctx, const struct qn_digest *d, int fd, uint64_t size, struct qn_err *e);
    /* After commit or failure, once for each successful open: gives the space back. */
    void (*close)(void *ctx, const struct qn_digest *d, uint64_t size);
    void *ctx;
};
struct qn_fetcher;
struct qn_fetch;

/* `threads` commit threads (0: 2). */
int qn_fetcher_new(const struct qn_fetch_ops *ops, unsigned threads, struct qn_fetcher **out,
                   struct qn_err *e) QN_MUST_CHECK;
/* Every fetch must have ended (qn_client_stop first) and every reader released. NULL is fine. */
void qn_fetcher_free(struct qn_fetcher *f);

/* Joins the download of a digest or starts it. `scope` (may be NULL) separates what must not be shared: two requests
 * share a download only when their scopes are equal. Should the source under way fail with a definite answer (404,
 * denied), the next joiner's source is tried. `size` is the descriptor's, exact. Release with qn_fetch_release.
 * The caller has looked into the store first; a digest whose fetch has just been committed may be fetched again. */
int qn_fetch_start(struct qn_fetcher *f, struct qn_registry *r, struct qn_str repo, const struct qn_digest *d,
                   uint64_t size, const char *scope, struct qn_fetch **out, struct qn_err *e) QN_MUST_CHECK;
/* Joins only when it is under way; NULL otherwise. */
struct qn_fetch *qn_fetch_join(struct qn_fetcher *f, const struct qn_digest *d, const char *scope);
void qn_fetch_release(struct qn_fetch *f);

struct qn_fetch_state {
    uint64_t avail; /* bytes that may be read now */
    uint64_t size;
    bool complete;  /* verified: avail == size */
    bool committed; /* durable, with its row */
    bool failed;
    struct qn_err err; /* when failed */
};
void qn_fetch_state(struct qn_fetch *f, struct qn_fetch_state *out);
/* The file, for pread; -1 before the first byte and after failure. Borrowed: valid until the reader releases. */
int qn_fetch_fd(struct qn_fetch *f);

/* A reader's place in the list of those to be woken; memory of the caller's. */
struct qn_fetch_waiter {
    struct qn_fetch_waiter *next, **at; /* private; zero before first use */
    uint64_t beyond;
    bool committed;
    void (*wake)(void *arg);
    void *arg;
};
/* Arranges for `w->wake` to be called once, when more than w->beyond bytes are available, or the fetch completed (was
 * committed, when w->committed) or failed. Returns false, and arranges nothing, when that is so already. Wake-ups
 * come in steps of 256 KiB; they run on the HTTP client's or a commit thread, without locks held, and must not
 * block. */
bool qn_fetch_wait_async(struct qn_fetch *f, struct qn_fetch_waiter *w);
/* Takes a waiter back; true when it will not be (and was not) called. */
bool qn_fetch_unwait(struct qn_fetch *f, struct qn_fetch_waiter *w);
/* Blocks until more than `beyond` bytes are available, or the end. 0 also at the end; the fetch's error when failed;
 * TIMEOUT after `timeout_ms` (0: none). */
int qn_fetch_wait(struct qn_fetch *f, uint64_t beyond, unsigned timeout_ms, struct qn_err *e) QN_MUST_CHECK;
/* Blocks until it is committed. */
int qn_fetch_wait_committed(struct qn_fetch *f, unsigned timeout_ms, struct qn_err *e) QN_MUST_CHECK;

#endif
