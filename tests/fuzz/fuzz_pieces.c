/* Piece lists: whatever the decoder accepts, the encoder writes again byte for byte. */
#include "base/compiler.h"
#include "harden/pieces.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str in = qn_str_n(data, size), out;
    struct qn_pieces_view v;
    struct qn_piece piece;
    struct qn_err e;
    uint64_t n = 0, total = 0, old_size = 1ull << 40, last = 0;
    bool ascending = true;

    if (qn_pieces_open(in, old_size, &v, &e) < 0) {
        must(e.code == QN_E_MALFORMED && e.msg[0]);
        return 0;
    }
    struct qn_pieces_view whole = v;
    qn_auto_pieces struct qn_pieces p = {0};
    qn_pieces_init(&p, size);
    while (qn_pieces_next(&v, &piece)) {
        int r = 0;
        n++;
        total += piece.len;
        must(piece.len > 0);
        if (piece.kind == QN_PIECE_COPY) {
            must(piece.off + piece.len <= old_size);
            ascending = ascending && piece.off >= last;
            last = piece.off + piece.len;
            r = qn_pieces_copy(&p, piece.off, last, &e);
        } else if (piece.kind == QN_PIECE_LIT) {
            must(piece.bytes.n == piece.len);
            r = qn_pieces_lit(&p, piece.bytes, &e);
        } else if (piece.kind == QN_PIECE_ZERO) {
            r = qn_pieces_zero(&p, piece.len, &e);
        } else {
            must(piece.off + piece.len <= whole.file_end);
            r = qn_pieces_file(&p, piece.off, piece.len, &e);
        }
        must(r == 0);
    }
    must(n == whole.n && total == whole.size && ascending == whole.ascending);
    must(qn_pieces_finish(&p, &out, &e) == 0 && qn_str_eq(in, out));
    return 0;
}
