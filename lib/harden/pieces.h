/* The piece list: how a new tar is made from an old one. What plan writes and rewrite carries out.
 *
 *   COPY [off, off+len) of the old tar | LIT bytes | ZERO len | FILE [off, off+len) of a second file
 *
 * Encoding: "QNPL1\0", then each piece as a kind byte, a LEB128 length and (COPY, FILE) a LEB128 offset or (LIT) the
 * bytes; at the end a zero byte, the number of pieces and the length of the new tar in LEB128. It is canonical:
 * no empty pieces, neighbours that could be one are one (a LIT holds at most QN_PIECE_LIT_MAX), numbers
 * in their shortest form. So equal edits have equal bytes and one digest. The decoder treats its input as foreign. */
#ifndef QN_HARDEN_PIECES_H
#define QN_HARDEN_PIECES_H

#include "base/buf.h"
#include "base/err.h"
#include "formats/digest.h"
#include "formats/tar.h"

#include <stdint.h>

#define QN_PIECE_LIT_MAX (1u << 20)

enum qn_piece_kind { QN_PIECE_COPY = 1, QN_PIECE_LIT = 2, QN_PIECE_ZERO = 3, QN_PIECE_FILE = 4 };

struct qn_piece {
    enum qn_piece_kind kind;
    uint64_t off;        /* COPY, FILE */
    uint64_t len;        /* never 0 */
    struct qn_str bytes; /* LIT: borrows the encoding */
};

/* Encoder. */
struct qn_pieces {
    struct qn_buf buf;
    uint64_t n;            /* pieces */
    uint64_t size;         /* of the new tar */
    struct qn_piece last;  /* COPY, ZERO or FILE not yet written */
    struct qn_buf literal; /* LIT not yet written */
    bool done;
};

/* Starts an empty list whose encoding may have at most `max` bytes. */
void qn_pieces_init(struct qn_pieces *self, size_t max);
void qn_pieces_fini(struct qn_pieces *self);
#define qn_auto_pieces QN_CLEANUP(qn_pieces_fini)
/* Appends a piece; empty ones are skipped, neighbours merged. LIMIT when sums overflow or the list grows too long. */
int qn_pieces_copy(struct qn_pieces *self, uint64_t off, uint64_t end, struct qn_err *e) QN_MUST_CHECK;
int qn_pieces_lit(struct qn_pieces *self, struct qn_str bytes, struct qn_err *e) QN_MUST_CHECK;
int qn_pieces_zero(struct qn_pieces *self, uint64_t len, struct qn_err *e) QN_MUST_CHECK;
int qn_pieces_file(struct qn_pieces *self, uint64_t off, uint64_t len, struct qn_err *e) QN_MUST_CHECK;
/* Appends the whole data of an entry and its padding, sparse files expanded: what follows a header made by
 * qn_tar_write_header(). For a plain file one COPY of [data_off, end_off). */
int qn_pieces_entry_data(struct qn_pieces *self, const struct qn_tar_entry *entry, struct qn_err *e) QN_MUST_CHECK;
/* Ends the list and gives its encoding, which lives as long as `self`. */
int qn_pieces_finish(struct qn_pieces *self, struct qn_str *out, struct qn_err *e) QN_MUST_CHECK;

/* Decoder: a list that was checked as a whole. */
struct qn_pieces_view {
    struct qn_str rest; /* what qn_pieces_next() has not yet given */
    uint64_t n;         /* pieces */
    uint64_t size;      /* of the new tar */
    uint64_t file_end;  /* highest end of a FILE piece, 0 for none */
    bool ascending;     /* every COPY starts at or behind the end of the one before it */
};

/* Checks an encoding against the old tar's size and borrows it. MALFORMED, naming piece and offset. */
int qn_pieces_open(struct qn_str encoding, uint64_t old_size, struct qn_pieces_view *out,
                   struct qn_err *e) QN_MUST_CHECK;
/* Gives the next piece; false at the end. */
bool qn_pieces_next(struct qn_pieces_view *self, struct qn_piece *out);
/* The edits digest: SHA-256 of the encoding and of the digest of the second file (NULL when no FILE piece). */
struct qn_digest qn_pieces_digest(struct qn_str encoding, const struct qn_digest *file);

#endif
