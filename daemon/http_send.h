/* Bodies that the kernel sends: sendfile(2) straight from the page cache to the socket, in pieces as large as the
 * socket takes, on threads of their own, while the library holds the connection suspended. It sends at most 128 KiB a
 * turn of its event loop by itself, and copies what is still arriving; that is half of the cost of a large blob.
 *
 * The library sends the headers and learns of the end. It has not seen the body, so it cannot keep the connection: such
 * answers say "Connection: close", which is why smaller ones are not sent so. Only for connections without TLS. */
#ifndef QN_DAEMON_HTTP_SEND_H
#define QN_DAEMON_HTTP_SEND_H

#include "http_int.h"

/* A body under way. */
struct qn_send;

int qn_sender_new(unsigned threads, struct qn_sender **out, struct qn_err *e) QN_MUST_CHECK;
/* Ends the threads; every body must have ended before (the library is stopped). NULL is fine. */
void qn_sender_free(struct qn_sender *s);

/* Whether bodies of this request may be sent so. */
bool qn_send_possible(const struct qn_http_request *r);
/* A response of `size` bytes from offset `base` of a file in memory; takes `fd`. */
struct MHD_Response *qn_send_file(struct qn_http_request *r, int fd, uint64_t base, uint64_t size);
/* The same of a file that still grows; takes a reference of its own. */
struct MHD_Response *qn_send_growing(struct qn_http_request *r, struct qn_http_growing *g, uint64_t base,
                                     uint64_t size);
/* What a body waited for is there: it goes on. Any thread, never blocks long; gives back the reference that
 * qn_growing_want() took. */
void qn_send_kick(struct qn_send *s);
struct qn_send *qn_send_ref(struct qn_send *s);

/* --- of files that grow (http_growing.c) -------------------------------------------------------------------------- */
/* Descriptor of the file; borrowed. */
int qn_growing_fd(const struct qn_http_growing *g);
/* How many bytes there are. When that is less than `want`, `s` is kicked as soon as there are `enough`, or the end is
 * known; sets `*failed` when no more will come. */
uint64_t qn_growing_want(struct qn_http_growing *g, uint64_t want, uint64_t enough, struct qn_send *s, bool *failed);
/* Its qn_http_source. */
ssize_t qn_growing_read(void *ctx, struct qn_http_request *r, uint64_t off, char *buf, size_t n);

#endif
